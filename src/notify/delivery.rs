//! One queue per receiver: sends what is in it, and tries again until it is taken or too old.
//!
//! What is to be sent is in the store before it gets here, and leaves it when it is taken: a worker may be dropped at
//! any moment, and what was not marked is sent again, under the same id. A receiver that fails is left alone for longer
//! and longer; that is remembered across restarts.

mod backoff;
mod merge;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, pin::pin, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

use self::merge::{Taken, Told, merge};
use super::{Receiver, Retry, SendError};
use crate::{
    clock::Clock,
    model::{Moment, Notice},
    store::{Pending, ReceiverState, Store, StoreError},
    telemetry::Telemetry,
};

/// How long a notice is worth sending.
const LIFE: Duration = Duration::from_secs(72 * 60 * 60);
/// Why a notice of what came and went while its receiver could not be told is not sent.
const OUTDATED: &str = "outdated";
/// Why a notice is given up that nobody refused.
const TOO_OLD: &str = "it could not be delivered for three days";

/// Brings notices to one receiver, one at a time.
#[derive(Debug)]
pub struct Worker {
    receiver: Receiver,
    incoming: mpsc::UnboundedReceiver<Notice>,
    outbox: Outbox,
}

/// That a receiver cannot be told, for another one to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub receiver: String,
    /// One of [`SendError::REASONS`].
    pub reason: &'static str,
    /// In words, fit for people.
    pub detail: String,
    /// Notices given up so far.
    pub abandoned: u64,
}

/// How it stands with a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When the first attempt failed since it took a notice.
    pub failing_since: Option<Moment>,
    /// When the oldest notice was made that it has yet to take.
    pub oldest_pending: Option<Moment>,
}

/// What a worker had not brought when it ended, for another to go on with.
#[derive(Debug)]
pub struct Left {
    /// Oldest first.
    pub pending: Vec<Pending>,
    pub state: ReceiverState,
}

impl Worker {
    /// `pending` and `state` are what the store remembers of this receiver; `incoming` brings what was recorded since.
    /// A receiver that was disabled is given another chance. `fallback` is told at most once each time the receiver
    /// fails, until it takes a notice again.
    #[expect(clippy::too_many_arguments, reason = "all that a queue needs to know of the world")]
    pub fn new(
        name: String,
        receiver: Receiver,
        pending: Vec<Pending>,
        mut state: ReceiverState,
        store: Store,
        telemetry: Telemetry,
        clock: Clock,
        incoming: mpsc::UnboundedReceiver<Notice>,
        fallback: mpsc::Sender<Failing>,
    ) -> Self {
        telemetry.declare_receiver(&name, &SendError::REASONS);
        telemetry.declare_suppressions(&[OUTDATED]);
        if let Some(time) = state.last_success {
            telemetry.notification_last_success(&name, time.as_secs_f64());
        }
        state.disabled = false;
        let now = clock.now().wall;
        let wait = state.next_attempt.map_or(Duration::ZERO, |next| next.since(now));
        let mut outbox = Outbox {
            name,
            queue: VecDeque::new(),
            in_flight: None,
            standing: watch::Sender::default(),
            state,
            // A wait longer than any of ours was reckoned by a clock that was ahead.
            due: Instant::now() + wait.min(backoff::longest()),
            told: Told::nothing_known(now),
            failing_since: None,
            last_failure: None,
            fallback_knows: false,
            store,
            telemetry,
            clock,
            fallback,
        };
        let item = |row: Pending| Queued {
            since: outbox.clock.long_ago(row.queued_at),
            ..outbox.queued(row.notice, row.done)
        };
        outbox.queue = pending.into_iter().map(item).collect();
        outbox.show();
        Worker { receiver, incoming, outbox }
    }

    /// How it stands with the receiver, from now on.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.outbox.standing.subscribe()
    }

    /// Runs until nothing more can come, and then ends what it is doing, but starts nothing new. It may be dropped at
    /// any moment without loss.
    pub async fn run(mut self) -> Left {
        self.outbox.tidy().await;
        loop {
            let due = self.outbox.due();
            tokio::select! {
                notice = self.incoming.recv() => match notice {
                    Some(notice) => self.outbox.accept(notice).await,
                    None => return self.outbox.left(),
                },
                () = until(due) => self.attempt().await,
            }
        }
    }

    /// Tries the first in the queue, and meanwhile takes in what comes.
    async fn attempt(&mut self) {
        if self.outbox.state.disabled {
            self.outbox.expire().await;
            return;
        }
        let Some(mut item) = self.outbox.queue.pop_front() else { return };
        self.outbox.in_flight = Some(item.since);
        let began = Instant::now();
        let outcome = {
            let mut sending = pin!(self.receiver.send(&item.notice, &mut item.done, self.outbox.clock.now()));
            loop {
                tokio::select! {
                    outcome = &mut sending => break outcome,
                    Some(notice) = self.incoming.recv() => self.outbox.accept(notice).await,
                }
            }
        };
        self.outbox.in_flight = None;
        let failure = outcome.as_ref().err().map(|err| err.reason);
        self.outbox.telemetry.notification_attempt(&self.outbox.name, began.elapsed(), failure);
        match outcome {
            Ok(said) => self.outbox.taken(&item, &said).await,
            Err(err) => {
                item.maybe_taken |= self.receiver.may_have_taken(&err);
                self.outbox.failed(item, &err).await;
            }
        }
        self.outbox.show();
    }
}

fn by_uptime(moment: &Moment) -> Duration {
    moment.uptime
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Everything about a receiver's queue but the receiver.
#[derive(Debug)]
struct Outbox {
    name: String,
    /// At most one notice per group, less the one in flight.
    queue: VecDeque<Queued>,
    /// Since when the notice waits that is being sent.
    in_flight: Option<Moment>,
    state: ReceiverState,
    /// When the receiver may be asked again, by the clock that nobody sets.
    due: Instant,
    told: Told,
    standing: watch::Sender<Standing>,
    /// When the first attempt failed since it took a notice.
    failing_since: Option<Moment>,
    /// Of this process.
    last_failure: Option<SendError>,
    fallback_knows: bool,
    store: Store,
    telemetry: Telemetry,
    clock: Clock,
    fallback: mpsc::Sender<Failing>,
}

#[derive(Debug)]
struct Queued {
    notice: Notice,
    /// Addresses that took it.
    done: Vec<String>,
    /// When the oldest notice was made that this one stands for.
    since: Moment,
    expires: Instant,
    /// Whether it may have been taken although that was not said.
    maybe_taken: bool,
}

impl Queued {
    /// Whether anybody may know what it says.
    fn may_be_known(&self) -> bool {
        self.maybe_taken || !self.done.is_empty()
    }
}

impl Outbox {
    fn queued(&self, notice: Notice, done: Vec<String>) -> Queued {
        let since = self.clock.long_ago(notice.created_at);
        let expires = Instant::now() + LIFE.saturating_sub(self.clock.now().since(since));
        Queued { notice, done, since, expires, maybe_taken: false }
    }

    /// Merges what an earlier process left, and gives up what became too old meanwhile.
    async fn tidy(&mut self) {
        for item in std::mem::take(&mut self.queue) {
            self.enqueue(item).await;
        }
        self.expire().await;
    }

    async fn accept(&mut self, notice: Notice) {
        let item = self.queued(notice, Vec::new());
        self.enqueue(item).await;
        self.show();
    }

    /// Puts a notice at the end, or merges it into the older one of its group.
    async fn enqueue(&mut self, newer: Queued) {
        match self.take_of_group(&newer.notice.group) {
            Some((at, older)) => {
                if let Some(merged) = self.merge(older, newer).await {
                    self.queue.insert(at, merged);
                }
            }
            None => self.queue.push_back(newer),
        }
    }

    fn take_of_group(&mut self, group: &str) -> Option<(usize, Queued)> {
        let at = self.queue.iter().position(|item| item.notice.group == group)?;
        self.queue.remove(at).map(|item| (at, item))
    }

    async fn merge(&mut self, older: Queued, newer: Queued) -> Option<Queued> {
        if older.may_be_known() {
            self.told.remember(&older.notice, Taken::Maybe, self.clock.now().wall);
        }
        let ids = [older.notice.id.clone(), newer.notice.id.clone()];
        let Some(notice) = merge(&older.notice, &newer.notice, &mut self.told) else {
            debug!(receiver = self.name, "not sent: all of it came and went before it could be told");
            self.telemetry.suppressed(OUTDATED, 1);
            // The older first: should we die in between, an end is told of something that nobody knew, which is better
            // than a beginning without an end.
            for id in &ids {
                self.note(self.store.delivered(id, &self.state).await);
            }
            return None;
        };
        debug!(
            receiver = self.name,
            id = notice.id,
            covers = notice.covers.len(),
            "merged with a newer notice"
        );
        self.note(self.store.replace(&ids, &notice).await);
        Some(Queued {
            notice,
            done: Vec::new(),
            since: std::cmp::min_by_key(older.since, newer.since, by_uptime),
            expires: newer.expires,
            maybe_taken: false,
        })
    }

    /// When there is something to do.
    fn due(&self) -> Option<Instant> {
        if self.state.disabled {
            self.queue.iter().map(|item| item.expires).min()
        } else {
            (!self.queue.is_empty()).then_some(self.due)
        }
    }

    async fn taken(&mut self, item: &Queued, said: &str) {
        let now = self.clock.now().wall;
        info!(
            receiver = self.name,
            id = item.notice.id,
            reason = item.notice.reason,
            "notice delivered: {said}"
        );
        self.state =
            ReceiverState { failures: 0, next_attempt: None, last_success: Some(now), disabled: false };
        self.due = Instant::now();
        self.failing_since = None;
        self.fallback_knows = false;
        self.told.remember(&item.notice, Taken::Surely, now);
        self.telemetry.notification_delivered(&self.name);
        self.telemetry.notification_last_success(&self.name, now.as_secs_f64());
        self.note(self.store.delivered(&item.notice.id, &self.state).await);
    }

    async fn failed(&mut self, item: Queued, err: &SendError) {
        let now = self.clock.now();
        let failing_since = *self.failing_since.get_or_insert(now);
        self.last_failure = Some(err.clone());
        match err.retry {
            Retry::Never => {
                self.abandon(&item, &err.detail).await;
                self.tell_fallback(1);
            }
            Retry::Later | Retry::NotBefore(_) | Retry::Disabled => {
                self.leave_alone(err);
                self.note(self.store.attempted(&item.notice.id, &item.done, &self.state).await);
                self.put_back(item).await;
                self.expire().await;
            }
        }
        let is_final = err.retry == Retry::Disabled || err.reason == "auth";
        if is_final || now.since(failing_since) >= LIFE {
            self.tell_fallback(0);
        }
    }

    /// Decides when the receiver may be asked again.
    fn leave_alone(&mut self, err: &SendError) {
        let (receiver, reason, detail) = (&self.name, err.reason, &err.detail);
        if err.retry == Retry::Disabled {
            self.state.disabled = true;
            error!(receiver, reason, "notice not delivered, and none will be until the next start: {detail}");
            return;
        }
        self.state.failures = self.state.failures.saturating_add(1);
        let usual = backoff::delay(self.state.failures);
        let wait = match err.retry {
            Retry::NotBefore(asked) => usual.max(asked).min(backoff::longest()),
            _ => usual,
        };
        self.due = Instant::now() + wait;
        self.state.next_attempt = Some(self.clock.now().wall.saturating_add(wait));
        let failures = self.state.failures;
        warn!(
            receiver,
            reason,
            failures,
            retry_in_seconds = wait.as_secs(),
            "notice not delivered: {detail}"
        );
    }

    /// Puts a notice that failed behind the others, so that one that breaks its receiver does not keep them from it.
    /// What came of its group meanwhile is merged into it.
    async fn put_back(&mut self, older: Queued) {
        let item = match self.take_of_group(&older.notice.group) {
            Some((_, newer)) => self.merge(older, newer).await,
            None => Some(older),
        };
        self.queue.extend(item);
    }

    /// Gives up what is too old.
    async fn expire(&mut self) {
        let now = Instant::now();
        let (expired, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|item| item.expires <= now);
        self.queue = rest.into();
        let mut abandoned = 0;
        for item in expired {
            self.abandon(&item, TOO_OLD).await;
            abandoned += 1;
        }
        if abandoned > 0 {
            self.tell_fallback(abandoned);
        }
        self.show();
    }

    async fn abandon(&mut self, item: &Queued, why: &str) {
        if item.may_be_known() {
            self.told.remember(&item.notice, Taken::Maybe, self.clock.now().wall);
        }
        let (id, alerts) = (&item.notice.id, item.notice.alerts.len());
        error!(receiver = self.name, id, alerts, "notice given up: {why}");
        self.telemetry.notification_abandoned(&self.name);
        self.note(self.store.abandoned(id).await);
    }

    fn tell_fallback(&mut self, abandoned: u64) {
        if self.fallback_knows {
            return;
        }
        // What made it too old before we started, an earlier process knew.
        let (reason, detail) = match &self.last_failure {
            Some(err) => (err.reason, err.detail.clone()),
            None => ("timeout", TOO_OLD.to_owned()),
        };
        let failing = Failing { receiver: self.name.clone(), reason, detail, abandoned };
        // If there is no room, or nobody to tell, the next failure is told.
        self.fallback_knows = self.fallback.try_send(failing).is_ok();
    }

    /// The store failing is no reason to stop: all goes on from memory.
    fn note(&self, written: Result<(), StoreError>) {
        if let Err(err) = written {
            warn!(receiver = self.name, "what became of a notice could not be written down: {err}");
        }
    }

    fn show(&self) {
        let waiting = self.queue.iter().map(|item| item.since).chain(self.in_flight);
        let length = self.queue.len() + usize::from(self.in_flight.is_some());
        let oldest_pending = waiting.min_by_key(by_uptime);
        let oldest = oldest_pending.map(|since| since.wall.as_secs_f64());
        self.telemetry.notification_queue(&self.name, length, oldest);
        self.standing.send_replace(Standing { failing_since: self.failing_since, oldest_pending });
    }

    fn left(self) -> Left {
        let row = |item: Queued| Pending { notice: item.notice, done: item.done, queued_at: item.since.wall };
        Left { pending: self.queue.into_iter().map(row).collect(), state: self.state }
    }
}

//! One queue per receiver: sends its notices and retries until each is accepted or too old.
//!
//! A notice is in the store before it gets here, and leaves the store when it is accepted. A worker may be dropped at
//! any moment; a notice that was not marked as delivered is sent again with the same id. The waits between attempts at
//! a failing receiver grow, and the fallback is notified of the failure. All of this state survives restarts.

mod backoff;
mod fallback;
mod health;
mod merge;
mod queue;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

use self::{
    fallback::News,
    merge::{Taken, Told, merge},
    queue::{Queue, Queued},
};
pub use self::{
    fallback::{Fallback, Others, known_failure},
    health::{Health, HealthByReceiver},
};
use super::{Receiver, Retry, SendError, SendReason};
use crate::{
    clock::Clock,
    model::{Moment, Notice, NoticeStatus},
    store::{FallbackKnows, Pending, ReceiverState, Settled, Settlement, Store, StoreError},
    telemetry::{AttemptFailure, Telemetry},
};

/// How long a notice is kept for sending.
const LIFE: Duration = Duration::from_secs(72 * 60 * 60);
/// Why a notice is not sent whose alerts started and ended while the receiver was failing.
const OUTDATED: &str = "outdated";
/// Why a notice is given up without a refusal.
const TOO_OLD: &str = "it could not be delivered for three days";

/// Delivers notices to one receiver, one at a time.
#[derive(Debug)]
pub struct Worker {
    receiver: Receiver,
    incoming: mpsc::UnboundedReceiver<Notice>,
    outbox: Outbox,
}

/// A receiver's settings.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whether it gets resolved notifications.
    pub send_resolved: bool,
    /// A few bits of a digest of the receiver's configuration. A receiver that refused everything is only retried when
    /// this changes.
    pub config: u16,
}

/// What a worker shares with the rest of the daemon.
#[derive(Clone, Debug)]
pub struct Wiring {
    pub store: Store,
    pub telemetry: Telemetry,
    pub clock: Clock,
    /// The other receivers and the fallback, always the newest.
    pub others: watch::Receiver<Others>,
    pub health: HealthByReceiver,
}

/// What a worker had not delivered when it ended, for the next worker.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// Oldest first.
    pub pending: Vec<Pending>,
    pub state: ReceiverState,
}

impl Worker {
    /// `left` is what an earlier worker left or the store has of this receiver; `incoming` delivers what was recorded
    /// since.
    pub fn new(
        name: String,
        receiver: Receiver,
        left: Left,
        terms: Terms,
        wiring: Wiring,
        incoming: mpsc::UnboundedReceiver<Notice>,
    ) -> Self {
        let Left { pending, mut state } = left;
        let Wiring { store, telemetry, clock, others, health } = wiring;
        telemetry.declare_receiver(&name, &SendReason::ALL.map(SendReason::label));
        telemetry.declare_suppressions(&[OUTDATED]);
        if let Some(time) = state.last_success {
            telemetry.notification_last_success(&name, time.as_secs_f64());
        }
        if state.config != terms.config {
            state = ReceiverState {
                failures: 0,
                next_attempt: None,
                disabled: false,
                config: terms.config,
                ..state
            };
        }
        let now = clock.now().wall;
        let wait = state.next_attempt.map_or(Duration::ZERO, |next| next.since(now));
        // A notice that was refused and given up cannot be retried: a new start forgets that failure.
        let still_fails = state.disabled || !pending.is_empty();
        let failing_since = state.failing_since.filter(|_| still_fails).map(|since| clock.long_ago(since));
        let mut outbox = Outbox {
            name,
            queue: Queue::default(),
            in_flight: None,
            health,
            failing_since,
            // A longer wait was computed by a clock that was ahead.
            due: Instant::now() + wait.min(backoff::longest()),
            state,
            told: Told::nothing_known(now),
            last_failure: None,
            given_up: 0,
            terms,
            store,
            telemetry,
            clock,
            others,
        };
        for row in pending {
            let mut item = outbox.queued(row.notice, row.done);
            item.since = outbox.clock.long_ago(row.queued_at);
            outbox.queue.push_back(item);
        }
        if outbox.state.fallback_knows != FallbackKnows::Nothing && outbox.state.fallback.is_none() {
            // Earlier versions did not store which fallback was notified. It is most likely the same one.
            outbox.state.fallback = outbox.fallback().map(|fallback| fallback.receiver);
        }
        outbox.show();
        Worker { receiver, incoming, outbox }
    }

    /// Runs until no more notices can come. Then it finishes the attempt in progress and starts no other. It may be
    /// dropped at any moment without loss.
    pub async fn run(mut self) -> Left {
        self.outbox.hand_over().await;
        self.outbox.tidy().await;
        loop {
            let due = self.outbox.due();
            tokio::select! {
                biased;
                notice = self.incoming.recv() => match notice {
                    Some(notice) => self.outbox.accept(notice).await,
                    None => return self.outbox.left(),
                },
                // Not awaited once the sender is gone.
                Ok(()) = self.outbox.others.changed() => self.outbox.hand_over().await,
                () = until(due) => self.work().await,
            }
        }
    }

    /// Does everything whose time has come.
    async fn work(&mut self) {
        self.outbox.lose_patience().await;
        if self.outbox.may_send() {
            self.attempt().await;
        }
        self.outbox.expire().await;
    }

    /// Sends the first notice of the queue.
    async fn attempt(&mut self) {
        let Some(mut item) = self.outbox.next().await else { return };
        self.outbox.in_flight = Some(item.since);
        let began = Instant::now();
        let outcome = self.receiver.send(&item.notice, &mut item.done, self.outbox.clock.now()).await;
        self.outbox.in_flight = None;
        let failure = outcome.as_ref().err();
        let failure =
            failure.map(|err| AttemptFailure { reason: err.reason.label(), detail: err.detail.clone() });
        self.outbox.telemetry.notification_attempt(&self.outbox.name, began.elapsed(), failure);
        match outcome {
            Ok(said) => self.outbox.taken(&item, &said).await,
            Err(err) => {
                item.maybe_taken |= self.receiver.may_have_taken(&err);
                self.outbox.failed(item, &err).await;
            }
        }
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

/// The state of a receiver's queue, without the receiver.
#[derive(Debug)]
struct Outbox {
    name: String,
    /// At most one notice per group, not counting the one in flight.
    queue: Queue,
    /// When the oldest part of the notice in flight was made.
    in_flight: Option<Moment>,
    /// When the receiver may be tried again, on the monotonic clock.
    due: Instant,
    state: ReceiverState,
    told: Told,
    health: HealthByReceiver,
    /// The first failed attempt since the last delivery. `state` has its wall time alone.
    failing_since: Option<Moment>,
    /// The last failure in this process.
    last_failure: Option<SendError>,
    /// Notices given up since the last delivery, in this process.
    given_up: u64,
    terms: Terms,
    store: Store,
    telemetry: Telemetry,
    clock: Clock,
    others: watch::Receiver<Others>,
}

impl Outbox {
    fn queued(&self, notice: Notice, done: Vec<String>) -> Queued {
        let since = self.clock.long_ago(notice.created_at);
        let expires = Instant::now() + LIFE.saturating_sub(self.clock.now().since(since));
        Queued::new(notice, done, since, expires)
    }

    /// Merges what an earlier process left, and gives up what is too old by now.
    async fn tidy(&mut self) {
        for item in std::mem::take(&mut self.queue).into_items() {
            self.enqueue(item).await;
        }
        self.expire().await;
    }

    async fn accept(&mut self, notice: Notice) {
        let item = self.queued(notice, Vec::new());
        self.enqueue(item).await;
        self.show();
    }

    /// Adds a notice at the end, or merges it into older ones about the same group or alerts.
    async fn enqueue(&mut self, mut newer: Queued) {
        let mut place = None;
        while let Some((at, older)) = self.queue.take_related(&newer) {
            place.get_or_insert(at);
            let Some(merged) = self.merge(older, newer).await else { return };
            newer = merged;
        }
        match place {
            Some(place) => self.queue.insert(place, newer),
            None => self.queue.push_back(newer),
        }
    }

    async fn merge(&mut self, older: Queued, newer: Queued) -> Option<Queued> {
        if older.may_be_known() {
            self.told.remember(&older.notice, Taken::Maybe, self.clock.now().wall);
        }
        let ids = [older.notice.id.clone(), newer.notice.id.clone()];
        let Some(mut notice) = merge(&older.notice, &newer.notice, &mut self.told) else {
            debug!(
                receiver = self.name,
                "not sent: all of its alerts began and ended before it could be sent"
            );
            self.telemetry.suppressed(OUTDATED, 1);
            let settled = ids.iter().map(|id| (id.as_str(), Settlement::Delivered)).collect();
            self.settle(settled, None).await;
            return None;
        };
        if !self.speaks(&newer.notice) {
            notice.reason = older.notice.reason;
        }
        debug!(
            receiver = self.name,
            id = notice.id,
            covers = notice.covers.len(),
            "merged with a newer notice"
        );
        self.note(self.store.replace(&ids, &notice).await);
        let since = std::cmp::min_by_key(older.since, newer.since, by_uptime);
        Some(Queued::new(notice, Vec::new(), since, newer.expires))
    }

    /// Whether a notice has anything that the receiver wants.
    fn speaks(&self, notice: &Notice) -> bool {
        self.terms.send_resolved || notice.status() == NoticeStatus::Firing
    }

    /// When the next work has to be done.
    fn due(&self) -> Option<Instant> {
        let send = (!self.queue.is_empty() && !self.state.disabled).then_some(self.due);
        let tell = if self.queue.is_empty() { None } else { self.out_of_patience_at() };
        [send, self.queue.next_expiry(), tell].into_iter().flatten().min()
    }

    fn may_send(&self) -> bool {
        !self.state.disabled && self.due <= Instant::now()
    }

    /// Takes the first notice that has anything the receiver wants, without the rest.
    async fn next(&mut self) -> Option<Queued> {
        while let Some(mut item) = self.queue.pop_front() {
            if self.speaks(&item.notice) {
                let unwanted = !self.terms.send_resolved;
                item.notice.alerts.retain(|alert| !(unwanted && alert.status == NoticeStatus::Resolved));
                return Some(item);
            }
            let (receiver, id) = (&self.name, &item.notice.id);
            debug!(receiver, id, "not sent: the receiver has send_resolved = false");
            self.settle(vec![(id, Settlement::Delivered)], None).await;
        }
        None
    }

    async fn taken(&mut self, item: &Queued, said: &str) {
        let now = self.clock.now().wall;
        info!(
            receiver = self.name,
            id = item.notice.id,
            reason = item.notice.reason,
            "notice delivered: {said}"
        );
        let news = self.recovered();
        self.state =
            ReceiverState { last_success: Some(now), config: self.state.config, ..ReceiverState::default() };
        (self.due, self.failing_since, self.given_up) = (Instant::now(), None, 0);
        self.told.remember(&item.notice, Taken::Surely, now);
        self.telemetry.notification_delivered(&self.name);
        self.telemetry.notification_last_success(&self.name, now.as_secs_f64());
        self.settle(vec![(&item.notice.id, Settlement::Delivered)], news).await;
    }

    async fn failed(&mut self, item: Queued, err: &SendError) {
        let now = self.clock.now();
        self.failing_since.get_or_insert(now);
        self.state.failing_since.get_or_insert(now.wall);
        self.last_failure = Some(err.clone());
        if err.retry == Retry::Never {
            self.abandon(&[item], &err.detail).await;
            return;
        }
        self.leave_alone(err);
        let is_final = err.retry == Retry::Disabled || err.reason == SendReason::Auth;
        let news = if is_final { self.news(FallbackKnows::Failing) } else { None };
        let outcome = Settlement::Attempted { done: item.done.clone() };
        self.settle(vec![(&item.notice.id, outcome)], news).await;
        self.put_back(item).await;
    }

    /// Decides when to try the receiver again.
    fn leave_alone(&mut self, err: &SendError) {
        let (receiver, reason, detail) = (&self.name, err.reason.label(), &err.detail);
        if err.retry == Retry::Disabled {
            self.state.disabled = true;
            error!(
                receiver,
                reason, "notice not delivered, and none will be until the configuration changes: {detail}"
            );
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

    /// Moves a failed notice to the back, so that one bad notice does not block the queue. Merges newer notices of its
    /// group or alerts into it.
    async fn put_back(&mut self, mut older: Queued) {
        while let Some((_, newer)) = self.queue.take_related(&older) {
            let Some(merged) = self.merge(older, newer).await else { return };
            older = merged;
        }
        self.queue.push_back(older);
    }

    /// Gives up notices that are too old.
    async fn expire(&mut self) {
        let expired = self.queue.take_expired(Instant::now());
        if !expired.is_empty() {
            self.abandon(&expired, TOO_OLD).await;
        }
        self.show();
    }

    async fn abandon(&mut self, items: &[Queued], why: &str) {
        let mut settled = Vec::new();
        let mut lost = false;
        for Queued { notice, .. } in items {
            let id = notice.id.as_str();
            if self.speaks(notice) {
                error!(receiver = self.name, id, alerts = notice.alerts.len(), "notice given up: {why}");
                self.telemetry.notification_abandoned(&self.name);
                self.given_up += 1;
                settled.push((id, Settlement::Abandoned));
                lost = true;
            } else {
                settled.push((id, Settlement::Delivered));
            }
        }
        let now = self.clock.now().wall;
        for item in items.iter().filter(|item| item.may_be_known()) {
            self.told.remember(&item.notice, Taken::Maybe, now);
        }
        let news = if lost { self.news(FallbackKnows::GivenUp) } else { None };
        self.settle(settled, news).await;
    }

    /// Stores the outcomes of notices, the receiver's state and the notice to another receiver, and then sends that
    /// notice. If the store fails, everything continues in memory.
    async fn settle(&self, notices: Vec<(&str, Settlement)>, news: Option<News>) {
        let receiver = Some((self.name.as_str(), &self.state));
        let told = news.as_ref().map(|news| &news.notice);
        self.note(self.store.settle(Settled { notices, receiver, told }).await);
        if let Some(news) = news {
            news.tell();
        }
    }

    fn note(&self, written: Result<(), StoreError>) {
        if let Err(err) = written {
            warn!(receiver = self.name, "the state of a notice could not be recorded: {err}");
        }
    }

    fn show(&self) {
        let length = self.queue.len() + usize::from(self.in_flight.is_some());
        let oldest_pending = self.queue.oldest().into_iter().chain(self.in_flight).min_by_key(by_uptime);
        let oldest = oldest_pending.map(|since| since.wall.as_secs_f64());
        self.telemetry.notification_queue(&self.name, length, oldest);
        self.health.set(&self.name, Health { failing_since: self.failing_since, oldest_pending });
    }

    fn left(self) -> Left {
        let row = |item: Queued| Pending { notice: item.notice, done: item.done, queued_at: item.since.wall };
        Left { pending: self.queue.into_items().map(row).collect(), state: self.state }
    }
}

//! The state of a queue: what waits, when to try the receiver again, and what the fallback knows of its failure.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use tracing::{debug, error, info, warn};

use super::{
    backoff,
    fallback::{Fallback, News, Others, known_by, well_again},
    health::{Health, HealthByReceiver},
    merge::{Taken, Told, merge},
    queue::{Queue, Queued},
};
use crate::{
    clock::Clock,
    model::{Moment, Notice, NoticeStatus, Timestamp},
    notify::{OwnAlert, Retry, SendError, SendReason},
    store::{FallbackKnows, Pending, ReceiverState, Settled, Settlement, Store, StoreError},
    telemetry::Telemetry,
};

/// How long a notice is kept for sending.
pub(super) const LIFE: Duration = Duration::from_secs(72 * 60 * 60);
/// Why a notice is not sent whose alerts started and ended while the receiver was failing.
pub(super) const OUTDATED: &str = "outdated";
/// Why a notice is given up without a refusal.
pub(super) const TOO_OLD: &str = "it could not be delivered for three days";

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

impl Left {
    /// The notice that resolves a failure when its receiver is no longer configured, to the receiver that knows of it.
    pub fn farewell(&self, receiver: &str, now: Timestamp) -> Option<Notice> {
        let told = known_by(&self.state)?;
        let description = format!("Receiver {receiver} is no longer configured.");
        let alert = OwnAlert { description: &description, ..well_again(receiver, &self.state, now) };
        Some(alert.notice(told, now))
    }
}

/// The state of a receiver's queue, without the receiver.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) name: String,
    /// At most one notice per group, not counting the one in flight.
    queue: Queue,
    /// When the oldest part of the notice in flight was made.
    pub(super) in_flight: Option<Moment>,
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
    pub(super) terms: Terms,
    store: Store,
    pub(super) telemetry: Telemetry,
    pub(super) clock: Clock,
    pub(super) others: watch::Receiver<Others>,
}

impl Outbox {
    /// `left` is what an earlier worker left or the store has.
    pub(super) fn new(name: String, left: Left, terms: Terms, wiring: Wiring) -> Self {
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
        outbox
    }

    fn queued(&self, notice: Notice, done: Vec<String>) -> Queued {
        let since = self.clock.long_ago(notice.created_at);
        let expires = Instant::now() + LIFE.saturating_sub(self.clock.now().since(since));
        Queued::new(notice, done, since, expires)
    }

    /// Merges what an earlier process left, and gives up what is too old by now.
    pub(super) async fn tidy(&mut self) {
        for item in std::mem::take(&mut self.queue).into_items() {
            self.enqueue(item).await;
        }
        self.expire().await;
    }

    pub(super) async fn accept(&mut self, notice: Notice) {
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
            "merged with a newer notification"
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
    pub(super) fn due(&self) -> Option<Instant> {
        let send = (!self.queue.is_empty() && !self.state.disabled).then_some(self.due);
        let tell = if self.queue.is_empty() { None } else { self.out_of_patience_at() };
        [send, self.queue.next_expiry(), tell].into_iter().flatten().min()
    }

    pub(super) fn may_send(&self) -> bool {
        !self.state.disabled && self.due <= Instant::now()
    }

    /// Takes the first notice that has anything the receiver wants, without the rest.
    pub(super) async fn next(&mut self) -> Option<Queued> {
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

    pub(super) async fn taken(&mut self, item: &Queued, said: &str) {
        let now = self.clock.now().wall;
        info!(
            receiver = self.name,
            id = item.notice.id,
            reason = item.notice.reason,
            "notification delivered: {said}"
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

    pub(super) async fn failed(&mut self, item: Queued, err: &SendError) {
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
                reason,
                "notification not delivered, and none will be until the configuration changes: {detail}"
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
            "notification not delivered: {detail}"
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
    pub(super) async fn expire(&mut self) {
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
                error!(
                    receiver = self.name,
                    id,
                    alerts = notice.alerts.len(),
                    "notification given up: {why}"
                );
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
            warn!(receiver = self.name, "the state of a notification could not be recorded: {err}");
        }
    }

    fn show(&self) {
        let length = self.queue.len() + usize::from(self.in_flight.is_some());
        let oldest_pending = self.queue.oldest().into_iter().chain(self.in_flight).min_by_key(by_uptime);
        let oldest = oldest_pending.map(|since| since.wall.as_secs_f64());
        self.telemetry.notification_queue(&self.name, length, oldest);
        self.health.set(&self.name, Health { failing_since: self.failing_since, oldest_pending });
    }

    pub(super) fn left(self) -> Left {
        let row = |item: Queued| Pending { notice: item.notice, done: item.done, queued_at: item.since.wall };
        Left { pending: self.queue.into_items().map(row).collect(), state: self.state }
    }

    /// The fallback, unless it is this receiver itself.
    fn fallback(&self) -> Option<Fallback> {
        self.others.borrow().fallback.clone().filter(|fallback| fallback.receiver != self.name)
    }

    /// When to notify the fallback of the failure; absent: not needed, or done.
    fn out_of_patience_at(&self) -> Option<Instant> {
        let untold = self.state.fallback_knows == FallbackKnows::Nothing;
        let since = self.failing_since.filter(|_| untold)?;
        Some(Instant::now() + self.fallback()?.after.saturating_sub(self.clock.now().since(since)))
    }

    /// Notifies the fallback if the receiver has failed for too long.
    pub(super) async fn lose_patience(&mut self) {
        if self.out_of_patience_at().is_some_and(|end| end <= Instant::now())
            && let Some(news) = self.news(FallbackKnows::Failing)
        {
            self.settle(Vec::new(), Some(news)).await;
        }
    }

    /// After a change of the fallback, resolves the failure at the former fallback and notifies the present one.
    pub(super) async fn hand_over(&mut self) {
        let knows = self.state.fallback_knows;
        let fallback = self.fallback().map(|fallback| fallback.receiver);
        if knows == FallbackKnows::Nothing || self.state.fallback == fallback {
            return;
        }
        let end = self.end(&format!("This receiver is no longer the fallback of receiver {}.", self.name));
        (self.state.fallback_knows, self.state.fallback) = (FallbackKnows::Nothing, None);
        self.settle(Vec::new(), end).await;
        if let Some(news) = self.news(knows) {
            self.settle(Vec::new(), Some(news)).await;
        }
    }

    /// The notice for the fallback, unless it knows already. It gets at most two until the receiver accepts a notice:
    /// one for the failure, and one for notices given up.
    fn news(&mut self, knows: FallbackKnows) -> Option<News> {
        let fallback = self.fallback()?.receiver;
        if self.state.fallback_knows >= knows {
            return None;
        }
        self.state.fallback_knows = knows;
        // The former fallback must be resolved first; then `hand_over` notifies this one.
        if *self.state.fallback.get_or_insert_with(|| fallback.clone()) != fallback {
            return None;
        }
        // Only an earlier process knew why it failed before this one started.
        let (reason, detail) = match &self.last_failure {
            Some(err) => (err.reason.label(), err.detail.as_str()),
            None if knows == FallbackKnows::GivenUp => (SendReason::Timeout.label(), TOO_OLD),
            None => (SendReason::Timeout.label(), "see the log for the reason"),
        };
        let description = format!(
            "Receiver {} does not accept notifications ({reason}): {detail}. Notifications given up: {}.",
            self.name, self.given_up
        );
        let status = NoticeStatus::Firing;
        self.news_for(&fallback, |alert| OwnAlert { status, description: &description, reason, ..alert })
    }

    /// The notice that the receiver works again, for the receiver that knows of its failure.
    fn recovered(&self) -> Option<News> {
        self.end(&format!("Receiver {} accepts notifications again.", self.name))
    }

    /// The notice that ends the failure, for the receiver that knows of it.
    fn end(&self, description: &str) -> Option<News> {
        self.news_for(known_by(&self.state)?, |alert| OwnAlert { description, ..alert })
    }

    /// The notice that `say` makes from the resolved alert, for a configured receiver.
    fn news_for<'a>(
        &'a self,
        receiver: &str,
        say: impl FnOnce(OwnAlert<'a>) -> OwnAlert<'a>,
    ) -> Option<News> {
        // While this is borrowed, the set of queues cannot be replaced.
        let queue = self.others.borrow().queues.get(receiver)?.upgrade();
        let now = self.clock.now().wall;
        let notice = say(well_again(&self.name, &self.state, now)).notice(receiver, now);
        Some(News { notice, queue })
    }
}

fn by_uptime(moment: &Moment) -> Duration {
    moment.uptime
}

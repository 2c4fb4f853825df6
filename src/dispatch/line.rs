//! The state of one receiver: what it was given, how it took that, and when it may be tried again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use tracing::{error, warn};

use super::{
    backoff,
    rate::Attempts,
    reading::{Ask, Read, Reading, WITHIN},
    statements::Statements,
    worker::Letter,
};
use crate::{
    alert::{
        digest::{DigestTime, Tops},
        engine::Engine,
        group::{Pick, Size},
        statement::Statement,
    },
    model::{Moment, Named, Notice, ReceiverTrouble, Timestamp},
    notify::{Health, Rate, Retry, SendError, SendReason},
    store::{LastFailure, Message, ReceiverState},
    telemetry::Telemetry,
};

/// How long a notification is kept for sending.
pub(super) const LIFE: Duration = Duration::from_secs(72 * 60 * 60);
/// After this time, a receiver that refused a message as too large is sent whole ones again.
const SIZE_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// From one digest to the next, however the clock is set.
const DIGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// A digest that was composed this far ahead of the clock, or less, stands for its day. With a day that is longer by an hour.
const STANDS: Duration = Duration::from_secs(25 * 60 * 60);
/// Clocks are set back by less than this without anybody's noticing.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// How long notifications that were given up cause an alert.
const LATELY: Duration = Duration::from_secs(60 * 60);

/// The way to a receiver.
#[derive(Debug)]
pub struct Link {
    pub receiver: String,
    /// Where that is, for logs.
    pub place: String,
    pub to: Way,
    /// A few bits of a digest of the receiver's configuration. A receiver that refused everything is only retried when
    /// this changes.
    pub config: u16,
}

/// How a receiver gets its notifications.
#[derive(Debug)]
pub enum Way {
    /// From a worker with this number, one message at a time, as fast as `pace` allows. See [`Size::names`] for `names`.
    Messages { letters: mpsc::Sender<Vec<Letter>>, worker: u64, names: Named, pace: &'static [Rate] },
    /// It is posted everything that fires. The number grows with each new alert.
    Posts { changed: watch::Sender<u64> },
}

/// A message that the alerts do not lead to: a digest, or ends that another version recorded or that are sent again by
/// hand. It is sent as it is.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) message: Message,
    pub(super) notice: Arc<Notice>,
    pub(super) since: Moment,
    pub(super) attempts: u32,
    /// The uptime before which it is not tried again. The back-off of the receiver is apart from it.
    pub(super) not_before: Duration,
}

impl Foreign {
    /// Not of the kind of a statement, which may wait for an address that is not the receiver's.
    fn is_digest(&self) -> bool {
        self.notice.digest.is_some() && self.notice.enclosure.is_none()
    }

    /// It failed because of its addresses. Other messages to the receiver do not wait for it.
    pub(super) fn put_off(&mut self, err: &SendError, now: Moment) {
        let wait = backoff::delay(self.attempts.saturating_add(1));
        self.not_before = now.uptime + wait;
        let (receiver, reason) = (&self.notice.receiver, err.reason.label());
        let retry_in_seconds = wait.as_secs();
        warn!(receiver, reason, retry_in_seconds, "a statement is not delivered: {}", err.detail);
    }

    pub(super) fn is_one(&self, pick: Pick) -> bool {
        match pick {
            Pick::Urgent => true,
            Pick::Older(limit) => self.since.uptime <= limit,
            Pick::OlderAndTried(limit) => self.since.uptime <= limit && self.attempts > 0,
        }
    }
}

/// A message that a worker has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) worker: u64,
    /// How many alerts it names.
    pub(super) names: usize,
}

/// The digests of one receiver.
#[derive(Debug)]
pub(super) struct Digests {
    pub(super) time: DigestTime,
    /// Up to when the last one covers what has changed.
    pub(super) covered: Timestamp,
    /// The uptime when this process composed the last one.
    composed: Option<Duration>,
}

/// The state of one receiver.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) link: Link,
    pub(super) state: ReceiverState,
    /// `state` has changed since it was recorded.
    pub(super) dirty: bool,
    /// The uptime before which the receiver is not tried.
    pub(super) due: Duration,
    /// The last ones, of this process.
    pub(super) attempts: Attempts,
    pub(super) failing_since: Option<Moment>,
    /// Its worker has nothing to do.
    pub(super) free: bool,
    /// The messages that workers have, by id.
    pub(super) given: HashMap<String, Given>,
    pub(super) foreign: VecDeque<Foreign>,
    /// Those of `foreign` that the worker has.
    pub(super) foreign_given: HashMap<String, Foreign>,
    /// The uptime when it was last given something.
    pub(super) served: Duration,
    /// Absent: it gets no digests.
    pub(super) digests: Option<Digests>,
    /// What its next digest says of traffic.
    pub(super) top: Reading<Tops>,
    pub(super) statements: Statements,
}

impl Line {
    pub(super) fn new(link: Link, mut state: ReceiverState, now: Moment) -> Self {
        let mut dirty = false;
        if state.config != link.config {
            state = ReceiverState {
                failures: 0,
                next_attempt: None,
                disabled: false,
                refused: false,
                most: None,
                most_since: None,
                config: link.config,
                ..state
            };
            dirty = true;
        }
        let wait = state.next_attempt.map_or(Duration::ZERO, |next| next.since(now.wall));
        let last = state.last_success.map(|last| Moment::restored(last, now).uptime);
        let mut line = Line {
            // A longer wait was computed by a clock that was ahead.
            due: now.uptime + wait.min(backoff::longest()),
            attempts: Attempts::default(),
            failing_since: state.failing_since.map(|since| Moment::restored(since, now)),
            link,
            state,
            dirty,
            free: true,
            given: HashMap::new(),
            foreign: VecDeque::new(),
            foreign_given: HashMap::new(),
            served: Duration::ZERO,
            digests: None,
            top: Reading::default(),
            statements: Statements::default(),
        };
        line.attempts = last.map_or_else(Attempts::default, |last| Attempts::until(last, line.pace()));
        line
    }

    /// Sends digests at this time from now on; absent: none. The first one covers what changes from now on.
    pub(super) fn plan_digests(&mut self, time: Option<DigestTime>, now: Moment) {
        let before = self.digests.take();
        let covered = time.as_ref().map(|_| self.state.last_digest.unwrap_or(now.wall));
        self.cover(covered);
        let composed = before.and_then(|before| before.composed);
        self.digests = time.zip(covered).map(|(time, covered)| Digests { time, covered, composed });
    }

    /// Its digests cover what has changed up to then.
    fn cover(&mut self, covered: Option<Timestamp>) {
        self.dirty |= self.state.last_digest != covered;
        self.state.last_digest = covered;
    }

    /// When the next digest was due, and the uptime at which it can be composed. Absent: it gets none, or the last one has
    /// no outcome yet.
    pub(super) fn next_digest(&mut self, now: Moment) -> Option<(Timestamp, Duration)> {
        let mut waiting = self.foreign.iter().chain(self.foreign_given.values());
        if waiting.any(|foreign| foreign.is_digest()) {
            return None;
        }
        let digests = self.digests.as_mut()?;
        if digests.covered > now.wall.saturating_add(CLOCK_SLACK) {
            // The clock was set back since.
            digests.covered = now.wall;
            self.cover(Some(now.wall));
        }
        let digests = self.digests.as_ref()?;
        let composed = self.state.digest_composed.filter(|at| *at <= now.wall.saturating_add(STANDS));
        let due = digests.time.after(composed.map_or(digests.covered, |at| at.max(digests.covered)))?;
        let earliest = digests.composed.map_or(Duration::ZERO, |composed| composed + DIGEST_PAUSE);
        let at = now.uptime.saturating_add(due.since(now.wall));
        Some((due, at.max(earliest).max(self.due)))
    }

    /// Sends these statements from now on.
    pub(super) fn plan_statements(&mut self, plans: &[Statement], now: Moment) {
        self.dirty |= self.statements.plan(plans, &mut self.state.statements, now);
    }

    /// Whether a statement can be composed; if not, the uptime at which to look again.
    pub(super) fn next_statement(
        &mut self,
        engine: &Engine,
        asks: &mut Vec<Ask>,
        now: Moment,
    ) -> Result<(), Duration> {
        self.statements.look((&self.link.receiver, engine), &mut self.state.statements, asks, now)
    }

    /// What was read for a statement. It is done with it.
    pub(super) fn take_statement(&mut self) -> Option<(Statement, Read)> {
        let taken = self.statements.take(&mut self.state.statements);
        self.dirty |= taken.is_some();
        taken
    }

    /// Asks who used the most, for a digest that is due. Returns the uptime until which that is waited for; absent: it is
    /// known, or is not waited for any more.
    pub(super) fn ask_top(&mut self, engine: &Engine, asks: &mut Vec<Ask>, now: Moment) -> Option<Duration> {
        match self.top {
            Reading::Unasked => {
                let most = self.digests.as_ref()?.time.top;
                asks.push(Ask::Top(self.name().to_owned(), engine.ask_top(self.name(), most)?));
                let until = now.uptime + WITHIN;
                self.top = Reading::Until(until);
                Some(until)
            }
            Reading::Until(until) if until > now.uptime => Some(until),
            Reading::Until(_) => {
                warn!(receiver = self.name(), "the digest has no list of traffic: the disk does not answer");
                None
            }
            Reading::Ended(_) => None,
        }
    }

    /// A digest covers what has changed up to now.
    pub(super) fn digest_composed(&mut self, now: Moment) {
        if let Some(digests) = &mut self.digests {
            (digests.covered, digests.composed) = (now.wall, Some(now.uptime));
            self.cover(Some(now.wall));
            self.state.digest_composed = Some(now.wall);
            self.dirty = true;
        }
    }

    /// A recorded message that is sent as it is, for the worker.
    pub(super) fn give_as_it_is(&mut self, message: Message, notice: Arc<Notice>, now: Moment) -> Letter {
        let letter = self.give(Arc::clone(&notice), message.done.clone());
        self.foreign_given.insert(
            message.id.clone(),
            Foreign { message, notice, since: now, attempts: 0, not_before: Duration::ZERO },
        );
        letter
    }

    pub(super) fn name(&self) -> &str {
        &self.link.receiver
    }

    /// Whether it may be given messages.
    pub(super) fn may_be_tried(&self, now: Moment) -> bool {
        self.is_free()
            && !self.state.disabled
            && self.due() <= now.uptime
            && matches!(self.link.to, Way::Messages { .. })
    }

    /// The number of its present worker.
    pub(super) fn worker(&self) -> Option<u64> {
        match self.link.to {
            Way::Messages { worker, .. } => Some(worker),
            Way::Posts { .. } => None,
        }
    }

    /// The uptime of the next attempt, if there is anything to send; absent while one goes on.
    pub(super) fn next_attempt(&self) -> Option<Duration> {
        (self.is_free() && !self.state.disabled).then(|| self.due())
    }

    /// Whether it has nothing to do. With a pace, the attempt of a former worker counts until it has ended.
    fn is_free(&self) -> bool {
        self.free && (self.given.is_empty() || self.pace().is_empty())
    }

    /// When its back-off has ended and its pace allows a message.
    fn due(&self) -> Duration {
        self.due.max(self.attempts.next(self.pace()))
    }

    /// How many messages its pace allows at once.
    pub(super) fn room(&self, now: Moment) -> usize {
        self.attempts.room(self.pace(), now.uptime)
    }

    /// An attempt has ended.
    pub(super) fn attempted(&mut self, now: Moment) {
        self.attempts.note(self.pace(), now.uptime);
    }

    fn pace(&self) -> &'static [Rate] {
        match self.link.to {
            Way::Messages { pace, .. } => pace,
            Way::Posts { .. } => &[],
        }
    }

    /// A message for the worker.
    pub(super) fn give(&mut self, notice: Arc<Notice>, done: Vec<String>) -> Letter {
        let names = notice.names(self.size().names);
        let given = Given { worker: self.worker().unwrap_or_default(), names };
        self.given.insert(notice.id.clone(), given);
        Letter { notice, done }
    }

    /// The place of the first of the messages that are sent as they are, and may be.
    pub(super) fn next_foreign(&self, now: Moment) -> Option<usize> {
        self.foreign.iter().position(|foreign| foreign.not_before <= now.uptime)
    }

    /// The uptime at which one of the messages that are sent as they are may be sent.
    pub(super) fn foreign_due(&self) -> Option<Duration> {
        self.foreign.iter().map(|foreign| foreign.not_before).min()
    }

    /// The message at this place, of those that are sent as they are.
    pub(super) fn give_foreign(&mut self, place: usize) -> Option<Letter> {
        let foreign = self.foreign.remove(place)?;
        let letter = self.give(Arc::clone(&foreign.notice), foreign.message.done.clone());
        self.foreign_given.insert(foreign.message.id.clone(), foreign);
        Some(letter)
    }

    /// Notes that a message is given up.
    pub(super) fn give_up(&mut self, id: &str, why: &str, telemetry: &Telemetry, now: Moment) {
        error!(receiver = self.name(), to = self.link.place, id, "notification given up: {why}");
        self.count_given_up(1, telemetry, now);
        // Its size was not why, or the rest can be as large again.
        (self.state.most, self.state.most_since) = (None, None);
    }

    /// Counts what was given up, for the metric and for the alert about it.
    pub(super) fn count_given_up(&mut self, count: u64, telemetry: &Telemetry, now: Moment) {
        telemetry.notifications_abandoned(self.name(), count);
        self.state.given_up = self.given_up_lately(now).saturating_add(count);
        self.state.given_up_at = Some(now.wall);
        self.dirty = true;
    }

    pub(super) fn size(&self) -> Size {
        let names = match self.link.to {
            Way::Messages { names, .. } => names,
            Way::Posts { .. } => Named::All,
        };
        Size { names, most: self.state.most }
    }

    /// What is given up as too old: after three days without a delivery everything that has waited as long, and
    /// otherwise what the receiver failed to take while it took others.
    pub(super) fn too_old(&self, now: Moment) -> Pick {
        let limit = now.uptime.saturating_sub(LIFE);
        let failing = self.failing_since.map(|since| now.since(since));
        // After a long absence it is tried once more before that.
        let waits = self.state.disabled || self.due > now.uptime;
        if waits && failing.is_some_and(|failing| failing >= LIFE) {
            Pick::Older(limit)
        } else {
            Pick::OlderAndTried(limit)
        }
    }

    /// Lets go of its worker or poster.
    pub(super) fn close(&mut self) {
        match &mut self.link.to {
            Way::Messages { letters, .. } => *letters = mpsc::channel(1).0,
            Way::Posts { changed } => *changed = watch::Sender::new(0),
        }
    }

    pub(super) fn succeeded(&mut self, now: Moment) {
        let ReceiverState {
            config,
            most,
            most_since,
            given_up,
            given_up_at,
            last_digest,
            digest_composed,
            ..
        } = self.state;
        let statements = std::mem::take(&mut self.state.statements);
        let kept = most_since.is_some_and(|since| now.wall.since(since) < SIZE_KEPT);
        self.state = ReceiverState {
            last_success: Some(now.wall),
            config,
            most: most.filter(|_| kept),
            most_since: most_since.filter(|_| kept),
            given_up,
            given_up_at,
            last_digest,
            digest_composed,
            statements,
            ..ReceiverState::default()
        };
        (self.due, self.failing_since, self.dirty) = (now.uptime, None, true);
    }

    /// A message that named so many alerts is too large.
    pub(super) fn refused_size(&mut self, named: usize, now: Moment) {
        let most = (named / 2).max(1);
        self.state.most = Some(most);
        self.state.most_since = Some(now.wall);
        self.dirty = true;
        warn!(receiver = self.name(), named, most, "a message was refused as too large; it is sent in parts");
    }

    /// An attempt failed. Decides when to try the receiver again.
    pub(super) fn failed(&mut self, err: &SendError, now: Moment) {
        self.dirty = true;
        self.failing_since.get_or_insert(now);
        self.state.failing_since.get_or_insert(now.wall);
        let (reason, detail) = (err.reason.label(), &err.detail);
        self.state.last_failure = Some(LastFailure { reason: reason.to_owned(), detail: detail.clone() });
        // One that refuses even a part of a message may refuse all.
        if matches!(err.retry, Retry::Never | Retry::Smaller) && self.state.most.is_none() {
            return;
        }
        self.state.refused =
            matches!(err.retry, Retry::Refused | Retry::Disabled) || err.reason == SendReason::Auth;
        let failures = self.state.failures.saturating_add(1);
        if matches!(self.link.to, Way::Posts { .. }) {
            // It is posted to on its poster's own timer, which logs how that goes.
            self.state.failures = failures;
            return;
        }
        let (receiver, to) = (self.name(), &*self.link.place);
        if err.retry == Retry::Disabled {
            error!(
                receiver,
                to,
                reason,
                "notification not delivered, and none will be until the configuration changes: {detail}"
            );
            self.state.disabled = true;
            return;
        }
        let usual = backoff::delay(failures);
        let wait = match err.retry {
            Retry::NotBefore(asked) => usual.max(asked).min(backoff::longest()),
            _ => usual,
        };
        warn!(
            receiver,
            to,
            reason,
            failures,
            retry_in_seconds = wait.as_secs(),
            "notification not delivered: {detail}"
        );
        self.state.failures = failures;
        self.due = now.uptime + wait;
        self.state.next_attempt = Some(now.wall.saturating_add(wait));
    }

    /// How many notifications were given up, until an hour after the last one.
    fn given_up_lately(&self, now: Moment) -> u64 {
        let lately = self.state.given_up_at.is_some_and(|at| now.wall.since(at) < LATELY);
        if lately { self.state.given_up } else { 0 }
    }

    /// `oldest` is since when the oldest that waits for it does.
    pub(super) fn trouble(&self, oldest: Option<Moment>, now: Moment) -> ReceiverTrouble {
        let cause =
            self.state.last_failure.as_ref().map_or_else(String::new, |failure| failure.detail.clone());
        ReceiverTrouble {
            failing_since: later(self.state.failing_since, oldest.map(|oldest| oldest.wall)),
            waits: oldest.is_some(),
            refuses: self.state.refused,
            given_up: self.given_up_lately(now),
            cause,
        }
    }

    pub(super) fn health(&self, oldest_pending: Option<Moment>, now: Moment) -> Health {
        // Without anything to send, it is not known to fail still.
        let fails = oldest_pending.is_some() || self.given_up_lately(now) > 0;
        let since = self.failing_since.filter(|_| fails).map(|since| {
            std::cmp::max_by_key(since, oldest_pending.unwrap_or(since), |moment| moment.uptime)
        });
        Health { failing_since: since, oldest_pending }
    }
}

/// A failure counts from when there was something to send.
fn later(failing: Option<Timestamp>, oldest: Option<Timestamp>) -> Option<Timestamp> {
    failing.map(|failing| oldest.map_or(failing, |oldest| failing.max(oldest)))
}

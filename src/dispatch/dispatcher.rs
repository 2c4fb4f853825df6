//! What is to be done in a round, without doing it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::{
    composing::{compose_digest, compose_statement},
    line::{Foreign, LIFE, Line, Link, Way},
    reading,
    worker::{Letter, News, Report},
};
use crate::{
    alert::{
        Pseudonym,
        config::AlertingConfig,
        engine::{Engine, Output, Reread, Rows},
        group::{Backlog, Composed, Outcome, Pick, Route, Size},
        rule::RuleError,
    },
    board::{Board, View},
    model::{ActiveAlerts, Moment, Notice, SilenceChange, SilenceError, SilenceState, Timestamp},
    notify::{
        HealthByReceiver, Retry, SendError, SendReason,
        alertmanager::{Ask, Standing},
    },
    store::{Batch, Loaded, Message, ReceiverState, Settlement},
    telemetry::Telemetry,
};

/// The most alerts that are composed in one round, but for one message: what is composed waits for the disk.
const ALERTS_AT_ONCE: usize = 5_000;
/// The most messages that one receiver is given at once. More than one only if the disk is slow: a process that is killed
/// sends again what was sent and not noted.
const MESSAGES_AT_ONCE: usize = 32;
/// The most messages to one receiver that are given up in one round.
const GIVEN_UP_AT_ONCE: usize = 64;
/// After a start, digests wait at most this long until every target was read.
const FIRST_READS_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How often a digest that has to wait is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// Why a notification is given up without a refusal.
pub(super) const TOO_OLD: &str = "it could not be delivered for three days";

/// The engine, and the state of each receiver.
pub struct Dispatcher {
    engine: Engine,
    lines: BTreeMap<String, Line>,
    pseudonym: Option<Pseudonym>,
    config: AlertingConfig,
    routes: Vec<Route>,
    /// Receivers that are no longer configured, and still have a message. They are kept until its outcome is known, so that
    /// one which is added again meanwhile goes on.
    ending: BTreeSet<String>,
    /// Receivers that have left the configuration, whose stored state is to be deleted.
    left: Vec<String>,
    /// Outcomes that are yet to be stored.
    settled: Vec<(String, Settlement)>,
    /// Messages that are yet to be recorded.
    messages: Vec<Message>,
    shown: Shown,
    began: Moment,
    /// The uptime when the next digest or statement is to be composed.
    next_by_time: Duration,
}

/// What can be composed for a receiver because it is time.
#[derive(Clone, Copy, Debug, Default)]
struct ByTime {
    /// When the digest was due.
    digest: Option<Timestamp>,
    statement: bool,
}

/// How much is composed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Usual,
    /// Writing takes long: what can be written together is.
    SlowDisk,
    /// Nothing, because the daemon stops.
    Closing,
}

/// Where the state of deliveries is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    pub board: Board,
    pub telemetry: Telemetry,
    pub health: HealthByReceiver,
}

/// A change of silences, and the way to answer it once it is on the disk.
pub type AskSilence = (SilenceChange, oneshot::Sender<Result<Arc<str>, SilenceError>>);

/// What has happened since the last round.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) reports: Vec<Report>,
    pub(super) asks: Vec<(String, Ask)>,
    pub(super) silences: Vec<AskSilence>,
    /// What was found in the history of use.
    pub(super) answers: Vec<reading::Answer>,
}

/// What an Alertmanager's poster gets.
pub(super) type Answer = (oneshot::Sender<Standing>, Standing);

/// What has come of a change of silences, and who asked for it.
pub(super) type Silenced = (oneshot::Sender<Result<Arc<str>, SilenceError>>, Result<Arc<str>, SilenceError>);

/// What to do after a round: record `batch`, then hand over the letters and answers.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) batch: Batch,
    pub(super) letters: Vec<(String, Vec<Letter>)>,
    pub(super) reread: Vec<Reread>,
    /// To the posters that asked.
    pub(super) answers: Vec<Answer>,
    /// To those who asked for changes of silences.
    pub(super) silenced: Vec<Silenced>,
    /// To be asked of the history of use.
    pub(super) asks: Vec<reading::Ask>,
    /// There is more to compose.
    pub(super) more: bool,
}

impl Dispatcher {
    /// Continues from what was stored.
    ///
    /// # Errors
    /// Every mistake in the configuration, not only the first.
    pub fn new(
        config: &AlertingConfig,
        routes: Vec<Route>,
        links: Vec<Link>,
        loaded: Loaded,
        pseudonym: Option<Pseudonym>,
        shown: Shown,
        now: Moment,
    ) -> Result<Self, Vec<RuleError>> {
        let Loaded { alerts, groups, silences, outbox, receivers } = loaded;
        let engine = Engine::new(config, routes.clone(), &Rows { alerts, groups, silences }, now)?;
        let (lines, left) = (BTreeMap::new(), Vec::new());
        let (settled, messages) = (Vec::new(), Vec::new());
        let (config, ending) = (config.clone(), BTreeSet::new());
        let mut dispatcher = Dispatcher {
            engine,
            lines,
            config,
            routes,
            ending,
            left,
            settled,
            messages,
            pseudonym,
            shown,
            began: now,
            next_by_time: Duration::MAX,
        };
        let mut states: BTreeMap<_, _> = receivers.into_iter().collect();
        for link in links {
            let state = states.remove(&link.receiver).unwrap_or_default();
            dispatcher.connect(link, state, now);
        }
        dispatcher.left = states.into_keys().collect();
        let (outbox, left): (Vec<_>, Vec<_>) = outbox.into_iter().partition(|message| {
            dispatcher.lines.get(&message.receiver).is_some_and(|line| line.worker().is_some())
        });
        for message in left {
            dispatcher.orphan(message);
        }
        for (message, notice) in dispatcher.engine.adopt(outbox, now) {
            let Some(line) = dispatcher.lines.get_mut(&message.receiver) else { continue };
            let Some(notice) = notice else {
                let telemetry = &dispatcher.shown.telemetry;
                line.give_up(&message.id, "its row cannot be read", telemetry, now);
                dispatcher.settled.push((message.id, Settlement::Abandoned));
                continue;
            };
            let since = Moment::restored(message.created_at, now);
            dispatcher.messages.push(message.clone());
            line.foreign.push_back(Foreign {
                message,
                notice: Arc::new(notice),
                since,
                attempts: 0,
                not_before: Duration::ZERO,
            });
        }
        dispatcher.plan_digests(now);
        // Alerts about receivers that no view shows would end.
        dispatcher.show(now);
        Ok(dispatcher)
    }

    /// Continues with another configuration. `links` are of the receivers that are new or have changed.
    ///
    /// # Errors
    /// Every mistake in the configuration, not only the first. Then nothing has changed.
    pub(super) fn reload(
        &mut self,
        config: &AlertingConfig,
        mut routes: Vec<Route>,
        links: Vec<Link>,
        pseudonym: Option<Pseudonym>,
        now: Moment,
    ) -> Result<(), Vec<RuleError>> {
        let routed = if config.enabled { routes.as_slice() } else { &[] };
        let names: BTreeSet<_> = routed.iter().map(|route| route.receiver.clone()).collect();
        let gone = self.lines.values().filter(|line| !names.contains(line.name()));
        let (busy, idle): (Vec<_>, Vec<_>) = gone.partition(|line| config.enabled && !line.given.is_empty());
        let ending: BTreeSet<_> = busy.into_iter().map(|line| line.name().to_owned()).collect();
        let idle: Vec<_> = idle.into_iter().map(|line| line.name().to_owned()).collect();
        routes.extend(self.routes.iter().filter(|route| ending.contains(&route.receiver)).cloned());
        let waiting: Vec<_> = idle.iter().map(|name| self.engine.backlog(name).intents).collect();
        self.engine.reconfigure(config, routes.clone(), now)?;
        (self.pseudonym, self.config, self.routes, self.ending) = (pseudonym, config.clone(), routes, ending);
        for (name, waiting) in idle.iter().zip(waiting) {
            self.leave(name, waiting);
        }
        for link in links {
            match self.lines.remove(&link.receiver) {
                Some(before) => {
                    let Line { state, attempts, given, mut foreign, foreign_given, .. } = before;
                    let line = Line::new(link, state, now);
                    if line.worker().is_none() {
                        for foreign in foreign.drain(..) {
                            self.orphan(foreign.message);
                        }
                    }
                    self.lines.insert(
                        line.name().to_owned(),
                        Line { attempts, given, foreign, foreign_given, ..line },
                    );
                }
                None => self.connect(link, ReceiverState::default(), now),
            }
        }
        self.plan_digests(now);
        Ok(())
    }

    fn plan_digests(&mut self, now: Moment) {
        for line in self.lines.values_mut() {
            let route = self.routes.iter().find(|route| route.receiver == line.link.receiver);
            line.plan_digests(route.and_then(|route| route.digest.clone()), now);
            line.plan_statements(route.map_or(&[], |route| &route.statements), now);
        }
    }

    fn connect(&mut self, link: Link, state: ReceiverState, now: Moment) {
        let telemetry = &self.shown.telemetry;
        telemetry.declare_receiver(&link.receiver, &SendReason::ALL.map(SendReason::label));
        if let Some(time) = state.last_success {
            telemetry.notification_last_success(&link.receiver, time.as_secs_f64());
        }
        self.left.retain(|name| *name != link.receiver);
        self.lines.insert(link.receiver.clone(), Line::new(link, state, now));
    }

    /// Gives up a recorded message whose receiver is no longer configured.
    fn orphan(&mut self, message: Message) {
        let Message { receiver, id, .. } = message;
        warn!(receiver, id, "notification given up: its receiver is no longer configured");
        self.settled.push((id, Settlement::Abandoned));
    }

    /// A receiver that is no longer configured has nothing in flight any more.
    fn end(&mut self, name: &str, now: Moment) {
        self.ending.remove(name);
        self.routes.retain(|route| route.receiver != name);
        let waiting = self.engine.backlog(name).intents;
        if let Err(errors) = self.engine.reconfigure(&self.config, self.routes.clone(), now) {
            // It was in force before.
            warn!(receiver = name, ?errors, "the receiver cannot be removed");
        }
        self.leave(name, waiting);
    }

    /// A receiver is no longer configured, and so many notifications wait for it.
    fn leave(&mut self, name: &str, waiting: usize) {
        let Some(line) = self.lines.remove(name) else { return };
        if waiting > 0 {
            warn!(receiver = name, waiting, "notification given up: its receiver is no longer configured");
        }
        for foreign in line.foreign.into_iter().chain(line.foreign_given.into_values()) {
            self.orphan(foreign.message);
        }
        self.shown.telemetry.forget_receiver(name);
        self.shown.health.forget(name);
        self.left.push(name.to_owned());
    }

    /// Takes in what workers report and, if it is given, what is on the board; then composes what receivers that are free
    /// are to be told.
    pub(super) fn round(&mut self, heard: Heard, view: Option<&View>, pace: Pace, now: Moment) -> Round {
        for report in heard.reports {
            self.take_in(report, now);
        }
        for answer in heard.answers {
            self.found(answer);
        }
        if let Some(view) = view {
            self.engine.observe(view, now);
        }
        let silences = heard.silences.into_iter();
        let silenced = silences.map(|(change, asker)| (asker, self.silence(change, now))).collect();
        self.engine.tick(now);
        let asks = heard.asks.into_iter();
        let answers = asks.filter_map(|(receiver, ask)| self.posted(&receiver, ask, now)).collect();
        for receiver in self.engine.take_changed() {
            if let Some(Line { link: Link { to: Way::Posts { changed }, .. }, .. }) =
                self.lines.get(&receiver)
            {
                changed.send_modify(|count| *count += 1);
            }
        }
        let mut round = Round { answers, silenced, ..Round::default() };
        round.batch.messages.append(&mut self.messages);
        self.drop_ends();
        self.give_up_what_is_old(&mut round.batch, now);
        if pace != Pace::Closing {
            self.compose(&mut round, pace, now);
        }
        let Output { alerts, groups, silences, settled, reread, suppressed } = self.engine.take_output();
        for (reason, count) in suppressed.by_reason() {
            self.shown.telemetry.suppressed(reason, count);
        }
        let batch = &mut round.batch;
        batch.settled = std::mem::take(&mut self.settled);
        batch.settled.extend(settled);
        let (messages, delivered) = (&batch.messages, Settlement::Delivered);
        batch.settled.retain(|(id, settlement)| {
            // A message that is tried again stays.
            *settlement != delivered || !messages.iter().any(|message| message.id == *id)
        });
        (batch.alerts, batch.groups, batch.silences, round.reread) = (alerts, groups, silences, reread);
        batch.receivers = self.left.drain(..).map(|name| (name, None)).collect();
        for line in self.lines.values_mut().filter(|line| line.dirty) {
            line.dirty = false;
            batch.receivers.push((line.name().to_owned(), Some(line.state.clone())));
        }
        round
    }

    /// Adds, changes or ends a silence. Comments and values are the operators' affair, and not logged.
    fn silence(&mut self, change: SilenceChange, now: Moment) -> Result<Arc<str>, SilenceError> {
        let what = match &change {
            SilenceChange::Put(_) => "a silence is in force",
            SilenceChange::Expire(_) => "a silence has ended",
        };
        let id = self.engine.change_silences(change, now)?;
        info!(id = &*id, "{what}");
        Ok(id)
    }

    /// Of a receiver that is no longer configured, it is of no use.
    fn found(&mut self, answer: reading::Answer) {
        match answer {
            reading::Answer::Top(receiver, found) => {
                if let Some(line) = self.lines.get_mut(&receiver) {
                    line.top.answered(found);
                }
            }
            reading::Answer::Statement(receiver, read) => {
                if let Some(line) = self.lines.get_mut(&receiver) {
                    line.statements.reading.answered(read);
                }
            }
        }
    }

    fn take_in(&mut self, report: Report, now: Moment) {
        let Report { receiver, worker, news } = report;
        // Of a receiver that is no longer configured: what it was given is given up.
        let Some(line) = self.lines.get_mut(&receiver) else { return };
        let is_current = line.worker() == Some(worker);
        match news {
            News::Free => {
                line.free |= is_current;
                let untried = line.given.extract_if(|_, given| given.worker == worker).map(|(id, _)| id);
                for id in untried.collect::<Vec<_>>() {
                    match line.foreign_given.remove(&id) {
                        Some(foreign) => line.foreign.push_front(foreign),
                        None => self.engine.settle(&receiver, &id, &Outcome::Untried, now),
                    }
                }
                if self.ending.contains(&receiver) && line.given.is_empty() {
                    self.end(&receiver, now);
                }
            }
            News::Attempt { id, result, done, may_have_arrived } => {
                line.attempted(now);
                let named = line.given.remove(&id).map_or(1, |given| given.names);
                let mut foreign = line.foreign_given.remove(&id);
                let outcome = match result {
                    Ok(said) => {
                        info!(receiver, id, "notification delivered: {said}");
                        line.succeeded(now);
                        self.shown.telemetry.notification_delivered(&receiver);
                        self.shown.telemetry.notification_last_success(&receiver, now.wall.as_secs_f64());
                        Outcome::Taken
                    }
                    // What a former configuration led to says nothing of this one.
                    Err(_) if !is_current => Outcome::Failed { may_have_arrived, done },
                    Err(err) => match err.retry {
                        Retry::Smaller if named > 1 && foreign.is_none() => {
                            line.refused_size(named, now);
                            Outcome::Untried
                        }
                        Retry::Smaller | Retry::Never => {
                            if !is_elsewhere(foreign.as_ref(), &err) {
                                line.failed(&err, now);
                            }
                            line.give_up(&id, &err.detail, &self.shown.telemetry, now);
                            Outcome::GivenUp
                        }
                        Retry::Later | Retry::NotBefore(_) | Retry::Refused | Retry::Disabled => {
                            match &mut foreign {
                                Some(foreign) if is_elsewhere(Some(&*foreign), &err) => {
                                    foreign.put_off(&err, now);
                                }
                                _ => line.failed(&err, now),
                            }
                            Outcome::Failed { may_have_arrived, done }
                        }
                    },
                };
                match foreign {
                    Some(foreign) => self.settle_foreign(&receiver, foreign, outcome),
                    None => self.engine.settle(&receiver, &id, &outcome, now),
                }
            }
        }
    }

    fn settle_foreign(&mut self, receiver: &str, foreign: Foreign, outcome: Outcome) {
        let id = foreign.message.id.clone();
        let settlement = match outcome {
            Outcome::Taken => Settlement::Delivered,
            Outcome::GivenUp => Settlement::Abandoned,
            Outcome::Untried | Outcome::Failed { .. } => {
                let done = match outcome {
                    Outcome::Failed { done, .. } => done,
                    _ => foreign.message.done.clone(),
                };
                if let Some(line) = self.lines.get_mut(receiver) {
                    let message = Message { done: done.clone(), ..foreign.message };
                    let attempts = foreign.attempts.saturating_add(1);
                    line.foreign.push_back(Foreign { message, attempts, ..foreign });
                }
                Settlement::Attempted { done }
            }
        };
        self.settled.push((id, settlement));
    }

    /// Drops the recorded ends that a reload keeps from their receiver.
    fn drop_ends(&mut self) {
        for route in self.routes.iter().filter(|route| !route.send_resolved) {
            let Some(line) = self.lines.get_mut(&route.receiver) else { continue };
            line.foreign.retain(|foreign| {
                let is_digest = foreign.notice.digest.is_some();
                if !is_digest {
                    self.settled.push((foreign.message.id.clone(), Settlement::Delivered));
                }
                is_digest
            });
        }
    }

    /// Gives up what a receiver could not be told for too long.
    fn give_up_what_is_old(&mut self, batch: &mut Batch, now: Moment) {
        let lines = self.lines.values_mut();
        for line in lines.filter(|line| matches!(line.link.to, Way::Messages { .. })) {
            let pick = line.too_old(now);
            let foreign = std::mem::take(&mut line.foreign).into_iter();
            let (old, young): (Vec<_>, Vec<_>) = foreign.partition(|foreign| foreign.is_one(pick));
            line.foreign = young.into();
            for foreign in old {
                line.give_up(&foreign.message.id, TOO_OLD, &self.shown.telemetry, now);
                self.settled.push((foreign.message.id, Settlement::Abandoned));
            }
            for _ in 0..GIVEN_UP_AT_ONCE {
                let size = Size { most: None, ..line.size() };
                let pseudonym = self.pseudonym.as_ref();
                let Some(composed) = self.engine.next(line.name(), pick, size, pseudonym, now) else {
                    break;
                };
                let Composed { message, .. } = composed;
                line.give_up(&message.id, TOO_OLD, &self.shown.telemetry, now);
                self.engine.settle(line.name(), &message.id, &Outcome::GivenUp, now);
                batch.messages.push(message);
            }
        }
    }

    /// Composes messages for the receivers that may be tried: first for those that work, and of those for the one that was
    /// served the longest time ago.
    fn compose(&mut self, round: &mut Round, pace: Pace, now: Moment) {
        let mut alerts = 0;
        let due = self.due_by_time(&mut round.asks, now);
        let ending = &self.ending;
        let free = self.lines.values_mut();
        let free = free.filter(|line| line.may_be_tried(now) && !ending.contains(&line.link.receiver));
        let mut free: Vec<_> = free.collect();
        free.sort_by_key(|line| (line.state.failures, line.served));
        for line in free {
            let most = if pace == Pace::SlowDisk && line.state.failures == 0 { MESSAGES_AT_ONCE } else { 1 };
            let most = most.min(line.room(now));
            let mut letters = Vec::new();
            while letters.len() < most {
                if alerts > ALERTS_AT_ONCE {
                    round.more = true;
                    break;
                }
                let urgent = self.engine.urgent(line.name());
                let foreign = line.next_foreign(now).filter(|place| {
                    urgent.is_none_or(|urgent| {
                        line.foreign.get(*place).is_some_and(|next| next.attempts <= urgent)
                    })
                });
                let letter = if let Some(place) = foreign {
                    line.give_foreign(place)
                } else {
                    let pseudonym = self.pseudonym.as_ref();
                    self.engine.next(line.name(), Pick::Urgent, line.size(), pseudonym, now).map(|composed| {
                        let Composed { notice, message, .. } = composed;
                        let Notice { receiver, id, reason, .. } = &*notice;
                        debug!(
                            receiver,
                            id,
                            reason,
                            alerts = notice.alerts.len(),
                            "a notification is composed"
                        );
                        let letter = line.give(notice, message.done.clone());
                        round.batch.messages.push(message);
                        letter
                    })
                };
                let Some(letter) = letter.or_else(|| {
                    let due = due.get(line.name()).filter(|_| letters.is_empty())?;
                    let route = self.routes.iter().find(|route| route.receiver == line.link.receiver)?;
                    let pseudonym = self.pseudonym.as_ref();
                    let digest = due
                        .digest
                        .and_then(|due| compose_digest(&self.engine, line, route, pseudonym, due, now));
                    let (notice, message) = match digest {
                        Some(digest) => digest,
                        None if due.statement => compose_statement(line, route, pseudonym, now)?,
                        None => return None,
                    };
                    round.batch.messages.push(message.clone());
                    Some(line.give_as_it_is(message, notice, now))
                }) else {
                    break;
                };
                alerts += letter.notice.alerts.len();
                letters.push(letter);
            }
            if !letters.is_empty() {
                (line.free, line.served) = (false, now.uptime);
                round.letters.push((line.name().to_owned(), letters));
            }
        }
    }

    /// The receivers whose digest or statement can be composed. Sets when to look again.
    fn due_by_time(&mut self, asks: &mut Vec<reading::Ask>, now: Moment) -> BTreeMap<String, ByTime> {
        let all_are_read = self.engine.all_are_read() || now.since(self.began) >= FIRST_READS_WITHIN;
        self.next_by_time = Duration::MAX;
        let mut all = BTreeMap::new();
        for line in self.lines.values_mut() {
            let may_be_tried = all_are_read && line.may_be_tried(now);
            let mut due = ByTime::default();
            let digest = match line.next_digest(now) {
                None => Duration::MAX,
                Some((_, at)) if at > now.uptime => at,
                Some(_) if !may_be_tried => now.uptime + LOOK_AGAIN,
                Some((time, _)) => line.ask_top(&self.engine, asks, now).unwrap_or_else(|| {
                    due.digest = Some(time);
                    Duration::MAX
                }),
            };
            let statement = match may_be_tried {
                false if line.statements.is_empty() => Duration::MAX,
                false => now.uptime + LOOK_AGAIN,
                true => line.next_statement(&self.engine, asks, now).map_or_else(
                    |at| at,
                    |()| {
                        due.statement = true;
                        // There may be more.
                        now.uptime + LOOK_AGAIN
                    },
                ),
            };
            self.next_by_time = self.next_by_time.min(digest).min(statement);
            all.insert(line.name().to_owned(), due);
        }
        all
    }

    /// Where letters to a receiver go.
    pub(super) fn way(&self, receiver: &str) -> Option<&Way> {
        self.lines.get(receiver).map(|line| &line.link.to)
    }

    /// Ends all workers and posters.
    pub(super) fn close(&mut self) {
        for line in self.lines.values_mut() {
            line.close();
        }
    }

    /// Shows how receivers are doing, once that is recorded.
    pub(super) fn show(&self, now: Moment) {
        let silences = self.engine.active();
        let of = |state| silences.silences.iter().filter(|silence| silence.state(now.wall) == state).count();
        self.shown.telemetry.silences(SilenceState::ALL.map(|state| (state.label(), of(state))));
        let mut receivers = BTreeMap::new();
        for line in self.lines.values() {
            let name = line.name();
            let Backlog { intents, oldest } = self.backlog(line);
            let oldest_seconds = oldest.map(|since| since.wall.as_secs_f64());
            self.shown.telemetry.notification_queue(name, intents, oldest_seconds);
            self.shown.health.set(name, line.health(oldest, now));
            receivers.insert(name.to_owned(), line.trouble(oldest, now));
        }
        let digests = self.lines.values().filter_map(|line| line.digests.as_ref());
        let digested = digests.map(|digests| digests.covered).min();
        self.shown.board.change_own(|own| (own.receivers, own.digested) = (receivers, digested));
    }

    /// What waits for a receiver. For an Alertmanager that is one thing, while it fails: everything.
    fn backlog(&self, line: &Line) -> Backlog {
        if matches!(line.link.to, Way::Posts { .. }) {
            let oldest = line.failing_since;
            return Backlog { intents: usize::from(oldest.is_some()), oldest };
        }
        let Backlog { intents, oldest } = self.engine.backlog(line.name());
        let foreign = line.foreign.iter().chain(line.foreign_given.values());
        let oldest = foreign.map(|foreign| foreign.since).chain(oldest).min_by_key(|since| since.uptime);
        Backlog { intents: intents + line.foreign.len() + line.foreign_given.len(), oldest }
    }

    /// The uptime at which the next round is due.
    pub(super) fn due(&self) -> Duration {
        let lines = self.lines.values().filter_map(|line| {
            let urgent = self.engine.urgent(line.name()).map(|_| Duration::ZERO);
            let ready = urgent.or(line.foreign_due());
            let waits = ready.is_some();
            let next = ready.and_then(|ready| Some(line.next_attempt()?.max(ready)));
            // When something becomes too old.
            let end = line.failing_since.filter(|_| waits).zip(self.backlog(line).oldest);
            let end = end.map(|(failing, oldest)| failing.uptime.max(oldest.uptime) + LIFE);
            [next, end].into_iter().flatten().min()
        });
        lines.chain([self.engine.due(), self.next_by_time]).min().unwrap_or(Duration::MAX)
    }

    /// What is pending, firing, suppressed, silenced and muted.
    pub fn active(&self) -> Arc<ActiveAlerts> {
        self.engine.active()
    }

    pub(super) fn clock_was_ahead(&self) -> bool {
        self.engine.clock_was_ahead()
    }

    /// Answers what an Alertmanager's poster says.
    fn posted(&mut self, receiver: &str, ask: Ask, now: Moment) -> Option<Answer> {
        match ask {
            Ask::Standing(answer) => {
                let (firing, ended) = self.engine.standing(receiver, self.pseudonym.as_ref(), now);
                return Some((answer, Standing { firing, ended }));
            }
            Ask::Over(events) => self.engine.over(receiver, &events.into_iter().collect()),
            Ask::GivenUp(count) => {
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                self.lines.get_mut(receiver)?.count_given_up(count, &self.shown.telemetry, now);
            }
            Ask::Outcome(result) => {
                let line = self.lines.get_mut(receiver)?;
                match result {
                    Ok(()) => {
                        line.succeeded(now);
                        self.shown.telemetry.notification_last_success(receiver, now.wall.as_secs_f64());
                    }
                    Err(err) => line.failed(&err, now),
                }
            }
        }
        None
    }
}

/// Whether a failure is about addresses that are not the receiver's: then the server works.
fn is_elsewhere(foreign: Option<&Foreign>, err: &SendError) -> bool {
    let is_of_server =
        matches!(err.reason, SendReason::Auth | SendReason::Connect | SendReason::Timeout | SendReason::Tls);
    !is_of_server && foreign.is_some_and(|foreign| foreign.notice.goes_elsewhere())
}

//! One loop per target: polls its parts, each at its own pace, and puts the results on the board.
//!
//! At most one request per target is in flight, because a loop does one thing at a time. A target that hangs or fails
//! delays no other loop.

pub mod config;
mod keep;
mod log;
mod saved;
mod schedule;
mod used;
mod wanted;

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use self::{
    config::PollConfig,
    schedule::{Ended, Schedule},
    used::Used,
    wanted::Wanted,
};
use crate::{
    board::Board,
    clock::{Beat, Clock},
    model::{
        CounterFamilies, Fact, Moment, NodeAllowances, NodePeriods, Outcome, Part, PartState, Reason, Report,
        UserFacts, WalkProgress,
    },
    store::{Store, Usage},
    telemetry::Telemetry,
    upstream::{FetchError, NAMES_AT_ONCE, Notes, Planned, Scope, Step, Upstream, json::OddField},
};

/// What a loop leaves to the next one of its target.
#[derive(Debug)]
pub struct Handover(Box<Poller>);

/// How a loop came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// After the request in flight.
    AfterRequest,
    /// At once, because the daemon stops.
    AtOnce,
}

impl Handover {
    pub fn target(&self) -> &str {
        &self.0.report.target
    }
}

/// The loop of one target.
#[derive(Debug)]
pub struct Poller {
    upstream: Upstream,
    schedule: Schedule,
    report: Report,
    /// Parts whose counters exist already.
    declared: Vec<Part>,
    /// Fields that were logged as unreadable.
    odd_fields: BTreeSet<OddField>,
    /// Parts that this login has read.
    rights: BTreeSet<Part>,
    /// Users to request by name.
    wanted: Wanted,
    /// What was logged of its user lists.
    lists: log::Lists,
    /// What was logged of the first read of a long list.
    first_read: log::FirstRead,
    /// The store for the users of finished walks.
    store: Option<Store>,
    /// What the history of use has got; absent: there is none.
    used: Option<Used>,
    /// When to load the durable counters; absent: they are loaded, or there is no store.
    load_counters_at: Option<Duration>,
    /// When the users of a finished walk were last stored.
    kept: Option<Moment>,
    /// Users were read since they were last stored.
    unkept: bool,
    /// The users are to be stored once they are published.
    keeps: bool,
    requests: mpsc::UnboundedReceiver<Vec<Arc<str>>>,
    board: Board,
    telemetry: Telemetry,
    clock: Clock,
    beat: Beat,
}

impl Poller {
    /// A loop for the target `name`, which is already on the board. `requests` brings users to read again by name.
    pub fn new(
        name: &str,
        mut upstream: Upstream,
        config: PollConfig,
        board: Board,
        telemetry: Telemetry,
        clock: Clock,
        requests: mpsc::UnboundedReceiver<Vec<Arc<str>>>,
    ) -> Self {
        let start = clock.now().uptime + config.interval.min(FIRST_POLLS_WITHIN).mul_f64(fastrand::f64());
        let schedule = Schedule::new(config, upstream.plan(), start);
        let beat = Beat::default();
        upstream.set_beat(&beat);
        Poller {
            upstream,
            schedule,
            report: Report::new(name),
            declared: Vec::new(),
            odd_fields: BTreeSet::new(),
            rights: BTreeSet::new(),
            wanted: Wanted::default(),
            lists: log::Lists::default(),
            first_read: log::FirstRead::default(),
            store: None,
            used: None,
            load_counters_at: None,
            kept: None,
            unkept: false,
            keeps: false,
            requests,
            board,
            telemetry,
            clock,
            beat,
        }
    }

    /// Sets which system the target is, see [`Report::source`].
    #[must_use]
    pub fn of(mut self, source: &str) -> Self {
        self.report.source = source.into();
        self
    }

    /// Sets what its nodes may move in a month.
    #[must_use]
    pub fn allowing(mut self, allowances: NodeAllowances) -> Self {
        self.report.node_periods = NodePeriods::new(allowances);
        self
    }

    /// Gives what is used to the history.
    #[must_use]
    pub fn counting(mut self, usage: Usage) -> Self {
        self.report.moves.collect(self.clock.now().wall);
        self.used = Some(Used::new(usage));
        self
    }

    /// What the target's next loop starts with.
    pub fn hand_over(mut self) -> Handover {
        while let Ok(names) = self.requests.try_recv() {
            self.wanted.add(names);
        }
        Handover(Box::new(self))
    }

    /// The beat of the loop. It continues however slow the target is.
    pub fn beat(&self) -> &Beat {
        &self.beat
    }

    /// Starts with what an earlier loop of the target knew, and with a login of its own.
    #[must_use]
    pub fn resuming(mut self, before: Handover) -> Self {
        let Poller { report, wanted, lists, .. } = *before.0;
        if let Some(users) = report.parts.get(&Part::Users) {
            self.schedule.remember(Part::Users, users.round);
        }
        self.wanted.add(report.users.missing());
        self.wanted.add(wanted.queue.into());
        let node_periods =
            std::mem::take(&mut self.report.node_periods).taking_over(report.node_periods.clone());
        self.report = Report { walk: None, node_periods, ..report };
        // This may be another login, whose rights are its own.
        for state in self.report.parts.values_mut().filter(|state| state.outcome.is_forbidden()) {
            state.outcome = Outcome::Up;
        }
        self.lists = lists;
        self.unkept = true;
        self
    }

    /// Goes on where an earlier loop of the target stopped, at the pace and with the prices of this one: with the same login,
    /// and in the middle of a long list. Only for the same system and the same way to ask it.
    #[must_use]
    pub fn going_on(self, before: Handover) -> Self {
        let mut poller = Poller { requests: self.requests, beat: self.beat, ..*before.0 };
        poller.upstream.set_costs(self.upstream);
        poller.upstream.set_beat(&poller.beat);
        poller.upstream.set_timeouts(self.schedule.config().timeouts());
        poller.schedule.change(self.schedule.config().clone(), poller.clock.now().uptime);
        for (part, state) in &mut poller.report.parts {
            (state.round, state.stale_after) =
                (poller.schedule.round(*part), poller.schedule.stale_after(*part));
        }
        poller
    }

    /// Polls until it is dropped, or until `stop` resolves and the request in flight has ended.
    pub async fn run(&mut self, stop: impl Future) {
        self.run_until(stop, std::future::pending::<()>()).await;
    }

    /// As [`Poller::run`]. When `quit` resolves, the request in flight is given up too, unless it takes data away that the
    /// target does not keep.
    pub async fn run_until(&mut self, stop: impl Future, quit: impl Future) -> Stopped {
        let (mut stop, mut quit) = (pin!(stop), pin!(quit));
        let mut published = Duration::ZERO;
        loop {
            let now = self.clock.now().uptime;
            self.schedule.plan(self.upstream.plan());
            let Some((planned, due)) = self.schedule.next(now) else {
                error!(
                    target_name = &*self.report.target,
                    "no part decides whether the target is up; it is not polled"
                );
                return Stopped::AfterRequest;
            };
            let part = planned.part;
            // Requests by name go before a list's next page, and after cheap parts.
            let named = self.schedule.walks_rest_until().filter(|_| self.wanted.waits());
            let named = named.map(|due| due.max(now)).filter(|named| *named < due || part == Part::Users);
            let due = named.map_or(due, |named| named.min(due));
            self.beat.within(due.saturating_sub(now));
            tokio::select! {
                // Nothing begins after the end was asked for.
                biased;
                _ = &mut stop => return Stopped::AfterRequest,
                _ = &mut quit => return Stopped::AtOnce,
                () = tokio::time::sleep(due.saturating_sub(now)) => {}
                Some(names) = self.requests.recv() => {
                    self.wanted.add(names);
                    continue;
                }
            }
            if named.is_none() {
                tokio::select! {
                    biased;
                    _ = &mut stop => return Stopped::AfterRequest,
                    _ = &mut quit => return Stopped::AtOnce,
                    () = self.upstream.wait_for_turn(part, self.clock.now()) => {}
                }
            }
            let request = async {
                if named.is_some() {
                    self.ask_by_name().await;
                    return Ended::Done;
                }
                let ended = self.step(planned).await;
                if part == Part::Users {
                    self.wanted.put_off = false;
                    let (load, now) = (self.schedule.config().load, self.clock.now().uptime);
                    self.first_read.log(&self.report, load, now);
                }
                ended
            };
            let ended = tokio::select! {
                ended = request => ended,
                _ = &mut quit, if !planned.takes_away() => return Stopped::AtOnce,
            };
            let now = self.clock.now().uptime;
            if ended != Ended::More || now.saturating_sub(published) >= PAGES_WITHIN {
                published = now;
                self.board.publish(self.report.clone());
            }
            self.keep_journal().await;
            if std::mem::take(&mut self.keeps) {
                self.kept = Some(self.clock.now());
                self.keep_users().await;
            }
        }
    }

    /// Requests the next users by name. A failure shows in the part's state when the part is polled itself, and the
    /// names are requested again later.
    async fn ask_by_name(&mut self) {
        let names = self.wanted.take(NAMES_AT_ONCE);
        let began = self.clock.now();
        let answer = self.upstream.read_named(&names, began).await;
        let ended = match &answer {
            Ok(_) => Ended::Done,
            Err(err) => Ended::Failed(err.scope(), err.again),
        };
        let now = self.clock.now();
        self.schedule.asked_out_of_turn((began.uptime, now.uptime), ended);
        self.up(false, answer.as_ref().err(), ended, now);
        self.take_notes(Part::Users);
        match answer {
            Ok(named) => {
                self.learn(Fact::Users(UserFacts::Named(named)), began);
            }
            Err(err) => {
                debug!(
                    target_name = &*self.report.target,
                    reason = err.reason().label(),
                    "users not read by name: {err}"
                );
                self.wanted.put_off(names);
            }
        }
    }

    /// Reads every part once, without the daemon's pauses, and returns the report. Failed parts are not retried. `show`
    /// gets the report after each request.
    pub async fn read_once(mut self, mut show: impl FnMut(&Report)) -> Report {
        let mut read = Vec::new();
        let is_next = |poller: &Self, read: &[Part], next: &Planned| {
            // The next list of users would have the addresses.
            let is_late = next.takes_away() || next.part == Part::Addresses;
            !read.contains(&next.part) && !poller.was_read(next.part) && !is_late
        };
        // There is nothing stored that counters could continue.
        self.upstream.resume(&CounterFamilies::new(), self.clock.now());
        while let Some(planned) = self.upstream.plan().into_iter().find(|next| is_next(&self, &read, next)) {
            if self.step(planned).await != Ended::More {
                read.push(planned.part);
            }
            show(&self.report);
            if self.report.up == Some(false) {
                break;
            }
        }
        // Nothing is stale, however long the list took between the first and the last part.
        for state in self.report.parts.values_mut() {
            state.stale_after = Duration::MAX;
        }
        self.report
    }

    async fn step(&mut self, planned: Planned) -> Ended {
        let part = planned.part;
        self.load_counters().await;
        let began = self.clock.now();
        if self.schedule.begins_again(planned, began.uptime) {
            self.upstream.forget_walk(part);
            if part == Part::Users {
                self.report.walk = None;
            }
        }
        let announced = self.upstream.announce(part, began);
        self.commit(announced).await;
        let mut result = self.upstream.read(part, began).await;
        let durable = match &mut result {
            Ok(step) => std::mem::take(&mut step.durable),
            Err(_) => self.upstream.unsaved(),
        };
        self.commit(durable).await;
        let now = self.clock.now();

        let ended = match &result {
            Ok(step) if step.done.contains(&part) => Ended::Done,
            Ok(_) => Ended::More,
            Err(err) => Ended::failed(err, planned),
        };
        let times = (began.uptime, now.uptime);
        let took = self.schedule.ended(planned, times, ended, 0.95 + fastrand::f64() / 10.0);

        self.count(part, &result, ended);
        self.up(planned.decides_up, result.as_ref().err(), ended, now);
        match result {
            Ok(step) => {
                let data = (!step.facts.is_empty()).then_some(now);
                if ended == Ended::More {
                    // An unfinished first walk proves nothing yet. After a finished one, the part is up.
                    let outcome = if self.was_read(part) { Outcome::Up } else { Outcome::Pending };
                    if data.is_some() {
                        self.schedule.went_on(part);
                    }
                    self.note(part, outcome, None, data);
                }
                for done in step.done {
                    self.rights.insert(done);
                    if done != part {
                        self.schedule.came_along(done, part);
                    }
                    self.note(done, Outcome::Up, Some((now, took)), data);
                }
                let mut ends_walk = false;
                for fact in step.facts {
                    ends_walk |= self.learn(fact, now);
                }
                self.keeps |= ends_walk && self.kept.is_none_or(|kept| now.since(kept) >= KEEP_EVERY);
            }
            Err(err) => {
                let outcome = match ended {
                    Ended::Failed(Scope::NotAllowed, _) if !self.rights.contains(&part) => Outcome::Refused,
                    Ended::Failed(Scope::NotAllowed, _) => Outcome::Failed {
                        reason: err.reason(),
                        detail: format!("{err}, but it could before"),
                    },
                    _ => Outcome::Failed { reason: err.reason(), detail: err.to_string() },
                };
                self.note(part, outcome, None, None);
            }
        }
        // The part that decides `up` shows which parts the target has, and each other one whether the target has it.
        if ended == Ended::Done {
            let plan = self.upstream.plan();
            let is_had = |known: &Part| plan.iter().any(|planned| planned.part == *known);
            let is_shown = |known: &Part| planned.decides_up || *known == part;
            self.report.parts.retain(|known, _| is_had(known) || !is_shown(known));
        }
        if part == Part::Users {
            let walked = self.upstream.walked().map(|rows| {
                let walk = WalkProgress::after(self.report.walk, rows, now.since(began));
                WalkProgress { left: walk.left.map(|rest| self.schedule.at_load(rest)), ..walk }
            });
            self.report.walk = walked;
        }
        self.report.certificate_expiry = self.upstream.certificate_expiry();
        ended
    }

    /// Records the outcome of an attempt at `part`, when it was completed and how long its round took, and when any of
    /// it was read.
    fn note(
        &mut self,
        part: Part,
        outcome: Outcome,
        success: Option<(Moment, Duration)>,
        data: Option<Moment>,
    ) {
        let known = self.report.parts.remove(&part);
        let before = known.as_ref().map(|known| &known.outcome);
        let others = self.report.parts.values().map(|state| &state.outcome);
        log::outcome(&self.report.target, part, before, &outcome, others);
        let (last_success, duration) =
            success.map(|(at, took)| (Some(at), Some(took))).unwrap_or_else(|| {
                known.as_ref().map_or((None, None), |known| (known.last_success, known.duration))
            });
        let state = PartState {
            outcome,
            last_success,
            last_data: data.or(known.and_then(|known| known.last_data)),
            duration,
            round: self.schedule.round(part),
            stale_after: self.schedule.stale_after(part),
        };
        self.report.parts.insert(part, state);
    }

    /// Merges a fact into the report; returns whether this completes the user list.
    fn learn(&mut self, fact: Fact, now: Moment) -> bool {
        let known = self.report.identity.clone();
        let walked = matches!(fact, Fact::Users(UserFacts::WalkEnd(_)));
        let whole = matches!(fact, Fact::Users(UserFacts::Whole(_)));
        self.unkept |= matches!(fact, Fact::Users(_));
        let counted = used::counted(&fact);
        self.report.merge(fact, now);
        if let Some((counted, used)) = counted.zip(self.used.as_mut()) {
            used.were_read(counted, &mut self.report, self.schedule.between_readings(counted.1), now.wall);
        }
        if let Some(identity) =
            self.report.identity.as_ref().filter(|identity| Some(*identity) != known.as_ref())
        {
            info!(
                target_name = &*self.report.target,
                system = identity.system.label(),
                version = (!identity.version.is_empty()).then_some(identity.version.as_str()),
                "detected the target's system"
            );
        }
        if walked {
            self.wanted.add(self.report.users.missing());
        }
        if walked || whole {
            self.lists.finished(&self.report.target, &self.report.users);
        }
        walked || whole
    }

    fn count(&mut self, part: Part, result: &Result<Step, FetchError>, ended: Ended) {
        let target = &*self.report.target;
        for Planned { part, .. } in self.upstream.plan() {
            if !self.declared.contains(&part) {
                self.telemetry.declare_part(target, part.label(), &Reason::ALL.map(Reason::label));
                self.declared.push(part);
            }
        }
        self.take_notes(part);
        let target = &*self.report.target;
        if ended != Ended::More {
            self.telemetry.poll(target, part.label());
        }
        if let Err(err) = result
            && (self.was_read(part) || !matches!(ended, Ended::Failed(Scope::NotAllowed, _)))
        {
            self.telemetry.failure(target, part.label(), err.reason().label());
        }
    }

    /// Counts what the client did, and logs each field that cannot be read the first time.
    fn take_notes(&mut self, part: Part) {
        let target_name = &*self.report.target;
        let Notes { requests, logins, odd_fields, hints } = self.upstream.take_notes();
        for hint in hints {
            info!(target_name, "{hint}");
        }
        self.telemetry.requests(target_name, requests, logins);
        for (field, times) in odd_fields {
            self.telemetry.odd_fields(target_name, part.label(), times);
            if self.odd_fields.insert(field) {
                warn!(target_name, "a field cannot be read: {field}");
            }
        }
    }

    /// Whether `part` was ever completed.
    fn was_read(&self, part: Part) -> bool {
        self.report.parts.get(&part).is_some_and(|state| state.last_success.is_some())
    }

    /// A target is up when the login and the part that decides `up` succeed. Any part can show a refused login.
    fn up(&mut self, decides_up: bool, failure: Option<&FetchError>, ended: Ended, now: Moment) {
        if decides_up || ended.takes_down() {
            self.report.up = Some(ended == Ended::Done);
            let failure = failure.filter(|_| ended.is_of_target());
            self.report.unreachable =
                failure.map(|err| Outcome::Failed { reason: err.reason(), detail: err.to_string() });
            self.report.history.up_was(ended == Ended::Done, now);
            self.report.journal.target_was(ended == Ended::Done, now);
        }
    }
}

/// A quick walk is not stored each time: compressing tens of thousands of users takes a large part of a second.
const KEEP_EVERY: Duration = Duration::from_secs(300);

/// The pages of a walk are published at most this often, unless something else is published: each publication renders
/// the exposition again and evaluates the alerts.
const PAGES_WITHIN: Duration = Duration::from_secs(5);

/// Targets are first polled within this time, not all at once.
const FIRST_POLLS_WITHIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;

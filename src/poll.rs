//! One loop per target: asks for its parts, each at its own pace, and puts what it learns on the board.
//!
//! One request is in flight per target, because the loop does one thing at a time. A target that hangs or fails
//! delays nobody else's loop.

pub mod config;
mod saved;
mod schedule;

use std::{
    collections::{HashSet, VecDeque},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use self::{
    config::PollConfig,
    schedule::{Ended, Schedule},
};
use crate::{
    board::Board,
    clock::{Beat, Clock},
    model::{CounterChange, Fact, Moment, Outcome, Part, PartState, Reason, Report, UserFacts, Users},
    store::{SavedUsers, Store},
    telemetry::Telemetry,
    upstream::{FetchError, NAMES_AT_ONCE, Planned, Scope, Step, Upstream},
};

/// The loop of one target.
#[derive(Debug)]
pub struct Poller {
    upstream: Upstream,
    schedule: Schedule,
    report: Report,
    /// Parts whose counters exist.
    declared: Vec<Part>,
    /// Users to ask for by name, in turn.
    wanted: Wanted,
    /// Where the users of a finished walk are kept.
    store: Option<Store>,
    /// When they were kept last.
    kept: Option<Moment>,
    requests: mpsc::UnboundedReceiver<Vec<Arc<str>>>,
    board: Board,
    telemetry: Telemetry,
    clock: Clock,
    beat: Beat,
}

impl Poller {
    /// A loop for the target `name`, which is already on the board. `requests` are users to read again by name.
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
        upstream.tell(&beat);
        Poller {
            upstream,
            schedule,
            report: Report::new(name),
            declared: Vec::new(),
            wanted: Wanted::default(),
            store: None,
            kept: None,
            requests,
            board,
            telemetry,
            clock,
            beat,
        }
    }

    /// Beats as long as the loop goes round, however slow the target is.
    pub fn beat(&self) -> &Beat {
        &self.beat
    }

    /// Keeps the users of each finished walk in `store`, and begins with those that were kept before, if they can be
    /// read, as old as they are.
    #[must_use]
    pub fn keeping(mut self, store: Store, saved: Option<SavedUsers>) -> Self {
        self.store = Some(store);
        let Some(saved) = saved else { return self };
        let target_name = &*self.report.target;
        match saved::decode(&saved.users) {
            Ok(users) => {
                let (started, read) =
                    (self.clock.long_ago(saved.started), self.clock.long_ago(saved.read_at));
                let round = read.since(started);
                self.schedule.remember(Part::Users, round);
                debug!(target_name, users = users.len(), "users are known from before");
                self.report.users = Arc::new(Users::restored(users, started));
                let state = PartState {
                    outcome: Outcome::Pending,
                    last_success: Some(read),
                    last_data: Some(read),
                    duration: Some(round),
                    round: self.schedule.round(Part::Users),
                    stale_after: self.schedule.stale_after(Part::Users),
                };
                self.report.parts.insert(Part::Users, state);
                self.board.publish(self.report.clone());
            }
            Err(err) => warn!(target_name, "the users kept from before cannot be read: {err}"),
        }
        self
    }

    /// Begins with what an earlier loop of the target knew.
    #[must_use]
    pub fn resuming(mut self, report: Report) -> Self {
        if let Some(users) = report.parts.get(&Part::Users) {
            self.schedule.remember(Part::Users, users.round);
        }
        self.report = report;
        self
    }

    /// Polls until it is dropped or, after the request that it is making, until `stop` resolves.
    pub async fn run(mut self, stop: impl Future) {
        let mut stop = pin!(stop);
        let mut published = Duration::ZERO;
        loop {
            let now = self.clock.now().uptime;
            self.schedule.plan(self.upstream.plan());
            let Some((planned, due)) = self.schedule.next(now) else { return };
            let part = planned.part;
            // Names go before a list's next page, and after cheap parts.
            let named = self.schedule.walks_rest_until().filter(|_| self.wanted.waits());
            let named = named.map(|due| due.max(now)).filter(|named| *named < due || part == Part::Users);
            let due = named.map_or(due, |named| named.min(due));
            self.beat.within(due.saturating_sub(now));
            tokio::select! {
                _ = &mut stop => return,
                () = tokio::time::sleep(due.saturating_sub(now)) => {}
                Some(names) = self.requests.recv() => {
                    self.wanted.add(names);
                    continue;
                }
            }
            let ended = if named.is_some() {
                self.ask_by_name().await;
                Ended::Done
            } else {
                let ended = self.step(planned).await;
                if part == Part::Users {
                    self.wanted.put_off = false;
                }
                ended
            };
            let now = self.clock.now().uptime;
            if ended != Ended::More || now.saturating_sub(published) >= PAGES_WITHIN {
                published = now;
                self.board.publish(self.report.clone());
            }
        }
    }

    /// Asks for the next users by name. A failure shows in the part's state when its own turn comes, and the names
    /// wait for their next turn.
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
        self.count_requests();
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

    /// Reads everything once, without the rests that a daemon takes, and returns what came of it. Parts that failed
    /// are not tried again.
    pub async fn read_once(mut self) -> Report {
        let mut read = Vec::new();
        while let Some(planned) = self.upstream.plan().into_iter().find(|next| !read.contains(&next.part)) {
            if self.step(planned).await != Ended::More {
                read.push(planned.part);
            }
            if self.report.up == Some(false) {
                break;
            }
        }
        // What was read first is as good as what was read last, however long the list in between took.
        for state in self.report.parts.values_mut() {
            state.stale_after = Duration::MAX;
        }
        self.report
    }

    async fn step(&mut self, planned: Planned) -> Ended {
        let part = planned.part;
        let began = self.clock.now();
        if self.schedule.begins_again(planned, began.uptime) {
            self.upstream.forget_walk();
        }
        let mut result = self.upstream.read(part, began).await;
        if let Ok(step) = &mut result {
            self.commit(std::mem::take(&mut step.durable)).await;
        }
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
                    // A list in the middle of being read proves nothing yet, unless it was read to its end before.
                    let known =
                        self.report.parts.get(&part).is_some_and(|state| state.last_success.is_some());
                    let outcome = if known { Outcome::Up } else { Outcome::Pending };
                    self.note(part, outcome, None, data);
                }
                for done in step.done {
                    if done != part {
                        self.schedule.came_along(done, times);
                    }
                    self.note(done, Outcome::Up, Some((now, took)), data);
                }
                let mut ends_walk = false;
                for fact in step.facts {
                    ends_walk |= self.learn(fact, now);
                }
                if ends_walk {
                    self.keep_users(now).await;
                }
            }
            Err(err) => {
                let outcome = match ended {
                    Ended::Failed(Scope::NotAllowed, _) => Outcome::Refused,
                    _ => Outcome::Failed { reason: err.reason(), detail: err.to_string() },
                };
                self.note(part, outcome, None, None);
            }
        }
        // Until the part that decides `up` has answered, it is not known which parts the target has.
        if planned.decides_up && ended == Ended::Done {
            let plan = self.upstream.plan();
            self.report.parts.retain(|part, _| plan.iter().any(|planned| planned.part == *part));
        }
        self.report.certificate_expiry = self.upstream.certificate_expiry();
        ended
    }

    /// Writes down what must outlive us. Where the disk fails, the store keeps it until the disk is back.
    async fn commit(&mut self, changes: Vec<CounterChange>) {
        let Some(store) = &self.store else { return };
        for change in changes {
            // The store logs its own failures.
            drop(store.commit_counters(&self.report.target, change).await);
        }
    }

    /// Notes how an attempt at `part` ended; when it was read to its end and how long its round took; and when anything of
    /// it was read.
    fn note(
        &mut self,
        part: Part,
        outcome: Outcome,
        success: Option<(Moment, Duration)>,
        data: Option<Moment>,
    ) {
        self.log(part, &outcome);
        let known = self.report.parts.remove(&part);
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

    /// Takes in a fact; returns whether with it the user list is whole.
    fn learn(&mut self, fact: Fact, now: Moment) -> bool {
        let known = self.report.identity.clone();
        let walked = matches!(fact, Fact::Users(UserFacts::WalkEnd(_)));
        let whole = matches!(fact, Fact::Users(UserFacts::Whole(_)));
        self.report.merge(fact, now);
        if let Some(identity) =
            self.report.identity.as_ref().filter(|identity| Some(*identity) != known.as_ref())
        {
            info!(
                target_name = &*self.report.target,
                system = identity.system.label(),
                version = identity.version,
                "detected the target's system"
            );
        }
        if walked {
            self.wanted.add(self.report.users.missing());
        }
        walked || whole
    }

    /// Keeps the users of a list that is whole, unless that was done a short while ago.
    async fn keep_users(&mut self, now: Moment) {
        let due = self.kept.is_none_or(|kept| now.since(kept) >= KEEP_EVERY);
        if let Some(store) = self.store.clone().filter(|_| due) {
            self.kept = Some(now);
            let (target, users) = (Arc::clone(&self.report.target), Arc::clone(&self.report.users));
            keep(store, target, users, now).await;
        }
    }

    fn count(&mut self, part: Part, result: &Result<Step, FetchError>, ended: Ended) {
        let target = &*self.report.target;
        for Planned { part, .. } in self.upstream.plan() {
            if !self.declared.contains(&part) {
                self.telemetry.declare_part(target, part.label(), &Reason::ALL.map(Reason::label));
                self.declared.push(part);
            }
        }
        self.count_requests();
        let target = &*self.report.target;
        if ended != Ended::More {
            self.telemetry.poll(target, part.label());
        }
        if let Err(err) = result
            && !matches!(ended, Ended::Failed(Scope::NotAllowed, _))
        {
            self.telemetry.failure(target, part.label(), err.reason().label());
        }
    }

    fn count_requests(&mut self) {
        for _ in 0..self.upstream.take_requests() {
            self.telemetry.request(&self.report.target);
        }
    }

    /// Login and the part that decides it make a target up, whichever part a refused login comes to light with.
    fn up(&mut self, decides_up: bool, failure: Option<&FetchError>, ended: Ended, now: Moment) {
        if decides_up || ended.takes_down() {
            self.report.up = Some(ended == Ended::Done);
            let failure = failure.filter(|_| ended.is_of_target());
            self.report.unreachable =
                failure.map(|err| Outcome::Failed { reason: err.reason(), detail: err.to_string() });
        }
        self.report.history.up_was(self.report.up == Some(true), now);
    }

    /// Logs the outcome of a part when it has changed, and not with every poll.
    fn log(&self, part: Part, outcome: &Outcome) {
        let (target_name, part_name) = (&*self.report.target, part.label());
        let before = self.report.parts.get(&part).map(|state| &state.outcome);
        match (before, outcome) {
            (Some(Outcome::Failed { reason: known, .. }), Outcome::Failed { reason, .. })
                if known == reason => {}
            (_, Outcome::Failed { reason, detail }) => {
                warn!(target_name, part = part_name, reason = reason.label(), "polling fails: {detail}");
            }
            (Some(Outcome::Refused), Outcome::Refused) => {}
            (_, Outcome::Refused) => {
                info!(target_name, part = part_name, "this account may not read the part, which is left out");
            }
            (Some(Outcome::Failed { .. }), Outcome::Up) => {
                info!(target_name, part = part_name, "polling works again");
            }
            _ => {}
        }
    }
}

/// Users to ask for by name, in turn, each once.
#[derive(Debug, Default)]
struct Wanted {
    queue: VecDeque<Arc<str>>,
    known: HashSet<Arc<str>>,
    /// Asking failed: the list itself has its turn first, or one request that always fails would keep it for ever.
    put_off: bool,
}

impl Wanted {
    fn waits(&self) -> bool {
        !self.put_off && !self.queue.is_empty()
    }

    fn add(&mut self, names: Vec<Arc<str>>) {
        for name in names {
            if self.known.insert(Arc::clone(&name)) {
                self.queue.push_back(name);
            }
        }
    }

    fn take(&mut self, most: usize) -> Vec<Arc<str>> {
        let names: Vec<_> = self.queue.drain(..self.queue.len().min(most)).collect();
        for name in &names {
            self.known.remove(name);
        }
        names
    }

    fn put_off(&mut self, names: Vec<Arc<str>>) {
        self.add(names);
        self.put_off = true;
    }
}

/// A quick walk is not kept each time: packing tens of thousands of users takes a good part of a second.
const KEEP_EVERY: Duration = Duration::from_secs(300);

/// The pages of a walk are put up at most this often, unless something else is: with each, all that is shown is
/// written anew and judged.
const PAGES_WITHIN: Duration = Duration::from_secs(5);

/// Targets are first polled within this time, not all at once.
const FIRST_POLLS_WITHIN: Duration = Duration::from_millis(500);

/// Keeps the users of a finished walk for the daemon's next life.
async fn keep(store: Store, target: Arc<str>, users: Arc<Users>, now: Moment) {
    let started = users.walked_since().map_or(now.wall, |since| since.wall);
    let encoded = tokio::task::spawn_blocking(move || saved::encode(users.list())).await;
    let Ok(Ok(users)) = encoded else { return };
    // The store tells of its own failures.
    drop(store.save_users(&target, SavedUsers { read_at: now.wall, started, users }).await);
}

#[cfg(test)]
mod tests;

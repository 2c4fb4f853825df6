//! Decides when to request which part. Pure: times go in, the next part and its time come out.
//!
//! The answers of a panel differ in cost by a factor of a thousand, so a target is read in parts, each with its own pace.
//! Cheap parts come every interval or every other one. A long list is walked page by page, and rests after each page for
//! page time × (1/`load` − 1). The part that decides `up` is the cheapest: while it fails, or the target itself does,
//! nothing else is requested. Waits that a system demands ([`Again`]) are kept for the whole target, whichever part they came with.

use std::{collections::BTreeMap, time::Duration};

use super::config::{PollConfig, UsersInterval};
use crate::{
    model::Part,
    upstream::{Again, FetchError, Pace, Planned, Scope},
};

/// The longest wait after failures of a part; twice the interval if that is longer.
const BACK_OFF: Duration = Duration::from_secs(120);
/// Between two requests for one long list, however fast the answers come.
const SHORTEST_REST: Duration = Duration::from_millis(5);
/// A part that the account may not read is requested again after this time, in case the account's role has changed.
const NOT_ALLOWED: Duration = Duration::from_secs(900);
/// So long may a request take that reads something again.
const READING: Duration = Duration::from_secs(60);

/// One target's schedule. Times are uptimes of the daemon.
#[derive(Debug)]
pub(super) struct Schedule {
    config: PollConfig,
    /// The target's parts; the first one decides whether it is up.
    plan: Vec<Planned>,
    slots: BTreeMap<Part, Slot>,
    /// Long lists pause until then, so that walking keeps the panel busy for no more than its share.
    walks_rest_until: Duration,
    /// How long the last request for a long list took, and when it ended.
    walked: (Duration, Duration),
    /// The target itself failed, or was not reached yet: only the part that decides `up` is requested.
    down: bool,
    /// The part that decides `up` failed at its last attempt, or was not tried yet.
    failed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    due: Duration,
    waits: Waits,
    failures: u32,
    /// When the first of these failures started.
    failing_since: Option<Duration>,
    /// When the present round started; a round of a long list takes many requests.
    began: Option<Duration>,
    /// From the start of the last whole round to the earliest start of the next, or what the present one takes already.
    round: Duration,
}

/// Why a part waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waits {
    /// For its turn, or for the next attempt after a failure.
    #[default]
    Turn,
    /// The account may not read it.
    Refused,
    /// As long as the target demands.
    Demanded,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The part is complete; its whole round took as long as [`Schedule::ended`] returns.
    Done,
    /// A long list has more to read.
    More,
    Failed(Scope, Again),
}

impl Ended {
    /// The failure of a request for `planned`. An account that may not even read the part that decides `up` would be
    /// refused the others for no reason of theirs.
    pub(super) fn failed(err: &FetchError, planned: Planned) -> Self {
        let scope = match err.scope() {
            Scope::NotAllowed if planned.decides_up => Scope::Target,
            scope => scope,
        };
        Ended::Failed(scope, err.again)
    }

    /// Whether requests for other parts would fail too.
    pub(super) fn is_of_target(self) -> bool {
        matches!(self, Ended::Failed(Scope::Target | Scope::Login, _))
    }

    /// Whether this failure means that the target is down, even for a part that does not decide `up`.
    pub(super) fn takes_down(self) -> bool {
        matches!(
            self,
            Ended::Failed(Scope::Login, _)
                | Ended::Failed(Scope::Target, Again::NotBefore(_) | Again::WhenChanged { .. })
        )
    }
}

impl Schedule {
    /// A schedule that starts at `start`.
    pub(super) fn new(config: PollConfig, plan: Vec<Planned>, start: Duration) -> Self {
        let first = Slot { due: start, ..Slot::default() };
        let slots = plan.iter().filter(|planned| planned.decides_up).map(|planned| (planned.part, first));
        let walked = (Duration::ZERO, start);
        Schedule {
            config,
            slots: slots.collect(),
            plan,
            walks_rest_until: start,
            walked,
            down: true,
            failed: true,
        }
    }

    pub(super) fn config(&self) -> &PollConfig {
        &self.config
    }

    /// Continues under another configuration. No part waits for its turn longer than that allows.
    pub(super) fn change(&mut self, config: PollConfig, now: Duration) {
        self.config = config;
        let (took, ended) = self.walked;
        self.walks_rest_until = ended + self.walk_rest(took);
        for (part, mut slot) in self.slots.clone() {
            let in_a_walk = slot.began.is_some() && slot.failures == 0;
            let latest = if in_a_walk { now } else { now + self.interval(part) };
            if slot.waits == Waits::Turn {
                slot.due = slot.due.min(latest);
                slot.round = slot.round.max(self.lasts(part, slot));
                self.slots.insert(part, slot);
            }
        }
    }

    /// Sets the target's parts, which become known with its answers.
    pub(super) fn plan(&mut self, plan: Vec<Planned>) {
        self.plan = plan;
    }

    /// Sets how long a round of `part` took in an earlier process.
    pub(super) fn remember(&mut self, part: Part, round: Duration) {
        self.slots.insert(part, Slot { round, ..self.slot(part) });
    }

    /// The part to request next, and when; absent: the target has none. Of the parts whose time has come, cheap ones
    /// go before long lists, so that a cheap part is late by one page at most.
    pub(super) fn next(&self, now: Duration) -> Option<(Planned, Duration)> {
        let left_alone = self
            .plan
            .iter()
            .any(|planned| planned.decides_up && self.slot(planned.part).waits == Waits::Demanded);
        // What the target discards does not wait for another part that fails.
        let expires = |pace| matches!(pace, Pace::Within(_)) && !left_alone;
        let wanted =
            self.plan.iter().filter(|planned| !self.down || planned.decides_up || expires(planned.pace));
        // Of parts with equal priority, the one that has waited longest goes first, so that each gets its turn.
        let due = wanted.map(|planned| {
            let walks = planned.pace == Pace::Walk;
            ((self.due(*planned).max(now), walks, self.slot(planned.part).due, planned.part), *planned)
        });
        due.min_by_key(|(order, _)| *order).map(|((due, ..), planned)| (planned, due))
    }

    /// Whether a long list stopped for so long, because the target was down, that continuing it would present old
    /// facts as new. Then the round starts again.
    pub(super) fn begins_again(&mut self, planned: Planned, now: Duration) -> bool {
        let slot = self.slot(planned.part);
        let overdue = now.saturating_sub(self.due(planned));
        let again = slot.began.is_some() && overdue > self.config.stale_after;
        if again {
            self.slots.insert(planned.part, Slot { began: None, ..slot });
        }
        again
    }

    fn slot(&self, part: Part) -> Slot {
        self.slots.get(&part).copied().unwrap_or_default()
    }

    fn pace(&self, part: Part) -> Pace {
        let planned = self.plan.iter().find(|planned| planned.part == part);
        planned.map_or(Pace::Every(1), |planned| planned.pace)
    }

    fn due(&self, planned: Planned) -> Duration {
        let due = self.slot(planned.part).due;
        match planned.pace {
            Pace::Walk => due.max(self.walks_rest_until),
            Pace::Every(_) | Pace::Each(_) | Pace::Within(_) => due,
        }
    }

    /// Records the end of a request for a part. `jitter` is around 1 and keeps targets from polling in step. Returns
    /// the time since the part's round started.
    pub(super) fn ended(
        &mut self,
        planned: Planned,
        (from, to): (Duration, Duration),
        ended: Ended,
        jitter: f64,
    ) -> Duration {
        let Planned { part, pace, decides_up } = planned;
        let mut slot = self.slot(part);
        let mut began = slot.began.unwrap_or(from);
        let took = to.saturating_sub(from);

        match ended {
            Ended::Done | Ended::More | Ended::Failed(Scope::NotAllowed, _) => {
                slot.failures = 0;
                let failing = slot.failing_since.take().map(|since| from.saturating_sub(since));
                // A long outage is no part of the round.
                let outage = failing.filter(|failing| *failing > self.config.stale_after);
                began = (began + outage.unwrap_or_default()).min(from);
            }
            Ended::Failed(..) => {
                slot.failures += 1;
                slot.failing_since.get_or_insert(from);
            }
        }
        slot.began = Some(began);
        if decides_up {
            self.decided(ended, to);
        }

        let rest = match pace {
            Pace::Walk => self.walk_rest(took),
            // An answer that takes longer than the interval must not keep the panel busy all the time either.
            Pace::Every(_) | Pace::Each(_) => took,
            Pace::Within(_) => Duration::ZERO,
        };
        if pace == Pace::Walk {
            self.walks_rest_until = to + rest;
            self.walked = (took, to);
        }
        slot.waits = match ended {
            Ended::Failed(_, Again::NotBefore(_) | Again::WhenChanged { .. }) => Waits::Demanded,
            Ended::Failed(Scope::NotAllowed, Again::Usual) => Waits::Refused,
            Ended::Done | Ended::More | Ended::Failed(..) => Waits::Turn,
        };
        let due = match ended {
            Ended::More => to + rest.max(SHORTEST_REST),
            Ended::Done => (began + self.interval(part).mul_f64(jitter)).max(to + rest),
            Ended::Failed(_, Again::NotBefore(wait) | Again::WhenChanged { at_latest: wait }) => to + wait,
            Ended::Failed(Scope::NotAllowed, Again::Usual) => to + NOT_ALLOWED.mul_f64(jitter),
            Ended::Failed(_, Again::Usual) => {
                (from + self.back_off(slot.failures).mul_f64(jitter)).max(to + rest)
            }
        };
        slot.due = match (pace, ended) {
            (Pace::Within(longest), Ended::Done | Ended::Failed(_, Again::Usual)) => due.min(to + longest),
            _ => due,
        };
        slot.round = match ended {
            Ended::Done => slot.due.saturating_sub(began),
            // Until a round has ended, the pause after each page gives a lower bound.
            Ended::More => slot.round.max(took + rest),
            // The pause after a page that failed is part of the round too.
            Ended::Failed(_, Again::Usual) if pace == Pace::Walk => slot.round.max(took + rest),
            Ended::Failed(..) => slot.round,
        };
        let goes_on = match pace {
            Pace::Walk => !matches!(ended, Ended::Done | Ended::Failed(Scope::NotAllowed, _)),
            Pace::Every(_) | Pace::Each(_) | Pace::Within(_) => ended == Ended::More,
        };
        if !goes_on {
            slot.began = None;
        }
        self.slots.insert(part, slot);
        self.hold(ended, to);
        to.saturating_sub(began)
    }

    /// Records the end of a request for the part that decides `up`. When it answers again, so may what the account was
    /// refused.
    fn decided(&mut self, ended: Ended, to: Duration) {
        self.down = ended.is_of_target();
        let failed = matches!(ended, Ended::Failed(..));
        if std::mem::replace(&mut self.failed, failed) && !failed {
            for slot in self.slots.values_mut().filter(|slot| slot.waits == Waits::Refused) {
                (slot.due, slot.waits) = (to, Waits::Turn);
            }
        }
    }

    /// Records that the last request for a part whose round continues brought something: the round takes at least until
    /// the next request. One that brings nothing may be stuck, and its age must show that.
    pub(super) fn went_on(&mut self, part: Part) {
        let slot = self.slot(part);
        self.slots.insert(part, Slot { round: slot.round.max(self.lasts(part, slot)), ..slot });
    }

    /// How long the present round of a long list lasts at least: until the next request for it.
    fn lasts(&self, part: Part, slot: Slot) -> Duration {
        let due = if self.pace(part) == Pace::Walk { slot.due.max(self.walks_rest_until) } else { slot.due };
        slot.began.map_or(Duration::ZERO, |began| due.saturating_sub(began))
    }

    /// Records that the answer to another part completed `part`. It is requested itself only when that answer no
    /// longer contains it.
    pub(super) fn came_along(&mut self, part: Part, with: Part) {
        let round = self.interval(part);
        self.slots.insert(part, Slot { due: self.slot(with).due + round, round, ..Slot::default() });
    }

    /// A wait for the whole target applies to the part that decides `up`, whichever part was requested.
    fn hold(&mut self, ended: Ended, to: Duration) {
        self.down |= ended.takes_down();
        let Ended::Failed(Scope::Target | Scope::Login, again) = ended else { return };
        let (Again::NotBefore(wait) | Again::WhenChanged { at_latest: wait }) = again else { return };
        for planned in self.plan.iter().filter(|planned| planned.decides_up) {
            let slot = self.slots.entry(planned.part).or_default();
            (slot.due, slot.waits) = (to + wait, Waits::Demanded);
        }
    }

    /// When long lists may be requested again; absent while the target is down.
    pub(super) fn walks_rest_until(&self) -> Option<Duration> {
        (!self.down).then_some(self.walks_rest_until)
    }

    /// Records a request for some rows of a long list outside its walk, which counts towards the load too.
    pub(super) fn asked_out_of_turn(&mut self, (from, to): (Duration, Duration), ended: Ended) {
        let rest = self.walk_rest(to.saturating_sub(from));
        self.walks_rest_until = to + if ended == Ended::Done { rest } else { rest.max(self.config.interval) };
        self.hold(ended, to);
    }

    /// How long requests for a long list that take so long together last with the rests between them.
    pub(super) fn at_load(&self, took: Duration) -> Duration {
        took + self.walk_rest(took)
    }

    fn walk_rest(&self, took: Duration) -> Duration {
        took.mul_f64((1.0 / self.config.load - 1.0).clamp(0.0, 1e4))
    }

    /// The age beyond which the part's data is no longer shown: three of its own rounds, if that is longer than
    /// configured.
    pub(super) fn stale_after(&self, part: Part) -> Duration {
        self.config.stale_after.max(self.round(part) * 3)
    }

    /// From the start of one round of `part` to the start of the next, at the present pace.
    pub(super) fn round(&self, part: Part) -> Duration {
        self.slot(part).round.max(self.interval(part))
    }

    /// The most time between two readings of the same thing in `part`, as long as none fails.
    pub(super) fn between_readings(&self, part: Part) -> Duration {
        self.round(part) * 3 / 2 + READING
    }

    /// From the start of one round of `part` to the start of the next, if the panel is fast.
    fn interval(&self, part: Part) -> Duration {
        match (self.pace(part), self.config.users_interval) {
            (Pace::Every(n), _) => self.config.interval * n,
            (Pace::Each(time), _) => time.max(self.config.interval),
            (Pace::Within(longest), _) => self.config.interval.min(longest),
            (Pace::Walk, UsersInterval::Every(interval)) => interval,
            (Pace::Walk, UsersInterval::Auto) => self.config.interval,
        }
    }

    fn back_off(&self, failures: u32) -> Duration {
        doubled(self.config.interval, failures, BACK_OFF.max(self.config.interval * 2))
    }
}

/// `first` after one failure, twice that after two, and so on up to `longest`.
fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests;

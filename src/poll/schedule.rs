//! Decides when to request which part. Pure: times go in, the next part and its time come out.
//!
//! The answers of a panel differ in cost by a factor of a thousand, so a target is read in parts, each with its own pace.
//! Cheap parts come every interval or every other one. A long list is walked page by page, and rests after each page for
//! page time × (1/`load` − 1). The part that decides `up` is the cheapest: while the target itself fails, nothing else is
//! requested. Waits that a system demands ([`Again`]) are kept for the whole target, whichever part they came with.

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

/// One target's schedule. Times are uptimes of the daemon.
#[derive(Debug)]
pub(super) struct Schedule {
    config: PollConfig,
    /// The target's parts; the first one decides whether it is up.
    plan: Vec<Planned>,
    slots: BTreeMap<Part, Slot>,
    /// Long lists pause until then, so that walking keeps the panel busy for no more than its share.
    walks_rest_until: Duration,
    /// The target itself failed, or was not reached yet: only the part that decides `up` is requested.
    down: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    due: Duration,
    failures: u32,
    /// When the present round started; a round of a long list takes many requests.
    began: Option<Duration>,
    /// From the start of the last whole round to the earliest start of the next.
    round: Duration,
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
    /// The failure of a request for `planned`. The part that decides `up` cannot be skipped.
    pub(super) fn failed(err: &FetchError, planned: Planned) -> Self {
        let scope = match err.scope() {
            Scope::NotAllowed if planned.decides_up => Scope::Part,
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
        Schedule { config, slots: slots.collect(), plan, walks_rest_until: start, down: true }
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
        let wanted = self.plan.iter().filter(|planned| !self.down || planned.decides_up);
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
        let began = *slot.began.get_or_insert(from);
        let took = to.saturating_sub(from);

        match ended {
            Ended::Done | Ended::More | Ended::Failed(Scope::NotAllowed, _) => slot.failures = 0,
            Ended::Failed(..) => slot.failures += 1,
        }
        if decides_up {
            self.down = ended.is_of_target();
        }

        let rest = match pace {
            Pace::Walk => self.walk_rest(took),
            // An answer that takes longer than the interval must not keep the panel busy all the time either.
            Pace::Every(_) | Pace::Each(_) => took,
            Pace::Within(_) => Duration::ZERO,
        };
        if pace == Pace::Walk {
            self.walks_rest_until = to + rest;
        }
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
            (Pace::Within(longest), Ended::Done | Ended::Failed(Scope::Part, Again::Usual)) => {
                due.min(to + longest)
            }
            _ => due,
        };
        slot.round = match ended {
            Ended::Done => slot.due.saturating_sub(began),
            // Until a round has ended, the pause after each page gives a lower bound.
            Ended::More => slot.round.max(took + rest),
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
            self.slots.entry(planned.part).or_default().due = to + wait;
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
mod tests {
    use super::*;

    const SYSTEM: Planned = Planned { part: Part::System, pace: Pace::Every(1), decides_up: true };
    const USAGE: Planned = Planned { part: Part::Usage, pace: Pace::Every(2), decides_up: false };
    const USERS: Planned = Planned { part: Part::Users, pace: Pace::Walk, decides_up: false };
    const USER_NODES: Planned = Planned { part: Part::UserNodes, ..USERS };
    const TARGET_FAILED: Ended = Ended::Failed(Scope::Target, Again::Usual);
    const FAILED: Ended = Ended::Failed(Scope::Part, Again::Usual);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn schedule() -> Schedule {
        Schedule::new(PollConfig::default(), vec![SYSTEM, USAGE, USERS], Duration::ZERO)
    }

    fn next(schedule: &Schedule, now: Duration) -> (Part, Duration) {
        let (planned, due) = schedule.next(now).unwrap();
        (planned.part, due)
    }

    #[test]
    fn cheap_parts_go_first_and_then_every_interval() {
        let mut schedule = schedule();
        assert_eq!(next(&schedule, secs(0)), (Part::System, secs(0)));
        schedule.ended(SYSTEM, (secs(0), secs(1)), Ended::Done, 1.0);
        assert_eq!(next(&schedule, secs(1)), (Part::Usage, secs(1)));
        schedule.ended(USAGE, (secs(1), secs(2)), Ended::Done, 1.0);
        assert_eq!(next(&schedule, secs(2)), (Part::Users, secs(2)));
        schedule.ended(USERS, (secs(2), secs(3)), Ended::Done, 1.0);
        assert_eq!(next(&schedule, secs(3)), (Part::System, secs(30)));
    }

    #[test]
    fn walking_rests_nine_times_as_long_as_a_page_took() {
        let mut schedule = schedule();
        schedule.ended(SYSTEM, (secs(0), secs(0)), Ended::Done, 1.0);
        schedule.ended(USERS, (secs(0), secs(10)), Ended::More, 1.0);
        assert_eq!(schedule.due(USERS), secs(100));
        // Both long lists share the pause.
        assert_eq!(schedule.due(USER_NODES), secs(100));
        schedule.ended(USERS, (secs(100), secs(110)), Ended::Done, 1.0);
        assert_eq!(schedule.due(USERS), secs(200));
        assert_eq!(schedule.stale_after(Part::Users), secs(600));
    }

    #[test]
    fn a_slow_list_is_stale_after_three_of_its_own_rounds() {
        let mut schedule = schedule();
        schedule.ended(USERS, (secs(0), secs(10)), Ended::More, 1.0);
        assert_eq!(schedule.ended(USERS, (secs(400), secs(410)), Ended::Done, 1.0), secs(410));
        assert_eq!(schedule.stale_after(Part::Users), secs(1500));
    }

    #[test]
    fn a_failing_part_is_asked_less_and_less_often() {
        let mut schedule = schedule();
        for (from, due) in [(0, 30), (30, 90), (90, 210), (210, 330), (330, 450)] {
            schedule.ended(USAGE, (secs(from), secs(from)), FAILED, 1.0);
            assert_eq!(schedule.due(USAGE), secs(due));
        }
        schedule.ended(USAGE, (secs(450), secs(450)), Ended::Done, 1.0);
        schedule.ended(USAGE, (secs(510), secs(510)), FAILED, 1.0);
        assert_eq!(schedule.due(USAGE), secs(540));
    }

    #[test]
    fn a_target_that_is_down_is_asked_for_its_cheapest_part_alone() {
        let mut schedule = schedule();
        schedule.ended(SYSTEM, (secs(0), secs(20)), TARGET_FAILED, 1.0);
        assert_eq!(next(&schedule, secs(20)), (Part::System, secs(40)));
        schedule.ended(SYSTEM, (secs(40), secs(41)), Ended::Done, 1.0);
        assert_eq!(next(&schedule, secs(41)).0, Part::Usage);
    }

    #[test]
    fn what_the_target_asks_for_is_kept_to_whichever_part_it_came_with() {
        let wait = secs(15 * 60);
        for again in [Again::NotBefore(wait), Again::WhenChanged { at_latest: wait }] {
            for scope in [Scope::Target, Scope::Login] {
                // A login can be refused in the middle of a walk.
                for planned in [USERS, SYSTEM] {
                    let mut schedule = schedule();
                    schedule.ended(SYSTEM, (secs(0), secs(0)), Ended::Done, 1.0);
                    schedule.ended(planned, (secs(0), secs(1)), Ended::Failed(scope, again), 1.05);
                    assert_eq!(next(&schedule, secs(1)), (Part::System, secs(1) + wait));
                    schedule.ended(SYSTEM, (secs(901), secs(901)), Ended::Done, 1.0);
                    assert_ne!(next(&schedule, secs(901)).0, Part::System);
                }
                let mut schedule = schedule();
                schedule.ended(SYSTEM, (secs(0), secs(0)), Ended::Done, 1.0);
                schedule.asked_out_of_turn((secs(0), secs(1)), Ended::Failed(scope, again));
                assert_eq!(next(&schedule, secs(1)), (Part::System, secs(1) + wait));
            }
            // A wait for one part delays only that part.
            let mut schedule = schedule();
            schedule.ended(SYSTEM, (secs(0), secs(0)), Ended::Done, 1.0);
            schedule.ended(USAGE, (secs(0), secs(0)), Ended::Failed(Scope::Part, again), 1.0);
            assert_eq!((schedule.due(USAGE), next(&schedule, secs(0)).0), (wait, Part::Users));
        }
    }

    #[test]
    fn what_the_target_forgets_is_asked_for_in_time() {
        let queue =
            |longest| Planned { part: Part::Usage, pace: Pace::Within(secs(longest)), decides_up: false };
        for (longest, due) in [(20, 20), (60, 30)] {
            let queue = queue(longest);
            let mut schedule = Schedule::new(PollConfig::default(), vec![SYSTEM, queue], Duration::ZERO);
            schedule.ended(queue, (secs(0), secs(0)), Ended::Done, 1.0);
            assert_eq!(schedule.due(queue), secs(due));
            // Failures and slow answers do not delay it any further.
            for _ in 0..5 {
                schedule.ended(queue, (secs(0), secs(40)), FAILED, 1.05);
                assert!(schedule.due(queue) <= secs(40 + longest));
            }
        }
    }

    #[test]
    fn a_part_that_came_along_with_another_is_not_asked_for_as_well() {
        let mut schedule = schedule();
        schedule.ended(SYSTEM, (secs(0), secs(1)), Ended::Done, 1.0);
        schedule.came_along(Part::Usage, Part::System);
        assert_eq!((next(&schedule, secs(1)).0, schedule.due(USAGE)), (Part::Users, secs(30 + 60)));
        assert_eq!(schedule.round(Part::Usage), secs(60));
    }

    #[test]
    fn an_outage_is_not_taken_for_a_long_round() {
        let mut schedule = schedule();
        schedule.ended(SYSTEM, (secs(0), secs(0)), Ended::Done, 1.0);
        schedule.ended(USERS, (secs(0), secs(10)), Ended::More, 1.0);
        for at in (30..18_000).step_by(120) {
            schedule.ended(SYSTEM, (secs(at), secs(at)), TARGET_FAILED, 1.0);
        }
        assert_eq!(schedule.ended(SYSTEM, (secs(18_000), secs(18_001)), Ended::Done, 1.0), secs(1));
        assert_eq!(schedule.stale_after(Part::System), secs(600));
        assert!(schedule.begins_again(USERS, secs(18_001)));
        assert_eq!(schedule.ended(USERS, (secs(18_001), secs(18_011)), Ended::Done, 1.0), secs(10));
        assert!(!schedule.begins_again(USERS, secs(90_000)));
    }

    #[test]
    fn two_long_lists_take_turns() {
        let mut schedule = schedule();
        schedule.plan(vec![SYSTEM, USERS, USER_NODES]);
        let (mut now, mut turns) = (Duration::ZERO, Vec::new());
        schedule.ended(SYSTEM, (now, now), Ended::Done, 1.0);
        while turns.len() < 6 {
            let (planned, due) = schedule.next(now).unwrap();
            now = due.max(now) + secs(4);
            schedule.ended(planned, (now - secs(4), now), Ended::Done, 1.0);
            if planned != SYSTEM {
                turns.push(planned);
            }
        }
        assert_eq!(turns.iter().filter(|planned| **planned == USERS).count(), 3, "{turns:?}");
    }

    #[test]
    fn a_refused_part_is_asked_for_again_now_and_then() {
        let mut schedule = schedule();
        schedule.ended(USAGE, (secs(0), secs(0)), Ended::Failed(Scope::NotAllowed, Again::Usual), 1.0);
        assert_eq!(schedule.due(USAGE), NOT_ALLOWED);
    }
}

//! When to ask a target for what. Pure: times go in, the next part and its time come out.

use std::{collections::BTreeMap, time::Duration};

use super::config::{PollConfig, UsersInterval};
use crate::model::Part;

/// The longest wait after failures of a part, or twice the interval if that is longer.
const BACK_OFF: Duration = Duration::from_secs(120);
/// What an account may not read is asked for again in case its role has changed.
const REFUSED: Duration = Duration::from_secs(900);
/// Every refused login shows up in the panel operator's chat, with the password in clear text.
const AUTH: Duration = Duration::from_secs(900);
const AUTH_LONGEST: Duration = Duration::from_secs(4 * 3600);

/// One target's timetable. Times are by the daemon's uptime.
#[derive(Debug)]
pub(super) struct Schedule {
    config: PollConfig,
    slots: BTreeMap<Part, Slot>,
    /// Long lists rest until then, so that walking keeps the panel busy for no more than its share.
    walks_rest_until: Duration,
    /// The target itself failed, or was not reached yet: nothing but its cheapest part is asked for.
    down: bool,
    /// Refused logins in a row.
    logins_refused: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    due: Duration,
    failures: u32,
    /// When the round under way began; a round of a long list takes many requests.
    began: Option<Duration>,
    /// From the beginning of the last whole round to the earliest beginning of the next.
    round: Duration,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The part is read to its end; its whole round took as long as [`Schedule::ended`] returns.
    Done,
    /// A long list has more to read.
    More,
    /// The account may not read the part.
    Refused,
    /// This part failed.
    Failed,
    /// The target failed, and would fail for other parts too.
    TargetFailed,
    /// The target refused the login.
    AuthFailed,
}

/// How a part is paced.
enum Pace {
    /// One request every so many intervals.
    Intervals(u32),
    /// A long list, read bit by bit within the target's load.
    Walk,
}

fn pace(part: Part) -> Pace {
    match part {
        Part::System | Part::Core | Part::Nodes => Pace::Intervals(1),
        Part::Usage | Part::Admins => Pace::Intervals(2),
        Part::Users | Part::UserNodes => Pace::Walk,
    }
}

impl Schedule {
    /// A timetable that begins at `start`.
    pub(super) fn new(config: PollConfig, start: Duration) -> Self {
        let first = Slot { due: start, ..Slot::default() };
        Schedule {
            config,
            slots: BTreeMap::from([(Part::System, first)]),
            walks_rest_until: start,
            down: true,
            logins_refused: 0,
        }
    }

    /// Which of `parts` to ask for next, and when. Of those that are due, cheap ones go before long lists, so that a
    /// cheap part is late by one page at most.
    pub(super) fn next(&self, parts: &[Part], now: Duration) -> (Part, Duration) {
        let wanted = parts.iter().filter(|part| !self.down || **part == Part::System);
        // Of parts that are equally due, the one that has waited longest goes first, so that each gets its turn.
        let due = wanted.map(|part| {
            let walks = matches!(pace(*part), Pace::Walk);
            (self.due(*part).max(now), walks, self.slot(*part).due, *part)
        });
        due.min().map_or((Part::System, self.due(Part::System)), |(due, _, _, part)| (part, due))
    }

    /// Whether a long list was left in the middle for so long, because the target was down, that going on with it
    /// would pass off old facts as new ones. The round then begins anew.
    pub(super) fn begins_anew(&mut self, part: Part, now: Duration) -> bool {
        let slot = self.slot(part);
        let overdue = now.saturating_sub(self.due(part));
        let anew = slot.began.is_some() && overdue > self.config.stale_after;
        if anew {
            self.slots.insert(part, Slot { began: None, ..slot });
        }
        anew
    }

    fn slot(&self, part: Part) -> Slot {
        self.slots.get(&part).copied().unwrap_or_default()
    }

    fn due(&self, part: Part) -> Duration {
        let due = self.slot(part).due;
        match pace(part) {
            Pace::Walk => due.max(self.walks_rest_until),
            Pace::Intervals(_) => due,
        }
    }

    /// Takes down how a request for `part` ended. `jitter` is around 1 and keeps targets from marching in step.
    /// Returns the time since the part's round began.
    pub(super) fn ended(
        &mut self,
        part: Part,
        (from, to): (Duration, Duration),
        ended: Ended,
        jitter: f64,
    ) -> Duration {
        let mut slot = self.slot(part);
        let began = *slot.began.get_or_insert(from);
        let took = to.saturating_sub(from);

        match ended {
            Ended::Done | Ended::More | Ended::Refused => slot.failures = 0,
            Ended::Failed | Ended::TargetFailed | Ended::AuthFailed => slot.failures += 1,
        }
        self.logins_refused = match ended {
            Ended::AuthFailed => self.logins_refused + 1,
            // A failure may have come before the login was judged.
            Ended::TargetFailed | Ended::Failed => self.logins_refused,
            Ended::Done | Ended::More | Ended::Refused => 0,
        };
        if part == Part::System || ended == Ended::AuthFailed {
            self.down = matches!(ended, Ended::TargetFailed | Ended::AuthFailed);
        }

        let rest = match pace(part) {
            Pace::Walk => self.walk_rest(took),
            // An answer that takes longer than the interval does not keep the panel busy all the time either.
            Pace::Intervals(_) => took,
        };
        if matches!(pace(part), Pace::Walk) {
            self.walks_rest_until = to + rest;
        }
        slot.due = match ended {
            Ended::More => to + rest,
            Ended::Done => (began + self.interval(part).mul_f64(jitter)).max(to + rest),
            Ended::Refused => to + REFUSED.mul_f64(jitter),
            Ended::Failed | Ended::TargetFailed => {
                (from + self.back_off(slot.failures).mul_f64(jitter)).max(to + rest)
            }
            Ended::AuthFailed => to + doubled(AUTH, self.logins_refused, AUTH_LONGEST),
        };
        if ended == Ended::AuthFailed {
            self.slots.entry(Part::System).or_default().due = slot.due;
        }
        slot.round = match ended {
            Ended::Done => slot.due.saturating_sub(began),
            // Until a round has ended, the rest after each page tells how slow it is at least.
            Ended::More => slot.round.max(took + rest),
            _ => slot.round,
        };
        let goes_on = match pace(part) {
            Pace::Walk => !matches!(ended, Ended::Done | Ended::Refused),
            Pace::Intervals(_) => ended == Ended::More,
        };
        if !goes_on {
            slot.began = None;
        }
        self.slots.insert(part, slot);
        to.saturating_sub(began)
    }

    /// When long lists may be asked for again; absent while the target is down.
    pub(super) fn walks_rest_until(&self) -> Option<Duration> {
        (!self.down).then_some(self.walks_rest_until)
    }

    /// Takes down that some rows of a long list were asked for out of turn, which has its share of the load too.
    pub(super) fn asked_out_of_turn(&mut self, (from, to): (Duration, Duration), went_well: bool) {
        let rest = self.walk_rest(to.saturating_sub(from));
        self.walks_rest_until = to + if went_well { rest } else { rest.max(self.config.interval) };
    }

    fn walk_rest(&self, took: Duration) -> Duration {
        took.mul_f64((1.0 / self.config.load - 1.0).clamp(0.0, 1e4))
    }

    /// The age beyond which what is known of `part` is no longer told: three of its own rounds, if that is longer
    /// than configured.
    pub(super) fn stale_after(&self, part: Part) -> Duration {
        self.config.stale_after.max(self.round(part) * 3)
    }

    /// From the beginning of one round of `part` to that of the next, as it goes at present.
    pub(super) fn round(&self, part: Part) -> Duration {
        self.slot(part).round.max(self.interval(part))
    }

    /// From the beginning of one round of `part` to that of the next, if the panel is fast.
    fn interval(&self, part: Part) -> Duration {
        match (pace(part), self.config.users_interval) {
            (Pace::Intervals(n), _) => self.config.interval * n,
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

    const PARTS: [Part; 3] = [Part::System, Part::Usage, Part::Users];

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn schedule() -> Schedule {
        Schedule::new(PollConfig::default(), Duration::ZERO)
    }

    #[test]
    fn cheap_parts_go_first_and_then_every_interval() {
        let mut schedule = schedule();
        assert_eq!(schedule.next(&[Part::System], secs(0)), (Part::System, secs(0)));
        schedule.ended(Part::System, (secs(0), secs(1)), Ended::Done, 1.0);
        assert_eq!(schedule.next(&PARTS, secs(1)), (Part::Usage, secs(1)));
        schedule.ended(Part::Usage, (secs(1), secs(2)), Ended::Done, 1.0);
        assert_eq!(schedule.next(&PARTS, secs(2)), (Part::Users, secs(2)));
        schedule.ended(Part::Users, (secs(2), secs(3)), Ended::Done, 1.0);
        assert_eq!(schedule.next(&PARTS, secs(3)), (Part::System, secs(30)));
    }

    #[test]
    fn walking_rests_nine_times_as_long_as_a_page_took() {
        let mut schedule = schedule();
        schedule.ended(Part::System, (secs(0), secs(0)), Ended::Done, 1.0);
        schedule.ended(Part::Users, (secs(0), secs(10)), Ended::More, 1.0);
        assert_eq!(schedule.due(Part::Users), secs(100));
        // Both long lists share the rest.
        assert_eq!(schedule.due(Part::UserNodes), secs(100));
        schedule.ended(Part::Users, (secs(100), secs(110)), Ended::Done, 1.0);
        assert_eq!(schedule.due(Part::Users), secs(200));
        assert_eq!(schedule.stale_after(Part::Users), secs(600));
    }

    #[test]
    fn a_slow_list_is_stale_after_three_of_its_own_rounds() {
        let mut schedule = schedule();
        schedule.ended(Part::Users, (secs(0), secs(10)), Ended::More, 1.0);
        assert_eq!(schedule.ended(Part::Users, (secs(400), secs(410)), Ended::Done, 1.0), secs(410));
        assert_eq!(schedule.stale_after(Part::Users), secs(1500));
    }

    #[test]
    fn a_failing_part_is_asked_less_and_less_often() {
        let mut schedule = schedule();
        for (from, due) in [(0, 30), (30, 90), (90, 210), (210, 330), (330, 450)] {
            schedule.ended(Part::Usage, (secs(from), secs(from)), Ended::Failed, 1.0);
            assert_eq!(schedule.due(Part::Usage), secs(due));
        }
        schedule.ended(Part::Usage, (secs(450), secs(450)), Ended::Done, 1.0);
        schedule.ended(Part::Usage, (secs(510), secs(510)), Ended::Failed, 1.0);
        assert_eq!(schedule.due(Part::Usage), secs(540));
    }

    #[test]
    fn a_target_that_is_down_is_asked_for_its_cheapest_part_alone() {
        let mut schedule = schedule();
        schedule.ended(Part::System, (secs(0), secs(20)), Ended::TargetFailed, 1.0);
        assert_eq!(schedule.next(&PARTS, secs(20)), (Part::System, secs(40)));
        schedule.ended(Part::System, (secs(40), secs(41)), Ended::Done, 1.0);
        assert_eq!(schedule.next(&PARTS, secs(41)).0, Part::Usage);
    }

    #[test]
    fn a_refused_login_is_not_tried_again_for_a_quarter_of_an_hour_and_then_ever_less_often() {
        let mut schedule = schedule();
        let minutes = |n: u64| secs(n * 60);
        let mut at = Duration::ZERO;
        // The login may come to be refused in the middle of a walk.
        for (part, wait) in [(Part::Users, 15), (Part::System, 30), (Part::System, 60), (Part::System, 120)] {
            schedule.ended(part, (at, at), Ended::AuthFailed, 1.0);
            assert_eq!(schedule.next(&PARTS, at), (Part::System, at + minutes(wait)));
            at += minutes(wait);
        }
        schedule.ended(Part::System, (at, at), Ended::Done, 1.0);
        schedule.ended(Part::System, (at, at), Ended::AuthFailed, 1.0);
        assert_eq!(schedule.next(&PARTS, at), (Part::System, at + minutes(15)));
    }

    #[test]
    fn an_outage_is_not_taken_for_a_long_round() {
        let mut schedule = schedule();
        schedule.ended(Part::System, (secs(0), secs(0)), Ended::Done, 1.0);
        schedule.ended(Part::Users, (secs(0), secs(10)), Ended::More, 1.0);
        for at in (30..18_000).step_by(120) {
            schedule.ended(Part::System, (secs(at), secs(at)), Ended::TargetFailed, 1.0);
        }
        assert_eq!(schedule.ended(Part::System, (secs(18_000), secs(18_001)), Ended::Done, 1.0), secs(1));
        assert_eq!(schedule.stale_after(Part::System), secs(600));
        assert!(schedule.begins_anew(Part::Users, secs(18_001)));
        assert_eq!(schedule.ended(Part::Users, (secs(18_001), secs(18_011)), Ended::Done, 1.0), secs(10));
        assert!(!schedule.begins_anew(Part::Users, secs(90_000)));
    }

    #[test]
    fn two_long_lists_take_turns() {
        let mut schedule = schedule();
        let parts = [Part::System, Part::Users, Part::UserNodes];
        let (mut now, mut turns) = (Duration::ZERO, Vec::new());
        schedule.ended(Part::System, (now, now), Ended::Done, 1.0);
        while turns.len() < 6 {
            let (part, due) = schedule.next(&parts, now);
            now = due.max(now) + secs(4);
            schedule.ended(part, (now - secs(4), now), Ended::Done, 1.0);
            if part != Part::System {
                turns.push(part);
            }
        }
        assert_eq!(turns.iter().filter(|part| **part == Part::Users).count(), 3, "{turns:?}");
    }

    #[test]
    fn a_refused_part_is_asked_for_again_now_and_then() {
        let mut schedule = schedule();
        schedule.ended(Part::Usage, (secs(0), secs(0)), Ended::Refused, 1.0);
        assert_eq!(schedule.due(Part::Usage), REFUSED);
    }
}

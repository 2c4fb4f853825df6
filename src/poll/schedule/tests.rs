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
    let queue = |longest| Planned { part: Part::Usage, pace: Pace::Within(secs(longest)), decides_up: false };
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
fn the_expected_round_follows_a_list_that_becomes_slower() {
    let mut schedule = schedule();
    schedule.ended(SYSTEM, (secs(0), secs(0)), Ended::Done, 1.0);
    // A quick walk, and then a slow one. Its age is never more than three of its rounds.
    schedule.ended(USERS, (secs(0), secs(3)), Ended::Done, 1.0);
    let mut now = secs(30);
    while now < secs(20_000) {
        schedule.ended(USERS, (now, now + secs(30)), Ended::More, 1.0);
        schedule.went_on(Part::Users);
        now = schedule.due(USERS);
        assert!(now < schedule.stale_after(Part::Users), "{now:?}");
        assert!(now <= secs(30) + schedule.round(Part::Users), "{now:?}");
    }
    // One without progress counts for what its pages take.
    for progresses in [false, true] {
        let mut schedule = self::schedule();
        let mut now = secs(0);
        for _ in 0..100 {
            schedule.ended(USERS, (now, now + secs(1)), Ended::More, 1.0);
            if progresses {
                schedule.went_on(Part::Users);
            }
            now = schedule.due(USERS);
        }
        assert_eq!(schedule.round(Part::Users), if progresses { secs(1000) } else { secs(30) });
    }
}

#[test]
fn a_list_that_fails_for_long_is_not_taken_for_a_long_round() {
    for (fails_for, expected) in [(500, 700), (50_000, 150)] {
        let mut schedule = schedule();
        schedule.ended(USERS, (secs(0), secs(5)), Ended::More, 1.0);
        schedule.went_on(Part::Users);
        let mut now = schedule.due(USERS);
        let until = now + secs(fails_for);
        while now < until {
            schedule.ended(USERS, (now, now), FAILED, 1.0);
            now = schedule.due(USERS);
        }
        schedule.ended(USERS, (now, now + secs(5)), Ended::More, 1.0);
        schedule.went_on(Part::Users);
        let round = schedule.round(Part::Users);
        assert!(round <= secs(expected) && round >= secs(100), "{round:?}");
    }
}

#[test]
fn refused_parts_are_asked_at_once_when_the_target_answers_again() {
    const REFUSED: Ended = Ended::Failed(Scope::NotAllowed, Again::Usual);
    // How the part that decides ends in between, and whether the refused one waits on.
    let wait = Again::NotBefore(secs(60));
    let cases = [
        (Ended::Done, true),
        (TARGET_FAILED, false),
        (FAILED, false),
        (Ended::Failed(Scope::Login, Again::Usual), false),
        (Ended::Failed(Scope::Part, wait), false),
    ];
    for (between, waits) in cases {
        let mut schedule = schedule();
        schedule.ended(SYSTEM, (secs(0), secs(0)), Ended::Done, 1.0);
        schedule.ended(USERS, (secs(0), secs(0)), Ended::Done, 1.0);
        schedule.ended(USAGE, (secs(0), secs(1)), REFUSED, 1.0);
        assert_eq!(schedule.due(USAGE), secs(1) + NOT_ALLOWED);
        schedule.ended(SYSTEM, (secs(30), secs(31)), between, 1.0);
        if between.is_of_target() {
            assert_eq!(next(&schedule, secs(10_000)).0, Part::System, "{between:?}");
        }
        schedule.ended(SYSTEM, (secs(100), secs(101)), Ended::Done, 1.0);
        let due = if waits { secs(1) + NOT_ALLOWED } else { secs(101) };
        assert_eq!(schedule.due(USAGE), due, "{between:?}");
        // Only after a failure.
        schedule.ended(USAGE, (due, due), REFUSED, 1.0);
        schedule.ended(SYSTEM, (due, due), Ended::Done, 1.0);
        assert_eq!(schedule.due(USAGE), due + NOT_ALLOWED);
    }
    // What the target demands for one part is kept.
    let mut schedule = schedule();
    let hour = Again::NotBefore(secs(3600));
    schedule.ended(USAGE, (secs(0), secs(0)), Ended::Failed(Scope::Part, hour), 1.0);
    schedule.ended(SYSTEM, (secs(0), secs(0)), FAILED, 1.0);
    schedule.ended(SYSTEM, (secs(60), secs(60)), Ended::Done, 1.0);
    assert_eq!(schedule.due(USAGE), secs(3600));
}

#[test]
fn another_configuration_changes_the_pace_and_not_the_place() {
    let slow = || PollConfig { interval: secs(3600), load: 0.01, ..PollConfig::default() };
    let start = || {
        let mut schedule = Schedule::new(slow(), vec![SYSTEM, USAGE, USERS], Duration::ZERO);
        schedule.ended(SYSTEM, (secs(0), secs(0)), Ended::Done, 1.0);
        schedule.ended(USERS, (secs(0), secs(10)), Ended::More, 1.0);
        schedule
    };
    let mut schedule = start();
    assert_eq!((schedule.due(SYSTEM), schedule.due(USERS)), (secs(3600), secs(1000)));
    schedule.change(PollConfig::default(), secs(60));
    assert_eq!((schedule.due(SYSTEM), schedule.due(USERS)), (secs(90), secs(100)));
    // The walk goes on.
    assert!(!schedule.begins_again(USERS, secs(100)));
    assert_eq!(schedule.ended(USERS, (secs(100), secs(110)), Ended::Done, 1.0), secs(110));
    // A smaller load rests longer, from the last page on.
    schedule.change(slow(), secs(120));
    assert_eq!(schedule.due(USERS), secs(110 + 990));

    // What a target demands and what it refuses is kept.
    let hour = Again::WhenChanged { at_latest: secs(3600) };
    let mut schedule = start();
    schedule.ended(USAGE, (secs(0), secs(0)), Ended::Failed(Scope::NotAllowed, Again::Usual), 1.0);
    schedule.ended(USERS, (secs(0), secs(0)), Ended::Failed(Scope::Login, hour), 1.0);
    schedule.change(PollConfig::default(), secs(60));
    assert_eq!((schedule.due(SYSTEM), schedule.due(USAGE)), (secs(3600), NOT_ALLOWED));
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

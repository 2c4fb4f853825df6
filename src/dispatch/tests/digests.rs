//! Daily digests. Tests begin at 11:06:40 UTC.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::tz::TimeZone;

use super::bench::{Bench, HOUR, MINUTE, SECOND, unavailable, yes};
use crate::{
    alert::{config::RuleConfig, digest::DigestTime},
    model::{Move, Notice, Severity, Timestamp, UserStatus},
    store::Counted,
};

const DAY: Duration = Duration::from_secs(86_400);
/// From the beginning of a test to 09:00.
const NINE: Duration = Duration::from_secs(21 * 3600 + 53 * 60 + 20);

fn daily() -> Option<DigestTime> {
    Some(DigestTime { at: 9 * 60, zone: TimeZone::UTC, empty: false, top: 10 })
}

/// A receiver with digests, and a user who is about to use up the quota.
fn bench() -> Bench {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].digest = daily();
    bench.panel.uses("ann", 85);
    bench
}

/// Everything goes on until this long after the beginning of the test; the panel is read now and then.
async fn until(bench: &mut Bench, end: Duration) {
    while bench.at() < end {
        if bench.process.is_some() {
            bench.poll_panel();
        }
        let step = (end - bench.at()).min(5 * MINUTE);
        bench.pass(step).await;
    }
}

/// When digests were taken, since the beginning of the test.
fn taken(bench: &Bench, receiver: &str) -> Vec<Duration> {
    let sent = bench.sent(receiver).into_iter().filter(|sent| sent.taken && sent.notice.digest.is_some());
    sent.map(|sent| sent.at).collect()
}

fn titles(notices: &[Notice]) -> String {
    notices.iter().filter_map(|notice| Some(notice.digest.as_ref()?.title.clone())).collect()
}

fn is_shortly_after(at: Duration, due: Duration) -> bool {
    at >= due && at < due + 20 * SECOND
}

#[tokio::test(start_paused = true)]
async fn info_steps_of_users_wait_for_the_digest() {
    let mut bench = Bench::new(&["ops", "desk"]);
    bench.routes[0].digest = daily();
    bench.start();
    bench.fires(&["ann"]);
    until(&mut bench, HOUR).await;
    assert_eq!((bench.tried("ops"), bench.told("desk")), (vec![], vec!["ann".into()]));
    // The next step is a warning.
    bench.panel.uses("ann", 96);
    bench.poll_panel();
    until(&mut bench, 2 * HOUR).await;
    assert_eq!(bench.told("ops"), ["ann"]);
    bench.fires(&["bob"]);
    until(&mut bench, NINE + 2 * DAY + HOUR).await;
    let taken = taken(&bench, "ops");
    assert_eq!(taken.len(), 3, "{taken:?}");
    for (day, at) in (0..).zip(taken) {
        assert!(is_shortly_after(at, NINE + day * DAY), "{at:?}");
    }
    let [first, ..] = &bench.sent("ops")[1..] else { panic!("no digest") };
    assert!(format!("{:?}", first.notice.digest).contains("bob"), "{:?}", first.notice);
    assert!(first.notice.alerts.is_empty());
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_no_digest_lists_is_sent_as_it_comes() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].digest = daily();
    for name in ["user_expiry", "user_quota", "user_status"] {
        let severity = Some(Severity::Info);
        let rule =
            RuleConfig { enabled: Some(true), severity, for_: Some(Duration::ZERO), ..RuleConfig::default() };
        bench.config.rules.insert(name.into(), rule);
    }
    for name in ["ann", "bob", "cy"] {
        bench.panel.expires(name, 40 * 86_400);
    }
    bench.start();
    until(&mut bench, HOUR).await;
    bench.panel.expires("ann", 3 * 3600 / 2);
    bench.panel.uses("bob", 96);
    until(&mut bench, HOUR + 10 * MINUTE).await;
    assert_eq!(bench.told("ops"), [""; 0]);
    bench.panel.uses("bob", 100);
    bench.panel.set("cy", |user| user.status = UserStatus::Disabled);
    until(&mut bench, 3 * HOUR).await;
    let mut told = bench.told("ops");
    told.sort();
    assert_eq!(told, ["ann", "bob", "cy"]);
}

#[tokio::test(start_paused = true)]
async fn a_day_with_nothing_is_skipped_unless_it_is_wanted() {
    for empty in [false, true] {
        let mut bench = bench();
        bench.panel.uses("ann", 10);
        bench.routes[0].digest = daily().map(|daily| DigestTime { empty, ..daily });
        bench.start();
        until(&mut bench, NINE + HOUR).await;
        assert_eq!(taken(&bench, "ops").len(), usize::from(empty));
        let states = bench.disk.loaded().receivers;
        assert!(states[0].1.last_digest.is_some_and(|last| last.since(bench.wall(NINE)) < MINUTE));
    }
}

#[tokio::test(start_paused = true)]
async fn a_digest_lists_who_used_the_most_and_is_not_sent_for_that_alone() {
    for empty in [false, true] {
        let mut bench = bench();
        bench.panel.uses("ann", 10);
        bench.routes[0].digest = daily().map(|daily| DigestTime { empty, ..daily });
        bench.start();
        until(&mut bench, HOUR).await;
        let used = bob_has_used(3 << 30, Some(0), bench.wall(HOUR));
        bench.usage.saw("home", Counted::Users, vec![used], HOUR, bench.wall(HOUR));
        until(&mut bench, NINE + HOUR).await;
        assert_eq!(taken(&bench, "ops").len(), usize::from(empty));
        // One with news has the list, too.
        bench.panel.uses("ann", 85);
        bench.kill();
        bench.start();
        until(&mut bench, NINE + DAY - HOUR).await;
        let used = bob_has_used(5 << 30, None, bench.wall(HOUR));
        bench.usage.saw("home", Counted::Users, vec![used], HOUR, bench.wall(NINE));
        until(&mut bench, NINE + DAY + HOUR).await;
        let sent = bench.sent("ops");
        let digests: Vec<_> = sent.iter().filter_map(|sent| sent.notice.digest.as_ref()).collect();
        let last = digests.last().unwrap().sections.last().unwrap();
        assert_eq!(last.heading, "home: most traffic on 19 November 2026");
        assert_eq!(last.lines, ["bob: 2 GiB (not exact: nothing was read for a while)"]);
        if let [first, _] = &digests[..] {
            let section = first.sections.last().unwrap();
            assert_eq!(section.heading, "home: most traffic on 18 November 2026");
            assert_eq!(section.lines, ["bob: 3 GiB"]);
        }
    }
}

fn bob_has_used(total: u64, before: Option<u64>, last_read: Timestamp) -> Move {
    let (name, last_read) = ("bob".into(), Some(last_read));
    Move { name, before, total, last_read, ..Move::default() }
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_was_missed_is_sent_once_and_late() {
    for days in [0, 3] {
        let mut bench = bench();
        bench.start();
        until(&mut bench, HOUR).await;
        bench.kill();
        let start = NINE + days * DAY + 6 * HOUR;
        until(&mut bench, start).await;
        bench.start();
        until(&mut bench, start + HOUR).await;
        let at = taken(&bench, "ops");
        assert!(at.len() == 1 && is_shortly_after(at[0], start), "{at:?}");
        // The next one is in time again.
        until(&mut bench, NINE + (days + 1) * DAY + HOUR).await;
        let at = taken(&bench, "ops");
        assert!(at.len() == 2 && is_shortly_after(at[1], NINE + (days + 1) * DAY), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_gets_one_digest_for_the_whole_time() {
    let mut bench = bench();
    bench.answers("ops", |attempt| {
        let is_down = attempt.at > NINE - HOUR && attempt.at < NINE + 2 * DAY + 6 * HOUR;
        if is_down { unavailable() } else { yes() }
    });
    bench.start();
    until(&mut bench, NINE + 2 * DAY + 12 * HOUR).await;
    let sent = bench.sent("ops");
    // The one of the first day, which is recorded, and then one for all that followed.
    let mut ids: Vec<_> = sent.iter().map(|sent| &sent.notice.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 2, "{ids:?}");
    let at = taken(&bench, "ops");
    assert_eq!(at.len(), 2, "{at:?}");
    assert!(sent.iter().filter(|sent| !sent.taken).count() < 30);
    until(&mut bench, NINE + 3 * DAY + HOUR).await;
    assert_eq!(taken(&bench, "ops").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_is_refused_for_three_days_is_given_up() {
    let mut bench = bench();
    bench.answers("ops", |attempt| if attempt.at < NINE + 80 * HOUR { unavailable() } else { yes() });
    bench.start();
    until(&mut bench, NINE + 4 * DAY + HOUR).await;
    assert_eq!(bench.dead().len(), 1);
    let at = taken(&bench, "ops");
    assert!(!at.is_empty() && at.len() <= 2, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_sends_a_digest_once_or_again_under_its_id() {
    for millis in (0..4000).step_by(170) {
        for disk_takes in [0, 300] {
            let mut bench = bench();
            bench.disk_takes = Duration::from_millis(disk_takes);
            bench.start();
            bench.pass(MINUTE).await;
            bench.kill();
            until(&mut bench, NINE - MINUTE).await;
            bench.start();
            until(&mut bench, NINE - SECOND).await;
            bench.poll_panel();
            bench.pass(Duration::from_millis(millis)).await;
            bench.kill();
            bench.start();
            until(&mut bench, NINE + MINUTE).await;
            let mut ids: Vec<_> = bench.sent("ops").into_iter().map(|sent| sent.notice.id).collect();
            ids.dedup();
            assert_eq!(ids.len(), 1, "{millis} {disk_takes}");
            assert_eq!(bench.outbox(), [""; 0]);
            assert!(bench.sent("ops").len() <= 2, "{millis} {disk_takes}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_digest_covers_what_has_changed_since_it_was_turned_on() {
    let mut bench = bench();
    bench.routes[0].digest = None;
    bench.start();
    until(&mut bench, HOUR).await;
    assert_eq!(bench.told("ops"), ["ann"]);
    bench.routes[0].digest = daily();
    bench.reload(&["ops"]).await;
    assert_eq!(bench.process().board.view().own.digested, None, "the next round shows it");
    until(&mut bench, 2 * HOUR).await;
    assert_eq!(bench.sent("ops").len(), 1);
    let since = bench.process().board.view().own.digested.unwrap();
    assert!(since.since(bench.wall(HOUR)) < MINUTE);
    // A restart or another reload changes nothing.
    bench.kill();
    bench.start();
    bench.reload(&["ops"]).await;
    until(&mut bench, 3 * HOUR).await;
    assert_eq!(bench.process().board.view().own.digested, Some(since));
    until(&mut bench, NINE + HOUR).await;
    assert_eq!(taken(&bench, "ops").len(), 1);
    // What the receiver knew of is over.
    bench.ends(&["ann"]);
    bench.fires(&["bob"]);
    until(&mut bench, NINE + 2 * HOUR).await;
    assert_eq!(bench.told("ops"), ["ann", "", "-ann"]);
    // Without a digest, what fires is sent.
    bench.routes[0].digest = None;
    bench.reload(&["ops"]).await;
    until(&mut bench, NINE + 3 * HOUR).await;
    assert_eq!(bench.told("ops")[3..], ["bob"]);
    assert_eq!(bench.process().board.view().own.digested, None);
    assert_eq!(bench.disk.loaded().receivers[0].1.last_digest, None);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_makes_no_storm() {
    const TEN_YEARS: i64 = 3653 * 86_400 * 1000;
    let mut bench = bench();
    bench.start();
    until(&mut bench, HOUR).await;
    bench.process().clock.step(TEN_YEARS);
    until(&mut bench, 2 * HOUR).await;
    bench.process().clock.step(-TEN_YEARS);
    until(&mut bench, 3 * HOUR).await;
    assert!(bench.sent("ops").len() <= 1, "{}", bench.sent("ops").len());
    let before = bench.sent("ops").len();
    // From then on it is in time again.
    until(&mut bench, NINE + HOUR).await;
    let at = taken(&bench, "ops");
    assert!(at.len() == before + 1 && is_shortly_after(at[before], NINE), "{at:?}");
    // Back and forth all the time.
    for step in 0..60 {
        let days = if step % 2 == 0 { 86_400_000 } else { -86_400_000 };
        bench.process().clock.step(days);
        let end = bench.at() + MINUTE;
        until(&mut bench, end).await;
    }
    assert!(taken(&bench, "ops").len() <= at.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_and_put_right_sends_no_second_digest() {
    const A_DAY: i64 = 86_400_000;
    const FIFTY_YEARS: i64 = 18_000 * A_DAY;
    for (back, restarts) in [(A_DAY, false), (A_DAY, true), (FIFTY_YEARS, false), (FIFTY_YEARS, true)] {
        let mut bench = bench();
        bench.start();
        until(&mut bench, NINE + 3 * HOUR).await;
        assert_eq!(taken(&bench, "ops").len(), 1);
        if restarts {
            bench.kill();
            bench.start();
        }
        bench.process().clock.step(-back);
        until(&mut bench, NINE + 3 * HOUR + MINUTE).await;
        bench.process().clock.step(back);
        if restarts {
            bench.kill();
            bench.start();
        }
        until(&mut bench, NINE + DAY + HOUR).await;
        let at = taken(&bench, "ops");
        assert!(at.len() == 2 && is_shortly_after(at[1], NINE + DAY), "{back} {restarts} {at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_digest_waits_for_the_first_read_for_ten_minutes() {
    for read_after in [Some(3 * MINUTE), None] {
        let mut bench = bench();
        bench.start();
        until(&mut bench, HOUR).await;
        bench.kill();
        until(&mut bench, NINE + HOUR).await;
        bench.start();
        let start = bench.at();
        bench.routes[0].digest = daily().map(|daily| DigestTime { empty: true, ..daily });
        bench.reload(&["ops"]).await;
        bench.pass(read_after.unwrap_or(9 * MINUTE)).await;
        assert_eq!(bench.sent("ops").len(), 0);
        if read_after.is_some() {
            bench.poll_panel();
        }
        bench.pass(2 * MINUTE).await;
        let at = taken(&bench, "ops");
        let due = start + read_after.unwrap_or(10 * MINUTE);
        assert!(at.len() == 1 && is_shortly_after(at[0], due), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn receivers_have_their_own_hours() {
    let mut bench = Bench::new(&["ops", "desk"]);
    let seen = Arc::new(Mutex::new(Vec::<Timestamp>::new()));
    bench.panel.uses("ann", 85);
    bench.routes[0].digest = daily();
    bench.routes[1].digest = Some(DigestTime {
        at: 7 * 60 + 30,
        zone: TimeZone::get("Asia/Shanghai").unwrap(),
        empty: false,
        top: 0,
    });
    let noted = Arc::clone(&seen);
    bench.answers("desk", move |attempt| {
        noted.lock().unwrap().push(attempt.notice.created_at);
        yes()
    });
    bench.start();
    until(&mut bench, NINE + HOUR).await;
    // 23:30 UTC.
    assert!(is_shortly_after(taken(&bench, "desk")[0], NINE - 9 * HOUR - 30 * MINUTE));
    assert!(is_shortly_after(taken(&bench, "ops")[0], NINE));
    let digested = bench.process().board.view().own.digested;
    assert_eq!(digested.as_ref(), seen.lock().unwrap().first(), "the changes that one has yet to be told");
    assert!(!titles(&[bench.sent("ops")[0].notice.clone()]).is_empty());
}

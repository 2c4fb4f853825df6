//! Monthly statements. Tests begin on 18 November at 11:06:40 UTC, and statements are due on the 19th.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::bench::{Bench, HOUR, MINUTE, SECOND, error, route, unavailable, yes};
use crate::{
    alert::{group::Route, statement::Statement, testing::Panel},
    model::{Month, Move},
    notify::{Retry, SendReason},
    store::Counted,
};

const DAY: Duration = Duration::from_secs(86_400);
/// From the beginning of a test to 09:00.
const DUE: Duration = Duration::from_secs(21 * 3600 + 53 * 60 + 20);
/// From the 19th of November to that of December, in milliseconds.
const A_MONTH: i64 = 30 * 86_400_000;

const OCTOBER: &str = "Statement for 2026-10: home";
const NOVEMBER: &str = "Statement for 2026-11: home";

fn statement(name: &str, to: &[&str]) -> Statement {
    Statement {
        name: name.into(),
        target: "home".into(),
        admin: None,
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        day: 19,
        at: 9 * 60,
        zone: TimeZone::UTC,
    }
}

/// Receivers, of which the first has statements, and a user who used something in October and in November.
async fn bench(receivers: &[&str], statements: &[Statement]) -> Bench {
    let mut bench = Bench::new(receivers);
    bench.routes[0].statements = statements.to_vec();
    let begin = bench.wall(Duration::ZERO);
    for (total, before, at) in [(5, Some(0), begin.saturating_sub(30 * DAY)), (12, Some(5), begin)] {
        let (name, last_read) = ("ann".into(), Some(at));
        let used = Move { name, before, total, last_read, ..Move::default() };
        bench.usage.saw("home", Counted::Users, vec![used], HOUR, at);
        bench.usage.write().await;
    }
    bench
}

/// A process runs for a minute, and another one starts at this time.
async fn start_at(bench: &mut Bench, at: Duration) {
    bench.start();
    bench.poll_panel();
    bench.pass(MINUTE).await;
    bench.kill();
    let wait = at - bench.at();
    bench.pass(wait).await;
    bench.start();
    bench.poll_panel();
}

/// A month later, the panel is read.
fn a_month_later(bench: &mut Bench) {
    bench.process().clock.step(A_MONTH);
    let now = bench.process().clock.now().wall;
    bench.usage.saw("home", Counted::Users, Vec::new(), HOUR, now);
}

/// The titles of the statements that were taken.
fn taken(bench: &Bench, receiver: &str) -> Vec<String> {
    let sent = bench.sent(receiver).into_iter().filter(|sent| sent.taken && sent.notice.enclosure.is_some());
    sent.map(|sent| sent.notice.digest.unwrap().title).collect()
}

fn number(month: &str) -> i32 {
    month.parse::<Month>().unwrap().number()
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_sent_once_a_month() {
    let mut bench = bench(&["ops"], &[statement("ali", &[])]).await;
    start_at(&mut bench, DUE - MINUTE).await;
    bench.pass(50 * SECOND).await;
    // September was over before anybody asked for a statement.
    assert_eq!(taken(&bench, "ops"), [""; 0]);
    bench.pass(MINUTE).await;
    assert_eq!(taken(&bench, "ops"), [OCTOBER]);
    let sent = bench.sent("ops").remove(0);
    assert!(sent.at >= DUE && sent.at < DUE + 20 * SECOND, "{:?}", sent.at);
    let csv = sent.notice.enclosure.unwrap().csv;
    assert!(csv.ends_with("\r\nann,5,false,false\r\n"), "{csv}");
    assert_eq!(bench.disk.loaded().receivers[0].1.statements["ali"], number("2026-10"));
    for _ in 0..3 {
        bench.kill();
        bench.start();
        bench.poll_panel();
        bench.reload(&["ops"]).await;
        bench.pass(HOUR).await;
    }
    assert_eq!(taken(&bench, "ops"), [OCTOBER]);
    a_month_later(&mut bench);
    bench.pass(HOUR).await;
    assert_eq!(taken(&bench, "ops"), [OCTOBER, NOVEMBER]);
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_missed_is_sent_at_the_next_start_and_before_the_next_one() {
    for (off_for, expected) in [(HOUR, OCTOBER), (29 * DAY, OCTOBER), (31 * DAY, NOVEMBER)] {
        let mut bench = bench(&["ops"], &[statement("ali", &[])]).await;
        start_at(&mut bench, DUE + off_for).await;
        bench.pass(HOUR).await;
        assert_eq!(taken(&bench, "ops"), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_sends_a_statement_once_or_again_under_its_id() {
    for millis in (0..4000).step_by(190) {
        for disk_takes in [0, 300] {
            let mut bench = bench(&["ops"], &[statement("ali", &[])]).await;
            bench.disk_takes = Duration::from_millis(disk_takes);
            start_at(&mut bench, DUE - SECOND).await;
            bench.pass(Duration::from_millis(millis)).await;
            bench.kill();
            bench.start();
            bench.poll_panel();
            bench.pass(10 * MINUTE).await;
            let mut ids: Vec<_> = bench.sent("ops").into_iter().map(|sent| sent.notice.id).collect();
            ids.dedup();
            assert_eq!(ids.len(), 1, "{millis} {disk_takes}");
            assert!(bench.sent("ops").len() <= 2, "{millis} {disk_takes}");
            assert_eq!((taken(&bench, "ops")[0].as_str(), bench.outbox().len()), (OCTOBER, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_statement_about_a_month_without_a_history() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].statements = vec![statement("ali", &[]), statement("other", &[])];
    start_at(&mut bench, DUE - SECOND).await;
    bench.pass(5 * MINUTE).await;
    assert_eq!(bench.sent("ops").len(), 0);
    let done = bench.disk.loaded().receivers[0].1.statements.clone();
    assert_eq!(done.into_values().collect::<Vec<_>>(), [number("2026-10"); 2], "it is done with");
}

#[tokio::test(start_paused = true)]
async fn a_month_that_was_not_read_to_its_end_is_waited_for_and_holds_up_no_other() {
    for is_read_again in [true, false] {
        let other = Statement { target: "other".into(), ..statement("other", &[]) };
        let mut bench = bench(&["ops"], &[statement("ali", &[]), other]).await;
        start_at(&mut bench, DUE - MINUTE).await;
        bench.pass(5 * MINUTE).await;
        bench.process().clock.step(A_MONTH);
        let now = bench.process().clock.now();
        let (home, other) = (Panel::new("home").poll(now), Panel::new("other").poll(now));
        let reports = [home, other].map(Arc::unwrap_or_clone);
        bench.process().board.set_targets(&reports);
        reports.into_iter().for_each(|report| bench.process().board.publish(report));
        bench.pass(23 * HOUR).await;
        assert_eq!(taken(&bench, "ops"), [OCTOBER]);
        let done = bench.disk.loaded().receivers[0].1.statements.clone();
        assert_eq!((done["ali"], done["other"]), (number("2026-10"), number("2026-11")));
        if is_read_again {
            let now = bench.process().clock.now().wall;
            bench.usage.saw("home", Counted::Users, Vec::new(), HOUR, now);
            bench.pass(16 * MINUTE).await;
        } else {
            bench.pass(HOUR + 16 * MINUTE).await;
        }
        assert_eq!(taken(&bench, "ops"), [OCTOBER, NOVEMBER]);
        let said = bench.sent("ops").pop().unwrap().notice.digest.unwrap();
        let unread =
            said.sections[0].lines.iter().any(|line| line.contains("was not read since 18 November"));
        assert_eq!(unread, !is_read_again);
    }
}

#[tokio::test(start_paused = true)]
async fn each_statement_has_its_receiver_and_one_that_is_new_waits_for_its_day() {
    let mut bench = bench(&["ops", "desk"], &[statement("a", &[]), statement("b", &["b@example.com"])]).await;
    start_at(&mut bench, DUE - SECOND).await;
    bench.pass(5 * MINUTE).await;
    assert_eq!(taken(&bench, "ops"), [OCTOBER; 2]);
    let to = bench.sent("ops").into_iter().map(|sent| sent.notice.enclosure.unwrap().to);
    assert_eq!(to.collect::<Vec<_>>(), [vec![], vec!["b@example.com".to_owned()]]);
    bench.routes[0].statements.clear();
    bench.routes[1] = Route { statements: vec![statement("b", &[])], ..route("desk") };
    bench.reload(&["ops", "desk"]).await;
    bench.pass(HOUR).await;
    assert_eq!((taken(&bench, "ops").len(), taken(&bench, "desk").len()), (2, 0));
    a_month_later(&mut bench);
    bench.pass(HOUR).await;
    assert_eq!((taken(&bench, "ops").len(), taken(&bench, "desk")), (2, vec![NOVEMBER.to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_a_statement_holds_up_no_alert() {
    for reason in [SendReason::ServerError, SendReason::Connect] {
        let mut bench = bench(&["ops"], &[statement("ali", &["full@example.com"])]).await;
        bench.answers("ops", move |attempt| {
            let is_refused = attempt.notice.enclosure.is_some() && attempt.at < DUE + 2 * HOUR;
            if is_refused { error(reason, Retry::Later) } else { yes() }
        });
        start_at(&mut bench, DUE - SECOND).await;
        bench.pass(50 * MINUTE).await;
        let before = bench.at();
        bench.fires(&["bob"]);
        bench.pass(MINUTE).await;
        let alert = bench.sent("ops").into_iter().find(|sent| sent.notice.enclosure.is_none());
        // If the server does not answer at all, that is another matter.
        let is_at_once = alert.is_some_and(|sent| sent.at < before + 10 * SECOND);
        assert_eq!(is_at_once, reason == SendReason::ServerError, "{reason:?}");
        let attempts = bench.sent("ops").len();
        assert!((4..12).contains(&attempts), "{attempts}");
        bench.pass(4 * HOUR).await;
        assert_eq!(taken(&bench, "ops"), [OCTOBER]);
        assert_eq!(bench.outbox(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_gets_the_statement_later_and_once() {
    let mut bench = bench(&["ops"], &[statement("ali", &[])]).await;
    bench.answers("ops", |attempt| if attempt.at < DUE + 5 * HOUR { unavailable() } else { yes() });
    start_at(&mut bench, DUE - SECOND).await;
    bench.pass(10 * HOUR).await;
    let mut ids: Vec<_> = bench.sent("ops").into_iter().map(|sent| sent.notice.id).collect();
    ids.dedup();
    assert_eq!((ids.len(), taken(&bench, "ops")), (1, vec![OCTOBER.to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_for_a_while_sends_no_second_statement() {
    const TWO_DAYS: i64 = 2 * 86_400_000;
    const TEN_YEARS: i64 = 3653 * 86_400_000;
    let mut bench = bench(&["ops"], &[statement("ali", &[])]).await;
    start_at(&mut bench, DUE - SECOND).await;
    bench.pass(5 * MINUTE).await;
    // Back over the border, and ten years ahead, where nothing is known of the month.
    for step in [-TWO_DAYS, TWO_DAYS, -TWO_DAYS, TWO_DAYS, TEN_YEARS, -TEN_YEARS] {
        bench.process().clock.step(step);
        bench.pass(5 * MINUTE).await;
    }
    assert_eq!(taken(&bench, "ops"), [OCTOBER]);
    a_month_later(&mut bench);
    bench.pass(HOUR).await;
    assert_eq!(taken(&bench, "ops"), [OCTOBER, NOVEMBER]);
}

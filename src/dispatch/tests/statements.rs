//! Monthly statements. Tests begin on 18 November at 11:06:40 UTC.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::bench::{Bench, HOUR, MINUTE, SECOND, error, route, unavailable, yes};
use crate::{
    alert::{group::Route, statement::Statement},
    model::{Month, Move},
    notify::{Retry, SendReason},
    store::Counted,
};

const DAY: Duration = Duration::from_secs(86_400);
/// From the beginning of a test to 1 December, 09:00.
const DUE: Duration = Duration::from_secs(12 * 86_400 + 21 * 3600 + 53 * 60 + 20);
/// And to 1 January.
const NEXT: Duration = Duration::from_secs(31 * 86_400 + 12 * 86_400 + 21 * 3600 + 53 * 60 + 20);

fn statement(name: &str, to: &[&str]) -> Statement {
    Statement {
        name: name.into(),
        target: "home".into(),
        admin: None,
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        day: 1,
        at: 9 * 60,
        zone: TimeZone::UTC,
    }
}

/// A receiver with a statement, and a user who used something in November.
fn bench() -> Bench {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].statements = vec![statement("ali", &[])];
    used(&bench, 5, Duration::ZERO);
    bench
}

/// Somebody has used so many bytes by then.
fn used(bench: &Bench, total: u64, at: Duration) {
    let (name, last_read) = ("ann".into(), Some(bench.wall(at)));
    let before = (total == 5).then_some(0);
    let used = Move { name, owner: None, before, total, last_read, may_be_reset: false, is_falling: false };
    bench.usage.saw("home", Counted::Users, vec![used], HOUR, bench.wall(at));
}

async fn until(bench: &mut Bench, end: Duration) {
    while bench.at() < end {
        let step = (end - bench.at()).min(12 * HOUR);
        bench.pass(step).await;
    }
}

/// Starts a process, which reads the panel.
fn start(bench: &mut Bench) {
    bench.start();
    bench.poll_panel();
}

/// The titles and times of the statements that were taken, the time since the beginning of the test.
fn taken(bench: &Bench, receiver: &str) -> Vec<(String, Duration)> {
    let sent = bench.sent(receiver).into_iter().filter(|sent| sent.taken && sent.notice.enclosure.is_some());
    sent.map(|sent| (sent.notice.digest.unwrap().title, sent.at)).collect()
}

fn titles(bench: &Bench, receiver: &str) -> Vec<String> {
    taken(bench, receiver).into_iter().map(|(title, _)| title).collect()
}

const NOVEMBER: &str = "Statement for 2026-11: home";
const DECEMBER: &str = "Statement for 2026-12: home";

#[tokio::test(start_paused = true)]
async fn a_statement_is_sent_once_a_month() {
    let mut bench = bench();
    start(&mut bench);
    until(&mut bench, DUE - MINUTE).await;
    // October is over, and was before anybody asked for a statement.
    assert_eq!(titles(&bench, "ops"), [""; 0]);
    until(&mut bench, DUE + MINUTE).await;
    assert_eq!(titles(&bench, "ops"), [NOVEMBER]);
    let (_, at) = taken(&bench, "ops")[0].clone();
    assert!(at >= DUE && at < DUE + 20 * SECOND, "{at:?}");
    let states = bench.disk.loaded().receivers;
    let november: Month = "2026-11".parse().unwrap();
    assert_eq!(states[0].1.statements["ali"], november.number());
    used(&bench, 12, DUE + MINUTE);
    for _ in 0..3 {
        bench.kill();
        start(&mut bench);
        bench.reload(&["ops"]).await;
        bench.pass(DAY).await;
    }
    assert_eq!(titles(&bench, "ops"), [NOVEMBER]);
    until(&mut bench, NEXT + HOUR).await;
    assert_eq!(titles(&bench, "ops"), [NOVEMBER, DECEMBER]);
    let csv = bench.sent("ops").last().unwrap().notice.enclosure.clone().unwrap().csv;
    assert!(csv.ends_with("\r\nann,7,false,false\r\n"), "{csv}");
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_missed_is_sent_at_the_next_start_and_before_the_next_one() {
    for (off_until, expected) in [(DUE + 20 * DAY, NOVEMBER), (NEXT + HOUR, DECEMBER)] {
        let mut bench = bench();
        start(&mut bench);
        bench.pass(MINUTE).await;
        bench.kill();
        until(&mut bench, DUE + DAY).await;
        used(&bench, 12, DUE + DAY);
        until(&mut bench, off_until).await;
        start(&mut bench);
        until(&mut bench, off_until + HOUR).await;
        assert_eq!(titles(&bench, "ops"), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_sends_a_statement_once_or_again_under_its_id() {
    for millis in (0..4000).step_by(190) {
        for disk_takes in [0, 300] {
            let mut bench = bench();
            bench.disk_takes = Duration::from_millis(disk_takes);
            start(&mut bench);
            bench.pass(MINUTE).await;
            until(&mut bench, DUE - SECOND).await;
            bench.pass(Duration::from_millis(millis)).await;
            bench.kill();
            start(&mut bench);
            bench.pass(HOUR).await;
            let mut ids: Vec<_> = bench.sent("ops").into_iter().map(|sent| sent.notice.id).collect();
            ids.dedup();
            assert_eq!(ids.len(), 1, "{millis} {disk_takes}");
            assert!(bench.sent("ops").len() <= 2, "{millis} {disk_takes}");
            assert_eq!((titles(&bench, "ops")[0].as_str(), bench.outbox().len()), (NOVEMBER, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_statement_about_a_month_without_a_history() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].statements = vec![statement("ali", &[]), statement("other", &[])];
    start(&mut bench);
    until(&mut bench, DUE + HOUR).await;
    assert_eq!(titles(&bench, "ops"), [""; 0]);
    let november: Month = "2026-11".parse().unwrap();
    let done = bench.disk.loaded().receivers[0].1.statements.clone();
    assert_eq!(done.into_values().collect::<Vec<_>>(), [november.number(); 2], "it is done with");
}

#[tokio::test(start_paused = true)]
async fn each_statement_has_its_receiver_and_one_that_is_new_waits_for_its_day() {
    let mut bench = Bench::new(&["ops", "desk"]);
    bench.routes[0].statements = vec![statement("a", &[]), statement("b", &["b@example.com"])];
    used(&bench, 5, Duration::ZERO);
    start(&mut bench);
    until(&mut bench, DUE + HOUR).await;
    assert_eq!(titles(&bench, "ops"), [NOVEMBER; 2]);
    let to = bench.sent("ops").into_iter().map(|sent| sent.notice.enclosure.unwrap().to);
    assert_eq!(to.collect::<Vec<_>>(), [vec![], vec!["b@example.com".to_owned()]]);
    used(&bench, 12, DUE + HOUR);
    bench.routes[0].statements.clear();
    bench.routes[1] = Route { statements: vec![statement("b", &[])], ..route("desk") };
    bench.reload(&["ops", "desk"]).await;
    until(&mut bench, DUE + 3 * DAY).await;
    assert_eq!((titles(&bench, "ops").len(), titles(&bench, "desk").len()), (2, 0));
    until(&mut bench, NEXT + HOUR).await;
    assert_eq!((titles(&bench, "ops").len(), titles(&bench, "desk")), (2, vec![DECEMBER.to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_a_statement_holds_up_no_alert() {
    for reason in [SendReason::ServerError, SendReason::Connect] {
        let mut bench = bench();
        bench.routes[0].statements = vec![statement("ali", &["full@example.com"])];
        bench.answers("ops", move |attempt| {
            let is_refused = attempt.notice.enclosure.is_some() && attempt.at < DUE + 4 * HOUR;
            if is_refused { error(reason, Retry::Later) } else { yes() }
        });
        start(&mut bench);
        until(&mut bench, DUE + 3 * HOUR).await;
        let before = bench.at();
        bench.fires(&["bob"]);
        bench.pass(MINUTE).await;
        let at =
            bench.sent("ops").into_iter().find(|sent| sent.notice.enclosure.is_none()).map(|sent| sent.at);
        // If the server does not answer at all, that is another matter.
        let is_at_once = at.is_some_and(|at| at < before + 10 * SECOND);
        assert_eq!(is_at_once, reason == SendReason::ServerError, "{reason:?} {at:?}");
        let attempts = bench.sent("ops").len();
        assert!((4..12).contains(&attempts), "{attempts}");
        until(&mut bench, DUE + 12 * HOUR).await;
        assert_eq!(titles(&bench, "ops"), [NOVEMBER]);
        assert_eq!(bench.outbox(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_gets_the_statement_later_and_once() {
    let mut bench = bench();
    bench.answers("ops", |attempt| if attempt.at < DUE + 30 * HOUR { unavailable() } else { yes() });
    start(&mut bench);
    until(&mut bench, DUE + 40 * HOUR).await;
    let mut ids: Vec<_> = bench.sent("ops").into_iter().map(|sent| sent.notice.id).collect();
    ids.dedup();
    assert_eq!((ids.len(), titles(&bench, "ops")), (1, vec![NOVEMBER.to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_over_the_border_sends_no_second_statement() {
    const TWO_DAYS: i64 = 2 * 86_400_000;
    let mut bench = bench();
    start(&mut bench);
    until(&mut bench, DUE + HOUR).await;
    assert_eq!(titles(&bench, "ops"), [NOVEMBER]);
    for _ in 0..3 {
        bench.process().clock.step(-TWO_DAYS);
        bench.pass(HOUR).await;
        bench.process().clock.step(TWO_DAYS);
        bench.pass(HOUR).await;
    }
    assert_eq!(titles(&bench, "ops"), [NOVEMBER]);
    // Ten years ahead, nothing is known of the month. Put right, the next statement is sent.
    bench.process().clock.step(3653 * 86_400_000);
    bench.pass(HOUR).await;
    bench.process().clock.step(-3653 * 86_400_000);
    bench.pass(HOUR).await;
    used(&bench, 12, bench.at());
    until(&mut bench, NEXT + HOUR).await;
    assert_eq!(titles(&bench, "ops"), [NOVEMBER, DECEMBER]);
}

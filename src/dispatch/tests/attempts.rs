//! When a receiver is tried again, and what is given up.

use std::time::Duration;

use super::{
    super::{backoff, dispatcher::TOO_OLD, line::LIFE},
    bench::{Bench, HOUR, MINUTE, PATIENCE, SECOND, error, unavailable, yes},
};
use crate::{
    alert::testing::BEGIN,
    notify::{Retry, SendReason},
    store::ReceiverState,
};

#[tokio::test(start_paused = true)]
async fn what_is_taken_leaves_the_queue() {
    let mut bench = Bench::new(&["ops"]);
    bench.start();
    bench.pass(SECOND).await;
    for name in ["notifications_total", "notification_attempts_total", "notifications_abandoned_total"] {
        assert_eq!(bench.value(name, &["ops"]), Some(0.0), "{name}");
    }
    for reason in SendReason::ALL.map(SendReason::label) {
        assert_eq!(bench.value("notification_failures_total", &["ops", reason]), Some(0.0), "{reason}");
    }
    for reason in ["inhibited", "muted", "unchanged"] {
        assert_eq!(bench.value("notifications_suppressed_total", &[reason]), Some(0.0), "{reason}");
    }
    assert_eq!(bench.value("notification_last_success_timestamp_seconds", &["ops"]), None);
    bench.fires(&["ann", "bob"]);
    bench.pass(Duration::from_millis(1500)).await;
    assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(1.0), "one is in flight");
    let oldest = "notification_oldest_pending_timestamp_seconds";
    assert_eq!(bench.value(oldest, &["ops"]), Some(BEGIN.as_secs_f64() + 1.0));
    bench.pass(10 * SECOND).await;
    let mut told = bench.told("ops");
    told.sort();
    assert_eq!(told, ["ann", "bob"]);
    assert_eq!(bench.gaps("ops"), [SECOND], "one after the other, without waiting");
    assert_eq!(bench.value("notifications_total", &["ops"]), Some(2.0));
    assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(0.0));
    assert_eq!(bench.value(oldest, &["ops"]), None);
    let success = bench.value("notification_last_success_timestamp_seconds", &["ops"]).unwrap();
    assert!((success - BEGIN.as_secs_f64() - 3.0).abs() < 0.1, "{success}");
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn three_days_without_a_connection_cost_few_attempts_and_end_in_a_dead_letter() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |_| unavailable());
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(LIFE).await;
    assert_eq!(bench.dead(), [""; 0]);
    bench.pass(2 * SECOND).await;
    let attempts = bench.tried("ops").len();
    assert!((20..=25).contains(&attempts), "{attempts} attempts");
    let gaps = bench.gaps("ops");
    for (gap, expected) in gaps.iter().zip([5, 30, 120, 600, 1800, 3600, 7200, 14_400, 14_400]) {
        let ratio = gap.as_secs_f64() / (f64::from(expected) + 1.0);
        assert!((0.89..1.11).contains(&ratio), "{gap:?} instead of {expected} s");
    }
    assert!(gaps.iter().all(|gap| *gap <= backoff::longest() + 2 * SECOND), "{gaps:?}");
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(1.0));
    assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(0.0));
    let dead = bench.dead();
    let recorded: Vec<_> = bench.written.iter().flat_map(|written| &written.messages).collect();
    let dead = recorded.iter().find(|notice| dead == [&*notice.id]).expect("it can be sent by hand");
    assert_eq!(&dead.alerts[0].labels["subject"], "ann");
    bench.pass(6 * MINUTE).await;
    assert_eq!(bench.told("other").last().unwrap(), "abandoned(ops) failing(ops)");
    let told = bench.sent("other").pop().unwrap().notice;
    let abandoned = &told.alerts.iter().find(|alert| alert.labels["alertname"].ends_with("Abandoned"));
    let description = &abandoned.unwrap().annotations["description"];
    assert!(description.contains("1 notification for receiver ops was given up"), "{description}");
    assert!(TOO_OLD.contains("three days"));

    // What comes later has three days of its own.
    bench.fires(&["bob"]);
    bench.pass(LIFE - HOUR).await;
    assert_eq!(bench.dead().len(), 1);
    bench.pass(HOUR + 2 * SECOND).await;
    assert_eq!(bench.dead().len(), 2);
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_given_up_alone_is_no_first_notification() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].group_by = vec!["alertname".into()];
    bench.answers("ops", |attempt| if attempt.number == 1 { yes() } else { unavailable() });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(MINUTE).await;
    bench.ends(&["ann"]);
    // An attempt comes at least every six hours, so that one tells both.
    bench.pass(60 * HOUR).await;
    bench.fires(&["bob"]);
    bench.pass(13 * HOUR).await;
    let dead = bench.dead();
    let written = bench.written.iter().flat_map(|written| &written.messages);
    let given_up: Vec<_> = written.filter(|notice| dead.contains(&notice.id)).collect();
    let [notice] = given_up.try_into().unwrap();
    assert_eq!(notice.reason, "some alerts resolved");
    assert_eq!(notice.alerts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_was_given_up_is_not_told_again_and_its_end_neither() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt| if attempt.at < LIFE + HOUR { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(LIFE + 2 * HOUR).await;
    bench.fires(&["bob"]);
    bench.pass(5 * HOUR).await;
    assert_eq!(bench.told("ops"), ["bob"]);
    bench.ends(&["ann", "bob"]);
    bench.pass(HOUR).await;
    assert_eq!(bench.told("ops"), ["bob", "-bob"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_spacing() {
    let wait = |millis| Some(BEGIN.saturating_add_millis(millis));
    let hours = |hours: i64| hours * 3_600_000;
    for (next_attempt, expected) in [
        (None, Duration::ZERO),
        (wait(-hours(1)), Duration::ZERO),
        (wait(hours(3)), 3 * HOUR),
        // A clock that was ten years ahead when it stored the time.
        (wait(hours(87_600)), backoff::longest()),
    ] {
        let state = ReceiverState { failures: 7, next_attempt, ..ReceiverState::default() };
        let mut bench = Bench::new(&["ops"]);
        bench.record(receivers(state)).await;
        bench.answers("ops", |_| unavailable());
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(10 * HOUR).await;
        let first = bench.sent("ops")[0].at;
        assert!(first >= expected && first <= expected + SECOND, "{next_attempt:?}: {first:?}");
        let gap = bench.gaps("ops")[0];
        assert!(gap > 3 * HOUR, "it went on with the eighth wait, not the first: {gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn restarts_cost_no_attempts() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |_| unavailable());
    bench.start();
    bench.fires(&["ann"]);
    for restart in 0..72 {
        bench.pass(HOUR - 10 * SECOND).await;
        if restart % 2 == 0 {
            bench.kill();
        } else {
            bench.stop().await;
        }
        tokio::time::sleep(10 * SECOND).await;
        bench.start();
        bench.poll_panel();
    }
    let attempts = bench.tried("ops").len();
    assert!((20..=25).contains(&attempts), "{attempts} attempts");
    // What is too old is tried once more after a start.
    bench.pass(5 * HOUR).await;
    assert_eq!(bench.dead().len(), 1, "the three days are not begun again");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_changes_no_wait() {
    for step in [315_360_000_000, -86_400_000] {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", |attempt| if attempt.number < 4 { unavailable() } else { yes() });
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(2 * SECOND).await;
        bench.process().clock.step(step);
        bench.pass(HOUR).await;
        assert_eq!(bench.tried("ops").len(), 4, "{step}");
        let gaps = bench.gaps("ops");
        assert!(gaps[1] > 27 * SECOND && gaps[1] < 35 * SECOND, "{step}: {gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_success_releases_the_queue() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt| if attempt.number <= 6 { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["a", "b", "c", "d", "e"]);
    bench.pass(3 * HOUR).await;
    assert_eq!(bench.told("ops").len(), 5);
    let gaps = bench.gaps("ops");
    assert!(gaps[6..].iter().all(|gap| *gap == SECOND), "{gaps:?}");
    assert!(gaps[5] > HOUR / 2, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_for_good_does_not_hold_up_the_others() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |attempt| {
        if &attempt.notice.alerts[0].labels["subject"] == "bad" {
            error(SendReason::ClientError, Retry::Never)
        } else {
            yes()
        }
    });
    bench.start();
    bench.fires(&["a", "bad", "c"]);
    bench.pass(HOUR).await;
    assert_eq!(bench.tried("ops").len(), 3, "it is tried once");
    assert_eq!(bench.gaps("ops"), [SECOND; 2]);
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(1.0));
    assert_eq!(bench.value("notification_failures_total", &["ops", "client_error"]), Some(1.0));
    assert_eq!(bench.dead().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_its_receiver_does_not_hold_up_the_others() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt| {
        if &attempt.notice.alerts[0].labels["subject"] == "bad" { unavailable() } else { yes() }
    });
    bench.start();
    bench.fires(&["a", "bad", "c", "d"]);
    bench.pass(10 * SECOND).await;
    assert_eq!(bench.told("ops").len(), 3);
    bench.fires(&["e"]);
    bench.pass(MINUTE).await;
    assert!(bench.told("ops").contains(&"e".into()));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_is_not_asked_earlier_than_it_wants() {
    for (asked, longest) in [
        (10 * MINUTE, 11 * MINUTE),
        // The usual wait is longer.
        (SECOND, 7 * SECOND),
        (100 * HOUR, backoff::longest() + 2 * SECOND),
    ] {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", move |attempt| match attempt.number {
            1 => error(SendReason::RateLimited, Retry::NotBefore(asked)),
            _ => yes(),
        });
        bench.start();
        bench.fires(&["ann", "bob"]);
        bench.pass(10 * HOUR).await;
        let gaps = bench.gaps("ops");
        assert!(gaps[0] >= asked.clamp(5 * SECOND, 4 * HOUR) && gaps[0] <= longest, "{asked:?}: {gaps:?}");
        assert_eq!(bench.told("ops").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_not_asked_until_its_configuration_changes() {
    for reloads in [true, false] {
        let mut bench = Bench::with_fallback();
        bench.answers("ops", |attempt| match attempt.number {
            1 => error(SendReason::Gone, Retry::Disabled),
            _ => yes(),
        });
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(MINUTE).await;
        assert_eq!(bench.told("other"), ["failing(ops)"], "at once");
        bench.fires(&["bob"]);
        bench.pass(10 * HOUR).await;
        bench.stop().await;
        bench.start();
        bench.poll_panel();
        bench.pass(HOUR).await;
        assert_eq!(bench.tried("ops").len(), 1);
        assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(2.0));
        bench.configs.insert("ops".into(), 1);
        if reloads {
            bench.reload(&["ops"]).await;
        } else {
            bench.stop().await;
            bench.start();
            bench.poll_panel();
        }
        bench.pass(10 * SECOND).await;
        let mut told = bench.told("ops");
        told.sort();
        assert_eq!(told, ["ann", "bob"], "{reloads}");
        bench.pass(10 * MINUTE).await;
        assert_eq!(bench.told("other").last().unwrap(), "-failing(ops)");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_because_of_itself_keeps_what_it_gets() {
    for (reason, retry) in [(SendReason::Auth, Retry::Refused), (SendReason::Refused, Retry::Refused)] {
        let mut bench = Bench::with_fallback();
        bench.answers("ops", move |attempt| if attempt.at < 4 * HOUR { error(reason, retry) } else { yes() });
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(MINUTE).await;
        assert_eq!(bench.told("other"), ["failing(ops)"], "at once");
        bench.pass(4 * HOUR).await;
        let attempts = bench.tried("ops").len();
        assert!((6..10).contains(&attempts), "{attempts}");
        assert_eq!(bench.dead(), [""; 0]);
        bench.pass(5 * HOUR).await;
        assert_eq!(bench.told("ops"), ["ann"]);
        assert_eq!(bench.told("other"), ["failing(ops)", "-failing(ops)"]);
    }
}

#[tokio::test(start_paused = true)]
async fn health_follows_the_attempts() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt| match attempt.number {
        1 => unavailable(),
        2 => yes(),
        _ => error(SendReason::Auth, Retry::Never),
    });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(Duration::from_millis(1500)).await;
    let health = |bench: &mut Bench| bench.process().health.list()["ops"];
    let failing = health(&mut bench);
    assert_eq!(failing.oldest_pending.map(|since| since.wall), Some(BEGIN));
    assert_eq!(failing.failing_since.map(|since| since.wall), Some(BEGIN.saturating_add_millis(1000)));
    // An age does not jump with the wall clock.
    bench.process().clock.step(86_400_000);
    bench.pass(SECOND).await;
    assert_eq!(health(&mut bench).failing_since, failing.failing_since);
    bench.pass(MINUTE).await;
    assert_eq!(health(&mut bench), Default::default(), "it took the message");
    bench.fires(&["bob"]);
    bench.pass(2 * SECOND).await;
    let health = health(&mut bench);
    assert!(health.failing_since.is_some() && health.oldest_pending.is_none(), "refused for good");
}

pub(super) fn receivers(ops: ReceiverState) -> crate::store::Batch {
    crate::store::Batch { receivers: vec![("ops".into(), Some(ops))], ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn the_patience_goes_on_after_a_restart() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |_| unavailable());
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(PATIENCE / 2).await;
    bench.kill();
    bench.start();
    bench.poll_panel();
    bench.pass(PATIENCE / 2 - 10 * SECOND).await;
    assert_eq!(bench.told("other"), [""; 0]);
    bench.pass(20 * SECOND).await;
    assert_eq!(bench.told("other"), ["failing(ops)"]);
    bench.stop().await;
    bench.start();
    bench.poll_panel();
    bench.pass(10 * HOUR).await;
    assert_eq!(bench.told("other"), ["failing(ops)"], "once");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_its_receiver_is_given_up_although_others_are_taken() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |attempt| {
        let bad = ["bad", "-a"].contains(&&attempt.notice.alerts[0].labels["subject"]);
        if bad { error(SendReason::ServerError, Retry::Later) } else { yes() }
    });
    bench
        .record(crate::store::Batch {
            messages: vec![crate::store::Message::of(&super::restarts::foreign("-a", "ops")).unwrap()],
            ..Default::default()
        })
        .await;
    bench.start();
    bench.fires(&["bad"]);
    for hour in 0..71 {
        bench.pass(HOUR).await;
        bench.fires(&[&format!("u{hour}")]);
    }
    assert!(bench.told("ops").len() >= 60);
    assert_eq!(bench.dead(), [""; 0]);
    bench.pass(HOUR - MINUTE).await;
    assert_eq!(bench.dead(), [""; 0]);
    bench.pass(2 * MINUTE).await;
    assert_eq!(bench.dead().len(), 2);
    assert_eq!(bench.outbox(), [""; 0]);
}

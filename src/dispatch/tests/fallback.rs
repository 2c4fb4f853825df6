//! What the fallback gets about receivers that fail.

use super::bench::{Bench, HOUR, MINUTE, PATIENCE, SECOND, error, unavailable, yes};
use crate::notify::{Retry, SendReason, alertmanager::Ask};

#[tokio::test(start_paused = true)]
async fn the_fallback_is_told_once_after_a_while_and_told_the_end() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |attempt| if attempt.at < 5 * HOUR { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(PATIENCE - SECOND).await;
    assert_eq!(bench.told("other"), [""; 0]);
    bench.pass(5 * SECOND).await;
    assert_eq!(bench.told("other"), ["failing(ops)"]);
    let alert = bench.sent("other").remove(0).notice.alerts.remove(0);
    let description = "Receiver ops does not accept notifications: it said connect.";
    assert_eq!(&alert.annotations["description"], description);
    bench.pass(10 * HOUR).await;
    assert_eq!(bench.told("ops"), ["ann"]);
    assert_eq!(bench.told("other"), ["failing(ops)", "-failing(ops)"]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_is_not_told_of_itself() {
    let mut bench = Bench::with_fallback();
    bench.config.rules.remove("user_quota");
    bench.answers("other", |_| error(SendReason::Auth, Retry::Refused));
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(10 * HOUR).await;
    assert!(bench.tried("other").iter().all(|tried| tried == "ann"), "{:?}", bench.tried("other"));
    assert!(bench.firing().contains(&"ProxymeterNotificationsFailing other".into()));
    assert_eq!(bench.told("ops"), ["ann"], "it is not the fallback");
}

#[tokio::test(start_paused = true)]
async fn without_a_fallback_the_alert_shows_and_one_that_comes_is_told() {
    let mut bench = Bench::with_fallback();
    bench.config.fallback = None;
    bench.answers("ops", |_| unavailable());
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(7 * HOUR).await;
    assert_eq!(bench.tried("other"), [""; 0]);
    assert!(bench.firing().contains(&"ProxymeterNotificationsFailing ops".into()));
    bench.config.fallback = Some("other".into());
    bench.reload(&[]).await;
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.told("other"), ["failing(ops)"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_told_for_an_hour() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |attempt| match attempt.number {
        1 => error(SendReason::ClientError, Retry::Never),
        _ => yes(),
    });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(10 * MINUTE).await;
    let told = bench.told("other");
    assert!(told.iter().any(|told| told.contains("abandoned(ops)")), "{told:?}");
    let all = told.join(" ");
    assert_eq!(all.matches("abandoned(ops)").count(), 1, "{told:?}");
    bench.fires(&["bob"]);
    bench.pass(40 * MINUTE).await;
    assert_eq!(bench.told("ops"), ["bob"]);
    assert_eq!(bench.told("other"), told);
    bench.pass(20 * MINUTE).await;
    let told = bench.told("other");
    assert!(told.last().unwrap().contains("-abandoned(ops)"), "{told:?}");
    assert!(bench.firing().iter().all(|alert| !alert.contains("Notifications")));
}

#[tokio::test(start_paused = true)]
async fn what_a_poster_gives_up_is_told() {
    let mut bench = Bench::with_fallback();
    bench.start();
    bench.process().asks.try_send(("ops".into(), Ask::GivenUp(3))).unwrap();
    bench.pass(MINUTE).await;
    assert_eq!(bench.told("other"), ["abandoned(ops)"]);
    let alert = bench.sent("other").remove(0).notice.alerts.remove(0);
    assert!(
        alert.annotations["description"].contains("3 notifications for receiver ops were given up"),
        "{alert:?}"
    );
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(3.0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_ends_in_time_is_not_told() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |attempt| if attempt.at < 5 * MINUTE { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(10 * HOUR).await;
    assert_eq!(bench.told("ops"), ["ann"]);
    assert_eq!(bench.tried("other"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_fails_too_is_told_when_it_works_again() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |_| unavailable());
    bench.answers("other", |attempt| if attempt.at < 5 * HOUR { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(10 * HOUR).await;
    assert_eq!(bench.told("other"), ["failing(ops)"]);
    assert!(bench.tried("other").len() > 5);
}

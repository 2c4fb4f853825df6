//! Other configurations while messages wait or are in flight.

use std::time::Duration;

use super::bench::{Bench, HOUR, MINUTE, SECOND, error, route, unavailable, yes};
use crate::notify::{Retry, SendReason};

#[tokio::test(start_paused = true)]
async fn a_reload_without_a_change_is_silent() {
    let mut bench = Bench::new(&["ops", "desk"]);
    bench.answers(
        "desk",
        |attempt| if attempt.number == 2 { error(SendReason::Timeout, Retry::Later) } else { yes() },
    );
    bench.start();
    bench.fires(&["ann"]);
    for second in 0..100 {
        bench.pass(SECOND).await;
        if second == 50 {
            bench.fires(&["bob"]);
        }
        let changed: &[&str] = if second % 10 == 0 { &["ops"] } else { &[] };
        bench.reload(changed).await;
    }
    bench.pass(HOUR).await;
    assert_eq!(bench.told("ops"), ["ann", "bob"]);
    assert_eq!(bench.tried("desk"), ["ann", "bob", "bob"]);
    bench.ends(&["ann"]);
    bench.reload(&["ops", "desk"]).await;
    bench.pass(HOUR).await;
    assert_eq!(bench.told("ops")[2..], ["-ann"]);
    assert_eq!(bench.told("desk")[2..], ["-ann"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_removed_receiver_may_have_becomes_a_dead_letter() {
    for in_flight in [true, false] {
        let mut bench = Bench::new(&["ops", "desk"]);
        bench.answers("ops", |_| error(SendReason::Timeout, Retry::Later));
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(if in_flight { SECOND / 2 } else { 2 * SECOND }).await;
        let recorded = bench.sent("ops").remove(0).notice.id;
        assert!(bench.outbox().contains(&recorded));
        bench.routes.remove(0);
        bench.reload(&[]).await;
        bench.pass(MINUTE).await;
        assert_eq!(bench.dead(), [recorded], "{in_flight}");
        assert_eq!(bench.outbox(), [""; 0]);
        assert_eq!(bench.value("notifications_total", &["ops"]), None);
        assert!(bench.disk.loaded().receivers.iter().all(|(name, _)| name != "ops"));
        assert!(!bench.process().health.list().contains_key("ops"));
        assert!(bench.disk.loaded().groups.iter().all(|(key, _)| !key.starts_with("ops/")));

        // It is back, and gets what fires.
        bench.routes.insert(0, route("ops"));
        bench.answers("ops", |_| yes());
        bench.reload(&["ops"]).await;
        bench.pass(MINUTE).await;
        assert_eq!(bench.told("ops"), ["ann"], "{in_flight}");
        assert_eq!(bench.told("desk"), ["ann"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_added_is_told_what_fires() {
    let mut bench = Bench::new(&["ops", "desk"]);
    let desk = bench.routes.remove(1);
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(MINUTE).await;
    bench.routes.push(desk);
    bench.reload(&["desk"]).await;
    bench.pass(MINUTE).await;
    assert_eq!((bench.told("ops"), bench.told("desk")), (vec!["ann".into()], vec!["ann".into()]));
}

#[tokio::test(start_paused = true)]
async fn the_former_worker_ends_its_attempt_and_nothing_is_sent_twice() {
    for taken in [true, false] {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", move |attempt| {
            attempt.takes = 10 * SECOND;
            if taken || attempt.number > 1 { yes() } else { unavailable() }
        });
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(SECOND).await;
        bench.configs.insert("ops".into(), 1);
        bench.reload(&["ops"]).await;
        bench.fires(&["bob"]);
        bench.pass(2 * SECOND).await;
        assert_eq!(bench.tried("ops"), ["ann", "bob"], "the new worker does not wait for the former one");
        bench.pass(HOUR).await;
        let mut told = bench.told("ops");
        told.sort();
        assert_eq!(told, ["ann", "bob"], "{taken}");
        assert_eq!(bench.outbox(), [""; 0]);
        // A failure under the former configuration is not held against this one.
        let third = bench.sent("ops").get(2).map(|sent| sent.at);
        assert_eq!(third.is_none(), taken);
        assert!(third.is_none_or(|at| at < 13 * SECOND), "{third:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_former_worker_has_and_did_not_try_is_told_by_the_new_one() {
    let mut bench = Bench::new(&["ops"]);
    bench.disk_takes = Duration::from_millis(200);
    bench.start();
    bench.fires(&["zoe"]);
    bench.pass(5 * SECOND).await;
    bench.fires(&["a", "b", "c", "d"]);
    bench.pass(Duration::from_millis(1500)).await;
    bench.configs.insert("ops".into(), 1);
    bench.reload(&["ops"]).await;
    bench.pass(HOUR).await;
    let mut told = bench.told("ops");
    told.sort();
    assert_eq!(told, ["a", "b", "c", "d", "zoe"]);
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn other_groups_tell_nothing_twice() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers(
        "ops",
        |attempt| if attempt.number == 2 { error(SendReason::Timeout, Retry::Later) } else { yes() },
    );
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(2 * SECOND).await;
    bench.fires(&["bob"]);
    bench.pass(2 * SECOND).await;
    bench.routes[0].group_by = vec!["alertname".into()];
    bench.reload(&["ops"]).await;
    bench.pass(HOUR).await;
    let tried = bench.tried("ops");
    assert_eq!(tried[..2], ["ann", "bob"]);
    // It may have arrived. The message of the group lists ann as well.
    assert_eq!(tried.len(), 3, "{tried:?}");
    assert!(tried[2].contains("bob"));
    assert_eq!(bench.outbox(), [""; 0]);
    bench.ends(&["ann", "bob"]);
    bench.pass(HOUR).await;
    assert_eq!(bench.tried("ops")[3..], ["-ann -bob"]);
}

#[tokio::test(start_paused = true)]
async fn without_alerting_nothing_is_sent() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt| if attempt.number == 1 { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(2 * SECOND).await;
    bench.config.enabled = false;
    bench.reload(&[]).await;
    bench.pass(HOUR).await;
    assert_eq!(bench.tried("ops").len(), 1);
    assert_eq!(bench.firing(), ["ProxymeterUserQuota ann"]);
    bench.config.enabled = true;
    bench.reload(&["ops"]).await;
    bench.pass(HOUR).await;
    assert_eq!(bench.told("ops"), ["ann"]);
}

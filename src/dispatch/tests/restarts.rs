//! What a process continues with.

use std::{collections::BTreeMap, sync::Arc};

use super::bench::{Bench, HOUR, MINUTE, SECOND, unavailable, yes};
use crate::{
    alert::testing::BEGIN,
    model::{Notice, NoticeAlert, NoticeStatus, Pairs, Severity},
    store::{Batch, Message},
};

/// A message of which the alerts know nothing.
pub(super) fn foreign(id: &str, receiver: &str) -> Notice {
    Notice {
        id: id.into(),
        receiver: receiver.into(),
        group: "{}".into(),
        group_labels: BTreeMap::new(),
        reason: "first notification".into(),
        alerts: vec![Arc::new(NoticeAlert {
            event: format!("evt_{id}"),
            status: NoticeStatus::Resolved,
            severity: Severity::Warning,
            labels: [("alertname", "Other"), ("subject", id)].into(),
            annotations: Pairs::default(),
            starts_at: BEGIN,
            ends_at: Some(BEGIN),
            began: None,
            until: None,
        })],
        created_at: BEGIN,
        ..Notice::default()
    }
}

fn messages(notices: &[Notice]) -> Batch {
    let messages = notices.iter().map(|notice| Message::of(notice).unwrap()).collect();
    Batch { messages, ..Batch::default() }
}

#[tokio::test(start_paused = true)]
async fn messages_of_another_version_are_sent_as_they_are() {
    let mut bench = Bench::new(&["ops"]);
    let notices = [foreign("a", "ops"), foreign("b", "ops")];
    bench.record(messages(&notices)).await;
    bench.start();
    bench.pass(MINUTE).await;
    let sent: Vec<_> = bench.sent("ops").into_iter().map(|sent| sent.notice).collect();
    assert_eq!(sent, notices);
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn messages_as_they_are_and_new_ones_take_turns_when_they_fail() {
    let mut bench = Bench::new(&["ops"]);
    bench.record(messages(&[foreign("a", "ops"), foreign("b", "ops")])).await;
    bench.answers("ops", |attempt| if attempt.at < HOUR { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["ann", "bob"]);
    bench.pass(HOUR).await;
    let tried = bench.tried("ops");
    for word in ["-a", "-b", "ann", "bob"] {
        assert!(tried[..4].contains(&word.into()), "{word}: {tried:?}");
    }
    bench.pass(4 * HOUR).await;
    let mut told = bench.told("ops");
    told.sort();
    assert_eq!(told, ["-a", "-b", "ann", "bob"]);
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn recorded_ends_are_dropped_where_send_resolved_is_off() {
    for by_reload in [false, true] {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", |_| unavailable());
        bench.record(messages(&[foreign("a", "ops"), foreign("b", "ops")])).await;
        bench.routes[0].send_resolved = by_reload;
        bench.start();
        bench.pass(SECOND / 2).await;
        bench.routes[0].send_resolved = false;
        bench.reload(&[]).await;
        bench.pass(HOUR).await;
        // The first was in flight when it was switched off.
        assert_eq!(bench.tried("ops").len(), usize::from(by_reload));
        assert_eq!((bench.outbox(), bench.dead()), (Vec::new(), Vec::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_message_of_another_version_only_what_no_alert_leads_to_is_sent_as_it_was() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt| if attempt.number == 1 { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(2 * SECOND).await;
    // As an earlier version would have written it: two groups in one message.
    let [sent] = bench.sent("ops").try_into().unwrap();
    bench.kill();
    let mut both = foreign("a", "ops");
    both.alerts.extend(sent.notice.alerts);
    bench.record(messages(&[both])).await;
    bench.start();
    bench.poll_panel();
    bench.pass(HOUR).await;
    assert_eq!(bench.told("ops"), ["-a", "ann"]);
    bench.ends(&["ann"]);
    bench.pass(HOUR).await;
    assert_eq!(bench.told("ops"), ["-a", "ann", "-ann"]);
}

#[tokio::test(start_paused = true)]
async fn messages_as_they_are_are_given_up_after_three_days() {
    let mut bench = Bench::new(&["ops"]);
    bench.record(messages(&[foreign("a", "ops")])).await;
    bench.answers("ops", |_| unavailable());
    bench.start();
    bench.pass(72 * HOUR + 2 * SECOND).await;
    assert_eq!(bench.dead(), ["a"]);
    assert!(bench.tried("ops").len() <= 25);
}

#[tokio::test(start_paused = true)]
async fn messages_to_a_receiver_that_is_not_configured_become_dead_letters() {
    let mut bench = Bench::new(&["ops"]);
    bench.record(messages(&[foreign("a", "gone")])).await;
    bench.start();
    bench.pass(SECOND).await;
    assert_eq!(bench.dead(), ["a"]);
    assert_eq!(bench.tried("ops"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_group_wait_counts_from_the_alert_over_restarts() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].group_wait = 30 * SECOND;
    for life in 0..2 {
        bench.start();
        if life == 0 {
            bench.fires(&["ann"]);
        }
        bench.pass(25 * SECOND).await;
        bench.kill();
    }
    assert_eq!(bench.tried("ops"), ["ann"]);
    let at = bench.sent("ops")[0].at;
    assert!(at >= 30 * SECOND && at <= 31 * SECOND, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_tells_nothing_twice_and_ends_nothing() {
    let mut bench = Bench::with_fallback();
    bench.answers("ops", |attempt| if attempt.number > 1 { unavailable() } else { yes() });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(MINUTE).await;
    bench.fires(&["bob"]);
    bench.pass(HOUR).await;
    let (told, events) = (bench.told("other"), bench.disk.loaded().alerts);
    assert_eq!(told, ["failing(ops)"]);
    for round in 0..20 {
        if round % 2 == 0 {
            bench.kill();
        } else {
            bench.stop().await;
        }
        bench.start();
        if round % 3 > 0 {
            bench.poll_panel();
        }
        bench.pass(7 * SECOND).await;
    }
    assert_eq!(bench.told("ops"), ["ann"]);
    assert_eq!(bench.told("other"), told);
    assert_eq!(bench.disk.loaded().alerts, events);
}

#[tokio::test(start_paused = true)]
async fn an_end_while_no_process_runs_is_told() {
    for receiver_is_down in [false, true] {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", move |attempt| {
            let is_down = receiver_is_down && attempt.at > MINUTE && attempt.at < HOUR;
            if is_down { unavailable() } else { yes() }
        });
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(MINUTE).await;
        bench.kill();
        tokio::time::sleep(MINUTE).await;
        bench.start();
        bench.ends(&["ann"]);
        bench.pass(10 * MINUTE).await;
        bench.kill();
        bench.start();
        bench.pass(2 * HOUR).await;
        assert_eq!(bench.told("ops"), ["ann", "-ann"], "{receiver_is_down}");
    }
}

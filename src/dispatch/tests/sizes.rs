//! Messages that are too large for a receiver.

use std::time::Duration;

use super::bench::{Answer, Attempt, Bench, HOUR, MINUTE, SECOND, error, unavailable, yes};
use crate::notify::{Retry, SendReason};

/// Takes at most so many alerts.
fn at_most(most: usize) -> impl FnMut(&mut Attempt<'_>) -> Answer + Send {
    move |attempt| {
        let alerts = attempt.notice.alerts.len();
        let named = attempt.notice.named.unwrap_or(alerts).min(alerts);
        if named <= most { yes() } else { error(SendReason::ClientError, Retry::Smaller) }
    }
}

/// One group.
fn bench() -> Bench {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].group_by = vec!["alertname".into()];
    bench
}

fn users(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("u{n:03}")).collect()
}

fn fire(bench: &mut Bench, from: usize, to: usize) {
    let users = users(from, to);
    bench.fires(&users.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The number of alerts in each attempt.
fn counts(bench: &Bench) -> Vec<usize> {
    bench.sent("ops").iter().map(|sent| sent.notice.alerts.len()).collect()
}

/// Every alert that arrived, sorted.
fn all_told(bench: &Bench) -> Vec<String> {
    let told = bench.told("ops").join(" ");
    let mut all: Vec<_> = told.split_whitespace().map(str::to_owned).collect();
    all.sort();
    all
}

#[tokio::test(start_paused = true)]
async fn a_message_is_halved_until_it_passes_and_each_alert_arrives_once() {
    for (count, most, expected) in [
        (100, 30, vec![100, 50, 25, 25, 25, 25]),
        (7, 1, vec![7, 3, 1, 1, 1, 1, 1, 1, 1]),
        (101, 60, vec![101, 50, 50, 1]),
    ] {
        let mut bench = bench();
        bench.answers("ops", at_most(most));
        bench.start();
        fire(&mut bench, 0, count);
        bench.pass(MINUTE).await;
        assert_eq!(counts(&bench), expected, "without waits");
        assert_eq!(all_told(&bench), users(0, count));
        for sent in bench.sent("ops").iter().filter(|sent| sent.taken) {
            assert_eq!(sent.notice.left_out, count - sent.notice.alerts.len(), "of the group");
            assert_eq!((sent.notice.named, sent.notice.reason.as_str()), (None, "first notification"));
        }
        assert_eq!(bench.outbox(), [""; 0]);
        assert_eq!(bench.dead(), [""; 0]);
        bench.pass(HOUR).await;
        assert_eq!(counts(&bench).len(), expected.len());
    }
}

#[tokio::test(start_paused = true)]
async fn one_alert_that_is_too_large_is_given_up() {
    let mut bench = bench();
    bench.answers("ops", |attempt| {
        let refused = attempt.notice.alerts.iter().any(|alert| &alert.labels["subject"] == "u002");
        if refused { error(SendReason::ClientError, Retry::Smaller) } else { yes() }
    });
    bench.start();
    fire(&mut bench, 0, 5);
    // After it was given up, the others come with the group's next message.
    bench.pass(6 * MINUTE).await;
    assert_eq!(all_told(&bench), ["u000", "u001", "u003", "u004"]);
    assert_eq!(bench.dead().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_size_is_remembered_for_a_day_over_restarts() {
    let mut bench = bench();
    bench.routes[0].group_interval = SECOND;
    bench.answers("ops", at_most(30));
    bench.start();
    fire(&mut bench, 0, 40);
    bench.pass(MINUTE).await;
    assert_eq!(counts(&bench), [40, 20, 20]);
    bench.stop().await;
    bench.start();
    fire(&mut bench, 40, 80);
    bench.pass(MINUTE).await;
    assert_eq!(counts(&bench)[3..], [20, 20]);
    bench.pass(24 * HOUR).await;
    // The first message after a day is of the known size, and then the size is forgotten.
    fire(&mut bench, 80, 105);
    bench.pass(MINUTE).await;
    assert_eq!(counts(&bench)[5..], [20, 5]);
    fire(&mut bench, 105, 135);
    bench.pass(MINUTE).await;
    assert_eq!(counts(&bench)[7..], [135, 30], "the whole group, and then what is new");
    assert_eq!(all_told(&bench), users(0, 135));
}

#[tokio::test(start_paused = true)]
async fn other_configuration_forgets_the_size() {
    let mut bench = bench();
    bench.answers("ops", at_most(30));
    bench.start();
    fire(&mut bench, 0, 40);
    bench.pass(10 * MINUTE).await;
    bench.configs.insert("ops".into(), 1);
    bench.answers("ops", |_| yes());
    bench.reload(&["ops"]).await;
    fire(&mut bench, 40, 90);
    bench.pass(10 * MINUTE).await;
    assert_eq!(counts(&bench), [40, 20, 20, 90]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_names_some_and_counts_the_rest_is_told_fewer_names() {
    let mut bench = bench();
    bench.names = crate::model::Named::First(50);
    bench.answers("ops", at_most(20));
    bench.start();
    fire(&mut bench, 0, 200);
    bench.pass(MINUTE).await;
    let sent = bench.sent("ops");
    let named: Vec<_> = sent.iter().map(|sent| sent.notice.named).collect();
    assert_eq!(named[0], None, "as many as usual");
    assert_eq!(all_told(&bench), users(0, 200));
    // Those that the message would have counted are counted; those that it cannot name any more come in the next ones.
    assert!(named[1..].iter().all(|named| named.is_some_and(|named| named <= 25)), "{named:?}");
    let last = &sent.last().unwrap().notice;
    assert_eq!(last.left_out, 200 - last.alerts.len());
}

#[tokio::test(start_paused = true)]
async fn a_kill_between_the_parts_loses_none_and_repeats_at_most_one() {
    for after in [0, 1, 2, 3, 4, 5] {
        let mut bench = bench();
        bench.answers("ops", at_most(10));
        bench.start();
        fire(&mut bench, 0, 40);
        bench.pass(SECOND * after + SECOND / 2).await;
        bench.kill();
        bench.start();
        bench.poll_panel();
        bench.pass(20 * MINUTE).await;
        let sent = bench.sent("ops");
        let mut ids: Vec<_> = sent.iter().filter(|sent| sent.taken).map(|sent| &*sent.notice.id).collect();
        ids.sort_unstable();
        let messages = ids.len();
        ids.dedup();
        assert!(messages - ids.len() <= 1, "{after}: {messages}");
        let mut told = all_told(&bench);
        let alerts = told.len();
        told.dedup();
        assert_eq!(told, users(0, 40), "{after}");
        assert!(alerts <= 50, "{after}: {alerts}");
        assert_eq!(bench.outbox(), [""; 0], "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_between_the_parts_is_told_as_it_is() {
    let mut bench = bench();
    bench.answers("ops", move |attempt| {
        if attempt.number == 4 {
            return unavailable();
        }
        at_most(10)(attempt)
    });
    bench.start();
    fire(&mut bench, 0, 40);
    // 40, 20, 10; the next fails.
    bench.pass(Duration::from_millis(4500)).await;
    let all = users(0, 40);
    bench.ends(&all.iter().map(String::as_str).collect::<Vec<_>>());
    bench.pass(20 * MINUTE).await;
    let told = all_told(&bench);
    let (ended, fired): (Vec<_>, Vec<_>) = told.into_iter().partition(|word| word.starts_with('-'));
    assert_eq!(fired.len(), 10);
    assert_eq!(ended, fired.iter().map(|user| format!("-{user}")).collect::<Vec<_>>());
}

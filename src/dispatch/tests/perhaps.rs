//! Messages that may have arrived although the attempt failed, and ends of what the receiver may know.

use super::bench::{Answer, Attempt, Bench, HOUR, MINUTE, SECOND, error, unavailable, yes};
use crate::notify::{Retry, SendReason};

/// The first attempt fails this way; whatever was `done` by then.
fn fails_first(
    reason: SendReason,
    done: Option<&'static str>,
) -> impl FnMut(&mut Attempt<'_>) -> Answer + Send {
    move |attempt| {
        if attempt.number > 1 {
            return yes();
        }
        attempt.done.extend(done.map(str::to_owned));
        error(reason, Retry::Later)
    }
}

#[tokio::test(start_paused = true)]
async fn what_ended_before_it_arrived_is_not_told() {
    for reason in [SendReason::Connect, SendReason::Tls, SendReason::RateLimited] {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", fails_first(reason, None));
        bench.start();
        bench.fires(&["ann", "bob"]);
        bench.pass(2 * SECOND).await;
        bench.ends(&["ann"]);
        bench.pass(HOUR).await;
        assert_eq!(bench.told("ops"), ["bob"], "{reason:?}");
        assert_eq!(bench.outbox(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_outdated_does_not_wait_for_what_is_held_back() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].group_by = vec!["alertname".into()];
    bench.routes[0].group_interval = SECOND;
    bench.answers("ops", |attempt| if attempt.number == 2 { unavailable() } else { yes() });
    bench.start();
    // Lower thresholds are held back.
    bench.panel.uses("zoe", 100);
    bench.poll_panel();
    bench.pass(MINUTE).await;
    bench.fires(&["ann"]);
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.outbox().len(), 1);
    bench.ends(&["ann"]);
    bench.pass(HOUR).await;
    assert_eq!(bench.tried("ops"), ["zoe", "ann zoe"]);
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_the_receiver_was_down_is_told_as_ended_if_it_was_known() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt| {
        let is_down = attempt.at > MINUTE && attempt.at < 2 * HOUR;
        if is_down { unavailable() } else { yes() }
    });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(2 * MINUTE).await;
    bench.fires(&["bob"]);
    bench.pass(10 * MINUTE).await;
    bench.ends(&["ann", "bob"]);
    bench.pass(10 * MINUTE).await;
    bench.fires(&["cy"]);
    bench.pass(5 * HOUR).await;
    let mut told = bench.told("ops");
    told.sort();
    assert_eq!(told, ["-ann", "ann", "cy"]);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_when_the_start_may_have_arrived() {
    // It is unknown whether the receiver took it before the timeout, or whether the other address has seen it.
    for (reason, done) in [
        (SendReason::Timeout, None),
        (SendReason::Response, None),
        (SendReason::ServerError, None),
        (SendReason::Connect, Some("a@example.com")),
    ] {
        for killed in [false, true] {
            let mut bench = Bench::new(&["ops"]);
            bench.answers("ops", fails_first(reason, done));
            bench.start();
            bench.fires(&["ann"]);
            bench.pass(2 * SECOND).await;
            assert_eq!(bench.outbox().len(), 1, "it is kept");
            if killed {
                bench.kill();
                bench.start();
            }
            bench.ends(&["ann"]);
            bench.pass(HOUR).await;
            let sent = bench.sent("ops");
            let words: Vec<_> = sent.iter().map(|sent| sent.words()).collect();
            assert_eq!(words, ["ann", "-ann"], "{reason:?} {killed}");
            assert_eq!(sent[1].notice.covers, [sent[0].notice.id.clone()], "{reason:?} {killed}");
            assert_eq!(bench.outbox(), [""; 0], "{reason:?} {killed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_may_have_arrived_is_sent_again_to_the_letter_while_nothing_changes() {
    for killed in [false, true] {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", fails_first(SendReason::Timeout, Some("a@example.com")));
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(2 * SECOND).await;
        if killed {
            bench.kill();
            bench.start();
            bench.poll_panel();
        }
        bench.pass(HOUR).await;
        let [first, second] = bench.sent("ops").try_into().unwrap();
        assert_eq!(first.notice, second.notice, "{killed}");
        assert_eq!(second.done, ["a@example.com"], "{killed}");
        assert_eq!(bench.outbox(), [""; 0], "{killed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_in_flight_when_the_process_is_killed_is_sent_again_under_its_id() {
    let mut bench = Bench::new(&["ops"]);
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(SECOND / 2).await;
    bench.kill();
    bench.start();
    bench.poll_panel();
    bench.pass(HOUR).await;
    let [first, second] = bench.sent("ops").try_into().unwrap();
    assert_eq!(first.notice, second.notice);
    bench.kill();
    bench.start();
    bench.poll_panel();
    bench.pass(HOUR).await;
    assert_eq!(bench.tried("ops").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_replaced_by_one_that_covers_it_when_something_changes() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].group_by.clear();
    bench.answers("ops", |attempt| match attempt.number {
        1 | 2 => error(SendReason::Timeout, Retry::Later),
        _ => yes(),
    });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(2 * SECOND).await;
    bench.fires(&["bob"]);
    bench.pass(10 * SECOND).await;
    bench.fires(&["cy"]);
    bench.pass(HOUR).await;
    let [first, second, third] = bench.sent("ops").try_into().unwrap();
    assert_eq!((first.words().as_str(), second.words().as_str()), ("ann", "ann bob"));
    assert_eq!(third.words(), "ann bob cy");
    let [first, second, third] = [first, second, third].map(|sent| sent.notice);
    assert_eq!(second.covers, std::slice::from_ref(&first.id));
    assert_eq!(third.covers, [first.id, second.id]);
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_surely_did_not_arrive_is_replaced_without_a_word() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].group_by.clear();
    bench.answers("ops", fails_first(SendReason::Connect, None));
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(2 * SECOND).await;
    bench.fires(&["bob"]);
    bench.pass(HOUR).await;
    let [first, second] = bench.sent("ops").try_into().unwrap();
    assert_eq!(second.words(), "ann bob");
    assert!(second.notice.covers.is_empty() && second.notice.id != first.notice.id);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_when_the_start_may_have_arrived_and_was_given_up() {
    for (first, expected) in
        [(SendReason::Timeout, &["ann", "ann", "-ann"][..]), (SendReason::Connect, &["ann"; 2])]
    {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", move |attempt| match attempt.number {
            1 => error(first, Retry::Later),
            2 => error(SendReason::ClientError, Retry::Never),
            _ => yes(),
        });
        bench.start();
        bench.fires(&["ann"]);
        bench.pass(MINUTE).await;
        assert_eq!(bench.dead().len(), 1, "{first:?}");
        bench.kill();
        bench.start();
        bench.ends(&["ann"]);
        bench.pass(HOUR).await;
        assert_eq!(bench.tried("ops"), expected, "{first:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_began_again_is_told_as_it_is() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", fails_first(SendReason::Timeout, None));
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(2 * SECOND).await;
    bench.ends(&["ann"]);
    bench.pass(SECOND).await;
    bench.fires(&["ann"]);
    bench.pass(HOUR).await;
    let [first, second] = bench.sent("ops").try_into().unwrap();
    assert_eq!(second.words(), "ann");
    assert_ne!(first.notice.alerts[0].event, second.notice.alerts[0].event);
    assert_eq!(second.notice.covers, [first.notice.id]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_wants_no_ends_gets_none() {
    for reason in [None, Some(SendReason::Timeout)] {
        let mut bench = Bench::new(&["ops"]);
        bench.routes[0].send_resolved = false;
        bench.routes[0].group_by.clear();
        if let Some(reason) = reason {
            bench.answers("ops", fails_first(reason, None));
        }
        bench.start();
        bench.fires(&["ann", "bob"]);
        bench.pass(2 * SECOND).await;
        bench.ends(&["ann"]);
        bench.pass(HOUR).await;
        bench.ends(&["bob"]);
        bench.pass(HOUR).await;
        let ended = bench.told("ops").iter().any(|told| told.contains('-'));
        assert!(!ended, "{reason:?}: {:?}", bench.told("ops"));
        assert_eq!(bench.disk.loaded().alerts, [], "{reason:?}");
        assert_eq!(bench.outbox(), [""; 0], "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_while_the_receiver_is_down_is_one_message_per_group_afterwards() {
    let mut bench = Bench::new(&["ops"]);
    bench.routes[0].group_by = vec!["alertname".into()];
    bench.answers("ops", |attempt| if attempt.at < 3 * HOUR { unavailable() } else { yes() });
    bench.start();
    let names: Vec<_> = (0..50).map(|n| format!("u{n:02}")).collect();
    for round in 0..120 {
        for (n, name) in names.iter().enumerate() {
            bench.panel.uses(name, if (n + round) % 3 == 0 { 10 } else { 85 });
        }
        bench.poll_panel();
        bench.pass(MINUTE).await;
    }
    let mut expected: Vec<_> = (0..50).filter(|n| (n + 119) % 3 != 0).map(|n| format!("u{n:02}")).collect();
    expected.sort();
    bench.pass(5 * HOUR).await;
    assert_eq!(bench.told("ops"), [expected.join(" ")]);
    let largest = bench.written.iter().map(|written| written.messages.len()).max();
    assert_eq!(largest, Some(1));
    assert_eq!(bench.outbox(), [""; 0]);
}

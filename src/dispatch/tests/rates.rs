//! The rates that services allow are kept before they have to refuse a message.

use std::{collections::BTreeSet, time::Duration};

use super::bench::{Attempt, Bench, HOUR, MINUTE, SECOND, yes};
use crate::notify::Rate;

const GROUP: &[Rate] = &[Rate { most: 1, within: SECOND }, Rate { most: 20, within: MINUTE }];
const ROBOT: &[Rate] = &[Rate { most: 20, within: MINUTE }];
const BURST: &[Rate] = &[Rate { most: 60, within: Duration::from_secs(300) }];

/// 500 distinct alerts come in one minute; each is a message of its own.
async fn storm(bench: &mut Bench) -> BTreeSet<String> {
    let users: Vec<_> = (0..500).map(|n| format!("u{n:03}")).collect();
    for some in users.chunks(50) {
        bench.fires(&some.iter().map(String::as_str).collect::<Vec<_>>());
        bench.pass(6 * SECOND).await;
    }
    users.into_iter().collect()
}

/// What a service sees: no span of a rate has more attempts than that.
fn assert_kept(bench: &Bench, rates: &[Rate]) {
    let attempts: Vec<_> = bench.sent("ops").iter().map(|sent| sent.at).collect();
    for rate in rates {
        for span in attempts.windows(rate.most + 1) {
            assert!(span[rate.most] - span[0] >= rate.within, "{rate:?}: {span:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_alerts_arrives_as_fast_as_the_service_allows() {
    for (rates, disk_takes) in [
        (GROUP, Duration::ZERO),
        (ROBOT, Duration::ZERO),
        (BURST, Duration::ZERO),
        // What is written slowly is given to the worker together.
        (ROBOT, Duration::from_millis(300)),
        (GROUP, Duration::from_millis(300)),
    ] {
        let mut bench = Bench::new(&["ops"]);
        (bench.pace, bench.disk_takes) = (rates, disk_takes);
        bench.answers("ops", |attempt: &mut Attempt<'_>| {
            // Some answers take longer than others.
            attempt.takes = Duration::from_millis(if attempt.number.is_multiple_of(3) { 900 } else { 30 });
            yes()
        });
        bench.start();
        let users = storm(&mut bench).await;
        bench.pass(HOUR).await;
        let sent = bench.sent("ops");
        assert_eq!(sent.len(), users.len(), "each once");
        let told: BTreeSet<_> = bench.told("ops").into_iter().collect();
        assert_eq!(told, users);
        assert_kept(&bench, rates);
        // No slower than it must: the rate that counts is used up.
        let slowest = rates.iter().map(|rate| rate.within / u32::try_from(rate.most).unwrap()).max().unwrap();
        let took = sent[499].at - sent[0].at;
        assert!(took < slowest * 500 + 2 * MINUTE, "{took:?}");
        assert_eq!(bench.outbox(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_without_a_rate_gets_them_at_once() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt: &mut Attempt<'_>| {
        attempt.takes = Duration::from_millis(10);
        yes()
    });
    bench.start();
    storm(&mut bench).await;
    bench.pass(10 * SECOND).await;
    assert_eq!(bench.sent("ops").len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_forget_what_was_sent() {
    let mut bench = Bench::new(&["ops"]);
    bench.pace = ROBOT;
    bench.answers("ops", |_| yes());
    bench.start();
    storm(&mut bench).await;
    for number in 1..10 {
        bench.configs.insert("ops".into(), number);
        bench.reload(&["ops"]).await;
        bench.pass(7 * SECOND).await;
    }
    assert_kept(&bench, ROBOT);
    assert!(bench.sent("ops").len() > 40);
}

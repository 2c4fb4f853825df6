//! Silences are on the disk before anyone hears that they hold.

use super::bench::{Bench, HOUR, MINUTE, SECOND};
use crate::model::{Silence, SilenceChange, SilenceError};

fn silence(bench: &Bench, matcher: &str, minutes: u32) -> SilenceChange {
    let now = bench.wall(bench.at());
    SilenceChange::Put(Silence {
        id: "".into(),
        matchers: vec![matcher.parse().unwrap()],
        starts_at: now,
        ends_at: now.saturating_add(minutes * MINUTE),
        updated_at: now,
        created_by: "ann".into(),
        comment: "the move".into(),
    })
}

/// Silences that are active, pending and expired.
fn counts(bench: &mut Bench) -> [Option<f64>; 3] {
    ["active", "pending", "expired"].map(|state| bench.value("silences", &[state]))
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_when_the_silence_is_on_the_disk_and_outlives_the_process() {
    let mut bench = Bench::new(&["ops"]);
    bench.disk_takes = 3 * SECOND;
    bench.start();
    assert_eq!(counts(&mut bench), [Some(0.0); 3]);
    let (id, took) = bench.silence(silence(&bench, "subject=ann", 60)).await;
    let id = id.unwrap();
    assert!(took >= 3 * SECOND, "{took:?}");
    let stored = bench.disk.loaded().silences;
    assert_eq!((stored.len(), &*stored[0].0), (1, &*id));
    assert_eq!(counts(&mut bench), [Some(1.0), Some(0.0), Some(0.0)]);
    bench.kill();
    bench.start();
    bench.fires(&["ann", "bob"]);
    for _ in 0..9 {
        bench.pass(5 * MINUTE).await;
        bench.poll_panel();
    }
    assert_eq!(bench.told("ops"), ["bob"]);
    assert_eq!(bench.value("notifications_suppressed_total", &["silenced"]), Some(1.0));
    bench.kill();
    bench.start();
    bench.poll_panel();
    bench.pass(20 * MINUTE).await;
    assert_eq!(bench.told("ops"), ["bob", "ann"]);
    assert_eq!(counts(&mut bench), [Some(0.0), Some(0.0), Some(1.0)]);
    bench.poll_panel();
    bench.pass(HOUR).await;
    assert_eq!(bench.told("ops"), ["bob", "ann"]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_answered_each_by_itself() {
    let mut bench = Bench::new(&["ops"]);
    bench.start();
    let (id, _) = bench.silence(silence(&bench, "subject=ann", 60)).await;
    let id = id.unwrap();
    bench.fires(&["ann"]);
    bench.pass(10 * MINUTE).await;
    assert_eq!(bench.told("ops"), [""; 0]);
    assert_eq!(bench.silence(SilenceChange::Expire("none".into())).await.0, Err(SilenceError::Unknown));
    let (wrong, _) = bench.silence(silence(&bench, "subject=~.*", 60)).await;
    assert!(matches!(wrong, Err(SilenceError::Wrong(_))), "{wrong:?}");
    assert_eq!(bench.silence(SilenceChange::Expire(id.clone())).await.0, Ok(id));
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.told("ops"), ["ann"]);
}

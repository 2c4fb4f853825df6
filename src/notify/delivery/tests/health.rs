//! The health of a receiver as seen outside its queue.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_health_of_a_receiver_follows_its_attempts() {
    let (bench, worker) = Bench::start(vec![], ReceiverState::default(), |attempt, _| match attempt {
        1 => unavailable(),
        2 => Ok("thanks".into()),
        _ => Err(error(SendReason::Auth, Retry::Never)),
    });
    let by_receiver = bench.health.clone();
    let health = || by_receiver.list()["ops"];
    let mut worker = Box::pin(worker.run());
    assert_eq!(health(), Health::default());
    bench.send(firing("a", "g"));
    run(&mut worker, Duration::from_secs(2)).await;
    let failing = health();
    assert_eq!(failing.oldest_pending.map(|since| since.wall), Some(START));
    assert_eq!(failing.failing_since.map(|since| since.wall), Some(START.saturating_add_millis(1000)));
    // An age does not jump with the wall clock.
    bench.clock.step(86_400_000);
    run(&mut worker, Duration::from_secs(1)).await;
    assert_eq!(health(), failing);
    run(&mut worker, Duration::from_secs(60)).await;
    assert_eq!(health(), Health::default(), "it took the notice");
    bench.send(firing("b", "g"));
    run(&mut worker, Duration::from_secs(2)).await;
    assert!(health().failing_since.is_some() && health().oldest_pending.is_none(), "it was refused for good");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_for_good_is_forgotten_by_a_new_start() {
    let failing_since = Some(START.saturating_add_millis(-3_600_000));
    let fails = ReceiverState { failing_since, config: CONFIG, ..ReceiverState::default() };
    let refuses = ReceiverState { disabled: true, ..fails.clone() };
    for (pending, state, still_fails) in [
        (vec![], fails.clone(), false),
        (vec![firing("a", "g")], fails, true),
        (vec![], refuses.clone(), true),
        (vec![], ReceiverState { config: CONFIG + 1, ..refuses }, false),
    ] {
        let (bench, _worker) = Bench::start(pending, state.clone(), |_, _| unavailable());
        let since = bench.health.list()["ops"].failing_since;
        let age = since.map(|since| bench.clock.now().since(since));
        assert_eq!(age, still_fails.then_some(HOUR), "{state:?}");
    }
}

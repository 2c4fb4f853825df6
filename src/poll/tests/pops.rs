//! Reads that take data away from a target: they are announced, never cut short, and only the daemon makes them.

use super::*;

/// How long the target takes to hand out its records.
const POP: Duration = Duration::from_secs(15);

fn popping() -> (Poller, Board, Log) {
    let (mut poller, board, _, log) = poller(Box::new(|part, _| match part {
        Part::System => (Duration::from_millis(40), Ok(system())),
        part => (POP, Ok(Step::done(part, Vec::new()))),
    }));
    let Upstream::Scripted(upstream) = &mut poller.upstream else { unreachable!() };
    upstream.plan = vec![
        Planned::deciding(Part::System),
        Planned::new(Part::Usage, Pace::Within(Duration::from_secs(15))),
        Planned::new(Part::Admins, Pace::Each(Duration::from_secs(3600))),
    ];
    upstream.announces = Some(Part::Usage);
    (poller, board, log)
}

/// Runs until `part` has been requested for a second, then stops as the daemon does, and returns how long that took.
async fn stop_during(part: Part, poller: &mut Poller, log: &Log) -> Duration {
    let (quits, quit) = tokio::sync::oneshot::channel::<()>();
    let later = async {
        while times(log, part).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(quits);
        tokio::time::Instant::now()
    };
    let (stopped, asked) = tokio::join!(poller.run_until(std::future::pending::<()>(), quit), later);
    assert_eq!(stopped, Stopped::AtOnce);
    asked.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_data_that_is_on_its_way_and_for_nothing_else() {
    let (mut poller, _board, log) = popping();
    let took = stop_during(Part::Usage, &mut poller, &log).await;
    assert!(took >= POP - Duration::from_secs(2) && took <= POP, "{took:?}");
    assert!(poller.was_read(Part::Usage));

    let (mut poller, _board, log) = popping();
    let Upstream::Scripted(upstream) = &mut poller.upstream else { unreachable!() };
    upstream.plan.retain(|planned| planned.part != Part::Usage);
    let took = stop_during(Part::Admins, &mut poller, &log).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert!(!poller.was_read(Part::Admins));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_for_its_turn_does_not_begin_after_a_stop() {
    for quits in [false, true] {
        let (mut poller, _board, log) = popping();
        let Upstream::Scripted(upstream) = &mut poller.upstream else { unreachable!() };
        let turn = Arc::clone(&upstream.turn);
        upstream.plan.retain(|planned| planned.part != Part::Admins);
        // What decides whether the target is up is read first.
        assert_eq!(poller.step(Planned::deciding(Part::System)).await, Ended::Done);
        let held = turn.lock_owned().await;
        let after = |is_it: bool| async move {
            if is_it { tokio::time::sleep(POP).await } else { std::future::pending().await }
        };
        let stopped = poller.run_until(after(!quits), after(quits)).await;
        assert_eq!(stopped, if quits { Stopped::AtOnce } else { Stopped::AfterRequest });
        assert!(times(&log, Part::Usage).is_empty());
        drop(held);
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_read_takes_nothing_away() {
    let (poller, _board, log) = popping();
    let report = poller.read_once(|_| {}).await;
    assert_eq!(report.up, Some(true));
    assert!(times(&log, Part::Usage).is_empty());
    assert_eq!(times(&log, Part::Admins).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_announced_on_disk_before_it_is_made() {
    let store = Store::in_memory();
    let stored = store.clone();
    let (poller, _board, _) = {
        let (mut poller, board, log) = popping();
        let Upstream::Scripted(upstream) = &mut poller.upstream else { unreachable!() };
        upstream.answer = Box::new(move |part, _| match part {
            Part::System => (Duration::ZERO, Ok(system())),
            part => {
                let rows = tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(stored.load_counters("home")).unwrap()
                });
                assert_eq!(rows[0].0, "announced");
                (Duration::ZERO, Ok(Step::done(part, Vec::new())))
            }
        });
        (poller, board, log)
    };
    let mut poller = poller.keeping(store, None);
    let usage = Planned::new(Part::Usage, Pace::Within(Duration::from_secs(15)));
    assert_eq!(poller.step(usage).await, Ended::Done);
}

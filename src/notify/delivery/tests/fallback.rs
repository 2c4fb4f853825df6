//! Notices to the fallback, also while it changes.

use super::*;

/// Another receiver: its queue, and the notices in it.
fn another() -> (mpsc::UnboundedSender<Notice>, mpsc::UnboundedReceiver<Notice>) {
    mpsc::unbounded_channel()
}

/// The receiver and status of each notice since the last call.
fn heard(queue: &mut mpsc::UnboundedReceiver<Notice>) -> Vec<(String, NoticeStatus)> {
    std::iter::from_fn(|| queue.try_recv().ok())
        .map(|notice| (notice.receiver.clone(), notice.status()))
        .collect()
}

fn of(name: &str, status: NoticeStatus) -> (String, NoticeStatus) {
    (name.to_owned(), status)
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_told_to_the_fallback_at_once_and_once_each_time() {
    let (mut bench, worker) = Bench::start(vec![], state(), |n, _| match n {
        3 => Ok("yes".into()),
        _ => Err(error(SendReason::Auth, Retry::Later)),
    });
    bench.send(firing("1", "g"));
    bench.send(firing("2", "h"));
    let mut worker = Box::pin(worker.run());
    run(&mut worker, Duration::from_secs(3)).await;
    let text = "Receiver ops does not accept notifications (auth): it said auth. Notifications given up: 0.";
    assert_eq!(bench.told(), [(NoticeStatus::Firing, "auth".to_owned(), text.to_owned())]);
    run(&mut worker, Duration::from_secs(17)).await;
    assert_eq!(bench.ids().len(), 2);
    assert_eq!(bench.told(), []);
    run(&mut worker, HOUR).await;
    assert!(bench.ids().len() > 4);
    let told: Vec<_> = bench.told().into_iter().map(|(status, ..)| status).collect();
    assert_eq!(
        told,
        [NoticeStatus::Resolved, NoticeStatus::Firing],
        "it accepted one in between, so this is a new failure"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_neither_begins_the_patience_again_nor_tells_twice() {
    let failing_since = Some(START.saturating_add_millis(-1_200_000));
    for (fallback_knows, expected) in [(FallbackKnows::Nothing, 1), (FallbackKnows::Failing, 0)] {
        let state = ReceiverState { failing_since, fallback_knows, ..state() };
        let (mut bench, worker) = Bench::start(vec![firing("1", "g")], state, |_, _| unavailable());
        let mut worker = Box::pin(worker.run());
        run(&mut worker, Duration::from_secs(590)).await;
        assert_eq!(bench.told(), []);
        run(&mut worker, Duration::from_secs(20)).await;
        assert_eq!(bench.told().len(), expected, "{fallback_knows:?}");
        run(&mut worker, 10 * HOUR).await;
        assert_eq!(bench.told(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_fallback_no_notice_is_sent_until_there_is_one() {
    let (mut bench, mut worker) = Bench::start(vec![], state(), |_, _| unavailable());
    worker.outbox.others = watch::channel(Others::default()).1;
    bench.send(firing("1", "g"));
    let mut worker = Box::pin(worker.run());
    run(&mut worker, 10 * HOUR).await;
    drop(bench.notices);
    let left = worker.await;
    assert_eq!(left.state.fallback_knows, FallbackKnows::Nothing);
    assert!(bench.fallback.try_recv().is_err());
    let notices = left.pending.into_iter().map(|row| row.notice).collect();
    let (mut bench, worker) = Bench::start(notices, left.state, |_, _| unavailable());
    run(&mut Box::pin(worker.run()), PATIENCE).await;
    assert_eq!(bench.told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_comes_late_is_notified_at_once() {
    let (bench, worker) = Bench::start(vec![], state(), |_, _| unavailable());
    bench.others.send_replace(others("", &[]));
    let mut worker = Box::pin(worker.run());
    bench.send(firing("1", "g"));
    run(&mut worker, 7 * HOUR).await;
    let (queue, mut late) = another();
    bench.others.send_replace(others("late", &[("late", &queue)]));
    run(&mut worker, Duration::from_secs(1)).await;
    assert_eq!(heard(&mut late), [of("late", NoticeStatus::Firing)]);
}

#[tokio::test(start_paused = true)]
async fn a_new_fallback_is_notified_and_the_failure_ends_at_the_former_one() {
    use NoticeStatus::{Firing, Resolved};
    let (mut bench, worker) =
        Bench::start(vec![], state(), |n, _| if n < 12 { unavailable() } else { Ok("yes".into()) });
    let mut worker = Box::pin(worker.run());
    bench.send(firing("1", "g"));
    run(&mut worker, HOUR).await;
    assert_eq!(heard(&mut bench.fallback), [of("other", Firing)]);

    let (queue, mut new) = another();
    let both = [("other", &bench.to_fallback), ("new", &queue)];
    bench.others.send_replace(others("new", &both));
    run(&mut worker, Duration::from_secs(1)).await;
    assert_eq!(heard(&mut bench.fallback), [of("other", Resolved)]);
    assert_eq!(heard(&mut new), [of("new", Firing)]);

    // It is no longer the fallback, there is no other, and no end is sent twice.
    bench.others.send_replace(others("", &both));
    run(&mut worker, Duration::from_secs(1)).await;
    assert_eq!(heard(&mut new), [of("new", Resolved)]);
    bench.others.send_replace(others("new", &both));
    run(&mut worker, Duration::from_secs(1)).await;
    assert_eq!(heard(&mut new), [of("new", Firing)]);
    run(&mut worker, LIFE / 2).await;
    assert_eq!(heard(&mut new), [of("new", Resolved)]);
    assert_eq!(heard(&mut bench.fallback), []);
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_a_notice_is_sent_reaches_whom_it_is_about() {
    use NoticeStatus::{Firing, Resolved};
    // The attempt that takes ten seconds is refused for good, or accepted.
    for (taken, told_new) in [(false, vec![of("new", Firing)]), (true, vec![])] {
        let attempts = Attempts::default();
        let script = Scripted(Box::new(move |notice, _, _| match notice.id.as_str() {
            "2" if taken => (Duration::from_secs(10), Ok("yes".into())),
            "2" => (Duration::from_secs(10), Err(error(SendReason::ClientError, Retry::Never))),
            _ => (Duration::from_secs(1), Err(error(SendReason::Auth, Retry::Never))),
        }));
        let (mut bench, worker) = Bench::with(vec![], state(), attempts, script);
        let mut worker = Box::pin(worker.run());
        bench.send(firing("1", "g"));
        run(&mut worker, Duration::from_secs(3)).await;
        bench.send(firing("2", "h"));
        run(&mut worker, Duration::from_secs(3)).await;
        assert_eq!(heard(&mut bench.fallback), [of("other", Firing)]);
        let (queue, mut new) = another();
        bench.others.send_replace(others("new", &[("other", &bench.to_fallback), ("new", &queue)]));
        run(&mut worker, HOUR).await;
        assert_eq!(heard(&mut bench.fallback), [of("other", Resolved)], "{taken}");
        assert_eq!(heard(&mut new), told_new, "{taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_told_is_known_after_a_restart() {
    use NoticeStatus::{Firing, Resolved};
    let knows = FallbackKnows::Failing;
    // Earlier versions did not store the fallback's name.
    for (told, before, now) in [
        (Some("other"), vec![], vec![]),
        (None, vec![], vec![]),
        (Some("before"), vec![of("before", Resolved)], vec![of("other", Firing)]),
        (Some("gone"), vec![], vec![of("other", Firing)]),
    ] {
        let state = ReceiverState { fallback_knows: knows, fallback: told.map(str::to_owned), ..state() };
        let state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        let (mut bench, worker) = Bench::start(vec![firing("1", "g")], state, |_, _| unavailable());
        let (queue, mut earlier) = another();
        bench.others.send_replace(others("other", &[("other", &bench.to_fallback), ("before", &queue)]));
        run(&mut Box::pin(worker.run()), Duration::from_secs(1)).await;
        assert_eq!(heard(&mut earlier), before, "{told:?}");
        assert_eq!(heard(&mut bench.fallback), now, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_takes_back_what_was_told() {
    let (bench, worker) = Bench::start(vec![], state(), |_, _| Err(error(SendReason::Auth, Retry::Later)));
    bench.send(firing("1", "g"));
    let mut worker = Box::pin(worker.run());
    run(&mut worker, Duration::from_secs(3)).await;
    let Bench { notices, mut fallback, .. } = bench;
    drop(notices);
    let left = worker.await;
    let told = fallback.try_recv().unwrap();
    let farewell = left.farewell("ops", START).unwrap();
    assert_eq!((farewell.receiver.as_str(), farewell.status()), ("other", NoticeStatus::Resolved));
    assert_eq!((&farewell.group, &farewell.alerts[0].event), (&told.group, &told.alerts[0].event));
    assert_eq!(known_failure("ops", &left.state), Some(("other", told.alerts[0].event.clone())));
    assert_eq!(Left::default().farewell("ops", START), None);
    assert_eq!(known_failure("ops", &state()), None);
}

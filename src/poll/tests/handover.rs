//! What a loop leaves to the next one of its target.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_loop_that_follows_another_knows_what_that_knew() {
    let (first, board, ..) = poller(slow_panel());
    run_for(first, Duration::from_secs(3 * 3600)).await;
    let before = (*board.view().reports[0]).clone();
    let users = before.parts[&Part::Users].clone();
    assert!(users.stale_after > Duration::from_secs(10_000), "{:?}", users.stale_after);

    // The panel is slow, or fails from the first request on, before its system is detected again.
    let fails: Script =
        Box::new(|_, _| (Duration::from_secs(1), failure(Cause::Http(http::Error::Status(502)))));
    for (script, plan) in [(slow_panel(), plan()), (fails, vec![Planned::deciding(Part::System)])] {
        let (_, requests) = mpsc::unbounded_channel();
        let (next, next_board, ..) = poller_with(script, requests, None);
        let (mut former, ..) = poller(slow_panel());
        former.report = before.clone();
        let mut next = next.resuming(former.hand_over());
        let Upstream::Scripted(upstream) = &mut next.upstream else { unreachable!() };
        upstream.plan = plan;
        run_for(next, Duration::from_secs(120)).await;
        let report = Arc::clone(&next_board.view().reports[0]);
        assert_eq!(report.users.list().len(), 20_000);
        assert!(report.parts[&Part::Users].stale_after >= users.stale_after, "{:?}", report.parts);
        assert!(report.parts.contains_key(&Part::Core));
    }
}

/// Runs a loop for so long, and stops it between two requests.
async fn run_until_stopped(poller: &mut Poller, time: Duration) {
    poller.run(tokio::time::sleep(time)).await;
}

#[tokio::test(start_paused = true)]
async fn a_loop_at_another_pace_goes_on_in_the_middle_of_a_walk() {
    let config = |load, interval| {
        let timeout = Duration::from_secs(7);
        PollConfig { load, interval: Duration::from_secs(interval), timeout, ..PollConfig::default() }
    };
    let (mut before, board, clock, log) = poller(slow_panel());
    // Ten of 40 pages.
    run_until_stopped(&mut before, Duration::from_secs(1000)).await;
    let pages = times(&log, Part::Users).len();
    assert!((9..=11).contains(&pages), "{pages}");

    // All of the panel's time: the rest of the walk takes 300 seconds.
    let (ask, requests) = mpsc::unbounded_channel();
    let (mut next, _, _, new_log, _) = poller_with(slow_panel(), requests, None);
    next.schedule.change(config(1.0, 60), Duration::ZERO);
    let beat = next.beat().clone();
    let mut next = next.going_on(before.hand_over());
    run_until_stopped(&mut next, Duration::from_secs(400)).await;
    let report = Arc::clone(&board.view().reports[0]);
    assert_eq!(report.users.list().len(), 20_000);
    assert!(
        report.users.walked_since().is_some_and(|since| clock.now().since(since) > Duration::from_secs(1300))
    );
    // The new loop's own client was never used, and its beat and its requests are.
    assert!(new_log.lock().unwrap().is_empty());
    let Upstream::Scripted(upstream) = &next.upstream else { unreachable!() };
    assert_eq!(upstream.timeouts.unwrap().request, Duration::from_secs(7));
    let beats = Beats::default();
    beats.watch("poll home", &beat);
    let named = Arc::clone(&upstream.named);
    ask.send(vec!["u00003".into()]).unwrap();
    run_until_stopped(&mut next, Duration::from_secs(200)).await;
    assert_eq!(*named.lock().unwrap(), [[Arc::from("u00003")]]);
    assert_eq!(beats.stuck(), [""; 0]);

    // Names that were not asked for yet go to the next loop too.
    ask.send(vec!["u00004".into()]).unwrap();
    let (_, requests) = mpsc::unbounded_channel();
    let (third, ..) = poller_with(slow_panel(), requests, None);
    let mut third = third.going_on(next.hand_over());
    run_until_stopped(&mut third, Duration::from_secs(400)).await;
    assert_eq!(named.lock().unwrap().last().unwrap(), &[Arc::from("u00004")]);
}

/// From all of a panel's time to a tenth of it, and a panel that takes three times as long: no list looks stale.
#[tokio::test(start_paused = true)]
async fn a_list_that_becomes_slower_is_not_stale() {
    for (load, slower) in [(1.0, 1), (0.1, 3)] {
        let mut panel = slow_panel();
        let (mut poller, board, clock, _) = poller(Box::new(move |part, now| {
            let (takes, step) = panel(part, now);
            (if running_for(now, 12_000) { takes * slower } else { takes }, step)
        }));
        poller.schedule.change(PollConfig { load, ..PollConfig::default() }, Duration::ZERO);
        run_until_stopped(&mut poller, Duration::from_secs(12_000)).await;
        poller.schedule.change(PollConfig::default(), clock.now().uptime);
        for minute in 0..10 * 60 {
            run_until_stopped(&mut poller, Duration::from_secs(60)).await;
            let now = clock.now();
            let report = Arc::clone(&board.view().reports[0]);
            let state = &report.parts[&Part::Users];
            let age = now.since(state.last_success.unwrap());
            assert!(
                age <= state.round * 3 && report.fresh(Part::Users, now),
                "{load} {minute}: {age:?} {state:?}"
            );
        }
    }
}

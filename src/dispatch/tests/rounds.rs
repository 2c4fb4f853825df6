//! How rounds, the disk and workers go together.

use crate::model::Named;
use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{self, sleep},
};

use super::{
    super::{Dispatcher, LAST_ATTEMPT, Link, Reload, Shown, Way, Wiring, Worker, run},
    bench::{Bench, HOUR, MINUTE, SECOND, error, route, unavailable, yes},
};
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        testing::{BEGIN, DAY, Panel, config},
    },
    board::Board,
    clock::{Beat, Beats, Clock},
    model::{Notice, Part},
    notify::{HealthByReceiver, Receiver, Retry, SendReason, scripted::Scripted},
    store::{Loaded, Store, Usage},
    telemetry::Telemetry,
};

#[tokio::test(start_paused = true)]
async fn a_message_is_on_the_disk_before_it_is_sent() {
    let mut bench = Bench::new(&["ops"]);
    bench.disk_takes = 5 * SECOND;
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(Duration::from_millis(4900)).await;
    assert_eq!((bench.tried("ops").len(), bench.outbox().len()), (0, 0));
    bench.pass(SECOND).await;
    assert_eq!((bench.tried("ops").len(), bench.outbox().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_takes_several_messages_at_once() {
    let mut bench = Bench::new(&["ops", "desk"]);
    bench.answers("ops", |attempt| {
        attempt.takes = Duration::from_millis(20);
        yes()
    });
    bench.disk_takes = SECOND;
    bench.start();
    bench.fires(&["zoe"]);
    bench.pass(10 * SECOND).await;
    let names: Vec<_> = (0..64).map(|n| format!("u{n:02}")).collect();
    bench.fires(&names.iter().map(String::as_str).collect::<Vec<_>>());
    bench.pass(30 * SECOND).await;
    assert_eq!(bench.told("ops").len(), 65);
    let together = bench.written.iter().map(|written| written.messages.len()).max().unwrap();
    assert!((32..=64).contains(&together), "{together}");
    // A receiver that fails is given one at a time.
    bench.answers("ops", |_| unavailable());
    bench.ends(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let before = bench.written.len();
    bench.pass(10 * MINUTE).await;
    let of_ops = |written: &crate::store::Written| {
        written.messages.iter().filter(|notice| notice.receiver == "ops").count()
    };
    let counts: Vec<_> = bench.written[before..].iter().map(of_ops).filter(|count| *count > 0).collect();
    assert!(counts[1..].iter().all(|count| *count == 1), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_too_long_in_a_worker_is_composed_again() {
    let mut bench = Bench::new(&["ops"]);
    bench.disk_takes = SECOND;
    bench.start();
    bench.fires(&["zoe"]);
    bench.pass(10 * SECOND).await;
    bench.answers("ops", |attempt| {
        attempt.takes = 3 * SECOND;
        yes()
    });
    bench.fires(&["a", "b", "c", "d"]);
    bench.pass(4 * SECOND).await;
    let recorded: Vec<_> = bench.written.iter().filter(|written| written.messages.len() == 4).collect();
    assert_eq!(recorded.len(), 1, "four were given to the worker");
    // The first is taken, the second is tried, and the others wait.
    let first = bench.tried("ops")[1].clone();
    bench.ends(&["a", "b", "c", "d"]);
    bench.pass(HOUR).await;
    let told = bench.told("ops");
    assert_eq!(told.iter().filter(|told| told.starts_with('-')).count(), 2, "{told:?}");
    assert_eq!(told.len(), 5, "what was not tried is over: {told:?}");
    assert!(told.contains(&format!("-{first}")));
    assert_eq!(bench.outbox(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_delays_no_other() {
    let mut bench = Bench::new(&["ops", "desk"]);
    bench.answers("ops", |attempt| {
        attempt.takes = 10 * HOUR;
        yes()
    });
    bench.start();
    for user in ["a", "b", "c"] {
        bench.fires(&[user]);
        bench.pass(Duration::from_millis(2100)).await;
        assert_eq!(bench.told("desk").last().unwrap(), user);
    }
    assert_eq!(bench.tried("ops").len(), 1);
    assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(3.0));
}

#[tokio::test(start_paused = true)]
async fn a_failing_disk_delays_nothing_for_long() {
    let mut bench = Bench::new(&["ops"]);
    // The store answers that the disk hangs.
    bench.disk_takes = HOUR;
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(MINUTE).await;
    assert_eq!(bench.told("ops"), ["ann"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_the_attempt_and_starts_no_other() {
    for (takes, taken) in [(SECOND, true), (10 * SECOND, false)] {
        let mut bench = Bench::new(&["ops"]);
        bench.answers("ops", move |attempt| {
            attempt.takes = takes;
            yes()
        });
        bench.start();
        bench.fires(&["ann", "bob"]);
        bench.pass(SECOND / 2).await;
        let took = bench.stop().await;
        assert!(took <= LAST_ATTEMPT + SECOND / 10, "{took:?}");
        assert_eq!(bench.tried("ops").len(), 1);
        assert_eq!(bench.outbox().is_empty(), taken, "the next process sends it again");
        let first = bench.sent("ops").remove(0);
        bench.start();
        bench.poll_panel();
        bench.pass(MINUTE).await;
        let ids: Vec<_> = bench.sent("ops").into_iter().map(|sent| sent.notice.id).collect();
        assert_eq!(ids.iter().filter(|id| **id == first.notice.id).count(), if taken { 1 } else { 2 });
        assert_eq!(ids.len(), if taken { 2 } else { 3 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_notes_how_the_last_attempt_failed() {
    let mut bench = Bench::new(&["ops"]);
    bench.answers("ops", |attempt| match attempt.number {
        1 => {
            attempt.done.push("a@example.com".into());
            error(SendReason::Timeout, Retry::Later)
        }
        _ => yes(),
    });
    bench.start();
    bench.fires(&["ann"]);
    bench.pass(SECOND / 2).await;
    bench.stop().await;
    let loaded = bench.disk.loaded();
    assert_eq!(loaded.outbox[0].done, ["a@example.com"]);
    let (_, state) = loaded.receivers.iter().find(|(name, _)| name == "ops").unwrap();
    assert!(state.failures == 1 && state.next_attempt.is_some());
    bench.start();
    bench.pass(MINUTE).await;
    let [first, second] = bench.sent("ops").try_into().unwrap();
    assert_eq!((second.notice, second.done), (first.notice, vec!["a@example.com".to_owned()]));
    assert!(second.at >= 6 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_idle_daemon_stops_at_once() {
    let mut bench = Bench::new(&["ops"]);
    bench.start();
    bench.pass(MINUTE).await;
    assert!(bench.stop().await < SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_delivered_once_by_a_receiver_that_was_down_for_ten_minutes() {
    // It took the start; or it refused the start as well, but may have received it.
    for (down, expected) in [(3..13, &["ann", "-ann"][..]), (0..10, &["-ann"])] {
        let mut bench = Bench::new(&["ops"]);
        let (from, until) = (MINUTE * down.start, MINUTE * down.end);
        bench.answers("ops", move |attempt| {
            let is_down = attempt.at >= from && attempt.at < until;
            if is_down { error(SendReason::ServerError, Retry::Later) } else { yes() }
        });
        bench.routes[0].group_wait = SECOND * 30;
        bench.panel.expires("ann", 0);
        bench.config.rules.remove("user_expiry");
        bench.start();
        for half_minute in 0..180 {
            if half_minute == 12 {
                bench.panel.expires("ann", 90 * DAY);
            }
            bench.poll_panel();
            bench.pass(MINUTE / 2).await;
        }
        assert_eq!(bench.told("ops"), expected, "{down:?}");
        let end = bench.sent("ops").pop().unwrap().notice;
        assert_eq!(&end.alerts[0].annotations["reason"], "renewed");
        let refused = bench.sent("ops").iter().filter(|sent| !sent.taken).count();
        assert!((3..=5).contains(&refused), "{down:?}: {refused} attempts in ten minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_on_the_board_is_recorded_and_sent() {
    let (clock, board, store) = (Clock::starting_at(BEGIN), Board::new(["home"]), Store::in_memory());
    let (sent, mut told) = mpsc::unbounded_channel();
    let (reread, mut asked) = mpsc::unbounded_channel();
    let (reloads, reloaded) = mpsc::channel(1);
    let (alerts, mut listed) = watch::channel(Arc::default());
    let (letters, queue) = mpsc::channel(1);
    let (reports, heard) = mpsc::channel(64);
    let telemetry = Telemetry::new();
    let rereads = move || [("home".to_owned(), reread.clone())].into();
    let answer = move |notice: &Notice, _: &mut Vec<String>, _| {
        sent.send(notice.clone()).unwrap();
        (Duration::ZERO, yes())
    };
    let worker = Worker {
        name: "ops".into(),
        number: 1,
        receiver: Receiver::Scripted(Scripted(Box::new(answer))),
        letters: queue,
        reports,
        telemetry: telemetry.clone(),
        clock: clock.clone(),
    };
    let beat = Beat::default();
    let wiring = Wiring {
        view: board.watch(),
        reloads: reloaded,
        reports: heard,
        asks: mpsc::channel(1).1,
        silences: mpsc::channel(1).1,
        alerts,
        reread: rereads(),
        store,
        usage: Usage::in_memory(&clock, TimeZone::UTC),
        telemetry: telemetry.clone(),
        clock: clock.clone(),
        beat,
    };
    let link = Link {
        place: String::new(),
        receiver: "ops".into(),
        to: Way::Messages { letters, worker: 1, names: Named::All, pace: &[] },
        config: 0,
    };
    let shown = Shown { board: board.clone(), telemetry, health: HealthByReceiver::default() };
    let routes = || {
        let group_by = vec!["alertname".to_owned()];
        vec![crate::alert::group::Route { group_by, group_wait: 30 * SECOND, ..route("ops") }]
    };
    let dispatcher =
        Dispatcher::new(&config(), routes(), vec![link], Loaded::default(), None, shown, clock.now())
            .unwrap();

    let story = async {
        let mut panel = Panel::new("home");
        panel.expires("alice", 2 * DAY);
        panel.expires("bob", 3 * DAY + 600);
        board.publish((*panel.poll(clock.now())).clone());
        let notice = told.recv().await.unwrap();
        assert_eq!((notice.reason.as_str(), notice.alerts.len()), ("first notification", 2));
        assert_eq!(listed.borrow_and_update().list.len(), 3);

        // Bob crosses a step while his last reading is old.
        assert!(asked.is_empty());
        for _ in 0..20 {
            sleep(30 * SECOND).await;
            panel.poll_cheap(clock.now());
            panel.read(Part::Users, clock.now());
            board.publish(panel.report.clone());
        }
        let again = asked.recv().await.unwrap();
        assert_eq!(again, ["bob".into()]);

        // A configuration with a mistake changes nothing.
        let bad = RuleConfig { rule: Some("nonsense".into()), ..RuleConfig::default() };
        let off = RuleConfig { enabled: Some(false), ..RuleConfig::default() };
        for (name, rule, good) in [("mine", bad, false), ("user_expiry", off, true)] {
            let config = AlertingConfig { rules: [(name.to_owned(), rule)].into(), ..config() };
            let (done, answer) = oneshot::channel();
            let reload =
                Reload { config, routes: routes(), links: vec![], pseudonym: None, reread: rereads(), done };
            reloads.send(reload).await.unwrap();
            assert_eq!(answer.await.unwrap().is_ok(), good);
        }
        let notice = told.recv().await.unwrap();
        assert_eq!(notice.reason, "all alerts resolved");
    };
    let beats = Beats::default();
    beats.watch("alerts", &wiring.beat);
    let mut running = Box::pin(run(dispatcher, wiring, std::future::pending()));
    tokio::select! {
        () = &mut running => panic!("it ended"),
        () = worker.run() => panic!("the worker ended"),
        () = story => {}
    }
    assert_eq!(beats.stuck(), [""; 0]);
    time::advance(200 * SECOND).await;
    assert_eq!(beats.stuck(), ["alerts"]);
    drop(running);
}

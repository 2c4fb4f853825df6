//! The heartbeat in tokio's time, which is paused.

use std::sync::{Arc, Mutex};

use tokio::time::{advance, timeout};

use super::*;
use crate::{clock::Beat, model::Timestamp, notify::Retry};

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Records the uptime of each ping, and always gives the same answer.
#[derive(Debug)]
pub(super) struct Script {
    pings: Arc<Mutex<Vec<Duration>>>,
    answer: Result<(), SendError>,
}

impl Script {
    pub(super) fn ping(&mut self, now: Moment) -> Result<(), SendError> {
        self.pings.lock().unwrap().push(now.uptime);
        self.answer.clone()
    }
}

struct Bench {
    pings: Arc<Mutex<Vec<Duration>>>,
    beats: Beats,
    health: HealthByReceiver,
    board: Board,
    telemetry: Telemetry,
    clock: Clock,
}

impl Bench {
    fn start(answer: Result<(), SendError>) -> (Bench, Heartbeat) {
        let clock = Clock::starting_at(Timestamp::from_secs(1_795_000_000));
        let (pings, beats, telemetry) = (Arc::default(), Beats::default(), Telemetry::new());
        let (health, board) = (HealthByReceiver::default(), Board::new([]));
        let heartbeat = Heartbeat {
            way: Way::Scripted(Script { pings: Arc::clone(&pings), answer }),
            interval: INTERVAL,
            delivery_patience: PATIENCE,
            beats: beats.clone(),
            receivers: health.clone(),
            board: board.clone(),
            telemetry: telemetry.clone(),
            clock: clock.clone(),
            shown: Shown::Nothing,
        };
        (Bench { pings, beats, health, board, telemetry, clock }, heartbeat)
    }

    fn pings(&self) -> usize {
        self.pings.lock().unwrap().len()
    }

    fn value(&self, name: &str) -> f64 {
        let families = self.telemetry.gather();
        let family = families.iter().find(|family| family.name() == format!("proxymeter_{name}"));
        let metrics = family.into_iter().flat_map(|family| family.get_metric());
        metrics.map(|metric| metric.get_counter().get_value()).sum()
    }
}

/// Lets the heartbeat run for a while.
async fn run(heartbeat: &mut (impl Future + Unpin), time: Duration) {
    assert!(timeout(time, heartbeat).await.is_err(), "the heartbeat ended");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_really_wrong_speaks_against_a_ping() {
    let clock = Clock::starting_at(Timestamp::from_secs(1_795_000_000));
    advance(2 * PATIENCE).await;
    let now = clock.now();
    let ago = |age: Duration| Some(Moment { uptime: now.uptime - age, ..now });
    let health = |failing_since, oldest_pending| Health { failing_since, oldest_pending };
    let stuck = |name: &str| Ailment::Stuck(name.to_owned());
    let untold = |name: &str| Ailment::Untold(name.to_owned());
    let fine = health(None, None);
    let bearable = health(ago(PATIENCE), ago(PATIENCE));
    let failing = health(ago(PATIENCE + SECOND), None);
    let waiting = health(None, ago(PATIENCE + SECOND));
    for (late, receivers, expected) in [
        (vec![], vec![], vec![]),
        (vec![], vec![("ops", fine), ("oncall", fine)], vec![]),
        (vec![], vec![("ops", bearable)], vec![]),
        (vec![], vec![("ops", failing)], vec![untold("ops")]),
        (vec![], vec![("ops", waiting)], vec![untold("ops")]),
        (
            vec![],
            vec![("ops", fine), ("oncall", health(ago(2 * PATIENCE), ago(2 * PATIENCE)))],
            vec![untold("oncall")],
        ),
        (vec!["alerts"], vec![("ops", fine)], vec![stuck("alerts")]),
        (
            vec!["poll home", "store"],
            vec![("ops", waiting)],
            vec![stuck("poll home"), stuck("store"), untold("ops")],
        ),
    ] {
        let late: Vec<_> = late.into_iter().map(str::to_owned).collect();
        let receivers = receivers.into_iter().map(|(name, health)| (name.to_owned(), health)).collect();
        assert_eq!(ailments(late.clone(), &receivers, PATIENCE, now), expected, "{late:?} {receivers:?}");
        assert!(expected.iter().all(|ailment| Ailment::REASONS.contains(&ailment.reason())));
    }
}

#[tokio::test(start_paused = true)]
async fn pings_stop_within_two_intervals_of_a_loop_and_come_back_with_it() {
    let (bench, heartbeat) = Bench::start(Ok(()));
    let mut heartbeat = Box::pin(heartbeat.run());
    let poll = Beat::default();
    bench.beats.watch("poll home", &poll);
    run(&mut heartbeat, SECOND).await;
    for _ in 0..10 {
        poll.within(30 * SECOND);
        run(&mut heartbeat, 30 * SECOND).await;
    }
    assert_eq!(bench.pings(), 5, "the first after one interval");
    poll.within(30 * SECOND);
    let stuck_at = bench.clock.now().uptime;
    run(&mut heartbeat, 60 * INTERVAL).await;
    let last = *bench.pings.lock().unwrap().last().unwrap();
    assert!(last <= stuck_at + 30 * SECOND + SLACK, "a ping at {last:?}");
    assert!(30 * SECOND + SLACK <= 2 * INTERVAL);
    let (pings, withheld) = (bench.pings(), bench.value("heartbeats_withheld_total"));
    assert!(withheld > 57.0, "{withheld}");

    poll.within(Duration::MAX);
    run(&mut heartbeat, 10 * INTERVAL).await;
    assert_eq!(bench.pings(), pings + 10);
    assert_eq!(bench.value("heartbeats_withheld_total"), withheld);
}

#[tokio::test(start_paused = true)]
async fn pings_stop_when_a_receiver_fails_for_too_long() {
    let (bench, heartbeat) = Bench::start(Ok(()));
    let mut heartbeat = Box::pin(heartbeat.run());
    let failing = Health { failing_since: Some(bench.clock.now()), oldest_pending: None };
    bench.health.set("ops", failing);
    run(&mut heartbeat, PATIENCE + SECOND).await;
    assert_eq!(bench.pings(), 60);
    run(&mut heartbeat, PATIENCE).await;
    assert_eq!(bench.pings(), 60);
    let why = "receiver ops does not accept notifications";
    assert_eq!(bench.board.view().own.heartbeat, Condition::Failing(why.into()));
    bench.health.set("ops", Health::default());
    run(&mut heartbeat, PATIENCE).await;
    assert_eq!(bench.pings(), 120);
    assert_eq!(bench.board.view().own.heartbeat, Condition::Good);
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_logged_when_its_reason_changes() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let failure = |reason| SendError { reason, detail: "broken".into(), retry: Retry::Later };
    let told = || {
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        (
            text.matches("the heartbeat does not arrive: broken").count(),
            text.matches("the heartbeat is sent").count(),
        )
    };
    let (bench, mut heartbeat) = Bench::start(Ok(()));
    let (connect, timeout) = (SendReason::Connect, SendReason::Timeout);
    for (answer, expected) in [
        (Err(failure(connect)), (1, 0)),
        (Err(failure(connect)), (1, 0)),
        (Err(failure(timeout)), (2, 0)),
        (Err(failure(timeout)), (2, 0)),
        (Ok(()), (2, 1)),
        (Ok(()), (2, 1)),
        (Err(failure(timeout)), (3, 1)),
    ] {
        heartbeat.way = Way::Scripted(Script { pings: Arc::clone(&bench.pings), answer });
        heartbeat.beat().await;
        assert_eq!(told(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_fails_is_counted_and_made_again() {
    let failure =
        SendError { reason: SendReason::Connect, detail: "connection refused".into(), retry: Retry::Never };
    let (bench, heartbeat) = Bench::start(Err(failure));
    let mut heartbeat = Box::pin(heartbeat.run());
    run(&mut heartbeat, 5 * INTERVAL + SECOND).await;
    assert_eq!(bench.pings(), 5);
    assert_eq!(
        (bench.value("heartbeat_attempts_total"), bench.value("heartbeat_failures_total")),
        (5.0, 5.0)
    );
}

//! The queue in tokio's time, which is paused, so that days take no time.

mod fallback;
mod health;
mod regrouped;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    outbox::{LIFE, OUTDATED, TOO_OLD},
    *,
};
use crate::{
    clock::Clock,
    model::{NoticeAlert, NoticeStatus, Severity, Timestamp},
    notify::{Retry, SendError, SendReason, scripted::Scripted},
    store::{FallbackKnows, Pending, ReceiverState, Store},
    telemetry::Telemetry,
};

const START: Timestamp = Timestamp::from_secs(1_795_000_000);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long a receiver may fail before the fallback is notified.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// The digest of the configuration under which the receivers run.
const CONFIG: u16 = 7;

/// The part of `event` before a dot is the alert's subject.
pub(super) fn alert(event: &str, status: NoticeStatus) -> NoticeAlert {
    NoticeAlert {
        event: event.into(),
        status,
        severity: Severity::Warning,
        labels: event.split('.').take(1).map(|subject| ("subject".into(), subject.into())).collect(),
        annotations: BTreeMap::new(),
        starts_at: START.saturating_add_millis(1),
        ends_at: (status == NoticeStatus::Resolved).then_some(START.saturating_add_millis(2)),
    }
}

pub(super) fn notice(id: &str, group: &str, alerts: Vec<NoticeAlert>) -> Notice {
    Notice {
        id: id.into(),
        receiver: "ops".into(),
        group: group.into(),
        group_labels: BTreeMap::new(),
        reason: "first".into(),
        alerts,
        covers: Vec::new(),
        created_at: START,
    }
}

fn state() -> ReceiverState {
    ReceiverState { config: CONFIG, ..ReceiverState::default() }
}

fn firing(id: &str, group: &str) -> Notice {
    notice(id, group, vec![alert(id, NoticeStatus::Firing)])
}

fn error(reason: SendReason, retry: Retry) -> SendError {
    SendError { reason, detail: format!("it said {}", reason.label()), retry }
}

fn unavailable() -> Result<String, SendError> {
    Err(error(SendReason::Connect, Retry::Later))
}

/// Every attempt: what was sent, and when by uptime.
type Attempts = Arc<Mutex<Vec<(Notice, Duration)>>>;

/// A receiver, its queue, and everything observable about them.
struct Bench {
    notices: mpsc::UnboundedSender<Notice>,
    attempts: Attempts,
    /// The notices for the fallback.
    fallback: mpsc::UnboundedReceiver<Notice>,
    to_fallback: mpsc::UnboundedSender<Notice>,
    others: watch::Sender<Others>,
    health: HealthByReceiver,
    telemetry: Telemetry,
    clock: Clock,
}

impl Bench {
    fn start(
        pending: Vec<Notice>,
        state: ReceiverState,
        mut answer: impl FnMut(usize, &Notice) -> Result<String, SendError> + Send + 'static,
    ) -> (Bench, Worker) {
        let attempts = Attempts::default();
        let seen = Arc::clone(&attempts);
        let script = Scripted(Box::new(move |notice, _, now| {
            let mut seen = seen.lock().unwrap();
            seen.push((notice.clone(), now.uptime));
            (Duration::from_secs(1), answer(seen.len(), notice))
        }));
        Bench::with(pending, state, attempts, script)
    }

    fn with(
        pending: Vec<Notice>,
        state: ReceiverState,
        attempts: Attempts,
        script: Scripted,
    ) -> (Bench, Worker) {
        fastrand::seed(7);
        let (notices, incoming) = mpsc::unbounded_channel();
        let (to_fallback, fallback) = mpsc::unbounded_channel();
        let (others, are_others) = watch::channel(others("other", &[("other", &to_fallback)]));
        let health = HealthByReceiver::default();
        // Time would jump while a store's thread works, so there is none: everything stays in memory.
        let (telemetry, store) = (Telemetry::new(), Store::closed());
        let clock = Clock::starting_at(START);
        let pending = pending.into_iter().map(|notice| Pending { notice, done: vec![], queued_at: START });
        let worker = Worker::new(
            "ops".into(),
            Receiver::Scripted(script),
            Left { pending: pending.collect(), state },
            Terms { send_resolved: true, config: CONFIG },
            Wiring {
                store,
                telemetry: telemetry.clone(),
                clock: clock.clone(),
                others: are_others,
                health: health.clone(),
            },
            incoming,
        );
        (Bench { notices, attempts, fallback, to_fallback, others, health, telemetry, clock }, worker)
    }

    /// Waits for a notice to the fallback.
    async fn until_told(&self) {
        while self.fallback.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// The notices to the fallback since the last call: status, reason and description.
    fn told(&mut self) -> Vec<(NoticeStatus, String, String)> {
        let mut told = Vec::new();
        while let Ok(notice) = self.fallback.try_recv() {
            assert_eq!(notice.receiver, "other");
            let [alert] = notice.alerts.as_slice() else { panic!("{notice:?}") };
            let text = |key: &str| alert.annotations.get(key).cloned().unwrap_or_default();
            assert_eq!(alert.labels["subject"], "ops");
            told.push((alert.status, text("reason"), text("description")));
        }
        told
    }

    fn send(&self, notice: Notice) {
        self.notices.send(notice).unwrap();
    }

    fn ids(&self) -> Vec<String> {
        self.attempts.lock().unwrap().iter().map(|(notice, _)| notice.id.clone()).collect()
    }

    /// Time between one attempt and the next.
    fn gaps(&self) -> Vec<Duration> {
        let attempts = self.attempts.lock().unwrap();
        attempts.windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
    }

    fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let families = self.telemetry.gather();
        let family = families.iter().find(|family| family.name() == format!("proxymeter_{name}"))?;
        let is_it = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().map(|label| label.value()).eq(labels.iter().copied())
        };
        let metric = family.get_metric().iter().find(is_it)?;
        Some(metric.get_counter().get_value() + metric.get_gauge().get_value())
    }
}

/// These receivers, with a fallback unless its name is empty.
fn others(fallback: &str, queues: &[(&str, &mpsc::UnboundedSender<Notice>)]) -> Others {
    Others {
        fallback: (!fallback.is_empty()).then(|| Fallback { receiver: fallback.into(), after: PATIENCE }),
        queues: queues.iter().map(|(name, queue)| ((*name).to_owned(), queue.downgrade())).collect(),
    }
}

/// Lets a worker run for a while.
async fn run(worker: &mut (impl Future + Unpin), time: Duration) {
    assert!(tokio::time::timeout(time, worker).await.is_err(), "the worker ended");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_leaves_the_queue() {
    let (bench, worker) = Bench::start(vec![], state(), |_, _| Ok("yes".into()));
    let mut worker = Box::pin(worker.run());
    for name in ["notifications_total", "notification_attempts_total", "notifications_abandoned_total"] {
        assert_eq!(bench.value(name, &["ops"]), Some(0.0), "{name}");
    }
    for reason in SendReason::ALL.map(SendReason::label) {
        assert_eq!(bench.value("notification_failures_total", &["ops", reason]), Some(0.0), "{reason}");
    }
    assert_eq!(bench.value("notifications_suppressed_total", &[OUTDATED]), Some(0.0));
    assert_eq!(bench.value("notification_last_success_timestamp_seconds", &["ops"]), None);
    for id in ["1", "2"] {
        bench.send(firing(id, id));
    }
    run(&mut worker, Duration::from_millis(1500)).await;
    assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(1.0), "one is in flight");
    let oldest = "notification_oldest_pending_timestamp_seconds";
    assert_eq!(bench.value(oldest, &["ops"]), Some(START.as_secs_f64()));
    run(&mut worker, Duration::from_secs(10)).await;
    assert_eq!(bench.ids(), ["1", "2"]);
    assert_eq!(bench.gaps(), [Duration::from_secs(1)], "one after the other, without waiting");
    assert_eq!(bench.value("notifications_total", &["ops"]), Some(2.0));
    assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(0.0));
    assert_eq!(bench.value(oldest, &["ops"]), None);
    let success = bench.value("notification_last_success_timestamp_seconds", &["ops"]).unwrap();
    assert!((success - START.as_secs_f64() - 2.0).abs() < 0.1, "{success}");
}

#[tokio::test(start_paused = true)]
async fn three_days_without_a_connection_cost_few_attempts_and_end_in_the_fallback() {
    let (mut bench, worker) = Bench::start(vec![], state(), |_, _| unavailable());
    bench.send(firing("1", "g"));
    let mut worker = Box::pin(worker.run());
    run(&mut worker, PATIENCE - Duration::from_secs(1)).await;
    assert_eq!(bench.told(), []);
    run(&mut worker, Duration::from_secs(3)).await;
    let failing =
        "Receiver ops does not accept notifications (connect): it said connect. Notifications given up: ";
    let told = |count: u8| vec![(NoticeStatus::Firing, "connect".to_owned(), format!("{failing}{count}."))];
    assert_eq!(bench.told(), told(0));
    tokio::select! {
        _ = &mut worker => panic!("the worker ended"),
        () = bench.until_told() => {}
    }
    assert_eq!(bench.told(), told(1));
    let age = bench.clock.now().wall.since(START);
    assert!(age >= LIFE && age <= LIFE + Duration::from_secs(2), "{age:?}");
    let ids = bench.ids();
    assert!((20..=25).contains(&ids.len()), "{} attempts", ids.len());
    assert!(ids.iter().all(|id| id == "1"), "every retry carries the same id");
    let gaps = bench.gaps();
    for (gap, expected) in gaps.iter().zip([5, 30, 120, 600, 1800, 3600, 7200, 14_400, 14_400]) {
        let ratio = gap.as_secs_f64() / (f64::from(expected) + 1.0);
        assert!((0.89..1.11).contains(&ratio), "{gap:?} instead of {expected} s");
    }
    assert!(gaps.iter().all(|gap| *gap <= backoff::longest() + Duration::from_secs(1)));
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(1.0));
    assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(0.0));
    // The next one gets its own three days, and the fallback gets no second notice.
    bench.send(firing("2", "g"));
    run(&mut worker, 100 * HOUR).await;
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(2.0));
    assert_eq!(bench.told(), []);
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_spacing() {
    let wait = |millis| Some(START.saturating_add_millis(millis));
    let hours = |hours: i64| hours * 3_600_000;
    for (next_attempt, expected) in [
        (None, Duration::ZERO),
        (wait(-hours(1)), Duration::ZERO),
        (wait(hours(3)), 3 * HOUR),
        // A clock that was ten years ahead when it stored the time.
        (wait(hours(87_600)), backoff::longest()),
    ] {
        let state = ReceiverState { failures: 7, next_attempt, ..state() };
        let (bench, worker) = Bench::start(vec![firing("1", "g")], state, |_, _| unavailable());
        let began = bench.clock.now().uptime;
        let mut worker = Box::pin(worker.run());
        run(&mut worker, 10 * HOUR).await;
        let attempts = bench.attempts.lock().unwrap();
        let first = attempts[0].1 - began;
        assert!(
            first >= expected && first < expected + Duration::from_secs(1),
            "{next_attempt:?}: {first:?}"
        );
        let gap = attempts[1].1 - attempts[0].1;
        assert!(gap > 3 * HOUR, "it went on with the eighth wait, not the first: {gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_changes_no_wait() {
    for step in [315_360_000_000, -86_400_000] {
        let (bench, worker) =
            Bench::start(vec![], state(), |n, _| if n < 4 { unavailable() } else { Ok("yes".into()) });
        bench.send(firing("1", "g"));
        let mut worker = Box::pin(worker.run());
        run(&mut worker, Duration::from_secs(2)).await;
        bench.clock.step(step);
        run(&mut worker, HOUR).await;
        assert_eq!(bench.ids().len(), 4, "{step}");
        assert_eq!(bench.value("notifications_total", &["ops"]), Some(1.0), "{step}");
        let gaps = bench.gaps();
        assert!(gaps[1] > Duration::from_secs(27) && gaps[1] < Duration::from_secs(35), "{step}: {gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_success_releases_the_queue() {
    let (bench, worker) =
        Bench::start(vec![], state(), |n, _| if n <= 6 { unavailable() } else { Ok("yes".into()) });
    for n in 0..5 {
        bench.send(firing(&n.to_string(), &n.to_string()));
    }
    let mut worker = Box::pin(worker.run());
    run(&mut worker, 3 * HOUR).await;
    assert_eq!(bench.value("notifications_total", &["ops"]), Some(5.0));
    let gaps = bench.gaps();
    assert!(gaps[6..].iter().all(|gap| *gap == Duration::from_secs(1)), "{gaps:?}");
    assert!(gaps[5] > HOUR / 2, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_is_refused_for_good_does_not_hold_up_the_others() {
    let (mut bench, worker) = Bench::start(vec![], state(), |_, notice| {
        if notice.id == "bad" { Err(error(SendReason::ClientError, Retry::Never)) } else { Ok("yes".into()) }
    });
    for id in ["bad", "good"] {
        bench.send(firing(id, id));
    }
    let mut worker = Box::pin(worker.run());
    run(&mut worker, HOUR).await;
    assert_eq!(bench.ids(), ["bad", "good"]);
    assert_eq!(bench.gaps(), [Duration::from_secs(1)]);
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(1.0));
    assert_eq!(bench.value("notification_failures_total", &["ops", "client_error"]), Some(1.0));
    let told: Vec<_> = bench.told().into_iter().map(|(status, ..)| status).collect();
    assert_eq!(told, [NoticeStatus::Firing, NoticeStatus::Resolved]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_breaks_its_receiver_does_not_hold_up_the_others() {
    let (bench, worker) =
        Bench::start(
            vec![],
            state(),
            |_, notice| {
                if notice.id == "bad" { unavailable() } else { Ok("yes".into()) }
            },
        );
    for id in ["bad", "good", "better"] {
        bench.send(firing(id, id));
    }
    let mut worker = Box::pin(worker.run());
    run(&mut worker, Duration::from_secs(10)).await;
    assert_eq!(bench.ids()[..3], ["bad", "good", "better"]);
    assert_eq!(bench.value("notifications_total", &["ops"]), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_is_not_asked_earlier_than_it_wants() {
    let asked = Duration::from_secs(600);
    let (bench, worker) = Bench::start(vec![], state(), move |n, _| match n {
        1 => Err(error(SendReason::RateLimited, Retry::NotBefore(asked))),
        // Shorter than the usual wait.
        2 => Err(error(SendReason::RateLimited, Retry::NotBefore(Duration::from_secs(1)))),
        _ => Ok("yes".into()),
    });
    bench.send(firing("1", "g"));
    let mut worker = Box::pin(worker.run());
    run(&mut worker, HOUR).await;
    let gaps = bench.gaps();
    assert!(gaps[0] >= asked && gaps[0] < asked + Duration::from_secs(2), "{gaps:?}");
    assert!(gaps[1] >= Duration::from_secs(27), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_not_asked_again_until_its_configuration_changes() {
    let gone = |_: usize, _: &Notice| Err(error(SendReason::Gone, Retry::Disabled));
    let (mut bench, worker) = Bench::start(vec![], state(), gone);
    bench.send(firing("1", "g"));
    bench.send(firing("2", "h"));
    let mut worker = Box::pin(worker.run());
    run(&mut worker, 10 * HOUR).await;
    assert_eq!(bench.ids(), ["1"]);
    let told = bench.told();
    let [(NoticeStatus::Firing, reason, _)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(reason, "gone");
    run(&mut worker, LIFE).await;
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(2.0), "none is kept for ever");
    let told = bench.told();
    let [(NoticeStatus::Firing, _, text)] = told.as_slice() else { panic!("{told:?}") };
    assert!(text.ends_with("Notifications given up: 2."), "{text}");
    let Bench { notices, .. } = bench;
    drop(notices);
    let left = worker.await;
    assert!(left.state.disabled);

    for (config, asked) in [(CONFIG, false), (CONFIG + 1, true)] {
        let state = ReceiverState { config, ..left.state.clone() };
        let (mut bench, worker) = Bench::start(vec![firing("1", "g")], state, |_, _| Ok("yes".into()));
        run(&mut Box::pin(worker.run()), HOUR).await;
        assert_eq!(bench.ids().len(), usize::from(asked));
        let told: Vec<_> = bench.told().into_iter().map(|(status, ..)| status).collect();
        assert_eq!(told, vec![NoticeStatus::Resolved; usize::from(asked)], "it knows that it is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn ends_are_not_sent_without_send_resolved_but_count() {
    let ended = |id: &str, event| notice(id, "g", vec![alert(event, NoticeStatus::Resolved)]);
    let both = notice("1", "g", vec![alert("a", NoticeStatus::Firing), alert("b", NoticeStatus::Firing)]);
    for (down, expected) in [(false, vec!["a b"]), (true, vec!["a b", "a"])] {
        // The first may have been accepted, so that the end of both would be sent to others.
        let (bench, mut worker) = Bench::start(vec![], state(), move |n, _| match n {
            1 if down => Err(error(SendReason::Timeout, Retry::Later)),
            _ => Ok("yes".into()),
        });
        worker.outbox.terms.send_resolved = false;
        let mut worker = Box::pin(worker.run());
        bench.send(both.clone());
        run(&mut worker, Duration::from_secs(2)).await;
        bench.send(Notice { reason: "withdrawn".into(), ..ended("2", "b") });
        run(&mut worker, Duration::from_secs(10)).await;
        bench.send(ended("3", "a"));
        run(&mut worker, HOUR).await;
        let attempts = bench.attempts.lock().unwrap();
        let told = attempts.iter().map(|(notice, _)| {
            assert_eq!(notice.reason, "first");
            let events: Vec<_> = notice.alerts.iter().map(|alert| alert.event.as_str()).collect();
            events.join(" ")
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
        drop(attempts);
        assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(0.0));
        assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(0.0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_the_receiver_was_down_is_not_told_as_firing() {
    let (bench, mut worker) = Bench::start(vec![], state(), |n, _| match n {
        1 | 2 => unavailable(),
        _ => Ok("yes".into()),
    });
    worker.outbox.terms.send_resolved = false;
    let mut worker = Box::pin(worker.run());
    bench.send(firing("1", "g"));
    run(&mut worker, Duration::from_secs(2)).await;
    // The end comes while the second attempt runs.
    run(&mut worker, Duration::from_millis(4700)).await;
    bench.send(notice("2", "g", vec![alert("1", NoticeStatus::Resolved)]));
    run(&mut worker, 80 * HOUR).await;
    assert_eq!(bench.ids(), ["1", "1"]);
    assert_eq!(bench.value("notification_queue_length", &["ops"]), Some(0.0));
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_storm_while_the_receiver_is_down_is_one_notice_per_group() {
    let (bench, worker) =
        Bench::start(vec![], state(), |n, _| if n <= 5 { unavailable() } else { Ok("yes".into()) });
    let mut worker = Box::pin(worker.run());
    for n in 0..200 {
        let status = if n % 2 == 0 { NoticeStatus::Firing } else { NoticeStatus::Resolved };
        for group in ["g", "h"] {
            let alerts = (0..20).map(|user| alert(&format!("{group}{user}-{}", n / 2), status)).collect();
            bench.send(notice(&format!("{group}{n}"), group, alerts));
        }
        run(&mut worker, Duration::from_secs(3)).await;
        let length = bench.value("notification_queue_length", &["ops"]).unwrap();
        assert!(length <= 3.0, "one per group beside the one in flight, not {length}");
    }
    bench.send(firing("last", "g"));
    run(&mut worker, 3 * HOUR).await;
    let attempts = bench.attempts.lock().unwrap();
    let (last, _) = attempts.iter().rev().find(|(notice, _)| notice.group == "g").unwrap();
    let events: Vec<_> = last.alerts.iter().map(|alert| alert.event.as_str()).collect();
    assert_eq!(events, ["last"], "alerts that started and ended meanwhile are not sent");
    drop(attempts);
    assert!(bench.value("notifications_suppressed_total", &[OUTDATED]).unwrap() > 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_another_of_its_group_is_sent_waits_or_is_merged() {
    for (first_succeeds, expected) in [(true, vec!["1", "-1"]), (false, vec!["1"])] {
        let (bench, worker) = Bench::start(vec![], state(), move |n, _| {
            if n == 1 && !first_succeeds { unavailable() } else { Ok("yes".into()) }
        });
        bench.send(firing("1", "g"));
        let mut worker = Box::pin(worker.run());
        run(&mut worker, Duration::from_millis(500)).await;
        bench.send(notice("2", "g", vec![alert("1", NoticeStatus::Resolved)]));
        run(&mut worker, HOUR).await;
        let attempts = bench.attempts.lock().unwrap();
        let told: Vec<_> = attempts
            .iter()
            .map(|(notice, _)| if notice.status() == NoticeStatus::Firing { "1" } else { "-1" })
            .collect();
        assert_eq!(told, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_sent_when_the_start_may_have_been_accepted() {
    // It is unknown whether the receiver accepted it before the timeout, or whether the other address has seen it.
    for (reason, done) in [
        (SendReason::Timeout, None),
        (SendReason::Response, None),
        (SendReason::ServerError, None),
        (SendReason::Connect, Some("a@example.com")),
    ] {
        let attempts = Attempts::default();
        let seen = Arc::clone(&attempts);
        let script = Scripted(Box::new(move |notice, took, now| {
            let mut seen = seen.lock().unwrap();
            seen.push((notice.clone(), now.uptime));
            took.extend(done.map(str::to_owned));
            let answer = if seen.len() == 1 { Err(error(reason, Retry::Later)) } else { Ok("yes".into()) };
            (Duration::from_secs(1), answer)
        }));
        let (bench, worker) = Bench::with(vec![], state(), attempts, script);
        bench.send(firing("1", "g"));
        let mut worker = Box::pin(worker.run());
        run(&mut worker, Duration::from_secs(2)).await;
        bench.send(notice("2", "g", vec![alert("1", NoticeStatus::Resolved)]));
        run(&mut worker, HOUR).await;
        let attempts = bench.attempts.lock().unwrap();
        assert_eq!(attempts.len(), 2, "{reason:?}");
        assert_eq!(attempts[1].0.status(), NoticeStatus::Resolved, "{reason:?}");
        assert_eq!(attempts[1].0.covers, ["1", "2"], "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_sent_when_the_start_may_have_been_accepted_and_was_given_up() {
    for (first, told) in [(SendReason::Timeout, true), (SendReason::Connect, false)] {
        let (bench, worker) = Bench::start(vec![], state(), move |n, _| match n {
            1 => Err(error(first, Retry::Later)),
            2 => Err(error(SendReason::ClientError, Retry::Never)),
            3 => unavailable(),
            _ => Ok("yes".into()),
        });
        let mut worker = Box::pin(worker.run());
        bench.send(firing("1", "g"));
        run(&mut worker, Duration::from_secs(30)).await;
        assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(1.0), "{first:?}");
        // It is repeated, and ends before the repetition is accepted.
        bench.send(firing("1", "g"));
        run(&mut worker, Duration::from_secs(2)).await;
        bench.send(notice("2", "g", vec![alert("1", NoticeStatus::Resolved)]));
        run(&mut worker, HOUR).await;
        let attempts = bench.attempts.lock().unwrap();
        assert_eq!(attempts.len(), if told { 4 } else { 3 }, "{first:?}");
        assert_eq!(attempts.last().unwrap().0.status() == NoticeStatus::Resolved, told, "{first:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_at_start_is_given_up_and_the_fallback_told() {
    let mut old = firing("old", "g");
    old.created_at = START.saturating_add_millis(-73 * 3_600_000);
    let mut young = firing("young", "h");
    young.created_at = START.saturating_add_millis(-71 * 3_600_000);
    let rows = vec![old, young];
    let (mut bench, worker) = Bench::start(rows, state(), |_, _| Ok("yes".into()));
    run(&mut Box::pin(worker.run()), HOUR).await;
    assert_eq!(bench.ids(), ["young"]);
    assert_eq!(bench.value("notifications_abandoned_total", &["ops"]), Some(1.0));
    let text = format!(
        "Receiver ops does not accept notifications (timeout): {TOO_OLD}. Notifications given up: 1."
    );
    let told = bench.told();
    assert_eq!(told[0], (NoticeStatus::Firing, "timeout".to_owned(), text));
    assert_eq!((told.len(), told[1].0), (2, NoticeStatus::Resolved), "the young one was taken");
}

#[tokio::test(start_paused = true)]
async fn rows_of_one_group_are_merged_at_start() {
    let rows = vec![firing("1", "g"), firing("2", "h"), firing("3", "g")];
    let (bench, worker) = Bench::start(rows, state(), |_, _| Ok("yes".into()));
    run(&mut Box::pin(worker.run()), HOUR).await;
    let attempts = bench.attempts.lock().unwrap();
    let covers: Vec<_> = attempts.iter().map(|(notice, _)| notice.covers.join(" ")).collect();
    assert_eq!(covers, ["1 3", ""]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_leaves_what_it_had() {
    let (bench, worker) = Bench::start(vec![], state(), |_, _| unavailable());
    bench.send(firing("1", "g"));
    bench.send(firing("2", "h"));
    let mut worker = Box::pin(worker.run());
    run(&mut worker, Duration::from_millis(500)).await;
    let Bench { notices, attempts, .. } = bench;
    drop(notices);
    let left = worker.await;
    let mut ids: Vec<_> = left.pending.iter().map(|row| row.notice.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!((left.state.failures, attempts.lock().unwrap().len()), (1, 1));
}

/// With eight times the notices, queueing and sending take about eight times as long, including the checks for expiry.
#[tokio::test]
async fn the_work_for_a_notice_does_not_grow_with_the_queue() {
    async fn queued_and_sent(count: usize) -> Duration {
        let mut outbox = Bench::start(vec![], state(), |_, _| unavailable()).1.outbox;
        let began = Instant::now();
        for n in 0..count {
            outbox.accept(firing(&n.to_string(), &n.to_string())).await;
            assert!(outbox.due().is_some());
        }
        for _ in 0..count / 2 {
            outbox.next().await.unwrap();
            outbox.expire().await;
        }
        assert_eq!(outbox.left().pending.len(), count - count / 2);
        began.elapsed()
    }
    let mut few = Duration::MAX;
    for _ in 0..3 {
        few = few.min(queued_and_sent(2_000).await);
    }
    let many = queued_and_sent(16_000).await;
    assert!(many < few * 24, "{many:?} after {few:?}");
}

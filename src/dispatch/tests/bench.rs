//! The dispatcher and its workers, with scripted receivers, and a disk that outlives processes.

use crate::model::Named;
use crate::wording::Voice;
use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, Sleep, sleep},
};

use super::super::{AskSilence, Dispatcher, Link, Reload, Report, Shown, Way, Wiring, Worker, run};
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        group::Route,
        rule::KINDS,
        testing::{BEGIN, Panel, config},
    },
    board::Board,
    clock::{Beat, Clock},
    model::{
        ActiveAlerts, Moment, Notice, NoticeAlert, NoticeStatus, Severity, SilenceChange, SilenceError,
        Timestamp,
    },
    notify::{
        HealthByReceiver, Rate, Receiver, Retry, SendError, SendReason, alertmanager::Ask, scripted::Scripted,
    },
    store::{Batch, ByHand, Settlement, Usage, Written},
    telemetry::Telemetry,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long a receiver may fail before the fallback is notified.
pub(super) const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// One attempt, for a script.
pub(super) struct Attempt<'a> {
    /// From 1, in all processes.
    pub(super) number: usize,
    pub(super) notice: &'a Notice,
    pub(super) done: &'a mut Vec<String>,
    /// Since the beginning of the test.
    pub(super) at: Duration,
    /// How long it takes.
    pub(super) takes: Duration,
}

pub(super) type Answer = Result<String, SendError>;
type Script = Box<dyn FnMut(&mut Attempt<'_>) -> Answer + Send>;

/// An attempt that was made.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) notice: Notice,
    /// Since the beginning of the test.
    pub(super) at: Duration,
    pub(super) done: Vec<String>,
    pub(super) taken: bool,
}

struct Far {
    script: Script,
    sent: Vec<Sent>,
}

pub(super) struct Bench {
    pub(super) config: AlertingConfig,
    pub(super) routes: Vec<Route>,
    /// A digest of each receiver's configuration.
    pub(super) configs: HashMap<String, u16>,
    /// The most alerts that a message names.
    pub(super) names: Named,
    pub(super) pace: &'static [Rate],
    pub(super) panel: Panel,
    /// The history of use, which outlives processes.
    pub(super) usage: Usage,
    pub(super) disk: ByHand,
    /// How long a change takes.
    pub(super) disk_takes: Duration,
    disk_sleeps: Option<Pin<Box<Sleep>>>,
    /// All changes on the disk.
    pub(super) written: Vec<Written>,
    pub(super) process: Option<Process>,
    far: BTreeMap<String, Arc<Mutex<Far>>>,
    /// How many workers there have been.
    workers: u64,
    began: Instant,
}

pub(super) struct Process {
    pub(super) board: Board,
    pub(super) clock: Clock,
    pub(super) telemetry: Telemetry,
    pub(super) health: HealthByReceiver,
    pub(super) alerts: watch::Receiver<Arc<ActiveAlerts>>,
    reports: Option<mpsc::Sender<Report>>,
    /// What posters say.
    pub(super) asks: mpsc::Sender<(String, Ask)>,
    pub(super) silences: mpsc::Sender<AskSilence>,
    reloads: mpsc::Sender<Reload>,
    stop: Option<oneshot::Sender<()>>,
    run: Option<Pin<Box<dyn Future<Output = ()>>>>,
    workers: Vec<Pin<Box<dyn Future<Output = ()>>>>,
}

/// Each alert has a message of its own, without a wait.
pub(super) fn route(receiver: &str) -> Route {
    Route {
        receiver: receiver.into(),
        min_severity: Severity::Info,
        send_resolved: true,
        group_by: vec!["subject".into()],
        group_wait: Duration::ZERO,
        group_interval: 5 * MINUTE,
        repeat_interval: None,
        voice: Voice::default(),
        standing: false,
        digest: None,
        statements: Vec::new(),
    }
}

pub(super) fn error(reason: SendReason, retry: Retry) -> Answer {
    Err(SendError { reason, detail: format!("it said {}", reason.label()), retry })
}

pub(super) fn unavailable() -> Answer {
    error(SendReason::Connect, Retry::Later)
}

pub(super) fn yes() -> Answer {
    Ok("yes".into())
}

/// `ann` fires, `-ann` ended.
fn word(alert: &NoticeAlert) -> String {
    let subject = &alert.labels["subject"];
    let subject = match &alert.labels["alertname"] {
        "ProxymeterNotificationsFailing" => format!("failing({subject})"),
        "ProxymeterNotificationsAbandoned" => format!("abandoned({subject})"),
        _ => subject.to_owned(),
    };
    if alert.status == NoticeStatus::Firing { subject } else { format!("-{subject}") }
}

impl Sent {
    /// Its alerts.
    pub(super) fn words(&self) -> String {
        let mut words: Vec<_> = self.notice.alerts.iter().map(|alert| word(alert)).collect();
        words.sort();
        words.join(" ")
    }
}

impl Bench {
    /// Receivers that take everything. Only quotas of users and what is wrong with receivers are looked at.
    pub(super) fn new(receivers: &[&str]) -> Self {
        fastrand::seed(7);
        let off =
            |kind: &str| (kind.to_owned(), RuleConfig { enabled: Some(false), ..RuleConfig::default() });
        let on = ["user_quota", "receiver_failing", "notifications_abandoned"];
        let rules = KINDS.iter().map(|kind| kind.name).filter(|name| !on.contains(name)).map(off);
        let far = |name: &&str| {
            let script: Script = Box::new(|_| yes());
            ((*name).to_owned(), Arc::new(Mutex::new(Far { script, sent: Vec::new() })))
        };
        Bench {
            config: AlertingConfig { rules: rules.collect(), fallback_after: PATIENCE, ..config() },
            routes: receivers.iter().map(|name| route(name)).collect(),
            configs: HashMap::new(),
            names: Named::All,
            pace: &[],
            panel: Panel::new("home"),
            usage: Usage::in_memory(&Clock::starting_at(BEGIN), TimeZone::UTC),
            disk: ByHand::new(),
            disk_takes: Duration::ZERO,
            disk_sleeps: None,
            written: Vec::new(),
            process: None,
            far: receivers.iter().map(far).collect(),
            workers: 0,
            began: Instant::now(),
        }
    }

    /// Two receivers, `ops` and its fallback `other`.
    pub(super) fn with_fallback() -> Self {
        let mut bench = Bench::new(&["ops", "other"]);
        bench.config.fallback = Some("other".into());
        // Alerts about users are for `ops` only.
        bench.config.rules.insert(
            "user_quota".into(),
            RuleConfig { receivers: Some(vec!["ops".into()]), ..RuleConfig::default() },
        );
        bench
    }

    /// How a receiver answers from now on.
    pub(super) fn answers(
        &mut self,
        receiver: &str,
        script: impl FnMut(&mut Attempt<'_>) -> Answer + Send + 'static,
    ) {
        self.far[receiver].lock().unwrap().script = Box::new(script);
    }

    /// A process starts, with what is on the disk.
    pub(super) fn start(&mut self) {
        self.process = None;
        let clock = Clock::starting_at(BEGIN.saturating_add(self.began.elapsed()));
        let (board, telemetry, health) =
            (Board::new(["home"]), Telemetry::new(), HealthByReceiver::default());
        let (reports, heard) = mpsc::channel(64);
        let (asks, asked) = mpsc::channel(1);
        let (silences, silenced) = mpsc::channel(1);
        let (reloads, reloaded) = mpsc::channel(1);
        let (alerts, active) = watch::channel(Arc::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let mut process = Process {
            board: board.clone(),
            clock: clock.clone(),
            telemetry: telemetry.clone(),
            health: health.clone(),
            alerts: active,
            reports: Some(reports),
            asks,
            silences,
            reloads,
            stop: Some(stop),
            run: None,
            workers: Vec::new(),
        };
        let names: Vec<_> = self.routes.iter().map(|route| route.receiver.clone()).collect();
        let links = names.iter().map(|name| self.link(name, &mut process)).collect();
        let shown = Shown { board: board.clone(), telemetry: telemetry.clone(), health };
        let dispatcher = Dispatcher::new(
            &self.config,
            self.routes.clone(),
            links,
            self.disk.loaded(),
            None,
            shown,
            clock.now(),
        );
        let wiring = Wiring {
            view: board.watch(),
            reloads: reloaded,
            reports: heard,
            asks: asked,
            silences: silenced,
            alerts,
            reread: HashMap::new(),
            store: self.disk.store(),
            usage: self.usage.clone(),
            telemetry,
            clock,
            beat: Beat::default(),
        };
        process.run = Some(Box::pin(run(dispatcher.unwrap(), wiring, async {
            drop(stopped.await);
            Instant::now()
        })));
        self.process = Some(process);
    }

    /// A new worker of a receiver, and the way to it.
    fn link(&mut self, name: &str, process: &mut Process) -> Link {
        self.workers += 1;
        let (letters, queue) = mpsc::channel(1);
        let (far, began) = (Arc::clone(&self.far[name]), self.began);
        let answer = move |notice: &Notice, done: &mut Vec<String>, _: Moment| {
            let Far { script, sent } = &mut *far.lock().unwrap();
            let (number, at) = (sent.len() + 1, began.elapsed());
            let before = done.clone();
            let mut attempt = Attempt { number, notice, done, at, takes: SECOND };
            let answer = script(&mut attempt);
            sent.push(Sent { notice: notice.clone(), at, done: before, taken: answer.is_ok() });
            (attempt.takes, answer)
        };
        let worker = Worker {
            name: name.to_owned(),
            number: self.workers,
            receiver: Receiver::Scripted(Scripted(Box::new(answer))),
            letters: queue,
            reports: process.reports.clone().unwrap(),
            telemetry: process.telemetry.clone(),
            clock: process.clock.clone(),
        };
        process.workers.push(Box::pin(worker.run()));
        Link {
            place: String::new(),
            receiver: name.to_owned(),
            to: Way::Messages { letters, worker: self.workers, names: self.names, pace: self.pace },
            config: self.configs.get(name).copied().unwrap_or_default(),
        }
    }

    /// Reloads with the present configuration. These receivers are built again.
    pub(super) async fn reload(&mut self, changed: &[&str]) {
        let mut process = self.process.take().unwrap();
        let links = changed.iter().map(|name| self.link(name, &mut process)).collect();
        let (done, answer) = oneshot::channel();
        let (config, routes) = (self.config.clone(), self.routes.clone());
        let reload = Reload { config, routes, links, pseudonym: None, reread: HashMap::new(), done };
        process.reloads.try_send(reload).unwrap();
        self.process = Some(process);
        self.drive(answer).await.unwrap().unwrap();
    }

    /// Asks for a change of silences, and waits for the answer. Returns how long that took.
    pub(super) async fn silence(
        &mut self,
        change: SilenceChange,
    ) -> (Result<Arc<str>, SilenceError>, Duration) {
        let asked = Instant::now();
        let (done, answer) = oneshot::channel();
        self.process().silences.try_send((change, done)).unwrap();
        (self.drive(answer).await.unwrap(), asked.elapsed())
    }

    /// Asks the process to stop, and waits until it has. Returns how long that took.
    pub(super) async fn stop(&mut self) -> Duration {
        let asked = Instant::now();
        // As the daemon does, which then builds no more workers.
        drop(self.process().reports.take());
        drop(self.process().stop.take());
        let ended = poll_fn(|cx| {
            loop {
                self.poll(cx);
                if self.process().run.is_none() {
                    return Poll::Ready(());
                }
                if !self.write(cx) {
                    return Poll::Pending;
                }
            }
        });
        ended.await;
        self.process = None;
        asked.elapsed()
    }

    /// The process is killed.
    pub(super) fn kill(&mut self) {
        self.process = None;
        self.disk_sleeps = None;
        self.disk.store();
    }

    pub(super) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Time passes.
    pub(super) async fn pass(&mut self, time: Duration) {
        self.drive(sleep(time)).await;
    }

    /// Everything goes on until `work` is done.
    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            loop {
                self.poll(cx);
                assert!(self.process.as_ref().is_none_or(|process| process.run.is_some()), "it ended");
                if let Poll::Ready(result) = work.as_mut().poll(cx) {
                    return Poll::Ready(result);
                }
                if !self.write(cx) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(process) = &mut self.process else { return };
        process.run.take_if(|run| run.as_mut().poll(cx).is_ready());
        process.workers.retain_mut(|worker| worker.as_mut().poll(cx).is_pending());
    }

    /// Writes the next change. Returns whether there was one.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.disk.waits() {
            return false;
        }
        let takes = self.disk_takes;
        let sleeps = self.disk_sleeps.get_or_insert_with(|| Box::pin(sleep(takes)));
        if !takes.is_zero() && sleeps.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.disk_sleeps = None;
        self.written.extend(self.disk.work());
        true
    }

    /// Changes the disk while no process runs.
    pub(super) async fn record(&mut self, batch: Batch) {
        let store = self.disk.store();
        self.drive(store.record(batch)).await.unwrap();
        self.written.clear();
    }

    pub(super) fn fires(&mut self, users: &[&str]) {
        self.use_up(users, 85);
    }

    pub(super) fn ends(&mut self, users: &[&str]) {
        self.use_up(users, 10);
    }

    fn use_up(&mut self, users: &[&str], percent: u64) {
        for user in users {
            self.panel.uses(user, percent);
        }
        self.poll_panel();
    }

    /// The panel is read.
    pub(super) fn poll_panel(&mut self) {
        let now = self.process().clock.now();
        let mut panel = Panel::new("home");
        panel.users.clone_from(&self.panel.users);
        let report = panel.poll(now);
        self.process().board.publish(Arc::unwrap_or_clone(report));
    }

    /// How much time has passed.
    pub(super) fn at(&self) -> Duration {
        self.began.elapsed()
    }

    /// The wall time this long after the beginning.
    pub(super) fn wall(&self, at: Duration) -> Timestamp {
        BEGIN.saturating_add(at)
    }

    /// All attempts at a receiver.
    pub(super) fn sent(&self, receiver: &str) -> Vec<Sent> {
        self.far[receiver].lock().unwrap().sent.clone()
    }

    /// The alerts in each attempt.
    pub(super) fn tried(&self, receiver: &str) -> Vec<String> {
        self.sent(receiver).iter().map(Sent::words).collect()
    }

    /// The alerts in each message that was taken.
    pub(super) fn told(&self, receiver: &str) -> Vec<String> {
        self.sent(receiver).iter().filter(|sent| sent.taken).map(Sent::words).collect()
    }

    /// The time between one attempt and the next.
    pub(super) fn gaps(&self, receiver: &str) -> Vec<Duration> {
        self.sent(receiver).windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    }

    /// The ids of messages that became dead letters.
    pub(super) fn dead(&self) -> Vec<String> {
        let settled = self.written.iter().flat_map(|written| &written.settled);
        let dead = settled.filter(|(_, settlement)| *settlement == Settlement::Abandoned);
        dead.map(|(id, _)| id.clone()).collect()
    }

    /// The ids of recorded messages without an outcome.
    pub(super) fn outbox(&self) -> Vec<String> {
        self.disk.loaded().outbox.into_iter().map(|message| message.id).collect()
    }

    /// Alerts that fire, by the words of [`Sent::words`].
    pub(super) fn firing(&mut self) -> Vec<String> {
        let alerts = self.process().alerts.borrow().clone();
        alerts.list.iter().map(|alert| format!("{} {}", alert.alertname, alert.subject)).collect()
    }

    pub(super) fn value(&mut self, name: &str, labels: &[&str]) -> Option<f64> {
        let families = self.process().telemetry.gather();
        let family = families.iter().find(|family| family.name() == format!("proxymeter_{name}"))?;
        let is_it = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().map(|label| label.value()).eq(labels.iter().copied())
        };
        let metric = family.get_metric().iter().find(is_it)?;
        Some(metric.get_counter().get_value() + metric.get_gauge().get_value())
    }
}

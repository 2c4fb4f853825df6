//! Random walks through alerts, queues, failing receivers and a process that dies. Whatever the order of events, every
//! receiver ends with a true view.

mod far;

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};

use self::far::{Counts, Far, Key};
use crate::{
    alert::{
        self,
        config::{AlertingConfig, RuleConfig},
        engine::{Engine, Rows},
        group::Route,
        testing::{BEGIN, DAY, HOUR, Panel, config},
    },
    board::Board,
    clock::{Beat, Clock},
    model::{AlertState, Moment, Notice, Part, Report, Severity, Timestamp, Users},
    notify::{
        Receiver,
        delivery::{self, Fallback, HealthByReceiver, Left, Others, Worker},
        scripted::Scripted,
    },
    store::{ByHand, FallbackKnows, Store},
    telemetry::Telemetry,
};

/// Name, whether it gets resolved notifications, and its addresses. The last one is the fallback.
const RECEIVERS: [(&str, bool, &[&str]); 3] =
    [("ops", true, &["ann", "bob"]), ("quiet", false, &["ann"]), (FALLBACK, true, &["ann"])];
const FALLBACK: &str = "oncall";

struct World {
    random: fastrand::Rng,
    panel: Panel,
    /// A list of users that was kept, and not the newest.
    older: Option<Arc<Users>>,
    /// Users that changed since the last poll in a way that lets a threshold fire again.
    changed: Vec<String>,
    disk: Disk,
    /// Whether each user has a group of its own.
    by_subject: bool,
    process: Process,
    crashes: usize,
}

/// What outlives a process, including the receivers.
struct Disk {
    store: ByHand,
    /// The number of changes written before the power fails.
    power: Option<u32>,
    receivers: BTreeMap<&'static str, Arc<Mutex<Far>>>,
    /// When a poll found that a user's thresholds may fire again.
    rearmed: HashMap<String, Vec<Timestamp>>,
    /// The newest event of each threshold, and when it started.
    events: HashMap<Key, (String, Timestamp)>,
}

/// What a crash destroys.
struct Process {
    clock: Clock,
    engine: Engine,
    alerts: alert::Wiring,
    queues: delivery::Wiring,
    others: watch::Sender<Others>,
    workers: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    /// What the newest worker of each receiver leaves.
    left: BTreeMap<&'static str, oneshot::Receiver<Left>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut store = ByHand::new();
        let far = |(name, wants_ends, addresses): (_, bool, &'static [_])| {
            (name, Arc::new(Mutex::new(Far::new(seed, wants_ends, addresses))))
        };
        let mut world = World {
            random: fastrand::Rng::with_seed(seed),
            panel: Panel::new("home"),
            older: None,
            changed: Vec::new(),
            process: Process::new(BEGIN, &Rows::default(), false, store.store()),
            disk: Disk {
                store,
                power: None,
                receivers: RECEIVERS.map(far).into(),
                rearmed: HashMap::new(),
                events: HashMap::new(),
            },
            by_subject: false,
            crashes: 0,
        };
        world.start_workers();
        world
    }

    fn far(&self, receiver: &str) -> MutexGuard<'_, Far> {
        self.disk.receivers[receiver].lock().unwrap()
    }

    fn now(&self) -> Moment {
        self.process.clock.now()
    }

    async fn step(&mut self) {
        self.wait(Duration::from_millis(1)).await;
        match self.random.u8(0..100) {
            0..22 => {
                let now = self.now().wall;
                self.changed.extend(self.panel.change_somebody(&mut self.random, now));
            }
            22..48 => self.poll().await,
            48..52 => {
                let report = self.panel.down(self.now());
                self.observe(report).await;
            }
            52..56 => {
                self.panel.poll_cheap(self.now());
                self.panel.fail(Part::Users);
                let report = self.panel.report();
                self.observe(report).await;
            }
            56..74 => {
                let millis = self.random.u64(1..100_000);
                self.pass(Duration::from_millis(millis)).await;
            }
            74..80 => {
                let secs = self.random.u64(1..2 * HOUR);
                self.pass(Duration::from_secs(secs)).await;
            }
            80..90 => {
                let receiver = self.somebody();
                self.far(receiver).failing = [0, 70, 100][self.random.usize(0..3)];
            }
            90..93 => {
                let receiver = self.random.bool().then(|| self.somebody());
                self.reload(receiver);
            }
            93..97 => self.disk.power = Some(self.random.u32(1..6)),
            97 => self.crash(2 * DAY),
            _ => self.crash(600),
        }
    }

    fn somebody(&mut self) -> &'static str {
        RECEIVERS[self.random.usize(0..RECEIVERS.len())].0
    }

    async fn poll(&mut self) {
        let now = self.now();
        self.panel.stop_who_may_not_go_on(now.wall);
        for name in self.changed.drain(..) {
            self.disk.rearmed.entry(name).or_default().push(now.wall);
        }
        let report = self.panel.poll(now);
        if self.random.u8(0..4) == 0 {
            self.older = Some(Arc::clone(&report.users));
        }
        self.observe(report).await;
    }

    async fn observe(&mut self, report: Arc<Report>) {
        let now = self.now();
        self.process.engine.observe_reports(&[report], now);
        self.tick().await;
    }

    /// Evaluates, records and notifies.
    async fn tick(&mut self) {
        let now = self.now();
        let output = self.process.engine.tick(None, now);
        let World { process: Process { alerts, workers, .. }, disk, .. } = self;
        if !until(workers, disk, alerts.carry_out(output)).await {
            self.crash(600);
        }
    }

    async fn pass(&mut self, time: Duration) {
        let looks = if time < Duration::from_secs(100) { 2 } else { 6 };
        for _ in 0..looks {
            self.wait(time / looks).await;
            self.tick().await;
        }
    }

    async fn wait(&mut self, time: Duration) {
        if !until(&mut self.process.workers, &mut self.disk, sleep(time)).await {
            self.crash(600);
        }
    }

    /// Reloads; the named receiver, if any, gets a new configuration and queue.
    fn reload(&mut self, receiver: Option<&'static str>) {
        let now = self.now();
        if self.random.u8(0..3) == 0 {
            self.by_subject = !self.by_subject;
        }
        self.process.engine.reconfigure(&alerting(), routes(self.by_subject), now).unwrap();
        if let Some(receiver) = receiver {
            self.far(receiver).is_reconfigured();
            let before = self.process.left.remove(receiver).unwrap();
            self.start_worker(receiver, async { before.await.unwrap() });
        }
    }

    /// The process dies, and another starts after at most `most` seconds.
    fn crash(&mut self, most: u64) {
        self.crashes += 1;
        self.disk.power = None;
        let wall = self.now().wall.saturating_add(Duration::from_secs(self.random.u64(0..most)));
        let loaded = self.disk.store.loaded();
        for (name, far) in &self.disk.receivers {
            let counted = self.process.abandoned(name);
            let rows = loaded.outbox.iter().filter(|row| row.notice.receiver == *name);
            far.lock().unwrap().is_left(rows.map(|row| row.notice.id.as_str()), counted);
        }
        let rows = Rows { alerts: loaded.alerts, groups: loaded.groups };
        self.process = Process::new(wall, &rows, self.by_subject, self.disk.store.store());
        let newest = Arc::clone(&self.panel.report.users);
        let kept = [None, Some(newest), self.older.clone()][self.random.usize(0..3)].take();
        self.panel.forget_all_but(kept.as_deref(), self.process.clock.now());
        if self.random.bool() {
            // Its list answers later.
            self.panel.poll_cheap(self.process.clock.now());
            self.process.engine.observe_reports(&[self.panel.report()], self.process.clock.now());
        }
        self.start_workers();
    }

    fn start_workers(&mut self) {
        let mut loaded = self.disk.store.loaded();
        for (receiver, ..) in RECEIVERS {
            let pending = loaded.outbox.extract_if(.., |row| row.notice.receiver == receiver).collect();
            let state = loaded.receivers.iter().find(|(name, _)| name == receiver);
            let state = state.map(|(_, state)| state.clone()).unwrap_or_default();
            self.start_worker(receiver, std::future::ready(Left { pending, state }));
        }
    }

    /// As the daemon does.
    fn start_worker(&mut self, name: &'static str, earlier: impl Future<Output = Left> + 'static) {
        let (queue, incoming) = mpsc::unbounded_channel();
        if name == FALLBACK {
            let fallback = Fallback { receiver: name.to_owned(), after: alerting().fallback_after };
            let queues = HashMap::from([(name.to_owned(), queue.downgrade())]);
            self.process.others.send_replace(Others { fallback: Some(fallback), queues });
        }
        self.process.alerts.notices.insert(name.to_owned(), queue);
        let far = Arc::clone(&self.disk.receivers[name]);
        let terms = far.lock().unwrap().terms();
        let answer = move |notice: &Notice, done: &mut Vec<String>, _: Moment| {
            far.lock().unwrap().answer(notice, done)
        };
        let receiver = Receiver::Scripted(Scripted(Box::new(answer)));
        let wiring = self.process.queues.clone();
        let (end, left) = oneshot::channel();
        self.process.left.insert(name, left);
        self.process.workers.push(Box::pin(async move {
            let worker = Worker::new(name.to_owned(), receiver, earlier.await, terms, wiring, incoming);
            drop(end.send(worker.run().await));
        }));
    }

    /// Everything works for long enough; then the receivers' views are compared with the truth.
    async fn settle(&mut self) {
        self.disk.power = None;
        for far in self.disk.receivers.values() {
            far.lock().unwrap().failing = 0;
        }
        // Receivers that refused before, and those that wait for another configuration.
        self.pass(Duration::from_secs(90)).await;
        for (receiver, state) in self.disk.store.loaded().receivers {
            if state.disabled {
                self.reload(RECEIVERS.map(|(name, ..)| name).into_iter().find(|name| *name == receiver));
            }
        }
        self.pass(Duration::from_secs(5 * HOUR)).await;
        for _ in 0..25 {
            self.poll().await;
            self.wait(Duration::from_secs(60)).await;
        }
        self.compare();
    }

    fn compare(&mut self) {
        let loaded = self.disk.store.loaded();
        assert!(loaded.outbox.is_empty(), "{:#?}", loaded.outbox);
        let alerts = &self.process.engine.active().list;
        let now = self.now().wall;
        let firing: BTreeMap<Key, bool> = alerts
            .iter()
            .filter(|alert| alert.state != AlertState::Pending)
            .map(|alert| {
                let tighter = alerts.iter().any(|other| {
                    let same = other.alertname == alert.alertname && other.subject == alert.subject;
                    same && tightness(&other.step) > tightness(&alert.step)
                });
                // It may have fired just now, when its group was notified a short time before.
                let young = now.since(alert.active_since) < Duration::from_secs(600);
                let key = (alert.alertname.to_owned(), alert.subject.to_string(), alert.step.to_string());
                (key, tighter || young)
            })
            .collect();
        for (name, far) in &self.disk.receivers {
            let far = far.lock().unwrap();
            far.believes_what_was_recorded();
            for (key, untold) in &firing {
                assert!(*untold || far.fires(key), "{name} has no record that {key:?} fires");
            }
            for key in far.firing().filter(|key| key.0 != "ProxymeterNotificationsFailing") {
                assert!(firing.contains_key(key), "{name} has no record that {key:?} ended");
            }
            assert_eq!(self.process.abandoned(name), f64::from(far.given_up), "{name}");
        }
        let fallback = self.far(FALLBACK);
        for (name, state) in loaded.receivers.iter().filter(|(name, _)| name != FALLBACK) {
            let key = ("ProxymeterNotificationsFailing".to_owned(), name.clone(), String::new());
            let knows = state.fallback_knows != FallbackKnows::Nothing;
            assert_eq!(fallback.fires(&key), knows, "{name}: {state:?}");
        }
    }
}

impl Process {
    fn new(wall: Timestamp, rows: &Rows, by_subject: bool, store: Store) -> Self {
        let (clock, telemetry) = (Clock::starting_at(wall), Telemetry::new());
        let others = watch::Sender::new(Others::default());
        Process {
            engine: Engine::new(&alerting(), routes(by_subject), rows, clock.now()).unwrap(),
            alerts: alert::Wiring {
                view: Board::new(["home"]).watch(),
                reloads: mpsc::channel(1).1,
                notices: HashMap::new(),
                alerts: watch::channel(Arc::default()).0,
                pseudonym: None,
                reread: HashMap::new(),
                store: store.clone(),
                telemetry: telemetry.clone(),
                clock: clock.clone(),
                beat: Beat::default(),
            },
            queues: delivery::Wiring {
                store,
                telemetry,
                clock: clock.clone(),
                others: others.subscribe(),
                health: HealthByReceiver::default(),
            },
            clock,
            others,
            workers: Vec::new(),
            left: BTreeMap::new(),
        }
    }

    /// Notices to a receiver that were given up, according to the counter.
    fn abandoned(&self, receiver: &str) -> f64 {
        let families = self.queues.telemetry.gather();
        let family =
            families.iter().find(|family| family.name() == "proxymeter_notifications_abandoned_total");
        let metrics = family.into_iter().flat_map(|family| family.get_metric());
        let of = metrics.filter(|metric| metric.get_label()[0].value() == receiver);
        of.map(|metric| metric.get_counter().get_value()).sum()
    }
}

impl Disk {
    /// Writes the next pending change, if there is one.
    fn work(&mut self) -> bool {
        let Some(written) = self.store.work() else { return false };
        if let Some(left) = &mut self.power {
            *left -= 1;
        }
        for notice in &written.queued {
            self.is_news(notice);
            self.receivers[&*notice.receiver].lock().unwrap().records(notice);
        }
        if let Some((old, merged)) = &written.replaced {
            self.receivers[&*merged.receiver].lock().unwrap().merges(old, merged);
        }
        if let Some((name, state)) = &written.receiver {
            let lost = self.receivers[&**name].lock().unwrap().settled(&written.settled);
            assert!(!lost || name == FALLBACK || state.fallback_knows == FallbackKnows::GivenUp, "{state:?}");
        }
        true
    }

    /// Each threshold is notified as one event, until it may fire again.
    fn is_news(&mut self, notice: &Notice) {
        for alert in notice.alerts.iter().filter(|alert| alert.labels["kind"] == "user") {
            let key = far::key(alert);
            let event = (alert.event.clone(), alert.starts_at);
            let (before, since) = self.events.entry(key.clone()).or_insert_with(|| event.clone());
            if event.1 < *since || event == (before.clone(), *since) {
                continue;
            }
            let mut times = self.rearmed.get(&key.1).into_iter().flatten();
            let rearmed = times.any(|time| *time > *since && *time <= alert.starts_at);
            assert!(rearmed, "{key:?} is notified twice in one period");
            (*before, *since) = event;
        }
    }
}

/// Runs the queues and the disk until `work` is done; false: the power failed first.
async fn until(
    workers: &mut Vec<Pin<Box<dyn Future<Output = ()>>>>,
    disk: &mut Disk,
    work: impl Future<Output = ()>,
) -> bool {
    let mut work = pin!(work);
    poll_fn(|cx| {
        loop {
            workers.retain_mut(|worker| worker.as_mut().poll(cx).is_pending());
            if work.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if !disk.work() {
                return Poll::Pending;
            }
            if disk.power == Some(0) {
                return Poll::Ready(false);
            }
        }
    })
    .await
}

fn alerting() -> AlertingConfig {
    // Otherwise a plan that ended a week ago resolves without a notification.
    let never = RuleConfig { expired_for: Some(Duration::from_secs(10_000 * DAY)), ..RuleConfig::default() };
    AlertingConfig {
        fallback: Some(FALLBACK.into()),
        fallback_after: Duration::from_secs(300),
        rules: [("user_expiry".to_owned(), never)].into(),
        ..config()
    }
}

fn routes(by_subject: bool) -> Vec<Route> {
    let route = |(name, send_resolved, _): (&str, _, _)| Route {
        receiver: name.to_owned(),
        min_severity: Severity::Info,
        send_resolved,
        group_by: if by_subject { vec!["subject".into()] } else { config().group_by },
        group_wait: if name == FALLBACK { Duration::ZERO } else { config().group_wait },
        group_interval: config().group_interval,
        repeat_interval: None,
    };
    RECEIVERS.map(route).into()
}

fn tightness(step: &str) -> usize {
    ["7d", "3d", "1d", "expired", "80%", "95%", "100%"].iter().position(|known| *known == step).unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn every_receiver_ends_with_a_true_view() {
    // For a long run: WALKS=100000 cargo test --release --lib every_receiver_ends_with_a_true_view
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (first, walks) = (number("FIRST").unwrap_or(0), number("WALKS").unwrap_or(150));
    let mut seen = Counts::default();
    for seed in first..first + walks {
        // Printed if it fails; FIRST and WALKS=1 repeat this walk.
        eprintln!("walk {seed}");
        fastrand::seed(seed);
        let mut world = World::new(seed);
        for step in 1..=80 {
            world.step().await;
            if step % 40 == 0 {
                world.settle().await;
            }
        }
        seen.crashes += world.crashes;
        for far in world.disk.receivers.values() {
            seen.add(&far.lock().unwrap().counts);
        }
    }
    eprintln!("{seen:?}");
    seen.are_enough(walks);
}

//! Random walks through alerts, failing receivers, reloads and a process that dies. Whatever the order of events, every
//! receiver ends with a true view.

mod far;
mod truth;

use crate::model::Named;
use crate::wording::Voice;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::{
    far::{Counts, Far, Key},
    truth::{Truth, truth},
};
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        group::Route,
        testing::{BEGIN, DAY, HOUR, Panel, config},
    },
    board::Board,
    clock::Clock,
    dispatch::{
        Dispatcher, LAST_ATTEMPT, Link, Report, Shown, Way, Worker,
        dispatcher::{Heard, Pace, Round},
    },
    model::{Moment, Notice, NoticeAlert, NoticeStatus, Part, Severity, Timestamp, Users},
    notify::{HealthByReceiver, Receiver, scripted::Scripted},
    store::{ByHand, Loaded, Message, Settlement, Store},
    telemetry::Telemetry,
};

struct Spec {
    name: &'static str,
    send_resolved: bool,
    /// How many alerts its messages name.
    names: Named,
    addresses: &'static [&'static str],
}

const RECEIVERS: [Spec; 3] = [
    Spec { name: "ops", send_resolved: true, names: Named::All, addresses: &["ann", "bob"] },
    Spec { name: "quiet", send_resolved: false, names: Named::First(3), addresses: &["ann"] },
    Spec { name: FALLBACK, send_resolved: true, names: Named::All, addresses: &["ann"] },
];
const FALLBACK: &str = "oncall";

struct World {
    random: fastrand::Rng,
    panel: Panel,
    /// A list of users that was kept, and not the newest.
    older: Option<Arc<Users>>,
    /// Users that changed since the last poll in a way that lets a threshold fire again.
    changed: Vec<String>,
    disk: Disk,
    settings: Settings,
    process: Process,
    counts: Counts,
}

/// What a reload changes.
struct Settings {
    /// Whether each user has a group of its own.
    by_subject: bool,
    /// The receivers that there are.
    receivers: BTreeSet<&'static str>,
    /// Those that get only warnings and worse.
    severe: BTreeSet<&'static str>,
    /// Those that are not told of ends.
    deaf: BTreeSet<&'static str>,
}

/// What outlives a process, including the receivers.
struct Disk {
    store: ByHand,
    /// The number of things that still happen before the power fails.
    power: Option<u32>,
    receivers: BTreeMap<&'static str, Arc<Mutex<Far>>>,
    /// The rows of alerts.
    alerts: BTreeMap<String, String>,
    /// When a poll found that a user's thresholds may fire again.
    rearmed: HashMap<String, Vec<Timestamp>>,
    /// The newest event of each threshold, and when it started.
    events: HashMap<Key, (String, Timestamp)>,
}

/// What a crash destroys.
struct Process {
    clock: Clock,
    board: Board,
    telemetry: Telemetry,
    store: Store,
    dispatcher: Dispatcher,
    slow_disk: bool,
    heard: Heard,
    reports: mpsc::Receiver<Report>,
    reporting: mpsc::Sender<Report>,
    workers: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    /// Of the worker that was built last.
    number: u64,
}

/// The power has failed.
struct Dead;

impl World {
    fn new(seed: u64) -> Self {
        let mut store = ByHand::new();
        let far = |spec: Spec| {
            let Spec { name, send_resolved, names, addresses } = spec;
            (name, Arc::new(Mutex::new(Far::new(name, seed, send_resolved, names, addresses))))
        };
        let settings = Settings {
            by_subject: false,
            receivers: RECEIVERS.map(|spec| spec.name).into(),
            severe: BTreeSet::new(),
            deaf: RECEIVERS.iter().filter(|spec| !spec.send_resolved).map(|spec| spec.name).collect(),
        };
        let receivers = RECEIVERS.map(far).into();
        let loaded = store.loaded();
        let process = Process::new(BEGIN, loaded, &settings, &receivers, store.store(), false);
        World {
            random: fastrand::Rng::with_seed(seed),
            panel: Panel::new("home"),
            older: None,
            changed: Vec::new(),
            disk: Disk {
                store,
                power: None,
                receivers,
                alerts: BTreeMap::new(),
                rearmed: HashMap::new(),
                events: HashMap::new(),
            },
            settings,
            process,
            counts: Counts::default(),
        }
    }

    fn far(&self, receiver: &str) -> MutexGuard<'_, Far> {
        self.disk.receivers[receiver].lock().unwrap()
    }

    fn now(&self) -> Moment {
        self.process.clock.now()
    }

    async fn step(&mut self) {
        self.pass(Duration::from_millis(1)).await;
        match self.random.u8(0..100) {
            0..22 => {
                let now = self.now().wall;
                self.changed.extend(self.panel.change_somebody(&mut self.random, now));
            }
            22..48 => self.poll().await,
            48..52 => {
                self.panel.down(self.now());
                self.publish().await;
            }
            52..56 => {
                self.panel.poll_cheap(self.now());
                self.panel.fail(Part::Users);
                self.publish().await;
            }
            56..71 => {
                let millis = self.random.u64(1..100_000);
                self.pass(Duration::from_millis(millis)).await;
            }
            71..77 => {
                let secs = self.random.u64(1..2 * HOUR);
                self.pass(Duration::from_secs(secs)).await;
            }
            77..79 => {
                let secs = self.random.u64(1..4 * DAY);
                self.pass(Duration::from_secs(secs)).await;
            }
            79..87 => {
                let receiver = self.somebody();
                self.far(receiver).failing = [0, 70, 100][self.random.usize(0..3)];
            }
            87..89 => {
                let receiver = self.somebody();
                self.far(receiver).most = [1, 2, 3, usize::MAX][self.random.usize(0..4)];
            }
            89..93 => self.reload(),
            93..96 => self.disk.power = Some(self.random.u32(1..10)),
            96 => self.stop().await,
            97 => self.crash(2 * DAY).await,
            _ => self.crash(600).await,
        }
    }

    fn somebody(&mut self) -> &'static str {
        RECEIVERS[self.random.usize(0..RECEIVERS.len())].name
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
        self.publish().await;
    }

    async fn publish(&mut self) {
        self.process.board.publish(self.panel.report.clone());
        self.pass(Duration::ZERO).await;
    }

    /// Time passes, with a round whenever there is news of a message, and now and then when one is due.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            if self.round().await.is_err() {
                return self.crash(600).await;
            }
            let now = Instant::now();
            if now >= end {
                return;
            }
            let due = self.process.dispatcher.due().saturating_sub(self.now().uptime);
            let due = now.checked_add(due).unwrap_or(end);
            if self.wait(due.max(now + time / 10).min(end)).await.is_err() {
                return self.crash(600).await;
            }
        }
    }

    /// Waits for a report, but not longer than until then.
    async fn wait(&mut self, end: Instant) -> Result<(), Dead> {
        let all = self.random.bool();
        let Process { workers, reports, heard, .. } = &mut self.process;
        let mut sleep = pin!(sleep_until(end));
        let before = heard.reports.len();
        poll_fn(|cx| {
            workers.retain_mut(|worker| worker.as_mut().poll(cx).is_pending());
            while let Poll::Ready(Some(report)) = reports.poll_recv(cx) {
                heard.reports.push(report);
                if !all {
                    break;
                }
            }
            if heard.reports.len() > before { Poll::Ready(()) } else { sleep.as_mut().poll(cx) }
        })
        .await;
        let happened = self.process.heard.reports.len() > before;
        if happened { self.disk.happens() } else { Ok(()) }
    }

    /// What the dispatcher's task does.
    async fn round(&mut self) -> Result<(), Dead> {
        loop {
            let World { process, disk, .. } = self;
            let pace = if process.slow_disk { Pace::SlowDisk } else { Pace::Usual };
            let more = process.round(disk, pace).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Reloads: another grouping, a receiver that is another now, or one that leaves or comes back.
    fn reload(&mut self) {
        let now = self.now();
        if self.random.u8(0..3) == 0 {
            self.settings.by_subject = !self.settings.by_subject;
        }
        let mut built = Vec::new();
        match self.random.u8(0..8) {
            0 | 1 => built.push(self.somebody()),
            2 | 3 => {
                let receiver = ["ops", "quiet"][self.random.usize(0..2)];
                if self.settings.receivers.remove(receiver) {
                    self.far(receiver).leaves();
                } else {
                    built.push(receiver);
                }
            }
            4 => {
                let receiver = self.somebody();
                let severe = toggle(&mut self.settings.severe, receiver);
                self.far(receiver).is_severe(severe);
            }
            5 => {
                let receiver = self.somebody();
                let deaf = toggle(&mut self.settings.deaf, receiver);
                self.far(receiver).wants_ends(!deaf);
            }
            _ => {}
        }
        self.rebuild(&built, now);
    }

    /// Goes on with the present settings, and new workers of these receivers.
    fn rebuild(&mut self, built: &[&'static str], now: Moment) {
        self.settings.receivers.extend(built);
        let World { process, disk, settings, .. } = self;
        let mut links = Vec::new();
        for name in built {
            disk.receivers[name].lock().unwrap().config += 1;
            links.push(process.connect(name, &disk.receivers));
        }
        process.dispatcher.reload(&alerting(), settings.routes(), links, None, now).unwrap();
    }

    /// The process ends as it should, and another starts soon.
    async fn stop(&mut self) {
        self.counts.stops += 1;
        self.process.dispatcher.close();
        let end = Instant::now() + LAST_ATTEMPT;
        while Instant::now() < end {
            if self.wait(end).await.is_err() {
                return self.crash(600).await;
            }
        }
        let World { process, disk, .. } = self;
        if process.round(disk, Pace::Closing).await.is_err() {
            return self.crash(600).await;
        }
        self.restart(60).await;
    }

    async fn crash(&mut self, most: u64) {
        self.counts.crashes += 1;
        self.restart(most).await;
    }

    /// The process is gone, and another starts after at most `most` seconds.
    async fn restart(&mut self, most: u64) {
        self.disk.power = None;
        let wall = self.now().wall.saturating_add(Duration::from_secs(self.random.u64(0..most)));
        let mut loaded = self.disk.store.loaded();
        let truth = truth(&self.disk.alerts);
        for (name, far) in &self.disk.receivers {
            let counted = self.process.abandoned(name);
            let rows = loaded.outbox.iter().filter(|row| row.receiver == *name);
            let at_once = if self.process.slow_disk { 32 } else { 1 };
            far.lock().unwrap().is_left(rows.map(|row| row.id.as_str()), counted, at_once, &truth);
        }
        let gone = self.disk.receivers.iter().filter(|(name, _)| !self.settings.receivers.contains(*name));
        gone.for_each(|(_, far)| far.lock().unwrap().leaves());
        if self.random.u8(0..4) == 0 {
            self.disk.replay(&self.settings, wall).await;
            loaded = self.disk.store.loaded();
        }
        let (store, slow_disk) = (self.disk.store.store(), self.random.u8(0..4) == 0);
        let World { disk: Disk { receivers, .. }, settings, .. } = self;
        self.process = Process::new(wall, loaded, settings, receivers, store, slow_disk);
        let newest = Arc::clone(&self.panel.report.users);
        let kept = [None, Some(newest), self.older.clone()][self.random.usize(0..3)].take();
        self.panel.forget_all_but(kept.as_deref(), self.process.clock.now());
        if self.random.bool() {
            // Its list answers later.
            self.panel.poll_cheap(self.process.clock.now());
            self.process.board.publish(self.panel.report.clone());
        }
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
            let name = self.settings.receivers.iter().find(|name| **name == receiver).copied();
            if let Some(name) = name.filter(|_| state.disabled) {
                self.rebuild(&[name], self.now());
            }
        }
        self.pass(Duration::from_secs(5 * HOUR)).await;
        for _ in 0..25 {
            self.poll().await;
            self.pass(Duration::from_secs(60)).await;
        }
        for _ in 0..5 {
            if self.disk.store.loaded().outbox.is_empty() {
                break;
            }
            self.pass(Duration::from_secs(35)).await;
        }
        self.compare();
    }

    fn compare(&mut self) {
        let loaded = self.disk.store.loaded();
        assert_eq!(BTreeMap::from_iter(loaded.alerts), self.disk.alerts);
        let truth = truth(&self.disk.alerts);
        for message in &loaded.outbox {
            // What is sent again by hand waits while a tighter step fires.
            let waits = |alert: &Arc<NoticeAlert>| {
                let fact = truth.get(&far::key(alert));
                fact.is_some_and(|fact| fact.event == alert.event && fact.tighter_fires)
            };
            let notice = message.packed.unpack().unwrap();
            assert!(notice.alerts.iter().any(waits), "{notice:#?}");
        }
        let receivers = self.disk.receivers.iter();
        for (name, far) in receivers.filter(|(name, _)| self.settings.receivers.contains(*name)) {
            let far = far.lock().unwrap();
            far.believes(&truth, self.now());
            assert_eq!(self.process.abandoned(name), f64::from(far.given_up), "{name}");
        }
        let fires = |alertname: &str, receiver: &str| {
            let key = (alertname.to_owned(), receiver.to_owned(), String::new());
            truth.get(&key).is_some_and(truth::Fact::fires)
        };
        let names: BTreeSet<_> = loaded.receivers.iter().map(|(name, _)| name.as_str()).collect();
        // One that was never sent anything has no row.
        assert!(names.is_subset(&self.settings.receivers), "{names:?}");
        for (name, state) in &loaded.receivers {
            // For an hour; it is looked at every quarter of a minute.
            let age = state.given_up_at.map(|at| self.now().wall.since(at));
            let surely = age.is_some_and(|age| age < Duration::from_secs(HOUR - 60));
            let perhaps = age.is_some_and(|age| age < Duration::from_secs(HOUR + 60));
            let told = fires("ProxymeterNotificationsAbandoned", name);
            assert!(told == surely || told == perhaps, "{name}: {told} {state:?}");
            let failing = fires("ProxymeterNotificationsFailing", name);
            assert!(!failing || state.failing_since.is_some(), "{name}: {state:?}");
        }
        for (alertname, subject, _) in truth.iter().filter(|(_, fact)| fact.fires()).map(|(key, _)| key) {
            let of_receiver = alertname.starts_with("ProxymeterNotifications");
            assert!(!of_receiver || names.contains(subject.as_str()), "{alertname} {subject}");
        }
    }
}

impl Settings {
    fn routes(&self) -> Vec<Route> {
        let route = |spec: &Spec| Route {
            receiver: spec.name.to_owned(),
            min_severity: if self.severe.contains(spec.name) { Severity::Warning } else { Severity::Info },
            send_resolved: !self.deaf.contains(spec.name),
            group_by: if self.by_subject { vec!["subject".into()] } else { config().group_by },
            group_wait: if spec.name == FALLBACK { Duration::ZERO } else { config().group_wait },
            group_interval: config().group_interval,
            repeat_interval: None,
            voice: Voice::default(),
            standing: false,
            digest: None,
            statements: Vec::new(),
        };
        RECEIVERS.iter().filter(|spec| self.receivers.contains(spec.name)).map(route).collect()
    }
}

impl Process {
    fn new(
        wall: Timestamp,
        loaded: Loaded,
        settings: &Settings,
        receivers: &BTreeMap<&'static str, Arc<Mutex<Far>>>,
        store: Store,
        slow_disk: bool,
    ) -> Self {
        let (clock, telemetry, board) = (Clock::starting_at(wall), Telemetry::new(), Board::new(["home"]));
        let (reporting, reports) = mpsc::channel(64);
        let shown =
            Shown { board: board.clone(), telemetry: telemetry.clone(), health: HealthByReceiver::default() };
        let (mut workers, mut number) = (Vec::new(), 0);
        let links = settings.receivers.iter().map(|name| {
            number += 1;
            connect(name, number, receivers, &mut workers, &reporting, &telemetry, &clock)
        });
        let (links, now) = (links.collect(), clock.now());
        let dispatcher =
            Dispatcher::new(&alerting(), settings.routes(), links, loaded, None, shown, now).unwrap();
        let heard = Heard::default();
        Process {
            clock,
            board,
            telemetry,
            store,
            dispatcher,
            slow_disk,
            heard,
            reports,
            reporting,
            workers,
            number,
        }
    }

    fn connect(&mut self, name: &'static str, receivers: &BTreeMap<&'static str, Arc<Mutex<Far>>>) -> Link {
        self.number += 1;
        let Process { workers, reporting, telemetry, clock, .. } = self;
        connect(name, self.number, receivers, workers, reporting, telemetry, clock)
    }

    /// Returns whether there is more to do at once.
    async fn round(&mut self, disk: &mut Disk, pace: Pace) -> Result<bool, Dead> {
        let heard = std::mem::take(&mut self.heard);
        let now = self.clock.now();
        let Round { batch, letters, reread: _, answers: _, silenced: _, asks: _, more } =
            self.dispatcher.round(heard, Some(&self.board.view()), pace, now);
        self.dispatcher.show(now);
        if !batch.is_empty() {
            disk.happens()?;
            let mut record = pin!(self.store.record(batch));
            poll_fn(|cx| {
                while record.as_mut().poll(cx).is_pending() {
                    if !disk.work() {
                        return Poll::Pending;
                    }
                }
                Poll::Ready(())
            })
            .await;
            disk.happens()?;
        }
        for (receiver, letters) in letters {
            let Some(Way::Messages { letters: queue, .. }) = self.dispatcher.way(&receiver) else {
                panic!("{receiver} is given messages that it cannot get")
            };
            let far = disk.receivers[&*receiver].lock().unwrap();
            letters.iter().for_each(|letter| far.is_given(&letter.notice));
            queue.try_send(letters).expect("a worker without work has room");
        }
        Ok(more)
    }

    /// Messages to a receiver that were given up, according to the counter.
    fn abandoned(&self, receiver: &str) -> f64 {
        let families = self.telemetry.gather();
        let family =
            families.iter().find(|family| family.name() == "proxymeter_notifications_abandoned_total");
        let metrics = family.into_iter().flat_map(|family| family.get_metric());
        let of = metrics.filter(|metric| metric.get_label()[0].value() == receiver);
        of.map(|metric| metric.get_counter().get_value()).sum()
    }
}

/// A new worker of a receiver.
fn connect(
    name: &'static str,
    number: u64,
    receivers: &BTreeMap<&'static str, Arc<Mutex<Far>>>,
    workers: &mut Vec<Pin<Box<dyn Future<Output = ()>>>>,
    reporting: &mpsc::Sender<Report>,
    telemetry: &Telemetry,
    clock: &Clock,
) -> Link {
    let far = Arc::clone(&receivers[name]);
    let (config, names) = {
        let far = far.lock().unwrap();
        (far.config, far.names)
    };
    let answer = move |notice: &Notice, done: &mut Vec<String>, _: Moment| {
        far.lock().unwrap().answer(number, notice, done)
    };
    let receiver = Receiver::Scripted(Scripted(Box::new(answer)));
    let (queue, letters) = mpsc::channel(1);
    let (reports, telemetry, clock) = (reporting.clone(), telemetry.clone(), clock.clone());
    let worker = Worker { name: name.to_owned(), number, receiver, letters, reports, telemetry, clock };
    workers.push(Box::pin(worker.run()));
    Link {
        place: String::new(),
        receiver: name.to_owned(),
        to: Way::Messages { letters: queue, worker: number, names, pace: &[] },
        config,
    }
}

impl Disk {
    /// Something happens, before or after which the power may fail.
    fn happens(&mut self) -> Result<(), Dead> {
        let Some(left) = &mut self.power else { return Ok(()) };
        *left -= 1;
        if *left == 0 { Err(Dead) } else { Ok(()) }
    }

    /// Writes the next pending change, if there is one.
    fn work(&mut self) -> bool {
        let Some(written) = self.store.work() else { return false };
        for (key, text) in written.alerts {
            // An event that is not in its row any more is over, too.
            let before = self.alerts.get(&key).into_iter().flat_map(|text| truth::events(text));
            let mut events: BTreeMap<_, _> = before.map(|(event, _)| (event, false)).collect();
            events.extend(text.iter().flat_map(|text| truth::events(text)));
            for (event, fires) in events {
                self.receivers.values().for_each(|far| far.lock().unwrap().changes(&event, fires));
            }
            match text {
                Some(text) => drop(self.alerts.insert(key, text)),
                None => drop(self.alerts.remove(&key)),
            }
        }
        // What is given up unsent is recorded with its outcome.
        let is_recorded = |(id, _): &(String, _)| written.messages.iter().any(|notice| notice.id == *id);
        let (late, early): (Vec<_>, Vec<_>) = written.settled.into_iter().partition(is_recorded);
        self.settle(&early);
        let truth = if written.messages.is_empty() { Truth::new() } else { truth(&self.alerts) };
        for notice in &written.messages {
            self.is_news(notice);
            let given_up = late.iter().any(|(id, _)| *id == notice.id);
            self.receivers[&*notice.receiver].lock().unwrap().records(notice, given_up, &truth);
        }
        self.settle(&late);
        true
    }

    fn settle(&mut self, outcomes: &[(String, Settlement)]) {
        for (id, outcome) in outcomes {
            let mut receivers = self.receivers.values().map(|far| far.lock().unwrap());
            let far = receivers.find(|far| far.has(id));
            far.expect("a message that was recorded").settles(id, outcome);
        }
    }

    /// Somebody has what was given up sent again, see the command `replay`.
    async fn replay(&mut self, settings: &Settings, now: Timestamp) {
        let store = self.store.store();
        let truth = truth(&self.alerts);
        let fires = |event: &str| truth.values().any(|fact| fact.event == event && fact.fires());
        let (mut messages, mut outdated) = (Vec::new(), Vec::new());
        for name in &settings.receivers {
            let mut far = self.receivers[name].lock().unwrap();
            for mut notice in far.dead_letters() {
                notice.created_at = now;
                notice.alerts.retain(|alert| alert.status == NoticeStatus::Resolved || fires(&alert.event));
                if notice.alerts.is_empty() {
                    outdated.push(notice.id);
                } else {
                    messages.push(Message::of(&notice).unwrap());
                    far.revives(notice);
                }
            }
        }
        let mut revive = pin!(store.revive(messages, outdated));
        poll_fn(|cx| {
            while revive.as_mut().poll(cx).is_pending() {
                if self.store.work().is_none() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Each threshold is notified as one event, until it may fire again.
    fn is_news(&mut self, notice: &Notice) {
        for alert in notice.alerts.iter().filter(|alert| &alert.labels["kind"] == "user") {
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

/// Puts it in, or takes it out.
fn toggle(set: &mut BTreeSet<&'static str>, name: &'static str) -> bool {
    let is_new = set.insert(name);
    if !is_new {
        set.remove(name);
    }
    is_new
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

#[tokio::test(start_paused = true)]
async fn every_receiver_ends_with_a_true_view() {
    // For a long run: WALKS=100000 cargo test --release --lib every_receiver_ends_with_a_true_view
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (first, walks) = (number("FIRST").unwrap_or(0), number("WALKS").unwrap_or(150));
    let mut seen = Counts::default();
    for seed in first..first + walks {
        // Printed if it fails; FIRST and WALKS=1 repeat this walk.
        eprintln!("seed {seed}");
        fastrand::seed(seed);
        let mut world = World::new(seed);
        for step in 1..=80 {
            world.step().await;
            if step % 40 == 0 {
                world.settle().await;
            }
        }
        seen.add(&world.counts);
        for far in world.disk.receivers.values() {
            seen.add(&far.lock().unwrap().counts);
        }
    }
    eprintln!("{seen:?}");
    if walks >= 50 {
        seen.are_enough(walks);
    }
}

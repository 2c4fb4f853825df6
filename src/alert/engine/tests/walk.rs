//! Random walks: whatever happens in whatever order, what receivers believe comes to what is true.

use crate::model::Named;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use super::{Kept, route};
use crate::{
    alert::{
        engine::{Engine, Reread},
        group::{Outcome, Pick, Route, Size},
        testing::{BEGIN, DAY, HOUR, Panel, START, config},
    },
    model::{
        Expiry, Moment, Notice, NoticeStatus, Part, Report, Severity, Silence, SilenceChange, SilenceError,
        SilenceState, Timestamp, User, UserStatus, Users,
    },
};

/// Rule, subject and step.
type Key = (String, String, String);

struct World {
    random: fastrand::Rng,
    secs: u64,
    /// When the present process began.
    began: u64,
    engine: Engine,
    routes: Vec<Route>,
    kept: Kept,
    panel: Panel,
    /// A list of users that was kept, and not the newest.
    older: Option<Arc<Users>>,
    /// Users as they were read last by the present process.
    read: BTreeMap<String, User>,
    /// How often something happened to a user after which a threshold may fire again.
    changes: HashMap<String, u32>,
    /// The same, as of the last poll.
    period: HashMap<String, u32>,
    /// The period in which each event began.
    began_in: HashMap<String, u32>,
    /// What each receiver believes to fire, by the notices that arrived.
    believed: BTreeMap<String, BTreeMap<Key, String>>,
    /// What each receiver may have heard to fire, and not to have ended.
    perhaps: BTreeSet<(String, Key)>,
    /// What each receiver is not told, because the last notice about it was given up.
    lost: BTreeSet<(String, Key)>,
    /// How many of 100 notices do not arrive as they should.
    failing: u8,
    /// The event of each threshold in each period, as told.
    events: HashMap<(Key, u32), String>,
    notices: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut severe = route("severe");
        severe.min_severity = Severity::Warning;
        let mut fine = route("fine");
        fine.group_by = vec!["subject".into()];
        fine.group_wait = Duration::ZERO;
        let routes = vec![route("ops"), severe, fine];
        let kept = Kept::default();
        let now = START;
        World {
            random: fastrand::Rng::with_seed(seed),
            secs: 0,
            began: 0,
            engine: Engine::new(&config(), routes.clone(), &kept.rows(), now).unwrap(),
            routes,
            kept,
            panel: Panel::new("home"),
            older: None,
            read: BTreeMap::new(),
            changes: HashMap::new(),
            period: HashMap::new(),
            began_in: HashMap::new(),
            believed: BTreeMap::new(),
            perhaps: BTreeSet::new(),
            lost: BTreeSet::new(),
            failing: 0,
            events: HashMap::new(),
            notices: 0,
        }
    }

    fn now(&self) -> Moment {
        Moment {
            wall: BEGIN.saturating_add(Duration::from_secs(self.secs)),
            uptime: START.after(Duration::from_secs(self.secs - self.began)).uptime,
        }
    }

    fn step(&mut self) {
        match self.random.u8(0..100) {
            0..30 => self.change_user(),
            30..57 => self.poll(),
            57..60 => self.change_silences(),
            60..66 => {
                let report = self.panel.down(self.now());
                self.observe(report);
            }
            66..72 => {
                self.panel.poll_cheap(self.now());
                self.panel.fail(Part::Users);
                let report = self.panel.report();
                self.observe(report);
            }
            72..86 => self.secs += self.random.u64(1..200),
            86..88 => self.failing = [0, 0, 50, 100][self.random.usize(0..4)],
            88..90 => {
                let now = self.now();
                self.engine.reconfigure(&config(), self.routes.clone(), now).unwrap();
            }
            90..94 => self.secs += self.random.u64(1..2 * DAY),
            94..96 => self.crash(),
            96..98 => {
                // It dies after it has made up its mind, and before that is recorded.
                self.secs += self.random.u64(0..400);
                let now = self.now();
                self.engine.tick(now);
                self.crash();
            }
            _ => self.tick(),
        }
    }

    fn change_user(&mut self) {
        let now = self.now().wall;
        if self.random.u8(0..12) == 0 {
            let name = format!("u{}", self.random.u8(0..6));
            if let Some(user) = self.panel.users.get_mut(&name) {
                user.renews = !user.renews;
                *self.changes.entry(name).or_default() += 1;
            }
            return;
        }
        if let Some(name) = self.panel.change_somebody(&mut self.random, now) {
            *self.changes.entry(name).or_default() += 1;
        }
    }

    /// Silences one or several users for a while, or ends a silence.
    fn change_silences(&mut self) {
        let now = self.now();
        let known = self.engine.active().silences.clone();
        let change = if !known.is_empty() && self.random.u8(0..3) == 0 {
            SilenceChange::Expire(Arc::clone(&known[self.random.usize(0..known.len())].id))
        } else {
            let user = self.random.u8(0..6);
            let matcher = [format!("subject=u{user}"), format!("subject=~u[0-{user}]")];
            let starts_at = now.wall.saturating_add(Duration::from_secs(self.random.u64(0..2) * HOUR));
            SilenceChange::Put(Silence {
                id: "".into(),
                matchers: vec![matcher[self.random.usize(0..2)].parse().unwrap()],
                starts_at,
                ends_at: starts_at.saturating_add(Duration::from_secs(self.random.u64(60..DAY))),
                updated_at: now.wall,
                created_by: "ann".into(),
                comment: "why".into(),
            })
        };
        match self.engine.change_silences(change, now) {
            // One that is shown may have been forgotten since.
            Ok(_) | Err(SilenceError::Unknown) => {}
            Err(err) => panic!("{err}"),
        }
        // It may die before that is recorded.
        if self.random.bool() {
            self.tick();
        }
    }

    fn poll(&mut self) {
        // No two readings are of one moment.
        self.secs += 1;
        self.panel.stop_who_may_not_go_on(self.now().wall);
        self.period.clone_from(&self.changes);
        self.read.clone_from(&self.panel.users);
        let report = self.panel.poll(self.now());
        if self.random.u8(0..4) == 0 {
            self.older = Some(Arc::clone(&report.users));
        }
        self.observe(report);
    }

    fn observe(&mut self, report: Arc<Report>) {
        let now = self.now();
        self.engine.observe_reports(&[report], now);
        self.tick();
    }

    fn tick(&mut self) {
        let now = self.now();
        self.engine.tick(now);
        let mut notices = Vec::new();
        for Route { receiver, .. } in &self.routes {
            let most = [None, Some(self.random.usize(1..4))][self.random.usize(0..2)];
            let size = Size { names: Named::All, most };
            let mut failed = false;
            while !failed && let Some(composed) = self.engine.next(receiver, Pick::Urgent, size, None, now) {
                let (outcome, arrived) = outcome(&mut self.random, self.failing);
                self.silenced_are_not_told(&composed.notice, now);
                failed = matches!(outcome, Outcome::Failed { .. } | Outcome::Untried);
                self.engine.settle(receiver, &composed.message.id, &outcome, now);
                notices.push((composed.notice, outcome, arrived));
            }
        }
        super::shown::check(&self.engine);
        let output = self.engine.take_output();
        self.kept.record(&output);
        for alert in self.engine.state.alerts() {
            if let Some(event) = alert.event() {
                let period = self.period.get(&**alert.subject()).copied().unwrap_or_default();
                if let Entry::Vacant(new) = self.began_in.entry(event.to_string()) {
                    new.insert(period);
                    let name = alert.rule().kind.alertname.to_owned();
                    let key = (name, alert.subject().to_string(), alert.step().to_string());
                    let is_so =
                        !key.0.starts_with("ProxymeterUser") || truth(&self.read, now.wall).contains(&key);
                    assert!(is_so, "{key:?} fires by what this process has not read");
                }
            }
        }
        for (notice, outcome, arrived) in notices {
            self.receive(&notice, &outcome, arrived);
        }
        for Reread { users, .. } in output.reread {
            if self.random.bool() {
                self.read_by_name(users);
            }
        }
        self.forget_what_is_over();
    }

    fn silenced_are_not_told(&self, notice: &Notice, now: Moment) {
        let active = self.engine.active();
        for silence in
            active.silences.iter().filter(|silence| silence.state(now.wall) == SilenceState::Active)
        {
            let told = notice
                .alerts
                .iter()
                .find(|alert| silence.is_about(|name| alert.labels.get(name).unwrap_or_default()));
            assert!(told.is_none(), "{told:?} is silenced by {silence:?}");
        }
    }

    /// A week after a plan has ended, the end of its alerts sends no notification.
    fn forget_what_is_over(&mut self) {
        let now = self.now().wall;
        let users = Arc::clone(&self.panel.report.users);
        let is_over = |name: &str| {
            users.list().iter().any(|user| {
                let Expiry::At(end) = user.expiry else { return false };
                *user.name == *name && end.saturating_add(Duration::from_secs(7 * DAY)) <= now
            })
        };
        let known: BTreeSet<Key> = self
            .engine
            .state
            .alerts()
            .map(|alert| {
                let name = alert.rule().kind.alertname.to_owned();
                (name, alert.subject().to_string(), alert.step().to_string())
            })
            .collect();
        for believed in self.believed.values_mut() {
            believed.retain(|key, _| {
                known.contains(key) || !(key.0 == "ProxymeterUserExpiry" && is_over(&key.1))
            });
        }
    }

    fn receive(&mut self, notice: &Notice, outcome: &Outcome, arrived: bool) {
        self.notices += 1;
        assert!(!notice.alerts.is_empty());
        let receiver = &notice.receiver;
        let believed = self.believed.entry(receiver.clone()).or_default();
        for alert in &notice.alerts {
            let label = |name: &str| alert.labels.get(name).unwrap_or_default().to_owned();
            let key = (label("alertname"), label("subject"), label("step"));
            let of_receiver = (receiver.clone(), key.clone());
            let fires = alert.status == NoticeStatus::Firing;
            assert!(fires || self.perhaps.contains(&of_receiver), "{key:?} ended and was never told");
            if fires && key.0.starts_with("ProxymeterUser") {
                let event = (key.clone(), self.began_in[&alert.event]);
                let known = self.events.entry(event).or_insert_with(|| alert.event.clone());
                assert_eq!(*known, alert.event, "{key:?} was sent twice in one period");
            }
            if fires && (arrived || matches!(outcome, Outcome::Failed { may_have_arrived: true, .. })) {
                self.perhaps.insert(of_receiver.clone());
            }
            if arrived && fires {
                believed.insert(key, alert.event.clone());
            } else if arrived {
                believed.remove(&key);
            }
            match outcome {
                Outcome::GivenUp => drop(self.lost.insert(of_receiver)),
                Outcome::Taken => {
                    self.lost.remove(&of_receiver);
                    if !fires {
                        self.perhaps.remove(&of_receiver);
                    }
                }
                Outcome::Failed { .. } | Outcome::Untried => {}
            }
        }
    }

    fn read_by_name(&mut self, names: Vec<Arc<str>>) {
        self.panel.stop_who_may_not_go_on(self.now().wall);
        for name in names.iter().map(|name| name.to_string()) {
            match self.panel.users.get(&name) {
                Some(user) => drop(self.read.insert(name.clone(), user.clone())),
                None => drop(self.read.remove(&name)),
            }
            if let Some(changes) = self.changes.get(&name) {
                self.period.insert(name, *changes);
            }
        }
        self.panel.read_by_name(names, self.now());
    }

    fn crash(&mut self) {
        self.secs += self.random.u64(0..600);
        self.began = self.secs;
        let now = self.now();
        let newest = Arc::clone(&self.panel.report.users);
        let kept = [None, Some(newest), self.older.clone()][self.random.usize(0..3)].take();
        self.panel.forget_all_but(kept.as_deref(), now);
        self.read.clear();
        self.engine = Engine::new(&config(), self.routes.clone(), &self.kept.rows(), now).unwrap();
        // The list takes longer than all else.
        for _ in 0..self.random.u8(0..4) {
            self.panel.poll_cheap(self.now());
            let report = self.panel.report();
            self.observe(report);
            self.secs += self.random.u64(0..100);
        }
    }

    /// Polls in peace for long enough, and compares.
    fn settle(&mut self) {
        self.failing = 0;
        // What is shown has the newest silences after a tick.
        self.tick();
        let now = self.now();
        let lives = |silence: &&Arc<Silence>| silence.state(now.wall) != SilenceState::Expired;
        for silence in self.engine.active().silences.iter().filter(lives) {
            self.engine.change_silences(SilenceChange::Expire(Arc::clone(&silence.id)), now).unwrap();
        }
        for _ in 0..30 {
            self.secs += 30;
            self.poll();
        }
        let now = self.now().wall;
        let truth = truth(&self.panel.users, now);
        let alerts = &self.engine.active().list;
        let known = self.engine.state.alerts();
        let firing: BTreeMap<Key, bool> = known
            .filter(|alert| alert.status() != Some(NoticeStatus::Resolved))
            .map(|alert| {
                let name = alert.rule().kind.alertname.to_owned();
                ((name, alert.subject().to_string(), alert.step().to_string()), alert.held())
            })
            .collect();
        for key in &truth {
            assert!(firing.contains_key(key), "{key:?} should fire");
        }
        for (key, held) in &firing {
            assert!(*held || truth.contains(key), "{key:?} should not fire");
        }
        for route in &self.routes {
            let believed = self.believed.entry(route.receiver.clone()).or_default();
            let lost = |key: &Key| self.lost.contains(&(route.receiver.clone(), key.clone()));
            for key in believed.keys().filter(|key| !lost(key)) {
                assert!(firing.contains_key(key), "{} was not told that {key:?} ended", route.receiver);
            }
            for alert in alerts.iter().filter(|alert| alert.severity >= route.min_severity) {
                let key = (alert.alertname.to_owned(), alert.subject.to_string(), alert.step.to_string());
                let tighter = alerts.iter().any(|other| {
                    let same = other.alertname == alert.alertname && other.subject == alert.subject;
                    same && tightness(&other.step) > tightness(&alert.step)
                });
                // Its group may have been notified just before.
                let young = now.since(alert.active_since) < Duration::from_secs(600);
                let notified = tighter || young || lost(&key) || believed.contains_key(&key);
                assert!(notified, "{} was not notified of {key:?}", route.receiver);
            }
        }
    }
}

/// What becomes of a notice, and whether it arrives.
fn outcome(random: &mut fastrand::Rng, failing: u8) -> (Outcome, bool) {
    if random.u8(0..100) >= failing {
        return (Outcome::Taken, true);
    }
    let failed = |may_have_arrived| Outcome::Failed { may_have_arrived, done: Vec::new() };
    match random.u8(0..8) {
        0..3 => (failed(true), random.bool()),
        3..6 => (failed(false), false),
        6 => (Outcome::Untried, false),
        _ => (Outcome::GivenUp, false),
    }
}

/// What fires by the plain meaning of the rules.
fn truth(users: &BTreeMap<String, User>, now: Timestamp) -> BTreeSet<Key> {
    let mut truth = BTreeSet::new();
    for (name, user) in users {
        let mut add = |alertname: &str, step: &str| {
            truth.insert((alertname.to_owned(), name.clone(), step.to_owned()));
        };
        if let Expiry::At(end) = user.expiry {
            let left = (end.as_millis() - now.as_millis()) / 1000;
            let day = i64::try_from(DAY).unwrap();
            for (step, within) in [("7d", 7 * day), ("3d", 3 * day), ("1d", day), ("expired", 0)] {
                let looked_at = match user.status {
                    UserStatus::Active => !user.renews,
                    UserStatus::Expired => within == 0 && (!user.renews || left <= -600),
                    _ => false,
                };
                if looked_at && left <= within && left > -7 * day {
                    add("ProxymeterUserExpiry", step);
                }
            }
        }
        if let Some(limit) = user.limit {
            for (step, share) in [("80%", 80), ("95%", 95), ("100%", 100)] {
                let looked_at = match user.status {
                    UserStatus::Active => !user.renews,
                    UserStatus::Limited => share == 100 && !user.renews,
                    _ => false,
                };
                if looked_at && user.used * 100 >= limit * share {
                    add("ProxymeterUserQuota", step);
                }
            }
        }
    }
    truth
}

fn tightness(step: &str) -> usize {
    ["7d", "3d", "1d", "expired", "80%", "95%", "100%"].iter().position(|known| *known == step).unwrap_or(0)
}

#[test]
fn receivers_come_to_believe_what_is_true() {
    // For a long run: WALKS=100000 cargo test --release --lib receivers_come_to_believe
    let walks = std::env::var("WALKS").ok().and_then(|walks| walks.parse().ok()).unwrap_or(500);
    let mut notices = 0;
    for seed in 0..walks {
        let mut world = World::new(seed);
        for step in 1..=200 {
            world.step();
            if step % 50 == 0 {
                world.settle();
            }
        }
        notices += world.notices;
        // What is kept does not grow with history.
        world.panel.users.clear();
        world.settle();
        world.secs += HOUR;
        world.settle();
        let rows = world.kept.rows();
        assert!(rows.alerts.is_empty() && rows.groups.is_empty(), "seed {seed}: {rows:?}");
    }
    assert!(notices > 10_000, "{notices}: the walk must go where things happen");
}

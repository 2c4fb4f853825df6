//! After a restart users are known by a list that was kept, which may be older than the alerts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Bench, promises::node, route};
use crate::{
    alert::{
        config::{AlertingConfig, MuteConfig},
        testing::{DAY, HOUR, MINUTE, Panel, at, config},
    },
    model::{
        Fact, History, Moment, NodeStatus, NoticeAlert, NoticeStatus, Outcome, Part, Report, User, UserFacts,
        UserStatus, Users, WalkEnd,
    },
};

/// How the list of users is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Whole, with every poll.
    Fast,
    /// A user a minute.
    Slow,
}

/// Which list a start finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// That of the walk before the change: the process was killed.
    Older,
    /// The newest: the process was stopped.
    Newest,
    Nothing,
}

/// A panel that is polled every half minute.
struct World {
    bench: Bench,
    panel: Panel,
    pace: Pace,
    by_name: bool,
    /// Names that the present walk has read, and when it began.
    walk: (BTreeSet<Arc<str>>, Option<Moment>),
    secs: u64,
}

impl World {
    fn new(pace: Pace, by_name: bool) -> Self {
        let mut route = route("ops");
        route.group_by = vec!["alertname".into(), "subject".into()];
        let bench = Bench::with(config(), vec![route]);
        let mut panel = Panel::new("home");
        for other in 0..3 {
            panel.expires(&format!("other-{other}"), 2 * DAY);
        }
        World { bench, panel, pace, by_name, walk: (BTreeSet::new(), None), secs: 0 }
    }

    fn live(&mut self, time: u64) {
        let until = self.secs + time;
        while self.secs < until {
            let now = at(self.secs);
            self.panel.stop_who_may_not_go_on(now.wall);
            self.panel.poll_cheap(now);
            match self.pace {
                Pace::Fast => drop(self.panel.poll(now)),
                Pace::Slow if self.secs.is_multiple_of(60) => self.read_a_page(now),
                Pace::Slow => {}
            }
            self.observe();
            self.secs += 30;
        }
    }

    fn observe(&mut self) {
        let now = at(self.secs);
        self.bench.observe(&[self.panel.report()], now);
        let wanted = std::mem::take(&mut self.bench.reread);
        if self.by_name && !wanted.is_empty() {
            self.panel.read_by_name(wanted, now);
            self.bench.observe(&[self.panel.report()], now);
        }
        self.bench.pass(now, at(self.secs + 30));
    }

    fn read_a_page(&mut self, now: Moment) {
        let (seen, started) = &mut self.walk;
        let began = *started.get_or_insert(now);
        let next = self.panel.users.values().find(|user| !seen.contains(&user.name)).cloned();
        let known = self.panel.report.parts.get(&Part::Users).and_then(|state| state.last_success);
        self.panel.read(Part::Users, now);
        let state = self.panel.report.parts.get_mut(&Part::Users).unwrap();
        (state.round, state.stale_after) = (Duration::from_secs(600), Duration::from_secs(1800));
        if let Some(user) = next {
            state.last_success = known;
            if known.is_none() {
                state.outcome = Outcome::Pending;
            }
            seen.insert(Arc::clone(&user.name));
            let page = vec![User { read_at: now.wall, ..user }];
            self.panel.report.merge(Fact::Users(UserFacts::Page(page)), now);
        } else {
            let seen = std::mem::take(seen).into_iter().collect();
            *started = None;
            let end = WalkEnd { page: Vec::new(), seen, started: began, ..WalkEnd::default() };
            self.panel.report.merge(Fact::Users(UserFacts::WalkEnd(end)), now);
            let missing = self.panel.report.users.missing();
            self.panel.read_by_name(missing, now);
        }
    }

    /// The process ends and another begins after so many seconds. The panel's system answers, its list does not yet.
    fn restart(&mut self, kept: Option<&Users>, down: u64) {
        self.secs += down;
        let now = at(self.secs);
        self.bench.restart(now);
        self.panel.forget_all_but(kept, now);
        self.walk = (BTreeSet::new(), None);
        for _ in 0..4 {
            self.secs += 1;
            let now = at(self.secs);
            self.panel.poll_cheap(now);
            self.bench.observe(&[self.panel.report()], now);
            self.bench.tick(at(self.secs));
        }
        self.secs = self.secs.next_multiple_of(30);
    }

    /// Status, subject, step and reason of each alert in the notices since the last call.
    fn told(&mut self) -> Vec<String> {
        let told = self.bench.notices.drain(..).flat_map(|notice| notice.alerts);
        let mut told: Vec<_> = told
            .map(|alert| {
                let label = |name| alert.labels.get(name).unwrap_or_default();
                let reason = alert.annotations.get("reason").unwrap_or_default();
                let (subject, step) = (label("subject"), label("step"));
                format!("{:?} {subject} {step} {reason}", alert.status).trim().to_owned()
            })
            .collect();
        told.sort();
        told
    }
}

type Change = fn(&mut Panel);
type Sent = &'static [&'static str];

/// A user by the older list, by the newer one, and the alerts that are sent because of that.
const STORIES: [(&str, Change, Change, Sent); 12] = [
    ("uses", |p| p.uses("u", 50), |p| p.uses("u", 85), &["Firing u 80%"]),
    ("uses more", |p| p.uses("u", 85), |p| p.uses("u", 96), &["Firing u 95%"]),
    ("is used up", |p| p.uses("u", 96), |p| p.uses("u", 100), &["Firing u 100%"]),
    ("is created", |_| {}, |p| p.expires("u", 2 * DAY), &["Firing u 3d"]),
    ("is created with a quota", |_| {}, |p| p.uses("u", 96), &["Firing u 95%"]),
    ("ends sooner", |p| p.expires("u", 30 * DAY), |p| p.expires("u", 2 * DAY), &["Firing u 3d"]),
    ("expires", |p| p.expires("u", 40 * MINUTE), |p| p.expires("u", 20 * MINUTE), &["Firing u expired"]),
    ("is renewed", |p| p.expires("u", 2 * DAY), |p| p.expires("u", 60 * DAY), &["Resolved u 3d renewed"]),
    ("is reset", |p| p.uses("u", 96), |p| p.uses("u", 3), &["Resolved u 95% reset"]),
    (
        "is topped up",
        |p| p.uses("u", 85),
        |p| p.set("u", |user| user.limit = Some(200)),
        &["Resolved u 80% topped up"],
    ),
    ("is deleted", |p| p.expires("u", 2 * DAY), |p| drop(p.users.remove("u")), &["Resolved u 3d deleted"]),
    (
        "is disabled",
        |p| p.uses("u", 85),
        |p| p.set("u", |user| user.status = UserStatus::Disabled),
        &["Resolved u 80% disabled"],
    ),
];

/// One way in which a process ends and another begins.
#[derive(Clone, Copy, Debug)]
struct Restart {
    kept: Kept,
    pace: Pace,
    /// Whether users can be read by name.
    by_name: bool,
    /// Seconds from the newer walk to the end.
    after: u64,
    /// Seconds until the next process begins.
    down: u64,
}

fn restarts() -> Vec<Restart> {
    let mut restarts = Vec::new();
    for kept in [Kept::Older, Kept::Newest, Kept::Nothing] {
        for by_name in [true, false] {
            for down in [2, 1000] {
                let of_pace = |(pace, after)| Restart { kept, pace, by_name, after, down };
                let paces = [(Pace::Fast, 30), (Pace::Fast, 20 * MINUTE), (Pace::Slow, 20 * MINUTE)];
                restarts.extend(paces.map(of_pace));
            }
        }
    }
    restarts
}

/// Lives through a story: what a user is by the older list, by the newer one, and after the restart.
fn live_through(stories: [Change; 3], restart: Restart) -> (Vec<String>, World) {
    let mut world = World::new(restart.pace, restart.by_name);
    stories[0](&mut world.panel);
    drop(world.panel.poll(at(0)));
    world.live(10 * MINUTE);
    let older = Arc::clone(&world.panel.report.users);
    world.told();
    stories[1](&mut world.panel);
    world.live(restart.after);
    let newest = Arc::clone(&world.panel.report.users);
    stories[2](&mut world.panel);
    let kept = match restart.kept {
        Kept::Older => Some(&*older),
        Kept::Newest => Some(&*newest),
        Kept::Nothing => None,
    };
    world.restart(kept, restart.down);
    world.live(30 * MINUTE);
    let told = world.told();
    (told, world)
}

/// What is sent in a story, for each restart after which that is not `expected`.
fn wrongly_told(name: &str, story: [Change; 3], expected: &[&str], restarts: &[Restart]) -> Vec<String> {
    let mut wrong = Vec::new();
    for restart in restarts {
        let (told, world) = live_through(story, *restart);
        let mut alerts = world.bench.engine.state.alerts();
        if told != expected || alerts.any(|alert| alert.status() != Some(NoticeStatus::Firing)) {
            wrong.push(format!("{name}, {restart:?}: {told:?}"));
        }
    }
    wrong
}

/// Whichever list is kept, the same is sent as without a restart.
#[test]
fn a_restart_with_an_older_list_is_silent() {
    let restarts = restarts();
    let wrong: Vec<_> = STORIES
        .iter()
        .flat_map(|(name, before, change, told)| {
            wrongly_told(name, [*before, *change, |_| {}], told, &restarts)
        })
        .collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A user when the process ends and the alerts that are sent of that; a change while nothing runs, and the alerts that
/// are sent after the restart.
const CHANGES: [(&str, Change, Sent, Change, Sent); 7] = [
    (
        "deleted",
        |p| p.expires("u", 2 * DAY),
        &["Firing u 3d"],
        |p| drop(p.users.remove("u")),
        &["Resolved u 3d deleted"],
    ),
    (
        "renewed",
        |p| p.expires("u", 2 * DAY),
        &["Firing u 3d"],
        |p| p.expires("u", 60 * DAY),
        &["Resolved u 3d renewed"],
    ),
    ("reset", |p| p.uses("u", 96), &["Firing u 95%"], |p| p.uses("u", 3), &["Resolved u 95% reset"]),
    ("used more", |p| p.uses("u", 85), &["Firing u 80%"], |p| p.uses("u", 96), &["Firing u 95%"]),
    ("used", |p| p.uses("u", 50), &[], |p| p.uses("u", 85), &["Firing u 80%"]),
    ("created", |_| {}, &[], |p| p.expires("u", 2 * DAY), &["Firing u 3d"]),
    ("ended", |p| p.expires("u", 30 * DAY), &[], |p| p.expires("u", 9 * MINUTE), &["Firing u expired"]),
];

#[test]
fn what_changed_while_nothing_ran_is_sent_once() {
    let restarts = restarts();
    let long_after: Vec<_> = restarts.iter().filter(|restart| restart.after > 60).copied().collect();
    let mut wrong = Vec::new();
    for (name, before, known, change, told) in CHANGES {
        wrong.extend(wrongly_told(name, [before, |_| {}, change], told, &restarts));
        let all: Vec<_> = known.iter().chain(told).copied().collect();
        wrong.extend(wrongly_told(name, [|_| {}, before, change], &all, &long_after));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rows_without_a_time_of_reading_end_by_nothing_that_was_read_before_the_start() {
    let mut world = World::new(Pace::Fast, true);
    world.panel.uses("u", 50);
    world.live(MINUTE);
    let older = Arc::clone(&world.panel.report.users);
    world.panel.uses("u", 85);
    world.panel.expires("new", 2 * DAY);
    world.live(10 * MINUTE);
    world.told();
    for row in world.bench.kept.alerts.values_mut() {
        let mut fields: serde_json::Value = serde_json::from_str(row).unwrap();
        fields.as_object_mut().unwrap().remove("read_at").unwrap();
        *row = fields.to_string();
    }
    world.restart(Some(&older), 2);
    assert!(world.bench.kept.alerts.values().all(|row| row.contains("read_at")), "they have one from now on");
    world.live(10 * MINUTE);
    assert_eq!(world.told(), [""; 0]);
    world.panel.uses("u", 3);
    world.panel.users.remove("new");
    world.live(10 * MINUTE);
    assert_eq!(world.told(), ["Resolved new 3d deleted", "Resolved u 80% reset"]);
}

#[test]
fn a_clock_that_is_set_back_holds_no_end_up() {
    let back = |secs| Moment { wall: at(secs).wall.saturating_add_millis(-7_200_000), ..at(secs) };
    for restarted in [false, true] {
        let mut bench = Bench::new();
        let mut panel = Panel::new("home");
        panel.uses("reset", 96);
        panel.expires("renewed", 2 * DAY);
        panel.expires("gone", 2 * DAY);
        panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error)]);
        bench.poll_for(&mut panel, 0, 10 * MINUTE);
        assert_eq!(bench.said().len(), 3);
        let known = Arc::clone(&panel.report.users);
        if restarted {
            bench.restart(back(10 * MINUTE));
        }
        // Nothing was read since.
        for secs in [10 * MINUTE, 11 * MINUTE] {
            panel.poll_cheap(back(secs));
            let report = panel.report();
            bench.observe(&[report], back(secs));
        }
        assert!(Arc::ptr_eq(&known, &panel.report.users));
        panel.uses("reset", 3);
        panel.expires("renewed", 60 * DAY);
        panel.users.remove("gone");
        panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Connected)]);
        for secs in (12 * MINUTE..30 * MINUTE).step_by(30) {
            let report = panel.poll(back(secs));
            bench.observe(&[report], back(secs));
            bench.pass(back(secs), back(secs + 30));
        }
        let ended: Vec<_> = bench.said().into_iter().flat_map(|(_, _, alerts)| alerts).collect();
        assert_eq!(ended, ["-gone 3d", "-renewed 3d", "-n1", "-reset 95%"], "{restarted}");
    }
}

#[test]
fn what_is_restored_of_a_target_neither_fires_nor_ends_an_alert() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Connected), node("n2", NodeStatus::Error)]);
    panel.poll_cheap(at(0));
    let older = panel.report.clone();
    panel.report.nodes = Arc::new(vec![
        node("n1", NodeStatus::Error),
        node("n2", NodeStatus::Connected),
        node("n3", NodeStatus::Error),
    ]);
    bench.poll_for(&mut panel, 30, 5 * MINUTE);
    assert_eq!(bench.said().len(), 1);
    bench.restart(at(5 * MINUTE));
    let read = panel.report.nodes;
    panel.report = Report { history: History::default(), ..older };
    for secs in (5 * MINUTE..9 * MINUTE).step_by(30) {
        panel.read(Part::System, at(secs));
        let report = panel.report();
        bench.observe(&[report], at(secs));
        bench.pass(at(secs), at(secs + 30));
    }
    assert_eq!(bench.said(), []);
    panel.report.nodes = read;
    bench.poll_for(&mut panel, 9 * MINUTE, 30 * MINUTE);
    assert_eq!(bench.said(), []);
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Connected)]);
    bench.poll_for(&mut panel, 30 * MINUTE, 40 * MINUTE);
    let told: Vec<_> = bench.said().into_iter().flat_map(|(_, _, alerts)| alerts).collect();
    assert_eq!(told, ["-n1", "-n3", "n1"]);
}

#[test]
fn a_start_with_a_kept_list_adopts_what_its_first_walk_finds() {
    for (adopt, told) in [(true, 0), (false, 3)] {
        let mut world = World::new(Pace::Slow, false);
        drop(world.panel.poll(at(0)));
        let older = Arc::clone(&world.panel.report.users);
        for user in 0..3 {
            world.panel.uses(&format!("u{user}"), 85);
        }
        world.bench.config.adopt = adopt;
        world.restart(Some(&older), 1000);
        world.live(20 * MINUTE);
        let quotas = |world: &mut World| world.told().iter().filter(|told| told.contains('%')).count();
        assert_eq!(quotas(&mut world), told);
        world.panel.uses("late", 85);
        world.live(20 * MINUTE);
        assert_eq!(quotas(&mut world), 1);
    }
}

#[test]
fn a_target_that_is_another_system_begins_again() {
    for restarts in [false, true] {
        let mut route = route("ops");
        route.group_by = vec!["subject".into()];
        let mut bench = Bench::with(config(), vec![route]);
        let mut panel = Panel::new("home");
        panel.report.source = "first".into();
        panel.expires("alice", 2 * DAY);
        panel.expires("bob", 2 * DAY);
        bench.poll_for(&mut panel, 0, 10 * MINUTE);
        let events = |bench: &mut Bench, status| {
            let alerts = bench.notices.iter().flat_map(|notice| &notice.alerts);
            let mut events: Vec<_> = alerts
                .filter(|alert| alert.status == status)
                .map(|alert| (alert.labels["subject"].to_owned(), alert.event.clone()))
                .collect();
            events.sort();
            events
        };
        let first = events(&mut bench, NoticeStatus::Firing);
        assert_eq!(first.len(), 2);
        bench.notices.clear();
        if restarts {
            bench.restart(at(10 * MINUTE));
        }
        // Of the second nothing is known yet, and then there is another user of the same name.
        let mut other = Panel::new("home");
        other.report.source = "second".into();
        bench.observe(&[other.report()], at(10 * MINUTE));
        assert_eq!(bench.engine.active().list, []);
        other.expires("alice", 2 * DAY);
        bench.poll_for(&mut other, 10 * MINUTE, 40 * MINUTE);
        assert_eq!(events(&mut bench, NoticeStatus::Resolved), first, "restarts {restarts}");
        let reasons = bench.notices.iter().flat_map(|notice| &notice.alerts);
        let mut reasons = reasons.filter_map(|alert| alert.annotations.get("reason"));
        assert!(reasons.all(|reason| reason == "target replaced"));
        let second = events(&mut bench, NoticeStatus::Firing);
        assert_eq!(second.len(), 1, "restarts {restarts}: {:#?}", bench.notices);
        assert_eq!(second[0].0, "alice");
        assert_ne!(second[0].1, first[0].1);
        bench.notices.clear();
        // It stays the same from then on.
        bench.restart(at(40 * MINUTE));
        bench.poll_for(&mut other, 40 * MINUTE, 60 * MINUTE);
        assert_eq!(bench.notices.len(), 0);
    }
}

/// Each message holds the alerts of one subject.
fn by_subject(config: AlertingConfig) -> Bench {
    let mut route = route("ops");
    route.group_by = vec!["subject".into()];
    Bench::with(config, vec![route])
}

/// Subject, status, event and reason of each alert in the notices since the last call.
fn sent(bench: &mut Bench) -> Vec<(String, NoticeStatus, String, Option<String>)> {
    let alerts = bench.notices.drain(..).flat_map(|notice| notice.alerts);
    let alert = |alert: Arc<NoticeAlert>| {
        let subject = alert.labels.get("subject").unwrap_or_default().to_owned();
        let reason = alert.annotations.get("reason").map(str::to_owned);
        (subject, alert.status, alert.event.clone(), reason)
    };
    alerts.map(alert).collect()
}

fn of_source(source: &str) -> Panel {
    let mut panel = Panel::new("home");
    panel.report.source = source.into();
    panel
}

/// The end of the former system's alert waits for its group's interval, or for hours for the end of a mute window.
#[test]
fn a_restart_before_an_end_is_sent_keeps_the_alerts_of_the_new_system() {
    let until_two = MuteConfig {
        days: Vec::new(),
        hours: Some((11 * 60 + 8, 14 * 60)),
        zone: "UTC".into(),
        matchers: BTreeMap::from([("subject".to_owned(), "alice".to_owned())]),
        below: None,
    };
    for (mutes, restarts) in [
        (BTreeMap::new(), [180, 240]),
        (BTreeMap::from([("until_two".to_owned(), until_two)]), [180, 2 * HOUR]),
    ] {
        let muted = !mutes.is_empty();
        let mut bench = by_subject(AlertingConfig { mutes, ..config() });
        let mut first = of_source("first");
        first.expires("alice", 2 * DAY);
        bench.poll_for(&mut first, 0, 60);
        let mut second = of_source("second");
        second.expires("bob", 2 * DAY);
        bench.poll_for(&mut second, 60, restarts[0]);
        let told = sent(&mut bench);
        let [(_, _, alice, _), (subject, ..)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(subject, "bob");
        bench.restart(at(restarts[0]));
        bench.poll_for(&mut second, restarts[0], restarts[1]);
        assert_eq!(sent(&mut bench), [], "muted {muted}");
        bench.restart(at(restarts[1]));
        bench.poll_for(&mut second, restarts[1], 4 * HOUR);
        let reason = Some("target replaced".to_owned());
        let ended = ("alice".to_owned(), NoticeStatus::Resolved, alice.clone(), reason);
        assert_eq!(sent(&mut bench), [ended], "muted {muted}");
    }
}

#[test]
fn an_alert_that_ended_does_not_go_on_at_another_system() {
    for restarts in [false, true] {
        let mut bench = by_subject(config());
        let mut first = of_source("first");
        first.expires("alice", 2 * DAY);
        bench.poll_for(&mut first, 0, 60);
        first.set("alice", |user| user.status = UserStatus::Disabled);
        bench.poll_for(&mut first, 60, 120);
        if restarts {
            bench.restart(at(120));
        }
        let mut second = of_source("second");
        second.expires("alice", 2 * DAY);
        bench.poll_for(&mut second, 120, HOUR);
        let told = sent(&mut bench);
        let told: Vec<_> = told.iter().map(|(_, status, event, reason)| (*status, event, reason)).collect();
        let [(NoticeStatus::Firing, before, _), ended, (NoticeStatus::Firing, after, _)] = told.as_slice()
        else {
            panic!("restarts {restarts}: {told:?}")
        };
        assert_eq!(*ended, (NoticeStatus::Resolved, *before, &Some("disabled".to_owned())));
        assert_ne!(before, after);
    }
}

#[test]
fn a_target_that_is_soon_the_former_system_again_sends_nothing() {
    for restarts in [false, true] {
        let mut bench = by_subject(config());
        let mut first = of_source("first");
        first.expires("alice", 2 * DAY);
        bench.poll_for(&mut first, 0, 60);
        assert_eq!(sent(&mut bench).len(), 1);
        bench.poll_for(&mut of_source("second"), 60, 120);
        if restarts {
            bench.restart(at(120));
        }
        bench.poll_for(&mut first, 120, HOUR);
        assert_eq!(sent(&mut bench), [], "restarts {restarts}");
    }
}

#[test]
fn rows_without_a_source_get_that_of_the_first_look_and_are_written_once() {
    let mut bench = by_subject(config());
    let mut first = of_source("first");
    first.expires("alice", 2 * DAY);
    bench.poll_for(&mut first, 0, 10 * MINUTE);
    let [(_, _, event, _)] = sent(&mut bench).try_into().unwrap();
    for row in bench.kept.alerts.values_mut() {
        let mut fields: serde_json::Value = serde_json::from_str(row).unwrap();
        fields.as_object_mut().unwrap().remove("source").unwrap();
        *row = fields.to_string();
    }
    bench.restart(at(10 * MINUTE));
    // Its users are not read yet.
    first.forget_all_but(None, at(10 * MINUTE));
    first.report.source = "first".into();
    bench.observe(&[first.report()], at(10 * MINUTE));
    assert!(
        bench.kept.alerts.values().all(|row| row.contains(r#""source":"first""#)),
        "{:?}",
        bench.kept.alerts
    );
    for secs in [11 * MINUTE, 12 * MINUTE] {
        bench.engine.observe_reports(&[first.poll(at(secs))], at(secs));
        bench.engine.tick(at(secs));
        assert_eq!(bench.engine.take_output().alerts, []);
    }
    bench.restart(at(13 * MINUTE));
    bench.poll_for(&mut of_source("second"), 13 * MINUTE, HOUR);
    let ended = ("alice".to_owned(), NoticeStatus::Resolved, event, Some("target replaced".to_owned()));
    assert_eq!(sent(&mut bench), [ended]);
}

//! A week of a large panel: how many messages receivers get, and how large they are, with and without a digest.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use crate::{
    alert::{
        digest::{self, DigestTime, Tops},
        engine::{Engine, Rows},
        group::{Composed, Outcome, Pick, Route, Size},
        testing::{BEGIN, Panel, at, config},
    },
    model::{Expiry, Moment, Node, NodeStatus, Notice, Timestamp, User, UserStatus},
    notify::sizes,
    wording::{Language, Voice},
};

const DAY: Duration = Duration::from_secs(86_400);
const PLAN: Duration = Duration::from_secs(30 * 86_400);
const GIB: u64 = 1 << 30;
const LIMIT: u64 = 100 * GIB;

/// What a user does in each plan.
struct Habit {
    /// Bytes in a day.
    a_day: u64,
    /// Renews so long before or after the end; absent: leaves.
    renews: Option<i64>,
}

struct Panel20k {
    panel: Panel,
    habits: BTreeMap<String, Habit>,
    random: fastrand::Rng,
    added: usize,
}

impl Panel20k {
    fn new(users: usize, now: Timestamp) -> Self {
        let mut all = Panel20k {
            panel: Panel::new("home"),
            habits: BTreeMap::new(),
            random: fastrand::Rng::with_seed(7),
            added: 0,
        };
        let labels = ["DE-1", "NL-1", "FI-1", "TR-1"];
        all.panel.report.nodes =
            labels.map(|label| Node::named(label, NodeStatus::Connected)).to_vec().into();
        for _ in 0..users {
            // Somewhere in the plan.
            let left = Duration::from_secs(all.random.u64(0..PLAN.as_secs()));
            all.add(now.saturating_add(left), now);
        }
        all
    }

    fn add(&mut self, end: Timestamp, now: Timestamp) {
        let name = format!("user{:05}", self.added);
        self.added += 1;
        // A tenth uses up the quota, and a fifth gets near it.
        let share = self.random.u64(5..105);
        let a_day = LIMIT / 100 * share / 30;
        let renews = match self.random.u8(..10) {
            0..6 => Some(-self.random.i64(0..3 * 86_400)),
            6..9 => Some(self.random.i64(0..2 * 86_400)),
            _ => None,
        };
        let used = a_day * (PLAN.saturating_sub(end.since(now)).as_secs() / 86_400);
        let user = User { used, limit: Some(LIMIT), expiry: Expiry::At(end), ..User::named(&name) };
        self.panel.users.insert(name.clone(), user);
        self.habits.insert(name, Habit { a_day, renews });
    }

    /// What happens in five minutes.
    fn live(&mut self, now: Timestamp) {
        let mut left = Vec::new();
        for (name, user) in &mut self.panel.users {
            let (Expiry::At(end), habit) = (user.expiry, &self.habits[name]) else { continue };
            if user.status == UserStatus::Active {
                user.used += habit.a_day / 288;
            }
            match habit.renews {
                Some(after) if now >= end.saturating_add_millis(after * 1000) => {
                    (user.used, user.expiry) = (0, Expiry::At(end.max(now).saturating_add(PLAN)));
                }
                None if now.since(end) > 3 * DAY => left.push(name.clone()),
                Some(_) | None => {}
            }
        }
        for name in left {
            self.panel.users.remove(&name);
            self.add(now.saturating_add(PLAN), now);
        }
        self.panel.stop_who_may_not_go_on(now);
    }
}

#[derive(Default)]
struct Figures {
    messages: usize,
    digests: usize,
    /// Of mail, of the body of a webhook, and of the text of a chat.
    bytes: [usize; 3],
}

/// Of a receiver, by day.
type ByDay = BTreeMap<u64, Figures>;

fn route(receiver: &str, digest: Option<DigestTime>) -> Route {
    let voice = Voice { alone: false, ..Voice::new(Language::En, TimeZone::UTC, "") };
    let group_by = vec!["target".into(), "alertname".into()];
    let group_wait = Duration::from_secs(30);
    Route { group_by, group_wait, voice, digest, ..super::bench::route(receiver) }
}

/// Sends everything that is to be said, as receivers would that take all at once.
fn tell(engine: &mut Engine, routes: &[Route], now: Moment, mut sent: impl FnMut(usize, &Notice)) {
    engine.tick(now);
    for (place, route) in routes.iter().enumerate() {
        let size = Size::default();
        while let Some(Composed { notice, .. }) = engine.next(&route.receiver, Pick::Urgent, size, None, now)
        {
            sent(place, &notice);
            engine.settle(&route.receiver, &notice.id, &Outcome::Taken, now);
        }
    }
    drop(engine.take_output());
}

#[test]
#[ignore = "takes minutes and prints a table"]
fn messages_of_a_week() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (users, days) = (number("USERS", 20_000), number("DAYS", 7));
    let daily = DigestTime { at: 9 * 60, zone: TimeZone::UTC, empty: false, top: 0 };
    let routes = [route("off", None), route("on", Some(daily.clone()))];
    let mut engine = Engine::new(&config(), routes.to_vec(), &Rows::default(), at(0)).unwrap();
    let mut all = Panel20k::new(usize::try_from(users).unwrap(), BEGIN);
    let mut by_day: [ByDay; 2] = <[ByDay; 2]>::default();
    let mut count = |receiver: usize, notice: &Notice, secs: u64| {
        // The first messages are of everything that fires at the start.
        if secs < 600 {
            return;
        }
        let figures = by_day[receiver].entry(secs / DAY.as_secs()).or_default();
        figures.messages += 1;
        figures.digests += usize::from(notice.digest.is_some());
        for (sum, bytes) in figures.bytes.iter_mut().zip(sizes(notice, &routes[receiver].voice)) {
            *sum += bytes;
        }
    };
    let mut covered = BEGIN;
    for secs in (0..days * DAY.as_secs()).step_by(300) {
        let now = at(secs);
        all.live(now.wall);
        let minute = secs / 60;
        // An outage of ten minutes a day, and one of four hours in the week.
        let nodes = Arc::make_mut(&mut all.panel.report.nodes);
        nodes[0].status = if minute % 1440 < 10 { NodeStatus::Error } else { NodeStatus::Connected };
        nodes[1].status = if minute % 10_080 < 240 { NodeStatus::Error } else { NodeStatus::Connected };
        all.panel.report.journal.keep(Some(covered), now);
        let report = all.panel.poll(now);
        drop(all.panel.report.journal.take_changes());
        engine.observe_reports(&[report], now);
        for now in [now, now.after(Duration::from_secs(30))] {
            tell(&mut engine, &routes, now, |receiver, notice| count(receiver, notice, secs));
        }
        if let Some(due) = daily.after(covered).filter(|due| *due <= now.wall) {
            let found = engine.digest(("on", &Tops::default()), covered, None, now);
            count(1, &digest::notice(("on", &routes[1].voice), &found, due, covered, now.wall), secs);
            covered = now.wall;
        }
    }
    eprintln!("{users} users, {days} days");
    for (by_day, Route { receiver, .. }) in by_day.into_iter().zip(&routes) {
        eprintln!("digest {receiver}: day | messages | digests | bytes of mail | of webhook | of chat");
        for (day, Figures { messages, digests, bytes: [mail, webhook, chat] }) in by_day {
            eprintln!("  {} | {messages} | {digests} | {mail} | {webhook} | {chat}", day + 1);
        }
    }
}

//! A week of a large panel: how many messages receivers get, and how large they are, with and without a digest.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::bench::{Bench, MINUTE, Sent};
use crate::{
    alert::{config::RuleConfig, digest::DigestTime, testing::Panel},
    model::{Expiry, Node, NodeStatus, Timestamp, User, UserStatus},
    notify::sizes,
};

const DAY: Duration = Duration::from_secs(86_400);
const PLAN: Duration = Duration::from_secs(30 * 86_400);
const GIB: u64 = 1 << 30;
const LIMIT: u64 = 100 * GIB;

/// Without and with a digest.
const RECEIVERS: [&str; 2] = ["off", "on"];

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
    bytes: [usize; 3],
}

#[tokio::test(start_paused = true)]
#[ignore = "takes minutes and prints a table"]
async fn messages_of_a_week() {
    let users = std::env::var("USERS").map_or(20_000, |users| users.parse().unwrap());
    let days: u32 = std::env::var("DAYS").map_or(7, |days| days.parse().unwrap());
    let mut bench = Bench::new(&RECEIVERS);
    for rule in ["user_expiry", "node_down", "target_down"] {
        bench.config.rules.insert(rule.into(), RuleConfig::default());
    }
    for route in &mut bench.routes {
        route.group_by = vec!["target".into(), "alertname".into()];
        route.group_wait = Duration::from_secs(30);
        route.voice.with_target = false;
    }
    bench.routes[1].digest = Some(DigestTime { at: 9 * 60, zone: TimeZone::UTC, empty: false });
    let mut all = Panel20k::new(users, bench.wall(Duration::ZERO));
    // What fires already is another matter.
    bench.config.adopt = true;
    bench.start();
    let voice = bench.routes[0].voice.clone();
    let mut by_day: [BTreeMap<u64, Figures>; 2] = Default::default();
    let mut next = Duration::ZERO;
    while bench.at() < DAY * days {
        let now = bench.process().clock.now();
        all.live(now.wall);
        let minute = now.wall.as_secs() / 60;
        // An outage of about ten minutes a day, and one of four hours in the week.
        let nodes = Arc::make_mut(&mut all.panel.report.nodes);
        nodes[0].status = if minute % 1440 < 10 { NodeStatus::Error } else { NodeStatus::Connected };
        nodes[1].status = if minute % 10_080 < 240 { NodeStatus::Error } else { NodeStatus::Connected };
        let digested = bench.process().board.view().own.digested;
        all.panel.report.journal.keep(digested, now);
        let report = all.panel.poll(now);
        bench.process().board.publish(Arc::unwrap_or_clone(report));
        drop(all.panel.report.journal.take_changes());
        next += 5 * MINUTE;
        let rest = next.saturating_sub(bench.at());
        bench.pass(rest).await;
        for (by_day, receiver) in by_day.iter_mut().zip(RECEIVERS) {
            for Sent { notice, at, .. } in bench.take_sent(receiver) {
                let figures = by_day.entry(at.as_secs() / DAY.as_secs()).or_default();
                figures.messages += 1;
                figures.digests += usize::from(notice.digest.is_some());
                for (sum, bytes) in figures.bytes.iter_mut().zip(sizes(&notice, &voice)) {
                    *sum += bytes;
                }
            }
        }
    }
    eprintln!("{users} users, {days} days");
    for (by_day, receiver) in by_day.into_iter().zip(RECEIVERS) {
        eprintln!("digest {receiver}: day | messages | digests | bytes of mail | of webhook | of chat");
        for (day, Figures { messages, digests, bytes: [mail, webhook, chat] }) in by_day {
            eprintln!("  {} | {messages} | {digests} | {mail} | {webhook} | {chat}", day + 1);
        }
    }
}

use std::{sync::Arc, time::Duration};

use super::{Bench, route};
use crate::{
    alert::{
        engine::Engine,
        finding::findings,
        group::{Outcome, Pick, Route, Size},
        rule::Rules,
        testing::{DAY, HOUR, MINUTE, Panel, at, config},
    },
    model::{Node, NodeStatus, UserStatus},
};

#[test]
fn ten_thousand_plans_that_end_in_one_poll_are_one_message_for_each_receiver() {
    let mut bench = Bench::with(config(), vec![route("mail"), route("hook")]);
    let mut panel = Panel::new("home");
    for user in 0..10_000 {
        panel.expires(&format!("u{user:05}"), 40 * DAY);
    }
    bench.poll_for(&mut panel, 0, 2 * MINUTE);
    assert!(bench.notices.is_empty());
    for user in panel.users.values_mut() {
        user.expiry = crate::model::Expiry::At(at(0).wall);
        user.status = UserStatus::Expired;
    }
    bench.poll_for(&mut panel, 2 * MINUTE, 4 * MINUTE);
    let mut told: Vec<_> = bench.notices.iter().map(|n| (n.receiver.as_str(), n.alerts.len())).collect();
    told.sort_unstable();
    assert_eq!(told, [("hook", 10_000), ("mail", 10_000)]);
    bench.notices.clear();
    // Neither a second poll nor a restart says more.
    bench.poll_for(&mut panel, 4 * MINUTE, 5 * MINUTE);
    bench.restart(at(5 * MINUTE));
    bench.poll_for(&mut panel, 5 * MINUTE, 15 * MINUTE);
    assert!(bench.notices.is_empty());
}

#[test]
fn a_hundred_reloads_and_restarts_say_nothing_and_repeats_go_on() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.report.nodes = Arc::new(vec![Node::named("n1", NodeStatus::Error)]);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.names(), [("ProxymeterNodeDown".to_owned(), 1)]);
    for round in 0..240 {
        let from = 10 * MINUTE + round * 10 * MINUTE;
        bench.restart(at(from));
        bench.poll_for(&mut panel, from, from + MINUTE);
    }
    // A day has passed since it was sent, despite all restarts.
    let times: Vec<_> =
        bench.notices.iter().map(|n| n.created_at.since(at(0).wall).as_secs() / HOUR).collect();
    assert_eq!(times, [24]);
    assert_eq!(bench.notices[0].reason, "repeat interval elapsed");
}

/// Fifty thousand users are judged within a fraction of the second that the board is looked at.
#[test]
fn fifty_thousand_users_are_cheap() {
    let mut panel = Panel::new("home");
    for user in 0..50_000_u64 {
        let name = format!("u{user:05}");
        panel.expires(&name, user * 200);
        panel.uses(&name, user % 100);
    }
    let report = panel.poll(at(DAY));
    let rules = Rules::new(&config()).unwrap();
    let mut bench = Bench::new();
    bench.observe(&[Arc::clone(&report)], at(DAY));
    let began = tokio::time::Instant::now();
    let found = findings(&rules, &report, at(DAY));
    let judged = began.elapsed();
    let began = tokio::time::Instant::now();
    for _ in 0..10 {
        bench.engine.state.advance(&found, at(DAY));
    }
    let advanced = began.elapsed() / 10;
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 100 });
    assert!(judged + advanced < limit, "{judged:?} and {advanced:?}");
}

#[test]
fn a_group_waits_for_every_message_that_a_reload_puts_into_it() {
    let by = |label: &str| vec![Route { group_by: vec![label.into()], ..route("ops") }];
    let mut bench = Bench::with(config(), by("subject"));
    let mut panel = Panel::new("home");
    bench.poll_for(&mut panel, 0, MINUTE);
    panel.uses("ann", 85);
    panel.uses("bob", 85);
    for secs in [MINUTE, MINUTE + 30, 2 * MINUTE] {
        bench.engine.observe_reports(&[panel.poll(at(secs))], at(secs));
        bench.engine.tick(at(secs));
    }
    let next = |engine: &mut Engine, now| engine.next("ops", Pick::Urgent, Size::default(), None, at(now));
    let now = 2 * MINUTE;
    let [first, second] = [(); 2].map(|()| next(&mut bench.engine, now).unwrap().message.id);
    bench.engine.reconfigure(&bench.config, by("alertname"), at(now)).unwrap();
    let failed = Outcome::Failed { may_have_arrived: false, done: Vec::new() };
    bench.engine.settle("ops", &first, &failed, at(now));
    bench.engine.tick(at(now));
    assert!(next(&mut bench.engine, now).is_none());
    bench.engine.settle("ops", &second, &Outcome::Untried, at(now));
    bench.engine.tick(at(now));
    assert_eq!(next(&mut bench.engine, now).unwrap().notice.alerts.len(), 2);
}

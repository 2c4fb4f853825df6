use crate::wording::Voice;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Bench, route};
use crate::{
    alert::{
        config::{AlertingConfig, MuteConfig, RuleConfig},
        engine::{Engine, Rows},
        testing::{BEGIN, DAY, HOUR, MINUTE, Panel, at, config},
    },
    model::{
        AlertState, Expiry, Moment, Node, NodeStatus, NoticeStatus, Part, Severity, Timestamp, UserStatus,
    },
};

fn rule(name: &str, change: impl FnOnce(&mut RuleConfig)) -> AlertingConfig {
    let mut rule = RuleConfig::default();
    change(&mut rule);
    AlertingConfig { rules: BTreeMap::from([(name.to_owned(), rule)]), ..config() }
}

fn said(notices: &[(&str, &str, &[&str])]) -> Vec<(String, String, Vec<String>)> {
    let told = notices.iter().map(|(receiver, reason, alerts)| {
        let alerts = alerts.iter().map(|alert| (*alert).to_owned()).collect();
        ((*receiver).to_owned(), (*reason).to_owned(), alerts)
    });
    told.collect()
}

const FIRST: &str = "first notification";
const NEW: &str = "new alerts added";
const ALL: &str = "all alerts resolved";
const SOME: &str = "some alerts resolved";
const REPEAT: &str = "repeat interval elapsed";

#[test]
fn each_threshold_is_told_once_however_often_the_panel_is_polled_and_the_process_restarted() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 8 * DAY);
    panel.uses("bob", 96);
    for poll in 0..10_000 {
        let secs = poll * 100;
        if secs == 8 * DAY {
            panel.set("alice", |user| user.status = UserStatus::Expired);
        }
        if poll % 100 == 99 {
            bench.restart(at(secs));
        }
        let report = panel.poll(at(secs));
        bench.observe(&[report], at(secs));
        bench.pass(at(secs), at(secs + 100));
    }
    let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for alert in bench.notices.iter().flat_map(|notice| &notice.alerts) {
        assert_eq!(alert.status, NoticeStatus::Firing);
        let of_step =
            events.entry(format!("{} {}", &alert.labels["subject"], &alert.labels["step"])).or_default();
        if !of_step.contains(&alert.event) {
            of_step.push(alert.event.clone());
        }
    }
    let told: Vec<_> = events.iter().map(|(alert, events)| (alert.as_str(), events.len())).collect();
    assert_eq!(
        told,
        [("alice 1d", 1), ("alice 3d", 1), ("alice 7d", 1), ("alice expired", 1), ("bob 95%", 1)]
    );
    assert_eq!(bench.notices.len(), 5);
}

#[test]
fn thresholds_that_were_skipped_are_not_told() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    panel.uses("alice", 99);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["alice 3d"]), ("ops", FIRST, &["alice 95%"])]));
}

#[test]
fn a_renewal_resolves_and_re_arms_all_thresholds() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 3 * DAY + HOUR);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    bench.poll_for(&mut panel, 2 * HOUR, 3 * HOUR);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["alice 7d"]), ("ops", NEW, &["alice 3d"])]));
    panel.expires("alice", 30 * DAY);
    bench.poll_for(&mut panel, 3 * HOUR, 4 * HOUR);
    assert_eq!(&bench.notices[0].alerts[0].annotations["reason"], "renewed");
    assert_eq!(bench.said(), said(&[("ops", ALL, &["-alice 3d", "-alice 7d"])]));
    panel.expires("alice", 6 * DAY);
    bench.poll_for(&mut panel, 4 * HOUR, 5 * HOUR);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["alice 7d"])]));
    // Renewed by a little: what is still crossed is another episode.
    panel.expires("alice", 2 * DAY);
    bench.poll_for(&mut panel, 5 * HOUR, 6 * HOUR);
    panel.expires("alice", 4 * DAY);
    bench.poll_for(&mut panel, 6 * HOUR, 7 * HOUR);
    assert_eq!(bench.said(), said(&[("ops", NEW, &["-alice 3d", "alice 7d"]), ("ops", NEW, &["alice 3d"])]));
}

#[test]
fn a_quota_period_ends_when_usage_falls_or_the_limit_changes() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    let reason = |bench: &mut Bench, panel: &mut Panel, from: u64| {
        bench.poll_for(panel, from, from + HOUR);
        let reasons = bench.notices.iter().flat_map(|notice| &notice.alerts);
        let reasons: Vec<_> =
            reasons.filter_map(|alert| alert.annotations.get("reason").map(str::to_owned)).collect();
        (reasons, bench.said())
    };
    panel.uses("bob", 96);
    assert_eq!(reason(&mut bench, &mut panel, 0).1, said(&[("ops", FIRST, &["bob 95%"])]));
    panel.uses("bob", 3);
    assert_eq!(
        reason(&mut bench, &mut panel, HOUR),
        (vec!["reset".to_owned()], said(&[("ops", ALL, &["-bob 95%"])]))
    );
    panel.uses("bob", 85);
    assert_eq!(reason(&mut bench, &mut panel, 2 * HOUR).1, said(&[("ops", FIRST, &["bob 80%"])]));
    panel.set("bob", |user| (user.used, user.limit) = (85, Some(105)));
    assert_eq!(reason(&mut bench, &mut panel, 3 * HOUR).1, said(&[("ops", NEW, &["bob 80%"])]));
    panel.set("bob", |user| (user.used, user.limit) = (85, Some(200)));
    assert_eq!(
        reason(&mut bench, &mut panel, 4 * HOUR),
        (vec!["topped up".to_owned()], said(&[("ops", ALL, &["-bob 80%"])]))
    );
}

#[test]
fn a_value_that_flips_around_a_threshold_is_told_once() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    for poll in 0..1000 {
        let secs = poll * 30;
        panel.set("alice", |user| {
            let end = BEGIN.saturating_add(Duration::from_secs(secs + 3 * DAY));
            user.expiry = Expiry::At(end.saturating_add_millis(if poll % 2 == 0 { -60_000 } else { 60_000 }));
        });
        panel.uses("bob", 79 + poll % 2);
        bench.poll_for(&mut panel, secs, secs + 30);
    }
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["alice 3d"]), ("ops", FIRST, &["bob 80%"])]));
}

#[test]
fn beyond_hysteresis_a_flip_is_told_at_most_twice_in_a_group_interval() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.report.nodes = Arc::default();
    for poll in 0..1000 {
        let secs = poll * 30;
        panel.expires("alice", secs + if poll % 2 == 0 { DAY } else { 30 * DAY });
        panel.uses("bob", if poll % 2 == 0 { 90 } else { 10 });
        bench.poll_for(&mut panel, secs, secs + 30);
    }
    let intervals = usize::try_from(1000 * 30 / 300).unwrap();
    assert!(bench.notices.len() <= 2 * (intervals + 1), "{}", bench.notices.len());
    for pair in bench.notices.iter().filter(|n| n.group.contains("Expiry")).collect::<Vec<_>>().windows(2) {
        assert!(pair[1].created_at.since(pair[0].created_at) >= Duration::from_secs(300));
    }
}

#[test]
fn a_target_that_is_down_is_one_fact_and_moves_nothing_else() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    for user in ["alice", "bob", "carol"] {
        panel.expires(user, 2 * DAY);
    }
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error)]);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said().len(), 2);
    // It hangs; meanwhile plans end.
    for secs in (10 * MINUTE..3 * DAY).step_by(300) {
        let report = panel.down(at(secs));
        bench.observe(&[report], at(secs));
        bench.pass(at(secs), at(secs + 300));
    }
    assert_eq!(
        bench.said(),
        said(&[("ops", FIRST, &["home"]), ("ops", REPEAT, &["home"]), ("ops", REPEAT, &["home"])])
    );
    assert!(bench.reread.is_empty());
    // It answers, and all were renewed but for one.
    let back = 3 * DAY;
    for user in ["alice", "bob"] {
        panel.expires(user, 40 * DAY);
    }
    panel.set("carol", |user| user.status = UserStatus::Expired);
    bench.poll_for(&mut panel, back, back + HOUR);
    // The node's notice is three days old, and what fell due during the outage is repeated once. The target suppresses
    // what fires until it has been up for long enough.
    assert_eq!(
        bench.said(),
        said(&[
            ("ops", ALL, &["-home"]),
            ("ops", NEW, &["carol expired"]),
            ("ops", REPEAT, &["n1"]),
            ("ops", SOME, &["-alice 3d", "-bob 3d"]),
        ])
    );
}

#[test]
fn a_part_that_fails_or_is_stale_holds_its_alerts() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error)]);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said().len(), 2);
    // The lists are lost: that is no reason to take anybody for gone.
    panel.users.clear();
    for secs in (10 * MINUTE..30 * MINUTE).step_by(30) {
        panel.fail(Part::Users);
        panel.fail(Part::Nodes);
        panel.report.nodes = Arc::default();
        panel.read(Part::System, at(secs));
        panel.read(Part::Core, at(secs));
        let report = panel.report();
        bench.observe(&[report], at(secs));
        bench.pass(at(secs), at(secs + 30));
    }
    assert_eq!(bench.names(), [("ProxymeterPartStale".to_owned(), 2)]);
    // A whole read without them is.
    bench.poll_for(&mut panel, 30 * MINUTE, 40 * MINUTE);
    let mut reasons: Vec<_> =
        bench.notices.iter().flat_map(|n| &n.alerts).map(|a| &a.annotations["reason"]).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["deleted", "deleted", "recovered", "recovered"]);
}

#[test]
fn old_facts_are_read_again_before_anyone_is_told() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 7 * DAY + 10 * MINUTE);
    panel.expires("bob", 7 * DAY + 10 * MINUTE);
    let report = panel.poll(at(0));
    bench.observe(&[report], at(0));
    // The next page of this long list is not due for an hour, but the target answers.
    let meanwhile = |bench: &mut Bench, panel: &mut Panel, from: u64, until: u64| {
        for secs in (from..until).step_by(30) {
            panel.poll_cheap(at(secs));
            panel.read(Part::Users, at(secs));
            let report = panel.report();
            bench.observe(&[report], at(secs));
            bench.pass(at(secs), at(secs + 30));
        }
    };
    meanwhile(&mut bench, &mut panel, 30, 14 * MINUTE);
    assert_eq!(bench.said(), []);
    assert_eq!(bench.reread.iter().map(|name| &**name).collect::<Vec<_>>(), ["alice", "bob"]);
    // While the part fails they are not asked for, and wait.
    bench.reread.clear();
    for secs in (14 * MINUTE..18 * MINUTE).step_by(60) {
        panel.poll_cheap(at(secs));
        panel.fail(Part::Users);
        let report = panel.report();
        bench.observe(&[report], at(secs));
    }
    assert!(bench.said().is_empty() && bench.reread.is_empty());
    // Bob was renewed in the meantime.
    panel.expires("bob", 60 * DAY);
    bench.poll_for(&mut panel, 18 * MINUTE, 30 * MINUTE);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["alice 7d"])]));
}

fn night() -> AlertingConfig {
    let mute = MuteConfig {
        days: Vec::new(),
        hours: Some((23 * 60, 8 * 60)),
        zone: "Europe/Berlin".into(),
        matchers: BTreeMap::new(),
        below: Some(Severity::Critical),
    };
    AlertingConfig { mutes: BTreeMap::from([("night".to_owned(), mute)]), ..config() }
}

#[test]
fn what_still_fires_is_told_when_the_quiet_hours_end_across_a_change_of_clocks() {
    // 2026-10-25: Berlin's clocks go back at 01:00 UTC, so that eight in the morning is 07:00 UTC.
    let begin: jiff::Timestamp = "2026-10-24T22:00:00Z".parse().unwrap();
    let wall = Timestamp::from_secs(begin.as_second());
    let moment = |secs| Moment { wall: wall.saturating_add(Duration::from_secs(secs)), ..at(secs) };
    let mut bench = Bench::with(night(), vec![route("ops")]);
    bench.engine = Engine::new(&night(), vec![route("ops")], &Rows::default(), moment(0)).unwrap();
    let mut panel = Panel::new("home");
    for user in ["alice", "bob"] {
        panel.set(user, |user| user.expiry = Expiry::At(wall.saturating_add(Duration::from_secs(2 * DAY))));
    }
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error)]);
    for secs in (0..9 * HOUR).step_by(30) {
        if secs == 4 * HOUR {
            panel.set("bob", |user| user.expiry = Expiry::Never);
        }
        let report = panel.poll(moment(secs));
        bench.observe(&[report], moment(secs));
        bench.pass(moment(secs), moment(secs + 30));
        if secs == 8 * HOUR {
            // The critical may bypass it.
            assert_eq!(bench.said(), said(&[("ops", FIRST, &["n1"])]));
        }
    }
    let told = bench.notices[0].created_at.since(wall).as_secs();
    assert_eq!(told, 9 * HOUR);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["alice 3d"])]));
}

#[test]
fn the_present_state_may_be_adopted_without_a_word() {
    let mut bench = Bench::with(AlertingConfig { adopt: true, ..config() }, vec![route("ops")]);
    let mut panel = Panel::new("home");
    for user in 0..3000 {
        panel.expires(&format!("u{user:04}"), 2 * DAY);
    }
    bench.poll_for(&mut panel, 0, HOUR);
    assert_eq!(bench.said(), said(&[]));
    assert_eq!(bench.engine.active().list.len(), 6000, "they fire all the same, at two steps");
    // A later start knows them too, and one who renews is no news either.
    bench.config.adopt = false;
    bench.restart(at(HOUR));
    panel.expires("u0001", 60 * DAY);
    bench.poll_for(&mut panel, HOUR, 2 * HOUR);
    assert_eq!(bench.said(), said(&[]));
    assert_eq!(bench.engine.active().list.len(), 5998);
    // The next step is sent, and so are users added later.
    panel.expires("u0002", DAY / 2);
    panel.expires("new", 2 * DAY);
    bench.poll_for(&mut panel, 2 * HOUR, 3 * HOUR);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["new 3d", "u0002 1d"])]));
    panel.expires("u0002", 60 * DAY);
    bench.poll_for(&mut panel, 3 * HOUR, 4 * HOUR);
    assert_eq!(bench.said(), said(&[("ops", SOME, &["-u0002 1d", "new 3d"])]));
}

#[test]
fn reloads_hold_nothing_up_and_count_nothing_twice() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    bench.poll_for(&mut panel, 0, 60);
    panel.expires("alice", DAY / 2);
    for secs in (60..HOUR).step_by(10) {
        if secs % 30 == 0 {
            let report = panel.poll(at(secs));
            bench.observe(&[report], at(secs));
        }
        if secs % 20 == 0 {
            bench.engine.reconfigure(&bench.config, bench.routes.clone(), at(secs)).unwrap();
        }
        bench.tick(at(secs));
    }
    let told: Vec<_> = bench.notices.iter().map(|notice| notice.created_at).collect();
    assert!(told.len() == 1 && told[0] <= at(60 + 45).wall, "{told:?}");
    let muted: u64 = bench.suppressed.iter().map(|suppressed| suppressed.inhibited).sum();
    assert!(muted <= 2, "two wider steps are inhibited, once each: {muted}");
}

#[test]
fn a_reload_before_the_first_read_is_as_gentle_and_adopts_as_well() {
    for adopt in [true, false] {
        let mut bench = Bench::with(AlertingConfig { adopt, ..config() }, vec![route("ops")]);
        let mut panel = Panel::new("home");
        for user in 0..100 {
            panel.expires(&format!("u{user:02}"), 2 * DAY);
        }
        // Read while the first walk goes on, and old by the time that it ends.
        panel.poll_cheap(at(1));
        let report = panel.report();
        bench.observe(&[report], at(1));
        // What reloads load says nothing of adopting.
        bench.config.adopt = false;
        bench.engine.reconfigure(&bench.config, bench.routes.clone(), at(600)).unwrap();
        bench.poll_for(&mut panel, 630, HOUR);
        let told: Vec<_> = bench.notices.drain(..).map(|notice| notice.alerts.len()).collect();
        assert_eq!(told, if adopt { vec![] } else { vec![100] });
        // Nor does one that comes later.
        bench.engine.reconfigure(&bench.config, bench.routes.clone(), at(HOUR)).unwrap();
        bench.poll_for(&mut panel, HOUR, 2 * HOUR);
        assert_eq!(bench.said(), said(&[]));
    }
}

#[test]
fn a_reload_after_the_clock_jumped_believes_it_no_more_than_before() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    for user in 0..100 {
        panel.expires(&format!("u{user:02}"), 40 * DAY);
    }
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    let later = |secs: u64| Moment { wall: at(secs + 41 * DAY).wall, ..at(secs) };
    for secs in (10 * MINUTE..20 * MINUTE).step_by(30) {
        let report = panel.poll(later(secs));
        bench.observe(&[report], later(secs));
        if secs == 12 * MINUTE {
            bench.engine.reconfigure(&bench.config, bench.routes.clone(), later(secs)).unwrap();
        }
    }
    assert_eq!(bench.said(), said(&[]), "the panel calls them active");
    bench.poll_for(&mut panel, 20 * MINUTE, HOUR);
    assert_eq!(bench.said(), said(&[]));
}

#[test]
fn the_first_start_is_gentle() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    for user in 0..3000 {
        panel.expires(&format!("u{user}"), 0);
        panel.set(&format!("u{user}"), |user| user.status = UserStatus::Expired);
    }
    // The first walk takes an hour; its pages come in one by one.
    panel.poll(at(0));
    let whole = Arc::clone(&panel.report.users);
    panel.report.users = Arc::default();
    for secs in (0..HOUR).step_by(30) {
        panel.poll_cheap(at(secs));
        panel.read(Part::Users, at(secs));
        let users: Vec<_> = panel.users.values().cloned().collect();
        let page = users.into_iter().skip(usize::try_from(secs).unwrap()).take(30);
        let page = page.map(|user| crate::model::User { read_at: at(secs).wall, ..user }).collect();
        panel.report.merge(crate::model::Fact::Users(crate::model::UserFacts::Page(page)), at(secs));
        let report = panel.report();
        bench.observe(&[report], at(secs));
        bench.pass(at(secs), at(secs + 30));
    }
    assert!(bench.notices.is_empty());
    // What it found first is as old when it ends.
    panel.report.users = whole;
    panel.poll_cheap(at(HOUR));
    panel.read(Part::Users, at(HOUR));
    let report = panel.report();
    bench.observe(&[report], at(HOUR));
    bench.pass(at(HOUR), at(HOUR + 4 * MINUTE));
    assert_eq!(bench.notices.len(), 1);
    assert_eq!(bench.notices[0].alerts.len(), 3000);
}

#[test]
fn a_clock_that_jumps_and_comes_back_makes_no_storm() {
    for jump in [10 * 365 * 86_400_000, -86_400_000_i64] {
        let mut bench = Bench::new();
        let mut panel = Panel::new("home");
        for user in 0..200_u64 {
            panel.expires(&format!("u{user}"), user * HOUR);
        }
        for secs in (0..6 * HOUR).step_by(30) {
            let off = if (2 * HOUR..4 * HOUR).contains(&secs) { jump } else { 0 };
            let moment = |secs| {
                let now = at(secs);
                Moment { wall: now.wall.saturating_add_millis(off), ..now }
            };
            // The panel's clock is right.
            for user in 0..200_u64 {
                let status = if user * HOUR <= secs { UserStatus::Expired } else { UserStatus::Active };
                panel.set(&format!("u{user}"), |user| user.status = status);
            }
            let report = panel.poll(moment(secs));
            bench.observe(&[report], moment(secs));
            bench.pass(moment(secs), moment(secs + 30));
        }
        assert!(bench.notices.len() < 12, "{jump}: {} notices", bench.notices.len());
        // All is as if nothing had happened.
        let alerts = bench.engine.state.alerts();
        let firing = alerts.filter(|alert| &**alert.step() == "expired" && !alert.held()).count();
        assert_eq!(firing, 7, "{jump}");
        let last = bench.notices.last().unwrap().clone();
        assert!(last.created_at > at(4 * HOUR).wall && last.created_at <= at(6 * HOUR).wall);
    }
}

#[test]
fn a_clock_that_jumps_far_ahead_and_comes_back_says_nothing() {
    let ahead = |secs| {
        let now = at(secs);
        Moment { wall: now.wall.saturating_add(Duration::from_secs(10 * 365 * DAY)), ..now }
    };
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    panel.expires("bob", 0);
    panel.set("bob", |user| user.status = UserStatus::Expired);
    panel.expires("carol", 40 * DAY);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["alice 3d", "bob expired"])]));
    for secs in (10 * MINUTE..HOUR).step_by(30) {
        let report = panel.poll(ahead(secs));
        bench.observe(&[report], ahead(secs));
        bench.pass(ahead(secs), ahead(secs + 30));
    }
    bench.poll_for(&mut panel, HOUR, 2 * HOUR);
    assert_eq!(bench.said(), []);
    // A clock that stays where it was set is believed in the end.
    for secs in (2 * HOUR..8 * DAY).step_by(240) {
        let report = panel.poll(ahead(secs));
        bench.observe(&[report], ahead(secs));
        bench.pass(ahead(secs), ahead(secs + 240));
    }
    assert_eq!(bench.engine.active().list, []);
    assert_eq!(bench.said(), []);
}

#[test]
fn a_step_of_the_clock_that_is_taken_back_before_the_next_poll_is_not_noticed() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 20 * DAY);
    panel.expires("bob", 2 * DAY);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said().len(), 1);
    for millis in [400 * 86_400_000, -400 * 86_400_000_i64] {
        let now = at(10 * MINUTE + 10);
        bench.tick(Moment { wall: now.wall.saturating_add_millis(millis), ..now });
        let now = at(10 * MINUTE + 20);
        bench.tick(now);
        bench.pass(now, at(10 * MINUTE + 29));
    }
    bench.poll_for(&mut panel, 11 * MINUTE, HOUR);
    assert_eq!(bench.said(), []);
}

#[test]
fn edits_to_one_rule_do_not_touch_another() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    panel.uses("bob", 96);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said().len(), 2);
    for round in 0..100 {
        bench.config = rule("user_expiry", |rule| {
            rule.severity = Some(if round % 2 == 0 { Severity::Warning } else { Severity::Info });
            rule.exclude = vec![format!("test-{round}")];
        });
        let from = 10 * MINUTE + round * 60;
        let rows = bench.kept.rows();
        assert_eq!(rows, bench.kept.rows());
        bench.engine = Engine::new(&bench.config, bench.routes.clone(), &rows, at(from)).unwrap();
        bench.poll_for(&mut panel, from, from + 60);
    }
    assert_eq!(bench.said(), []);
    // A rule that is turned off ends what it found.
    bench.config = rule("user_expiry", |rule| rule.enabled = Some(false));
    bench.restart(at(3 * HOUR));
    bench.poll_for(&mut panel, 3 * HOUR, 4 * HOUR);
    assert_eq!(&bench.notices[0].alerts[0].annotations["reason"], "rule removed");
    assert_eq!(bench.said(), said(&[("ops", ALL, &["-alice 3d"])]));
}

#[test]
fn an_alert_of_a_target_that_moved_to_another_shard_has_not_ended() {
    let end = said(&[("ops", ALL, &["-alice 3d"])]);
    for (elsewhere, reload, expected) in
        [(true, false, vec![]), (true, true, vec![]), (false, false, end.clone()), (false, true, end)]
    {
        let mut bench = Bench::new();
        let mut panel = Panel::new("home");
        panel.expires("alice", 2 * DAY);
        bench.poll_for(&mut panel, 0, 10 * MINUTE);
        assert_eq!(bench.said().len(), 1);
        bench.config.elsewhere.extend(elsewhere.then(|| "home".into()));
        if reload {
            bench.engine.reconfigure(&bench.config, bench.routes.clone(), at(HOUR)).unwrap();
        } else {
            bench.restart(at(HOUR));
        }
        bench.observe(&[], at(HOUR));
        bench.pass(at(HOUR), at(2 * HOUR));
        assert_eq!(bench.said(), expected, "elsewhere: {elsewhere}, reload: {reload}");
        assert_eq!(bench.kept.alerts, BTreeMap::new());
    }
}

#[test]
fn an_end_is_told_across_a_restart_if_its_beginning_was() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said().len(), 1);
    panel.expires("alice", 60 * DAY);
    bench.restart(at(HOUR));
    let report = panel.poll(at(HOUR));
    bench.observe(&[report], at(HOUR));
    bench.restart(at(HOUR + 1));
    bench.poll_for(&mut panel, HOUR + 2, 2 * HOUR);
    assert_eq!(bench.said(), said(&[("ops", ALL, &["-alice 3d"])]));
    assert_eq!(bench.kept.rows(), Rows::default());
}

#[test]
fn receivers_hear_what_is_for_them() {
    let mut routes = vec![route("all"), route("severe"), route("beginnings"), route("oncall")];
    routes[1].min_severity = Severity::Critical;
    routes[2].send_resolved = false;
    let config = rule("user_expiry", |rule| {
        rule.receivers = Some(vec!["all".into(), "beginnings".into()]);
    });
    let mut bench = Bench::with(config, routes);
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error)]);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    let expected = [("all", "alice 3d"), ("all", "n1"), ("beginnings", "alice 3d"), ("beginnings", "n1")];
    let expected = expected.into_iter().chain([("oncall", "n1"), ("severe", "n1")]);
    let expected: Vec<_> = expected.map(|(receiver, alert)| (receiver, FIRST, [alert])).collect();
    let expected: Vec<_> = expected.iter().map(|(r, f, a)| (*r, *f, a.as_slice())).collect();
    assert_eq!(bench.said(), said(&expected));
    panel.expires("alice", 60 * DAY);
    bench.poll_for(&mut panel, HOUR, 2 * HOUR);
    assert_eq!(bench.said(), said(&[("all", ALL, &["-alice 3d"])]));
    panel.expires("alice", 61 * DAY);
    panel.expires("bob", 2 * DAY);
    bench.poll_for(&mut panel, 2 * HOUR, 3 * HOUR);
    assert_eq!(bench.said(), said(&[("all", FIRST, &["bob 3d"]), ("beginnings", FIRST, &["bob 3d"])]));
}

#[test]
fn some_of_a_group_may_end() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error), node("n2", NodeStatus::Connecting)]);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["n1", "n2"])]));
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Disabled), node("n2", NodeStatus::Connecting)]);
    bench.poll_for(&mut panel, 10 * MINUTE, 20 * MINUTE);
    assert_eq!(bench.said(), said(&[("ops", SOME, &["-n1", "n2"])]));
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Disabled), node("n2", NodeStatus::Connected)]);
    bench.poll_for(&mut panel, 20 * MINUTE, 30 * MINUTE);
    assert_eq!(bench.said(), said(&[("ops", ALL, &["-n2"])]));
}

#[test]
fn an_alert_is_pending_until_it_has_held_for_long_enough() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error)]);
    bench.poll_for(&mut panel, 0, 2 * MINUTE);
    let alerts = &bench.engine.active().list;
    assert_eq!((alerts.len(), alerts[0].state, alerts[0].active_since), (1, AlertState::Pending, BEGIN));
    // A restart does not start the wait again.
    bench.restart(at(2 * MINUTE));
    bench.poll_for(&mut panel, 2 * MINUTE, 3 * MINUTE + 1);
    let alerts = &bench.engine.active().list;
    assert_eq!((alerts.len(), alerts[0].state), (1, AlertState::Firing));
    let alert = bench
        .engine
        .state
        .alerts()
        .next()
        .and_then(|alert| alert.told(None, &Voice::default(), BEGIN))
        .unwrap();
    assert_eq!(&alert.labels["alertname"], "ProxymeterNodeDown");
    assert_eq!(&alert.annotations["description"], "Node n1 (home) is down: the panel reports an error.");
    // A blip does.
    bench.pass(at(3 * MINUTE + 1), at(4 * MINUTE));
    bench.said();
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Connected)]);
    bench.poll_for(&mut panel, 10 * MINUTE, 20 * MINUTE);
    assert_eq!(bench.said(), said(&[("ops", ALL, &["-n1"])]));
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error)]);
    bench.poll_for(&mut panel, 20 * MINUTE, 22 * MINUTE);
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Connected)]);
    bench.poll_for(&mut panel, 22 * MINUTE, 30 * MINUTE);
    assert_eq!(bench.said(), []);
}

#[test]
fn the_last_step_ends_without_a_word_a_week_after() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", HOUR);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    panel.set("alice", |user| user.status = UserStatus::Expired);
    bench.poll_for(&mut panel, 2 * HOUR, 3 * HOUR);
    assert_eq!(bench.said(), said(&[("ops", FIRST, &["alice 1d"]), ("ops", NEW, &["alice expired"])]));
    bench.poll_for(&mut panel, 7 * DAY + HOUR, 7 * DAY + 2 * HOUR);
    panel.expires("alice", 60 * DAY);
    panel.set("alice", |user| user.status = UserStatus::Active);
    bench.poll_for(&mut panel, 7 * DAY + 2 * HOUR, 7 * DAY + 3 * HOUR);
    assert_eq!(bench.said(), []);
    assert_eq!(bench.kept.rows(), Rows::default());
}

#[test]
fn a_target_that_is_no_longer_watched_ends_its_alerts() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    bench.said();
    bench.restart(at(10 * MINUTE));
    bench.observe(&[], at(10 * MINUTE));
    bench.pass(at(10 * MINUTE), at(HOUR));
    assert_eq!(bench.said(), said(&[("ops", ALL, &["-alice 3d"])]));
}

#[test]
fn a_target_that_is_no_longer_watched_is_no_longer_shown() {
    let mut panel = Panel::new("home");
    panel.report.nodes = Arc::new(vec![node("n1", NodeStatus::Error)]);
    let (home, other) = (panel.poll(at(0)), Panel::new("other").poll(at(0)));
    for others in [vec![], vec![other]] {
        for (secs, state) in [(0, AlertState::Pending), (3 * MINUTE, AlertState::Firing)] {
            for restarts in [false, true] {
                let mut bench = Bench::new();
                let reports: Vec<_> = others.iter().chain([&home]).map(Arc::clone).collect();
                bench.observe(&reports, at(0));
                bench.observe(&reports, at(secs));
                if restarts {
                    bench.restart(at(secs));
                }
                assert_eq!(bench.engine.active().list[0].state, state);
                bench.engine.observe_reports(&others, at(secs));
                assert_eq!(bench.engine.active().list, [], "{} {state:?} {restarts}", others.len());
            }
        }
    }
}

#[test]
fn with_alerting_disabled_alerts_are_known_and_nothing_is_sent() {
    let mut bench = Bench::with(AlertingConfig { enabled: false, ..config() }, vec![route("ops")]);
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    bench.poll_for(&mut panel, 0, HOUR);
    assert_eq!(bench.engine.active().list.len(), 2);
    panel.expires("alice", 60 * DAY);
    bench.poll_for(&mut panel, HOUR, 2 * HOUR);
    assert!(bench.notices.is_empty() && bench.engine.active().list.is_empty());
    assert_eq!(bench.kept.rows(), Rows::default());
}

#[test]
fn damaged_rows_cost_a_repetition_at_most() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    panel.expires("alice", 2 * DAY);
    panel.expires("bob", 2 * DAY);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said().len(), 1);
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..200 {
        let rows = bench.kept.alerts.values_mut().chain(bench.kept.groups.values_mut());
        for text in rows {
            let cut = random.usize(0..=text.len());
            if let Some(part) = text.get(..cut).map(str::to_owned) {
                *text = part;
            }
        }
        let from = (1 + round) * HOUR / 4;
        bench.restart(at(from));
        bench.poll_for(&mut panel, from, from + 6 * MINUTE);
        assert!(bench.said().len() <= 1);
    }
}

pub(super) fn node(label: &str, status: NodeStatus) -> Node {
    Node::named(label, status)
}

//! Subjects that are up and down in turn, and what becomes of their alerts.

use crate::wording::Voice;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Bench, route};
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        testing::{HOUR, MINUTE, Panel, at, config},
    },
    model::{Node, NodeStatus, NoticeStatus, Outcome, Part, Reason},
};

/// What is up and down in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Node,
    Target,
}

/// A panel that is polled every half minute.
struct World {
    bench: Bench,
    panel: Panel,
    which: Which,
    secs: u64,
}

impl World {
    fn new(which: Which) -> Self {
        let (bench, panel) = (Bench::with(config(), vec![route("ops")]), Panel::new("home"));
        let mut world = World { bench, panel, which, secs: 0 };
        world.live(true);
        world
    }

    fn with_for(which: Which, for_: Duration) -> Self {
        let rule = RuleConfig { for_: Some(for_), ..RuleConfig::default() };
        let rules = ["node_down", "target_down"].map(|name| (name.to_owned(), rule.clone()));
        let config = AlertingConfig { rules: BTreeMap::from(rules), ..config() };
        World { bench: Bench::with(config, vec![route("ops")]), ..World::new(which) }
    }

    /// Half a minute in which it is up, or down.
    fn live(&mut self, up: bool) {
        let (from, until) = (at(self.secs), at(self.secs + 30));
        let status =
            if up || self.which == Which::Target { NodeStatus::Connected } else { NodeStatus::Error };
        let node = Node {
            message: (!up).then(|| format!("failed after {} s", self.secs).into()),
            ..Node::named("n1", status)
        };
        self.panel.report.nodes = Arc::new(vec![node]);
        let report =
            if up || self.which == Which::Node { self.panel.poll(from) } else { self.panel.down(from) };
        self.bench.observe(&[report], from);
        self.bench.pass(from, until);
        self.secs += 30;
    }

    /// Lives through so many rounds of polls, `x` for one at which it is down.
    fn round(&mut self, polls: &str, rounds: usize) {
        for poll in polls.repeat(rounds).chars() {
            self.live(poll != 'x');
        }
    }

    fn restart(&mut self) {
        self.bench.restart(at(self.secs));
        self.panel.forget_all_but(None, at(self.secs));
    }

    /// The statuses of the alerts in the notices since the last call, and when each was sent, in seconds.
    fn told(&mut self) -> Vec<(NoticeStatus, u64)> {
        let told = self.bench.notices.drain(..).flat_map(|notice| {
            let sent = notice.created_at.since(at(0).wall).as_secs();
            notice.alerts.into_iter().map(move |alert| (alert.status, sent))
        });
        told.collect()
    }
}

#[test]
fn what_is_down_most_of_the_time_is_told_once() {
    for which in [Which::Node, Which::Target] {
        for polls in ["xx-", "x-x", "xxxx--", "xxx-x-"] {
            let mut world = World::new(which);
            world.round("-", 60);
            let began = world.secs;
            world.round(polls, 120 / polls.len());
            let told = world.told();
            let [(NoticeStatus::Firing, sent)] = told.as_slice() else {
                panic!("{which:?} {polls}: {told:?}")
            };
            let within = if which == Which::Node { 7 } else { 10 };
            assert!(sent - began <= within * MINUTE, "{which:?} {polls}: after {} s", sent - began);
            // It was good for the whole of `for`.
            let good = world.secs;
            world.round("-", 60);
            let told = world.told();
            let [(NoticeStatus::Resolved, sent)] = told.as_slice() else {
                panic!("{which:?} {polls}: {told:?}")
            };
            let after = if which == Which::Node { 3 } else { 5 };
            assert!((after * MINUTE - 60..=after * MINUTE + 60).contains(&(sent - good)), "{}", sent - good);
            // A single failure after that is no news.
            world.round("x", 1);
            world.round("-", 60);
            assert_eq!(world.told(), []);
        }
    }
}

#[test]
fn what_is_down_now_and_then_is_not_told() {
    for which in [Which::Node, Which::Target] {
        let mut world = World::new(which);
        world.round("-", 20);
        world.round("--x", 40);
        assert_eq!(world.told(), [], "{which:?}");
    }
}

#[test]
fn a_start_amid_failures_tells_nothing_sooner() {
    let mut world = World::with_for(Which::Node, Duration::from_secs(30 * MINUTE));
    world.round("xx-", 19);
    assert_eq!(world.told(), []);
    world.round("xx-", 2);
    assert_eq!(world.told().len(), 1);
}

#[test]
fn without_a_wait_the_end_comes_with_the_first_good_read() {
    for which in [Which::Node, Which::Target] {
        let mut world = World::with_for(which, Duration::ZERO);
        world.round("x", 20);
        assert_eq!(world.told().len(), 1);
        let good = world.secs;
        world.round("-", 20);
        let told = world.told();
        assert_eq!(told.len(), 1);
        assert!(told[0].1 - good <= 60, "{told:?}");
    }
}

#[test]
fn after_a_restart_what_fires_goes_on_until_it_was_good_for_long_enough() {
    for which in [Which::Node, Which::Target] {
        let mut world = World::new(which);
        world.round("xx-", 20);
        assert_eq!(world.told().len(), 1, "{which:?}");
        for _ in 0..20 {
            world.restart();
            world.round("--x", 1);
        }
        world.restart();
        let begin = world.secs;
        world.round("-", 5);
        assert_eq!(world.told(), [], "{which:?}");
        world.round("-", 20);
        let told = world.told();
        assert_eq!(told.len(), 1);
        assert!(told[0].1 - begin >= 3 * MINUTE, "{told:?}");
    }
}

#[test]
fn a_node_that_is_switched_off_or_deleted_begins_again() {
    let mut world = World::new(Which::Node);
    world.round("xx-", 20);
    assert_eq!(world.told().len(), 1);
    world.panel.report.nodes = Arc::new(vec![Node::named("n1", NodeStatus::Disabled)]);
    world.bench.poll_for(&mut world.panel, world.secs, world.secs + 10 * MINUTE);
    world.secs += 10 * MINUTE;
    assert_eq!(world.told().len(), 1, "its alert ends at once");
    world.round("xx-", 1);
    assert!(
        !world
            .panel
            .report
            .history
            .node("n1")
            .unwrap()
            .reads
            .good_for(Duration::from_secs(60), at(world.secs))
    );
    world.panel.report.nodes = Arc::default();
    world.panel.poll(at(world.secs));
    assert!(world.panel.report.history.node("n1").is_none());
}

#[test]
fn a_message_is_part_of_the_text_and_no_news() {
    let mut world = World::new(Which::Node);
    world.round("x", 120);
    let [notice] = world.bench.notices.as_slice() else { panic!("{:?}", world.bench.notices) };
    let description = &notice.alerts[0].annotations["description"];
    assert!(
        description.starts_with("Node n1 (home) is down: the panel reports an error (failed after "),
        "{description}"
    );
    // At a good read the cause is still that of the last failure, and pages do not show what the panel says.
    world.round("-", 1);
    let alerts = world.bench.engine.state.alerts();
    let told: Vec<_> = alerts.filter_map(|alert| alert.told(None, &Voice::default(), at(0).wall)).collect();
    assert!(told[0].annotations["description"].contains("(failed after "), "{told:?}");
    let shown = world.bench.engine.active().list[0].reading.words(at(0).wall);
    assert_eq!(shown, [("reason", "error".to_owned())]);
}

#[test]
fn a_right_that_was_lost_is_told_until_the_part_is_read_again() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    let live = |bench: &mut Bench, panel: &mut Panel, from: u64, until: u64, outcome: &Outcome| {
        for secs in (from..until).step_by(30) {
            let known = panel.report.parts.get(&Part::Nodes).cloned();
            panel.poll(at(secs));
            if let Some(state) = known.filter(|_| *outcome != Outcome::Up) {
                let state = crate::model::PartState { outcome: outcome.clone(), ..state };
                panel.report.parts.insert(Part::Nodes, state);
            }
            let report = panel.report();
            bench.observe(&[report], at(secs));
            bench.pass(at(secs), at(secs + 30));
        }
    };
    let forbidden = Outcome::Failed { reason: Reason::Forbidden, detail: String::new() };
    live(&mut bench, &mut panel, 0, HOUR, &Outcome::Up);
    assert!(bench.notices.is_empty());
    live(&mut bench, &mut panel, HOUR, 2 * HOUR, &forbidden);
    let [notice] = bench.notices.as_slice() else { panic!("{:?}", bench.notices) };
    let alert = &notice.alerts[0];
    assert_eq!((&alert.labels["kind"], &alert.labels["subject"]), ("part", "nodes"));
    assert_eq!(
        &alert.annotations["description"],
        "The login lost its right to read nodes (home). Those values are no longer updated."
    );
    bench.notices.clear();
    bench.restart(at(2 * HOUR));
    panel.forget_all_but(None, at(2 * HOUR));
    panel.read(Part::Nodes, at(0));
    live(&mut bench, &mut panel, 2 * HOUR, 3 * HOUR, &Outcome::Refused);
    assert_eq!(bench.said(), []);
    live(&mut bench, &mut panel, 3 * HOUR, 4 * HOUR, &Outcome::Up);
    let said = bench.said();
    assert_eq!(said, [("ops".to_owned(), "all alerts resolved".to_owned(), vec!["-nodes".to_owned()])]);
}

#[test]
fn an_accounting_alert_is_about_the_target_or_about_a_node() {
    let rules = crate::alert::rule::Rules::new(&config()).unwrap();
    let row = |subject: &str| {
        let key = format!("accounting_stalled/home/{subject}");
        let text = r#"{"kind":"accounting_stalled","system":null,"reading":{"lasting":1260},"peak":0,"steps":[
            {"step":"","severity":"warning","since":1795000000000,"event":"evt_1","ended":null}]}"#;
        (key, text.to_owned())
    };
    let (state, _) = crate::alert::state::State::restore(&[row(""), row("n1")], &rules, at(0));
    let told: Vec<_> =
        state.alerts().filter_map(|alert| alert.told(None, &Voice::default(), at(0).wall)).collect();
    let texts: Vec<_> =
        told.iter().map(|alert| (&alert.labels["kind"], &alert.annotations["description"])).collect();
    assert_eq!(
        texts,
        [
            ("target", "No traffic has been counted on home for 21 min, although users are active."),
            ("node", "No traffic has been counted on node n1 (home) for 21 min, although users are active."),
        ]
    );
}

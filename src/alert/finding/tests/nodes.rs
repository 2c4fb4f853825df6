use std::sync::Arc;

use super::*;
use crate::model::{
    Allowance, Counter, Counts, Fact, Node, NodeAllowances, NodePeriods, NodeStats, NodeStatus, NodeTraffic,
    ProxyTraffic,
};

#[test]
fn nodes_that_are_not_connected() {
    let mut panel = Panel::new("home");
    let node = |status: NodeStatus| Node::named(status.label(), status);
    panel.report.nodes = Arc::new(NodeStatus::ALL.into_iter().map(node).collect());
    panel.poll(at(0));
    let report = panel.poll(at(3 * MINUTE));
    let down = found("node_down", &report, at(3 * MINUTE)).unwrap();
    assert_eq!(down, ["connecting", "error", "limited", "unknown"]);
}

#[test]
fn a_node_says_why_it_is_down() {
    let long = "й".repeat(300);
    let cut = format!("error: {}…", "й".repeat(199));
    let cases = [
        (NodeStatus::Connecting, None, "connecting"),
        (NodeStatus::Error, Some(" \r\n\0"), "error"),
        (
            NodeStatus::Error,
            Some("[Errno 111]\n Connection\u{202e} refused\u{7}"),
            "error: [Errno 111] Connection\u{fffd} refused",
        ),
        (NodeStatus::Error, Some(long.as_str()), cut.as_str()),
        (NodeStatus::Limited, Some("limited"), "its data limit is reached"),
        (NodeStatus::Unknown, None, "unknown"),
    ];
    for (status, message, expected) in cases {
        let mut panel = Panel::new("home");
        let node = Node { message: message.map(Into::into), ..Node::named("n1", status) };
        panel.report.nodes = Arc::new(vec![node]);
        let findings = findings(&rules(), &panel.poll(at(0)), at(0));
        let scope = findings.scopes.iter().find(|scope| &*scope.rule.name == "node_down").unwrap();
        let reading = scope.crossings().next().unwrap().reading.clone().unwrap();
        assert_eq!(reading.words(BEGIN), [("reason", expected.to_owned())]);
        let shown = &reading.for_pages().words(BEGIN)[0].1;
        assert!(message.is_none_or(|message| !shown.contains(message)), "{shown}");
    }
}

#[test]
fn machines_of_nodes_that_run_out() {
    let stats = |node: &str, cpu: Option<f64>, memory: Option<u64>| NodeStats {
        node: node.into(),
        cpu_usage: cpu,
        memory_usage: model::share(memory, Some(100)),
        ..NodeStats::default()
    };
    let mut panel = Panel::new("home");
    panel.report.nodes = Arc::new(vec![
        Node::named("busy", NodeStatus::Connected),
        Node::named("full", NodeStatus::Connected),
        Node::named("off", NodeStatus::Disabled),
        Node::named("silent", NodeStatus::Error),
    ]);
    panel.poll(at(0));
    assert_eq!(found("node_cpu", &panel.report, at(0)), None, "the panel does not say");
    let read = vec![stats("busy", Some(0.96), None), stats("full", Some(0.1), Some(91))];
    panel.report.merge(Fact::NodeStats(read), at(0));
    panel.read(Part::NodeStats, at(0));
    assert_eq!(found("node_cpu", &panel.report, at(0)).unwrap(), ["busy 90% 95%"]);
    assert_eq!(found("node_memory", &panel.report, at(0)).unwrap(), ["full 90%"]);
    let cases = [
        ("node_cpu", "full", Some(End::Recovered)),
        ("node_cpu", "silent", None),
        ("node_cpu", "off", Some(End::Disabled)),
        ("node_cpu", "gone", Some(End::Deleted)),
        ("node_memory", "busy", None),
    ];
    for (rule, node, expected) in cases {
        assert_eq!(end(rule, &panel.report, at(0), node), expected, "{rule} {node}");
    }
    // Without a list of the nodes none of them is gone.
    panel.fail(Part::Nodes);
    assert_eq!(end("node_cpu", &panel.report, at(0), "full"), Some(End::Recovered));
    for node in ["gone", "off", "silent"] {
        assert_eq!(end("node_cpu", &panel.report, at(0), node), None, "{node}");
    }
}

#[test]
fn cores_of_nodes_that_keep_dying() {
    let mut panel = Panel::new("home");
    // The core of each node at each read: `-` up, `x` down, `?` not known; or the node is away or switched off.
    let nodes = [
        ("dead", "xxxx", true),
        ("dying", "-x-x", true),
        ("once", "---x", false),
        ("well", "----", false),
        ("mute", "????", false),
        ("away", "xxaa", false),
        ("off", "xxoo", false),
    ];
    for place in 0..4 {
        let node = |(label, reads, _): &(&str, &str, bool)| {
            let read = reads.as_bytes()[place];
            let status = match read {
                b'a' => NodeStatus::Error,
                b'o' => NodeStatus::Disabled,
                _ => NodeStatus::Connected,
            };
            let core_up = b"-x".contains(&read).then_some(read == b'-');
            Node { core_up, ..Node::named(label, status) }
        };
        panel.report.nodes = Arc::new(nodes.iter().map(node).collect());
        panel.report.merge(Fact::Core(Core { up: Some(true), ..Core::default() }), at(place as u64 * 30));
        panel.poll(at(place as u64 * 30));
    }
    let now = at(90);
    let down: Vec<_> = nodes.iter().filter(|(_, _, down)| *down).map(|(label, ..)| *label).collect();
    assert_eq!(found("core_down", &panel.report, now).unwrap(), down);
    let ends = [
        ("", Some(End::Recovered)),
        ("well", Some(End::Recovered)),
        ("mute", None),
        ("away", None),
        ("off", Some(End::Disabled)),
        ("gone", Some(End::Deleted)),
    ];
    for (subject, expected) in ends {
        assert_eq!(end("core_down", &panel.report, now, subject), expected, "{subject}");
    }
    panel.fail(Part::Nodes);
    assert_eq!(found("core_down", &panel.report, now), Some(vec![]));
    assert_eq!(end("core_down", &panel.report, now, "gone"), None);
}

/// A panel with active users, and one node.
struct Counted {
    panel: Panel,
    secs: u64,
    bytes: (u64, u64),
    status: NodeStatus,
    /// Whether the node counts its traffic itself.
    own: bool,
}

impl Counted {
    fn new(own: bool) -> Self {
        let mut panel = Panel::new("home");
        panel.report.counts.by_status = vec![(UserStatus::Active, 3)];
        Counted { panel, secs: 0, bytes: (0, 0), status: NodeStatus::Connected, own }
    }

    /// Polls every half minute, in which the whole panel and the node move so many bytes.
    fn live(&mut self, time: u64, panel: u64, node: u64) {
        for _ in 0..time / 30 {
            self.secs += 30;
            self.bytes = (self.bytes.0 + panel, self.bytes.1 + node);
            let traffic = ProxyTraffic { uplink: Some(self.bytes.0), downlink: None };
            let uplink = self.own.then(|| Counter::new(self.bytes.1));
            let node = Node { uplink, ..Node::named("n1", self.status) };
            let usage = NodeTraffic { node: "n1".into(), uplink: 0, downlink: self.bytes.1 };
            for fact in [
                Fact::ProxyTraffic(traffic),
                Fact::Nodes(vec![node]),
                Fact::NodeTraffic(if self.own { vec![] } else { vec![usage] }),
            ] {
                self.panel.report.merge(fact, at(self.secs));
            }
            self.panel.report.up = Some(true);
            for part in [Part::System, Part::Nodes] {
                self.panel.read(part, at(self.secs));
            }
        }
    }

    fn found(&self) -> String {
        let now = at(self.secs);
        let findings = findings(&rules(), &self.panel.report, now);
        let scope = findings.scopes.iter().find(|scope| &*scope.rule.name == "accounting_stalled").unwrap();
        let names = scope.crossings().map(|crossing| match &*crossing.subject {
            "" => "home".to_owned(),
            node => node.to_owned(),
        });
        names.collect::<Vec<_>>().join(" ")
    }

    fn end(&self, subject: &str) -> Option<End> {
        end("accounting_stalled", &self.panel.report, at(self.secs), subject)
    }
}

#[test]
fn accounting_that_stalls() {
    let mut counted = Counted::new(true);
    counted.live(HOUR, 0, 0);
    assert_eq!((counted.found().as_str(), counted.end("")), ("", None), "it may never have moved");
    counted.live(30, 1, 0);
    assert_eq!(counted.end(""), Some(End::Recovered));
    counted.live(10 * MINUTE - 30, 0, 0);
    assert_eq!(counted.found(), "");
    counted.live(30, 0, 0);
    assert_eq!(counted.found(), "home");
    // Whether the nodes may be judged by or not.
    counted.panel.fail(Part::Nodes);
    assert_eq!(counted.found(), "home");
    counted.panel.report.counts.by_status = vec![(UserStatus::Active, 0), (UserStatus::Expired, 9)];
    assert_eq!((counted.found().as_str(), counted.end("")), ("", Some(End::Recovered)));
}

#[test]
fn a_node_whose_traffic_is_no_longer_counted() {
    for own in [true, false] {
        let mut counted = Counted::new(own);
        counted.live(HOUR, 1, 0);
        assert_eq!((counted.found().as_str(), counted.end("n1")), ("", None), "it may never have moved");
        let mut counted = Counted::new(own);
        counted.live(HOUR, 1, 1);
        assert_eq!(counted.end("n1"), Some(End::Recovered));
        counted.live(10 * MINUTE - 30, 1, 0);
        assert_eq!(counted.found(), "");
        counted.live(30, 1, 0);
        assert_eq!(counted.found(), "n1", "own {own}");
        // What fires goes on until it moves, although the node is away meanwhile.
        counted.status = NodeStatus::Error;
        counted.live(HOUR, 1, 0);
        assert_eq!(counted.end("n1"), None);
        counted.status = NodeStatus::Connected;
        counted.live(5 * MINUTE, 1, 0);
        assert_eq!(counted.end("n1"), None);
        counted.live(5 * MINUTE, 1, 0);
        assert_eq!(counted.found(), "n1");
        // While nothing is counted at all, that is the alert.
        counted.live(10 * MINUTE, 0, 0);
        assert_eq!((counted.found().as_str(), counted.end("n1")), ("home", None));
        counted.live(30, 1, 1);
        assert_eq!((counted.end(""), counted.end("n1")), (Some(End::Recovered), Some(End::Recovered)));
        counted.status = NodeStatus::Disabled;
        counted.live(30, 1, 1);
        assert_eq!((counted.end("n1"), counted.end("n2")), (Some(End::Disabled), Some(End::Deleted)));
        counted.panel.fail(Part::Nodes);
        assert_eq!(counted.end("n1"), None);
    }
}

#[test]
fn a_node_that_is_quiet_at_night_is_not_stalled() {
    let mut counted = Counted::new(true);
    counted.live(HOUR, 1, 1);
    // It has been quiet for so long before.
    counted.live(9 * MINUTE, 1, 0);
    counted.live(HOUR, 1, 1);
    counted.live(27 * MINUTE, 1, 0);
    assert_eq!(counted.found(), "");
    counted.live(2 * MINUTE, 1, 0);
    assert_eq!(counted.found(), "n1");
    // A pause of days does not hide the next.
    counted.live(3 * DAY, 1, 0);
    counted.live(HOUR, 1, 1);
    counted.live(30 * HOUR - 30, 1, 0);
    assert_eq!(counted.found(), "");
    counted.live(30, 1, 0);
    assert_eq!(counted.found(), "n1");
}

#[test]
fn nodes_that_have_used_up_their_month() {
    let months = |bytes, counts| {
        let by_name = vec![("DE-*".to_owned(), Allowance { bytes, reset_day: 1, counts })];
        NodePeriods::new(NodeAllowances { by_name, ..NodeAllowances::default() })
    };
    // The allowance, what is counted and what was moved; then the steps.
    for (bytes, counts, moved, expected) in [
        (1000, Counts::One, 779, "DE-1"),
        (1000, Counts::One, 780, "DE-1 [80%]"),
        (1000, Counts::One, 800, "DE-1 80%"),
        (1000, Counts::Both, 400, "DE-1 80%"),
        (1000, Counts::Both, 475, "DE-1 80% 95%"),
        (1000, Counts::One, 5000, "DE-1 80% 95%"),
    ] {
        let mut panel = Panel::new("home");
        panel.report.node_periods = months(bytes, counts);
        for (secs, counter) in [(0, 7), (30, 7 + moved)] {
            panel.poll(at(secs));
            let node = |label: &str| Node {
                downlink: Some(Counter::new(counter)),
                ..Node::named(label, NodeStatus::Connected)
            };
            panel.report.merge(Fact::Nodes(vec![node("DE-1"), node("FI-1")]), at(secs));
            panel.read(Part::Nodes, at(secs));
        }
        let told = found("node_traffic", &panel.report, at(30)).unwrap().join(", ");
        let expected = if expected == "DE-1" { "" } else { expected };
        assert_eq!(told, expected, "{bytes} {counts:?} {moved}");

        // Ends of an alert that fired earlier, and one about a node that is not read in its new month.
        let then = |limit| Reading::Used { used: 990, limit, resets: None };
        let end = |report: &Report, subject: &str, then: &Reading, secs| {
            let scopes = findings(&rules(), report, at(secs)).scopes;
            let scope = scopes.into_iter().find(|scope| &*scope.rule.name == "node_traffic").unwrap();
            scope.end(subject, "home", then, BEGIN).map(|ended| (ended.end, ended.reading))
        };
        if moved == 779 {
            let (ended, reading) = end(&panel.report, "DE-1", &then(bytes), 30).unwrap();
            assert!(ended == End::Reset && matches!(reading, Some(Reading::Used { used: 779, .. })));
            assert_eq!(end(&panel.report, "DE-1", &then(500), 30).unwrap().0, End::ToppedUp);
            let without = end(&panel.report, "FI-1", &then(bytes), 30);
            assert_eq!(without, Some((End::ToppedUp, Some(Reading::Nothing))));
            assert_eq!(end(&panel.report, "NL-1", &then(bytes), 30), Some((End::Deleted, None)));
            let later = 31 * DAY;
            panel.report.up = Some(true);
            panel.read(Part::Nodes, at(later));
            assert_eq!(end(&panel.report, "DE-1", &then(bytes), later), None);
        }
    }
}

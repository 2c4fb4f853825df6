//! Questions about nodes, some of them also about the target itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::crossing::{Crossing, Judged, Switch};
use crate::{
    alert::rule::Rule,
    model::{
        CoreReads, Flow, Moment, Node, NodeHistory, NodeStats, NodeStatus, Part, Reading, Reads, Report,
        words,
    },
};

/// A panel restarts a dying core within seconds, so that no single answer shows it.
pub(in crate::alert) const CORE_DOWN_SHARE: f64 = 0.3;
/// Characters of a node's message that are sent.
const LONGEST_MESSAGE: usize = 200;

pub(super) fn node_down(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let unread = Reads::default();
    let (mut judged, mut crossings) = (Vec::new(), Vec::new());
    for node in report.nodes.iter() {
        if node.status == NodeStatus::Disabled {
            judged.push((Arc::clone(&node.label), Switch::Off));
            continue;
        }
        if node.status_unread {
            judged.push((Arc::clone(&node.label), Switch::Unknown));
            continue;
        }
        let reads = report.history.node(&node.label).map_or(&unread, |history| &history.reads);
        crossings.push(Crossing::of_reads(&node.label, reads, failure(node), rule.for_, now));
        judged.push((Arc::clone(&node.label), Switch::On));
    }
    judged.extend(unread_nodes(report));
    (Judged::Named(judged), crossings)
}

/// Nodes that the last list may have in a row that could not be read.
fn unread_nodes(report: &Report) -> impl Iterator<Item = (Arc<str>, Switch)> {
    report.nodes_unread.iter().map(|label| (Arc::clone(label), Switch::Unknown))
}

/// Why a node that should run is down; absent: it is not.
fn failure(node: &Node) -> Option<Reading> {
    match node.status {
        NodeStatus::Connected | NodeStatus::Disabled => None,
        NodeStatus::Limited => {
            Some(Reading::Down { cause: "its data limit is reached".into(), detail: None, until: None })
        }
        NodeStatus::Connecting | NodeStatus::Error | NodeStatus::Unknown => {
            let message = node.message.as_ref();
            let message = message.map(|message| words::one_line(message.as_str(), LONGEST_MESSAGE));
            Some(Reading::Down {
                cause: node.status.label().into(),
                detail: message.filter(|text| !text.is_empty()),
                until: None,
            })
        }
    }
}

/// Whether traffic is no longer counted: on the whole panel, and on each of `nodes`, if these may be judged by.
pub(super) fn accounting_stalled(
    report: &Report,
    nodes: Option<&[Node]>,
    now: Moment,
) -> (Judged, Vec<Crossing>) {
    let Some(active) = report.counts.active().map(|users| users > 0) else {
        return (Judged::Nothing, Vec::new());
    };
    let mut crossings = Vec::new();
    let mut look = |subject: &Arc<str>, flow: &Flow, stalled_after: Duration| {
        let Some(flat) = flow.flat() else { return Switch::Unknown };
        if active && flat >= stalled_after {
            let since = Some(now.back_to(now.uptime.saturating_sub(flat)));
            let reading = Reading::Lasting(flat.as_secs());
            crossings.push(Crossing { since, ..Crossing::simple(Arc::clone(subject), 1, reading) });
        }
        // After an interruption it has not recovered before it moves.
        if active && !flow.moves() { Switch::Unknown } else { Switch::On }
    };
    let traffic = report.history.traffic();
    let of_target = look(&"".into(), traffic, Flow::STALLED_AFTER);
    let all_stalled = active && traffic.flat() >= Some(Flow::STALLED_AFTER);
    let judged = target_and_nodes(report, of_target, nodes, |label, history| {
        // While nothing is counted on the whole panel, that is the alert.
        if all_stalled {
            return Switch::Unknown;
        }
        look(label, &history.traffic, history.traffic.pause_allowed())
    });
    (judged, crossings)
}

/// Whether a proxy core is down: the one beside the panel, and those of `nodes`, if these may be judged by.
pub(super) fn core_down(report: &Report, nodes: Option<&[Node]>, now: Moment) -> (Judged, Vec<Crossing>) {
    let mut crossings = Vec::new();
    let mut look = |subject: &Arc<str>, core: &CoreReads, part: Part| {
        let round = report.parts.get(&part).map_or(Duration::ZERO, |state| state.round);
        // Of a core that is asked so seldom no more than its newest answer may ever be known.
        let covered = core.covered(now) || round > CoreReads::WINDOW / 2;
        let down = core.down(now).filter(|share| covered || *share > CORE_DOWN_SHARE);
        let Some(share) = down else { return Switch::Unknown };
        let crossed = usize::from(share > CORE_DOWN_SHARE);
        crossings.push(Crossing::simple(Arc::clone(subject), crossed, Reading::Share(share)));
        Switch::On
    };
    let of_target = look(&"".into(), report.history.core(), Part::Core);
    let judged =
        target_and_nodes(report, of_target, nodes, |label, history| look(label, &history.core, Part::Nodes));
    (judged, crossings)
}

/// What was looked at by a question about the target and about each connected node. `nodes` are all there are, if these
/// may be judged by.
fn target_and_nodes(
    report: &Report,
    of_target: Switch,
    nodes: Option<&[Node]>,
    mut look: impl FnMut(&Arc<str>, &NodeHistory) -> Switch,
) -> Judged {
    let target: Arc<str> = "".into();
    let Some(nodes) = nodes else {
        let known = (of_target == Switch::On).then_some(target);
        return Judged::Those(known.into_iter().collect());
    };
    let of_nodes = nodes.iter().map(|node| {
        let history = report.history.node(&node.label).filter(|_| node.status == NodeStatus::Connected);
        let switch = match history {
            _ if node.status == NodeStatus::Disabled => Switch::Off,
            Some(history) => look(&node.label, history),
            None => Switch::Unknown,
        };
        (Arc::clone(&node.label), switch)
    });
    Judged::Named([(target, of_target)].into_iter().chain(of_nodes).chain(unread_nodes(report)).collect())
}

/// What the servers of nodes have moved of what they may move in a month. Of one whose month is over, nothing is known.
pub(super) fn node_traffic(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let months = report.node_months(now).map(|(node, allowance, month)| {
        let (used, limit) = (allowance.used(month.moved), allowance.bytes);
        let (crossed, held) = rule.crossed_by_use(used, limit);
        let reading = Reading::Used { used, limit, resets: Some(month.ends) };
        Crossing { held, ..Crossing::simple(Arc::clone(node), crossed, reading) }
    });
    let crossings: Vec<_> = months.collect();
    let known: BTreeSet<_> = crossings.iter().map(|crossing| &crossing.subject).collect();
    let nodes = report.nodes.iter().map(|node| &node.label);
    let counted = report.usage.iter().map(|usage| &usage.node);
    let names: BTreeSet<_> = nodes.chain(counted).collect();
    let judged = names.into_iter().map(|node| {
        let is_silent = report.node_periods.of(node).is_some() && !known.contains(node);
        (Arc::clone(node), if is_silent { Switch::Unknown } else { Switch::On })
    });
    (Judged::Named(judged.chain(unread_nodes(report)).collect()), crossings)
}

/// A share that the machines of nodes report. `nodes` are all there are, if these may be judged by.
pub(super) fn node_share(
    rule: &Rule,
    report: &Report,
    nodes: Option<&[Node]>,
    share: impl Fn(&NodeStats) -> Option<f64>,
) -> (Judged, Vec<Crossing>) {
    let shares = report.node_stats.iter().filter_map(|stats| Some((&stats.node, share(stats)?)));
    let shares: BTreeMap<_, _> = shares.collect();
    let crossing = |(node, share): (&&Arc<str>, &f64)| {
        Crossing::simple(Arc::clone(node), rule.crossed_by_share(*share), Reading::Share(*share))
    };
    let crossings = shares.iter().map(crossing).collect();
    let Some(nodes) = nodes else {
        return (Judged::Those(shares.into_keys().cloned().collect()), crossings);
    };
    let judged = nodes.iter().map(|node| {
        let switch = match node.status {
            NodeStatus::Disabled => Switch::Off,
            _ if shares.contains_key(&node.label) => Switch::On,
            _ => Switch::Unknown,
        };
        (Arc::clone(&node.label), switch)
    });
    (Judged::Named(judged.chain(unread_nodes(report)).collect()), crossings)
}

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Flow, Moment, Node, NodeStatus, NodeTraffic, Reads};

/// What must be remembered of a target's earlier answers, because the newest one is not enough.
#[derive(Clone, Debug, Default)]
pub struct History {
    up_since: Option<Moment>,
    reads: Reads,
    traffic: Flow,
    /// Whether the core was up, oldest first: the answers of the last [`CORE_WINDOW`], at least the newest.
    core: Vec<(Moment, bool)>,
    /// Of the nodes of the last list, by label. Shared, because a report is copied with every read of any part.
    nodes: Arc<HashMap<Arc<str>, NodeHistory>>,
}

/// What must be remembered of a node. A node that is switched off begins again.
#[derive(Clone, Debug, Default)]
pub struct NodeHistory {
    /// Failed: the node was not connected.
    pub reads: Reads,
    /// Bytes through the node, while it is connected.
    pub traffic: Flow,
}

/// How far back [`History::core_down`] looks.
pub const CORE_WINDOW: Duration = Duration::from_secs(5 * 60);

impl History {
    /// Records whether the target is up after an attempt that decides it.
    pub fn up_was(&mut self, up: bool, now: Moment) {
        self.up_since = if up { self.up_since.or(Some(now)) } else { None };
        self.reads.add(!up, now);
    }

    /// Records the bytes through the proxies, if they are known.
    pub(super) fn traffic_was(&mut self, sum: Option<u64>, now: Moment) {
        if let Some(sum) = sum {
            self.traffic.was(sum, now);
        }
    }

    pub(super) fn core_was(&mut self, up: bool, now: Moment) {
        self.core.retain(|(at, _)| now.since(*at) <= CORE_WINDOW);
        self.core.push((now, up));
    }

    /// Records a list of nodes. Nodes that are not among them are forgotten, but for those that `unread` names: their rows
    /// could not be read.
    pub(super) fn nodes_were(&mut self, nodes: &[Node], unread: &[Arc<str>], now: Moment) {
        let known = nodes.iter().map(|node| {
            let mut history = self.nodes.get(&node.label).cloned().unwrap_or_default();
            match node.status {
                _ if node.status_unread => {}
                NodeStatus::Disabled => history = NodeHistory::default(),
                NodeStatus::Connected => history.reads.add(false, now),
                NodeStatus::Connecting | NodeStatus::Error | NodeStatus::Limited | NodeStatus::Unknown => {
                    history.reads.add(true, now);
                }
            }
            history.traffic_was(node, node.bytes(), now);
            (Arc::clone(&node.label), history)
        });
        let kept =
            unread.iter().filter_map(|label| Some((Arc::clone(label), self.nodes.get(label)?.clone())));
        self.nodes = Arc::new(known.chain(kept).collect());
    }

    /// Records the traffic of `nodes` that do not count it themselves.
    pub(super) fn usage_was(&mut self, usage: &[NodeTraffic], nodes: &[Node], now: Moment) {
        let bytes: HashMap<_, _> = usage.iter().map(|usage| (&usage.node, usage)).collect();
        let known = Arc::make_mut(&mut self.nodes);
        for node in nodes.iter().filter(|node| node.uplink.is_none() && node.downlink.is_none()) {
            if let (Some(history), Some(usage)) = (known.get_mut(&node.label), bytes.get(&node.label)) {
                history.traffic_was(node, Some(usage.uplink.saturating_add(usage.downlink)), now);
            }
        }
    }

    /// Since when the target has been up without interruption; absent: it is not up.
    pub fn up_since(&self) -> Option<Moment> {
        self.up_since
    }

    /// The attempts that decided whether the target is up.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// The proxies' totals.
    pub fn traffic(&self) -> &Flow {
        &self.traffic
    }

    /// Absent: the last list of nodes does not have it.
    pub fn node(&self, label: &str) -> Option<&NodeHistory> {
        self.nodes.get(label)
    }

    /// The share of the core's answers within [`CORE_WINDOW`] that said it was down; absent: there are none.
    pub fn core_down(&self, now: Moment) -> Option<f64> {
        let recent = self.core.iter().filter(|(at, _)| now.since(*at) <= CORE_WINDOW);
        let (mut down, mut all) = (0_u32, 0_u32);
        for (_, up) in recent {
            all += 1;
            down += u32::from(!up);
        }
        (all > 0).then(|| f64::from(down) / f64::from(all))
    }

    /// Whether the core's answers within [`CORE_WINDOW`] are enough to call it healthy: four of them, or two minutes
    /// of them.
    pub fn core_covered(&self, now: Moment) -> bool {
        let ages = self.core.iter().map(|(at, _)| now.since(*at)).filter(|age| *age <= CORE_WINDOW);
        ages.clone().count() >= 4 || ages.max() >= Some(Duration::from_secs(2 * 60))
    }
}

impl NodeHistory {
    /// Records the bytes through `node`, if they are known.
    fn traffic_was(&mut self, node: &Node, bytes: Option<u64>, now: Moment) {
        if node.status != NodeStatus::Connected {
            self.traffic.interrupted(now);
        } else if let Some(bytes) = bytes {
            self.traffic.was(bytes, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn at(secs: u64) -> Moment {
        Moment { wall: Timestamp::default(), uptime: Duration::from_secs(secs) }
    }

    #[test]
    fn a_target_is_up_since_its_last_failure() {
        let mut history = History::default();
        let mut since = Vec::new();
        for (secs, up) in [(0, false), (30, true), (60, true), (90, false), (120, true)] {
            history.up_was(up, at(secs));
            since.push(history.up_since().map(|moment| moment.uptime.as_secs()));
        }
        assert_eq!(since, [None, Some(30), Some(30), None, Some(120)]);
    }

    #[test]
    fn the_core_is_judged_by_its_last_five_minutes() {
        let mut history = History::default();
        assert_eq!(history.core_down(at(0)), None);
        for secs in 0..600_u64 {
            history.core_was(secs >= 300, at(secs));
        }
        assert_eq!(history.core_down(at(599)), Some(1.0 / 301.0));
        assert_eq!(history.core_down(at(650)), Some(0.0));
        assert!(history.core.len() <= 301);
    }

    #[test]
    fn the_core_is_covered_by_four_answers_or_two_minutes() {
        let covered = |times: &[u64], now| {
            let mut history = History::default();
            for secs in times {
                history.core_was(true, at(*secs));
            }
            history.core_covered(at(now))
        };
        let cases: [(&[u64], u64, bool); 7] = [
            (&[], 600, false),
            (&[0], 0, false),
            (&[0, 30, 60], 60, false),
            (&[0, 30, 60, 90], 90, true),
            (&[0, 119], 119, false),
            (&[0, 120], 120, true),
            (&[0, 30, 60, 90, 600], 600, false),
        ];
        for (times, now, expected) in cases {
            assert_eq!(covered(times, now), expected, "{times:?} at {now}");
        }
    }
}

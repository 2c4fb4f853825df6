use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    Attempts, CoreReads, Credential, Flow, LlmRecent, LlmUsage, Moment, Node, NodeStatus, NodeTraffic,
    Outbound, Reads,
};

/// What must be remembered of a target's earlier answers, because the newest one is not enough.
#[derive(Clone, Debug, Default)]
pub struct History {
    up_since: Option<Moment>,
    reads: Reads,
    traffic: Flow,
    core: CoreReads,
    /// Of the nodes of the last list, by label. Shared, because a report is copied with every read of any part.
    nodes: Arc<HashMap<Arc<str>, NodeHistory>>,
    /// As `nodes`, of the outbounds.
    outbounds: Arc<HashMap<Arc<str>, OutboundHistory>>,
    /// As `nodes`, of the credentials. Failed: the credential was not available.
    credentials: Arc<HashMap<Arc<str>, Reads>>,
    /// By LLM provider.
    attempts: Arc<BTreeMap<Arc<str>, Attempts>>,
}

/// What must be remembered of a node. A node that is switched off begins again.
#[derive(Clone, Debug, Default)]
pub struct NodeHistory {
    /// Failed: the node was not connected.
    pub reads: Reads,
    /// Bytes through the node, while it is connected.
    pub traffic: Flow,
    /// The node's proxy core, while the node is connected.
    pub core: CoreReads,
}

/// What must be remembered of an outbound.
#[derive(Clone, Debug, Default)]
pub struct OutboundHistory {
    /// The answers that said whether it is up.
    pub reads: Reads,
    /// Since when answers have not said whether it is up; absent: the last one did.
    pub unprobed_since: Option<Moment>,
}

impl OutboundHistory {
    /// A core forgets its probes when it starts, and may take a while for the next. An outbound that is not probed for this
    /// long is not to be probed any more.
    pub const NOT_PROBED_AFTER: Duration = Duration::from_secs(60 * 60);
}

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
        self.core.add(up, now);
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
            if let (NodeStatus::Connected, Some(up)) = (node.status, node.core_up) {
                history.core.add(up, now);
            }
            (Arc::clone(&node.label), history)
        });
        let kept =
            unread.iter().filter_map(|label| Some((Arc::clone(label), self.nodes.get(label)?.clone())));
        self.nodes = Arc::new(known.chain(kept).collect());
    }

    /// Records a list of outbounds. Those that are not among them are forgotten.
    pub(super) fn outbounds_were(&mut self, outbounds: &[Outbound], now: Moment) {
        let known = outbounds.iter().map(|outbound| {
            let mut history = self.outbounds.get(&outbound.label).cloned().unwrap_or_default();
            match outbound.up {
                Some(up) => {
                    history.reads.add(!up, now);
                    history.unprobed_since = None;
                }
                None => history.unprobed_since = history.unprobed_since.or(Some(now)),
            }
            (Arc::clone(&outbound.label), history)
        });
        self.outbounds = Arc::new(known.collect());
    }

    /// Records a list of credentials. Those that are not among them are forgotten, and one that is switched off begins
    /// again.
    pub(super) fn credentials_were(&mut self, credentials: &[Credential], now: Moment) {
        let known = credentials.iter().map(|credential| {
            let known = self.credentials.get(&credential.label).cloned();
            let mut reads = known.filter(|_| !credential.is_disabled()).unwrap_or_default();
            if let Some(available) = credential.available.filter(|_| !credential.is_disabled()) {
                reads.add(!available, now);
            }
            (Arc::clone(&credential.label), reads)
        });
        self.credentials = Arc::new(known.collect());
    }

    /// Records the recent use of an LLM proxy.
    pub(super) fn llm_was(&mut self, usage: &LlmUsage, now: Moment) {
        let known = usage.recent.iter().take(MOST_PROVIDERS).map(|recent| {
            let LlmRecent { provider, attempts: all, failed } = recent;
            let mut attempts = self.attempts.get(provider).cloned().unwrap_or_default();
            attempts.were(*all, *failed, now);
            (Arc::clone(provider), attempts)
        });
        self.attempts = Arc::new(known.collect());
    }

    /// Records the traffic of `nodes` that do not count it themselves.
    pub(super) fn usage_was(&mut self, usage: &[NodeTraffic], nodes: &[Node], now: Moment) {
        let bytes: HashMap<_, _> = usage.iter().map(|usage| (&usage.node, usage)).collect();
        let known = Arc::make_mut(&mut self.nodes);
        for node in nodes.iter().filter(|node| node.uplink.is_none() && node.downlink.is_none()) {
            if let (Some(history), Some(usage)) = (known.get_mut(&node.label), bytes.get(&node.label)) {
                history.traffic_was(node, Some(usage.bytes()), now);
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

    /// Absent: the last list of outbounds does not have it.
    pub fn outbound(&self, label: &str) -> Option<&OutboundHistory> {
        self.outbounds.get(label)
    }

    /// The reads that said whether a credential is available. Absent: the last list of credentials does not have it.
    pub fn credential(&self, label: &str) -> Option<&Reads> {
        self.credentials.get(label)
    }

    /// The attempts at each LLM provider.
    pub fn attempts(&self) -> impl Iterator<Item = (&Arc<str>, &Attempts)> {
        self.attempts.iter()
    }

    /// The proxy core beside the panel.
    pub fn core(&self) -> &CoreReads {
        &self.core
    }
}

/// LLM providers whose attempts are remembered.
const MOST_PROVIDERS: usize = 200;

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
    use std::time::Duration;

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
}

use std::{fmt, sync::Arc, time::Duration};

use super::{Counter, Row, labels};

/// The panel's view of one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeStatus {
    Connected,
    Connecting,
    Error,
    Disabled,
    /// PasarGuard: the node's own data limit is reached.
    Limited,
    /// A word that this version of the exporter does not know.
    Unknown,
}

impl NodeStatus {
    /// Every status, in the order they are exported.
    pub const ALL: [NodeStatus; 6] = [
        NodeStatus::Connected,
        NodeStatus::Connecting,
        NodeStatus::Disabled,
        NodeStatus::Error,
        NodeStatus::Limited,
        NodeStatus::Unknown,
    ];

    /// The word used in metrics and pages.
    pub fn label(self) -> &'static str {
        match self {
            NodeStatus::Connected => "connected",
            NodeStatus::Connecting => "connecting",
            NodeStatus::Error => "error",
            NodeStatus::Disabled => "disabled",
            NodeStatus::Limited => "limited",
            NodeStatus::Unknown => "unknown",
        }
    }
}

/// A proxy server that the panel manages.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique within the target, see [`node_labels`].
    pub label: Arc<str>,
    pub address: String,
    pub status: NodeStatus,
    /// The last answer did not say the status, or not in a readable form. Then `status` is the last known one.
    pub status_unread: bool,
    /// What the panel says of its last failure to connect.
    pub message: Option<NodeMessage>,
    /// Version of the node's proxy core; the last known one while the node is disconnected.
    pub version: Option<String>,
    /// The factor by which the panel weighs this node's traffic for quotas.
    pub usage_coefficient: Option<f64>,
    /// Bytes since the node was added, where the panel counts them (PasarGuard: `lifetime_uplink`).
    pub uplink: Option<Counter>,
    /// As `uplink`, towards the users.
    pub downlink: Option<Counter>,
    /// Users whom the node serves.
    pub users: Option<u64>,
    /// Those of them who are online.
    pub users_online: Option<u64>,
    /// How long the node takes to answer the panel.
    pub latency: Option<Duration>,
    /// Whether the node's proxy core runs; absent: the panel does not say, or does not know at present.
    pub core_up: Option<bool>,
}

/// A panel's message about a node. It may contain addresses, so it is for notices only, and does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeMessage(String);

impl NodeMessage {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for NodeMessage {
    fn from(text: T) -> Self {
        NodeMessage(text.into())
    }
}

impl fmt::Debug for NodeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeMessage")
    }
}

impl Node {
    /// A node of which nothing else is known: for tests and examples.
    pub fn named(label: &str, status: NodeStatus) -> Node {
        Node {
            label: label.into(),
            address: String::new(),
            status,
            status_unread: false,
            message: None,
            version: None,
            usage_coefficient: None,
            uplink: None,
            downlink: None,
            users: None,
            users_online: None,
            latency: None,
            core_up: None,
        }
    }

    /// All bytes through it by its own counters; absent: the panel does not count them there.
    pub fn bytes(&self) -> Option<u64> {
        Counter::sum([self.uplink, self.downlink])
    }
}

/// What a node reports of the machine that it runs on. Absent: the panel does not report it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeStats {
    /// The label of the node.
    pub node: Arc<str>,
    /// 0 to 1 over all cores.
    pub cpu_usage: Option<f64>,
    pub cpu_cores: Option<u64>,
    /// Bytes.
    pub memory_used: Option<u64>,
    /// Bytes.
    pub memory_size: Option<u64>,
    /// The share of the memory that is in use, 0 to 1. Some systems report only this.
    pub memory_usage: Option<f64>,
    /// Bytes per second over all network interfaces, as the node measured them.
    pub receive_speed: Option<u64>,
    /// As `receive_speed`, in the other direction.
    pub transmit_speed: Option<u64>,
    /// Seconds.
    pub uptime: Option<f64>,
}

/// The name of the panel's own proxy among the nodes.
pub const MASTER: &str = "master";

/// The labels of nodes by id and name, in the same order, all different; no id means the panel's own proxy, which is
/// [`MASTER`]. See [`labels`].
pub fn node_labels(nodes: &[(Option<i64>, &str)]) -> Vec<Arc<str>> {
    let names =
        nodes.iter().map(|(id, name)| Row { name: if id.is_none() { MASTER } else { name }, id: *id });
    labels(&names.collect::<Vec<_>>(), MASTER)
}

/// Bytes through one node, counted since the first reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTraffic {
    pub node: Arc<str>,
    pub uplink: u64,
    pub downlink: u64,
}

impl NodeTraffic {
    /// All bytes, in both directions.
    pub fn bytes(&self) -> u64 {
        self.uplink.saturating_add(self.downlink)
    }
}

/// Bytes that one user moved through one node, weighted like the panel does, counted since the first reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserNodeTraffic {
    pub user: Arc<str>,
    pub node: Arc<str>,
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_labels_are_unique_and_never_pass_for_the_master() {
        let nodes = [
            (None, "b"),
            (Some(1), "a"),
            (Some(2), "b"),
            (Some(3), "a"),
            (Some(4), "master"),
            (Some(5), "master#4"),
        ];
        let labels = node_labels(&nodes);
        assert_eq!(
            labels.iter().map(|l| &**l).collect::<Vec<_>>(),
            ["master", "a#1", "b", "a#3", "master#4", "master#4#5"]
        );
    }
}

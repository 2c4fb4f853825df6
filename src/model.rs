//! What is known about the world, in our own units.
//!
//! Nothing here does I/O, reads a clock or knows an upstream's wire format. [`Report`] is where to begin: it is
//! what one target is known to be, part by part, and everything downstream reads it and nothing else.

mod active;
mod counter;
mod history;
mod notice;
mod reading;
mod report;
mod time;
mod users;
pub mod words;

pub use active::{ActiveAlert, ActiveAlerts, AlertState, KIND_USER};
pub use counter::Counter;
pub use history::{CORE_WINDOW, History};
pub use notice::{Notice, NoticeAlert, NoticeStatus, Severity};
pub use reading::Reading;
pub use report::{Outcome, PartState, Report};
pub use time::{Moment, Timestamp};
pub use users::{Expiry, User, UserStatus, Users};

use std::{collections::HashSet, sync::Arc};

/// A system that a target was found to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Marzban,
    /// Marzban's successor.
    PasarGuard,
}

impl System {
    /// The word used in metrics, logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            System::Marzban => "marzban",
            System::PasarGuard => "pasarguard",
        }
    }
}

/// What was detected behind a target's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub system: System,
    /// As the panel says it, e.g. `0.8.4`.
    pub version: String,
    /// The API generation we speak to it, e.g. `0.8`.
    pub generation: String,
}

/// A part of a target that is polled at its own pace and has its own age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Version, host, counts and traffic totals: the cheapest answer, which decides `up`.
    System,
    /// The proxy core beside the panel.
    Core,
    Nodes,
    /// Traffic by node.
    Usage,
    Admins,
    /// The user list, walked page by page.
    Users,
    /// Traffic by node of the users named in the configuration.
    UserNodes,
}

impl Part {
    /// The word used in metrics, logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            Part::System => "system",
            Part::Core => "core",
            Part::Nodes => "nodes",
            Part::Usage => "usage",
            Part::Admins => "admins",
            Part::Users => "users",
            Part::UserNodes => "user_nodes",
        }
    }
}

/// One answer to one question, converted from an upstream's wire format: what [`Report::merge`] takes.
#[derive(Debug)]
pub enum PartData {
    System(SystemFacts),
    Core(Core),
    Nodes(Vec<Node>),
    Usage(Vec<NodeTraffic>),
    Admins(Vec<Admin>),
    /// Some users of a walk in progress; names not among them keep what is known of them.
    UsersPage(Vec<User>),
    /// The last page of a walk. Users not among `seen` are missing, see [`Users::missing`].
    UsersEnd(WalkEnd),
    /// Users that were asked for by name.
    UsersNamed(NamedUsers),
    UserNodes(Vec<UserNodeTraffic>),
}

/// How a walk of the user list ended.
#[derive(Debug, Default)]
pub struct WalkEnd {
    pub page: Vec<User>,
    /// Every name met on this walk, those of `page` included.
    pub seen: HashSet<Arc<str>>,
    /// Rows that the panel could not or did not give in a readable form.
    pub unreadable: usize,
    /// When the walk's first page was asked for.
    pub started: Moment,
}

/// What came of asking for users by name.
#[derive(Debug, Default)]
pub struct NamedUsers {
    pub found: Vec<User>,
    /// Names that the panel does not know.
    pub gone: Vec<Arc<str>>,
}

/// What a panel's cheapest answer tells.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemFacts {
    pub identity: Identity,
    pub host: Host,
    /// Bytes through the proxies since the panel's database was created, master and nodes together.
    pub proxy_uplink: Option<u64>,
    /// As `proxy_uplink`, towards the users.
    pub proxy_downlink: Option<u64>,
    pub counts: UserCounts,
}

/// The machine the panel runs on. Absent: the panel does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// 0 to 1 over all cores.
    pub cpu_usage: Option<f64>,
    pub cpu_cores: Option<u64>,
    /// Bytes.
    pub memory_used: Option<u64>,
    /// Bytes.
    pub memory_size: Option<u64>,
    /// Bytes.
    pub disk_used: Option<u64>,
    /// Bytes.
    pub disk_size: Option<u64>,
    /// Seconds.
    pub uptime: Option<f64>,
}

/// The panel's own counts of its users, as far as this account may see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserCounts {
    /// All users, whatever their status.
    pub total: Option<u64>,
    /// By status; a status that the panel does not count is missing.
    pub by_status: Vec<(UserStatus, u64)>,
    /// Moving traffic within the last two minutes (PasarGuard: `online_users`).
    pub online: Option<u64>,
    /// Moved traffic within the last day (Marzban: `online_users`).
    pub seen_within_day: Option<u64>,
}

/// The proxy core that runs beside the panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    pub up: bool,
    pub version: Option<String>,
}

/// How a panel sees one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeStatus {
    Connected,
    Connecting,
    Error,
    Disabled,
    /// PasarGuard: the node's own data limit is reached.
    Limited,
    /// A word that this version does not know.
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

/// A proxy server that the panel steers.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique within the target, see [`node_labels`].
    pub label: Arc<str>,
    pub address: String,
    pub status: NodeStatus,
    /// Version of the node's proxy core; the last known one while it is not connected.
    pub version: Option<String>,
    /// Factor by which the panel weighs this node's traffic for quotas.
    pub usage_coefficient: Option<f64>,
    /// Bytes since the node was added, where the panel counts them (PasarGuard: `lifetime_uplink`).
    pub uplink: Option<Counter>,
    /// As `uplink`, towards the users.
    pub downlink: Option<Counter>,
}

/// The name of the panel's own proxy among the nodes.
pub const MASTER: &str = "master";

/// The labels of nodes by id and name, in the same order; no id is the panel's own proxy. A node's label is its name,
/// with `#` and its id where another node of the list has that name, or where it would pass for [`MASTER`] or for a
/// label made this way.
pub fn node_labels(nodes: &[(Option<i64>, &str)]) -> Vec<Arc<str>> {
    let mut known = HashSet::new();
    let mut clashing = HashSet::from([MASTER]);
    for (_, name) in nodes.iter().filter(|(id, _)| id.is_some()) {
        if !known.insert(*name) {
            clashing.insert(*name);
        }
    }
    let labels = nodes.iter().map(|(id, name)| match id {
        None => MASTER.into(),
        Some(id) if clashing.contains(name) || ends_like_a_label(name) => format!("{name}#{id}").into(),
        Some(_) => Arc::from(*name),
    });
    labels.collect()
}

fn ends_like_a_label(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, id)| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Bytes that went through one node, counted since we first saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTraffic {
    pub node: Arc<str>,
    pub uplink: u64,
    pub downlink: u64,
}

/// Bytes one user moved through one node, weighted as the panel weighs them, counted since we first saw them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserNodeTraffic {
    pub user: Arc<str>,
    pub node: Arc<str>,
    pub bytes: u64,
}

/// An administrator of the panel, who may own users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub name: String,
    pub sudo: Option<bool>,
    /// Bytes used by the admin's users, as the panel counts and resets them.
    pub used: Option<u64>,
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

//! The one conversion from Marzban's and PasarGuard's answers to the model.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::wire;
use crate::model::{
    Admin, Core, Counter, Expiry, Host, Identity, Node, NodeStatus, ProxyTraffic, System, Timestamp, User,
    UserCounts, UserStatus, node_labels,
};

/// A node in usage answers: no id means the panel's own proxy. SQLite may reuse a removed node's id; the name then
/// distinguishes the nodes.
pub(super) type NodeKey = (Option<i64>, String);

/// A user that moved traffic within this time is online.
const ONLINE_WITHIN: Duration = Duration::from_secs(120);

/// The facts of `/api/system`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SystemFacts {
    pub(super) identity: Identity,
    pub(super) host: Host,
    pub(super) proxy_traffic: ProxyTraffic,
    pub(super) counts: UserCounts,
}

/// Absent: the answer is neither Marzban's nor PasarGuard's.
pub(super) fn system(answer: &wire::System) -> Option<SystemFacts> {
    let total = answer.total_user;
    let system = if answer.active_users.is_some() {
        System::PasarGuard
    } else if total.is_some() && (answer.users_active.is_some() || answer.incoming_bandwidth.is_some()) {
        System::Marzban
    } else {
        return None;
    };
    let counted = [
        (UserStatus::Active, answer.users_active.or(answer.active_users)),
        (UserStatus::OnHold, answer.users_on_hold.or(answer.on_hold_users)),
        (UserStatus::Disabled, answer.users_disabled.or(answer.disabled_users)),
        (UserStatus::Expired, answer.users_expired.or(answer.expired_users)),
        (UserStatus::Limited, answer.users_limited.or(answer.limited_users)),
    ];
    let online = answer.online_users.map(|count| count.0);
    // The same key means the last day in Marzban and the last two minutes in PasarGuard.
    let (online, seen_within_day) =
        if system == System::PasarGuard { (online, None) } else { (None, online) };
    let version = answer.version.clone().unwrap_or_default();
    Some(SystemFacts {
        identity: Identity { system, generation: generation(system, &version), version },
        host: Host {
            cpu_usage: answer.cpu_usage.map(|percent| (percent / 100.0).clamp(0.0, 1.0)),
            cpu_cores: bytes(answer.cpu_cores),
            memory_used: bytes(answer.mem_used),
            memory_size: bytes(answer.mem_total),
            disk_used: bytes(answer.disk_used),
            disk_size: bytes(answer.disk_total),
            uptime: answer.uptime_seconds.map(|seconds| seconds.max(0.0)),
        },
        proxy_traffic: ProxyTraffic {
            uplink: bytes(answer.incoming_bandwidth),
            downlink: bytes(answer.outgoing_bandwidth),
        },
        counts: UserCounts {
            total: bytes(total),
            by_status_at: None,
            by_status: counted.into_iter().filter_map(|(status, n)| Some((status, n?.0))).collect(),
            online,
            seen_within_day,
        },
    })
}

/// Marzban changes its API with the minor version, PasarGuard with the major one.
fn generation(system: System, version: &str) -> String {
    let numbers = if system == System::PasarGuard { 1 } else { 2 };
    version.trim_start_matches('v').split('.').take(numbers).collect::<Vec<_>>().join(".")
}

fn bytes(count: Option<wire::Count>) -> Option<u64> {
    count.map(|count| count.0)
}

pub(super) fn core(answer: wire::Core) -> Core {
    Core { up: answer.started, version: answer.version.filter(|version| !version.is_empty()) }
}

pub(super) fn nodes(list: &[wire::Node]) -> Vec<Node> {
    let mut ids = HashSet::new();
    let list: Vec<_> = list.iter().filter(|node| ids.insert(node.id)).collect();
    let names: Vec<_> = list.iter().map(|node| (Some(node.id), node.name.as_str())).collect();
    let nodes = node_labels(&names).into_iter().zip(list).map(|(label, node)| Node {
        label,
        address: node.address.clone().unwrap_or_default(),
        status: node_status(&node.status),
        message: None,
        version: node.xray_version.clone().filter(|version| !version.is_empty()),
        usage_coefficient: node.usage_coefficient,
        uplink: bytes(node.lifetime_uplink).map(Counter::new),
        downlink: bytes(node.lifetime_downlink).map(Counter::new),
    });
    nodes.collect()
}

fn node_status(word: &str) -> NodeStatus {
    NodeStatus::ALL.into_iter().find(|status| status.label() == word).unwrap_or(NodeStatus::Unknown)
}

pub(super) fn admins(answer: wire::Admins) -> Vec<Admin> {
    let mut names = HashSet::new();
    let admins = answer.into_list().into_iter().filter(|admin| names.insert(admin.username.clone()));
    let admins = admins.map(|admin| Admin {
        sudo: admin.is_sudo.or(admin.role.and_then(|role| role.is_owner)),
        used: bytes(admin.users_usage.or(admin.used_traffic)),
        name: admin.username,
    });
    admins.collect()
}

/// Sums by node of a Marzban usage answer, each node once.
pub(super) fn usages<const N: usize>(
    answer: wire::Usages,
    sums: impl Fn(&wire::Usage) -> [u64; N],
) -> Vec<(NodeKey, [u64; N])> {
    let mut known = HashSet::new();
    let usages = answer.usages.into_iter().map(|usage| {
        let sums = sums(&usage);
        ((usage.node_id, usage.node_name), sums)
    });
    usages.filter(|(key, _)| known.insert(key.clone())).collect()
}

/// A window of hours as a query; without an end it reaches to now. The plus sign must be encoded, or it is read as a
/// space; panels on Python 3.10 refuse `Z`, and from 0.7 on a date without an offset is local time.
pub(super) fn window(from: i64, to: Option<i64>) -> String {
    let start = query_time(from);
    to.map_or_else(|| format!("start={start}"), |to| format!("start={start}&end={}", query_time(to)))
}

fn query_time(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%%2B00:00").to_string()
}

/// A name as one segment of a path.
pub(super) fn percent_encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(encoded, "%{byte:02X}").unwrap_or_default();
        }
    }
    encoded
}

/// Names that answers contain only in part: labels of nodes in usage answers, and owners. A panel has few owners, so
/// each name is stored once.
#[derive(Debug, Default)]
pub(super) struct Naming {
    nodes: HashMap<i64, String>,
    owners: Owners,
}

type Owners = Arc<Mutex<HashSet<Arc<str>>>>;

impl Naming {
    pub(super) fn learn(&mut self, nodes: &[wire::Node]) {
        self.nodes = nodes.iter().map(|node| (node.id, node.name.clone())).collect();
    }

    /// Removes owners without any known user.
    pub(super) fn forget_former_owners(&self) {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|owner| Arc::strong_count(owner) > 1);
    }

    pub(super) fn owners(&self) -> Owners {
        Arc::clone(&self.owners)
    }

    /// Labels of the nodes in a usage answer, in its order: those from the list of nodes, for nodes that are in it.
    pub(super) fn labels<'a>(&self, keys: impl Iterator<Item = &'a NodeKey>) -> Vec<Arc<str>> {
        let keys: Vec<_> = keys.map(|(id, name)| (*id, name.as_str())).collect();
        let mut nodes = keys.clone();
        let named: HashSet<_> = keys.iter().filter_map(|(id, _)| *id).collect();
        let others = self.nodes.iter().filter(|(id, _)| !named.contains(id));
        nodes.extend(others.map(|(id, name)| (Some(*id), name.as_str())));
        let mut labels = node_labels(&nodes);
        labels.truncate(keys.len());
        labels
    }

    /// Sums by node of a PasarGuard answer, which has only the ids of nodes, 0 for the panel's own proxy, and leaves
    /// out idle nodes.
    pub(super) fn by_id<const N: usize>(
        &self,
        answer: wire::Stats,
        sums: impl Fn(&wire::Bucket) -> [u64; N],
    ) -> Vec<(NodeKey, [u64; N])> {
        let mut nodes: BTreeMap<_, _> = self.nodes.keys().map(|id| (*id, Vec::new())).collect();
        nodes.extend(answer.stats);
        let nodes = nodes.into_iter().map(|(id, buckets)| {
            let mut total = [0_u64; N];
            for bucket in &buckets {
                for (sum, bytes) in total.iter_mut().zip(sums(bucket)) {
                    *sum = sum.saturating_add(bytes);
                }
            }
            let name = self.nodes.get(&id).cloned().unwrap_or_else(|| format!("node {id}"));
            ((Some(id).filter(|id| *id != 0), name), total)
        });
        nodes.collect()
    }
}

/// What converting a row of the user list needs besides the row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) read_at: Timestamp,
    /// The panel's clock, which `online_at` refers to.
    pub(super) panel_now: Timestamp,
    pub(super) owners: Owners,
}

impl Row {
    pub(super) fn convert(&self, row: wire::UserRow<'_>) -> User {
        let status = user_status(&row.status);
        let used = row.used_traffic.unwrap_or_default().0;
        let last_online = row.online_at.map(|wire::Time(time)| time);
        User {
            name: row.username.into(),
            owner: row.admin.map(|admin| self.owner(&admin.username)),
            status,
            used,
            limit: bytes(row.data_limit).filter(|limit| *limit > 0),
            traffic: Counter::new(bytes(row.lifetime_used_traffic).unwrap_or(used)),
            uplink: None,
            downlink: None,
            expiry: expiry(status, row.expire, row.on_hold_expire_duration),
            renews: false,
            quota_reset: None,
            last_online,
            online: last_online.is_some_and(|last| self.panel_now.since(last) <= ONLINE_WITHIN),
            read_at: self.read_at,
        }
    }

    fn owner(&self, name: &str) -> Arc<str> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = owners.get(name) {
            return Arc::clone(known);
        }
        let owner: Arc<str> = name.into();
        owners.insert(Arc::clone(&owner));
        owner
    }
}

fn user_status(word: &str) -> UserStatus {
    UserStatus::KNOWN.into_iter().find(|status| status.label() == word).unwrap_or(UserStatus::Unknown)
}

/// Marzban: `expire` is in seconds, null or 0 = never; an `on_hold` user has no date yet but a duration that starts
/// with the first use.
fn expiry(status: UserStatus, expire: Option<wire::Time>, on_hold: Option<wire::Count>) -> Expiry {
    match (expire, on_hold) {
        (Some(wire::Time(at)), _) if at.as_millis() > 0 => Expiry::At(at),
        (_, Some(wire::Count(seconds))) if status == UserStatus::OnHold && seconds > 0 => {
            Expiry::OnFirstUse(Duration::from_secs(seconds))
        }
        _ => Expiry::Never,
    }
}

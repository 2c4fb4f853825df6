//! Every family of series about the targets: names, kinds, labels in their order, and what they mean.

/// What the names of all metrics start with.
pub const PREFIX: &str = "proxymeter_";

/// Series of one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The series' full name, less [`PREFIX`].
    pub name: &'static str,
    pub kind: Kind,
    /// The unit that the name ends in; empty if there is none.
    pub unit: &'static str,
    /// In the order they are written.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// Always 1; the labels are what it tells. The classic format knows no such kind and calls it a gauge.
    Info,
}

/// Every family about the targets, in the order they are written.
pub fn families() -> &'static [&'static Family] {
    ALL
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, unit: "", labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, unit: "", labels, help }
}

const fn info(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Info, unit: "", labels, help }
}

impl Family {
    const fn in_unit(self, unit: &'static str) -> Self {
        Family { unit, ..self }
    }
}

/// Declares each family as a static, and `ALL` of them in the order of their declaration.
macro_rules! families {
    ($($ident:ident = $family:expr;)*) => {
        $(pub(super) static $ident: Family = $family;)*
        static ALL: &[&Family] = &[$(&$ident),*];
    };
}

families! {
    UP = gauge("up", &["target"],
        "Whether login and the target's cheapest part (system) succeeded when last polled.");
    TARGET_INFO = info("target_info", &["target", "system", "version", "generation"],
        "What was detected behind the target's URL: the system, its version as it says it, and the API generation spoken to it; polled.");
    TARGET_PART_UP = gauge("target_part_up", &["target", "part"],
        "Whether a part of the target was read when last polled. No series for a part that the account may not read.");
    TARGET_PART_REFUSED = gauge("target_part_refused", &["target", "part"],
        "Whether the account may not read a part of the target, when last polled; not a failure.");
    TARGET_PART_LAST_SUCCESS = gauge("target_part_last_success_timestamp_seconds", &["target", "part"],
        "When a part of the target was last read to its end, since the Unix epoch. Its values are cached, and older than this by at most the time that the read took.")
        .in_unit("seconds");
    TARGET_PART_DURATION = gauge("target_part_poll_duration_seconds", &["target", "part"],
        "How long the last whole read of a part took. The users of a large panel are walked slowly by design.")
        .in_unit("seconds");
    TARGET_CERTIFICATE_EXPIRY = gauge("target_certificate_expiry_timestamp_seconds", &["target"],
        "End of validity (notAfter) of the certificate that the target presented when last polled, since the Unix epoch.")
        .in_unit("seconds");
    TARGET_USERS_OMITTED = gauge("target_users_omitted", &["target"],
        "Users without series of their own because of the configured limit; the first by name are kept. Polled.");
    TARGET_USERS_UNREADABLE = gauge("target_users_unreadable", &["target"],
        "Users that the panel counts but did not give in a readable form on the last finished walk of its list; polled.");

    USERS = gauge("users", &["target", "status"],
        "Users by status as the panel counts them (Marzban: users_active, users_disabled, users_expired, users_limited, users_on_hold of /api/system), or counted from the list of users for a panel that does not; polled.");
    USERS_ONLINE = gauge("users_online", &["target"],
        "Users moving traffic within two minutes (PasarGuard: online_users; Marzban: users whose online_at lay within two minutes of the read, while the walk of the list began less than five minutes ago); polled.");
    USERS_SEEN = gauge("users_seen", &["target", "within"],
        "Users who moved traffic within a time (Marzban: online_users of /api/system is within=1d); polled.");
    USERS_EXPIRING = gauge("users_expiring", &["target", "within"],
        "Active users whose plan (expire) ends within a time from now; cumulative. From the polled list, reckoned anew every minute.");
    USERS_NEAR_QUOTA = gauge("users_near_quota", &["target", "ratio"],
        "Active and limited users who have a quota and used at least this ratio of it (used_traffic / data_limit); cumulative. From the polled list.");
    USER_STATUS = gauge("user_status", &["target", "user", "status"],
        "1 for the user's present status (status), and no series for the others: use count by (status). Polled.");
    USER_INFO = info("user_info", &["target", "user", "admin"],
        "The admin who owns the user (admin.username); polled.");
    USER_USED = gauge("user_used_bytes", &["target", "user"],
        "Traffic that counts against the user's quota (used_traffic); falls when the panel resets it. Polled.")
        .in_unit("bytes");
    USER_LIMIT = gauge("user_limit_bytes", &["target", "user"],
        "The user's quota (data_limit); no series if unlimited. Polled.")
        .in_unit("bytes");
    USER_TRAFFIC = counter("user_traffic_bytes_total", &["target", "user"],
        "Traffic the user ever moved (lifetime_used_traffic), weighted by the nodes' coefficients; polled.")
        .in_unit("bytes");
    USER_EXPIRY = gauge("user_expiry_timestamp_seconds", &["target", "user"],
        "When the user's plan ends (expire), since the Unix epoch; no series if never. Polled.")
        .in_unit("seconds");
    USER_EXPIRY_PENDING = gauge("user_expiry_pending_seconds", &["target", "user"],
        "How long the user's plan runs from its first use (on_hold_expire_duration); polled.")
        .in_unit("seconds");
    USER_ONLINE = gauge("user_online", &["target", "user"],
        "Whether the user moved traffic (online_at) within two minutes before the user was read; no series if that read is older than five minutes. Polled.");
    USER_LAST_ONLINE = gauge("user_last_online_timestamp_seconds", &["target", "user"],
        "When the user last moved traffic (online_at), since the Unix epoch; no series if never. Polled.")
        .in_unit("seconds");
    USER_NODE_TRAFFIC = counter("user_node_traffic_bytes_total", &["target", "user", "node"],
        "Traffic the user moved through a node (/api/user/NAME/usage: used_traffic), for the users named in the configuration, counted since it was first seen; polled.")
        .in_unit("bytes");

    NODE_UP = gauge("node_up", &["target", "node"],
        "Whether the panel is connected to the node (status); no series for a disabled node. Polled.");
    NODE_STATUS = gauge("node_status", &["target", "node", "status"],
        "1 for the node's present status (status), 0 for the others; words not known yet count as unknown. Polled.");
    NODE_INFO = info("node_info", &["target", "node", "address", "version"],
        "The node's address (address) and the last known version of its proxy core (xray_version); polled.");
    NODE_UPLINK = counter("node_uplink_bytes_total", &["target", "node"],
        "Traffic from users through the node, unweighted (PasarGuard: lifetime_uplink; Marzban: uplink of /api/nodes/usage, added up by the hour since first seen; the panel's own proxy is master). Polled.")
        .in_unit("bytes");
    NODE_DOWNLINK = counter("node_downlink_bytes_total", &["target", "node"],
        "Traffic to users through the node, unweighted (PasarGuard: lifetime_downlink; Marzban: downlink of /api/nodes/usage, added up by the hour since first seen; the panel's own proxy is master). Polled.")
        .in_unit("bytes");
    NODE_USAGE_COEFFICIENT = gauge("node_usage_coefficient", &["target", "node"],
        "Factor by which the panel weighs the node's traffic for quotas (usage_coefficient); polled.");

    HOST_CPU_USAGE = gauge("host_cpu_usage_ratio", &["target"],
        "Use of all cores of the panel's host, 0 to 1, since anybody last asked the panel (cpu_usage, percent); polled.")
        .in_unit("ratio");
    HOST_CPU_CORES = gauge("host_cpu_cores", &["target"],
        "Cores of the panel's host (cpu_cores); polled.");
    HOST_MEMORY_USED = gauge("host_memory_used_bytes", &["target"],
        "Memory in use on the panel's host (mem_used); polled.")
        .in_unit("bytes");
    HOST_MEMORY_SIZE = gauge("host_memory_size_bytes", &["target"],
        "Memory of the panel's host (mem_total); polled.")
        .in_unit("bytes");
    HOST_DISK_USED = gauge("host_disk_used_bytes", &["target"],
        "Disk space in use on the panel's host (PasarGuard: disk_used); polled.")
        .in_unit("bytes");
    HOST_DISK_SIZE = gauge("host_disk_size_bytes", &["target"],
        "Disk space of the panel's host (PasarGuard: disk_total); polled.")
        .in_unit("bytes");
    HOST_UPTIME = gauge("host_uptime_seconds", &["target"],
        "How long the panel's host has been up, as the panel says (PasarGuard: uptime_seconds); polled.")
        .in_unit("seconds");

    PROXY_UPLINK = counter("proxy_uplink_bytes_total", &["target"],
        "Traffic from users through all proxies since the panel's database was created, unweighted (incoming_bandwidth); polled.")
        .in_unit("bytes");
    PROXY_DOWNLINK = counter("proxy_downlink_bytes_total", &["target"],
        "Traffic to users through all proxies since the panel's database was created, unweighted (outgoing_bandwidth); polled.")
        .in_unit("bytes");
    CORE_UP = gauge("core_up", &["target"],
        "Whether the proxy core beside the panel runs (started of /api/core); polled.");
    CORE_INFO = info("core_info", &["target", "version"],
        "Version of the proxy core beside the panel (version of /api/core); polled.");

    ADMIN_USED = gauge("admin_used_bytes", &["target", "admin"],
        "Traffic of the admin's users as the panel counts and resets it (users_usage); polled.")
        .in_unit("bytes");
    ADMIN_INFO = info("admin_info", &["target", "admin", "sudo"],
        "Whether the admin may see and do everything (is_sudo); polled.");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_rules_of_naming() {
        let mut names = HashSet::new();
        for family in families() {
            let Family { name, kind, unit, labels, help } = family;
            assert!(names.insert(name), "{name} twice");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Kind::Info, name.ends_with("_info"), "{name}");
            let stem = name.strip_suffix("_total").unwrap_or(name);
            let named =
                ["seconds", "bytes", "ratio"].into_iter().find(|unit| stem.ends_with(&format!("_{unit}")));
            assert_eq!(named.unwrap_or_default(), *unit, "{name}");
            assert_eq!(labels.first(), Some(&"target"), "{name}");
            assert!(labels.iter().all(|label| !["job", "instance", "type"].contains(label)), "{name}");
            let polled = ["polled", "Polled", "walked", "read"].iter().any(|word| help.contains(word));
            assert!(polled && help.ends_with('.') && !help.contains(['"', '\\', '\n']), "{name}: {help}");
        }
    }
}

//! Nodes: other panels that this one manages, and theirs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde_json::value::RawValue;

use crate::{
    model::{MASTER, Node, NodeStats, NodeStatus, Row, labels},
    upstream::json::{Object, OddFields, Rows, rows},
};

/// The nodes of a list.
#[derive(Debug)]
pub(in crate::upstream::xui) struct Nodes {
    pub(in crate::upstream::xui) nodes: Rows<Node>,
    pub(in crate::upstream::xui) stats: Vec<NodeStats>,
    /// The labels of the nodes that have an id, for inbounds.
    pub(in crate::upstream::xui) labels: HashMap<i64, Arc<str>>,
}

/// The nodes of `nodes/list`, or of `descendants`, which has less of each; absent: it is no list.
pub(in crate::upstream::xui) fn nodes(list: &RawValue, odd: &OddFields) -> Option<Nodes> {
    let mut known = HashSet::new();
    let Rows { mut kept, omitted } = rows("node", list, odd, |row| {
        let name = row.identity("name").ok()?;
        // Nodes of nodes have 0, and a node that was never reached has no `guid`.
        let id = row.integer("id").filter(|id| *id != 0);
        let guid = row.text("guid");
        let key = guid.clone().unwrap_or_else(|| format!("{id:?} {name}"));
        known.insert(key).then(|| {
            let node = node(&row, &name);
            let stats = (node.status == NodeStatus::Connected).then(|| stats(&row));
            (name, id, node, stats.flatten())
        })
    })?;
    let names: Vec<_> = kept.iter().map(|(name, id, ..)| Row { name, id: *id }).collect();
    let unique = labels(&names, MASTER);
    let mut found =
        Nodes { nodes: Rows { kept: Vec::new(), omitted }, stats: Vec::new(), labels: HashMap::new() };
    for ((_, id, mut node, stats), label) in kept.drain(..).zip(unique) {
        if let Some(id) = id {
            found.labels.insert(id, Arc::clone(&label));
        }
        found.stats.extend(stats.map(|stats| NodeStats { node: Arc::clone(&label), ..stats }));
        node.label = label;
        found.nodes.kept.push(node);
    }
    Some(found)
}

fn node(row: &Object<'_>, name: &str) -> Node {
    let word = row.text("status");
    // Nodes of nodes say `false`, whatever they are.
    let is_off = row.flag("enable") == Some(false) && row.flag("transitive") != Some(true);
    let status = match word.as_deref() {
        _ if is_off => NodeStatus::Disabled,
        Some("online") => NodeStatus::Connected,
        Some("offline") => NodeStatus::Error,
        // Not probed yet.
        Some("unknown") => NodeStatus::Connecting,
        _ => NodeStatus::Unknown,
    };
    let is_online = status == NodeStatus::Connected;
    let state = row.text("xrayState").filter(|_| is_online);
    Node {
        address: row.text("address").unwrap_or_default(),
        status_unread: word.is_none() && !is_off,
        message: row.text("lastError").map(|error| without_address(&error).into()),
        // "" while the node is offline.
        version: row.text("xrayVersion"),
        users: row.count("clientCount").filter(|_| is_online),
        users_online: row.count("onlineCount").filter(|_| is_online),
        latency: row.count("latencyMs").filter(|_| is_online).map(Duration::from_millis),
        core_up: state.map(|state| state.eq_ignore_ascii_case("running")),
        ..Node::named(name, status)
    }
}

/// What the panel measured of an online node. A failed probe makes these 0, and `descendants` has none.
fn stats(row: &Object<'_>) -> Option<NodeStats> {
    let ratio = |field| row.number(field).map(|percent| (percent / 100.0).clamp(0.0, 1.0));
    let stats = NodeStats {
        cpu_usage: ratio("cpuPct"),
        memory_usage: ratio("memPct"),
        receive_speed: row.count("netDown"),
        transmit_speed: row.count("netUp"),
        uptime: row.number("uptimeSecs").map(|seconds| seconds.max(0.0)),
        ..NodeStats::default()
    };
    (stats != NodeStats::default()).then_some(stats)
}

/// Go's errors begin with the request, whose path is the node's secret base path: `Get "https://…": why`.
fn without_address(error: &str) -> String {
    match error.rsplit_once("\": ") {
        Some((request, why)) if request.contains("://") => why.to_owned(),
        _ if error.contains("://") => "the panel cannot connect".to_owned(),
        _ => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_nodes_do_not_show_their_base_paths() {
        for (error, message) in [
            ("HTTP 404 from remote panel", "HTTP 404 from remote panel"),
            ("Get \"http://h:9/secret/panel/api/server/status\": dial tcp: refused", "dial tcp: refused"),
            ("cannot reach http://h:9/secret/", "the panel cannot connect"),
        ] {
            assert_eq!(without_address(error), message);
        }
    }
}

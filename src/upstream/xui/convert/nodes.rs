//! Nodes: other panels that this one manages, and theirs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::status::core_runs;
use crate::{
    model::{MASTER, Node, NodeStats, NodeStatus, Row, labels},
    upstream::json::{Object, OddFields, Rows, rows},
};

/// The nodes of a list.
#[derive(Debug)]
pub(in crate::upstream::xui) struct Nodes {
    pub(in crate::upstream::xui) nodes: Rows<Node>,
    pub(in crate::upstream::xui) stats: Vec<NodeStats>,
    pub(in crate::upstream::xui) labels: NodeLabels,
}

/// The labels of nodes, for inbounds.
#[derive(Debug, Default)]
pub(in crate::upstream::xui) struct NodeLabels {
    by_id: HashMap<i64, Arc<str>>,
    /// Nodes that are copies of each other have the same one, and are not in here.
    by_guid: HashMap<String, Arc<str>>,
}

impl NodeLabels {
    /// The label of the node that an inbound is on. Its id is that of the node that leads there, if it is a node of a node.
    pub(super) fn of(&self, id: i64, guid: Option<&str>) -> Option<&Arc<str>> {
        guid.and_then(|guid| self.by_guid.get(guid)).or_else(|| self.by_id.get(&id))
    }
}

/// How much of its `guid` a label shows of a node that has no id.
const GUID_PREFIX: usize = 8;

/// The nodes of `nodes/list`, or of `descendants`, which has less of each, where null is an empty list; absent: it is no
/// list.
pub(in crate::upstream::xui) fn nodes(list: Option<&str>, odd: &OddFields) -> Option<Nodes> {
    let (mut direct, mut direct_guids, mut shared_guids) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut read = |row: Object<'_>| {
        let name = row.identity("name").ok()?.into_owned();
        // Nodes of nodes have 0, and a node that was never reached has no `guid`.
        let id = row.integer("id").filter(|id| *id != 0);
        let guid = row.text("guid").filter(|guid| !guid.is_empty());
        if let Some(id) = id {
            if !direct.insert(id) {
                return None;
            }
            shared_guids.extend(guid.clone().filter(|guid| !direct_guids.insert(guid.clone())));
        }
        let node = node(&row, &name);
        let stats = (node.status == NodeStatus::Connected).then(|| stats(&row));
        Some((name, id, guid, node, stats.flatten()))
    };
    let Rows { mut kept, omitted } = match list {
        Some(list) => rows("node", list, odd, &mut read)?,
        None => Rows { kept: Vec::new(), omitted: 0 },
    };
    // A node of a node may be reached in several ways.
    kept.retain(|(_, id, guid, ..)| {
        id.is_some() || guid.as_ref().is_none_or(|guid| direct_guids.insert(guid.clone()))
    });
    let names: Vec<_> = kept
        .iter()
        .map(|(name, id, guid, ..)| {
            let prefix = || guid.as_ref().map(|guid| guid.chars().take(GUID_PREFIX).collect());
            Row { name, id: id.map(|id| id.to_string()).or_else(prefix) }
        })
        .collect();
    let unique = labels(&names, MASTER);
    let mut found =
        Nodes { nodes: Rows { kept: Vec::new(), omitted }, stats: Vec::new(), labels: NodeLabels::default() };
    for ((_, id, guid, mut node, stats), label) in kept.drain(..).zip(unique) {
        found.labels.by_id.extend(id.map(|id| (id, Arc::clone(&label))));
        let guid = guid.filter(|guid| !shared_guids.contains(guid));
        found.labels.by_guid.extend(guid.map(|guid| (guid, Arc::clone(&label))));
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
        core_up: state.as_deref().and_then(core_runs),
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
    let message = match error.rsplit_once("\": ") {
        Some((request, why)) if request.contains("://") => why,
        _ => error,
    };
    if message.contains("://") { "the panel cannot connect".to_owned() } else { message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_nodes_do_not_show_their_base_paths() {
        for (error, message) in [
            ("HTTP 404 from remote panel", "HTTP 404 from remote panel"),
            ("Get \"http://h:9/secret/panel/api/server/status\": dial tcp: refused", "dial tcp: refused"),
            ("Get \"http://h:9/\": proxy http://h:8/secret/ failed", "the panel cannot connect"),
            ("cannot reach http://h:9/secret/", "the panel cannot connect"),
        ] {
            assert_eq!(without_address(error), message);
        }
    }

    fn found(rows: &[&str]) -> (Vec<String>, usize) {
        let list = format!("[{}]", rows.join(","));
        let found = nodes(Some(&list), &OddFields::default()).unwrap().nodes;
        (found.kept.iter().map(|node| node.label.to_string()).collect(), found.omitted)
    }

    #[test]
    fn labels_of_nodes_do_not_depend_on_their_order() {
        let mut rows = [
            r#"{"id":0,"name":"x","guid":"aaaaaaaa-1","transitive":true}"#,
            r#"{"id":0,"name":"x","guid":"bbbbbbbb-2","transitive":true}"#,
            r#"{"id":3,"name":"x","guid":"cccccccc-3"}"#,
            r#"{"id":0,"name":"y","guid":"dddddddd-4","transitive":true}"#,
        ];
        let (labels, omitted) = found(&rows);
        assert_eq!((labels, omitted), (["x#aaaaaaaa", "x#bbbbbbbb", "x#3", "y"].map(String::from).into(), 0));
        rows.reverse();
        assert_eq!(found(&rows).0, ["y", "x#3", "x#bbbbbbbb", "x#aaaaaaaa"]);
    }

    #[test]
    fn a_guid_identifies_only_nodes_of_nodes() {
        let rows = [
            r#"{"id":0,"name":"again","guid":"g","transitive":true}"#,
            r#"{"id":1,"name":"a","guid":"g"}"#,
            r#"{"id":2,"name":"b","guid":"g"}"#,
            r#"{"id":2,"name":"same id","guid":"h"}"#,
        ];
        assert_eq!(found(&rows), (["a", "b"].map(String::from).into(), 1));
    }

    #[test]
    fn inbounds_find_their_node_by_its_guid_or_its_id() {
        let rows = r#"[{"id":1,"name":"a","guid":"g"},{"id":2,"name":"b","guid":"copy"},
            {"id":3,"name":"c","guid":"copy"},{"id":0,"name":"d","guid":"below","transitive":true},
            {"name":"e","guid":"descendant"},{"id":6,"name":"never reached","guid":""}]"#;
        let labels = nodes(Some(rows), &OddFields::default()).unwrap().labels;
        for (id, guid, expected) in [
            (1, Some("g"), Some("a")),
            (1, None, Some("a")),
            (1, Some("below"), Some("d")),
            (9, Some("descendant"), Some("e")),
            (3, Some("copy"), Some("c")),
            (6, Some("unknown"), Some("never reached")),
            (9, Some(""), None),
            (9, None, None),
        ] {
            assert_eq!(labels.of(id, guid).map(|label| &**label), expected, "{id} {guid:?}");
        }
    }
}

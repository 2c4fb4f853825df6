//! Nodes, the traffic through them, and inbounds.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::list::{List, ratio};
use crate::{
    model::{Counter, Inbound, MASTER, Node, NodeStats, NodeStatus, Row, labels, node_labels, share},
    upstream::json::{IDENTITY, Object, OddFields, ROWS, Rows, each, rows},
};

/// A node in usage answers: no id means the panel's own proxy. SQLite may reuse a removed node's id; the name then
/// distinguishes the nodes.
pub(in crate::upstream::marzban) type NodeKey = (Option<i64>, String);

/// The name of the panel's own proxy in usage answers.
const PANEL: &str = "Master";

/// Sums by node in `N` directions, each node once. A sum that could not be read is absent.
pub(in crate::upstream::marzban) type Readings<const N: usize> = Rows<(NodeKey, [Option<u64>; N])>;

/// A row of `GET /api/nodes`.
pub(in crate::upstream::marzban) struct NodeRow {
    pub(in crate::upstream::marzban) key: NodeKey,
    /// Whether the panel counts the node's traffic itself (PasarGuard), readable or not.
    pub(in crate::upstream::marzban) counts_traffic: bool,
    pub(in crate::upstream::marzban) node: Node,
}

/// The nodes of `GET /api/nodes`, each once.
pub(in crate::upstream::marzban) fn nodes(answer: &List<'_>) -> Option<Rows<NodeRow>> {
    let mut known = HashSet::new();
    let mut list = answer.rows("node", |row| {
        let name = row.identity("name").ok()?.into_owned();
        let id = row.integer("id");
        known.insert((id, id.is_none().then(|| name.clone()))).then(|| {
            let (node, counts_traffic) = (node(&row, &name), row.has("lifetime_uplink"));
            NodeRow { key: (id, name), counts_traffic, node }
        })
    })?;
    let names: Vec<_> =
        list.kept.iter().map(|NodeRow { key: (id, name), .. }| Row { name, id: *id }).collect();
    let labels = labels(&names, MASTER);
    for (row, label) in list.kept.iter_mut().zip(labels) {
        row.node.label = label;
    }
    Some(list)
}

/// A node under its name.
fn node(row: &Object<'_>, name: &str) -> Node {
    let word = row.text("status");
    let status = NodeStatus::ALL.into_iter().find(|status| word.as_deref() == Some(status.label()));
    Node {
        address: row.text("address").unwrap_or_default(),
        status_unread: word.is_none(),
        message: row.text("message").map(Into::into),
        version: row.text("xray_version"),
        usage_coefficient: row.number("usage_coefficient"),
        uplink: row.count("lifetime_uplink").map(Counter::new),
        downlink: row.count("lifetime_downlink").map(Counter::new),
        ..Node::named(name, status.unwrap_or(NodeStatus::Unknown))
    }
}

/// Sums by node in the fields `directions` of a Marzban usage answer; absent: it has no list.
pub(in crate::upstream::marzban) fn usages<const N: usize>(
    answer: &Object<'_>,
    odd: &OddFields,
    directions: [&'static str; N],
) -> Option<Readings<N>> {
    let mut known = HashSet::new();
    rows("usage", answer.raw("usages")?, odd, |row| {
        let key = match row.raw("node_id")? {
            "null" => (None, PANEL.to_owned()),
            _ => (Some(row.integer("node_id")?), row.identity("node_name").ok()?.into_owned()),
        };
        known.insert(key.clone()).then(|| (key, directions.map(|direction| row.amount(direction))))
    })
}

/// `GET /api/nodes/realtime_stats`: an object by node id, in which a node that did not answer is null.
pub(in crate::upstream::marzban) fn node_stats(
    answer: &Object<'_>,
    odd: &OddFields,
    naming: &Naming,
) -> Rows<NodeStats> {
    let (mut stats, mut omitted) = (BTreeMap::new(), 0);
    for (id, raw) in answer.entries().filter(|(_, raw)| *raw != "null") {
        match (id.parse::<i64>(), Object::new("node_stats", raw, odd)) {
            // Of a doubled key, the last one counts.
            (Ok(id), Some(row)) if stats.len() < ROWS => drop(stats.insert(id, row)),
            _ => omitted += 1,
        }
    }
    let keys: Vec<NodeKey> = stats.keys().map(|id| naming.key(*id)).collect();
    let labels = naming.labels(keys.iter());
    let stats = stats.into_values().zip(labels).map(|(stats, node)| {
        let (memory_used, memory_size) = (stats.count("mem_used"), stats.count("mem_total"));
        NodeStats {
            node,
            cpu_usage: ratio(&stats, "cpu_usage"),
            cpu_cores: stats.count("cpu_cores"),
            memory_used,
            memory_size,
            memory_usage: share(memory_used, memory_size),
            receive_speed: stats.count("incoming_bandwidth_speed"),
            transmit_speed: stats.count("outgoing_bandwidth_speed"),
            uptime: stats.number("uptime").map(|seconds| seconds.max(0.0)),
        }
    });
    Rows { kept: stats.collect(), omitted }
}

/// `GET /api/inbounds`: by protocol in Marzban, a list of tags in PasarGuard. Absent: it is neither.
pub(in crate::upstream::marzban) fn inbounds(answer: &str, odd: &OddFields) -> Option<Rows<Inbound>> {
    let mut known = HashSet::new();
    let mut named = |inbound: Inbound| known.insert(Arc::clone(&inbound.label)).then_some(inbound);
    let mut tags = Vec::new();
    if each(answer, |tag| tags.push(tag)).is_some() {
        let tag = |raw: &&str| {
            let tag: String = serde_json::from_str(raw).ok()?;
            (!tag.is_empty() && tag.len() <= IDENTITY)
                .then(|| Inbound { label: tag.into(), ..Inbound::default() })
        };
        let kept: Vec<_> = tags.iter().take(ROWS).filter_map(tag).filter_map(named).collect();
        return Some(Rows { omitted: tags.len() - kept.len(), kept });
    }
    let by_protocol = Object::new("inbounds", answer, odd)?;
    let mut all = Rows { kept: Vec::new(), omitted: 0 };
    for (protocol, list) in by_protocol.entries() {
        let read = rows("inbound", list, odd, |row| {
            named(Inbound {
                label: (*row.identity("tag").ok()?).into(),
                protocol: row.text("protocol").unwrap_or_else(|| protocol.chars().take(64).collect()),
                port: row.number_or_text("port").unwrap_or_default(),
                ..Inbound::default()
            })
        });
        match read {
            Some(read) => {
                let room = ROWS.saturating_sub(all.kept.len());
                all.omitted += read.omitted + read.kept.len().saturating_sub(room);
                all.kept.extend(read.kept.into_iter().take(room));
            }
            None => all.omitted += 1,
        }
    }
    Some(all)
}

/// The names of nodes, for answers that have only their ids.
#[derive(Debug, Default)]
pub(in crate::upstream::marzban) struct Naming(HashMap<i64, String>);

impl Naming {
    /// Learns the names of `nodes`. If rows were left out, nodes that are not among them may still be there.
    pub(in crate::upstream::marzban) fn learn<'a>(
        &mut self,
        nodes: impl Iterator<Item = &'a NodeKey>,
        omitted: bool,
    ) {
        let known = std::mem::take(&mut self.0);
        self.0 = nodes.filter_map(|(id, name)| Some(((*id)?, name.clone()))).collect();
        if omitted {
            for (id, name) in known {
                if self.0.len() < ROWS {
                    self.0.entry(id).or_insert(name);
                }
            }
        }
    }

    /// Labels of the nodes in a usage answer, in its order: those from the list of nodes, for nodes that are in it.
    pub(in crate::upstream::marzban) fn labels<'a>(
        &self,
        keys: impl Iterator<Item = &'a NodeKey>,
    ) -> Vec<Arc<str>> {
        let keys: Vec<_> = keys.map(|(id, name)| (*id, name.as_str())).collect();
        let mut nodes = keys.clone();
        let named: HashSet<_> = keys.iter().filter_map(|(id, _)| *id).collect();
        let others = self.0.iter().filter(|(id, _)| !named.contains(id));
        nodes.extend(others.map(|(id, name)| (Some(*id), name.as_str())));
        let mut labels = node_labels(&nodes);
        labels.truncate(keys.len());
        labels
    }

    /// Sums by node in the fields `directions` of a PasarGuard answer, which has only the ids of nodes, 0 for the panel's
    /// own proxy, and leaves out idle nodes. Absent: it has no sums.
    pub(in crate::upstream::marzban) fn by_id<const N: usize>(
        &self,
        answer: &Object<'_>,
        odd: &OddFields,
        directions: [&'static str; N],
    ) -> Option<Readings<N>> {
        let stats = answer.object("stats")?;
        let (mut nodes, mut omitted) = (BTreeMap::new(), 0);
        for (id, buckets) in stats.entries() {
            match id.parse::<i64>() {
                Ok(id) if nodes.len() < ROWS => {
                    nodes.insert(id, sums(&stats, buckets, odd, directions));
                }
                _ => omitted += 1,
            }
        }
        // A key that could not be read may be that of any node that is not in the answer.
        let idle = if omitted > 0 { None } else { Some(0) };
        for id in self.0.keys() {
            nodes.entry(*id).or_insert([idle; N]);
        }
        let kept = nodes.into_iter().map(|(id, sums)| (self.key(id), sums)).collect();
        Some(Rows { kept, omitted })
    }

    fn key(&self, id: i64) -> NodeKey {
        let name = self.0.get(&id).cloned().unwrap_or_else(|| format!("node {id}"));
        (Some(id).filter(|id| *id != 0), name)
    }
}

/// The sums of a list of periods, in each direction.
fn sums<const N: usize>(
    stats: &Object<'_>,
    buckets: &str,
    odd: &OddFields,
    directions: [&'static str; N],
) -> [Option<u64>; N] {
    let read = rows("usage", buckets, odd, |row| Some(directions.map(|direction| row.amount(direction))));
    let Some(Rows { kept, omitted: 0 }) = read else {
        stats.is_odd("node", buckets, "a list of sums");
        return [None; N];
    };
    let mut total = [Some(0_u64); N];
    for bucket in kept {
        for (sum, bytes) in total.iter_mut().zip(bucket) {
            *sum = sum.zip(bytes).map(|(sum, bytes)| sum.saturating_add(bytes));
        }
    }
    total
}

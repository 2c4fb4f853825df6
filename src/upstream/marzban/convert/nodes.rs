//! Nodes, the traffic through them, and inbounds.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde_json::value::RawValue;

use super::list::{List, ratio};
use crate::{
    model::{Counter, Inbound, MASTER, Node, NodeStats, NodeStatus, Row, labels, node_labels, share},
    upstream::json::{IDENTITY, Object, OddFields, ROWS, Rows, rows},
};

/// A node in usage answers: no id means the panel's own proxy. SQLite may reuse a removed node's id; the name then
/// distinguishes the nodes.
pub(in crate::upstream::marzban) type NodeKey = (Option<i64>, String);

/// The name of the panel's own proxy in usage answers.
const PANEL: &str = "Master";

/// Sums by node in `N` directions, each node once. A sum that could not be read is absent.
pub(in crate::upstream::marzban) type Readings<const N: usize> = Rows<(NodeKey, [Option<u64>; N])>;

/// The nodes of `GET /api/nodes`, each once, with their ids and names.
pub(in crate::upstream::marzban) fn nodes(answer: &List<'_>) -> Option<Rows<(NodeKey, Node)>> {
    let mut known = HashSet::new();
    let mut list = answer.rows("node", |row| {
        let name = row.identity("name").ok()?;
        let id = row.integer("id");
        known.insert((id, id.is_none().then(|| name.clone()))).then(|| {
            let node = node(&row, &name);
            ((id, name), node)
        })
    })?;
    let names: Vec<_> = list.kept.iter().map(|((id, name), _)| Row { name, id: *id }).collect();
    let labels = labels(&names, MASTER);
    for ((_, node), label) in list.kept.iter_mut().zip(labels) {
        node.label = label;
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
        let key = match row.raw("node_id")?.get() {
            "null" => (None, PANEL.to_owned()),
            _ => (Some(row.integer("node_id")?), row.identity("node_name").ok()?),
        };
        known.insert(key.clone()).then(|| (key, directions.map(|direction| row.count(direction))))
    })
}

/// `GET /api/nodes/realtime_stats`: an object by node id, in which a node that did not answer is null.
pub(in crate::upstream::marzban) fn node_stats(
    answer: &Object<'_>,
    odd: &OddFields,
    naming: &Naming,
) -> Vec<NodeStats> {
    let stats = answer.entries().take(ROWS).filter_map(|(id, raw)| {
        let id: i64 = id.parse().ok()?;
        if raw.get() == "null" {
            return None;
        }
        let stats = Object::new("node_stats", raw, odd);
        let Some(stats) = stats else {
            answer.is_odd("node_stats", raw, "an object");
            return None;
        };
        Some((id, stats))
    });
    // Of a doubled key, the last one counts.
    let stats: BTreeMap<_, _> = stats.collect();
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
    stats.collect()
}

/// `GET /api/inbounds`: by protocol in Marzban, a list of tags in PasarGuard. Absent: it is neither.
pub(in crate::upstream::marzban) fn inbounds(answer: &RawValue, odd: &OddFields) -> Option<Rows<Inbound>> {
    let mut known = HashSet::new();
    let mut named = |inbound: Inbound| known.insert(Arc::clone(&inbound.label)).then_some(inbound);
    if let Ok(tags) = serde_json::from_str::<Vec<&RawValue>>(answer.get()) {
        let tag = |raw: &&RawValue| {
            let tag: String = serde_json::from_str(raw.get()).ok()?;
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
                label: row.identity("tag").ok()?.into(),
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
    pub(in crate::upstream::marzban) fn learn<'a>(&mut self, nodes: impl Iterator<Item = &'a NodeKey>) {
        self.0 = nodes.filter_map(|(id, name)| Some(((*id)?, name.clone()))).collect();
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
        let mut nodes: BTreeMap<_, _> = self.0.keys().map(|id| (*id, [Some(0); N])).collect();
        let mut omitted = 0;
        for (id, buckets) in stats.entries() {
            match id.parse::<i64>() {
                Ok(id) if nodes.len() < ROWS || nodes.contains_key(&id) => {
                    nodes.insert(id, sums(buckets, odd, directions));
                }
                _ => omitted += 1,
            }
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
    buckets: &RawValue,
    odd: &OddFields,
    directions: [&'static str; N],
) -> [Option<u64>; N] {
    let read = rows("usage", buckets, odd, |row| Some(directions.map(|direction| row.count(direction))));
    let Some(Rows { kept, omitted: 0 }) = read else { return [None; N] };
    let mut total = [Some(0_u64); N];
    for bucket in kept {
        for (sum, bytes) in total.iter_mut().zip(bucket) {
            *sum = sum.zip(bytes).map(|(sum, bytes)| sum.saturating_add(bytes));
        }
    }
    total
}

//! Series about nodes and the traffic through them.

use std::collections::HashSet;

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::View,
};
use crate::model::{Counter, Node, NodeStatus, NodeTraffic, Part};

families! {
    NODE_UP = Gauge("node_up", ["target", "node"],
        "Whether the panel is connected to the node (status); no series for a disabled node. Polled.");
    NODE_STATUS = Gauge("node_status", ["target", "node", "status"],
        "1 for the node's current status (status), 0 for the others; unrecognized words count as unknown. Polled.");
    NODE_INFO = Info("node_info", ["target", "node", "address", "version"],
        "Address of the node (address) and last known version of its proxy core (xray_version); polled.");
    NODE_UPLINK = Counter("node_uplink_bytes_total", ["target", "node"],
        "Bytes from users through the node, unweighted (lifetime_uplink, or uplink of /api/nodes/usage summed by the hour since first seen; the panel's own proxy is master). Polled.");
    NODE_DOWNLINK = Counter("node_downlink_bytes_total", ["target", "node"],
        "Bytes to users through the node, unweighted (lifetime_downlink, or downlink of /api/nodes/usage summed by the hour since first seen; the panel's own proxy is master). Polled.");
    NODE_USAGE_COEFFICIENT = Gauge("node_usage_coefficient", ["target", "node"],
        "Factor by which the panel weights the node's traffic for quotas (usage_coefficient); polled.");
}

pub(super) fn write(text: &mut Text, views: &[View<'_>]) {
    each_node(text, &NODE_UP, views, |node| {
        (node.status != NodeStatus::Disabled).then_some(node.status == NodeStatus::Connected)
    });
    let mut series = text.family(&NODE_STATUS);
    for view in views {
        for node in fresh(view) {
            for status in NodeStatus::ALL {
                series.add(&[view.target(), &node.label, status.label()], node.status == status);
            }
        }
    }
    let mut series = text.family(&NODE_INFO);
    for view in views {
        for node in fresh(view) {
            let version = node.version.as_deref().unwrap_or_default();
            series.add(&[view.target(), &node.label, &node.address, version], true);
        }
    }
    each_node_traffic(
        text,
        &NODE_UPLINK,
        views,
        |node| node.uplink.map(Counter::value),
        |traffic| traffic.uplink,
    );
    each_node_traffic(
        text,
        &NODE_DOWNLINK,
        views,
        |node| node.downlink.map(Counter::value),
        |traffic| traffic.downlink,
    );
    each_node(text, &NODE_USAGE_COEFFICIENT, views, |node| node.usage_coefficient);
}

fn fresh<'a>(view: &View<'a>) -> &'a [Node] {
    view.if_fresh_list(Part::Nodes, &view.report.nodes)
}

fn each_node<V: Into<Number>>(
    text: &mut Text,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&Node) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        for node in fresh(view) {
            if let Some(value) = value(node) {
                series.add(&[view.target(), &node.label], value);
            }
        }
    }
}

/// The node's own counter where the panel keeps one, else what was added up from its usage. Never one after the
/// other for the same node, even while the first is stale: they do not count from the same start.
fn each_node_traffic(
    text: &mut Text,
    family: &Family<'_>,
    views: &[View<'_>],
    counted: impl Fn(&Node) -> Option<u64>,
    added_up: impl Fn(&NodeTraffic) -> u64,
) {
    let mut series = text.family(family);
    for view in views {
        for node in fresh(view) {
            if let Some(bytes) = counted(node) {
                series.add(&[view.target(), &node.label], bytes);
            }
        }
        let nodes = view.report.nodes.iter();
        let own: HashSet<&str> =
            nodes.filter(|node| counted(node).is_some()).map(|node| &*node.label).collect();
        for traffic in view.if_fresh_list(Part::Usage, &view.report.usage) {
            if !own.contains(&*traffic.node) {
                series.add(&[view.target(), &traffic.node], added_up(traffic));
            }
        }
    }
}

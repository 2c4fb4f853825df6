//! Series about nodes and the traffic through them.

use std::collections::HashSet;

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::View,
};
use crate::model::{Allowance, Counter, Flow, Node, NodePeriod, NodeStats, NodeStatus, NodeTraffic, Part};

families! {
    NODE_UP = Gauge("node_up", ["target", "node"],
        "Whether the panel is connected to the node (status); no series for a disabled node. Polled.");
    NODE_STATUS = Gauge("node_status", ["target", "node", "status"],
        "1 for the node's current status (status), 0 for the others; unrecognized words count as unknown. Polled.");
    NODE_INFO = Info("node_info", ["target", "node", "address", "version"],
        "Address of the node (address) and last known version of its proxy core (xray_version or xrayVersion); polled.");
    NODE_UPLINK = Counter("node_uplink_bytes_total", ["target", "node"],
        "Bytes from users through the node, unweighted (lifetime_uplink, or uplink of /api/nodes/usage summed by the hour since first seen; the panel's own proxy is master). Polled.");
    NODE_DOWNLINK = Counter("node_downlink_bytes_total", ["target", "node"],
        "Bytes to users through the node, unweighted (lifetime_downlink, or downlink of /api/nodes/usage summed by the hour since first seen; the panel's own proxy is master). Polled.");
    NODE_ALLOWANCE = Gauge("node_traffic_allowance_bytes", ["target", "node"],
        "Bytes that the node's server may move in a month (allowance of the configuration); no series before its traffic was polled.");
    NODE_ALLOWANCE_USED = Gauge("node_traffic_allowance_used_bytes", ["target", "node"],
        "Bytes of the allowance that are used since the reset day: the traffic of users through the node, both directions added up, and twice as much with counts = both. Counted from polled traffic; in the month in which counting began, it is a lower bound.");
    NODE_ALLOWANCE_RESET = Gauge("node_traffic_allowance_reset_timestamp_seconds", ["target", "node"],
        "Unix time at which the node's allowance next begins again (reset_day of the configuration); no series before its traffic was polled.");
    NODE_TRAFFIC_LAST_MOVED = Gauge("node_traffic_last_moved_timestamp_seconds", ["target", "node"],
        "Unix time at which the polled bytes through a connected node last changed, or at which it connected again since; no series before the first change since proxymeter started, and where the panel does not count active users.");
    NODE_PAUSE_ALLOWED = Gauge("node_traffic_pause_allowed_seconds", ["target", "node"],
        "How long the bytes through a connected node may stay the same before its traffic is stalled, by its longest pause before; computed from polled bytes.");
    NODE_CPU_USAGE = Gauge("node_cpu_usage_ratio", ["target", "node"],
        "CPU usage of the node's host over all cores, 0 to 1 (in percent: cpu_usage of /api/nodes/realtime_stats, or cpuPct); polled.");
    NODE_CPU_CORES = Gauge("node_cpu_cores", ["target", "node"],
        "CPU cores of the node's host (cpu_cores of /api/nodes/realtime_stats); polled.");
    NODE_MEMORY_USED = Gauge("node_memory_used_bytes", ["target", "node"],
        "Bytes of memory in use on the node's host (mem_used of /api/nodes/realtime_stats); polled.");
    NODE_MEMORY_SIZE = Gauge("node_memory_size_bytes", ["target", "node"],
        "Bytes of memory of the node's host (mem_total of /api/nodes/realtime_stats); polled.");
    NODE_MEMORY_USAGE = Gauge("node_memory_usage_ratio", ["target", "node"],
        "Share of the memory of the node's host in use, 0 to 1 (mem_used and mem_total of /api/nodes/realtime_stats; or memPct, percent); polled.");
    NODE_RECEIVE_SPEED = Gauge("node_network_receive_bytes_per_second", ["target", "node"],
        "Bytes per second that the node's host received on all interfaces, as the node measured it; there is no counter (incoming_bandwidth_speed of /api/nodes/realtime_stats). Polled.");
    NODE_TRANSMIT_SPEED = Gauge("node_network_transmit_bytes_per_second", ["target", "node"],
        "Bytes per second that the node's host sent on all interfaces, as the node measured it; there is no counter (outgoing_bandwidth_speed of /api/nodes/realtime_stats). Polled.");
    NODE_UPTIME = Gauge("node_uptime_seconds", ["target", "node"],
        "Uptime of the node (uptime of /api/nodes/realtime_stats, or uptimeSecs); polled.");
    NODE_USAGE_COEFFICIENT = Gauge("node_usage_coefficient", ["target", "node"],
        "Factor by which the panel weights the node's traffic for quotas (usage_coefficient); polled.");
    NODE_USERS = Gauge("node_users", ["target", "node"],
        "Users that the node serves, as counted by the panel (clientCount); polled.");
    NODE_USERS_ONLINE = Gauge("node_users_online", ["target", "node"],
        "Users online at the node, as counted by the panel (onlineCount); polled.");
    NODE_LATENCY = Gauge("node_latency_seconds", ["target", "node"],
        "How long the node took to answer the panel (latencyMs); polled.");
    NODE_CORE_UP = Gauge("node_core_up", ["target", "node"],
        "Whether the proxy core of the node is running (xrayState); polled.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
    each_node(text, &NODE_UP, views, |node| {
        let enabled = !node.status_unread && node.status != NodeStatus::Disabled;
        enabled.then_some(node.status == NodeStatus::Connected)
    });
    let mut series = text.family(&NODE_STATUS);
    for view in views {
        for node in fresh(view).iter().filter(|node| !node.status_unread) {
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
    each_node_traffic(text, &NODE_UPLINK, views, |node| node.uplink, |traffic| traffic.uplink);
    each_node_traffic(text, &NODE_DOWNLINK, views, |node| node.downlink, |traffic| traffic.downlink);
    write_allowances(text, views);
    each_flow(text, &NODE_TRAFFIC_LAST_MOVED, views, |flow| flow.flat_since().map(|moment| moment.wall));
    each_flow(text, &NODE_PAUSE_ALLOWED, views, |flow| flow.flat_since().map(|_| flow.pause_allowed()));
    write_stats(text, views);
    each_node(text, &NODE_USAGE_COEFFICIENT, views, |node| node.usage_coefficient);
    each_node(text, &NODE_USERS, views, |node| node.users);
    each_node(text, &NODE_USERS_ONLINE, views, |node| node.users_online);
    each_node(text, &NODE_LATENCY, views, |node| node.latency);
    each_node(text, &NODE_CORE_UP, views, |node| node.core_up);
}

/// What servers of nodes may move in a month, and have moved.
fn write_allowances(text: &mut Text<'_>, views: &[View<'_>]) {
    let mut each = |family, value: fn(Allowance, &NodePeriod) -> Number| {
        let mut series = text.family(family);
        for view in views {
            for (node, allowance, period) in view.report.node_months(view.now) {
                series.add(&[view.target(), node], value(allowance, period));
            }
        }
    };
    each(&NODE_ALLOWANCE, |allowance, _| allowance.bytes.into());
    each(&NODE_ALLOWANCE_USED, |allowance, period| allowance.used(period.moved).into());
    each(&NODE_ALLOWANCE_RESET, |_, period| period.ends.into());
}

/// What nodes report of their hosts.
fn write_stats(text: &mut Text<'_>, views: &[View<'_>]) {
    each_host(text, &NODE_CPU_USAGE, views, |stats| stats.cpu_usage);
    each_host(text, &NODE_CPU_CORES, views, |stats| stats.cpu_cores);
    each_host(text, &NODE_MEMORY_USED, views, |stats| stats.memory_used);
    each_host(text, &NODE_MEMORY_SIZE, views, |stats| stats.memory_size);
    each_host(text, &NODE_MEMORY_USAGE, views, |stats| stats.memory_usage);
    each_host(text, &NODE_RECEIVE_SPEED, views, |stats| stats.receive_speed);
    each_host(text, &NODE_TRANSMIT_SPEED, views, |stats| stats.transmit_speed);
    each_host(text, &NODE_UPTIME, views, |stats| stats.uptime);
}

fn each_host<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&NodeStats) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        for stats in view.if_fresh_list(Part::NodeStats, &view.report.node_stats) {
            if let Some(value) = value(stats) {
                series.add(&[view.target(), &stats.node], value);
            }
        }
    }
}

fn fresh<'a>(view: &View<'a>) -> &'a [Node] {
    view.if_fresh_list(Part::Nodes, &view.report.nodes)
}

fn each_node<V: Into<Number>>(
    text: &mut Text<'_>,
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

/// Of the nodes whose traffic can stall.
fn each_flow<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&Flow) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views.iter().filter(|view| view.report.counts.active().is_some()) {
        for node in fresh(view).iter().filter(|node| node.status == NodeStatus::Connected) {
            let history = view.report.history.node(&node.label);
            if let Some(value) = history.and_then(|history| value(&history.traffic)) {
                series.add(&[view.target(), &node.label], value);
            }
        }
    }
}

/// The node's own counter where the panel keeps one, else what was added up from its usage. Never one after the
/// other for the same node, even while the first is stale: they do not count from the same start.
fn each_node_traffic(
    text: &mut Text<'_>,
    family: &Family<'_>,
    views: &[View<'_>],
    counted: impl Fn(&Node) -> Option<Counter>,
    added_up: impl Fn(&NodeTraffic) -> u64,
) {
    let mut series = text.family(family);
    for view in views {
        for node in fresh(view) {
            if let Some(bytes) = counted(node).and_then(Counter::read) {
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

from layout import *
from panels import *
from queries import *


def node(metric, *matchers):
    return latest(metric, NODE, *matchers)


def node_bits(direction):
    return bits(f"node_{direction}", NODE)


def used(metric, kind):
    return f"{latest(f'{metric}_{kind}_used_bytes')} / {latest(f'{metric}_{kind}_size_bytes')}"


STATUS = numbered("node_status", ["connected", "connecting", "error", "disabled", "limited", "unknown"], NODE)
NAME = "{{target}} {{node}} {{cluster}}"
CORES_DOWN = f"sum({latest('core_up')} == bool 0 or {node('node_core_up')} == bool 0)"

DASHBOARD = dashboard(
    "proxymeter-nodes",
    "proxymeter / Nodes and hosts",
    "Nodes, the hosts of panels and nodes, proxy cores, inbounds and outbounds.",
    EVERYWHERE
    + [
        variable(
            "node",
            "Node",
            f"label_values({select('node_status')}, node)",
            every=".+",
        )
    ],
    [
        *stats(
            stat(
                "Nodes down",
                "Nodes to which their panel is not connected, without disabled ones.",
                zeros("node_up", NODE),
                thresholds=BAD,
            ),
            stat("Cores down", "Proxy cores that do not run, beside panels and on nodes.", CORES_DOWN, thresholds=BAD),
            stat(
                "Outbounds down",
                "Outbounds through which the proxy core's own probes do not pass.",
                zeros("outbound_up"),
                thresholds=BAD,
            ),
            stat("Down", "Traffic to users through the nodes.", f"sum({node_bits('downlink')})", unit="bps"),
            stat("Up", "Traffic from users through the nodes.", f"sum({node_bits('uplink')})", unit="bps"),
            stat(
                "CPU, highest",
                "CPU usage of the busiest host, of panels and nodes.",
                f"max({latest('host_cpu_usage_ratio')} or {node('node_cpu_usage_ratio')})",
                unit="percentunit",
                thresholds=FILLING,
            ),
            stat(
                "Disk, fullest",
                "Disk space in use on the fullest host of a panel.",
                f"max({used('host', 'disk')})",
                unit="percentunit",
                thresholds=FILLING,
            ),
        ),
        timeline("Status of nodes", "Status of each node as its panel says it.", (12, 9), STATUS, NAME, NODE_STATUS),
        table(
            "Nodes",
            "Status, version of the proxy core and recent traffic. Factor: how the panel weights the traffic for "
            "quotas. Idle: since the traffic last moved.",
            (12, 9),
            label("node"),
            label("target"),
            value("Status", STATUS, mappings=NODE_STATUS, cell="color-background", width=100),
            labels_of(one("node_info", "node")),
            value("Down", node_bits("downlink"), unit="bps"),
            value("Up", node_bits("uplink"), unit="bps"),
            label("version"),
            label("address"),
            value("Factor", node("node_usage_coefficient")),
            value("Idle", f"time() - {node('node_traffic_last_moved_timestamp_seconds')}", unit="s"),
            sort="Node",
        ),
        chart(
            "Traffic of nodes",
            "Traffic of each node, unweighted: to the users above the axis, from them below it.",
            (12, 8),
            "bps",
            line(node_bits("downlink"), f"{NAME} down"),
            line(node_bits("uplink"), f"{NAME} up", negative=True),
            calcs=["mean"],
        ),
        chart(
            "Hosts of panels",
            "CPU, memory and disk space in use on the hosts of the panels.",
            (12, 8),
            "percentunit",
            line(latest("host_cpu_usage_ratio"), "{{target}} {{cluster}} CPU"),
            line(used("host", "memory"), "{{target}} {{cluster}} memory"),
            line(used("host", "disk"), "{{target}} {{cluster}} disk"),
            min=0,
            max=1,
        ),
    ],
    [
        row(
            "Resources of nodes",
            table(
                "Hosts of nodes",
                "What nodes say about themselves; not every panel passes it on. Latency: how long the node took"
                " to answer the panel.",
                (24, 7),
                label("node"),
                label("target"),
                value("CPU", node("node_cpu_usage_ratio"), unit="percentunit", thresholds=FILLING),
                value("Cores", node("node_cpu_cores")),
                value("Memory", node("node_memory_usage_ratio"), unit="percentunit", thresholds=FILLING),
                value("Memory used", node("node_memory_used_bytes"), unit="bytes"),
                value("Memory size", node("node_memory_size_bytes"), unit="bytes"),
                value("Received", f"8 * {node('node_network_receive_bytes_per_second')}", unit="bps"),
                value("Sent", f"8 * {node('node_network_transmit_bytes_per_second')}", unit="bps"),
                value("Users", node("node_users")),
                value("Online", node("node_users_online")),
                value("Core", node("node_core_up"), mappings=UP),
                value("Latency", node("node_latency_seconds"), unit="s"),
                value("Uptime", node("node_uptime_seconds"), unit="s"),
                sort="Node",
            ),
            table(
                "Traffic of the month",
                "What the servers of nodes have used of their allowance since its reset day. Only nodes with an allowance in "
                "the configuration.",
                (24, 6),
                label("node"),
                label("target"),
                value(
                    "Used",
                    f"{node('node_traffic_allowance_used_bytes')} / {node('node_traffic_allowance_bytes')}",
                    unit="percentunit",
                    thresholds=FILLING,
                    cell="gauge",
                    min=0,
                    max=1,
                ),
                value("Bytes", node("node_traffic_allowance_used_bytes"), unit="bytes"),
                value("Allowance", node("node_traffic_allowance_bytes"), unit="bytes"),
                value("Next month", milliseconds("node_traffic_allowance_reset", NODE), unit="dateTimeFromNow"),
                sort="Used",
                descending=True,
            ),
            table(
                "Traffic of nodes over longer times",
                "Both directions together. Needs the recording rules. Traffic that rests for longer than the "
                "allowed pause is stalled.",
                (24, 8),
                label("node"),
                label("target"),
                value("24 hours", hourly("target_node:proxymeter_node_traffic_bytes:increase1d", NODE), unit="bytes"),
                value("30 days", hourly("target_node:proxymeter_node_traffic_bytes:increase30d", NODE), unit="bytes"),
                value("Longest pause allowed", node("node_traffic_pause_allowed_seconds"), unit="s"),
                sort="30 days",
                descending=True,
            ),
        ),
        row(
            "Hosts and cores of panels",
            table(
                "Hosts",
                "What the panels say about the hosts they run on.",
                (24, 6),
                label("target"),
                value("Core", latest("core_up"), mappings=UP),
                labels_of(one("core_info")),
                label("version", "Core version"),
                value("Core uptime", latest("core_uptime_seconds"), unit="s"),
                value("CPUs", latest("host_cpu_cores")),
                value("Load 1 min", latest("host_load1"), decimals=2),
                value("5 min", latest("host_load5"), decimals=2),
                value("15 min", latest("host_load15"), decimals=2),
                value("Memory size", latest("host_memory_size_bytes"), unit="bytes"),
                value("Swap", used("host", "swap"), unit="percentunit"),
                value("Disk size", latest("host_disk_size_bytes"), unit="bytes"),
                value("TCP", latest("host_tcp_connections")),
                value("UDP", latest("host_udp_connections")),
                value("Uptime", latest("host_uptime_seconds"), unit="s"),
                value("Traffic moved", milliseconds("target_traffic_last_moved"), unit="dateTimeFromNow"),
                sort="Target",
            ),
            chart(
                "Network of hosts",
                "All traffic of the hosts of panels, not only that of the proxies: received above the axis, "
                "sent below it.",
                (12, 8),
                "bps",
                line(bits("host_network_receive"), "{{target}} {{cluster}} received"),
                line(bits("host_network_transmit"), "{{target}} {{cluster}} sent", negative=True),
            ),
            chart(
                "Connections of hosts",
                "Sockets of the hosts of panels.",
                (12, 8),
                "short",
                line(latest("host_tcp_connections"), "{{target}} {{cluster}} TCP"),
                line(latest("host_udp_connections"), "{{target}} {{cluster}} UDP"),
            ),
        ),
        row(
            "Inbounds and outbounds",
            table(
                "Inbounds",
                "The inbounds of each target. Down: recent traffic to users.",
                (24, 9),
                labels_of(one("inbound_info", "inbound")),
                label("inbound"),
                label("target"),
                label("protocol"),
                label("port"),
                label("remark"),
                label("node"),
                value("Enabled", latest("inbound_enabled"), mappings=words({0: ("no", GRAY), 1: ("yes", "green")})),
                value("Users", latest("inbound_users")),
                value("Down", bits("inbound_downlink"), unit="bps"),
                value("Up", bits("inbound_uplink"), unit="bps"),
                value("Used", latest("inbound_used_bytes"), unit="bytes"),
                value("Quota", latest("inbound_limit_bytes"), unit="bytes"),
                value("Expires", milliseconds("inbound_expiry"), unit="dateTimeFromNow"),
                sort="Inbound",
            ),
            chart(
                "Traffic of outbounds",
                "Traffic of each outbound: towards the users above the axis, towards the internet below it.",
                (12, 9),
                "bps",
                line(bits("outbound_downlink"), "{{target}} {{outbound}} {{cluster}} down"),
                line(bits("outbound_uplink"), "{{target}} {{outbound}} {{cluster}} up", negative=True),
            ),
            chart(
                "Latency of outbounds",
                "Duration of the proxy core's last probe through each outbound, if it passed. Only where the "
                "core is set up to probe it.",
                (12, 9),
                "s",
                line(latest("outbound_latency_seconds"), "{{target}} {{outbound}} {{cluster}}"),
                min=0,
            ),
        ),
    ],
)

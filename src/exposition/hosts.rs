//! Series about what runs beside a panel: its host, its proxies taken together, and its proxy core.

use super::{
    family::families,
    text::Text,
    view::{View, each_target},
};
use crate::model::{Core, Counter, Host, Part, Total};

families! {
    HOST_CPU_USAGE = Gauge("host_cpu_usage_ratio", ["target"],
        "CPU usage of the panel's host over all cores, 0 to 1, in percent of the panel (cpu_usage, since its previous answer to any client; or cpu, its last sample); polled.");
    HOST_CPU_CORES = Gauge("host_cpu_cores", ["target"],
        "CPU cores of the panel's host (cpu_cores; or logicalPro, cpuCount); polled.");
    HOST_MEMORY_USED = Gauge("host_memory_used_bytes", ["target"],
        "Bytes of memory in use on the panel's host (mem_used or mem.current); polled.");
    HOST_MEMORY_SIZE = Gauge("host_memory_size_bytes", ["target"],
        "Bytes of memory of the panel's host (mem_total or mem.total); polled.");
    HOST_SWAP_USED = Gauge("host_swap_used_bytes", ["target"],
        "Bytes of swap in use on the panel's host (swap.current); polled.");
    HOST_SWAP_SIZE = Gauge("host_swap_size_bytes", ["target"],
        "Bytes of swap of the panel's host (swap.total); polled.");
    HOST_DISK_USED = Gauge("host_disk_used_bytes", ["target"],
        "Bytes of disk space in use on the panel's host (disk_used or disk.current); polled.");
    HOST_DISK_SIZE = Gauge("host_disk_size_bytes", ["target"],
        "Bytes of disk space of the panel's host (disk_total or disk.total); polled.");
    HOST_LOAD_1 = Gauge("host_load1", ["target"],
        "Load average of the panel's host over 1 minute (loads); polled.");
    HOST_LOAD_5 = Gauge("host_load5", ["target"],
        "Load average of the panel's host over 5 minutes (loads); polled.");
    HOST_LOAD_15 = Gauge("host_load15", ["target"],
        "Load average of the panel's host over 15 minutes (loads); polled.");
    HOST_UPTIME = Gauge("host_uptime_seconds", ["target"],
        "Uptime of the panel's host, as reported by the panel (uptime_seconds or uptime); polled.");
    HOST_TCP_CONNECTIONS = Gauge("host_tcp_connections", ["target"],
        "TCP sockets of the panel's host, whatever they belong to (tcpCount); polled.");
    HOST_UDP_CONNECTIONS = Gauge("host_udp_connections", ["target"],
        "UDP sockets of the panel's host, whatever they belong to (udpCount); polled.");
    HOST_NETWORK_RECEIVE = Counter("host_network_receive_bytes_total", ["target"],
        "Bytes received by the panel's host: its count since boot when first polled (netTraffic.recv), plus every rise since. A reboot or a removed interface does not reset it. Polled.");
    HOST_NETWORK_TRANSMIT = Counter("host_network_transmit_bytes_total", ["target"],
        "Bytes sent by the panel's host: its count since boot when first polled (netTraffic.sent), plus every rise since. A reboot or a removed interface does not reset it. Polled.");
    PROXY_UPLINK = Counter("proxy_uplink_bytes_total", ["target"],
        "Bytes from users through all proxies since the panel's database was created, unweighted (incoming_bandwidth); polled.");
    PROXY_DOWNLINK = Counter("proxy_downlink_bytes_total", ["target"],
        "Bytes to users through all proxies since the panel's database was created, unweighted (outgoing_bandwidth); polled.");
    CORE_UP = Gauge("core_up", ["target"],
        "Whether the proxy core beside the panel is running (started of /api/core, or xray.state with xray.version and appStats.uptime); polled.");
    CORE_UPTIME = Gauge("core_uptime_seconds", ["target"],
        "Seconds since the proxy core beside the panel was started (appStats.uptime); polled.");
    CORE_INFO = Info("core_info", ["target", "version"],
        "Version of the proxy core beside the panel (version of /api/core, or xray.version); polled.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
    each_target(text, &HOST_CPU_USAGE, views, |view| host(view, |host| host.cpu_usage));
    each_target(text, &HOST_CPU_CORES, views, |view| host(view, |host| host.cpu_cores));
    each_target(text, &HOST_MEMORY_USED, views, |view| host(view, |host| host.memory_used));
    each_target(text, &HOST_MEMORY_SIZE, views, |view| host(view, |host| host.memory_size));
    each_target(text, &HOST_SWAP_USED, views, |view| host(view, |host| host.swap_used));
    each_target(text, &HOST_SWAP_SIZE, views, |view| host(view, |host| host.swap_size));
    each_target(text, &HOST_DISK_USED, views, |view| host(view, |host| host.disk_used));
    each_target(text, &HOST_DISK_SIZE, views, |view| host(view, |host| host.disk_size));
    each_target(text, &HOST_LOAD_1, views, |view| host(view, |host| host.load[0]));
    each_target(text, &HOST_LOAD_5, views, |view| host(view, |host| host.load[1]));
    each_target(text, &HOST_LOAD_15, views, |view| host(view, |host| host.load[2]));
    each_target(text, &HOST_UPTIME, views, |view| host(view, |host| host.uptime));
    each_target(text, &HOST_TCP_CONNECTIONS, views, |view| host(view, |host| host.tcp_connections));
    each_target(text, &HOST_UDP_CONNECTIONS, views, |view| host(view, |host| host.udp_connections));
    each_target(text, &HOST_NETWORK_RECEIVE, views, |view| {
        host(view, |host| host.network_received).and(view.report.network_received.map(Total::value))
    });
    each_target(text, &HOST_NETWORK_TRANSMIT, views, |view| {
        host(view, |host| host.network_sent).and(view.report.network_sent.map(Total::value))
    });
    each_target(text, &PROXY_UPLINK, views, |view| proxy(view, view.report.proxy_uplink));
    each_target(text, &PROXY_DOWNLINK, views, |view| proxy(view, view.report.proxy_downlink));
    each_target(text, &CORE_UP, views, |view| core(view).and_then(|core| core.up));
    each_target(text, &CORE_UPTIME, views, |view| core(view).and_then(|core| core.uptime));
    let mut series = text.family(&CORE_INFO);
    for view in views {
        if let Some(version) = core(view).and_then(|core| core.version.as_deref()) {
            series.add(&[view.target(), version], true);
        }
    }
}

fn host<T>(view: &View<'_>, value: impl FnOnce(&Host) -> Option<T>) -> Option<T> {
    view.if_fresh(Part::System, value(&view.report.host))
}

fn proxy(view: &View<'_>, counter: Option<Counter>) -> Option<u64> {
    view.if_fresh(Part::System, counter.and_then(Counter::read))
}

fn core<'a>(view: &View<'a>) -> Option<&'a Core> {
    view.if_fresh(Part::Core, view.report.core.as_ref())
}

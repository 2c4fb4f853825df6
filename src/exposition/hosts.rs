//! Series about what runs beside a panel: its host, its proxies taken together, and its proxy core.

use super::{
    family::families,
    text::Text,
    view::{View, each_target},
};
use crate::model::{Core, Counter, Host, Part};

families! {
    HOST_CPU_USAGE = Gauge("host_cpu_usage_ratio", ["target"],
        "CPU usage of the panel's host over all cores, 0 to 1, since the panel's previous answer to any client (cpu_usage, percent); polled.");
    HOST_CPU_CORES = Gauge("host_cpu_cores", ["target"],
        "CPU cores of the panel's host (cpu_cores); polled.");
    HOST_MEMORY_USED = Gauge("host_memory_used_bytes", ["target"],
        "Bytes of memory in use on the panel's host (mem_used); polled.");
    HOST_MEMORY_SIZE = Gauge("host_memory_size_bytes", ["target"],
        "Bytes of memory of the panel's host (mem_total); polled.");
    HOST_DISK_USED = Gauge("host_disk_used_bytes", ["target"],
        "Bytes of disk space in use on the panel's host (disk_used); polled.");
    HOST_DISK_SIZE = Gauge("host_disk_size_bytes", ["target"],
        "Bytes of disk space of the panel's host (disk_total); polled.");
    HOST_UPTIME = Gauge("host_uptime_seconds", ["target"],
        "Uptime of the panel's host, as reported by the panel (uptime_seconds); polled.");
    PROXY_UPLINK = Counter("proxy_uplink_bytes_total", ["target"],
        "Bytes from users through all proxies since the panel's database was created, unweighted (incoming_bandwidth); polled.");
    PROXY_DOWNLINK = Counter("proxy_downlink_bytes_total", ["target"],
        "Bytes to users through all proxies since the panel's database was created, unweighted (outgoing_bandwidth); polled.");
    CORE_UP = Gauge("core_up", ["target"],
        "Whether the proxy core beside the panel is running (started of /api/core); polled.");
    CORE_INFO = Info("core_info", ["target", "version"],
        "Version of the proxy core beside the panel (version of /api/core); polled.");
}

pub(super) fn write(text: &mut Text, views: &[View<'_>]) {
    each_target(text, &HOST_CPU_USAGE, views, |view| host(view, |host| host.cpu_usage));
    each_target(text, &HOST_CPU_CORES, views, |view| host(view, |host| host.cpu_cores));
    each_target(text, &HOST_MEMORY_USED, views, |view| host(view, |host| host.memory_used));
    each_target(text, &HOST_MEMORY_SIZE, views, |view| host(view, |host| host.memory_size));
    each_target(text, &HOST_DISK_USED, views, |view| host(view, |host| host.disk_used));
    each_target(text, &HOST_DISK_SIZE, views, |view| host(view, |host| host.disk_size));
    each_target(text, &HOST_UPTIME, views, |view| host(view, |host| host.uptime));
    each_target(text, &PROXY_UPLINK, views, |view| proxy(view, view.report.proxy_uplink));
    each_target(text, &PROXY_DOWNLINK, views, |view| proxy(view, view.report.proxy_downlink));
    each_target(text, &CORE_UP, views, |view| core(view).and_then(|core| core.up));
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

//! The panel's host and its core.

use crate::{
    model::{Core, Host},
    upstream::json::Object,
};

/// What `…/server/status` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::upstream::xui) struct StatusFacts {
    pub(in crate::upstream::xui) host: Host,
    pub(in crate::upstream::xui) core: Core,
    /// By its state alone, which lies.
    pub(in crate::upstream::xui) core_is_said_to_run: bool,
    /// 3x-ui, since 3.1.
    pub(in crate::upstream::xui) panel_version: Option<String>,
    /// 3x-ui, since 3.3.
    pub(in crate::upstream::xui) has_guid: bool,
}

/// The facts of a status; absent: the answer is that of another system.
pub(in crate::upstream::xui) fn status(answer: &Object<'_>) -> Option<StatusFacts> {
    if !(answer.has("xray") || answer.has("cpu") && answer.has("mem")) {
        return None;
    }
    // `{"current": …, "total": …}`, bytes.
    let pair = |field| {
        let pair = answer.object(field);
        pair.map_or((None, None), |pair| (pair.count("current"), pair.count("total")))
    };
    let ((memory_used, memory_size), (swap_used, swap_size)) = (pair("mem"), pair("swap"));
    let (disk_used, disk_size) = pair("disk");
    // Bytes since boot. `netIO`, bytes per second, wraps around when an interface goes away, and is not read.
    let network = answer.object("netTraffic");
    let host = Host {
        cpu_usage: answer.number("cpu").map(|percent| (percent / 100.0).clamp(0.0, 1.0)),
        // alireza0 has one number of cores, 3x-ui those of both sorts.
        cpu_cores: answer
            .count("logicalPro")
            .or_else(|| answer.count("cpuCount"))
            .or_else(|| answer.count("cpuCores")),
        memory_used,
        memory_size,
        disk_used,
        disk_size,
        swap_used,
        swap_size,
        load: answer.numbers("loads").unwrap_or_default(),
        uptime: answer.number("uptime").map(|seconds| seconds.max(0.0)),
        tcp_connections: answer.count("tcpCount"),
        udp_connections: answer.count("udpCount"),
        network_received: network.as_ref().and_then(|network| network.count("recv")),
        network_sent: network.as_ref().and_then(|network| network.count("sent")),
    };
    let (core, core_is_said_to_run) = core(answer);
    Some(StatusFacts {
        host,
        core,
        core_is_said_to_run,
        panel_version: answer.text("panelVersion"),
        has_guid: answer.has("panelGuid"),
    })
}

/// The core, and whether its state says that it runs. The state alone lies: 3x-ui 2.8 says `running` while xray fails to start again and again. Then the version is
/// `Unknown`, or the time since the start is 0 (legacy panels do not report that).
fn core(answer: &Object<'_>) -> (Core, bool) {
    const UNKNOWN: &str = "Unknown";
    let xray = answer.object("xray");
    let state = xray.as_ref().and_then(|xray| xray.text("state"));
    let version = xray.as_ref().and_then(|xray| xray.text("version"));
    let uptime = answer.object("appStats").and_then(|stats| stats.number("uptime"));
    let runs = state.map(|state| state.eq_ignore_ascii_case("running"));
    let answers = version.as_deref() != Some(UNKNOWN) && uptime.is_none_or(|uptime| uptime > 0.0);
    let up = runs.map(|runs| runs && answers);
    let core = Core {
        up,
        version: version.filter(|version| version != UNKNOWN),
        uptime: uptime.filter(|uptime| *uptime > 0.0),
    };
    (core, runs == Some(true))
}

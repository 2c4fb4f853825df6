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
        network_received: network.as_ref().and_then(|network| network.amount("recv")),
        network_sent: network.as_ref().and_then(|network| network.amount("sent")),
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

/// The core, and whether its state says that it runs. The state alone lies: 3x-ui 2.8 says `running` while xray fails to
/// start again and again. Then the version is `Unknown`, or the time since the start is 0 (legacy panels do not report
/// that).
fn core(answer: &Object<'_>) -> (Core, bool) {
    const UNKNOWN: &str = "Unknown";
    let xray = answer.object("xray");
    let state = xray.as_ref().and_then(|xray| xray.text("state"));
    let version = xray.as_ref().and_then(|xray| xray.text("version"));
    let uptime = answer.object("appStats").and_then(|stats| stats.number("uptime"));
    let fails = version.as_deref() == Some(UNKNOWN) || uptime.is_some_and(|uptime| uptime <= 0.0);
    let runs = state.as_deref().and_then(core_runs);
    let up = match runs {
        Some(runs) => Some(runs && !fails),
        None => (version.is_some() && uptime.is_some() && !fails).then_some(true),
    };
    let core = Core {
        up,
        version: version.filter(|version| version != UNKNOWN),
        uptime: uptime.filter(|uptime| *uptime > 0.0),
    };
    (core, runs == Some(true))
}

/// Whether a core with this state runs; absent: the word is none of those that the panels have.
pub(super) fn core_runs(state: &str) -> Option<bool> {
    match state.to_ascii_lowercase().as_str() {
        "running" => Some(true),
        "stop" | "error" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::json::OddFields;

    fn read(answer: &str) -> StatusFacts {
        status(&Object::new("status", answer, &OddFields::default()).unwrap()).unwrap()
    }

    #[test]
    fn the_core_is_down_only_if_a_word_or_a_figure_says_so() {
        let (well, fails, old) = (("26.7.28", "5"), ("Unknown", "5"), ("26.7.28", "null"));
        for (state, (version, uptime), up) in [
            ("running", well, Some(true)),
            ("Running", old, Some(true)),
            ("running", fails, Some(false)),
            ("running", ("26.7.28", "0"), Some(false)),
            ("stop", well, Some(false)),
            ("Error", well, Some(false)),
            ("starting", well, Some(true)),
            ("", well, Some(true)),
            ("starting", fails, None),
            ("starting", ("26.7.28", "0"), None),
            ("starting", old, None),
            ("", old, None),
        ] {
            let xray = format!(r#"{{"state":"{state}","version":"{version}"}}"#);
            let answer = format!(r#"{{"xray":{xray},"appStats":{{"uptime":{uptime}}}}}"#);
            assert_eq!(read(&answer).core.up, up, "{answer}");
        }
    }

    #[test]
    fn no_total_grows_by_what_no_host_moves() {
        for (bytes, expected) in
            [("7", Some(7)), ("1e30", None), ("-5", None), ("18446744073709551615", None)]
        {
            let host =
                read(&format!(r#"{{"xray":{{}},"netTraffic":{{"sent":{bytes},"recv":{bytes}}}}}"#)).host;
            assert_eq!((host.network_sent, host.network_received), (expected, expected), "{bytes}");
        }
    }
}

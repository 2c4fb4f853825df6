//! Answers about the host, xray, outbounds, nodes and settings.

use serde_json::{Value, json};

use super::options::Generation;
use super::refusal::{failure, success};
use super::state::{Core, Node, State};
use crate::simulator::http::Answer;

const GIB: u64 = 1 << 30;
/// How long the status of a panel that has just started is null.
const STARTING_MS: i64 = 2_000;
/// After this long without a question, older panels stop to sample, which they do this often.
const SAMPLED_FOR_MS: i64 = 3 * 60 * 1000;
const SAMPLE_MS: i64 = 2_000;
const POINTS: i64 = 60;

pub(super) fn status(state: &mut State, now_ms: i64) -> Answer {
    if now_ms.saturating_sub(state.panel_started_at_ms) < STARTING_MS {
        return success(Value::Null);
    }
    // The first question after a pause starts sampling again, and until the next sample there is the last one.
    let asleep_ms = state.status_asked_at_ms.saturating_add(SAMPLED_FOR_MS);
    if state.generation < Generation::V2_8 && now_ms > asleep_ms {
        state.slept_ms = Some((asleep_ms, now_ms));
    }
    let at_ms = match state.slept_ms {
        Some((asleep_ms, awake_ms)) if now_ms.saturating_sub(awake_ms) < SAMPLE_MS => asleep_ms,
        _ => now_ms,
    };
    state.status_asked_at_ms = now_ms;
    success(sample(state, at_ms))
}

fn sample(state: &State, at_ms: i64) -> Value {
    let (generation, host) = (state.generation, &state.host);
    let uptime = seconds(host.booted_at_ms, at_ms);
    let is_36 = generation >= Generation::V3_6;
    let mut sample = json!({
        "cpu": host.cpu,
        "mem": { "current": host.memory, "total": 4 * GIB },
        "swap": { "current": host.swap, "total": GIB },
        "disk": { "current": host.disk, "total": 40 * GIB },
        "xray": xray(state),
        "uptime": uptime,
        "loads": host.loads,
        "tcpCount": 214,
        "udpCount": 37,
        "netIO": { "up": host.net_up, "down": host.net_down },
        "netTraffic": { "sent": GIB.saturating_add(uptime * 120_000), "recv": GIB.saturating_add(uptime * 130_000) },
    });
    let Some(fields) = sample.as_object_mut() else { return sample };
    let mut add = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    let xray_uptime = match state.core {
        Core::Running => seconds(state.core_started_at_ms, at_ms),
        _ => 0,
    };
    let app = json!({ "threads": 26, "mem": 104_968_192, "uptime": xray_uptime });
    if generation == Generation::Alireza {
        add("cpuCount", json!(2));
        add("appStats", app);
        add("hostInfo", json!({ "hostname": "vm", "ipv4": "192.0.2.2/24 ", "ipv6": "fd00::2/64 " }));
    } else if generation.is_3x_ui() {
        add("cpuCores", json!(2));
        add("cpuSpeedMhz", json!(2596.124));
        add("appStats", app);
        add("publicIP", json!({ "ipv4": "203.0.113.10", "ipv6": "N/A" }));
        if generation >= Generation::V2_6 {
            add("logicalPro", json!(4));
        }
    }
    if let Some(version) = generation.panel_version() {
        add("panelVersion", json!(version));
    }
    if is_36 {
        add("panelGuid", json!(state.guid));
        add("diskIO", json!({ "read": 10_180, "write": 35_633 }));
        add("diskTraffic", json!({ "read": uptime * 1_000, "write": uptime * 9_000 }));
        for (key, names) in [("netIO", ["pktUp", "pktDown"]), ("netTraffic", ["pktSent", "pktRecv"])] {
            if let Some(packets) = fields.get_mut(key).and_then(Value::as_object_mut) {
                packets.extend(names.map(|name| (name.to_owned(), json!(uptime / 2))));
            }
        }
    }
    sample
}

fn xray(state: &State) -> Value {
    let missing = "fork/exec /usr/local/x-ui/bin/xray-linux-amd64: no such file or directory";
    let alireza = state.generation == Generation::Alireza;
    let (word, error, version) = match state.core {
        Core::Running => ("running", "", "26.7.28"),
        Core::Stopped => ("stop", "", "26.7.28"),
        Core::Crashing if alireza => ("error", "signal: killed", "Unknown"),
        Core::Crashing => ("running", "", "Unknown"),
        Core::Missing => ("error", missing, "Unknown"),
        Core::NeverStarted => ("stop", "", "Unknown"),
    };
    let capital = match word {
        "running" => "Running",
        "stop" => "Stop",
        _ => "Error",
    };
    json!({ "state": if alireza { capital } else { word }, "errorMsg": error, "version": version })
}

fn seconds(from_ms: i64, to_ms: i64) -> u64 {
    u64::try_from(to_ms.saturating_sub(from_ms) / 1000).unwrap_or(0)
}

/// At most sixty points, one for each bucket of so many seconds.
pub(super) fn history(state: &State, now_ms: i64, metric: &str, bucket: &str) -> Answer {
    const METRICS: [&str; 8] = ["cpu", "mem", "netUp", "netDown", "online", "load1", "load5", "load15"];
    const METRICS_OF_36: [&str; 7] =
        ["swap", "pktUp", "pktDown", "diskRead", "diskWrite", "diskUsage", "tcpCount"];
    let is_36 = state.generation >= Generation::V3_6;
    if !(METRICS.contains(&metric) || is_36 && METRICS_OF_36.contains(&metric)) {
        return failure("invalid metric (unknown metric)");
    }
    let Some(times) = times(state, now_ms, bucket) else {
        return failure("invalid bucket (unsupported bucket)");
    };
    let value = |at_s: i64, bucket_s: i64| match metric {
        "online" => json!(online_at(state, now_ms.min((at_s + bucket_s) * 1000))),
        "cpu" => json!(state.host.cpu),
        _ => json!(12.5),
    };
    let points = times.map(|(at_s, bucket_s)| json!({ "t": at_s, "v": value(at_s, bucket_s) }));
    success(points.collect::<Vec<_>>())
}

pub(super) fn cpu_history(state: &State, now_ms: i64, bucket: &str) -> Answer {
    match times(state, now_ms, bucket) {
        Some(times) => {
            let points = times.map(|(at_s, _)| json!({ "t": at_s, "cpu": state.host.cpu }));
            success(points.collect::<Vec<_>>())
        }
        None => failure("invalid bucket (unsupported bucket)"),
    }
}

/// The unix seconds at which buckets start since the panel did, oldest first, each with the length of a bucket.
fn times(state: &State, now_ms: i64, bucket: &str) -> Option<impl Iterator<Item = (i64, i64)>> {
    let buckets: &[&str] = if state.generation >= Generation::V3_6 {
        &["2", "30", "60", "180", "360", "720", "1440", "2880", "10080"]
    } else {
        &["2", "30", "60", "120", "180", "300"]
    };
    let bucket_s: i64 = buckets.iter().find(|known| **known == bucket)?.parse().ok()?;
    let newest = now_ms.div_euclid(1000).div_euclid(bucket_s);
    let oldest = state.panel_started_at_ms.div_euclid(1000).div_euclid(bucket_s).max(newest - POINTS + 1);
    Some((oldest..=newest).map(move |number| (number * bucket_s, bucket_s)))
}

/// The number of clients online in the last sample up to then; 0 as soon as xray does not run.
fn online_at(state: &State, at_ms: i64) -> usize {
    let samples = state.online_samples.iter().rev();
    let newest = state.online_samples.back().map_or(0, |(sampled_ms, _)| *sampled_ms);
    if state.core != Core::Running && at_ms >= newest {
        return 0;
    }
    samples.into_iter().find(|(sampled_ms, _)| *sampled_ms <= at_ms).map_or(0, |(_, online)| *online)
}

pub(super) fn metrics_state() -> Answer {
    success(json!({ "enabled": true, "listen": "127.0.0.1:11111" }))
}

pub(super) fn observatory(state: &State, now_ms: i64) -> Answer {
    let now_s = now_ms.div_euclid(1000);
    let all = state.outbounds.iter().filter_map(|outbound| Some((&outbound.tag, outbound.observed?)));
    let one = |(tag, observed): (&String, super::state::Observed)| {
        json!({
            "tag": tag, "alive": observed.alive, "delay": observed.delay_ms,
            "lastSeenTime": observed.last_seen_ms.div_euclid(1000), "lastTryTime": now_s - 5, "updatedAt": now_s,
        })
    };
    success(all.map(one).collect::<Vec<_>>())
}

/// Sums by tag, or in alireza0's panel whole outbounds.
pub(super) fn outbounds(state: &State) -> Answer {
    let all = (1..).zip(&state.outbounds).map(|(id, outbound)| {
        if state.generation != Generation::Alireza {
            let total = outbound.up.saturating_add(outbound.down);
            return json!({ "id": id, "tag": outbound.tag, "up": outbound.up, "down": outbound.down, "total": total });
        }
        let (protocol, settings) = match outbound.tag.as_str() {
            "blocked" => ("blackhole", "{}"),
            _ => ("freedom", r#"{"domainStrategy":"UseIP","finalRules":[{"action":"allow"}]}"#),
        };
        json!({
            "id": id, "up": outbound.up, "down": outbound.down, "sort": id - 1, "sendThrough": "",
            "protocol": protocol, "settings": settings, "tag": outbound.tag,
            "streamSettings": "", "proxySettings": "", "mux": "", "targetStrategy": "",
        })
    });
    success(all.collect::<Vec<_>>())
}

pub(super) fn default_settings(state: &State) -> Answer {
    let generation = state.generation;
    let mut settings = json!({
        "defaultCert": "", "defaultKey": "", "expireDiff": state.thresholds.expire_days, "pageSize": 25,
        "remarkModel": "-ieo", "subEnable": true, "subJsonURI": "", "subURI": "", "tgBotEnable": false,
        "trafficDiff": state.thresholds.traffic_gib,
    });
    let Some(fields) = settings.as_object_mut() else { return success(settings) };
    let mut add = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    if generation == Generation::Alireza {
        add("ipBlockAfterRemove", json!(false));
        return success(settings);
    }
    add("datepicker", json!("gregorian"));
    add("ipLimitEnable", json!(true));
    add("subTitle", json!(""));
    if generation >= Generation::V2_8 {
        add("subJsonEnable", json!(false));
    }
    if generation.is_v3() {
        add("subClashEnable", json!(false));
        add("subClashURI", json!(""));
    }
    if generation >= Generation::V3_6 {
        for flag in ["accessLogEnable", "devChannelEnable", "isDevBuild"] {
            add(flag, json!(false));
        }
        for text in ["subDomain", "subThemeDir"] {
            add(text, json!(""));
        }
        add("webDomain", json!(state.web_domain.clone().unwrap_or_default()));
        fields.remove("remarkModel");
    }
    success(settings)
}

/// Every node, with the tokens in clear text before 3.6.
pub(super) fn nodes(state: &State, now_ms: i64) -> Answer {
    let is_36 = state.generation >= Generation::V3_6;
    let all = state.nodes.iter().filter(|node| is_36 || node.id > 0);
    success(all.map(|node| node_row(state, now_ms, node)).collect::<Vec<_>>())
}

fn node_row(state: &State, now_ms: i64, node: &Node) -> Value {
    let (generation, online, direct) = (state.generation, node.is_online(), node.id > 0);
    // A failed probe takes the figures away and leaves the counts.
    let measured = online && direct;
    // The time of the last try, whether it got through or not.
    let heartbeat = if node.enable || !direct { now_ms.div_euclid(1000) - 2 } else { 0 };
    let created_ms = if direct { state.panel_started_at_ms } else { 0 };
    let unit = if generation < Generation::V3_1 { 1000 } else { 1 };
    let mut row = json!({
        "id": node.id, "name": node.name, "remark": "", "scheme": "https",
        "address": format!("node-{}.example", node.id), "port": 2053, "basePath": if direct { "/" } else { "" },
        "enable": node.enable, "allowPrivateAddress": false, "status": node.status, "lastHeartbeat": heartbeat,
        "latencyMs": if online { 19 } else { 0 }, "xrayVersion": if online { "26.7.28" } else { "" },
        "cpuPct": if measured { node.cpu } else { 0.0 }, "memPct": if measured { node.mem } else { 0.0 },
        "uptimeSecs": if measured { seconds(node.booted_at_ms, now_ms) } else { 0 },
        "lastError": node.last_error, "createdAt": created_ms / unit, "updatedAt": created_ms / unit,
    });
    let Some(fields) = row.as_object_mut() else { return row };
    let mut add = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    if generation >= Generation::V3_1 {
        add("panelVersion", json!(if online { node.panel_version.as_str() } else { "" }));
        counts(state, now_ms, node).into_iter().for_each(|(key, value)| add(key, json!(value)));
    }
    if generation < Generation::V3_6 {
        add("apiToken", json!(format!("node-token-of-{:033}", node.id)));
        return row;
    }
    let parent = if node.parent_guid.is_empty() { &state.guid } else { &node.parent_guid };
    add("hasApiToken", json!(direct));
    add("tlsVerifyMode", json!(if direct { "verify" } else { "" }));
    add("inboundSyncMode", json!(if direct { "all" } else { "" }));
    for text in ["pinnedCertSha256", "outboundTag", "xrayError"] {
        add(text, json!(""));
    }
    add("inboundTags", Value::Null);
    add("guid", json!(node.guid));
    add("netUp", json!(if measured { 120_000 } else { 0 }));
    add("netDown", json!(if measured { 130_000 } else { 0 }));
    add("xrayState", json!(if online { node.xray_state.as_str() } else { "" }));
    add("configDirty", json!(!online && direct));
    add("configDirtyAt", json!(created_ms));
    add("parentGuid", json!(parent));
    if !direct {
        add("transitive", json!(true));
    }
    row
}

fn counts(state: &State, now_ms: i64, node: &Node) -> Vec<(&'static str, usize)> {
    use super::state::Standing;
    let inbounds = state.inbounds.iter().filter(|inbound| node.id > 0 && inbound.node_id == Some(node.id));
    let ids: Vec<i64> = inbounds.map(|inbound| inbound.id).collect();
    let clients: Vec<_> =
        state.clients.iter().filter(|client| client.inbound_ids.iter().any(|id| ids.contains(id))).collect();
    let of = |wanted: &[Standing]| {
        clients.iter().filter(|client| wanted.contains(&state.standing(client, now_ms))).count()
    };
    let online = state.online(now_ms).filter(|client| client.inbound_ids.iter().any(|id| ids.contains(id)));
    let mut counts = vec![
        ("inboundCount", ids.len()),
        ("clientCount", clients.len()),
        ("onlineCount", online.count()),
        ("depletedCount", of(&[Standing::Depleted])),
    ];
    if state.generation >= Generation::V3_6 {
        counts.push(("activeCount", of(&[Standing::Active, Standing::Expiring])));
        counts.push(("disabledCount", of(&[Standing::Disabled])));
    }
    counts
}

/// The nodes that have been reached, with those below them.
pub(super) fn descendants(state: &State, now_ms: i64) -> Answer {
    let reached = state.nodes.iter().filter(|node| !node.guid.is_empty());
    let one = |node: &Node| {
        let parent = if node.parent_guid.is_empty() { &state.guid } else { &node.parent_guid };
        json!({
            "guid": node.guid, "parentGuid": parent, "name": node.name,
            "address": format!("node-{}.example", node.id), "scheme": "https", "port": 2053,
            "status": node.status, "lastHeartbeat": now_ms.div_euclid(1000) - 2, "latencyMs": 19,
            "panelVersion": node.panel_version, "xrayVersion": "26.7.28", "xrayState": node.xray_state,
        })
    };
    success(reached.map(one).collect::<Vec<_>>())
}

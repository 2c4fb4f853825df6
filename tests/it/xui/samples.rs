//! The hand-made panels through the real client, also of versions that were not recorded: each number is that of the
//! sample.

use std::collections::BTreeMap;

use proxymeter::{
    clock::Clock,
    model::{Expiry, NodeStatus, Outcome, Part, Report, Timestamp, User, UserStatus},
};
use serde_json::Value;

use super::recorded::read;
use crate::common::{
    PATIENT, reason,
    server::{Answer, Server},
    xui::{Panel, SAMPLES, client, password},
};

/// The configuration of an inbound; absent: it is broken, or there is none.
fn settings(inbound: &Value) -> Option<Value> {
    match &inbound["settings"] {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()).filter(Value::is_object),
    }
}

fn rows<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn email(row: &Value) -> Option<&str> {
    row["email"].as_str()
}

/// Each client once, with its statistics, and the tags of its inbounds.
fn clients(list: &Value) -> BTreeMap<String, (Value, Vec<String>)> {
    let mut clients: BTreeMap<String, (Value, Vec<String>)> = BTreeMap::new();
    for inbound in rows(list, "obj") {
        let tag = inbound["tag"].as_str().unwrap();
        for row in rows(inbound, "clientStats") {
            let entry = clients.entry(email(row).unwrap().into()).or_default();
            entry.0 = row.clone();
        }
        let configured = settings(inbound).filter(|settings| settings["clients"].is_array());
        let (from, field) =
            configured.as_ref().map_or((inbound, "clientStats"), |settings| (settings, "clients"));
        for name in rows(from, field).filter_map(email) {
            clients.entry(name.into()).or_default().1.push(tag.into());
        }
    }
    clients
}

fn status(name: &str) -> UserStatus {
    match name {
        "carol-expired" => UserStatus::Expired,
        "erin.depleted" => UserStatus::Limited,
        "frank-first-use" => UserStatus::OnHold,
        "grace-off" => UserStatus::Disabled,
        _ => UserStatus::Active,
    }
}

fn expiry(millis: i64) -> Expiry {
    match millis {
        0 => Expiry::Never,
        1.. => Expiry::At(Timestamp::from_millis(millis)),
        _ => Expiry::OnFirstUse(std::time::Duration::from_millis(millis.unsigned_abs())),
    }
}

fn check_host(name: &str, report: &Report, status: &Value) {
    let host = &report.host;
    let pairs = [
        (host.memory_used, &status["mem"]["current"]),
        (host.memory_size, &status["mem"]["total"]),
        (host.swap_used, &status["swap"]["current"]),
        (host.swap_size, &status["swap"]["total"]),
        (host.disk_used, &status["disk"]["current"]),
        (host.disk_size, &status["disk"]["total"]),
        (host.tcp_connections, &status["tcpCount"]),
        (host.udp_connections, &status["udpCount"]),
        (host.network_received, &status["netTraffic"]["recv"]),
        (host.network_sent, &status["netTraffic"]["sent"]),
    ];
    for (found, expected) in pairs {
        assert!(found.is_some() && found == expected.as_u64(), "{name}: {found:?} {expected}");
    }
    let cores = ["logicalPro", "cpuCount", "cpuCores"].iter().find_map(|field| status[*field].as_u64());
    assert_eq!(host.cpu_cores, cores, "{name}");
    assert_eq!(host.cpu_usage, status["cpu"].as_f64().map(|percent| percent / 100.0), "{name}");
    assert_eq!(host.load, [0, 1, 2].map(|at| status["loads"][at].as_f64()), "{name}");
    assert_eq!(host.uptime, status["uptime"].as_f64(), "{name}");
    let core = report.core.as_ref().unwrap();
    assert_eq!((core.up, core.version.as_deref()), (Some(true), status["xray"]["version"].as_str()));
    assert_eq!(core.uptime, status["appStats"]["uptime"].as_f64(), "{name}");
}

fn check_inbounds(
    name: &str,
    report: &Report,
    list: &Value,
    clients: &BTreeMap<String, (Value, Vec<String>)>,
) {
    let all: Vec<_> = rows(list, "obj").collect();
    assert_eq!(report.inbounds.len(), all.len(), "{name}");
    for (inbound, row) in report.inbounds.iter().zip(all) {
        let tag = row["tag"].as_str().unwrap();
        assert_eq!((&*inbound.label, inbound.remark.as_str()), (tag, row["remark"].as_str().unwrap()));
        assert_eq!(inbound.protocol, row["protocol"].as_str().unwrap(), "{name}");
        assert_eq!(inbound.port, row["port"].to_string(), "{name}");
        let (up, down) = (row["up"].as_u64().unwrap(), row["down"].as_u64().unwrap());
        let read = (inbound.uplink.unwrap().value(), inbound.downlink.unwrap().value());
        assert_eq!((read, inbound.used), ((up, down), Some(up + down)), "{name} {tag}");
        assert_eq!(inbound.limit, row["total"].as_u64().filter(|total| *total > 0), "{name} {tag}");
        assert_eq!(inbound.expiry, row["expiryTime"].as_i64().map(expiry), "{name} {tag}");
        assert_eq!(inbound.enabled, row["enable"].as_bool(), "{name} {tag}");
        assert_eq!(inbound.node.is_empty(), row.get("nodeId").is_none(), "{name} {tag}");
        let users = clients.values().filter(|(_, tags)| tags.iter().any(|known| known == tag)).count();
        // Clients without a name are not counted.
        let users = (name != "vaxilu-0.3.2").then_some(u64::try_from(users).unwrap());
        if name != "vaxilu-0.3.2" || inbound.protocol != "http" {
            assert_eq!(inbound.users, users, "{name} {tag}");
        }
    }
}

fn check_user(name: &str, user: &User, row: &Value, tags: &[String]) {
    let email = &*user.name;
    let count = |field: &str| row[field].as_u64().unwrap();
    let (up, down) = (count("up"), count("down"));
    assert_eq!((user.used, user.traffic.value()), (up + down, up + down), "{name} {email}");
    let directions = (user.extra.uplink.unwrap().value(), user.extra.downlink.unwrap().value());
    assert_eq!(directions, (up, down), "{name} {email}");
    assert_eq!(user.limit, Some(count("total")).filter(|total| *total > 0), "{name} {email}");
    assert_eq!(user.expiry, expiry(row["expiryTime"].as_i64().unwrap()), "{name} {email}");
    let renews = row["reset"].as_i64().is_some_and(|days| days > 0);
    let reset = row["expiryTime"].as_i64().filter(|_| renews).map(Timestamp::from_millis);
    assert_eq!((user.renews, user.extra.quota_reset), (renews, reset), "{name} {email}");
    let seen = row["lastOnline"].as_i64().filter(|millis| *millis > 0).map(Timestamp::from_millis);
    assert_eq!(user.last_online.at(), seen, "{name} {email}");
    assert_eq!(user.status, status(email), "{name} {email}");
    let inbounds: Vec<_> = user.extra.inbounds.iter().map(ToString::to_string).collect();
    assert_eq!(inbounds, tags, "{name} {email}");
}

#[tokio::test]
async fn every_sample_gives_its_own_numbers() {
    for name in SAMPLES {
        let panel = Panel::of(name);
        let logins = if panel.has_tokens() { vec![false, true] } else { vec![false] };
        for is_token in logins {
            let server = panel.clone().start();
            let report = read(&panel, &server, is_token).await;
            let failed =
                report.parts.iter().find(|(_, state)| matches!(state.outcome, Outcome::Failed { .. }));
            assert!(report.up == Some(true) && failed.is_none(), "{name} {failed:?}");
            check_host(name, &report, &panel.read("server-status")["obj"]);

            let list = panel.find("inbounds-list-slim").unwrap_or_else(|| panel.read("inbounds-list"));
            let clients = clients(&list);
            check_inbounds(name, &report, &list, &clients);
            assert_eq!((report.users.unreadable().rows, report.users.omitted()), (0, 0), "{name}");
            let names: Vec<_> = report.users.list().iter().map(|user| &*user.name).collect();
            assert_eq!(names, clients.keys().collect::<Vec<_>>(), "{name}");
            for (user, (row, tags)) in report.users.list().iter().zip(clients.values()) {
                check_user(name, user, row, tags);
            }

            let mut online: Vec<_> = report.online.iter().map(ToString::to_string).collect();
            online.sort();
            let expected = panel.find("onlines").unwrap_or_default();
            let mut expected: Vec<_> =
                rows(&expected, "obj").map(|row| row.as_str().or(email(row)).unwrap().to_owned()).collect();
            expected.sort();
            assert_eq!(online, expected, "{name}");

            let nodes = panel.find("nodes-list").unwrap_or_default();
            let nodes: Vec<_> = rows(&nodes, "obj").collect();
            assert_eq!(report.nodes.len(), nodes.len(), "{name}");
            for row in nodes {
                let label = row["name"].as_str().unwrap();
                let node = report.nodes.iter().find(|node| &*node.label == label).unwrap();
                let is_on = row["enable"] == true || row["transitive"] == true;
                let expected = match row["status"].as_str().unwrap() {
                    _ if !is_on => NodeStatus::Disabled,
                    "online" => NodeStatus::Connected,
                    "offline" => NodeStatus::Error,
                    _ => NodeStatus::Connecting,
                };
                assert_eq!(node.status, expected, "{name} {label}");
                let clients = row["clientCount"].as_u64().filter(|_| expected == NodeStatus::Connected);
                assert_eq!(node.users, clients, "{name} {label}");
            }

            let outbounds = ["outbounds-traffic", "outbounds-list"].iter().find_map(|list| panel.find(list));
            for row in rows(&outbounds.unwrap_or_default(), "obj") {
                let tag = row["tag"].as_str().unwrap();
                let outbound = report.outbounds.iter().find(|outbound| &*outbound.label == tag).unwrap();
                let read = [outbound.uplink, outbound.downlink].map(|count| Some(count?.value()));
                assert_eq!(read, [row["up"].as_u64(), row["down"].as_u64()], "{name} {tag}");
            }
        }
    }
}

#[tokio::test]
async fn samples_show_their_generation() {
    for (name, generation, version) in [
        ("vaxilu-0.3.2", "legacy", ""),
        ("1.7", "2.6", ""),
        ("alireza0-1.8", "alireza0", ""),
        ("3.7", "3.3", "3.7.0"),
    ] {
        let panel = Panel::of(name);
        let server = panel.clone().start();
        let mut upstream = client(&server, password(), PATIENT);
        let now = Clock::starting_at(panel.recorded_at()).now();
        let mut report = Report::new("home");
        // 3x-ui 1.7 has no list of users online, so that only the route of its list shows what it is.
        for part in [Part::System, Part::Users, Part::System] {
            for fact in upstream.read(part, now).await.unwrap().facts {
                report.merge(fact, now);
            }
        }
        let identity = report.identity.as_ref().unwrap();
        assert_eq!((&*identity.generation, &*identity.version), (generation, version), "{name}");
    }
}

#[tokio::test]
async fn nothing_in_a_sample_is_no_failure() {
    for (name, path, sample) in [
        ("alireza0-1.8", "/xui/API/inbounds/onlines", "onlines-null"),
        ("alireza0-1.12", "/xui/API/inbounds/onlines", "onlines-null"),
        ("2.6", "/panel/api/inbounds/onlines", "onlines-null"),
        ("2.6", "/panel/api/inbounds/list", "inbounds-list-empty"),
        ("2.8", "/panel/api/inbounds/onlines", "onlines-null"),
        ("3.0", "/panel/api/nodes/list", "nodes-list-empty"),
        ("3.1", "/panel/api/clients/onlines", "onlines-empty"),
        ("3.6", "/panel/api/clients/onlines", "onlines-empty"),
    ] {
        let panel = Panel::of(name);
        let replay = panel.clone();
        let server = panel.clone().with(path, move || replay.replay(sample));
        let report = read(&panel, &server, false).await;
        let failed = report.parts.iter().find(|(_, state)| matches!(state.outcome, Outcome::Failed { .. }));
        assert!(report.up == Some(true) && failed.is_none(), "{name} {sample} {failed:?}");
        let found = match sample {
            "inbounds-list-empty" => report.inbounds.len() + report.users.list().len(),
            "nodes-list-empty" => report.nodes.len(),
            _ => report.online.len(),
        };
        // The list of 3.1 says nothing of those that moved bytes a short time ago.
        assert_eq!(found, if name == "3.1" { 2 } else { 0 }, "{name} {sample}");
    }
}

#[tokio::test]
async fn errors_in_samples_cost_only_what_they_concern() {
    let panel = Panel::of("2.6");
    let replay = panel.clone();
    let server = panel.clone().with("/server/status", move || replay.replay("server-status-xray-error"));
    let report = read(&panel, &server, false).await;
    assert_eq!(report.core.as_ref().unwrap().up, Some(false));
    assert!(report.up == Some(true) && report.online.is_empty() && !report.users.list().is_empty());

    let panel = Panel::of("3.7");
    let replay = panel.clone();
    let server = Server::start(move |request| match request.path().contains("/inbounds/list") {
        true => replay.replay("token-denied"),
        false => replay.answer(request),
    });
    let report = read(&panel, &server, true).await;
    assert!(report.up == Some(true) && !report.nodes.is_empty(), "{:?}", report.parts);
    assert_eq!(report.outcome(Part::Users), Some(&Outcome::Refused), "{:?}", report.parts);

    // A list that was cut is none.
    let body = Panel::of("3.7").read("inbounds-list-slim").to_string();
    let half = body.as_bytes()[..body.len() / 2].to_vec();
    let server = panel.clone().with("/panel/api/inbounds/list/slim", move || Answer::json(half.clone()));
    let report = read(&panel, &server, true).await;
    assert!(reason(&report, Part::Users).is_some() && report.users.list().is_empty());
}

#[tokio::test]
async fn what_a_panel_does_not_have_is_no_part_and_no_number() {
    for name in ["vaxilu-0.3.2", "1.7"] {
        let panel = Panel::of(name);
        let report = read(&panel, &panel.clone().start(), false).await;
        let parts: Vec<_> = report.parts.keys().map(|part| part.label()).collect();
        assert_eq!(parts, ["system", "core", "inbounds", "users"], "{name}");
        let now = Clock::starting_at(panel.recorded_at()).now();
        assert_eq!(report.users_online(now), None, "{name}");
    }
}

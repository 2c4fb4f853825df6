//! The recorded panels through the real client: the numbers are those of the recordings.

use std::{collections::BTreeMap, sync::Arc};

use proxymeter::{
    clock::Clock,
    exposition::{Format, Options, UserLabels},
    model::{
        ActiveAlerts, Expiry, LastOnline, NodeStatus, Outcome, Part, PartState, Report, Timestamp, Unread,
        User, UserStatus,
    },
};
use serde_json::Value;

use crate::common::{
    PATIENT, read_at,
    server::{Answer, Server},
    shown,
    xui::{BASE, PANELS, Panel, SAMPLES, client, password, token},
};

const LIST: &str = "/panel/api/inbounds/list";
const SLIM: &str = "/panel/api/inbounds/list/slim";

pub(super) async fn read(panel: &Panel, server: &Server, is_token: bool) -> Report {
    let login = if is_token { token() } else { password() };
    read_at(client(server, login, PATIENT), Clock::starting_at(panel.recorded_at())).await
}

fn user<'a>(report: &'a Report, name: &str) -> &'a User {
    report.users.list().iter().find(|user| &*user.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// The clients of a recorded list, each once.
fn stats(list: &Value) -> BTreeMap<String, Value> {
    let inbounds = list["obj"].as_array().unwrap().iter();
    let rows = inbounds.flat_map(|inbound| inbound["clientStats"].as_array().unwrap());
    rows.map(|row| (row["email"].as_str().unwrap().to_owned(), row.clone())).collect()
}

#[tokio::test]
async fn every_generation_gives_its_own_numbers() {
    for name in PANELS {
        let panel = Panel::of(name);
        let logins = if panel.has_tokens() { vec![false, true] } else { vec![false] };
        for is_token in logins {
            let server = panel.clone().start();
            let report = read(&panel, &server, is_token).await;
            assert_eq!(report.up, Some(true), "{name} {:?}", report.parts);
            let (status, list) = (&panel.read("server-status")["obj"], panel.read("inbounds-list"));

            // The host and the core.
            let host = &report.host;
            assert_eq!(host.memory_used, status["mem"]["current"].as_u64(), "{name}");
            assert_eq!(host.swap_size, status["swap"]["total"].as_u64());
            assert_eq!(host.disk_size, status["disk"]["total"].as_u64());
            assert_eq!(
                host.load.map(Option::unwrap),
                [0, 1, 2].map(|at| status["loads"][at].as_f64().unwrap())
            );
            assert_eq!(host.tcp_connections, status["tcpCount"].as_u64());
            assert_eq!(host.network_received, status["netTraffic"]["recv"].as_u64());
            assert!(host.cpu_cores == Some(2) && host.cpu_usage.is_some());
            let core = report.core.as_ref().unwrap();
            assert_eq!((core.up, core.version.as_deref()), (Some(true), Some("26.7.28")), "{name}");
            assert_eq!(core.uptime, status["appStats"]["uptime"].as_f64());

            // Inbounds.
            let inbounds = list["obj"].as_array().unwrap();
            assert_eq!(report.inbounds.len(), inbounds.len(), "{name}");
            for (inbound, row) in report.inbounds.iter().zip(inbounds) {
                assert_eq!(&*inbound.label, row["tag"].as_str().unwrap());
                assert_eq!(inbound.remark, row["remark"].as_str().unwrap());
                assert_eq!(inbound.uplink.unwrap().value(), row["up"].as_u64().unwrap(), "{name}");
                assert_eq!(inbound.limit.unwrap_or(0), row["total"].as_u64().unwrap());
                assert_eq!(inbound.enabled, row["enable"].as_bool());
                // Statistics of a client that no inbound has any more stay with the last one.
                let is_orphan = |row: &&Value| row["email"] == "orphan";
                let stats = row["clientStats"].as_array().unwrap();
                let users = stats.len() - stats.iter().filter(is_orphan).count();
                assert_eq!(inbound.users, u64::try_from(users).ok(), "{name}");
            }

            // Clients, each once.
            let stats = stats(&list);
            assert_eq!(report.users.list().len(), stats.len(), "{name}");
            assert_eq!((report.users.unreadable().rows, report.users.omitted()), (0, 0));
            for (email, row) in &stats {
                let user = user(&report, email);
                let (up, down) = (row["up"].as_u64().unwrap(), row["down"].as_u64().unwrap());
                assert_eq!((user.used, user.traffic.value()), (up + down, up + down), "{name} {email}");
                assert_eq!(user.limit.unwrap_or(0), row["total"].as_u64().unwrap());
                match (row["expiryTime"].as_i64().unwrap(), user.expiry) {
                    (0, Expiry::Never) => {}
                    (ms @ 1.., Expiry::At(at)) => assert_eq!(at, Timestamp::from_millis(ms)),
                    (ms, Expiry::OnFirstUse(after)) => {
                        assert_eq!(after.as_millis(), u128::from(ms.unsigned_abs()));
                    }
                    other => panic!("{name} {email}: {other:?}"),
                }
                assert_eq!(user.renews, row["reset"].as_i64().unwrap() > 0);
                let seen = row["lastOnline"].as_i64().filter(|ms| *ms > 0).map(Timestamp::from_millis);
                assert_eq!(user.last_online.at(), seen, "{name} {email}");
            }

            // The same users have the same status everywhere.
            for (email, status) in [
                ("alice", UserStatus::Active),
                ("expired-2d", UserStatus::Expired),
                ("neg-unused", UserStatus::OnHold),
                // Had not started when these were recorded.
                (
                    "neg-started",
                    if name.starts_with("3.0") { UserStatus::OnHold } else { UserStatus::Active },
                ),
                ("off-by-hand", UserStatus::Disabled),
                ("year9999", UserStatus::Active),
                ("ss-user", UserStatus::Active),
            ] {
                assert_eq!(user(&report, email).status, status, "{name} {email}");
            }
            assert!(user(&report, "renewing").renews);

            // Who is online, by the panel's own list. 3.1.0 has none without a browser.
            let online = panel.read("onlines");
            let names = online["obj"].as_array().into_iter().flatten();
            let mut expected: Vec<_> =
                names.map(|row| row.as_str().or(row["email"].as_str()).unwrap().to_owned()).collect();
            if name == "3.1.0" {
                let last = panel.read("last-online");
                let since = (panel.recorded_at().as_secs() - 20) * 1000;
                let seen = last["obj"].as_object().unwrap().iter();
                expected = seen
                    .filter(|(_, at)| at.as_i64().unwrap() >= since)
                    .map(|(name, _)| name.clone())
                    .collect();
            }
            expected.sort();
            let mut seen: Vec<_> = report.online.iter().map(ToString::to_string).collect();
            seen.sort();
            assert_eq!(seen, expected, "{name}");
        }
    }
}

#[tokio::test]
async fn the_generation_is_detected_and_the_version_is_the_panels() {
    for (name, generation, version) in [
        ("alireza0-1.12.0", "alireza0", "1.12.0"),
        ("2.6.8", "2.6", "2.6.8"),
        ("2.8.11", "2.7", "2.8.11"),
        ("3.0.0", "3.0", ""),
        ("3.0.2", "3.0", ""),
        ("3.1.0", "3.1", "3.1.0"),
        ("3.6.0", "3.3", "3.6.0"),
        ("main", "3.3", "3.6.0"),
    ] {
        let panel = Panel::of(name);
        let server = panel.clone().start();
        let report = read(&panel, &server, false).await;
        let identity = report.identity.as_ref().unwrap();
        let found = (identity.system.label(), &*identity.generation, &*identity.version);
        assert_eq!(found, ("xui", generation, version), "{name}");
    }
}

#[tokio::test]
async fn the_panels_own_counts_agree() {
    for name in ["3.1.0", "3.6.0", "main"] {
        let panel = Panel::of(name);
        let server = panel.clone().start();
        let report = read(&panel, &server, true).await;
        let summary = &panel.read("clients-list-paged-1")["obj"]["summary"];
        let count = |wanted: &[UserStatus]| {
            report.users.list().iter().filter(|user| wanted.contains(&user.status)).count()
        };
        let counted = |field: &str| usize::try_from(summary[field].as_u64().unwrap()).unwrap();
        // The list of 3.1.0 lacks a client that no inbound has.
        let orphans = usize::from(name == "3.1.0");
        assert_eq!(report.users.list().len() + orphans, counted("total"), "{name}");
        // One that waits for its first use is active for the panel.
        let active = count(&[UserStatus::Active, UserStatus::OnHold]);
        let expiring = summary["expiring"].as_array().unwrap().len();
        assert_eq!(active + orphans, counted("active") + expiring, "{name}");
        assert_eq!(count(&[UserStatus::Disabled]), summary["deactive"].as_array().unwrap().len());
        let depleted = count(&[UserStatus::Limited, UserStatus::Expired]);
        assert_eq!(depleted, summary["depleted"].as_array().unwrap().len());
        let multi = user(&report, "multi");
        assert!(multi.extra.inbounds.len() >= 3, "{:?}", multi.extra.inbounds);
    }
}

#[tokio::test]
async fn nodes_outbounds_and_addresses_are_read() {
    let panel = Panel::of("3.6.0");
    let server = panel.clone().start();
    let report = read(&panel, &server, true).await;
    let nodes: Vec<_> = report.nodes.iter().map(|node| (&*node.label, node.status)).collect();
    assert_eq!(
        nodes,
        [
            ("node-eins 🌍", NodeStatus::Connected),
            ("dead-node", NodeStatus::Error),
            ("bad-token", NodeStatus::Error),
            ("disabled-node", NodeStatus::Disabled),
        ]
    );
    let online = &report.nodes[0];
    assert_eq!((online.users, online.users_online, online.core_up), (Some(2), Some(0), Some(true)));
    assert_eq!(
        report.nodes[1].message.as_ref().unwrap().as_str(),
        "dial tcp 127.0.0.1:9: connect: connection refused"
    );
    // The figures of nodes that are not online are none.
    assert_eq!(report.node_stats.len(), 1);
    assert_eq!(report.node_stats[0].uptime, Some(1435.0));
    let inbound = report.inbounds.iter().find(|inbound| &*inbound.label == "n1-in-17410-tcp").unwrap();
    assert_eq!(inbound.node, "node-eins 🌍");

    let outbound = |tag: &str| report.outbounds.iter().find(|outbound| &*outbound.label == tag).unwrap();
    assert_eq!(outbound("direct").downlink.unwrap().value(), 3_803_249);
    assert_eq!((outbound("direct").up, outbound("dead-🧟-out").up), (Some(true), Some(false)));
    assert_eq!(outbound("direct").latency.unwrap().as_millis(), 3);
    assert_eq!((outbound("dead-🧟-out").latency, outbound("blocked").up), (None, None));

    assert_eq!(user(&report, "alice").extra.devices, Some(1));
    let limited = panel.read("inbounds-list");
    let rows = limited["obj"].as_array().unwrap().iter();
    let mut limits: Vec<_> = rows
        .flat_map(|inbound| inbound["settings"]["clients"].as_array().into_iter().flatten())
        .filter(|client| client["limitIp"].as_u64().is_some_and(|limit| limit > 0))
        .map(|client| (client["email"].as_str().unwrap(), client["limitIp"].as_u64()))
        .collect();
    limits.dedup();
    assert!(!limits.is_empty());
    for (email, limit) in limits {
        assert_eq!(user(&report, email).extra.devices_limit, limit, "{email}");
    }
}

#[tokio::test]
async fn the_core_is_up_only_if_it_really_runs() {
    for name in PANELS {
        let panel = Panel::of(name);
        for status in [
            "xray-stopped-status",
            "server-status-xray-error",
            "server-status-xray-missing",
            "server-status-xray-crashloop",
        ] {
            let Some(answer) = panel.find(status) else { continue };
            // alireza0 was recorded while it had just started its core again.
            let up = answer["obj"]["xray"]["state"] == "Running";
            let path = panel.status_path();
            let body = answer.to_string();
            let server = panel.clone().with(path, move || Answer::json(body.clone()));
            let report = read(&panel, &server, false).await;
            assert_eq!(report.core.as_ref().unwrap().up, Some(up), "{name} {status}");
            // 3x-ui 2.8 keeps its list of those online while the core is stopped. Nodes have cores of their own.
            let has_node = report.nodes.iter().any(|node| node.status == NodeStatus::Connected);
            assert!(up || has_node || report.online.is_empty(), "{name} {status}");
            assert!(!report.users.list().is_empty());
        }
    }
}

#[tokio::test]
async fn a_panel_that_fails_to_say_who_is_online_has_no_core() {
    for name in ["2.6.8", "2.8.11", "3.0.2", "3.1.0"] {
        let panel = Panel::of(name);
        let path = if name == "3.1.0" { "/panel/api/clients/onlines" } else { "/panel/api/inbounds/onlines" };
        let mut status = panel.read("server-status");
        (status["obj"]["xray"]["state"], status["obj"]["appStats"]["uptime"]) = ("error".into(), 0.into());
        let (replay, status_path) = (panel.clone(), panel.status_path());
        let server = Server::start(move |request| match request.path().strip_prefix(BASE) {
            Some(asked) if asked == path => replay.replay("onlines-xray-never-started"),
            Some(asked) if asked == status_path => Answer::json(status.to_string()),
            _ => replay.answer(request),
        });
        let report = read(&panel, &server, false).await;
        assert_eq!(report.online.len(), 0, "{name}");
        assert!(report.fresh(Part::Online, Clock::starting_at(panel.recorded_at()).now()), "{name}");
    }
}

#[tokio::test]
async fn a_broken_inbound_costs_itself_alone() {
    let panel = Panel::of("2.8.11");
    let mut list = panel.read("inbounds-list");
    list["obj"][0]["settings"] = "{\"clients\": [".into();
    list["obj"][1]["clientStats"] = Value::Null;
    list["obj"][2] = "odd".into();
    let body = list.to_string();
    let server = panel.clone().with("/panel/api/inbounds/list", move || Answer::json(body.clone()));
    let report = read(&panel, &server, false).await;
    // From the statistics alone.
    assert_eq!(user(&report, "alice").status, UserStatus::Active);
    assert_eq!(user(&report, "expired-2d").status, UserStatus::Expired);
    // From the configuration alone.
    assert_eq!(user(&report, "off-by-hand").status, UserStatus::Disabled);
    assert_eq!(report.omitted[&Part::Inbounds], 1);
    assert_eq!(report.inbounds.len(), 4);
}

#[tokio::test]
async fn clients_of_an_inbound_with_broken_settings_come_from_their_statistics() {
    let paths = [("2.8.11", "inbounds-list"), ("3.6.0", "inbounds-list-slim")];
    for (name, file) in paths {
        let panel = Panel::of(name);
        let path = if file == "inbounds-list" { LIST } else { SLIM };
        let whole = read(&panel, &panel.clone().start(), false).await;
        let object = serde_json::json!({"clients": "none"});
        for broken in ["{\"clients\": [".into(), "[]".into(), "".into(), Value::Null, 5.into(), object] {
            let mut list = panel.read(file);
            let row = &mut list["obj"][0];
            let in_it = |row: &Value| row["email"].as_str().unwrap().to_owned();
            let in_it: Vec<_> = row["clientStats"].as_array().unwrap().iter().map(in_it).collect();
            row["settings"] = broken.clone();
            let body = list.to_string();
            let server = panel.clone().with(path, move || Answer::json(body.clone()));
            let report = read(&panel, &server, false).await;
            assert_eq!(report.users.list().len(), whole.users.list().len(), "{name} {broken}");
            for (found, known) in report.users.list().iter().zip(whole.users.list().iter()) {
                let mut found = found.clone();
                assert_eq!(found.name, known.name);
                found.read_at = known.read_at;
                if in_it.contains(&found.name.to_string()) {
                    // What only the configuration has: that it was switched off by hand, the most addresses, and the time of
                    // the creation.
                    assert!(found.extra.inbounds.contains(&report.inbounds[0].label), "{name} {broken}");
                    found.extra.devices_limit = known.extra.devices_limit;
                    if known.last_online.is_never() {
                        found.last_online = known.last_online;
                    }
                    found.extra.inbounds = Arc::clone(&known.extra.inbounds);
                }
                assert_eq!(&found, known, "{name} {broken}");
            }
            assert_eq!(report.inbounds[1..], whole.inbounds[1..], "{name} {broken}");
            let users = u64::try_from(in_it.len()).ok();
            assert_eq!(report.inbounds[0].users, users, "{name} {broken}");
        }
    }
}

#[tokio::test]
async fn an_odd_field_of_a_client_costs_that_field() {
    for (name, file) in [("2.8.11", "inbounds-list"), ("3.6.0", "inbounds-list-slim")] {
        let panel = Panel::of(name);
        let path = if file == "inbounds-list" { LIST } else { SLIM };
        let whole = read(&panel, &panel.clone().start(), false).await;
        let mut list = panel.read(file);
        list["obj"][0]["clientStats"][0]["lastOnline"] = "yesterday".into();
        let email = list["obj"][0]["clientStats"][0]["email"].as_str().unwrap().to_owned();
        let body = list.to_string();
        let server = panel.clone().with(path, move || Answer::json(body.clone()));
        let report = read(&panel, &server, false).await;
        let (mut found, known) = (user(&report, &email).clone(), user(&whole, &email));
        assert!(found.unread.has(Unread::ONLINE) && found.last_online == LastOnline::default(), "{name}");
        (found.unread, found.last_online, found.online) = (known.unread, known.last_online, known.online);
        found.read_at = known.read_at;
        assert_eq!(&found, known, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_no_empty_list() {
    for body in [
        r#"{"success":false,"msg":"database is locked","obj":null}"#,
        r#"{"success":true,"msg":"","obj":[{"id":1,"clientStats":[{"email":"a"}"#,
        r#"{"success":true,"msg":"","obj":[1,2]}"#,
        r#"{"detail":"no"}"#,
        "[]",
    ] {
        for name in ["2.8.11", "3.6.0"] {
            let panel = Panel::of(name);
            let path =
                if name == "3.6.0" { "/panel/api/inbounds/list/slim" } else { "/panel/api/inbounds/list" };
            let server = panel.clone().with(path, move || Answer::json(body));
            let report = read(&panel, &server, false).await;
            assert_eq!(report.up, Some(true));
            let state = report.outcome(Part::Users).unwrap();
            assert!(matches!(state, Outcome::Failed { .. }), "{name} {body} {state:?}");
            assert!(report.users.walked_since().is_none());
            assert_eq!(server.requests_for(&format!("{BASE}/login")).len(), 1, "{name} {body}");
        }
    }
}

#[tokio::test]
async fn every_other_answer_is_read_or_is_a_failure() {
    const NO_SAMPLE: [&str; 2] = ["server-status-just-started", "server-status-null"];
    let (mut read_well, mut failures) = (0, 0);
    for name in PANELS.into_iter().chain(SAMPLES) {
        let panel = Panel::of(name);
        // Without a sample, a panel is asked again after seconds, which has a test of its own.
        for (other, status) in panel.others().into_iter().filter(|(name, _)| !NO_SAMPLE.contains(name)) {
            let replay = panel.clone();
            let (at, file) = (panel.clone(), other.to_owned());
            let server = Server::start(move |request| match at.is_at(&file, request) {
                true => replay.replay(&file),
                false => replay.answer(request),
            });
            let report = read(&panel, &server, false).await;
            let fails = |state: &PartState| !matches!(state.outcome, Outcome::Up);
            let failed = report.parts.values().any(fails) || report.up == Some(false);
            // The list that is read for its limits alone may fail.
            let is_read = status == 200 && panel.read(other)["success"] == true;
            assert!(!failed || !is_read, "{name} {other}: {:?}", report.parts);
            (read_well, failures) = (read_well + u32::from(!failed), failures + u32::from(failed));
        }
    }
    assert!(read_well > 30 && failures > 10, "{read_well} {failures}");
}

#[tokio::test]
async fn a_panel_that_has_just_started_has_no_sample_yet() {
    let panel = Panel::of("3.6.0");
    let replay = panel.clone();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let is_status = request.path().ends_with("/server/status");
        match is_status.then(|| asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
            Some(0) => replay.replay("server-status-just-started"),
            _ => replay.answer(request),
        }
    });
    let report = read(&panel, &server, true).await;
    assert_eq!(report.identity.as_ref().unwrap().generation, "3.3");
    assert!(report.host.memory_used.is_some());
}

#[tokio::test]
async fn the_core_and_what_nodes_measure_are_shown() {
    for name in ["3.6.0", "2.8.11", "alireza0-1.12.0"] {
        let panel = Panel::of(name);
        let server = panel.clone().start();
        let report = read(&panel, &server, false).await;
        let now = Clock::starting_at(panel.recorded_at()).now();
        let options = Options {
            labels: UserLabels::Name,
            limit: 1000,
            inbounds: true,
            used_today: false,
            budgets: Vec::new(),
        };
        let reports = [Arc::new(report)];
        let text = shown::text(&reports, &ActiveAlerts::default(), &options, now, Format::Classic);
        let nodes = (name == "3.6.0").then_some("node_uptime_seconds{");
        for series in ["core_up{", "core_uptime_seconds{", "core_info{"].into_iter().chain(nodes) {
            assert!(text.contains(&format!("\nproxymeter_{series}")), "{name} {series}");
        }
        // An old panel may have an old sample for the first request.
        let times = if name == "3.6.0" { 1 } else { 2 };
        assert_eq!(server.requests_for(&format!("{BASE}{}", panel.status_path())).len(), times, "{name}");
    }
}

#[tokio::test]
async fn names_are_the_same_in_any_case() {
    let panel = Panel::of("2.8.11");
    let mut list = panel.read("inbounds-list");
    for inbound in list["obj"].as_array_mut().unwrap() {
        for row in inbound["clientStats"].as_array_mut().unwrap() {
            if row["email"] == "alice" {
                row["email"] = "Alice".into();
            }
        }
    }
    let body = list.to_string();
    let replay = panel.clone();
    let server = Server::start(move |request| match request.path().strip_prefix(BASE) {
        Some("/panel/api/inbounds/list") => Answer::json(body.clone()),
        Some("/panel/api/inbounds/onlines") => Answer::json(r#"{"success":true,"msg":"","obj":["ALICE"]}"#),
        _ => replay.answer(request),
    });
    let mut upstream = client(&server, password(), PATIENT);
    let now = Clock::starting_at(panel.recorded_at()).now();
    let mut report = Report::new("home");
    for part in [Part::System, Part::Users, Part::Online] {
        for fact in upstream.read(part, now).await.unwrap().facts {
            report.merge(fact, now);
        }
    }
    assert!(!format!("{upstream:?}").to_lowercase().contains("alice"));
    let names: Vec<_> = report.users.list().iter().map(|user| &*user.name).collect();
    assert!(names.contains(&"Alice") && !names.contains(&"alice"), "{names:?}");
    assert!(report.online.contains("Alice"), "{:?}", report.online);
}

#[tokio::test]
async fn the_number_of_users_is_absent_where_nothing_says_it() {
    let panel = Panel::of("2.8.11");
    let body = r#"{"success":true,"msg":"","obj":[
        {"id":1,"tag":"silent","settings":""},
        {"id":2,"tag":"nameless","settings":"{\"clients\":[{\"id\":\"u\"}]}"},
        {"id":3,"tag":"empty","settings":"{\"clients\":[]}"},
        {"id":4,"tag":"stats","settings":"","clientStats":[]}]}"#;
    let server = panel.clone().with("/panel/api/inbounds/list", move || Answer::json(body));
    let report = read(&panel, &server, false).await;
    let users: Vec<_> = report.inbounds.iter().map(|inbound| inbound.users).collect();
    assert_eq!(users, [None, None, Some(0), Some(0)]);
}

#[tokio::test]
async fn a_client_without_statistics_has_the_plan_of_the_whole_list() {
    let panel = Panel::of("3.6.0");
    let (mut slim, mut whole) = (panel.read("inbounds-list-slim"), panel.read("inbounds-list"));
    for row in [&mut slim, &mut whole].into_iter().flat_map(|list| list["obj"].as_array_mut().unwrap()) {
        row["clientStats"].as_array_mut().unwrap().retain(|row| row["email"] != "alice");
        for client in row["settings"]["clients"].as_array_mut().into_iter().flatten() {
            if client["email"] == "alice" && client.get("totalGB").is_some() {
                (client["totalGB"], client["expiryTime"]) =
                    (5_368_709_120_u64.into(), 1_900_000_000_000_u64.into());
                client["reset"] = 30.into();
            }
        }
    }
    let (slim, whole) = (slim.to_string(), whole.to_string());
    for fails in [false, true] {
        let (replay, slim, whole) = (panel.clone(), slim.clone(), whole.clone());
        let server = Server::start(move |request| match request.path().strip_prefix(BASE) {
            Some(SLIM) => Answer::json(slim.clone()),
            Some(LIST) if fails => Answer::status(502),
            Some(LIST) => Answer::json(whole.clone()),
            _ => replay.answer(request),
        });
        let report = read(&panel, &server, true).await;
        let alice = user(&report, "alice");
        let unread = [Unread::LIMIT, Unread::EXPIRY, Unread::RENEWS].map(|fact| alice.unread.has(fact));
        assert_eq!(unread, [fails; 3]);
        let end = Timestamp::from_millis(1_900_000_000_000);
        let plan = (alice.limit, alice.expiry, alice.renews);
        let expected =
            if fails { (None, Expiry::Never, false) } else { (Some(5_368_709_120), Expiry::At(end), true) };
        assert_eq!(plan, expected);
        assert!(alice.unread.has(Unread::USED) && alice.extra.uplink.is_none());
        assert!(!user(&report, "multi").unread.has(Unread::LIMIT));
    }
}

#[tokio::test]
async fn a_status_without_the_guid_does_not_change_the_generation() {
    let panel = Panel::of("3.6.0");
    let mut without = panel.read("server-status");
    without["obj"].as_object_mut().unwrap().remove("panelGuid");
    let mut older = without.clone();
    older["obj"]["panelVersion"] = "3.2.0".into();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let replay = panel.clone();
    let server = Server::start(move |request| {
        let is_status = request.path().ends_with("/server/status");
        match is_status.then(|| asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
            Some(1) => Answer::json(without.to_string()),
            Some(2) => Answer::json(older.to_string()),
            _ => replay.answer(request),
        }
    });
    let mut upstream = client(&server, token(), PATIENT);
    let now = Clock::starting_at(panel.recorded_at()).now();
    let mut report = Report::new("home");
    for expected in ["3.3", "3.3", "3.1"] {
        for fact in upstream.read(Part::System, now).await.unwrap().facts {
            report.merge(fact, now);
        }
        assert_eq!(report.identity.as_ref().unwrap().generation, expected);
    }
}

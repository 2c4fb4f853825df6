//! What the client makes of a real PasarGuard's answers, against numbers taken from the recordings themselves.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proxymeter::model::{Expiry, Outcome, Part, Report, System, Timestamp, UserStatus};
use serde_json::Value;

use crate::common::{
    PATIENT, RECORDED_AT, at, config,
    panel::{Panel, Recordings, Role, SYSTEM, TOKEN},
    poll_until, read_once, reason,
    server::Server,
    upstream,
};

/// The parts that were recorded for every account.
const PARTS: [Part; 4] = [Part::System, Part::Nodes, Part::Admins, Part::Users];
const READERS: [Role; 4] = [Role::Owner, Role::Administrator, Role::FullKey, Role::ReadOnlyKey];

async fn report_of(role: Role, server: &Server) -> Report {
    read_once(upstream(&config(&server.url(), role.login()), PATIENT)).await
}

async fn report_as_recorded(role: Role) -> Report {
    report_of(role, &Panel::of(role).start()).await
}

/// The recording `name` of this role or key.
fn recorded(role: Role, name: &str) -> Value {
    let name = match role {
        Role::FullKey | Role::ReadOnlyKey | Role::UsersKey => format!("key-{}-{name}", role.word()),
        _ => format!("{name}-{}", role.word()),
    };
    Recordings::PasarGuard.read(&name)
}

fn rows(answer: &Value, list: &str) -> Vec<Value> {
    answer[list].as_array().unwrap().clone()
}

fn number(row: &Value, field: &str) -> Option<u64> {
    row[field].as_u64()
}

fn date(value: &Value) -> Option<Timestamp> {
    let date: jiff::Timestamp = value.as_str()?.parse().unwrap();
    Some(Timestamp::from_millis(date.as_millisecond()))
}

fn outcomes(report: &Report) -> [Option<&Outcome>; 4] {
    PARTS.map(|part| report.outcome(part))
}

#[tokio::test]
async fn those_who_may_read_everything_do() {
    for role in READERS {
        let server = Panel::of(role).start();
        let report = report_of(role, &server).await;
        assert_eq!(report.up, Some(true), "{role:?}");
        assert_eq!(outcomes(&report), PARTS.map(|_| Some(&Outcome::Up)), "{role:?}");
        assert!(!report.parts.contains_key(&Part::Core), "{role:?}");
        let logins = usize::from(matches!(role, Role::Owner | Role::Administrator));
        assert_eq!(server.requests_for(TOKEN).len(), logins, "{role:?}");

        let identity = report.identity.unwrap();
        let version = recorded(role, "system")["version"].as_str().unwrap().to_owned();
        let generation = version.split('.').next().unwrap();
        assert_eq!(
            (identity.system, &*identity.version, &*identity.generation),
            (System::PasarGuard, &*version, generation)
        );
    }
}

#[tokio::test]
async fn the_host_the_totals_and_the_counts_are_the_panels_own() {
    for role in READERS.into_iter().chain([Role::Operator]) {
        let report = report_as_recorded(role).await;
        let system = recorded(role, "system");
        let host = &report.host;
        assert_eq!(host.memory_size, number(&system, "mem_total"), "{role:?}");
        assert_eq!(host.memory_used, number(&system, "mem_used"), "{role:?}");
        assert_eq!(host.disk_size, number(&system, "disk_total"), "{role:?}");
        assert_eq!(host.disk_used, number(&system, "disk_used"), "{role:?}");
        assert_eq!(host.cpu_cores, number(&system, "cpu_cores"), "{role:?}");
        assert_eq!(host.cpu_usage, system["cpu_usage"].as_f64().map(|percent| percent / 100.0), "{role:?}");
        assert_eq!(host.uptime, system["uptime_seconds"].as_f64(), "{role:?}");
        // A reseller's are its own users', and those since it was made.
        let whole = |field| number(&system, field).filter(|_| role != Role::Operator);
        assert_eq!(report.proxy_uplink.map(|c| c.value()), whole("incoming_bandwidth"), "{role:?}");
        assert_eq!(report.proxy_downlink.map(|c| c.value()), whole("outgoing_bandwidth"), "{role:?}");

        let counts = &report.counts;
        assert_eq!(counts.total, number(&system, "total_user"), "{role:?}");
        assert_eq!((counts.online, counts.seen_within_day), (number(&system, "online_users"), None));
        assert_eq!(counts.by_status.len(), UserStatus::KNOWN.len(), "{role:?}");
        for (status, count) in &counts.by_status {
            assert_eq!(Some(*count), number(&system, &format!("{}_users", status.label())), "{status:?}");
            let listed = report.users.list().iter().filter(|user| user.status == *status).count();
            assert_eq!(u64::try_from(listed).unwrap(), *count, "{role:?} {status:?}");
        }
    }
}

#[tokio::test]
async fn every_user_is_as_recorded() {
    for role in READERS.into_iter().chain([Role::UsersKey]) {
        let panel = Panel::of(role);
        // An account that may read nothing else is down, and the client is asked for its users alone.
        let report = if role == Role::UsersKey {
            let server = panel.start();
            let mut upstream = upstream(&config(&server.url(), role.login()), PATIENT);
            let mut report = Report::new("home");
            let step = upstream.read(Part::Users, at(RECORDED_AT)).await.unwrap();
            step.facts.into_iter().for_each(|fact| report.merge(fact, at(RECORDED_AT)));
            report
        } else {
            report_of(role, &panel.start()).await
        };
        let answer = Recordings::PasarGuard.read(role.all_users());
        let rows = rows(&answer, "users");
        assert_eq!(
            u64::try_from(rows.len()).unwrap(),
            number(&answer, "total").unwrap(),
            "not the whole list"
        );
        assert_eq!(report.users.unreadable().rows, 0);

        let read: BTreeMap<_, _> = report.users.list().iter().map(|user| (&*user.name, user)).collect();
        assert_eq!(read.len(), rows.len(), "{role:?}");
        for row in &rows {
            let name = row["username"].as_str().unwrap();
            let user = read[name];
            assert_eq!(user.status.label(), row["status"], "{name}");
            assert_eq!(Some(user.used), number(row, "used_traffic"), "{name}");
            assert_eq!(Some(user.traffic.value()), number(row, "lifetime_used_traffic"), "{name}");
            assert_eq!(user.limit, number(row, "data_limit").filter(|limit| *limit > 0), "{name}");
            assert_eq!(user.owner.as_deref(), row["admin"]["username"].as_str(), "{name}");
            assert_eq!(user.last_online.at(), date(&row["online_at"]), "{name}");
            let plan = number(row, "on_hold_expire_duration").map(Duration::from_secs);
            let expiry = match (date(&row["expire"]), plan) {
                (Some(date), _) => Expiry::At(date),
                (None, Some(plan)) if user.status == UserStatus::OnHold => Expiry::OnFirstUse(plan),
                (None, _) => Expiry::Never,
            };
            assert_eq!(user.expiry, expiry, "{name}");
        }
    }
}

#[tokio::test]
async fn every_node_is_as_recorded() {
    for role in READERS {
        let report = report_as_recorded(role).await;
        let rows = rows(&recorded(role, "nodes"), "nodes");
        assert_eq!(report.nodes.len(), rows.len(), "{role:?}");
        for (node, row) in report.nodes.iter().zip(&rows) {
            let label = &node.label;
            assert_eq!(**label, *row["name"].as_str().unwrap());
            assert_eq!(node.status.label(), row["status"], "{label}");
            assert_eq!(node.address, row["address"], "{label}");
            assert_eq!(node.version.as_deref(), row["xray_version"].as_str(), "{label}");
            assert_eq!(node.usage_coefficient, row["usage_coefficient"].as_f64(), "{label}");
            assert_eq!(node.uplink.map(|c| c.value()), number(row, "lifetime_uplink"), "{label}");
            assert_eq!(node.downlink.map(|c| c.value()), number(row, "lifetime_downlink"), "{label}");
        }
    }
}

#[tokio::test]
async fn messages_of_nodes_and_plans_that_follow_are_as_recorded() {
    let report = report_as_recorded(Role::Owner).await;
    for (node, row) in report.nodes.iter().zip(rows(&recorded(Role::Owner, "nodes"), "nodes")) {
        assert_eq!(
            node.message.as_ref().map(|message| message.as_str()),
            row["message"].as_str(),
            "{}",
            node.label
        );
    }
    for row in rows(&Recordings::PasarGuard.read(Role::Owner.all_users()), "users") {
        let user = report.users.list().iter().find(|user| *user.name == *row["username"].as_str().unwrap());
        assert_eq!(user.unwrap().renews, !row["next_plan"].is_null(), "{}", row["username"]);
    }
}

#[tokio::test]
async fn every_admin_is_as_recorded() {
    for role in READERS {
        let report = report_as_recorded(role).await;
        let admins: Vec<_> =
            report.admins.iter().map(|a| (a.name.clone(), a.sudo, a.used, a.limit)).collect();
        let expected: Vec<_> = rows(&recorded(role, "admins"), "admins")
            .iter()
            .map(|row| {
                let name = row["username"].as_str().unwrap().to_owned();
                let limit = number(row, "data_limit");
                (name, row["role"]["is_owner"].as_bool(), number(row, "used_traffic"), limit)
            })
            .collect();
        assert_eq!(admins, expected, "{role:?}");
    }
}

#[tokio::test]
async fn traffic_by_node_is_that_of_the_recorded_hour() {
    for role in [Role::Owner, Role::Administrator, Role::FullKey] {
        let server = Panel::of(role).start();
        let mut upstream = upstream(&config(&server.url(), role.login()), PATIENT);
        let mut report = Report::new("home");
        for part in [Part::System, Part::Nodes, Part::Usage] {
            let step = upstream.read(part, at(RECORDED_AT)).await.unwrap();
            step.facts.into_iter().for_each(|fact| report.merge(fact, at(RECORDED_AT)));
        }
        let name = if role == Role::FullKey { "node-usage" } else { "node-usage-hour" };
        let stats = recorded(role, name)["stats"].take();
        let expected: Vec<_> = rows(&recorded(role, "nodes"), "nodes")
            .iter()
            .map(|node| {
                let hours = stats[node["id"].to_string()].as_array().unwrap();
                let sum = |field| hours.iter().filter_map(|hour| number(hour, field)).sum::<u64>();
                (node["name"].as_str().unwrap().to_owned(), sum("uplink"), sum("downlink"))
            })
            .collect();
        let usage: Vec<_> = report.usage.iter().map(|t| (t.node.to_string(), t.uplink, t.downlink)).collect();
        assert_eq!(usage, expected, "{role:?}");
    }
}

#[tokio::test]
async fn an_operator_is_refused_what_is_not_theirs_and_that_is_no_failure() {
    let report = report_as_recorded(Role::Operator).await;
    assert_eq!(report.up, Some(true));
    let refused = Some(&Outcome::Refused);
    assert_eq!(outcomes(&report), [Some(&Outcome::Up), refused, refused, Some(&Outcome::Up)]);
    assert_eq!(report.outcome(Part::Usage), refused);
    assert_eq!((report.nodes.len(), report.usage.len(), report.admins.len()), (0, 0, 0));
    // The recorded operator owns no users.
    assert_eq!((report.users.list().len(), report.counts.total), (0, Some(0)));
}

#[tokio::test]
async fn a_key_that_may_not_read_the_system_is_down_as_forbidden() {
    let report = report_as_recorded(Role::UsersKey).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("forbidden")));
}

#[tokio::test]
async fn keys_that_are_unknown_or_switched_off_are_refused_logins() {
    for answer in ["key-unknown", "key-disabled"] {
        let server = Panel::of(Role::FullKey).with(SYSTEM, answer).start();
        let report = report_of(Role::FullKey, &server).await;
        assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("auth")), "{answer}");
        assert_eq!(server.requests().len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn the_login_of_a_disabled_account_is_refused_and_tried_once() {
    let server = Panel::of(Role::Operator).with(TOKEN, "token-disabled-admin").start();
    let report = report_of(Role::Operator, &server).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("auth")));
    assert_eq!(server.requests().len(), 1);
}

/// The token stays valid, and every path answers what the login answers.
#[tokio::test]
async fn an_account_that_is_disabled_while_it_is_used_is_a_refused_login() {
    let disabled = Arc::new(AtomicBool::new(false));
    let (switch, panel) = (Arc::clone(&disabled), Panel::of(Role::Owner));
    let server = Server::start(move |request| match disabled.load(Ordering::SeqCst) {
        false => panel.answer(request),
        true if request.path() == TOKEN => panel.replay("token-disabled-admin"),
        true => panel.replay("admin-disabled-old-token"),
    });
    let report = poll_until(upstream(&config(&server.url(), Role::Owner.login()), PATIENT), |report| {
        if PARTS.iter().all(|part| report.outcome(*part) == Some(&Outcome::Up)) {
            switch.store(true, Ordering::SeqCst);
        }
        report.up == Some(false)
    })
    .await;
    assert_eq!(reason(&report, Part::System), Some("auth"));
    // What was read is kept, and no part counts as one that this account may not read.
    let rows = rows(&Recordings::PasarGuard.read(Role::Owner.all_users()), "users");
    assert_eq!(report.users.list().len(), rows.len());
    assert!(report.parts.values().all(|state| state.outcome != Outcome::Refused), "{:?}", report.parts);
    assert!(server.requests_for(TOKEN).len() <= 2);
}

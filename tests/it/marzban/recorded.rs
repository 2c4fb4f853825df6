//! What the client makes of a real panel's answers, against sums taken from the recordings themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use proxymeter::{
    model::{Expiry, NodeStatus, Outcome, Part, Report, System, Timestamp, User, UserStatus},
    upstream::{Upstream, marzban::config::Login},
};
use serde_json::Value;

use crate::common::{
    PATIENT, RECORDED_AT, at, config,
    panel::{self, Panel, Role, SYSTEM, TOKEN, USERS, recorded},
    password, poll_until, read_once, reason,
    server::{Answer, Server},
    upstream, user_names,
};

async fn report_of(role: Role, server: &Server) -> Report {
    read_once(upstream(&config(&server.url(), role.login()), PATIENT)).await
}

fn user<'a>(report: &'a Report, name: &str) -> &'a User {
    report.users.list().iter().find(|user| &*user.name == name).unwrap()
}

/// A number of a recorded row; null and absent are nothing.
fn number(row: &Value, field: &str) -> Option<u64> {
    row[field].as_u64()
}

fn sum(rows: &[Value], field: &str) -> u64 {
    rows.iter().filter_map(|row| number(row, field)).sum()
}

fn outcomes(report: &Report) -> Vec<(Part, &Outcome)> {
    report.parts.iter().map(|(part, state)| (*part, &state.outcome)).collect()
}

#[tokio::test]
async fn a_sudo_admin_reads_everything() {
    let server = Panel::of(Role::Sudo).start();
    let report = report_of(Role::Sudo, &server).await;
    assert_eq!(report.up, Some(true));
    let parts =
        [Part::System, Part::Core, Part::Nodes, Part::Usage, Part::Admins, Part::Inbounds, Part::Users];
    assert_eq!(outcomes(&report), parts.map(|part| (part, &Outcome::Up)));
    assert_eq!(report.certificate_expiry, None);

    let identity = report.identity.unwrap();
    assert_eq!(
        (identity.system, &*identity.version, &*identity.generation),
        (System::Marzban, "0.8.4", "0.8")
    );
    let core = report.core.unwrap();
    assert_eq!((core.up, core.version.as_deref()), (Some(true), Some("25.1.1")));
}

#[tokio::test]
async fn the_host_the_totals_and_the_counts_are_the_panels_own() {
    let server = Panel::of(Role::Sudo).start();
    let report = report_of(Role::Sudo, &server).await;
    let system = recorded("system-sudo");

    assert_eq!(report.host.memory_size, number(&system, "mem_total"));
    assert_eq!(report.host.memory_used, number(&system, "mem_used"));
    assert_eq!(report.host.cpu_cores, number(&system, "cpu_cores"));
    assert!((report.host.cpu_usage.unwrap() - 0.041).abs() < 1e-12, "percent become a ratio");
    assert_eq!((report.host.disk_size, report.host.uptime), (None, None));
    assert_eq!(report.proxy_uplink.map(|c| c.value()), number(&system, "incoming_bandwidth"));
    assert_eq!(report.proxy_downlink.map(|c| c.value()), number(&system, "outgoing_bandwidth"));
    assert_eq!(report.counts.seen_within_day, number(&system, "online_users"));
    assert_eq!(report.counts.online, None);
    assert_eq!(report.counts.by_status.len(), 5);
    for (status, count) in &report.counts.by_status {
        assert_eq!(Some(*count), number(&system, &format!("users_{}", status.label())), "{status:?}");
        // The list tells the same.
        let listed = report.users.list().iter().filter(|user| user.status == *status).count();
        assert_eq!(u64::try_from(listed).unwrap(), *count, "{status:?}");
    }
}

#[tokio::test]
async fn every_user_is_as_recorded() {
    let server = Panel::of(Role::Sudo).start();
    let report = report_of(Role::Sudo, &server).await;
    let rows = recorded("users-all-sudo")["users"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 33);

    let names: BTreeSet<_> = rows.iter().map(|row| row["username"].as_str().unwrap()).collect();
    assert_eq!(user_names(&report), Vec::from_iter(names));
    assert_eq!(report.users.unreadable().rows, 0);
    let users = report.users.list();
    assert_eq!(users.iter().map(|user| user.used).sum::<u64>(), sum(&rows, "used_traffic"));
    assert_eq!(
        users.iter().map(|user| user.traffic.value()).sum::<u64>(),
        sum(&rows, "lifetime_used_traffic")
    );
    assert_eq!(users.iter().filter_map(|user| user.limit).sum::<u64>(), sum(&rows, "data_limit"));

    for row in &rows {
        let user = user(&report, row["username"].as_str().unwrap());
        let name = &user.name;
        assert_eq!(user.status.label(), row["status"], "{name}");
        assert_eq!(Some(user.used), number(row, "used_traffic"), "{name}");
        assert_eq!(Some(user.traffic.value()), number(row, "lifetime_used_traffic"), "{name}");
        assert_eq!(user.limit, number(row, "data_limit").filter(|limit| *limit > 0), "{name}");
        assert_eq!(user.owner.as_deref(), row["admin"]["username"].as_str(), "{name}");
        let on_hold = number(row, "on_hold_expire_duration").map(Duration::from_secs);
        let expiry = match (row["expire"].as_i64(), on_hold) {
            (Some(seconds), _) if seconds > 0 => Expiry::At(Timestamp::from_secs(seconds)),
            (_, Some(duration)) if user.status == UserStatus::OnHold => Expiry::OnFirstUse(duration),
            _ => Expiry::Never,
        };
        assert_eq!(user.expiry, expiry, "{name}");
        assert_eq!(user.last_online.at().is_some(), !row["online_at"].is_null(), "{name}");
        let moved_nothing = row["online_at"].is_null() && user.traffic.value() == 0;
        assert_eq!(user.last_online.is_never(), moved_nothing, "{name}");
    }
}

#[tokio::test]
async fn the_users_who_are_easily_misread() {
    let server = Panel::of(Role::Sudo).start();
    let report = report_of(Role::Sudo, &server).await;

    // 0 is no limit and no date.
    let zeros = user(&report, "legacy_zeros");
    assert_eq!((zeros.limit, zeros.expiry), (None, Expiry::Never));
    // No float holds this number.
    assert_eq!(user(&report, "whale").used, 9_007_199_254_740_993);
    assert_eq!(user(&report, "orphan_noadmin").owner, None);
    assert_eq!(user(&report, "ivan_onhold").expiry, Expiry::OnFirstUse(Duration::from_secs(30 * 86_400)));
    // The quota's period was reset; the lifetime was not.
    let monthly = user(&report, "victor_monthly");
    assert_eq!((monthly.used, monthly.traffic.value()), (11_811_160_064, 242_665_652_224));
    // Naive dates are UTC.
    let live = user(&report, "live_01").last_online.at().unwrap();
    assert_eq!(live, Timestamp::from_millis(1_795_227_828_393));
    let online: Vec<_> =
        report.users.list().iter().filter(|user| user.online).map(|user| &*user.name).collect();
    assert_eq!(online, ["live_01", "live_02", "live_03", "live_04"]);
    assert!(user(&report, "live_01").read_at >= RECORDED_AT);
}

#[tokio::test]
async fn nodes_their_traffic_and_the_admins_are_as_recorded() {
    let server = Panel::of(Role::Sudo).start();
    let mut config = config(&server.url(), Role::Sudo.login());
    config.admin_limits = BTreeMap::from([("reseller".into(), 700_000_000_000), ("gone".into(), 5)]);
    let report = read_once(upstream(&config, PATIENT)).await;

    let nodes: Vec<_> = report
        .nodes
        .iter()
        .map(|node| (&*node.label, node.status, node.version.as_deref(), node.usage_coefficient))
        .collect();
    assert_eq!(
        nodes,
        [
            ("DE-Frankfurt-1", NodeStatus::Connected, Some("25.1.1"), Some(1.0)),
            ("NL-Amsterdam-2", NodeStatus::Connected, Some("24.12.31"), Some(1.5)),
            ("FI-Helsinki-3", NodeStatus::Error, None, Some(1.0)),
            ("TR-Istanbul-4", NodeStatus::Disabled, None, Some(2.0)),
            ("گره تهران «5»", NodeStatus::Connecting, None, Some(1.0)),
        ]
    );
    assert!(report.nodes.iter().all(|node| node.address == "127.0.0.1" && node.uplink.is_none()));

    let usages = recorded("nodes-usage-current-hour")["usages"].as_array().unwrap().clone();
    let expected: Vec<_> = usages
        .iter()
        .map(|usage| {
            let name = usage["node_name"].as_str().unwrap();
            let label = if usage["node_id"].is_null() { "master" } else { name };
            (label, number(usage, "uplink").unwrap(), number(usage, "downlink").unwrap())
        })
        .collect();
    let usage: Vec<_> = report.usage.iter().map(|t| (&*t.node, t.uplink, t.downlink)).collect();
    assert_eq!(usage, expected);
    let asked = server.requests_for("/api/nodes/usage");
    // The panel's clock names the hour, two minutes after its beginning at the earliest.
    assert_eq!(asked[0].target, "/api/nodes/usage?start=2026-11-21T02:00:00%2B00:00");

    let admins: Vec<_> = report.admins.iter().map(|a| (&*a.name, a.sudo, a.used, a.limit)).collect();
    assert_eq!(
        admins,
        [
            ("root", Some(true), Some(751_890_983_937), None),
            ("reseller", Some(false), Some(687_443_267_253), Some(700_000_000_000)),
            ("reseller2", Some(false), Some(44_299_338_777), None),
        ]
    );
}

#[tokio::test]
async fn a_reseller_reads_their_own_users_and_is_refused_the_rest() {
    let server = Panel::of(Role::Nonsudo).start();
    let report = report_of(Role::Nonsudo, &server).await;
    assert_eq!(report.up, Some(true));
    assert_eq!(
        outcomes(&report),
        [
            (Part::System, &Outcome::Up),
            (Part::Core, &Outcome::Up),
            (Part::Nodes, &Outcome::Refused),
            (Part::Usage, &Outcome::Refused),
            (Part::Admins, &Outcome::Refused),
            (Part::Inbounds, &Outcome::Up),
            (Part::Users, &Outcome::Up),
        ]
    );
    assert_eq!(report.users.list().len(), 10);
    assert!(report.users.list().iter().all(|user| user.owner.as_deref() == Some("reseller")));
    let total: u64 = report.counts.by_status.iter().map(|(_, count)| count).sum();
    assert_eq!(Some(total), number(&recorded("system-nonsudo"), "total_user"));
    assert_eq!((report.nodes.len(), report.usage.len(), report.admins.len()), (0, 0, 0));
}

#[tokio::test]
async fn the_admin_of_the_panels_settings_reads_everything_too() {
    let server = Panel::of(Role::Envsudo).start();
    let report = report_of(Role::Envsudo, &server).await;
    assert!(report.parts.values().all(|state| state.outcome == Outcome::Up), "{:?}", report.parts);
    assert_eq!(report.host.memory_used, number(&recorded("system-envsudo"), "mem_used"));
    assert_eq!((report.users.list().len(), report.admins.len()), (33, 3));
}

#[tokio::test]
async fn a_dead_core_is_down_and_keeps_its_version() {
    let server = Panel::of(Role::Sudo).with("/api/core", "core-not-started").start();
    let report = report_of(Role::Sudo, &server).await;
    let core = report.core.unwrap();
    assert_eq!((core.up, core.version.as_deref()), (Some(false), Some("25.1.1")));
    assert_eq!(report.up, Some(true));
}

/// A panel of which two recorded states are known, and the switch to the second.
fn in_two_states(first: Panel, second: Panel) -> (Server, Arc<AtomicUsize>) {
    let state = Arc::new(AtomicUsize::new(0));
    let switch = Arc::clone(&state);
    let states = [first, second];
    (Server::start(move |request| states[state.load(Ordering::SeqCst)].answer(request)), switch)
}

#[tokio::test]
async fn counters_grow_by_what_moved_between_two_recordings() {
    let at_time = |time: &str| {
        Panel::of(Role::Sudo)
            .with(SYSTEM, &format!("seq-system-{time}"))
            .with("/api/nodes/usage", &format!("seq-nodes-usage-{time}"))
            .with("/api/admins", &format!("seq-admins-{time}"))
            .with(USERS, &format!("seq-users-live-{time}"))
    };
    let (server, switch) = in_two_states(at_time("t0"), at_time("t1"));
    let totals = |report: &Report| -> BTreeMap<String, u64> {
        let proxy = [("uplink", report.proxy_uplink), ("downlink", report.proxy_downlink)];
        let proxy = proxy.into_iter().filter_map(|(name, counter)| Some((name.to_owned(), counter?.value())));
        let nodes = report.usage.iter().map(|t| (format!("node {}", t.node), t.uplink + t.downlink));
        let users =
            report.users.list().iter().map(|user| (format!("user {}", user.name), user.traffic.value()));
        let admins = report.admins.iter().filter_map(|a| Some((format!("admin {}", a.name), a.used?)));
        proxy.chain(nodes).chain(users).chain(admins).collect()
    };
    let mut first = None;
    let last = poll_until(upstream(&config(&server.url(), Role::Sudo.login()), PATIENT), |report| {
        let now = totals(report);
        let Some(first) = &first else {
            if report.parts.len() == 7 && report.parts.values().all(|state| state.last_success.is_some()) {
                switch.store(1, Ordering::SeqCst);
                first = Some(now);
            }
            return false;
        };
        first.iter().filter(|(key, before)| now[*key] > **before).count() == 2 + 3 + 4 + 3
    })
    .await;
    let (first, last) = (first.unwrap(), totals(&last));
    assert_eq!(first.len(), 2 + 6 + 4 + 3);

    for (name, time) in [(&first, "t0"), (&last, "t1")] {
        let system = recorded(&format!("seq-system-{time}"));
        assert_eq!(Some(name["uplink"]), number(&system, "incoming_bandwidth"));
        assert_eq!(Some(name["downlink"]), number(&system, "outgoing_bandwidth"));
        for usage in recorded(&format!("seq-nodes-usage-{time}"))["usages"].as_array().unwrap() {
            let node = usage["node_name"].as_str().unwrap().replace("Master", "master");
            let sum = number(usage, "uplink").unwrap() + number(usage, "downlink").unwrap();
            assert_eq!(name[&format!("node {node}")], sum);
        }
        for row in recorded(&format!("seq-users-live-{time}"))["users"].as_array().unwrap() {
            let user = format!("user {}", row["username"].as_str().unwrap());
            assert_eq!(Some(name[&user]), number(row, "lifetime_used_traffic"));
        }
    }
}

async fn read_users(upstream: &mut Upstream, report: &mut Report) {
    let step = upstream.read(Part::Users, at(RECORDED_AT)).await.unwrap();
    assert_eq!(step.done, [Part::Users], "not one page");
    step.facts.into_iter().for_each(|fact| report.merge(fact, at(RECORDED_AT)));
}

/// A panel whose only user is as recorded before something happened to them, and then after.
fn before_and_after(name: &'static str) -> (Server, Arc<AtomicUsize>) {
    let state = Arc::new(AtomicUsize::new(0));
    let switch = Arc::clone(&state);
    let panel = Panel::of(Role::Sudo);
    let server = Server::start(move |request| match request.path() {
        USERS => {
            let time = ["before", "after"][state.load(Ordering::SeqCst)];
            Answer::json(panel::page(&[recorded(&format!("{name}-{time}"))], 1))
        }
        _ => panel.answer(request),
    });
    (server, switch)
}

#[tokio::test]
async fn a_wiped_lifetime_counts_from_zero_once_it_was_read_twice() {
    let (server, switch) = before_and_after("wipe");
    let mut upstream = upstream(&config(&server.url(), Role::Sudo.login()), PATIENT);
    let mut report = Report::new("home");
    read_users(&mut upstream, &mut report).await;
    assert_eq!(user(&report, "exp_wipe").traffic.value(), 4_294_967_296);
    switch.store(1, Ordering::SeqCst);
    read_users(&mut upstream, &mut report).await;
    assert_eq!(
        (user(&report, "exp_wipe").traffic.value(), user(&report, "exp_wipe").used),
        (4_294_967_296, 0)
    );
    read_users(&mut upstream, &mut report).await;
    assert_eq!(user(&report, "exp_wipe").traffic.value(), 0);
}

#[tokio::test]
async fn a_reset_quota_starts_anew_at_once_and_the_lifetime_goes_on() {
    let (server, switch) = before_and_after("reset");
    let mut upstream = upstream(&config(&server.url(), Role::Sudo.login()), PATIENT);
    let mut report = Report::new("home");
    read_users(&mut upstream, &mut report).await;
    assert_eq!(user(&report, "exp_reset").used, 4_294_967_296);
    switch.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        read_users(&mut upstream, &mut report).await;
        let user = user(&report, "exp_reset");
        assert_eq!((user.used, user.traffic.value()), (0, 4_294_967_296));
    }
}

#[tokio::test]
async fn traffic_by_node_of_a_user_may_be_a_fraction() {
    // Recorded for all users together; the shape is the same for one.
    let server = Panel::of(Role::Sudo).with("/api/user/live_01/usage", "users-usage-sudo").start();
    let mut config = config(&server.url(), Role::Sudo.login());
    config.node_traffic_of = vec!["live_01".into(), "nobody/../here".into()];
    let report = read_once(upstream(&config, PATIENT)).await;
    let bytes: Vec<_> = report.user_nodes.iter().map(|t| (&*t.user, &*t.node, t.bytes)).collect();
    let expected: Vec<_> = recorded("users-usage-sudo")["usages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|usage| {
            let used = &usage["used_traffic"];
            // Whole numbers below 2^53 and halves of them are exact.
            let text = used.to_string();
            let whole = text.split('.').next().unwrap().parse().unwrap();
            let node = usage["node_name"].as_str().unwrap().replace("Master", "master");
            ("live_01", node, whole)
        })
        .collect::<Vec<(_, _, u64)>>();
    let expected: Vec<_> =
        expected.iter().map(|(user, node, whole)| (*user, node.as_str(), *whole)).collect();
    assert_eq!(bytes, expected);
    assert!(bytes.contains(&("live_01", "NL-Amsterdam-2", 123_741_043_977)), "{bytes:?}");
    // A name is one segment of the path, whatever is in it; a user who does not exist is no failure.
    let asked = server.requests();
    assert!(asked.iter().any(|request| request.path() == "/api/user/nobody%2F..%2Fhere/usage"), "{asked:?}");
    assert_eq!(report.parts[&Part::UserNodes].outcome, Outcome::Up);
}

#[tokio::test]
async fn one_login_serves_all_requests_and_is_a_form() {
    let server = Panel::of(Role::Sudo).start();
    report_of(Role::Sudo, &server).await;
    let requests = server.requests();
    assert_eq!(requests.iter().filter(|request| request.path() == TOKEN).count(), 1);
    assert_eq!(requests.len(), 9, "{requests:?}");
    let login = &requests[0];
    assert_eq!(login.method, "POST");
    assert_eq!(login.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(login.body, "grant_type=password&username=root&password=root-pw-1");
    for request in &requests[1..] {
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {}", Role::Sudo.token())));
        assert_eq!(request.method, "GET");
        assert!(!request.path().ends_with('/'), "{}", request.target);
    }
}

#[tokio::test]
async fn a_password_arrives_whatever_is_in_it() {
    let server = Panel::of(Role::Sudo).start();
    let login = password("root & co", "p&ss=w+rd% ü\"\\\n#");
    let report = read_once(upstream(&config(&server.url(), login), PATIENT)).await;
    assert_eq!(reason(&report, Part::System), Some("auth"));
    assert_eq!(
        server.requests()[0].body,
        "grant_type=password&username=root+%26+co&password=p%26ss%3Dw%2Brd%25+%C3%BC%22%5C%0A%23"
    );
}

#[tokio::test]
async fn a_refused_login_is_tried_once() {
    let server = Panel::of(Role::Sudo).start();
    let wrong = config(&server.url(), password("root", "wrong"));
    let report = read_once(upstream(&wrong, PATIENT)).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("auth")));
    assert_eq!(server.requests().len(), 1);

    // Nor does the loop try again, although it polls every few milliseconds.
    let polled = poll_until(upstream(&wrong, PATIENT), |report| report.up == Some(false));
    polled.await;
    assert_eq!(server.requests().len(), 2);
}

/// A panel that takes only the `nth` token it gives out and those after it, and remembers when it gave them.
fn taking_only_token(nth: usize) -> (Server, Arc<std::sync::Mutex<Vec<SystemTime>>>) {
    let given = Arc::new(std::sync::Mutex::new(Vec::new()));
    let times = Arc::clone(&given);
    let panel = Panel::of(Role::Sudo);
    let server = Server::start(move |request| {
        let mut given = given.lock().unwrap();
        match request.path() {
            TOKEN => {
                given.push(now());
                Answer::json(format!(r#"{{"access_token":"t{}","token_type":"bearer"}}"#, given.len()))
            }
            _ if (nth..=given.len())
                .any(|n| request.header("authorization") == Some(&format!("Bearer t{n}"))) =>
            {
                panel.replay("system-sudo")
            }
            _ => panel.replay("pwchange-same-second-token"),
        }
    });
    (server, times)
}

#[expect(clippy::disallowed_methods, reason = "the server's own time is what is asked")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[tokio::test]
async fn a_token_dead_on_arrival_is_replaced_in_the_next_second() {
    let (server, given) = taking_only_token(2);
    let mut upstream = upstream(&config(&server.url(), Role::Sudo.login()), PATIENT);
    assert!(
        matches!(upstream.read(Part::System, at(RECORDED_AT)).await, Ok(step) if step.done == [Part::System])
    );
    let given = given.lock().unwrap().clone();
    assert_eq!(given.len(), 2);
    assert!(given[1].duration_since(given[0]).unwrap() >= Duration::from_secs(1));
    assert_eq!(server.requests_for(SYSTEM).len(), 2);
}

#[tokio::test]
async fn a_token_that_died_is_replaced_at_once() {
    let panel = Panel::of(Role::Sudo);
    let (answers, dead) = (Arc::new(AtomicUsize::new(0)), Panel::of(Role::Sudo));
    let server = Server::start(move |request| match request.path() {
        SYSTEM if answers.fetch_add(1, Ordering::SeqCst) == 1 => dead.replay("pwchange-old-token-401"),
        _ => panel.answer(request),
    });
    let mut upstream = upstream(&config(&server.url(), Role::Sudo.login()), PATIENT);
    for _ in 0..3 {
        let read = tokio::time::timeout(Duration::from_secs(1), upstream.read(Part::System, at(RECORDED_AT)));
        assert!(matches!(read.await.unwrap(), Ok(step) if step.done == [Part::System]));
    }
    assert_eq!(server.requests_for(TOKEN).len(), 2);
    assert_eq!(server.requests_for(SYSTEM).len(), 4);
}

#[tokio::test]
async fn a_panel_that_takes_no_token_it_gives_is_asked_for_two_and_left_alone() {
    let (server, given) = taking_only_token(usize::MAX);
    let report = report_of(Role::Sudo, &server).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("auth")));
    assert_eq!(given.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_api_key_goes_with_every_request_and_needs_no_login() {
    let panel = Panel::of(Role::Sudo);
    let server = Server::start(move |request| match request.header("x-api-key") {
        Some("pg_key_1") => panel.replay("system-sudo"),
        _ => panel.replay("system-no-token"),
    });
    let key = |key: &str| config(&server.url(), Login::ApiKey(key.into()));
    let mut good = upstream(&key("pg_key_1"), PATIENT);
    assert!(
        matches!(good.read(Part::System, at(RECORDED_AT)).await, Ok(step) if step.done == [Part::System])
    );
    let asked = server.requests();
    // The account is asked for too.
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|request| request.header("authorization").is_none()));

    let report = read_once(upstream(&key("pg_key_2"), PATIENT)).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("auth")));
    assert_eq!(server.requests().len(), 3);
    assert!(server.requests_for(TOKEN).is_empty());
}

#[tokio::test]
async fn an_account_that_may_not_even_read_the_system_is_down_as_forbidden() {
    let server = Panel::of(Role::Nonsudo).with(SYSTEM, "nodes-nonsudo-403").start();
    let report = report_of(Role::Nonsudo, &server).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("forbidden")));
}

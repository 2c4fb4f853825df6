//! The descriptions of the systems that are mutated.

use std::sync::Arc;

use proxymeter::upstream::Upstream;
use serde_json::{Value, json};

use super::system::{Inner, Polled, Rows, System, Weight};
use crate::common::{
    PATIENT, config,
    panel::{Panel, Role, SYSTEM, TOKEN, USERS, page},
    server::{Answer, Request},
    upstream, xui,
};

const STATS: &str = "/api/nodes/realtime_stats";
// Panels without lifetime traffic have only the other one.
const USER: Rows = Rows {
    replaced: &["lifetime_used_traffic"],
    ..rows("/users", "user", &["username"], |_, row| text(row, "username"))
};
const ADMIN: Rows = rows("", "admin", &["username"], |_, row| text(row, "username"));
const NODE: Rows = rows("", "node", &["name", "id"], |_, row| text(row, "name"));

const fn rows(
    at: &'static str,
    label: &'static str,
    identity: &'static [&'static str],
    name: fn(&str, &Value) -> String,
) -> Rows {
    Rows { at, label, identity, replaced: &[], name, inner: None }
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap_or_default().to_owned()
}

fn recorded(role: Role, path: &'static str, name: &str, weight: Weight, rows: Option<Rows>) -> Polled {
    let panel = Panel::of(role);
    let headers = panel.headers(name).into_iter().map(|(name, value)| (name.into(), value.into()));
    let body = role.recordings().read(name);
    Polled { path, weight, body, headers: headers.collect(), rows, decides: &[] }
}

pub(super) fn marzban() -> Vec<System> {
    let of = |path, name, weight, rows| recorded(Role::Sudo, path, name, weight, rows);
    // The master has no id, and no name of its own.
    let usage = rows("/usages", "node", &["node_name", "node_id"], |_, row| match &row["node_id"] {
        Value::Null => "master".into(),
        _ => text(row, "node_name"),
    });
    let inbound = rows("/vless", "inbound", &["tag"], |_, row| text(row, "tag"));
    let polled = vec![
        of(TOKEN, "token-ok-sudo", Weight::Login("access_token"), None),
        of(SYSTEM, "system-sudo", Weight::Deciding, None),
        of("/api/admin", "admin-me-sudo", Weight::Part, None),
        of("/api/core", "core-sudo", Weight::Part, None),
        of("/api/nodes", "nodes-sudo", Weight::Part, Some(NODE)),
        of("/api/nodes/usage", "nodes-usage-current-hour", Weight::Part, Some(usage)),
        of("/api/admins", "admins-sudo", Weight::Part, Some(ADMIN)),
        of("/api/inbounds", "inbounds-sudo", Weight::Part, Some(inbound)),
        of(USERS, "users-all-sudo", Weight::Part, Some(USER)),
    ];
    let client: fn(&str) -> Upstream = |url| upstream(&config(url, Role::Sudo.login()), PATIENT);
    let counters = vec![SYSTEM, "/api/nodes", "/api/nodes/usage", USERS];
    let (name, panel, absent) = ("marzban", paged(Role::Sudo), Vec::new());
    vec![System { name, client, panel, polled, counters, absent }]
}

pub(super) fn pasarguard() -> Vec<System> {
    let of = |path, name, weight, rows| recorded(Role::Owner, path, name, weight, rows);
    // Without lifetime counters, the traffic by hour counts.
    let nodes = Rows { at: "/nodes", replaced: &["lifetime_uplink"], ..NODE };
    let inbound = rows("", "inbound", &[], |_, row| row.as_str().unwrap().into());
    // No node was connected when this was recorded. This is its shape.
    let mut stats =
        of(STATS, "nodes-realtime-stats", Weight::Part, Some(rows("", "node", &[], |id, _| node_name(id))));
    let host = json!({
        "mem_total": 2_147_483_648_u64, "mem_used": 805_306_368, "cpu_cores": 2, "cpu_usage": 12.5,
        "incoming_bandwidth_speed": 1_000_000, "outgoing_bandwidth_speed": 2_000_000, "uptime": 86_400,
    });
    stats.body = json!({ "1": host, "2": host, "5": null });
    let (inner, body) = (paged(Role::Owner), stats.body.to_string());
    let panel = Arc::new(move |request: &Request| match request.path() {
        STATS => Answer::json(body.clone()),
        _ => inner(request),
    });
    let polled = vec![
        of(TOKEN, "token-ok-owner", Weight::Login("access_token"), None),
        of(SYSTEM, "system-owner", Weight::Deciding, None),
        of("/api/admin", "admin-me-owner", Weight::Part, None),
        of("/api/nodes", "nodes-owner", Weight::Part, Some(nodes)),
        stats,
        of("/api/admins", "admins-owner", Weight::Part, Some(Rows { at: "/admins", ..ADMIN })),
        of("/api/inbounds", "inbounds", Weight::Part, Some(inbound)),
        of(USERS, "users-no-limit", Weight::Part, Some(USER)),
    ];
    let client: fn(&str) -> Upstream = |url| upstream(&config(url, Role::Owner.login()), PATIENT);
    let (counters, absent) = (vec![SYSTEM, "/api/nodes", USERS], Vec::new());
    let today = System { name: "pasarguard", client, panel, polled, counters, absent: Vec::clone(&absent) };

    // Versions of 1.x without lifetime counters are asked for the traffic by hour, which names nodes by their ids.
    let mut old = of("/api/nodes", "nodes-owner", Weight::Part, Some(nodes));
    for node in old.body["nodes"].as_array_mut().unwrap() {
        node.as_object_mut().unwrap().retain(|field, _| !field.starts_with("lifetime_"));
    }
    let (inner, body) = (paged(Role::Owner), old.body.to_string());
    let panel = Arc::new(move |request: &Request| match request.path() {
        "/api/nodes" => Answer::json(body.clone()),
        _ => inner(request),
    });
    let usage = rows("/stats", "node", &[], |id, _| node_name(id));
    let login = of(TOKEN, "token-ok-owner", Weight::Login("access_token"), None);
    let usage = of("/api/node/usage", "node-usage-hour-owner", Weight::Part, Some(usage));
    let counters = vec![old.path, usage.path];
    let name = "pasarguard without lifetime counters";
    vec![today, System { name, client, panel, polled: vec![login, old, usage], counters, absent }]
}

/// 3x-ui 2.8 and 3.6.
pub(super) fn xui() -> Vec<System> {
    // The configuration has the plan too, and other inbounds the whole row.
    let user = Rows {
        replaced: &["up", "down", "total", "expiryTime", "lastOnline"],
        ..rows("/obj/0/clientStats", "user", &["email"], |_, row| text(row, "email"))
    };
    let limit = Rows { at: "/obj/0/settings/clients", ..user };
    let names = |inbound: &Value| {
        inbound["clientStats"].as_array().unwrap().iter().map(|row| text(row, "email")).collect()
    };
    let inbound = Rows {
        inner: Some(Inner { at: "clientStats", label: "user", names }),
        ..rows("/obj", "inbound", &["tag", "id"], |_, row| text(row, "tag"))
    };
    let node = rows("/obj", "node", &["name", "id"], |_, row| text(row, "name"));
    let outbound = rows("/obj", "outbound", &["tag"], |_, row| text(row, "tag"));
    let online = rows("/obj", "user", &[], |_, row| row.as_str().unwrap_or_default().to_owned());
    let addresses = rows("/obj", "user", &["clientEmail"], |_, row| text(row, "clientEmail"));
    let (csrf, login) = (Weight::Login("obj"), Weight::Login("success"));
    let (status, part) = (Weight::Deciding, Weight::Part);
    let of_2_8 = vec![
        ("/login", "login-ok", login, None),
        ("/panel/api/server/status", "server-status", status, None),
        ("/panel/api/inbounds/list", "inbounds-list", part, Some(user)),
        ("/panel/api/inbounds/list", "inbounds-list", part, Some(inbound)),
        ("/panel/api/inbounds/onlines", "onlines", part, Some(online)),
        ("/panel/xray/getOutboundsTraffic", "outbounds-traffic", part, Some(outbound)),
        ("/panel/setting/defaultSettings", "default-settings", part, None),
    ];
    let absent_in_2_8 = vec![
        "/",
        "/csrf-token",
        "/getTwoFactorEnable",
        "/getSecretStatus",
        "/panel/api/setting/defaultSettings",
        "/panel/api/inbounds/list/slim",
        "/panel/api/clients/onlines",
        "/panel/api/xray/getOutboundsTraffic",
        "/panel/api/server/xrayObservatory",
    ];
    let of_3_6 = vec![
        ("/login", "login-ok", login, None),
        ("/csrf-token", "csrf-token-anon", csrf, None),
        ("/panel/api/server/status", "server-status", status, None),
        ("/panel/api/inbounds/list/slim", "inbounds-list-slim", part, Some(user)),
        ("/panel/api/inbounds/list/slim", "inbounds-list-slim", part, Some(inbound)),
        ("/panel/api/clients/onlines", "onlines", part, Some(online)),
        ("/panel/api/nodes/list", "nodes-list", part, Some(node)),
        ("/panel/api/xray/getOutboundsTraffic", "outbounds-traffic", part, Some(outbound)),
        ("/panel/api/server/xrayObservatory", "xray-observatory", part, Some(outbound)),
        ("/panel/api/server/clientIps", "server-client-ips", part, Some(addresses)),
        ("/panel/api/inbounds/list", "inbounds-list", part, Some(limit)),
        ("/panel/api/setting/defaultSettings", "default-settings", part, None),
    ];
    let absent_in_3_6 = vec!["/getTwoFactorEnable"];
    vec![
        x_ui("3x-ui 2.8", "2.8.11", of_2_8, absent_in_2_8),
        x_ui("3x-ui 3.6", "3.6.0", of_3_6, absent_in_3_6),
    ]
}

fn x_ui(
    name: &'static str,
    recorded: &str,
    polled: Vec<(&str, &str, Weight, Option<Rows>)>,
    absent: Vec<&str>,
) -> System {
    let below = |path: &str| -> &'static str { format!("{}{path}", xui::BASE).leak() };
    let panel = xui::Panel::of(recorded);
    let headers = [("content-type", "application/json".to_owned()), ("set-cookie", panel.set_cookie())];
    let polled: Vec<_> = polled
        .into_iter()
        .map(|(path, name, weight, rows)| {
            let mut body = match name {
                // The recorded one belongs to the recorded cookie.
                "csrf-token-anon" => json!({"obj": xui::CSRF, "success": true}),
                name => panel.read(name),
            };
            // An inbound on a node would name a row of another answer.
            for row in body["obj"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                row.remove("nodeId");
            }
            let headers = headers.clone().map(|(name, value)| (name.to_owned(), value)).into();
            // No figure of a node counts unless the node is online. Panels with a guid have routes that others do not
            // have.
            let decides: &[&str] = match name {
                "nodes-list" => &["enable", "status"],
                "server-status" => &["panelGuid"],
                _ => &[],
            };
            Polled { path: below(path), weight, body, headers, rows, decides }
        })
        .collect();
    // What is mutated was read and written again, which changes the last digits of its numbers.
    let written: Vec<_> = polled.iter().map(|polled| (polled.path, polled.body.to_string())).collect();
    let answer = move |request: &Request| {
        let recorded = panel.answer(request);
        let is_login = request.path().ends_with("/login") || !recorded.is_ok();
        let body = written.iter().find(|(path, _)| !is_login && *path == request.path());
        body.map_or(recorded, |(_, body)| {
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            Answer::new(200, &headers, body.clone())
        })
    };
    let counts = ["/server/status", "/inbounds/list", "/inbounds/list/slim", "/getOutboundsTraffic"];
    let has_counters = |polled: &&Polled| counts.iter().any(|end| polled.path.ends_with(end));
    System {
        name,
        client: |url| xui::client_at(url, xui::password(), PATIENT),
        counters: polled.iter().filter(has_counters).map(|polled| polled.path).collect(),
        polled,
        absent: absent.into_iter().map(below).collect(),
        panel: Arc::new(answer),
    }
}

/// PasarGuard's name of the node with this id.
fn node_name(id: &str) -> String {
    let nodes = Role::Owner.recordings().read("nodes-owner");
    let mut nodes = nodes["nodes"].as_array().unwrap().iter();
    text(nodes.find(|node| node["id"].as_u64() == id.parse().ok()).unwrap(), "name")
}

/// The recorded panel, with later pages cut from the recording of all users.
fn paged(role: Role) -> Arc<dyn Fn(&Request) -> Answer + Send + Sync> {
    let panel = Panel::of(role);
    let users = role.recordings().read(role.all_users())["users"].as_array().unwrap().clone();
    Arc::new(move |request| match (request.path(), request.number("offset"), request.number("limit")) {
        (USERS, Some(offset @ 1..), Some(limit)) => {
            let rows: Vec<_> = users.iter().skip(offset).take(limit).cloned().collect();
            Answer::json(page(&rows, users.len()))
        }
        _ => panel.answer(request),
    })
}

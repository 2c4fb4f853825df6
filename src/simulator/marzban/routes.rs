//! The answer to each request, and Marzban's answers about traffic and single users.

use hyper::Method;
use hyper::header::{ALLOW, LOCATION};
use serde::Serialize;
use serde_json::json;

use super::admins::AdminView;
use super::nodes::{self, NodeView};
use super::options::Flavour;
use super::refusal::{detail, internal_error, unauthorized};
use super::row::{self, Look};
use super::state::{Node, State, User};
use super::system::{VERSION, VERSION_07};
use super::{auth, instant, life, list, pasarguard, system};
use crate::simulator::http::{
    Answer, Asked,
    query::{Pairs, segment},
};

const DAY_S: i64 = 24 * 60 * 60;

enum Route {
    Token,
    Health,
    OpenApi,
    Admin,
    System,
    Core,
    Nodes,
    NodesStats,
    NodesUsage,
    Node(String),
    Addresses(String),
    Users,
    UsersUsage,
    User(String),
    UserUsage(String),
    Admins,
    AdminUsage(String),
    Inbounds,
    UserTemplates,
}

/// The answer of a panel without faults.
pub(super) fn answer(state: &mut State, now_ms: i64, asked: &Asked<'_>) -> Answer {
    state.answers += 1;
    let Some(route) = Route::of(state.flavour, asked.path) else {
        return match asked.path.strip_suffix('/').and_then(|path| Route::of(state.flavour, path)) {
            Some(_) => without_slash(asked),
            None => detail(404, "Not Found"),
        };
    };
    let allowed = if matches!(route, Route::Token) { Method::POST } else { Method::GET };
    if asked.method != allowed {
        let allowed = if allowed == Method::POST { "POST" } else { "GET" };
        return detail(405, "Method Not Allowed").with(ALLOW, allowed);
    }
    match route {
        Route::Token => return auth::login(state, now_ms, asked.body),
        Route::Health => return Answer::json(200, &json!({ "status": "ok" })),
        Route::OpenApi => {
            let version = if state.flavour == Flavour::Marzban { VERSION } else { VERSION_07 };
            let info = json!({ "title": "MarzbanAPI", "version": version });
            return Answer::json(200, &json!({ "openapi": "3.1.0", "info": info, "paths": {} }));
        }
        _ => {}
    }
    let caller = match auth::caller(state, now_ms, asked.headers) {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    let Some(admin) = state.admins.get(caller) else {
        return unauthorized("Could not validate credentials");
    };
    if let Some(permission) = route.sudo_permission().filter(|_| !admin.is_sudo) {
        return match state.flavour {
            Flavour::PasarGuard => detail(403, &format!("Permission denied: {permission}")),
            Flavour::Marzban | Flavour::Marzban07 => detail(403, "You're not allowed"),
        };
    }
    let query = Pairs::of(asked.query);
    match (route, state.flavour) {
        (Route::Users, _) => list::answer(state, now_ms, caller, &query),
        (Route::User(name), _) => one_user(state, now_ms, caller, &name),
        (Route::Admin, Flavour::PasarGuard) => pasarguard::admin(state, caller),
        (Route::System, Flavour::PasarGuard) => pasarguard::system(state, now_ms, caller),
        (Route::Nodes, Flavour::PasarGuard) => pasarguard::nodes(state),
        (Route::Node(id), Flavour::PasarGuard) => pasarguard::node(state, &id),
        (Route::NodesStats, _) => pasarguard::nodes_stats(state, now_ms),
        (Route::Addresses(user), _) => pasarguard::addresses(state, now_ms, &user),
        (Route::NodesUsage, Flavour::PasarGuard) => pasarguard::nodes_usage(state, now_ms, &query),
        (Route::Admins, Flavour::PasarGuard) => pasarguard::admins(state),
        (Route::Inbounds, Flavour::PasarGuard) => pasarguard::inbounds(),
        (Route::Admin, flavour) => Answer::json(200, &AdminView::of(flavour, admin)),
        (Route::System, _) => system::answer(state, now_ms, caller),
        (Route::Nodes, _) => {
            Answer::json(200, &state.nodes_beside_master().map(NodeView::of).collect::<Vec<_>>())
        }
        (Route::Node(id), _) => match nodes::find(state, &id) {
            Ok(node) => Answer::json(200, &NodeView::of(node)),
            Err(refusal) => refusal,
        },
        (Route::NodesUsage, _) => nodes_usage(state, now_ms, &query),
        (Route::Admins, flavour) => {
            let views: Vec<_> = state.admins.iter().map(|admin| AdminView::of(flavour, admin)).collect();
            Answer::json(200, &views)
        }
        (Route::AdminUsage(name), _) => match state.admins.iter().find(|admin| admin.username == name) {
            Some(admin) => Answer::json(200, &admin.users_usage),
            None => detail(404, "Admin not found"),
        },
        (Route::Core, _) => Answer::json(
            200,
            &CoreView {
                version: state.nodes.first().map_or("", |master| master.xray_version),
                started: state.core_started,
                logs_websocket: "/api/core/logs",
            },
        ),
        (Route::UsersUsage, _) => users_usage(state, now_ms, caller, &query),
        (Route::UserUsage(name), _) => user_usage(state, now_ms, caller, &name, &query),
        (Route::Inbounds, _) => inbounds(),
        (Route::UserTemplates, _) => Answer::json(200, &json!([])),
        (Route::Token | Route::Health | Route::OpenApi, _) => internal_error(),
    }
}

impl Route {
    fn of(flavour: Flavour, path: &str) -> Option<Route> {
        let pasarguard = flavour == Flavour::PasarGuard;
        let segments: Vec<String> = path.strip_prefix('/')?.split('/').map(segment).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        Some(match segments.as_slice() {
            ["health"] if pasarguard => Route::Health,
            ["openapi.json"] if !pasarguard => Route::OpenApi,
            ["api", "admin", "token"] => Route::Token,
            ["api", "admin"] => Route::Admin,
            ["api", "system"] => Route::System,
            ["api", "nodes"] => Route::Nodes,
            ["api", "node", "usage"] if pasarguard => Route::NodesUsage,
            ["api", "nodes", "realtime_stats"] if pasarguard => Route::NodesStats,
            ["api", "node", "online_stats", user, "ip"] if pasarguard => Route::Addresses((*user).to_owned()),
            ["api", "node", id] if !id.is_empty() => Route::Node((*id).to_owned()),
            ["api", "users"] => Route::Users,
            ["api", "user", name] if !name.is_empty() => Route::User((*name).to_owned()),
            ["api", "admins"] => Route::Admins,
            ["api", "inbounds"] => Route::Inbounds,
            _ if pasarguard => return None,
            ["api", "core"] => Route::Core,
            ["api", "nodes", "usage"] => Route::NodesUsage,
            ["api", "users", "usage"] => Route::UsersUsage,
            ["api", "user", name, "usage"] => Route::UserUsage((*name).to_owned()),
            ["api", "admin", "usage", name] => Route::AdminUsage((*name).to_owned()),
            ["api", "user_template"] => Route::UserTemplates,
            _ => return None,
        })
    }

    /// The permission that only a sudo admin has, as PasarGuard names it; `None`: any admin may read this.
    fn sudo_permission(&self) -> Option<&'static str> {
        match self {
            Route::Nodes | Route::Node(_) => Some("nodes.read"),
            Route::NodesStats | Route::NodesUsage | Route::Addresses(_) => Some("nodes.stats"),
            Route::Admins | Route::AdminUsage(_) => Some("admins.read"),
            _ => None,
        }
    }
}

/// The location is built from the `Host` header, and the scheme is always `http`.
fn without_slash(asked: &Asked<'_>) -> Answer {
    let host = asked.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let path = asked.path.strip_suffix('/').unwrap_or(asked.path);
    let question = if asked.query.is_empty() { "" } else { "?" };
    let location = format!("http://{host}{path}{question}{}", asked.query);
    Answer::empty(307).with(LOCATION, &location)
}

#[derive(Serialize)]
struct CoreView {
    version: &'static str,
    started: bool,
    logs_websocket: &'static str,
}

/// The window asked for, in unix seconds: the last 30 days by default.
fn window(query: &Pairs, now_ms: i64, flavour: Flavour) -> Result<(i64, i64), Answer> {
    let now_s = now_ms.div_euclid(1000);
    let read = |key: &str, default: i64| match query.last(key).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => instant::of(text, flavour).ok_or_else(|| detail(400, "Invalid date range or format")),
    };
    let start_s = read("start", now_s - 30 * DAY_S)?;
    let end_s = read("end", now_s)?;
    // A start in the future without an end is an empty window, not an error.
    if query.last("end").is_some() && start_s > end_s {
        return Err(detail(400, "Start date must be before end date"));
    }
    Ok((start_s, end_s))
}

fn node_id(node: &Node) -> Option<i64> {
    (!node.is_master()).then_some(node.id)
}

fn nodes_usage(state: &State, now_ms: i64, query: &Pairs) -> Answer {
    #[derive(Serialize)]
    struct Usage<'a> {
        node_id: Option<i64>,
        node_name: &'a str,
        uplink: u64,
        downlink: u64,
    }
    let (start_s, end_s) = match window(query, now_ms, state.flavour) {
        Ok(window) => window,
        Err(refusal) => return refusal,
    };
    let usages: Vec<_> = state
        .nodes
        .iter()
        .map(|node| {
            let sum = node.between(start_s, end_s);
            let (uplink, downlink) = (sum.uplink, sum.downlink);
            Usage { node_id: node_id(node), node_name: &node.name, uplink, downlink }
        })
        .collect();
    Answer::json(200, &json!({ "usages": usages }))
}

#[derive(Serialize)]
struct WeightedUsage<'a> {
    node_id: Option<i64>,
    node_name: &'a str,
    used_traffic: Bytecount,
}

/// Whole, or with a half where a node's coefficient is not whole.
#[derive(Serialize)]
#[serde(untagged)]
enum Bytecount {
    Whole(u64),
    Fraction(f64),
}

impl Bytecount {
    #[expect(clippy::cast_precision_loss, reason = "the panel adds these up as floats too")]
    fn of_halves(halves: u64) -> Bytecount {
        if halves.is_multiple_of(2) {
            Bytecount::Whole(halves / 2)
        } else {
            Bytecount::Fraction(halves as f64 / 2.0)
        }
    }
}

fn weighted_usages<'a>(
    state: &'a State,
    users: impl Iterator<Item = &'a User>,
    (start_s, end_s): (i64, i64),
) -> Vec<WeightedUsage<'a>> {
    let mut halves = vec![0_u64; state.nodes.len()];
    for user in users {
        let began_s = user.reset_at_ms.div_euclid(1000);
        let ended_s = user.online_at_ms.unwrap_or(user.reset_at_ms).div_euclid(1000);
        if end_s < began_s || start_s > ended_s.max(began_s) {
            continue;
        }
        for (sum, part) in halves.iter_mut().zip(life::halves_by_node(state, user)) {
            *sum = sum.saturating_add(part);
        }
    }
    let usages = state.nodes.iter().zip(halves);
    usages
        .map(|(node, halves)| WeightedUsage {
            node_id: node_id(node),
            node_name: &node.name,
            used_traffic: Bytecount::of_halves(halves),
        })
        .collect()
}

fn users_usage(state: &State, now_ms: i64, caller: usize, query: &Pairs) -> Answer {
    let window = match window(query, now_ms, state.flavour) {
        Ok(window) => window,
        Err(refusal) => return refusal,
    };
    let admins: Vec<&str> = query.all("admin").collect();
    let is_sudo = state.admins.get(caller).is_some_and(|admin| admin.is_sudo);
    let wanted = |user: &&User| {
        let owner = user.owner.and_then(|owner| state.admins.get(owner));
        state.may_read(caller, user)
            && (!is_sudo
                || admins.is_empty()
                || owner.is_some_and(|owner| admins.contains(&owner.username.as_str())))
    };
    let users = state.users.oldest_first().map(AsRef::as_ref).filter(wanted);
    Answer::json(200, &json!({ "usages": weighted_usages(state, users, window) }))
}

fn user_usage(state: &State, now_ms: i64, caller: usize, name: &str, query: &Pairs) -> Answer {
    #[derive(Serialize)]
    struct View<'a> {
        username: &'a str,
        usages: Vec<WeightedUsage<'a>>,
    }
    let found =
        find_user(state, caller, name).and_then(|user| Ok((user, window(query, now_ms, state.flavour)?)));
    match found {
        Ok((user, window)) => {
            let usages = weighted_usages(state, std::iter::once(user), window);
            Answer::json(200, &View { username: user.username(), usages })
        }
        Err(refusal) => refusal,
    }
}

fn one_user(state: &State, now_ms: i64, caller: usize, name: &str) -> Answer {
    match find_user(state, caller, name) {
        Ok(user) if user.poisoned => internal_error(),
        Ok(user) => {
            let mut body = Vec::with_capacity(4096);
            row::write(&mut body, user, &Look::of(state, now_ms));
            Answer::bytes(200, "application/json", body)
        }
        Err(refusal) => refusal,
    }
}

fn find_user<'a>(state: &'a State, caller: usize, name: &str) -> Result<&'a User, Answer> {
    let user = state.users.get(name).ok_or_else(|| detail(404, "User not found"))?;
    if state.may_read(caller, user) { Ok(user) } else { Err(detail(403, "You're not allowed")) }
}

fn inbounds() -> Answer {
    let inbound = |tag: &str, protocol: &str, network: &str, tls: &str, port: u16| json!({ "tag": tag, "protocol": protocol, "network": network, "tls": tls, "port": port });
    Answer::json(
        200,
        &json!({
            "vless": [
                inbound("VLESS TCP REALITY", "vless", "tcp", "reality", 8443),
                inbound("VLESS GRPC REALITY", "vless", "grpc", "reality", 2053),
            ],
            "vmess": [inbound("VMess Websocket", "vmess", "ws", "none", 8082)],
            "trojan": [inbound("Trojan Websocket", "trojan", "ws", "none", 8083)],
            "shadowsocks": [inbound("Shadowsocks TCP", "shadowsocks", "tcp", "none", 1080)],
        }),
    )
}

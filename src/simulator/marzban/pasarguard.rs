//! The small answers of PasarGuard 5.x, where they differ from Marzban's.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::instant;
use super::nodes;
use super::refusal::{detail, internal_error};
use super::row;
use super::state::{Admin, Node, NodeStats, NodeStatus, State, Traffic, User};
use super::system::Machine;
use crate::simulator::http::{Answer, query::Pairs};

const VERSION: &str = "5.2.1";
const HOUR_S: i64 = 60 * 60;

#[derive(Serialize)]
struct SystemView {
    version: &'static str,
    #[serde(flatten)]
    machine: Machine,
    disk_total: u64,
    disk_used: u64,
    total_user: usize,
    online_users: usize,
    active_users: usize,
    on_hold_users: usize,
    disabled_users: usize,
    expired_users: usize,
    limited_users: usize,
    incoming_bandwidth: u64,
    outgoing_bandwidth: u64,
    uptime_seconds: i64,
}

pub(super) fn system(state: &State, now_ms: i64, caller: usize) -> Answer {
    let totals = state.totals(now_ms, |user| state.may_read(caller, user));
    Answer::json(
        200,
        &SystemView {
            version: VERSION,
            machine: Machine::of(state),
            disk_total: 42_949_672_960,
            disk_used: 9_663_676_416,
            total_user: totals.users,
            online_users: totals.online,
            active_users: totals.active,
            on_hold_users: totals.on_hold,
            disabled_users: totals.disabled,
            expired_users: totals.expired,
            limited_users: totals.limited,
            incoming_bandwidth: state.incoming_bandwidth,
            outgoing_bandwidth: state.outgoing_bandwidth,
            uptime_seconds: (now_ms - state.started_at_ms) / 1000 + 3600,
        },
    )
}

#[derive(Serialize)]
struct NodeView<'a> {
    name: &'a str,
    address: &'static str,
    port: i64,
    api_port: i64,
    usage_coefficient: f64,
    connection_type: &'static str,
    server_ca: &'static str,
    keep_alive: i64,
    core_config_id: i64,
    api_key: String,
    data_limit: u64,
    data_limit_reset_strategy: &'static str,
    reset_time: i64,
    default_timeout: i64,
    internal_timeout: i64,
    id: i64,
    xray_version: Option<&'static str>,
    node_version: Option<&'static str>,
    status: NodeStatus,
    message: Option<&'a str>,
    uplink: u64,
    downlink: u64,
    lifetime_uplink: u64,
    lifetime_downlink: u64,
}

impl NodeView<'_> {
    fn of(node: &Node) -> NodeView<'_> {
        let connected = node.status == NodeStatus::Connected;
        let Traffic { uplink, downlink } = node.between(i64::MIN, i64::MAX);
        NodeView {
            name: &node.name,
            address: "127.0.0.1",
            port: 62050 + node.id * 2,
            api_port: 62051 + node.id * 2,
            usage_coefficient: node.usage_coefficient,
            connection_type: "grpc",
            server_ca: "-----BEGIN CERTIFICATE-----\nc2ltdWxhdGVk\n-----END CERTIFICATE-----",
            keep_alive: 60,
            core_config_id: 1,
            api_key: format!("5e1f2a3b-4c5d-4e7f-8a9b-{:012x}", node.id),
            data_limit: 0,
            data_limit_reset_strategy: "no_reset",
            reset_time: -1,
            default_timeout: 10,
            internal_timeout: 15,
            id: node.id,
            xray_version: connected.then_some(node.xray_version),
            node_version: connected.then_some("v0.2.1"),
            status: node.status,
            message: node.message.as_deref().filter(|_| node.status == NodeStatus::Error),
            uplink,
            downlink,
            lifetime_uplink: uplink,
            lifetime_downlink: downlink,
        }
    }
}

pub(super) fn nodes(state: &State) -> Answer {
    let nodes: Vec<_> = state.nodes_beside_master().map(NodeView::of).collect();
    Answer::json(200, &json!({ "nodes": nodes, "total": nodes.len() }))
}

pub(super) fn node(state: &State, id: &str) -> Answer {
    match nodes::find(state, id) {
        Ok(node) => Answer::json(200, &NodeView::of(node)),
        Err(refusal) => refusal,
    }
}

/// `GET /api/nodes/realtime_stats`: connected nodes only, by id; null for one that does not answer.
pub(super) fn nodes_stats(state: &State, now_ms: i64) -> Answer {
    let age_s = u64::try_from((now_ms - state.started_at_ms) / 1000).unwrap_or(0);
    let connected = state.nodes_beside_master().filter(|node| node.status == NodeStatus::Connected);
    let stats: Map<String, Value> = connected
        .map(|node| {
            let stats = node.stats.map(|stats| NodeStats { uptime: stats.uptime + age_s, ..stats });
            (node.id.to_string(), json!(stats))
        })
        .collect();
    Answer::json(200, &stats)
}

/// How long after the last traffic a user is connected.
const CONNECTED_MS: i64 = 2 * 60 * 1000;

/// From how many addresses a user is connected.
pub(super) fn addresses_of(user: &User, now_ms: i64) -> u32 {
    let is_connected = user.online_at_ms.is_some_and(|at| at >= now_ms - CONNECTED_MS);
    if is_connected { 1 + user.id % 4 } else { 0 }
}

/// `GET /api/node/online_stats/{user_id}/ip`: how many connections there are from each address, by connected node. Each user
/// is connected to the first node from all addresses, and to the others from the first one.
pub(super) fn addresses(state: &State, now_ms: i64, id: &str) -> Answer {
    let Ok(id) = id.parse::<i64>() else {
        let message = "Input should be a valid integer, unable to parse string as an integer";
        return Answer::json(422, &json!({ "detail": { "user_id": message } }));
    };
    let Some(user) = state.users.oldest_first().find(|user| i64::from(user.id) + 1 == id) else {
        return detail(404, "User not found");
    };
    let count = addresses_of(user, now_ms);
    let connected = state.nodes_beside_master().filter(|node| node.status == NodeStatus::Connected);
    let nodes = connected.enumerate().map(|(place, node)| {
        let count = if place == 0 { count } else { count.min(1) };
        let ips: Map<String, Value> = (0..count).map(|n| (format!("203.0.113.{n}"), json!(n + 1))).collect();
        (node.id.to_string(), json!({ "ips": ips }))
    });
    Answer::json(200, &json!({ "nodes": nodes.collect::<Map<_, _>>() }))
}

/// `GET /api/node/usage`: hour buckets, by node with the master as 0, or all nodes together as -1.
pub(super) fn nodes_usage(state: &State, now_ms: i64, query: &Pairs) -> Answer {
    #[derive(Serialize)]
    struct Bucket {
        uplink: u64,
        downlink: u64,
        period_start: Instant,
    }
    let now_s = now_ms.div_euclid(1000);
    let mut wrong = Map::new();
    let mut read = |key: &str, default: i64| match query.last(key) {
        None => default,
        Some(text) => instant::of(text, state.flavour).unwrap_or_else(|| {
            wrong.insert(key.to_owned(), "Input should be a valid datetime or date".into());
            default
        }),
    };
    let start_s = read("start", now_s - 30 * 24 * HOUR_S);
    let end_s = read("end", now_s);
    if query.last("period").is_some_and(|period| period != "hour") {
        wrong.insert("period".to_owned(), "Input should be 'hour'".into());
    }
    if !wrong.is_empty() {
        return Answer::json(422, &json!({ "detail": wrong }));
    }
    let only = query.last("node_id").and_then(|id| id.parse::<i64>().ok());
    let by_node = query.last("group_by_node").is_some_and(|text| matches!(text, "true" | "1" | "on" | "yes"));
    let mut stats: Map<String, Value> = Map::new();
    let mut together = std::collections::BTreeMap::<i64, Traffic>::new();
    for node in state.nodes.iter().filter(|node| only.is_none_or(|id| node.id == id)) {
        let hours: Vec<_> = match start_s <= end_s {
            true => node.buckets.range(start_s..=end_s).collect(),
            false => Vec::new(),
        };
        for (hour_s, traffic) in &hours {
            let sum = together.entry(**hour_s).or_default();
            sum.uplink += traffic.uplink;
            sum.downlink += traffic.downlink;
        }
        // A node without traffic has no rows, and so no key.
        if by_node && !hours.is_empty() {
            stats.insert(node.id.to_string(), json!(hours.into_iter().map(bucket).collect::<Vec<_>>()));
        }
    }
    if !by_node {
        stats.insert("-1".to_owned(), json!(together.iter().map(bucket).collect::<Vec<_>>()));
    }
    fn bucket((hour_s, traffic): (&i64, &Traffic)) -> Bucket {
        Bucket { uplink: traffic.uplink, downlink: traffic.downlink, period_start: Instant(*hour_s) }
    }
    Answer::json(
        200,
        &json!({ "period": "hour", "start": Instant(start_s), "end": Instant(end_s), "stats": stats }),
    )
}

/// Unix seconds, shown as an aware datetime.
struct Instant(i64);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut quoted = Vec::new();
        row::zulu(&mut quoted, self.0.saturating_mul(1000));
        serializer.serialize_str(String::from_utf8_lossy(&quoted).trim_matches('"'))
    }
}

pub(super) fn admin(state: &State, caller: usize) -> Answer {
    match state.admins.get(caller) {
        Some(admin) => Answer::json(200, &admin_view(state, caller, admin)),
        None => internal_error(),
    }
}

pub(super) fn admins(state: &State) -> Answer {
    let views: Vec<Value> =
        state.admins.iter().enumerate().map(|(place, admin)| admin_view(state, place, admin)).collect();
    let disabled = state.admins.iter().filter(|admin| admin.disabled).count();
    let (total, active) = (views.len(), views.len() - disabled);
    let counts =
        json!({ "admins": views, "total": total, "active": active, "disabled": disabled, "limited": 0 });
    Answer::json(200, &counts)
}

fn admin_view(state: &State, place: usize, admin: &Admin) -> Value {
    let (role_id, role) = if admin.is_sudo { (1, "owner") } else { (3, "operator") };
    json!({
        "username": admin.username,
        "telegram_id": admin.telegram_id,
        "discord_webhook": admin.discord_webhook,
        "sub_domain": null,
        "profile_title": null,
        "support_url": null,
        "notification_enable": null,
        "id": place + 1,
        "total_users": state.users.oldest_first().filter(|user| user.owner == Some(place)).count(),
        "used_traffic": admin.users_usage,
        "data_limit": null,
        "status": if admin.disabled { "disabled" } else { "active" },
        "discord_id": null,
        "sub_template": null,
        "lifetime_used_traffic": admin.users_usage,
        "note": null,
        "role": {
            "id": role_id,
            "name": role,
            "is_owner": admin.is_sudo,
            "permissions": permissions(admin),
            "limits": {},
            "features": {},
            "access": {},
        },
        "permission_overrides": null,
        "is_disabled": admin.disabled,
        "is_limited": false,
    })
}

/// What the roles of 5.x may read: an owner everything, an operator its own users.
fn permissions(admin: &Admin) -> Value {
    let scope = if admin.is_sudo { 2 } else { 1 };
    let only_owner = |all: Value| if admin.is_sudo { all } else { Value::Null };
    json!({
        "users": { "create": true, "read": { "scope": scope }, "read_simple": { "scope": scope } },
        "admins": only_owner(json!({ "read": true })),
        "nodes": only_owner(json!({ "read": true, "stats": true })),
        "system": { "read": true },
    })
}

pub(super) fn inbounds() -> Answer {
    Answer::json(
        200,
        &json!([
            "VLESS TCP REALITY",
            "VLESS GRPC REALITY",
            "VMess Websocket",
            "Trojan Websocket",
            "Shadowsocks TCP"
        ]),
    )
}

//! Answers about clients: lists, who is online, addresses.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::options::Generation;
use super::refusal::{failure, success};
use super::row::{ClientRecord, ClientRow, Detail, Stats, attached, has_row, settings_enable, traffic};
use super::state::{Client, Core, Standing, State};
use crate::simulator::http::{Answer, query::Pairs};

/// Microseconds of the panel's time for a client in each answer, as measured on 3.6.0.
mod cost {
    pub(super) const LIST: usize = 23;
    pub(super) const PAGED: usize = 1;
    pub(super) const PAGED_ITEM: usize = 30;
    pub(super) const LAST_ONLINE: usize = 2;
}

/// How long an address counts after its last use, in seconds.
const ADDRESS_FOR_S: i64 = 30 * 60;
/// Names in a list of the summary, from 3.6 on.
const NAMES: usize = 200;

pub(super) fn list(state: &State) -> Answer {
    let rows: Vec<_> = state.clients.iter().map(|client| ClientRow::of(state.generation, client)).collect();
    success(&rows).costing(rows.len() * cost::LIST)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    email: &'a str,
    sub_id: &'a str,
    enable: bool,
    #[serde(rename = "totalGB")]
    total: u64,
    expiry_time: i64,
    limit_ip: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_hwid: Option<i64>,
    reset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_day: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_max: Option<i64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    inbound_ids: Option<&'a [i64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<Stats<'a>>,
    created_at: i64,
    updated_at: i64,
}

/// A page and the summary. Only `page` and `pageSize` of the query are understood.
pub(super) fn paged(state: &State, now_ms: i64, query: &Pairs) -> Answer {
    let generation = state.generation;
    if generation == Generation::V3_1 && state.core == Core::NeverStarted {
        return Answer::empty(500);
    }
    let number = |key, default| {
        let given = query.integer(key).ok().flatten().and_then(|number| usize::try_from(number).ok());
        given.filter(|number| *number > 0).unwrap_or(default)
    };
    let (page, size) = (number("page", 1), number("pageSize", 25).min(200));
    let of_37 = (generation >= Generation::V3_7).then_some(0);
    let items: Vec<_> = state
        .clients
        .iter()
        .skip((page - 1).saturating_mul(size))
        .take(size)
        .map(|client| Item {
            email: &client.email,
            sub_id: &client.sub_id,
            enable: settings_enable(generation, client),
            total: client.total,
            expiry_time: client.expiry_ms,
            limit_ip: client.limit_ip,
            limit_hwid: of_37,
            reset: client.reset_days,
            reset_day: of_37,
            reset_max: of_37,
            comment: &client.comment,
            inbound_ids: attached(client),
            traffic: traffic(generation, client),
            created_at: client.created_at_ms,
            updated_at: client.created_at_ms,
        })
        .collect();
    let weight = items.len() * cost::PAGED_ITEM + state.clients.len() * cost::PAGED;
    let count = state.clients.len();
    let mut whole = json!({
        "items": items, "total": count, "filtered": count, "page": page, "pageSize": size,
        "summary": summary(state, now_ms),
    });
    if generation >= Generation::V3_6 {
        put(&mut whole, "groups", json!([]));
    }
    success(whole).costing(weight)
}

fn summary(state: &State, now_ms: i64) -> Value {
    let of = |wanted: Standing| -> Vec<&str> {
        let all = state.clients.iter().filter(|client| state.standing(client, now_ms) == wanted);
        all.map(|client| client.email.as_str()).collect()
    };
    let lists = [
        (
            "online",
            shown_online(state, now_ms).unwrap_or_default().iter().map(|c| c.email.as_str()).collect(),
        ),
        ("depleted", of(Standing::Depleted)),
        ("expiring", of(Standing::Expiring)),
        ("deactive", of(Standing::Disabled)),
    ];
    let mut summary = json!({ "total": state.clients.len(), "active": of(Standing::Active).len() });
    for (key, mut emails) in lists {
        if state.generation >= Generation::V3_6 {
            put(&mut summary, &format!("{key}Count"), json!(emails.len()));
            emails.truncate(NAMES);
        }
        put(&mut summary, key, json!(emails));
    }
    summary
}

pub(super) fn one(state: &State, email: &str) -> Answer {
    let generation = state.generation;
    let Some(client) = state.client(email) else {
        let what = if generation >= Generation::V3_6 { "Obtain" } else { "" };
        return failure(&format!("{what} (record not found)"));
    };
    let record = ClientRecord::of(generation, client);
    let mut whole = json!({ "client": record, "inboundIds": attached(client) });
    if generation >= Generation::V3_6 {
        put(&mut whole, "externalLinks", json!([]));
        put(&mut whole, "usedTraffic", json!(client.used()));
    }
    success(whole)
}

/// The e-mail address is compared exactly.
pub(super) fn one_traffic(state: &State, email: &str) -> Answer {
    let client = state.client(email).filter(|client| has_row(state.generation, client));
    match (client, state.generation) {
        (Some(client), generation) => success(Stats::of(generation, client, Detail::Full)),
        (None, Generation::V2_8 | Generation::V3_0_0 | Generation::V3_0 | Generation::V3_1) => {
            let what = if state.generation == Generation::V3_1 { "traffic" } else { "traffics" };
            failure(&format!("Error getting {what}. (Inbound Not Found For Email: {email}\n)"))
        }
        (None, _) => success(Value::Null),
    }
}

pub(super) fn last_online(state: &State) -> Answer {
    let rows = state.clients.iter().filter(|client| has_row(state.generation, client));
    let all: BTreeMap<&str, i64> =
        rows.map(|client| (client.email.as_str(), client.last_online_ms)).collect();
    success(&all).costing(all.len() * cost::LAST_ONLINE)
}

/// The clients that the panel says are online; `None`: null.
fn shown_online(state: &State, now_ms: i64) -> Option<Vec<&Client>> {
    match (state.core, state.generation) {
        (_, Generation::V3_1) => None,
        (Core::Running, Generation::V3_7) => Some(state.online(now_ms).collect()),
        (Core::Running, _) => state.ticked_at_ms.map(|_| state.online(now_ms).collect()),
        // 2.8 keeps its last list until xray is started again, 3.6 for the time of grace.
        (Core::Stopped, Generation::V2_8 | Generation::V3_6 | Generation::V3_7) => {
            Some(state.online(now_ms).collect())
        }
        (Core::Stopped, Generation::V3_0 | Generation::V3_0_0) => Some(Vec::new()),
        (Core::Crashing, _) => Some(Vec::new()).filter(|_| state.answers.is_multiple_of(2)),
        (_, generation) => Some(Vec::new()).filter(|_| generation >= Generation::V3_6),
    }
}

/// Who is online, as e-mail addresses or, in alireza0's panel, as objects.
pub(super) fn onlines(state: &State, now_ms: i64) -> Answer {
    let crashes = (Generation::V2_6..=Generation::V3_1).contains(&state.generation);
    if state.core == Core::NeverStarted && crashes {
        return Answer::empty(500);
    }
    let online = shown_online(state, now_ms);
    if state.generation == Generation::Alireza {
        return success(online.map(|online| {
            let one = |client: &&Client| {
                let ips: BTreeMap<&str, i64> =
                    client.ips.iter().map(|(ip, at_s)| (ip.as_str(), *at_s)).collect();
                json!({ "email": client.email, "ips": ips })
            };
            online.iter().map(one).collect::<Vec<_>>()
        }));
    }
    success(online.map(|online| online.into_iter().map(|client| client.email.as_str()).collect::<Vec<_>>()))
}

/// The same by the guid of the panel or node of the client's inbound.
pub(super) fn onlines_by_guid(state: &State, now_ms: i64) -> Answer {
    let mut by_guid: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for client in shown_online(state, now_ms).unwrap_or_default() {
        by_guid.entry(guid_of(state, client)).or_default().push(&client.email);
    }
    success(by_guid)
}

pub(super) fn active_inbounds(state: &State, now_ms: i64) -> Answer {
    let online = shown_online(state, now_ms).unwrap_or_default();
    let used = |id: i64| online.iter().any(|client| client.inbound_ids.contains(&id));
    let tags: Vec<&str> = state
        .inbounds
        .iter()
        .filter(|inbound| used(inbound.id))
        .map(|inbound| inbound.tag.as_str())
        .collect();
    success(json!({ state.guid.as_str(): tags }))
}

fn guid_of<'a>(state: &'a State, client: &Client) -> &'a str {
    let inbound = client.inbound_ids.first().and_then(|id| state.inbound(*id));
    let node = inbound.and_then(|inbound| inbound.node_id);
    let node = node.and_then(|id| state.nodes.iter().find(|node| node.id == id));
    node.map_or(state.guid.as_str(), |node| node.guid.as_str())
}

/// Addresses of a client that are not stale.
fn addresses(client: &Client, now_ms: i64) -> impl Iterator<Item = &(String, i64)> {
    let since_s = now_ms.div_euclid(1000).saturating_sub(ADDRESS_FOR_S);
    client.ips.iter().filter(move |(_, at_s)| *at_s >= since_s)
}

/// A list of objects from 3.4 on; before, a text that holds a list, or says that there is none.
pub(super) fn ips(state: &State, now_ms: i64, email: &str) -> Answer {
    let client = state.client(email);
    let addresses: Vec<_> = client.iter().flat_map(|client| addresses(client, now_ms)).collect();
    if state.generation >= Generation::V3_6 {
        let one = |(ip, at_s): &&(String, i64)| {
            let at = Timestamp::from_second(*at_s).unwrap_or_default();
            let time = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
            json!({ "ip": ip, "time": time, "node": "" })
        };
        return success(addresses.iter().map(one).collect::<Vec<_>>());
    }
    if addresses.is_empty() {
        return success("No IP Record");
    }
    let plain: Vec<&str> = addresses.iter().map(|(ip, _)| ip.as_str()).collect();
    success(json!(plain).to_string())
}

pub(super) fn all_ips(state: &State, now_ms: i64) -> Answer {
    let with_ips = state.clients.iter().filter(|client| !client.ips.is_empty());
    let one = |client: &Client| {
        let all: Vec<_> = stamped(client, now_ms);
        let ips = Some(all).filter(|all| !all.is_empty());
        json!({ "id": client.id, "clientEmail": client.email, "ips": ips })
    };
    success(with_ips.map(one).collect::<Vec<_>>())
}

pub(super) fn ips_by_guid(state: &State, now_ms: i64) -> Answer {
    let mut by_guid: BTreeMap<&str, BTreeMap<&str, Vec<Value>>> = BTreeMap::new();
    for client in &state.clients {
        let all = stamped(client, now_ms);
        if !all.is_empty() {
            by_guid.entry(guid_of(state, client)).or_default().insert(&client.email, all);
        }
    }
    success(by_guid)
}

fn stamped(client: &Client, now_ms: i64) -> Vec<Value> {
    addresses(client, now_ms).map(|(ip, at_s)| json!({ "ip": ip, "timestamp": at_s })).collect()
}

pub(super) fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

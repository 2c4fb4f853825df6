//! Decoding the answers of panels. Beside each decoder is the least that it can take: serde_json over the whole answer, into
//! structs that borrow and have only the fields that a poll uses.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use divan::{Bencher, black_box, counter::ItemsCount};
use proxymeter::{
    http::options::PanelUrl,
    model::{Moment, Timestamp},
    secret::HashKey,
    upstream::{
        RefusedKeys, Timeouts,
        cliproxy::{
            Cliproxy,
            config::{Caps, CliproxyConfig, UsageSetting},
        },
        marzban, xui,
    },
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};

const ROWS: usize = 500;
const CLIENTS: usize = 2000;
const DETAILS: usize = 5000;
const NOW: Timestamp = Timestamp::from_secs(1_795_640_000);

fn fixture(file: &str) -> Value {
    let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A page of users, as systems send it.
fn page(file: &str) -> Vec<u8> {
    let recorded = fixture(file);
    let users = recorded["users"].as_array().unwrap();
    let user = |number: usize| {
        let mut user = users[number % users.len()].clone();
        user["username"] = format!("user_{number:05}").into();
        user
    };
    let users: Vec<_> = (0..ROWS).map(user).collect();
    json!({ "users": users, "total": ROWS }).to_string().into_bytes()
}

#[divan::bench(args = ["marzban/users-all-sudo.json", "pasarguard/key-full-users.json"])]
fn users(bencher: Bencher<'_, '_>, file: &str) {
    let page = page(file);
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let users = marzban::users::users_of(black_box(&page), NOW).unwrap();
        assert_eq!(users.len(), ROWS);
        users
    });
}

#[derive(Deserialize)]
struct BareUsers<'a> {
    #[serde(borrow)]
    users: Vec<BareUser<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "to be decoded is what they are for")]
struct BareUser<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    used_traffic: u64,
    lifetime_used_traffic: Option<u64>,
    data_limit: Option<u64>,
    #[serde(borrow)]
    expire: Option<&'a RawValue>,
    on_hold_expire_duration: Option<u64>,
    #[serde(borrow)]
    online_at: Option<Cow<'a, str>>,
    next_plan: Option<IgnoredAny>,
    #[serde(borrow)]
    admin: Option<BareAdmin<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "to be decoded is what they are for")]
struct BareAdmin<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
}

#[divan::bench(args = ["marzban/users-all-sudo.json", "pasarguard/key-full-users.json"])]
fn users_by_bare_serde(bencher: Bencher<'_, '_>, file: &str) {
    let page = page(file);
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let BareUsers { users } = serde_json::from_slice(black_box(&page)).unwrap();
        assert_eq!(users.len(), ROWS);
        users.into_iter().map(black_box).count()
    });
}

/// A list of three inbounds, as panels send it: up to 3x-ui 3.0, the configuration is a text.
fn list(file: &str) -> Vec<u8> {
    let recorded = fixture(file);
    let row = &recorded["obj"][0];
    let is_text = row["settings"].is_string();
    let settings = match row["settings"].as_str() {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => row["settings"].clone(),
    };
    let client = |number: usize| {
        let (mut stats, mut setting) = (row["clientStats"][0].clone(), settings["clients"][0].clone());
        stats["email"] = format!("client-{number:05}@example.com").into();
        setting["email"] = stats["email"].clone();
        (stats, setting)
    };
    let inbounds = (0..3).map(|inbound| {
        let clients = (0..CLIENTS).filter(|number| number % 3 == inbound).map(client);
        let (stats, settings): (Vec<_>, Vec<_>) = clients.unzip();
        let settings = json!({ "clients": settings });
        let mut row = row.clone();
        row["id"] = inbound.into();
        row["tag"] = format!("inbound-{inbound}").into();
        row["clientStats"] = stats.into();
        row["settings"] = if is_text { settings.to_string().into() } else { settings };
        row
    });
    json!({ "success": true, "obj": inbounds.collect::<Vec<_>>() }).to_string().into_bytes()
}

const LISTS: [&str; 3] = [
    "xui/3x-ui-v2.8.11/inbounds-list.json",
    "xui/3x-ui-v3.6.0/inbounds-list.json",
    "xui/3x-ui-v3.6.0/inbounds-list-slim.json",
];

#[divan::bench(args = LISTS)]
fn inbounds(bencher: Bencher<'_, '_>, file: &str) {
    let list = list(file);
    bencher.counter(ItemsCount::new(CLIENTS)).bench(|| {
        let (inbounds, users) = xui::lists::list_of(black_box(&list), NOW).unwrap();
        assert_eq!((inbounds.len(), users.len()), (3, CLIENTS));
        (inbounds, users)
    });
}

#[derive(Deserialize)]
struct BareList<'a> {
    #[serde(borrow)]
    obj: Vec<BareInbound<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "to be decoded is what they are for")]
struct BareInbound<'a> {
    id: i64,
    #[serde(borrow)]
    tag: Cow<'a, str>,
    #[serde(borrow)]
    remark: Cow<'a, str>,
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    port: u16,
    enable: bool,
    up: u64,
    down: u64,
    total: u64,
    expiry_time: i64,
    #[serde(borrow)]
    client_stats: Vec<BareStats<'a>>,
    #[serde(borrow)]
    settings: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "to be decoded is what they are for")]
struct BareStats<'a> {
    #[serde(borrow)]
    email: Cow<'a, str>,
    enable: bool,
    up: u64,
    down: u64,
    total: u64,
    expiry_time: i64,
    reset: i64,
    last_online: Option<i64>,
}

#[derive(Deserialize)]
struct BareSettings<'a> {
    #[serde(borrow)]
    clients: Vec<BareSetting<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "to be decoded is what they are for")]
struct BareSetting<'a> {
    #[serde(borrow)]
    email: Cow<'a, str>,
    enable: Option<bool>,
    limit_ip: Option<u64>,
    #[serde(rename = "totalGB")]
    total: Option<u64>,
    expiry_time: Option<i64>,
    reset: Option<i64>,
}

#[divan::bench(args = LISTS)]
fn inbounds_by_bare_serde(bencher: Bencher<'_, '_>, file: &str) {
    let list = list(file);
    let settings = |text: &str| {
        let BareSettings { clients } = serde_json::from_str(text).unwrap();
        clients.into_iter().map(black_box).count()
    };
    bencher.counter(ItemsCount::new(CLIENTS)).bench(|| {
        let BareList { obj } = serde_json::from_slice(black_box(&list)).unwrap();
        let clients = obj.into_iter().map(black_box).map(|inbound| {
            let text = inbound.settings.get();
            let clients = match text.starts_with('"') {
                true => settings(&serde_json::from_str::<String>(text).unwrap()),
                false => settings(text),
            };
            assert_eq!(clients, inbound.client_stats.len());
            clients
        });
        assert_eq!(clients.sum::<usize>(), CLIENTS);
    });
}

fn cliproxy() -> Cliproxy {
    let config = CliproxyConfig {
        endpoint: PanelUrl::parse("http://127.0.0.1:8317").unwrap().into(),
        key: "key".into(),
        usage: UsageSetting::Queue,
        key_aliases: Vec::new(),
        credential_aliases: Vec::new(),
        caps: Caps::default(),
        prices: std::sync::Arc::default(),
        zone: jiff::tz::TimeZone::UTC,
    };
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { request: second, page: second };
    Cliproxy::new(&config, HashKey::new(b"key"), &RefusedKeys::in_memory(), timeouts).unwrap()
}

/// Totals with the recorded details again and again, each at a time of its own, as servers write them.
fn usage() -> Vec<u8> {
    let recorded = fixture("cliproxy/v6.9.49/usage-mix240.json");
    let (api, models) = recorded["usage"]["apis"].as_object().unwrap().iter().next().unwrap();
    let (model, first) = models["models"].as_object().unwrap().iter().next().unwrap();
    let recorded = first["details"].as_array().unwrap();
    let detail = |number: usize| {
        let detail = &recorded[number % recorded.len()];
        let time = jiff::Timestamp::from_second(1_795_000_000 + i64::try_from(number).unwrap()).unwrap();
        format!(
            r#"{{"timestamp":"{time}","latency_ms":{},"source":{},"auth_index":{},"tokens":{{"input_tokens":{},"output_tokens":{},"reasoning_tokens":{},"cached_tokens":{},"total_tokens":{}}},"failed":false}}"#,
            detail["latency_ms"],
            detail["source"],
            detail["auth_index"],
            detail["tokens"]["input_tokens"],
            detail["tokens"]["output_tokens"],
            detail["tokens"]["reasoning_tokens"],
            detail["tokens"]["cached_tokens"],
            detail["tokens"]["total_tokens"],
        )
    };
    let details: Vec<_> = (0..DETAILS).map(detail).collect();
    let details = details.join(",");
    format!(
        r#"{{"usage":{{"apis":{{"{api}":{{"models":{{"{model}":{{"total_requests":{DETAILS},"details":[{details}]}}}}}}}}}}}}"#
    )
    .into_bytes()
}

/// `first`: nothing was counted before; else nothing is new.
#[divan::bench(args = ["first", "again"])]
fn usage_totals(bencher: Bencher<'_, '_>, reading: &str) {
    let usage = usage();
    let client = || {
        let mut client = cliproxy();
        if reading == "again" {
            client.count_usage(&usage, NOW).unwrap();
        }
        client
    };
    bencher.counter(ItemsCount::new(DETAILS)).with_inputs(client).bench_refs(|client| {
        let counted = client.count_usage(black_box(&usage), NOW).unwrap();
        assert_eq!(counted.rows.iter().map(|row| row.requests).sum::<u64>(), DETAILS as u64);
    });
}

#[derive(Deserialize)]
struct BareUsage<'a> {
    #[serde(borrow)]
    usage: BareApis<'a>,
}

#[derive(Deserialize)]
struct BareApis<'a> {
    #[serde(borrow)]
    apis: HashMap<Cow<'a, str>, BareApi<'a>>,
}

#[derive(Deserialize)]
struct BareApi<'a> {
    #[serde(borrow)]
    models: HashMap<Cow<'a, str>, BareModel<'a>>,
}

#[derive(Deserialize)]
struct BareModel<'a> {
    #[serde(borrow)]
    details: Vec<BareDetail<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "to be decoded is what they are for")]
struct BareDetail<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    latency_ms: Option<u64>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    auth_index: Option<&'a RawValue>,
    tokens: BareTokens,
    failed: bool,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "to be decoded is what they are for")]
struct BareTokens {
    input_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    cached_tokens: u64,
    total_tokens: u64,
}

#[divan::bench]
fn usage_totals_by_bare_serde(bencher: Bencher<'_, '_>) {
    let usage = usage();
    bencher.counter(ItemsCount::new(DETAILS)).bench(|| {
        let BareUsage { usage } = serde_json::from_slice(black_box(&usage)).unwrap();
        let models = usage.apis.into_values().flat_map(|api| api.models.into_values());
        assert_eq!(models.flat_map(|model| model.details).map(black_box).count(), DETAILS);
    });
}

/// A batch of records.
fn batch() -> Vec<u8> {
    let recorded = fixture("cliproxy/v7.3/usage-queue.json");
    let records = recorded.as_array().unwrap();
    let batch: Vec<_> = (0..ROWS).map(|number| records[number % records.len()].clone()).collect();
    Value::from(batch).to_string().into_bytes()
}

#[divan::bench]
fn queue(bencher: Bencher<'_, '_>) {
    let batch = batch();
    let now = Moment { wall: NOW, ..Moment::default() };
    bencher.counter(ItemsCount::new(ROWS)).with_inputs(cliproxy).bench_refs(|client| {
        assert_eq!(client.count_batch(black_box(&batch), now).unwrap(), ROWS);
    });
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "to be decoded is what they are for")]
struct BareRecord<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    provider: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    api_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    auth_index: Option<&'a RawValue>,
    latency_ms: Option<u64>,
    ttft_ms: Option<u64>,
    tokens: Option<BareTokens>,
    failed: Option<bool>,
    #[serde(borrow)]
    response_headers: Option<&'a RawValue>,
}

#[divan::bench]
fn queue_by_bare_serde(bencher: Bencher<'_, '_>) {
    let batch = batch();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let records: Vec<BareRecord<'_>> = serde_json::from_slice(black_box(&batch)).unwrap();
        assert_eq!(records.len(), ROWS);
        records.into_iter().map(black_box).count()
    });
}

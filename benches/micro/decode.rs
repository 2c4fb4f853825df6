//! Decoding the answers of panels. Beside each decoder is the least that it can take: see [`bare`].

use std::time::Duration;

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
use serde_json::{Value, json};

use super::bare;

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

#[divan::bench(args = ["marzban/users-all-sudo.json", "pasarguard/key-full-users.json"])]
fn users_by_bare_serde(bencher: Bencher<'_, '_>, file: &str) {
    let page = page(file);
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        assert_eq!(bare::users(black_box(&page)).unwrap(), ROWS);
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

#[divan::bench(args = LISTS)]
fn inbounds_by_bare_serde(bencher: Bencher<'_, '_>, file: &str) {
    let list = list(file);
    let read = if file.contains("v2.8") { bare::inbounds_of_text } else { bare::inbounds };
    bencher.counter(ItemsCount::new(CLIENTS)).bench(|| {
        assert_eq!(read(black_box(&list)).unwrap(), CLIENTS);
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

#[divan::bench]
fn usage_totals_by_bare_serde(bencher: Bencher<'_, '_>) {
    let usage = usage();
    bencher.counter(ItemsCount::new(DETAILS)).bench(|| {
        assert_eq!(bare::totals(black_box(&usage)).unwrap(), DETAILS);
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

#[divan::bench]
fn queue_by_bare_serde(bencher: Bencher<'_, '_>) {
    let batch = batch();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        assert_eq!(bare::records(black_box(&batch)).unwrap(), ROWS);
    });
}

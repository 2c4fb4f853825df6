//! Each request recorded from a real server, asked again: status, headers, and every key and type of the answer.

use std::collections::BTreeMap;
use std::path::Path;

use proxymeter::simulator::cliproxy::{Attempt, CANARY, Generation, Options, Outcome, Traffic};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::house::{CLAUDE, House, attempt, fixtures, read};
use crate::simulator::client::Reply;
use crate::simulator::shape::Shape;

const RECORDED: [Generation; 6] = [
    Generation::V6_0,
    Generation::V6_2,
    Generation::V6_6,
    Generation::V6_9,
    Generation::V6_10,
    Generation::V7_2,
];

#[derive(Deserialize)]
struct Index {
    answers: Vec<Recording>,
}

#[derive(Deserialize)]
struct Recording {
    file: String,
    method: String,
    path: String,
    #[serde(default)]
    auth: String,
    status: u16,
    headers: Option<BTreeMap<String, String>>,
}

/// Requests that change something, or go where the simulated server does not.
const NOT_ASKED: [&str; 4] = ["usage/import", "usage/export", "SUBSCRIBE", "model"];
/// Parts of a difference that come of the data, not of the shape.
const OF_DATA: [&str; 4] = [
    // Only files of providers that the cast lacks have one.
    "project_id",
    // No token was refreshed on the recorded servers.
    "last_refresh",
    // Of an upstream without a quota, or with a stream.
    "Anthropic-Ratelimit-Unified-7d-Status",
    // The recorded client asked without it once.
    "alias",
];

#[tokio::test]
async fn every_recorded_request_meets_the_recorded_status_headers_and_shape() {
    let mut differences = Vec::new();
    let mut asked = 0;
    for generation in RECORDED {
        let folder = fixtures(&format!("v{}", generation.version()));
        let index: Index = serde_json::from_value(read(&folder.join("index.json"))).unwrap();
        for recording in index.answers {
            let skipped = NOT_ASKED.iter().any(|part| recording.path.contains(part));
            if skipped || recording.method != "GET" || !folder.join(&recording.file).exists() {
                continue;
            }
            let house = made_for(generation, &recording.file).await;
            let headers: &[(&str, &str)] = match recording.auth.as_str() {
                "none" => &[],
                "wrong Bearer" => &[("authorization", "Bearer wrong")],
                "Authorization: Basic + correct X-Management-Key" => {
                    &[("authorization", "Basic dXNlcjpwYXNz"), ("x-management-key", "management-key")]
                }
                _ => &[("authorization", "Bearer management-key")],
            };
            let reply = house.ask("GET", &recording.path, headers).await;
            asked += 1;
            let found = compare(&recording, &reply, &folder);
            let of = |line| format!("{} {}: {line}", generation.version(), recording.file);
            differences.extend(found.into_iter().map(of));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(asked > 150, "only {asked} recordings were asked again");
}

/// What could not be run: samples written from the documentation.
#[tokio::test]
async fn newer_servers_have_the_shapes_of_their_samples() {
    for (generation, asked, folder, file) in [
        (Generation::V7_3, "/v0/management/auth-files", "v7.3", "auth-files.json"),
        (Generation::V7_3, "/v0/management/auth-files?page_size=2", "v7.3", "auth-files-paged.json"),
        (Generation::V7_3, "/v0/management/usage-queue?count=500", "v7.3", "usage-queue.json"),
        (Generation::V8_0, "/v8/management/observability/usage/queue?count=500", "v8.0", "usage-queue.json"),
        (Generation::V8_0, "/v8/management/observability/usage/api-keys", "v8.0", "usage-api-keys.json"),
        (Generation::V8_0, "/v8/management/credentials", "v8.0", "credentials.json"),
        (
            Generation::V8_0,
            "/v8/management/config/observability/usage/usage-statistics-enabled",
            "v8.0",
            "config-usage-statistics-enabled.json",
        ),
    ] {
        let house = made_for(generation, file).await;
        let (sample, simulated) = (read(&fixtures(folder).join(file)), house.json(asked).await);
        let (sample, simulated) = (normal(&sample), normal(&simulated));
        let wrong = shape_of(&sample).differences(&simulated);
        // The samples have few of each kind, so what a record has in each of them it need not always have.
        let wrong: Vec<_> = wrong
            .iter()
            .filter(|line| !line.contains("misses") && !line.contains("never recorded"))
            .filter(|line| !line.contains("response_headers: has"))
            .filter(|line| !OF_DATA.iter().any(|part| line.contains(part)))
            .collect();
        assert!(wrong.is_empty(), "{generation:?} {file}: {wrong:#?}");
        let absent = shape_of(&simulated).differences(&sample);
        let absent: Vec<_> = absent.iter().filter(|line| line.contains("instead of")).collect();
        assert!(absent.is_empty(), "{generation:?} {file}: {absent:#?}");
    }
    let house = House::of(Generation::V7_3).await;
    let refused = house.get("/v0/management/auth-files?page=0").await;
    assert_eq!(
        (refused.status, refused.json()),
        (400, read(&fixtures("v7.3").join("auth-files-bad-page.400.json")))
    );
    let absent = house.get("/v8/management/config/observability").await;
    assert_eq!(absent.status, 404);
    let house = House::of(Generation::V8_0).await;
    let absent = house.get("/v8/management/config/no/such/node").await;
    assert_eq!(
        (absent.status, absent.json()),
        (404, read(&fixtures("v8.0").join("config-missing-path.404.json")))
    );
}

/// A server in the state of a recording.
async fn made_for(generation: Generation, file: &str) -> House {
    let house = House::open(Options { generation, traffic: Traffic::None, ..Options::default() }).await;
    let server = &house.server;
    match file {
        _ if file.starts_with("management-disabled") => server.set_management(false),
        _ if file.starts_with("auth-banned") => server.ban("127.0.0.1"),
        "usage-statistics-disabled.json" => server.set_statistics(false),
        _ if file.contains("empty") || file.contains("before") || file.contains("no-attempt") => {}
        _ => {
            server.attempts(400);
            // A file of which the only model is blocked.
            assert!(server.put_back(CLAUDE));
            let outcome = Outcome::Refused(401);
            server.attempt(&Attempt { outcome, ..attempt(server, CLAUDE, "claude-sonnet-4-5") });
            if file.contains("stale") {
                server.attempt(&attempt(server, CLAUDE, "claude-opus-4-5"));
            }
        }
    }
    house
}

/// Where the answer differs from the recorded one, a line each.
fn compare(recording: &Recording, reply: &Reply, folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut same = |what: &str, found: Value, expected: Value| {
        if found != expected {
            lines.push(format!("{what} {found} instead of {expected}"));
        }
    };
    same("status", json!(reply.status), json!(recording.status));
    for (name, value) in recording.headers.iter().flatten() {
        // How a body is sent depends on its size.
        if !["Content-Length", "Transfer-Encoding"].contains(&name.as_str()) {
            same(name, json!(reply.header(&name.to_lowercase())), json!(value));
        }
    }
    let unknown = |name: &str| {
        let known = recording.headers.iter().flatten().any(|(known, _)| known.to_lowercase() == name);
        !known && name.starts_with("x-cpa")
    };
    for (name, _) in reply.headers.iter().filter(|(name, _)| unknown(name)) {
        same(name, json!(true), json!(false));
    }
    let path = folder.join(&recording.file);
    if !recording.file.ends_with(".json") {
        let body = std::fs::read(path).unwrap();
        same("body", json!(String::from_utf8_lossy(&reply.body)), json!(String::from_utf8_lossy(&body)));
        return lines;
    }
    let (real, simulated) = (read(&path), reply.json());
    if recording.status != 200 {
        same("body", simulated.clone(), real.clone());
    }
    let (real, simulated) = (normal(&real), normal(&simulated));
    lines.extend(shape_of(&real).differences(&simulated));
    // And nothing recorded is absent, but for most of the configuration and what one record lacks.
    let is_part = recording.path.ends_with("/config") || recording.path.contains("usage-queue");
    if !is_part {
        let absent = shape_of(&simulated).differences(&real);
        lines.extend(absent.into_iter().map(|line| format!("simulated {line}")));
    }
    let is_queue = recording.path.contains("usage-queue");
    lines.retain(|line| !OF_DATA.iter().any(|part| line.contains(part)));
    lines.retain(|line| !(recording.path.ends_with("/config") && line.contains("misses")));
    // Each recording has records of few kinds; all together are compared below.
    if is_queue && recording.status == 200 {
        lines.clear();
    }
    lines
}

/// All records of a real queue have in common what all of a simulated one have.
#[tokio::test]
async fn records_of_the_queue_have_every_recorded_key_and_no_other() {
    for generation in [Generation::V6_10, Generation::V7_2] {
        let folder = fixtures(&format!("v{}", generation.version()));
        let mut real = Shape::default();
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".json") && !name.starts_with("index") {
                let value = read(&path);
                records.extend(value.as_array().into_iter().flatten().cloned());
            }
        }
        assert!(records.len() > 260, "{}", records.len());
        records.iter().for_each(|record| real.learn(&normal(record)));
        let house = House::of(generation).await;
        house.server.attempts(2000);
        let mut simulated = Shape::default();
        for record in house.pop(5000).await {
            let found = real.differences(&normal(&record));
            let found: Vec<_> =
                found.iter().filter(|line| !OF_DATA.iter().any(|part| line.contains(part))).collect();
            assert!(found.is_empty(), "{generation:?}: {found:#?} {record}");
            simulated.learn(&normal(&record));
        }
        for record in &records {
            let absent = simulated.differences(&normal(record));
            let absent: Vec<_> =
                absent.iter().filter(|line| !OF_DATA.iter().any(|part| line.contains(part))).collect();
            assert!(absent.is_empty(), "{generation:?}: {absent:#?} {record}");
        }
    }
}

#[tokio::test]
async fn canaries_are_in_every_sensitive_field() {
    let secret = ["source", "api_key", "alias", "user_agent", "session_id"];
    for generation in [Generation::V6_9, Generation::V6_10, Generation::V7_2, Generation::V8_0] {
        let options = Options { generation, canaries: true, traffic: Traffic::None, ..Options::default() };
        let house = House::open(options).await;
        house.server.attempts(500);
        for credential in house.server.credentials() {
            assert!(credential.name.contains(CANARY), "{}", credential.name);
        }
        assert!(house.server.client_keys().iter().all(|key| key.contains(CANARY)));
        let files = house.json("/v0/management/auth-files").await;
        for file in files["files"].as_array().unwrap() {
            for field in ["name", "id", "path", "email", "account", "note"] {
                let text = &file[field];
                assert!(text.is_null() || text.as_str().unwrap().contains(CANARY), "{field}: {text}");
            }
            let message = file["status_message"].as_str().unwrap();
            assert!(
                message.is_empty() || message == "unexpected EOF\n" || message.contains(CANARY),
                "{message}"
            );
        }
        if !generation.has_queue() {
            let usage = house.get("/v0/management/usage").await;
            let text = String::from_utf8(usage.body).unwrap();
            assert!(text.matches("\"source\":\"").count() > 400);
            let unmarked = text.split("\"source\":\"").skip(1).filter(|rest| {
                let source = rest.split('"').next().unwrap();
                !source.is_empty() && !source.contains(CANARY)
            });
            assert_eq!(unmarked.count(), 0);
            continue;
        }
        for record in house.pop(1000).await {
            for field in secret {
                let text = &record[field];
                assert!(text.is_null() || text.as_str().unwrap().contains(CANARY), "{field}: {text}");
            }
            let headers = &record["response_headers"];
            assert!(headers.is_null() || headers["Set-Cookie"][0].as_str().unwrap().contains(CANARY));
            let body = record["fail"]["body"].as_str().unwrap_or_default();
            let plain = ["", "unexpected EOF", "context canceled"].contains(&body);
            assert!(plain || body.contains(CANARY), "{body}");
        }
    }
}

#[tokio::test]
async fn outcomes_are_written_as_they_were_recorded() {
    let house = House::of(Generation::V7_2).await;
    let credential =
        house.server.credentials().iter().find(|known| known.provider == "openrouter").unwrap().name.clone();
    for (outcome, file) in [
        (Outcome::Refused(400), "fail-upstream-400.json"),
        (Outcome::Refused(500), "fail-upstream-500.json"),
        (Outcome::CutOff, "upstream-truncated.json"),
        (Outcome::HungUp, "client-abort-early.json"),
        (Outcome::HungUpMidStream, "client-abort-mid-stream.json"),
    ] {
        let stream = matches!(outcome, Outcome::CutOff | Outcome::HungUpMidStream);
        let attempt = Attempt { outcome, stream, ..attempt(&house.server, &credential, "m") };
        assert!(house.server.attempt(&attempt));
        let (simulated, real) =
            (house.pop(1).await.remove(0), read(&fixtures("v7.2.140").join(file))[0].take());
        let wrong = shape_of(&real).differences(&simulated);
        assert!(wrong.is_empty(), "{file}: {wrong:#?}");
        for path in ["/failed", "/fail/status_code", "/tokens", "/token_breakdown", "/executor_type"] {
            assert_eq!(simulated.pointer(path), real.pointer(path), "{file} {path}");
        }
        let is_json = |record: &Value| record["fail"]["body"].as_str().unwrap().starts_with('{');
        assert_eq!(is_json(&simulated), is_json(&real), "{file}");
    }
}

fn shape_of(value: &Value) -> Shape {
    let mut shape = Shape::default();
    shape.learn(value);
    shape
}

/// Without what depends on the data: names as keys.
fn normal(value: &Value) -> Value {
    let is_upstream = |fields: &Map<String, Value>| fields.keys().any(|key| key.contains('|'));
    match value {
        Value::Object(fields) if is_upstream(fields) => fields.values().map(normal).collect(),
        Value::Object(fields) if fields.values().any(|field| field.as_object().is_some_and(is_upstream)) => {
            fields.values().map(normal).collect()
        }
        Value::Object(fields) => {
            fields.iter().map(|(key, field)| (key.clone(), normal_field(key, field))).collect()
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        other => other.clone(),
    }
}

fn normal_field(key: &str, field: &Value) -> Value {
    const BY_NAME: [&str; 8] = [
        "apis",
        "models",
        "requests_by_day",
        "requests_by_hour",
        "tokens_by_day",
        "tokens_by_hour",
        "model_quotas",
        "signals",
    ];
    match field {
        Value::Object(fields) if BY_NAME.contains(&key) => fields.values().map(normal).collect(),
        _ => normal(field),
    }
}

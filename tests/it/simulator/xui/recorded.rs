//! Each request recorded from a real panel, asked again.

use std::collections::BTreeMap;
use std::path::Path;

use proxymeter::simulator::xui::{Core, Generation, Options, Scope, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use super::house::{House, Session};
use crate::simulator::client::Reply;
use crate::simulator::shape::Shape;

const RECORDED: [(&str, Generation); 8] = [
    ("alireza0-v1.12.0", Generation::Alireza),
    ("3x-ui-v2.6.8", Generation::V2_6),
    ("3x-ui-v2.8.11", Generation::V2_8),
    ("3x-ui-v3.0.0", Generation::V3_0_0),
    ("3x-ui-v3.0.2", Generation::V3_0),
    ("3x-ui-v3.1.0", Generation::V3_1),
    ("3x-ui-v3.6.0", Generation::V3_6),
    ("3x-ui-main-02002dc1", Generation::V3_7),
];
const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

#[derive(Deserialize)]
struct Recording {
    name: String,
    method: String,
    path: String,
    status: u16,
    #[serde(default)]
    body: String,
    headers: BTreeMap<String, String>,
    #[serde(default)]
    cookie: bool,
    #[serde(default)]
    csrf: bool,
    token: Option<String>,
    location: Option<String>,
    content_type: Option<String>,
    /// Of the envelope.
    keys: Option<Vec<String>>,
    success: Option<bool>,
    /// The JSON type of `obj`.
    obj: Option<String>,
    /// If it failed.
    msg: Option<String>,
    /// With the body; only the first of each route has one.
    file: Option<String>,
}

/// Data on the panel at the time which is not what the simulated one has.
const OTHER_DATA: [&str; 4] = [
    // The list was kept for a while after xray was stopped.
    "xray-stopped-onlines",
    // An xray that is being restarted is up in between.
    "server-status-xray-error",
    "onlines-xray-error",
    // The index does not say in which language it was asked.
    "login-fail-fa",
];
/// Parts of a difference that come of the data: nodes and their inbounds were added to one recorded panel only, and
/// each client of the later ones had a row of statistics.
const OF_DATA: [&str; 7] =
    ["nodeId", "nodeAddress", "sniffing", ".method", "has method", "misses traffic", "transitive"];

#[tokio::test]
async fn every_recorded_request_meets_the_recorded_status_and_shape() {
    let mut differences = Vec::new();
    let mut replayed = 0;
    for (panel, generation) in RECORDED {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/xui").join(panel);
        let index: Vec<Recording> =
            serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
        let base = index[0].path.clone();
        let options = |totp: bool| Options {
            generation,
            base_path: base.clone(),
            username: "pm-admin".to_owned(),
            password: "Synthetic#pass1".to_owned(),
            totp_secret: totp.then(|| TOTP.to_owned()),
            ..Options::default()
        };
        let calm = House::open(options(false)).await;
        let at_s = calm.now_ms() / 1000;
        calm.panel
            .add_client("Bob.Mixed@Example.COM", |client| client.ips.push(("127.0.0.3".to_owned(), at_s)));
        for recording in &index {
            let name = recording.name.as_str();
            let special;
            let house = if changes_state(name) {
                special = House::open(options(name.contains("2fa"))).await;
                &special
            } else {
                &calm
            };
            let reply = replay(house, recording).await;
            replayed += 1;
            let found = compare(recording, &reply, &folder);
            differences.extend(found.into_iter().map(|line| format!("{panel} {name}: {line}")));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(replayed > 700, "only {replayed} recordings were replayed");
}

/// Panels that could not be run: samples written from their source.
#[tokio::test]
async fn the_oldest_panels_have_the_shapes_of_their_samples() {
    for (panel, generation) in [("vaxilu-0.3.2", Generation::Vaxilu), ("3x-ui-v1.7", Generation::V1_7)] {
        let house = House::of(generation).await;
        for (file, simulated) in
            [("inbounds-list.json", house.inbounds().await), ("server-status.json", house.status().await)]
        {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/xui").join(panel).join(file);
            // What is in the texts depends on the protocols of the sample.
            let flat = |value: &Value| {
                let mut value = normal(file, value);
                for inbound in value.as_array_mut().into_iter().flatten() {
                    ["settings", "streamSettings", "sniffing"]
                        .iter()
                        .for_each(|key| inbound[*key] = json!(""));
                }
                value
            };
            let (real, simulated) = (flat(&read(&path)["obj"]), flat(&simulated));
            let wrong = shape_of(&real).differences(&simulated);
            assert!(wrong.is_empty(), "{panel} {file}: {wrong:#?}");
            assert!(shape_of(&simulated).differences(&real).is_empty(), "{panel} {file}");
        }
    }
}

fn changes_state(name: &str) -> bool {
    ["xray-", "started", "web-domain", "2fa-enabled-true", "login-2fa", "node-down"]
        .iter()
        .any(|part| name.contains(part))
        && !name.starts_with("xray-observatory")
}

async fn replay(house: &House, recording: &Recording) -> Reply {
    let name = recording.name.as_str();
    let is_login = recording.path.ends_with("/login");
    let session = if name.starts_with("2fa-enabled-true") || is_login {
        house.anonymous().await
    } else if house.panel.two_factor_code().is_some() {
        Session::default()
    } else {
        house.session().await
    };
    make(house, name);
    let code = format!("twoFactorCode={}", house.panel.two_factor_code().unwrap_or_default());
    let body = if name == "login-2fa-ok" {
        let (before, _) = recording.body.split_once("twoFactorCode").unwrap();
        format!("{before}{code}")
    } else {
        recording.body.clone()
    };
    let mut headers: Vec<(&str, &str)> = recording
        .headers
        .iter()
        .filter(|(key, _)| *key != "host")
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    if recording.cookie && !session.cookie.is_empty() {
        headers.push(("cookie", &session.cookie));
    }
    if recording.csrf {
        headers.push(("x-csrf-token", if name == "login-bad-csrf" { "wrong" } else { &session.csrf }));
    }
    let token = recording.token.as_deref().map(authorization);
    if let Some(token) = &token {
        headers.push(("authorization", token));
    }
    let host = if name == "web-domain-mismatch" { "other.example" } else { "127.0.0.1:2053" };
    let host = recording.headers.get("host").map_or(host, String::as_str);
    let reply = house.ask_as(host, &recording.method, &recording.path, &headers, &body).await;
    if recording.token.is_some() {
        house.panel.edit_tokens(|tokens| tokens.truncate(1));
    }
    reply
}

fn authorization(kind: &str) -> String {
    match kind {
        "good" => format!("Bearer {}", Options::default().token),
        "lower" => format!("bearer {}", Options::default().token),
        "empty" => "Bearer ".to_owned(),
        other => format!("Bearer token-{other}"),
    }
}

/// Brings the panel into the state of a recording.
fn make(house: &House, name: &str) {
    let token = |kind: &str, scope, enabled, expires_at_ms| Token {
        value: format!("token-{kind}"),
        scope,
        enabled,
        expires_at_ms,
    };
    house.panel.edit_tokens(|tokens| {
        tokens.push(token("monitor", Scope::Monitor, true, 0));
        tokens.push(token("node-sync", Scope::NodeSync, true, 0));
        tokens.push(token("disabled", Scope::Admin, false, 0));
        tokens.push(token("expired", Scope::Admin, true, 1));
    });
    match name {
        _ if name.starts_with("xray-stopped") => house.panel.stop_xray(),
        _ if name.contains("just-started") => house.panel.restart_panel(),
        _ if name.contains("never-started") => house.panel.set_core(Core::NeverStarted),
        _ if name.contains("xray-missing") => house.panel.set_core(Core::Missing),
        _ if name.contains("xray-error") => house.panel.crash_xray(),
        "web-domain-mismatch" => house.panel.set_web_domain(Some("panel.example")),
        _ if name.contains("node-down") => {
            house.panel.set_node(1, Some("connection refused"));
        }
        _ => {}
    }
}

/// Where the answer differs from the recorded one, a line each.
fn compare(recording: &Recording, reply: &Reply, folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let name = recording.name.as_str();
    let mut same = |what: &str, found: Value, expected: Value| {
        if found != expected {
            lines.push(format!("{what} {found} instead of {expected}"));
        }
    };
    same("status", json!(reply.status), json!(recording.status));
    same("content-type", json!(reply.header("content-type")), json!(recording.content_type));
    same("location", json!(reply.header("location")), json!(recording.location));
    let Some(keys) = recording.keys.as_ref().filter(|_| reply.status == recording.status) else {
        return lines;
    };
    let whole = reply.json();
    let fields: Vec<&String> = whole.as_object().unwrap().keys().collect();
    same("envelope", json!(fields), json!(keys));
    same("success", whole["success"].clone(), json!(recording.success));
    let calls_out = recording.path.contains("getXrayVersion");
    if !OTHER_DATA.contains(&name) {
        let obj = recording.obj.is_some().then(|| kind(&whole["obj"]));
        same("obj", json!(obj), json!(recording.obj));
        if let Some(msg) = recording.msg.as_ref().filter(|_| !calls_out) {
            same("msg", whole["msg"].clone(), json!(msg));
        }
    }
    if let Some(file) = &recording.file {
        let recorded = read(&folder.join(file));
        let (real, simulated) =
            (normal(&recording.path, &recorded["obj"]), normal(&recording.path, &whole["obj"]));
        lines.extend(shape_of(&real).differences(&simulated));
        // And nothing recorded is absent.
        let absent = shape_of(&simulated).differences(&real);
        lines.extend(absent.into_iter().map(|line| format!("simulated {line}")));
        lines.retain(|line| !OF_DATA.iter().any(|part| line.contains(part)));
    }
    lines
}

fn shape_of(value: &Value) -> Shape {
    let mut shape = Shape::default();
    shape.learn(value);
    shape
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Without what depends on the data: names as keys, whole numbers and fractions, JSON in texts.
fn normal(path: &str, value: &Value) -> Value {
    let by_name = ["lastOnline", "ByGuid", "activeInbounds"].iter().any(|part| path.contains(part));
    match value {
        Value::Object(fields) if by_name => fields.values().map(|field| normal(path, field)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, field)| (key.clone(), normal_field(path, key, field))).collect()
        }
        Value::Array(items) => items.iter().map(|item| normal(path, item)).collect(),
        Value::Number(_) => json!(0),
        other => other.clone(),
    }
}

fn normal_field(path: &str, key: &str, field: &Value) -> Value {
    match (key, field) {
        ("ips", Value::Object(ips)) => ips.values().map(|at| normal(path, at)).collect(),
        ("settings" | "streamSettings" | "sniffing", Value::String(text)) if !text.is_empty() => {
            json!({ "text": serde_json::from_str::<Value>(text).map(|inner| normal(path, &inner)).unwrap() })
        }
        _ => normal(path, field),
    }
}

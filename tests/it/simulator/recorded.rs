//! The requests that were recorded from a real panel, with their answers.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// Recorded requests that the simulated panel does not answer, or of a state that other tests make.
const NOT_REPLAYED: [&str; 9] = [
    "/api/hosts",
    "/api/core/config",
    "/api/node/settings",
    "/api/users/expired",
    "/api/users/reset",
    "/api/user/exp_",
    "/api/admin/reseller2",
    "/sub/",
    "(receiver)",
];

/// A recorded request and its answer.
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) who: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) request_body: String,
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marzban");
    let index: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    index
        .iter()
        .filter(|entry| entry["status"].is_u64())
        .filter(|entry| !NOT_REPLAYED.iter().any(|path| text(entry, "path").starts_with(path)))
        .filter_map(|entry| {
            // Large recordings of no use here are left out of the fixtures.
            let body = std::fs::read(folder.join(text(entry, "file"))).ok()?;
            Some(Recording {
                name: text(entry, "name"),
                who: text(entry, "as"),
                method: text(entry, "method"),
                path: text(entry, "path"),
                request_body: text(entry, "request_body"),
                status: u16::try_from(entry["status"].as_u64().unwrap()).unwrap(),
                headers: serde_json::from_value(entry["headers"].clone()).unwrap(),
                body,
            })
        })
        .collect()
}

/// The endpoint a path leads to, without names, ids and queries.
pub(crate) fn endpoint(path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let mut segments: Vec<&str> = path.split('/').collect();
    if segments.len() > 3 && ["user", "node"].contains(&segments[2]) {
        segments[3] = "*";
    }
    if segments.len() > 4 && segments[2] == "admin" {
        segments[4] = "*";
    }
    segments.join("/")
}

//! What a server says of its configuration, as far as it matters to a client.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::credential::{Credential, Origin};
use super::options::Generation;
use super::state::{State, present};

/// `/v0/management/config`, with all keys in clear.
pub(super) fn whole(state: &State) -> Value {
    let generation = state.generation;
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    set("debug", json!(false));
    set("logging-to-file", json!(true));
    set("usage-statistics-enabled", json!(state.statistics));
    set("proxy-url", json!(format!("http://proxy:proxy-password{}@127.0.0.1:18900", state.marker().trim())));
    set("api-keys", json!(state.clients));
    set("request-retry", json!(2));
    set("request-log", json!(false));
    if generation >= Generation::V6_10 {
        set("redis-usage-queue-retention-seconds", json!(state.retention_ms / 1000));
    }
    for provider in ["claude", "codex", "gemini"] {
        if provider != "gemini" || generation >= Generation::V6_6 {
            set(&format!("{provider}-api-key"), keys(state, provider));
        }
    }
    set("openai-compatibility", compatible(state));
    Value::Object(fields)
}

/// `/v8/management/config`.
pub(super) fn whole_of_8(state: &State) -> Value {
    json!({
        "config-version": 8,
        "access": { "api-keys": state.clients },
        "observability": {
            "usage": {
                "usage-statistics-enabled": state.statistics,
                "redis-usage-queue-retention-seconds": state.retention_ms / 1000,
            },
        },
        "routing": { "strategy": "round-robin" },
    })
}

/// The node of a path; `None`: not in the file, or no such node.
pub(super) fn node(state: &State, path: &str) -> Option<Value> {
    let whole = whole_of_8(state);
    path.split('/').try_fold(&whole, |node, key| node.get(key)).cloned()
}

fn keys(state: &State, provider: &str) -> Value {
    let of = |known: &&Credential| !known.is_file() && known.provider == provider;
    let keys = present(state).into_iter().filter(of).map(|credential| {
        let Origin::Key { base_url } = &credential.origin else { return Value::Null };
        json!({ "api-key": credential.name, "base-url": base_url })
    });
    keys.collect()
}

fn compatible(state: &State) -> Value {
    let mut providers: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    for credential in present(state).into_iter().filter(|known| known.is_compatible()) {
        let Origin::Key { base_url } = &credential.origin else { continue };
        let keys = providers.entry((&credential.provider, base_url)).or_default();
        keys.push(match state.generation {
            Generation::V6_0 | Generation::V6_2 => json!(credential.name),
            _ => json!({ "api-key": credential.name }),
        });
    }
    let written = providers.into_iter().map(|((name, base_url), keys)| {
        let models = state.models.iter().filter(|model| model.provider == name);
        let models: Vec<Value> =
            models.map(|model| json!({ "name": model.name, "alias": model.alias })).collect();
        // The older form is a list of keys.
        let key = if state.generation < Generation::V6_6 { "api-keys" } else { "api-key-entries" };
        json!({ "name": name, "base-url": base_url, key: keys, "models": models })
    });
    written.collect()
}

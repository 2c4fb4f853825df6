//! The tables `[cliproxy.NAME]`.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::endpoint;
use crate::config::shape::{
    Key, Shape,
    Show::{Hidden, If, Number},
};
use crate::config::table::{FreeEntry, Table};
use crate::config::urls::Pages;
use crate::config::values::{choice, count, is_choice, kind};
use crate::config::{poll, secrets};
use crate::secret::Secret;
use crate::upstream::cliproxy::config::{Caps, CliproxyConfig, UsageSetting, is_hash};
use crate::upstream::cliproxy::prices::Prices;

const KEYS: &[Key] = &[
    ("management_key", Hidden),
    ("management_key_file", Hidden),
    ("usage", If(|text| is_choice(text, &USAGE))),
    // Its keys are secrets.
    ("key_aliases", Hidden),
    ("credential_aliases", Hidden),
    ("max_api_keys", Number),
    ("max_models", Number),
];
pub(in crate::config) const SHAPE: Shape =
    Shape { title: "[cliproxy.NAME]", keys: &[endpoint::KEYS, KEYS, poll::KEYS] };

const USAGE: [(&str, UsageSetting); 4] = [
    ("auto", UsageSetting::Auto),
    ("snapshot", UsageSetting::Snapshot),
    ("queue", UsageSetting::Queue),
    ("off", UsageSetting::Off),
];

/// The management page, the management API, and what clients use.
const PAGES: Pages = Pages {
    first: &["management.html", "v0", "v1", "v1beta", "metrics"],
    below: &["management", "config", "usage", "chat", "completions", "models", "messages", "responses"],
};

/// The longest alias, in bytes.
const ALIAS: usize = 64;

pub(in crate::config) fn read(
    mut table: Table<'_, '_>,
    prices: &Arc<Prices>,
    zone: &TimeZone,
) -> Option<CliproxyConfig> {
    let own = [("accept", "leave it out"), ("authorization", "the management key is sent in it")];
    let endpoint = endpoint::read(&mut table, &PAGES, "http://127.0.0.1:8317", &own);
    let key = read_key(&mut table);
    let usage = table.take("usage", |value| choice(value, &USAGE)).value().unwrap_or_default();
    let key_aliases = read_aliases(&mut table, "key_aliases", "client key");
    if key_aliases.iter().any(|(key, _)| !is_hash(key)) {
        table.reading.note_inline_secret(&table.place.below("key_aliases").key);
    }
    let credential_aliases = read_aliases(&mut table, "credential_aliases", "label of a credential");
    let default = Caps::default();
    let caps = Caps {
        api_keys: table.take("max_api_keys", count).value().unwrap_or(default.api_keys),
        models: table.take("max_models", count).value().unwrap_or(default.models),
    };
    Some(CliproxyConfig {
        endpoint: endpoint?,
        key: key?,
        usage,
        key_aliases: key_aliases.into_iter().map(|(key, alias)| (Secret::from(key), alias)).collect(),
        credential_aliases,
        caps,
        prices: Arc::clone(prices),
        zone: zone.clone(),
    })
}

/// What it logs in with.
pub(in crate::config) const LOGIN: &str = "management key";

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, cliproxy: &CliproxyConfig) -> Vec<String> {
    endpoint::warnings(&format!("cliproxy.{name}"), &cliproxy.endpoint, "server", LOGIN)
}

/// The management key. The server counts a request whose key it does not accept, and bans an address after five.
fn read_key(table: &mut Table<'_, '_>) -> Option<Secret> {
    let key = secrets::take_checked(table, "management_key", |key| {
        if key.trim() != key {
            // The server would take the space for a part of the key.
            return Err("starts or ends with a space; write the key without".to_owned());
        }
        Ok(())
    });
    if key.is_absent() {
        let variable = secrets::variable(&table.place.below("management_key"));
        table.refuse(
            "management_key",
            format!("missing; write management_key_file or management_key, or set {variable}"),
        );
    }
    key.value()
}

/// Names for what `of` says, in the order of the text. Each name is used once. No message quotes a key, which may be a
/// secret.
fn read_aliases(table: &mut Table<'_, '_>, key: &str, of: &str) -> Vec<(String, String)> {
    let own = table.place.below(key);
    let mut aliases = Vec::new();
    let mut used = HashSet::new();
    for FreeEntry { name, place, value } in table.free_section(key) {
        let place = match place.offset {
            Some(offset) => own.clone().at(offset),
            None => own.clone(),
        };
        let refuse = |text: String| table.reading.refuse(&place, text);
        match value.value {
            _ if name.trim().is_empty() => refuse(format!("an empty {of}; write the {of} in quotes")),
            DeValue::String(alias) if alias.trim().is_empty() || alias.contains(char::is_control) => {
                refuse("an alias that is empty or has control characters; write a short name".to_owned());
            }
            DeValue::String(alias) if alias.len() > ALIAS => {
                refuse(format!("an alias of more than {ALIAS} bytes; write a shorter name"));
            }
            // Labels like this are those of everything beyond a cap.
            DeValue::String(alias) if alias.starts_with('_') => {
                refuse("an alias that starts with \"_\"; write another name".to_owned());
            }
            DeValue::String(alias) => {
                if key == "credential_aliases" && !used.insert(alias.to_string()) {
                    refuse("the alias of another credential already; write another name".to_owned());
                }
                aliases.push((name, alias.into_owned()));
            }
            other => refuse(format!("{} where an alias was expected; write it in quotes", kind(&other))),
        }
    }
    aliases
}

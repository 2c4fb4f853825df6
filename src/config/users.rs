//! `[users]`: how people appear in metrics.

use toml::de::DeValue;

use crate::secret::Secret;

use super::secrets::{self, Sources};
use super::table::{Field, Shape, Table};
use super::values::{count, describe, text};

pub(super) const SHAPE: Shape =
    Shape { title: "[users]", keys: &[&["labels", "limit", "hash_key", "hash_key_file", "node_traffic_of"]] };

/// What of users is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersConfig {
    pub labels: LabelsChoice,
    /// How many users of a target are exported, by the order of their names.
    pub limit: usize,
    /// Makes hashes the same in all replicas, and a mystery to everyone else; at least 16 bytes.
    pub hash_key: Option<Secret>,
    /// Users whose traffic per node is read, in targets that do not name their own.
    pub node_traffic_of: Vec<String>,
}

/// What stands in the label `user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelsChoice {
    /// The user's name.
    Name,
    /// A keyed hash of it.
    Hash,
    /// There are no series of single users.
    Off,
}

impl Default for UsersConfig {
    fn default() -> Self {
        Self { labels: LabelsChoice::Name, limit: 100_000, hash_key: None, node_traffic_of: Vec::new() }
    }
}

pub(super) fn read(mut table: Table<'_, '_>) -> UsersConfig {
    let default = UsersConfig::default();
    UsersConfig {
        labels: table.take("labels", labels).value().unwrap_or(default.labels),
        limit: table.take("limit", count).value().unwrap_or(default.limit),
        hash_key: read_hash_key(&mut table),
        node_traffic_of: read_node_traffic_of(&mut table).unwrap_or(default.node_traffic_of),
    }
}

/// Takes `node_traffic_of`, which a target may have for itself.
pub(super) fn read_node_traffic_of(table: &mut Table<'_, '_>) -> Option<Vec<String>> {
    let names = table.take_list("node_traffic_of", text).value()?;
    let mut users = Vec::new();
    for name in names {
        if users.contains(&name.value) {
            table.reading.refuse(&name.place, format!("{:?} stands here twice; write it once", name.value));
        }
        users.push(name.value);
    }
    Some(users)
}

fn labels(value: &DeValue<'_>) -> Result<LabelsChoice, String> {
    let seen = match value {
        DeValue::String(text) => match &**text {
            "name" => return Ok(LabelsChoice::Name),
            "hash" => return Ok(LabelsChoice::Hash),
            "off" => return Ok(LabelsChoice::Off),
            other => format!("{other:?}"),
        },
        _ => describe(value),
    };
    Err(format!("{seen} is no choice; write \"name\", \"hash\" or \"off\""))
}

fn read_hash_key(table: &mut Table<'_, '_>) -> Option<Secret> {
    let sources = Sources {
        key: "hash_key",
        file_key: "hash_key_file",
        variable: secrets::variable(&["users", "hash_key"]),
    };
    let Field::Given(key) = secrets::take(table, &sources) else { return None };
    let length = key.value.expose().len();
    if length < 16 {
        table.reading.refuse(
            &key.place,
            format!("a key of {length} bytes; write at least 16, for example by: openssl rand -hex 32"),
        );
    }
    Some(key.value)
}

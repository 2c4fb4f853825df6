//! `[users]`: how people appear in metrics.

use std::collections::HashSet;

use crate::secret::Secret;

use super::secrets;
use super::shape::{
    Key, Shape,
    Show::{Hidden, If, Number, People},
};
use super::table::{Field, Table};
use super::values::{choice, count, free_text, is_choice, switch};

pub(super) const SHAPE: Shape = Shape {
    title: "[users]",
    keys: &[&[
        ("labels", If(|text| is_choice(text, &LABELS))),
        ("limit", Number),
        ("inbounds", Number),
        ("used_today", Number),
        ("hash_key", Hidden),
        ("hash_key_file", Hidden),
        NODE_TRAFFIC_OF,
        ("notices", If(|text| is_choice(text, &NOTICES))),
    ]],
};

/// A key that a target can override.
pub(super) const NODE_TRAFFIC_OF: Key = ("node_traffic_of", People);

const LABELS: [(&str, LabelsChoice); 3] =
    [("name", LabelsChoice::Name), ("hash", LabelsChoice::Hash), ("off", LabelsChoice::Off)];
const NOTICES: [(&str, NoticeNames); 2] = [("name", NoticeNames::Name), ("hash", NoticeNames::Hash)];

/// How users are exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersConfig {
    pub labels: LabelsChoice,
    /// The maximum number of users per target, in the order of their names.
    pub limit: usize,
    /// Whether the inbounds of each user are exported.
    pub inbounds: bool,
    /// Whether it is exported what each user has used today.
    pub used_today: bool,
    /// The key of the hashes, shared by replicas; at least 16 bytes.
    pub hash_key: Option<Secret>,
    /// Users whose traffic per node is read, in targets that do not name their own.
    pub node_traffic_of: Vec<String>,
    /// How notifications name users.
    pub notices: NoticeNames,
}

/// The value of the label `user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelsChoice {
    /// The user's name.
    Name,
    /// A keyed hash of it.
    Hash,
    /// No series of single users.
    Off,
}

/// How notifications name a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeNames {
    /// By name, because notifications are private.
    Name,
    /// By the keyed hash.
    Hash,
}

impl Default for UsersConfig {
    fn default() -> Self {
        Self {
            labels: LabelsChoice::Name,
            limit: 100_000,
            inbounds: false,
            used_today: false,
            hash_key: None,
            node_traffic_of: Vec::new(),
            notices: NoticeNames::Name,
        }
    }
}

pub(super) fn read(mut table: Table<'_, '_>) -> UsersConfig {
    let default = UsersConfig::default();
    UsersConfig {
        labels: table.take("labels", |value| choice(value, &LABELS)).value().unwrap_or(default.labels),
        limit: table.take("limit", count).value().unwrap_or(default.limit),
        inbounds: table.take("inbounds", switch).value().unwrap_or(default.inbounds),
        used_today: table.take("used_today", switch).value().unwrap_or(default.used_today),
        hash_key: read_hash_key(&mut table),
        node_traffic_of: read_node_traffic_of(&mut table).unwrap_or(default.node_traffic_of),
        notices: table.take("notices", |value| choice(value, &NOTICES)).value().unwrap_or(default.notices),
    }
}

/// Takes `node_traffic_of`, which a target can override.
pub(super) fn read_node_traffic_of(table: &mut Table<'_, '_>) -> Option<Vec<String>> {
    let names = table.take_list("node_traffic_of", free_text).value()?;
    let mut users = Vec::new();
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.value.clone()) {
            table.reading.refuse(&name.place, format!("{:?} is listed twice; write it once", name.value));
        }
        table.reading.warn_of_placeholder(&name.place, &name.value);
        users.push(name.value);
    }
    Some(users)
}

fn read_hash_key(table: &mut Table<'_, '_>) -> Option<Secret> {
    let Field::Given(key) = secrets::take(table, "hash_key") else { return None };
    let length = key.value.expose().len();
    if length < 16 {
        table.reading.refuse(
            &key.place,
            format!("a key of {length} bytes; write at least 16, for example by: openssl rand -hex 32"),
        );
    }
    Some(key.value)
}

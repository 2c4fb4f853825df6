//! The tables `[marzban.NAME]`.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::{endpoint, nodes};
use crate::config::shape::{
    Key, Shape,
    Show::{self, Hidden},
};
use crate::config::table::{Field, FreeEntry, Table};
use crate::config::urls::Pages;
use crate::config::users::{self, UsersConfig};
use crate::config::values::{count, size};
use crate::config::{poll, secrets};
use crate::upstream::marzban::config::{Login, MarzbanConfig};

const KEYS: &[Key] = &[
    ("username", Hidden),
    ("password", Hidden),
    ("password_file", Hidden),
    ("api_key", Hidden),
    ("api_key_file", Hidden),
    users::NODE_TRAFFIC_OF,
    ("admin_limits", Hidden),
    ("device_limit", Show::Number),
    ("nodes", Show::Tables(&NODES)),
];
pub(in crate::config) const SHAPE: Shape =
    Shape { title: "[marzban.NAME]", keys: &[endpoint::KEYS, KEYS, poll::KEYS] };

const NODES: Shape = Shape { title: "[marzban.NAME.nodes.NODE]", keys: &[nodes::KEYS] };

/// The dashboard, at its default path, and what else the panel has beside the dashboard.
const PAGES: Pages = Pages {
    first: &["dashboard", "api", "docs", "redoc", "metrics"],
    below: &[
        "index.html",
        "login",
        "users",
        "hosts",
        "nodes",
        "settings",
        "groups",
        "templates",
        "admins",
        "statistics",
        "admin",
        "token",
        "system",
    ],
};

pub(in crate::config) fn read(
    mut table: Table<'_, '_>,
    users: &UsersConfig,
    zone: &TimeZone,
) -> Option<MarzbanConfig> {
    let login = read_login(&mut table);
    let own: &[_] = match login {
        Some(Login::ApiKey(_)) => &[("x-api-key", "write api_key")],
        Some(Login::Password { .. }) | None => {
            &[("authorization", "the token that the panel gives is sent in it")]
        }
    };
    let endpoint = endpoint::read(&mut table, &PAGES, "https://panel.example.com:8000", own);
    let node_traffic_of =
        users::read_node_traffic_of(&mut table).unwrap_or_else(|| users.node_traffic_of.clone());
    let admin_limits = read_admin_limits(&mut table);
    let device_limit = table.take("device_limit", count).value().and_then(|limit| u64::try_from(limit).ok());
    let allowances = nodes::read(&mut table, &NODES, zone);
    Some(MarzbanConfig {
        endpoint: endpoint?,
        login: login?,
        node_traffic_of,
        admin_limits,
        device_limit,
        allowances,
    })
}

/// What the users of each admin may use, by the admin's name.
fn read_admin_limits(table: &mut Table<'_, '_>) -> BTreeMap<String, u64> {
    let mut limits = BTreeMap::new();
    for FreeEntry { name, place, value } in table.free_section("admin_limits") {
        if name.trim().is_empty() {
            table.reading.refuse(&place, "an empty name; write the name of an admin in quotes");
        }
        match size(&value.value) {
            Ok(bytes) => drop(limits.insert(name, bytes)),
            Err(text) => table.reading.refuse(&value.place, text),
        }
    }
    limits
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, marzban: &MarzbanConfig) -> Vec<String> {
    endpoint::warnings(&format!("marzban.{name}"), &marzban.endpoint, "panel", login(marzban))
}

/// What it logs in with.
pub(in crate::config) fn login(marzban: &MarzbanConfig) -> &'static str {
    match marzban.login {
        Login::Password { .. } => "password",
        Login::ApiKey(_) => "API key",
    }
}

fn read_login(table: &mut Table<'_, '_>) -> Option<Login> {
    let username = table.take_free_text("username", |_| Ok(()));
    let password = secrets::take(table, "password");
    let api_key = secrets::take(table, "api_key");

    match (username, password, api_key) {
        (Field::Absent, Field::Absent, Field::Given(api_key)) => Some(Login::ApiKey(api_key.value)),
        (Field::Given(username), Field::Given(password), Field::Absent) => {
            Some(Login::Password { username: username.value, password: password.value })
        }
        (_, _, Field::Given(api_key)) => {
            table.reading.refuse(
                &api_key.place,
                "cannot be combined with a username or password; keep one way to log in",
            );
            None
        }
        (Field::Absent, Field::Absent, Field::Absent) => {
            table.refuse(
                "username",
                "missing; write username and password_file, or, for PasarGuard 5.1 and later, api_key_file",
            );
            None
        }
        (Field::Given(_) | Field::Refused, Field::Absent, Field::Absent) => {
            let variable = secrets::variable(&table.place.below("password"));
            table.refuse("password", format!("missing; write password_file or password, or set {variable}"));
            None
        }
        (Field::Absent, Field::Given(_) | Field::Refused, Field::Absent) => {
            table.refuse("username", "missing beside the password; write the name of the panel's admin");
            None
        }
        // A part of it is refused already.
        (..) => None,
    }
}

//! The tables `[marzban.NAME]`.

use std::collections::BTreeMap;

use crate::http::options::PanelUrl;
use crate::poll::config::PollConfig;
use crate::upstream::marzban::config::{Login, MarzbanConfig};

use super::secrets::{self, Sources};
use super::table::{Field, Shape, Table};
use super::values::text;
use super::{Target, TargetKind, UsersConfig, poll, tls, users};

const KEYS: &[&str] =
    &["url", "username", "password", "password_file", "api_key", "api_key_file", "tls", "node_traffic_of"];
pub(super) const SHAPE: Shape = Shape { title: "[marzban.NAME]", keys: &[KEYS, poll::KEYS] };

pub(super) fn read_all(root: &mut Table<'_, '_>, poll: &PollConfig, users: &UsersConfig) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut names_by_variable = BTreeMap::new();
    for (name, place, entries) in root.named_tables("marzban") {
        let table = Table::open(root.reading, place, &SHAPE, entries);
        if let Err(advice) = check_name(&name) {
            table.reading.refuse(&table.place, advice);
        } else if let Some(other) = names_by_variable.insert(secrets::variable(&[&name]), name.clone()) {
            table.reading.refuse(
                &table.place,
                format!("environment variables cannot tell it from {other}; choose names that differ in more than - and _"),
            );
        }
        targets.extend(read(name, table, poll, users));
    }
    targets
}

fn read(name: String, mut table: Table<'_, '_>, poll: &PollConfig, users: &UsersConfig) -> Option<Target> {
    let url = table.take("url", |value| PanelUrl::parse(&text(value)?).map_err(|error| error.to_string()));
    if url.is_absent() {
        table.refuse("url", "missing; write url = \"https://panel.example.com:8000\"");
    }
    let login = read_login(&name, &mut table);
    let has_tls = table.has("tls");
    let tls = table.section("tls", &tls::SHAPE);
    if let Field::Given(url) = &url
        && has_tls
        && !url.value.is_https()
    {
        tls.reading
            .refuse(&tls.place, "has no effect on a url with http://; write https://, or leave it out");
    }
    let tls = tls::read(tls);
    let node_traffic_of =
        users::read_node_traffic_of(&mut table).unwrap_or_else(|| users.node_traffic_of.clone());
    let poll = poll::read(&mut table, poll);
    let marzban = MarzbanConfig { url: url.value()?, login: login?, tls, node_traffic_of };
    Some(Target { name, poll, kind: TargetKind::Marzban(marzban) })
}

fn read_login(name: &str, table: &mut Table<'_, '_>) -> Option<Login> {
    let sources =
        |key, file_key| Sources { key, file_key, variable: secrets::variable(&["marzban", name, key]) };
    let password_sources = sources("password", "password_file");
    let username = table.take("username", text);
    let password = secrets::take(table, &password_sources);
    let api_key = secrets::take(table, &sources("api_key", "api_key_file"));

    match (username, password, api_key) {
        (Field::Absent, Field::Absent, Field::Given(api_key)) => Some(Login::ApiKey(api_key.value)),
        (Field::Given(username), Field::Given(password), Field::Absent) => {
            Some(Login::Password { username: username.value, password: password.value })
        }
        (_, _, Field::Given(api_key)) => {
            table
                .reading
                .refuse(&api_key.place, "stands beside a username or password; keep one way to log in");
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
            let variable = password_sources.variable;
            table.refuse("password", format!("missing; write password_file or password, or set {variable}"));
            None
        }
        (Field::Absent, Field::Given(_) | Field::Refused, Field::Absent) => {
            table.refuse("username", "missing beside the password; write the name of the panel's admin");
            None
        }
        // Something of it is refused already.
        (..) => None,
    }
}

/// A name must do as a label's value, as part of a URL and, with `_` for `-`, of an environment variable.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.starts_with(allowed) && name.chars().all(|c| allowed(c) || c == '-' || c == '_') {
        return Ok(());
    }
    Err("not a target's name; write lower-case letters, digits, - and _, with a letter or digit first"
        .to_owned())
}

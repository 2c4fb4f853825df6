//! The tables `[marzban.NAME]`.

use std::time::Duration;

use crate::http::options::PanelUrl;
use crate::poll::config::PollConfig;
use crate::upstream::marzban::config::{Login, MarzbanConfig};

use super::secrets::{self, Sources};
use super::table::{Field, Shape, Table};
use super::values::text;
use super::{Target, TargetKind, UsersConfig, names, poll, tls, users};

const KEYS: &[&str] =
    &["url", "username", "password", "password_file", "api_key", "api_key_file", "tls", "node_traffic_of"];
pub(super) const SHAPE: Shape = Shape { title: "[marzban.NAME]", keys: &[KEYS, poll::KEYS] };

pub(super) fn read_all(
    root: &mut Table<'_, '_>,
    poll: &PollConfig,
    shortest_stale_after: Duration,
    users: &UsersConfig,
) -> Vec<Target> {
    let tables = names::tables(root, "marzban", "a target", &SHAPE);
    names::tell_apart(&tables);
    let mut targets = Vec::new();
    for (name, mut table) in tables {
        let poll = poll::read(&mut table, poll, shortest_stale_after);
        let kind = read(&name, table, users).map(TargetKind::Marzban);
        targets.extend(kind.map(|kind| Target { name, poll, kind }));
    }
    targets
}

fn read(name: &str, mut table: Table<'_, '_>, users: &UsersConfig) -> Option<MarzbanConfig> {
    let url = table.take("url", |value| PanelUrl::parse(&text(value)?).map_err(|error| error.to_string()));
    if url.is_absent() {
        table.refuse("url", "missing; write url = \"https://panel.example.com:8000\"");
    }
    let login = read_login(name, &mut table);
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
    Some(MarzbanConfig { url: url.value()?, login: login?, tls, node_traffic_of })
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

//! The tables `[marzban.NAME]`.

use crate::config::shape::{
    Key, Shape,
    Show::{self, Hidden, Origin},
};
use crate::config::table::{Field, Table};
use crate::config::users::{self, UsersConfig};
use crate::config::values::text;
use crate::config::{poll, secrets, tls};
use crate::http::options::PanelUrl;
use crate::upstream::marzban::config::{Login, MarzbanConfig};

const KEYS: &[Key] = &[
    ("url", Origin),
    ("username", Hidden),
    ("password", Hidden),
    ("password_file", Hidden),
    ("api_key", Hidden),
    ("api_key_file", Hidden),
    ("tls", Show::Table(&tls::SHAPE)),
    users::NODE_TRAFFIC_OF,
];
pub(in crate::config) const SHAPE: Shape = Shape { title: "[marzban.NAME]", keys: &[KEYS, poll::KEYS] };

pub(in crate::config) fn read(mut table: Table<'_, '_>, users: &UsersConfig) -> Option<MarzbanConfig> {
    let url = table.take("url", |value| PanelUrl::parse(&text(value)?).map_err(|error| error.to_string()));
    if url.is_absent() {
        table.refuse("url", "missing; write url = \"https://panel.example.com:8000\"");
    }
    let login = read_login(&mut table);
    let tls = tls::take(&mut table, matches!(&url, Field::Given(url) if !url.value.is_https()));
    let node_traffic_of =
        users::read_node_traffic_of(&mut table).unwrap_or_else(|| users.node_traffic_of.clone());
    Some(MarzbanConfig { url: url.value()?, login: login?, tls, node_traffic_of })
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, marzban: &MarzbanConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if marzban.tls.insecure_skip_verify {
        warnings.push(format!(
            "marzban.{name}: insecure_skip_verify lets anyone between here and the panel read the login; \
             write pin_sha256 or ca_file instead"
        ));
    }
    if !marzban.url.is_https() && !marzban.url.is_loopback() {
        let what = match marzban.login {
            Login::Password { .. } => "password",
            Login::ApiKey(_) => "API key",
        };
        warnings.push(format!(
            "marzban.{name}: the {what} crosses the network unencrypted, as the URL starts with http://"
        ));
    }
    warnings
}

fn read_login(table: &mut Table<'_, '_>) -> Option<Login> {
    let username = table.take("username", text);
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

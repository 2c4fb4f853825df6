//! The tables `[xui.NAME]`.

use super::endpoint;
use crate::config::shape::{Key, Shape, Show::Hidden};
use crate::config::table::{Field, Table};
use crate::config::urls::Pages;
use crate::config::{poll, secrets};
use crate::upstream::xui::config::{Login, Password, TotpSecret, XuiConfig};

const KEYS: &[Key] = &[
    ("token", Hidden),
    ("token_file", Hidden),
    ("username", Hidden),
    ("password", Hidden),
    ("password_file", Hidden),
    ("totp_secret", Hidden),
    ("totp_secret_file", Hidden),
    ("login_secret", Hidden),
    ("login_secret_file", Hidden),
];
pub(in crate::config) const SHAPE: Shape =
    Shape { title: "[xui.NAME]", keys: &[endpoint::KEYS, KEYS, poll::KEYS] };

/// The pages of the panels, and what follows them in a browser. A base path may have the name of one, too.
const PAGES: Pages = Pages {
    first: &["panel", "xui", "login"],
    below: &[
        "api",
        "inbounds",
        "list",
        "clients",
        "groups",
        "hosts",
        "nodes",
        "settings",
        "setting",
        "xray",
        "outbounds",
        "routing",
        "api-docs",
    ],
};

/// Headers that its requests have already, and why or what to write instead.
const OWN_HEADERS: [(&str, &str); 4] = [
    ("accept", "leave it out"),
    ("cookie", "the session is kept in it"),
    ("x-csrf-token", "leave it out"),
    ("x-requested-with", "leave it out"),
];

pub(in crate::config) fn read(mut table: Table<'_, '_>) -> Option<XuiConfig> {
    let login = read_login(&mut table);
    let mut own = OWN_HEADERS.to_vec();
    // Other logins leave it free for a proxy in front of the panel.
    if let Some(Some(Login::Token(_))) = login {
        own.push(("authorization", "the token is sent in it"));
    }
    let may_have_certificate = table.has("tls");
    let endpoint = endpoint::read(&mut table, &PAGES, "https://panel.example.com:2053/base-path/", &own);
    let has_certificate = match &endpoint {
        Some(endpoint) => endpoint.tls.client_cert_file.is_some(),
        None => may_have_certificate,
    };
    let login = login?.or_else(|| has_certificate.then_some(Login::Certificate));
    if login.is_none() {
        table.refuse(
            "token",
            "missing; write token_file, or, for panels before 3x-ui 3.0, username and password_file",
        );
    }
    Some(XuiConfig::new(endpoint?, login?))
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, xui: &XuiConfig) -> Vec<String> {
    endpoint::warnings(&format!("xui.{name}"), &xui.endpoint, "panel", login(xui))
}

/// What it logs in with.
pub(in crate::config) fn login(xui: &XuiConfig) -> &'static str {
    match xui.login {
        Login::Password(_) => "password",
        Login::Token(_) => "token",
        Login::Certificate => "client certificate",
    }
}

/// Absent: what is given is refused. Nothing in it: none is given.
fn read_login(table: &mut Table<'_, '_>) -> Option<Option<Login>> {
    let token = secrets::take_checked(table, "token", |token| {
        let fits = token.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(())
        } else {
            Err("a token with other characters than ASCII letters, digits and signs".into())
        }
    });
    let username = table.take_free_text("username", |_| Ok(()));
    let password = secrets::take(table, "password");
    let totp = secrets::take(table, "totp_secret");
    let login_secret = secrets::take(table, "login_secret");

    let totp = match totp {
        Field::Given(secret) => {
            let parsed = TotpSecret::parse(&secret.value);
            if parsed.is_none() {
                table.reading.refuse(
                    &secret.place,
                    "not a secret in base32; write the text that the panel shows beside the QR code, not six digits",
                );
                return None;
            }
            parsed
        }
        Field::Absent => None,
        Field::Refused => return None,
    };
    let has_more = totp.is_some() || !login_secret.is_absent();
    match (token, username, password) {
        (Field::Given(token), Field::Absent, Field::Absent) if !has_more => {
            Some(Some(Login::Token(token.value)))
        }
        (Field::Absent, Field::Given(username), Field::Given(password)) => {
            let login_secret = match login_secret {
                Field::Given(secret) => Some(secret.value),
                Field::Absent => None,
                Field::Refused => return None,
            };
            let (username, password) = (username.value, password.value);
            Some(Some(Login::Password(Password { username, password, totp, login_secret })))
        }
        (Field::Given(token), ..) => {
            table.reading.refuse(
                &token.place,
                "cannot be combined with a username, a password or their secrets; keep one way to log in",
            );
            None
        }
        (Field::Absent, Field::Absent, Field::Absent) if !has_more => Some(None),
        (Field::Absent, Field::Absent, Field::Absent) => {
            table.refuse(
                "token",
                "missing; write token_file, or, for panels before 3x-ui 3.0, username and password_file",
            );
            None
        }
        (Field::Absent, Field::Given(_) | Field::Refused, Field::Absent) => {
            let variable = secrets::variable(&table.place.below("password"));
            table.refuse("password", format!("missing; write password_file or password, or set {variable}"));
            None
        }
        (Field::Absent, Field::Absent, Field::Given(_) | Field::Refused) => {
            table.refuse("username", "missing beside the password; write the name of the panel's admin");
            None
        }
        // A part of it is refused already.
        (..) => None,
    }
}

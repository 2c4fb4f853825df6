//! The tables `[xui.NAME]`.

use crate::config::shape::{
    Key, Shape,
    Show::{self, Hidden, Origin},
};
use crate::config::table::{Field, Table};
use crate::config::values::text;
use crate::config::{poll, secrets, tls};
use crate::http::options::PanelUrl;
use crate::upstream::xui::config::{Login, Password, TotpSecret, XuiConfig};

const KEYS: &[Key] = &[
    ("url", Origin),
    ("token", Hidden),
    ("token_file", Hidden),
    ("username", Hidden),
    ("password", Hidden),
    ("password_file", Hidden),
    ("totp_secret", Hidden),
    ("totp_secret_file", Hidden),
    ("login_secret", Hidden),
    ("login_secret_file", Hidden),
    ("tls", Show::Table(&tls::SHAPE)),
];
pub(in crate::config) const SHAPE: Shape = Shape { title: "[xui.NAME]", keys: &[KEYS, poll::KEYS] };

pub(in crate::config) fn read(mut table: Table<'_, '_>) -> Option<XuiConfig> {
    let url = table.take("url", |value| PanelUrl::parse(&text(value)?).map_err(|error| error.to_string()));
    if url.is_absent() {
        table.refuse("url", "missing; write url = \"https://panel.example.com:2053/base-path/\"");
    }
    let tls = tls::take(&mut table, matches!(&url, Field::Given(url) if !url.value.is_https()));
    let login = read_login(&mut table, tls.client_cert_file.is_some());
    Some(XuiConfig::new(url.value()?, login?, tls))
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, xui: &XuiConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if xui.url_repaired {
        warnings.push(format!(
            "xui.{name}: the URL is that of a page of the panel; from /panel, /xui or /login on, it is ignored. \
             If this is the base path itself, write it twice"
        ));
    }
    if xui.tls.insecure_skip_verify {
        warnings.push(format!(
            "xui.{name}: insecure_skip_verify lets anyone between here and the panel read the login; \
             write pin_sha256 or ca_file instead"
        ));
    }
    if !xui.url.is_https() && !xui.url.is_loopback() {
        let what = match xui.login {
            Login::Password(_) => "password",
            Login::Token(_) => "token",
            // It is for https:// alone.
            Login::Certificate => "login",
        };
        warnings.push(format!(
            "xui.{name}: the {what} crosses the network unencrypted, as the URL starts with http://"
        ));
    }
    warnings
}

fn read_login(table: &mut Table<'_, '_>, has_certificate: bool) -> Option<Login> {
    let token = secrets::take_checked(table, "token", |token| {
        let fits = token.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(())
        } else {
            Err("a token with other characters than ASCII letters, digits and signs".into())
        }
    });
    let username = table.take("username", text);
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
        (Field::Given(token), Field::Absent, Field::Absent) if !has_more => Some(Login::Token(token.value)),
        (Field::Absent, Field::Given(username), Field::Given(password)) => {
            let login_secret = match login_secret {
                Field::Given(secret) => Some(secret.value),
                Field::Absent => None,
                Field::Refused => return None,
            };
            let (username, password) = (username.value, password.value);
            Some(Login::Password(Password { username, password, totp, login_secret }))
        }
        (Field::Given(token), ..) => {
            table.reading.refuse(
                &token.place,
                "cannot be combined with a username, a password or their secrets; keep one way to log in",
            );
            None
        }
        (Field::Absent, Field::Absent, Field::Absent) if has_certificate && !has_more => {
            Some(Login::Certificate)
        }
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

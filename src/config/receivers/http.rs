//! What the receivers that are reached by HTTP have in common: the login, headers, and how they are reached.

use reqwest::Url;

use crate::config::shape::{
    Key,
    Show::{self, Hidden, Origin},
};
use crate::config::table::{Field, Table};
use crate::config::{headers, secrets, tls};
use crate::http::options::{TlsOptions, is_loopback};
use crate::notify::webhook::config::Authorization;
use crate::secret::Secret;

pub(super) const KEYS: &[Key] = &[
    ("bearer_token", Hidden),
    ("bearer_token_file", Hidden),
    ("username", Hidden),
    ("password", Hidden),
    ("password_file", Hidden),
    ("headers", Hidden),
    ("proxy", Origin),
    ("proxy_file", Hidden),
    ("tls", Show::Table(&tls::SHAPE)),
];

const LONGEST_SUCCESS: usize = 1000;

/// A text that an answer must contain.
pub(in crate::config) fn check_success(success: &str) -> Result<(), String> {
    if success.chars().count() > LONGEST_SUCCESS {
        return Err(format!("text that is too long; write at most {LONGEST_SUCCESS} characters"));
    }
    Ok(())
}

/// Refuses a URL that contains the login.
pub(super) fn check_user(url: &Url) -> Result<(), String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(());
    }
    Err("a URL with a user name or password in it; leave out all up to the @, and write username and password_file"
        .to_owned())
}

pub(super) fn read_authorization(table: &mut Table<'_, '_>) -> Option<Authorization> {
    let bearer = secrets::take(table, "bearer_token");
    let username = table.take_free_text("username", |username| {
        if username.contains(':') {
            return Err(
                "a user name with a colon, which basic authentication cannot carry; write one without"
                    .to_owned(),
            );
        }
        Ok(())
    });
    let password = secrets::take(table, "password");
    match (bearer, username, password) {
        (Field::Given(bearer), Field::Absent, Field::Absent) => Some(Authorization::Bearer(bearer.value)),
        (Field::Absent, Field::Given(username), Field::Given(password)) => {
            Some(Authorization::Basic { username: username.value, password: password.value })
        }
        (Field::Given(bearer), ..) => {
            let text = "cannot be combined with a username or password; keep one way to log in";
            table.reading.refuse(&bearer.place, text);
            None
        }
        (Field::Absent, Field::Given(_), Field::Absent) => {
            let variable = secrets::variable(&table.place.below("password"));
            table.refuse(
                "password",
                format!("missing beside username; write password_file or password, or set {variable}"),
            );
            None
        }
        (Field::Absent, Field::Absent, Field::Given(_)) => {
            table.refuse("username", "missing beside the password; write the name to log in with");
            None
        }
        // There is none, or a part of it is refused already.
        (..) => None,
    }
}

/// Takes `headers`. `own` are those that every message has already, and what to write instead of each.
pub(super) fn read_headers(
    table: &mut Table<'_, '_>,
    own: &[(&str, &str)],
    authorization: Option<&Authorization>,
) -> Vec<(String, Secret)> {
    let mut own = own.to_vec();
    own.extend(authorization.map(|_| ("authorization", "keep one way to log in")));
    headers::read(table, &own)
}

/// What a login or headers send in the clear over HTTP, as the beginning of a sentence.
pub(super) fn exposed(
    authorization: Option<&Authorization>,
    headers: &[(String, Secret)],
) -> Option<&'static str> {
    match authorization {
        Some(Authorization::Bearer(_)) => Some("its bearer token crosses"),
        Some(Authorization::Basic { .. }) => Some("its password crosses"),
        None => (!headers.is_empty()).then_some("its headers cross"),
    }
}

/// What is allowed but probably not meant, a sentence each. `exposed` is what must not be sent in the clear.
pub(super) fn warnings<'u>(
    table: &str,
    urls: impl IntoIterator<Item = &'u Secret>,
    tls: &TlsOptions,
    exposed: Option<&str>,
) -> Vec<String> {
    let mut urls: Vec<_> = urls.into_iter().filter_map(|url| Url::parse(url.expose()).ok()).collect();
    urls.retain(|url| !is_loopback(url.host_str().unwrap_or_default()));
    let goes_by = |scheme| urls.iter().any(|url| url.scheme() == scheme);
    let trusts_anyone = tls::warning(table, tls, "receiver read all messages").filter(|_| goes_by("https"));
    let mut warnings = Vec::from_iter(trusts_anyone);
    if let Some(exposed) = exposed
        && goes_by("http")
    {
        warnings.push(format!("{table}: {exposed} the network unencrypted, as the URL starts with http://"));
    }
    warnings
}

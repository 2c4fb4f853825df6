//! `[web]`: the exporter's own addresses and the access to them.

use std::net::SocketAddr;

use reqwest::Url;
use toml::de::DeValue;

use crate::secret::Secret;
use crate::server::config::{AccessConfig, OwnAccess, OwnTls, PasswordHash, Protection, TlsVersion, Users};

use super::listen::{self, DEFAULT_LISTEN, parse_listen};
use super::secrets;
use super::shape::{
    Key, Shape,
    Show::{Hidden, If, Number, Origin},
};
use super::table::{Field, Table};
use super::tls::take_file;
use super::users::LabelsChoice;
use super::values::{choice, is_choice, kind, switch, text};

/// The keys that `config_file` replaces.
const ACCESS: &[Key] = &[
    ("tls_cert_file", Hidden),
    ("tls_key_file", Hidden),
    ("client_ca_file", Hidden),
    ("tls_min_version", If(|text| is_choice(text, &TLS_VERSIONS))),
    ("basic_auth", Hidden),
    ("bearer_token", Hidden),
    ("bearer_token_file", Hidden),
    ("open_health", Number),
];

pub(super) const SHAPE: Shape = Shape {
    title: "[web]",
    keys: &[
        &[
            ("listen", If(|text| parse_listen(text).is_ok())),
            ("external_url", Origin),
            ("dashboards_url", Origin),
        ],
        ACCESS,
        &[("config_file", Hidden)],
    ],
};

const TLS_VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

/// Where the exporter itself is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebConfig {
    /// At least one; all addresses of the machine are written `[::]`.
    pub listen: Vec<SocketAddr>,
    /// The URL of the status page for people, which notifications link to; empty if it has none.
    pub external_url: String,
    /// Where dashboards about these metrics are, which the pages link to; empty: nowhere.
    pub dashboards_url: String,
    /// TLS and the credentials that clients need.
    pub access: AccessConfig,
}

pub(super) fn read(mut table: Table<'_, '_>) -> WebConfig {
    let listen = listen::read(&mut table).unwrap_or_else(|| vec![DEFAULT_LISTEN]);
    let external_url = table.take("external_url", external_url).value().unwrap_or_default();
    let dashboards_url = table.take("dashboards_url", dashboards_url).value().unwrap_or_default();
    let beside: Vec<_> = ACCESS.iter().map(|(key, _)| *key).filter(|key| table.has(key)).collect();
    let own = read_own(&mut table);
    let variable = own.bearer_token.is_some() && beside.is_empty();
    let reading = table.reading;
    let access = match take_file(&mut table, "config_file") {
        Field::Given(file) if variable => {
            let variable = secrets::variable(&table.place.below("bearer_token"));
            reading.refuse(&file.place, format!("{variable} is set as well, which it replaces; keep either"));
            AccessConfig::default()
        }
        Field::Given(file) if !beside.is_empty() => {
            let beside = beside.join(", ");
            reading.refuse(
                &file.place,
                format!("cannot be combined with {beside}, which it replaces; keep either"),
            );
            AccessConfig::default()
        }
        Field::Given(file) => {
            let access = AccessConfig::WebFile(file.value);
            for mistake in access.check().err().unwrap_or_default() {
                reading.refuse(&file.place, mistake);
            }
            access
        }
        Field::Absent | Field::Refused => AccessConfig::Own(own),
    };
    WebConfig { listen, external_url, dashboards_url, access }
}

fn external_url(value: &DeValue<'_>) -> Result<String, String> {
    const ADVICE: &str =
        "write what people type to see the exporter's page, such as \"https://proxymeter.example.com\"";
    match page_url(&text(value)?, ADVICE)? {
        url if url.query().is_some() || url.fragment().is_some() => {
            Err(format!("has a part after ? or #; {ADVICE}"))
        }
        url => Ok(url.as_str().trim_end_matches('/').to_owned()),
    }
}

fn dashboards_url(value: &DeValue<'_>) -> Result<String, String> {
    const ADVICE: &str =
        "write what people type to see the dashboards, such as \"https://grafana.example.com/dashboards\"";
    page_url(&text(value)?, ADVICE).map(String::from)
}

/// The address of a page for people.
fn page_url(text: &str, advice: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) => {
            Err(format!("not a URL that starts with https:// or http:// and has a host; {advice}"))
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err(format!("a user name or password in it would be visible to everyone; {advice}"))
        }
        Ok(url) => Ok(url),
        Err(error) => Err(format!("not a URL ({error}); {advice}")),
    }
}

fn read_own(table: &mut Table<'_, '_>) -> OwnAccess {
    OwnAccess {
        tls: read_tls(table),
        users: read_users(table),
        bearer_token: read_bearer_token(table),
        open_health: table.take("open_health", switch).value().unwrap_or_default(),
    }
}

fn read_tls(table: &mut Table<'_, '_>) -> Option<OwnTls> {
    let cert_file = take_file(table, "tls_cert_file");
    let key_file = take_file(table, "tls_key_file");
    let client_ca_file = take_file(table, "client_ca_file");
    let min_version = table.take("tls_min_version", |value| choice(value, &TLS_VERSIONS));
    match (&cert_file, &key_file) {
        (Field::Given(_), Field::Absent) => {
            table.refuse("tls_key_file", "missing beside tls_cert_file; write both");
        }
        (Field::Absent, Field::Given(_)) => {
            table.refuse("tls_cert_file", "missing beside tls_key_file; write both");
        }
        (Field::Absent, Field::Absent) => {
            let text = "has no effect without TLS; write tls_cert_file and tls_key_file, or leave it out";
            let places = [
                client_ca_file.given().map(|file| file.place),
                min_version.given().map(|version| version.place),
            ];
            for place in places.into_iter().flatten() {
                table.reading.refuse(&place, text);
            }
            return None;
        }
        _ => {}
    }
    let (cert_file, key_file) = (cert_file.given()?, key_file.given()?);
    let tls = OwnTls {
        cert_file: cert_file.value,
        key_file: key_file.value,
        client_ca_file: match client_ca_file {
            Field::Refused => return None,
            client_ca_file => client_ca_file.value(),
        },
        min_version: min_version.value().unwrap_or(TlsVersion::Tls12),
    };
    let access = AccessConfig::Own(OwnAccess { tls: Some(tls.clone()), ..OwnAccess::default() });
    for mistake in access.check().err().unwrap_or_default() {
        table.reading.refuse(&cert_file.place, mistake);
    }
    Some(tls)
}

fn read_users(table: &mut Table<'_, '_>) -> Users {
    let reading = table.reading;
    let mut users = Users::new();
    for entry in table.free_section("basic_auth") {
        if entry.name.is_empty() || entry.name.contains(|c: char| c == ':' || c.is_control()) {
            reading
                .refuse(&entry.place, "not a user name for basic authentication; write one without colons");
        }
        match entry.value.value {
            DeValue::String(text) => match PasswordHash::parse(&text) {
                Ok(hash) => drop(users.insert(entry.name, hash)),
                Err(err) => reading.refuse(&entry.value.place, err.to_string()),
            },
            value => {
                let seen = kind(&value);
                reading.refuse(
                    &entry.value.place,
                    format!("{seen} where a bcrypt hash was expected; write it in quotes"),
                );
            }
        }
    }
    users
}

pub(super) fn read_bearer_token(table: &mut Table<'_, '_>) -> Option<Secret> {
    let Field::Given(token) = secrets::take(table, "bearer_token") else { return None };
    if !token.value.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        table.reading.refuse(
            &token.place,
            "a token that cannot be sent in a header; write letters, digits and signs, for example by: openssl rand -hex 32",
        );
    }
    Some(token.value)
}

/// What is allowed but probably not meant, as a sentence.
pub(super) fn warning(web: &WebConfig, labels: LabelsChoice) -> Option<String> {
    let address: &SocketAddr = web.listen.iter().find(|address| !address.ip().is_loopback())?;
    let nothing = Protection { tls: false, credentials: false, client_certificates: false };
    let Protection { tls, credentials, client_certificates } = web.access.check().unwrap_or(nothing);
    if credentials && !tls {
        return Some(format!(
            "web.listen: passwords and tokens for {address} cross the network unencrypted; write tls_cert_file and \
             tls_key_file, or listen on 127.0.0.1"
        ));
    }
    let open = !credentials && !client_certificates;
    (open && labels == LabelsChoice::Name).then(|| {
        format!(
            "web.listen: {address} can be reached from other machines without a password, and user names are \
             exported; listen on 127.0.0.1, write [web.basic_auth], or write labels = \"hash\" or \"off\" in [users]"
        )
    })
}

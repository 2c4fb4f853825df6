//! The tables `[webhook.NAME]`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::Environment;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use crate::config::alerting::GROUPING;
use crate::config::shape::{
    Key, Shape,
    Show::{self, Hidden, If, Number, Origin},
};
use crate::config::table::{Field, Placed, Table};
use crate::config::urls::{check_address, check_proxy, is_http};
use crate::config::values::{choice, is_choice, kind, path, text, whole};
use crate::config::{secrets, tls};
use crate::http::options::is_loopback;
use crate::notify::webhook::config::{Authorization, WebhookConfig, WebhookFormat};
use crate::secret::Secret;

const KEYS: &[Key] = &[
    ("url", Origin),
    ("url_file", Hidden),
    ("format", If(|text| is_choice(text, &FORMATS))),
    ("template", Hidden),
    ("template_file", Hidden),
    ("content_type", Hidden),
    ("max_alerts", Number),
    ("secret", Hidden),
    ("secret_file", Hidden),
    ("old_secret", Hidden),
    ("old_secret_file", Hidden),
    ("github_secret", Hidden),
    ("github_secret_file", Hidden),
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
pub(in crate::config) const SHAPE: Shape =
    Shape { title: "[webhook.NAME]", keys: &[KEYS, super::KEYS, GROUPING] };

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Alertmanager,
    Template,
}
const FORMATS: [(&str, Format); 2] = [("alertmanager", Format::Alertmanager), ("template", Format::Template)];

/// For the whole exchange. Standard Webhooks recommends 15 to 30 seconds.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// Headers that every message has already.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-hub-signature-256",
];

pub(in crate::config) fn read(mut table: Table<'_, '_>) -> Option<WebhookConfig> {
    let url = secrets::take_checked(&mut table, "url", check_url);
    if url.is_absent() {
        let variable = secrets::variable(&table.place.below("url"));
        table.refuse("url", format!("missing; write url or url_file, or set {variable}"));
    }
    let tls = tls::take(&mut table, matches!(&url, Field::Given(url) if is_http(url.value.expose())));
    let format = read_format(&mut table);
    let max_alerts = table.take("max_alerts", |value| whole(value, 0));
    let secrets = read_secrets(&mut table);
    let github_secret = secrets::take(&mut table, "github_secret");
    let authorization = read_authorization(&mut table);
    let headers = read_headers(&mut table, authorization.as_ref());
    let proxy = secrets::take_checked(&mut table, "proxy", check_proxy);
    let timeout = super::take_timeout(&mut table, DEFAULT_TIMEOUT);
    let common = super::read_common(&mut table);
    Some(WebhookConfig {
        url: url.value()?,
        format: format?,
        secrets,
        github_secret: github_secret.value(),
        authorization,
        headers,
        proxy: proxy.value(),
        tls,
        timeout,
        max_alerts: max_alerts.value().unwrap_or(0),
        common,
    })
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, webhook: &WebhookConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if webhook.tls.insecure_skip_verify {
        warnings.push(format!(
            "webhook.{name}: insecure_skip_verify lets anyone between here and the receiver read all messages; \
             write pin_sha256 or ca_file instead"
        ));
    }
    if let Some(exposed) = exposed(webhook) {
        warnings.push(format!(
            "webhook.{name}: {exposed} the network unencrypted, as the URL starts with http://"
        ));
    }
    warnings
}

/// What a webhook sends in the clear and should not, as the beginning of a sentence.
fn exposed(webhook: &WebhookConfig) -> Option<&'static str> {
    let url = Url::parse(webhook.url.expose()).ok()?;
    if url.scheme() != "http" || is_loopback(url.host_str().unwrap_or_default()) {
        return None;
    }
    match &webhook.authorization {
        Some(Authorization::Bearer(_)) => Some("its bearer token crosses"),
        Some(Authorization::Basic { .. }) => Some("its password crosses"),
        None if !webhook.headers.is_empty() => Some("its headers cross"),
        None if !webhook.secrets.is_empty() || webhook.github_secret.is_some() => {
            Some("what it signs crosses")
        }
        None => None,
    }
}

fn check_url(text: &str) -> Result<(), String> {
    let url = check_address(text, "\"https://hooks.example.com/proxymeter\"")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a URL with a user name or password in it; leave out all up to the @, and write username and \
                    password_file"
                .to_owned(),
        );
    }
    Ok(())
}

fn read_format(table: &mut Table<'_, '_>) -> Option<WebhookFormat> {
    let format = table.take("format", |value| choice(value, &FORMATS));
    let inline = table.take("template", inline_template);
    let reading = table.reading;
    let file = table.take("template_file", |value| {
        let path = reading.resolve(&path(value)?);
        let text = read_text(&path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => format!("{} is not UTF-8 text; save it as UTF-8", path.display()),
            _ => format!("{} cannot be read: {error}", path.display()),
        })?;
        reading.note_file(&path, text.as_bytes());
        compile(&text).map_err(|fault| format!("{}: {fault}", path.display()))?;
        Ok(text)
    });
    let content_type = table.take("content_type", content_type);

    if let (Field::Given(_) | Field::Refused, Field::Given(Placed { place, .. })) = (&inline, &file) {
        reading.refuse(place, "cannot be combined with template; keep one of them");
    }
    let template = if inline.is_absent() { file } else { inline };
    match (format.given().map(|format| format.value), template) {
        (Some(Format::Template), Field::Absent) => {
            table.refuse("template", "missing beside format = \"template\"; write template or template_file");
            None
        }
        (Some(Format::Alertmanager), Field::Given(template)) => {
            let text = "has no effect beside format = \"alertmanager\"; write format = \"template\", or leave it out";
            reading.refuse(&template.place, text);
            None
        }
        (None | Some(Format::Template), Field::Given(template)) => Some(WebhookFormat::Template {
            template: template.value,
            content_type: content_type.value().unwrap_or_else(|| "application/json".to_owned()),
        }),
        (_, Field::Refused) => None,
        (_, Field::Absent) => {
            if let Field::Given(content_type) = content_type {
                reading.refuse(&content_type.place, "has no effect without a template; leave it out");
            }
            Some(WebhookFormat::Alertmanager)
        }
    }
}

fn inline_template(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => compile(text).map(|()| text.clone().into_owned()),
        _ => Err(format!("{} where a template was expected; write it in quotes", kind(value))),
    }
}

fn compile(template: &str) -> Result<(), String> {
    if template.trim().is_empty() {
        return Err("an empty template; write what is to be sent".to_owned());
    }
    let Err(error) = Environment::new().template_from_str(template).map(|_| ()) else { return Ok(()) };
    let line = error.line().unwrap_or(1);
    let detail = error.detail().unwrap_or("not understood");
    Err(format!("the template does not compile: {detail}, in its line {line}; correct it"))
}

/// Reads a small file whole; what is longer than any template is refused.
fn read_text(path: &Path) -> io::Result<String> {
    const LONGEST: u64 = 1024 * 1024;
    let mut text = String::new();
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= LONGEST) {
        Ok(text)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 1 MiB"))
    }
}

fn content_type(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    let (essence, _) = text.split_once(';').unwrap_or((&text, ""));
    let word = |part: &str| HeaderName::try_from(part).is_ok();
    let is_type =
        essence.trim_end().split_once('/').is_some_and(|(kind, subtype)| word(kind) && word(subtype));
    if is_type && HeaderValue::try_from(&text).is_ok() {
        return Ok(text);
    }
    Err("not a media type; write one such as \"application/json\"".to_owned())
}

fn read_secrets(table: &mut Table<'_, '_>) -> Vec<Secret> {
    let secret = secrets::take_checked(table, "secret", check_signing_secret);
    let old = secrets::take_checked(table, "old_secret", check_signing_secret);
    if let (Field::Absent, Field::Given(old)) = (&secret, &old) {
        let text = "given without secret; write both, or rename it to secret";
        table.reading.refuse(&old.place, text);
    }
    [secret, old].into_iter().filter_map(Field::value).collect()
}

fn check_signing_secret(secret: &str) -> Result<(), String> {
    match secret.strip_prefix("whsec_") {
        Some(encoded) if STANDARD.decode(encoded).is_ok_and(|key| !key.is_empty()) => Ok(()),
        Some(_) => Err("no base64 after whsec_; write the secret as the receiver shows it".to_owned()),
        None => Ok(()),
    }
}

fn read_authorization(table: &mut Table<'_, '_>) -> Option<Authorization> {
    let bearer = secrets::take(table, "bearer_token");
    let username = table.take("username", |value| {
        let username = text(value)?;
        if username.contains(':') {
            return Err(
                "a user name with a colon, which basic authentication cannot carry; write one without"
                    .to_owned(),
            );
        }
        Ok(username)
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

fn read_headers(table: &mut Table<'_, '_>, authorization: Option<&Authorization>) -> Vec<(String, Secret)> {
    let reading = table.reading;
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for entry in table.free_section("headers") {
        let header = HeaderName::try_from(&entry.name).map(|name| name.as_str().to_owned());
        let fault = match &header {
            Err(_) => Some("not a header's name; write one such as X-Team".to_owned()),
            Ok(header) if OWN_HEADERS.contains(&header.as_str()) => {
                let advice = match header.as_str() {
                    "content-type" => "write content_type",
                    _ => "leave it out",
                };
                Some(format!("a header that every message has already; {advice}"))
            }
            Ok(header) if header == "authorization" && authorization.is_some() => {
                Some("cannot be combined with another way to log in; keep one".to_owned())
            }
            Ok(header) if headers.iter().any(|(other, _)| other == header) => {
                Some("a header that is listed twice, as case makes no difference; write it once".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(fault) = fault {
            reading.refuse(&entry.place, fault);
        }
        let Some(value) = secrets::of_value(reading, entry.value) else { continue };
        headers.extend(header.ok().map(|header| (header, value.value)));
    }
    headers
}

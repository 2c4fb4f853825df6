//! The tables `[webhook.NAME]`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use crate::config::alerting::GROUPING;
use crate::config::shape::{
    Key, Shape,
    Show::{Hidden, If, Number, Origin},
};
use crate::config::table::{Field, Placed, Table};
use crate::config::urls::{check_address, check_proxy, is_http};
use crate::config::values::{choice, is_choice, kind, path, text, whole};
use crate::config::{secrets, tls};
use crate::file;
use crate::notify::webhook::config::{WebhookConfig, WebhookFormat};
use crate::secret::Secret;

use super::{http, known};

const KEYS: &[Key] = &[
    ("url", Origin),
    ("url_file", Hidden),
    ("format", If(|text| is_choice(text, &FORMATS))),
    ("template", Hidden),
    ("template_file", Hidden),
    ("content_type", Hidden),
    ("max_alerts", Number),
    ("success", Hidden),
    ("secret", Hidden),
    ("secret_file", Hidden),
    ("old_secret", Hidden),
    ("old_secret_file", Hidden),
    ("github_secret", Hidden),
    ("github_secret_file", Hidden),
];
pub(in crate::config) const SHAPE: Shape =
    Shape { title: "[webhook.NAME]", keys: &[KEYS, http::KEYS, super::KEYS, super::DIGEST, GROUPING] };

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Alertmanager,
    Template,
}
const FORMATS: [(&str, Format); 2] = [("alertmanager", Format::Alertmanager), ("template", Format::Template)];

/// For the whole exchange. Standard Webhooks recommends 15 to 30 seconds.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// Longer ones could nest deeper than the stack that they are compiled on.
const LONGEST_TEMPLATE: u64 = 64 * 1024;

/// Headers that every message has already, and what to write instead.
const OWN_HEADERS: &[(&str, &str)] = &[
    ("content-type", "write content_type"),
    ("host", "leave it out"),
    ("webhook-id", "leave it out"),
    ("webhook-signature", "leave it out"),
    ("webhook-timestamp", "leave it out"),
    ("x-hub-signature-256", "leave it out"),
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
    let success = table.take_free_text("success", http::check_success);
    let secrets = read_secrets(&mut table);
    let github_secret = secrets::take(&mut table, "github_secret");
    let authorization = http::read_authorization(&mut table);
    let headers = http::read_headers(&mut table, OWN_HEADERS, authorization.as_ref());
    let proxy = secrets::take_checked(&mut table, "proxy", check_proxy);
    let timeout = super::take_timeout(&mut table, DEFAULT_TIMEOUT);
    let common = super::read_common(&mut table, super::Digest::Off);
    Some(WebhookConfig {
        url: url.value()?,
        format: format?,
        secrets,
        github_secret: github_secret.value(),
        authorization,
        headers,
        proxy: proxy.value(),
        tls,
        success: success.value(),
        timeout,
        max_alerts: max_alerts.value().unwrap_or(0),
        common,
    })
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, webhook: &WebhookConfig) -> Vec<String> {
    let signs = !webhook.secrets.is_empty() || webhook.github_secret.is_some();
    let exposed = http::exposed(webhook.authorization.as_ref(), &webhook.headers)
        .or(signs.then_some("what it signs crosses"));
    let mut warnings = http::warnings(&format!("webhook.{name}"), [&webhook.url], &webhook.tls, exposed);
    // A template may make the body that such a service understands.
    if webhook.format == WebhookFormat::Alertmanager {
        warnings.extend(known::warning(name, webhook.url.expose()));
    }
    warnings
}

fn check_url(text: &str) -> Result<(), String> {
    check_address(text, "\"https://hooks.example.com/proxymeter\"").and_then(|url| http::check_user(&url))
}

fn read_format(table: &mut Table<'_, '_>) -> Option<WebhookFormat> {
    let format = table.take("format", |value| choice(value, &FORMATS));
    let inline = table.take("template", inline_template);
    let reading = table.reading;
    let file = table.take("template_file", |value| {
        let path = reading.resolve(&path(value)?);
        let content =
            file::read(&path, LONGEST_TEMPLATE).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = String::from_utf8(content)
            .map_err(|_| format!("{} is not UTF-8 text; save it as UTF-8", path.display()))?;
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
    if template.len() as u64 > LONGEST_TEMPLATE {
        return Err(format!("a template of more than {} KiB; write a shorter one", LONGEST_TEMPLATE / 1024));
    }
    WebhookFormat::check_syntax(template)
        .map_err(|fault| format!("the template does not compile: {fault}; correct it"))
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

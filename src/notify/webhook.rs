//! Webhooks: Alertmanager's body, version 4, or a body from the operator's template, signed as in Standard Webhooks.

pub(super) mod body;
pub mod config;
mod signature;
mod template;
pub(super) mod verdict;

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};

use self::{
    body::Body,
    config::{Authorization, WebhookConfig, WebhookFormat},
    signature::Key,
    template::Template,
    verdict::{Refusal, WAITS_AT, judge, unanswered},
};
use super::{SendError, compose::composed, said::Secrets};
use crate::{
    http::{BuildError, Client, Limits},
    model::{Moment, Named, Notice},
    secret::Secret,
};

/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;
/// The most ids of merged notices that a header lists, the newest ones. Some servers refuse headers from 8 KB on.
const LISTED: usize = 100;
/// Headers that this module or the connection sets.
const RESERVED: [&str; 13] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxymeter-covers",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-hub-signature-256",
];

/// Posts notices to one URL. Its `Debug` shows the URL's host and nothing more.
pub struct Webhook {
    client: Client,
    url: Url,
    /// What errors call the receiver.
    host: String,
    timeout: Duration,
    composer: Arc<Composer>,
    secrets: Secrets,
    said: Option<String>,
}

/// Makes the requests of one webhook.
struct Composer {
    /// The headers that are the same for all notices.
    headers: HeaderMap,
    keys: Vec<Key>,
    github_key: Option<Key>,
    format: Format,
    external_url: String,
    /// Which alerts a message has.
    named: Named,
}

enum Format {
    Alertmanager,
    Template(Box<Template>),
}

/// Why a webhook cannot be set up. The texts quote nothing that may be secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("the URL is none that starts with http:// or https:// and names a host")]
    Url,
    #[error("a secret starts with whsec_, but what follows is not base64")]
    Secret,
    #[error("a header cannot be sent: its name or value holds what headers cannot, or its name is reserved")]
    Header,
    #[error("the template cannot be used: {0}")]
    Template(String),
    #[error(transparent)]
    Client(#[from] BuildError),
}

impl Webhook {
    /// `external_url` is the address of the daemon's pages; empty if there is none.
    ///
    /// # Errors
    /// When `config` has a value that cannot work.
    pub fn new(config: &WebhookConfig, external_url: &str) -> Result<Self, WebhookError> {
        let url = Url::parse(config.url.expose().trim()).map_err(|_| WebhookError::Url)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(WebhookError::Url)?.to_owned();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(WebhookError::Url);
        }
        let secure = url.scheme() == "https";
        let client = match &config.proxy {
            Some(proxy) => Client::by_proxy(&config.tls, secure, proxy)?,
            None => Client::new(&config.tls, secure)?,
        };
        let format = match &config.format {
            WebhookFormat::Alertmanager => Format::Alertmanager,
            WebhookFormat::Template { template, .. } => {
                Format::Template(Box::new(Template::new(template).map_err(WebhookError::Template)?))
            }
        };
        let keys = config.secrets.iter().map(Key::standard).collect::<Option<_>>();
        let headers = content_type(&config.format).and_then(|content_type| {
            constant_headers(content_type, config.authorization.as_ref(), &config.headers)
        });
        let composer = Arc::new(Composer {
            headers: headers.ok_or(WebhookError::Header)?,
            keys: keys.ok_or(WebhookError::Secret)?,
            github_key: config.github_secret.as_ref().map(Key::plain),
            format,
            external_url: external_url.trim_end_matches('/').to_owned(),
            named: if config.max_alerts > 0 { Named::First(config.max_alerts) } else { Named::All },
        });
        let secrets = config.secrets.iter().chain(&config.github_secret);
        let secrets = secrets.chain(config.headers.iter().map(|(_, value)| value));
        let login = config.authorization.as_ref();
        let secrets = Secrets::new(secrets, login, [&config.url].into_iter().chain(&config.proxy));
        Ok(Webhook { client, url, host, timeout: config.timeout, composer, secrets, said: None })
    }

    /// Checks a template; needs no network.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn check_template(template: &str) -> Result<(), String> {
        Template::new(template).map(drop)
    }

    /// See [`Receiver::names`](super::Receiver::names).
    pub(super) fn names(&self) -> Named {
        self.composer.named
    }

    /// See [`Receiver::said`](super::Receiver::said).
    pub(super) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// Makes one attempt. Returns the receiver's answer. While it waits for the receiver, it holds the request and not
    /// the notice.
    ///
    /// # Errors
    /// Why it was not delivered, and whether and when to retry.
    pub async fn send(&mut self, notice: Arc<Notice>, now: Moment) -> Result<String, SendError> {
        let named = notice.names(self.names());
        let composer = Arc::clone(&self.composer);
        let (headers, body) = composed(&self.host, move || composer.compose(&notice, named, now)).await?;
        let request = self.client.post(self.url.as_str().to_owned()).headers(headers).body(body);
        let limits = Limits { deadline: self.timeout, body: ANSWER };
        self.said = None;
        let reply = self.client.send(request, limits).await;
        let reply = reply.map_err(|err| self.failure(unanswered(&err)))?;
        self.said = self.secrets.first_line(&reply);
        judge(&reply, named, now.wall, WAITS_AT).map_err(|refusal| self.failure(refusal))?;
        Ok(format!("{} answered {}", self.host, reply.status))
    }

    fn failure(&self, refusal: Refusal) -> SendError {
        let Refusal { reason, what, retry } = refusal;
        SendError { reason, detail: format!("{}: {what}", self.host), retry }
    }
}

impl Composer {
    fn compose(&self, notice: &Notice, named: usize, now: Moment) -> Result<(HeaderMap, Vec<u8>), String> {
        let body = Body::of(notice, &self.external_url, named);
        let body = match &self.format {
            Format::Alertmanager => {
                body.to_json().map_err(|err| format!("cannot be written as JSON: {err}"))?
            }
            Format::Template(template) => {
                let text = template.render(notice, body);
                text.map_err(|err| format!("the template cannot be rendered: {err}"))?.into_bytes()
            }
        };
        Ok((self.headers(notice, &body, now), body))
    }

    fn headers(&self, notice: &Notice, body: &[u8], now: Moment) -> HeaderMap {
        let mut headers = self.headers.clone();
        let mut insert = |name: &'static str, value: String| {
            // Only an id stored by another version could hold a character that a header cannot.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        insert("webhook-id", notice.id.clone());
        insert("webhook-timestamp", now.wall.as_secs().to_string());
        if !self.keys.is_empty() {
            insert("webhook-signature", signature::standard(&self.keys, &notice.id, now.wall, body));
        }
        if let Some(key) = &self.github_key {
            insert("x-hub-signature-256", signature::github(key, body));
        }
        if !notice.covers.is_empty() {
            let older = notice.covers.len().saturating_sub(LISTED);
            let newest: Vec<_> = notice.covers.iter().skip(older).map(String::as_str).collect();
            insert("proxymeter-covers", newest.join(", "));
        }
        headers
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The headers that are the same for all messages; absent if one cannot be sent.
pub(super) fn constant_headers(
    content_type: HeaderValue,
    authorization: Option<&Authorization>,
    more: &[(String, Secret)],
) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type);
    match authorization {
        Some(Authorization::Bearer(token)) => {
            headers.insert(AUTHORIZATION, secret_value(format!("Bearer {}", token.expose()))?);
        }
        Some(Authorization::Basic { username, password }) => {
            let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
            headers.insert(AUTHORIZATION, secret_value(format!("Basic {pair}"))?);
        }
        None => {}
    }
    for (name, value) in more {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        if RESERVED.contains(&name.as_str()) {
            return None;
        }
        headers.insert(name, secret_value(Secret::expose(value).to_owned())?);
    }
    Some(headers)
}

fn content_type(format: &WebhookFormat) -> Option<HeaderValue> {
    match format {
        WebhookFormat::Alertmanager => Some(HeaderValue::from_static("application/json")),
        WebhookFormat::Template { content_type, .. } => HeaderValue::try_from(content_type.as_str()).ok(),
    }
}

fn secret_value(value: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// How many bytes a body in Alertmanager's form has.
#[cfg(test)]
pub(super) fn size(notice: &Notice) -> usize {
    Body::of(notice, "", usize::MAX).to_json().unwrap().len()
}

//! Webhooks: Alertmanager's body, version 4, or a body from the operator's template, signed as in Standard Webhooks.

pub(super) mod body;
pub mod config;
mod signature;
mod template;
pub(super) mod verdict;

use std::{fmt, sync::Arc};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use self::{
    body::Body,
    config::{WebhookConfig, WebhookFormat},
    signature::Key,
    template::{Scope, Template},
    verdict::WAITS_AT,
};
use super::{
    SendError,
    api::{Access, Api, ApiError, json, place},
    compose::composed,
    success::judge_body,
};
use crate::model::{Moment, Named, Notice};

/// The most ids of merged notices that a header lists, the newest ones. Some servers refuse headers from 8 KB on.
const LISTED: usize = 100;

/// Posts notices to one URL. Its `Debug` shows the URL's host and nothing more.
pub struct Webhook {
    api: Api,
    composer: Arc<Composer>,
    success: Option<String>,
}

/// Makes the requests of one webhook.
struct Composer {
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
    #[error("a secret starts with whsec_, but what follows is not base64")]
    Secret,
    #[error("the template cannot be used: {0}")]
    Template(String),
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Webhook {
    /// `external_url` is the address of the daemon's pages; empty if there is none.
    ///
    /// # Errors
    /// When `config` has a value that cannot work.
    pub fn new(config: &WebhookConfig, external_url: &str) -> Result<Self, WebhookError> {
        let access = Access {
            url: &config.url,
            content_type: content_type(&config.format),
            authorization: config.authorization.as_ref(),
            headers: &config.headers,
            proxy: config.proxy.as_ref(),
            tls: &config.tls,
            timeout: config.timeout,
        };
        let api = Api::new(&access, config.secrets.iter().chain(&config.github_secret))?;
        let format = match &config.format {
            WebhookFormat::Alertmanager => Format::Alertmanager,
            WebhookFormat::Template { template, content_type } => {
                let scope = Scope {
                    json: is_json(content_type),
                    resolved: config.common.send_resolved,
                    digest: config.common.digest.is_some(),
                };
                Format::Template(Box::new(Template::new(template, scope).map_err(WebhookError::Template)?))
            }
        };
        let keys = config.secrets.iter().map(Key::standard).collect::<Option<_>>();
        let composer = Arc::new(Composer {
            keys: keys.ok_or(WebhookError::Secret)?,
            github_key: config.github_secret.as_ref().map(Key::plain),
            format,
            external_url: external_url.trim_end_matches('/').to_owned(),
            named: if config.max_alerts > 0 { Named::First(config.max_alerts) } else { Named::All },
        });
        Ok(Webhook { api, composer, success: config.success.clone() })
    }

    /// See [`Receiver::names`](super::Receiver::names).
    pub(super) fn names(&self) -> Named {
        self.composer.named
    }

    /// See [`Receiver::place`](super::Receiver::place).
    pub(super) fn place(&self) -> String {
        place(&self.api.url)
    }

    /// See [`Receiver::said`](super::Receiver::said).
    pub(super) fn said(&self) -> Option<&str> {
        self.api.said.as_deref()
    }

    /// The headers and the body by which `notice` is posted at `now`.
    ///
    /// # Errors
    /// If it cannot be written; the text is for logs.
    pub fn request(&self, notice: &Notice, now: Moment) -> Result<(HeaderMap, Vec<u8>), String> {
        self.composer.compose(notice, now)
    }

    /// Makes one attempt. Returns the receiver's answer. While it waits for the receiver, it holds the request and not
    /// the notice.
    ///
    /// # Errors
    /// Why it was not delivered, and whether and when to retry.
    pub async fn send(&mut self, notice: Arc<Notice>, now: Moment) -> Result<String, SendError> {
        let named = notice.names(self.names());
        let composer = Arc::clone(&self.composer);
        let compose = move || composer.compose(&notice, now);
        let (headers, body) = composed(&self.api.host, compose).await?;
        let (url, deadline) = (self.api.url.clone(), self.api.deadline());
        let reply = self.api.post(&url, headers, body, deadline).await?;
        let judged = judge_body(&reply, self.success.as_deref(), &self.api.host, named, now.wall, WAITS_AT);
        judged.map_err(|refusal| self.api.failure(refusal))?;
        Ok(format!("{} answered {}", self.api.host, reply.status))
    }
}

impl Composer {
    fn compose(&self, notice: &Notice, now: Moment) -> Result<(HeaderMap, Vec<u8>), String> {
        let body = Body::of(notice, &self.external_url, notice.names(self.named));
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

    /// The headers of one notice.
    fn headers(&self, notice: &Notice, body: &[u8], now: Moment) -> HeaderMap {
        let mut headers = HeaderMap::new();
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
        f.debug_struct("Webhook").field("host", &self.api.host).finish_non_exhaustive()
    }
}

/// Whether a media type, perhaps with parameters, is JSON: `application/json`, or one that ends in `+json`.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn content_type(format: &WebhookFormat) -> Option<HeaderValue> {
    match format {
        WebhookFormat::Alertmanager => Some(json()),
        WebhookFormat::Template { content_type, .. } => HeaderValue::try_from(content_type.as_str()).ok(),
    }
}

/// How many bytes a body in Alertmanager's form has.
#[cfg(test)]
pub(super) fn size(notice: &Notice) -> usize {
    Body::of(notice, "", usize::MAX).to_json().unwrap().len()
}

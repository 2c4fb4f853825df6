//! How notices are posted: what webhooks, chats and pagers have in common.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use tokio::time::Instant;

use super::{
    SendError,
    said::Secrets,
    webhook::{
        config::Authorization,
        verdict::{Refusal, unanswered},
    },
};
use crate::{
    http::{BuildError, Client, Limits, Reply, options::TlsOptions, sensitive, sensitive_headers},
    secret::Secret,
};

/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// Headers that a module of ours or the connection sets.
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

/// How a service is reached.
pub(super) struct Access<'a> {
    pub(super) url: &'a Secret,
    /// Absent: it is none that a header can hold.
    pub(super) content_type: Option<HeaderValue>,
    pub(super) authorization: Option<&'a Authorization>,
    pub(super) headers: &'a [(String, Secret)],
    pub(super) proxy: Option<&'a Secret>,
    pub(super) tls: &'a TlsOptions,
    /// Time limit of one attempt.
    pub(super) timeout: Duration,
}

pub(super) struct Api {
    client: Client,
    pub(super) url: Url,
    /// What errors call the service.
    pub(super) host: String,
    headers: HeaderMap,
    timeout: Duration,
    secrets: Secrets,
    /// The first line of the last answer, without our secrets.
    pub(super) said: Option<String>,
}

/// Why a service cannot be reached at all. The texts quote nothing that may be secret.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the URL is none that starts with http:// or https:// and names a host")]
    Url,
    #[error("a header cannot be sent: its name or value holds what headers cannot, or its name is reserved")]
    Header,
    #[error(transparent)]
    Client(#[from] BuildError),
}

/// JSON, as most services take it.
pub(super) const fn json() -> HeaderValue {
    HeaderValue::from_static("application/json")
}

/// The URL of a service; absent: it is none that can be reached.
pub(super) fn parse_url(url: &Secret) -> Option<Url> {
    let url = Url::parse(url.expose().trim()).ok()?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    (has_host && matches!(url.scheme(), "http" | "https")).then_some(url)
}

/// Segments of paths that are the same for everybody who uses a service.
const WORDS: [&str; 21] = [
    "alert",
    "alerts",
    "api",
    "cgi-bin",
    "enqueue",
    "hook",
    "hooks",
    "incoming",
    "message",
    "messages",
    "notify",
    "open-apis",
    "push",
    "robot",
    "send",
    "services",
    "v1",
    "v2",
    "v3",
    "webhook",
    "webhooks",
];

/// Where a URL leads, for logs: the host, the port and the path. Of the path, only words that cannot be secret.
pub(super) fn place(url: &Url) -> String {
    let port = url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
    let segments = url.path_segments().into_iter().flatten();
    let shown =
        segments.map(|segment| if segment.is_empty() || WORDS.contains(&segment) { segment } else { "…" });
    let path = shown.collect::<Vec<_>>().join("/");
    format!("{}{port}/{path}", url.host_str().unwrap_or_default())
}

impl Api {
    /// `secrets` are cut out of what the service says, beside those of `access`.
    pub(super) fn new<'s>(
        access: &Access<'s>,
        secrets: impl IntoIterator<Item = &'s Secret>,
    ) -> Result<Self, ApiError> {
        let url = parse_url(access.url).ok_or(ApiError::Url)?;
        let client = Client::by_proxy(access.tls, url.scheme() == "https", access.proxy)?;
        let content_type = access.content_type.clone();
        let headers = content_type
            .and_then(|content_type| constant_headers(content_type, access.authorization, access.headers));
        let values = access.headers.iter().map(|(_, value)| value);
        let secrets = secrets.into_iter().chain(values);
        let urls = [access.url].into_iter().chain(access.proxy);
        Ok(Api {
            client,
            host: url.host_str().unwrap_or_default().to_owned(),
            url,
            headers: headers.ok_or(ApiError::Header)?,
            timeout: access.timeout,
            secrets: Secrets::new(secrets, access.authorization, urls),
            said: None,
        })
    }

    /// When an attempt that begins now has to end.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Posts once to `url`, with `more` headers, and returns any answer.
    pub(super) async fn post(
        &mut self,
        url: &Url,
        more: HeaderMap,
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<Reply, SendError> {
        let mut headers = self.headers.clone();
        headers.extend(more);
        let request = self.client.post(url.as_str().to_owned()).headers(headers).body(body);
        let limits = Limits { deadline: deadline.saturating_duration_since(Instant::now()), body: ANSWER };
        self.said = None;
        let reply = self.client.send(request, limits).await;
        let reply = reply.map_err(|err| self.failure(unanswered(&err)))?;
        self.said = self.secrets.first_line(&String::from_utf8_lossy(&reply.body));
        Ok(reply)
    }

    pub(super) fn failure(&self, refusal: Refusal) -> SendError {
        let Refusal { reason, what, retry } = refusal;
        SendError { reason, detail: format!("{}: {what}", self.host), retry }
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
            headers.insert(AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose()))?);
        }
        Some(Authorization::Basic { username, password }) => {
            let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
            headers.insert(AUTHORIZATION, sensitive(&format!("Basic {pair}"))?);
        }
        None => {}
    }
    let more = sensitive_headers(more)?;
    if more.keys().any(|name| RESERVED.contains(&name.as_str())) {
        return None;
    }
    headers.extend(more);
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_no_part_of_a_path_that_may_be_secret() {
        for (url, expected) in [
            ("https://hooks.slack.com/services/T0/B0/canary", "hooks.slack.com:443/services/…/…/…"),
            ("http://user:canary@[::1]:9000/hook?token=canary#canary", "[::1]:9000/hook"),
            ("http://example.com", "example.com:80/"),
            ("https://example.com/api/v2/alerts/", "example.com:443/api/v2/alerts/"),
            ("https://example.com/Api/%61pi/..%2fcanary", "example.com:443/…/…/…"),
        ] {
            assert_eq!(place(&Url::parse(url).unwrap()), expected);
        }
    }
}

//! The HTTP API of a service that takes JSON: what chats and pagers have in common.

use std::time::Duration;

use reqwest::{
    Url,
    header::{HeaderMap, HeaderValue},
};
use tokio::time::Instant;

use super::{
    SendError,
    said::Secrets,
    webhook::{
        config::Authorization,
        constant_headers,
        verdict::{Refusal, unanswered},
    },
};
use crate::{
    http::{BuildError, Client, Limits, Reply, options::TlsOptions},
    secret::Secret,
};

/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// How a service is reached.
pub(super) struct Access<'a> {
    pub(super) url: &'a Secret,
    pub(super) authorization: Option<&'a Authorization>,
    pub(super) headers: &'a [(String, Secret)],
    pub(super) proxy: Option<&'a Secret>,
    pub(super) tls: &'a TlsOptions,
    /// Time limit of one attempt.
    pub(super) timeout: Duration,
}

pub(super) struct Api {
    client: Client,
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

/// The URL of a service.
pub(super) fn parse_url(url: &Secret) -> Result<Url, ApiError> {
    let url = Url::parse(url.expose().trim()).map_err(|_| ApiError::Url)?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    if has_host && matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(ApiError::Url) }
}

impl Api {
    /// `secrets` are cut out of what the service says, beside those of `access`.
    pub(super) fn new<'s>(
        access: &Access<'s>,
        secrets: impl IntoIterator<Item = &'s Secret>,
    ) -> Result<Self, ApiError> {
        let url = parse_url(access.url)?;
        let secure = url.scheme() == "https";
        let client = match access.proxy {
            Some(proxy) => Client::by_proxy(access.tls, secure, proxy)?,
            None => Client::new(access.tls, secure)?,
        };
        let json = HeaderValue::from_static("application/json");
        let headers = constant_headers(json, access.authorization, access.headers).ok_or(ApiError::Header)?;
        let values = access.headers.iter().map(|(_, value)| value);
        let secrets = secrets.into_iter().chain(values);
        let urls = [access.url].into_iter().chain(access.proxy);
        Ok(Api {
            client,
            host: url.host_str().unwrap_or_default().to_owned(),
            headers,
            timeout: access.timeout,
            secrets: Secrets::new(secrets, access.authorization, urls),
            said: None,
        })
    }

    /// When an attempt that begins now has to end.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Posts once and returns any answer.
    pub(super) async fn post(
        &mut self,
        url: &Url,
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<Reply, SendError> {
        let request = self.client.post(url.as_str().to_owned()).headers(self.headers.clone()).body(body);
        let limits = Limits { deadline: deadline.saturating_duration_since(Instant::now()), body: ANSWER };
        self.said = None;
        let reply = self.client.send(request, limits).await;
        let reply = reply.map_err(|err| self.failure(unanswered(&err)))?;
        self.said = self.secrets.first_line(&reply);
        Ok(reply)
    }

    pub(super) fn failure(&self, refusal: Refusal) -> SendError {
        let Refusal { reason, what, retry } = refusal;
        SendError { reason, detail: format!("{}: {what}", self.host), retry }
    }
}

//! One replica of an Alertmanager: a post to it, and the meaning of its answer.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use reqwest::{Url, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use super::{config::AlertmanagerConfig, post::encode};
use crate::{
    http::{self, BuildError, Client, Limits, Reply},
    model::{NoticeAlert, Timestamp},
    notify::{
        Retry, SendError, SendReason,
        api::{constant_headers, json, parse_url},
        said::Secrets,
        success::judge_body,
        webhook::verdict::{self, unanswered},
    },
    secret::Secret,
};

/// Bytes of an answer to a post that are read.
const ANSWER: usize = 64 * 1024;
/// The longest list of alerts that is read.
const LIST: usize = 64 * 1024 * 1024;
/// Every alert that an exporter posts has such a name.
const OURS: &str = "filter=alertname%3D~%22Proxymeter.*%22";

/// Why an Alertmanager cannot be set up. The texts quote nothing that may be secret.
#[derive(Debug, thiserror::Error)]
pub enum AlertmanagerError {
    #[error("there is no URL")]
    None,
    #[error("a URL is none that starts with http:// or https:// and names a host")]
    Url,
    #[error("a header cannot be sent: its name or value holds what headers cannot, or its name is reserved")]
    Header,
    #[error(transparent)]
    Client(#[from] BuildError),
}

/// Why a post was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) error: SendError,
    pub(super) fault: Fault,
}

/// By fingerprint.
pub(super) type Listed = HashMap<u64, Timestamp>;

/// Whose fault it is that a post was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// At least one alert of the list cannot be accepted. The others of the list may have been.
    Alert,
    /// The list is too long.
    TooLarge,
    /// The same list may be accepted later.
    Replica,
}

/// Its `Debug` shows the host and nothing more.
pub(super) struct Replica(Way);

/// A closed set, like the receivers.
enum Way {
    Http(Box<Http>),
    #[cfg(test)]
    Scripted(super::testing::Scripted),
}

struct Http {
    client: Client,
    url: String,
    /// What errors call the replica: its host and port.
    host: String,
    headers: HeaderMap,
    generator_url: Arc<str>,
    timeout: Duration,
    secrets: Secrets,
    /// The first line of the last answer, without our secrets.
    said: Option<String>,
}

impl Replica {
    pub(super) fn new(
        url: &Secret,
        config: &AlertmanagerConfig,
        external_url: &str,
    ) -> Result<Self, AlertmanagerError> {
        let url = parse_url(url).ok_or(AlertmanagerError::Url)?;
        let host = url.host_str().unwrap_or_default();
        let client = Client::by_proxy(&config.tls, url.scheme() == "https", config.proxy.as_ref())?;
        let headers = constant_headers(json(), config.authorization.as_ref(), &config.headers)
            .ok_or(AlertmanagerError::Header)?;
        let values = config.headers.iter().map(|(_, value)| value);
        let urls = config.urls.iter().chain(&config.proxy);
        Ok(Replica(Way::Http(Box::new(Http {
            secrets: Secrets::new(values, config.authorization.as_ref(), urls),
            said: None,
            client,
            host: url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
            url: format!("{}/api/v2/alerts", url.as_str().trim_end_matches('/')),
            headers,
            generator_url: Url::parse(external_url).map_or("", |_| external_url).into(),
            timeout: config.timeout,
        }))))
    }

    #[cfg(test)]
    pub(super) fn scripted(script: super::testing::Scripted) -> Self {
        Replica(Way::Scripted(script))
    }

    /// What errors and logs call it.
    pub(super) fn host(&self) -> &str {
        match &self.0 {
            Way::Http(http) => &http.host,
            #[cfg(test)]
            Way::Scripted(_) => "scripted",
        }
    }

    /// What it said last, for the person who tests.
    pub(super) fn said(&self) -> Option<&str> {
        match &self.0 {
            Way::Http(http) => http.said.as_deref(),
            #[cfg(test)]
            Way::Scripted(_) => None,
        }
    }

    /// The alerts that fire there, by fingerprint, and when each ends if it is not posted again.
    pub(super) async fn firing(&mut self) -> Result<Listed, SendError> {
        match &mut self.0 {
            Way::Http(http) => http.firing().await,
            #[cfg(test)]
            Way::Scripted(script) => Ok((script.firing)()),
        }
    }

    /// Posts a list of alerts once. Those that are firing end when they last this long without another post.
    pub(super) async fn post(
        &mut self,
        alerts: &[Arc<NoticeAlert>],
        now: Timestamp,
        last: Duration,
    ) -> Result<(), Refusal> {
        match &mut self.0 {
            Way::Http(http) => http.post(alerts, now, last).await,
            #[cfg(test)]
            Way::Scripted(script) => script.post(alerts, now).await,
        }
    }
}

impl Http {
    async fn post(
        &mut self,
        alerts: &[Arc<NoticeAlert>],
        now: Timestamp,
        last: Duration,
    ) -> Result<(), Refusal> {
        let (alerts, generator_url) = (alerts.to_vec(), Arc::clone(&self.generator_url));
        let encoded = tokio::task::spawn_blocking(move || encode(&alerts, &generator_url, now, last)).await;
        let Ok(Ok(body)) = encoded else {
            return Err(self.refusal(
                Fault::Replica,
                verdict::Refusal {
                    reason: SendReason::ClientError,
                    what: "the alerts cannot be written as JSON".into(),
                    retry: Retry::Later,
                },
            ));
        };
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let limits = Limits { deadline: self.timeout, body: ANSWER };
        self.said = None;
        let reply = self.client.send(request, limits).await;
        let reply = reply.map_err(|err| self.refusal(Fault::Replica, unanswered(&err)))?;
        self.said = self.secrets.first_line(&String::from_utf8_lossy(&reply.body));
        evaluate(&reply, now).map_err(|(fault, refusal)| self.refusal(fault, refusal))
    }

    async fn firing(&self) -> Result<Listed, SendError> {
        let request = self.client.get(format!("{}?{OURS}", self.url)).headers(self.headers.clone());
        let limits = Limits { deadline: self.timeout, body: LIST };
        let answer = self.client.read(request, http::Repeat::Safe, limits, decode).await;
        answer
            .map(|answer| answer.value)
            .map_err(|refusal| self.refusal(Fault::Replica, unanswered(&refusal.error)).error)
    }

    fn refusal(&self, fault: Fault, refusal: verdict::Refusal) -> Refusal {
        let verdict::Refusal { reason, what, retry } = refusal;
        Refusal { error: SendError { reason, detail: format!("{}: {what}", self.host), retry }, fault }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replica").field(&self.host()).finish()
    }
}

/// Decodes a list of alerts. What cannot be read is left out.
async fn decode(body: http::Body) -> serde_json::Result<Listed> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Alert {
        fingerprint: String,
        ends_at: String,
    }
    let alerts: Vec<Alert> = body.json().await?;
    let read = |alert: Alert| {
        let ends_at: jiff::Timestamp = alert.ends_at.parse().ok()?;
        let fingerprint = u64::from_str_radix(&alert.fingerprint, 16).ok()?;
        Some((fingerprint, Timestamp::from_millis(ends_at.as_millisecond())))
    };
    Ok(alerts.into_iter().filter_map(read).collect())
}

/// Evaluates an answer that came at `now`. Alertmanager answers 200 and nothing else when it accepts a list.
fn evaluate(reply: &Reply, now: Timestamp) -> Result<(), (Fault, verdict::Refusal)> {
    let fault = match reply.status {
        400 | 422 if is_alertmanagers(&reply.body) => Fault::Alert,
        413 => Fault::TooLarge,
        _ => Fault::Replica,
    };
    judge_body(reply, None, "", 1, now, &[]).map_err(|refusal| (fault, refusal))?;
    if reply.status == 200 {
        return Ok(());
    }
    let what = format!("answered {}, as no Alertmanager does", reply.status);
    Err((Fault::Replica, verdict::Refusal { reason: SendReason::Response, what, retry: Retry::Later }))
}

/// Whether a refusal is Alertmanager's: text in JSON, or a code and a message. A proxy that answers 400 does not judge
/// the alerts.
fn is_alertmanagers(body: &[u8]) -> bool {
    match serde_json::from_slice(body) {
        Ok(Value::String(_)) => true,
        Ok(Value::Object(object)) => {
            object.get("code").is_some_and(Value::is_u64)
                && object.get("message").is_some_and(Value::is_string)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn answers() {
        use Fault::{Alert, TooLarge};
        let invalid = r#""start time must be before end time""#;
        let unparsed = r#"{"code":400,"message":"parsing alerts body from \"\" failed"}"#;
        let not_a_uri = r#"{"code":601,"message":"0.generatorURL in body must be of type uri"}"#;
        for (status, body, expected) in [
            (200, "", None),
            (200, "<!DOCTYPE html><title>Log in</title>", Some((Fault::Replica, SendReason::Response))),
            (201, "", Some((Fault::Replica, SendReason::Response))),
            (204, "", Some((Fault::Replica, SendReason::Response))),
            (301, "", Some((Fault::Replica, SendReason::Redirect))),
            (400, invalid, Some((Alert, SendReason::ClientError))),
            (400, unparsed, Some((Alert, SendReason::ClientError))),
            (422, not_a_uri, Some((Alert, SendReason::ClientError))),
            (400, "<html><h1>400 Bad Request</h1>", Some((Fault::Replica, SendReason::ClientError))),
            (400, r#"{"message":"Bad Request"}"#, Some((Fault::Replica, SendReason::ClientError))),
            (400, "", Some((Fault::Replica, SendReason::ClientError))),
            (413, "<html>", Some((TooLarge, SendReason::ClientError))),
            (401, "", Some((Fault::Replica, SendReason::Auth))),
            (
                404,
                r#"{"code":404,"message":"path was not found"}"#,
                Some((Fault::Replica, SendReason::ClientError)),
            ),
            (410, "{}", Some((Fault::Replica, SendReason::Gone))),
            (415, r#"{"code":415,"message":"x"}"#, Some((Fault::Replica, SendReason::ClientError))),
            (503, "", Some((Fault::Replica, SendReason::ServerError))),
        ] {
            let reply = Reply { status, headers: HeaderMap::new(), body: Bytes::from(body) };
            let seen = evaluate(&reply, Timestamp::from_secs(0)).err();
            let seen = seen.map(|(fault, refusal)| (fault, refusal.reason));
            assert_eq!(seen, expected, "{status} {body}");
        }
    }
}

//! PagerDuty: a group of alerts as one incident, by its Events API, version 2.

pub mod config;

use std::{fmt, sync::Arc};

use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::config::PagerdutyConfig;
use super::{
    Rate, Retry, SendError, SendReason,
    api::{Access, Api, ApiError, json, place},
    compose::composed,
    webhook::verdict::{Refusal, judge},
    words::{Link, NAMED, Section, Words},
};
use crate::{
    http::Reply,
    model::{Moment, Notice, NoticeStatus, Timestamp, words::one_line},
    secret::Secret,
    wording::Voice,
};

/// The most characters of a summary.
const SUMMARY: usize = 1024;
/// The most characters of a target's or an alert's name.
const NAME: usize = 100;

/// Sends events to one service. Its `Debug` shows the host and nothing more.
pub struct Pagerduty {
    api: Api,
    composer: Arc<Composer>,
}

/// What events are made with.
struct Composer {
    routing_key: Secret,
    voice: Voice,
}

impl Pagerduty {
    /// # Errors
    /// When `config` has a value that cannot work.
    pub fn new(config: &PagerdutyConfig, voice: Voice) -> Result<Self, ApiError> {
        let PagerdutyConfig { routing_key, url, proxy, tls, timeout, common: _ } = config;
        let access = Access {
            url,
            content_type: Some(json()),
            authorization: None,
            headers: &[],
            proxy: proxy.as_ref(),
            tls,
            timeout: *timeout,
        };
        let api = Api::new(&access, [routing_key])?;
        let composer = Arc::new(Composer { routing_key: routing_key.clone(), voice });
        Ok(Pagerduty { api, composer })
    }

    /// See [`Receiver::pace`](super::Receiver::pace).
    pub(super) fn pace(&self) -> &'static [Rate] {
        const { &[Rate::new(120, 60)] }
    }

    /// See [`Receiver::place`](super::Receiver::place).
    pub(super) fn place(&self) -> String {
        place(&self.api.url)
    }

    /// See [`Receiver::said`](super::Receiver::said).
    pub(super) fn said(&self) -> Option<&str> {
        self.api.said.as_deref()
    }

    /// Makes one attempt. While it waits for the service, it holds the event and not the notice.
    ///
    /// # Errors
    /// Why it was not delivered, and whether and when to retry.
    pub async fn send(&mut self, notice: Arc<Notice>, now: Moment) -> Result<String, SendError> {
        let named = notice.names(NAMED);
        let composer = Arc::clone(&self.composer);
        let event = move || Ok(event(&notice, &composer).to_string().into_bytes());
        let event = composed(&self.api.host, event).await?;
        let (url, deadline) = (self.api.url.clone(), self.api.deadline());
        let reply = self.api.post(&url, HeaderMap::new(), event, deadline).await?;
        evaluate(&reply, named, now.wall).map_err(|refusal| self.api.failure(refusal))?;
        Ok(format!("{} answered {}", self.api.host, reply.status))
    }
}

impl fmt::Debug for Pagerduty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pagerduty").field("host", &self.api.host).finish_non_exhaustive()
    }
}

/// The group of alerts is one incident: it is triggered while any of them fires, and resolved when none does.
fn event(notice: &Notice, composer: &Composer) -> Value {
    let action = match notice.status() {
        NoticeStatus::Firing => "trigger",
        NoticeStatus::Resolved => "resolve",
    };
    let Composer { routing_key, voice } = composer;
    let words = Words::of(notice, voice);
    let label = |name: &str| notice.group_labels.get(name).map(|text| one_line(text, NAME));
    let sections = words.sections.iter().map(|Section { heading, rows }| {
        let rows: Vec<_> = rows.iter().map(|row| row.sentence.as_str()).collect();
        (heading.clone(), Value::from(rows))
    });
    let rest: Vec<_> = words.left_out.iter().chain(&words.follow).chain(&words.still).collect();
    let actions: Vec<_> = words.actions.iter().map(|action| action.text.as_str()).collect();
    let heading = words.actions.first().map(|action| (action.heading.clone(), Value::from(actions)));
    let more = (!rest.is_empty()).then(|| ("more".to_owned(), json!(rest)));
    let details: Map<String, Value> = sections.chain(more).chain(heading).collect();
    let runbooks = words
        .actions
        .iter()
        .filter_map(|action| action.url.as_ref().map(|url| json!({"href": url, "text": action.heading})));
    let pages = words.link.iter().map(|Link { text, url }| json!({"href": url, "text": text}));
    let links: Vec<_> = runbooks.chain(pages).collect();
    let mut event = json!({
        "routing_key": routing_key.expose(),
        "event_action": action,
        "dedup_key": dedup_key(notice),
        "client": "proxymeter",
        "client_url": words.link.as_ref().map(|link| link.url.as_str()),
        "links": links,
        "payload": {
            "summary": words.subject.chars().take(SUMMARY).collect::<String>(),
            "source": label("target").unwrap_or_else(|| "proxymeter".to_owned()),
            "severity": notice.severity().label(),
            "class": label("alertname"),
            "group": label("target"),
            "custom_details": details,
        },
    });
    event.as_object_mut().into_iter().for_each(without_nulls);
    event["payload"].as_object_mut().into_iter().for_each(without_nulls);
    event
}

fn without_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
}

/// As Alertmanager makes it, so that both lead to the same incident.
fn dedup_key(notice: &Notice) -> String {
    Sha256::digest(&notice.group).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Evaluates an answer. An event is accepted with 202 and a status in words.
fn evaluate(reply: &Reply, named: usize, now: Timestamp) -> Result<(), Refusal> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let errors = body["errors"].to_string();
    if reply.status == 400 && ["routing_key", "routing key"].iter().any(|key| errors.contains(key)) {
        let what = "answered 400: the service refuses the routing key".to_owned();
        return Err(Refusal { reason: SendReason::Auth, what, retry: Retry::Refused });
    }
    judge(reply, named, now, &[])?;
    if body["status"] == "success" {
        return Ok(());
    }
    let what = format!("answered {}, but not as PagerDuty does", reply.status);
    Err(Refusal { reason: SendReason::Response, what, retry: Retry::Later })
}

#[cfg(test)]
mod tests;

//! A fake Alertmanager that refuses what the real one, 0.35.0, was seen to refuse, in its words, and takes the valid
//! alerts of a list in which another is not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use proxymeter::{clock::Clock, model::Timestamp};
use serde_json::Value;

use crate::common::receiver::{Answer, Receiver, Request};

/// An alert as it stands there.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) starts: Timestamp,
    pub(super) ends: Timestamp,
    pub(super) description: String,
    fingerprint: String,
}

/// By alertname and subject.
type Alerts = BTreeMap<String, Known>;

pub(super) struct Fake {
    receiver: Receiver,
    prefix: String,
    alerts: Arc<Mutex<Alerts>>,
}

impl Fake {
    pub(super) fn start(prefix: &str) -> Fake {
        let alerts: Arc<Mutex<Alerts>> = Arc::default();
        let (known, line) = (Arc::clone(&alerts), format!("POST {prefix}/api/v2/alerts HTTP/1.1"));
        let list = format!("GET {prefix}/api/v2/alerts?filter=alertname%3D~%22Proxymeter.*%22 HTTP/1.1");
        let receiver = Receiver::start(move |_, request| {
            if request.line == list {
                return listed(&known.lock().unwrap());
            }
            if request.line != line {
                return refusal(404, "{\"code\":404,\"message\":\"path was not found\"}");
            }
            match take(request, &mut known.lock().unwrap()) {
                Ok(()) => Answer::status(200),
                Err((status, body)) => refusal(status, &body),
            }
        });
        Fake { receiver, prefix: prefix.to_owned(), alerts }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.receiver.address, self.prefix)
    }

    /// The posts so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        let mut requests = self.receiver.requests();
        requests.retain(|request| request.line.starts_with("POST "));
        requests
    }

    /// Another sender posts the alert with this key, and it ends later than it would.
    pub(super) fn prolong(&self, key: &str, ends: Timestamp) {
        self.alerts.lock().unwrap().get_mut(key).unwrap().ends = ends;
    }

    pub(super) fn alerts(&self) -> Alerts {
        self.alerts.lock().unwrap().clone()
    }
}

/// The alerts that fire, with more than is read of them.
fn listed(known: &Alerts) -> Answer {
    let now = Clock::system().now().wall;
    let list: Vec<_> = known
        .values()
        .filter(|alert| alert.ends > now)
        .map(|alert| {
            let ends = jiff::Timestamp::from_millisecond(alert.ends.as_millis()).unwrap().to_string();
            let state = serde_json::json!({"state": "active", "silencedBy": []});
            serde_json::json!({"endsAt": ends, "fingerprint": alert.fingerprint, "status": state})
        })
        .collect();
    let body = serde_json::to_string(&list).unwrap();
    Answer::with(200, &[("Content-Type", "application/json")], &body)
}

/// As Alertmanager computes it: FNV-1a over the labels by name.
fn fingerprint(labels: &serde_json::Map<String, Value>) -> String {
    let sorted: BTreeMap<_, _> =
        labels.iter().filter_map(|(name, value)| Some((name, value.as_str()?))).collect();
    let bytes = sorted
        .into_iter()
        .flat_map(|(name, value)| [name.bytes().collect(), value.bytes().collect::<Vec<_>>()]);
    let hash = bytes
        .flat_map(|text| text.into_iter().chain([0xff]))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}

fn refusal(status: u16, body: &str) -> Answer {
    Answer::with(status, &[("Content-Type", "application/json")], body)
}

fn take(request: &Request, known: &mut Alerts) -> Result<(), (u16, String)> {
    if request.header("content-type") != Some("application/json") {
        let message = "unsupported media type, only [application/json] are allowed";
        return Err((415, format!("{{\"code\":415,\"message\":\"{message}\"}}")));
    }
    if request.body.is_empty() {
        return Err((422, "{\"code\":602,\"message\":\"alerts in body is required\"}".into()));
    }
    let unparsed = |why: &str| {
        (
            400,
            format!(
                "{{\"code\":400,\"message\":\"parsing alerts body from \\\"\\\" failed, because {why}\"}}"
            ),
        )
    };
    let list: Vec<Value> = serde_json::from_slice(&request.body).map_err(|_| unparsed("unexpected EOF"))?;
    // What the decoder refuses, it refuses whole.
    for (number, alert) in list.iter().enumerate() {
        let Some(labels) = alert["labels"].as_object() else {
            return Err((
                422,
                format!("{{\"code\":602,\"message\":\"{number}.labels in body is required\"}}"),
            ));
        };
        if !labels.values().all(|value| value.is_string() || value.is_null()) {
            return Err(unparsed("json: cannot unmarshal number"));
        }
        if let Some(url) = alert["generatorURL"].as_str()
            && !url.is_empty()
            && reqwest::Url::parse(url).is_err()
        {
            let message = format!("{number}.generatorURL in body must be of type uri");
            return Err((422, format!("{{\"code\":601,\"message\":\"{message}\"}}")));
        }
    }
    let mut refused = None;
    for alert in &list {
        match judge(alert) {
            Ok((key, alert)) => drop(known.insert(key, alert)),
            Err(why) => refused = Some((400, format!("\"{why}\"\n"))),
        }
    }
    refused.map_or(Ok(()), Err)
}

fn judge(alert: &Value) -> Result<(String, Known), &'static str> {
    let time = |key: &str| {
        let text = alert[key].as_str().ok_or("no time")?;
        let time: jiff::Timestamp = text.parse().map_err(|_| "no time")?;
        Ok::<_, &'static str>(Timestamp::from_millis(time.as_millisecond()))
    };
    let (starts, ends) = (time("startsAt")?, time("endsAt")?);
    if ends < starts {
        return Err("start time must be before end time");
    }
    let labels = alert["labels"].as_object().ok_or("no labels")?;
    if labels.keys().any(String::is_empty) {
        return Err("invalid label set: invalid name \\\"\\\"");
    }
    let value = |name: &str| labels.get(name).and_then(Value::as_str).unwrap_or_default();
    if !labels.keys().any(|name| !value(name).is_empty()) {
        return Err("at least one label pair required");
    }
    let description = alert["annotations"]["description"].as_str().unwrap_or_default().to_owned();
    let known = Known { starts, ends, description, fingerprint: fingerprint(labels) };
    Ok((format!("{} {}", value("alertname"), value("subject")), known))
}

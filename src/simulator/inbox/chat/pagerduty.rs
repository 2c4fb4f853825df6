//! PagerDuty's Events API v2. It keeps the incidents, so that one can ask which are open.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::message::{Link, Message, Service},
    rate::Window,
    read,
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked};

const MAX_EVENT: usize = 512_000;
const ROUTING_KEY: usize = 32;
const MAX_SUMMARY: usize = 1024;
const MAX_DEDUP_KEY: usize = 255;

/// An incident that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its `dedup_key`.
    pub key: String,
    /// The summary of the event that opened it.
    pub summary: String,
    /// `critical`, `error`, `warning` or `info`, of that event.
    pub severity: String,
    /// How many events triggered it.
    pub triggered: usize,
    /// While it is, further triggers page no person.
    pub acknowledged: bool,
}

#[derive(Debug)]
pub(super) struct PagerDuty {
    minute: Window,
    open: BTreeMap<String, Incident>,
    events: u64,
}

impl Default for PagerDuty {
    fn default() -> PagerDuty {
        PagerDuty { minute: Window::new(120, 60_000), open: BTreeMap::new(), events: 0 }
    }
}

impl PagerDuty {
    pub(super) fn open(&self) -> Vec<Incident> {
        self.open.values().cloned().collect()
    }

    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        if asked.path != "/v2/enqueue" {
            return Err(Answer::empty(404));
        }
        if asked.method != "POST" {
            return Err(Answer::empty(405));
        }
        if setup.manner == Manner::Broken {
            return Err(Answer::empty(500));
        }
        if asked.body.len() > MAX_EVENT {
            return Err(Answer::json(413, &invalid(&["Event exceeds the size limit of 512 KB"])));
        }
        let Some(event) = read::object(asked) else {
            let body =
                json!({ "status": "Unrecognized object", "message": "Event object could not be parsed" });
            return Err(Answer::json(400, &body));
        };
        let errors = wrong(&event);
        if !errors.is_empty() {
            let errors: Vec<_> = errors.iter().map(String::as_str).collect();
            return Err(Answer::json(400, &invalid(&errors)));
        }
        if read::text(&event, "/routing_key") != setup.options.token || setup.manner == Manner::Gone {
            return Err(Answer::json(400, &invalid(&["Invalid routing key"])));
        }
        if matches!(setup.manner, Manner::TooMany(_)) {
            return Err(too_many());
        }
        self.minute.take(now_ms).map_err(|_| too_many())?;
        self.events += 1;
        let key = match read::text(&event, "/dedup_key") {
            "" => format!("{:032x}", self.events),
            key => key.to_owned(),
        };
        self.enter(&event, &key);
        let body = json!({ "status": "success", "message": "Event processed", "dedup_key": key });
        Ok((Answer::json(202, &body), shown(&event, key, asked)))
    }

    fn enter(&mut self, event: &Value, key: &str) {
        match read::text(event, "/event_action") {
            "trigger" => {
                let fresh = || Incident {
                    key: key.to_owned(),
                    summary: read::text(event, "/payload/summary").to_owned(),
                    severity: read::text(event, "/payload/severity").to_owned(),
                    triggered: 0,
                    acknowledged: false,
                };
                self.open.entry(key.to_owned()).or_insert_with(fresh).triggered += 1;
            }
            "acknowledge" => {
                if let Some(incident) = self.open.get_mut(key) {
                    incident.acknowledged = true;
                }
            }
            _ => {
                self.open.remove(key);
            }
        }
    }
}

/// What is wrong with an event, in the server's words.
fn wrong(event: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    match &event["routing_key"] {
        Value::String(key) if key.chars().count() == ROUTING_KEY => {}
        Value::String(_) => {
            errors.push("Length of 'routing_key' is incorrect (should be 32 characters)".to_owned());
        }
        _ => errors.push("'routing_key' is missing or blank".to_owned()),
    }
    let action = read::text(event, "/event_action");
    if !["trigger", "acknowledge", "resolve"].contains(&action) {
        errors.push(
            "'event_action' is invalid (must be one of the following: trigger, acknowledge or resolve)"
                .into(),
        );
    }
    let key = read::text(event, "/dedup_key");
    if key.chars().count() > MAX_DEDUP_KEY {
        errors.push("'dedup_key' is too long (maximum is 255 characters)".to_owned());
    }
    if key.is_empty() && action != "trigger" {
        errors.push("'dedup_key' is missing or blank".to_owned());
    }
    if action == "trigger" {
        let of_payload = |name: &str| event["payload"][name].as_str().unwrap_or("");
        for name in ["summary", "source", "severity"] {
            if of_payload(name).trim().is_empty() {
                errors.push(format!("'payload.{name}' is missing or blank"));
            }
        }
        if of_payload("summary").chars().count() > MAX_SUMMARY {
            errors.push("'payload.summary' is too long (maximum is 1024 characters)".to_owned());
        }
        if !["", "critical", "error", "warning", "info"].contains(&of_payload("severity")) {
            errors.push(
                "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
                    .to_owned(),
            );
        }
    }
    errors
}

/// As the incident shows it.
fn shown(event: &Value, key: String, asked: &Asked<'_>) -> Message {
    let mut message = Message::plain(Service::PagerDuty, read::text(event, "/payload/summary"));
    message.to = key;
    message.title = read::text(event, "/event_action").to_owned();
    for link in event["links"].as_array().into_iter().flatten() {
        message.links.push(Link::marked(read::text(link, "/text"), read::text(link, "/href")));
    }
    let url = read::text(event, "/client_url");
    if !url.is_empty() {
        message.links.push(Link::marked(read::text(event, "/client"), url));
    }
    message.body = read::body(asked);
    message
}

fn invalid(errors: &[&str]) -> Value {
    json!({ "status": "invalid event", "message": "Event object is invalid", "errors": errors })
}

/// It names no time to wait.
fn too_many() -> Answer {
    let body = json!({
        "status": "throttle exceeded",
        "message": "Requests for this service are arriving too quickly.  Please retry later.",
    });
    Answer::json(429, &body)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ChatOptions, Fake, testing::Tried},
        *,
    };

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const PATH: &str = "/v2/enqueue";

    fn tried() -> Tried {
        Tried::new(Service::PagerDuty, ChatOptions { token: KEY.to_owned(), ..ChatOptions::default() })
    }

    fn event(action: &str, key: &str) -> Value {
        json!({
            "routing_key": KEY,
            "event_action": action,
            "dedup_key": key,
            "payload": { "summary": "s", "source": "home", "severity": "critical" },
        })
    }

    fn open(tried: &Tried) -> Vec<(String, usize)> {
        let Fake::PagerDuty(fake) = &tried.fake else { unreachable!() };
        fake.open().into_iter().map(|incident| (incident.key, incident.triggered)).collect()
    }

    #[test]
    fn lengths_are_checked_at_their_limits() {
        let with = |pointer: &str, value: Value| {
            let mut event = event("trigger", "k");
            *event.pointer_mut(pointer).unwrap() = value;
            event
        };
        for (event, status) in [
            (event("trigger", "k"), 202),
            (with("/routing_key", json!(KEY.replacen('0', "", 1))), 400),
            (with("/routing_key", json!(KEY.replace('a', "b"))), 400),
            (with("/routing_key", Value::Null), 400),
            (with("/dedup_key", json!("k".repeat(255))), 202),
            (with("/dedup_key", json!("k".repeat(256))), 400),
            (with("/dedup_key", json!("")), 202),
            (with("/payload/summary", json!("ع".repeat(1024))), 202),
            (with("/payload/summary", json!("ع".repeat(1025))), 400),
            (with("/payload/summary", json!("")), 400),
            (with("/payload/severity", json!("high")), 400),
            (with("/payload/source", Value::Null), 400),
            (with("/event_action", json!("open")), 400),
            (self::event("resolve", ""), 400),
        ] {
            let got = tried().post(PATH, &event);
            assert_eq!(got.status, status, "{event}: {}", got.text);
            if status == 400 {
                assert_eq!(got.json()["status"], "invalid event");
                assert!(got.json()["errors"][0].is_string());
            }
        }
        let got = tried().post(PATH, &with("/routing_key", json!("short")));
        let expected = "Length of 'routing_key' is incorrect (should be 32 characters)";
        assert_eq!(got.json()["errors"], json!([expected]));
    }

    #[test]
    fn incidents_open_and_close() {
        let mut tried = tried();
        for (action, key, expected) in [
            ("resolve", "a", &[][..]),
            ("trigger", "a", &[("a", 1)]),
            ("trigger", "a", &[("a", 2)]),
            ("acknowledge", "a", &[("a", 2)]),
            ("trigger", "b", &[("a", 2), ("b", 1)]),
            ("resolve", "a", &[("b", 1)]),
            ("trigger", "a", &[("a", 1), ("b", 1)]),
        ] {
            let got = tried.post(PATH, &event(action, key));
            assert_eq!((got.status, got.json()["dedup_key"].clone()), (202, json!(key)));
            let expected: Vec<_> = expected.iter().map(|(key, times)| ((*key).to_owned(), *times)).collect();
            assert_eq!(open(&tried), expected, "{action} {key}");
        }
    }

    #[test]
    fn a_key_has_120_events_a_minute() {
        let mut tried = tried();
        assert!((0..120).all(|_| tried.post(PATH, &event("trigger", "a")).status == 202));
        let got = tried.post(PATH, &event("resolve", "a"));
        assert_eq!((got.status, got.header("retry-after")), (429, ""));
        assert_eq!(open(&tried).len(), 1);
        tried.wait(60_000);
        assert_eq!(tried.post(PATH, &event("resolve", "a")).status, 202);
        assert_eq!(open(&tried), []);
    }
}

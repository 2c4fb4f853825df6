//! A Bark server with Apple's push service behind it, which refuses a payload of more than 4,096 bytes.

use std::collections::BTreeMap;

use hyper::header::ALLOW;
use serde_json::{Map, Value, json};

use super::{
    super::message::{Link, Message, Service},
    found,
    markdown::{self, Dialect},
    read::{self, Login},
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{
    Answer, Asked,
    query::{self, Pairs},
};

/// Bytes of the JSON that Apple gets.
const MAX_PAYLOAD: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Bark {
    /// The devices that registered, by their keys; `None`: Apple does not know it any more.
    devices: BTreeMap<String, Option<String>>,
}

/// The parameters of a push. Those that are no text are passed on as the server prints them.
type Parameters = BTreeMap<String, Value>;

/// A status and its words.
type Refusal = (u16, String);

impl Bark {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        let seconds = now_ms.div_euclid(1000);
        self.devices.entry(setup.options.token.clone()).or_insert_with(|| Some("ok".to_owned()));
        let segments: Vec<_> = asked.path.trim_matches('/').split('/').map(query::segment).collect();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        let is_free = ["ping", "register", "healthz"].iter().any(|free| segments[0].starts_with(free));
        if !is_free && !may_enter(setup, asked) {
            return Err(Answer::bytes(418, "text/plain; charset=utf-8", "I'm a teapot"));
        }
        let plain = |status, why: &str| Err(said(status, why, seconds));
        let mut parameters = match (asked.method.as_str(), segments.as_slice()) {
            ("GET", ["ping"]) => return plain(200, "pong"),
            ("GET", ["healthz"]) => return Err(Answer::bytes(200, "text/plain; charset=utf-8", "ok")),
            ("GET", ["register", key]) => {
                return match self.device(key) {
                    Ok(_) => plain(200, "success"),
                    Err(why) => plain(400, &why),
                };
            }
            ("POST", ["register"]) => return Err(self.register(asked, seconds)),
            ("POST", ["push"]) => Parameters::new(),
            ("GET" | "POST", [key]) => of_path(&[("device_key", key)]),
            ("GET" | "POST", [key, body]) => of_path(&[("device_key", key), ("body", body)]),
            ("GET" | "POST", [key, title, body]) => {
                of_path(&[("device_key", key), ("title", title), ("body", body)])
            }
            ("GET" | "POST", [key, title, subtitle, body]) => {
                of_path(&[("device_key", key), ("title", title), ("subtitle", subtitle), ("body", body)])
            }
            (_, [_] | [_, _] | [_, _, _] | [_, _, _, _]) => {
                return Err(said(405, "Method Not Allowed", seconds).with(ALLOW, "GET, HEAD, POST"));
            }
            (method, _) => return plain(404, &format!("Cannot {method} {}", asked.path)),
        };
        let sent = sent(asked).map_err(|why| said(400, &format!("request bind failed: {why}"), seconds))?;
        for (key, value) in sent {
            parameters.entry(key).or_insert(value);
        }
        match parameters.remove("device_keys") {
            None => match self.push(setup, &parameters) {
                Ok(message) => Ok((said(200, "success", seconds), with_body(message, asked))),
                Err((status, why)) => plain(status, &why),
            },
            Some(keys) => self.push_to_all(setup, asked, &parameters, &keys, seconds),
        }
    }

    /// Answers 200 even if no device got it.
    fn push_to_all(
        &mut self,
        setup: &Setup,
        asked: &Asked<'_>,
        parameters: &Parameters,
        keys: &Value,
        seconds: i64,
    ) -> Taken {
        let keys: Vec<String> = match keys {
            Value::String(keys) => keys.split(',').map(str::to_owned).collect(),
            Value::Array(keys) => keys.iter().map(printed).collect(),
            _ => return Err(said(400, "invalid type for device_keys", seconds)),
        };
        let (mut results, mut taken): (Vec<Value>, Option<Message>) = (Vec::new(), None);
        for key in keys {
            let mut parameters = parameters.clone();
            parameters.insert("device_key".to_owned(), Value::String(key.clone()));
            match self.push(setup, &parameters) {
                Ok(message) => {
                    results.push(json!({ "code": 200, "device_key": key }));
                    let taken = taken.get_or_insert_with(|| Message { to: String::new(), ..message });
                    taken.to = if taken.to.is_empty() { key } else { format!("{},{key}", taken.to) };
                }
                Err((code, why)) => results.push(json!({ "message": why, "code": code, "device_key": key })),
            }
        }
        let body = json!({ "code": 200, "message": "success", "data": results, "timestamp": seconds });
        let answer = Answer::json(200, &body);
        match taken {
            Some(message) => Ok((answer, with_body(message, asked))),
            None => Err(answer),
        }
    }

    fn push(&mut self, setup: &Setup, parameters: &Parameters) -> Result<Message, Refusal> {
        let text = |key: &str| parameters.get(key).and_then(Value::as_str).unwrap_or("");
        let key = text("device_key");
        if key.is_empty() {
            return Err((400, "device key is empty".to_owned()));
        }
        let device = self.device(key).map_err(|why| (400, format!("failed to get device token: {why}")))?;
        if let Some(group) = parameters.get("group").filter(|group| !group.is_string()) {
            // The server fails inside.
            return Err((
                500,
                format!("interface conversion: interface {{}} is {}, not string", go_type(group)),
            ));
        }
        let reason = if length_of_payload(parameters) > MAX_PAYLOAD {
            Some("PayloadTooLarge")
        } else {
            apple(&setup.manner, &device)
        };
        if let Some(reason) = reason {
            if matches!(reason, "Unregistered" | "BadDeviceToken") {
                self.devices.insert(key.to_owned(), None);
            }
            return Err((500, format!("push failed: {reason}")));
        }
        Ok(shown(parameters))
    }

    fn device(&self, key: &str) -> Result<String, String> {
        match self.devices.get(key).filter(|_| !key.is_empty()) {
            None => Err(format!("failed to get [{key}] device token from database")),
            Some(None) => Err("device token invalid".to_owned()),
            Some(Some(device)) => Ok(device.clone()),
        }
    }

    /// What the app does.
    fn register(&mut self, asked: &Asked<'_>, seconds: i64) -> Answer {
        let sent = read::object(asked).unwrap_or_default();
        let (key, token) = (read::text(&sent, "/device_key"), read::text(&sent, "/device_token"));
        self.devices.insert(key.to_owned(), Some(token.to_owned()));
        let data = json!({ "key": key, "device_key": key, "device_token": token });
        Answer::json(200, &json!({ "code": 200, "message": "success", "data": data, "timestamp": seconds }))
    }
}

/// Why Apple refuses a push to this device. As in the recorded answers, its token says it.
fn apple(manner: &Manner, device: &str) -> Option<&'static str> {
    match manner {
        Manner::Gone => Some("Unregistered"),
        Manner::TooMany(_) => Some("TooManyRequests"),
        Manner::Broken => Some("InternalServerError"),
        Manner::Fair | Manner::MovedTo(_) => {
            let refused = [
                ("bad", "BadDeviceToken"),
                ("gone", "Unregistered"),
                ("busy", "TooManyRequests"),
                ("err", "InternalServerError"),
            ];
            refused.into_iter().find(|(start, _)| device.starts_with(start)).map(|(_, reason)| reason)
        }
    }
}

fn may_enter(setup: &Setup, asked: &Asked<'_>) -> bool {
    let Some(secret) = &setup.options.secret else { return true };
    matches!(read::login(asked), Login::Basic(user) if user == *secret)
}

fn of_path(pairs: &[(&str, &str)]) -> Parameters {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), Value::String((*value).to_owned()));
    pairs.iter().map(owned).collect()
}

/// What the body and the query say.
fn sent(asked: &Asked<'_>) -> Result<Parameters, &'static str> {
    let body = read::body(asked);
    let of_pairs = |text: &str| {
        let pairs = Pairs::of(text);
        let pairs = pairs.iter().map(|(key, value)| (key.to_lowercase(), Value::String(value.to_owned())));
        pairs.collect::<Parameters>()
    };
    let mut parameters = match read::content_type(asked).as_str() {
        "application/json" => of_json(&body)?,
        "application/x-www-form-urlencoded" => of_pairs(&body),
        _ => Parameters::new(),
    };
    parameters.extend(of_pairs(asked.query));
    Ok(parameters)
}

fn of_json(body: &str) -> Result<Parameters, &'static str> {
    let object: Map<String, Value> = serde_json::from_str(body).map_err(|error| {
        if error.is_eof() { "unexpected end of JSON input" } else { "invalid character in JSON" }
    })?;
    let mut parameters = Parameters::new();
    for (key, value) in object {
        match value {
            Value::Object(inner) => parameters.extend(inner),
            Value::String(_) => {
                parameters.insert(key.to_lowercase(), value);
            }
            // Of what is no text, a known name counts only in lower case.
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                parameters.insert(key, value);
            }
        }
    }
    Ok(parameters)
}

/// The length of the JSON that Apple gets, as Go writes it: `<`, `>` and `&` become six bytes.
fn length_of_payload(parameters: &Parameters) -> usize {
    let (mut alert, mut aps, mut payload) = (Map::new(), Map::new(), Map::new());
    for (key, value) in parameters {
        match (key.as_str(), value) {
            ("device_key", _) => {}
            ("title" | "subtitle" | "body", Value::String(text)) if text.is_empty() => {}
            ("title" | "subtitle" | "body", Value::String(_)) => {
                alert.insert(key.clone(), value.clone());
            }
            ("sound", Value::String(sound)) => {
                let sound = format!("{}.caf", sound.trim_end_matches(".caf"));
                aps.insert("sound".to_owned(), Value::String(sound));
            }
            _ => {
                payload.insert(key.to_lowercase(), Value::String(printed(value)));
                if key == "group" {
                    aps.insert("thread-id".to_owned(), value.clone());
                }
            }
        }
    }
    if alert.is_empty() {
        alert.insert("body".to_owned(), json!("Empty Message"));
    }
    aps.entry("sound").or_insert_with(|| json!("1107"));
    aps.insert("alert".to_owned(), Value::Object(alert));
    aps.insert("category".to_owned(), json!("myNotificationCategory"));
    aps.insert("mutable-content".to_owned(), json!(1));
    payload.insert("aps".to_owned(), Value::Object(aps));
    let json = Value::Object(payload).to_string();
    let more = |c: char| match c {
        '<' | '>' | '&' => 5,
        '\u{2028}' | '\u{2029}' => 3,
        _ => 0,
    };
    json.len() + json.chars().map(more).sum::<usize>()
}

/// As Go prints it.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn shown(parameters: &Parameters) -> Message {
    let text = |key: &str| parameters.get(key).and_then(Value::as_str).unwrap_or("");
    let mut message = match (text("markdown"), text("body")) {
        ("", "") if text("title").is_empty() && text("subtitle").is_empty() => {
            Message::plain(Service::Bark, "Empty Message")
        }
        ("", body) => found::shown(Service::Bark, body),
        (markdown, _) => markdown::shown(Service::Bark, markdown, Dialect::Common),
    };
    message.title = text("title").to_owned();
    message.to = text("device_key").to_owned();
    let url = text("url");
    if !url.is_empty() {
        message.links.push(Link::marked(&message.title, url));
    }
    message
}

fn with_body(message: Message, asked: &Asked<'_>) -> Message {
    Message { body: read::body(asked), ..message }
}

fn said(code: u16, message: &str, seconds: i64) -> Answer {
    Answer::json(code, &json!({ "code": code, "message": message, "timestamp": seconds }))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ChatOptions, testing::Tried},
        *,
    };

    fn tried() -> Tried {
        Tried::new(Service::Bark, ChatOptions { token: "key".to_owned(), ..ChatOptions::default() })
    }

    #[test]
    fn a_dead_device_is_forgotten() {
        let mut tried = tried();
        let push = json!({ "device_key": "key", "body": "x" });
        assert_eq!(tried.post("/push", &push).status, 200);
        for (manner, status, words) in [
            (Manner::TooMany(1), 500, "push failed: TooManyRequests"),
            (Manner::Broken, 500, "push failed: InternalServerError"),
            (Manner::Gone, 500, "push failed: Unregistered"),
            (Manner::Fair, 400, "failed to get device token: device token invalid"),
        ] {
            tried.setup.manner = manner;
            let got = tried.post("/push", &push);
            assert_eq!((got.status, got.json()["message"].as_str()), (status, Some(words)));
        }
    }

    /// As recorded: 119 bytes less for the text than without them.
    #[test]
    fn all_that_apple_gets_counts() {
        let push = |letter: &str, count: usize| json!({ "device_key": "key", "title": "a", "level": "active", "group": "g", "body": letter.repeat(count) });
        let overhead = r#"{"aps":{"alert":{"body":"","title":"a"},"category":"myNotificationCategory","mutable-content":1,"sound":"1107","thread-id":"g"},"group":"g","level":"active"}"#;
        let left = MAX_PAYLOAD - overhead.len();
        for (letter, cost) in
            [("x", 1), ("ع", 2), ("😀", 4), ("<", 6), (">", 6), ("&", 6), ("\"", 2), ("\n", 2), ("\\", 2)]
        {
            let most = left / cost;
            let statuses = [most, most + 1].map(|count| tried().post("/push", &push(letter, count)).status);
            assert_eq!(statuses, [200, 500], "{letter:?}");
        }
    }

    #[test]
    fn what_the_reader_sees() {
        let push =
            json!({ "device_key": "key", "title": "t", "body": "**a** evil.com", "url": "http://b.c/" });
        let shown = tried().post("/push", &push).taken();
        assert_eq!(
            (shown.to.as_str(), shown.title.as_str(), shown.text.as_str()),
            ("key", "t", "**a** evil.com")
        );
        let links: Vec<_> = shown.links.iter().map(|link| (link.url.as_str(), link.recognized)).collect();
        assert_eq!(links, [("http://evil.com", true), ("http://b.c/", false)]);
        let push = json!({ "device_keys": ["other", "key"], "markdown": "**a**" });
        let shown = tried().post("/push", &push).taken();
        assert_eq!((shown.to.as_str(), shown.text.as_str(), shown.styles.len()), ("key", "a", 1));
    }
}

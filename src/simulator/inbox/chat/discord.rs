//! A webhook of Discord.

mod form;
#[cfg(test)]
mod tests;

use hyper::header::{HeaderName, RETRY_AFTER};
use serde_json::{Value, json};

use super::{
    super::message::{Link, Message, Service},
    markdown::{self, Dialect},
    rate::{self, Window},
    read,
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked, query::Pairs};

const MESSAGE_ID: u64 = 1_400_000_000_000_000_000;
const RESET_MS: i64 = 2000;

#[derive(Debug)]
pub(super) struct Discord {
    /// Of the webhook.
    pace: Window,
    /// Of its channel.
    minute: Window,
    messages: u64,
}

impl Default for Discord {
    fn default() -> Discord {
        Discord { pace: Window::new(5, RESET_MS), minute: Window::new(30, 60_000), messages: 0 }
    }
}

impl Discord {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        find(setup, asked)?;
        if asked.method != "POST" {
            return Err(Answer::json(405, &json!({ "message": "405: Method Not Allowed", "code": 0 })));
        }
        if let Manner::TooMany(seconds) = setup.manner {
            return Err(too_many(i64::from(seconds) * 1000 - 430));
        }
        let wait_ms = self.pace.wait(now_ms).max(self.minute.wait(now_ms));
        if wait_ms > 0 {
            return Err(too_many(wait_ms));
        }
        // What is wrong counts, too.
        self.pace.take(now_ms).ok();
        self.minute.take(now_ms).ok();
        let sent = read::object(asked).ok_or_else(|| {
            Answer::json(400, &json!({ "message": "The request body contains invalid JSON.", "code": 50109 }))
        })?;
        form::check(&sent)?;
        let query = Pairs::of(asked.query);
        find_thread(setup, &sent, query.last("thread_id"))?;
        let waits = matches!(query.last("wait"), Some("true" | "True" | "1"));
        if setup.manner == Manner::Broken {
            // Without `wait` the sender does not learn of it.
            let error = json!({ "message": "500: Internal Server Error", "code": 0 });
            return Err(if waits {
                Answer::json(500, &error)
            } else {
                self.limits(Answer::empty(204), now_ms)
            });
        }
        self.messages += 1;
        let stored = json!({
            "id": (MESSAGE_ID + self.messages).to_string(),
            "type": 0,
            "content": sent["content"].as_str().unwrap_or("").trim(),
            "embeds": sent["embeds"].as_array().cloned().unwrap_or_default(),
            "flags": sent["flags"].as_i64().unwrap_or(0),
        });
        let answer = if waits { Answer::json(200, &stored) } else { Answer::empty(204) };
        let mut message = shown(&sent);
        message.to = query.last("thread_id").unwrap_or("").to_owned();
        message.body = read::body(asked);
        Ok((self.limits(answer, now_ms), message))
    }

    /// The headers that say what is left.
    fn limits(&mut self, answer: Answer, now_ms: i64) -> Answer {
        let left = self.pace.left(now_ms).min(self.minute.left(now_ms));
        let after = if self.minute.left(now_ms) == 0 { self.minute.wait(now_ms) } else { RESET_MS };
        answer
            .with(HeaderName::from_static("x-ratelimit-limit"), "5")
            .with(HeaderName::from_static("x-ratelimit-remaining"), &left.to_string())
            .with(HeaderName::from_static("x-ratelimit-reset-after"), &decimal(after))
    }
}

/// `/api/webhooks/ID/TOKEN`, with a version or without.
fn find(setup: &Setup, asked: &Asked<'_>) -> Result<(), Answer> {
    let segments: Vec<_> = asked.path.split('/').skip(1).collect();
    let hook = match segments.as_slice() {
        ["api", "webhooks", id, token] => Some((*id, *token)),
        ["api", version, "webhooks", id, token] if version.starts_with('v') => Some((*id, *token)),
        _ => None,
    };
    let Some((id, token)) = hook else {
        return Err(Answer::json(404, &json!({ "message": "404: Not Found", "code": 0 })));
    };
    let (known_id, known_token) = setup.options.token.split_once('/').unwrap_or_default();
    if id != known_id || setup.manner == Manner::Gone {
        return Err(Answer::json(404, &json!({ "message": "Unknown Webhook", "code": 10015 })));
    }
    if token != known_token {
        return Err(Answer::json(401, &json!({ "message": "Invalid Webhook Token", "code": 50027 })));
    }
    Ok(())
}

/// A channel with threads is a forum, to which one can only write in a thread.
fn find_thread(setup: &Setup, sent: &Value, thread: Option<&str>) -> Result<(), Answer> {
    let threads = &setup.options.threads;
    match thread {
        None if threads.is_empty() || sent["thread_name"].is_string() => Ok(()),
        None => {
            let why = "Webhooks posted to forum channels must have a thread_name or thread_id";
            Err(Answer::json(400, &json!({ "message": why, "code": 220_001 })))
        }
        Some(id) if threads.iter().any(|thread| thread.to_string() == id) => Ok(()),
        Some(_) => Err(Answer::json(404, &json!({ "message": "Unknown Channel", "code": 10003 }))),
    }
}

/// The title of the first embed, and all the rest as the text.
fn shown(sent: &Value) -> Message {
    let content = read::text(sent, "/content").trim();
    let mut message = markdown::shown(Service::Discord, content, Dialect::Discord);
    message.pings = pings(content, sent.get("allowed_mentions").filter(|allowed| !allowed.is_null()));
    let mut parts = vec![std::mem::take(&mut message.text)];
    for embed in sent["embeds"].as_array().into_iter().flatten() {
        let title = markdown::shown(Service::Discord, read::text(embed, "/title").trim(), Dialect::Discord);
        let url = read::text(embed, "/url");
        if !url.is_empty() {
            message.links.push(Link::marked(&title.text, url));
        }
        let name = read::text(embed, "/author/name").to_owned();
        parts.push(name);
        if message.title.is_empty() {
            message.title = title.text;
        } else {
            parts.push(title.text);
        }
        message.links.extend(title.links);
        message.styles.extend(title.styles);
        let fields = embed["fields"].as_array().into_iter().flatten();
        let of_fields = fields.flat_map(|field| [read::text(field, "/name"), read::text(field, "/value")]);
        for text in [read::text(embed, "/description")].into_iter().chain(of_fields) {
            let part = markdown::shown(Service::Discord, text.trim(), Dialect::Discord);
            parts.push(part.text);
            message.links.extend(part.links);
            message.styles.extend(part.styles);
        }
        // A footer has no markup.
        parts.push(read::text(embed, "/footer/text").trim().to_owned());
    }
    parts.retain(|part| !part.is_empty());
    message.text = parts.join("\n");
    message
}

/// Whom a content calls, of those that `allowed` lets it call; without it, all. Markup does not matter, and embeds
/// call none.
fn pings(content: &str, allowed: Option<&Value>) -> Vec<String> {
    let may = |kind: &str, id: Option<&str>| {
        let Some(allowed) = allowed else { return true };
        let has = |list: &str, wanted: &str| {
            allowed[list].as_array().into_iter().flatten().any(|value| value == wanted)
        };
        has("parse", kind) || id.is_some_and(|id| has(kind, id))
    };
    let mut pings = Vec::new();
    for word in ["@everyone", "@here"] {
        if content.contains(word) && may("everyone", None) {
            pings.push(word.to_owned());
        }
    }
    for rest in content.split("<@").skip(1) {
        let Some((id, _)) = rest.split_once('>') else { continue };
        let (kind, number) = match id.strip_prefix('&') {
            Some(role) => ("roles", role),
            None => ("users", id.trim_start_matches('!')),
        };
        let is_id = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if is_id && may(kind, Some(number)) {
            pings.push(format!("<@{id}>"));
        }
    }
    pings
}

/// The header has whole seconds, the body a fraction.
fn too_many(wait_ms: i64) -> Answer {
    let wait_ms = wait_ms.max(1);
    let seconds: Value = serde_json::from_str(&decimal(wait_ms)).unwrap_or_default();
    let body = json!({ "message": "You are being rate limited.", "retry_after": seconds, "global": false });
    Answer::json(429, &body)
        .with(RETRY_AFTER, &rate::seconds(wait_ms).to_string())
        .with(HeaderName::from_static("x-ratelimit-scope"), "shared")
        .with(HeaderName::from_static("x-ratelimit-remaining"), "0")
        .with(HeaderName::from_static("x-ratelimit-reset-after"), &decimal(wait_ms))
}

fn decimal(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

//! The Bot API of Telegram: `sendMessage`.

mod clean;
mod detect;
mod html;
mod markdown_v2;
mod source;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hyper::header::RETRY_AFTER;
use serde_json::{Value, json};

use super::{
    super::message::{Message, Service},
    parsed::Parsed,
    rate::{self, Bucket, Window},
    read,
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked, query::Pairs};

/// Code points after parsing.
const MAX_TEXT: usize = 4096;
/// Bytes before.
const MAX_RAW: usize = 32_768;

#[derive(Debug)]
pub(super) struct Telegram {
    /// Of the bot.
    second: Window,
    chats: BTreeMap<String, Pace>,
    messages: i64,
}

impl Default for Telegram {
    fn default() -> Telegram {
        Telegram { second: Window::new(30, 1000), chats: BTreeMap::new(), messages: 0 }
    }
}

/// What one chat gets: one a second after a short burst, and a group 20 a minute.
#[derive(Debug)]
struct Pace {
    second: Bucket,
    minute: Window,
}

/// What is sent, as strings.
struct Sent {
    chat: String,
    thread: String,
    text: String,
    mode: String,
}

impl Telegram {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        let path = asked.path.strip_prefix("/bot").and_then(|path| path.split_once('/'));
        let (token, method) = path.ok_or_else(|| refused(404, "Not Found"))?;
        let is_token = token.split_once(':').is_some_and(|(id, _)| id.parse::<u32>().is_ok_and(|id| id > 0));
        if !is_token {
            return Err(refused(401, "Unauthorized: invalid token specified"));
        }
        if token != setup.options.token {
            return Err(refused(401, "Unauthorized"));
        }
        if !method.eq_ignore_ascii_case("sendMessage") {
            return Err(refused(404, "Not Found: method not found"));
        }
        if setup.manner == Manner::Broken {
            return Err(refused(500, "Internal Server Error"));
        }
        if let Manner::TooMany(seconds) = setup.manner {
            return Err(too_many(i64::from(seconds)));
        }
        let sent = sent(asked)?;
        let parsed = parse(&sent).map_err(|why| refused(400, &format!("Bad Request: {why}")))?;
        find(setup, &sent)?;
        let mut parsed = clean::cleaned(parsed);
        if parsed.text.iter().all(|c| clean::is_empty(*c)) {
            return Err(refused(400, "Bad Request: text must be non-empty"));
        }
        if parsed.text.len() > MAX_TEXT {
            return Err(refused(400, "Bad Request: message is too long"));
        }
        self.count(&sent.chat, now_ms).map_err(|wait_ms| too_many(rate::seconds(wait_ms)))?;
        self.messages += 1;
        detect::mark(&mut parsed);
        let chat = sent.chat.parse::<i64>().map_or_else(|_| json!(sent.chat), |id| json!(id));
        let result = json!({
            "message_id": self.messages,
            "chat": { "id": chat },
            "date": now_ms.div_euclid(1000),
            "text": parsed.slice(0, parsed.text.len()),
        });
        let to = if sent.thread.is_empty() { sent.chat } else { format!("{}:{}", sent.chat, sent.thread) };
        let message = Message { to, body: read::body(asked), ..parsed.message(Service::Telegram) };
        Ok((Answer::json(200, &json!({ "ok": true, "result": result })), message))
    }

    /// What is refused does not count.
    fn count(&mut self, chat: &str, now_ms: i64) -> Result<(), i64> {
        let pace = self
            .chats
            .entry(chat.to_owned())
            .or_insert_with(|| Pace { second: Bucket::new(3, 1000), minute: Window::new(20, 60_000) });
        let is_group = chat.starts_with(['-', '@']);
        let of_group = if is_group { pace.minute.wait(now_ms) } else { 0 };
        let wait_ms = of_group.max(pace.second.wait(now_ms)).max(self.second.wait(now_ms));
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        pace.minute.take(now_ms).ok();
        pace.second.take(now_ms).ok();
        self.second.take(now_ms)
    }
}

/// Of JSON, a form or the query.
fn sent(asked: &Asked<'_>) -> Result<Sent, Answer> {
    if read::content_type(asked) != "application/json" {
        let body = read::body(asked);
        let (form, query) = (Pairs::of(&body), Pairs::of(asked.query));
        let of = |key: &str| form.last(key).or(query.last(key)).unwrap_or("").to_owned();
        let (chat, thread) = (of("chat_id"), of("message_thread_id"));
        return Ok(Sent { chat, thread, text: of("text"), mode: of("parse_mode") });
    }
    let sent = read::object(asked).ok_or_else(|| refused(400, "Bad Request: can't parse JSON object"))?;
    let of = |key: &str| match &sent[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    let (chat, thread) = (of("chat_id"), of("message_thread_id"));
    Ok(Sent { chat, thread, text: of("text"), mode: of("parse_mode") })
}

/// `Err`: why the text cannot be read.
fn parse(sent: &Sent) -> Result<Parsed, String> {
    if sent.text.is_empty() {
        return Err("message text is empty".to_owned());
    }
    if sent.text.len() > MAX_RAW {
        return Err("text is too long".to_owned());
    }
    let entities = |why| format!("can't parse entities: {why}");
    match sent.mode.to_ascii_lowercase().as_str() {
        "" | "none" => Ok(Parsed::plain(&sent.text)),
        "html" => html::parse(&sent.text).map_err(entities),
        "markdownv2" => markdown_v2::parse(&sent.text).map_err(entities),
        // The first Markdown is not simulated.
        _ => Err("unsupported parse_mode".to_owned()),
    }
}

/// Whether the bot may write there.
fn find(setup: &Setup, sent: &Sent) -> Result<(), Answer> {
    if sent.chat.is_empty() {
        return Err(refused(400, "Bad Request: chat_id is empty"));
    }
    let is_new = matches!(setup.manner, Manner::MovedTo(chat) if sent.chat == chat.to_string());
    if !is_new && !setup.options.chats.contains(&sent.chat) {
        return Err(refused(400, "Bad Request: chat not found"));
    }
    match setup.manner {
        Manner::MovedTo(chat) if !is_new => {
            let description = "Bad Request: group chat was upgraded to a supergroup chat";
            let parameters = json!({ "migrate_to_chat_id": chat });
            let body = json!({
                "ok": false,
                "error_code": 400,
                "description": description,
                "parameters": parameters,
            });
            return Err(Answer::json(400, &body));
        }
        Manner::Gone => {
            return Err(refused(
                403,
                match sent.chat.as_bytes() {
                    [b'-', b'1', b'0', b'0', ..] => "Forbidden: bot was kicked from the supergroup chat",
                    [b'-', ..] => "Forbidden: bot was kicked from the group chat",
                    [b'@', ..] => "Forbidden: bot was kicked from the channel chat",
                    _ => "Forbidden: bot was blocked by the user",
                },
            ));
        }
        Manner::Fair | Manner::MovedTo(_) | Manner::TooMany(_) | Manner::Broken => {}
    }
    let threads = &setup.options.threads;
    if !sent.thread.is_empty() && !threads.iter().any(|thread| thread.to_string() == sent.thread) {
        return Err(refused(400, "Bad Request: message thread not found"));
    }
    Ok(())
}

fn refused(code: u16, description: &str) -> Answer {
    Answer::json(code, &json!({ "ok": false, "error_code": code, "description": description }))
}

fn too_many(seconds: i64) -> Answer {
    let body = json!({
        "ok": false,
        "error_code": 429,
        "description": format!("Too Many Requests: retry after {seconds}"),
        "parameters": { "retry_after": seconds },
    });
    Answer::json(429, &body).with(RETRY_AFTER, &seconds.to_string())
}

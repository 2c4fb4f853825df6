//! A robot of DingTalk. It always answers with HTTP 200; `errcode` says what became of the message.

use serde_json::{Value, json};

use super::{
    super::message::{Link, Message, Service},
    found,
    markdown::{self, Dialect},
    rate::Window,
    read,
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked, query::Pairs};

/// Bytes of the body.
const MAX_BODY: usize = 20_000;
const MINUTE_MS: i64 = 60_000;
/// How long a robot is blocked that sent too many.
const BLOCKED_MS: i64 = 10 * MINUTE_MS;
/// How far the sender's clock may be off.
const WINDOW_MS: i64 = 60 * MINUTE_MS;

#[derive(Debug)]
pub(super) struct DingTalk {
    minute: Window,
    blocked_until_ms: i64,
}

impl Default for DingTalk {
    fn default() -> DingTalk {
        DingTalk { minute: Window::new(20, MINUTE_MS), blocked_until_ms: i64::MIN }
    }
}

impl DingTalk {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        if asked.path != "/robot/send" {
            return Err(Answer::empty(404));
        }
        if setup.manner == Manner::Broken {
            return Err(refused(-1, "system busy"));
        }
        let query = Pairs::of(asked.query);
        permit(setup, asked, &query)?;
        let sent = read::object(asked).ok_or_else(|| refused(40035, "the body is no JSON object"))?;
        let message = message(&sent, asked)?;
        if asked.body.len() > MAX_BODY {
            return Err(refused(460_101, "message too long, exceed 20000 bytes"));
        }
        verify(setup, &query, now_ms)?;
        let keyword = setup.options.keyword.as_deref().unwrap_or("");
        if !message.text.contains(keyword) && !message.title.contains(keyword) {
            return Err(refused(310_000, "keywords not in content"));
        }
        self.count(setup, now_ms)?;
        Ok((refused(0, "ok"), message))
    }

    fn count(&mut self, setup: &Setup, now_ms: i64) -> Result<(), Answer> {
        let is_blocked = now_ms < self.blocked_until_ms || matches!(setup.manner, Manner::TooMany(_));
        if !is_blocked && self.minute.take(now_ms).is_ok() {
            return Ok(());
        }
        if !is_blocked {
            self.blocked_until_ms = now_ms + BLOCKED_MS;
        }
        Err(refused(130_101, "send too fast, exceed 20 times per minute"))
    }
}

fn permit(setup: &Setup, asked: &Asked<'_>, query: &Pairs) -> Result<(), Answer> {
    if asked.method != "POST" {
        return Err(refused(43002, "require POST method"));
    }
    if read::content_type(asked) != "application/json" {
        return Err(refused(43004, "Content-Type must be application/json"));
    }
    match query.last("access_token") {
        None | Some("") => Err(refused(40035, "access_token is missing")),
        Some(token) if token != setup.options.token => Err(refused(300_005, "token is not exist")),
        Some(_) if setup.manner == Manner::Gone => Err(refused(400_102, "robot is stopped")),
        Some(_) => Ok(()),
    }
}

fn verify(setup: &Setup, query: &Pairs, now_ms: i64) -> Result<(), Answer> {
    let Some(secret) = &setup.options.secret else { return Ok(()) };
    let stamp = query.last("timestamp").unwrap_or("");
    let stamp_ms: Option<i64> = stamp.parse().ok();
    if stamp_ms.is_none_or(|stamp_ms| (now_ms - stamp_ms).abs() > WINDOW_MS) {
        return Err(refused(310_000, "invalid timestamp"));
    }
    if query.last("sign") != Some(&signature(secret, stamp)) {
        return Err(refused(310_000, "sign not match"));
    }
    Ok(())
}

fn signature(secret: &str, stamp: &str) -> String {
    read::signature(secret, &format!("{stamp}\n{secret}"))
}

fn message(sent: &Value, asked: &Asked<'_>) -> Result<Message, Answer> {
    let part = |pointer: &str| match read::text(sent, pointer).trim() {
        "" => {
            Err(refused(40035, &format!("{} is missing", pointer.trim_start_matches('/').replace('/', "."))))
        }
        _ => Ok(read::text(sent, pointer)),
    };
    let markdown = |text: &str| markdown::shown(Service::DingTalk, text, Dialect::Font);
    let mut message = match read::text(sent, "/msgtype") {
        "text" => found::shown(Service::DingTalk, part("/text/content")?),
        "markdown" => {
            let title = part("/markdown/title")?.to_owned();
            Message { title, ..markdown(part("/markdown/text")?) }
        }
        "actionCard" => {
            let title = part("/actionCard/title")?.to_owned();
            let mut message = Message { title, ..markdown(part("/actionCard/text")?) };
            let card = &sent["actionCard"];
            let single = json!({ "title": card["singleTitle"], "actionURL": card["singleURL"] });
            let buttons = card["btns"].as_array().into_iter().flatten().chain([&single]);
            for button in buttons.filter(|button| button["actionURL"].is_string()) {
                message
                    .links
                    .push(Link::marked(read::text(button, "/title"), read::text(button, "/actionURL")));
            }
            message
        }
        "link" => {
            let mut message = Message::plain(Service::DingTalk, part("/link/text")?);
            message.title = part("/link/title")?.to_owned();
            message.links.push(Link::marked(&message.title, part("/link/messageUrl")?));
            message
        }
        _ => return Err(refused(400_105, "unsupported msgtype")),
    };
    if sent["at"]["isAtAll"] == true {
        message.pings.push("@all".to_owned());
    }
    for list in ["atMobiles", "atUserIds"] {
        let names = sent["at"][list].as_array().into_iter().flatten();
        message.pings.extend(names.filter_map(Value::as_str).map(str::to_owned));
    }
    message.body = read::body(asked);
    Ok(message)
}

fn refused(code: i64, why: &str) -> Answer {
    Answer::json(200, &json!({ "errcode": code, "errmsg": why }))
}

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
        if asked.body.len() > MAX_BODY {
            return Err(refused(460_101, "message too long, exceed 20000 bytes"));
        }
        let sent = read::object(asked).ok_or_else(|| refused(40035, "the body is no JSON object"))?;
        let message = message(&sent, asked)?;
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

#[cfg(test)]
mod tests {
    use super::{
        super::{
            ChatOptions,
            testing::{NOW_MS, Tried},
        },
        *,
    };

    const SECRET: &str = "SECsynthetic1";
    const PATH: &str = "/robot/send?access_token=t";

    fn tried() -> Tried {
        Tried::new(Service::DingTalk, ChatOptions { token: "t".to_owned(), ..ChatOptions::default() })
    }

    fn text(content: &str) -> Value {
        json!({ "msgtype": "text", "text": { "content": content } })
    }

    fn code(tried: &mut Tried, target: &str, body: &Value) -> i64 {
        let got = tried.post(target, body);
        assert_eq!(got.status, 200);
        let code = got.json()["errcode"].as_i64().unwrap();
        assert_eq!(got.message.is_some(), code == 0, "{}", got.text);
        code
    }

    #[test]
    fn signatures_are_those_of_the_vectors() {
        assert_eq!(signature(SECRET, "1795600000002"), "VStzxT/oICXw+AIXbiO/4iUk1EtW69R+qCHn/OTILlc=");
        assert_eq!(signature("demo", "1599360473000"), "eblRZvilBzXa6Ce18IeBM4pMy1rYNWKicaCg6VMwQe0=");
    }

    #[test]
    fn a_signature_must_be_right_and_of_this_hour() {
        let sign = "VStzxT%2FoICXw%2BAIXbiO%2F4iUk1EtW69R%2BqCHn%2FOTILlc%3D";
        let unescaped = "VStzxT/oICXw+AIXbiO/4iUk1EtW69R+qCHn/OTILlc=";
        let stamp_ms = 1_795_600_000_002;
        for (now_ms, query, expected) in [
            (stamp_ms, format!("&timestamp={stamp_ms}&sign={sign}"), 0),
            (stamp_ms + WINDOW_MS, format!("&timestamp={stamp_ms}&sign={sign}"), 0),
            (stamp_ms + WINDOW_MS + 1, format!("&timestamp={stamp_ms}&sign={sign}"), 310_000),
            (stamp_ms - WINDOW_MS - 1, format!("&timestamp={stamp_ms}&sign={sign}"), 310_000),
            (stamp_ms, format!("&timestamp={stamp_ms}&sign={unescaped}"), 310_000),
            (stamp_ms, format!("&timestamp={}&sign={sign}", stamp_ms + 1), 310_000),
            (stamp_ms, format!("&sign={sign}"), 310_000),
            (stamp_ms, String::new(), 310_000),
        ] {
            let mut tried = tried();
            tried.setup.options.secret = Some(SECRET.to_owned());
            tried.now_ms = now_ms;
            assert_eq!(code(&mut tried, &format!("{PATH}{query}"), &text("x")), expected, "{query}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        let body_of = |bytes: usize| {
            let empty = text("").to_string().len();
            text(&"x".repeat(bytes - empty))
        };
        for (target, body, expected) in [
            (PATH, text("x"), 0),
            (PATH, body_of(20_000), 0),
            (PATH, body_of(20_001), 460_101),
            (PATH, text(""), 40035),
            (PATH, json!({ "msgtype": "voice" }), 400_105),
            (PATH, json!({ "msgtype": "markdown", "markdown": { "text": "x" } }), 40035),
            ("/robot/send", text("x"), 40035),
            ("/robot/send?access_token=other", text("x"), 300_005),
        ] {
            assert_eq!(code(&mut tried(), target, &body), expected, "{target} {body}");
        }
        let got = tried().ask("POST", PATH, &[], text("x").to_string().as_bytes());
        assert_eq!(got.json()["errcode"], 43004);
        let got = tried().ask("GET", PATH, &[], b"");
        assert_eq!(got.json()["errcode"], 43002);
        let mut tried = tried();
        tried.setup.options.keyword = Some("alert".to_owned());
        assert_eq!(code(&mut tried, PATH, &text("x")), 310_000);
        assert_eq!(code(&mut tried, PATH, &text("an alert")), 0);
    }

    #[test]
    fn the_twenty_first_of_a_minute_blocks_for_ten() {
        let mut tried = tried();
        assert!((0..20).all(|_| code(&mut tried, PATH, &text("x")) == 0));
        assert_eq!(code(&mut tried, PATH, &text("x")), 130_101);
        tried.wait(BLOCKED_MS - 1);
        assert_eq!(code(&mut tried, PATH, &text("x")), 130_101);
        tried.wait(1);
        assert_eq!(code(&mut tried, PATH, &text("x")), 0);
        assert_eq!(tried.now_ms, NOW_MS + BLOCKED_MS);
    }

    #[test]
    fn only_at_calls_people() {
        let mut body = text("@all @13800000000 [x](http://y.z/)");
        let shown = tried().post(PATH, &body).taken();
        assert!(shown.pings.is_empty());
        assert!(shown.links.iter().all(|link| link.recognized));
        body["at"] = json!({ "isAtAll": true, "atMobiles": ["1"], "atUserIds": ["u"] });
        assert_eq!(tried().post(PATH, &body).taken().pings, ["@all", "1", "u"]);
        let body = json!({
            "msgtype": "actionCard",
            "actionCard": { "title": "t", "text": "**a** \\[b](c)", "singleTitle": "Open", "singleURL": "http://y.z/" },
        });
        let shown = tried().post(PATH, &body).taken();
        assert_eq!((shown.title.as_str(), shown.text.as_str()), ("t", "a [b](c)"));
        assert_eq!(shown.links, [Link::marked("Open", "http://y.z/")]);
    }
}

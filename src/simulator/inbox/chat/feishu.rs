//! A custom bot of Feishu or Lark. `code` says what became of the message.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    super::message::{Link, Message, Service},
    found,
    markdown::{self, Dialect},
    rate::Window,
    read,
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked};

/// Bytes of the body. Documented as 20 KB; this is the smaller reading.
const MAX_BODY: usize = 20_000;
/// How far the sender's clock may be off, in seconds.
const WINDOW_SECONDS: i64 = 60 * 60;
/// Parts of a card, one inside another.
const MAX_DEPTH: usize = 20;

#[derive(Debug)]
pub(super) struct Feishu {
    second: Window,
    minute: Window,
}

impl Default for Feishu {
    fn default() -> Feishu {
        Feishu { second: Window::new(5, 1000), minute: Window::new(100, 60_000) }
    }
}

impl Feishu {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        let Some(hook) = asked.path.strip_prefix("/open-apis/bot/v2/hook/") else {
            return Err(Answer::empty(404));
        };
        if setup.manner == Manner::Broken {
            return Err(Answer::empty(500));
        }
        if hook != setup.options.token {
            return Err(refused(200, 19001, "param invalid: incoming webhook access token invalid"));
        }
        if setup.manner == Manner::Gone {
            return Err(refused(200, 19007, "Bot Not Enabled"));
        }
        let is_json = read::content_type(asked) == "application/json";
        let sent = read::object(asked).filter(|_| is_json && asked.method == Method::POST);
        let sent = sent.ok_or_else(|| refused(400, 9499, "Bad Request"))?;
        if asked.body.len() > MAX_BODY {
            return Err(refused(400, 19036, "request body exceeds 20 KB"));
        }
        verify(setup, &sent, now_ms)?;
        let message = message(&sent, asked)?;
        let keyword = setup.options.keyword.as_deref().unwrap_or("");
        if !message.text.contains(keyword) && !message.title.contains(keyword) {
            return Err(refused(200, 19024, "Key Words Not Found"));
        }
        if matches!(setup.manner, Manner::TooMany(_)) || self.minute.wait(now_ms) > 0 {
            let why = "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]";
            return Err(refused(200, 11232, why));
        }
        self.second.take(now_ms).map_err(|_| {
            // As seen: one of its two codes says that all is well.
            let body = json!({
                "StatusCode": 0,
                "StatusMessage": "success",
                "code": 9499,
                "data": {},
                "msg": "too many request",
            });
            Answer::json(200, &body)
        })?;
        self.minute.take(now_ms).ok();
        let body =
            json!({ "StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success" });
        Ok((Answer::json(200, &body), message))
    }
}

fn verify(setup: &Setup, sent: &Value, now_ms: i64) -> Result<(), Answer> {
    let Some(secret) = &setup.options.secret else { return Ok(()) };
    let stamp = read::text(sent, "/timestamp");
    let off =
        stamp.parse().map(|seconds: i64| now_ms.div_euclid(1000).saturating_sub(seconds).saturating_abs());
    let is_right = read::text(sent, "/sign") == signature(secret, stamp);
    if is_right && off.is_ok_and(|off| off <= WINDOW_SECONDS) {
        return Ok(());
    }
    let why = "sign match fail or timestamp is not within one hour from current time";
    Err(refused(200, 19021, why))
}

fn signature(secret: &str, stamp: &str) -> String {
    read::signature(&format!("{stamp}\n{secret}"), "")
}

fn message(sent: &Value, asked: &Asked<'_>) -> Result<Message, Answer> {
    let missing = |what: &str| refused(200, 19002, &format!("params error, {what} need"));
    let mut message = Message::plain(Service::Feishu, "");
    let mut parts = Vec::new();
    match read::text(sent, "/msg_type") {
        "text" => {
            let text = sent["content"]["text"].as_str().filter(|text| !text.is_empty());
            add_text(text.ok_or_else(|| missing("content"))?, &mut parts, &mut message);
        }
        "post" => {
            let post = sent["content"]["post"].as_object().and_then(|languages| languages.values().next());
            let post = post.ok_or_else(|| missing("content"))?;
            message.title = read::text(post, "/title").to_owned();
            for line in post["content"].as_array().into_iter().flatten() {
                let mut of_line = Vec::new();
                let elements = line.as_array().into_iter().flatten();
                elements.for_each(|element| add(element, 0, &mut of_line, &mut message));
                parts.push(of_line.concat());
            }
        }
        "interactive" => {
            let card = sent.get("card").filter(|card| card.is_object()).ok_or_else(|| missing("card"))?;
            let mut title = Vec::new();
            add(&card["header"]["title"], 0, &mut title, &mut message);
            message.title = title.concat();
            let of_card = [&card["elements"], &card["body"]["elements"]];
            for element in of_card.into_iter().filter_map(Value::as_array).flatten() {
                add(element, 0, &mut parts, &mut message);
            }
            let url = read::text(card, "/card_link/url");
            if !url.is_empty() {
                message.links.push(Link::marked(&message.title, url));
            }
        }
        _ => return Err(missing("msg_type")),
    }
    message.text = parts.join("\n");
    message.body = read::body(asked);
    Ok(message)
}

/// Adds the texts of a part of a card or of a line, and of what is inside it.
fn add(part: &Value, depth: usize, parts: &mut Vec<String>, message: &mut Message) {
    if depth > MAX_DEPTH {
        return;
    }
    let content = read::text(part, "/content");
    match read::text(part, "/tag") {
        "plain_text" => parts.push(content.to_owned()),
        "lark_md" | "markdown" => {
            let (text, called) = without_calls(content);
            let shown = markdown::shown(Service::Feishu, &text, Dialect::Lark);
            parts.push(shown.text);
            message.links.extend(shown.links);
            message.styles.extend(shown.styles);
            message.pings.extend(called);
        }
        "text" => {
            let shown = found::shown(Service::Feishu, read::text(part, "/text"));
            parts.push(shown.text);
            message.links.extend(shown.links);
        }
        "a" => {
            let text = read::text(part, "/text");
            parts.push(text.to_owned());
            message.links.push(Link::marked(text, read::text(part, "/href")));
        }
        "at" => {
            let who = read::text(part, "/user_id");
            parts.push(format!("@{who}"));
            message.pings.push(who.to_owned());
        }
        "button" => {
            let text = read::text(part, "/text/content");
            parts.push(text.to_owned());
            let of_behavior = part["behaviors"].as_array().into_iter().flatten();
            let urls = of_behavior.map(|behavior| read::text(behavior, "/default_url"));
            let urls = urls.chain([read::text(part, "/url"), read::text(part, "/multi_url/url")]);
            message.links.extend(urls.filter(|url| !url.is_empty()).map(|url| Link::marked(text, url)));
        }
        _ => {
            for inner in ["text", "fields", "elements", "columns", "actions", "extra"] {
                match &part[inner] {
                    Value::Array(inner) => {
                        inner.iter().for_each(|inner| add(inner, depth + 1, parts, message));
                    }
                    inner @ Value::Object(_) => add(inner, depth + 1, parts, message),
                    _ => {}
                }
            }
        }
    }
}

fn add_text(text: &str, parts: &mut Vec<String>, message: &mut Message) {
    let (text, called) = without_calls(text);
    let shown = found::shown(Service::Feishu, &text);
    parts.push(shown.text);
    message.links.extend(shown.links);
    message.pings.extend(called);
}

/// A text with its `<at user_id="all">…</at>` as they are shown, and the IDs in them.
fn without_calls(text: &str) -> (String, Vec<String>) {
    let (mut shown, mut called) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once("<at ") {
        shown.push_str(before);
        let Some((attributes, after)) = tag.split_once('>') else {
            shown.push_str("<at ");
            rest = tag;
            continue;
        };
        let who = attributes.split_once('=').map_or("", |(_, who)| who.trim_end_matches('/').trim());
        let who = who.trim_matches(['"', '\'']).to_owned();
        let (name, after) = after.split_once("</at>").unwrap_or(("", after));
        shown.push('@');
        shown.push_str(if name.is_empty() { &who } else { name });
        called.push(who);
        rest = after;
    }
    shown.push_str(rest);
    (shown, called)
}

fn refused(status: u16, code: i64, why: &str) -> Answer {
    Answer::json(status, &json!({ "code": code, "data": {}, "msg": why }))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ChatOptions, testing::Tried},
        *,
    };

    const SECRET: &str = "synthetic-Secret_1";
    const SIGN: &str = "lkfR2aJVakLSrwQ4+L7rZ0XdmgCLjFVAdY1P/014Qvk=";
    const STAMP: i64 = 1_795_600_000;
    const PATH: &str = "/open-apis/bot/v2/hook/h";

    fn tried() -> Tried {
        Tried::new(Service::Feishu, ChatOptions { token: "h".to_owned(), ..ChatOptions::default() })
    }

    fn text(text: &str) -> Value {
        json!({ "msg_type": "text", "content": { "text": text } })
    }

    fn code(tried: &mut Tried, target: &str, body: &Value) -> i64 {
        let got = tried.post(target, body);
        let code = got.json()["code"].as_i64().unwrap();
        assert_eq!(got.message.is_some(), code == 0, "{}", got.text);
        code
    }

    #[test]
    fn signatures_are_those_of_the_vectors() {
        assert_eq!(signature(SECRET, "1795600000"), SIGN);
        assert_eq!(signature("demo", "1599360473"), "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=");
    }

    #[test]
    fn a_signature_must_be_right_and_of_this_hour() {
        for (now, stamp, sign, expected) in [
            (STAMP, json!("1795600000"), SIGN, 0),
            (STAMP + 3600, json!("1795600000"), SIGN, 0),
            (STAMP + 3601, json!("1795600000"), SIGN, 19021),
            (STAMP - 3601, json!("1795600000"), SIGN, 19021),
            (STAMP, json!(1_795_600_000), SIGN, 19021),
            (STAMP, json!("1795600001"), SIGN, 19021),
            (STAMP, json!("1795600000"), "", 19021),
        ] {
            let mut tried = tried();
            tried.setup.options.secret = Some(SECRET.to_owned());
            tried.now_ms = now * 1000;
            let mut body = text("x");
            body["timestamp"] = stamp.clone();
            body["sign"] = json!(sign);
            assert_eq!(code(&mut tried, PATH, &body), expected, "{now} {stamp} {sign}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        let body_of = |bytes: usize| text(&"x".repeat(bytes - text("").to_string().len()));
        for (target, body, expected) in [
            (PATH, text("x"), 0),
            (PATH, body_of(20_000), 0),
            (PATH, body_of(20_001), 19036),
            (PATH, text(""), 19002),
            (PATH, json!({ "content": {} }), 19002),
            (PATH, json!([]), 9499),
            ("/open-apis/bot/v2/hook/other", text("x"), 19001),
        ] {
            assert_eq!(code(&mut tried(), target, &body), expected, "{target}");
        }
        let mut tried = tried();
        tried.setup.options.keyword = Some("alert".to_owned());
        assert_eq!(code(&mut tried, PATH, &text("x")), 19024);
        assert_eq!(code(&mut tried, PATH, &text("an alert")), 0);
        let card =
            json!({ "header": { "title": { "tag": "plain_text", "content": "alert" } }, "elements": [] });
        assert_eq!(code(&mut tried, PATH, &json!({ "msg_type": "interactive", "card": card })), 0);
        for (manner, expected) in [(Manner::Gone, 19007), (Manner::TooMany(1), 11232)] {
            tried.setup.manner = manner;
            assert_eq!(code(&mut tried, PATH, &text("an alert")), expected);
        }
    }

    #[test]
    fn five_a_second_and_a_hundred_a_minute() {
        let mut tried = tried();
        for _ in 0..20 {
            assert!((0..5).all(|_| code(&mut tried, PATH, &text("x")) == 0));
            let got = tried.post(PATH, &text("x")).json();
            assert!(got["StatusCode"] == 0 && got["code"] == 9499 || got["code"] == 11232, "{got}");
            tried.wait(1000);
        }
        assert_eq!(code(&mut tried, PATH, &text("x")), 11232);
        tried.wait(40_000);
        assert_eq!(code(&mut tried, PATH, &text("x")), 0);
    }

    #[test]
    fn what_the_reader_sees() {
        let shown = tried()
            .post(PATH, &text("a <at user_id=\"all\">All</at> ＜at user_id=\"all\"> http://x.y/"))
            .taken();
        assert_eq!(shown.text, "a @All ＜at user_id=\"all\"> http://x.y/");
        assert_eq!((shown.pings, shown.links.len()), (vec!["all".to_owned()], 1));
        let card = json!({
            "header": { "title": { "tag": "plain_text", "content": "t <b>" } },
            "elements": [
                { "tag": "div", "text": { "tag": "lark_md", "content": "**a** &#60;at id=all&#62; [b](http://c.d/)" } },
                { "tag": "div", "text": { "tag": "plain_text", "content": "**e** [f](g)" } },
                { "tag": "markdown", "content": "<at id=all></at>" },
                { "tag": "action", "actions": [
                    { "tag": "button", "text": { "tag": "plain_text", "content": "Open" }, "url": "http://h.i/" },
                ] },
            ],
        });
        let shown = tried().post(PATH, &json!({ "msg_type": "interactive", "card": card })).taken();
        assert_eq!(shown.title, "t <b>");
        assert_eq!(shown.text, "a <at id=all> b\n**e** [f](g)\n@all\nOpen");
        assert_eq!(shown.pings, ["all"]);
        assert_eq!(shown.links, [Link::marked("b", "http://c.d/"), Link::marked("Open", "http://h.i/")]);
    }
}

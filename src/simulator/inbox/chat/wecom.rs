//! A group bot of WeCom. It always answers with HTTP 200; `errcode` says what became of the message.

use serde_json::{Value, json};

use super::{
    super::message::{Message, Service},
    found,
    markdown::{self, Dialect},
    rate::Window,
    read,
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked, query::Pairs};

/// Bytes of UTF-8.
const MAX_TEXT: usize = 2048;
const MAX_MARKDOWN: usize = 4096;

#[derive(Debug)]
pub(super) struct WeCom {
    minute: Window,
}

impl Default for WeCom {
    fn default() -> WeCom {
        WeCom { minute: Window::new(20, 60_000) }
    }
}

impl WeCom {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        if asked.path != "/cgi-bin/webhook/send" {
            return Err(Answer::empty(404));
        }
        let hint = |why: &str| format!("{why}, hint: [{now_ms}], from ip: 127.0.0.1");
        if asked.method != "POST" {
            return Err(refused(43002, &hint("require POST method")));
        }
        if setup.manner == Manner::Broken {
            return Err(refused(-1, "system busy"));
        }
        if Pairs::of(asked.query).last("key") != Some(&setup.options.token) || setup.manner == Manner::Gone {
            return Err(refused(93000, &hint("invalid webhook url")));
        }
        let sent = read::object(asked).ok_or_else(|| refused(47001, &hint("data format error")))?;
        let (kind, most) = match read::text(&sent, "/msgtype") {
            "text" => ("text", MAX_TEXT),
            "markdown" => ("markdown", MAX_MARKDOWN),
            _ => return Err(refused(40008, &hint("invalid message type"))),
        };
        let content = sent[kind]["content"].as_str().unwrap_or("");
        if content.is_empty() {
            return Err(refused(44004, &hint("empty content")));
        }
        if content.len() > most {
            let why = format!("{kind}.content exceed max length {most}. invalid Request Parameter");
            return Err(refused(40058, &hint(&why)));
        }
        let is_free = self.minute.wait(now_ms) == 0 && !matches!(setup.manner, Manner::TooMany(_));
        if !is_free || self.minute.take(now_ms).is_err() {
            return Err(refused(45009, &hint("api freq out of limit")));
        }
        Ok((refused(0, "ok"), shown(&sent, kind, content, asked)))
    }
}

fn shown(sent: &Value, kind: &str, content: &str, asked: &Asked<'_>) -> Message {
    let mut message = match kind {
        "text" => found::shown(Service::WeCom, content),
        _ => markdown::shown(Service::WeCom, content, Dialect::Font),
    };
    message.pings.extend(called(content));
    if kind == "text" {
        for list in ["mentioned_list", "mentioned_mobile_list"] {
            let names = sent["text"][list].as_array().into_iter().flatten();
            message.pings.extend(names.filter_map(Value::as_str).map(str::to_owned));
        }
    }
    message.body = read::body(asked);
    message
}

/// The IDs of `<@ID>`, wherever they are: code and a backslash do not change it.
fn called(content: &str) -> impl Iterator<Item = String> {
    let ends = content.split("<@").skip(1).filter_map(|rest| rest.split_once('>'));
    ends.map(|(id, _)| id.to_owned()).filter(|id| !id.is_empty())
}

fn refused(code: i64, why: &str) -> Answer {
    Answer::json(200, &json!({ "errcode": code, "errmsg": why }))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::message::Link, ChatOptions, testing::Tried},
        *,
    };

    const PATH: &str = "/cgi-bin/webhook/send?key=k";

    fn tried() -> Tried {
        Tried::new(Service::WeCom, ChatOptions { token: "k".to_owned(), ..ChatOptions::default() })
    }

    fn sent(kind: &str, content: &str) -> Value {
        json!({ "msgtype": kind, (kind): { "content": content } })
    }

    #[test]
    fn limits_are_bytes() {
        let long = |bytes: usize, letter: &str| {
            format!("{}{}", letter.repeat(bytes / letter.len()), "y".repeat(bytes % letter.len()))
        };
        for (path, body, code) in [
            (PATH, sent("text", &long(2048, "中")), 0),
            (PATH, sent("text", &long(2049, "中")), 40058),
            (PATH, sent("markdown", &long(4096, "ع")), 0),
            (PATH, sent("markdown", &long(4097, "ع")), 40058),
            (PATH, sent("text", ""), 44004),
            (PATH, sent("post", "x"), 40008),
            ("/cgi-bin/webhook/send?key=other", sent("text", "x"), 93000),
            ("/cgi-bin/webhook/send", sent("text", "x"), 93000),
        ] {
            let got = tried().post(path, &body);
            assert_eq!((got.status, got.json()["errcode"].as_i64()), (200, Some(code)), "{}", got.text);
            assert_eq!(got.message.is_some(), code == 0);
        }
    }

    #[test]
    fn twenty_a_minute() {
        let mut tried = tried();
        let mut code = || tried.post(PATH, &sent("text", "x")).json()["errcode"].as_i64().unwrap();
        assert!((0..20).all(|_| code() == 0));
        assert_eq!(code(), 45009);
        tried.wait(60_000);
        assert_eq!(tried.post(PATH, &sent("text", "x")).json()["errcode"], 0);
        for (manner, code) in [(Manner::Gone, 93000), (Manner::TooMany(1), 45009), (Manner::Broken, -1)] {
            tried.setup.manner = manner;
            assert_eq!(tried.post(PATH, &sent("text", "x")).json()["errcode"], code);
        }
    }

    #[test]
    fn both_forms_call_people() {
        let text = json!({
            "msgtype": "text",
            "text": { "content": "a <@bob> ＜@cy> < @dd>", "mentioned_list": ["@all"], "mentioned_mobile_list": ["1"] },
        });
        assert_eq!(tried().post(PATH, &text).taken().pings, ["bob", "@all", "1"]);
        let shown = tried().post(PATH, &sent("markdown", "**a** \\<@bob> [x](http://y.z/)")).taken();
        assert_eq!(
            (shown.pings, shown.links),
            (vec!["bob".to_owned()], vec![Link::marked("x", "http://y.z/")])
        );
    }
}

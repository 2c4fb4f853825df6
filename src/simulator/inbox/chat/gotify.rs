//! Gotify 3: messages of an application. It has no limits of length or number.

use hyper::header::{LOCATION, RETRY_AFTER};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::message::{Link, Message, Service},
    found,
    markdown::{self, Dialect},
    read::{self, Login},
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked, query::Pairs};

/// The name of the application, which a message without a title gets, and its priority for one without.
const APPLICATION: &str = "proxymeter";
const PRIORITY: i64 = 4;
const APPLICATION_ID: i64 = 1;

const NO_LOGIN: &str = "you need to provide a valid access token or user credentials to access this api";

#[derive(Debug, Default)]
pub(super) struct Gotify {
    messages: i64,
}

/// Whose token or password a request has.
#[derive(PartialEq, Eq)]
enum Sender {
    Application,
    User,
}

/// What is sent, of JSON or a form.
struct Sent {
    title: String,
    message: String,
    priority: Option<i64>,
    application_id: i64,
    extras: Value,
}

impl Gotify {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        match (asked.method.as_str(), asked.path) {
            ("GET", "/health") => {
                let health = r#"{"health":"green","database":"green"}"#;
                return Err(Answer::bytes(200, "application/json; charset=utf-8", health));
            }
            ("GET", "/version") => {
                let version = json!({ "version": "3.0.0", "commit": "unknown", "buildDate": "unknown" });
                return Err(Answer::json(200, &version));
            }
            ("POST", "/message/") => return Err(Answer::empty(307).with(LOCATION, "/message")),
            ("GET", "/message") => return Err(refused(401, NO_LOGIN)),
            ("POST", "/message") => {}
            _ => return Err(refused(404, "page not found")),
        }
        if let Manner::TooMany(seconds) = setup.manner {
            // It has no limit of its own; a proxy in front may.
            return Err(Answer::empty(429).with(RETRY_AFTER, &seconds.to_string()));
        }
        let sender = sender(setup, asked).filter(|_| setup.manner != Manner::Gone);
        let sender = sender.ok_or_else(|| refused(401, NO_LOGIN))?;
        let sent = sent(asked).map_err(|why| refused(400, &why))?;
        if sender == Sender::User {
            match sent.application_id {
                0 => {
                    let why = "appid is required when not authenticating with an application token";
                    return Err(refused(400, why));
                }
                APPLICATION_ID => {}
                _ => return Err(refused(400, "appid not found")),
            }
        }
        if setup.manner == Manner::Broken {
            return Err(refused(500, "database is locked"));
        }
        self.messages += 1;
        let title = if sent.title.trim().is_empty() { APPLICATION.into() } else { sent.title.clone() };
        let mut stored = json!({
            "id": self.messages,
            "appid": APPLICATION_ID,
            "message": sent.message,
            "title": title,
            "priority": sent.priority.unwrap_or(PRIORITY),
            "date": Timestamp::from_millisecond(now_ms).unwrap_or_default().to_string(),
        });
        if !sent.extras.is_null() {
            stored["extras"] = sent.extras.clone();
        }
        Ok((Answer::json(200, &stored), shown(&sent, title, asked)))
    }
}

/// As the apps show it.
fn shown(sent: &Sent, title: String, asked: &Asked<'_>) -> Message {
    let is_markdown = read::text(&sent.extras, "/client::display/contentType") == "text/markdown";
    let mut message = if is_markdown {
        markdown::shown(Service::Gotify, &sent.message, Dialect::Common)
    } else {
        found::shown(Service::Gotify, &sent.message)
    };
    let click = read::text(&sent.extras, "/client::notification/click/url");
    if !click.is_empty() {
        message.links.push(Link::marked(&title, click));
    }
    message.title = title;
    message.body = read::body(asked);
    message
}

fn sender(setup: &Setup, asked: &Asked<'_>) -> Option<Sender> {
    let of_query = Pairs::of(asked.query);
    let of_header = read::header(asked, "x-gotify-key");
    let login = read::login(asked);
    let given = match (of_query.last("token"), of_header, &login) {
        (Some(token), _, _) => token,
        (None, "", Login::Bearer(token)) => token,
        (None, "", Login::Basic(user)) => user,
        (None, "", Login::Absent) => return None,
        (None, token, _) => token,
    };
    if given == setup.options.token && !matches!(login, Login::Basic(_)) {
        Some(Sender::Application)
    } else {
        (setup.options.secret.as_deref() == Some(given)).then_some(Sender::User)
    }
}

/// `Err`: in the words of the server's parser.
fn sent(asked: &Asked<'_>) -> Result<Sent, String> {
    let sent = if read::content_type(asked) == "application/json" {
        of_json(&read::body(asked))?
    } else {
        let form = Pairs::of(&read::body(asked));
        let number = |key| match form.last(key) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse::<i64>()
                .map(Some)
                .map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
        };
        Sent {
            title: form.last("title").unwrap_or("").to_owned(),
            message: form.last("message").unwrap_or("").to_owned(),
            priority: number("priority")?,
            application_id: number("appid")?.unwrap_or(0),
            extras: Value::Null,
        }
    };
    if sent.message.is_empty() { Err("Field 'message' is required".into()) } else { Ok(sent) }
}

fn of_json(body: &str) -> Result<Sent, String> {
    if body.trim().is_empty() {
        return Err("EOF".into());
    }
    let value: Value = serde_json::from_str(body).map_err(|error| {
        if error.is_eof() { "unexpected EOF".to_owned() } else { "invalid character in JSON".to_owned() }
    })?;
    let refused = |key: &str, wanted: &str, value: &Value| {
        let got = match value {
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if wanted == "int" => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Null | Value::Object(_) => "object".to_owned(),
        };
        format!("json: cannot unmarshal {got} into Go struct field CreateMessage.{key} of type {wanted}")
    };
    let text = |key: &str| match &value[key] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        other => Err(refused(key, "string", other)),
    };
    let number = |key: &str| match &value[key] {
        Value::Null => Ok(None),
        other => other.as_i64().map(Some).ok_or_else(|| refused(key, "int", other)),
    };
    Ok(Sent {
        title: text("title")?,
        message: text("message")?,
        priority: number("priority")?,
        application_id: number("appid")?.unwrap_or(0),
        extras: value["extras"].clone(),
    })
}

fn refused(status: u16, why: &str) -> Answer {
    let error = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        _ => "Internal Server Error",
    };
    Answer::json(status, &json!({ "error": error, "errorCode": status, "errorDescription": why }))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ChatOptions, testing::Tried},
        *,
    };

    #[test]
    fn the_reader_sees_markdown_only_where_it_is_asked_for() {
        let options = ChatOptions { token: "gtfya.x".to_owned(), ..ChatOptions::default() };
        let mut tried = Tried::new(Service::Gotify, options);
        let text = "**a** [b](http://c.d/)";
        let plain = tried.post("/message?token=gtfya.x", &json!({ "message": text })).taken();
        assert_eq!((plain.text.as_str(), plain.styles.len()), (text, 0));
        assert!(plain.links.iter().all(|link| link.recognized), "{plain:?}");
        let extras = json!({
            "client::display": { "contentType": "text/markdown" },
            "client::notification": { "click": { "url": "http://e.f/" } },
        });
        let body = json!({ "title": "t", "message": text, "extras": extras });
        let shown = tried.post("/message?token=gtfya.x", &body).taken();
        assert_eq!((shown.text.as_str(), shown.styles.len()), ("a b", 1));
        assert_eq!(shown.links, [Link::marked("b", "http://c.d/"), Link::marked("t", "http://e.f/")]);
    }

    #[test]
    fn a_proxy_in_front_may_say_when_to_come_again() {
        let options = ChatOptions { token: "gtfya.x".to_owned(), ..ChatOptions::default() };
        let mut tried = Tried::new(Service::Gotify, options);
        tried.setup.manner = Manner::TooMany(7);
        let got = tried.post("/message?token=gtfya.x", &json!({ "message": "x" }));
        assert_eq!((got.status, got.header("retry-after")), (429, "7"));
    }
}

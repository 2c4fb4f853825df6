//! ntfy 2.13 as shipped, with or without users.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::message::{Link, Service},
    found,
    markdown::{self, Dialect},
    rate::{Bucket, Window},
    read::{self, Login},
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked};

/// Bytes. From this many on, a message is taken for a file, and a body of JSON for too large.
const FILE: usize = 4096;
const TOO_LARGE: usize = 2 * FILE;
const MAX_TOPIC: usize = 64;
const RESERVED: [&str; 10] =
    ["docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login", "v1"];
const MAX_ACTIONS: usize = 3;
const KEPT_SECONDS: i64 = 12 * 60 * 60;
const FILE_KEPT_SECONDS: i64 = 3 * 60 * 60;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug)]
pub(super) struct Ntfy {
    /// Of all senders, which have one address here.
    requests: Bucket,
    failures: Bucket,
    day: Option<Window>,
    messages: u64,
}

impl Default for Ntfy {
    fn default() -> Ntfy {
        Ntfy { requests: Bucket::new(60, 5000), failures: Bucket::new(30, 60_000), day: None, messages: 0 }
    }
}

/// What a message may have.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    topic: Option<String>,
    title: Option<String>,
    message: Option<String>,
    priority: Option<i64>,
    tags: Option<Vec<String>>,
    click: Option<String>,
    markdown: Option<bool>,
    actions: Option<Vec<Action>>,
    delay: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Action {
    action: String,
    label: String,
    url: String,
    clear: bool,
}

/// A sender whose credentials, if any, are right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Known,
    Anonymous,
}

impl Ntfy {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        let sender = self.sender(setup, asked, now_ms)?;
        let is_sending = matches!(asked.method.as_str(), "POST" | "PUT");
        let topic = asked.path.trim_start_matches('/');
        let (mut sent, text) = match asked.path {
            "/v1/health" => return Err(Answer::json(200, &json!({ "healthy": true }))),
            "/" if is_sending => of_json(asked)?,
            _ if is_sending && is_topic(topic) => (of_headers(asked, topic), asked.body.to_vec()),
            _ => return Err(refused(404, 1, "page not found", "")),
        };
        let topic = sent.topic.take().unwrap_or_default();
        if RESERVED.contains(&topic.as_str()) {
            return Err(refused(400, 10, "invalid request: topic name is not allowed", ""));
        }
        const LIMITS: &str = "https://ntfy.sh/docs/publish/#limitations";
        if matches!(setup.manner, Manner::TooMany(_)) || self.requests.take(now_ms).is_err() {
            return Err(refused(429, 1, "limit reached: too many requests", LIMITS));
        }
        let topics = &setup.options.chats;
        let is_permitted =
            is_open(setup) || sender == Sender::Known && (topics.is_empty() || topics.contains(&topic));
        if !is_permitted {
            let link = "https://ntfy.sh/docs/publish/#authentication";
            return Err(refused(403, 1, "forbidden", link));
        }
        check(&sent)?;
        if let Some(daily) = setup.options.daily {
            let day = self.day.get_or_insert_with(|| Window::new(daily, DAY_MS));
            day.take(now_ms)
                .map_err(|_| refused(429, 8, "limit reached: daily message quota reached", LIMITS))?;
        }
        if setup.manner == Manner::Broken {
            return Err(refused(500, 1, "internal server error", ""));
        }
        self.publish(setup, asked, &topic, &sent, &text, now_ms)
    }

    fn sender(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Result<Sender, Answer> {
        let login = read::login(asked);
        if is_open(setup) || matches!(login, Login::Absent) {
            return Ok(Sender::Anonymous);
        }
        // Even the right credentials are refused then.
        if self.failures.wait(now_ms) > 0 {
            let link = "https://ntfy.sh/docs/publish/#limitations";
            return Err(refused(429, 9, "limit reached: too many auth failures", link));
        }
        let is_right = match &login {
            Login::Bearer(token) => !token.is_empty() && *token == setup.options.token,
            Login::Basic(user) => setup.options.secret.as_ref() == Some(user),
            Login::Absent => false,
        };
        if is_right && setup.manner != Manner::Gone {
            return Ok(Sender::Known);
        }
        self.failures.take(now_ms).ok();
        Err(refused(401, 1, "unauthorized", "https://ntfy.sh/docs/publish/#authentication"))
    }

    fn publish(
        &mut self,
        setup: &Setup,
        asked: &Asked<'_>,
        topic: &str,
        sent: &Sent,
        text: &[u8],
        now_ms: i64,
    ) -> Taken {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() < FILE).map(str::trim);
        if text.is_none() && !setup.options.attachments {
            let link = "https://ntfy.sh/docs/config/#attachments";
            return Err(refused(400, 14, "invalid request: attachments not allowed", link));
        }
        self.messages += 1;
        let now = now_ms.div_euclid(1000);
        let id = format!("{:012}", self.messages);
        let shown = match text {
            // The text is lost to the reader.
            None => "You received a file: attachment.txt",
            Some("") => "triggered",
            Some(text) => text,
        };
        let mut stored = json!({
            "id": id,
            "time": now,
            "expires": now + KEPT_SECONDS,
            "event": "message",
            "topic": topic,
            "message": shown,
        });
        let title = sent.title.as_deref().unwrap_or("");
        if text.is_none() {
            stored["attachment"] = json!({
                "name": "attachment.txt",
                "type": "text/plain; charset=utf-8",
                "size": sent.message.as_ref().map_or(asked.body.len(), String::len),
                "expires": now + FILE_KEPT_SECONDS,
                "url": format!("http://127.0.0.1/file/{id}.txt"),
            });
        }
        if !title.is_empty() {
            stored["title"] = json!(title);
        }
        if let Some(priority) = sent.priority.filter(|priority| *priority != 0) {
            stored["priority"] = json!(priority);
        }
        let tags = sent.tags.as_deref().unwrap_or_default().join(",");
        let tags: Vec<_> = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
        if !tags.is_empty() {
            stored["tags"] = json!(tags);
        }
        let click = sent.click.as_deref().unwrap_or("");
        if !click.is_empty() {
            stored["click"] = json!(click);
        }
        let actions = sent.actions.as_deref().unwrap_or_default();
        if !actions.is_empty() {
            let stored_one = |(number, action): (usize, &Action)| {
                let Action { action, label, url, clear } = action;
                json!({ "id": format!("{number:010}"), "action": action, "label": label, "clear": clear, "url": url })
            };
            stored["actions"] = actions.iter().enumerate().map(stored_one).collect();
        }
        let is_markdown = sent.markdown == Some(true);
        if is_markdown {
            stored["content_type"] = json!("text/markdown");
        }
        let mut message = if is_markdown {
            markdown::shown(Service::Ntfy, shown, Dialect::Common)
        } else {
            found::shown(Service::Ntfy, shown)
        };
        if !click.is_empty() {
            message.links.push(Link::marked(title, click));
        }
        message.links.extend(actions.iter().map(|action| Link::marked(&action.label, &action.url)));
        message.title = title.to_owned();
        message.to = topic.to_owned();
        message.body = read::body(asked);
        Ok((Answer::json(200, &stored), message))
    }
}

fn is_open(setup: &Setup) -> bool {
    setup.options.token.is_empty() && setup.options.secret.is_none()
}

fn is_topic(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=MAX_TOPIC).contains(&text.len()) && text.chars().all(fits)
}

/// What a body of JSON says, and the text in it.
fn of_json(asked: &Asked<'_>) -> Result<(Sent, Vec<u8>), Answer> {
    if asked.body.len() >= TOO_LARGE {
        return Err(refused(413, 3, "JSON body too large", ""));
    }
    let body = read::body(asked);
    // What follows the object is not read.
    let first = serde_json::Deserializer::from_str(&body).into_iter::<Sent>().next();
    let Some(Ok(sent)) = first else {
        return Err(refused(400, 24, "invalid request: request body must be valid JSON", ""));
    };
    if !is_topic(sent.topic.as_deref().unwrap_or("")) {
        return Err(refused(400, 9, "invalid request: topic invalid", ""));
    }
    let text = sent.message.clone().unwrap_or_default().into_bytes();
    Ok((sent, text))
}

/// What the headers beside a plain text say.
fn of_headers(asked: &Asked<'_>, topic: &str) -> Sent {
    let of = |names: &[&str]| {
        let values = names.iter().map(|name| read::header(asked, name));
        values.map(str::to_owned).find(|value| !value.is_empty())
    };
    Sent {
        topic: Some(topic.to_owned()),
        title: of(&["x-title", "title", "t"]),
        priority: of(&["x-priority", "priority", "prio", "p"]).map(|text| text.parse().unwrap_or(-1)),
        tags: of(&["x-tags", "tags", "tag", "ta"]).map(|tags| vec![tags]),
        click: of(&["x-click", "click"]),
        markdown: of(&["x-markdown", "markdown", "md"])
            .map(|text| matches!(text.as_str(), "1" | "yes" | "true")),
        ..Sent::default()
    }
}

fn check(sent: &Sent) -> Result<(), Answer> {
    if !(0..=5).contains(&sent.priority.unwrap_or(0)) {
        let link = "https://ntfy.sh/docs/publish/#message-priority";
        return Err(refused(400, 7, "invalid priority parameter", link));
    }
    let actions = sent.actions.as_deref().unwrap_or_default();
    let wrong = actions.iter().find_map(|Action { action, label, url, clear: _ }| {
        if !["view", "broadcast", "http"].contains(&action.as_str()) {
            let valid = "valid values are 'view', 'broadcast' and 'http'";
            Some(format!("parameter 'action' cannot be '{action}', {valid}"))
        } else if label.is_empty() {
            Some("parameter 'label' is required".to_owned())
        } else {
            let needs_url = action != "broadcast" && url.is_empty();
            needs_url.then(|| format!("parameter 'url' is required for action '{action}'"))
        }
    });
    let too_many = (actions.len() > MAX_ACTIONS).then(|| format!("only {MAX_ACTIONS} actions allowed"));
    match too_many.or(wrong) {
        None => Ok(()),
        Some(why) => {
            let why = format!("invalid request: actions invalid; {why}");
            Err(refused(400, 18, &why, "https://ntfy.sh/docs/publish/#action-buttons"))
        }
    }
}

/// The code is the status and two digits more.
fn refused(status: u16, detail: u32, error: &str, link: &str) -> Answer {
    let mut body = json!({ "code": u32::from(status) * 100 + detail, "http": status, "error": error });
    if !link.is_empty() {
        body["link"] = Value::String(link.to_owned());
    }
    Answer::json(status, &body)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ChatOptions, testing::Tried},
        *,
    };

    fn tried() -> Tried {
        Tried::new(Service::Ntfy, ChatOptions::default())
    }

    fn say(message: &str) -> Value {
        json!({ "topic": "t", "message": message })
    }

    #[test]
    fn a_burst_of_sixty_and_one_more_every_five_seconds() {
        let mut tried = tried();
        // What is no message does not count.
        assert_eq!(tried.post("/", &json!({ "topic": "a.b" })).status, 400);
        assert!((0..60).all(|_| tried.post("/", &say("x")).status == 200));
        for (ms, status) in [(0, 429), (4999, 429), (1, 200), (0, 429), (10_000, 200), (0, 200), (0, 429)] {
            tried.wait(ms);
            let got = tried.post("/", &say("x"));
            assert_eq!((got.status, got.header("retry-after")), (status, ""));
            assert!(status == 200 || got.json()["code"] == 42901);
        }
    }

    #[test]
    fn the_limit_is_of_bytes_before_trimming() {
        for (message, status) in
            [("ع".repeat(2047) + "x", 200), ("ع".repeat(2048), 400), ("x".repeat(4095) + "\n", 400)]
        {
            assert_eq!(tried().post("/", &say(&message)).status, status);
        }
        let mut generous = tried();
        generous.setup.options.attachments = true;
        let shown = generous.post("/", &say(&"x".repeat(4096))).taken();
        assert_eq!(shown.text, "You received a file: attachment.txt");
    }

    #[test]
    fn what_the_reader_sees() {
        let body = json!({
            "topic": "t",
            "title": "a *b*",
            "message": " **c** evil.com ",
            "click": "http://d.e/",
            "actions": [{ "action": "view", "label": "Open", "url": "http://f.g/" }],
        });
        let shown = tried().post("/", &body).taken();
        assert_eq!(
            (shown.to.as_str(), shown.title.as_str(), shown.text.as_str()),
            ("t", "a *b*", "**c** evil.com")
        );
        let links: Vec<_> = shown.links.iter().map(|link| (link.url.as_str(), link.recognized)).collect();
        assert_eq!(links, [("http://evil.com", true), ("http://d.e/", false), ("http://f.g/", false)]);
        let shown = tried().post("/", &json!({ "topic": "t", "message": "**c**", "markdown": true })).taken();
        assert_eq!((shown.text.as_str(), shown.styles[0].kind), ("c", "bold"));
    }
}

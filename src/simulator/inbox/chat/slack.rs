//! An incoming webhook of Slack. It answers with words.

use hyper::header::RETRY_AFTER;
use serde_json::Value;

use super::{
    super::message::{Link, Message},
    mrkdwn,
    rate::{self, Bucket},
    read,
    setup::{Manner, Setup, Taken},
};
use crate::simulator::http::{Answer, Asked, query::Pairs};

const MAX_BLOCKS: usize = 50;
/// Characters.
const MAX_SECTION: usize = 3000;
const MAX_HEADER: usize = 150;
const MAX_FIELD: usize = 2000;
const MAX_FIELDS: usize = 10;
const MAX_CONTEXT: usize = 10;
const MAX_BUTTONS: usize = 25;
const MAX_BUTTON: usize = 75;
const MAX_URL: usize = 3000;
/// Bytes of all blocks. Senders found about 13 KB.
const MAX_OF_BLOCKS: usize = 13_000;
/// Where the rest of a text is cut off.
const MAX_TEXT: usize = 40_000;

#[derive(Debug)]
pub(super) struct Slack {
    pace: Bucket,
}

impl Default for Slack {
    /// One a second; short bursts are let through.
    fn default() -> Slack {
        Slack { pace: Bucket::new(3, 1000) }
    }
}

impl Slack {
    pub(super) fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        let token = asked.path.strip_prefix("/services/").ok_or_else(|| word(404, "no_service"))?;
        let hook = |token: &str| token.rsplit_once('/').map(|(hook, _)| hook.to_owned());
        if token != setup.options.token {
            let known = hook(token).is_some() && hook(token) == hook(&setup.options.token);
            return Err(if known { word(403, "invalid_token") } else { word(404, "no_service") });
        }
        if asked.method != "POST" {
            return Err(word(400, "invalid_payload"));
        }
        match setup.manner {
            Manner::Gone => return Err(word(410, "channel_is_archived")),
            Manner::Broken => return Err(word(500, "rollup_error")),
            Manner::TooMany(seconds) => return Err(too_many(i64::from(seconds))),
            Manner::Fair | Manner::MovedTo(_) => {}
        }
        self.pace.take(now_ms).map_err(|wait_ms| too_many(rate::seconds(wait_ms)))?;
        let sent = payload(asked).ok_or_else(|| word(400, "invalid_payload"))?;
        let blocks = sent["blocks"].as_array().map_or(&[][..], Vec::as_slice);
        let text = sent["text"].as_str().unwrap_or("");
        if text.is_empty() && blocks.is_empty() && sent["attachments"].as_array().is_none_or(Vec::is_empty) {
            return Err(word(400, "no_text"));
        }
        if sent.get("blocks").is_some_and(|blocks| !blocks.is_array())
            || blocks.len() > MAX_BLOCKS
            || !blocks.iter().all(is_valid)
        {
            return Err(word(400, "invalid_blocks"));
        }
        if !blocks.is_empty() && sent["blocks"].to_string().len() > MAX_OF_BLOCKS {
            return Err(word(400, "msg_blocks_too_long"));
        }
        Ok((word(200, "ok"), shown(&sent, text, asked)))
    }
}

fn payload(asked: &Asked<'_>) -> Option<Value> {
    if read::content_type(asked) == "application/x-www-form-urlencoded" {
        let form = Pairs::of(&read::body(asked));
        return serde_json::from_str(form.last("payload")?).ok().filter(Value::is_object);
    }
    read::object(asked)
}

fn is_valid(block: &Value) -> bool {
    let list = |key: &str| block[key].as_array().map_or(&[][..], Vec::as_slice);
    match read::text(block, "/type") {
        "section" => {
            let fields = list("fields");
            let has_text = !block["text"].is_null();
            (has_text || !fields.is_empty())
                && (!has_text || is_text(&block["text"], MAX_SECTION))
                && fields.len() <= MAX_FIELDS
                && fields.iter().all(|field| is_text(field, MAX_FIELD))
                && (block["accessory"].is_null() || is_element(&block["accessory"]))
        }
        "header" => read::text(block, "/text/type") == "plain_text" && is_text(&block["text"], MAX_HEADER),
        "context" => {
            let elements = list("elements");
            (1..=MAX_CONTEXT).contains(&elements.len())
                && elements.iter().all(|element| element["type"] == "image" || is_text(element, MAX_SECTION))
        }
        "actions" => {
            let elements = list("elements");
            (1..=MAX_BUTTONS).contains(&elements.len()) && elements.iter().all(is_element)
        }
        "divider" => true,
        // What a notification has no use for is not simulated.
        _ => false,
    }
}

fn is_text(text: &Value, most: usize) -> bool {
    let length = read::text(text, "/text").chars().count();
    ["mrkdwn", "plain_text"].contains(&read::text(text, "/type")) && (1..=most).contains(&length)
}

fn is_element(element: &Value) -> bool {
    let url = read::text(element, "/url").chars().count();
    element["type"] != "button"
        || read::text(element, "/text/type") == "plain_text"
            && is_text(&element["text"], MAX_BUTTON)
            && url <= MAX_URL
}

/// The blocks, with the text as the title that a notification shows; without blocks, the text.
fn shown(sent: &Value, text: &str, asked: &Asked<'_>) -> Message {
    let text: String = text.chars().take(MAX_TEXT).collect();
    let mut message = if sent["mrkdwn"] == false { mrkdwn::plain(&text) } else { mrkdwn::shown(&text) };
    let blocks = sent["blocks"].as_array().into_iter().flatten();
    let attachments = sent["attachments"].as_array().into_iter().flatten();
    let mut parts = Vec::new();
    for block in blocks {
        add(block, &mut parts, &mut message);
    }
    if !parts.is_empty() {
        message.title = std::mem::take(&mut message.text);
    }
    for attachment in attachments {
        for key in ["pretext", "title", "text", "footer"] {
            add_text(read::text(attachment, &format!("/{key}")), &mut parts, &mut message);
        }
        for block in attachment["blocks"].as_array().into_iter().flatten() {
            add(block, &mut parts, &mut message);
        }
    }
    if !message.text.is_empty() {
        parts.insert(0, std::mem::take(&mut message.text));
    }
    message.text = parts.join("\n");
    message.body = read::body(asked);
    message
}

/// Adds the texts of a block or of a part of it.
fn add(part: &Value, parts: &mut Vec<String>, message: &mut Message) {
    match read::text(part, "/type") {
        "mrkdwn" => add_text(read::text(part, "/text"), parts, message),
        "plain_text" => parts.push(mrkdwn::plain(read::text(part, "/text")).text),
        "button" => {
            let text = mrkdwn::plain(read::text(part, "/text/text")).text;
            let url = read::text(part, "/url");
            if !url.is_empty() {
                message.links.push(Link::marked(&text, url));
            }
            parts.push(text);
        }
        _ => {
            let lists = ["fields", "elements"].into_iter().filter_map(|key| part[key].as_array()).flatten();
            let inner = [&part["text"]].into_iter().chain(lists).chain([&part["accessory"]]);
            inner.filter(|inner| inner.is_object()).for_each(|inner| add(inner, parts, message));
        }
    }
}

fn add_text(text: &str, parts: &mut Vec<String>, message: &mut Message) {
    if text.is_empty() {
        return;
    }
    let part = mrkdwn::shown(text);
    parts.push(part.text);
    message.links.extend(part.links);
    message.pings.extend(part.pings);
    message.styles.extend(part.styles);
}

fn word(status: u16, word: &'static str) -> Answer {
    Answer::bytes(status, "text/plain", word)
}

fn too_many(seconds: i64) -> Answer {
    word(429, "rate_limited").with(RETRY_AFTER, &seconds.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{super::message::Service, ChatOptions, testing::Tried},
        *,
    };

    const PATH: &str = "/services/T0/B0/x";

    fn tried() -> Tried {
        Tried::new(Service::Slack, ChatOptions { token: "T0/B0/x".to_owned(), ..ChatOptions::default() })
    }

    fn section(text: &str) -> Value {
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
    }

    fn blocks(blocks: &[Value]) -> Value {
        json!({ "text": "t", "blocks": blocks })
    }

    #[test]
    fn words_answer() {
        let header = |text: &str| json!({ "type": "header", "text": { "type": "plain_text", "text": text } });
        let button = |text: &str| {
            let button = json!({ "type": "button", "text": { "type": "plain_text", "text": text }, "url": "http://x.y" });
            json!({ "type": "actions", "elements": [button] })
        };
        let context = |count: usize| json!({ "type": "context", "elements": vec![json!({ "type": "mrkdwn", "text": "x" }); count] });
        // Of 13,000 bytes in all.
        let five = |last: usize| {
            let rest = json!(vec![section(&"x".repeat(2500)); 5]).to_string().len();
            let mut five = vec![section(&"x".repeat(2500)); 5];
            five[4] = section(&"x".repeat(2500 + 13_000 - rest + last));
            blocks(&five)
        };
        for (body, status, word) in [
            (json!({ "text": "x" }), 200, "ok"),
            (json!({ "text": "" }), 400, "no_text"),
            (json!({}), 400, "no_text"),
            (json!([]), 400, "invalid_payload"),
            (blocks(&[section(&"ع".repeat(3000))]), 200, "ok"),
            (blocks(&[section(&"ع".repeat(3001))]), 400, "invalid_blocks"),
            (blocks(&[section("")]), 400, "invalid_blocks"),
            (blocks(&vec![section("x"); 50]), 200, "ok"),
            (blocks(&vec![section("x"); 51]), 400, "invalid_blocks"),
            (blocks(&[header(&"x".repeat(150))]), 200, "ok"),
            (blocks(&[header(&"x".repeat(151))]), 400, "invalid_blocks"),
            (blocks(&[button(&"x".repeat(75))]), 200, "ok"),
            (blocks(&[button(&"x".repeat(76))]), 400, "invalid_blocks"),
            (blocks(&[context(10)]), 200, "ok"),
            (blocks(&[context(11)]), 400, "invalid_blocks"),
            (blocks(&[json!({ "type": "poem" })]), 400, "invalid_blocks"),
            (five(0), 200, "ok"),
            (five(1), 400, "msg_blocks_too_long"),
        ] {
            let got = tried().post(PATH, &body);
            assert_eq!((got.status, got.text.as_str()), (status, word), "{body}");
            assert_eq!(got.message.is_some(), status == 200);
        }
        for (path, status, word) in [
            ("/services/T0/B0/y", 403, "invalid_token"),
            ("/services/T1/B0/x", 404, "no_service"),
            ("/", 404, "no_service"),
        ] {
            let got = tried().post(path, &json!({ "text": "x" }));
            assert_eq!((got.status, got.text.as_str()), (status, word), "{path}");
        }
        for (manner, status, word) in [
            (Manner::Gone, 410, "channel_is_archived"),
            (Manner::Broken, 500, "rollup_error"),
            (Manner::TooMany(9), 429, "rate_limited"),
        ] {
            let mut tried = tried();
            tried.setup.manner = manner;
            let got = tried.post(PATH, &json!({ "text": "x" }));
            assert_eq!((got.status, got.text.as_str()), (status, word));
        }
    }

    #[test]
    fn one_a_second_after_a_burst() {
        let mut tried = tried();
        assert!((0..3).all(|_| tried.post(PATH, &json!({ "text": "x" })).status == 200));
        let got = tried.post(PATH, &json!({ "text": "x" }));
        assert_eq!((got.status, got.header("retry-after")), (429, "1"));
        tried.wait(1000);
        assert_eq!(tried.post(PATH, &json!({ "text": "x" })).status, 200);
        assert_eq!(tried.post(PATH, &json!({ "text": "x" })).status, 429);
    }

    #[test]
    fn what_the_reader_sees() {
        let body = json!({
            "text": "a &lt;!here&gt; &amp; b",
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": "h <!channel>" } },
                section("*new* <!channel> <http://a.b/|see>"),
                { "type": "section", "fields": [{ "type": "mrkdwn", "text": "f &lt;@U1&gt;" }] },
                { "type": "actions", "elements": [
                    { "type": "button", "text": { "type": "plain_text", "text": "Open" }, "url": "http://c.d/" },
                ] },
            ],
        });
        let shown = tried().post(PATH, &body).taken();
        assert_eq!(shown.title, "a <!here> & b");
        assert_eq!(shown.text, "h <!channel>\nnew @channel see\nf <@U1>\nOpen");
        assert_eq!(shown.pings, ["@channel"]);
        assert_eq!(shown.links, [Link::marked("see", "http://a.b/"), Link::marked("Open", "http://c.d/")]);
        let shown = tried().post(PATH, &json!({ "text": "x".repeat(40_001) })).taken();
        assert_eq!(shown.text.len(), 40_000);
    }
}

//! The table of chats: what is particular to each. Everything else is common.

use reqwest::Url;
use serde_json::{Value, json};

use super::{
    answer::{
        Answer,
        Meaning::{self, Auth, Busy, Message, Rate as TooOften, State, TooLarge},
        Said::{self, Code, Field, Status, Text},
    },
    config::{ChatConfig, Dialect},
    limit::{
        Limit,
        Of::{Body, Visible, Written},
        Unit::{Bytes, CodePoints, GoJson, Utf16},
    },
    markup::Markup,
    sign,
};
use crate::{
    model::{Severity, Timestamp},
    notify::Rate,
    secret::Secret,
};

/// A kind of chat.
pub(super) struct Row {
    pub(super) dialect: Dialect,
    /// Where a message is posted, if the configured URL is such a one.
    pub(super) url: fn(&ChatConfig, Url, Timestamp) -> Url,
    pub(super) body: fn(&Post<'_>) -> Value,
    /// The header that carries the token, if one does.
    pub(super) token_header: Option<&'static str>,
    /// The message has a title of its own, so the text does not begin with it.
    pub(super) has_title: bool,
    pub(super) markup: Markup,
    pub(super) limits: &'static [Limit],
    /// Whether an answer of status 2xx says that the message was accepted.
    pub(super) accepts: fn(&Answer<'_>) -> bool,
    /// JSON pointers to the code, the first that is there.
    pub(super) codes_at: &'static [&'static str],
    /// JSON pointer to what should have been the status.
    pub(super) status_at: Option<&'static str>,
    /// JSON pointer to the seconds to wait. The header `Retry-After` is looked at first.
    pub(super) waits_at: &'static str,
    /// JSON pointer to the new id of a room that has moved.
    pub(super) moves_at: Option<&'static str>,
    /// The first that fits counts; after all of them, the status.
    pub(super) refusals: &'static [(Said, Meaning)],
    /// What the service allows.
    pub(super) pace: fn(&ChatConfig) -> &'static [Rate],
}

/// A message to be posted.
#[derive(Clone, Debug)]
pub(super) struct Post<'a> {
    pub(super) config: &'a ChatConfig,
    pub(super) room: &'a str,
    /// Of the notice, the same in each attempt.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// With its markup.
    pub(super) text: &'a str,
    pub(super) has_markup: bool,
    pub(super) importance: Importance,
    pub(super) link: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// How loud a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Importance {
    Firing(Severity),
    Resolved,
}

impl Importance {
    /// One of four numbers or words, from the least important on.
    fn choose<T>(self, [info, resolved, warning, critical]: [T; 4]) -> T {
        match self {
            Importance::Firing(Severity::Info) => info,
            Importance::Resolved => resolved,
            Importance::Firing(Severity::Warning) => warning,
            Importance::Firing(Severity::Critical) => critical,
        }
    }
}

impl Dialect {
    pub(super) fn row(self) -> &'static Row {
        match self {
            Dialect::Bark => &BARK,
            Dialect::Dingtalk => &DINGTALK,
            Dialect::Discord => &DISCORD,
            Dialect::Feishu => &FEISHU,
            Dialect::Gotify => &GOTIFY,
            Dialect::Ntfy => &NTFY,
            Dialect::Slack => &SLACK,
            Dialect::Telegram => &TELEGRAM,
            Dialect::Wecom => &WECOM,
        }
    }
}

const TELEGRAM: Row = Row {
    dialect: Dialect::Telegram,
    url: |config, url, _| below(url, &[&format!("bot{}", exposed(&config.token)), "sendMessage"]),
    body: |post| {
        let mut body = json!({
            "chat_id": post.room.parse::<i64>().map_or_else(|_| Value::from(post.room), Value::from),
            "text": post.text,
            "link_preview_options": {"is_disabled": true},
            "disable_notification": post.importance == Importance::Firing(Severity::Info),
        });
        if post.has_markup {
            body["parse_mode"] = "HTML".into();
        }
        if let Some(thread) = post.config.thread {
            body["message_thread_id"] = thread.into();
        }
        body
    },
    token_header: None,
    has_title: false,
    markup: Markup::Html,
    limits: &[Limit::new(4096, Visible, CodePoints), Limit::new(32_768, Written, Bytes)],
    accepts: |answer| answer.at("/ok") == Some(&true.into()),
    codes_at: &["/error_code"],
    status_at: Some("/error_code"),
    waits_at: "/parameters/retry_after",
    moves_at: Some("/parameters/migrate_to_chat_id"),
    refusals: &[
        (Text("can't parse entities"), Meaning::Markup),
        (Text("message is too long"), TooLarge),
        (Text("chat not found"), State),
        (Text("message thread not found"), State),
        (Text("group chat was upgraded"), State),
        (Text("TOPIC_CLOSED"), State),
        (Text("not enough rights"), State),
        (Text("have no rights"), State),
        (Text("CHAT_WRITE_FORBIDDEN"), State),
        (Text("need administrator rights"), State),
        (Text("PEER_ID_INVALID"), State),
        (Text("TOPIC_DELETED"), State),
    ],
    pace: |config| {
        const TO_ONE: &[Rate] = &[Rate::new(1, 1)];
        const TO_MANY: &[Rate] = &[Rate::new(1, 1), Rate::new(20, 60)];
        // A group has a negative id, and a channel perhaps a name.
        let room = config.room.as_ref().map_or("", Secret::expose);
        if room.starts_with(['-', '@']) { TO_MANY } else { TO_ONE }
    },
};

const DISCORD: Row = Row {
    dialect: Dialect::Discord,
    url: |config, mut url, _| {
        // Only then does it say whether the message was saved.
        url.query_pairs_mut().append_pair("wait", "true");
        if let Some(thread) = config.thread {
            url.query_pairs_mut().append_pair("thread_id", &thread.to_string());
        }
        url
    },
    body: |post| {
        json!({
            "content": post.text,
            "allowed_mentions": {"parse": []},
            // Without previews of links.
            "flags": 4,
        })
    },
    token_header: None,
    has_title: false,
    markup: Markup::Discord,
    limits: &[Limit::new(2000, Written, CodePoints)],
    accepts: |answer| answer.at("/id").is_some(),
    codes_at: &["/code"],
    status_at: None,
    waits_at: "/retry_after",
    moves_at: None,
    refusals: &[
        (Text("BASE_TYPE_MAX_LENGTH"), TooLarge),
        (Code(50_035), Message),
        (Code(50_006), Message),
        (Code(50_109), Message),
        (Code(50_027), Auth),
        (Code(10_003), State),
        (Code(10_015), State),
        (Code(50_083), State),
        (Code(220_001), State),
        (Code(20_028), TooOften),
        (Code(40_062), TooOften),
    ],
    pace: |_| const { &[Rate::new(5, 2), Rate::new(30, 60)] },
};

const SLACK: Row = Row {
    dialect: Dialect::Slack,
    url: |_, url, _| url,
    body: |post| {
        json!({
            // For the notification on a phone.
            "text": Markup::Slack.escape(post.title),
            "blocks": [
                {"type": "section", "text": {"type": "mrkdwn", "text": post.text, "verbatim": true}},
            ],
            "unfurl_links": false,
            "unfurl_media": false,
        })
    },
    token_header: None,
    has_title: false,
    markup: Markup::Slack,
    limits: &[Limit::new(3000, Written, Utf16)],
    accepts: |answer| answer.text.trim() == "ok",
    codes_at: &[],
    status_at: None,
    waits_at: "/retry_after",
    moves_at: None,
    refusals: &[
        (Text("rate_limited"), TooOften),
        (Text("ratelimited"), TooOften),
        (Text("msg_blocks_too_long"), TooLarge),
        (Text("msg_too_long"), TooLarge),
        (Text("rollup_error"), Busy),
        (Text("action_prohibited"), Auth),
        (Text("invalid_token"), Auth),
        (Text("invalid_auth"), Auth),
        (Text("no_service"), State),
        (Text("channel_not_found"), State),
        (Text("\"is_archived\""), State),
        (Text("invalid_payload"), Message),
        (Text("no_text"), Message),
        (Text("invalid_blocks"), Message),
        (Said::False("/ok"), Message),
    ],
    pace: |_| const { &[Rate::new(1, 1)] },
};

const FEISHU: Row = Row {
    dialect: Dialect::Feishu,
    url: |_, url, _| url,
    body: |post| {
        let mut body = json!({"msg_type": "text", "content": {"text": post.text}});
        if let Some(secret) = &post.config.secret {
            body["timestamp"] = post.now.as_secs().to_string().into();
            body["sign"] = sign::feishu(secret, post.now).into();
        }
        body
    },
    token_header: None,
    has_title: false,
    markup: Markup::PlainWithTags,
    limits: &[Limit::new(20_000, Body, Bytes)],
    accepts: |answer| answer.code(FEISHU.codes_at) == Some(0),
    codes_at: &["/code", "/StatusCode"],
    status_at: None,
    waits_at: "/retry_after",
    moves_at: None,
    refusals: &[
        (Text("too many request"), TooOften),
        (Code(11_232), TooOften),
        (Code(19_036), TooLarge),
        (Code(19_021), Auth),
        (Code(19_022), Auth),
        (Code(19_001), State),
        (Code(19_007), State),
        (Code(19_024), State),
        (Code(9499), Message),
        (Code(19_002), Message),
    ],
    pace: |_| const { &[Rate::new(5, 1), Rate::new(100, 60)] },
};

const DINGTALK: Row = Row {
    dialect: Dialect::Dingtalk,
    url: |config, mut url, now| {
        if let Some(secret) = &config.secret {
            url.query_pairs_mut()
                .append_pair("timestamp", &now.as_millis().to_string())
                .append_pair("sign", &sign::dingtalk(secret, now));
        }
        url
    },
    body: |post| json!({"msgtype": "text", "text": {"content": post.text}}),
    token_header: None,
    has_title: false,
    markup: Markup::Plain,
    limits: &[Limit::new(20_000, Body, Bytes)],
    accepts: |answer| answer.number("/errcode") == Some(0),
    codes_at: &["/errcode"],
    status_at: None,
    waits_at: "/wait",
    moves_at: None,
    refusals: &[
        (Code(130_101), TooOften),
        (Code(410_100), TooOften),
        // An address that is banned for a while gets no code.
        (Field("/wait"), TooOften),
        (Code(-1), Busy),
        (Code(460_101), TooLarge),
        // The signature, the keyword or the address.
        (Code(310_000), Auth),
        (Code(300_001), State),
        (Code(300_005), State),
        (Code(40_035), State),
        (Code(400_013), State),
        (Code(400_101), State),
        (Code(400_102), State),
    ],
    pace: |_| const { &[Rate::new(20, 60)] },
};

const WECOM: Row = Row {
    dialect: Dialect::Wecom,
    url: |_, url, _| url,
    body: |post| json!({"msgtype": "markdown", "markdown": {"content": post.text}}),
    token_header: None,
    has_title: false,
    markup: Markup::Wecom,
    limits: &[Limit::new(4096, Written, Bytes)],
    accepts: |answer| answer.number("/errcode") == Some(0),
    codes_at: &["/errcode"],
    status_at: None,
    waits_at: "/retry_after",
    moves_at: None,
    refusals: &[
        (Code(45_009), TooOften),
        (Code(45_033), TooOften),
        (Code(-1), Busy),
        (Code(40_058), TooLarge),
        (Code(93_000), State),
    ],
    pace: |_| const { &[Rate::new(20, 60)] },
};

const NTFY: Row = Row {
    dialect: Dialect::Ntfy,
    // To the root: JSON that is sent to a topic's own URL becomes the text.
    url: |_, url, _| below(url, &[""]),
    body: |post| {
        let mut body = json!({
            "topic": post.room,
            "title": post.title,
            "message": post.text,
            "priority": post.importance.choose([2, 3, 4, 5]),
            "tags": [post.importance.choose(["information_source", "white_check_mark", "warning", "rotating_light"])],
        });
        if let Some(link) = post.link {
            body["click"] = link.into();
        }
        body
    },
    token_header: None,
    has_title: true,
    markup: Markup::Plain,
    // With one byte more it becomes an attachment.
    limits: &[Limit::new(4095, Written, Bytes), Limit::new(8191, Body, Bytes)],
    accepts: |answer| answer.at("/id").is_some() && answer.at("/attachment").is_none(),
    codes_at: &["/code"],
    status_at: Some("/http"),
    waits_at: "/retry_after",
    moves_at: None,
    refusals: &[
        (Field("/attachment"), TooLarge),
        (Code(40_014), TooLarge),
        (Code(41_303), TooLarge),
        (Code(40_009), State),
        (Code(40_010), State),
    ],
    // After a burst of 60, one more each 5 seconds.
    pace: |_| const { &[Rate::new(60, 300)] },
};

const GOTIFY: Row = Row {
    dialect: Dialect::Gotify,
    url: |_, url, _| below(url, &["message"]),
    body: |post| {
        let mut body = json!({
            "title": post.title,
            "message": post.text,
            "priority": post.importance.choose([2, 4, 5, 8]),
        });
        if let Some(link) = post.link {
            body["extras"] = json!({"client::notification": {"click": {"url": link}}});
        }
        body
    },
    token_header: Some("x-gotify-key"),
    has_title: true,
    markup: Markup::Plain,
    // Gotify has no limit; this one is for the reader.
    limits: &[Limit::new(20_000, Written, Bytes)],
    accepts: |answer| answer.at("/id").is_some(),
    codes_at: &["/errorCode"],
    status_at: Some("/errorCode"),
    waits_at: "/retry_after",
    moves_at: None,
    // The token is a client's and not an application's.
    refusals: &[(Text("appid is required"), State)],
    pace: |_| &[],
};

const BARK: Row = Row {
    dialect: Dialect::Bark,
    url: |_, url, _| below(url, &["push"]),
    body: |post| {
        let mut body = json!({
            "device_key": exposed(&post.config.token),
            "title": post.title,
            "body": post.text,
            "group": "proxymeter",
            "level": post.importance.choose(["passive", "active", "active", "timeSensitive"]),
            // What is sent again replaces what is shown.
            "id": post.id,
        });
        if let Some(link) = post.link {
            body["url"] = link.into();
        }
        body
    },
    token_header: None,
    has_title: true,
    markup: Markup::Plain,
    // Of Apple's 4,096 bytes, less what the server adds.
    limits: &[Limit::new(3800, Body, GoJson)],
    accepts: |answer| answer.number("/code") == Some(200),
    codes_at: &["/code"],
    status_at: Some("/code"),
    waits_at: "/retry_after",
    moves_at: None,
    refusals: &[
        (Text("PayloadTooLarge"), TooLarge),
        (Text("TooManyRequests"), TooOften),
        (Text("BadDeviceToken"), State),
        (Text("Unregistered"), State),
        (Text("failed to get device token"), State),
        (Text("device key is empty"), State),
        // It answers so without the right login.
        (Status(418), Auth),
    ],
    pace: |_| &[],
};

fn exposed(secret: &Option<Secret>) -> &str {
    secret.as_ref().map_or("", Secret::expose)
}

/// A path below the server's address.
fn below(mut url: Url, path: &[&str]) -> Url {
    // Every http URL has a path.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

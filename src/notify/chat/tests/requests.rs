//! How requests are made.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{
        config::{ChatConfig, Dialect},
        dialects::{Importance, Post},
        limit::{Limit, Of, Unit},
    },
    NOW, config,
};
use crate::{
    model::Severity,
    notify::{Rate, api::parse_url},
};

fn url(config: &ChatConfig) -> String {
    let url = parse_url(&config.url).unwrap();
    (config.dialect.row().url)(config, url, NOW).to_string()
}

#[test]
fn urls() {
    let at = |dialect, url: &str| ChatConfig { url: url.into(), ..config(dialect) };
    let telegram = |url: &str| ChatConfig { token: Some("12:A-b_c".into()), ..at(Dialect::Telegram, url) };
    let signed = |dialect, url: &str| ChatConfig { secret: Some("demo".into()), ..at(dialect, url) };
    let thread = ChatConfig { thread: Some(42), ..at(Dialect::Discord, "https://x/api/webhooks/1/T") };
    for (config, expected) in [
        (telegram("https://api.telegram.org"), "https://api.telegram.org/bot12:A-b_c/sendMessage"),
        (telegram("https://tg.example/p/"), "https://tg.example/p/bot12:A-b_c/sendMessage"),
        (at(Dialect::Discord, "https://x/api/webhooks/1/T"), "https://x/api/webhooks/1/T?wait=true"),
        (thread, "https://x/api/webhooks/1/T?wait=true&thread_id=42"),
        (at(Dialect::Slack, "https://x/services/T/B/S"), "https://x/services/T/B/S"),
        (signed(Dialect::Feishu, "https://x/hook/1"), "https://x/hook/1"),
        (
            signed(Dialect::Dingtalk, "https://x/robot/send?access_token=T"),
            "https://x/robot/send?access_token=T&timestamp=1795600000000&\
             sign=xEjJhB6%2FE%2FjM9q3o9PZ4iox1M%2F%2BZsHU9plEoMwaripI%3D",
        ),
        (at(Dialect::Dingtalk, "https://x/robot/send?access_token=T"), "https://x/robot/send?access_token=T"),
        (at(Dialect::Wecom, "https://x/cgi-bin/webhook/send?key=K"), "https://x/cgi-bin/webhook/send?key=K"),
        (at(Dialect::Ntfy, "https://ntfy.sh"), "https://ntfy.sh/"),
        (at(Dialect::Ntfy, "https://x/ntfy"), "https://x/ntfy/"),
        (at(Dialect::Gotify, "https://x/gotify/"), "https://x/gotify/message"),
        (at(Dialect::Bark, "https://api.day.app"), "https://api.day.app/push"),
    ] {
        assert_eq!(url(&config), expected);
    }
}

fn body(config: &ChatConfig, importance: Importance, has_markup: bool) -> Value {
    let post = Post {
        config,
        room: "-100",
        id: "msg_1",
        title: "home: <b>",
        text: "text",
        has_markup,
        importance,
        link: Some("https://meter.example/alerts"),
        now: NOW,
    };
    (config.dialect.row().body)(&post)
}

#[test]
fn bodies() {
    let warning = Importance::Firing(Severity::Warning);
    for (config, expected) in [
        (
            ChatConfig { thread: Some(7), ..config(Dialect::Telegram) },
            json!({
                "chat_id": -100, "text": "text", "parse_mode": "HTML", "message_thread_id": 7,
                "disable_notification": false, "link_preview_options": {"is_disabled": true},
            }),
        ),
        (config(Dialect::Discord), json!({"content": "text", "allowed_mentions": {"parse": []}, "flags": 4})),
        (
            config(Dialect::Slack),
            json!({
                "text": "home: &lt;b&gt;",
                "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "text", "verbatim": true}}],
                "unfurl_links": false, "unfurl_media": false,
            }),
        ),
        (
            ChatConfig { secret: Some("synthetic-Secret_1".into()), ..config(Dialect::Feishu) },
            json!({
                "msg_type": "text", "content": {"text": "text"}, "timestamp": "1795600000",
                "sign": "lkfR2aJVakLSrwQ4+L7rZ0XdmgCLjFVAdY1P/014Qvk=",
            }),
        ),
        (config(Dialect::Feishu), json!({"msg_type": "text", "content": {"text": "text"}})),
        (config(Dialect::Dingtalk), json!({"msgtype": "text", "text": {"content": "text"}})),
        (config(Dialect::Wecom), json!({"msgtype": "markdown", "markdown": {"content": "text"}})),
        (
            config(Dialect::Ntfy),
            json!({
                "topic": "-100", "title": "home: <b>", "message": "text", "priority": 4, "tags": ["warning"],
                "click": "https://meter.example/alerts",
            }),
        ),
        (
            config(Dialect::Gotify),
            json!({
                "title": "home: <b>", "message": "text", "priority": 5,
                "extras": {"client::notification": {"click": {"url": "https://meter.example/alerts"}}},
            }),
        ),
        (
            ChatConfig { token: Some("key".into()), ..config(Dialect::Bark) },
            json!({
                "device_key": "key", "title": "home: <b>", "body": "text", "group": "proxymeter", "level": "active",
                "id": "msg_1", "url": "https://meter.example/alerts",
            }),
        ),
    ] {
        assert_eq!(body(&config, warning, true), expected);
    }
    let plain = body(&config(Dialect::Telegram), warning, false);
    assert_eq!(plain.get("parse_mode"), None);
}

#[test]
fn importance_is_in_priorities_and_levels() {
    let firing = Importance::Firing;
    for (importance, silent, ntfy, gotify, bark) in [
        (firing(Severity::Info), true, 2, 2, "passive"),
        (Importance::Resolved, false, 3, 4, "active"),
        (firing(Severity::Warning), false, 4, 5, "active"),
        (firing(Severity::Critical), false, 5, 8, "timeSensitive"),
    ] {
        let of = |dialect, key: &str| body(&config(dialect), importance, true)[key].clone();
        assert_eq!(of(Dialect::Telegram, "disable_notification"), silent);
        assert_eq!(
            (of(Dialect::Ntfy, "priority"), of(Dialect::Gotify, "priority")),
            (ntfy.into(), gotify.into())
        );
        assert_eq!(of(Dialect::Bark, "level"), bark);
    }
}

#[test]
fn lengths_are_counted_as_the_chat_counts() {
    for (text, bytes, points, utf16, go) in [
        ("abc", 3, 3, 3, 3),
        ("да", 4, 2, 2, 4),
        ("کا", 4, 2, 2, 4),
        ("中文", 6, 2, 2, 6),
        ("🦀", 4, 1, 2, 4),
        ("<&>", 3, 3, 3, 18),
        ("\u{2028}", 3, 1, 1, 6),
        ("👨‍👩‍👧", 18, 5, 8, 18),
    ] {
        let counts = [Unit::Bytes, Unit::CodePoints, Unit::Utf16, Unit::GoJson].map(|unit| unit.count(text));
        assert_eq!(counts, [bytes, points, utf16, go], "{text}");
    }
    let limits = |dialect: Dialect| {
        let limits = dialect.row().limits.iter().map(|&Limit { most, of, unit }| (most, of, unit));
        limits.collect::<Vec<_>>()
    };
    assert_eq!(
        limits(Dialect::Telegram),
        [(4096, Of::Visible, Unit::CodePoints), (32_768, Of::Written, Unit::Bytes)]
    );
    assert_eq!(limits(Dialect::Ntfy), [(4095, Of::Written, Unit::Bytes), (8191, Of::Body, Unit::Bytes)]);
    assert_eq!(limits(Dialect::Wecom), [(4096, Of::Written, Unit::Bytes)]);
    assert_eq!(limits(Dialect::Discord), [(2000, Of::Written, Unit::CodePoints)]);
}

#[test]
fn rates_are_those_of_the_service() {
    let rates = |dialect: Dialect, room: &str| {
        let config = ChatConfig { room: Some(room.into()), ..config(dialect) };
        (dialect.row().pace)(&config)
    };
    let rate = |most, seconds| Rate { most, within: Duration::from_secs(seconds) };
    for room in ["-1001234567890", "-5", "@alerts"] {
        assert_eq!(rates(Dialect::Telegram, room), [rate(1, 1), rate(20, 60)], "{room}");
    }
    assert_eq!(rates(Dialect::Telegram, "5"), [rate(1, 1)]);
    assert_eq!(rates(Dialect::Dingtalk, ""), [rate(20, 60)]);
    assert_eq!(rates(Dialect::Wecom, ""), [rate(20, 60)]);
    assert_eq!(rates(Dialect::Feishu, ""), [rate(5, 1), rate(100, 60)]);
    assert_eq!(rates(Dialect::Ntfy, ""), [rate(60, 300)]);
    assert_eq!(rates(Dialect::Gotify, ""), []);
}

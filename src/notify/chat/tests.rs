//! The table of dialects: what each answer means, how a request is made, and what counts as too long.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::{
    config::{ChatConfig, Dialect},
    dialects::{Importance, Post},
    limit::{Limit, Of, Unit},
    markup::{Markup, Piece, inert},
    message::Message,
    verdict::{Verdict, judge},
};
use crate::{
    http::{Reply, options::TlsOptions},
    model::{Notice, NoticeAlert, NoticeStatus, Severity, Timestamp},
    notify::{Rate, Retry, SendReason, email::config::ReceiverConfig, webhook::verdict::Refusal},
    wording::{Language, Voice},
};

const NOW: Timestamp = Timestamp::from_secs(1_795_600_000);

fn reply(status: u16, headers: &[(HeaderName, &str)], body: &str) -> Reply {
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
    Reply { status, headers, body: Bytes::from(body.to_owned()) }
}

fn refused(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Refused(refusal) | Verdict::Markup(refusal) | Verdict::Moved(_, refusal) => refusal,
    }
}

/// The reason and what follows, of an answer to a message about so many alerts.
fn judged(dialect: Dialect, reply: &Reply, named: usize) -> Option<(SendReason, Retry)> {
    let refusal = judge(dialect.row(), reply, named, NOW).err().map(refused)?;
    Some((refusal.reason, refusal.retry))
}

fn wait(seconds: u64) -> Retry {
    Retry::NotBefore(Duration::from_secs(seconds))
}

/// What each says when it has accepted a message.
const GOOD: [(Dialect, &str); 9] = [
    (Dialect::Bark, r#"{"code":200,"message":"success","timestamp":1795639669}"#),
    (Dialect::Dingtalk, r#"{"errcode":0,"errmsg":"ok"}"#),
    (Dialect::Discord, r#"{"id":"1103","content":"chat not found, BASE_TYPE_MAX_LENGTH"}"#),
    (Dialect::Feishu, r#"{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}"#),
    (Dialect::Gotify, r#"{"id":1,"appid":1,"message":"appid is required","title":"t","priority":8}"#),
    (Dialect::Ntfy, r#"{"id":"99DpOjYYN041","time":1795639553,"event":"message","message":"x"}"#),
    (Dialect::Slack, "ok"),
    (Dialect::Telegram, r#"{"ok":true,"result":{"message_id":7,"text":"can't parse entities"}}"#),
    (Dialect::Wecom, r#"{"errcode":0,"errmsg":"ok"}"#),
];

#[test]
fn every_status_of_every_chat() {
    for (dialect, good) in GOOD {
        for status in 100..=599 {
            for named in [1, 5, 6, 50] {
                let expected = match status {
                    // A success that does not say so is none.
                    200..=299 => Some((SendReason::Response, Retry::Later)),
                    300..=399 => Some((SendReason::Redirect, Retry::Later)),
                    400 | 413 if named > 5 => Some((SendReason::ClientError, Retry::Smaller)),
                    413 if named > 1 => Some((SendReason::ClientError, Retry::Smaller)),
                    401 | 403 | 407 => Some((SendReason::Auth, Retry::Refused)),
                    418 if dialect == Dialect::Bark => Some((SendReason::Auth, Retry::Refused)),
                    404 | 405 => Some((SendReason::ClientError, Retry::Refused)),
                    408 => Some((SendReason::Timeout, wait(7))),
                    410 => Some((SendReason::Gone, Retry::Disabled)),
                    425 => Some((SendReason::ClientError, wait(7))),
                    429 => Some((SendReason::RateLimited, wait(7))),
                    400..=499 => Some((SendReason::ClientError, Retry::Never)),
                    500..=599 => Some((SendReason::ServerError, wait(7))),
                    _ => Some((SendReason::Response, Retry::Later)),
                };
                for body in ["", "{}", "null", "[1]", "Bad Gateway", "\u{fffd}"] {
                    let reply = reply(status, &[(RETRY_AFTER, "7")], body);
                    assert_eq!(
                        judged(dialect, &reply, named),
                        expected,
                        "{dialect:?} {status} {named} {body}"
                    );
                }
            }
            let accepted = judged(dialect, &reply(status, &[], good), 1).is_none();
            assert_eq!(accepted, (200..=299).contains(&status), "{dialect:?} {status}");
        }
        for page in ["<!doctype html><title>Log in</title>", "<html>ok</html>", "{\"hello\":\"world\"}"] {
            let expected = Some((SendReason::Response, Retry::Later));
            assert_eq!(judged(dialect, &reply(200, &[], page), 50), expected, "{dialect:?} {page}");
        }
        // What another chat says when it has accepted a message.
        for (other, body) in GOOD {
            let both = [Dialect::Dingtalk, Dialect::Wecom];
            let ids = [Dialect::Discord, Dialect::Gotify, Dialect::Ntfy];
            let alike =
                [both.as_slice(), &ids].iter().any(|like| like.contains(&dialect) && like.contains(&other));
            if dialect != other && !alike {
                assert!(judged(dialect, &reply(200, &[], body), 1).is_some(), "{dialect:?} took {other:?}");
            }
        }
    }
}

#[test]
fn what_the_body_says_counts() {
    use Dialect::{Bark, Dingtalk, Discord, Feishu, Gotify, Ntfy, Slack, Telegram, Wecom};
    const AUTH: (SendReason, Retry) = (SendReason::Auth, Retry::Refused);
    const STATE: (SendReason, Retry) = (SendReason::ClientError, Retry::Refused);
    const NEVER: (SendReason, Retry) = (SendReason::ClientError, Retry::Never);
    const RATE: (SendReason, Retry) = (SendReason::RateLimited, Retry::Later);
    const BUSY: (SendReason, Retry) = (SendReason::ServerError, Retry::Later);
    const LARGE: (SendReason, Retry) = (SendReason::ClientError, Retry::Smaller);
    let feishu = |code: i64, msg: &str| format!(r#"{{"code":{code},"data":{{}},"msg":"{msg}"}}"#);
    let robot = |code: i64, msg: &str| format!(r#"{{"errcode":{code},"errmsg":"{msg}"}}"#);
    let telegram =
        |code: u16, text: &str| format!(r#"{{"ok":false,"error_code":{code},"description":"{text}"}}"#);
    let discord = |code: i64, text: &str| format!(r#"{{"message":"{text}","code":{code}}}"#);
    let bark = |code: u16, text: &str| format!(r#"{{"code":{code},"message":"{text}","timestamp":1}}"#);
    let too_long = r#"{"code":50035,"message":"Invalid Form Body","errors":{"content":{"_errors":[
        {"code":"BASE_TYPE_MAX_LENGTH","message":"Must be 2000 or fewer in length."}]}}}"#;
    let cases: Vec<(Dialect, u16, String, (SendReason, Retry))> = vec![
        (Telegram, 401, telegram(401, "Unauthorized"), AUTH),
        (Telegram, 403, telegram(403, "Forbidden: bot was blocked by the user"), AUTH),
        (Telegram, 403, telegram(403, "Forbidden: bot was kicked from the group chat"), AUTH),
        (Telegram, 404, telegram(404, "Not Found"), STATE),
        (Telegram, 400, telegram(400, "Bad Request: chat not found"), STATE),
        (Telegram, 400, telegram(400, "Bad Request: message thread not found"), STATE),
        (Telegram, 400, telegram(400, "Bad Request: message is too long"), LARGE),
        (Telegram, 400, telegram(400, "Bad Request: message text is empty"), LARGE),
        (Telegram, 400, telegram(400, "Bad Request: can't parse entities: x"), NEVER),
        (Telegram, 200, telegram(400, "Bad Request: chat not found"), STATE),
        (Telegram, 200, telegram(401, "Unauthorized"), AUTH),
        (Telegram, 200, telegram(429, "Too Many Requests: retry after 7"), RATE),
        (Telegram, 200, telegram(500, "Internal Server Error"), BUSY),
        (Telegram, 200, r#"{"ok":false}"#.into(), (SendReason::Response, Retry::Later)),
        (Discord, 400, too_long.into(), LARGE),
        (Discord, 400, discord(50_035, "Invalid Form Body"), NEVER),
        (Discord, 400, discord(50_006, "Cannot send an empty message"), NEVER),
        (Discord, 400, discord(50_109, "The request body contains invalid JSON."), NEVER),
        (Discord, 400, discord(220_001, "Webhooks posted to forum channels must have a thread_name"), STATE),
        (Discord, 401, discord(50_027, "Invalid Webhook Token"), AUTH),
        (Discord, 404, discord(10_015, "Unknown Webhook"), STATE),
        (Discord, 429, "error code: 1015".into(), RATE),
        (Discord, 200, discord(0, "something"), NEVER),
        (Slack, 400, "invalid_payload".into(), LARGE),
        (Slack, 400, "no_text".into(), LARGE),
        (Slack, 400, "invalid_blocks".into(), LARGE),
        (Slack, 400, "msg_blocks_too_long".into(), LARGE),
        (Slack, 403, "action_prohibited".into(), AUTH),
        (Slack, 403, "invalid_token".into(), AUTH),
        (Slack, 404, "no_service".into(), STATE),
        (Slack, 404, "channel_not_found".into(), STATE),
        (Slack, 410, "channel_is_archived".into(), (SendReason::Gone, Retry::Disabled)),
        (Slack, 500, "rollup_error".into(), BUSY),
        (Slack, 200, r#"{"ok":false,"error":"invalid_payload"}"#.into(), NEVER),
        (Slack, 200, r#"{"ok":false,"error":"channel_not_found"}"#.into(), STATE),
        (Slack, 200, r#"{"ok":false,"error":"ratelimited"}"#.into(), RATE),
        (Slack, 200, r#"{"ok":false,"error":"invalid_auth"}"#.into(), AUTH),
        (Feishu, 200, feishu(19_001, "param invalid: incoming webhook access token invalid"), STATE),
        (Feishu, 200, feishu(19_002, "params error, msg_type need"), NEVER),
        (Feishu, 200, feishu(19_007, "bot not enabled"), STATE),
        (Feishu, 200, feishu(19_021, "sign match fail or timestamp is not within one hour"), AUTH),
        (Feishu, 200, feishu(19_022, "Ip Not Allowed"), AUTH),
        (Feishu, 200, feishu(19_024, "Key Words Not Found"), STATE),
        (Feishu, 200, feishu(19_036, "message is too large"), LARGE),
        (Feishu, 200, feishu(9499, "Bad Request"), NEVER),
        (Feishu, 400, feishu(9499, "too many request"), RATE),
        (Feishu, 400, feishu(11_232, "frequency limited psm[lark.oapi.app_platform_runtime]"), RATE),
        (Feishu, 400, feishu(19_001, "param invalid"), STATE),
        (Feishu, 200, r#"{"StatusCode":0,"code":9499,"msg":"Bad Request"}"#.into(), NEVER),
        (Feishu, 200, r#"{"StatusCode":19001}"#.into(), STATE),
        (Feishu, 200, feishu(77_777, "new"), NEVER),
        (Dingtalk, 200, robot(310_000, "keywords not in content"), AUTH),
        (Dingtalk, 200, robot(310_000, "sign not match"), AUTH),
        (Dingtalk, 200, robot(300_005, "token is not exist"), STATE),
        (Dingtalk, 200, robot(40_035, "缺少参数 access_token"), STATE),
        (Dingtalk, 200, robot(400_013, "group gone"), STATE),
        (Dingtalk, 200, robot(400_102, "robot off"), STATE),
        (Dingtalk, 200, robot(460_101, "message too long, exceed 20000 bytes"), LARGE),
        (Dingtalk, 200, robot(130_101, "send too fast, exceed 20 times per minute"), RATE),
        (Dingtalk, 200, robot(410_100, "too fast"), RATE),
        (Dingtalk, 200, robot(-1, "system busy"), BUSY),
        (Dingtalk, 200, robot(400_105, "unsupported msgtype"), NEVER),
        (Dingtalk, 200, robot(43_004, "invalid Content-Type"), NEVER),
        (Dingtalk, 200, r#"{"status":1111,"wait":600}"#.into(), (SendReason::RateLimited, wait(600))),
        (Dingtalk, 200, r#"{"ok":true}"#.into(), (SendReason::Response, Retry::Later)),
        (Wecom, 200, robot(93_000, "invalid webhook url, hint: [1]"), STATE),
        (Wecom, 200, robot(40_058, "markdown.content exceed max length 4096."), LARGE),
        (Wecom, 200, robot(45_009, "api freq out of limit"), RATE),
        (Wecom, 200, robot(-1, "system error"), BUSY),
        (Wecom, 200, robot(44_004, "empty content"), NEVER),
        // What it means is in the code.
        (Wecom, 200, robot(93_000, "ok"), STATE),
        (Ntfy, 400, r#"{"code":40014,"http":400,"error":"attachments not allowed"}"#.into(), LARGE),
        (Ntfy, 413, r#"{"code":41303,"http":413,"error":"JSON body too large"}"#.into(), LARGE),
        (Ntfy, 400, r#"{"code":40009,"http":400,"error":"topic invalid"}"#.into(), STATE),
        (Ntfy, 401, r#"{"code":40101,"http":401,"error":"unauthorized"}"#.into(), AUTH),
        (Ntfy, 403, r#"{"code":40301,"http":403,"error":"forbidden"}"#.into(), AUTH),
        (Ntfy, 429, r#"{"code":42901,"http":429,"error":"too many requests"}"#.into(), RATE),
        (Ntfy, 429, r#"{"code":42908,"http":429,"error":"daily message quota reached"}"#.into(), RATE),
        (Ntfy, 429, r#"{"code":42909,"http":429,"error":"too many auth failures"}"#.into(), RATE),
        (Ntfy, 500, r#"{"code":50001,"http":500,"error":"internal server error"}"#.into(), BUSY),
        (Ntfy, 200, r#"{"code":40301,"http":403,"error":"forbidden"}"#.into(), AUTH),
        (
            Ntfy,
            200,
            r#"{"id":"9","message":"You received a file: attachment.txt","attachment":{"name":"a"}}"#.into(),
            LARGE,
        ),
        (Gotify, 401, r#"{"error":"Unauthorized","errorCode":401,"errorDescription":"x"}"#.into(), AUTH),
        (
            Gotify,
            400,
            r#"{"error":"Bad Request","errorCode":400,"errorDescription":"appid is required when"}"#.into(),
            STATE,
        ),
        (Gotify, 404, r#"{"error":"Not Found","errorCode":404}"#.into(), STATE),
        (Gotify, 500, r#"{"errorCode":500,"errorDescription":"database is locked"}"#.into(), BUSY),
        (Gotify, 307, String::new(), (SendReason::Redirect, Retry::Later)),
        (Bark, 500, bark(500, "push failed: PayloadTooLarge"), LARGE),
        (Bark, 500, bark(500, "push failed: BadDeviceToken"), STATE),
        (Bark, 500, bark(500, "push failed: Unregistered"), STATE),
        (Bark, 500, bark(500, "push failed: TooManyRequests"), RATE),
        (Bark, 500, bark(500, "push failed: InternalServerError"), BUSY),
        (Bark, 400, bark(400, "failed to get device token: device token invalid"), STATE),
        (Bark, 400, bark(400, "device key is empty"), STATE),
        (Bark, 200, bark(400, "failed to get device token: x"), STATE),
        (Bark, 200, bark(500, "x"), BUSY),
        (Bark, 418, "I'm a teapot".into(), AUTH),
    ];
    for (dialect, status, body, expected) in cases {
        let reply = reply(status, &[], &body);
        assert_eq!(judged(dialect, &reply, 50), Some(expected), "{dialect:?} {status} {body}");
        // A message about one alert cannot be smaller.
        let alone = if expected.1 == Retry::Smaller { (expected.0, Retry::Never) } else { expected };
        assert_eq!(judged(dialect, &reply, 1), Some(alone), "{dialect:?} {status} {body}");
    }
}

#[test]
fn the_wait_is_read_where_the_chat_has_it() {
    let telegram = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7",
        "parameters":{"retry_after":7}}"#;
    let discord = r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#;
    for (dialect, status, header, body, expected) in [
        (Dialect::Telegram, 429, None, telegram, wait(7)),
        (Dialect::Telegram, 200, None, telegram, wait(7)),
        (Dialect::Telegram, 429, Some("9"), telegram, wait(9)),
        (Dialect::Discord, 429, None, discord, Retry::NotBefore(Duration::from_millis(64_570))),
        (Dialect::Discord, 429, Some("65"), discord, wait(65)),
        (Dialect::Slack, 429, Some("30"), "", wait(30)),
        (Dialect::Slack, 429, Some("99999"), "", wait(3600)),
        (Dialect::Ntfy, 429, None, r#"{"code":42901,"http":429}"#, Retry::Later),
        (Dialect::Dingtalk, 200, None, r#"{"status":1111,"wait":99999}"#, wait(3600)),
        (Dialect::Dingtalk, 200, None, r#"{"errcode":130101,"errmsg":"x"}"#, Retry::Later),
        (Dialect::Feishu, 400, Some("3"), r#"{"code":11232}"#, wait(3)),
        (Dialect::Telegram, 502, Some("Thu, 01 Jan 1970 00:00:00 GMT"), "", Retry::Later),
    ] {
        let headers: Vec<_> = header.map(|text| (RETRY_AFTER, text)).into_iter().collect();
        let (_, retry) = judged(dialect, &reply(status, &headers, body), 1).unwrap();
        assert_eq!(retry, expected, "{dialect:?} {header:?} {body}");
    }
}

#[test]
fn telegram_may_ask_for_another_room_or_for_plain_text() {
    let row = Dialect::Telegram.row();
    let moved = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat",
        "parameters":{"migrate_to_chat_id":-1001234567890}}"#;
    match judge(row, &reply(400, &[], moved), 1, NOW) {
        Err(Verdict::Moved(room, refusal)) => {
            assert_eq!((room.expose(), refusal.retry), ("-1001234567890", Retry::Refused));
            assert!(!refusal.what.contains("1234567890"), "{}", refusal.what);
        }
        other => panic!("{other:?}"),
    }
    let unparsed = r#"{"ok":false,"error_code":400,"description":"Bad Request: can't parse entities: Unsupported start tag"}"#;
    assert!(matches!(judge(row, &reply(400, &[], unparsed), 1, NOW), Err(Verdict::Markup(_))));
    // Of no other chat.
    for dialect in Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Telegram) {
        for body in [moved, unparsed] {
            let judged = judge(dialect.row(), &reply(400, &[], body), 1, NOW);
            assert!(matches!(judged, Err(Verdict::Refused(_))), "{dialect:?} {judged:?}");
        }
    }
}

#[test]
fn a_refusal_quotes_no_body() {
    for dialect in Dialect::ALL {
        for status in [200, 302, 400, 403, 404, 410, 429, 500] {
            for body in [r#"{"code":1,"errcode":1,"canary":"canary"}"#, "canary", "<html>canary"] {
                let refusal = refused(judge(dialect.row(), &reply(status, &[], body), 1, NOW).unwrap_err());
                assert!(!refusal.what.contains("canary"), "{}", refusal.what);
                assert!(refusal.what.starts_with(&format!("answered {status}")), "{}", refusal.what);
            }
        }
    }
}

fn config(dialect: Dialect) -> ChatConfig {
    ChatConfig {
        dialect,
        url: "https://chat.example.com/prefix".into(),
        token: None,
        room: None,
        thread: None,
        secret: None,
        keyword: None,
        authorization: None,
        headers: Vec::new(),
        proxy: None,
        tls: TlsOptions::default(),
        timeout: Duration::from_secs(10),
        common: ReceiverConfig::default(),
    }
}

fn url(config: &ChatConfig) -> String {
    let url = super::parse_url(&config.url).unwrap();
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

/// Users of a panel choose their names.
const CORPUS: [&str; 14] = [
    "a\r\nb",
    "<script>alert(1)</script>",
    "@everyone @here @ops",
    "<!channel> <!here|x> <@U123>",
    "<at user_id=\"all\">all</at> <@all>",
    "[x](http://evil.example) **b** _c_ `d` ~~e~~ ||f|| > g # h - i",
    "https://evil.example/?a=b&c=d t.me/evil www.evil.example evil.com",
    "\u{202e}txt.exe\u{2066}",
    "a\0b\u{7f}\u{85}",
    "&lt;b&gt; &#60; &amp;",
    "/start #tag $TAG",
    "用户 کاربر пользователь 🦀 👨‍👩‍👧",
    "\u{fffd}\u{ffff}\u{10ffff}\\ud800",
    "\"},{\"text\":\"x\"}\\",
];

#[test]
fn names_cannot_ping_or_link() {
    for name in CORPUS {
        for piece in [Piece::Foreign(name.into()), Piece::Bold(name.into())] {
            let write = |markup: Markup| {
                let text = markup.write(&[vec![piece.clone()]]);
                text.trim_start_matches(['*']).trim_end_matches('*').to_owned()
            };
            let html = write(Markup::Html).replace("<b>", "").replace("</b>", "");
            for text in [&html, &write(Markup::Slack)] {
                assert!(!text.contains(['<', '>']), "{text}");
                let entities = text.split('&').skip(1).collect::<Vec<_>>();
                assert!(
                    entities
                        .iter()
                        .all(|rest| ["lt;", "gt;", "amp;"].iter().any(|known| rest.starts_with(known))),
                    "{text}"
                );
            }
            let discord = write(Markup::Discord);
            for special in ['*', '_', '~', '|', '<', '[', ']', '(', ')', '#', '`'] {
                for (at, _) in discord.match_indices(special) {
                    let before = discord.get(..at).unwrap();
                    let slashes = before.len() - before.trim_end_matches('\\').len();
                    assert_eq!(slashes % 2, 1, "{special} in {discord}");
                }
            }
            for markup in [Markup::PlainWithTags, Markup::Wecom] {
                assert!(!write(markup).contains('<'), "{markup:?}");
            }
            let wecom = write(Markup::Wecom);
            assert!(!wecom.contains(['[', ']', '`', '*']), "{wecom}");
            for text in [
                &html,
                &write(Markup::Plain),
                &write(Markup::PlainWithTags),
                &wecom,
                &write(Markup::Slack),
                &discord,
            ] {
                for link in ["@e", "@o", "://", "evil.e", "evil.c", "t.me", "/s", "#t", "$T"] {
                    let is_tag = link == "/s" && text.contains("/script");
                    assert!(is_tag || !text.contains(link), "{link} in {text}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_mention_or_link_stays_as_it_is() {
    for text in [
        "node DE-1",
        "97 % (97 of 100 GiB)",
        "127.0.0.1:8000",
        "ann.b",
        "3x-ui v2.5",
        "a@",
        "12:30",
        "1/2",
        "a. B",
    ] {
        assert_eq!(inert(text), text);
    }
    assert_eq!(inert("ann@example.com"), "ann@\u{2060}example.\u{2060}com");
    assert_eq!(inert(""), "");
}

#[test]
fn links_and_bold_text() {
    let lines = [
        vec![Piece::Bold("home: a<b".into())],
        vec![],
        vec![Piece::Text("• ".into()), Piece::Foreign("x & y".into())],
        vec![Piece::Link { text: "Renew (now)".into(), url: "https://m.example/runbook?a=1&b=\"#x".into() }],
    ];
    for (markup, written) in [
        (Markup::Plain, "home: a<b\n\n• x & y\nRenew (now): https://m.example/runbook?a=1&b=\"#x"),
        (Markup::PlainWithTags, "home: a＜b\n\n• x & y\nRenew (now): https://m.example/runbook?a=1&b=\"#x"),
        (
            Markup::Html,
            "<b>home: a&lt;b</b>\n\n• x &amp; y\n\
             <a href=\"https://m.example/runbook?a=1&amp;b=&quot;#x\">Renew (now)</a>",
        ),
        (
            Markup::Discord,
            "**home: a\\<b**\n\n• x & y\n[Renew \\(now\\)](<https://m.example/runbook?a=1&b=\"#x>)",
        ),
        (
            Markup::Slack,
            "*home: a&lt;b*\n\n• x &amp; y\n<https://m.example/runbook?a=1&amp;b=\"#x|Renew (now)>",
        ),
        (Markup::Wecom, "**home: a＜b**\n\n• x & y\n[Renew (now)](https://m.example/runbook?a=1&b=\"#x)"),
    ] {
        assert_eq!(markup.write(&lines), written);
    }
    assert_eq!(Markup::visible(&lines), "home: a<b\n\n• x & y\nRenew (now)");
}

/// An alert of which a sentence of so many of these characters is true.
fn alert(c: char, length: usize) -> Arc<NoticeAlert> {
    Arc::new(NoticeAlert {
        event: "e".into(),
        status: NoticeStatus::Firing,
        severity: Severity::Warning,
        labels: [("alertname", "ProxymeterUserQuota"), ("target", "home"), ("subject", "ann")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        annotations: [("description".to_owned(), c.to_string().repeat(length))].into(),
        starts_at: NOW,
        ends_at: None,
        began: None,
        until: None,
    })
}

fn notice(alerts: Vec<Arc<NoticeAlert>>) -> Notice {
    Notice {
        id: "msg_1".into(),
        receiver: "ops".into(),
        group: "g".into(),
        group_labels: BTreeMap::new(),
        reason: "first notification".into(),
        alerts,
        known: 0,
        digest: None,
        left_out: 0,
        follow: 0,
        others_fire: false,
        named: None,
        covers: Vec::new(),
        created_at: NOW,
    }
}

/// The text, and its length for each limit of the chat.
fn written(config: &ChatConfig, notice: &Notice) -> (String, Vec<usize>) {
    let row = config.dialect.row();
    let message = Message::of(notice, config, &Voice::default(), NOW);
    let post = message.post(config, "", false, NOW);
    let lengths = row.limits.iter().map(|limit| match limit.of {
        // As Telegram reads it.
        Of::Visible => {
            let tags = post.text.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
            let text: String = tags.collect();
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            limit.unit.count(&text)
        }
        Of::Written => limit.unit.count(post.text),
        Of::Body => limit.unit.count(&(row.body)(&post).to_string()),
    });
    let lengths = lengths.collect();
    (post.text.to_owned(), lengths)
}

#[test]
fn a_message_is_cut_at_the_limit_and_not_before() {
    for dialect in Dialect::ALL {
        let config = ChatConfig { token: Some("key".into()), room: Some("".into()), ..config(dialect) };
        let limits: Vec<_> = config.dialect.row().limits.iter().map(|limit| limit.most).collect();
        // How much longer a message becomes by one of them, at most.
        for (c, width) in [('x', 1), ('я', 2), ('🦀', 4), ('<', 6), ('*', 3)] {
            let of = |rows: usize, last: usize| {
                let rows = (0..rows).map(|_| alert(c, 400)).chain([alert(c, last)]);
                written(&config, &notice(rows.collect()))
            };
            let cuts = |text: &str| text.contains("more that");
            // So many whole rows that the last one decides, and so much of that that it does not fit.
            let rows: Vec<_> = (0..50).collect();
            let rows = rows.partition_point(|rows| !cuts(&of(*rows, 480).0));
            assert!(rows < 50, "{dialect:?} {c} has room for all");
            let lasts: Vec<_> = (1..=480).collect();
            let last = 1 + lasts.partition_point(|last| !cuts(&of(rows, *last).0));
            for last in [last - 1, last] {
                let (_, lengths) = of(rows, last);
                let fit = lengths.iter().zip(&limits).all(|(length, most)| length <= most);
                assert!(fit, "{dialect:?} {c} {last} {lengths:?}");
            }
            // One more would have been too long.
            if last > 1 {
                let (_, longest) = of(rows, last - 1);
                let is_full = longest.iter().zip(&limits).any(|(length, most)| length + width > *most);
                assert!(is_full, "{dialect:?} {c}: {longest:?} of {limits:?}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_counted() {
    for dialect in Dialect::ALL {
        let config = config(dialect);
        for count in [1, 2, 50, 51, 3000] {
            let (text, _) = written(&config, &notice((0..count).map(|_| alert('x', 490)).collect()));
            let rows = text.matches("🟠").count();
            let rest = count - rows;
            assert!(rows > 0 && rows <= 50, "{dialect:?} {rows}");
            let counted = match rest {
                0 => !text.contains("more that"),
                1 => text.contains("1 more that is firing"),
                _ => text.contains(&format!("{rest} more that are firing")),
            };
            assert!(counted, "{dialect:?} {rest} {text}");
        }
    }
}

/// What to do is left out before what is new.
#[test]
fn a_single_alert_always_fits() {
    for dialect in Dialect::ALL {
        for c in ['x', '🦀', '<', '*', '@'] {
            let mut alert = Arc::unwrap_or_clone(alert(c, 490));
            for label in ["subject", "target"] {
                alert.labels.insert(label.into(), c.to_string().repeat(10_000));
            }
            alert.annotations.insert("action".into(), c.to_string().repeat(490));
            alert.annotations.insert("runbook_url".into(), format!("https://m.example/{}", "x".repeat(6000)));
            let (text, lengths) = written(&config(dialect), &notice(vec![Arc::new(alert)]));
            assert!(text.contains("🟠"), "{dialect:?} {c} {text}");
            let limits = dialect.row().limits.iter().map(|limit| limit.most);
            assert!(lengths.into_iter().zip(limits).all(|(length, most)| length <= most), "{dialect:?} {c}");
        }
    }
}

#[test]
fn importance_is_that_of_what_is_new() {
    let alert = |severity, status| {
        let alert = Arc::unwrap_or_clone(alert('x', 5));
        Arc::new(NoticeAlert { severity, status, ..alert })
    };
    use NoticeStatus::{Firing, Resolved};
    use Severity::{Critical, Info, Warning};
    for (alerts, known, silent, priority) in [
        (vec![alert(Info, Firing)], 0, true, 2),
        (vec![alert(Info, Firing), alert(Critical, Firing)], 1, true, 2),
        (vec![alert(Info, Firing), alert(Critical, Resolved)], 0, true, 2),
        (vec![alert(Warning, Resolved), alert(Critical, Firing)], 1, false, 3),
        (vec![alert(Warning, Firing), alert(Info, Firing)], 0, false, 4),
        // A repetition.
        (vec![alert(Critical, Firing), alert(Warning, Firing)], 2, false, 5),
        (vec![], 0, false, 3),
    ] {
        let notice = Notice { known, ..notice(alerts) };
        let of = |dialect, key: &str| {
            let config = config(dialect);
            let message = Message::of(&notice, &config, &Voice::default(), NOW);
            (dialect.row().body)(&message.post(&config, "", false, NOW))[key].clone()
        };
        assert_eq!(of(Dialect::Telegram, "disable_notification"), silent);
        assert_eq!(of(Dialect::Ntfy, "priority"), priority);
    }
}

/// Each language has its own direction and words, and chats get them like mail.
#[test]
fn every_language_fits() {
    for language in Language::ALL {
        let voice = Voice::new(language, jiff::tz::TimeZone::UTC, "https://m.example");
        for dialect in Dialect::ALL {
            let config = config(dialect);
            let notice = notice((0..200).map(|_| alert('x', 100)).collect());
            let message = Message::of(&notice, &config, &voice, NOW);
            let post = message.post(&config, "", false, NOW);
            assert!(post.text.contains(&voice.text("heading-new")), "{dialect:?} {language:?} {}", post.text);
            let page = if dialect.row().has_title { post.link.unwrap() } else { post.text };
            assert!(page.contains("https://m.example/"), "{dialect:?} {language:?} {page}");
        }
    }
}

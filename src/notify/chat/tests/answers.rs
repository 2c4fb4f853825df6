//! What each answer means.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::{
    super::{
        config::Dialect,
        verdict::{Verdict, judge},
    },
    NOW,
};
use crate::{
    http::Reply,
    notify::{Retry, SendReason, webhook::verdict::Refusal},
};

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
        (Telegram, 400, telegram(400, "Bad Request: can't parse entities: x"), LARGE),
        (Telegram, 200, telegram(400, "Bad Request: chat not found"), STATE),
        (Telegram, 200, telegram(401, "Unauthorized"), AUTH),
        (Telegram, 200, telegram(429, "Too Many Requests: retry after 7"), RATE),
        (Telegram, 200, telegram(500, "Internal Server Error"), BUSY),
        (Telegram, 200, r#"{"ok":false}"#.into(), (SendReason::Response, Retry::Later)),
        (Discord, 400, too_long.into(), LARGE),
        (Discord, 400, discord(50_035, "Invalid Form Body"), LARGE),
        (Discord, 400, discord(50_006, "Cannot send an empty message"), LARGE),
        (Discord, 400, discord(50_109, "The request body contains invalid JSON."), LARGE),
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

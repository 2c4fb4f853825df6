//! Whether an answer of status 2xx means what it says: several services answer 200 for a failure.

use serde_json::Value;

use super::{
    Retry, SendReason,
    webhook::verdict::{Refusal, judge},
};
use crate::{
    http::Reply,
    model::{Timestamp, words::one_line},
};

/// The most characters of the configured text that an error quotes.
const QUOTED: usize = 100;
/// What healthchecks.io says with status 200 about a ping that it ignores.
const NOT_FOUND: &str = "OK (not found)";
const RATE_LIMITED: &str = "OK (rate limited)";
/// How a connector of Microsoft Teams begins when it could not post.
const TEAMS: &str = "Webhook message delivery failed";
/// Hosts whose answers have a `code` that is not 0 if they failed.
const WITH_CODE: [&str; 2] = ["feishu.cn", "larksuite.com"];
/// What services write for no error, and for failure, in lower case.
const NOTHING: [&str; 9] = ["", "0", "false", "nil", "no", "none", "null", "ok", "success"];
const FAILURE: [&str; 7] = ["error", "fail", "failed", "failure", "false", "ko", "no"];

/// Evaluates an answer that came at `now` from `host` to a message about `named` alerts, as [`judge`] does, and what it
/// says. A configured text of success replaces the tests of the body, except for the words of a service that contain its
/// word for success.
pub(super) fn judge_body(
    reply: &Reply,
    success: Option<&str>,
    host: &str,
    named: usize,
    now: Timestamp,
    waits_at: &[&str],
) -> Result<(), Refusal> {
    let is_success = (200..=299).contains(&reply.status);
    let Some(text) = success.filter(|_| is_success) else {
        judge(reply, named, now, waits_at)?;
        return denial(reply, host).map_or(Ok(()), Err);
    };
    if let Some(ignored) = ignored(reply) {
        return Err(ignored);
    }
    if String::from_utf8_lossy(&reply.body).contains(text) {
        return Ok(());
    }
    let text = one_line(text, QUOTED);
    Err(refusal(reply, &format!(", but the answer has no '{text}'")))
}

/// Whether the service ignored this ping because another one came shortly before.
pub(super) fn is_rate_limited(reply: &Reply) -> bool {
    reply.status == 200 && String::from_utf8_lossy(&reply.body).trim() == RATE_LIMITED
}

fn ignored(reply: &Reply) -> Option<Refusal> {
    let (reason, why) = match String::from_utf8_lossy(&reply.body).trim() {
        NOT_FOUND => (SendReason::Gone, " with 'OK (not found)': there is no such check any more"),
        RATE_LIMITED => {
            let why = " with 'OK (rate limited)': the service ignores what comes too often";
            (SendReason::RateLimited, why)
        }
        _ => return None,
    };
    Some(Refusal { reason, ..refusal(reply, why) })
}

/// Why an answer of status 2xx is a failure by what it says.
fn denial(reply: &Reply, host: &str) -> Option<Refusal> {
    if let Some(ignored) = ignored(reply) {
        return Some(ignored);
    }
    let text = String::from_utf8_lossy(&reply.body);
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with(TEAMS) {
        return Some(refusal(reply, ", but the answer says that the delivery failed"));
    }
    let Ok(Value::Object(answer)) = serde_json::from_str(text) else { return None };
    let is_failure = |key: &str, value: &Value| match key.to_ascii_lowercase().as_str() {
        "ok" | "success" => is_no(value) || value.as_f64() == Some(0.0) || value.as_str() == Some("0"),
        // A number says nothing there: 0 means success in one service, and failure in another.
        "status" | "result" => is_no(value),
        "error" | "errors" | "errcode" => is_something(value),
        "code" | "statuscode" => is_of(host, &WITH_CODE) && is_something(value),
        _ => false,
    };
    let (key, _) = answer.iter().find(|(key, value)| is_failure(key, value))?;
    Some(refusal(reply, &format!(", but the answer says that it failed, in '{key}'")))
}

/// Whether it means failure where success is expected.
fn is_no(value: &Value) -> bool {
    value == &Value::Bool(false) || value.as_str().is_some_and(|text| is_among(text, &FAILURE))
}

/// Whether it means an error where there may be one.
fn is_something(value: &Value) -> bool {
    let is_zero = |code: &Value| !code.is_null() && !is_something(code);
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !is_among(text, &NOTHING),
        Value::Array(list) => list.iter().any(is_something),
        Value::Object(what) => !what.get("code").is_some_and(is_zero) && what.values().any(is_something),
    }
}

fn is_among(text: &str, words: &[&str]) -> bool {
    words.contains(&text.trim().to_ascii_lowercase().as_str())
}

/// Whether a host is one of these, or below one.
fn is_of(host: &str, domains: &[&str]) -> bool {
    domains.iter().any(|domain| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

fn refusal(reply: &Reply, what: &str) -> Refusal {
    Refusal {
        reason: SendReason::Response,
        what: format!("answered {}{what}", reply.status),
        retry: Retry::Later,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    use super::*;

    #[test]
    fn an_answer_counts_by_what_it_says() {
        for (body, key) in [
            // No error, in the words of many services.
            (r#"{"error":null,"errors":[]}"#, None),
            (r#"{"error":"","errors":{}}"#, None),
            (r#"{"error":"0"}"#, None),
            (r#"{"error":"false"}"#, None),
            (r#"{"error":"None"}"#, None),
            (r#"{"error":"OK"}"#, None),
            (r#"{"error":"success"}"#, None),
            (r#"{"error":false,"errors":0}"#, None),
            (r#"{"error":{"code":0,"message":"ok"}}"#, None),
            (r#"{"error":{"code":"0","message":"done"}}"#, None),
            (r#"{"error":{"code":null,"message":""}}"#, None),
            (r#"{"errors":[""]}"#, None),
            (r#"{"errors":[null,[],{}]}"#, None),
            (r#"{"errors":{"url":[]}}"#, None),
            (r#"{"errcode":"ok"}"#, None),
            (r#"{"errcode":0.0}"#, None),
            (r#"{"ok":1,"success":"true"}"#, None),
            (r#"{"ok":null,"success":[]}"#, None),
            (r#"{"status":0,"result":"0"}"#, None),
            (r#"{"status":true,"result":"PONG"}"#, None),
            (r#"{"status":"ok","result":"success"}"#, None),
            (r#"{"message":"error","failed":0}"#, None),
            // An error, of each type.
            (r#"{"errors":{"url":["bad"]}}"#, Some("errors")),
            (r#"{"errors":true}"#, Some("errors")),
            (r#"{"errors":"bad"}"#, Some("errors")),
            (r#"{"errors":1}"#, Some("errors")),
            (r#"{"errors":["","bad"]}"#, Some("errors")),
            (r#"{"error":1}"#, Some("error")),
            (r#"{"error":-0.5}"#, Some("error")),
            (r#"{"error":["x"]}"#, Some("error")),
            (r#"{"error":{"code":7}}"#, Some("error")),
            (r#"{"error":{"code":null,"message":"bad"}}"#, Some("error")),
            (r#"{"Error":"bad"}"#, Some("Error")),
            (r#"{"errcode":"310000"}"#, Some("errcode")),
            // No success.
            (r#"{"success":"0"}"#, Some("success")),
            (r#"{"success":"No"}"#, Some("success")),
            (r#"{"ok":0.0}"#, Some("ok")),
            (r#"{"Success":false}"#, Some("Success")),
            (r#"{"status":false}"#, Some("status")),
            (r#"{"status":"ko"}"#, Some("status")),
            (r#"{"result":false}"#, Some("result")),
            (r#"{"result":"failure"}"#, Some("result")),
            (r#"{"result":" Error "}"#, Some("result")),
        ] {
            let reply = Reply { status: 200, headers: HeaderMap::new(), body: Bytes::from(body) };
            let judged = judge_body(&reply, None, "h", 1, Timestamp::from_secs(0), &[]);
            let what = judged.err().map(|refusal| refusal.what);
            let expected =
                key.map(|key| format!("answered 200, but the answer says that it failed, in '{key}'"));
            assert_eq!(what, expected, "{body}");
        }
    }

    /// A `code` means failure only where it is known to: elsewhere, 200 is a common one for success.
    #[test]
    fn codes_count_by_host() {
        for (host, body, fails) in [
            ("open.feishu.cn", r#"{"code":19021,"msg":"sign match fail"}"#, true),
            ("open.larksuite.com", r#"{"StatusCode":0,"code":9499}"#, true),
            ("open.feishu.cn", r#"{"code":"0"}"#, false),
            ("open.feishu.cn", r#"{"StatusCode":0,"StatusMessage":"success","code":0}"#, false),
            ("notfeishu.cn", r#"{"code":19021}"#, false),
            ("hooks.example.com", r#"{"code":200,"msg":"success"}"#, false),
        ] {
            let reply = Reply { status: 200, headers: HeaderMap::new(), body: Bytes::from(body) };
            let judged = judge_body(&reply, None, host, 1, Timestamp::from_secs(0), &[]);
            assert_eq!(judged.is_err(), fails, "{host} {body}");
        }
    }
}

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
/// Hosts whose answers have a `code` that is not 0 if they failed.
const WITH_CODE: [&str; 2] = ["feishu.cn", "larksuite.com"];

/// Evaluates an answer that came at `now` from `host` to a message about `named` alerts, as [`judge`] does, and what it
/// says. A configured text of success replaces the tests of the body.
pub(super) fn judge_body(
    reply: &Reply,
    success: Option<&str>,
    host: &str,
    named: usize,
    now: Timestamp,
    waits_at: &[&str],
) -> Result<(), Refusal> {
    let is_success = (200..=299).contains(&reply.status);
    if let Some(text) = success.filter(|_| is_success) {
        let has_it = String::from_utf8_lossy(&reply.body).contains(text);
        let text = one_line(text, QUOTED);
        return if has_it {
            Ok(())
        } else {
            Err(refusal(reply, &format!(", but the answer has no '{text}'")))
        };
    }
    judge(reply, named, now, waits_at)?;
    denial(reply, host).map_or(Ok(()), Err)
}

/// Why an answer of status 2xx is a failure by what it says.
fn denial(reply: &Reply, host: &str) -> Option<Refusal> {
    let text = String::from_utf8_lossy(&reply.body);
    match text.trim() {
        NOT_FOUND => {
            let refused = refusal(reply, " with 'OK (not found)': there is no such check any more");
            return Some(Refusal { reason: SendReason::Gone, ..refused });
        }
        RATE_LIMITED => {
            let refused =
                refusal(reply, " with 'OK (rate limited)': the service ignores what comes too often");
            return Some(Refusal { reason: SendReason::RateLimited, ..refused });
        }
        _ => {}
    }
    let Ok(Value::Object(answer)) = serde_json::from_str(text.trim_start_matches('\u{feff}')) else {
        return None;
    };
    let is_failure = |key: &str, value: &Value| match (key, value) {
        ("ok" | "success", value) => is_no(value),
        ("errcode", Value::Number(code)) => code.as_i64() != Some(0),
        ("errcode", Value::String(code)) => code != "0",
        ("code" | "StatusCode", Value::Number(code)) => is_of(host, &WITH_CODE) && code.as_i64() != Some(0),
        ("status", Value::String(word)) => {
            ["error", "fail", "failed", "failure"].contains(&word.to_ascii_lowercase().as_str())
        }
        ("error", Value::Bool(yes)) => *yes,
        ("error", Value::String(text)) => !text.is_empty(),
        ("error", Value::Object(what)) => !what.is_empty(),
        ("errors", Value::Array(list)) => !list.is_empty(),
        _ => false,
    };
    let (key, _) = answer.iter().find(|(key, value)| is_failure(key, value))?;
    Some(refusal(reply, &format!(", but the answer says that it failed, in '{key}'")))
}

/// PHP has other words for false, too.
fn is_no(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.eq_ignore_ascii_case("false"),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
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

    /// A `code` means failure only where it is known to: elsewhere, 200 is a common one for success.
    #[test]
    fn codes_count_by_host() {
        for (host, body, fails) in [
            ("open.feishu.cn", r#"{"code":19021,"msg":"sign match fail"}"#, true),
            ("open.larksuite.com", r#"{"StatusCode":0,"code":9499}"#, true),
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

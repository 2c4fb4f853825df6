//! What an answer means for this notice and for the next ones.

use std::time::Duration;

use reqwest::header;
use serde_json::Value;

use crate::{
    http::{self, Reply},
    model::Timestamp,
    notify::{Retry, SendReason},
};

/// The longest wait that a receiver can request.
const LONGEST_REQUEST: Duration = Duration::from_secs(60 * 60);
/// A 400 to a message about more alerts may be about its size. With so few, it is about what the message says.
pub(in crate::notify) const HANDFUL: usize = 5;
/// Where Discord and Telegram put it, and what passes on their answers.
pub(in crate::notify) const WAITS_AT: &[&str] = &["/retry_after", "/parameters/retry_after"];

/// Why an answer does not mean that the notice was accepted.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::notify) struct Refusal {
    pub(in crate::notify) reason: SendReason,
    pub(in crate::notify) what: String,
    pub(in crate::notify) retry: Retry,
}

/// Evaluates an answer that came at `now` to a message about `named` alerts. `waits_at` are JSON pointers to the seconds to
/// wait.
pub(in crate::notify) fn judge(
    reply: &Reply,
    named: usize,
    now: Timestamp,
    waits_at: &[&str],
) -> Result<(), Refusal> {
    let later = || retry_after(reply, now, waits_at).map_or(Retry::Later, Retry::NotBefore);
    let (reason, retry) = match reply.status {
        200..=299 if is_page(reply) => (SendReason::Response, Retry::Later),
        200..=299 => return Ok(()),
        300..=399 => (SendReason::Redirect, Retry::Later),
        // A proxy in front of the receiver answers this for a minute while the receiver is replaced.
        401 | 403 | 407 => (SendReason::Auth, Retry::Refused),
        404 | 405 => (SendReason::ClientError, Retry::Refused),
        408 => (SendReason::Timeout, later()),
        410 => (SendReason::Gone, Retry::Disabled),
        413 => (SendReason::ClientError, Retry::of_too_large(named)),
        400 if named > HANDFUL => (SendReason::ClientError, Retry::of_too_large(named)),
        425 => (SendReason::ClientError, later()),
        429 => (SendReason::RateLimited, later()),
        400..=499 => (SendReason::ClientError, Retry::Never),
        500 if is_too_large_for_bark(reply) => (SendReason::ClientError, Retry::of_too_large(named)),
        500..=599 => (SendReason::ServerError, later()),
        _ => (SendReason::Response, Retry::Later),
    };
    Err(Refusal { reason, what: format!("answered {}{}", reply.status, note(reply.status, retry)), retry })
}

/// Why there was no answer.
pub(in crate::notify) fn unanswered(error: &http::Error) -> Refusal {
    let (reason, retry) = match error {
        http::Error::Connect(_) | http::Error::Proxy(_) => (SendReason::Connect, Retry::Later),
        http::Error::ProxyLogin => (SendReason::Auth, Retry::Refused),
        http::Error::Tls(_) | http::Error::ExpectsTls => (SendReason::Tls, Retry::Later),
        http::Error::ToHttps(_) => (SendReason::Redirect, Retry::Later),
        http::Error::Timeout(_) => (SendReason::Timeout, Retry::Later),
        // The receiver may have accepted the notice.
        _ => (SendReason::Response, Retry::Later),
    };
    Refusal { reason, what: error.to_string(), retry }
}

/// Whose fault it is, in words.
fn note(status: u16, retry: Retry) -> &'static str {
    match (status, retry) {
        (200..=299, _) => " with a web page: something else than the receiver",
        (300..=399, _) => ", a redirect, which is not followed",
        (401, _) => ": the receiver refuses the credentials, or requires some",
        (407, _) => ": the proxy refuses the credentials, or requires some",
        (404, _) => ": there is nothing at this URL",
        (_, Retry::Refused) => ": the receiver refuses all requests, not only this one",
        (_, Retry::Smaller) => ": the message is too large",
        (_, Retry::Never) => ": the receiver refuses this request",
        (_, Retry::Disabled) => ": there is no such receiver any more",
        (_, Retry::Later | Retry::NotBefore(_)) => "",
    }
}

/// Bark passes on Apple's limit in this way.
fn is_too_large_for_bark(reply: &Reply) -> bool {
    let words = b"PayloadTooLarge";
    reply.body.windows(words.len()).any(|window| window == words)
}

/// How long the receiver asks to wait, by the header `Retry-After` or in its body.
pub(in crate::notify) fn retry_after(reply: &Reply, now: Timestamp, waits_at: &[&str]) -> Option<Duration> {
    let asked = asked_in_header(reply, now).or_else(|| asked_in_body(reply, waits_at))?;
    (!asked.is_zero()).then_some(asked.min(LONGEST_REQUEST))
}

/// Seconds, with a fraction from Discord, or a date, which is compared with the receiver's own clock if the answer has
/// it.
fn asked_in_header(reply: &Reply, now: Timestamp) -> Option<Duration> {
    let text = reply.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return text.parse().ok().map(seconds);
    }
    let theirs = http::date(&reply.headers, &header::DATE).unwrap_or(now);
    Some(http::date(&reply.headers, &header::RETRY_AFTER)?.since(theirs))
}

fn asked_in_body(reply: &Reply, waits_at: &[&str]) -> Option<Duration> {
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let asked = waits_at.iter().find_map(|pointer| body.pointer(pointer)?.as_f64());
    asked.map(seconds)
}

/// A negative number means zero, and one that is too large means the maximum.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// Whether the body is a web page, which captive portals and wrong addresses answer everything with. The type alone is
/// not enough: PHP gives it to every answer.
fn is_page(reply: &Reply) -> bool {
    let start: Vec<u8> = reply
        .body
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(&reply.body)
        .iter()
        .skip_while(|byte| byte.is_ascii_whitespace())
        .take(14)
        .map(u8::to_ascii_lowercase)
        .collect();
    let kind = reply.headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let is_called_html = kind.is_some_and(|kind| kind.starts_with(b"text/html"));
    start.starts_with(b"<!doctype html")
        || start.starts_with(b"<html")
        || (is_called_html && start.starts_with(b"<"))
}

#[cfg(test)]
pub(in crate::notify) mod tests {
    use bytes::Bytes;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    /// Wednesday, 21 October 2015, 07:28:00 GMT.
    const NOW: Timestamp = Timestamp::from_secs(1_445_412_480);

    fn reply(status: u16, headers: &[(HeaderName, &str)], body: &'static str) -> Reply {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        Reply { status, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    /// What each status means, by the status alone.
    pub(in crate::notify) fn by_status(status: u16, named: usize) -> Option<(SendReason, Retry)> {
        match status {
            400 if named > 5 => Some((SendReason::ClientError, Retry::Smaller)),
            413 if named > 1 => Some((SendReason::ClientError, Retry::Smaller)),
            200..=299 => None,
            300..=399 => Some((SendReason::Redirect, Retry::Later)),
            401 | 403 | 407 => Some((SendReason::Auth, Retry::Refused)),
            404 | 405 => Some((SendReason::ClientError, Retry::Refused)),
            408 => Some((SendReason::Timeout, Retry::Later)),
            410 => Some((SendReason::Gone, Retry::Disabled)),
            425 => Some((SendReason::ClientError, Retry::Later)),
            429 => Some((SendReason::RateLimited, Retry::Later)),
            400..=499 => Some((SendReason::ClientError, Retry::Never)),
            500..=599 => Some((SendReason::ServerError, Retry::Later)),
            _ => Some((SendReason::Response, Retry::Later)),
        }
    }

    #[test]
    fn every_status() {
        for (status, named) in
            (100..=999).flat_map(|status| [0, 1, 2, 5, 6, 10_000].map(|named| (status, named)))
        {
            let expected = by_status(status, named);
            let judged = judge(&reply(status, &[], "ok"), named, NOW, WAITS_AT).err();
            let judged = judged.map(|err| (err.reason, err.retry));
            assert_eq!(judged, expected, "{status} to {named} alerts");
        }
    }

    #[test]
    fn bark_says_too_large_with_a_500() {
        let body = r#"{"code":500,"message":"push failed: PayloadTooLarge","timestamp":1764150000}"#;
        for (status, named, expected) in
            [(500, 2, Retry::Smaller), (500, 1, Retry::Never), (502, 2, Retry::Later)]
        {
            let judged = judge(&reply(status, &[], body), named, NOW, WAITS_AT).unwrap_err();
            assert_eq!(judged.retry, expected, "{status} to {named} alerts");
        }
    }

    #[test]
    fn a_refusal_says_whose_it_is() {
        for (status, named, words) in [
            (200, 1, "answered 200 with a web page: something else than the receiver"),
            (307, 1, "answered 307, a redirect, which is not followed"),
            (400, 6, "answered 400: the message is too large"),
            (400, 5, "answered 400: the receiver refuses this request"),
            (401, 1, "answered 401: the receiver refuses the credentials, or requires some"),
            (403, 1, "answered 403: the receiver refuses all requests, not only this one"),
            (404, 1, "answered 404: there is nothing at this URL"),
            (405, 1, "answered 405: the receiver refuses all requests, not only this one"),
            (407, 1, "answered 407: the proxy refuses the credentials, or requires some"),
            (410, 1, "answered 410: there is no such receiver any more"),
            (413, 2, "answered 413: the message is too large"),
            (413, 1, "answered 413: the receiver refuses this request"),
            (503, 1, "answered 503"),
        ] {
            let judged = judge(&reply(status, &[], "<html>"), named, NOW, WAITS_AT).unwrap_err();
            assert_eq!(judged.what, words);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let retry = |status, headers: &[(HeaderName, &str)]| {
            judge(&reply(status, headers, ""), 1, NOW, WAITS_AT).unwrap_err().retry
        };
        let wait = |seconds| Retry::NotBefore(Duration::from_secs(seconds));
        for (text, expected) in [
            ("7", wait(7)),
            (" 120 ", wait(120)),
            ("3600", wait(3600)),
            ("3601", wait(3600)),
            ("99999999999999999999999999", wait(3600)),
            ("0", Retry::Later),
            ("-5", Retry::Later),
            ("1.5", Retry::NotBefore(Duration::from_millis(1500))),
            ("0.0", Retry::Later),
            (".", Retry::Later),
            ("1.5.2", Retry::Later),
            ("1e3", Retry::Later),
            ("inf", Retry::Later),
            ("", Retry::Later),
            ("soon", Retry::Later),
            ("Wed, 21 Oct 2015 07:28:30 GMT", wait(30)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Retry::Later),
            ("Thu, 22 Oct 2015 07:28:00 GMT", wait(3600)),
        ] {
            for status in [408, 425, 429, 500, 502, 503, 504] {
                assert_eq!(retry(status, &[(header::RETRY_AFTER, text)]), expected, "{status} {text}");
            }
        }
        // The header is used, and in its absence the body.
        for (header, body, expected) in [
            (
                None,
                r#"{"retry_after": 0.529, "global": false}"#,
                Retry::NotBefore(Duration::from_millis(529)),
            ),
            (None, r#"{"ok": false, "parameters": {"retry_after": 35}}"#, wait(35)),
            (None, r#"{"retry_after": 1e300}"#, wait(3600)),
            (None, r#"{"retry_after": -1}"#, Retry::Later),
            (None, r#"{"retry_after": "soon"}"#, Retry::Later),
            (None, r#"{"parameters": {}}"#, Retry::Later),
            (None, "[35]", Retry::Later),
            (Some("7"), r#"{"retry_after": 35}"#, wait(7)),
        ] {
            let header: Vec<_> = header.map(|text| (header::RETRY_AFTER, text)).into_iter().collect();
            let judged = judge(&reply(429, &header, body), 1, NOW, WAITS_AT).unwrap_err();
            assert_eq!(judged.retry, expected, "{body}");
        }
        // The receiver's clock is five minutes ahead of ours.
        let skewed = [
            (header::DATE, "Wed, 21 Oct 2015 07:33:00 GMT"),
            (header::RETRY_AFTER, "Wed, 21 Oct 2015 07:33:10 GMT"),
        ];
        assert_eq!(retry(503, &skewed), wait(10));
        for (status, expected) in
            [(400, Retry::Never), (403, Retry::Refused), (410, Retry::Disabled), (301, Retry::Later)]
        {
            assert_eq!(retry(status, &[(header::RETRY_AFTER, "7")]), expected, "{status}");
        }
    }

    #[test]
    fn a_page_is_no_answer() {
        let page = |kind: Option<&str>, body| {
            let headers: Vec<_> = kind.map(|kind| (header::CONTENT_TYPE, kind)).into_iter().collect();
            judge(&reply(200, &headers, body), 1, NOW, WAITS_AT).is_err()
        };
        for (kind, body, is_page) in [
            (Some("text/html"), "<!DOCTYPE html><title>Log in</title>", true),
            (Some("Text/HTML; charset=utf-8"), "\n <p>Log in", true),
            (None, "\u{feff}<html>", true),
            (Some("application/json"), "<!doctype HTML>", true),
            (Some("text/html"), "", false),
            (Some("text/html; charset=UTF-8"), "ok", false),
            (Some("text/xml"), "<answer/>", false),
            (Some("application/json"), "{\"ok\":true}", false),
            (None, "", false),
        ] {
            assert_eq!(page(kind, body), is_page, "{kind:?} {body}");
        }
    }
}

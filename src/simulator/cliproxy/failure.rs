//! What upstreams say: bodies of failures and headers of answers.

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde_json::{Map, Value, json};

use super::credential::{Credential, Origin};
use super::record::{Family, Outcome, Record};

const NS: i64 = 1_000_000_000;

/// The body of a failure as a record has it. `marker` is what a canary adds to it.
pub(super) fn body(record: &Record, credential: &Credential, marker: &str) -> String {
    let status = match record.outcome {
        Outcome::Success | Outcome::NoUsage => return String::new(),
        Outcome::Refused(status) => status,
        Outcome::CutOff => return "unexpected EOF".to_owned(),
        Outcome::HungUp => {
            let base = base_url(credential);
            return format!("Post \"{base}{}?{marker}\": context canceled", path(&credential.provider));
        }
        Outcome::HungUpMidStream => return "context canceled".to_owned(),
    };
    let message = match status {
        400 => "bad field in the request of a user",
        401 => "OAuth token has expired",
        403 => "forbidden",
        429 => "This request would exceed the rate limit of your account",
        _ => "internal server error",
    };
    let message = format!("{message}{marker}");
    let at_ms = record.started_ns / 1_000_000;
    match (Family::of(&credential.provider), status) {
        (Family::Gemini, 429) => {
            json!({ "error": { "code": 429, "message": message, "status": "RESOURCE_EXHAUSTED" } })
                .to_string()
        }
        (Family::OpenAi, 429) if credential.provider == "codex" => {
            let until_ms = credential.exhausted_until(at_ms).unwrap_or(at_ms + 30_000);
            let plan = credential.plan.as_ref().map_or("plus", |plan| &plan.kind);
            json!({ "error": {
                "message": message,
                "plan_type": plan,
                "resets_at": until_ms / 1000,
                "resets_in_seconds": (until_ms - at_ms) / 1000,
                "type": "usage_limit_reached",
            } })
            .to_string()
        }
        _ => {
            let kind = if status == 429 { "rate_limit_error" } else { "api_error" };
            json!({ "error": { "code": status, "message": message, "type": kind }, "type": "error" })
                .to_string()
        }
    }
}

/// The headers of the upstream's answer; `None`: it did not answer.
pub(super) fn headers(record: &Record, credential: &Credential, marker: &str) -> Option<Value> {
    if record.outcome == Outcome::HungUp {
        return None;
    }
    let at_ms = record.started_ns / 1_000_000;
    let mut headers = Map::new();
    let mut set = |name: &str, value: String| drop(headers.insert(name.to_owned(), json!([value])));
    let answered = matches!(record.outcome, Outcome::Refused(_)) || !record.stream;
    if answered {
        set("Content-Length", (270 + record.number % 90).to_string());
    }
    set("Content-Type", if answered { "application/json" } else { "text/event-stream" }.to_owned());
    set("Date", date(record.started_ns / NS));
    set("Set-Cookie", format!("session=cookie-value{marker}; Path=/"));
    set("X-Request-Id", format!("req_{:08x}{marker}", record.request));
    for (name, value) in signals(credential) {
        set(&name, value);
    }
    if record.outcome == Outcome::Refused(429) {
        let until_ms = credential.exhausted_until(at_ms).unwrap_or(at_ms + 15_000);
        set("Retry-After", ((until_ms - at_ms) / 1000).to_string());
    }
    Some(Value::Object(headers))
}

/// What the upstream says of the quotas with each answer.
pub(super) fn signals(credential: &Credential) -> Vec<(String, String)> {
    let mut signals = Vec::new();
    let windows = credential.windows.iter();
    match credential.provider.as_str() {
        "claude" => {
            for window in windows.clone() {
                let name = if window.minutes < 1440 { "5h" } else { "7d" };
                let percent = window.percent();
                let status = match percent {
                    100.. => "rejected",
                    90.. => "allowed_warning",
                    _ => "allowed",
                };
                let used = format!("{}.{:02}", percent / 100, percent % 100);
                for (kind, value) in [
                    ("Reset", (window.resets_at_ms / 1000).to_string()),
                    ("Status", status.to_owned()),
                    ("Utilization", used),
                ] {
                    signals.push((format!("Anthropic-Ratelimit-Unified-{name}-{kind}"), value));
                }
            }
            if !credential.windows.is_empty() {
                let used_up = credential.windows.iter().any(|window| window.used >= window.limit);
                let status = if used_up { "rejected" } else { "allowed" };
                signals.push(("Anthropic-Ratelimit-Unified-Status".to_owned(), status.to_owned()));
            }
        }
        "codex" => {
            if let Some(plan) = &credential.plan {
                signals.push(("X-Codex-Plan-Type".to_owned(), plan.kind.clone()));
            }
            for (name, window) in ["Primary", "Secondary"].iter().zip(windows) {
                for (kind, value) in [
                    ("Reset-At", (window.resets_at_ms / 1000).to_string()),
                    ("Used-Percent", window.percent().to_string()),
                    ("Window-Minutes", window.minutes.to_string()),
                ] {
                    signals.push((format!("X-Codex-{name}-{kind}"), value));
                }
            }
        }
        _ => {}
    }
    signals
}

pub(super) fn base_url(credential: &Credential) -> &str {
    match (&credential.origin, credential.provider.as_str()) {
        (Origin::Key { base_url }, _) => base_url,
        (_, "claude") => "https://api.anthropic.com",
        (_, "codex") => "https://chatgpt.com/backend-api/codex",
        _ => "https://upstream.example",
    }
}

fn path(provider: &str) -> &'static str {
    match provider {
        "claude" => "/v1/messages",
        "codex" => "/responses",
        "gemini" => "/v1beta/models/model:generateContent",
        _ => "/chat/completions",
    }
}

fn date(at_s: i64) -> String {
    let at = Timestamp::from_second(at_s).unwrap_or_default();
    strtime::format("%a, %d %b %Y %H:%M:%S GMT", at).unwrap_or_default()
}

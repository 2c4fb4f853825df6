//! The management key, and bans.

use std::collections::HashMap;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use serde_json::json;

use super::options::{Generation, Options};
use super::refusal;
use crate::simulator::http::Answer;

const STRIKES: u32 = 5;
const BANNED_FOR_MS: i64 = 30 * 60 * 1000;
const FORGOTTEN_AFTER_MS: i64 = 2 * 60 * 60 * 1000;
const LOCAL: [&str; 2] = ["127.0.0.1", "::1"];

/// Who may manage a server.
pub(super) struct Auth {
    pub(super) key: String,
    pub(super) allow_remote: bool,
    /// By address.
    strikes: HashMap<String, Strikes>,
    /// Requests refused, for whatever reason.
    pub(super) refused: u64,
    /// Bans so far.
    pub(super) bans: u64,
}

#[derive(Default)]
struct Strikes {
    count: u32,
    last_ms: i64,
    banned_until_ms: i64,
}

impl Auth {
    pub(super) fn new(options: &Options) -> Auth {
        Auth {
            key: options.key.clone(),
            allow_remote: options.allow_remote,
            strikes: HashMap::new(),
            refused: 0,
            bans: 0,
        }
    }

    /// The refusal of a request that may not pass.
    pub(super) fn refusal(
        &mut self,
        generation: Generation,
        now_ms: i64,
        headers: &HeaderMap,
    ) -> Option<Answer> {
        let address = address(generation, headers);
        let refusal = self.check(generation, now_ms, &address, headers);
        self.refused += u64::from(refusal.is_some());
        refusal
    }

    fn check(
        &mut self,
        generation: Generation,
        now_ms: i64,
        address: &str,
        headers: &HeaderMap,
    ) -> Option<Answer> {
        let local = LOCAL.contains(&address);
        let strikes = self.strikes.get(address).map_or(0, |strikes| strikes.banned_until_ms);
        if strikes > now_ms {
            let left = duration(strikes - now_ms);
            let text = format!("IP banned due to too many failed attempts. Try again in {left}");
            return Some(refusal::error(403, &text));
        }
        if !local && !self.allow_remote {
            return Some(refusal::error(403, "remote management disabled"));
        }
        let given = given(headers);
        if given == Some(self.key.as_str()) {
            self.strikes.remove(address);
            return None;
        }
        if !local || generation.bans_localhost() {
            self.strike(now_ms, address);
        }
        let text = if given.is_none() { "missing management key" } else { "invalid management key" };
        Some(refusal::error(401, text))
    }

    /// Counts a failure of an address.
    pub(super) fn strike(&mut self, now_ms: i64, address: &str) {
        let strikes = self.strikes.entry(address.to_owned()).or_default();
        if now_ms.saturating_sub(strikes.last_ms) > FORGOTTEN_AFTER_MS {
            strikes.count = 0;
        }
        strikes.last_ms = now_ms;
        strikes.count += 1;
        if strikes.count >= STRIKES {
            strikes.count = 0;
            strikes.banned_until_ms = now_ms.saturating_add(BANNED_FOR_MS);
            self.bans += 1;
        }
    }

    /// Bans are in memory only.
    pub(super) fn restart(&mut self) {
        self.strikes.clear();
    }
}

/// The key of a request. An `Authorization` of another scheme than `Bearer` is taken as it is.
fn given(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name)?.to_str().ok().filter(|text| !text.is_empty());
    let authorization = text(AUTHORIZATION.as_str()).map(|value| match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key,
        _ => value,
    });
    authorization.filter(|key| !key.is_empty()).or_else(|| text("x-management-key"))
}

/// Before 8.0 every peer is trusted to say for whom it asks.
fn address(generation: Generation, headers: &HeaderMap) -> String {
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let first = forwarded.and_then(|value| value.split(',').next()).map(str::trim);
    let first = first.filter(|address| !address.is_empty() && generation < Generation::V8_0);
    first.unwrap_or("127.0.0.1").to_owned()
}

/// As Go writes a duration, in whole seconds.
fn duration(ms: i64) -> String {
    let seconds = (ms + 500) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The body that a server sends with this status.
pub(super) fn of_status(status: u16) -> Answer {
    match status {
        401 => refusal::error(401, "invalid management key"),
        403 => refusal::error(403, "IP banned due to too many failed attempts. Try again in 30m0s"),
        404 => refusal::not_found(),
        _ => Answer::json(status, &json!({ "error": "internal error" })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        let cases = [(1_800_000, "30m0s"), (1_795_000, "29m55s"), (5_400, "5s"), (3_600_000, "1h0m0s")];
        for (ms, text) in cases {
            assert_eq!(duration(ms), text);
        }
    }
}

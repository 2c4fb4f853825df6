use serde::{Deserialize, Serialize};

use super::{answer, rfc3339};
use crate::{
    model::{MatchOp, Matcher, Silence, SilenceState, Timestamp},
    server::{people, seen::Seen},
};

#[derive(Serialize)]
struct Data<'a> {
    silences: Vec<Shown<'a>>,
}

/// As Alertmanager's version 2 has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    matchers: Vec<ShownMatcher<'a>>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    updated_at: Option<String>,
    created_by: &'a str,
    comment: &'a str,
    status: Status,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownMatcher<'a> {
    name: &'a str,
    value: std::borrow::Cow<'a, str>,
    is_regex: bool,
    is_equal: bool,
}

#[derive(Serialize)]
struct Status {
    state: &'static str,
}

/// All silences: active ones by their end, then pending ones by their start, then expired ones, the newest end first.
pub(in crate::server) fn json(seen: &Seen) -> serde_json::Result<Vec<u8>> {
    let now = seen.now.wall;
    let mut silences: Vec<_> = seen.alerts.silences.iter().collect();
    silences.sort_by_key(|silence| {
        let state = silence.state(now);
        let time = match state {
            SilenceState::Active => silence.ends_at.as_millis(),
            SilenceState::Pending => silence.starts_at.as_millis(),
            SilenceState::Expired => silence.ends_at.as_millis().saturating_neg(),
        };
        (state, time, &silence.id)
    });
    answer(Data { silences: silences.into_iter().map(|silence| Shown::new(silence, seen)).collect() })
}

/// One silence; absent: there is none with this id.
pub(in crate::server) fn one(seen: &Seen, id: &str) -> Option<serde_json::Result<Vec<u8>>> {
    let silence = seen.alerts.silences.iter().find(|silence| *silence.id == *id)?;
    Some(answer(Shown::new(silence, seen)))
}

impl<'a> Shown<'a> {
    fn new(silence: &'a Silence, seen: &Seen) -> Self {
        let labels = &seen.setup.options.labels;
        let matchers = silence.matchers.iter().map(|matcher| ShownMatcher {
            name: matcher.name(),
            value: people::value(silence, matcher, labels),
            is_regex: matcher.op().is_regex(),
            is_equal: matcher.op().is_equal(),
        });
        Shown {
            id: &silence.id,
            matchers: matchers.collect(),
            starts_at: rfc3339(silence.starts_at),
            ends_at: rfc3339(silence.ends_at),
            updated_at: rfc3339(silence.updated_at),
            created_by: &silence.created_by,
            comment: &silence.comment,
            status: Status { state: silence.state(seen.now.wall).label() },
        }
    }
}

#[derive(Serialize)]
struct Changed<'a> {
    #[serde(rename = "silenceID")]
    id: &'a str,
}

/// The answer to a change of this silence.
pub(in crate::server) fn changed(id: &str) -> String {
    let text = answer(Changed { id }).unwrap_or_default();
    String::from_utf8(text).unwrap_or_default()
}

/// A silence as clients write it. What else it may hold is ignored, such as the `status` of one that was read before.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<GivenMatcher>,
    /// Absent: now.
    #[serde(default)]
    starts_at: Option<String>,
    ends_at: String,
    created_by: String,
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenMatcher {
    name: String,
    value: String,
    #[serde(default)]
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

fn yes() -> bool {
    true
}

/// Reads the body of a request to add or change a silence.
///
/// # Errors
/// What is wrong with it.
pub(in crate::server) fn read(body: &[u8], now: Timestamp) -> Result<Silence, String> {
    let given: Given =
        serde_json::from_slice(body).map_err(|err| format!("the body is not a silence in JSON: {err}"))?;
    let matchers = given.matchers.iter().map(|GivenMatcher { name, value, is_regex, is_equal }| {
        Matcher::new(name, MatchOp::of(*is_regex, *is_equal), value)
    });
    Ok(Silence {
        id: given.id.unwrap_or_default().into(),
        matchers: matchers.collect::<Result<_, _>>()?,
        starts_at: given.starts_at.map_or(Ok(now), |text| time("startsAt", &text))?,
        ends_at: time("endsAt", &given.ends_at)?,
        updated_at: now,
        created_by: given.created_by,
        comment: given.comment,
    })
}

fn time(key: &str, text: &str) -> Result<Timestamp, String> {
    let time = text.parse::<jiff::Timestamp>();
    let time = time.map_err(|_| format!("{key} is not a time; write it as \"2026-11-18T12:30:00Z\""))?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

#[cfg(test)]
mod tests;

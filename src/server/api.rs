//! What is known as JSON; `docs/api.md` describes it. Fields are added, not changed.

pub(super) mod alerts;
pub(super) mod silences;
pub(super) mod targets;
pub(super) mod usage;

use serde::Serialize;

use crate::model::Timestamp;

/// An answer in the form of Prometheus' own.
#[derive(Serialize)]
struct Answer<T> {
    status: &'static str,
    data: T,
}

fn answer<T: Serialize>(data: T) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(&Answer { status: "success", data })?;
    text.push(b'\n');
    Ok(text)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mistake<'a> {
    status: &'static str,
    error_type: &'static str,
    error: &'a str,
}

/// An answer to a request with a wrong parameter, as Prometheus gives it.
pub(super) fn bad_data(error: &str) -> String {
    mistake("bad_data", error)
}

/// An answer to a request that failed in this way, as Prometheus gives it.
pub(super) fn mistake(error_type: &'static str, error: &str) -> String {
    let mistake = Mistake { status: "error", error_type, error };
    serde_json::to_string(&mistake).unwrap_or_default() + "\n"
}

/// RFC 3339 in UTC, to the millisecond if need be.
fn rfc3339(time: Timestamp) -> Option<String> {
    jiff::Timestamp::from_millisecond(time.as_millis()).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests;

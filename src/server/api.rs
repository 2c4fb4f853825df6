//! What is known as JSON; `docs/api.md` describes it. Fields are added, not changed.

pub(super) mod alerts;
pub(super) mod targets;

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

/// RFC 3339 in UTC, to the millisecond if need be.
fn rfc3339(time: Timestamp) -> Option<String> {
    jiff::Timestamp::from_millisecond(time.as_millis()).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests;

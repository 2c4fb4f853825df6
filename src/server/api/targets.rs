use std::time::Duration;

use serde::Serialize;

use super::{answer, rfc3339};
use crate::{
    model::{Moment, Outcome, Part, PartState, Report},
    server::{
        llm::Llm,
        seen::Seen,
        target::{Counts, TargetState, is_stale},
    },
};

#[derive(Serialize)]
struct Data<'a> {
    targets: Vec<Target<'a>>,
}

#[derive(Serialize)]
struct Target<'a> {
    name: &'a str,
    state: TargetState,
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    counts: Counts,
    /// While a long user list is read for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_read: Option<FirstRead>,
    /// Only of LLM proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    llm: Option<Llm>,
    parts: Vec<PartOf>,
}

#[derive(Serialize)]
struct FirstRead {
    users_read: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_seconds: Option<f64>,
}

#[derive(Serialize)]
struct PartOf {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
    refused: bool,
    stale: bool,
    /// Only some rows of the list were read so far; left out if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
}

/// The state of every target, as JSON.
pub(in crate::server) fn json(seen: &Seen) -> serde_json::Result<Vec<u8>> {
    answer(Data { targets: seen.view.reports.iter().map(|report| Target::new(report, seen.now)).collect() })
}

impl<'a> Target<'a> {
    fn new(report: &'a Report, now: Moment) -> Self {
        let identity = report.identity.as_ref();
        Target {
            name: &report.target,
            state: TargetState::of(report, now),
            up: report.up,
            system: identity.map(|identity| identity.system.label()),
            version: identity.map(|identity| identity.version.as_str()),
            counts: Counts::of(report, now),
            first_read: report.first_read().map(|walk| FirstRead {
                users_read: walk.read,
                users: walk.size,
                left_seconds: walk.left.map(seconds),
            }),
            llm: Llm::of(report, now),
            parts: report.parts.iter().map(|(part, known)| PartOf::new(report, *part, known, now)).collect(),
        }
    }
}

impl PartOf {
    fn new(report: &Report, part: Part, known: &PartState, now: Moment) -> Self {
        let outcome = report.outcome(part).unwrap_or(&known.outcome);
        PartOf {
            name: part.label(),
            up: match outcome {
                Outcome::Up => Some(true),
                Outcome::Failed { .. } => Some(false),
                Outcome::Refused | Outcome::Pending => None,
            },
            refused: *outcome == Outcome::Refused,
            stale: is_stale(report, part, now),
            partial: part == Part::Users && report.users_are_partial(),
            error: match outcome {
                Outcome::Failed { reason, .. } => Some(reason.label()),
                _ => None,
            },
            last_success: known.last_success.and_then(|at| rfc3339(at.wall)),
            age_seconds: known.last_success.map(|at| seconds(now.since(at))),
            duration_seconds: known.duration.map(seconds),
        }
    }
}

/// To the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

//! What is wrong with a target, each cause in one sentence, and since when.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::rows::When;
use crate::{
    model::{Moment, Outcome, Part, PartState, Reason, Report, Staleness},
    server::target::is_stale,
    wording::Voice,
};

/// A cause, and the parts of the target that it concerns.
#[derive(Serialize)]
pub(super) struct Trouble {
    /// Empty: the target as a whole.
    parts: String,
    what: String,
    /// What `at` is.
    word: &'static str,
    /// Absent: they were never read.
    at: Option<When>,
}

/// Each cause once. While a target is down, that is the only one.
pub(super) fn troubles(report: &Report, now: Moment) -> Vec<Trouble> {
    if report.up == Some(false) {
        return vec![down(report, now)];
    }
    let mut causes: BTreeMap<Cause, Vec<(Part, &PartState)>> = BTreeMap::new();
    let late: Vec<_> = report.staleness(now).into_iter().flatten().collect();
    for (part, state) in &report.parts {
        let is_late = late.iter().any(|(of, age)| of == part && matches!(age, Staleness::Stale(_)));
        let cause = match state.outcome {
            Outcome::Failed { reason, .. } => Cause::Fails(reason),
            _ if is_late || is_stale(report, *part, now) => Cause::IsLate,
            _ => continue,
        };
        causes.entry(cause).or_default().push((*part, state));
    }
    causes.into_iter().map(|(cause, parts)| of_parts(report, cause, &parts, now)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Fails(Reason),
    /// It was not read for too long, but no read failed.
    IsLate,
}

fn down(report: &Report, now: Moment) -> Trouble {
    let outcomes = report.unreachable.iter().chain(report.parts.values().map(|state| &state.outcome));
    let reason = outcomes.filter_map(reason_of).next();
    // The first of the attempts that all failed.
    let since = report.history.reads().since(Duration::ZERO, now);
    let since = since.map(|since| now.wall.saturating_sub(now.uptime.saturating_sub(since)));
    Trouble {
        parts: String::new(),
        what: Voice::default().cause(reason.map_or("unknown", Reason::label)),
        word: "since",
        at: since.map(|since| When::new(since, now.wall)),
    }
}

fn of_parts(report: &Report, cause: Cause, parts: &[(Part, &PartState)], now: Moment) -> Trouble {
    let labels: Vec<_> = parts.iter().map(|(part, _)| part.label()).collect();
    let mut what = match cause {
        Cause::Fails(reason) => Voice::default().cause(reason.label()),
        Cause::IsLate => "not read in time".to_owned(),
    };
    if parts.iter().any(|(part, _)| is_stale(report, *part, now)) {
        what.push_str("; what was read is too old to be shown");
    }
    let read = parts.iter().filter_map(|(_, state)| state.last_data).min_by_key(|read| read.uptime);
    Trouble {
        parts: labels.join(", "),
        what,
        word: "last read",
        at: read.map(|read| When::new(read.wall, now.wall)),
    }
}

pub(super) fn reason_of(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Failed { reason, .. } => Some(*reason),
        Outcome::Up | Outcome::Refused | Outcome::Pending => None,
    }
}

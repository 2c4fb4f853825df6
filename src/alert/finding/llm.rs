//! Questions about the usage of an LLM proxy.

use std::time::Duration;

use super::crossing::{Crossing, Judged, of_target};
use crate::{
    alert::rule::Rule,
    model::{Moment, Reading, Report, Timestamp},
};

/// Fewer attempts prove nothing about the share of those that fail.
pub(in crate::alert) const ENOUGH_ATTEMPTS: u64 = 20;
/// A provider without attempts for this long has no errors.
const QUIET_AFTER: Duration = Duration::from_secs(60 * 60);
/// How long a loss is news.
pub(in crate::alert) const LOST_WITHIN: Duration = Duration::from_secs(60 * 60);

/// Whether too many of the last attempts at a provider failed. A few good ones are enough to end it, and without attempts
/// it goes on for a while: clients that give up repair nothing.
pub(super) fn error_ratio(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let (mut judged, mut crossings) = (Vec::new(), Vec::new());
    for (provider, attempts) in report.history.attempts() {
        let (all, failed) = attempts.recent(now);
        let (crossed, held) = if all > 0 { rule.crossed_by_use(failed, all) } else { (0, 0) };
        let crossed = if all >= ENOUGH_ATTEMPTS { crossed } else { 0 };
        if all > 0 {
            let crossing = Crossing::simple(provider.clone(), crossed, Reading::Attempts { failed, all });
            crossings.push(Crossing { held, ..crossing });
        }
        if all > 0 || attempts.quiet_for(now) >= QUIET_AFTER {
            judged.push(provider.clone());
        }
    }
    (Judged::Those(judged), crossings)
}

/// Whether records were lost lately, or taken by another reader.
pub(super) fn usage_gap(report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    // A clock that was set back by more had been wrong.
    let lately = |at: Option<Timestamp>| {
        at.is_some_and(|at| now.wall.since(at) < LOST_WITHIN && at.since(now.wall) < LOST_WITHIN)
    };
    let cause = match (lately(report.llm_usage.gap_at), lately(report.llm_usage.bypassed_at)) {
        (true, true) => "records were lost, and another reader takes some",
        (true, false) => "records were lost",
        (false, true) => "another reader takes records",
        (false, false) => return of_target(Some((0, Reading::Lasting(0)))),
    };
    of_target(Some((1, Reading::Word(cause.into()))))
}

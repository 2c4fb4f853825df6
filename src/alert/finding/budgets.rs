//! Questions about what client keys of an LLM proxy used.

use std::sync::Arc;

use super::crossing::{Crossing, Judged};
use crate::{
    alert::rule::Rule,
    model::{Budget, End, LlmUsage, Reading, Report},
};

pub(super) fn budget(rule: &Rule, report: &Report) -> (Judged, Vec<Crossing>) {
    let Some(budget) = rule.budget else { return (Judged::Nothing, Vec::new()) };
    let keys = report.llm_usage.periods.iter().filter(|used| Budget::is_of_one(&used.api_key));
    let crossings = keys.filter_map(|used| {
        let Budget { unit, period, limit } = budget;
        let (spent, since) = budget.spent(used);
        let (crossed, held) = rule.crossed_by_use(spent, limit);
        let reading = Reading::Spent { spent, limit, unit, period, since };
        let crossing = Crossing { held, ..Crossing::simple(Arc::clone(&used.api_key), crossed, reading) };
        (held > 0).then_some(crossing)
    });
    let crossings = crossings.collect();
    (Judged::Keys { usage: Arc::clone(&report.llm_usage), budget }, crossings)
}

/// Why an alert of a client key ended that has no steps crossed any more; absent: it is not known to have ended.
pub(super) fn end_of_budget(usage: &LlmUsage, budget: Budget, key: &str, then: &Reading) -> Option<End> {
    let Reading::Spent { limit, period, since: began, .. } = then else { return Some(End::Recovered) };
    if (*limit, *period) != (budget.limit, budget.period) {
        return Some(End::ToppedUp);
    }
    let began_again = |used| budget.spent(used).1 > *began;
    match usage.periods.iter().find(|used| *used.api_key == *key) {
        Some(used) if began_again(used) => Some(End::Renewed),
        Some(_) => Some(End::Reset),
        // It has used nothing in the period that others show to be the present one.
        None => usage.periods.iter().any(began_again).then_some(End::Renewed),
    }
}

/// What a client key has used of its budget now.
pub(super) fn reading_of(usage: &LlmUsage, budget: Budget, key: &str) -> Reading {
    let Budget { unit, period, limit } = budget;
    usage.periods.iter().find(|used| *used.api_key == *key).map_or(Reading::Nothing, |used| {
        let (spent, since) = budget.spent(used);
        Reading::Spent { spent, limit, unit, period, since }
    })
}

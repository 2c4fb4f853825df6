//! The stored form of sums: durable counters with JSON labels.
//!
//! | Family | Labels | Values |
//! |---|---|---|
//! | `llm_rows` | client key, provider, model | requests, failed; tokens: input, output, reasoning, cached, cache write, total; cost in billionths of a dollar, unpriced tokens |
//! | `llm_durations`, `llm_first_tokens` | provider, model | sum in microseconds, then a value for each bucket |
//! | `llm_errors` | provider, status code or null | attempts |
//! | `llm_periods` | client key | start in seconds, tokens and cost of the day; the same of the month |
//! | `llm_totals` | none | records, gaps, bypassed attempts, and when the last of each of the two were, in seconds |
//!
//! A later version may append values: missing ones count as zero, and surplus ones are left out. A value that changes its
//! meaning needs another family, and so do other bounds of the buckets.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    model::{CounterChange, CounterRow, LlmSpent, LlmTokens, Times, Timestamp},
    upstream::cliproxy::stored::{padded, secs},
};

pub(super) const ROWS: &str = "llm_rows";
pub(super) const DURATIONS: &str = "llm_durations";
pub(super) const FIRST_TOKENS: &str = "llm_first_tokens";
pub(super) const ERRORS: &str = "llm_errors";
pub(super) const PERIODS: &str = "llm_periods";
pub(super) const TOTALS: &str = "llm_totals";

/// Sums, and whether they differ from their stored form.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept<T> {
    value: T,
    changed: bool,
}

/// What one client key used of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) tokens: LlmTokens,
    pub(super) cost_nanos: u64,
    pub(super) unpriced_tokens: u64,
}

/// What one client key used in its latest day and month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Periods {
    pub(super) day: LlmSpent,
    pub(super) month: LlmSpent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) records: u64,
    pub(super) gaps: u64,
    pub(super) bypassed: u64,
    /// 0: never.
    pub(super) gap_secs: u64,
    pub(super) bypassed_secs: u64,
}

impl<T> Kept<T> {
    pub(super) fn stored(value: T) -> Self {
        Kept { value, changed: false }
    }

    pub(super) fn get(&self) -> &T {
        &self.value
    }

    pub(super) fn change(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }

    /// The row to store if there is something new to store.
    pub(super) fn take_row(
        &mut self,
        labels: impl Serialize,
        values: impl FnOnce(&T) -> Vec<u64>,
    ) -> Option<CounterRow> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let labels = serde_json::to_string(&labels).ok()?;
        Some(CounterRow { labels, values: values(&self.value) })
    }
}

/// The labels of a row. Absent: they are something else, or not in the form in which they are written, which is the one
/// that a later write would replace.
pub(super) fn labels<L: Serialize + DeserializeOwned>(row: &CounterRow) -> Option<L> {
    let labels = serde_json::from_str(&row.labels).ok()?;
    (serde_json::to_string(&labels).ok()? == row.labels).then_some(labels)
}

impl Row {
    pub(super) fn values(&self) -> Vec<u64> {
        let Row { requests, failed, tokens, cost_nanos, unpriced_tokens } = *self;
        let LlmTokens { input, output, reasoning, cached, cache_write, total } = tokens;
        vec![
            requests,
            failed,
            input,
            output,
            reasoning,
            cached,
            cache_write,
            total,
            cost_nanos,
            unpriced_tokens,
        ]
    }

    pub(super) fn of(values: &[u64]) -> Self {
        let [
            requests,
            failed,
            input,
            output,
            reasoning,
            cached,
            cache_write,
            total,
            cost_nanos,
            unpriced_tokens,
        ] = padded(values);
        let tokens = LlmTokens { input, output, reasoning, cached, cache_write, total };
        Row { requests, failed, tokens, cost_nanos, unpriced_tokens }
    }
}

impl Periods {
    pub(super) fn values(&self) -> Vec<u64> {
        let Periods { day, month } = *self;
        let values =
            [day, month].map(|LlmSpent { since, tokens, cost_nanos }| [secs(since), tokens, cost_nanos]);
        values.concat()
    }

    pub(super) fn of(values: &[u64]) -> Self {
        let [day, day_tokens, day_cost, month, month_tokens, month_cost] = padded(values);
        let spent = |since, tokens, cost_nanos| {
            let since = Timestamp::from_secs(i64::try_from(since).unwrap_or(i64::MAX));
            LlmSpent { since, tokens, cost_nanos }
        };
        let (day, month) = (spent(day, day_tokens, day_cost), spent(month, month_tokens, month_cost));
        Periods { day, month }
    }
}

impl Totals {
    pub(super) fn values(&self) -> Vec<u64> {
        let Totals { records, gaps, bypassed, gap_secs, bypassed_secs } = *self;
        vec![records, gaps, bypassed, gap_secs, bypassed_secs]
    }

    pub(super) fn of(values: &[u64]) -> Self {
        let [records, gaps, bypassed, gap_secs, bypassed_secs] = padded(values);
        Totals { records, gaps, bypassed, gap_secs, bypassed_secs }
    }
}

pub(super) fn values_of_times(times: &Times) -> Vec<u64> {
    let Times { buckets, sum } = times;
    let micros = u64::try_from(sum.as_micros()).unwrap_or(u64::MAX);
    [micros].into_iter().chain(*buckets).collect()
}

pub(super) fn times_of(values: &[u64]) -> Times {
    let (micros, buckets) = values.split_first().unwrap_or((&0, &[]));
    Times { buckets: padded(buckets), sum: Duration::from_micros(*micros) }
}

/// Changed rows by family, each of which is there once.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<CounterChange>);

impl Changes {
    pub(super) fn put(&mut self, family: &str, row: Option<CounterRow>) {
        if let Some(row) = row {
            self.of(family).rows.push(row);
        }
    }

    pub(super) fn delete(&mut self, family: &str, labels: &str) {
        self.of(family).gone.push(labels.to_owned());
    }

    pub(super) fn into_changes(self) -> Vec<CounterChange> {
        self.0
    }

    fn of(&mut self, family: &str) -> &mut CounterChange {
        let known = self.0.iter().position(|change| change.family == family);
        let at = known.unwrap_or_else(|| {
            self.0.push(CounterChange { family: family.to_owned(), ..CounterChange::default() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

//! Series about what an LLM proxy was used for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::{View, each_target},
};
use crate::model::{Budget, BudgetPeriod, BudgetUnit, LlmErrors, LlmMode, LlmRow, LlmTimes, LlmUsage, Times};

families! {
    REQUESTS = Counter("llm_requests_total", ["target", "api_key", "provider", "model"],
        "Attempts at the provider (records or details of the server's usage statistics), failed ones and each retry included. Polled; continues over restarts.");
    REQUESTS_FAILED = Counter("llm_requests_failed_total", ["target", "api_key", "provider", "model"],
        "Attempts that failed (failed). A client that hangs up is one failed attempt without tokens. Polled.");
    INPUT_TOKENS = Counter("llm_input_tokens_total", ["target", "api_key", "provider", "model"],
        "Input tokens by the provider's meaning (input_tokens): with cached ones, except for Claude; polled.");
    OUTPUT_TOKENS = Counter("llm_output_tokens_total", ["target", "api_key", "provider", "model"],
        "Output tokens by the provider's meaning (output_tokens): with reasoning, except for Gemini; polled.");
    REASONING_TOKENS = Counter("llm_reasoning_tokens_total", ["target", "api_key", "provider", "model"],
        "Reasoning tokens (reasoning_tokens): part of the output tokens, except for Gemini; polled.");
    CACHED_TOKENS = Counter("llm_cached_tokens_total", ["target", "api_key", "provider", "model"],
        "Input tokens from a cache of the provider (cached_tokens): part of the input tokens, except for Claude; polled.");
    CACHE_WRITE_TOKENS = Counter("llm_cache_write_tokens_total", ["target", "api_key", "provider", "model"],
        "Input tokens written to a cache of the provider (cache_creation_tokens), where the server says it; polled.");
    TOKENS = Counter("llm_tokens_total", ["target", "api_key", "provider", "model"],
        "All tokens by the server's own sum (total_tokens), whose parts differ by provider and version; polled.");
    COST = Counter("llm_cost_usd_total", ["target", "api_key", "provider", "model"],
        "Cost in US dollars by the configured list prices at the time of each record; a lower bound. Computed from polled records.");
    UNPRICED_TOKENS = Counter("llm_unpriced_tokens_total", ["target", "api_key", "provider", "model"],
        "Tokens of models without a price, which are not part of the cost. Polled.");
    DURATION = Histogram("llm_request_duration_seconds", ["target", "provider", "model"],
        "Duration of attempts, from start to end (latency_ms); polled.");
    FIRST_TOKEN = Histogram("llm_time_to_first_token_seconds", ["target", "provider", "model"],
        "Time from the start of a successful attempt to the first byte of its answer (ttft_ms), where the server says it; polled.");
    ERRORS = Counter("llm_errors_total", ["target", "provider", "status_code"],
        "Failed attempts by the provider's status code (fail.status_code): 499 if the client hung up, unknown if the server does not say. Polled.");
    BUDGET_USED = Gauge("llm_budget_used_ratio", ["target", "api_key", "budget", "period"],
        "Share of its budget that a client key used in the running day or month of the configured zone. Computed from polled records.");
    BUDGET_LIMIT = Gauge("llm_budget_limit", ["target", "api_key", "budget", "period"],
        "The configured budget of a client key that was read from the server, in tokens or US dollars; the smallest if it has several.");
    MODE = Gauge("llm_usage_mode", ["target", "mode"],
        "How usage is polled: 1 for the mode in force, 0 for the others. snapshot: the server's totals; queue: the records of its queue; off: not at all.");
    ENABLED = Gauge("llm_usage_enabled", ["target"],
        "Whether the server records usage (usage-statistics-enabled); polled.");
    RECORDS = Counter("llm_usage_records_total", ["target"],
        "Records taken from the server's queue, unreadable ones included; only while usage is read from it. Polled.");
    GAPS = Counter("llm_usage_gaps_total", ["target"],
        "Times at which records may have been lost: polls later than the server keeps records, ones that failed or were cut off, and restarts of the server. Failures in a row are one. Polled.");
    BYPASSED = Counter("llm_usage_bypassed_total", ["target"],
        "Attempts that the polled counters of credentials show and of which no record came: another reader takes them. Small differences are normal and do not count.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
    each_row(text, &REQUESTS, views, |row| row.requests);
    each_row(text, &REQUESTS_FAILED, views, |row| row.failed);
    each_row(text, &INPUT_TOKENS, views, |row| row.tokens.input);
    each_row(text, &OUTPUT_TOKENS, views, |row| row.tokens.output);
    each_row(text, &REASONING_TOKENS, views, |row| row.tokens.reasoning);
    each_row(text, &CACHED_TOKENS, views, |row| row.tokens.cached);
    each_row(text, &CACHE_WRITE_TOKENS, views, |row| row.tokens.cache_write);
    each_row(text, &TOKENS, views, |row| row.tokens.total);
    each_row(text, &COST, views, |row| Number::Nanos(row.cost_nanos));
    each_row(text, &UNPRICED_TOKENS, views, |row| row.unpriced_tokens);
    each_histogram(text, &DURATION, views, |times| &times.duration);
    each_histogram(text, &FIRST_TOKEN, views, |times| &times.first_token);
    write_errors(text, views);
    write_budgets(text, views);
    let mut series = text.family(&MODE);
    for view in views {
        if let Some(state) = view.llm_state() {
            for mode in LlmMode::ALL {
                series.add(&[view.target(), mode.label()], mode == state.mode);
            }
        }
    }
    each_target(text, &ENABLED, views, |view| view.llm_state()?.enabled);
    each_target(text, &RECORDS, views, |view| {
        usage(view).filter(|_| takes_records(view)).map(|usage| usage.records)
    });
    each_target(text, &GAPS, views, |view| usage(view).map(|usage| usage.gaps));
    each_target(text, &BYPASSED, views, |view| usage(view).map(|usage| usage.bypassed));
}

fn usage<'a>(view: &View<'a>) -> Option<&'a LlmUsage> {
    view.report.usage(view.now)
}

fn takes_records(view: &View<'_>) -> bool {
    view.report.llm_state.is_some_and(|state| state.mode == LlmMode::Queue)
}

fn each_row<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&LlmRow) -> V,
) {
    let mut series = text.family(family);
    for view in views {
        for row in usage(view).iter().flat_map(|usage| &usage.rows) {
            series.add(&[view.target(), &row.api_key, &row.provider, &row.model], value(row));
        }
    }
}

fn each_histogram(
    text: &mut Text<'_>,
    family: &Family<'_>,
    views: &[View<'_>],
    times: impl Fn(&LlmTimes) -> &Times,
) {
    let mut series = text.family(family);
    for view in views {
        for row in usage(view).iter().flat_map(|usage| &usage.times) {
            let times = times(row);
            let cumulative = times.buckets.iter().scan(0_u64, |sum, count| {
                *sum = sum.saturating_add(*count);
                Some(*sum)
            });
            let labels = [view.target(), &row.provider, &row.model];
            let bounds = Times::BOUNDS.into_iter().zip(cumulative);
            series.add_histogram(&labels, bounds, times.sum, times.count());
        }
    }
}

fn write_errors(text: &mut Text<'_>, views: &[View<'_>]) {
    let mut series = text.family(&ERRORS);
    for view in views {
        for LlmErrors { provider, status_code, attempts } in
            usage(view).iter().flat_map(|usage| &usage.errors)
        {
            let code = status_code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
            series.add(&[view.target(), provider, &code], *attempts);
        }
    }
}

/// Used and limit of the smallest budget of a client key, by what identifies its series.
type Budgets<'a> = BTreeMap<(&'a str, BudgetUnit, BudgetPeriod), (u64, u64)>;

fn write_budgets(text: &mut Text<'_>, views: &[View<'_>]) {
    let of_views: Vec<_> = views.iter().map(|view| (view.target(), budgets(view))).collect();
    let mut series = text.family(&BUDGET_USED);
    for (target, budgets) in &of_views {
        for ((key, unit, period), (spent, limit)) in budgets {
            series.add(&[target, key, unit.label(), period.label()], ratio(*spent, *limit));
        }
    }
    let mut series = text.family(&BUDGET_LIMIT);
    for (target, budgets) in &of_views {
        for ((key, unit, period), (_, limit)) in budgets {
            let limit = match unit {
                BudgetUnit::Tokens => Number::Whole(*limit),
                BudgetUnit::UsdNanos => Number::Nanos(*limit),
            };
            series.add(&[target, key, unit.label(), period.label()], limit);
        }
    }
}

/// Of the client keys that are known. One that used nothing in the running period has used none of its budget.
fn budgets<'a>(view: &View<'a>) -> Budgets<'a> {
    let mut budgets = Budgets::new();
    let Some(usage) = usage(view).filter(|_| !view.options.budgets.is_empty()) else { return budgets };
    let used: BTreeMap<_, _> = usage.periods.iter().map(|used| (&used.api_key, used)).collect();
    let keys: BTreeSet<&Arc<str>> =
        usage.rows.iter().map(|row| &row.api_key).chain(used.keys().copied()).collect();
    for key in keys.into_iter().filter(|key| Budget::is_of_one(key)) {
        let with = view.options.budgets.iter();
        for with in with.filter(|with| with.targets.include(view.target()) && with.keys.include(key)) {
            let Budget { unit, period, limit } = with.budget;
            let spent = used.get(key).map_or(0, |used| with.budget.spent(used).0);
            let entry = budgets.entry((&**key, unit, period)).or_insert((spent, limit));
            entry.1 = entry.1.min(limit);
        }
    }
    budgets
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn ratio(spent: u64, limit: u64) -> f64 {
    spent as f64 / limit.max(1) as f64
}

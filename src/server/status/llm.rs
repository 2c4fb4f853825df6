use serde::Serialize;

use super::text::name;
use crate::{
    model::{
        BudgetUnit, Moment, Report,
        words::{self, count},
    },
    server::llm::{Llm, Usage},
};

/// An LLM proxy, in words.
#[derive(Serialize)]
pub(super) struct LlmRow {
    target: String,
    /// Its page, below that of all.
    link: String,
    /// How usage is read.
    mode: &'static str,
    /// The server does not record usage.
    unrecorded: bool,
    /// Absent: not known, or stale.
    usage: Option<UsageWords>,
    /// Empty: not known, or stale.
    credentials: String,
    /// Absent: there are none.
    unavailable: Option<String>,
}

#[derive(Serialize)]
struct UsageWords {
    attempts: String,
    failed: String,
    tokens: String,
    cost: String,
    /// Absent: all tokens have a price.
    unpriced: Option<String>,
}

impl LlmRow {
    /// Absent: the target is no LLM proxy.
    pub(super) fn new(report: &Report, now: Moment) -> Option<Self> {
        let Llm { usage_mode, usage_enabled, usage, credentials, unavailable } = Llm::of(report, now)?;
        let credentials = credentials.iter().map(|of| format!("{} {}", count(of.count), of.status));
        Some(LlmRow {
            target: name(&report.target),
            link: report.target.to_string(),
            mode: usage_mode.unwrap_or_default(),
            unrecorded: usage_enabled == Some(false),
            usage: usage.map(UsageWords::from),
            credentials: credentials.collect::<Vec<_>>().join(", "),
            unavailable: unavailable.filter(|number| *number > 0).map(count),
        })
    }
}

impl From<Usage> for UsageWords {
    fn from(Usage { attempts, failed, tokens, cost_nanos, unpriced_tokens }: Usage) -> Self {
        UsageWords {
            attempts: count(attempts),
            failed: count(failed),
            tokens: count(tokens),
            cost: words::amount(cost_nanos, BudgetUnit::UsdNanos),
            unpriced: (unpriced_tokens > 0).then(|| count(unpriced_tokens)),
        }
    }
}

//! What pages and answers show of an LLM proxy.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{LlmState, LlmUsage, Moment, Part, Report};

/// What is known of an LLM proxy and not stale.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Llm {
    /// How usage is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_mode: Option<&'static str>,
    /// Whether the server records usage, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_enabled: Option<bool>,
    #[serde(flatten)]
    pub(super) usage: Option<Usage>,
    /// By status, those that there are; empty: not known.
    pub(super) credentials: Vec<Credentials>,
    /// Credentials that cannot be used now, those that are switched off included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unavailable: Option<usize>,
}

/// All that was ever counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Usage {
    pub(super) attempts: u64,
    pub(super) failed: u64,
    pub(super) tokens: u64,
    #[serde(rename = "cost_usd", serialize_with = "dollars")]
    pub(super) cost_nanos: u64,
    pub(super) unpriced_tokens: u64,
}

/// The credentials of one status.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Credentials {
    pub(super) status: &'static str,
    pub(super) count: usize,
}

impl Llm {
    /// Absent: the target is no LLM proxy, or was not read yet.
    pub(super) fn of(report: &Report, now: Moment) -> Option<Self> {
        let LlmState { mode, enabled } = report.llm_state?;
        let mut llm = Llm { usage_mode: Some(mode.label()), usage_enabled: enabled, ..Llm::default() };
        llm.usage = report.usage(now).map(Usage::of);
        if report.fresh(Part::Credentials, now) {
            let mut counts = BTreeMap::new();
            for credential in report.credentials.iter() {
                let status = credential.status_word();
                *counts.entry(status).or_insert(0) += 1;
            }
            llm.credentials =
                counts.into_iter().map(|(status, count)| Credentials { status, count }).collect();
            let unavailable = report.credentials.iter().filter(|known| known.available == Some(false));
            llm.unavailable = Some(unavailable.count());
        }
        Some(llm)
    }
}

impl Usage {
    fn of(usage: &LlmUsage) -> Self {
        let mut sum = Usage::default();
        for row in &usage.rows {
            for (sum, more) in [
                (&mut sum.attempts, row.requests),
                (&mut sum.failed, row.failed),
                (&mut sum.tokens, row.tokens.total),
                (&mut sum.cost_nanos, row.cost_nanos),
                (&mut sum.unpriced_tokens, row.unpriced_tokens),
            ] {
                *sum = sum.saturating_add(more);
            }
        }
        sum
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
#[expect(clippy::cast_precision_loss, reason = "exact to a billionth up to nine million dollars")]
fn dollars<S: serde::Serializer>(nanos: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*nanos as f64 / 1e9)
}

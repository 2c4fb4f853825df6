//! Everything that was counted of a target's attempts. It survives restarts as rows of durable counters.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{attempt::Attempt, config::Caps, prices::Prices};
use crate::model::{CounterChange, CounterFamilies, LlmUsage, Timestamp};

/// The sums of all attempts.
#[derive(Debug)]
pub(super) struct Ledger {}

impl Ledger {
    pub(super) fn new(_caps: Caps, _prices: Arc<Prices>, _zone: TimeZone) -> Self {
        Ledger {}
    }

    /// Continues what an earlier process counted. Returns which of its rows nothing needs any more. Rows of other owners
    /// are left alone.
    pub(super) fn resume(&mut self, _families: &CounterFamilies) -> Vec<CounterChange> {
        Vec::new()
    }

    /// Counts one attempt that came to us at `now`.
    pub(super) fn add(&mut self, _attempt: &Attempt, _now: Timestamp) {}

    /// Counts a record that could not be read.
    pub(super) fn add_unreadable(&mut self) {}

    /// Counts a time in which records may have been lost.
    pub(super) fn gap(&mut self) {}

    /// Counts attempts of which no record came.
    pub(super) fn bypassed(&mut self, _attempts: u64) {}

    /// What has changed since the last call, in stored form.
    pub(super) fn changes(&mut self) -> Vec<CounterChange> {
        Vec::new()
    }

    /// Everything, with client keys as `name` shows their hashes. Keys of one name are added up.
    pub(super) fn usage(&self, _name: impl Fn(&str) -> Arc<str>, _now: Timestamp) -> LlmUsage {
        LlmUsage::default()
    }
}

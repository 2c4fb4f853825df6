//! The stored state of a receiver.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// The stored state of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiverState {
    /// Failed attempts since the last success.
    pub failures: u32,
    /// No attempt is made before this time.
    pub next_attempt: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// Whether deliveries are stopped until its configuration changes.
    pub disabled: bool,
    /// When the first attempt after the last success failed.
    pub failing_since: Option<Timestamp>,
    /// A few bits of a digest of its configuration.
    pub config: u16,
    /// The most alerts that a message names, after a message with more was refused as too large.
    pub most: Option<usize>,
    /// When that was.
    pub most_since: Option<Timestamp>,
    /// Whether it fails because of itself: its credentials, sender or account.
    pub refused: bool,
    /// Notifications given up lately.
    pub given_up: u64,
    /// When the last one was.
    pub given_up_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_failure: Option<LastFailure>,
    /// Up to when its digests cover what has changed; absent: it gets none.
    pub last_digest: Option<Timestamp>,
    /// When the last digest was composed. Unlike `last_digest`, it stays when the clock is set back.
    pub digest_composed: Option<Timestamp>,
    /// The number of the last month that each of its monthly statements was composed about, or that one was not wanted of.
    pub statements: BTreeMap<String, i32>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// A word of a closed set.
    pub reason: String,
    /// A sentence that is safe for logs.
    pub detail: String,
}

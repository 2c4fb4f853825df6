//! The stored state of a receiver.

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
    /// What the fallback was notified about since the last success.
    pub fallback_knows: FallbackKnows,
    /// The name of that fallback, if it was notified.
    pub fallback: Option<String>,
    /// A few bits of a digest of its configuration.
    pub config: u16,
}

/// What the fallback receiver was notified about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackKnows {
    #[default]
    Nothing,
    /// The receiver fails.
    Failing,
    /// Notices to the receiver were given up.
    GivenUp,
}

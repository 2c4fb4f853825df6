//! What is remembered of a receiver.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// What is remembered of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiverState {
    /// Attempts that failed since the last success.
    pub failures: u32,
    /// Not to be tried before.
    pub next_attempt: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// Takes nothing until its configuration changes.
    pub disabled: bool,
    /// When the first attempt failed since the last success.
    pub failing_since: Option<Timestamp>,
    /// What the fallback was notified of since the last success.
    pub fallback_knows: FallbackKnows,
    /// The name of that fallback, if it was notified.
    pub fallback: Option<String>,
    /// A few bits of a digest of its configuration.
    pub config: u16,
}

/// What the fallback was notified of about a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackKnows {
    #[default]
    Nothing,
    /// That it fails.
    Failing,
    /// That notices to it were given up.
    GivenUp,
}

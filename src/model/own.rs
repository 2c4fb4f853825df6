use std::{borrow::Cow, collections::BTreeMap};

use super::Timestamp;

/// What people must hear of the daemon itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnState {
    /// Whether the storage can be written.
    pub storage: Condition,
    /// Whether the history of use can be written.
    pub history: Condition,
    /// Whether the configuration, and each file that it names, could be used when last loaded.
    pub configuration: Condition,
    /// Whether the heartbeat is sent, or there is none.
    pub heartbeat: Condition,
    /// Every receiver, by name.
    pub receivers: BTreeMap<String, ReceiverTrouble>,
    /// All receivers of digests were told of what changed before this time; absent: there is none.
    pub digested: Option<Timestamp>,
}

/// What is wrong with a receiver; by default, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverTrouble {
    /// When the first attempt since the last delivery failed; absent: it does not fail.
    pub failing_since: Option<Timestamp>,
    /// Whether anything waits for it.
    pub waits: bool,
    /// Whether it refuses because of itself: its credentials, sender or account.
    pub refuses: bool,
    /// Notifications given up lately.
    pub given_up: u64,
    /// Why the last attempt failed.
    pub cause: String,
}

/// How a part of the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It was not looked at since the start.
    #[default]
    Unknown,
    Good,
    /// With the cause in a few words.
    Failing(Cow<'static, str>),
}

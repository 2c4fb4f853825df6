use std::collections::BTreeMap;

use super::json::OddField;

/// What a client did and met, for the daemon's own counters and its log.
#[derive(Debug, Default)]
pub struct Notes {
    /// Requests sent, logins included.
    pub requests: u64,
    /// Logins tried.
    pub logins: u64,
    /// Fields that could not be read, and how often.
    pub odd_fields: BTreeMap<OddField, u64>,
    /// What the operator may want to know, a sentence each, said once.
    pub hints: Vec<&'static str>,
}

//! The pace of polling and its load on a target.

use std::time::Duration;

use crate::upstream::Timeouts;

/// The pace of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct PollConfig {
    /// Between two reads of the cheap parts; at least 5 s.
    pub interval: Duration,
    /// Time limit of one request.
    pub timeout: Duration,
    /// Time limit of one page of a long list; at least `timeout`. It is long because the panel continues to work on a
    /// page that is abandoned.
    pub page_timeout: Duration,
    /// The age at which a part's series are dropped instead of repeated; at least 7 min and more than `interval`.
    pub stale_after: Duration,
    /// The share of time that walking a long list may keep a panel busy, 0.001 to 1.
    pub load: f64,
    pub users_interval: UsersInterval,
}

impl PollConfig {
    /// The time limits of requests.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts { request: self.timeout, page: self.page_timeout }
    }
}

/// When the next walk over the user list starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsersInterval {
    /// As `load` allows.
    Auto,
    /// As `load` allows, but no sooner than this after the last start.
    Every(Duration),
}

impl Default for PollConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(20),
            page_timeout: Duration::from_secs(60),
            stale_after: Duration::from_secs(10 * 60),
            load: 0.10,
            users_interval: UsersInterval::Auto,
        }
    }
}

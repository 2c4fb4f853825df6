//! How often and how hard a target is asked.

use std::time::Duration;

/// The pace of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct PollConfig {
    /// From one read of the cheap parts to the next; at least 5 s.
    pub interval: Duration,
    /// For one request.
    pub timeout: Duration,
    /// For one page of a long list; not shorter than `timeout`. It is long because a page we give up on keeps
    /// running in the panel.
    pub page_timeout: Duration,
    /// The age at which a part's series are dropped instead of repeated; at least 7 min and more than `interval`.
    pub stale_after: Duration,
    /// The share of its time a panel may be kept busy by the walk over a long list, 0.001 to 1.
    pub load: f64,
    pub users_interval: UsersInterval,
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

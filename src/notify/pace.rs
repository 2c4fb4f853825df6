//! How many messages a service allows.

use std::time::Duration;

/// At most so many messages within any span of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub most: usize,
    pub within: Duration,
}

impl Rate {
    pub(super) const fn new(most: usize, seconds: u64) -> Self {
        Rate { most, within: Duration::from_secs(seconds) }
    }
}

use std::sync::Arc;

use crate::model::Timestamp;

/// What a digest says of one target. Subjects have the names that notifications call them by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfTarget {
    pub target: Arc<str>,
    pub outages: Listed<Outage>,
    /// The soonest first.
    pub expiring: Listed<Expiring>,
    /// The highest share first.
    pub nearly_used_up: Listed<Usage>,
    pub renewed: Listed<Renewed>,
    pub reset: Listed<Reset>,
    pub new: Listed<String>,
    pub gone: Listed<String>,
}

/// The first lines of a list, and how many there are besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    pub lines: Vec<T>,
    pub more: usize,
}

/// A time during which a node or the target itself was down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Absent: the target itself.
    pub node: Option<Arc<str>>,
    pub since: Timestamp,
    /// Absent: it goes on.
    pub until: Option<Timestamp>,
}

/// A user whose plan ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    pub user: String,
    pub end: Timestamp,
}

/// A user who has used most of the quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub user: String,
    pub used: u64,
    pub limit: u64,
}

/// A user whose plan ends later than it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    pub user: String,
    /// Absent: it does not end.
    pub until: Option<Timestamp>,
}

/// A user who may use more again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    pub user: String,
    pub used: u64,
    pub used_before: u64,
    /// Absent: there is none.
    pub limit: Option<u64>,
    pub limit_before: Option<u64>,
}

impl OfTarget {
    pub(super) fn is_empty(&self) -> bool {
        let OfTarget { target: _, outages, expiring, nearly_used_up, renewed, reset, new, gone } = self;
        outages.is_empty()
            && expiring.is_empty()
            && nearly_used_up.is_empty()
            && renewed.is_empty()
            && reset.is_empty()
            && new.is_empty()
            && gone.is_empty()
    }
}

impl<T> Listed<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len().saturating_add(self.more)
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.more == 0
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed { lines: Vec::new(), more: 0 }
    }
}

use std::{sync::Arc, time::Duration};

use crate::{
    model::{Day, Marks, Timestamp},
    wording::Failing,
};

/// What a digest says of one target. Subjects have the names that notifications call them by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfTarget {
    pub target: Arc<str>,
    pub outages: Listed<Outages>,
    /// The soonest first.
    pub expiring: Listed<Expiring>,
    /// The highest share first.
    pub nearly_used_up: Listed<Usage>,
    /// The soonest first.
    pub used_up_soon: Listed<UsedUp>,
    pub renewed: Listed<Renewed>,
    pub reset: Listed<Reset>,
    pub new: Listed<String>,
    pub gone: Listed<String>,
    /// The users who used the most on the last whole day; absent: that is not wanted, or not known.
    pub top: Option<Top>,
}

/// The first lines of a list, and how many there are besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    pub lines: Vec<T>,
    pub more: usize,
}

/// The outages of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outages {
    pub subject: Failing,
    /// When the last one began.
    pub since: Timestamp,
    /// When the last one ended. Absent: it goes on.
    pub until: Option<Timestamp>,
    /// How many there were.
    pub count: usize,
    /// How long they lasted altogether.
    pub lasted: Duration,
}

/// The users who used the most, the most first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    pub day: Day,
    pub users: Vec<Used>,
}

/// What a user used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    pub user: String,
    pub bytes: u64,
    pub marks: Marks,
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

/// A user who will have used up the quota before it begins again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedUp {
    pub user: String,
    pub at: Timestamp,
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
    /// Whether there is nothing that a digest is sent for. That users used something is no news.
    pub fn has_no_news(&self) -> bool {
        let OfTarget {
            target: _,
            outages,
            expiring,
            nearly_used_up,
            used_up_soon,
            renewed,
            reset,
            new,
            gone,
            top: _,
        } = self;
        outages.is_empty()
            && expiring.is_empty()
            && nearly_used_up.is_empty()
            && used_up_soon.is_empty()
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

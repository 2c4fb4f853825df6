use std::{
    cmp::Reverse,
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use crate::model::Severity;

/// Where an intent stands among those of its receiver: fewest failed attempts first, so that one that a receiver cannot
/// take holds up no other; then the most severe, then the one that has waited longest, by uptime. The last number keeps
/// the order of equals from being that of names.
pub(super) type Urgency = (u32, Reverse<Severity>, Duration, u64);

pub(super) fn shuffled(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The groups of one receiver in order of time and of urgency, so that no call looks at all of them.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    looks: BTreeSet<(Duration, Arc<str>)>,
    intents: BTreeSet<(Urgency, Arc<str>)>,
    /// The intents by age.
    ages: BTreeSet<(Duration, Arc<str>)>,
}

/// What the agenda knows of a group: when to look at it, and its urgency if it is an intent.
pub(super) type Entry = (Option<Duration>, Option<Urgency>);

impl Agenda {
    pub(super) fn change(&mut self, key: &Arc<str>, before: Entry, after: Entry) {
        if before.0 != after.0 {
            if let Some(due) = before.0 {
                self.looks.remove(&(due, Arc::clone(key)));
            }
            if let Some(due) = after.0 {
                self.looks.insert((due, Arc::clone(key)));
            }
        }
        if before.1 != after.1 {
            if let Some(urgency) = before.1 {
                self.ages.remove(&(urgency.2, Arc::clone(key)));
                self.intents.remove(&(urgency, Arc::clone(key)));
            }
            if let Some(urgency) = after.1 {
                self.ages.insert((urgency.2, Arc::clone(key)));
                self.intents.insert((urgency, Arc::clone(key)));
            }
        }
    }

    /// The uptime of the next look.
    pub(super) fn due(&self) -> Option<Duration> {
        self.looks.first().map(|(due, _)| *due)
    }

    /// The groups to look at by `now`.
    pub(super) fn due_by(&self, now: Duration) -> Vec<Arc<str>> {
        self.looks.iter().take_while(|(due, _)| *due <= now).map(|(_, key)| Arc::clone(key)).collect()
    }

    /// The most urgent intent.
    pub(super) fn first(&self) -> Option<&(Urgency, Arc<str>)> {
        self.intents.first()
    }

    /// The intent that has waited longest, and since which uptime.
    pub(super) fn oldest(&self) -> Option<&(Duration, Arc<str>)> {
        self.ages.first()
    }

    /// The intent that has waited longest of those with failed attempts, which are few.
    pub(super) fn oldest_tried(&self) -> Option<(Duration, &Arc<str>)> {
        let tried = self.intents.iter().rev().take_while(|((attempts, ..), _)| *attempts > 0);
        tried.map(|((_, _, since, _), key)| (*since, key)).min_by_key(|(since, _)| *since)
    }

    /// How many intents there are.
    pub(super) fn len(&self) -> usize {
        self.intents.len()
    }
}

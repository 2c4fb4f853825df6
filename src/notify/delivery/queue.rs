//! Notices in sending order, indexed by group and alert, by age and by expiry.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::merge::about;
use crate::model::{Moment, Notice};

/// A waiting notice.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) notice: Notice,
    /// Hashes of its group and of the labels of its alerts.
    about: HashSet<u64>,
    /// Addresses that accepted it, see [`Receiver::send`](crate::notify::Receiver::send).
    pub(super) done: Vec<String>,
    /// When the oldest notice was made that this one covers.
    pub(super) since: Moment,
    pub(super) expires: Instant,
    /// Whether the receiver may have accepted it without an acknowledgement.
    pub(super) maybe_taken: bool,
}

impl Queued {
    pub(super) fn new(notice: Notice, done: Vec<String>, since: Moment, expires: Instant) -> Self {
        Queued { about: about(&notice), notice, done, since, expires, maybe_taken: false }
    }

    /// Whether any address may have received it.
    pub(super) fn may_be_known(&self) -> bool {
        self.maybe_taken || !self.done.is_empty()
    }
}

/// A place in a [`Queue`]: lower ones are sent first.
pub(super) type Place = u64;

/// The queue of one receiver. No call scans all notices, so the cost per notice does not grow with the queue.
///
/// [`Queue::take_related`] finds one notice per group and per alert. The owner merges related notices before it
/// adds the result; notices left by an earlier process are taken out and added again one by one.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: BTreeMap<Place, Queued>,
    /// By what they are about.
    places: HashMap<u64, Place>,
    /// By uptime of `since`.
    ages: BTreeSet<(Duration, Place)>,
    expiries: BTreeSet<(Instant, Place)>,
    next: Place,
}

impl Queue {
    pub(super) fn push_back(&mut self, item: Queued) {
        self.insert(self.next, item);
    }

    /// Adds a notice at a free place.
    pub(super) fn insert(&mut self, place: Place, item: Queued) {
        self.next = self.next.max(place + 1);
        self.places.extend(item.about.iter().map(|key| (*key, place)));
        self.ages.insert((item.since.uptime, place));
        self.expiries.insert((item.expires, place));
        self.items.insert(place, item);
    }

    pub(super) fn pop_front(&mut self) -> Option<Queued> {
        let place = *self.items.first_key_value()?.0;
        self.take(place)
    }

    /// Takes the first notice of the same group or about one of the same alerts. Alerts may have been grouped
    /// differently before a reload, and the start of an alert must not be sent after its end.
    pub(super) fn take_related(&mut self, other: &Queued) -> Option<(Place, Queued)> {
        let place = other.about.iter().filter_map(|key| self.places.get(key)).min().copied()?;
        Some((place, self.take(place)?))
    }

    /// Takes the notices that have expired by `now`, in queue order.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Queued> {
        let expired = self.expiries.iter().take_while(|(expires, _)| *expires <= now);
        let places: BTreeSet<_> = expired.map(|(_, place)| *place).collect();
        places.into_iter().filter_map(|place| self.take(place)).collect()
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// When the oldest notice was made.
    pub(super) fn oldest(&self) -> Option<Moment> {
        let (_, place) = self.ages.first()?;
        self.items.get(place).map(|item| item.since)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Every notice, in order.
    pub(super) fn into_items(self) -> impl Iterator<Item = Queued> {
        self.items.into_values()
    }

    fn take(&mut self, place: Place) -> Option<Queued> {
        let item = self.items.remove(&place)?;
        for key in &item.about {
            if self.places.get(key) == Some(&place) {
                self.places.remove(key);
            }
        }
        self.ages.remove(&(item.since.uptime, place));
        self.expiries.remove(&(item.expires, place));
        Some(item)
    }
}

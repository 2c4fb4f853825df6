//! Attempts by credential, counted on over restarts of the server and of this process.
//!
//! The server's counters fall when it restarts, and also one by one: when a key or file is removed and put back. A key that
//! it uses at several URLs has a counter for each, of which one may fall or go while the others stay.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::credentials::Counter;
use crate::model::{CounterChange, CounterFamilies, CounterRow};

/// All attempts and those that failed, by credential.
const SUMS: &str = "llm_credentials";
/// The server's counters when they were last read.
const LAST: &str = "llm_credential_counters";
/// Credentials, and counters, that are remembered after they have left the list.
const MOST: usize = 5000;

/// The totals of all credentials.
#[derive(Debug)]
pub(super) struct Totals {
    sums: Pairs,
    last: Pairs,
}

/// A total after one more reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Attempts since the last reading, without those of new counters.
    pub(super) grew: u64,
    /// Whether a counter began again, and whether one that had counted something did not.
    pub(super) fell: bool,
    pub(super) held: bool,
}

impl Totals {
    pub(super) fn new() -> Self {
        Totals { sums: Pairs::new(SUMS), last: Pairs::new(LAST) }
    }

    /// Restores what an earlier process stored.
    pub(super) fn restore(&mut self, families: &CounterFamilies) {
        for (family, rows) in families {
            for pairs in [&mut self.sums, &mut self.last] {
                if pairs.family == family {
                    pairs.restore(rows);
                }
            }
        }
    }

    /// Adds a reading of the counters of one credential.
    pub(super) fn read(&mut self, label: &Arc<str>, counters: &[Counter]) -> Read {
        let (mut requests, mut failed) = self.sums.get(label).unwrap_or_default();
        let (mut grew, mut any_fell, mut any_held) = (0_u64, false, false);
        for counter in counters {
            let known = self.last.get(&counter.entry);
            let before = known.unwrap_or_default();
            // If either falls, both began again.
            let fell = counter.succeeded < before.0 || counter.failed < before.1;
            any_fell |= fell;
            any_held |= !fell && before != (0, 0);
            let before = if fell { (0, 0) } else { before };
            let more_failed = counter.failed - before.1;
            let more = (counter.succeeded - before.0).saturating_add(more_failed);
            requests = requests.saturating_add(more);
            failed = failed.saturating_add(more_failed);
            grew = grew.saturating_add(known.map_or(0, |_| more));
            self.last.set(&counter.entry, (counter.succeeded, counter.failed));
        }
        self.sums.set(label, (requests, failed));
        Read { requests, failed, grew, fell: any_fell, held: any_held }
    }

    /// Adds attempts of a credential that the server does not count.
    pub(super) fn add(&mut self, label: &Arc<str>, (more, more_failed): (u64, u64)) {
        let (requests, failed) = self.sums.get(label).unwrap_or_default();
        self.sums.set(label, (requests.saturating_add(more), failed.saturating_add(more_failed)));
    }

    /// All attempts of a credential and those that failed; absent: none was counted.
    pub(super) fn of(&self, label: &str) -> Option<(u64, u64)> {
        self.sums.get(label)
    }

    /// Forgets what is not in the list, if there is too much.
    pub(super) fn limit(&mut self, labels: &HashSet<Arc<str>>, entries: &HashSet<Arc<str>>) {
        self.sums.limit(labels);
        self.last.limit(entries);
    }

    /// What has changed since the last call, in stored form.
    pub(super) fn changes(&mut self) -> impl Iterator<Item = CounterChange> {
        [self.sums.changes(), self.last.changes()].into_iter().flatten()
    }
}

/// Two numbers by name, and what of them is not stored yet.
#[derive(Debug)]
struct Pairs {
    family: &'static str,
    pairs: HashMap<Arc<str>, (u64, u64)>,
    changed: HashSet<Arc<str>>,
    gone: Vec<String>,
}

impl Pairs {
    fn new(family: &'static str) -> Self {
        Pairs { family, pairs: HashMap::new(), changed: HashSet::new(), gone: Vec::new() }
    }

    fn restore(&mut self, rows: &[CounterRow]) {
        for CounterRow { labels, values } in rows {
            if let [first, second] = values.as_slice() {
                self.pairs.insert(labels.as_str().into(), (*first, *second));
            }
        }
    }

    fn get(&self, name: &str) -> Option<(u64, u64)> {
        self.pairs.get(name).copied()
    }

    fn set(&mut self, name: &Arc<str>, pair: (u64, u64)) {
        if self.get(name) != Some(pair) {
            self.pairs.insert(Arc::clone(name), pair);
            self.changed.insert(Arc::clone(name));
        }
    }

    fn limit(&mut self, listed: &HashSet<Arc<str>>) {
        if self.pairs.len() > MOST {
            let Pairs { family: _, pairs, changed, gone } = self;
            pairs.retain(|name, _| {
                let stays = listed.contains(name);
                if !stays {
                    changed.remove(name);
                    gone.push(name.to_string());
                }
                stays
            });
        }
    }

    fn changes(&mut self) -> Option<CounterChange> {
        let row = |name: Arc<str>| {
            let (first, second) = self.pairs.get(&name)?;
            Some(CounterRow { labels: name.to_string(), values: vec![*first, *second] })
        };
        let rows: Vec<_> = self.changed.drain().filter_map(row).collect();
        let gone = std::mem::take(&mut self.gone);
        let family = self.family.to_owned();
        (!rows.is_empty() || !gone.is_empty()).then_some(CounterChange { family, rows, gone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(entry: &str, (succeeded, failed): (u64, u64)) -> Counter {
        Counter { entry: entry.into(), succeeded, failed }
    }

    fn stored(totals: &mut Totals) -> CounterFamilies {
        totals.changes().map(|change| (change.family, change.rows)).collect()
    }

    #[test]
    fn totals_go_on_over_falls_of_one_credential_and_over_restarts() {
        let (a, b) = (Arc::<str>::from("a"), Arc::from("b"));
        let mut totals = Totals::new();
        let read =
            |totals: &mut Totals, label: &Arc<str>, counts| totals.read(label, &[counter(label, counts)]);
        // The label, the server's counters, and then all requests, all failed ones and the growth; whether it began again.
        let (held, fell) = ((false, true), (true, false));
        let steps = [
            (&a, (10, 2), (12, 2, 0), (false, false)),
            (&b, (5, 0), (5, 0, 0), (false, false)),
            (&a, (11, 2), (13, 2, 1), held),
            // It was removed and put back.
            (&a, (1, 1), (15, 3, 2), fell),
            (&b, (5, 0), (5, 0, 0), held),
            (&b, (6, 1), (7, 1, 2), held),
            // As many succeeded as before, and fewer failed.
            (&a, (3, 0), (18, 3, 3), fell),
        ];
        for (label, counts, (requests, failed, grew), (fell, held)) in steps {
            let expected = Read { requests, failed, grew, fell, held };
            assert_eq!(read(&mut totals, label, counts), expected, "{label} {counts:?}");
        }
        let rows = stored(&mut totals);
        assert!(stored(&mut totals).is_empty());
        let mut next = Totals::new();
        next.restore(&rows);
        let (fell, held) = (false, true);
        assert_eq!(read(&mut next, &a, (4, 0)), Read { requests: 19, failed: 3, grew: 1, fell, held });
        assert_eq!(read(&mut next, &b, (6, 1)), Read { requests: 7, failed: 1, grew: 0, fell, held });
    }

    #[test]
    fn a_counter_that_goes_takes_nothing_and_adds_nothing() {
        let key = Arc::<str>::from("key");
        let mut totals = Totals::new();
        // The counters of one key at some URLs, and then all requests and the growth.
        let steps = [
            (&[("A", (1000, 0)), ("B", (500, 0))][..], (1500, 0)),
            (&[("A", (1000, 0))], (1500, 0)),
            (&[("A", (1001, 0)), ("C", (2, 0))], (1503, 1)),
            (&[("A", (1001, 0)), ("B", (3, 0)), ("C", (2, 0))], (1506, 3)),
            (&[], (1506, 0)),
            (&[("A", (1001, 0)), ("B", (u64::MAX, u64::MAX))], (u64::MAX, u64::MAX)),
            (&[("A", (u64::MAX, u64::MAX)), ("B", (u64::MAX, u64::MAX))], (u64::MAX, u64::MAX)),
        ];
        for (counters, (requests, grew)) in steps {
            let counters: Vec<_> = counters.iter().map(|(entry, counts)| counter(entry, *counts)).collect();
            let read = totals.read(&key, &counters);
            assert_eq!((read.requests, read.grew), (requests, grew), "{counters:?}");
        }
    }

    #[test]
    fn a_counter_that_moves_to_another_credential_is_not_counted_again() {
        let mut totals = Totals::new();
        totals.read(&"shared".into(), &[counter("A", (1000, 0))]);
        totals.read(&"second".into(), &[counter("B", (500, 0))]);
        // The key is no longer there for the first provider.
        let read = totals.read(&"shared".into(), &[counter("B", (501, 0))]);
        assert_eq!((read.requests, read.grew), (1001, 1));
    }

    #[test]
    fn only_so_many_credentials_are_remembered() {
        let mut totals = Totals::new();
        for number in 0..=MOST {
            let label = number.to_string();
            totals.read(&label.as_str().into(), &[counter(&label, (1, 0))]);
        }
        let listed = HashSet::from(["7".into()]);
        totals.limit(&listed, &listed);
        for change in totals.changes() {
            assert_eq!((change.rows.len(), change.gone.len()), (1, MOST), "{}", change.family);
        }
    }
}

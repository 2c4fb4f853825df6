//! Attempts by credential, counted on over restarts of the server and of this process.
//!
//! The server's counters fall when it restarts, and also one by one: when a key or file is removed and put back.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::model::{CounterChange, CounterRow};

pub(super) const FAMILY: &str = "llm_credentials";
/// Credentials that are remembered after they have left the list.
const MOST: usize = 5000;

/// The totals of all credentials, by label.
#[derive(Debug, Default)]
pub(super) struct Totals {
    totals: HashMap<Arc<str>, Total>,
    changed: HashSet<Arc<str>>,
    gone: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    requests: u64,
    failed: u64,
    /// The server's counters when they were last read.
    last: (u64, u64),
}

/// A total after one more reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Attempts since the last reading; none for a credential that is new.
    pub(super) grew: u64,
}

impl Totals {
    /// Restores what an earlier process stored.
    pub(super) fn restore(&mut self, rows: &[CounterRow]) {
        for CounterRow { labels, values } in rows {
            if let [requests, failed, succeeded, last_failed] = values.as_slice() {
                let last = (*succeeded, *last_failed);
                let total = Total { requests: *requests, failed: *failed, last };
                self.totals.insert(labels.as_str().into(), total);
            }
        }
    }

    /// Adds a reading: attempts that succeeded and that failed.
    pub(super) fn read(&mut self, label: &Arc<str>, (succeeded, failed): (u64, u64)) -> Read {
        let known = self.totals.get(label).copied();
        let before = known.unwrap_or_default();
        // If either falls, both began again.
        let fell = succeeded < before.last.0 || failed < before.last.1;
        let last = if fell { (0, 0) } else { before.last };
        let more = (succeeded - last.0, failed - last.1);
        let grew = more.0.saturating_add(more.1);
        let total = Total {
            requests: before.requests.saturating_add(grew),
            failed: before.failed.saturating_add(more.1),
            last: (succeeded, failed),
        };
        if known != Some(total) {
            self.totals.insert(Arc::clone(label), total);
            self.changed.insert(Arc::clone(label));
        }
        Read { requests: total.requests, failed: total.failed, grew: known.map_or(0, |_| grew) }
    }

    /// Forgets credentials that are not `listed`, if there are too many.
    pub(super) fn limit(&mut self, listed: &HashSet<Arc<str>>) {
        if self.totals.len() > MOST {
            let (totals, changed, gone) = (&mut self.totals, &mut self.changed, &mut self.gone);
            totals.retain(|label, _| {
                let stays = listed.contains(label);
                if !stays {
                    changed.remove(label);
                    gone.push(label.to_string());
                }
                stays
            });
        }
    }

    /// What has changed since the last call, in stored form.
    pub(super) fn changes(&mut self) -> Option<CounterChange> {
        let rows: Vec<_> = self
            .changed
            .drain()
            .filter_map(|label| {
                let Total { requests, failed, last } = self.totals.get(&label)?;
                let values = vec![*requests, *failed, last.0, last.1];
                Some(CounterRow { labels: label.to_string(), values })
            })
            .collect();
        let gone = std::mem::take(&mut self.gone);
        (!rows.is_empty() || !gone.is_empty()).then(|| CounterChange {
            family: FAMILY.to_owned(),
            rows,
            gone,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_go_on_over_falls_of_one_credential_and_over_restarts() {
        let (a, b) = (Arc::<str>::from("a"), Arc::from("b"));
        let mut totals = Totals::default();
        // The label, the server's counters, and then all requests, all failed ones and the growth.
        let steps = [
            (&a, (10, 2), (12, 2, 0)),
            (&b, (5, 0), (5, 0, 0)),
            (&a, (11, 2), (13, 2, 1)),
            // It was removed and put back.
            (&a, (1, 1), (15, 3, 2)),
            (&b, (5, 0), (5, 0, 0)),
            (&b, (6, 1), (7, 1, 2)),
            // As many succeeded as before, and fewer failed.
            (&a, (3, 0), (18, 3, 3)),
        ];
        for (label, counts, (requests, failed, grew)) in steps {
            assert_eq!(totals.read(label, counts), Read { requests, failed, grew }, "{label} {counts:?}");
        }
        let stored = totals.changes().unwrap();
        assert_eq!(totals.changes(), None);
        let mut next = Totals::default();
        next.restore(&stored.rows);
        assert_eq!(next.read(&a, (4, 0)), Read { requests: 19, failed: 3, grew: 1 });
        assert_eq!(next.read(&b, (6, 1)), Read { requests: 7, failed: 1, grew: 0 });
    }

    #[test]
    fn only_so_many_credentials_are_remembered() {
        let mut totals = Totals::default();
        for number in 0..=MOST {
            totals.read(&number.to_string().into(), (1, 0));
        }
        totals.limit(&HashSet::from(["7".into()]));
        let change = totals.changes().unwrap();
        assert_eq!((change.rows.len(), change.gone.len()), (1, MOST));
    }
}

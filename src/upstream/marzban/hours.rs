//! Counters built from a panel's hourly sums.
//!
//! Marzban has no traffic counter per node, only sums over a window of UTC hours, and a long window is expensive. The
//! sum of the running hour is cheap and only grows; finished hours are requested once and added to a base. All of this
//! is stored in durable rows: without them, a restart would count the running hour twice.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    model::{CounterRow, Timestamp},
    upstream::json::ROWS,
};

const HOUR: i64 = 3600;
/// A clock that is set back by more than this was wrong before.
const NONSENSE: i64 = 24 * HOUR;
/// How long after its end an hour may still change: the panel records every 30 s.
const SETTLING: Duration = Duration::from_secs(120);

/// The label of the row that holds the counted hours. Keys are JSON, which is never empty.
const CURSOR: &str = "";

/// Adds up hourly sums of up to `N` directions by key.
#[derive(Debug)]
pub(super) struct Hours<K, const N: usize> {
    /// Start of the first hour that is not in the bases yet, in seconds since the epoch.
    cursor: Option<i64>,
    /// Start of the latest counted hour: later than `cursor` if the clock was set back.
    latest: Option<i64>,
    entries: HashMap<K, Entry<N>>,
}

/// The windows to request from the panel, each with its first and last second, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// Hours that have ended since the last request.
    pub(super) finished: Option<(i64, i64)>,
    /// Start of the running hour; it has no end.
    pub(super) running: i64,
}

#[derive(Clone, Copy, Debug)]
struct Entry<const N: usize> {
    base: [u64; N],
    running: [u64; N],
    falling: bool,
}

impl<K: Eq + Hash + Clone, const N: usize> Hours<K, N> {
    pub(super) fn new() -> Self {
        Hours { cursor: None, latest: None, entries: HashMap::new() }
    }

    /// The windows to request at this moment of the panel's clock.
    pub(super) fn windows(&self, panel_now: Timestamp) -> Windows {
        let hour = panel_now.saturating_sub(SETTLING).as_secs().div_euclid(HOUR).saturating_mul(HOUR);
        match self.cursor {
            Some(cursor) if cursor < hour => Windows { finished: Some((cursor, hour - 1)), running: hour },
            // The first request, the same hour, or a panel whose clock was set back: an hour in the future would be
            // empty.
            _ => Windows { finished: None, running: hour },
        }
    }

    /// Sums with what an answer lacks: the sums of the running hour that were known, or none `if_new` hour runs. If rows
    /// were left out, they may be those of any key that is not among `readings`.
    pub(super) fn complete(
        &self,
        mut readings: Vec<(K, [Option<u64>; N])>,
        omitted: bool,
        if_new: bool,
    ) -> Vec<(K, [u64; N])> {
        if omitted {
            let given: HashSet<_> = readings.iter().map(|(key, _)| key.clone()).collect();
            let missing = self.entries.keys().filter(|key| !given.contains(key));
            let room = ROWS.saturating_sub(readings.len());
            readings.extend(missing.take(room).map(|key| (key.clone(), [None; N])));
        }
        let complete = readings.into_iter().map(|(key, sums)| {
            let known = self.entries.get(&key).filter(|_| !if_new).map_or([0; N], |entry| entry.running);
            let mut known = known.into_iter();
            let sums = sums.map(|sum| {
                let known = known.next().unwrap_or(0);
                sum.unwrap_or(known)
            });
            (key, sums)
        });
        complete.collect()
    }

    /// Adds the answers to [`Hours::windows`] and returns the totals, in the order of `running`. Keys that `running`
    /// does not have are removed: the panel deletes a removed node's history too.
    pub(super) fn add(
        &mut self,
        windows: Windows,
        finished: &HashMap<K, [u64; N]>,
        running: Vec<(K, [u64; N])>,
    ) -> Vec<(K, [u64; N])> {
        let set_back = self.cursor.map_or(0, |cursor| cursor - windows.running);
        if set_back > NONSENSE {
            self.latest = None;
        }
        // An hour that comes a second time contains bytes that were counted the first time.
        let again = self.latest.is_some_and(|latest| windows.running <= latest);
        let mut entries = HashMap::with_capacity(running.len());
        let mut totals = Vec::with_capacity(running.len());
        for (key, reading) in running {
            let mut entry = self.entries.get(&key).copied().unwrap_or(Entry::EMPTY);
            if windows.finished.is_some() {
                let finished = finished.get(&key).copied().unwrap_or([0; N]);
                entry.roll(finished, if again { [0; N] } else { reading });
            }
            if set_back > 0 || (again && windows.finished.is_some()) {
                entry.go_on_from(reading);
            } else if windows.finished.is_none() {
                entry.read(reading);
            }
            totals.push((key.clone(), entry.total()));
            entries.insert(key, entry);
        }
        self.cursor = Some(windows.running);
        self.latest = self.latest.max(self.cursor);
        self.entries = entries;
        totals
    }
}

impl<K: Clone + Eq + Hash + Ord + Serialize + DeserializeOwned, const N: usize> Hours<K, N> {
    /// All counted bytes, in the order of the keys.
    pub(super) fn totals(&self) -> Vec<(K, [u64; N])> {
        let mut totals: Vec<_> =
            self.entries.iter().map(|(key, entry)| (key.clone(), entry.total())).collect();
        totals.sort();
        totals
    }

    /// Everything that must survive a restart.
    pub(super) fn rows(&self) -> Vec<CounterRow> {
        let Some(cursor) = self.cursor else { return Vec::new() };
        let seconds = |hour: i64| u64::try_from(hour).unwrap_or(0);
        let values = vec![seconds(cursor), seconds(self.latest.unwrap_or(cursor))];
        let mut rows = vec![CounterRow { labels: CURSOR.to_owned(), values }];
        rows.extend(self.entries.iter().filter_map(|(key, entry)| {
            let values = entry.base.into_iter().chain(entry.running).chain([u64::from(entry.falling)]);
            Some(CounterRow { labels: serde_json::to_string(key).ok()?, values: values.collect() })
        }));
        rows
    }

    /// Restores the output of [`Hours::rows`]. Invalid rows are left out.
    pub(super) fn restored(rows: &[CounterRow]) -> Self {
        let mut hours = Hours::new();
        for CounterRow { labels, values } in rows {
            if labels == CURSOR {
                let hour = |at: usize| values.get(at).and_then(|seconds| i64::try_from(*seconds).ok());
                (hours.cursor, hours.latest) = (hour(0), hour(1));
            } else if let (Ok(key), Some((base, rest))) =
                (serde_json::from_str(labels), values.split_first_chunk())
                && let Some((running, [falling])) = rest.split_first_chunk()
            {
                let entry = Entry { base: *base, running: *running, falling: *falling != 0 };
                hours.entries.insert(key, entry);
            }
        }
        hours
    }
}

impl<const N: usize> Entry<N> {
    const EMPTY: Self = Entry { base: [0; N], running: [0; N], falling: false };

    /// The hours ended with these bytes, and the next one is running. If a panel loses some of them, the total does
    /// not fall.
    fn roll(&mut self, finished: [u64; N], reading: [u64; N]) {
        let before = self.total();
        for (base, bytes) in self.base.iter_mut().zip(finished) {
            *base = base.saturating_add(bytes);
        }
        self.running = reading;
        self.falling = false;
        for ((base, running), before) in self.base.iter_mut().zip(reading).zip(before) {
            *base = (*base).max(before.saturating_sub(running));
        }
    }

    /// One more reading of the running hour. If it falls and stays lower, its history was deleted (resetting the user
    /// does that), and it continues on top of the counted bytes.
    fn read(&mut self, reading: [u64; N]) {
        let falls = reading.iter().zip(self.running).any(|(now, before)| *now < before);
        if falls && !self.falling {
            self.falling = true;
            return;
        }
        if falls {
            self.base = self.total();
        }
        self.running = reading;
        self.falling = false;
    }

    /// Counts traffic from this reading on, on top of the counted bytes.
    fn go_on_from(&mut self, reading: [u64; N]) {
        let before = self.total();
        *self = Entry { running: reading, ..Entry::EMPTY };
        for ((base, running), before) in self.base.iter_mut().zip(reading).zip(before) {
            *base = before.saturating_sub(running);
        }
    }

    fn total(&self) -> [u64; N] {
        std::array::from_fn(|i| self.base[i].saturating_add(self.running[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: i64 = 10 * HOUR;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn feed(hours: &mut Hours<&'static str, 1>, now: i64, finished: u64, running: u64) -> u64 {
        let windows = hours.windows(at(now));
        let finished = HashMap::from([("n", [finished])]);
        hours.add(windows, &finished, vec![("n", [running])])[0].1[0]
    }

    #[test]
    fn an_hour_runs_until_the_panel_has_surely_written_it() {
        let mut hours = Hours::<&str, 1>::new();
        let first = hours.windows(at(TEN + 1800));
        assert_eq!(first, Windows { finished: None, running: TEN });
        hours.add(first, &HashMap::new(), vec![]);
        assert_eq!(hours.windows(at(TEN + HOUR + 119)), Windows { finished: None, running: TEN });
        let next = hours.windows(at(TEN + HOUR + 120));
        assert_eq!(next, Windows { finished: Some((TEN, TEN + HOUR - 1)), running: TEN + HOUR });
    }

    #[test]
    fn hours_missed_while_the_panel_was_away_are_asked_for_together() {
        let mut hours = Hours::<&str, 1>::new();
        assert_eq!(feed(&mut hours, TEN + 1800, 0, 100), 100);
        let windows = hours.windows(at(TEN + 4 * HOUR + 600));
        assert_eq!(windows, Windows { finished: Some((TEN, TEN + 4 * HOUR - 1)), running: TEN + 4 * HOUR });
        assert_eq!(feed(&mut hours, TEN + 4 * HOUR + 600, 900, 7), 907);
    }

    #[test]
    fn totals_never_fall_over_a_day_of_traffic() {
        let mut hours = Hours::new();
        let (mut last, mut truth) = (0, 0);
        for minute in 0..24 * 60 {
            truth += 10;
            let now = TEN + minute * 60;
            let windows = hours.windows(at(now));
            // The panel's view: 10 bytes a minute, in the sum of the hour in which they moved.
            let sum = |from: i64, to: i64| -> u64 {
                (0..=minute).map(|m| TEN + m * 60).filter(|at| (from..=to).contains(at)).map(|_| 10).sum()
            };
            let finished = windows.finished.map(|(from, to)| ("n", [sum(from, to)])).into_iter().collect();
            let total = hours.add(windows, &finished, vec![("n", [sum(windows.running, i64::MAX)])])[0].1[0];
            assert!(total >= last);
            assert_eq!(total, truth);
            last = total;
        }
    }

    #[test]
    fn a_deleted_history_counts_on_and_a_dip_counts_once() {
        let mut hours = Hours::new();
        let readings = [(50, 50), (60, 60), (3, 60), (5, 65), (9, 69), (0, 69), (12, 72)];
        for (minute, (running, total)) in (10..).zip(readings) {
            assert_eq!(feed(&mut hours, TEN + minute * 60, 0, running), total, "{running}");
        }
    }

    #[test]
    fn a_clock_set_back_counts_nothing_twice() {
        let mut hours = Hours::new();
        assert_eq!(feed(&mut hours, TEN + 1800, 0, 100), 100);
        // The panel's hours: 100 bytes in the hour of ten, and new traffic in the hour of seven.
        assert_eq!(hours.windows(at(TEN - 3 * HOUR + 1800)).running, TEN - 3 * HOUR);
        assert_eq!(feed(&mut hours, TEN - 3 * HOUR + 1800, 0, 0), 100);
        assert_eq!(feed(&mut hours, TEN - 3 * HOUR + 2400, 0, 5), 105);
        // Three hours later it is ten again, and the hour still contains the old bytes.
        assert_eq!(feed(&mut hours, TEN + 600, 7, 100), 107);
        assert_eq!(feed(&mut hours, TEN + 1200, 0, 103), 110);
    }

    #[test]
    fn a_clock_that_showed_nonsense_does_not_stop_the_count() {
        let mut hours = Hours::new();
        assert_eq!(feed(&mut hours, TEN + 1800, 0, 100), 100);
        assert_eq!(feed(&mut hours, 900 * TEN, 110, 0), 110);
        assert_eq!(feed(&mut hours, TEN + 1860, 0, 115), 115);
        assert_eq!(feed(&mut hours, TEN + 1920, 0, 120), 120);
    }

    #[test]
    fn a_removed_node_is_forgotten() {
        let mut hours = Hours::new();
        let windows = hours.windows(at(TEN + 600));
        hours.add(windows, &HashMap::new(), vec![("a", [1]), ("b", [2])]);
        assert_eq!(hours.add(windows, &HashMap::new(), vec![("b", [3])]), [("b", [3])]);
        assert_eq!(hours.add(windows, &HashMap::new(), vec![("a", [1]), ("b", [3])])[0], ("a", [1]));
    }

    #[test]
    fn a_restart_in_any_minute_counts_nothing_twice_and_loses_nothing() {
        // The panel's view: 10 bytes a minute, in the sum of the hour in which they moved.
        let sum = |from: i64, to: i64, minute: i64| -> u64 {
            (0..=minute).map(|m| TEN + m * 60).filter(|at| (from..=to).contains(at)).map(|_| 10).sum()
        };
        for restart in 1..200 {
            let mut hours = Hours::<String, 1>::new();
            // It is down for as long as it was running.
            for minute in (0..restart).chain(restart * 2..restart * 2 + 70) {
                if minute == restart * 2 {
                    hours = Hours::restored(&hours.rows());
                }
                let windows = hours.windows(at(TEN + minute * 60));
                let finished = windows.finished.map(|(from, to)| ("n".to_owned(), [sum(from, to, minute)]));
                let running = vec![("n".to_owned(), [sum(windows.running, i64::MAX, minute)])];
                let total = hours.add(windows, &finished.into_iter().collect(), running)[0].1[0];
                assert_eq!(
                    total,
                    10 * u64::try_from(minute + 1).unwrap(),
                    "restarted in {restart}, minute {minute}"
                );
            }
        }
    }

    #[test]
    fn rows_that_make_no_sense_are_left_out() {
        let row = |labels: &str, values: &[u64]| CounterRow { labels: labels.into(), values: values.into() };
        let rows = [row("", &[]), row("{", &[1, 2, 0]), row("\"a\"", &[1, 2]), row("\"b\"", &[1, 2, 0, 9])];
        let hours = Hours::<String, 1>::restored(&rows);
        assert_eq!((hours.cursor, hours.entries.len()), (None, 0));
        let hours = Hours::<String, 1>::restored(&[row("", &[7200, 7200]), row("\"a\"", &[1, 2, 1])]);
        assert_eq!((hours.cursor, hours.entries["a"].total()), (Some(7200), [3]));
    }
}

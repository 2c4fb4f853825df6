//! When records were taken from the queue, and when some may have been lost.
//!
//! A server keeps records for a minute and hands each out once. What it has handed out is nowhere else, so a row is stored
//! before each request for records and removed together with the sums that the records made: a row that a later process finds
//! is a gap.

use std::time::Duration;

use super::stored;
use crate::{
    http,
    model::{CounterChange, CounterRow, Moment, Timestamp},
};

pub(super) const FAMILY: &str = "llm_queue";
const BEGUN: &str = "begun";
const TAKEN: &str = "taken";

/// How long a server keeps records that does not say so, and at most.
const RETENTION: Duration = Duration::from_secs(60);
const LONGEST_RETENTION: Duration = Duration::from_secs(3600);

/// What is known of a server's queue.
#[derive(Debug)]
pub(super) struct Queue {
    /// When the request for records in flight was announced.
    begun: Option<Moment>,
    /// When the last request was sent whose records were counted.
    taken: Option<Moment>,
    /// As it is on disk.
    stored: Vec<CounterRow>,
    pub(super) retention: Duration,
}

impl Queue {
    pub(super) fn new() -> Self {
        Queue { begun: None, taken: None, stored: Vec::new(), retention: RETENTION }
    }

    /// Restores what an earlier process stored, and returns whether it was cut off while it took records.
    pub(super) fn restore(&mut self, rows: &[CounterRow], now: Moment) -> bool {
        self.stored = rows.to_vec();
        let at = |label: &str| {
            let row = rows.iter().find(|row| row.labels == label)?;
            let millis = i64::try_from(*row.values.first()?).ok()?;
            Some(Moment::restored(Timestamp::from_millis(millis), now))
        };
        let cut_off = rows.iter().any(|row| row.labels == BEGUN);
        // The gap that this is covers the time until now too.
        self.taken = at(TAKEN).filter(|_| !cut_off);
        cut_off
    }

    /// Records are about to be taken.
    pub(super) fn begins(&mut self, now: Moment) {
        self.begun = Some(now);
    }

    /// Records came at `now`. Returns whether others may have been discarded since the last time.
    pub(super) fn took(&mut self, now: Moment) -> bool {
        let begun = self.begun.take().unwrap_or(now);
        let before = self.taken.replace(begun);
        before.is_some_and(|before| now.since(before) > self.retention)
    }

    /// The request for records was not made.
    pub(super) fn withdraws(&mut self) {
        self.begun = None;
    }

    /// The request for records failed. Returns whether the server may have handed some out.
    pub(super) fn failed(&mut self, error: &http::Error) -> bool {
        let begun = self.begun.take();
        let lost = match error {
            // It was not sent, or something refused it that is not the queue.
            http::Error::Connect(_) | http::Error::Tls(_) | http::Error::Redirect(_) => false,
            http::Error::Status(status) | http::Error::Page(status) => *status >= 500,
            http::Error::Timeout(_)
            | http::Error::Interrupted
            | http::Error::NotHttp
            | http::Error::NotJson(_)
            | http::Error::Empty { .. }
            | http::Error::TooLarge(_)
            | http::Error::TooLargeRow
            | http::Error::TooLargeList
            | http::Error::Decode(_) => true,
        };
        if lost {
            // That gap is counted. What is discarded from now on would be another one.
            self.taken = begun.or(self.taken);
        }
        lost
    }

    /// The server lost its records, and that gap is counted.
    pub(super) fn was_emptied(&mut self, now: Moment) {
        self.taken = Some(now);
    }

    /// The change to what is stored.
    pub(super) fn changes(&mut self) -> Option<CounterChange> {
        let row = |label: &str, at: Moment| CounterRow {
            labels: label.to_owned(),
            values: vec![stored::millis(at.wall)],
        };
        let begun = self.begun.map(|at| row(BEGUN, at));
        let rows: Vec<_> = begun.into_iter().chain(self.taken.map(|at| row(TAKEN, at))).collect();
        let change = CounterChange::between(FAMILY, &self.stored, rows.clone());
        self.stored = rows;
        change
    }

    /// Sets how long the server keeps records, in seconds; absent: it does not say.
    pub(super) fn keeps(&mut self, seconds: Option<i64>) {
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        self.retention = seconds.map_or(RETENTION, Duration::from_secs).min(LONGEST_RETENTION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        let wall = Timestamp::from_secs(1_795_000_000).saturating_add(Duration::from_secs(secs));
        Moment { wall, uptime: Duration::from_secs(1_000_000 + secs) }
    }

    fn next_process(queue: &Queue, now: Moment) -> (Queue, bool) {
        let mut next = Queue::new();
        let cut_off = next.restore(&queue.stored, now);
        (next, cut_off)
    }

    #[test]
    fn a_poll_later_than_the_retention_is_a_gap_also_over_a_restart() {
        let mut queue = Queue::new();
        // When a request is sent and answered, and whether that is a gap.
        for (sent, answered, gap) in
            [(0, 1, false), (60, 60, false), (100, 121, true), (160, 160, false), (221, 221, true)]
        {
            queue.begins(at(sent));
            assert!(queue.changes().is_some());
            assert_eq!(queue.took(at(answered)), gap, "{sent}");
            assert!(queue.changes().is_some());
        }
        assert!(queue.changes().is_none());
        for (restart, gap) in [(260, false), (300, true)] {
            let (mut next, cut_off) = next_process(&queue, at(restart));
            assert!(!cut_off);
            next.begins(at(restart));
            assert_eq!(next.took(at(restart)), gap, "{restart}");
        }
    }

    #[test]
    fn a_process_that_is_cut_off_leaves_one_gap() {
        let mut queue = Queue::new();
        queue.begins(at(0));
        drop(queue.changes());
        assert!(!queue.took(at(0)));
        drop(queue.changes());
        queue.begins(at(10));
        drop(queue.changes());
        let (mut next, cut_off) = next_process(&queue, at(1000));
        assert!(cut_off);
        assert!(next.changes().is_some(), "the row is removed");
        next.begins(at(1000));
        assert!(!next.took(at(1001)), "the same gap");
        let (_, cut_off) = next_process(&next, at(1002));
        assert!(!cut_off);
    }

    #[test]
    fn a_failed_request_is_a_gap_unless_it_never_reached_the_queue() {
        for (error, gap) in [
            (http::Error::Timeout(Duration::from_secs(20)), true),
            (http::Error::Interrupted, true),
            (http::Error::TooLarge(1), true),
            (http::Error::Decode("cut off".into()), true),
            (http::Error::Status(502), true),
            (http::Error::Status(404), false),
            (http::Error::Status(401), false),
            (http::Error::Connect("refused".into()), false),
        ] {
            let mut queue = Queue::new();
            queue.begins(at(0));
            assert!(!queue.took(at(0)));
            queue.begins(at(50));
            assert_eq!(queue.failed(&error), gap, "{error}");
            queue.begins(at(70));
            assert_eq!(queue.took(at(70)), !gap, "{error}: one gap either way");
        }
    }

    #[test]
    fn the_retention_has_bounds() {
        let mut queue = Queue::new();
        for (seconds, expected) in
            [(None, 60), (Some(0), 60), (Some(-5), 60), (Some(10), 10), (Some(999_999), 3600)]
        {
            queue.keeps(seconds);
            assert_eq!(queue.retention, Duration::from_secs(expected), "{seconds:?}");
        }
    }
}

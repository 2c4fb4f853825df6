//! When records were taken from the queue, and when some may have been lost.
//!
//! A server keeps records for a minute and hands each out once. What it has handed out is nowhere else, so a row is stored
//! before each request for records and removed together with the sums that the records made: a row that a later process finds
//! is a gap.

use std::time::Duration;

use tokio::time::Instant;

use super::stored;
use crate::{
    http,
    model::{CounterChange, CounterRow, Moment},
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
    begun: Option<(Moment, Instant)>,
    /// When the last request was announced that left nothing in the queue, or after which a gap was counted.
    taken: Option<Moment>,
    /// Since the last answer, a gap was counted. What follows until the next answer is the same gap.
    is_gap: bool,
    /// As it is on disk.
    stored: Vec<CounterRow>,
    pub(super) retention: Duration,
}

impl Queue {
    pub(super) fn new() -> Self {
        Queue { begun: None, taken: None, is_gap: false, stored: Vec::new(), retention: RETENTION }
    }

    /// Restores what an earlier process stored, and returns whether it was cut off while it took records, or the clock was
    /// set back since, so that it is not known how long it took none.
    pub(super) fn restore(&mut self, rows: &[CounterRow], now: Moment) -> bool {
        self.stored = rows.to_vec();
        let taken = rows.iter().find(|row| row.labels == TAKEN);
        let taken = taken.and_then(|row| stored::of_millis(*row.values.first()?));
        let is_ahead = taken.is_some_and(|taken| taken > now.wall);
        let is_gap = is_ahead || rows.iter().any(|row| row.labels == BEGUN);
        // The gap that this is covers the time until now too.
        self.taken = taken.filter(|_| !is_gap).map(|taken| Moment::restored(taken, now));
        is_gap
    }

    /// Records are about to be taken.
    pub(super) fn begins(&mut self, now: Moment) {
        self.begun = Some((now, Instant::now()));
    }

    /// Now, if the request for records was announced; else `otherwise`.
    pub(super) fn now(&self, otherwise: Moment) -> Moment {
        self.begun.map_or(otherwise, |(at, since)| at.after(since.elapsed()))
    }

    /// Records came at `now`, and the queue is empty or has more. Returns whether others may have been discarded since it
    /// was last empty.
    pub(super) fn took(&mut self, now: Moment, is_empty: bool) -> bool {
        let begun = self.begun.take().map_or(now, |(at, _)| at);
        // The uptime does not go on while a machine sleeps.
        let since = |before: Moment| now.since(before).max(now.wall.since(before.wall));
        let is_late = self.taken.is_some_and(|before| since(before) > self.retention);
        let was_gap = std::mem::take(&mut self.is_gap);
        if is_empty || is_late || self.taken.is_none() {
            self.taken = Some(begun);
        }
        is_late && !was_gap
    }

    /// The request for records was not made.
    pub(super) fn withdraws(&mut self) {
        self.begun = None;
    }

    /// The request for records failed. Returns whether that begins a gap: the server may have handed some out.
    pub(super) fn failed(&mut self, error: &http::Error) -> bool {
        let begun = self.begun.take();
        let lost = match error {
            // It was not sent, or something refused it that is not the queue.
            http::Error::Connect(_)
            | http::Error::Proxy(_)
            | http::Error::ProxyLogin
            | http::Error::Tls(_)
            | http::Error::ExpectsTls
            | http::Error::Redirect(_)
            | http::Error::ToHttps(_) => false,
            http::Error::Status(status) | http::Error::Page(status) => *status >= 500,
            http::Error::Timeout(_)
            | http::Error::Interrupted
            | http::Error::Closed
            | http::Error::PerhapsTls
            | http::Error::NotHttp
            | http::Error::NotJson(_)
            | http::Error::Empty { .. }
            | http::Error::TooLarge(_)
            | http::Error::TooLargeRow
            | http::Error::TooLargeList
            | http::Error::Decode(_) => true,
        };
        lost && self.loses(begun)
    }

    /// The server discarded its records. Returns whether that begins a gap.
    pub(super) fn was_cleared(&mut self) -> bool {
        let begun = self.begun.take();
        (begun.is_some() || self.taken.is_some()) && self.loses(begun)
    }

    fn loses(&mut self, begun: Option<(Moment, Instant)>) -> bool {
        // What is discarded after the next answer would be another gap.
        self.taken = begun.map(|(at, _)| at).or(self.taken);
        !std::mem::replace(&mut self.is_gap, true)
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
        let begun = self.begun.map(|(at, _)| row(BEGUN, at));
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
    use crate::model::Timestamp;

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
            assert_eq!(queue.took(at(answered), true), gap, "{sent}");
            assert!(queue.changes().is_some());
        }
        assert!(queue.changes().is_none());
        for (restart, gap) in [(260, false), (300, true)] {
            let (mut next, cut_off) = next_process(&queue, at(restart));
            assert!(!cut_off);
            next.begins(at(restart));
            assert_eq!(next.took(at(restart), true), gap, "{restart}");
        }
    }

    #[test]
    fn a_clock_that_is_set_and_a_machine_that_sleeps_hide_no_gap() {
        // How long the uptime and the wall clock go on, and whether that is a gap.
        for (uptime, wall, gap) in [(15, 15, false), (15, 600, true), (600, 15, true), (15, -600, false)] {
            let mut queue = Queue::new();
            queue.begins(at(1000));
            assert!(!queue.took(at(1000), true));
            let next = Moment {
                wall: at(1000).wall.saturating_add_millis(wall * 1000),
                uptime: at(1000 + uptime).uptime,
            };
            queue.begins(next);
            assert_eq!(queue.took(next, true), gap, "{uptime} {wall}");
        }
        // Another process begins with a clock that is behind.
        let mut queue = Queue::new();
        queue.begins(at(1000));
        assert!(!queue.took(at(1000), true));
        drop(queue.changes());
        let (mut next, is_gap) = next_process(&queue, at(940));
        assert!(is_gap);
        next.begins(at(940));
        assert!(!next.took(at(941), true), "the same gap");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_request_waits_for_after_it_was_announced_counts() {
        let mut queue = Queue::new();
        assert_eq!(queue.now(at(0)), at(0));
        queue.begins(at(0));
        assert!(!queue.took(at(0), true));
        queue.begins(at(50));
        tokio::time::advance(Duration::from_secs(15)).await;
        assert_eq!(queue.now(at(50)), at(65));
        assert!(queue.took(queue.now(at(50)), true));
    }

    #[test]
    fn a_queue_that_is_not_emptied_within_the_retention_is_a_gap() {
        let mut queue = Queue::new();
        let mut gaps = Vec::new();
        for secs in (0..200).step_by(10) {
            queue.begins(at(secs));
            // Only the first answer and the one after 150 s leave nothing.
            if queue.took(at(secs), secs == 0 || secs == 150) {
                gaps.push(secs);
            }
        }
        assert_eq!(gaps, [70, 140]);
    }

    #[test]
    fn failures_until_the_next_answer_are_one_gap() {
        let error = http::Error::Status(502);
        let mut queue = Queue::new();
        queue.begins(at(0));
        assert!(!queue.took(at(0), true));
        let mut gaps = 0;
        for secs in (15..600).step_by(15) {
            queue.begins(at(secs));
            gaps += u32::from(queue.failed(&error));
            gaps += u32::from(queue.was_cleared());
        }
        queue.begins(at(900));
        gaps += u32::from(queue.took(at(900), true));
        assert_eq!(gaps, 1);
        queue.begins(at(915));
        assert!(queue.failed(&error), "another one");
    }

    #[test]
    fn a_queue_that_was_never_read_loses_nothing() {
        let mut queue = Queue::new();
        assert!(!queue.was_cleared());
        queue.begins(at(0));
        assert!(queue.was_cleared(), "a request found it");
    }

    #[test]
    fn a_process_that_is_cut_off_leaves_one_gap() {
        let mut queue = Queue::new();
        queue.begins(at(0));
        drop(queue.changes());
        assert!(!queue.took(at(0), true));
        drop(queue.changes());
        queue.begins(at(10));
        drop(queue.changes());
        let (mut next, cut_off) = next_process(&queue, at(1000));
        assert!(cut_off);
        assert!(next.changes().is_some(), "the row is removed");
        next.begins(at(1000));
        assert!(!next.took(at(1001), true), "the same gap");
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
            (http::Error::Proxy("no answer".into()), false),
        ] {
            let mut queue = Queue::new();
            queue.begins(at(0));
            assert!(!queue.took(at(0), true));
            queue.begins(at(50));
            assert_eq!(queue.failed(&error), gap, "{error}");
            queue.begins(at(70));
            assert_eq!(queue.took(at(70), true), !gap, "{error}: one gap either way");
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

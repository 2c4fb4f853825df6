use std::time::Duration;

use super::Moment;

/// Whether the reads of one subject found it good or failed, oldest first. Reads in a row with the same result are kept
/// as one run, and at most [`Reads::RUNS`] runs are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    runs: Vec<Run>,
    /// Uptime of the very first read, which may no longer be kept.
    began: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    failed: bool,
    reads: u32,
    /// Uptime of its first and last read.
    first: Duration,
    last: Duration,
}

impl Reads {
    /// About 2 KiB for a subject that flaps, and 40 bytes for one that does not.
    pub const RUNS: usize = 48;
    /// Fewer reads than this prove nothing about the share of those that failed.
    pub const ENOUGH: u64 = 6;

    /// Records a read.
    pub(super) fn add(&mut self, failed: bool, now: Moment) {
        let now = now.uptime;
        self.began.get_or_insert(now);
        match self.runs.last_mut().filter(|run| run.failed == failed) {
            Some(run) => (run.reads, run.last) = (run.reads.saturating_add(1), now),
            None => {
                if self.runs.len() >= Self::RUNS {
                    self.runs.remove(0);
                }
                self.runs.push(Run { failed, reads: 1, first: now, last: now });
            }
        }
    }

    /// Whether all reads were good for at least this long.
    pub fn good_for(&self, time: Duration, now: Moment) -> bool {
        let run = self.runs.last().filter(|run| !run.failed);
        run.is_some_and(|run| now.uptime.saturating_sub(run.first) >= time)
    }

    /// The uptime since when it is as it is: good, if no read failed for at least `time`; else failing, now and then at
    /// least, without having been good for that long in between. Absent: nothing failed yet, or nothing was read.
    pub fn since(&self, time: Duration, now: Moment) -> Option<Duration> {
        if self.good_for(time, now) {
            return self.runs.last().map(|run| run.first);
        }
        let (mut since, mut next) = (None, now.uptime);
        for run in self.runs.iter().rev() {
            if !run.failed && next.saturating_sub(run.first) >= time {
                break;
            }
            next = run.first;
            since = if run.failed { Some(run.first) } else { since };
        }
        since
    }

    /// Whether the last read failed, as did more than half of the reads within twice `time`, as far as they are kept.
    /// Reads that were followed by good ones for the whole of `time` do not count.
    pub fn mostly_failed(&self, time: Duration, now: Moment) -> bool {
        let long_enough = self.began.is_some_and(|began| now.uptime.saturating_sub(began) >= time);
        if !long_enough || !self.runs.last().is_some_and(|run| run.failed) {
            return false;
        }
        let begin = now.uptime.saturating_sub(time * 2);
        let (mut failed, mut all, mut next) = (0, 0, now.uptime);
        for run in self.runs.iter().rev() {
            let reads = run.reads_since(begin);
            all += reads;
            failed += if run.failed { reads } else { 0 };
            if !run.failed && next.saturating_sub(run.first) >= time {
                break;
            }
            next = run.first;
        }
        all >= Self::ENOUGH && failed * 2 > all
    }
}

impl Run {
    /// How many of its reads were at `begin` or later, if they were evenly spread.
    fn reads_since(&self, begin: Duration) -> u64 {
        if begin <= self.first {
            return self.reads.into();
        }
        let Some(inside) = self.last.checked_sub(begin) else { return 0 };
        let pauses = u128::from(self.reads.saturating_sub(1));
        let inside = (pauses * inside.as_millis()).checked_div((self.last - self.first).as_millis());
        1 + inside.and_then(|pauses| u64::try_from(pauses).ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn at(secs: u64) -> Moment {
        Moment { wall: Timestamp::default(), uptime: Duration::from_secs(secs) }
    }

    /// A read every half minute, `x` for one that failed.
    fn reads(results: &str) -> (Reads, Moment) {
        let mut reads = Reads::default();
        let mut now = at(0);
        for (place, result) in (0..).zip(results.chars()) {
            now = at(place * 30);
            reads.add(result == 'x', now);
        }
        (reads, now)
    }

    const THREE_MINUTES: Duration = Duration::from_secs(180);

    #[test]
    fn a_subject_is_down_when_most_of_its_reads_failed() {
        let cases = [
            ("", false),
            ("xxxxxx", false),
            ("xxxxxxx", true),
            ("x-xx-xx", true),
            ("x-x-x-x", true),
            ("-x-x-x-", false),
            ("xxxxxx-", false),
            ("-x--x--x--x--x--x", false),
            ("x-x-x-x-x-x-x-x-x", true),
            ("----------------xx-xx-xx", false),
            ("----------------xx-xx-xx-xx", true),
            // Good for three minutes, and so over.
            ("xxxxxxxxxxxx------x", false),
            ("xxxxxxxxxxxx-----x", true),
            ("xxxxxxxxxxxx------xxxxxx", false),
            ("xxxxxxxxxxxx------xxxxxxx", true),
        ];
        for (results, expected) in cases {
            let (reads, now) = reads(results);
            assert_eq!(reads.mostly_failed(THREE_MINUTES, now), expected, "{results}");
        }
    }

    #[test]
    fn what_flaps_is_down_at_any_pace() {
        for interval in [5, 30, 60] {
            for minutes in [3, 5, 30, 60] {
                for pattern in ["xx-", "xx-x-", "xx-x-x-", "xxx-"] {
                    let mut reads = Reads::default();
                    let mut found = false;
                    for (read, result) in (0..2000).zip(pattern.chars().cycle()) {
                        let now = at(read * interval);
                        reads.add(result == 'x', now);
                        found |= reads.mostly_failed(Duration::from_secs(minutes * 60), now);
                    }
                    assert!(found, "every {interval} s, for {minutes} min, {pattern}");
                }
            }
        }
    }

    #[test]
    fn seldom_reads_prove_nothing() {
        let mut reads = Reads::default();
        for read in 0..100 {
            reads.add(true, at(read * 90));
            assert!(!reads.mostly_failed(THREE_MINUTES, at(read * 90)));
        }
        // After a gap, what was before it does not count.
        let (mut reads, _) = self::reads("xxxxxxxxxxxxxxxxxxxx");
        reads.add(true, at(10_000));
        assert!(!reads.mostly_failed(THREE_MINUTES, at(10_000)));
    }

    #[test]
    fn a_subject_is_good_when_no_read_failed_for_long_enough() {
        for (results, secs, expected) in [
            ("", 0, false),
            ("-", 0, true),
            ("-", 1, false),
            ("x------", 150, true),
            ("x------", 151, false),
            ("------x", 0, false),
        ] {
            let (reads, now) = reads(results);
            assert_eq!(reads.good_for(Duration::from_secs(secs), now), expected, "{results} {secs}");
        }
        let (reads, now) = reads("x-");
        assert!(reads.good_for(THREE_MINUTES, now.after(THREE_MINUTES)), "also if no more was read");
    }

    #[test]
    fn it_is_as_it_is_since_the_first_read_of_that_kind() {
        // Reads of every half minute, and the one since which it is so.
        for (results, since) in [
            ("", None),
            ("-", None),
            ("----x", Some(4)),
            ("xxxx", Some(0)),
            ("xx-xx", Some(0)),
            ("x-------", Some(1)),
            ("xx-----", Some(0)),
            ("xx-------xx", Some(9)),
            ("xx-----xx", Some(0)),
            ("xx-------x-", Some(9)),
        ] {
            let (reads, now) = reads(results);
            let expected = since.map(|read| Duration::from_secs(read * 30));
            assert_eq!(reads.since(THREE_MINUTES, now), expected, "{results}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut reads = Reads::default();
        for second in 0..10_000 {
            reads.add(second % 3 != 0, at(second));
        }
        assert_eq!(reads.runs.len(), Reads::RUNS);
        let quiet = (0..10_000).fold(Reads::default(), |mut reads, second| {
            reads.add(false, at(second));
            reads
        });
        assert_eq!(quiet.runs.len(), 1);
        assert_eq!(quiet.runs[0].reads_since(Duration::from_secs(9_000)), 1_000);
        assert_eq!(quiet.runs[0].reads_since(Duration::from_secs(10_000)), 0);
    }
}

use std::time::Duration;

use super::Moment;

/// Attempts at one LLM provider and how many of them failed, by readings of the sums of [`LlmRecent`](super::LlmRecent),
/// oldest first: those of the last [`Attempts::WINDOW`] and the one before.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    readings: Vec<Reading>,
    /// When the sum last grew, or was first read.
    grew: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Moment,
    all: u64,
    failed: u64,
}

impl Attempts {
    /// How far back the provider is judged by.
    pub const WINDOW: Duration = Duration::from_secs(10 * 60);
    /// Readings closer together are kept as one.
    const STEP: Duration = Duration::from_secs(15);

    /// Records a reading of the sums. The first one is where the count begins.
    pub(super) fn were(&mut self, all: u64, failed: u64, now: Moment) {
        let known = self.readings.last().filter(|last| last.all <= all && last.failed <= failed);
        if known.is_none_or(|last| last.all < all) {
            self.grew = Some(now);
        }
        if known.is_none() {
            self.readings.clear();
        }
        let too_close = matches!(*self.readings, [.., a, b] if b.at.since(a.at) < Self::STEP);
        if too_close {
            self.readings.pop();
        }
        self.readings.push(Reading { at: now, all, failed });
        let is_old = |reading: &Reading| now.since(reading.at) >= Self::WINDOW;
        let old = self.readings.iter().take_while(|reading| is_old(reading)).count();
        self.readings.drain(..old.saturating_sub(1));
    }

    /// All attempts and the failed ones that came within [`Attempts::WINDOW`].
    pub fn recent(&self, now: Moment) -> (u64, u64) {
        let before = self.readings.iter().rfind(|reading| now.since(reading.at) >= Self::WINDOW);
        let (Some(before), Some(last)) = (before.or(self.readings.first()), self.readings.last()) else {
            return (0, 0);
        };
        (last.all - before.all, last.failed - before.failed)
    }

    /// How long there were no attempts, as far as is known.
    pub fn quiet_for(&self, now: Moment) -> Duration {
        self.grew.map_or(Duration::ZERO, |grew| now.since(grew))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn at(secs: u64) -> Moment {
        Moment { wall: Timestamp::default(), uptime: Duration::from_secs(secs) }
    }

    #[test]
    fn attempts_of_ten_minutes_count() {
        // Readings; then the time, and what is recent and quiet.
        type Case<'a> = (&'a [(u64, u64, u64)], u64, (u64, u64), u64);
        let cases: [Case<'_>; 9] = [
            (&[], 0, (0, 0), 0),
            // All that was counted before is no news.
            (&[(0, 900, 300)], 0, (0, 0), 0),
            (&[(0, 900, 300), (30, 910, 302)], 30, (10, 2), 0),
            (&[(0, 900, 300), (30, 910, 302)], 629, (10, 2), 599),
            (&[(0, 900, 300), (30, 910, 302)], 630, (0, 0), 600),
            (&[(0, 0, 0), (300, 5, 1), (599, 9, 2), (600, 10, 3)], 600, (10, 3), 0),
            (&[(0, 0, 0), (300, 5, 1), (900, 9, 2)], 900, (4, 1), 0),
            // The sums begin again.
            (&[(0, 900, 300), (30, 910, 302), (60, 5, 5)], 60, (0, 0), 0),
            // Only what was recent when it was read is in the sums.
            (&[(0, 900, 300), (3601, 910, 302)], 3601, (10, 2), 0),
        ];
        for (readings, now, recent, quiet) in cases {
            let mut attempts = Attempts::default();
            for (secs, all, failed) in readings {
                attempts.were(*all, *failed, at(*secs));
            }
            let found = (attempts.recent(at(now)), attempts.quiet_for(at(now)).as_secs());
            assert_eq!(found, (recent, quiet), "{readings:?} at {now}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut attempts = Attempts::default();
        for second in 0..10_000 {
            attempts.were(second * 2, second, at(second));
            let (all, failed) = attempts.recent(at(second));
            assert_eq!(all, failed * 2);
            // The reading before the window is at most a step older than it.
            assert!(failed >= second.min(600) && failed <= second.min(616), "{second} {failed}");
        }
        assert!(attempts.readings.len() <= 45, "{}", attempts.readings.len());
    }
}

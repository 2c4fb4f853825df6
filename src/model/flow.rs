use std::time::Duration;

use super::Moment;

/// A count of bytes or events, and when it last moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    sum: Option<u64>,
    /// When it was last read.
    read: Option<Moment>,
    moved: Option<Moment>,
    /// Since when it has not moved: its last move, its first reading, or the end of an interruption.
    still_since: Option<Moment>,
    longest_pause: Duration,
}

impl Flow {
    /// A pause that was longer counts as this long, so that one outage of the count does not hide the next for days.
    const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
    /// As long as this without a byte is no pause.
    pub const STALLED_AFTER: Duration = Duration::from_secs(10 * 60);
    /// It may pause for this many times its longest pause before, but not for more than this longer.
    const PAUSES: u32 = 3;
    const MARGIN: Duration = Duration::from_secs(6 * 60 * 60);

    /// Records a reading of the bytes.
    pub(super) fn was(&mut self, sum: u64, now: Moment) {
        let still_since = *self.still_since.get_or_insert(now);
        if self.sum.is_some_and(|known| known != sum) {
            self.longest_pause = self.longest_pause.max(now.since(still_since)).min(Self::LONGEST_PAUSE);
            (self.moved, self.still_since) = (Some(now), Some(now));
        }
        (self.sum, self.read) = (Some(sum), Some(now));
    }

    /// Records that nothing can flow at present, which is no pause.
    pub(super) fn interrupted(&mut self, now: Moment) {
        self.still_since = Some(now);
    }

    /// How long the last readings were the same; absent: it has never moved since the daemon started to read.
    pub fn flat(&self) -> Option<Duration> {
        Some(self.read?.since(self.flat_since()?))
    }

    /// Since when it has not moved: its last move, or the end of an interruption since; absent: it has never moved since
    /// the daemon started to read.
    pub fn flat_since(&self) -> Option<Moment> {
        self.still_since.filter(|_| self.moved.is_some())
    }

    /// Whether it has moved since it was last interrupted.
    pub fn moves(&self) -> bool {
        self.moved.is_some() && self.moved == self.still_since
    }

    /// How long it may be flat before it is stalled, by its longest pause before.
    pub fn pause_allowed(&self) -> Duration {
        let pause = self.longest_pause;
        Self::STALLED_AFTER.max((pause * Self::PAUSES).min(pause + Self::MARGIN))
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
    fn a_count_is_flat_since_a_reading_last_differed_from_the_one_before() {
        let mut flow = Flow::default();
        let mut flat = Vec::new();
        for (secs, sum) in [(0, 5), (30, 5), (60, 9), (90, 9), (150, 9), (180, 3)] {
            flow.was(sum, at(secs));
            flat.push((flow.flat().map(|flat| flat.as_secs()), flow.longest_pause.as_secs()));
        }
        let expected = [(None, 0), (None, 0), (Some(0), 60), (Some(30), 60), (Some(90), 60), (Some(0), 120)];
        assert_eq!(flat, expected);
    }

    #[test]
    fn an_interruption_is_no_pause_and_the_longest_pause_has_a_limit() {
        let mut flow = Flow::default();
        for (secs, sum) in [(0, 5), (30, 6)] {
            flow.was(sum, at(secs));
        }
        flow.interrupted(at(1000));
        flow.was(6, at(1030));
        assert_eq!((flow.flat(), flow.moves()), (Some(Duration::from_secs(30)), false));
        flow.was(7, at(1060));
        assert!(flow.moves());
        assert_eq!(flow.longest_pause, Duration::from_secs(60));
        flow.was(8, at(1_000_000));
        assert_eq!(flow.longest_pause, Duration::from_secs(24 * 3600));
    }
}

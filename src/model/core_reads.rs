use std::time::Duration;

use super::Moment;

/// Whether a proxy core was up, oldest first: the answers of the last [`CoreReads::WINDOW`], at least the newest.
#[derive(Clone, Debug, Default)]
pub struct CoreReads(Vec<(Moment, bool)>);

impl CoreReads {
    /// How far back the core is judged by.
    pub const WINDOW: Duration = Duration::from_secs(5 * 60);

    pub(super) fn add(&mut self, up: bool, now: Moment) {
        self.0.retain(|(at, _)| now.since(*at) <= Self::WINDOW);
        self.0.push((now, up));
    }

    /// The share of the answers within [`CoreReads::WINDOW`] that said it was down; absent: there are none.
    pub fn down(&self, now: Moment) -> Option<f64> {
        let recent = self.0.iter().filter(|(at, _)| now.since(*at) <= Self::WINDOW);
        let (mut down, mut all) = (0_u32, 0_u32);
        for (_, up) in recent {
            all += 1;
            down += u32::from(!up);
        }
        (all > 0).then(|| f64::from(down) / f64::from(all))
    }

    /// Whether the answers within [`CoreReads::WINDOW`] are enough to call it healthy: four of them, or two minutes of
    /// them.
    pub fn covered(&self, now: Moment) -> bool {
        let ages = self.0.iter().map(|(at, _)| now.since(*at)).filter(|age| *age <= Self::WINDOW);
        ages.clone().count() >= 4 || ages.max() >= Some(Duration::from_secs(2 * 60))
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
    fn the_core_is_judged_by_its_last_five_minutes() {
        let mut reads = CoreReads::default();
        assert_eq!(reads.down(at(0)), None);
        for secs in 0..600_u64 {
            reads.add(secs >= 300, at(secs));
        }
        assert_eq!(reads.down(at(599)), Some(1.0 / 301.0));
        assert_eq!(reads.down(at(650)), Some(0.0));
        assert!(reads.0.len() <= 301);
    }

    #[test]
    fn the_core_is_covered_by_four_answers_or_two_minutes() {
        let covered = |times: &[u64], now| {
            let mut reads = CoreReads::default();
            for secs in times {
                reads.add(true, at(*secs));
            }
            reads.covered(at(now))
        };
        let cases: [(&[u64], u64, bool); 7] = [
            (&[], 600, false),
            (&[0], 0, false),
            (&[0, 30, 60], 60, false),
            (&[0, 30, 60, 90], 90, true),
            (&[0, 119], 119, false),
            (&[0, 120], 120, true),
            (&[0, 30, 60, 90, 600], 600, false),
        ];
        for (times, now, expected) in cases {
            assert_eq!(covered(times, now), expected, "{times:?} at {now}");
        }
    }
}

use std::time::Duration;

use super::{Moment, Part, Report};

/// What has to be remembered of a target's earlier answers, because the newest alone does not tell it.
#[derive(Clone, Debug, Default)]
pub struct History {
    up_since: Option<Moment>,
    /// Bytes through the proxies at the last reading.
    traffic: Option<u64>,
    /// When a reading last differed from the one before; absent: none has, since we look.
    traffic_moved: Option<Moment>,
    /// Whether the core was up, oldest first: the answers of the last [`CORE_WINDOW`], at least the newest.
    core: Vec<(Moment, bool)>,
}

/// How far back [`History::core_down`] looks.
pub const CORE_WINDOW: Duration = Duration::from_secs(5 * 60);

impl History {
    /// Since when the target has been up without a break; absent: it is not.
    pub fn up_since(&self) -> Option<Moment> {
        self.up_since
    }

    /// When the proxies' totals last moved; absent: they have not, since we look.
    pub fn traffic_moved(&self) -> Option<Moment> {
        self.traffic_moved
    }

    /// The share of the core's answers within [`CORE_WINDOW`] that said it was down; absent: there are none.
    pub fn core_down(&self, now: Moment) -> Option<f64> {
        let recent = self.core.iter().filter(|(at, _)| now.since(*at) <= CORE_WINDOW);
        let (mut down, mut all) = (0_u32, 0_u32);
        for (_, up) in recent {
            all += 1;
            down += u32::from(!up);
        }
        (all > 0).then(|| f64::from(down) / f64::from(all))
    }

    /// Whether the core's answers within [`CORE_WINDOW`] are enough to say that it is well: four of them, or two
    /// minutes of them.
    pub fn core_covered(&self, now: Moment) -> bool {
        let ages = self.core.iter().map(|(at, _)| now.since(*at)).filter(|age| *age <= CORE_WINDOW);
        ages.clone().count() >= 4 || ages.max() >= Some(Duration::from_secs(2 * 60))
    }
}

impl Report {
    /// Notes whether the target is up after an attempt at it.
    pub fn remember_up(&mut self, now: Moment) {
        self.history.up_since = match self.up {
            Some(true) => self.history.up_since.or(Some(now)),
            Some(false) | None => None,
        };
    }

    /// Notes what was just merged of `part`, for the questions that one answer cannot settle.
    pub fn remember(&mut self, part: Part, now: Moment) {
        match part {
            Part::System => {
                let totals = [self.proxy_uplink, self.proxy_downlink].into_iter().flatten();
                let sum = totals.map(super::Counter::value).reduce(u64::saturating_add);
                if self.history.traffic.is_some() && sum.is_some() && sum != self.history.traffic {
                    self.history.traffic_moved = Some(now);
                }
                self.history.traffic = sum.or(self.history.traffic);
            }
            Part::Core => {
                let history = &mut self.history.core;
                history.retain(|(at, _)| now.since(*at) <= CORE_WINDOW);
                history.extend(self.core.as_ref().map(|core| (now, core.up)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Core, Counter, PartData, Timestamp};

    fn at(secs: u64) -> Moment {
        Moment { wall: Timestamp::default(), uptime: Duration::from_secs(secs) }
    }

    #[test]
    fn traffic_has_moved_when_a_reading_differs_from_the_one_before() {
        let mut report = Report::new("home");
        let mut moved = Vec::new();
        for (secs, total) in [(0, Some(5)), (30, Some(5)), (60, Some(9)), (90, None), (120, Some(9))] {
            report.proxy_uplink = total.map(Counter::new);
            report.remember(Part::System, at(secs));
            moved.push(report.history.traffic_moved().map(|moment| moment.uptime.as_secs()));
        }
        assert_eq!(moved, [None, None, Some(60), Some(60), Some(60)]);
    }

    #[test]
    fn a_target_is_up_since_its_last_failure() {
        let mut report = Report::new("home");
        let mut since = Vec::new();
        for (secs, up) in
            [(0, None), (30, Some(true)), (60, Some(true)), (90, Some(false)), (120, Some(true))]
        {
            report.up = up;
            report.remember_up(at(secs));
            since.push(report.history.up_since().map(|moment| moment.uptime.as_secs()));
        }
        assert_eq!(since, [None, Some(30), Some(30), None, Some(120)]);
    }

    #[test]
    fn the_core_is_judged_by_its_last_five_minutes() {
        let mut report = Report::new("home");
        assert_eq!(report.history.core_down(at(0)), None);
        for secs in 0..600_u64 {
            report.merge(PartData::Core(Core { up: secs >= 300, version: None }));
            report.remember(Part::Core, at(secs));
        }
        assert_eq!(report.history.core_down(at(599)), Some(1.0 / 301.0));
        assert_eq!(report.history.core_down(at(650)), Some(0.0));
        assert!(report.history.core.len() <= 301);
    }

    #[test]
    fn the_core_is_covered_by_four_answers_or_two_minutes() {
        let covered = |times: &[u64], now| {
            let mut report = Report::new("home");
            for secs in times {
                report.merge(PartData::Core(Core { up: true, version: None }));
                report.remember(Part::Core, at(*secs));
            }
            report.history.core_covered(at(now))
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

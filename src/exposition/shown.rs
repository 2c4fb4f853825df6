//! What an answer shows, and for how long.

use std::{sync::Arc, time::Duration};

use super::{
    labels::Options,
    view::{Naming, View},
};
use crate::model::{ActiveAlerts, Moment, Report};

/// What an answer shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Sorted by target, each target once.
    pub reports: &'a [Arc<Report>],
    pub alerts: &'a Arc<ActiveAlerts>,
    pub options: &'a Options,
    pub now: Moment,
    /// Of alerts and of the daemon's own metrics, only the series with the label `target="{only}"`.
    pub only: Option<&'a str>,
}

impl Shown<'_> {
    pub(super) fn namings(&self) -> Vec<Naming> {
        self.reports.iter().map(|report| Naming::new(report, self.options)).collect()
    }

    pub(super) fn view<'v>(&'v self, report: &'v Report, naming: &'v Naming) -> View<'v> {
        View { report, naming, options: self.options, now: self.now }
    }
}

/// Values change without a new answer from any panel: those computed from wall time with every whole minute, and those
/// of a part when it becomes stale.
pub(super) fn valid_until(report: &Report, now: Moment) -> Duration {
    const MINUTE: i64 = 60_000;
    let past = now.wall.as_millis().rem_euclid(MINUTE);
    let minute = Duration::from_millis(u64::try_from(MINUTE - past).unwrap_or(0));
    let stale = report.parts.keys().filter_map(|part| report.stale_in(*part, now)).min();
    now.uptime + stale.map_or(minute, |stale| stale.min(minute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Outcome, Part, PartState, Timestamp};

    #[test]
    fn a_text_is_valid_until_the_next_minute_or_the_first_stale_part() {
        let now = Moment { wall: Timestamp::from_millis(90_500), uptime: Duration::from_secs(1000) };
        let report = |age: u64| {
            let read = Moment { wall: Timestamp::default(), uptime: now.uptime - Duration::from_secs(age) };
            let state = PartState {
                outcome: Outcome::Up,
                last_success: Some(read),
                last_data: Some(read),
                duration: None,
                round: Duration::from_secs(30),
                stale_after: Duration::from_secs(600),
            };
            let mut report = Report::new("t");
            report.parts.insert(Part::System, state);
            report
        };
        let cases = [
            (Report::new("t"), 1_029_500),
            (report(0), 1_029_500),
            (report(590), 1_010_000),
            (report(600), 1_029_500),
        ];
        for (report, expected) in cases {
            assert_eq!(valid_until(&report, now), Duration::from_millis(expected), "{report:?}");
        }
    }
}

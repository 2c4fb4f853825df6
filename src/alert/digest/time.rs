use jiff::{ToSpan, tz::TimeZone};

use crate::model::Timestamp;

/// When a receiver gets its daily digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestTime {
    /// Local time, in minutes of the day.
    pub at: u16,
    pub zone: TimeZone,
    /// Whether a day with nothing to say gets a digest, too.
    pub empty: bool,
    /// The most users of each target that are listed by their traffic.
    pub top: usize,
}

impl DigestTime {
    /// The first time of a digest after `then`, once on each local day: a time that a day has twice is the first of both,
    /// and one that it leaves out is as much later as the clocks go forward. Absent only at the end of the calendar.
    pub fn after(&self, then: Timestamp) -> Option<Timestamp> {
        let local = then.local(&self.zone)?;
        let first = local.date().yesterday().ok()?;
        first
            .series(1.day())
            .take(4)
            .filter_map(|day| Timestamp::of_local(day, self.at, &self.zone))
            .find(|time| *time > then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_due_once_on_each_local_day() {
        let cases = [
            ("UTC", 9 * 60, "2026-01-05T08:59:59Z", "2026-01-05T09:00:00Z"),
            ("UTC", 9 * 60, "2026-01-05T09:00:00Z", "2026-01-06T09:00:00Z"),
            ("UTC", 0, "2026-01-05T23:59:59Z", "2026-01-06T00:00:00Z"),
            ("Asia/Shanghai", 9 * 60, "2026-01-05T00:59:00Z", "2026-01-05T01:00:00Z"),
            ("Asia/Shanghai", 0, "2026-01-05T15:59:00Z", "2026-01-05T16:00:00Z"),
            ("America/Los_Angeles", 22 * 60, "2026-01-05T05:59:00Z", "2026-01-05T06:00:00Z"),
            ("Asia/Tehran", 9 * 60, "2026-01-05T05:30:00Z", "2026-01-06T05:30:00Z"),
            // 02:30 does not exist on 29 March in Berlin, and exists twice on 25 October.
            ("Europe/Berlin", 150, "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
            ("Europe/Berlin", 150, "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"),
            ("Europe/Berlin", 150, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("Europe/Berlin", 150, "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            // A day of 23 hours, and one of 25.
            ("Europe/Berlin", 540, "2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"),
            ("Europe/Berlin", 540, "2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z"),
            // Samoa had no 30 December 2011.
            ("Pacific/Apia", 540, "2011-12-29T19:00:00Z", "2011-12-30T19:00:00Z"),
        ];
        for (zone, at, then, expected) in cases {
            let daily = DigestTime { at, zone: TimeZone::get(zone).unwrap(), empty: false, top: 0 };
            assert_eq!(daily.after(Timestamp::of(then)), Some(Timestamp::of(expected)), "{zone} {at} {then}");
        }
    }
}

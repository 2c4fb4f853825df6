use std::time::Duration;

use jiff::{ToSpan, civil::Date, tz::TimeZone};

use crate::model::{Month, Timestamp};

/// How long a statement waits for a panel that was not read since the month ended.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// `[statement.NAME]`, as its receiver sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub name: String,
    pub target: String,
    /// Absent: all users of the target.
    pub admin: Option<String>,
    /// Addresses; empty: those of the receiver.
    pub to: Vec<String>,
    /// The day of the month, from 1 to 28.
    pub day: i8,
    /// Local time, in minutes of the day.
    pub at: u16,
    pub zone: TimeZone,
}

/// The statement that was due last, and when the next one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What it is about.
    pub month: Month,
    pub next: Timestamp,
}

impl Statement {
    /// Absent only at the end of the calendar.
    pub fn due(&self, now: Timestamp) -> Option<Due> {
        let local = now.local(&self.zone)?;
        let first = local.date().first_of_month();
        let this = self.on(first)?;
        let month = Month::of_year_and_month(first.year().into(), first.month().into());
        if this > now {
            return Some(Due { month: month.plus(-2), next: this });
        }
        Some(Due { month: month.plus(-1), next: self.on(first.checked_add(1.month()).ok()?)? })
    }

    /// The first moment after a month. Absent only at the end of the calendar.
    pub(super) fn end_of(&self, month: Month) -> Option<Timestamp> {
        Timestamp::of_local(first_after(month)?, 0, &self.zone)
    }

    /// Whether a statement about a month can still wait for the last readings of it.
    pub fn can_wait(&self, month: Month, now: Timestamp) -> bool {
        let due = first_after(month).and_then(|first| self.on(first));
        due.is_some_and(|due| now.since(due) < PATIENCE)
    }

    /// When the statement is due in a month.
    fn on(&self, first: Date) -> Option<Timestamp> {
        let day = first.with().day(self.day).build().ok()?;
        Timestamp::of_local(day, self.at, &self.zone)
    }
}

/// The first day after a month.
fn first_after(month: Month) -> Option<Date> {
    let (year, month) = month.plus(1).year_and_month();
    Date::new(year.try_into().ok()?, month.try_into().ok()?, 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(zone: &str, day: i8, at: u16) -> Statement {
        Statement {
            name: "ali".into(),
            target: "home".into(),
            admin: None,
            to: Vec::new(),
            day,
            at,
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    #[test]
    fn a_statement_is_due_once_in_each_month() {
        for (zone, day, at, now, month, next) in [
            ("UTC", 1, 540, "2026-12-01T08:59:59Z", "2026-10", "2026-12-01T09:00:00Z"),
            ("UTC", 1, 540, "2026-12-01T09:00:00Z", "2026-11", "2027-01-01T09:00:00Z"),
            ("UTC", 1, 540, "2026-12-31T23:59:59Z", "2026-11", "2027-01-01T09:00:00Z"),
            ("UTC", 1, 540, "2027-01-01T09:00:00Z", "2026-12", "2027-02-01T09:00:00Z"),
            // February, in a leap year and in another one.
            ("UTC", 28, 0, "2028-02-28T00:00:00Z", "2028-01", "2028-03-28T00:00:00Z"),
            ("UTC", 28, 0, "2027-02-27T23:59:00Z", "2026-12", "2027-02-28T00:00:00Z"),
            ("UTC", 1, 0, "2028-02-29T12:00:00Z", "2028-01", "2028-03-01T00:00:00Z"),
            ("Asia/Shanghai", 1, 540, "2026-12-01T01:00:00Z", "2026-11", "2027-01-01T01:00:00Z"),
            // It is another month already.
            ("Asia/Shanghai", 1, 0, "2026-11-30T16:00:00Z", "2026-11", "2026-12-31T16:00:00Z"),
            ("America/Los_Angeles", 1, 540, "2026-12-01T16:59:00Z", "2026-10", "2026-12-01T17:00:00Z"),
            ("Asia/Tehran", 1, 540, "2026-12-01T05:30:00Z", "2026-11", "2027-01-01T05:30:00Z"),
            // The clocks go forward and back on 1 November and 8 March.
            ("America/New_York", 1, 540, "2026-10-31T12:00:00Z", "2026-09", "2026-11-01T14:00:00Z"),
            ("America/New_York", 8, 150, "2026-03-08T06:00:00Z", "2026-01", "2026-03-08T07:30:00Z"),
            ("America/New_York", 1, 90, "2026-11-01T05:29:00Z", "2026-09", "2026-11-01T05:30:00Z"),
            ("America/New_York", 1, 90, "2026-11-01T06:30:00Z", "2026-10", "2026-12-01T06:30:00Z"),
        ] {
            let statement = statement(zone, day, at);
            let due = Due { month: month.parse().unwrap(), next: Timestamp::of(next) };
            assert_eq!(statement.due(Timestamp::of(now)), Some(due), "{zone} {day} {at} {now}");
            // The next one is about the month after.
            let (after, next) = (due.month.plus(1), Timestamp::of(next));
            let last = next.saturating_add(PATIENCE).saturating_add_millis(-1);
            assert!(statement.can_wait(after, next) && statement.can_wait(after, last), "{zone} {now}");
            assert!(!statement.can_wait(after, next.saturating_add(PATIENCE)), "{zone} {now}");
            assert!(statement.end_of(after).unwrap() <= next, "{zone} {now}");
        }
        for (zone, month, end) in [
            ("UTC", "2026-12", "2027-01-01T00:00:00Z"),
            ("Asia/Tehran", "2026-11", "2026-11-30T20:30:00Z"),
            ("Europe/Berlin", "2026-03", "2026-03-31T22:00:00Z"),
        ] {
            assert_eq!(
                statement(zone, 1, 540).end_of(month.parse().unwrap()),
                Some(Timestamp::of(end)),
                "{zone}"
            );
        }
    }
}

use std::{fmt, str::FromStr};

use jiff::{ToSpan, Zoned, civil::Date, tz::TimeZone};

use super::Timestamp;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// A day of the calendar, such as 2026-11-27: so many days after 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

/// A month of the calendar, such as 2026-11: so many months after the month 0000-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

impl Day {
    pub const fn of_number(number: i32) -> Self {
        Day(number)
    }

    pub const fn number(self) -> i32 {
        self.0
    }

    /// The day so many days later, or earlier.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Day(self.0.saturating_add(days))
    }

    pub fn month(self) -> Month {
        let date = self.date();
        Month::of_year_and_month(date.year().into(), date.month().into())
    }

    /// From 1 to 31.
    pub fn of_month(self) -> i32 {
        self.date().day().into()
    }

    /// Numbers beyond the calendar are those of its first or last day.
    fn date(self) -> Date {
        EPOCH.saturating_add(i64::from(self.0).days())
    }

    fn of(date: Date) -> Self {
        Day((date - EPOCH).get_days())
    }
}

impl Month {
    pub const fn of_number(number: i32) -> Self {
        Month(number)
    }

    pub const fn number(self) -> i32 {
        self.0
    }

    #[must_use]
    pub const fn plus(self, months: i32) -> Self {
        Month(self.0.saturating_add(months))
    }

    /// `month` is from 1 to 12.
    pub const fn of_year_and_month(year: i32, month: i32) -> Self {
        Month(year * 12 + month - 1)
    }

    /// Reads a month, or takes the one that a day is in.
    ///
    /// # Errors
    /// If it is neither, as a sentence that says how to write a month.
    pub fn of_text(text: &str) -> Result<Self, String> {
        text.parse().or_else(|why| text.parse().map(Day::month).map_err(|_| why))
    }

    /// Beyond the calendar, its first or last day.
    pub fn first_day(self) -> Day {
        let (year, month) = self.year_and_month();
        let last = if self.0 < 0 { Date::MIN } else { Date::MAX };
        let first = i16::try_from(year).ok().zip(i8::try_from(month).ok());
        Day::of(first.and_then(|(year, month)| Date::new(year, month, 1).ok()).unwrap_or(last))
    }

    /// The year, and the month from 1 to 12.
    pub const fn year_and_month(self) -> (i32, i32) {
        (self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month) = self.year_and_month();
        write!(f, "{year:04}-{month:02}")
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let date = text.parse().ok().filter(|_| is_written(text, "0000-00-00"));
        date.map(Day::of).ok_or_else(|| format!("{text:?} is not a day; write it as 2026-11-27"))
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let first = format!("{text}-01").parse().ok().filter(|_| is_written(text, "0000-00"));
        let month = first.map(|first| Day::of(first).month());
        month.ok_or_else(|| format!("{text:?} is not a month; write it as 2026-11"))
    }
}

/// Whether a text has digits where `form` has zeros, and otherwise the same. Other forms of a date are not taken.
fn is_written(text: &str, form: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| if form == b'0' { byte.is_ascii_digit() } else { byte == form };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

/// Finds the local day of a time. The last day found is remembered.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    day: Day,
    from: Timestamp,
    until: Timestamp,
}

impl Calendar {
    pub fn new(zone: TimeZone) -> Self {
        Calendar { zone, day: Day::default(), from: Timestamp::default(), until: Timestamp::default() }
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The local day of a time. A day has 23 to 25 hours where clocks are changed.
    pub fn day(&mut self, at: Timestamp) -> Day {
        if !(self.from..self.until).contains(&at) {
            // Beyond the years that the calendar has, each time is of the first day.
            (self.day, self.from, self.until) = self.find(at).unwrap_or((Day::default(), at, at));
        }
        self.day
    }

    /// When the day of a time began.
    pub fn start_of_day(&mut self, at: Timestamp) -> Timestamp {
        self.day(at);
        self.from
    }

    /// When the day of a time ends.
    pub fn end_of_day(&mut self, at: Timestamp) -> Timestamp {
        self.day(at);
        self.until
    }

    fn find(&self, at: Timestamp) -> Option<(Day, Timestamp, Timestamp)> {
        let at = at.local(&self.zone)?;
        let start =
            |of: Zoned| Some(Timestamp::from_millis(of.start_of_day().ok()?.timestamp().as_millisecond()));
        Some((Day::of(at.date()), start(at.clone())?, start(at.tomorrow().ok()?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_read_as_they_are_written() {
        for text in ["1970-01-01", "2024-02-29", "2026-11-27", "1969-12-31", "0001-01-01"] {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        assert_eq!("2026-11-27".parse::<Day>().unwrap().number(), 20_784);
        for text in ["1970-01", "2026-12", "0001-01"] {
            assert_eq!(text.parse::<Month>().unwrap().to_string(), text);
        }
        for (day, month) in [("2026-12-31", "2026-12"), ("2027-01-01", "2027-01"), ("1969-12-31", "1969-12")]
        {
            assert_eq!(day.parse::<Day>().unwrap().month().to_string(), month);
        }
        assert_eq!("2026-12".parse::<Month>().unwrap().plus(-23).to_string(), "2025-01");
        for month in ["1969-12", "2024-02", "2026-11"] {
            assert_eq!(month.parse::<Month>().unwrap().first_day().to_string(), format!("{month}-01"));
        }
        for (number, day) in [(i32::MIN, "-009999-01-01"), (i32::MAX, "9999-12-31")] {
            assert_eq!(Month::of_number(number).first_day().to_string(), day);
        }
        assert_eq!("2026-03-01".parse::<Day>().unwrap().plus(-1).to_string(), "2026-02-28");
        for (month, last) in [("2026-02", "2026-02-28"), ("2028-02", "2028-02-29"), ("2026-12", "2026-12-31")]
        {
            let month: Month = month.parse().unwrap();
            assert_eq!(month.first_day().month(), month);
            let last_day = month.plus(1).first_day().plus(-1);
            assert_eq!((last_day.to_string().as_str(), last_day.month()), (last, month));
        }
        for wrong in ["", "2026-11", "2026-02-30", "20261127", "2026-11-27T00:00", "+2026-1-27", "2026-11-2x"]
        {
            assert!(wrong.parse::<Day>().unwrap_err().contains("write it as 2026-11-27"), "{wrong}");
        }
        for (text, month) in [("2026-11", "2026-11"), ("2026-11-01", "2026-11"), ("2028-02-29", "2028-02")] {
            assert_eq!(Month::of_text(text).unwrap().to_string(), month);
        }
        assert!(Month::of_text("2026-02-30").unwrap_err().contains("is not a month; write it as 2026-11"));
        for wrong in ["", "2026-13", "2026-11-27", "202611", "2026-1"] {
            assert!(wrong.parse::<Month>().unwrap_err().contains("write it as 2026-11"), "{wrong}");
        }
    }

    #[test]
    fn a_day_is_that_of_the_zone() {
        let at = Timestamp::of;
        for (zone, time, day, hours) in [
            ("UTC", "2026-11-27T23:59:59.999Z", "2026-11-27", 24),
            ("UTC", "2026-11-28T00:00:00Z", "2026-11-28", 24),
            ("Asia/Shanghai", "2026-11-27T15:59:59Z", "2026-11-27", 24),
            ("Asia/Shanghai", "2026-11-27T16:00:00Z", "2026-11-28", 24),
            // Clocks are set forward, and back.
            ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29", 23),
            ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25", 25),
            ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-25", 25),
            ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26", 24),
            // A day that begins at one o'clock.
            ("America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04", 23),
        ] {
            let mut calendar = Calendar::new(TimeZone::get(zone).unwrap());
            assert_eq!(calendar.day(at(time)).to_string(), day, "{zone} {time}");
            assert_eq!(calendar.until.since(calendar.from).as_secs(), hours * 3600, "{zone} {time}");
            // The remembered day is not taken for another one.
            let next = calendar.end_of_day(at(time));
            assert_eq!(calendar.day(next).number(), calendar.day(at(time)).number() + 1);
        }
        let mut calendar = Calendar::new(TimeZone::UTC);
        assert_eq!(calendar.day(Timestamp::from_millis(i64::MAX)), Day::default());
    }
}

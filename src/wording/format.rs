//! Quantities in words.

use std::time::Duration;

use jiff::Zoned;

use super::voice::{Voice, args, isolated};
use crate::model::{BudgetUnit, Day, Timestamp, words};

impl Voice {
    /// A duration in its two largest units, e.g. `1 day 23 h` or `6 min 40 s`.
    pub fn duration(&self, duration: Duration) -> String {
        let secs = duration.as_secs();
        let units = [
            ("unit-days", secs / 86_400),
            ("unit-hours", secs / 3600 % 24),
            ("unit-minutes", secs / 60 % 60),
            ("unit-seconds", secs % 60),
        ];
        let first = units.iter().position(|(_, count)| *count > 0).unwrap_or(units.len() - 1);
        let shown = units.iter().enumerate().skip(first).take(2);
        let shown = shown.filter(|(place, (_, count))| *place == first || *count > 0);
        let told = shown.map(|(_, (unit, count))| self.say(unit, &args([("n", (*count).into())])));
        told.reduce(|large, small| {
            self.say("units", &args([("large", large.into()), ("small", small.into())]))
        })
        .unwrap_or_default()
    }

    /// `in 1 day 23 h`, or `3 days ago`.
    pub fn relative(&self, at: Timestamp, now: Timestamp) -> String {
        let (id, time) = if at > now { ("time-in", at.since(now)) } else { ("time-ago", now.since(at)) };
        self.say(id, &args([("time", self.duration(time).into())]))
    }

    /// `24 January 2027, 14:05`
    pub fn date(&self, at: Timestamp) -> String {
        match self.zoned(at) {
            Some(at) => self.say(
                "date-and-time",
                &args([("date", self.day_of(&at).into()), ("time", self.clock(&at, "%H:%M").into())]),
            ),
            None => self.text("date-never"),
        }
    }

    /// `24 January 2027`
    pub fn day(&self, at: Timestamp) -> String {
        self.zoned(at).map_or_else(|| self.text("date-never"), |at| self.day_of(&at))
    }

    /// `24 January 2027`, whatever the zone.
    pub fn calendar_day(&self, day: Day) -> String {
        let (year, month) = day.month().year_and_month();
        self.date_of(year, month, day.of_month())
    }

    /// From when until when: `19:15:22–19:22:02`, with the days if they differ.
    pub fn span(&self, from: Timestamp, to: Timestamp) -> String {
        let (id, from, to) = match (self.zoned(from), self.zoned(to)) {
            (Some(from), Some(to)) if from.date() == to.date() => {
                ("span-times", from.strftime("%H:%M:%S").to_string(), self.clock(&to, "%H:%M:%S"))
            }
            _ => ("span-dates", self.date(from), self.date(to)),
        };
        self.say(id, &args([("from", from.into()), ("to", to.into())]))
    }

    /// The name of the zone that times are in, e.g. `Europe/Berlin`.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Names, the first three of them, and how many there are besides.
    pub(super) fn names<'a>(&self, names: impl Iterator<Item = &'a str>, all: usize) -> String {
        const MOST: usize = 3;
        let alone = |name| if self.language.is_rtl() { isolated(name).into() } else { self.name(name) };
        let first: Vec<_> = names.take(MOST).map(alone).collect();
        let list = first.join(&self.text("list-comma"));
        match all.saturating_sub(first.len()) {
            0 => list,
            more => self.say("list-more", &args([("names", list.into()), ("more", more.into())])),
        }
    }

    /// What a budget counts, e.g. `5,000,000 tokens`.
    pub(super) fn amount(&self, amount: u64, unit: BudgetUnit) -> String {
        match unit {
            BudgetUnit::Tokens => {
                let count = words::count(amount);
                self.say("tokens", &args([("n", count.into()), ("count", amount.into())]))
            }
            BudgetUnit::UsdNanos => words::amount(amount, unit),
        }
    }

    /// A time of the day, with its zone where nothing around the sentence says it.
    fn clock(&self, at: &Zoned, format: &str) -> String {
        let zone = if self.alone { " %Z" } else { "" };
        at.strftime(&format!("{format}{zone}")).to_string()
    }

    fn day_of(&self, at: &Zoned) -> String {
        self.date_of(at.year().into(), at.month().into(), at.day().into())
    }

    fn date_of(&self, year: i32, month: i32, day: i32) -> String {
        let month = self.text(&format!("month-{month}"));
        let (day, year) = (day.to_string(), year.to_string());
        self.say("date", &args([("day", day.into()), ("month", month.into()), ("year", year.into())]))
    }

    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

/// `97 of 100 GiB`; the unit is written twice only if the units differ.
pub(super) fn amounts(used: String, limit: &str) -> (String, String) {
    let unit = limit.rsplit_once(' ').map(|(_, unit)| unit);
    let same = unit.and_then(|unit| used.strip_suffix(unit)).map(|used| used.trim_end().to_owned());
    (same.unwrap_or(used), limit.to_owned())
}

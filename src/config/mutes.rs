//! The tables `[mute.NAME]`: when nothing is sent, and for which alerts.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use toml::de::DeValue;

use crate::alert::config::MuteConfig;
use crate::model::Severity;

use super::names::{self, Names, is_pattern};
use super::shape::{
    Shape,
    Show::{self, Hidden, If, People},
};
use super::table::{Field, Placed, Table};
use super::values::{is_severity, is_zone, severity, text, zone};

pub(super) const SHAPE: Shape = Shape {
    title: "[mute.NAME]",
    keys: &[&[
        ("days", If(|text| days_of(text).is_ok())),
        ("hours", If(|text| hours_of(text).is_ok())),
        ("zone", If(is_zone)),
        ("matchers", Show::Table(&MATCHERS)),
        ("below", If(is_severity)),
    ]],
};
/// A key for each label of alerts.
const MATCHERS: Shape = Shape {
    title: "the matchers table of [mute.NAME]",
    keys: &[&[
        ("alertname", Hidden),
        ("target", If(is_pattern)),
        ("system", Hidden),
        ("kind", Hidden),
        ("subject", People),
        ("step", Hidden),
        ("severity", If(is_severity)),
        ("rule", Hidden),
    ]],
};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_A_DAY: u16 = 24 * 60;

pub(super) type Mutes = BTreeMap<String, MuteConfig>;

pub(super) fn read_all(root: &mut Table<'_, '_>, names: &Names) -> Mutes {
    let mut mutes = BTreeMap::new();
    for (name, table) in names::tables(root, "mute", "a mute", &SHAPE) {
        mutes.insert(name, read(table, names));
    }
    mutes
}

fn read(mut table: Table<'_, '_>, names: &Names) -> MuteConfig {
    let keys: Vec<_> = SHAPE.names().filter(|key| table.has(key)).collect();
    if keys.iter().all(|key| *key == "zone") {
        table.reading.refuse(
            &table.place,
            "mutes everything, always; write days, hours, matchers or below, or enabled = false in [alerting]",
        );
    }
    let days = read_days(&mut table);
    let hours = table.take("hours", hours);
    let zone = table.take("zone", zone);
    if zone.is_absent() && (!days.is_absent() || !hours.is_absent()) {
        table.refuse(
            "zone",
            "missing beside days or hours; write the zone they are of, such as \"Asia/Shanghai\" or \"UTC\"",
        );
    }
    let below = table.take("below", |value| match severity(value)? {
        Severity::Info => Err("nothing is below \"info\"; write \"warning\" or \"critical\"".to_owned()),
        severity => Ok(severity),
    });
    MuteConfig {
        days: days.value().unwrap_or_default(),
        hours: hours.value(),
        zone: zone.value().as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC").to_owned(),
        matchers: read_matchers(&mut table, names),
        below: below.value(),
    }
}

/// Days by the first three letters of their names, alone or from one to another.
fn read_days(table: &mut Table<'_, '_>) -> Field<Vec<u8>> {
    let days = match table.take_list("days", days) {
        Field::Given(days) => days,
        Field::Absent => return Field::Absent,
        Field::Refused => return Field::Refused,
    };
    if days.value.is_empty() {
        table
            .reading
            .refuse(&days.place, "an empty list; write at least one day, or leave the key out for all");
    }
    let mut numbers: Vec<u8> = days.value.into_iter().flat_map(|days| days.value).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Field::Given(Placed { value: numbers, place: days.place })
}

fn days(value: &DeValue<'_>) -> Result<Vec<u8>, String> {
    days_of(&text(value)?)
}

fn days_of(text: &str) -> Result<Vec<u8>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |day: &str| (1..).zip(DAYS).find(|(_, name)| *name == day.trim()).map(|(number, _)| number);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first..=last).collect()),
        // Over the end of the week, such as "sat-mon".
        (Some(first), Some(last)) => Ok((first..=7).chain(1..=last).collect()),
        _ => Err(format!(
            "{text:?} is not a day; write mon, tue, wed, thu, fri, sat or sun, or a range such as \"mon-fri\""
        )),
    }
}

fn hours(value: &DeValue<'_>) -> Result<(u16, u16), String> {
    hours_of(&text(value)?)
}

fn hours_of(text: &str) -> Result<(u16, u16), String> {
    let times = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
    match times {
        Some((from, to))
            if from % MINUTES_A_DAY == to % MINUTES_A_DAY && (from, to) != (0, MINUTES_A_DAY) =>
        {
            Err(format!("{text:?} is either empty or the whole day; leave the key out for whole days"))
        }
        Some((MINUTES_A_DAY, _)) => {
            Err(format!("{text:?} starts at the end of a day; write 00:00 for its start"))
        }
        // Midnight is the end of the day that the window starts on.
        Some((from, 0)) => Ok((from, MINUTES_A_DAY)),
        Some(times) => Ok(times),
        None => Err(format!("{text:?} is not a span of time; write it as \"23:00-08:00\"")),
    }
}

/// `23:00` as minutes of the day; `24:00` is its end.
pub(super) fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |digits: &str| -> Option<u16> {
        let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { digits.parse().ok() } else { None }
    };
    let (hour, minute) = (number(hour)?, number(minute).filter(|_| minute.len() == 2)?);
    (minute < 60).then_some(hour * 60 + minute).filter(|&minutes| minutes <= MINUTES_A_DAY)
}

fn read_matchers(table: &mut Table<'_, '_>, names: &Names) -> BTreeMap<String, String> {
    let mut table = table.section("matchers", &MATCHERS);
    let mut matchers = BTreeMap::new();
    for label in MATCHERS.names() {
        let check = |pattern: &str| if label == "target" { names.check_target(pattern) } else { Ok(()) };
        let pattern = table.take_free_text(label, check);
        matchers.extend(pattern.value().map(|pattern| (label.to_owned(), pattern)));
    }
    matchers
}

#[cfg(test)]
mod tests {
    use crate::alert::config::LABELS;

    use super::*;

    #[test]
    fn every_label_of_alerts_can_be_matched() {
        assert_eq!(MATCHERS.names().collect::<Vec<_>>(), LABELS);
    }
}

//! The keys of `[poll]`. A target can override all of them except `shard`.

use std::time::Duration;

use humantime::format_duration;
use toml::de::DeValue;

use crate::poll::config::{PollConfig, UsersInterval};

use super::shape::{Key, Shape, Show::If};
use super::shard::Shard;
use super::table::{Field, Placed, Table};
use super::values::{above_zero, at_least, describe, is_quantity, ratio};

/// The keys that a target can override.
pub(super) const KEYS: &[Key] = &[
    ("interval", If(is_quantity)),
    ("timeout", If(is_quantity)),
    ("page_timeout", If(is_quantity)),
    ("stale_after", If(is_quantity)),
    ("load", If(is_quantity)),
    ("users_interval", If(|text| text == "auto" || is_quantity(text))),
];
pub(super) const SHAPE: Shape =
    Shape { title: "[poll]", keys: &[KEYS, &[("shard", If(|text| text.parse::<Shard>().is_ok()))]] };

/// A shorter interval burdens the panel without benefit.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);

/// How much longer a panel's series are kept than it takes to count as down. Otherwise an alert on them would resolve
/// during an outage.
const STALE_AFTER_DOWN: Duration = Duration::from_secs(2 * 60);

/// The shortest `stale_after` where `down_for` is how long a panel must be silent to count as down.
pub(super) fn shortest_stale_after(down_for: Duration) -> Duration {
    down_for + STALE_AFTER_DOWN
}

/// Reads these keys from a table. Keys that it leaves out are as in `base`.
pub(super) fn read(
    table: &mut Table<'_, '_>,
    base: &PollConfig,
    shortest_stale_after: Duration,
) -> PollConfig {
    let interval = table.take("interval", |value| at_least(SHORTEST_INTERVAL, value));
    let timeout = table.take("timeout", above_zero);
    let page_timeout = table.take("page_timeout", above_zero);
    let stale_after = table.take("stale_after", |value| at_least(shortest_stale_after, value));
    let load = table.take("load", load);
    let users_interval = table.take("users_interval", users_interval);

    // A pair is checked only in a table that has one of its keys, so that a target does not repeat a mistake in [poll].
    check_pair(
        table,
        ("timeout", &timeout, base.timeout),
        ("page_timeout", &page_timeout, base.page_timeout),
        |a, b| a <= b,
    );
    check_pair(
        table,
        ("interval", &interval, base.interval),
        ("stale_after", &stale_after, base.stale_after),
        |a, b| a < b,
    );

    PollConfig {
        interval: interval.value().unwrap_or(base.interval),
        timeout: timeout.value().unwrap_or(base.timeout),
        page_timeout: page_timeout.value().unwrap_or(base.page_timeout),
        stale_after: match stale_after {
            Field::Given(given) => given.value,
            Field::Absent => base.stale_after,
            // Long enough to cause no second error.
            Field::Refused => base.stale_after.max(shortest_stale_after),
        },
        load: load.value().unwrap_or(base.load),
        users_interval: users_interval.value().unwrap_or(base.users_interval),
    }
}

/// A key, its field, and its value if absent.
type Setting<'f> = (&'static str, &'f Field<Duration>, Duration);

fn check_pair(
    table: &Table<'_, '_>,
    (short_key, short, short_base): Setting<'_>,
    (long_key, long, long_base): Setting<'_>,
    in_order: fn(Duration, Duration) -> bool,
) {
    match (short, long) {
        (Field::Given(short), Field::Absent) if !in_order(short.value, long_base) => {
            let Placed { value, place } = short;
            let (value, other) = (format_duration(*value), format_duration(long_base));
            table.reading.refuse(
                place,
                format!("{value} is too long for {long_key}, which is {other}; shorten this or lengthen {long_key}"),
            );
        }
        (Field::Absent | Field::Given(_), Field::Given(long)) => {
            let short = if let Field::Given(short) = short { short.value } else { short_base };
            if !in_order(short, long.value) {
                let (value, other) = (format_duration(long.value), format_duration(short));
                table.reading.refuse(
                    &long.place,
                    format!("{value} is too short for {short_key}, which is {other}; lengthen this or shorten {short_key}"),
                );
            }
        }
        _ => {}
    }
}

fn load(value: &DeValue<'_>) -> Result<f64, String> {
    let load = ratio(value)?;
    if (0.001..=1.0).contains(&load) {
        return Ok(load);
    }
    let seen = if let DeValue::String(text) = value { format!("{text:?}") } else { describe(value) };
    Err(format!("{seen} is out of range; write \"0.1%\" to \"100%\", or 0.001 to 1.0"))
}

fn users_interval(value: &DeValue<'_>) -> Result<UsersInterval, String> {
    match value {
        DeValue::String(text) if text == "auto" => Ok(UsersInterval::Auto),
        _ => match at_least(SHORTEST_INTERVAL, value) {
            Ok(duration) => Ok(UsersInterval::Every(duration)),
            Err(text) => Err(format!("{text}, or \"auto\"")),
        },
    }
}

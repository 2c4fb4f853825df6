//! The tables of receivers, a file for each kind, and what they have in common.

pub(super) mod alertmanager;
pub(super) mod chat;
pub(super) mod email;
pub(super) mod http;
mod known;
pub(super) mod pagerduty;
pub(super) mod webhook;

use std::time::Duration;

use humantime::format_duration;
use jiff::tz::TimeZone;
use toml::de::DeValue;

use crate::model::Severity;
use crate::notify::email::config::{DigestConfig, ReceiverConfig};

use super::alerting;
use super::mutes::minute;
use super::shape::{
    Key,
    Show::{If, Number},
};
use super::table::{Field, Table};
use super::values::{
    above_zero, choice, describe, is_choice, is_language, is_quantity, is_severity, is_zone, language,
    severity, switch, whole, zone,
};

/// The keys that every receiver has, besides `alerting::GROUPING`.
const KEYS: &[Key] = &[
    ("timeout", If(is_quantity)),
    ("min_severity", If(is_severity)),
    ("send_resolved", Number),
    ("language", If(is_language)),
];

/// The keys of the daily digest.
const DIGEST: &[Key] = &[
    ("digest", If(|text| is_choice(text, &DIGESTS))),
    ("digest_at", If(|text| minute(text).is_some())),
    ("digest_zone", If(is_zone)),
    ("digest_empty", Number),
    ("digest_top", Number),
];

/// How often a receiver gets a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digest {
    Off,
    Daily,
}

const DIGESTS: [(&str, Digest); 2] = [("off", Digest::Off), ("1d", Digest::Daily)];
/// 09:00.
const DIGEST_AT: u16 = 9 * 60;
const DIGEST_TOP: usize = 10;
/// As in the other lists of a digest.
const LONGEST_TOP: usize = 20;

/// Longer than any patient server takes, and short enough that a hanging one is noticed.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Takes the keys that every receiver has, except its timeout. `digest` is used where the table does not say.
fn read_common(table: &mut Table<'_, '_>, digest: Digest) -> ReceiverConfig {
    let default = ReceiverConfig::default();
    let min_severity = table.take("min_severity", severity);
    let send_resolved = table.take("send_resolved", switch);
    let grouping = alerting::take_grouping(table);
    let min_severity = min_severity.value().unwrap_or(default.min_severity);
    // A receiver that does not want `info` alerts gets no digest of them unless it asks for it.
    let digest = if min_severity > Severity::Info { Digest::Off } else { digest };
    ReceiverConfig {
        min_severity,
        send_resolved: send_resolved.value().unwrap_or(default.send_resolved),
        language: table.take("language", language).value(),
        group_by: grouping.group_by,
        group_wait: grouping.group_wait,
        group_interval: grouping.group_interval,
        repeat_interval: grouping.repeat_interval,
        digest: take_digest(table, digest),
    }
}

fn take_digest(table: &mut Table<'_, '_>, default: Digest) -> Option<DigestConfig> {
    let digest = table.take("digest", |value| choice(value, &DIGESTS));
    let (at, zone) = (table.take("digest_at", time_of_day), table.take("digest_zone", zone));
    let empty = table.take("digest_empty", switch);
    let top = table.take("digest_top", digest_top);
    if matches!(digest, Field::Refused) {
        return None;
    }
    if digest.value().unwrap_or(default) == Digest::Off {
        let places = [at.given().map(|at| at.place), zone.given().map(|zone| zone.place)];
        for place in places
            .into_iter()
            .chain([empty.given().map(|empty| empty.place), top.given().map(|top| top.place)])
            .flatten()
        {
            let text = "has no effect without a digest; write digest = \"1d\", or leave it out";
            table.reading.refuse(&place, text);
        }
        return None;
    }
    Some(DigestConfig {
        at: at.value().unwrap_or(DIGEST_AT),
        zone: zone.value().as_ref().and_then(TimeZone::iana_name).map(str::to_owned),
        empty: empty.value().unwrap_or(false),
        top: top.value().unwrap_or(DIGEST_TOP),
    })
}

fn digest_top(value: &DeValue<'_>) -> Result<usize, String> {
    match whole(value, 0)? {
        top if top > LONGEST_TOP => {
            Err(format!("{top} is too many; write at most {LONGEST_TOP}, or 0 for none"))
        }
        top => Ok(top),
    }
}

/// A time of the day, in minutes.
pub(super) fn time_of_day(value: &DeValue<'_>) -> Result<u16, String> {
    let time = match value {
        DeValue::String(text) => minute(text).filter(|minute| *minute < 24 * 60),
        _ => None,
    };
    time.ok_or_else(|| {
        let seen = match value {
            DeValue::String(text) => format!("{text:?}"),
            _ => describe(value),
        };
        format!("{seen} is not a time of day; write it as \"09:00\"")
    })
}

/// Takes `timeout`, the limit of one exchange.
pub(super) fn take_timeout(table: &mut Table<'_, '_>, default: Duration) -> Duration {
    let timeout = table.take("timeout", |value| at_most(LONGEST_TIMEOUT, above_zero(value)?));
    timeout.value().unwrap_or(default)
}

fn at_most(longest: Duration, duration: Duration) -> Result<Duration, String> {
    if duration > longest {
        let (seen, longest) = (format_duration(duration), format_duration(longest));
        return Err(format!("{seen} is too long; write at most \"{longest}\""));
    }
    Ok(duration)
}

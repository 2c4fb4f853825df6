//! The tables of receivers, a file for each kind, and what they have in common.

pub(super) mod alertmanager;
pub(super) mod chat;
pub(super) mod email;
mod http;
pub(super) mod pagerduty;
pub(super) mod webhook;

use std::time::Duration;

use humantime::format_duration;

use crate::notify::email::config::ReceiverConfig;

use super::alerting;
use super::shape::{
    Key,
    Show::{If, Number},
};
use super::table::Table;
use super::values::{above_zero, is_language, is_quantity, is_severity, language, severity, switch};

/// The keys that every receiver has, besides `alerting::GROUPING`.
const KEYS: &[Key] = &[
    ("timeout", If(is_quantity)),
    ("min_severity", If(is_severity)),
    ("send_resolved", Number),
    ("language", If(is_language)),
];

/// Longer than any patient server takes, and short enough that a hanging one is noticed.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Takes the keys that every receiver has, except its timeout.
fn read_common(table: &mut Table<'_, '_>) -> ReceiverConfig {
    let default = ReceiverConfig::default();
    let min_severity = table.take("min_severity", severity);
    let send_resolved = table.take("send_resolved", switch);
    let grouping = alerting::take_grouping(table);
    ReceiverConfig {
        min_severity: min_severity.value().unwrap_or(default.min_severity),
        send_resolved: send_resolved.value().unwrap_or(default.send_resolved),
        language: table.take("language", language).value(),
        group_by: grouping.group_by,
        group_wait: grouping.group_wait,
        group_interval: grouping.group_interval,
        repeat_interval: grouping.repeat_interval,
    }
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

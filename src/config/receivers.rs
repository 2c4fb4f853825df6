//! The tables `[email.NAME]` and `[webhook.NAME]`, and what they have in common.

use std::time::Duration;

use humantime::format_duration;
use toml::de::DeValue;

use crate::model::Severity;
use crate::notify::email::config::ReceiverConfig;

use super::alerting::{group_interval, take_group_by};
use super::names;
use super::table::{Shape, Table};
use super::values::{above_zero, choice, duration, switch};
use super::{ReceiverKind, ReceiverTable, email, webhook};

pub(super) const KEYS: &[&str] = &[
    "timeout",
    "min_severity",
    "send_resolved",
    "group_by",
    "group_wait",
    "group_interval",
    "repeat_interval",
];

/// Longer than any patient server takes, and short enough that a hanging one is noticed.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// By name.
pub(super) fn read_all(root: &mut Table<'_, '_>) -> Vec<ReceiverTable> {
    let mut receivers = Vec::new();
    for (name, table) in tables(root, "email", &email::SHAPE) {
        let kind = email::read(&name, table).map(ReceiverKind::Email);
        receivers.extend(kind.map(|kind| ReceiverTable { name, kind }));
    }
    for (name, table) in tables(root, "webhook", &webhook::SHAPE) {
        let kind = webhook::read(&name, table).map(ReceiverKind::Webhook);
        receivers.extend(kind.map(|kind| ReceiverTable { name, kind }));
    }
    receivers.sort_by(|a, b| a.name.cmp(&b.name));
    receivers
}

fn tables<'t, 'd>(
    root: &mut Table<'t, 'd>,
    kind: &'static str,
    shape: &'static Shape,
) -> Vec<(String, Table<'t, 'd>)> {
    let tables = names::tables(root, kind, "a receiver", shape);
    names::tell_apart(&tables);
    tables
}

/// Takes what every receiver may be told but its timeout.
pub(super) fn read_common(table: &mut Table<'_, '_>) -> ReceiverConfig {
    let default = ReceiverConfig::default();
    ReceiverConfig {
        min_severity: table.take("min_severity", severity).value().unwrap_or(default.min_severity),
        send_resolved: table.take("send_resolved", switch).value().unwrap_or(default.send_resolved),
        group_by: take_group_by(table),
        group_wait: table.take("group_wait", duration).value(),
        group_interval: table.take("group_interval", group_interval).value(),
        repeat_interval: table.take("repeat_interval", duration).value(),
    }
}

pub(super) fn take_timeout(table: &mut Table<'_, '_>, default: Duration) -> Duration {
    let timeout = table.take("timeout", |value| {
        let timeout = above_zero(value)?;
        if timeout > LONGEST_TIMEOUT {
            let (seen, longest) = (format_duration(timeout), format_duration(LONGEST_TIMEOUT));
            return Err(format!("{seen} is too long; write at most \"{longest}\""));
        }
        Ok(timeout)
    });
    timeout.value().unwrap_or(default)
}

pub(super) fn severity(value: &DeValue<'_>) -> Result<Severity, String> {
    choice(value, &[Severity::Info, Severity::Warning, Severity::Critical].map(|it| (it.label(), it)))
}

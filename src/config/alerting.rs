//! `[alerting]`: what holds for all alerts and receivers.

use std::time::Duration;

use toml::de::DeValue;

use crate::alert::config::{AlertingConfig, LABELS};

use super::names::{self, Names};
use super::table::{Shape, Table, nearest};
use super::values::{above_zero, duration, switch, text};
use super::{alerts, mutes};

pub(super) const SHAPE: Shape = Shape {
    title: "[alerting]",
    keys: &[&[
        "enabled",
        "group_by",
        "group_wait",
        "group_interval",
        "repeat_interval",
        "fallback",
        "fallback_after",
    ]],
};

/// What is read of `[alerting]`, `[alert.NAME]` and `[mute.NAME]`.
pub(super) fn read(
    mut table: Table<'_, '_>,
    alerts: alerts::Rules,
    mutes: mutes::Mutes,
    names: &Names,
) -> AlertingConfig {
    let default = AlertingConfig::default();
    let fallback = table.take("fallback", |value| {
        let name = text(value)?;
        names.check_receiver(&name).map(|()| name)
    });
    AlertingConfig {
        enabled: table.take("enabled", switch).value().unwrap_or(default.enabled),
        group_by: take_group_by(&mut table).unwrap_or(default.group_by),
        group_wait: table.take("group_wait", duration).value().unwrap_or(default.group_wait),
        group_interval: table
            .take("group_interval", group_interval)
            .value()
            .unwrap_or(default.group_interval),
        repeat_interval: table.take("repeat_interval", duration).value(),
        adopt: default.adopt,
        fallback: fallback.value(),
        fallback_after: table.take("fallback_after", duration).value().unwrap_or(default.fallback_after),
        rules: alerts,
        mutes,
    }
}

/// Takes `group_by`, which a receiver may have for itself.
pub(super) fn take_group_by(table: &mut Table<'_, '_>) -> Option<Vec<String>> {
    names::take_list(table, "group_by", check_label).value()
}

/// A pause of a second at least, as a group of which something is always new would be sent without end.
pub(super) fn group_interval(value: &DeValue<'_>) -> Result<Duration, String> {
    let interval = above_zero(value)?;
    if interval < Duration::from_secs(1) {
        return Err("less than a second; write at least \"1s\"".to_owned());
    }
    Ok(interval)
}

fn check_label(label: &str) -> Result<(), String> {
    if LABELS.contains(&label) {
        return Ok(());
    }
    let advice = match nearest(label, LABELS.into_iter()) {
        Some(meant) => format!("write {meant:?}"),
        None => names::one_of(&LABELS),
    };
    Err(format!("no label of alerts is named {label:?}; {advice}"))
}

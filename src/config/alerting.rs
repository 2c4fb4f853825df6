//! `[alerting]`: what holds for all alerts and receivers.

use std::time::Duration;

use toml::de::DeValue;

use crate::alert::config::{AlertingConfig, LABELS};

use super::names::{self, Names, is_name};
use super::shape::{
    Key, Shape,
    Show::{If, Number},
};
use super::table::{Table, nearest};
use super::values::{
    above_zero, duration, is_language, is_quantity, is_zone, language, one_of, switch, text, zone,
};
use super::{alerts, mutes};

pub(super) const SHAPE: Shape = Shape {
    title: "[alerting]",
    keys: &[
        &[("enabled", Number)],
        GROUPING,
        &[
            ("fallback", If(is_name)),
            ("fallback_after", If(is_quantity)),
            ("zone", If(is_zone)),
            ("language", If(is_language)),
        ],
    ],
};

/// The keys that a receiver may override.
pub(super) const GROUPING: &[Key] = &[
    ("group_by", If(is_name)),
    ("group_wait", If(is_quantity)),
    ("group_interval", If(is_quantity)),
    ("repeat_interval", If(is_quantity)),
];

/// The values of [`GROUPING`] that a table has.
pub(super) struct Grouping {
    pub(super) group_by: Option<Vec<String>>,
    pub(super) group_wait: Option<Duration>,
    pub(super) group_interval: Option<Duration>,
    pub(super) repeat_interval: Option<Duration>,
}

/// Reads `[alerting]` and adds `[alert.NAME]` and `[mute.NAME]`.
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
    let grouping = take_grouping(&mut table);
    AlertingConfig {
        enabled: table.take("enabled", switch).value().unwrap_or(default.enabled),
        group_by: grouping.group_by.unwrap_or(default.group_by),
        group_wait: grouping.group_wait.unwrap_or(default.group_wait),
        group_interval: grouping.group_interval.unwrap_or(default.group_interval),
        repeat_interval: grouping.repeat_interval,
        adopt: default.adopt,
        fallback: fallback.value(),
        fallback_after: table.take("fallback_after", duration).value().unwrap_or(default.fallback_after),
        zone: table.take("zone", zone).value().unwrap_or(default.zone),
        language: table.take("language", language).value().unwrap_or(default.language),
        rules: alerts,
        mutes,
        elsewhere: default.elsewhere,
    }
}

pub(super) fn take_grouping(table: &mut Table<'_, '_>) -> Grouping {
    Grouping {
        group_by: names::take_list(table, "group_by", check_label).value(),
        group_wait: table.take("group_wait", duration).value(),
        group_interval: table.take("group_interval", group_interval).value(),
        repeat_interval: table.take("repeat_interval", duration).value(),
    }
}

/// At least a second: a group that changes all the time would otherwise be sent without a pause.
fn group_interval(value: &DeValue<'_>) -> Result<Duration, String> {
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
        None => one_of(&LABELS),
    };
    Err(format!("no label of alerts is named {label:?}; {advice}"))
}

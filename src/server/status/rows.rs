//! What the parts of the page show, in words.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    text::name,
    top::{Top, top},
};
use crate::{
    exposition::UserLabels,
    model::{
        ActiveAlert, AlertState, Forecast, KIND_USER, Moment, Report, Severity, Timestamp, User,
        words::{count, duration},
    },
    server::seen::Seen,
    wording::{Voice, anchor},
};

/// A point in time, and how long ago or ahead it is.
#[derive(Serialize)]
pub(super) struct When {
    date: String,
    /// E.g. `2d 3h`.
    span: String,
}

impl When {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        When { date: date_and_minute(at), span: duration(now.since(at).max(at.since(now))) }
    }

    pub(super) fn from_secs(secs: f64, now: Timestamp) -> Self {
        let whole = Duration::try_from_secs_f64(secs).unwrap_or_default();
        When::new(Timestamp::default().saturating_add(whole), now)
    }
}

/// When the quota of a user is used up at the present rate; absent: it lasts, or that is not known.
pub(super) fn used_up(report: &Report, user: &User, now: Moment) -> Option<When> {
    let daily = report.rates(now)?.of(&user.name)?;
    Forecast::new(user, daily, now.wall).map(|forecast| When::new(forecast.at, now.wall))
}

fn date_and_minute(time: Timestamp) -> String {
    formatted(time, "%Y-%m-%d %H:%M")
}

pub(super) fn date_and_second(time: Timestamp) -> String {
    formatted(time, "%Y-%m-%d %H:%M:%S")
}

/// In UTC.
fn formatted(time: Timestamp, format: &str) -> String {
    match jiff::Timestamp::from_second(time.as_secs()) {
        Ok(time) => time.strftime(format).to_string(),
        Err(_) => "beyond the calendar".to_owned(),
    }
}

#[derive(Serialize)]
pub(super) struct Alerts {
    pub(super) firing: String,
    pending: String,
    /// Absent if there are none.
    suppressed: Option<String>,
    critical: String,
    /// Firing, about users that are not shown by name.
    unnamed: Option<String>,
    by_name: Vec<Sort>,
    rows: Vec<AlertRow>,
    shown: Shown,
}

/// The firing alerts of one name and severity.
#[derive(Serialize)]
struct Sort {
    alertname: &'static str,
    /// Its anchor in the runbook.
    entry: String,
    severity: &'static str,
    count: String,
}

#[derive(Serialize)]
struct AlertRow {
    /// What is true of it now.
    sentence: String,
    entry: String,
    severity: &'static str,
    target: String,
    /// Its page, below that of all; empty: the alert is about the program itself.
    link: String,
    kind: &'static str,
    subject: String,
    rule: String,
    since: When,
}

/// How many of how many are in a list.
#[derive(Serialize)]
pub(super) struct Shown {
    first: String,
    of: String,
    all: bool,
}

impl<T> From<&Top<T>> for Shown {
    fn from(top: &Top<T>) -> Self {
        let (first, of) = (top.first.len(), top.of);
        Shown { first: count(first), of: count(of), all: first == of }
    }
}

impl Alerts {
    /// The first `most` alerts, of all or of one target.
    pub(super) fn new(seen: &Seen, of: Option<&str>, most: usize) -> Self {
        let labels = &seen.setup.options.labels;
        let all = || seen.alerts.iter().filter(|alert| of.is_none_or(|target| *alert.target == *target));
        let in_state = |state| all().filter(move |alert| alert.state == state);
        let firing = || in_state(AlertState::Firing);
        let suppressed = in_state(AlertState::Suppressed).count();
        let mut counts = BTreeMap::new();
        for alert in firing() {
            *counts.entry((Reverse(alert.severity), alert.alertname)).or_insert(0_u64) += 1;
        }
        let hides = |alert: &ActiveAlert| alert.kind == KIND_USER && matches!(labels, UserLabels::Off);
        let unnamed = firing().filter(|alert| hides(alert)).count();
        let named = firing().filter(|alert| !hides(alert));
        // Equals are sorted by the label shown: sorted by name, a hash would reveal where in the alphabet its user is.
        let top = top(named, most, |a, b| {
            let order = b.severity.cmp(&a.severity).then(b.active_since.cmp(&a.active_since));
            order.then_with(|| labels.of_subject(a).cmp(&labels.of_subject(b)))
        });
        let count_of = |wanted: fn(Severity) -> bool| {
            let counts = counts.iter().filter(|((Reverse(severity), _), _)| wanted(*severity));
            count(counts.map(|(_, count)| count).sum::<u64>())
        };
        // The table has the target in a column of its own.
        let voice = Voice { alone: false, ..seen.setup.voice.clone() };
        Alerts {
            firing: count_of(|_| true),
            pending: count(in_state(AlertState::Pending).count()),
            suppressed: (suppressed > 0).then(|| count(suppressed)),
            critical: count_of(|severity| severity == Severity::Critical),
            unnamed: (unnamed > 0).then(|| count(unnamed)),
            shown: Shown::from(&top),
            rows: top.first.iter().map(|alert| AlertRow::new(alert, seen, &voice)).collect(),
            by_name: counts
                .iter()
                .map(|((Reverse(severity), alertname), number)| Sort {
                    alertname,
                    entry: anchor(alertname),
                    severity: severity.label(),
                    count: count(*number),
                })
                .collect(),
        }
    }
}

impl AlertRow {
    fn new(alert: &ActiveAlert, seen: &Seen, voice: &Voice) -> Self {
        let subject = seen.setup.options.labels.of_subject(alert).unwrap_or_default();
        AlertRow {
            sentence: seen.sentence(alert, &subject, voice),
            entry: anchor(alert.alertname),
            severity: alert.severity.label(),
            target: name(&alert.target),
            link: alert.target.to_string(),
            kind: alert.kind,
            subject: name(&subject),
            rule: alert.rule.as_deref().map(name).unwrap_or_default(),
            since: When::new(alert.active_since, seen.now.wall),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Config {
    successful: bool,
    loaded: When,
}

impl Config {
    pub(super) fn new(seen: &Seen) -> Self {
        let status = seen.telemetry.config_status();
        Config { successful: status.successful, loaded: When::from_secs(status.loaded_at, seen.now.wall) }
    }
}

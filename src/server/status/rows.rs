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
        ActiveAlert, AlertState, KIND_USER, Moment, Outcome, Part, PartState, Report, Severity, Timestamp,
        words::{count, duration},
    },
    server::{
        seen::Seen,
        target::{Counts, TargetState, is_stale},
    },
    wording::{Voice, anchor},
};

const ALERTS_SHOWN: usize = 10;

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

    fn from_secs(secs: f64, now: Timestamp) -> Self {
        let whole = Duration::try_from_secs_f64(secs).unwrap_or_default();
        When::new(Timestamp::default().saturating_add(whole), now)
    }
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
pub(super) struct Target {
    name: String,
    state: TargetState,
    system: &'static str,
    version: String,
    /// Since the newest good answer.
    answered: Option<String>,
    facts: Vec<Fact>,
    /// How far a first read of a long user list is; absent: none goes on.
    first_read: Option<String>,
    /// What is wrong, part by part.
    troubles: Vec<Trouble>,
    parts: Vec<PartRow>,
}

/// Something known about a target, e.g. `nodes up`: `2 of 3`.
#[derive(Serialize)]
struct Fact {
    word: &'static str,
    value: String,
}

#[derive(Serialize)]
struct Trouble {
    part: &'static str,
    /// Absent: it does not fail at present.
    reason: Option<&'static str>,
    stale: bool,
}

#[derive(Serialize)]
struct PartRow {
    name: &'static str,
    state: &'static str,
    /// Absent: it does not fail at present.
    reason: Option<&'static str>,
    stale: bool,
    age: Option<String>,
    took: Option<String>,
}

impl Target {
    pub(super) fn new(report: &Report, now: Moment) -> Self {
        let answered =
            report.parts.values().filter_map(|known| known.last_data).map(|at| now.since(at)).min();
        let parts: Vec<_> =
            report.parts.iter().map(|(part, known)| part_row(report, *part, known, now)).collect();
        let troubles = parts.iter().filter(|part| part.stale || part.reason.is_some());
        let identity = report.identity.as_ref();
        Target {
            name: name(&report.target),
            state: TargetState::of(report, now),
            system: identity.map(|identity| identity.system.label()).unwrap_or_default(),
            version: identity.map(|identity| name(&identity.version)).unwrap_or_default(),
            answered: answered.map(duration),
            facts: facts(report, now),
            first_read: report.first_read().map(|walk| walk.words()),
            troubles: troubles
                .map(|part| Trouble { part: part.name, reason: part.reason, stale: part.stale })
                .collect(),
            parts,
        }
    }
}

/// What is known and not stale. What a system does not have is not listed.
fn facts(report: &Report, now: Moment) -> Vec<Fact> {
    let counts = Counts::of(report, now);
    let of_all = |some: Option<u64>, all: Option<u64>| {
        let (some, all) = some.zip(all).filter(|(_, all)| *all > 0)?;
        Some(format!("{} of {}", count(some), count(all)))
    };
    let credentials = (!report.credentials.is_empty() && report.fresh(Part::Credentials, now))
        .then(|| count(report.credentials.len()));
    let of_list = |number: usize| (number > 0 && report.fresh(Part::Users, now)).then(|| count(number));
    let facts = [
        ("users", counts.users.map(count)),
        ("panel counts", counts.counted_otherwise.map(count)),
        ("unreadable users", of_list(report.users.unreadable().rows)),
        ("users left out", of_list(report.users.omitted())),
        ("online", counts.users_online.map(count)),
        ("nodes up", of_all(counts.nodes_up, counts.nodes)),
        ("inbounds on", of_all(counts.inbounds_enabled, counts.inbounds)),
        ("outbounds up", of_all(counts.outbounds_up, counts.outbounds)),
        ("credentials", credentials),
    ];
    facts.into_iter().filter_map(|(word, value)| Some(Fact { word, value: value? })).collect()
}

fn part_row(report: &Report, part: Part, known: &PartState, now: Moment) -> PartRow {
    let (state, reason) = match report.outcome(part).unwrap_or(&known.outcome) {
        Outcome::Up => ("up", None),
        Outcome::Refused => ("not allowed", None),
        Outcome::Failed { reason, .. } => ("failing", Some(reason.label())),
        Outcome::Pending => ("being read", None),
    };
    PartRow {
        name: part.label(),
        state,
        reason,
        stale: is_stale(report, part, now),
        age: known.last_success.map(|at| duration(now.since(at))),
        took: known.duration.map(took),
    }
}

/// Whole milliseconds of what is short.
fn took(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{} ms", count(time.as_millis())) } else { duration(time) }
}

#[derive(Serialize)]
pub(super) struct Alerts {
    firing: String,
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
    pub(super) fn new(seen: &Seen) -> Self {
        let labels = &seen.setup.options.labels;
        let in_state = |state| seen.alerts.iter().filter(move |alert| alert.state == state);
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
        let top = top(named, ALERTS_SHOWN, |a, b| {
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
            kind: alert.kind,
            subject: name(&subject),
            rule: alert.rule.as_deref().map(name).unwrap_or_default(),
            since: When::new(alert.active_since, seen.now.wall),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Receivers {
    alerting: bool,
    failing: usize,
    waiting: String,
    rows: Vec<ReceiverRow>,
}

#[derive(Serialize)]
struct ReceiverRow {
    name: String,
    kind: &'static str,
    /// Why the last attempt failed; empty: it did not.
    reason: &'static str,
    /// What it said then.
    detail: String,
    waiting: String,
    oldest: Option<When>,
    last_success: Option<When>,
}

impl Receivers {
    pub(super) fn new(seen: &Seen) -> Self {
        let now = seen.now.wall;
        let (mut failing, mut waiting) = (0, 0);
        let row = |(receiver, kind): &(String, &'static str)| {
            let status = seen.receiver(receiver);
            failing += usize::from(status.failing.is_some());
            waiting += status.queue_length;
            let (reason, detail) =
                status.failing.map(|failure| (failure.reason, failure.detail)).unwrap_or_default();
            ReceiverRow {
                name: name(receiver),
                kind,
                reason,
                detail,
                waiting: count(status.queue_length),
                oldest: status.oldest_pending.map(|at| When::from_secs(at, now)),
                last_success: status.last_success.map(|at| When::from_secs(at, now)),
            }
        };
        let rows = seen.setup.receivers.iter().map(row).collect();
        Receivers { alerting: seen.setup.alerting, failing, waiting: count(waiting), rows }
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

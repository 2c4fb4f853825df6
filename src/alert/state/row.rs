//! How a subject is kept: a row of JSON under `rule/target/subject`.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    event::{AlertId, EventId},
    target::{Phase, Slot, Subject},
};
use crate::{
    alert::rule::{KINDS, Rule},
    model::{End, Moment, Reading, Severity, Timestamp},
};

/// The rule, the target and the subject.
pub(super) type RowKey = (Arc<str>, Arc<str>, Arc<str>);

/// What has changed since it was asked last.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Subjects whose rows are to be written.
    pub(super) rows: BTreeSet<RowKey>,
    /// Whether metrics and pages show something else.
    pub(super) shown: bool,
}

impl Changes {
    /// The row of a subject has changed, and so has what is shown of it.
    pub(super) fn note(&mut self, key: RowKey) {
        self.rows.insert(key);
        self.shown = true;
    }
}

#[derive(Serialize, Deserialize)]
struct Row {
    kind: String,
    system: Option<String>,
    /// Absent in rows of versions that did not keep it.
    #[serde(default)]
    source: Option<String>,
    reading: Reading,
    /// Absent in rows of versions that did not keep it.
    #[serde(default)]
    read_at: Option<Timestamp>,
    peak: u64,
    steps: Vec<StepRow>,
}

#[derive(Serialize, Deserialize)]
struct StepRow {
    step: String,
    severity: Severity,
    since: Timestamp,
    /// Absent while it is pending.
    event: Option<String>,
    ended: Option<(Timestamp, End)>,
    /// Absent in rows of versions that did not keep it, like what follows.
    #[serde(default)]
    began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_false")]
    adopted: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(it: &bool) -> bool {
    !it
}

/// What a row holds.
pub(super) struct Read {
    pub(super) subject: Subject,
    /// A time in it lies ahead.
    pub(super) ahead: bool,
}

/// Names of rules and targets have no slash, those of subjects may.
pub(super) fn key((rule, target, subject): &RowKey) -> String {
    format!("{rule}/{target}/{subject}")
}

/// What marks the row of an alert that is over. Names of rules do not begin with it.
const OVER: &str = "~";

/// Names of steps have no slash, either.
pub(super) fn key_of_over(AlertId { target, rule, subject, step }: &AlertId) -> String {
    format!("{OVER}{rule}/{target}/{step}/{subject}")
}

pub(super) fn split_over(key: &str) -> Option<AlertId> {
    let (rule, target, rest) = split(key.strip_prefix(OVER)?)?;
    let (step, subject) = rest.split_once('/')?;
    Some(AlertId { target: target.into(), rule: rule.into(), subject: subject.into(), step: step.into() })
}

pub(super) fn split(key: &str) -> Option<(&str, &str, &str)> {
    let (rule, rest) = key.split_once('/')?;
    let (target, subject) = rest.split_once('/')?;
    Some((rule, target, subject))
}

pub(super) fn write(subject: &Subject) -> String {
    let step = |slot: &Slot| {
        let (since, event, ended, until) = match slot.phase {
            Phase::Pending { since } => (since, None, None, None),
            Phase::Firing { event, since, .. } => (since, Some(event.to_string()), None, None),
            Phase::Ended { event, since, at, end, until } => {
                (since, Some(event.to_string()), Some((at, end)), Some(until))
            }
        };
        let (step, severity, since) = (slot.label.to_string(), slot.severity, since.wall);
        StepRow {
            step,
            severity,
            since,
            event,
            ended,
            began: Some(slot.began.wall),
            until,
            adopted: slot.adopted,
        }
    };
    let row = Row {
        kind: subject.rule.kind.name.to_owned(),
        system: subject.system.as_deref().map(str::to_owned),
        source: subject.source.as_deref().map(str::to_owned),
        reading: subject.reading.clone(),
        read_at: Some(subject.read_at),
        peak: subject.peak,
        steps: subject.slots.iter().map(step).collect(),
    };
    serde_json::to_string(&row).unwrap_or_default()
}

/// The names of what fires by these rows.
pub fn firing_events(rows: &[(String, String)]) -> BTreeSet<String> {
    let rows = rows.iter().filter_map(|(_, text)| serde_json::from_str::<Row>(text).ok());
    let firing = rows.flat_map(|row| row.steps).filter(|step| step.ended.is_none());
    firing.filter_map(|step| step.event).collect()
}

/// Absent: the row holds nothing that we understand.
pub(super) fn read(text: &str, name: &str, rule: Option<&Arc<Rule>>, now: Moment) -> Option<Read> {
    let row: Row = serde_json::from_str(text).ok()?;
    let kind = KINDS.iter().find(|kind| kind.name == row.kind)?;
    let mut ahead = false;
    let mut slots = Vec::with_capacity(row.steps.len());
    for step in row.steps {
        let since = Moment::restored(step.since, now);
        ahead |= step.since > now.wall;
        let phase = match (step.event.map(|event| EventId::parse(&event)), step.ended) {
            (None, _) => Phase::Pending { since },
            (Some(event), None) => Phase::Firing { event: event?, since, held: true },
            (Some(event), Some((at, end))) => {
                let at = at.min(now.wall);
                Phase::Ended { event: event?, since, at, end, until: step.until.unwrap_or(at).min(at) }
            }
        };
        let (label, severity) = (step.step.into(), step.severity);
        let began = Moment::restored(step.began.unwrap_or(step.since), now);
        slots.push(Slot {
            label,
            severity,
            place: None,
            phase,
            began,
            adopted: step.adopted,
            shown: None,
            fitting: RefCell::default(),
        });
    }
    let (gone, system) = (Arc::new(Rule::gone(name, kind)), row.system.map(Arc::from));
    // What was read before this process began does not end what is of an unknown time, or of one that lies ahead.
    let read_at = row.read_at.map_or(now.wall, |read_at| read_at.min(now.wall));
    let source = row.source.map(Arc::from);
    let mut subject =
        Subject { rule: gone, system, source, reading: row.reading, read_at, peak: row.peak, slots };
    subject.put_under(name, rule);
    subject.slots.dedup_by(|a, b| a.label == b.label);
    Some(Read { subject, ahead })
}

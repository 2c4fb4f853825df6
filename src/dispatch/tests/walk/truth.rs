//! What holds, by the rows on the disk.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{FALLBACK, far::Key};
use crate::{
    alert::rule::KINDS,
    model::{Moment, NoticeStatus, Severity, Timestamp},
};

/// Alerts that fire, and those whose end has to be told.
pub(super) type Truth = BTreeMap<Key, Fact>;

#[derive(Debug)]
pub(super) struct Fact {
    pub(super) event: String,
    pub(super) tighter_fires: bool,
    severity: Severity,
    since: Timestamp,
    ended: Option<Timestamp>,
    /// If it is about a receiver.
    receiver: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    kind: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    severity: Severity,
    since: Timestamp,
    event: Option<String>,
    ended: Option<(Timestamp, serde::de::IgnoredAny)>,
}

impl Step {
    fn fires(&self) -> bool {
        self.event.is_some() && self.ended.is_none()
    }
}

pub(super) fn truth(rows: &BTreeMap<String, String>) -> Truth {
    let mut truth = Truth::new();
    for (key, text) in rows {
        // The row of an alert that is over names the step, too.
        let (parts, last) = if key.starts_with('~') { (4, 3) } else { (3, 2) };
        let subject = key.splitn(parts, '/').nth(last).unwrap();
        let Row { kind, steps } = serde_json::from_str(text).unwrap();
        let kind = KINDS.iter().find(|known| known.name == kind).unwrap();
        for step in &steps {
            let Some(event) = step.event.clone() else { continue };
            let tighter = |other: &Step| other.fires() && tightness(&other.step) > tightness(&step.step);
            let fact = Fact {
                event,
                tighter_fires: steps.iter().any(tighter),
                severity: step.severity,
                since: step.since,
                ended: step.ended.as_ref().map(|(at, _)| *at),
                receiver: kind.question.is_about_receivers().then(|| subject.to_owned()),
            };
            let key = (kind.alertname.to_owned(), subject.to_owned(), step.step.clone());
            truth.insert(key, fact);
        }
    }
    truth
}

/// The events in a row, and whether they fire.
pub(super) fn events(row: &str) -> impl Iterator<Item = (String, bool)> {
    let Row { steps, .. } = serde_json::from_str(row).unwrap();
    steps.into_iter().filter_map(|step| {
        let fires = step.fires();
        Some((step.event?, fires))
    })
}

impl Fact {
    pub(super) fn fires(&self) -> bool {
        self.ended.is_none()
    }

    pub(super) fn status(&self) -> NoticeStatus {
        if self.fires() { NoticeStatus::Firing } else { NoticeStatus::Resolved }
    }

    /// Whether a receiver hears of it.
    pub(super) fn is_for(&self, receiver: &str, min_severity: Severity) -> bool {
        self.severity >= min_severity
            && self.receiver.as_ref().is_none_or(|about| receiver == FALLBACK && about != FALLBACK)
    }

    /// It may have changed when its group was notified a short time before.
    pub(super) fn is_young(&self, now: Moment) -> bool {
        now.wall.since(self.ended.unwrap_or(self.since)) < Duration::from_secs(600)
    }
}

fn tightness(step: &str) -> usize {
    let steps = ["7d", "3d", "1d", "expired", "80%", "95%", "100%"];
    steps.iter().position(|known| *known == step).unwrap_or(0)
}

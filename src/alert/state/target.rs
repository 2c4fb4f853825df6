//! What is known of one target: each subject that has crossed a step of a rule, and the phase of each step.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::event::EventId;
use crate::{
    alert::rule::Rule,
    model::{ActiveAlert, End, Moment, Reading, Severity, Silence, Timestamp},
};

/// What is known of the target itself, and the subjects of its rules.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// By rule and subject; nothing empty is kept.
    pub(super) rules: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Subject>>,
    /// The system that it was when it was last looked at, see [`Report::source`](crate::model::Report::source); absent: it
    /// was not looked at. What follows belongs to that system.
    pub(super) source: Option<Arc<str>>,
    /// Its users were judged by a walk that began after the process did.
    pub(super) armed: bool,
    /// Users who were asked to be read again, and when.
    pub(super) asked: HashMap<Arc<str>, Moment>,
}

/// One subject that has crossed a step of one rule.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) rule: Arc<Rule>,
    pub(super) system: Option<Arc<str>>,
    /// The system that it belongs to, which may be a former one of its target. Absent only in rows of versions that did
    /// not keep it, until it is looked at.
    pub(super) source: Option<Arc<str>>,
    /// As it was last judged.
    pub(super) reading: Reading,
    /// When that was read, by our clock. A row keeps it only as of its last change: what was read between then and the
    /// end of the process had changed nothing.
    pub(super) read_at: Timestamp,
    /// The most that was used in this period, in bytes.
    pub(super) peak: u64,
    pub(super) slots: Vec<Slot>,
}

/// One step of one subject.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slot {
    /// The label `step`.
    pub(super) label: Arc<str>,
    pub(super) severity: Severity,
    /// Its place among the rule's steps; absent: the rule no longer has it.
    pub(super) place: Option<usize>,
    pub(super) phase: Phase,
    /// Since when it is crossed, by the first read that found it so.
    pub(super) began: Moment,
    /// Neither this firing nor its end is notified.
    pub(super) adopted: bool,
    /// What metrics and pages show of it; absent: it has changed since.
    pub(super) shown: Option<Arc<ActiveAlert>>,
    /// Found out when it is asked for, and forgotten when a label changes.
    pub(super) fitting: RefCell<Fitting>,
}

/// The silences that fit an alert's labels, as of one set of silences. Expressions take too long to be asked in each
/// round about each alert.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::alert) struct Fitting {
    /// Which set that was; 0: none.
    pub(in crate::alert) generation: u64,
    /// In the order of their ids.
    pub(in crate::alert) silences: Vec<Arc<Silence>>,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    Pending {
        since: Moment,
    },
    Firing {
        event: EventId,
        since: Moment,
        /// Not crossed at present, but not re-armed either.
        held: bool,
    },
    /// Kept until each receiver that was notified of the firing is notified of the end.
    Ended {
        event: EventId,
        since: Moment,
        at: Timestamp,
        end: End,
        /// When it was over, by the first read that found it so.
        until: Timestamp,
    },
}

impl Subject {
    /// Puts it under its rule as that is now. A rule that is gone, or asks something else under its old name, is kept
    /// just to end its alerts.
    pub(super) fn put_under(&mut self, name: &str, rule: Option<&Arc<Rule>>) {
        let kind = self.rule.kind;
        let rule = rule.filter(|rule| rule.kind == kind);
        self.rule = rule.map_or_else(|| Arc::new(Rule::gone(name, kind)), Arc::clone);
        for slot in &mut self.slots {
            slot.place = self.rule.step(&slot.label);
            // An edited severity is the alert's own from now on.
            if let Some(step) = slot.place.and_then(|place| self.rule.steps.get(place)) {
                if std::mem::replace(&mut slot.severity, step.severity) != step.severity {
                    slot.fitting.take();
                }
                // One text for all of that step.
                slot.label = Arc::clone(&step.label);
            }
        }
        self.slots.sort_by_key(|slot| slot.place);
        self.outdate();
    }

    /// What metrics and pages show of it has changed.
    pub(super) fn outdate(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.shown = None);
    }
}

impl Slot {
    pub(super) fn fires(&self) -> bool {
        matches!(self.phase, Phase::Firing { .. })
    }
}

//! What is known of every alert: pending, firing, or ended and not yet notified.
//!
//! [`State::advance`] is the one way it changes, and pure: findings and the time go in, what happened comes out.

mod clock_watch;
mod event;
mod judge;
mod row;
mod target;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub(super) use self::target::Fitting;
use self::{
    clock_watch::ClockWatch,
    row::{Changes, RowKey},
    target::{Phase, Slot, Subject, Target},
};
pub use self::{
    event::{Advance, AlertId, Event, EventId},
    row::firing_events,
};
use super::{
    finding::Findings,
    rule::{Rule, Rules},
    words::{self, Pseudonym},
};
use crate::{
    model::{ActiveAlert, End, Moment, NoticeAlert, NoticeStatus, Pairs, Reading, Severity, Timestamp},
    wording::{Told, Voice},
};

/// An alert that is crossed again this soon after its end goes on as the same event, unless its end was notified.
const GOES_ON: Duration = Duration::from_secs(10 * 60);

/// Every alert there is.
#[derive(Debug)]
pub struct State {
    targets: BTreeMap<Arc<str>, Target>,
    /// The alerts in `targets` that have ended.
    ended: BTreeSet<AlertId>,
    /// Alerts that have ended for good, whose end is owed to a receiver: each is the one slot of its subject as it was. They
    /// have no part in what is judged, so that a receiver that is down changes nothing for others.
    over: BTreeMap<AlertId, Subject>,
    clock: ClockWatch,
    changes: Changes,
    /// Alerts in `over` whose rows are to be written.
    dirty_over: BTreeSet<AlertId>,
    /// What fires before a target's users were read once by this process is not notified.
    adopt: bool,
}

impl State {
    /// A state without alerts.
    pub fn new(now: Moment) -> Self {
        State {
            targets: BTreeMap::new(),
            ended: BTreeSet::new(),
            over: BTreeMap::new(),
            clock: ClockWatch::new(now),
            changes: Changes { shown: true, ..Changes::default() },
            dirty_over: BTreeSet::new(),
            adopt: false,
        }
    }

    /// The same. If `adopt` is true, what the first read of each target's users finds is not notified.
    #[must_use]
    pub fn adopting(self, adopt: bool) -> Self {
        State { adopt, ..self }
    }

    /// Takes in what was found in one target. Findings of targets come in any order, each as often as it likes.
    pub fn advance(&mut self, findings: &Findings, now: Moment) -> Advance {
        self.clock.look(now);
        self.retire_what_is_over(&findings.target, now);
        let mut target = self.targets.remove(&findings.target).unwrap_or_default();
        let advance = judge::target(&mut target, findings, &self.clock, self.adopt, now, &mut self.changes);
        if target.armed || !target.asked.is_empty() || !target.rules.is_empty() {
            self.targets.insert(Arc::clone(&findings.target), target);
        }
        self.note(&advance.events);
        advance
    }

    /// Keeps apart what has ended and does not go on if it is crossed again.
    fn retire_what_is_over(&mut self, target: &Arc<str>, now: Moment) {
        let of_target = self.ended.iter().filter(|id| id.target == *target);
        let over = of_target.filter(|id| {
            let Some((subject, slot)) = self.slot(id) else { return false };
            let Phase::Ended { at, end, .. } = slot.phase else { return false };
            let waits_again = end.of_period() && !subject.rule.for_.is_zero();
            waits_again || now.wall.since(at) >= GOES_ON
        });
        for id in over.cloned().collect::<Vec<_>>() {
            self.retire(&id);
        }
    }

    /// Keeps an alert that has ended apart from those that are judged.
    pub(super) fn retire(&mut self, id: &AlertId) {
        let Some((subject, slot)) = self.slot(id) else { return };
        if matches!(slot.phase, Phase::Ended { .. }) {
            let over = Subject { slots: vec![slot.clone()], ..subject.clone() };
            self.remove_ended(id);
            self.over.insert(id.clone(), over);
            self.dirty_over.insert(id.clone());
        }
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Resolved(id) => drop(self.ended.insert(id.clone())),
                // For a receiver that knows of the firing before, it never ended.
                Event::Fired(id) => {
                    self.ended.remove(id);
                    if self.over.remove(id).is_some() {
                        self.dirty_over.insert(id.clone());
                    }
                }
                Event::Dropped(id) => drop(self.ended.remove(id)),
            }
        }
    }

    /// Ends the alerts of targets other than `targets`, which are no longer watched. Those `elsewhere` have not ended:
    /// another exporter watches them, and notifies of the end.
    pub fn keep_targets(
        &mut self,
        targets: &BTreeSet<Arc<str>>,
        elsewhere: &BTreeSet<Arc<str>>,
        now: Moment,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        for (name, target) in &mut self.targets {
            if name.is_empty() || targets.contains(name) {
                continue;
            }
            if elsewhere.contains(name) {
                judge::drop_target(target, name, &mut events, &mut self.changes);
            } else {
                judge::end_target(target, name, End::Removed, now, &mut events, &mut self.changes);
            }
        }
        self.targets.retain(|name, target| targets.contains(name) || !target.rules.is_empty());
        self.note(&events);
        events
    }

    /// What is known of an alert. One that is pending again has not ended for those who wait for its end.
    pub fn alert(&self, id: &AlertId) -> Option<Alert<'_>> {
        if let Some((id, subject)) = self.over.get_key_value(id) {
            let slot = subject.slots.first()?;
            return Some(Alert { target: &id.target, name: &id.subject, subject, slot });
        }
        let (name, target) = self.targets.get_key_value(&id.target)?;
        let (_, subjects) = target.rules.get_key_value(&id.rule)?;
        let (subject_name, subject) = subjects.get_key_value(&id.subject)?;
        let slot = subject.slots.iter().find(|slot| slot.label == id.step)?;
        Some(Alert { target: name, name: subject_name, subject, slot })
    }

    /// An alert among those that are judged.
    fn slot(&self, id: &AlertId) -> Option<(&Subject, &Slot)> {
        let subject = self.targets.get(&id.target)?.rules.get(&id.rule)?.get(&id.subject)?;
        Some((subject, subject.slots.iter().find(|slot| slot.label == id.step)?))
    }

    /// Every alert, including those whose end is not yet notified.
    pub fn alerts(&self) -> impl Iterator<Item = Alert<'_>> {
        let over = self.over.iter().flat_map(|(id, subject)| {
            let alert = |slot| Alert { target: &id.target, name: &id.subject, subject, slot };
            subject.slots.iter().map(alert)
        });
        let judged = self.targets.iter().flat_map(|(target, of_target)| {
            of_target.rules.values().flatten().flat_map(move |(name, subject)| {
                subject.slots.iter().map(move |slot| Alert { target, name, subject, slot })
            })
        });
        judged.chain(over)
    }

    /// Whether metrics and pages are to show something else than at the last call.
    pub(super) fn take_shows_otherwise(&mut self) -> bool {
        std::mem::take(&mut self.changes.shown)
    }

    /// What is shown depends on more than the alerts, and that has changed.
    pub(super) fn show_again(&mut self) {
        self.changes.shown = true;
    }

    /// Keeps what is shown of an alert until the alert changes.
    pub(super) fn keep_shown(&mut self, id: &AlertId, shown: Arc<ActiveAlert>) {
        let target = self.targets.get_mut(&id.target);
        let subject = target.and_then(|target| target.rules.get_mut(&id.rule)?.get_mut(&id.subject));
        let slots = subject.into_iter().flat_map(|subject| &mut subject.slots);
        if let Some(slot) = slots.into_iter().find(|slot| slot.label == id.step) {
            slot.shown = Some(shown);
        }
    }

    /// The subjects of `target` of which an alert of a rule of this kind fires.
    pub fn firing(&self, question: super::rule::Question, target: &str) -> impl Iterator<Item = &Arc<str>> {
        let asks = move |subjects: &&BTreeMap<Arc<str>, Subject>| {
            subjects.values().next().is_some_and(|found| found.rule.kind.question == question)
        };
        let rules = self.targets.get(target).into_iter().flat_map(|target| target.rules.values());
        let firing = rules.filter(asks).flatten().filter(|(_, found)| found.slots.iter().any(Slot::fires));
        firing.map(|(name, _)| name)
    }

    /// Forgets an ended alert, of which all receivers have been notified.
    pub fn forget(&mut self, id: &AlertId) {
        if self.over.remove(id).is_some() {
            self.dirty_over.insert(id.clone());
        }
        self.remove_ended(id);
    }

    fn remove_ended(&mut self, id: &AlertId) {
        self.ended.remove(id);
        let Some(target) = self.targets.get_mut(&id.target) else { return };
        let Some(subjects) = target.rules.get_mut(&id.rule) else { return };
        let Some(subject) = subjects.get_mut(&id.subject) else { return };
        subject.slots.retain(|slot| slot.label != id.step || !matches!(slot.phase, Phase::Ended { .. }));
        if subject.slots.is_empty() {
            subjects.remove(&id.subject);
            if subjects.is_empty() {
                target.rules.remove(&id.rule);
            }
        }
        self.changes.rows.insert((Arc::clone(&id.rule), Arc::clone(&id.target), Arc::clone(&id.subject)));
    }

    /// The rows that have changed since this was asked last; without a text: to be deleted.
    pub fn take_rows(&mut self) -> Vec<(String, Option<String>)> {
        let (dirty, over) = (std::mem::take(&mut self.changes.rows), std::mem::take(&mut self.dirty_over));
        let rows = dirty.into_iter().map(|key| (row::key(&key), self.subject(&key).map(row::write)));
        let over = over.into_iter().map(|id| (row::key_of_over(&id), self.over.get(&id).map(row::write)));
        rows.chain(over).collect()
    }

    /// Judges all alerts by other rules from now on. What is known of them stays.
    pub(super) fn judge_by(&mut self, rules: &Rules) {
        self.changes.shown = true;
        for (target, of_target) in &mut self.targets {
            for (name, subjects) in &mut of_target.rules {
                let rule = rules.list().iter().find(|rule| rule.name == *name);
                for (subject_name, subject) in subjects {
                    let before = row::write(subject);
                    subject.put_under(name, rule);
                    if row::write(subject) != before {
                        self.changes.note((Arc::clone(name), Arc::clone(target), Arc::clone(subject_name)));
                    }
                }
            }
        }
    }

    /// All rows.
    pub fn rows(&self) -> Vec<(String, String)> {
        let over = self.over.iter().map(|(id, subject)| (row::key_of_over(id), row::write(subject)));
        let mut rows: Vec<_> = over.collect();
        for (target, of_target) in &self.targets {
            for (rule, subjects) in &of_target.rules {
                rows.extend(subjects.iter().map(|(name, subject)| {
                    let key = (Arc::clone(rule), Arc::clone(target), Arc::clone(name));
                    (row::key(&key), row::write(subject))
                }));
            }
        }
        rows
    }

    /// The state that these rows hold, in which `rules` are in force. Rows that cannot be read are deleted.
    /// Returns also whether one was of a later time than now.
    pub fn restore(rows: &[(String, String)], rules: &Rules, now: Moment) -> (Self, bool) {
        let mut state = State::new(now);
        let mut ahead = false;
        for (key, text) in rows {
            if let Some(id) = row::split_over(key) {
                match row::read(text, &id.rule, None, now) {
                    Some(read) => drop(state.over.insert(id, read.subject)),
                    None => drop(state.dirty_over.insert(id)),
                }
                continue;
            }
            let Some((rule, target, name)) = row::split(key) else { continue };
            let key: RowKey = (rule.into(), target.into(), name.into());
            let rule = rules.list().iter().find(|known| known.name == key.0);
            let Some(read) = row::read(text, &key.0, rule, now) else {
                state.changes.note(key);
                continue;
            };
            ahead |= read.ahead;
            // An edited rule is written down.
            if row::write(&read.subject) != *text {
                state.changes.note(key.clone());
            }
            let ended = read.subject.slots.iter().filter(|slot| matches!(slot.phase, Phase::Ended { .. }));
            state.ended.extend(ended.map(|slot| AlertId {
                target: Arc::clone(&key.1),
                rule: Arc::clone(&key.0),
                subject: Arc::clone(&key.2),
                step: Arc::clone(&slot.label),
            }));
            let target = state.targets.entry(key.1).or_default();
            target.rules.entry(key.0).or_default().insert(key.2, read.subject);
        }
        (state, ahead)
    }

    fn subject(&self, (rule, target, name): &RowKey) -> Option<&Subject> {
        self.targets.get(target)?.rules.get(rule)?.get(name)
    }
}

/// An alert as it is known at present.
#[derive(Clone, Copy, Debug)]
pub struct Alert<'a> {
    target: &'a Arc<str>,
    /// The subject's name.
    name: &'a Arc<str>,
    subject: &'a Subject,
    slot: &'a Slot,
}

impl<'a> Alert<'a> {
    pub fn id(&self) -> AlertId {
        AlertId {
            target: Arc::clone(self.target),
            rule: Arc::clone(&self.subject.rule.name),
            subject: Arc::clone(self.name),
            step: Arc::clone(&self.slot.label),
        }
    }

    /// Absent while it is pending.
    pub fn event(&self) -> Option<EventId> {
        match self.slot.phase {
            Phase::Pending { .. } => None,
            Phase::Firing { event, .. } | Phase::Ended { event, .. } => Some(event),
        }
    }

    /// Absent while it is pending.
    pub fn status(&self) -> Option<NoticeStatus> {
        match self.slot.phase {
            Phase::Pending { .. } => None,
            Phase::Firing { .. } => Some(NoticeStatus::Firing),
            Phase::Ended { .. } => Some(NoticeStatus::Resolved),
        }
    }

    /// What was last shown of it; absent: it has changed since.
    pub(super) fn shown(&self) -> Option<&Arc<ActiveAlert>> {
        self.slot.shown.as_ref()
    }

    /// Which silences fit it, once `update` has taken in those that are new.
    pub(super) fn fitting<T>(&self, update: impl FnOnce(&mut Fitting) -> T) -> T {
        update(&mut self.slot.fitting.borrow_mut())
    }

    /// Whether it fires only because it is not re-armed yet.
    pub fn held(&self) -> bool {
        matches!(self.slot.phase, Phase::Firing { held: true, .. })
    }

    /// Whether it is not notified.
    pub fn adopted(&self) -> bool {
        self.slot.adopted
    }

    /// Since when it is pending or firing.
    pub fn since(&self) -> Timestamp {
        match self.slot.phase {
            Phase::Pending { since } | Phase::Firing { since, .. } | Phase::Ended { since, .. } => since.wall,
        }
    }

    /// Since when it holds: before it fired, by the first read that found it so.
    pub fn began(&self) -> Timestamp {
        self.slot.began.wall.min(self.since())
    }

    /// When it became what it is: pending, firing or ended.
    pub fn changed_at(&self) -> Timestamp {
        match self.slot.phase {
            Phase::Pending { since } | Phase::Firing { since, .. } => since.wall,
            Phase::Ended { at, .. } => at,
        }
    }

    pub fn severity(&self) -> Severity {
        self.slot.severity
    }

    pub fn target(&self) -> &'a Arc<str> {
        self.target
    }

    /// Empty where the subject is the target.
    pub fn subject(&self) -> &Arc<str> {
        self.name
    }

    /// The label `step`; empty where there are no steps.
    pub fn step(&self) -> &Arc<str> {
        &self.slot.label
    }

    /// Whether nothing is left beyond its step.
    pub fn is_last_step(&self) -> bool {
        let step = self.slot.place.and_then(|place| self.subject.rule.steps.get(place));
        step.is_some_and(|step| step.threshold.is_last())
    }

    pub fn rule(&self) -> &Arc<Rule> {
        &self.subject.rule
    }

    /// The word of the target's system, if it was known when it fired.
    pub fn system(&self) -> Option<&Arc<str>> {
        self.subject.system.as_ref()
    }

    /// The values behind it, as they were last judged.
    pub fn reading(&self) -> &Reading {
        &self.subject.reading
    }

    /// Whether a tighter step of the same subject fires, beside which this one is no news.
    pub fn tighter_fires(&self) -> bool {
        let tighter = |slot: &&Slot| slot.place > self.slot.place && slot.fires();
        self.slot.place.is_some() && self.subject.slots.iter().any(|slot| tighter(&slot))
    }

    /// Those that have a value. Users have their own names here, by which alerts are grouped and muted.
    pub fn labels(&self) -> Pairs {
        self.labels_with(self.name)
    }

    /// One of [`Alert::labels`]; empty if it has no value.
    pub fn label(&self, name: &str) -> &str {
        self.all_labels(self.name)
            .into_iter()
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    }

    fn labels_with(&self, subject: &str) -> Pairs {
        self.all_labels(subject).into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    fn all_labels<'l>(&'l self, subject: &'l str) -> [(&'static str, &'l str); 8] {
        let Subject { rule, system, .. } = self.subject;
        words::labels(rule, self.slot.severity, &self.slot.label, subject, system.as_deref(), self.target)
    }

    /// As it is sent to a receiver that is spoken to in this way; absent while it is pending.
    pub fn told(&self, pseudonym: Option<&Pseudonym>, voice: &Voice, now: Timestamp) -> Option<NoticeAlert> {
        let counted = self.counted(pseudonym)?;
        let Subject { rule, reading, .. } = self.subject;
        let ended = match self.slot.phase {
            Phase::Pending { .. } | Phase::Firing { .. } => None,
            Phase::Ended { end, until, .. } => Some((end, until)),
        };
        let told = Told { reading, began: self.began(), ended, now };
        let annotations = words::annotations(rule, &counted.labels, &told, voice);
        Some(NoticeAlert { annotations, ..counted })
    }

    /// The same without annotations, for a message that counts it and does not name it.
    pub fn counted(&self, pseudonym: Option<&Pseudonym>) -> Option<NoticeAlert> {
        let ended = match self.slot.phase {
            Phase::Pending { .. } | Phase::Firing { .. } => None,
            Phase::Ended { at, until, .. } => Some((at, until)),
        };
        Some(NoticeAlert {
            event: self.event()?.to_string(),
            status: self.status()?,
            severity: self.severity(),
            labels: self.labels_with(&words::displayed(self.subject.rule.kind.kind, self.name, pseudonym)),
            annotations: Pairs::default(),
            starts_at: self.since(),
            ends_at: ended.map(|(at, _)| at),
            began: Some(self.began()),
            until: ended.map(|(_, until)| until),
        })
    }
}

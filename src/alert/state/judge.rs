//! The transitions of alerts.

use std::{
    cell::RefCell,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    clock_watch::ClockWatch,
    event::{Advance, AlertId, Event, EventId},
    row::Changes,
    target::{Phase, Slot, Subject, Target},
};
use crate::{
    alert::{
        finding::{Crossing, Ended, Findings, Judged, Scope},
        rule::{TWO_POINTS, WHOLE},
    },
    model::{End, Moment, Reading},
};

/// A user who was asked for is not asked for again before.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);
/// Readings this young are never old, however often a target is polled.
const FRESH: Duration = Duration::from_secs(60);
/// An expiry moved by less is the same: panels compute it again with a difference of a few seconds.
const SAME_EXPIRY: Duration = Duration::from_secs(60 * 60);

/// What is the same for all subjects of one look at one target.
struct Look<'a> {
    findings: &'a Findings,
    clock: &'a ClockWatch,
    now: Moment,
    /// No walk that began after the process did was judged before.
    arming: bool,
    /// What fires by that is not notified.
    adopt: bool,
    /// See [`Findings::system`].
    system: Option<Arc<str>>,
}

/// What comes of it.
struct Effects<'a> {
    advance: Advance,
    reread: BTreeSet<Arc<str>>,
    changes: &'a mut Changes,
}

pub(super) fn target(
    target: &mut Target,
    findings: &Findings,
    clock: &ClockWatch,
    adopt: bool,
    now: Moment,
    changes: &mut Changes,
) -> Advance {
    if target.source.as_ref() != Some(&findings.source) {
        target.source = Some(Arc::clone(&findings.source));
        target.armed = false;
        target.asked.clear();
    }
    let walked_since = findings.scopes.iter().find_map(|scope| match &scope.judged {
        Judged::Users(users) => users.walked_since(),
        _ => None,
    });
    let arming = walked_since.is_some() && !target.armed;
    let look = Look { findings, clock, now, arming, adopt, system: findings.system.map(Arc::from) };
    target.armed |= walked_since.is_some_and(|since| since.uptime >= clock.began.uptime);
    let mut effects = Effects { advance: Advance::default(), reread: BTreeSet::new(), changes };
    end_replaced(target, findings, now, &mut effects);

    for scope in &findings.scopes {
        let mut subjects = target.rules.remove(&scope.rule.name).unwrap_or_default();
        look.scope(scope, &mut subjects, &mut effects);
        if !subjects.is_empty() {
            target.rules.insert(Arc::clone(&scope.rule.name), subjects);
        }
    }
    let asked = |rule: &Arc<str>| findings.scopes.iter().any(|scope| scope.rule.name == *rule);
    for (rule, subjects) in target.rules.iter_mut().filter(|(rule, _)| !asked(rule)) {
        let events = &mut effects.advance.events;
        end_all((rule, &findings.target), subjects, |_| true, End::Removed, now, events, effects.changes);
    }
    target.rules.retain(|_, subjects| !subjects.is_empty());

    target.asked.retain(|_, asked| now.since(*asked) < ASK_AGAIN_AFTER);
    for name in effects.reread {
        if !target.asked.contains_key(&name) {
            target.asked.insert(Arc::clone(&name), now);
            effects.advance.reread.push(name);
        }
    }
    effects.advance
}

/// Ends what fires of a former system of the target. A subject whose system is not known belongs to the present one.
fn end_replaced(target: &mut Target, findings: &Findings, now: Moment, effects: &mut Effects<'_>) {
    for (rule, subjects) in &mut target.rules {
        for (name, subject) in subjects.iter_mut().filter(|(_, subject)| subject.source.is_none()) {
            subject.source = Some(Arc::clone(&findings.source));
            effects.changes.note((Arc::clone(rule), Arc::clone(&findings.target), Arc::clone(name)));
        }
        let former = |subject: &Subject| subject.source.as_ref() != Some(&findings.source);
        let events = &mut effects.advance.events;
        end_all((rule, &findings.target), subjects, former, End::Replaced, now, events, effects.changes);
    }
}

/// Ends what fires of a target.
pub(super) fn end_target(
    target: &mut Target,
    name: &Arc<str>,
    end: End,
    now: Moment,
    events: &mut Vec<Event>,
    changes: &mut Changes,
) {
    for (rule, subjects) in &mut target.rules {
        end_all((rule, name), subjects, |_| true, end, now, events, changes);
    }
    target.rules.retain(|_, subjects| !subjects.is_empty());
}

/// Forgets what is pending or fires. An end that is not notified yet stays.
pub(super) fn drop_target(
    target: &mut Target,
    name: &Arc<str>,
    events: &mut Vec<Event>,
    changes: &mut Changes,
) {
    for (rule, subjects) in &mut target.rules {
        subjects.retain(|subject_name, subject| {
            let before = subject.slots.len();
            subject.slots.retain(|slot| {
                let has_ended = matches!(slot.phase, Phase::Ended { .. });
                if !has_ended {
                    events.push(Event::Dropped(id(rule, name, subject_name, slot)));
                }
                has_ended
            });
            if subject.slots.len() != before {
                changes.note((Arc::clone(rule), Arc::clone(name), Arc::clone(subject_name)));
            }
            !subject.slots.is_empty()
        });
    }
    target.rules.retain(|_, subjects| !subjects.is_empty());
}

fn end_all(
    (rule, target): (&Arc<str>, &Arc<str>),
    subjects: &mut BTreeMap<Arc<str>, Subject>,
    which: impl Fn(&Subject) -> bool,
    end: End,
    now: Moment,
    events: &mut Vec<Event>,
    changes: &mut Changes,
) {
    subjects.retain(|name, subject| {
        if which(subject) && subject.slots.iter().any(|slot| !matches!(slot.phase, Phase::Ended { .. })) {
            let id = |slot: &Slot| id(rule, target, name, slot);
            subject.end(end, None, now, |slot| events.push(Event::Resolved(id(slot))));
            changes.note((Arc::clone(rule), Arc::clone(target), Arc::clone(name)));
        }
        !subject.slots.is_empty()
    });
}

fn id(rule: &Arc<str>, target: &Arc<str>, name: &Arc<str>, slot: &Slot) -> AlertId {
    AlertId {
        target: Arc::clone(target),
        rule: Arc::clone(rule),
        subject: Arc::clone(name),
        step: Arc::clone(&slot.label),
    }
}

impl Look<'_> {
    /// Both crossings and known subjects are sorted by name: one pass over both.
    fn scope(&self, scope: &Scope, subjects: &mut BTreeMap<Arc<str>, Subject>, effects: &mut Effects<'_>) {
        if matches!(scope.judged, Judged::Nothing) {
            return;
        }
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        let mut known = subjects.iter_mut().peekable();
        for crossing in scope.crossings() {
            let order = |name: &Arc<str>| match Arc::ptr_eq(name, &crossing.subject) {
                true => Ordering::Equal,
                false => name.cmp(&crossing.subject),
            };
            while let Some((name, subject)) = known.next_if(|(name, _)| order(name).is_lt()) {
                self.subject(scope, name, subject, None, &mut gone, effects);
            }
            match known.next_if(|(name, _)| order(name).is_eq()) {
                Some((name, subject)) => {
                    self.subject(scope, name, subject, Some(&crossing), &mut gone, effects);
                }
                None => new.extend(self.first_seen(scope, &crossing, effects)),
            }
        }
        for (name, subject) in known {
            self.subject(scope, name, subject, None, &mut gone, effects);
        }
        for name in gone {
            subjects.remove(&name);
        }
        for (name, subject) in &new {
            self.row_changed(scope, name, effects);
            self.pending_due(subject, effects);
        }
        if subjects.is_empty() {
            // Made at once, it has full nodes. Grown in order, they would stay half empty.
            *subjects = new.into_iter().collect();
        } else {
            subjects.extend(new);
        }
    }

    /// Moves a known subject on.
    fn subject(
        &self,
        scope: &Scope,
        name: &Arc<str>,
        subject: &mut Subject,
        crossing: Option<&Crossing>,
        gone: &mut Vec<Arc<str>>,
        effects: &mut Effects<'_>,
    ) {
        if !Arc::ptr_eq(&subject.rule, &scope.rule) {
            subject.rule = Arc::clone(&scope.rule);
        }
        let changed = match crossing {
            Some(crossing) => self.known(scope, name, subject, crossing, effects),
            None => self.without_crossing(scope, name, subject, effects),
        };
        if changed {
            subject.outdate();
            self.row_changed(scope, name, effects);
        }
        if subject.slots.is_empty() {
            gone.push(Arc::clone(name));
        }
        self.pending_due(subject, effects);
    }

    fn row_changed(&self, scope: &Scope, name: &Arc<str>, effects: &mut Effects<'_>) {
        let key = (Arc::clone(&scope.rule.name), Arc::clone(&self.findings.target), Arc::clone(name));
        effects.changes.note(key);
    }

    fn pending_due(&self, subject: &Subject, effects: &mut Effects<'_>) {
        for slot in &subject.slots {
            if let Phase::Pending { since } = slot.phase {
                let due = since.after(subject.rule.for_).uptime;
                // One that waits for a fresh reading is looked at when that comes.
                if due > self.now.uptime {
                    effects.advance.due = Some(effects.advance.due.map_or(due, |known| known.min(due)));
                }
            }
        }
    }

    fn first_seen(
        &self,
        scope: &Scope,
        crossing: &Crossing,
        effects: &mut Effects<'_>,
    ) -> Option<(Arc<str>, Subject)> {
        if crossing.crossed.is_empty() || crossing.over {
            return None;
        }
        let reading = crossing.reading.clone()?;
        let mut subject = Subject {
            rule: Arc::clone(&scope.rule),
            system: self.system.clone(),
            source: Some(Arc::clone(&self.findings.source)),
            peak: used(&reading),
            reading,
            read_at: scope.read_at(crossing),
            // Most have one step. Room for four, as a vector begins, is several times as much.
            slots: Vec::with_capacity(crossing.crossed.len()),
        };
        self.cross(scope, &crossing.subject, &mut subject, crossing, effects);
        (!subject.slots.is_empty()).then(|| (Arc::clone(&crossing.subject), subject))
    }

    /// Moves a subject on by its crossing; returns whether its row has changed.
    fn known(
        &self,
        scope: &Scope,
        name: &Arc<str>,
        subject: &mut Subject,
        crossing: &Crossing,
        effects: &mut Effects<'_>,
    ) -> bool {
        if subject.source.as_ref() != Some(&self.findings.source) {
            // The ends of the former system's alerts are to be notified first.
            return false;
        }
        let read_at = scope.read_at(crossing);
        if !ClockWatch::follows(read_at, subject.read_at, self.now) {
            // A step may have been crossed by time passing since.
            let fires = |place| subject.slots.iter().any(|slot| slot.place == Some(place) && slot.fires());
            if !crossing.crossed.clone().all(fires) {
                Self::read_again(scope, crossing, effects);
            }
            return false;
        }
        subject.read_at = read_at;
        let reading = crossing.reading.clone().unwrap_or_else(|| subject.reading.clone());
        let Effects { advance, changes, .. } = effects;
        // Dropped by a clock that is wrong, all that fires would be notified again once it is right.
        if crossing.over && !self.clock.may_be_set_back(scope.rule.expired_for, self.now) {
            // The row of an alert whose end is not notified yet stays.
            let before = subject.slots.len();
            subject.slots.retain(|slot| {
                if slot.fires() {
                    advance.events.push(Event::Dropped(id(
                        &scope.rule.name,
                        &self.findings.target,
                        name,
                        slot,
                    )));
                }
                matches!(slot.phase, Phase::Ended { .. })
            });
            return subject.slots.len() != before;
        }
        let mut changed = false;
        if let Some(end) = subject.period_ended(&reading) {
            changed = true;
            subject.end(end, None, self.now, |slot| {
                advance.events.push(Event::Resolved(id(&scope.rule.name, &self.findings.target, name, slot)));
            });
            // What comes now is another event, and so is what follows an alert that had ended for another reason.
            for slot in &mut subject.slots {
                if let Phase::Ended { end: known, .. } = &mut slot.phase {
                    *known = end;
                }
            }
            subject.peak = 0;
        }
        let end = match (&subject.reading, &reading) {
            (Reading::Ends(before), Reading::Ends(at)) if before == at => End::Clock,
            (Reading::Ends(_), _) => End::Renewed,
            (Reading::Used { .. } | Reading::Spent { .. }, _) => End::Reset,
            _ => End::Recovered,
        };
        let sure = end != End::Clock
            || crossing.read.is_none_or(|read| {
                self.clock.is_recent(read.at, self.now) && !(read.contradicted && self.clock.far_off())
            });
        // A changed expiry belongs to the row: it is what the next one is compared with.
        changed |= match (&subject.reading, &reading) {
            (Reading::Ends(before), Reading::Ends(at)) => before != at,
            (Reading::Window { resets: before, .. }, Reading::Window { resets, .. }) => before != resets,
            _ => false,
        };
        // The row keeps up with use by this much, so that a reset is known for one after a restart as well.
        let peak = subject.peak.max(used(&reading));
        changed |=
            peak != subject.peak && points_twice(peak, &reading) != points_twice(subject.peak, &reading);
        if subject.reading != reading {
            changes.shown = true;
            subject.outdate();
        }
        (subject.peak, subject.reading) = (peak, reading);

        subject.slots.retain_mut(|slot| {
            let place = slot.place.unwrap_or(usize::MAX);
            let crossed = crossing.crossed.contains(&place);
            match &mut slot.phase {
                Phase::Pending { .. } if !crossed => {
                    changed = true;
                    return false;
                }
                Phase::Firing { held, .. } if crossed || place < crossing.held || !sure => *held = !crossed,
                Phase::Firing { event, since, .. } => {
                    let end = if slot.place.is_some() { end } else { End::Removed };
                    let (at, since) = (self.now.wall, since.as_of(self.now));
                    slot.phase = Phase::Ended { event: *event, since, at, end, until: at };
                    slot.began = slot.began.as_of(self.now);
                    let id = id(&scope.rule.name, &self.findings.target, name, slot);
                    advance.events.push(Event::Resolved(id));
                    changed = true;
                }
                Phase::Pending { .. } | Phase::Ended { .. } => {}
            }
            true
        });
        self.cross(scope, name, subject, crossing, effects) || changed
    }

    /// Ends a subject of which no step is crossed or held, if that is known; returns whether its row has changed.
    fn without_crossing(
        &self,
        scope: &Scope,
        name: &Arc<str>,
        subject: &mut Subject,
        effects: &mut Effects<'_>,
    ) -> bool {
        let live = |slot: &Slot| !matches!(slot.phase, Phase::Ended { .. });
        if !subject.slots.iter().any(live) {
            return false;
        }
        let target = &self.findings.target;
        let ended = scope.end(name, target, &subject.reading, subject.read_at);
        let Some(Ended { end, read_at, reading, since }) = ended else { return false };
        if let Some(at) = read_at {
            let recent = end != End::Clock || self.clock.is_recent(at, self.now);
            if !recent || !ClockWatch::follows(at, subject.read_at, self.now) {
                return false;
            }
            subject.read_at = at;
        }
        if let Some(reading) = reading {
            subject.reading = reading;
        }
        let id = |slot: &Slot| id(&scope.rule.name, &self.findings.target, name, slot);
        subject.end(end, since, self.now, |slot| effects.advance.events.push(Event::Resolved(id(slot))));
        true
    }

    /// Moves crossed steps towards firing; returns whether any moved.
    fn cross(
        &self,
        scope: &Scope,
        name: &Arc<str>,
        subject: &mut Subject,
        crossing: &Crossing,
        effects: &mut Effects<'_>,
    ) -> bool {
        let mut changed = false;
        let waits = !scope.rule.for_.is_zero() && !crossing.long_enough;
        for place in crossing.crossed.clone() {
            let Some(step) = scope.rule.steps.get(place) else { continue };
            let known = subject.slots.iter().position(|slot| slot.place == Some(place));
            let phase = known.and_then(|at| subject.slots.get(at)).map(|slot| slot.phase);
            let next = match phase {
                Some(Phase::Firing { .. }) => continue,
                // Its end is not notified yet, and will not be: the alert goes on.
                Some(Phase::Ended { event, since, end, .. }) if !end.of_period() => {
                    Phase::Firing { event, since, held: false }
                }
                // The end of the period before is to be notified first.
                Some(Phase::Ended { .. }) if !scope.rule.for_.is_zero() => continue,
                Some(Phase::Pending { since }) if waits && self.now.since(since) < scope.rule.for_ => {
                    continue;
                }
                None if waits => Phase::Pending { since: self.now },
                _ if self.confirmed(scope, crossing, place) => {
                    Phase::Firing { event: EventId::random(), since: self.now, held: false }
                }
                _ => {
                    Self::read_again(scope, crossing, effects);
                    continue;
                }
            };
            changed = true;
            let before = known.and_then(|at| subject.slots.get(at));
            let goes_on = matches!(phase, Some(Phase::Ended { end, .. }) if !end.of_period());
            let began = crossing.since.unwrap_or(self.now);
            let is_new = matches!(phase, Some(Phase::Ended { .. })) && !goes_on;
            let known_began = before.filter(|_| !is_new).map(|slot| slot.began);
            let slot = Slot {
                label: Arc::clone(&step.label),
                severity: step.severity,
                place: Some(place),
                phase: next,
                began: known_began.map_or(began, |known| std::cmp::min_by_key(known, began, |at| at.uptime)),
                adopted: match before {
                    Some(before) if goes_on => before.adopted,
                    _ => self.adopt && self.arming && matches!(scope.judged, Judged::Users(_)),
                },
                shown: None,
                fitting: RefCell::default(),
            };
            if slot.fires() {
                let id = id(&scope.rule.name, &self.findings.target, name, &slot);
                effects.advance.events.push(Event::Fired(id));
            }
            match known.and_then(|at| subject.slots.get_mut(at)) {
                Some(known) => *known = slot,
                None => subject.slots.push(slot),
            }
        }
        changed
    }

    /// Has a user read again by name.
    fn read_again(scope: &Scope, crossing: &Crossing, effects: &mut Effects<'_>) {
        if matches!(scope.judged, Judged::Users(_)) {
            effects.reread.insert(Arc::clone(&crossing.subject));
        }
    }

    /// Whether a crossing may fire without reading the subject again.
    fn confirmed(&self, scope: &Scope, crossing: &Crossing, place: usize) -> bool {
        if !self.clock.is_recent(scope.read_at(crossing), self.now) {
            return false;
        }
        let Some(read) = crossing.read else { return true };
        if read.contradicted && self.clock.far_off() {
            return false;
        }
        let fresh = self.now.wall.since(read.at) <= FRESH.max(self.findings.interval * 2);
        // What the first whole read has brought is notified at once and together, long as it may have taken.
        fresh || (self.arming && place < read.crossed_then)
    }
}

impl Subject {
    /// Why the period that its alerts belong to is over, by a newer reading.
    fn period_ended(&self, reading: &Reading) -> Option<End> {
        match (&self.reading, reading) {
            (Reading::Ends(before), Reading::Ends(at)) if *at > before.saturating_add(SAME_EXPIRY) => {
                Some(End::Renewed)
            }
            (Reading::Used { limit: before, .. }, Reading::Used { limit, .. })
            | (Reading::Forecast { limit: before, .. }, Reading::Forecast { limit, .. })
                if before != limit =>
            {
                Some(End::ToppedUp)
            }
            (
                Reading::Spent { limit: limit_before, period: before, .. },
                Reading::Spent { limit, period, .. },
            ) if (limit_before, before) != (limit, period) => Some(End::ToppedUp),
            (Reading::Spent { since: before, .. }, Reading::Spent { since, .. }) if since > before => {
                Some(End::Renewed)
            }
            (Reading::Window { resets: Some(before), .. }, Reading::Window { resets: Some(at), .. })
                if *at > before.saturating_add(SAME_EXPIRY) =>
            {
                Some(End::Renewed)
            }
            (Reading::Used { .. }, Reading::Used { used, limit, .. })
            | (Reading::Forecast { .. }, Reading::Forecast { used, limit, .. }) => {
                let slack = u128::from(*limit) * u128::from(TWO_POINTS) / u128::from(WHOLE);
                (u128::from(*used) + slack < u128::from(self.peak)).then_some(End::Reset)
            }
            _ => None,
        }
    }

    /// Ends what fires, which is over since `until`, and forgets what is pending.
    fn end(&mut self, end: End, until: Option<Moment>, now: Moment, mut ended: impl FnMut(&Slot)) {
        let until = until.unwrap_or(now).as_of(now).wall;
        self.slots.retain_mut(|slot| match slot.phase {
            Phase::Pending { .. } => false,
            Phase::Ended { .. } => true,
            Phase::Firing { event, since, .. } => {
                slot.phase = Phase::Ended { event, since: since.as_of(now), at: now.wall, end, until };
                slot.began = slot.began.as_of(now);
                ended(slot);
                true
            }
        });
    }
}

/// How many times two points of the reading's limit go into `used`.
fn points_twice(used: u64, reading: &Reading) -> Option<u128> {
    let Reading::Used { limit, .. } = reading else { return None };
    (u128::from(used) * u128::from(WHOLE / TWO_POINTS)).checked_div(u128::from(*limit))
}

fn used(reading: &Reading) -> u64 {
    if let Reading::Used { used, .. } | Reading::Forecast { used, .. } = reading { *used } else { 0 }
}

#[cfg(test)]
mod tests {
    use crate::alert::{
        finding::findings,
        rule::Rules,
        state::State,
        testing::{Panel, at, config},
    };

    #[test]
    fn the_row_keeps_up_with_use_but_not_with_every_byte() {
        let rules = Rules::new(&config()).unwrap();
        let mut panel = Panel::new("home");
        let mut state = State::new(at(0));
        let mut rows = Vec::new();
        for (poll, used) in (0..).zip([81, 81, 82, 83, 84, 85, 86, 86]) {
            panel.uses("u", used);
            state.advance(&findings(&rules, &panel.poll(at(poll * 30)), at(poll * 30)), at(poll * 30));
            rows.extend(state.take_rows().into_iter().map(|_| used));
        }
        assert_eq!(rows, [81, 82, 84, 86]);
    }

    #[test]
    fn a_reset_is_known_for_one_after_a_restart() {
        let rules = Rules::new(&config()).unwrap();
        let mut panel = Panel::new("home");
        let mut state = State::new(at(0));
        let mut rows = Vec::new();
        for (poll, used) in [(0, 80), (1, 93)] {
            panel.uses("u", used);
            state.advance(&findings(&rules, &panel.poll(at(poll * 30)), at(poll * 30)), at(poll * 30));
            rows = state.take_rows();
        }
        let rows: Vec<_> = rows.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
        let (mut state, _) = State::restore(&rows, &rules, at(60));
        panel.uses("u", 85);
        let events = state.advance(&findings(&rules, &panel.poll(at(60)), at(60)), at(60)).events;
        assert_eq!(events.len(), 2, "ended, and fires again: {events:?}");
    }
}

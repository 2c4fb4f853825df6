//! What became of messages, and what remains of groups under another configuration.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    InFlight, Outcome, Routed,
    intent::Tried,
    message::{Covered, digest},
    news,
};
use crate::{
    alert::state::{AlertId, State},
    model::{Moment, NoticeStatus},
    store::Settlement,
};

impl Routed {
    /// Notes what became of a message. Returns the alerts that have left the groups.
    pub(super) fn settle(
        &mut self,
        sent: InFlight,
        outcome: &Outcome,
        state: &State,
        now: Moment,
        settled: &mut Vec<(String, Settlement)>,
    ) -> Vec<Arc<AlertId>> {
        let InFlight { groups, covered, mut tried, again, reason, cut, composed, news: since } = sent;
        tried.may_have_arrived |= matches!(outcome, Outcome::Failed { may_have_arrived: true, .. });
        let is_over = matches!(outcome, Outcome::Taken | Outcome::GivenUp);
        let mut released = Vec::new();
        for covered in &covered {
            let Some(key) = self.group_of.get(&covered.id).cloned() else { continue };
            let left = self.change(&key, |group, _| {
                let Some(knowledge) = group.members.get_mut(&covered.id) else { return false };
                if *outcome != Outcome::Taken && !tried.may_have_arrived {
                    (knowledge.told, knowledge.may_know) = (covered.before.told, covered.before.may_know);
                }
                match covered.status {
                    NoticeStatus::Firing if is_over => knowledge.told = Some(covered.event),
                    // If it fires again, that is news.
                    NoticeStatus::Resolved if is_over => {
                        (knowledge.told, knowledge.may_know) = (None, *outcome == Outcome::GivenUp);
                        if has_ended(covered, state) {
                            group.members.remove(&covered.id);
                            return true;
                        }
                    }
                    NoticeStatus::Firing | NoticeStatus::Resolved => {}
                }
                false
            });
            if left == Some(true) {
                self.group_of.remove(&covered.id);
                released.push(Arc::clone(&covered.id));
            }
        }

        let settlement = match outcome {
            Outcome::Taken => Some(Settlement::Delivered),
            Outcome::GivenUp => Some(Settlement::Abandoned),
            Outcome::Failed { done, .. } => {
                tried.message.done.clone_from(done);
                Some(Settlement::Attempted { done: done.clone() })
            }
            Outcome::Untried => (!again).then_some(Settlement::Delivered),
        };
        settled.extend(settlement.map(|settlement| (tried.message.id.clone(), settlement)));

        // If not, it is as if it had not been composed, but for what it was to cover.
        let is_recorded = again || *outcome != Outcome::Untried;
        let mut is_kept = false;
        for key in &groups {
            // A reload may have put several messages into one group.
            let in_flight = self.in_flight.values().any(|other| other.groups.contains(key));
            self.change(key, |group, _| {
                (group.in_flight, group.dirty) = (in_flight, true);
                match outcome {
                    Outcome::Taken => {
                        (group.sent, group.attempts) = (Some(composed), 0);
                        group.rest_of = cut.then_some(reason);
                    }
                    Outcome::GivenUp => {
                        // What is left is sent like anything new.
                        (group.sent, group.attempts, group.rest_of) = (Some(now), 0, None);
                        let left = group.members.iter().filter_map(|(id, known)| news(state, id, known, now));
                        group.news = left.min_by_key(|since| since.uptime);
                    }
                    Outcome::Failed { .. } | Outcome::Untried => {
                        let news = [since, group.news].into_iter().flatten();
                        group.news = news.min_by_key(|since| since.uptime);
                        is_kept |= is_recorded;
                        if is_recorded || !tried.covers.is_empty() {
                            let said = if is_recorded { tried.said } else { digest(std::iter::empty()) };
                            let outdated = group.note(Tried { said, ..tried.clone() });
                            settled.extend(outdated.map(|id| (id, Settlement::Delivered)));
                        }
                        if *outcome != Outcome::Untried {
                            group.attempts = group.attempts.saturating_add(1);
                        }
                    }
                }
                if is_over && group.rest_of.is_none() {
                    group.ready = None;
                }
                if group.ready.is_none() {
                    group.due = Some(now.uptime);
                }
            });
        }
        if !is_kept && !is_over && is_recorded {
            // A reload has left none of its alerts with this receiver, so that nothing leads to the recorded message.
            settled.push((tried.message.id, Settlement::Delivered));
        }
        released
    }

    /// Takes over from the same receiver's groups of `before`, under another configuration, what rows do not hold.
    pub(super) fn take_over(&mut self, before: &mut Routed, settled: &mut Vec<(String, Settlement)>) {
        for (key, mut before) in std::mem::take(&mut before.groups) {
            let tried = before.tried.take();
            let taken = self.change(&key, |group, _| {
                for (id, knowledge) in &mut group.members {
                    knowledge.held_back = before.members.get(id).is_some_and(|known| known.held_back);
                }
                group.sent = before.sent.or(group.sent);
                group.news = before.news.or(group.news);
                // What waits keeps its time.
                group.due = group.due.into_iter().chain(before.due).min();
                (group.ready, group.attempts, group.rest_of) =
                    (before.ready, before.attempts, before.rest_of);
                group.tried = tried.clone();
            });
            if taken.is_none() {
                settled.extend(tried.map(|tried| (tried.message.id, Settlement::Delivered)));
            }
        }
        self.in_flight = std::mem::take(&mut before.in_flight);
        self.changed = before.changed;
        let mut busy = BTreeSet::new();
        for sent in self.in_flight.values_mut() {
            sent.groups =
                sent.covered.iter().filter_map(|covered| self.group_of.get(&covered.id).cloned()).collect();
            busy.extend(sent.groups.iter().cloned());
        }
        for key in busy {
            self.change(&key, |group, _| group.in_flight = true);
        }
    }
}

fn has_ended(covered: &Covered, state: &State) -> bool {
    state.alert(&covered.id).is_none_or(|alert| alert.status() != Some(NoticeStatus::Firing))
}

//! What each receiver is yet to get: per receiver and group, the difference between what holds and what it knows.
//!
//! Names and meanings are Alertmanager's. A group with something to say is an intent. A message is composed from what
//! holds when it is about to be sent, and what it says counts as told once it is acknowledged. An alert that a receiver
//! may believe to fire stays noted until its end is acknowledged, so that one which is inhibited or muted for a while is
//! neither sent twice nor forgotten.

mod agenda;
mod decide;
mod inhibit;
mod intent;
mod message;
mod mute;
mod outcome;
mod quiet;
mod route;
mod row;
mod silence;
mod standing;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use self::{
    agenda::Agenda,
    decide::Reason,
    intent::{Group, Knowledge, Tried},
    message::{Covered, Desk, Draft, Words, digest, key_of},
};
pub(super) use self::{inhibit::Inhibition, quiet::Quiet, silence::Silences};
pub use self::{
    message::{Composed, Size},
    mute::Mutes,
    route::{Route, Suppressed},
};
use super::{
    state::{Alert, AlertId, EventId, State},
    words::Pseudonym,
};
use crate::{
    model::{Moment, Notice, NoticeAlert, NoticeStatus, SilenceChange, SilenceError, Timestamp},
    store::{Message, Settlement},
};

/// An alert that fires, or whose end is owed.
pub(super) struct Living {
    pub(super) id: AlertId,
    pub(super) event: EventId,
    /// When it fired or ended.
    pub(super) since: Timestamp,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    /// An attempt failed. With `may_have_arrived`, the receiver may know of it without having said so. `done` is what
    /// the attempt settled.
    Failed {
        may_have_arrived: bool,
        done: Vec<String>,
    },
    /// It was not tried, or was refused as too large: it is composed again.
    Untried,
    /// It is given up: refused for what it says, or too old.
    GivenUp,
}

/// Which intent to compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The most urgent.
    Urgent,
    /// The oldest, if it has waited since before this uptime.
    Older(Duration),
    /// As [`Pick::Older`], of those that the receiver failed to take.
    OlderAndTried(Duration),
}

/// How much a receiver is yet to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Intents, including those whose message has no outcome yet.
    pub intents: usize,
    /// Since when the oldest has been one.
    pub oldest: Option<Moment>,
}

/// The groups of every receiver.
#[derive(Debug)]
pub(super) struct Groups {
    routes: Vec<Routed>,
    quiet: Quiet,
    /// Rows to be deleted.
    deleted: BTreeSet<String>,
    /// Outcomes of recorded messages that are yet to be stored.
    settled: Vec<(String, Settlement)>,
    words: Words,
    suppressed: Suppressed,
}

#[derive(Debug)]
struct Routed {
    route: Route,
    /// Routes with the same number share their texts.
    voice: usize,
    /// By key.
    groups: BTreeMap<Arc<str>, Group>,
    /// The group of each alert.
    group_of: HashMap<Arc<AlertId>, Arc<str>>,
    agenda: Agenda,
    /// The groups whose rows have changed.
    dirty: BTreeSet<Arc<str>>,
    /// Messages without an outcome, by id.
    in_flight: BTreeMap<String, InFlight>,
    /// An alert has joined since [`Groups::take_changed`], of a receiver that is posted everything.
    changed: bool,
}

/// A message without an outcome.
#[derive(Debug)]
struct InFlight {
    groups: BTreeSet<Arc<str>>,
    covered: Vec<Covered>,
    tried: Tried,
    /// It was tried before, and the store has it.
    again: bool,
    reason: Reason,
    /// The rest is to follow without a wait.
    cut: bool,
    composed: Moment,
    /// Since when what it says was new.
    news: Option<Moment>,
}

impl Groups {
    pub(super) fn new(routes: Vec<Route>, quiet: Quiet) -> Self {
        let voices: Vec<_> = routes.iter().map(|route| route.voice.clone()).collect();
        let voice_of =
            |route: &Route| voices.iter().position(|voice| *voice == route.voice).unwrap_or_default();
        let routed = |route: Route| Routed {
            voice: voice_of(&route),
            route,
            groups: BTreeMap::new(),
            group_of: HashMap::new(),
            agenda: Agenda::default(),
            dirty: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            changed: false,
        };
        Groups {
            routes: routes.into_iter().map(routed).collect(),
            quiet,
            deleted: BTreeSet::new(),
            settled: Vec::new(),
            words: Words::new(),
            suppressed: Suppressed::default(),
        }
    }

    /// Restores the groups of `state`'s alerts, with what receivers know of them by these rows.
    pub(super) fn restore(&mut self, rows: &[(String, String)], state: &State, now: Moment) {
        self.deleted.extend(rows.iter().map(|(key, _)| key.clone()));
        let mut known: HashMap<&str, row::Known> = HashMap::new();
        for (key, text) in rows {
            if let Some((receiver, group)) = row::split(key) {
                known.entry(receiver).or_default().read(group, text, now);
            }
        }
        for alert in state.alerts().filter(|alert| alert.event().is_some()) {
            self.join(&alert, &known);
        }
        for routed in &mut self.routes {
            let mut known = known.remove(routed.route.receiver.as_str()).unwrap_or_default();
            for key in routed.groups.keys().cloned().collect::<Vec<_>>() {
                routed.change(&key, |group, route| {
                    for (id, knowledge) in &mut group.members {
                        *knowledge = known.alerts.remove(&**id).unwrap_or_default();
                    }
                    if group.members.values().any(Knowledge::is_any) {
                        group.sent = known.sent.get(&*key).copied().or(known.last_sent);
                        group.dirty = true;
                    }
                    if route.standing {
                        return;
                    }
                    match group
                        .members
                        .iter()
                        .filter_map(|(id, known)| news(state, id, known, now))
                        .min_by_key(|at| at.uptime)
                    {
                        Some(since) => group.wake(route, since),
                        // Nothing to send; a look finds out when to repeat.
                        None => group.due = Some(now.uptime),
                    }
                });
            }
        }
    }

    /// A message that was recorded, and whose outcome is not known: what it says is yet to be told. If all of it holds, it
    /// is sent again, else another instead. Returns whether its record has to be kept for that, and the ends in it that its
    /// receiver gets and no alert leads to any more.
    pub(super) fn adopt(
        &mut self,
        message: &Message,
        notice: &Notice,
        living: &HashMap<String, Living>,
        now: Moment,
    ) -> (bool, Vec<Arc<NoticeAlert>>) {
        let (known, unknown): (Vec<_>, Vec<_>) =
            notice.alerts.iter().cloned().partition(|alert| living.contains_key(&alert.event));
        let (mut orphans, over): (Vec<_>, Vec<_>) =
            unknown.into_iter().partition(|alert| alert.status == NoticeStatus::Resolved);
        let routed = self.routes.iter_mut().find(|routed| routed.route.receiver == message.receiver);
        let Some(routed) = routed.filter(|routed| !routed.route.standing) else { return (false, orphans) };
        orphans.retain(|_| routed.route.send_resolved);
        let is_told = |alert: &Arc<NoticeAlert>| {
            let Some(Living { id, event, .. }) = living.get(&alert.event) else { return true };
            let group = routed.group_of.get(id).and_then(|key| routed.groups.get(key));
            let knowledge = group.and_then(|group| group.members.get(id)).copied().unwrap_or_default();
            match alert.status {
                NoticeStatus::Firing => knowledge.told == Some(*event),
                NoticeStatus::Resolved => !knowledge.may_know,
            }
        };
        // Given up and to be sent once more, with what fires still; or made by a version that counted as told what it had
        // queued.
        let is_news = notice.reason != Reason::Repeat.label() && over.is_empty();
        let counts_as_told = is_news && known.iter().all(is_told);
        let (mut keys, mut may_have_arrived) = (BTreeSet::new(), false);
        for alert in &known {
            let Some(Living { id, event, since }) = living.get(&alert.event) else { continue };
            let Some(key) = routed.group_of.get(id).cloned() else { continue };
            routed.change(&key, |group, route| {
                let Some(knowledge) = group.members.get_mut(id) else { return };
                may_have_arrived |= knowledge.may_know;
                if counts_as_told && knowledge.told == Some(*event) {
                    (knowledge.told, group.dirty) = (None, true);
                    group.wake(route, Moment::restored((*since).max(message.created_at), now));
                }
            });
            keys.insert(key);
        }
        let said =
            digest(known.iter().filter_map(|alert| Some((living.get(&alert.event)?.event, alert.status))));
        let is_whole = known.len() == notice.alerts.len() && keys.len() == 1;
        for key in &keys {
            let (message, covers) = (message.clone(), notice.covers.clone());
            if is_whole {
                let tried = Tried { message, covers, said, may_have_arrived };
                let outdated = routed.change(key, |group, _| group.note(tried)).flatten();
                self.settled.extend(outdated.map(|id| (id, Settlement::Delivered)));
            } else {
                // Some of it is over, or several groups tell it now: their next messages cover it.
                let said = digest(std::iter::empty());
                let tried = Tried { message, covers, said, may_have_arrived };
                routed.change(key, |group, _| {
                    group.tried.get_or_insert(tried);
                });
            }
        }
        (is_whole, orphans)
    }

    /// A recorded message need not be kept.
    pub(super) fn outdate(&mut self, id: String) {
        self.settled.push((id, Settlement::Delivered));
    }

    /// An alert fires: it joins its group at every receiver it is for.
    pub(super) fn add(&mut self, alert: &Alert<'_>, now: Moment) {
        for (route, key) in self.join(alert, &HashMap::new()) {
            if let Some(routed) = self.routes.get_mut(route) {
                routed.changed |= routed.route.standing;
                routed.change(&key, |group, route| {
                    if !route.standing {
                        group.wake(route, now);
                    }
                });
            }
        }
    }

    /// Returns the group that it has joined of each route, by index. A receiver that knows of it by `known` hears of its end,
    /// even if it is not for it any more.
    fn join(&mut self, alert: &Alert<'_>, known: &HashMap<&str, row::Known>) -> Vec<(usize, Arc<str>)> {
        if alert.adopted() {
            return Vec::new();
        }
        let (mut labels, mut joined) = (None, Vec::new());
        let id = Arc::new(alert.id());
        for (index, routed) in self.routes.iter_mut().enumerate() {
            let route = &routed.route;
            let known = known.get(route.receiver.as_str()).and_then(|known| known.alerts.get(&*id));
            if !route.is_for(alert) && !known.is_some_and(|knowledge| knowledge.may_know) {
                continue;
            }
            let key = routed.group_of.get(&id).cloned().unwrap_or_else(|| {
                let labels = labels.get_or_insert_with(|| alert.labels());
                let shared = route.group_by.iter().filter_map(|name| Some((name, labels.get(name)?)));
                let shared: BTreeMap<_, _> = shared.map(|(k, v)| (k.clone(), v.to_owned())).collect();
                let key: Arc<str> = key_of(&shared).into();
                routed.groups.entry(Arc::clone(&key)).or_default().labels = shared;
                key
            });
            let Some(group) = routed.groups.get_mut(&key) else { continue };
            group.members.entry(Arc::clone(&id)).or_default();
            routed.group_of.insert(Arc::clone(&id), Arc::clone(&key));
            joined.push((index, key));
        }
        joined
    }

    /// An alert has ended. Returns whether a receiver has to be told.
    pub(super) fn resolve(&mut self, id: &AlertId, now: Moment) -> bool {
        let mut owed = false;
        for routed in &mut self.routes {
            let Some(key) = routed.group_of.get(id).cloned() else { continue };
            let may_know = routed.change(&key, |group, route| {
                let may_know = group.members.get(id).is_some_and(|knowledge| knowledge.may_know);
                if !may_know {
                    group.dirty |= group.members.remove(id).is_some_and(|knowledge| knowledge.is_any());
                }
                // An empty group is looked at once more, and then removed.
                if !route.standing {
                    group.wake(route, now);
                }
                may_know
            });
            match may_know {
                Some(true) => owed = true,
                Some(false) | None => drop(routed.group_of.remove(id)),
            }
        }
        owed
    }

    /// Whether a receiver has yet to be told that this alert has ended.
    pub(super) fn owes(&self, id: &AlertId) -> bool {
        self.routes.iter().any(|routed| {
            let group = routed.group_of.get(id).and_then(|key| routed.groups.get(key));
            group.and_then(|group| group.members.get(id)).is_some_and(|knowledge| knowledge.may_know)
        })
    }

    /// An alert is gone, without a notification.
    pub(super) fn drop_alert(&mut self, id: &AlertId, now: Moment) {
        for routed in &mut self.routes {
            let Some(key) = routed.group_of.remove(id) else { continue };
            routed.change(&key, |group, route| {
                group.dirty |= group.members.remove(id).is_some_and(|knowledge| knowledge.is_any());
                if !route.standing {
                    group.wake(route, now);
                }
            });
        }
    }

    /// The uptime of the next look at a group.
    pub(super) fn due(&self) -> Option<Duration> {
        let looks = self.routes.iter().filter_map(|routed| routed.agenda.due());
        looks.chain(self.quiet.due()).min()
    }

    /// What is kept back at present, beside what is inhibited.
    pub(super) fn quiet(&self) -> &Quiet {
        &self.quiet
    }

    /// Makes a change, and returns the id of the silence.
    pub(super) fn change_silences(
        &mut self,
        change: SilenceChange,
        now: Moment,
    ) -> Result<Arc<str>, SilenceError> {
        let id = self.quiet.silences.change(change, now)?;
        self.look_at_all(now);
        Ok(id)
    }

    /// Takes note of the time. Returns whether what is kept back may be something else than at the last call.
    pub(super) fn advance(&mut self, now: Moment) -> bool {
        let (silences, anything) = self.quiet.advance(now);
        if silences {
            self.look_at_all(now);
        }
        anything
    }

    /// What was kept back may be told now.
    fn look_at_all(&mut self, now: Moment) {
        for routed in self.routes.iter_mut().filter(|routed| !routed.route.standing) {
            for key in routed.groups.keys().cloned().collect::<Vec<_>>() {
                routed.change(&key, |group, _| group.look_at(now.uptime));
            }
        }
    }

    /// The rows of silences that have changed since the last call; without a text: delete the row.
    pub(super) fn take_silences(&mut self) -> Vec<(String, Option<String>)> {
        self.quiet.silences.take_rows()
    }

    /// Looks at the groups that are due, and makes `state` forget ended alerts of which all receivers were told.
    pub(super) fn look(&mut self, state: &mut State, now: Moment) {
        let mut released = HashSet::new();
        for routed in &mut self.routes {
            for key in routed.agenda.due_by(now.uptime) {
                let (_, left) =
                    routed.look(&key, &self.quiet, state, now, &mut self.suppressed, &mut self.settled);
                released.extend(left);
                if routed.groups.get(&key).is_some_and(Group::is_done) {
                    routed.groups.remove(&key);
                    self.deleted.insert(row::key(&routed.route.receiver, &key));
                }
            }
        }
        self.forget(state, released);
    }

    fn forget(&self, state: &mut State, released: impl IntoIterator<Item = Arc<AlertId>>) {
        for id in released {
            match self.owes(&id) {
                true => state.retire(&id),
                false => state.forget(&id),
            }
        }
    }

    /// Composes a message for a receiver. It is in flight until [`Groups::settle`].
    pub(super) fn next(
        &mut self,
        receiver: &str,
        pick: Pick,
        size: Size,
        state: &mut State,
        pseudonym: Option<&Pseudonym>,
        now: Moment,
    ) -> Option<Composed> {
        let routed = self.routes.iter_mut().find(|routed| routed.route.receiver == receiver)?;
        let mut released = Vec::new();
        let composed = loop {
            let agenda = &routed.agenda;
            let key = match pick {
                Pick::Urgent => agenda.first().map(|(_, key)| key),
                Pick::Older(limit) => {
                    agenda.oldest().filter(|(since, _)| *since <= limit).map(|(_, key)| key)
                }
                Pick::OlderAndTried(limit) => {
                    agenda.oldest_tried().filter(|(since, _)| *since <= limit).map(|(_, key)| key)
                }
            };
            let Some(key) = key.cloned() else { break None };
            let (plan, left) =
                routed.look(&key, &self.quiet, state, now, &mut self.suppressed, &mut self.settled);
            released.extend(left);
            let Some(mut plan) = plan else { continue };
            if let Pick::Older(limit) | Pick::OlderAndTried(limit) = pick {
                let limit = now.back_to(limit).wall;
                let is_old = |item: &intent::Item<'_>| item.new && item.alert.changed_at() <= limit;
                let news =
                    plan.items.iter().filter(|item| item.new).map(|item| item.alert.changed_at()).min();
                if plan.items.iter().any(is_old) {
                    plan.items.retain(|item| !item.new || is_old(item));
                    let fires = |item: &intent::Item<'_>| item.new && item.status == NoticeStatus::Firing;
                    if matches!(plan.reason, Reason::First | Reason::New) && !plan.items.iter().any(fires) {
                        // What fires is younger.
                        plan.reason = Reason::SomeResolved;
                    }
                } else if let Some(since) = news {
                    // What is new is younger than what its group had to say before.
                    routed.change(&key, |group, _| {
                        group.ready = group.ready.map(|(_, of)| (Moment::restored(since, now), of));
                    });
                    continue;
                }
            }
            let reason = plan.reason;
            let mut desk = Desk { words: &mut self.words, voice: routed.voice, pseudonym, now };
            let drafted = routed.change(&key, |group, route| {
                let draft = desk.compose(group, route, plan, size)?;
                group.in_flight = true;
                group.dirty = true;
                for covered in &draft.covered {
                    let Some(knowledge) = group.members.get_mut(&covered.id) else { continue };
                    match covered.status {
                        NoticeStatus::Firing => (knowledge.may_know, knowledge.held_back) = (true, false),
                        // Should it fire again, that has to be told.
                        NoticeStatus::Resolved => knowledge.told = None,
                    }
                }
                Some((draft, group.news.take(), group.reason(reason)))
            });
            let Some((draft, news, reason)) = drafted.flatten() else { break None };
            let Draft { notice, replaces, covered, tried, again, cut } = draft;
            self.settled.extend(replaces.map(|id| (id, Settlement::Delivered)));
            let message = tried.message.clone();
            let groups = BTreeSet::from([key]);
            let in_flight = InFlight { groups, covered, tried, again, reason, cut, composed: now, news };
            routed.in_flight.insert(message.id.clone(), in_flight);
            break Some(Composed { notice, message });
        };
        self.forget(state, released);
        composed
    }

    /// Notes what became of a message in flight.
    pub(super) fn settle(
        &mut self,
        receiver: &str,
        id: &str,
        outcome: &Outcome,
        state: &mut State,
        now: Moment,
    ) {
        let routed = self.routes.iter_mut().find(|routed| routed.route.receiver == receiver);
        let Some(routed) = routed else { return };
        let Some(message) = routed.in_flight.remove(id) else { return };
        let told = *outcome == Outcome::Taken;
        for id in routed.settle(message, outcome, state, now, &mut self.settled) {
            match self.owes(&id) {
                true if told => state.retire(&id),
                true => {}
                false => state.forget(&id),
            }
        }
    }

    /// What a receiver is yet to be told.
    pub(super) fn backlog(&self, receiver: &str) -> Backlog {
        let Some(routed) = self.routes.iter().find(|routed| routed.route.receiver == receiver) else {
            return Backlog::default();
        };
        let in_flight = routed.in_flight.values().flat_map(|sent| &sent.groups);
        let keys = routed.agenda.oldest().map(|(_, key)| key).into_iter().chain(in_flight);
        let since = keys.filter_map(|key| routed.groups.get(key)?.ready).map(|(since, _)| since);
        Backlog {
            intents: routed.agenda.len() + routed.in_flight.len(),
            oldest: since.min_by_key(|since| since.uptime),
        }
    }

    /// Whether anything is to be said to a receiver that is free; also how often its most urgent intent has failed.
    pub(super) fn urgent(&self, receiver: &str) -> Option<u32> {
        let routed = self.routes.iter().find(|routed| routed.route.receiver == receiver)?;
        routed.agenda.first().map(|((attempts, ..), _)| *attempts)
    }

    /// How often alerts were held back, and messages not needed, since the last call.
    pub(super) fn take_suppressed(&mut self) -> Suppressed {
        std::mem::take(&mut self.suppressed)
    }

    /// Outcomes of recorded messages since the last call.
    pub(super) fn take_settled(&mut self) -> Vec<(String, Settlement)> {
        std::mem::take(&mut self.settled)
    }

    /// Takes over from `earlier` what rows do not hold.
    pub(super) fn take_over(&mut self, earlier: &mut Groups) {
        self.deleted.append(&mut earlier.deleted);
        self.settled.append(&mut earlier.settled);
        self.quiet.silences = std::mem::take(&mut earlier.quiet.silences);
        for before in &mut earlier.routes {
            let receiver = &before.route.receiver;
            self.deleted.extend(before.groups.keys().map(|key| row::key(receiver, key)));
            let same = |routed: &&mut Routed| {
                routed.route.receiver == *receiver && routed.route.standing == before.route.standing
            };
            match self.routes.iter_mut().find(same) {
                Some(routed) => routed.take_over(before, &mut self.settled),
                // Its messages can be sent by hand if it is back some day.
                None => {
                    let tried = before.groups.values().filter_map(|group| group.tried.as_ref());
                    let tried = tried.map(|tried| &tried.message.id);
                    // Groups that were one share a message.
                    let given_up: BTreeSet<_> = before.in_flight.keys().chain(tried).cloned().collect();
                    self.settled.extend(given_up.into_iter().map(|id| (id, Settlement::Abandoned)));
                }
            }
        }
    }

    /// All rows.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        let groups = self.routes.iter().flat_map(|routed| {
            routed.groups.iter().map(|(key, group)| (row::key(&routed.route.receiver, key), group))
        });
        groups.filter_map(|(key, group)| Some((key, row::write(&group.members, group.sent)?))).collect()
    }

    /// The rows that have changed since the last call; without a text: delete the row. Ends a round.
    pub(super) fn take_rows(&mut self) -> Vec<(String, Option<String>)> {
        self.words = Words::new();
        let mut rows: BTreeMap<String, Option<String>> =
            std::mem::take(&mut self.deleted).into_iter().map(|key| (key, None)).collect();
        for routed in &mut self.routes {
            for key in std::mem::take(&mut routed.dirty) {
                let Some(group) = routed.groups.get_mut(&key) else { continue };
                group.dirty = false;
                let text = row::write(&group.members, group.sent);
                rows.insert(row::key(&routed.route.receiver, &key), text);
            }
        }
        rows.into_iter().collect()
    }
}

/// Since when a receiver with this knowledge is to be told something of an alert; absent: it is not.
fn news(state: &State, id: &AlertId, knowledge: &Knowledge, now: Moment) -> Option<Moment> {
    let alert = state.alert(id)?;
    is_news(&alert, knowledge).then(|| Moment::restored(alert.changed_at(), now))
}

fn is_news(alert: &Alert<'_>, knowledge: &Knowledge) -> bool {
    match alert.status() {
        Some(NoticeStatus::Firing) => alert.event() != knowledge.told,
        Some(NoticeStatus::Resolved) => knowledge.may_know,
        None => false,
    }
}

impl Routed {
    /// Changes a group, and its place in the agenda with it.
    fn change<T>(&mut self, key: &Arc<str>, change: impl FnOnce(&mut Group, &Route) -> T) -> Option<T> {
        let group = self.groups.get_mut(key)?;
        let before = group.entry(key);
        let result = change(group, &self.route);
        self.agenda.change(key, before, group.entry(key));
        if group.dirty {
            self.dirty.insert(Arc::clone(key));
        }
        Some(result)
    }

    /// Looks at a group. Returns what it has to say, and the alerts that have left it.
    fn look<'a>(
        &mut self,
        key: &Arc<str>,
        quiet: &Quiet,
        state: &'a State,
        now: Moment,
        suppressed: &mut Suppressed,
        settled: &mut Vec<(String, Settlement)>,
    ) -> (Option<intent::Plan<'a>>, Vec<Arc<AlertId>>) {
        let look = self.change(key, |group, route| group.look(route, quiet, state, now, suppressed));
        let Some(intent::Look { plan, released, outdated }) = look else { return (None, Vec::new()) };
        settled.extend(outdated.map(|id| (id, Settlement::Delivered)));
        for id in &released {
            self.group_of.remove(id);
        }
        (plan, released)
    }
}

#[cfg(test)]
mod tests;

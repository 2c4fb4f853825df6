//! One group of one receiver: whether it has anything to say, and since when.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    agenda::{Entry, shuffled},
    decide::{Change, Reason, decide},
    inhibit::{Inhibition, kept_back},
    quiet::Quiet,
    route::{Route, Suppressed},
};
use crate::{
    alert::state::{Alert, AlertId, EventId, State},
    model::{Moment, NoticeStatus, Severity},
    store::Message,
};

/// Keeps a group from being looked at in a busy loop, whatever is configured.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What a receiver knows of one alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Knowledge {
    /// The firing that needs to be told no more: acknowledged, or given up.
    pub(super) told: Option<EventId>,
    /// Whether the receiver may believe that it fires, so that its end has to be told.
    pub(super) may_know: bool,
    /// Whether it was held back, and counted as such, since it was news.
    pub(super) held_back: bool,
}

impl Knowledge {
    /// Whether there is anything to remember.
    pub(super) fn is_any(&self) -> bool {
        self.told.is_some() || self.may_know
    }
}

/// A message that was not acknowledged, and what it said.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) message: Message,
    pub(super) covers: Vec<String>,
    /// A digest of the events and their status.
    pub(super) said: u64,
    /// Whether it may have arrived.
    pub(super) may_have_arrived: bool,
}

impl Tried {
    fn says_any_of(&self, events: &HashSet<EventId>) -> bool {
        let notice = (!events.is_empty()).then(|| self.message.packed.unpack());
        let mut said = notice.into_iter().flatten().flat_map(|notice| notice.alerts);
        said.any(|alert| EventId::parse(&alert.event).is_some_and(|event| events.contains(&event)))
    }
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) members: BTreeMap<Arc<AlertId>, Knowledge>,
    /// When the last acknowledged message was composed.
    pub(super) sent: Option<Moment>,
    /// Since when something is new; absent: nothing is, or it was held back.
    pub(super) news: Option<Moment>,
    /// The uptime of the next look.
    pub(super) due: Option<Duration>,
    /// Since when there is something to say that may be said, and the highest severity of it: this is an intent.
    pub(super) ready: Option<(Moment, Severity)>,
    /// Failed attempts at this intent.
    pub(super) attempts: u32,
    /// A message about it has no outcome yet.
    pub(super) in_flight: bool,
    /// The reason of a message that was cut. The rest follows without a wait.
    pub(super) rest_of: Option<Reason>,
    pub(super) tried: Option<Tried>,
    pub(super) dirty: bool,
}

/// An alert to be told.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub(super) id: Arc<AlertId>,
    pub(super) event: EventId,
    pub(super) status: NoticeStatus,
    /// Whether the receiver does not know it yet.
    pub(super) new: bool,
    pub(super) alert: Alert<'a>,
}

/// What a group has to say.
pub(super) struct Plan<'a> {
    pub(super) reason: Reason,
    pub(super) items: Vec<Item<'a>>,
}

/// The result of a look at a group.
pub(super) struct Look<'a> {
    pub(super) plan: Option<Plan<'a>>,
    /// Alerts that have left the group.
    pub(super) released: Vec<Arc<AlertId>>,
    /// The id of a recorded message that need not be kept.
    pub(super) outdated: Option<String>,
}

impl Group {
    /// Something is new.
    pub(super) fn wake(&mut self, route: &Route, since: Moment) {
        self.news.get_or_insert(since);
        self.look_at(self.earliest(route));
    }

    /// The uptime before which nothing new is sent.
    fn earliest(&self, route: &Route) -> Duration {
        let after_wait = self.news.map(|news| news.after(route.group_wait).uptime);
        let after_last = self.sent.map(|sent| sent.after(route.group_interval).uptime);
        after_wait.max(after_last).unwrap_or_default()
    }

    /// It is looked at by then.
    pub(super) fn look_at(&mut self, due: Duration) {
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    /// Nothing of it is left to tell, to repeat or to wait for.
    pub(super) fn is_done(&self) -> bool {
        self.due.is_none() && self.members.is_empty() && !self.in_flight
    }

    /// Notes a message that was not acknowledged. Returns the id of an earlier one that need not be kept for that.
    pub(super) fn note(&mut self, tried: Tried) -> Option<String> {
        let id = tried.message.id.clone();
        let earlier = self.tried.replace(tried).filter(|earlier| earlier.message.id != id)?;
        let covers = &mut self.tried.as_mut()?.covers;
        let arrived = earlier.may_have_arrived.then(|| earlier.message.id.clone());
        for id in earlier.covers.into_iter().chain(arrived) {
            if !covers.contains(&id) {
                covers.push(id);
            }
        }
        Some(earlier.message.id)
    }

    /// Why a message is sent: the rest of a first one or of a repetition is that too, as far as it tells what fires.
    pub(super) fn reason(&self, planned: Reason) -> Reason {
        match (self.rest_of, planned) {
            (Some(rest @ (Reason::First | Reason::Repeat)), Reason::First | Reason::New) => rest,
            _ => planned,
        }
    }

    /// Where the group stands in its receiver's agenda.
    pub(super) fn entry(&self, key: &str) -> Entry {
        if self.in_flight {
            return (None, None);
        }
        let urgency =
            |(since, severity): (Moment, _)| (self.attempts, Reverse(severity), since.uptime, shuffled(key));
        (self.due, self.ready.map(urgency))
    }

    /// Finds out whether there is anything to say by now, and when to look again.
    pub(super) fn look<'a>(
        &mut self,
        route: &Route,
        quiet: &Quiet,
        state: &'a State,
        now: Moment,
        suppressed: &mut Suppressed,
    ) -> Look<'a> {
        self.due = None;
        let mut change = Change { told: self.members.values().any(Knowledge::is_any), ..Change::default() };
        let (mut items, mut released, mut held_back) = (Vec::new(), Vec::new(), HashSet::new());
        let mut repeat_interval: Option<Duration> = None;
        // For each alert that was sent and is held back now: when to look again, and its repeat interval.
        let mut waiting = Vec::new();
        let later = now.uptime + route.group_interval.max(SHORTEST_INTERVAL);
        let mut inhibition = Inhibition::new(state);
        for (id, knowledge) in &mut self.members {
            let alert = state.alert(id);
            let Some((alert, event, status)) = alert.and_then(|a| Some((a, a.event()?, a.status()?))) else {
                released.push(Arc::clone(id));
                continue;
            };
            let firing = status == NoticeStatus::Firing;
            let ends = knowledge.may_know && route.send_resolved;
            if !firing && !ends {
                released.push(Arc::clone(id));
                continue;
            }
            // It knows of an alert that is not for it any more.
            if firing && !route.is_for(&alert) {
                continue;
            }
            let new = !firing || knowledge.told != Some(event);
            let own = route.repeat_interval.unwrap_or(alert.rule().repeat_interval);
            if let Some(kept_back) = kept_back(&alert, quiet, &mut inhibition, now) {
                change.kept_back += usize::from(firing && knowledge.is_any());
                let end = kept_back.until(now);
                if new {
                    held_back.insert(event);
                    if !std::mem::replace(&mut knowledge.held_back, true) {
                        kept_back.count(suppressed);
                    }
                    let next = end.map_or(later, |end| later.min(end));
                    self.due = Some(self.due.map_or(next, |known| known.min(next)));
                } else if !own.is_zero() {
                    waiting.push((end.unwrap_or(later), own));
                }
                continue;
            }
            if firing {
                change.firing += 1;
                change.new += usize::from(new);
                repeat_interval =
                    [repeat_interval, Some(own)].into_iter().flatten().filter(|i| !i.is_zero()).min();
            } else {
                change.ended += 1;
            }
            items.push(Item { id: Arc::clone(id), event, status, new, alert });
        }
        for id in &released {
            self.dirty |= self.members.remove(id).is_some_and(|knowledge| knowledge.is_any());
        }
        let sent_age = self.sent.map(|sent| now.since(sent));
        change.repeat = repeat_interval.zip(sent_age).is_some_and(|(interval, age)| age >= interval);

        if change.new + change.ended == 0 {
            self.rest_of = None;
        }
        let Some(mut reason) = decide(change, route.send_resolved) else {
            suppressed.unchanged += u64::from(change.firing > 0 && self.news.is_some());
            (self.news, self.rest_of, self.ready, self.attempts) = (None, None, None, 0);
            self.plan_repetition(route, repeat_interval, waiting, now);
            // What is only held back is sent later, and then perhaps in the same words.
            let outdated = self.tried.take_if(|tried| !tried.says_any_of(&held_back));
            return Look { plan: None, released, outdated: outdated.map(|tried| tried.message.id) };
        };
        if reason == Reason::New && self.members.values().all(|knowledge| knowledge.told.is_none()) {
            reason = Reason::First;
        }
        let earliest = self.earliest(route);
        if reason != Reason::Repeat && self.rest_of.is_none() && earliest > now.uptime {
            self.ready = None;
            self.look_at(earliest);
            return Look { plan: None, released, outdated: None };
        }
        let severity = items.iter().filter(|item| item.new).map(|item| item.alert.severity()).max();
        let since = match self.ready {
            Some((since, _)) => since,
            None if reason == Reason::Repeat || self.news.is_none() => now,
            None => now.back_to(earliest),
        };
        self.ready = Some((since, severity.unwrap_or(Severity::Info)));
        Look { plan: Some(Plan { reason, items }), released, outdated: None }
    }

    fn plan_repetition(
        &mut self,
        route: &Route,
        repeat_interval: Option<Duration>,
        waiting: Vec<(Duration, Duration)>,
        now: Moment,
    ) {
        let Some(sent) = self.sent else { return };
        if self.members.is_empty() {
            // The group is kept until its next message would be allowed.
            let again = sent.after(route.group_interval).uptime;
            self.due = (again > now.uptime).then_some(again);
        } else if let Some(interval) = repeat_interval {
            self.look_at(sent.after(interval).uptime);
        }
        // A repetition that falls due while its alert is held back is sent afterwards.
        for (end, interval) in waiting {
            self.look_at(end.max(sent.after(interval).uptime));
        }
    }
}

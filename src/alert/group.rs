//! Which alerts share a notice, when it is sent, and which alerts a receiver knows: per receiver and group.
//!
//! Names and meanings are Alertmanager's. An alert that was sent as firing stays noted until it is sent as resolved, so
//! that one which is inhibited or muted for a while is neither sent twice nor forgotten.

mod decide;
mod mute;
mod row;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

pub use mute::Mutes;

use self::decide::{Change, Reason, decide};
use super::{
    rule::Question,
    state::{Alert, AlertId, EventId, State},
    words::{Pseudonym, displayed},
};
use crate::model::{KIND_USER, Moment, Notice, NoticeAlert, NoticeStatus, Severity};

/// Which alerts one receiver gets, and how they are grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub receiver: String,
    /// Only alerts of at least this severity.
    pub min_severity: Severity,
    /// Whether it gets resolved alerts. If not, its delivery queue still does, and drops them.
    pub send_resolved: bool,
    /// Labels whose values alerts of one message share.
    pub group_by: Vec<String>,
    /// From a group's first alert to its first message, so that alerts of one moment share a message.
    pub group_wait: Duration,
    /// From one message of a group to the next.
    pub group_interval: Duration,
    /// Overrides each rule's own; zero: never repeat.
    pub repeat_interval: Option<Duration>,
}

/// Alerts that were held back, and messages that were not needed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    pub muted: u64,
    pub inhibited: u64,
    pub unchanged: u64,
}

impl Suppressed {
    /// Every reason.
    pub const REASONS: [&'static str; 3] = ["inhibited", "muted", "unchanged"];

    /// As in [`Suppressed::REASONS`].
    pub fn by_reason(self) -> [(&'static str, u64); 3] {
        [("inhibited", self.inhibited), ("muted", self.muted), ("unchanged", self.unchanged)]
    }
}

/// The result of flushing the groups that were due.
#[derive(Debug, Default)]
pub struct Flushed {
    pub notices: Vec<Notice>,
    pub suppressed: Suppressed,
}

/// The groups of every receiver.
#[derive(Debug)]
pub(super) struct Groups {
    routes: Vec<Routed>,
    mutes: Mutes,
    /// Rows to be deleted.
    deleted: BTreeSet<String>,
}

#[derive(Debug)]
struct Routed {
    route: Route,
    /// By key.
    groups: BTreeMap<Arc<str>, Group>,
    /// The group of each alert.
    group_of: HashMap<AlertId, Arc<str>>,
}

#[derive(Debug, Default)]
struct Group {
    labels: BTreeMap<String, String>,
    members: BTreeSet<AlertId>,
    /// Alerts that were sent as firing and not yet as resolved.
    told: BTreeMap<AlertId, EventId>,
    /// Alerts that were held back and counted.
    kept_back: BTreeSet<AlertId>,
    /// When the last message was sent.
    sent: Option<Moment>,
    /// The uptime of the next flush.
    due: Option<Duration>,
    dirty: bool,
}

impl Groups {
    pub(super) fn new(routes: Vec<Route>, mutes: Mutes) -> Self {
        let routed = |route| Routed { route, groups: BTreeMap::new(), group_of: HashMap::new() };
        Groups { routes: routes.into_iter().map(routed).collect(), mutes, deleted: BTreeSet::new() }
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
            self.add(&alert, now);
        }
        for routed in &mut self.routes {
            let Some(known) = known.get_mut(routed.route.receiver.as_str()) else { continue };
            for (key, group) in &mut routed.groups {
                for id in &group.members {
                    if let Some(event) = known.told.remove(id) {
                        group.told.insert(id.clone(), event);
                    }
                }
                if !group.told.is_empty() {
                    group.sent = known.sent.get(&**key).copied().or(known.last_sent);
                    group.dirty = true;
                }
                let news = |id: &AlertId| {
                    let alert = state.alert(id);
                    let told = group.told.get(id).copied();
                    match alert.and_then(|alert| alert.status()) {
                        Some(NoticeStatus::Firing) => alert.and_then(|alert| alert.event()) != told,
                        Some(NoticeStatus::Resolved) => told.is_some(),
                        None => false,
                    }
                };
                let news = group.members.iter().any(news);
                group.due = None;
                if news {
                    group.wake(&routed.route, now);
                } else {
                    // Nothing to send; the flush finds out when to repeat.
                    group.due = Some(now.uptime);
                }
            }
        }
    }

    /// An alert fires: it joins its group at every receiver it is for.
    pub(super) fn add(&mut self, alert: &Alert<'_>, now: Moment) {
        if alert.adopted() {
            return;
        }
        let mut labels = None;
        for routed in &mut self.routes {
            let route = &routed.route;
            let named = alert.rule().receivers.as_ref();
            if alert.severity() < route.min_severity
                || named.is_some_and(|receivers| !receivers.contains(&route.receiver))
            {
                continue;
            }
            let id = alert.id();
            let key = routed.group_of.get(&id).cloned().unwrap_or_else(|| {
                let labels = labels.get_or_insert_with(|| alert.labels());
                let shared = route.group_by.iter().filter_map(|name| labels.get_key_value(name));
                let shared: BTreeMap<_, _> = shared.map(|(k, v)| (k.clone(), v.clone())).collect();
                let key: Arc<str> = key_of(&shared).into();
                routed.groups.entry(Arc::clone(&key)).or_default().labels = shared;
                key
            });
            let Some(group) = routed.groups.get_mut(&key) else { continue };
            group.members.insert(id.clone());
            routed.group_of.insert(id, key);
            group.wake(route, now);
        }
    }

    /// An alert has ended. Returns whether a receiver has to be notified.
    pub(super) fn resolve(&mut self, id: &AlertId, now: Moment) -> bool {
        let mut owed = false;
        for routed in &mut self.routes {
            let Some(key) = routed.group_of.get(id) else { continue };
            let Some(group) = routed.groups.get_mut(key) else { continue };
            if group.told.contains_key(id) {
                owed = true;
                group.wake(&routed.route, now);
            } else {
                group.members.remove(id);
                routed.group_of.remove(id);
                // An empty group is flushed once more, and then removed.
                group.wake(&routed.route, now);
            }
        }
        owed
    }

    /// Whether a receiver has yet to be notified that this alert has ended.
    pub(super) fn owes(&self, id: &AlertId) -> bool {
        let owed = |routed: &Routed| {
            let group = routed.group_of.get(id).and_then(|key| routed.groups.get(key));
            group.is_some_and(|group| group.told.contains_key(id))
        };
        self.routes.iter().any(owed)
    }

    /// An alert is gone, and no receiver is notified.
    pub(super) fn drop_alert(&mut self, id: &AlertId, now: Moment) {
        for routed in &mut self.routes {
            let Some(group) = routed.group_of.remove(id).and_then(|key| routed.groups.get_mut(&key)) else {
                continue;
            };
            group.members.remove(id);
            group.dirty |= group.told.remove(id).is_some();
            group.wake(&routed.route, now);
        }
    }

    /// The uptime at which the next group is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.routes.iter().flat_map(|routed| routed.groups.values()).filter_map(|group| group.due).min()
    }

    /// Flushes the groups that are due, and makes `state` forget ended alerts of which all receivers are notified.
    pub(super) fn flush(&mut self, state: &mut State, pseudonym: Option<&Pseudonym>, now: Moment) -> Flushed {
        let mut flushed = Flushed::default();
        let mut ended = HashSet::new();
        for routed in &mut self.routes {
            let due =
                routed.groups.values_mut().filter(|group| group.due.is_some_and(|due| due <= now.uptime));
            for group in due {
                let released = group.flush(&routed.route, &self.mutes, state, pseudonym, now, &mut flushed);
                for id in released {
                    routed.group_of.remove(&id);
                    ended.insert(id);
                }
            }
            let deleted = &mut self.deleted;
            routed.groups.retain(|key, group| {
                let done = group.due.is_none() && group.members.is_empty();
                if done {
                    deleted.insert(row::key(&routed.route.receiver, key));
                }
                !done
            });
        }
        for id in ended.into_iter().filter(|id| !self.owes(id)) {
            state.forget(&id);
        }
        if pseudonym.is_some() {
            // The order of groups may be that of names, too.
            flushed.notices.sort_by(|a, b| a.group.cmp(&b.group));
        }
        flushed
    }

    /// Takes over from `earlier` what rows do not hold.
    pub(super) fn take_over(&mut self, earlier: &mut Groups) {
        self.deleted.append(&mut earlier.deleted);
        for before in &earlier.routes {
            let receiver = &before.route.receiver;
            self.deleted.extend(before.groups.keys().map(|key| row::key(receiver, key)));
            let Some(routed) = self.routes.iter_mut().find(|routed| routed.route.receiver == *receiver)
            else {
                continue;
            };
            for (key, group) in &mut routed.groups {
                let Some(before) = before.groups.get(key) else { continue };
                group.kept_back = &before.kept_back & &group.members;
                group.sent = before.sent.or(group.sent);
                // What waits keeps its time.
                group.due = group.due.into_iter().chain(before.due).min();
            }
        }
    }

    /// All rows.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        let groups = self.routes.iter().flat_map(|routed| {
            routed.groups.iter().map(|(key, group)| (row::key(&routed.route.receiver, key), group))
        });
        let told = groups.filter(|(_, group)| !group.told.is_empty());
        told.map(|(key, group)| (key, row::write(&group.told, group.sent))).collect()
    }

    /// The rows that have changed since the last call; without a text: delete the row.
    pub(super) fn take_rows(&mut self) -> Vec<(String, Option<String>)> {
        let mut rows: BTreeMap<String, Option<String>> =
            std::mem::take(&mut self.deleted).into_iter().map(|key| (key, None)).collect();
        for routed in &mut self.routes {
            for (key, group) in routed.groups.iter_mut().filter(|(_, group)| group.dirty) {
                group.dirty = false;
                let text = (!group.told.is_empty()).then(|| row::write(&group.told, group.sent));
                rows.insert(row::key(&routed.route.receiver, key), text);
            }
        }
        rows.into_iter().collect()
    }
}

/// As Alertmanager writes it.
fn key_of(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}

impl Group {
    /// Plans a flush because something is new, but not before the receiver's group interval has passed.
    fn wake(&mut self, route: &Route, now: Moment) {
        let after_last = self.sent.map(|sent| sent.after(route.group_interval).uptime);
        self.wake_at((now.uptime + route.group_wait).max(after_last.unwrap_or_default()));
    }

    fn wake_at(&mut self, due: Duration) {
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    /// Makes the notice that is due, and returns the alerts that have left the group.
    fn flush(
        &mut self,
        route: &Route,
        mutes: &Mutes,
        state: &State,
        pseudonym: Option<&Pseudonym>,
        now: Moment,
        flushed: &mut Flushed,
    ) -> Vec<AlertId> {
        self.due = None;
        let mut change = Change { told: !self.told.is_empty(), ..Change::default() };
        let (mut firing, mut ended, mut released) = (Vec::new(), Vec::new(), Vec::new());
        // Ended alerts that the receiver does not want as resolved.
        let mut withdrawn = Vec::new();
        let mut repeat_interval: Option<Duration> = None;
        // For each alert that was sent and is held back now: when to flush again, and its repeat interval.
        let mut waiting = Vec::new();
        for id in &self.members {
            let alert = state.alert(id);
            let Some((alert, event, status)) = alert.and_then(|a| Some((a, a.event()?, a.status()?))) else {
                released.push(id.clone());
                continue;
            };
            let told = self.told.get(id);
            if status == NoticeStatus::Resolved && (told.is_none() || !route.send_resolved) {
                released.push(id.clone());
                if told.is_some() {
                    withdrawn.push((event, alert));
                }
                continue;
            }
            let new = status == NoticeStatus::Resolved || told != Some(&event);
            let own = route.repeat_interval.unwrap_or(alert.rule().repeat_interval);
            if let Some(kept_back) = kept_back(&alert, mutes, state, now) {
                change.kept_back += usize::from(told.is_some() && status == NoticeStatus::Firing);
                let next = now.uptime + route.group_interval.max(SHORTEST_INTERVAL);
                let end = kept_back.until(now);
                if new {
                    let next = end.map_or(next, |end| next.min(end));
                    if self.kept_back.insert(id.clone()) {
                        kept_back.count(&mut flushed.suppressed);
                    }
                    self.due = Some(self.due.map_or(next, |known| known.min(next)));
                } else if !own.is_zero() {
                    waiting.push((end.unwrap_or(next), own));
                }
                continue;
            }
            match status {
                NoticeStatus::Firing => {
                    change.new += usize::from(new);
                    repeat_interval =
                        [repeat_interval, Some(own)].into_iter().flatten().filter(|i| !i.is_zero()).min();
                    firing.push((new, event, alert));
                }
                NoticeStatus::Resolved => ended.push((event, alert)),
            }
        }
        change.firing = firing.len();
        change.ended = ended.len() + withdrawn.len();
        let sent_age = self.sent.map(|sent| now.since(sent));
        change.repeat = repeat_interval.zip(sent_age).is_some_and(|(interval, age)| age >= interval);

        let reason = decide(change, route.send_resolved);
        for id in &released {
            self.members.remove(id);
            self.kept_back.remove(id);
            self.dirty |= self.told.remove(id).is_some();
        }
        // The delivery queue needs ended alerts even if the receiver does not want them: the firing one may still wait.
        if reason.is_some() || !withdrawn.is_empty() {
            let over: Vec<_> = ended.iter().chain(&withdrawn).copied().collect();
            let firing = if reason.is_some() { firing.as_slice() } else { &[] };
            let alerts = in_order(firing, &over, pseudonym);
            let alerts = alerts.iter().filter_map(|alert| alert.told(pseudonym, now.wall)).collect();
            let reason = reason.unwrap_or(Reason::SomeResolved);
            flushed.notices.push(self.notice(route, reason, alerts, now));
        }
        match reason {
            Some(_) => {
                self.dirty = true;
                self.sent = Some(now);
                for (_, event, alert) in &firing {
                    let id = alert.id();
                    self.kept_back.remove(&id);
                    self.told.insert(id, *event);
                }
                for (_, alert) in ended {
                    let id = alert.id();
                    self.told.remove(&id);
                    self.members.remove(&id);
                    released.push(id);
                }
            }
            None => flushed.suppressed.unchanged += u64::from(change.firing > 0),
        }
        if let Some(sent) = self.sent {
            if self.members.is_empty() {
                // The group is kept until its next message would be allowed.
                let again = sent.after(route.group_interval).uptime;
                self.due = (again > now.uptime).then_some(again);
            } else if let Some(interval) = repeat_interval {
                self.wake_at(sent.after(interval).uptime);
            }
            // A repetition that falls due while its alert is held back is sent afterwards.
            for (end, interval) in waiting {
                self.wake_at(end.max(sent.after(interval).uptime));
            }
        }
        released
    }

    fn notice(&self, route: &Route, reason: Reason, alerts: Vec<NoticeAlert>, now: Moment) -> Notice {
        let mut group_labels = self.labels.clone();
        let user = alerts.iter().find(|alert| alert.labels.get("kind").is_some_and(|kind| kind == KIND_USER));
        if let Some(shared) = group_labels.get_mut("subject")
            && let Some(displayed) = user.and_then(|alert| alert.labels.get("subject"))
        {
            // All alerts of the group are of subjects with the same name.
            shared.clone_from(displayed);
        }
        Notice {
            id: EventId::random().to_string().replacen("evt", "msg", 1),
            receiver: route.receiver.clone(),
            group: key_of(&group_labels),
            group_labels,
            reason: reason.label().to_owned(),
            alerts,
            covers: Vec::new(),
            created_at: now.wall,
        }
    }
}

/// Keeps a group from being flushed in a busy loop, whatever is configured.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Why an alert is held back at present.
enum KeptBack {
    /// Until this wall time.
    Muted(crate::model::Timestamp),
    Inhibited,
}

impl KeptBack {
    fn count(&self, suppressed: &mut Suppressed) {
        match self {
            KeptBack::Inhibited => suppressed.inhibited += 1,
            KeptBack::Muted(_) => suppressed.muted += 1,
        }
    }

    /// The uptime at which it ends, if known.
    fn until(&self, now: Moment) -> Option<Duration> {
        match self {
            KeptBack::Inhibited => None,
            KeptBack::Muted(end) => Some(now.uptime + end.since(now.wall)),
        }
    }
}

/// Whether a firing alert inhibits this one: a tighter step of the same rule and subject, an alert that its target is
/// down or that the part it is read from is stale; or, if it is about a stale part, one that the login lost the right to
/// read it.
pub(super) fn inhibited(alert: &Alert<'_>, state: &State) -> bool {
    let kind = alert.rule().kind;
    let fires = |question, subject| state.fires(question, alert.target(), subject);
    let part = kind.part.map(crate::model::Part::label);
    alert.tighter_fires()
        || (kind.question != Question::TargetDown && fires(Question::TargetDown, None))
        || part.is_some_and(|part| fires(Question::PartStale, Some(part)))
        || (kind.question == Question::PartStale && fires(Question::RightLost, Some(&**alert.subject())))
}

fn kept_back(alert: &Alert<'_>, mutes: &Mutes, state: &State, now: Moment) -> Option<KeptBack> {
    // A resolved alert is always sent: inhibition is about firing alerts only.
    if alert.status() == Some(NoticeStatus::Firing) && inhibited(alert, state) {
        return Some(KeptBack::Inhibited);
    }
    if mutes.is_empty() {
        return None;
    }
    mutes.until(&alert.labels(), alert.severity(), now.wall).map(KeptBack::Muted)
}

/// Firing alerts first, and of those the new ones; then by severity, the highest first. Equals are sorted by what the
/// message calls them: in the order of names, a pseudonym would show where in the alphabet its user is.
fn in_order<'a>(
    firing: &[(bool, EventId, Alert<'a>)],
    ended: &[(EventId, Alert<'a>)],
    pseudonym: Option<&Pseudonym>,
) -> Vec<Alert<'a>> {
    let firing = firing.iter().map(|(new, _, alert)| ((0, !new), *alert));
    let ended = ended.iter().map(|(_, alert)| ((1, false), *alert));
    let mut all: Vec<_> = firing.chain(ended).collect();
    all.sort_by_cached_key(|(rank, alert)| {
        let mut id = alert.id();
        id.subject = displayed(alert.rule().kind.kind, &id.subject, pseudonym).into();
        (*rank, Reverse(alert.severity()), id)
    });
    all.into_iter().map(|(_, alert)| alert).collect()
}

#[cfg(test)]
mod tests;

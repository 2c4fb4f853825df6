//! What goes into one message.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{
    decide::Reason,
    intent::{Group, Item, Knowledge, Plan, Tried},
    route::Route,
};
use crate::{
    alert::{
        state::{AlertId, EventId},
        words::{Pseudonym, displayed},
    },
    model::{KIND_USER, Moment, Named, Notice, NoticeAlert, NoticeStatus},
    store::Message,
};

/// The most ids that a message may say it covers; beyond that, the oldest are dropped.
const MOST_COVERED: usize = 100;

/// How many alerts a message may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Those that a message of this receiver names.
    pub names: Named,
    /// The most after a larger message was refused as too large.
    pub most: Option<usize>,
}

/// A message that is to be recorded, and then sent.
#[derive(Clone, Debug)]
pub struct Composed {
    pub notice: Arc<Notice>,
    pub message: Message,
}

/// An alert in a message without an outcome.
#[derive(Clone, Debug)]
pub(super) struct Covered {
    pub(super) id: Arc<AlertId>,
    pub(super) event: EventId,
    pub(super) status: NoticeStatus,
    /// What the receiver knew of it before.
    pub(super) before: Knowledge,
}

/// Alerts in words, by voice. The messages that are composed at one moment share them.
pub(super) type Words = HashMap<(usize, EventId, NoticeStatus), Arc<NoticeAlert>>;

/// A message, and what it covers.
pub(super) struct Draft {
    pub(super) notice: Arc<Notice>,
    pub(super) tried: Tried,
    /// It was tried before.
    pub(super) again: bool,
    /// The id of a recorded message that this one replaces.
    pub(super) replaces: Option<String>,
    pub(super) covered: Vec<Covered>,
    /// The rest is to follow without a wait.
    pub(super) cut: bool,
}

/// What all messages of one moment are composed with.
pub(super) struct Desk<'a> {
    pub(super) words: &'a mut Words,
    /// The route's, by which it shares texts with others.
    pub(super) voice: usize,
    pub(super) pseudonym: Option<&'a Pseudonym>,
    pub(super) now: Moment,
}

impl Desk<'_> {
    /// Composes what `group` has to say. Absent only if it cannot be written down.
    pub(super) fn compose(
        &mut self,
        group: &mut Group,
        route: &Route,
        plan: Plan<'_>,
        size: Size,
    ) -> Option<Draft> {
        let reason = group.reason(plan.reason);
        let (all, news) = (plan.items.len(), plan.items.iter().filter(|item| item.new).count());
        let fire = plan.items.iter().filter(|item| item.status == NoticeStatus::Firing).count();
        let items = in_order(plan.items, self.pseudonym);
        let Selected { items, named, cut } = select(items, reason, group.rest_of.is_some(), size);
        if reason == Reason::Repeat && cut && group.rest_of.is_none() {
            // What does not fit is in the next messages.
            group.members.values_mut().for_each(|knowledge| knowledge.told = None);
        }
        let said = said(&items);
        let covered = items.iter().map(|item| Covered {
            id: Arc::clone(&item.id),
            event: item.event,
            status: item.status,
            before: group.members.get(&item.id).copied().unwrap_or_default(),
        });
        let covered = covered.collect();
        let is_known =
            |item: &&Item<'_>| item.status == NoticeStatus::Firing && (reason == Reason::Repeat || !item.new);
        let known = items.iter().filter(is_known).count();
        // Messages for people count most alerts of a storm without naming them. Those need no words.
        let usual = size.names.of(items.len(), known);
        let worded = match size.names {
            Named::News(_) => named.map_or(usual, |named| named.min(usual)),
            Named::All | Named::First(_) => items.len(),
        };
        let before = group.tried.take();
        if let Some(tried) = before.as_ref().filter(|tried| tried.said == said)
            && let Ok(notice) = tried.message.packed.unpack()
            && notice.alerts.iter().take(worded).all(|alert| !alert.annotations.is_empty())
        {
            // Nothing has changed since: the same message again, to the letter.
            let (notice, tried) = (Arc::new(notice), tried.clone());
            return Some(Draft { notice, tried, again: true, replaces: None, covered, cut });
        }
        let (mut covers, mut replaces) = (Vec::new(), None);
        if let Some(before) = before {
            covers = before.covers;
            if before.may_have_arrived {
                covers.push(before.message.id.clone());
                covers.drain(..covers.len().saturating_sub(MOST_COVERED));
            }
            replaces = Some(before.message.id);
        }
        let left_out = all - items.len();
        let follow = if cut { news.saturating_sub(items.iter().filter(|item| item.new).count()) } else { 0 };
        let others_fire = fire > items.iter().filter(|item| item.status == NoticeStatus::Firing).count();
        let alerts = items.iter().enumerate().filter_map(|(place, item)| match place < worded {
            true => self.in_words(item, route),
            false => item.alert.counted(self.pseudonym).map(Arc::new),
        });
        let alerts = alerts.collect();
        let notice = self.notice(group, route, reason, alerts);
        let notice = Notice { known, left_out, follow, others_fire, named, covers: covers.clone(), ..notice };
        let message = Message::of(&notice).ok()?;
        let tried = Tried { message, covers, said, may_have_arrived: false };
        Some(Draft { notice: Arc::new(notice), tried, again: false, replaces, covered, cut })
    }

    fn in_words(&mut self, item: &Item<'_>, route: &Route) -> Option<Arc<NoticeAlert>> {
        let key = (self.voice, item.event, item.status);
        if let Some(known) = self.words.get(&key) {
            return Some(Arc::clone(known));
        }
        let alert = Arc::new(item.alert.told(self.pseudonym, &route.voice, self.now.wall)?);
        self.words.insert(key, Arc::clone(&alert));
        Some(alert)
    }

    fn notice(&self, group: &Group, route: &Route, reason: Reason, alerts: Vec<Arc<NoticeAlert>>) -> Notice {
        let mut group_labels = group.labels.clone();
        let user = alerts.iter().find(|alert| alert.labels.get("kind") == Some(KIND_USER));
        if let Some(shared) = group_labels.get_mut("subject")
            && let Some(displayed) = user.and_then(|alert| alert.labels.get("subject"))
        {
            // All alerts of the group are of subjects with the same name.
            displayed.clone_into(shared);
        }
        Notice {
            id: Notice::new_id(),
            receiver: route.receiver.clone(),
            group: key_of(&group_labels),
            group_labels,
            reason: reason.label().to_owned(),
            alerts,
            created_at: self.now.wall,
            ..Notice::default()
        }
    }
}

struct Selected<'a> {
    items: Vec<Item<'a>>,
    named: Option<usize>,
    cut: bool,
}

/// Everything; or, if that is too much, only what is new, and of that as much as fits.
fn select(mut items: Vec<Item<'_>>, reason: Reason, is_rest: bool, size: Size) -> Selected<'_> {
    let is_known = |item: &&Item<'_>| item.status == NoticeStatus::Firing && !item.new;
    let names = |items: &[Item<'_>]| size.names.of(items.len(), items.iter().filter(is_known).count());
    let most = size.most.unwrap_or(usize::MAX);
    if names(&items) <= most && !is_rest {
        return Selected { items, named: None, cut: false };
    }
    items.retain(|item| item.new || (reason == Reason::Repeat && !is_rest));
    let named = names(&items);
    let cut = named > most;
    if cut {
        // Those that a message of this receiver counts without naming them are counted in this one.
        items.drain(most..named);
    }
    Selected { items, named: (size.names != Named::All).then(|| named.min(most)), cut }
}

/// Firing alerts that are new first, then those that have ended, then those that the receiver knows; each by severity, the
/// highest first. Equals are sorted by what the
/// message calls them: in the order of names, a pseudonym would show where in the alphabet its user is.
fn in_order<'a>(mut items: Vec<Item<'a>>, pseudonym: Option<&Pseudonym>) -> Vec<Item<'a>> {
    items.sort_by_cached_key(|Item { id, status, new, alert, .. }| {
        let subject = displayed(alert.rule().kind.kind, &id.subject, pseudonym).into_owned();
        let place = match status {
            NoticeStatus::Firing if *new => 0,
            NoticeStatus::Resolved => 1,
            NoticeStatus::Firing => 2,
        };
        let rank = (place, Reverse(alert.severity()));
        (rank, Arc::clone(&id.target), Arc::clone(&id.rule), subject, Arc::clone(&id.step))
    });
    items
}

/// As Alertmanager writes it.
pub(super) fn key_of(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}

/// A digest of what a message says of which alerts, in whatever order.
pub(super) fn digest(alerts: impl Iterator<Item = (EventId, NoticeStatus)>) -> u64 {
    let mut alerts: Vec<_> = alerts.map(|(event, status)| (event, status == NoticeStatus::Firing)).collect();
    alerts.sort_unstable();
    let mut hasher = DefaultHasher::new();
    alerts.hash(&mut hasher);
    hasher.finish()
}

fn said(items: &[Item<'_>]) -> u64 {
    digest(items.iter().map(|item| (item.event, item.status)))
}

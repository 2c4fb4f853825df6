//! The lines of a daily digest. Users have the names here that the reader may know them by.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    format::amounts,
    voice::{Voice, args},
};
use crate::model::{
    Day, Marks, Timestamp,
    words::{bytes, one_line},
};

/// The most characters of a name.
const NAME: usize = 100;

/// What of a target can be down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failing {
    /// The target itself.
    Target,
    Node(Arc<str>),
    Outbound(Arc<str>),
    Credential(Arc<str>),
}

impl Failing {
    /// Absent: it is the target itself.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Failing::Target => None,
            Failing::Node(name) | Failing::Outbound(name) | Failing::Credential(name) => Some(name),
        }
    }
}

impl Voice {
    /// `Daily digest, 26 November 2026: 3 users expire soon`
    pub fn digest_title(&self, day: Timestamp, counts: &[(&str, usize)]) -> String {
        let title = self.say("digest-title", &args([("day", self.day(day).into())]));
        let parts = counts.iter().filter(|(_, count)| *count > 0);
        let parts: Vec<_> = parts.map(|(id, count)| self.count(id, *count)).collect();
        match parts.as_slice() {
            [] => title,
            parts => {
                let parts = parts.join(&self.text("list-comma"));
                self.say("digest-title-with", &args([("title", title.into()), ("parts", parts.into())]))
            }
        }
    }

    /// It was due then, and covers what has changed since `since`.
    pub fn digest_late(&self, due: Timestamp, since: Timestamp) -> String {
        let (due, since) = (self.date(due), self.date(since));
        self.say("digest-late", &args([("due", due.into()), ("since", since.into())]))
    }

    pub fn digest_nothing(&self, since: Timestamp) -> String {
        self.say("digest-nothing", &args([("since", self.date(since).into())]))
    }

    /// The heading `id` of a list about a target.
    pub fn digest_heading(&self, id: &str, target: &str) -> String {
        self.say(id, &args([("target", self.short(target).into())]))
    }

    /// The heading of the list of users who used the most on a day.
    pub fn digest_heading_top(&self, target: &str, day: Day) -> String {
        let values = [("target", self.short(target).into()), ("day", self.calendar_day(day).into())];
        self.say("digest-heading-top", &args(values))
    }

    /// `ann: 12 GiB`, with what the marks say of it
    pub fn digest_used(&self, name: &str, used: u64, marks: Marks) -> String {
        let notes = [(Marks::GAP, "digest-note-gap"), (Marks::RESET, "digest-note-reset")];
        let notes = notes.into_iter().filter(|(mark, _)| marks.has(*mark)).map(|(_, id)| self.text(id));
        let note = notes.collect::<Vec<_>>().join(&self.text("list-comma"));
        let id = if note.is_empty() { "digest-used" } else { "digest-used-note" };
        let values = [("name", self.short(name).into()), ("used", bytes(used).into()), ("note", note.into())];
        self.say(id, &args(values))
    }

    /// `node DE-1 was down for 6 min 40 s, from 25 November 2026, 19:15`
    pub fn digest_outage(
        &self,
        target: &str,
        failing: &Failing,
        since: Timestamp,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> String {
        let id = match (failing, until) {
            (Failing::Target, Some(_)) => "digest-outage-target",
            (Failing::Target, None) => "digest-outage-target-now",
            (Failing::Node(_), Some(_)) => "digest-outage-node",
            (Failing::Node(_), None) => "digest-outage-node-now",
            (Failing::Outbound(_), Some(_)) => "digest-outage-outbound",
            (Failing::Outbound(_), None) => "digest-outage-outbound-now",
            (Failing::Credential(_), Some(_)) => "digest-outage-credential",
            (Failing::Credential(_), None) => "digest-outage-credential-now",
        };
        let lasted = self.duration(until.unwrap_or(now).since(since));
        let values = [
            ("name", self.short(failing.name().map_or(target, |name| name)).into()),
            ("lasted", lasted.into()),
            ("date", self.date(since).into()),
        ];
        self.say(id, &args(values))
    }

    /// `node DE-1 was down for 6 min 40 s, from 25 November 2026, 19:15 (the last of 3 outages, 41 min altogether)`. `last`
    /// is the sentence about the last one.
    pub fn digest_outages(&self, last: &str, count: usize, lasted: Duration) -> String {
        let values =
            [("last", last.into()), ("count", count.into()), ("lasted", self.duration(lasted).into())];
        self.say("digest-outages", &args(values))
    }

    /// `ann: in 1 day 23 h (28 November 2026, 09:00)`
    pub fn digest_expires(&self, name: &str, end: Timestamp, now: Timestamp) -> String {
        let (when, date) = (self.relative(end, now), self.date(end));
        let name = self.short(name);
        self.say(
            "digest-expires",
            &args([("name", name.into()), ("when", when.into()), ("date", date.into())]),
        )
    }

    /// `bob: 97 % (97 of 100 GiB)`
    pub fn digest_uses(&self, name: &str, used: u64, limit: u64) -> String {
        let share = u128::from(used) * 100 / u128::from(limit.max(1));
        let (used, limit) = amounts(bytes(used), &bytes(limit));
        let values = [
            ("name", self.short(name).into()),
            ("percent", self.share(&share.to_string()).into()),
            ("used", used.into()),
            ("limit", limit.into()),
        ];
        self.say("digest-uses", &args(values))
    }

    /// `ann: until 24 January 2027`
    pub fn digest_renewed(&self, name: &str, until: Option<Timestamp>) -> String {
        let name = self.short(name);
        match until {
            Some(until) => {
                self.say("digest-renewed", &args([("name", name.into()), ("day", self.day(until).into())]))
            }
            None => self.say("digest-renewed-forever", &args([("name", name.into())])),
        }
    }

    /// `cy: 0 of 100 GiB used, 97 GiB before`. Each pair is the present and the former value.
    pub fn digest_reset(
        &self,
        name: &str,
        (used, used_before): (u64, u64),
        (limit, limit_before): (Option<u64>, Option<u64>),
    ) -> String {
        let (id, before) = match limit_before {
            Some(before) if limit.is_none() => ("digest-unlimited", before),
            Some(before) if limit > Some(before) => ("digest-raised", before),
            Some(_) | None => ("digest-reset", used_before),
        };
        let limit = limit.map(bytes).unwrap_or_default();
        let (used, limit) = amounts(bytes(used), &limit);
        let values = [
            ("name", self.short(name).into()),
            ("used", used.into()),
            ("limit", limit.into()),
            ("before", bytes(before).into()),
        ];
        self.say(id, &args(values))
    }

    /// A name on its own.
    pub fn digest_name(&self, name: &str) -> String {
        self.short(name)
    }

    pub(super) fn short(&self, name: &str) -> String {
        let line = one_line(name, NAME);
        match self.name(&line) {
            Cow::Borrowed(_) => line,
            Cow::Owned(isolated) => isolated,
        }
    }
}

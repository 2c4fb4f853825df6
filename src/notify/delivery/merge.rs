//! Merges two undelivered notices into one.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    ptr,
};

use crate::{
    model::{Notice, NoticeAlert, NoticeStatus, Timestamp},
    notify::notice_id,
};

/// The most ids that a notice may cover; beyond that, the oldest are dropped. A group that changes every five minutes
/// needs more than three days to reach this.
const MOST_COVERED: usize = 1000;
/// The most alerts to remember as delivered.
const MOST_TOLD: usize = 50_000;

/// What the receiver knows, as far as it decides what need not be sent.
#[derive(Debug)]
pub(super) struct Told {
    /// Hashes of the labels of the alerts that the receiver believes to be firing. A collision only sends a resolved
    /// alert that could have been left out.
    firing: HashSet<u64>,
    /// It is unknown whether the receiver knows of alerts that started before this.
    known_since: Timestamp,
}

/// Whether the receiver accepted a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Surely,
    Maybe,
}

impl Told {
    /// Nothing is known of what happened up to `now`.
    pub(super) fn nothing_known(now: Timestamp) -> Self {
        Told { firing: HashSet::new(), known_since: now }
    }

    /// The receiver accepted this notice, or may have. A resolved alert that it only may have accepted must still be
    /// sent.
    pub(super) fn remember(&mut self, notice: &Notice, taken: Taken, now: Timestamp) {
        for alert in in_order(notice) {
            match (alert.status, taken) {
                (NoticeStatus::Firing, _) => drop(self.firing.insert(key(alert))),
                (NoticeStatus::Resolved, Taken::Surely) => drop(self.firing.remove(&key(alert))),
                (NoticeStatus::Resolved, Taken::Maybe) => {}
            }
        }
        if self.firing.len() > MOST_TOLD {
            *self = Told::nothing_known(now);
        }
    }

    fn is_surely_untold(&self, alert: &NoticeAlert) -> bool {
        alert.starts_at > self.known_since && !self.firing.contains(&key(alert))
    }
}

fn key(alert: &NoticeAlert) -> u64 {
    let mut hasher = DefaultHasher::new();
    alert.labels.hash(&mut hasher);
    hasher.finish()
}

/// Hashes of a notice's group and of the labels of its alerts. A collision only merges two notices.
pub(super) fn about(notice: &Notice) -> HashSet<u64> {
    let mut hasher = DefaultHasher::new();
    notice.group.hash(&mut hasher);
    notice.alerts.iter().map(key).chain([hasher.finish()]).collect()
}

/// Resolved alerts come first: what a notice reports as firing is firing now.
fn in_order(notice: &Notice) -> impl Iterator<Item = &NoticeAlert> {
    let of = |status| notice.alerts.iter().filter(move |alert| alert.status == status);
    of(NoticeStatus::Resolved).chain(of(NoticeStatus::Firing))
}

/// Merges an undelivered notice with a newer one of its group. The result has an id of its own, covers both, and has
/// each alert once, in its newest state; absent if nothing is left to send. The end of an alert is left out if the
/// receiver does not know that it started.
pub(super) fn merge(older: &Notice, newer: &Notice, told: &mut Told) -> Option<Notice> {
    let mut newest: HashMap<_, &NoticeAlert> = HashMap::new();
    for alert in in_order(older).chain(in_order(newer)) {
        let Some(before) = newest.insert(&alert.labels, alert) else { continue };
        let untold = told.is_surely_untold(before);
        match (before.status, alert.status) {
            (NoticeStatus::Firing, NoticeStatus::Resolved) if untold => drop(newest.remove(&alert.labels)),
            // For the receiver this alert never ended, so its end must be sent.
            (_, NoticeStatus::Firing) if !untold => drop(told.firing.insert(key(alert))),
            _ => {}
        }
    }
    let is_newest =
        |alert: &&NoticeAlert| newest.get(&alert.labels).is_some_and(|newest| ptr::eq(*newest, *alert));
    let mut alerts: Vec<_> = newer.alerts.iter().chain(&older.alerts).filter(is_newest).cloned().collect();
    if alerts.is_empty() {
        return None;
    }
    alerts.sort_by_key(|alert| (alert.status == NoticeStatus::Resolved, Reverse(alert.severity)));
    let mut covers = older.covers.clone();
    covers.push(older.id.clone());
    covers.extend(newer.covers.iter().cloned());
    covers.push(newer.id.clone());
    covers.drain(..covers.len().saturating_sub(MOST_COVERED));
    // All of them, unless the grouping has changed.
    let mut group_labels = newer.group_labels.clone();
    group_labels.retain(|name, value| older.group_labels.get(name) == Some(value));
    Some(Notice { id: notice_id(), alerts, covers, group_labels, ..newer.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Severity,
        notify::delivery::tests::{alert, notice},
    };

    const START: Timestamp = Timestamp::from_secs(1_000);

    fn events(notice: Option<&Notice>) -> Vec<String> {
        let word = |alert: &NoticeAlert| match alert.status {
            NoticeStatus::Firing => alert.event.clone(),
            NoticeStatus::Resolved => format!("-{}", alert.event),
        };
        notice.map(|notice| notice.alerts.iter().map(word).collect()).unwrap_or_default()
    }

    #[test]
    fn merging() {
        // `a` is firing, `-a` has ended; a.1 and a.2 are the same alert, one after the other.
        for (what, told, older, newer, expected) in [
            ("the newer counts", "", "a b", "b c", "b c a"),
            ("an end is not sent for an unknown start", "", "a", "-a", ""),
            ("nor while others fire", "", "a", "-a b", "b"),
            ("a known alert ends", "a", "a", "-a", "-a"),
            ("an end remains to be sent", "", "-a", "b", "b -a"),
            ("and what fires comes first", "a", "c", "-a b", "b c -a"),
            ("an end whose start is unknown is sent", "", "b", "-a", "b -a"),
            ("of one alert only the newest is sent", "", "a.1 b", "a.2", "a.2 b"),
            ("not that it ended and fires", "a.1", "-a.1", "a.2", "a.2"),
            ("nor its ends one by one", "a.1", "-a.1", "-a.2", "-a.2"),
            ("nor within one notice", "a.1", "b", "a.2 -a.1", "a.2 b"),
            ("what came, went and came again", "", "a.1", "a.2 -a.1", "a.2"),
        ] {
            let parse = |text: &str| {
                let alerts = text.split_whitespace().map(|word| match word.strip_prefix('-') {
                    Some(event) => alert(event, NoticeStatus::Resolved),
                    None => alert(word, NoticeStatus::Firing),
                });
                notice("n", "g", alerts.collect())
            };
            let mut knowledge = Told::nothing_known(Timestamp::from_secs(1));
            knowledge.remember(&parse(told), Taken::Surely, START);
            let merged = merge(&parse(older), &parse(newer), &mut knowledge);
            assert_eq!(events(merged.as_ref()).join(" "), expected, "{what}");
        }
    }

    #[test]
    fn what_started_before_this_process_may_be_known() {
        let fires = notice("1", "g", vec![alert("a", NoticeStatus::Firing)]);
        let ended = notice("2", "g", vec![alert("a", NoticeStatus::Resolved)]);
        let began = fires.alerts[0].starts_at;
        assert_eq!(events(merge(&fires, &ended, &mut Told::nothing_known(began)).as_ref()), ["-a"]);
        let just_before = began.saturating_add_millis(-1);
        assert_eq!(merge(&fires, &ended, &mut Told::nothing_known(just_before)), None);
    }

    #[test]
    fn the_end_is_sent_of_what_started_again_before_its_first_end_was_sent() {
        let one = |event: &str, status| notice("n", "g", vec![alert(event, status)]);
        let again = one("a.2", NoticeStatus::Firing);
        let ended_again = one("a.2", NoticeStatus::Resolved);
        let mut told = Told::nothing_known(Timestamp::from_secs(1));
        told.remember(&one("a.1", NoticeStatus::Firing), Taken::Surely, START);
        let merged = merge(&one("a.1", NoticeStatus::Resolved), &again, &mut told).unwrap();
        assert_eq!(events(merge(&merged, &ended_again, &mut told).as_ref()), ["-a.2"]);

        // The first alert started before this process, so the receiver may know of it.
        let mut first = one("a.1", NoticeStatus::Resolved);
        first.alerts[0].starts_at = Timestamp::from_secs(1);
        let mut told = Told::nothing_known(Timestamp::from_secs(2));
        let merged = merge(&first, &again, &mut told).unwrap();
        assert_eq!(events(merge(&merged, &ended_again, &mut told).as_ref()), ["-a.2"]);
    }

    #[test]
    fn an_end_that_may_not_have_been_taken_leaves_the_alert_told() {
        let one = |status| notice("n", "g", vec![alert("a", status)]);
        for (taken, untold) in [(Taken::Surely, true), (Taken::Maybe, false)] {
            let mut told = Told::nothing_known(Timestamp::from_secs(1));
            told.remember(&one(NoticeStatus::Firing), Taken::Maybe, START);
            told.remember(&one(NoticeStatus::Resolved), taken, START);
            assert_eq!(told.is_surely_untold(&alert("a", NoticeStatus::Firing)), untold, "{taken:?}");
        }
    }

    #[test]
    fn the_merged_notice_stands_for_all() {
        let mut told = Told::nothing_known(START);
        let mut older = notice("1", "g", vec![alert("a", NoticeStatus::Firing)]);
        older.covers = vec!["0".into()];
        let mut newer = notice("2", "g", vec![alert("b", NoticeStatus::Firing)]);
        newer.alerts[0].severity = Severity::Info;
        newer.reason = "newest".into();
        let merged = merge(&older, &newer, &mut told).unwrap();
        assert_eq!(merged.covers, ["0", "1", "2"]);
        assert_eq!((merged.reason.as_str(), merged.created_at), ("newest", newer.created_at));
        assert_eq!(events(Some(&merged)), ["a", "b"], "the worst first");
        assert!(!["0", "1", "2"].contains(&merged.id.as_str()));
        let mut long = older.clone();
        long.covers = (0..5000).map(|n| format!("old-{n}")).collect();
        let covers = merge(&long, &newer, &mut told).unwrap().covers;
        assert_eq!((covers.len(), covers.last().map(String::as_str)), (MOST_COVERED, Some("2")));
    }

    #[test]
    fn memory_of_what_was_told_is_bounded() {
        let mut told = Told::nothing_known(Timestamp::from_secs(1));
        let now = Timestamp::from_secs(5_000_000_000);
        for n in 0..=MOST_TOLD {
            told.remember(
                &notice("n", "g", vec![alert(&n.to_string(), NoticeStatus::Firing)]),
                Taken::Surely,
                now,
            );
        }
        assert!(told.firing.is_empty());
        assert!(!told.is_surely_untold(&alert("0", NoticeStatus::Firing)), "forgotten is not unknown");
    }
}

//! Making one notice of two that were never delivered.

use std::{cmp::Reverse, collections::HashSet};

use crate::{
    model::{Notice, NoticeAlert, NoticeStatus, Timestamp},
    notify::notice_id,
};

/// Ids that a notice may stand for; of more, the oldest are forgotten. A group that changes every five minutes gathers
/// as many in more than three days.
const MOST_COVERED: usize = 1000;
/// Events that are remembered as told.
const MOST_TOLD: usize = 50_000;

/// What the receiver has been told of, as far as it matters for what may be left unsaid.
#[derive(Debug)]
pub(super) struct Told {
    events: HashSet<String>,
    /// Of what began before, nobody knows.
    known_since: Timestamp,
}

impl Told {
    /// Knows nothing of what happened up to `now`.
    pub(super) fn nothing_known(now: Timestamp) -> Self {
        Told { events: HashSet::new(), known_since: now }
    }

    /// The receiver took this notice, or may have.
    pub(super) fn remember(&mut self, notice: &Notice, now: Timestamp) {
        for alert in &notice.alerts {
            match alert.status {
                NoticeStatus::Firing => drop(self.events.insert(alert.event.clone())),
                NoticeStatus::Resolved => drop(self.events.remove(&alert.event)),
            }
        }
        if self.events.len() > MOST_TOLD {
            *self = Told::nothing_known(now);
        }
    }

    fn is_surely_untold(&self, alert: &NoticeAlert) -> bool {
        alert.starts_at > self.known_since && !self.events.contains(&alert.event)
    }
}

/// What becomes of a notice that was not delivered when a newer one of its group comes: one that stands for both, with
/// an id of its own, or nothing if there is nothing left to tell. What the newer says of an alert counts. That an alert
/// ended which nobody was told of is not told either.
pub(super) fn merge(older: &Notice, newer: &Notice, told: &Told) -> Option<Notice> {
    let fired_unseen: HashSet<&str> = older
        .alerts
        .iter()
        .filter(|alert| alert.status == NoticeStatus::Firing && told.is_surely_untold(alert))
        .map(|alert| alert.event.as_str())
        .collect();
    let in_newer: HashSet<&str> = newer.alerts.iter().map(|alert| alert.event.as_str()).collect();
    let news = newer
        .alerts
        .iter()
        .filter(|alert| alert.status == NoticeStatus::Firing || !fired_unseen.contains(alert.event.as_str()));
    let rest = older.alerts.iter().filter(|alert| !in_newer.contains(alert.event.as_str()));
    let mut alerts: Vec<_> = news.chain(rest).cloned().collect();
    if alerts.is_empty() {
        return None;
    }
    alerts.sort_by_key(|alert| (alert.status == NoticeStatus::Resolved, Reverse(alert.severity)));
    let mut covers = older.covers.clone();
    covers.push(older.id.clone());
    covers.extend(newer.covers.iter().cloned());
    covers.push(newer.id.clone());
    covers.drain(..covers.len().saturating_sub(MOST_COVERED));
    Some(Notice { id: notice_id(), alerts, covers, ..newer.clone() })
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
        // A name alone fires, one after a minus has ended.
        for (what, told, older, newer, expected) in [
            ("the newer counts", "", "a b", "b c", "b c a"),
            ("what ended untold is not told", "", "a", "-a", ""),
            ("nor is it while others fire", "", "a", "-a b", "b"),
            ("what was told ends", "a", "a", "-a", "-a"),
            ("an end stays to be told", "", "-a", "b", "b -a"),
            ("and what fires comes first", "a", "c", "-a b", "b c -a"),
            ("an end that we only hear of now is told", "", "b", "-a", "b -a"),
        ] {
            let parse = |text: &str| {
                let alerts = text.split_whitespace().map(|word| match word.strip_prefix('-') {
                    Some(event) => alert(event, NoticeStatus::Resolved),
                    None => alert(word, NoticeStatus::Firing),
                });
                notice("n", "g", alerts.collect())
            };
            let mut knowledge = Told::nothing_known(Timestamp::from_secs(1));
            knowledge.remember(&parse(told), START);
            let merged = merge(&parse(older), &parse(newer), &knowledge);
            assert_eq!(events(merged.as_ref()).join(" "), expected, "{what}");
        }
    }

    #[test]
    fn what_began_before_we_did_may_have_been_told() {
        let fires = notice("1", "g", vec![alert("a", NoticeStatus::Firing)]);
        let ended = notice("2", "g", vec![alert("a", NoticeStatus::Resolved)]);
        let began = fires.alerts[0].starts_at;
        assert_eq!(events(merge(&fires, &ended, &Told::nothing_known(began)).as_ref()), ["-a"]);
        let just_before = began.saturating_add_millis(-1);
        assert_eq!(merge(&fires, &ended, &Told::nothing_known(just_before)), None);
    }

    #[test]
    fn the_merged_notice_stands_for_all() {
        let told = Told::nothing_known(START);
        let mut older = notice("1", "g", vec![alert("a", NoticeStatus::Firing)]);
        older.covers = vec!["0".into()];
        let mut newer = notice("2", "g", vec![alert("b", NoticeStatus::Firing)]);
        newer.alerts[0].severity = Severity::Info;
        newer.reason = "newest".into();
        let merged = merge(&older, &newer, &told).unwrap();
        assert_eq!(merged.covers, ["0", "1", "2"]);
        assert_eq!((merged.reason.as_str(), merged.created_at), ("newest", newer.created_at));
        assert_eq!(events(Some(&merged)), ["a", "b"], "the worst first");
        assert!(!["0", "1", "2"].contains(&merged.id.as_str()));
        let mut long = older.clone();
        long.covers = (0..5000).map(|n| format!("old-{n}")).collect();
        let covers = merge(&long, &newer, &told).unwrap().covers;
        assert_eq!((covers.len(), covers.last().map(String::as_str)), (MOST_COVERED, Some("2")));
    }

    #[test]
    fn memory_of_what_was_told_is_bounded() {
        let mut told = Told::nothing_known(Timestamp::from_secs(1));
        let now = Timestamp::from_secs(5_000_000_000);
        for n in 0..=MOST_TOLD {
            told.remember(&notice("n", "g", vec![alert(&n.to_string(), NoticeStatus::Firing)]), now);
        }
        assert!(told.events.is_empty());
        assert!(!told.is_surely_untold(&alert("0", NoticeStatus::Firing)), "forgotten is not untold");
    }
}

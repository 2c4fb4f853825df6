//! The human-readable texts of a notice.
//!
//! Names in a notice come from panels, where users may have chosen them. These texts have no line breaks, no control
//! characters and nothing that changes the text direction, and their length is limited.

use std::sync::Arc;

use crate::model::{Notice, NoticeAlert, NoticeStatus, Severity, Timestamp, words::one_line};

/// The most alerts that a message lists; the rest is counted.
pub(super) const ROWS: usize = 50;
/// The most characters of a name in a subject line, of a name elsewhere, of a fact, and of a sentence.
const NAME_IN_SUBJECT: usize = 40;
const NAME: usize = 100;
const FACT: usize = 200;
const SENTENCE: usize = 500;
/// The most facts about one alert, e.g. `remaining`.
const FACTS: usize = 12;

/// The texts of a notice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// `[FIRING:3] ProxymeterUserExpiry on home (warning)`. At most 180 characters.
    pub(super) subject: String,
    /// The subject without any name that a panel's users may choose.
    pub(super) plain_subject: String,
    /// How many alerts fire, which, and where.
    pub(super) headline: String,
    /// Why the notice is sent.
    pub(super) reason: String,
    /// The first alerts; firing ones before resolved ones.
    pub(super) rows: Vec<Row>,
    /// The number of alerts without a row.
    pub(super) left_out: Option<String>,
    /// The number of alerts that are not in this notice.
    pub(super) follow: Option<String>,
    /// The sender and the receiver.
    pub(super) footer: String,
}

/// The texts of an alert.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) status: NoticeStatus,
    pub(super) severity: Severity,
    /// Its subject, e.g. `alice`, and the target if the notice has several.
    pub(super) subject: String,
    /// Empty if its rule has no steps.
    pub(super) step: String,
    /// The alert's name, if the notice has several, its summary and its description.
    pub(super) sentences: Vec<String>,
    /// The other annotations, e.g. `remaining` and `2d 4h`.
    pub(super) facts: Vec<(String, String)>,
    /// `since 2026-11-21 07:58:00 UTC`, or from when until when.
    pub(super) time: String,
}

impl Words {
    pub(super) fn of(notice: &Notice) -> Self {
        let firing = count(&notice.alerts, NoticeStatus::Firing);
        let resolved = count(&notice.alerts, NoticeStatus::Resolved);
        let plain_subject = subject(notice, firing, None);
        let only = match notice.alerts.as_slice() {
            [alert] => label(alert, "subject").filter(|name| label(alert, "target") != Some(name)),
            _ => None,
        };

        let (listed, rest) = notice.alerts.split_at(notice.names(Some(ROWS)));
        let ordered = [NoticeStatus::Firing, NoticeStatus::Resolved]
            .into_iter()
            .flat_map(|status| listed.iter().filter(move |alert| alert.status == status));
        Words {
            subject: subject(notice, firing, only),
            plain_subject,
            headline: format!("{}: {}.", how_many(firing, resolved), which(notice, NAME)),
            reason: format!("Reason: {}.", one_line(&notice.reason.replace('_', " "), NAME)),
            rows: ordered.map(|alert| row(notice, alert)).collect(),
            left_out: left_out(rest),
            follow: follow(notice.follow),
            footer: format!("Sent by proxymeter to the receiver \"{}\".", one_line(&notice.receiver, NAME)),
        }
    }
}

fn subject(notice: &Notice, firing: usize, only: Option<&str>) -> String {
    let state = match notice.status() {
        NoticeStatus::Firing => format!("[FIRING:{firing}]"),
        NoticeStatus::Resolved => "[RESOLVED]".to_owned(),
    };
    let severity = match notice.status() {
        NoticeStatus::Firing => format!(" ({})", notice.severity().label()),
        NoticeStatus::Resolved => String::new(),
    };
    let which = which(notice, NAME_IN_SUBJECT);
    let only = only.map(|name| format!(": {}", one_line(name, NAME_IN_SUBJECT))).unwrap_or_default();
    // Mail clients would decode text that looks like an encoded word (RFC 2047).
    format!("{state} {which}{only}{severity}").replace("=?", "= ?")
}

fn how_many(firing: usize, resolved: usize) -> String {
    match (firing, resolved) {
        (0, 0) => "No alert is firing".to_owned(),
        (1, 0) => "1 alert is firing".to_owned(),
        (_, 0) => format!("{firing} alerts are firing"),
        (0, 1) => "1 alert is resolved".to_owned(),
        (0, _) => format!("{resolved} alerts are resolved"),
        (1, 1) => "1 alert is firing, 1 is resolved".to_owned(),
        (1, _) => format!("1 alert is firing, {resolved} are resolved"),
        (_, 1) => format!("{firing} alerts are firing, 1 is resolved"),
        (_, _) => format!("{firing} alerts are firing, {resolved} are resolved"),
    }
}

/// `ProxymeterUserExpiry on home`
fn which(notice: &Notice, name: usize) -> String {
    let alert = match shared(notice, "alertname") {
        Shared::By(all) => one_line(all, name),
        Shared::Differs | Shared::Absent => "several kinds of alert".to_owned(),
    };
    match shared(notice, "target") {
        Shared::By(all) => format!("{alert} on {}", one_line(all, name)),
        Shared::Differs => format!("{alert} on several targets"),
        Shared::Absent => alert,
    }
}

fn row(notice: &Notice, alert: &NoticeAlert) -> Row {
    let name = label(alert, "subject").or(label(alert, "target")).unwrap_or("(no name)");
    let mut subject = one_line(name, NAME);
    if let (Shared::Differs, Some(target)) = (shared(notice, "target"), label(alert, "target"))
        && target != name
    {
        subject = format!("{subject} on {}", one_line(target, NAME));
    }

    let kind = match shared(notice, "alertname") {
        Shared::By(_) => None,
        Shared::Differs | Shared::Absent => label(alert, "alertname"),
    };
    let told = ["summary", "description"].map(|key| alert.annotations.get(key).map(String::as_str));
    let sentences = [kind].into_iter().chain(told).flatten().map(|text| one_line(text, SENTENCE));
    let facts = alert
        .annotations
        .iter()
        .filter(|(key, value)| !matches!(key.as_str(), "summary" | "description") && !value.is_empty())
        .take(FACTS)
        .map(|(key, value)| (one_line(key, NAME), one_line(value, FACT)));

    Row {
        status: alert.status,
        severity: alert.severity,
        subject,
        step: one_line(label(alert, "step").unwrap_or_default(), NAME),
        sentences: sentences.filter(|sentence| !sentence.is_empty()).collect(),
        facts: facts.collect(),
        time: match alert.ends_at {
            None => format!("since {}", utc(alert.starts_at)),
            Some(end) => format!("from {} until {}", utc(alert.starts_at), utc(end)),
        },
    }
}

fn left_out(rest: &[Arc<NoticeAlert>]) -> Option<String> {
    let firing = count(rest, NoticeStatus::Firing);
    let resolved = count(rest, NoticeStatus::Resolved);
    match (firing, resolved) {
        (0, 0) => None,
        (_, 0) => Some(format!("… and {firing} more that are firing.")),
        (0, _) => Some(format!("… and {resolved} more that are resolved.")),
        (_, _) => Some(format!("… and {firing} more that are firing and {resolved} more that are resolved.")),
    }
}

fn follow(alerts: usize) -> Option<String> {
    match alerts {
        0 => None,
        1 => Some("1 more alert follows in the next message.".to_owned()),
        _ => Some(format!("{alerts} more alerts follow in the next message.")),
    }
}

/// Whether all alerts of a notice have the same value of a label.
enum Shared<'a> {
    By(&'a str),
    Differs,
    Absent,
}

fn shared<'a>(notice: &'a Notice, name: &str) -> Shared<'a> {
    let mut values = notice.alerts.iter().map(|alert| label(alert, name));
    let Some(first) = values.next() else {
        return notice.group_labels.get(name).map_or(Shared::Absent, |value| Shared::By(value));
    };
    match first {
        _ if values.any(|other| other != first) => Shared::Differs,
        Some(value) => Shared::By(value),
        None => Shared::Absent,
    }
}

fn label<'a>(alert: &'a NoticeAlert, name: &str) -> Option<&'a str> {
    alert.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn count(alerts: &[Arc<NoticeAlert>], status: NoticeStatus) -> usize {
    alerts.iter().filter(|alert| alert.status == status).count()
}

fn utc(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.as_millis()) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{} s after 1970 UTC", time.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(labels: &[(&str, &str)]) -> NoticeAlert {
        NoticeAlert {
            event: "e".to_owned(),
            status: NoticeStatus::Firing,
            severity: Severity::Warning,
            labels: labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            annotations: [("summary", "User expires soon."), ("remaining", "2d"), ("limit", "")]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into(),
            starts_at: Timestamp::from_secs(1_795_000_000),
            ends_at: None,
        }
    }

    fn user(target: &str, subject: &str) -> NoticeAlert {
        alert(&[
            ("alertname", "ProxymeterUserExpiry"),
            ("target", target),
            ("subject", subject),
            ("step", "3d"),
        ])
    }

    fn down(target: &str) -> NoticeAlert {
        NoticeAlert {
            severity: Severity::Critical,
            ..alert(&[("alertname", "ProxymeterTargetDown"), ("target", target), ("subject", target)])
        }
    }

    fn resolved(alert: NoticeAlert) -> NoticeAlert {
        let ends_at = Some(alert.starts_at.saturating_add_millis(90_061_999));
        NoticeAlert { status: NoticeStatus::Resolved, ends_at, ..alert }
    }

    fn notice(alerts: Vec<NoticeAlert>) -> Notice {
        Notice {
            id: "1".to_owned(),
            receiver: "ops".to_owned(),
            group: "g".to_owned(),
            group_labels: [("target".to_owned(), "home".to_owned())].into(),
            reason: "new_alerts".to_owned(),
            alerts: alerts.into_iter().map(Arc::new).collect(),
            left_out: 0,
            follow: 0,
            others_fire: false,
            named: None,
            covers: Vec::new(),
            digest: None,
            created_at: Timestamp::from_secs(1_795_000_000),
        }
    }

    #[test]
    fn subjects_and_headlines() {
        for (alerts, subject, headline) in [
            (
                vec![user("home", "alice"), user("home", "bob")],
                "[FIRING:2] ProxymeterUserExpiry on home (warning)",
                "2 alerts are firing: ProxymeterUserExpiry on home.",
            ),
            (
                vec![user("home", "alice")],
                "[FIRING:1] ProxymeterUserExpiry on home: alice (warning)",
                "1 alert is firing: ProxymeterUserExpiry on home.",
            ),
            (
                vec![down("home")],
                "[FIRING:1] ProxymeterTargetDown on home (critical)",
                "1 alert is firing: ProxymeterTargetDown on home.",
            ),
            (
                vec![user("home", "alice"), resolved(user("home", "bob"))],
                "[FIRING:1] ProxymeterUserExpiry on home (warning)",
                "1 alert is firing, 1 is resolved: ProxymeterUserExpiry on home.",
            ),
            (
                vec![resolved(down("home"))],
                "[RESOLVED] ProxymeterTargetDown on home",
                "1 alert is resolved: ProxymeterTargetDown on home.",
            ),
            (
                vec![down("edge"), user("home", "alice")],
                "[FIRING:2] several kinds of alert on several targets (critical)",
                "2 alerts are firing: several kinds of alert on several targets.",
            ),
            (vec![alert(&[("alertname", "Test")])], "[FIRING:1] Test (warning)", "1 alert is firing: Test."),
            (
                vec![],
                "[RESOLVED] several kinds of alert on home",
                "No alert is firing: several kinds of alert on home.",
            ),
        ] {
            let words = Words::of(&notice(alerts));
            assert_eq!((words.subject.as_str(), words.headline.as_str()), (subject, headline));
        }
    }

    #[test]
    fn rows() {
        let words =
            Words::of(&notice(vec![user("home", "alice"), resolved(user("edge", "bob")), down("edge")]));
        assert_eq!(words.reason, "Reason: new alerts.");
        let told: Vec<_> = words
            .rows
            .iter()
            .map(|row| (row.subject.as_str(), row.step.as_str(), row.time.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("alice on home", "3d", "since 2026-11-18 11:06:40 UTC"),
                ("edge", "", "since 2026-11-18 11:06:40 UTC"),
                ("bob on edge", "3d", "from 2026-11-18 11:06:40 UTC until 2026-11-19 12:07:41 UTC"),
            ]
        );
        assert_eq!(words.rows[0].sentences, ["ProxymeterUserExpiry", "User expires soon."]);
        assert_eq!(words.rows[0].facts, [("remaining".to_owned(), "2d".to_owned())]);
    }

    #[test]
    fn what_is_beyond_the_list_is_counted() {
        let crowd = |firing: usize, over: usize| {
            let firing = (0..firing).map(|n| user("home", &n.to_string()));
            let over = (0..over).map(|n| resolved(user("home", &n.to_string())));
            Words::of(&notice(firing.chain(over).collect()))
        };
        for (firing, over, rows, left_out) in [
            (50, 0, 50, None),
            (51, 0, 50, Some("… and 1 more that are firing.")),
            (40, 30, 50, Some("… and 20 more that are resolved.")),
            (60, 3, 50, Some("… and 10 more that are firing and 3 more that are resolved.")),
        ] {
            let words = crowd(firing, over);
            assert_eq!((words.rows.len(), words.left_out.as_deref()), (rows, left_out));
        }
    }

    #[test]
    fn a_smaller_message_names_fewer() {
        for (alerts, named, left_out, rows, rest, next) in [
            (60, Some(25), 0, 25, Some("… and 35 more that are firing."), None),
            (60, Some(70), 0, 50, Some("… and 10 more that are firing."), None),
            (3, Some(25), 1, 3, None, Some("1 more alert follows in the next message.")),
            (3, None, 3, 3, None, Some("3 more alerts follow in the next message.")),
        ] {
            let alerts = (0..alerts).map(|n| user("home", &n.to_string())).collect();
            let words = Words::of(&Notice { named, left_out, follow: left_out, ..notice(alerts) });
            assert_eq!(words.rows.len(), rows);
            assert_eq!((words.left_out.as_deref(), words.follow.as_deref()), (rest, next));
        }
    }

    #[test]
    fn a_subject_line_is_short_and_not_an_encoded_word() {
        let long = "й".repeat(10_000);
        let words =
            Words::of(&notice(vec![alert(&[("alertname", &long), ("target", &long), ("subject", "x")])]));
        assert!(words.subject.chars().count() <= 180, "{}", words.subject);
        let words = Words::of(&notice(vec![user("home", "=?utf-8?b?aGk=?=")]));
        assert!(!words.subject.contains("=?"), "{}", words.subject);
    }

    #[test]
    fn times_no_calendar_holds() {
        assert_eq!(utc(Timestamp::from_secs(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(Timestamp::from_millis(i64::MAX)), "9223372036854775 s after 1970 UTC");
    }
}

use std::collections::BTreeMap;

use super::*;
use crate::model::{Pairs, Timestamp};

const START: Timestamp = Timestamp::from_secs(1_795_000_000);

fn alert(labels: &[(&str, &str)], description: &str) -> NoticeAlert {
    NoticeAlert {
        event: "e".to_owned(),
        status: NoticeStatus::Firing,
        severity: Severity::Warning,
        labels: labels.iter().copied().collect(),
        annotations: [
            ("description", description),
            ("summary", crate::wording::summary(labels[0].1)),
            ("action", "Do it."),
        ]
        .into(),
        starts_at: START,
        ends_at: None,
        began: Some(START.saturating_add_millis(-300_000)),
        until: None,
    }
}

fn user(target: &str, subject: &str, step: &str) -> NoticeAlert {
    let labels = [
        ("alertname", "ProxymeterUserExpiry"),
        ("target", target),
        ("kind", "user"),
        ("subject", subject),
        ("step", step),
    ];
    alert(&labels, &format!("User {subject} expires."))
}

fn node(subject: &str) -> NoticeAlert {
    let labels =
        [("alertname", "ProxymeterNodeDown"), ("target", "home"), ("kind", "node"), ("subject", subject)];
    NoticeAlert {
        severity: Severity::Critical,
        ..alert(&labels, &format!("Node {subject} is down: timeout."))
    }
}

fn resolved(alert: NoticeAlert, description: &str) -> NoticeAlert {
    let ends_at = Some(START.saturating_add_millis(90_061_999));
    let annotations = [("description", description)].into();
    NoticeAlert { status: NoticeStatus::Resolved, ends_at, annotations, ..alert }
}

fn notice(alerts: Vec<NoticeAlert>, known: usize) -> Notice {
    Notice {
        id: "1".to_owned(),
        receiver: "ops".to_owned(),
        group: "g".to_owned(),
        group_labels: BTreeMap::new(),
        reason: "new_alerts".to_owned(),
        alerts: alerts.into_iter().map(Arc::new).collect(),
        known,
        created_at: START,
        ..Notice::default()
    }
}

fn words(notice: &Notice) -> Words {
    Words::of(notice, &Voice { alone: false, ..Voice::default() })
}

#[test]
fn an_alert_without_words_is_told_by_its_labels() {
    let bare = |alert: NoticeAlert| NoticeAlert { annotations: Pairs::default(), ..alert };
    let unknown = alert(&[("alertname", "Other"), ("target", "home"), ("subject", "x")], "");
    for (alert, sentence) in [
        (user("home", "ann", "1d"), "user ann expires within 1 day"),
        (node("DE-1"), "node DE-1 is down"),
        (resolved(node("DE-1"), ""), "DE-1"),
        (unknown, "x"),
    ] {
        let words = words(&notice(vec![bare(alert)], 0));
        assert_eq!(words.sections[0].rows[0].sentence, sentence);
    }
}

#[test]
fn the_subject_says_what_is_new() {
    let many = |n: usize| (0..n).map(|n| user("home", &format!("u{n}"), "1d")).collect::<Vec<_>>();
    let runs = || resolved(user("home", "ann", "7d"), "User ann runs until 24 January 2027 (renewed).");
    let back = resolved(
        node("DE-1"),
        "Node DE-1 is connected again; it was down for 6 min 40 s (19:15:22–19:22:02).",
    );
    let with = |mut alerts: Vec<NoticeAlert>, more: Vec<NoticeAlert>| {
        alerts.extend(more);
        alerts
    };
    for (alerts, known, subject, plain) in [
        (vec![node("DE-1")], 0, "home: node DE-1 is down", "home: 1 new, 1 firing (Node is down)"),
        (
            vec![user("home", "ann", "1d"), user("home", "bob", "1d"), user("home", "cy", "1d")],
            0,
            "home: 3 users expire within 1 day (ann, bob, cy)",
            "home: 3 new, 3 firing (User expires soon or has expired)",
        ),
        (
            many(12),
            0,
            "home: 12 users expire within 1 day (u0, u1, u2 and 9 more)",
            "home: 12 new, 12 firing (User expires soon or has expired)",
        ),
        (
            vec![user("home", "ann", "expired")],
            0,
            "home: user ann has expired",
            "home: 1 new, 1 firing (User expires soon or has expired)",
        ),
        (
            vec![user("home", "a", "1d"), user("home", "b", "7d")],
            0,
            "home: 2 new, 2 firing",
            "home: 2 new, 2 firing (User expires soon or has expired)",
        ),
        (
            with(vec![user("home", "a", "1d"), node("n")], many(338)),
            338,
            "home: 2 new, 340 firing",
            "home: 2 new, 340 firing",
        ),
        (
            vec![user("home", "a", "1d"), user("edge", "b", "1d")],
            0,
            "several targets: 2 new, 2 firing",
            "several targets: 2 new, 2 firing (User expires soon or has expired)",
        ),
        (vec![back.clone()], 0, "home: node DE-1 is connected again", "home: 1 resolved, 0 firing"),
        (vec![runs(), back.clone()], 0, "home: 2 resolved: ann, DE-1", "home: 2 resolved, 0 firing"),
        (with(vec![runs()], many(5)), 5, "home: 1 resolved, 5 firing", "home: 1 resolved, 5 firing"),
        (
            vec![node("n"), runs()],
            0,
            "home: 1 new, 1 resolved, 1 firing",
            "home: 1 new, 1 resolved, 1 firing",
        ),
        (vec![node("DE-1")], 1, "home: still: node DE-1 is down", "home: 1 still firing (Node is down)"),
        (with(vec![node("DE-1")], many(3)), 4, "home: 4 still firing", "home: 4 still firing"),
        (
            vec![alert(&[("alertname", "Other")], "")],
            0,
            "proxymeter: Other",
            "proxymeter: 1 new, 1 firing (Other)",
        ),
        (vec![], 0, "proxymeter: nothing is firing", "proxymeter: nothing is firing"),
    ] {
        let words = words(&notice(alerts, known));
        assert_eq!((words.subject.as_str(), words.plain_subject.as_str()), (subject, plain));
    }
}

#[test]
fn a_message_lists_what_is_new_and_counts_the_rest() {
    let back = resolved(node("DE-1"), "Node DE-1 is connected again.");
    let told = words(&notice(vec![node("new"), user("home", "ann", "1d"), back, node("old")], 1));
    let sections: Vec<_> = told
        .sections
        .iter()
        .map(|section| {
            let rows = section
                .rows
                .iter()
                .map(|row| (row.sentence.as_str(), row.mark.as_deref(), row.time.as_deref()));
            (section.heading.as_str(), rows.collect::<Vec<_>>())
        })
        .collect();
    let since = Some("since 18 November 2026, 11:01");
    assert_eq!(
        sections,
        [
            (
                "New",
                vec![
                    ("Node new is down: timeout.", Some("critical"), since),
                    ("User ann expires.", Some("warning"), None),
                ]
            ),
            ("Resolved", vec![("Node DE-1 is connected again.", None, None)]),
        ]
    );
    assert_eq!(told.still.as_deref(), Some("1 alert is still firing."));
    let headings: Vec<_> = told.actions.iter().map(|action| action.heading.as_str()).collect();
    assert_eq!(headings, ["What to do (Node is down)", "What to do (User expires soon or has expired)"]);
    assert_eq!((told.link, told.follow), (None, None));

    // A repetition lists what goes on.
    let told = words(&notice(vec![node("old")], 1));
    assert_eq!((told.sections[0].heading.as_str(), told.sections[0].rows.len()), ("Still firing", 1));
    assert_eq!(told.still, None);
}

#[test]
fn what_is_beyond_the_list_is_counted() {
    for (firing, over, named, left_out, rows, rest, next) in [
        (50, 0, None, 0, 50, vec![], None),
        (51, 0, None, 0, 50, vec!["… and 1 more that is firing."], None),
        (40, 30, None, 0, 50, vec!["… and 20 more that are resolved."], None),
        (60, 3, None, 0, 50, vec!["… and 10 more that are firing.", "… and 3 more that are resolved."], None),
        (60, 0, Some(25), 0, 25, vec!["… and 35 more that are firing."], None),
        (60, 0, Some(70), 0, 50, vec!["… and 10 more that are firing."], None),
        (3, 0, Some(25), 1, 3, vec![], Some("1 more alert follows in the next message.")),
        (3, 0, None, 3, 3, vec![], Some("3 more alerts follow in the next message.")),
    ] {
        let firing = (0..firing).map(|n| user("home", &n.to_string(), "1d"));
        let over = (0..over).map(|n| resolved(user("home", &n.to_string(), "1d"), "User runs."));
        let notice = Notice { named, left_out, follow: left_out, ..notice(firing.chain(over).collect(), 0) };
        let words = words(&notice);
        assert_eq!(words.sections.iter().map(|section| section.rows.len()).sum::<usize>(), rows);
        assert_eq!(
            (words.left_out.iter().map(String::as_str).collect(), words.follow.as_deref()),
            (rest, next)
        );
    }
}

#[test]
fn names_cannot_change_a_message() {
    let name = format!("\r\nBcc: x@y \u{202e}{}", "x".repeat(10_000));
    let words = words(&notice(vec![user("home", &name, "1d")], 0));
    let texts = format!("{words:?}");
    assert!(
        !texts.contains("\\r") && !texts.contains("\\n") && !words.subject.contains('\u{202e}'),
        "{texts}"
    );
    assert!(words.subject.chars().count() <= 180);
}

#[test]
fn a_name_does_not_end_the_subject() {
    let back = |name: &str, alone| {
        let named = if alone { format!("{name} (home)") } else { name.to_owned() };
        let alert =
            resolved(node(name), &format!("Node {named} is connected again; it was down for 1 min (a–b)."));
        Words::of(&notice(vec![alert], 0), &Voice { alone, ..Voice::default() }).subject
    };
    for name in ["DE-1 (Frankfurt)", "a;b", "甲（乙", "é)", "bob is dead; (", ")"] {
        assert_eq!(back(name, false), format!("home: node {name} is connected again"));
    }
    for name in ["DE-1 (Frankfurt)", "a;b", "甲（乙"] {
        assert_eq!(back(name, true), format!("home: node {name} (home) is connected again"));
    }
}

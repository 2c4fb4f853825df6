use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::{
    model::{NoticeAlert, Severity},
    notify::webhook::verdict::tests::by_status,
    wording::Language,
};

const NOW: Timestamp = Timestamp::from_secs(1_795_600_000);

fn notice(severity: Severity, status: NoticeStatus, subject: &str) -> Notice {
    let labels =
        [("alertname", "ProxymeterNodeDown"), ("target", "home"), ("kind", "node"), ("subject", subject)];
    let alert = NoticeAlert {
        event: "e".into(),
        status,
        severity,
        labels: labels.into(),
        annotations: [
            ("description", "Node DE-1 does not answer: connection refused."),
            ("action", "Start it again."),
            ("runbook_url", "https://m.example/runbook#proxymeternodedown"),
        ]
        .into(),
        starts_at: NOW,
        ends_at: (status == NoticeStatus::Resolved).then_some(NOW),
        began: None,
        until: None,
    };
    Notice {
        id: "msg_1".into(),
        receiver: "ops".into(),
        group: "{}:{alertname=\"ProxymeterNodeDown\", target=\"home\"}".into(),
        group_labels: labels[..2].iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        reason: "first notification".into(),
        alerts: vec![Arc::new(alert)],
        created_at: NOW,
        ..Notice::default()
    }
}

fn composer(pages: &str) -> Composer {
    let voice = Voice::new(Language::En, jiff::tz::TimeZone::UTC, pages);
    Composer { routing_key: "R0synthetic0routing0key000000000".into(), voice }
}

#[test]
fn an_event() {
    let down = notice(Severity::Critical, NoticeStatus::Firing, "DE-1");
    let expected = json!({
        "routing_key": "R0synthetic0routing0key000000000",
        "event_action": "trigger",
        "dedup_key": dedup_key(&down),
        "client": "proxymeter",
        "client_url": "https://m.example/",
        "links": [
            {"href": "https://m.example/runbook#proxymeternodedown", "text": "What to do"},
            {"href": "https://m.example/", "text": "All alerts"},
        ],
        "payload": {
            "summary": "home: node DE-1 is down",
            "source": "home",
            "severity": "critical",
            "class": "ProxymeterNodeDown",
            "group": "home",
            "custom_details": {
                "New": ["Node DE-1 does not answer: connection refused."],
                "What to do": ["Start it again."],
            },
        },
    });
    assert_eq!(event(&down, &composer("https://m.example")), expected);

    // Without pages and labels.
    let bare = Notice { group_labels: BTreeMap::new(), ..down };
    let bare = event(&Notice { others_fire: true, alerts: Vec::new(), left_out: 3, ..bare }, &composer(""));
    assert_eq!(
        (&bare["event_action"], &bare["payload"]["source"]),
        (&"trigger".into(), &"proxymeter".into())
    );
    assert_eq!((bare.get("client_url"), bare["payload"].get("class")), (None, None));
    assert!(!bare.to_string().contains("null"), "{bare}");

    for (severity, status, word, action) in [
        (Severity::Info, NoticeStatus::Firing, "info", "trigger"),
        (Severity::Warning, NoticeStatus::Firing, "warning", "trigger"),
        (Severity::Critical, NoticeStatus::Resolved, "critical", "resolve"),
    ] {
        let event = event(&notice(severity, status, "DE-1"), &composer(""));
        assert_eq!((&event["payload"]["severity"], &event["event_action"]), (&word.into(), &action.into()));
    }
}

#[test]
fn what_pagerduty_limits_is_limited() {
    let long = "\u{1f980}".repeat(10_000);
    let mut notice = notice(Severity::Critical, NoticeStatus::Firing, &long);
    notice.group_labels.insert("target".into(), long.clone());
    notice.group = long;
    notice.alerts = vec![Arc::clone(&notice.alerts[0]); 5000];
    let event = event(&notice, &composer("https://m.example"));
    assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= SUMMARY);
    assert_eq!(event["dedup_key"].as_str().unwrap().len(), 64);
    assert!(event["payload"]["source"].as_str().unwrap().chars().count() <= NAME);
    assert!(event.to_string().len() < 512_000);
    assert_eq!(event["payload"]["custom_details"]["more"], json!(["… and 4950 more that are firing."]));
}

#[test]
fn every_answer() {
    const GOOD: &str = r#"{"status":"success","message":"Event processed","dedup_key":"k"}"#;
    let invalid = |error: &str| {
        format!(r#"{{"status":"invalid event","message":"Event object is invalid","errors":["{error}"]}}"#)
    };
    let judged = |status, body: &str, named| {
        let reply =
            Reply { status, headers: reqwest::header::HeaderMap::new(), body: Bytes::from(body.to_owned()) };
        evaluate(&reply, named, NOW).err().map(|refusal| (refusal.reason, refusal.retry))
    };
    for status in 100..=599 {
        let expected = by_status(status, 1);
        assert_eq!(judged(status, GOOD, 1), expected, "{status}");
    }
    for (status, body, named, expected) in [
        (202, "", 1, (SendReason::Response, Retry::Later)),
        (202, "{}", 1, (SendReason::Response, Retry::Later)),
        (200, "<html>Log in</html>", 1, (SendReason::Response, Retry::Later)),
        (202, r#"{"status":"invalid event"}"#, 1, (SendReason::Response, Retry::Later)),
        (
            400,
            &invalid("Length of 'routing_key' is incorrect (should be 32 characters)"),
            50,
            (SendReason::Auth, Retry::Refused),
        ),
        (400, &invalid("Invalid routing key"), 50, (SendReason::Auth, Retry::Refused)),
        (400, &invalid("'payload.summary' is missing or blank"), 1, (SendReason::ClientError, Retry::Never)),
        (
            400,
            &invalid("'payload.summary' is missing or blank"),
            6,
            (SendReason::ClientError, Retry::Smaller),
        ),
        (
            413,
            &invalid("Event exceeds the size limit of 512 KB"),
            50,
            (SendReason::ClientError, Retry::Smaller),
        ),
        (429, r#"{"status":"throttle exceeded"}"#, 1, (SendReason::RateLimited, Retry::Later)),
    ] {
        assert_eq!(judged(status, body, named), Some(expected), "{status} {body}");
    }
}

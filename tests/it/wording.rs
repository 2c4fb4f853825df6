//! What notifications say, in each language: `tests/fixtures/wording` has every sentence for people to read.
//! `UPDATE_GOLDEN=1` writes it.

mod texts;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
    sync::Arc,
    time::Duration,
};

use fluent_syntax::{ast::Entry, parser};
use jiff::tz::TimeZone;
use proxymeter::{
    alert::rule::{KINDS, Kind, Question, Steps},
    model::{BudgetPeriod, BudgetUnit, End, Marks, NoticeStatus, Reading, Timestamp},
    wording::{About, Failing, Language, Told, Voice},
};

use crate::common::golden::assert_golden;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const GIB: u64 = 1 << 30;
const USD: u64 = 1_000_000_000;

/// 26 November 2026, 19:15:22 UTC.
const BEGAN: Timestamp = Timestamp::from_secs(1_795_720_522);
const NOW: Timestamp = Timestamp::from_secs(1_795_720_522 + 400);
const LATER: Timestamp = Timestamp::from_secs(1_795_720_922 + 2 * DAY as i64 - 3000);
/// Within a window of five hours.
const SOON: Timestamp = Timestamp::from_secs(1_795_720_922 + 2 * HOUR as i64);
const EARLIER: Timestamp = Timestamp::from_secs(1_795_720_922 - 3 * DAY as i64);
const LONG_AGO: Timestamp = Timestamp::from_secs(1_795_720_922 - 36 * DAY as i64);
const ENDS: [End; 9] = [
    End::Renewed,
    End::ToppedUp,
    End::Reset,
    End::Recovered,
    End::Deleted,
    End::Disabled,
    End::Clock,
    End::Removed,
    End::Replaced,
];

#[test]
fn every_rule_has_all_its_texts_in_each_language_and_no_other_alert_has_any() {
    let alerts: BTreeSet<_> = KINDS.iter().map(|kind| kind.alertname).chain(["ProxymeterTest"]).collect();
    let with_last: BTreeSet<_> =
        KINDS.iter().filter(|kind| kind.reached.is_some()).map(|kind| kind.alertname).collect();
    for language in Language::ALL {
        let path = format!("{}/src/wording/{}.ftl", env!("CARGO_MANIFEST_DIR"), language.label());
        let source = std::fs::read_to_string(path).unwrap();
        let resource = parser::parse(source.as_str()).unwrap();
        let messages = resource.body.iter().filter_map(|entry| match entry {
            Entry::Message(message) => Some(message),
            _ => None,
        });
        let mut found = BTreeMap::new();
        for message in messages.filter(|message| message.id.name.starts_with("Proxymeter")) {
            let forms: BTreeSet<_> = message.attributes.iter().map(|attribute| attribute.id.name).collect();
            found.insert(message.id.name, forms);
        }
        assert!(found.keys().eq(&alerts), "{language:?}: {:?}", found.keys());
        for (alertname, forms) in found {
            let last = with_last.contains(alertname).then_some(["head-last", "last"]);
            let expected = ["head", "firing", "over", "action"].into_iter().chain(last.into_iter().flatten());
            assert_eq!(forms, expected.collect(), "{language:?}: {alertname}");
        }
    }
}

#[test]
fn what_is_said_in_each_language_is_known() {
    for language in Language::ALL {
        let voice = Voice::new(language, TimeZone::UTC, "https://metrics.example.com/");
        let mut text = format!("# {}\n", language.label());
        frame(&mut text, &voice);
        KINDS.iter().for_each(|kind| rule(&mut text, &voice, kind));
        test(&mut text, &voice);
        digest(&mut text, &voice);
        statement(&mut text, &voice);
        names(&mut text, &voice);
        assert!(!text.contains("{$"), "something is not filled in");
        for line in text.lines() {
            assert_closed(line);
        }
        let file = format!("tests/fixtures/wording/{}.txt", language.label());
        assert_golden(Path::new(&file), &shown(&text));
    }
}

/// Isolates are closed, and no name turns the direction otherwise.
fn assert_closed(line: &str) {
    let count = |mark| line.matches(mark).count();
    assert_eq!(count('\u{2068}'), count('\u{2069}'), "{line:?}");
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}');
    assert!(!line.contains(turns), "{line:?}");
}

/// Marks that cannot be seen, in the file as letters.
fn shown(text: &str) -> String {
    text.replace('\u{2068}', "⟨").replace('\u{2069}', "⟩").replace('\u{200f}', "⟵").replace('\u{200e}', "⟶")
}

/// What is around the sentences.
fn frame(text: &mut String, voice: &Voice) {
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    line("\n## Durations".to_owned());
    for secs in [
        0,
        1,
        59,
        61,
        2 * MINUTE,
        400,
        HOUR,
        HOUR + 1,
        5 * HOUR,
        21 * HOUR,
        DAY - 1,
        DAY,
        DAY + 23 * HOUR,
        2 * DAY,
        3 * DAY + 20 * HOUR,
        5 * DAY,
        7 * DAY,
        11 * DAY,
        21 * DAY,
        22 * DAY,
        25 * DAY,
        30 * DAY,
        100 * DAY,
        101 * DAY,
    ] {
        line(format!("{secs}: {}", voice.duration(Duration::from_secs(secs))));
    }
    line("\n## Times".to_owned());
    line(voice.relative(LATER, NOW));
    line(voice.relative(EARLIER, NOW));
    for month in 0..12 {
        line(voice.date(Timestamp::from_secs(1_767_225_600 + month * 31 * DAY as i64)));
    }
    line(voice.date(Timestamp::from_millis(i64::MAX)));
    line(voice.span(BEGAN, NOW));
    line(voice.span(EARLIER, NOW));
    line("\n## The frame".to_owned());
    for (new, resolved, firing) in
        [(0, 0, 1), (0, 0, 5), (0, 1, 1), (0, 3, 22), (1, 0, 1), (12, 0, 340), (1, 1, 1), (2, 21, 5)]
    {
        line(voice.subject("home", &voice.counts(new, resolved, firing)));
    }
    line(voice.subject(&voice.text("several-targets"), &voice.counts(2, 0, 2)));
    line(voice.subject("home", &voice.resolved(&["ann"], 1)));
    line(voice.subject("home", &voice.resolved(&["ann", "bob", "cy"], 3)));
    line(voice.subject("home", &voice.resolved(&["ann", "bob", "cy"], 21)));
    line(voice.subject("home", &voice.text("subject-none")));
    for id in ["heading-new", "heading-resolved", "heading-still", "what-to-do", "all-alerts", "runbook"] {
        line(format!("{id}: {}", voice.text(id)));
    }
    for severity in ["critical", "warning", "info"] {
        line(format!("{severity}: {}", voice.text(&format!("severity-{severity}"))));
    }
    for id in ["still", "left-out-firing", "left-out-resolved", "follow"] {
        for count in [1, 2, 5, 11, 21, 22, 25, 100] {
            line(voice.count(id, count));
        }
    }
    line(voice.footer("on-call"));
    line(voice.text("details-refused"));
}

/// Every sentence about a kind of rule.
fn rule(text: &mut String, voice: &Voice, kind: &Kind) {
    let (subject, target) = about(kind);
    let steps = match kind.steps {
        Steps::None(_) => vec![String::new()],
        Steps::Remaining(steps) | Steps::Forecast(steps) => {
            let label = |secs: u64| match secs {
                0 => "expired".to_owned(),
                secs => humantime::format_duration(Duration::from_secs(secs))
                    .to_string()
                    .replace("days", "d")
                    .replace("day", "d"),
            };
            steps.iter().map(|(secs, _)| label(*secs)).collect()
        }
        Steps::Passed(steps) => steps.iter().map(|(secs, _)| format!("{}d", secs / DAY)).collect(),
        Steps::Ratio(steps) => steps.iter().map(|(share, _)| format!("{share}%")).collect(),
    };
    let said = |step, kind_of| About { alertname: kind.alertname, kind: kind_of, subject, target, step };
    let mut line = |what: &str, said: String| writeln!(text, "{what}: {said}").unwrap();
    line(&format!("\n## {}", kind.alertname), voice.summary(kind.alertname));
    let one = if subject.is_empty() { target } else { subject };
    let all = [one, "two", "three"];
    for step in &steps {
        let about = said(step.as_str(), kind.kind_of(subject));
        if step == &steps[0] || Some(step) == steps.last() {
            for count in [1, 3, 12, 21] {
                let names = &all[..count.min(3)];
                line(&format!("head {count}"), voice.subject("home", &voice.headline(&about, names, count)));
            }
        } else {
            line("head 1", voice.subject("home", &voice.headline(&about, &all[..1], 1)));
        }
    }
    line("goes on", voice.still(&voice.headline(&said(&steps[0], kind.kind_of(subject)), &all[..1], 1)));
    let about = said(&steps[0], kind.kind_of(subject));
    let sentence = |about: &About<'_>, reading: &Reading, ended| {
        voice.sentence(about, &Told { reading, began: BEGAN, ended, now: NOW })
    };
    for reading in firing(kind) {
        line("firing", sentence(&about, &reading, None));
    }
    if matches!(kind.question, Question::AccountingStalled | Question::CoreDown) {
        let about = About { subject: "", kind: kind.kind_of(""), ..about };
        for reading in firing(kind) {
            line("firing", sentence(&about, &reading, None));
        }
        line("over", sentence(&about, &Reading::Nothing, Some((End::Recovered, NOW))));
    }
    for (place, reading) in over(kind).iter().enumerate() {
        // The ends after the first four say nothing of a reading.
        let ends = if place == 0 { &ENDS[..] } else { &ENDS[..4] };
        let said: Vec<_> =
            ends.iter().map(|end| (end.label(), sentence(&about, reading, Some((*end, NOW))))).collect();
        for alike in said.chunk_by(|(_, one), (_, other)| one == other) {
            let ends: Vec<_> = alike.iter().map(|(end, _)| *end).collect();
            line(&ends.join(", "), alike[0].1.clone());
        }
    }
    let began = |status| voice.time(&about, status, BEGAN, NOW).unwrap_or_default();
    line("time", format!("{} / {}", began(NoticeStatus::Firing), began(NoticeStatus::Resolved)));
    line("action", voice.action(kind.alertname));
    line("runbook", voice.runbook(kind.alertname).unwrap());
}

/// A subject of this kind, and its target.
fn about(kind: &Kind) -> (&'static str, &'static str) {
    let subject = match kind.question {
        Question::UserExpiry
        | Question::UserQuota
        | Question::QuotaForecast
        | Question::UserStatus
        | Question::UserInactive
        | Question::UserDevices
        | Question::UserTraffic => "bob",
        Question::AdminQuota => "reza",
        Question::InboundExpiry | Question::InboundQuota => "vless-443",
        Question::TargetDown
        | Question::LoginRefused
        | Question::RowsUnreadable
        | Question::HostCpu
        | Question::HostMemory
        | Question::HostDisk
        | Question::CertificateExpiry
        | Question::LlmUsageGap => "",
        Question::PartStale | Question::RightLost => "nodes",
        Question::AccountingStalled
        | Question::NodeDown
        | Question::NodeCpu
        | Question::NodeMemory
        | Question::NodeTraffic
        | Question::CoreDown => "DE-1",
        Question::OutboundDown => "warp",
        Question::CredentialUnavailable | Question::CredentialPlanExpiry => "work",
        Question::CredentialQuota => "work 5h",
        Question::LlmErrorRatio => "claude",
        Question::LlmTokenBudget | Question::LlmCostBudget => "team-a",
        Question::StoreFailing => "storage",
        Question::HistoryFailing => "history",
        Question::ReloadFailed => "configuration",
        Question::HeartbeatWithheld => "heartbeat",
        Question::ReceiverFailing | Question::NotificationsAbandoned => "on-call",
    };
    (subject, if kind.is_own() { "" } else { "home" })
}

/// What such a rule finds, also where everything is used up.
fn firing(kind: &Kind) -> Vec<Reading> {
    let word = |word: &'static str| Reading::Word(word.into());
    let down = |cause: &'static str, detail: Option<&str>, until| Reading::Down {
        cause: cause.into(),
        detail: detail.map(str::to_owned),
        until,
    };
    let spent = |spent, limit, unit, period| Reading::Spent { spent, limit, unit, period, since: EARLIER };
    let used = |used, limit, resets| Reading::Used { used: used * GIB, limit: limit * GIB, resets };
    match kind.question {
        Question::UserExpiry
        | Question::InboundExpiry
        | Question::CertificateExpiry
        | Question::CredentialPlanExpiry => vec![Reading::Ends(LATER), Reading::Ends(EARLIER)],
        Question::UserQuota | Question::InboundQuota | Question::AdminQuota => vec![
            used(97, 100, Some(LATER)),
            used(970, 1200, None),
            used(100, 100, Some(LATER)),
            used(101, 100, None),
        ],
        Question::QuotaForecast => [(LATER, 100, 9), (SOON, 1200, 340)]
            .map(|(at, limit, daily)| Reading::Forecast {
                at,
                used: 70 * GIB,
                limit: limit * GIB,
                daily: daily * GIB,
            })
            .into(),
        Question::UserStatus => ["disabled", "expired", "limited"].map(word).into(),
        Question::UserInactive => {
            [false, true].map(|never| Reading::Unseen { since: LONG_AGO, never }).into()
        }
        Question::UserTraffic => [(21, 20, HOUR), (1200, 1024, DAY)]
            .map(|(moved, limit, within)| Reading::Moved { bytes: moved * GIB, limit: limit * GIB, within })
            .into(),
        Question::NodeTraffic => vec![used(810, 1000, Some(LATER)), used(1000, 1000, Some(LATER))],
        Question::UserDevices => [2, 5, 21].map(|used| Reading::Devices { used, limit: 1 }).into(),
        Question::TargetDown => vec![
            down("auth", None, None),
            down("banned", None, None),
            down("client_error", None, None),
            down("connect", Some("connection refused (os error 111)"), None),
            down("decode", None, None),
            down("interrupted", None, None),
            down("not_found", None, None),
            down("not_json", None, None),
            down("rate_limited", None, None),
            down("redirect", None, None),
            down("server_error", Some("500 Internal Server Error"), None),
            down("timeout", Some("no answer within 10 s"), None),
            down("tls", None, None),
            down("too_large", None, None),
            down("unknown", None, None),
        ],
        Question::LoginRefused => ["auth", "banned", "forbidden"].map(word).into(),
        Question::PartStale | Question::AccountingStalled => vec![Reading::Lasting(40 * MINUTE)],
        Question::RightLost => vec![word("forbidden")],
        Question::RowsUnreadable => [
            (1, "the panel fails on it"),
            (2, "it is larger than 1 MiB"),
            (5, "it is not an object"),
            (21, "it has no name"),
        ]
        .map(|(rows, cause)| Reading::Unreadable { rows, cause: cause.into() })
        .into(),
        Question::NodeDown => vec![
            down("connecting", None, None),
            down("error", Some("dial tcp 192.0.2.1:62050: i/o timeout"), None),
            down("its data limit is reached", None, None),
            down("unknown", None, None),
        ],
        Question::OutboundDown => vec![down("its probes fail", None, None)],
        Question::NodeCpu
        | Question::NodeMemory
        | Question::HostCpu
        | Question::HostMemory
        | Question::HostDisk
        | Question::CoreDown => vec![Reading::Share(0.934)],
        Question::CredentialUnavailable => [
            "quota exceeded",
            "Cloudflare challenge",
            "model not supported",
            "login expired or revoked",
            "payment required",
            "upstream errors",
            "cooling down",
            "its quota is used up",
            "the provider's firewall stops it",
            "it may not use the model",
            "its login has ended",
            "the provider refuses it",
            "the provider asks for payment",
            "the provider does not find what it asks for",
            "the provider fails",
            "it cools down",
            "the server says that it cannot be used",
        ]
        .into_iter()
        .map(|cause| down(cause, None, None))
        .chain([down("quota exceeded", None, Some(LATER))])
        .collect(),
        Question::CredentialQuota => vec![
            Reading::Window { share: 0.82, resets: Some(SOON) },
            Reading::Window { share: 0.82, resets: None },
            Reading::Window { share: 1.0, resets: Some(SOON) },
            Reading::Window { share: 1.0, resets: None },
        ],
        Question::LlmErrorRatio => vec![Reading::Attempts { failed: 350, all: 1400 }],
        Question::LlmTokenBudget => vec![
            spent(4_123_456, 5_000_000, BudgetUnit::Tokens, BudgetPeriod::Day),
            spent(4_000_000, 5_000_001, BudgetUnit::Tokens, BudgetPeriod::Month),
            spent(5_000_000, 5_000_000, BudgetUnit::Tokens, BudgetPeriod::Day),
            spent(5_000_002, 5_000_002, BudgetUnit::Tokens, BudgetPeriod::Month),
        ],
        Question::LlmCostBudget => vec![
            spent(41 * USD, 50 * USD, BudgetUnit::UsdNanos, BudgetPeriod::Day),
            spent(1_041 * USD, 1_200 * USD, BudgetUnit::UsdNanos, BudgetPeriod::Month),
            spent(50 * USD, 50 * USD, BudgetUnit::UsdNanos, BudgetPeriod::Day),
            spent(1_200 * USD, 1_200 * USD, BudgetUnit::UsdNanos, BudgetPeriod::Month),
        ],
        Question::LlmUsageGap => [
            "records were lost, and another reader takes some",
            "records were lost",
            "another reader takes records",
        ]
        .map(word)
        .into(),
        Question::StoreFailing | Question::HistoryFailing => vec![word("not writable")],
        Question::ReloadFailed => {
            ["the file cannot be used", "a file that it names has changed and cannot be used"]
                .map(word)
                .into()
        }
        Question::HeartbeatWithheld => {
            vec![word("poller is stuck, receiver on-call does not accept notifications")]
        }
        Question::ReceiverFailing => vec![word("smtp.example.com: 535 5.7.8 authentication failed")],
        Question::NotificationsAbandoned => [1, 2, 5, 21].map(Reading::Count).into(),
    }
}

/// What holds after such a rule has ended.
fn over(kind: &Kind) -> Vec<Reading> {
    let after = |reading| vec![reading, Reading::Nothing];
    let spent = |spent, limit, unit, period| Reading::Spent { spent, limit, unit, period, since: NOW };
    let used = |used, limit, resets| Reading::Used { used: used * GIB, limit: limit * GIB, resets };
    match kind.question {
        Question::UserExpiry | Question::InboundExpiry | Question::CredentialPlanExpiry => {
            after(Reading::Ends(Timestamp::from_secs(1_800_709_500)))
        }
        Question::CertificateExpiry => vec![Reading::Ends(Timestamp::from_secs(1_800_709_500))],
        Question::UserInactive => after(Reading::Unseen { since: BEGAN, never: false }),
        Question::UserDevices => after(Reading::Devices { used: 1, limit: 2 }),
        Question::NodeTraffic => after(used(3, 1000, Some(LATER))),
        Question::UserQuota | Question::QuotaForecast | Question::InboundQuota | Question::AdminQuota => {
            after(Reading::Used { used: 97 * GIB, limit: 200 * GIB, resets: Some(LATER) })
        }
        Question::NodeCpu
        | Question::NodeMemory
        | Question::HostCpu
        | Question::HostMemory
        | Question::HostDisk => vec![Reading::Share(0.4)],
        Question::CredentialQuota => after(Reading::Window { share: 0.03, resets: Some(LATER) }),
        Question::LlmErrorRatio => after(Reading::Attempts { failed: 12, all: 400 }),
        Question::LlmTokenBudget => after(spent(1_000, 5_000_000, BudgetUnit::Tokens, BudgetPeriod::Day)),
        Question::LlmCostBudget => after(spent(USD, 50 * USD, BudgetUnit::UsdNanos, BudgetPeriod::Day)),
        Question::UserStatus
        | Question::UserTraffic
        | Question::OutboundDown
        | Question::TargetDown
        | Question::LoginRefused
        | Question::PartStale
        | Question::RightLost
        | Question::RowsUnreadable
        | Question::AccountingStalled
        | Question::NodeDown
        | Question::CoreDown
        | Question::CredentialUnavailable
        | Question::LlmUsageGap
        | Question::StoreFailing
        | Question::HistoryFailing
        | Question::ReloadFailed
        | Question::HeartbeatWithheld
        | Question::ReceiverFailing
        | Question::NotificationsAbandoned => vec![Reading::Nothing],
    }
}

fn test(text: &mut String, voice: &Voice) {
    let about =
        About { alertname: "ProxymeterTest", kind: "receiver", subject: "on-call", target: "", step: "" };
    let told = |ended| Told { reading: &Reading::Nothing, began: NOW, ended, now: NOW };
    let mut line = |what: &str, said: String| writeln!(text, "{what}: {said}").unwrap();
    line("\n## ProxymeterTest", voice.summary(about.alertname));
    line("head", voice.subject("proxymeter", &voice.headline(&about, &["on-call"], 1)));
    line("firing", voice.sentence(&about, &told(None)));
    line("recovered", voice.sentence(&about, &told(Some((End::Recovered, NOW)))));
    line("action", voice.action(about.alertname));
}

fn digest(text: &mut String, voice: &Voice) {
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    line("\n## The daily digest".to_owned());
    line(voice.digest_title(NOW, &[]));
    for count in [1, 2, 5, 21] {
        let counts = ["digest-count-outages", "digest-count-expiring", "digest-count-used"];
        line(voice.digest_title(NOW, &counts.map(|id| (id, count))));
    }
    line(format!("{}: {}", voice.text("digest-heading-late"), voice.digest_late(BEGAN, EARLIER)));
    line(format!("{}: {}", voice.text("digest-heading-nothing"), voice.digest_nothing(EARLIER)));
    for id in ["outages", "expiring", "used", "renewed", "reset", "new", "gone"] {
        line(voice.digest_heading(&format!("digest-heading-{id}"), "home"));
    }
    let name = || Arc::from("DE-1");
    for failing in
        [Failing::Target, Failing::Node(name()), Failing::Outbound(name()), Failing::Credential(name())]
    {
        line(voice.digest_outage("home", &failing, BEGAN, Some(NOW), NOW));
        line(voice.digest_outage("home", &failing, BEGAN, None, NOW));
    }
    let last = voice.digest_outage("home", &Failing::Node(name()), BEGAN, Some(NOW), NOW);
    for count in [2, 5, 21] {
        line(voice.digest_outages(&last, count, Duration::from_secs(3 * 3600)));
    }
    line(voice.digest_heading_top("home", "2026-11-26".parse().unwrap()));
    for marks in [0, 1, 2, 3] {
        line(voice.digest_used("ann", 97 * GIB, Marks::of_bits(marks)));
    }
    line(voice.digest_expires("ann", LATER, NOW));
    line(voice.digest_uses("ann", 97 * GIB, 100 * GIB));
    line(voice.digest_renewed("ann", Some(LATER)));
    line(voice.digest_renewed("ann", None));
    for limits in [(Some(100 * GIB), None), (Some(100 * GIB), Some(50 * GIB)), (None, Some(50 * GIB))] {
        line(voice.digest_reset("ann", (3 * GIB, 97 * GIB), limits));
    }
    line(voice.count("digest-more", 12));
}

fn statement(text: &mut String, voice: &Voice) {
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    let day = |text: &str| text.parse().unwrap();
    line("\n## The monthly statement".to_owned());
    for admin in [None, Some("ali")] {
        line(voice.statement_title("2026-11".parse().unwrap(), "home", admin));
    }
    for is_part in [false, true] {
        line(voice.statement_period(day("2026-11-14"), day("2026-11-30"), is_part));
    }
    line(voice.statement_total(97 * GIB));
    line(voice.statement_limit(97 * GIB, 100 * GIB));
    for id in ["statement-users", "statement-active"] {
        line(voice.count(id, 21));
    }
    for part in ["others", "elsewhere"] {
        line(voice.statement_part(&format!("statement-{part}"), 3 * GIB));
    }
    line(voice.statement_unread(BEGAN));
    for id in ["gap", "reset", "heading-sum", "heading-top", "heading-table"] {
        line(voice.text(&format!("statement-{id}")));
    }
    for left_out in [0, 5] {
        line(voice.statement_table("ali-2026-11.csv", 20_000, left_out));
    }
}

/// Names of every script, and those that try to be more than a name.
fn names(text: &mut String, voice: &Voice) {
    const NAMES: [&str; 10] = [
        "علی رضا",
        "علی2 (vip)",
        "-5-",
        "+98 912",
        "王伟",
        "Ёж",
        "a\r\nBcc: b",
        "\u{202e}txt.exe\u{2069}\u{2066}",
        "{ $limit } { -term }",
        "<b>*_x_*</b> @all https://example.com",
    ];
    let long = "ы".repeat(300);
    text.push_str("\n## Names\n");
    for name in NAMES.iter().copied().chain([long.as_str()]) {
        let about =
            About {
                alertname: "ProxymeterNodeDown", kind: "node", subject: name, target: "خانه", step: ""
            };
        let reading =
            Reading::Down { cause: "error".into(), detail: Some(name.to_owned()), until: Some(LATER) };
        let told = Told { reading: &reading, began: BEGAN, ended: None, now: NOW };
        writeln!(text, "{}", voice.sentence(&about, &told)).unwrap();
        let near = Voice { alone: false, ..voice.clone() };
        let told = Told { ended: Some((End::Recovered, NOW)), ..told };
        writeln!(text, "{}", near.sentence(&about, &told)).unwrap();
    }
    let about =
        About {
            alertname: "ProxymeterUserExpiry", kind: "user", subject: "علی", target: "home", step: "1d"
        };
    for names in [["ann", "علی", "bob"], ["علی", "ann", "رضا"]] {
        for count in [3, 12] {
            writeln!(text, "{}", voice.subject("خانه", &voice.headline(&about, &names, count))).unwrap();
        }
    }
    writeln!(text, "{}", voice.footer("نگهبان")).unwrap();
}

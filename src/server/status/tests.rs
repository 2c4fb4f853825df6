use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    exposition::UserLabels,
    model::{
        ActiveAlert, ActiveAlerts, AlertState, Credential, CredentialStatus, Expiry, Fact, Identity, Inbound,
        LlmMode, LlmRow, LlmState, LlmTokens, LlmUsage, Moment, Node, NodeStatus, Outbound, Outcome, Part,
        PartState, Rates, Reading, Reason, Report, Severity, System, Timestamp, Unreadable, User, UserCounts,
        UserFacts, UserNames, UserStatus, WalkEnd, WalkProgress,
    },
    secret::HashKey,
    server::{
        Setup, State,
        seen::testing::{NOW, state},
    },
    telemetry::AttemptFailure,
};

mod pages;

const HOUR: Duration = Duration::from_secs(3600);

fn user(name: &str) -> User {
    User { read_at: NOW, ..User::named(name) }
}

fn with_quota(name: &str, used: u64, limit: u64) -> User {
    User { used, limit: Some(limit), ..user(name) }
}

fn expiring(name: &str, hours: i64) -> User {
    User { expiry: Expiry::At(NOW.saturating_add_millis(hours * 3_600_000)), ..user(name) }
}

/// A target whose list was just read.
fn report(target: &str, users: Vec<User>, now: Moment) -> Report {
    let mut report = Report::new(target);
    report.up = Some(true);
    let identity = Identity { system: System::Marzban, version: "0.8.4".into(), generation: "0.8".into() };
    report.merge(Fact::Identity(identity), now);
    let seen: UserNames = users.iter().map(|user| Arc::clone(&user.name)).collect();
    let end = WalkEnd { page: users, seen, started: now, ..WalkEnd::default() };
    report.merge(Fact::Users(UserFacts::WalkEnd(end)), now);
    for part in [Part::System, Part::Users] {
        report.parts.insert(part, read(now));
    }
    report
}

fn read(at: Moment) -> PartState {
    PartState {
        outcome: Outcome::Up,
        last_success: Some(at),
        last_data: Some(at),
        duration: Some(Duration::from_millis(41)),
        round: Duration::from_secs(30),
        stale_after: Duration::from_secs(600),
    }
}

/// A moment by the clock of a server that starts now, or so much earlier.
fn ago(time: Duration) -> Moment {
    let now = crate::clock::Clock::starting_at(NOW).now();
    Moment { wall: now.wall.saturating_sub(time), uptime: now.uptime.saturating_sub(time) }
}

fn firing(
    severity: Severity,
    kind: &'static str,
    subject: &str,
    step: &str,
    since: Timestamp,
) -> ActiveAlert {
    ActiveAlert {
        alertname: "ProxymeterUserQuota",
        severity,
        target: "home".into(),
        kind,
        subject: subject.into(),
        step: step.into(),
        rule: None,
        state: AlertState::Firing,
        silenced_by: Vec::new(),
        active_since: since,
        summary: "User has used up most or all of the data limit.",
        reading: Reading::Used { used: 95, limit: 100, resets: None },
    }
}

fn written(state: &State) -> String {
    asked(state, &Page::Status(Asked::default()))
}

fn asked(state: &State, page: &Page) -> String {
    String::from_utf8(html(&Seen::now(state), page).unwrap()).unwrap()
}

fn page(reports: &[Report], list: Vec<ActiveAlert>, labels: UserLabels) -> String {
    let state = state(reports, ActiveAlerts::new(Vec::new(), list), labels);
    written(&state)
}

/// What stands in the isolated places of a page, which are where names go, from a heading to the next.
fn names<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let section = page.split("<h2").find(|section| section.contains(heading)).unwrap();
    section.split("<bdi>").skip(1).map(|rest| rest.split("</bdi>").next().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn users_see_when_their_quota_is_used_up() {
    let mut report =
        report("home", vec![with_quota("ann", 70, 100), with_quota("ben", 70, 100)], ago(HOUR / 60));
    let user_page = |report: &Report, user: &str| {
        let state = state(std::slice::from_ref(report), ActiveAlerts::default(), UserLabels::Name);
        (written(&state), asked(&state, &Page::User("home".into(), user.into())))
    };
    let (list, page) = user_page(&report, "ann");
    assert!(!list.contains("used up in") && !page.contains("used up in"));
    report.rates = Some(Arc::new(Rates::new(NOW, [("ann".into(), Some(15)), ("ben".into(), None)])));
    let (list, page) = user_page(&report, "ann");
    assert_eq!(list.matches("used up in about 2d at the rate of the last three days").count(), 1, "{list}");
    assert!(page.contains("the quota is used up in about 2d <small class=\"date\">2026-11-"), "{page}");
    assert!(!user_page(&report, "ben").1.contains("used up in"));
}

#[tokio::test(start_paused = true)]
async fn an_empty_daemon_says_so() {
    let page = page(&[], Vec::new(), UserLabels::Name);
    for words in ["No target is configured.", "Nothing fires.", "No user with a quota", "1.2.3", "none yet"] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(!page.contains("{{") && !page.contains("{%"));
}

#[tokio::test(start_paused = true)]
async fn users_are_chosen_by_share_and_by_the_end_of_their_plans() {
    let home = vec![
        with_quota("tenth", 1, 10),
        with_quota("over", 12, 10),
        with_quota("half-of-more", 50, 100),
        with_quota("half", 5, 10),
        User { status: UserStatus::Limited, ..with_quota("limited", 10, 10) },
        User { status: UserStatus::Disabled, ..with_quota("disabled", 10, 10) },
        User { used: 99, ..user("unlimited") },
        with_quota("no-quota", 99, 0),
        expiring("in-two-hours", 2),
        expiring("over-already", -1),
        User { status: UserStatus::OnHold, ..expiring("on-hold", 1) },
        User { expiry: Expiry::OnFirstUse(HOUR), ..user("not-begun") },
    ];
    let edge = vec![expiring("in-one-hour", 1), with_quota("of-edge", 9, 10)];
    let stale = vec![expiring("too-old-to-tell", 1), with_quota("too-old-as-well", 9, 10)];
    let reports = vec![
        report("home", home, ago(Duration::ZERO)),
        report("edge", edge, ago(Duration::ZERO)),
        report("old", stale, ago(HOUR)),
    ];
    let page = page(&reports, Vec::new(), UserLabels::Name);
    assert_eq!(
        names(&page, "Closest to their quota"),
        [
            "over",
            "home",
            "limited",
            "home",
            "of-edge",
            "edge",
            "half-of-more",
            "home",
            "half",
            "home",
            "tenth",
            "home"
        ]
    );
    assert!(page.contains("120%") && page.contains("<rect width=\"100\""));
    assert_eq!(names(&page, "Next to expire"), ["in-one-hour", "edge", "in-two-hours", "home"]);
    assert!(!page.contains("Showing"));
}

#[tokio::test(start_paused = true)]
async fn of_many_users_ten_are_shown_and_the_others_counted() {
    let users = (0..4213).map(|place| User {
        expiry: Expiry::At(NOW.saturating_add_millis(1000 * (5000 - place))),
        ..with_quota(&format!("u{place:04}"), u64::try_from(place).unwrap(), 10_000)
    });
    let page = page(&[report("home", users.collect(), ago(Duration::ZERO))], Vec::new(), UserLabels::Name);
    assert_eq!(page.matches("Showing 10 of 4,213").count(), 2);
    for heading in ["Closest to their quota", "Next to expire"] {
        let names = names(&page, heading);
        assert_eq!((names.len(), names[0], names[18]), (20, "u4212", "u4203"), "{heading}");
    }
}

#[tokio::test(start_paused = true)]
async fn users_are_named_as_the_labels_say() {
    let users = vec![with_quota("canary", 9, 10), expiring("canary-too", 1)];
    let alerts = || vec![firing(Severity::Warning, "user", "canary", "95%", NOW), node_down()];
    let reports = || vec![report("home", users.clone(), ago(Duration::ZERO))];
    let key = HashKey::new(b"key");
    let hashed = page(&reports(), alerts(), UserLabels::Hash(key.clone()));
    assert!(!hashed.contains("canary") && hashed.matches(&key.hash("canary")).count() == 4, "{hashed}");
    let off = page(&reports(), alerts(), UserLabels::Off);
    assert!(!off.contains("canary") && !off.contains(&key.hash("canary")), "{off}");
    assert!(off.contains("1 of them are about users") && off.contains("FI-1"));
    assert!(page(&reports(), alerts(), UserLabels::Name).contains("<bdi>canary</bdi>"));
}

#[tokio::test(start_paused = true)]
async fn equals_are_told_in_the_order_of_their_labels() {
    let all = || (0..40).map(|place| format!("u{place:02}"));
    let users = all().map(|name| User { used: 9, limit: Some(10), ..expiring(&name, 1) });
    let alerts = all().map(|name| firing(Severity::Warning, "user", &name, "95%", NOW));
    let key = HashKey::new(b"key");
    let users = vec![report("home", users.collect(), ago(Duration::ZERO))];
    let page = page(&users, alerts.collect(), UserLabels::Hash(key.clone()));
    let mut hashes: Vec<_> = all().map(|name| key.hash(&name)).collect();
    hashes.sort();
    for heading in ["Alerts</h2>", "Closest to their quota", "Next to expire"] {
        let shown: Vec<_> = names(&page, heading).into_iter().filter(|name| *name != "home").collect();
        assert_eq!(shown, hashes[..10], "{heading}");
    }
}

#[tokio::test(start_paused = true)]
async fn lists_that_do_not_have_all_users_say_so() {
    let now = ago(Duration::ZERO);
    let reading = |target: &str, walk| {
        let mut report = Report::new(target);
        report.up = Some(true);
        report.merge(Fact::Users(UserFacts::Page(vec![with_quota("alice", 9, 10)])), now);
        report
            .parts
            .insert(Part::Users, PartState { outcome: Outcome::Pending, last_success: None, ..read(now) });
        report.walk = walk;
        report
    };
    let walk =
        WalkProgress { read: 1500, size: Some(20_000), took: HOUR, left: Some(Duration::from_secs(2650)) };
    let mut unread = report("d-unread", Vec::new(), now);
    unread.parts.insert(
        Part::Users,
        PartState {
            outcome: Outcome::Failed { reason: Reason::Timeout, detail: String::new() },
            last_success: None,
            last_data: None,
            ..read(now)
        },
    );
    let reports = [
        reading("a-large", Some(walk)),
        reading("b-again", None),
        report("c-old", Vec::new(), ago(HOUR)),
        unread,
        report("e-well", vec![user("bob")], now),
    ];
    let shown = page(&reports, Vec::new(), UserLabels::Name);
    for words in [
        "first read: 1,500 of 20,000, about 45 min to go",
        "<bdi>a-large</bdi>: partial, first read: 1,500 of 20,000, about 45 min to go; ",
        "<bdi>b-again</bdi>: partial, the first read begins again; ",
        "<bdi>c-old</bdi>: left out, last read 1h ago; ",
        "<bdi>d-unread</bdi>: left out, never read completely.",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    assert!(!shown.contains("<bdi>e-well</bdi>:"));
    let many: Vec<_> = (0..25).map(|n| report(&format!("t{n:02}"), Vec::new(), ago(HOUR))).collect();
    assert!(page(&many, Vec::new(), UserLabels::Name).contains("; and 15 more targets."));
    assert!(!page(&reports[4..], Vec::new(), UserLabels::Name).contains("do not have all users"));
}

fn node_down() -> ActiveAlert {
    ActiveAlert {
        alertname: "ProxymeterNodeDown",
        summary: "Node is down.",
        reading: Reading::Down { cause: "error".into(), detail: None, until: None },
        ..firing(Severity::Critical, "node", "FI-1", "", NOW)
    }
}

#[tokio::test(start_paused = true)]
async fn the_worst_and_newest_alerts_are_shown_and_no_suppressed_one() {
    let at = |hours: u32| NOW.saturating_sub(HOUR * hours);
    let mut list = vec![
        ActiveAlert {
            state: AlertState::Suppressed,
            ..firing(Severity::Info, "user", "alice", "80%", at(9))
        },
        firing(Severity::Warning, "user", "alice", "95%", at(3)),
        firing(Severity::Warning, "user", "bob", "95%", at(1)),
        ActiveAlert { state: AlertState::Pending, ..firing(Severity::Warning, "user", "bob", "100%", at(0)) },
        node_down(),
    ];
    let shown = page(&[], list.clone(), UserLabels::Name);
    assert_eq!(names(&shown, "Alerts</h2>"), ["FI-1", "home", "bob", "home", "alice", "home"]);
    assert!(
        shown.contains("User bob has used 95 % of the data limit (95 of 100 B).")
            && shown.contains("3h ago")
            && shown.contains("1 pending, 1 suppressed")
    );

    list.extend((0..50_000).map(|n| firing(Severity::Info, "user", &format!("u{n}"), "80%", at(0))));
    let shown = page(&[], list, UserLabels::Name);
    assert!(shown.contains("Showing 10 of 50,003 alerts") && shown.len() < 40_000);
}

#[tokio::test(start_paused = true)]
async fn targets_are_told_with_what_is_the_matter() {
    let mut stale = report("b-stale", Vec::new(), ago(HOUR));
    stale.parts.insert(Part::System, read(ago(Duration::ZERO)));
    let mut down = report("c-down", Vec::new(), ago(Duration::from_secs(61)));
    down.up = Some(false);
    down.history.up_was(false, ago(Duration::from_secs(120)));
    down.parts.get_mut(&Part::System).unwrap().outcome =
        Outcome::Failed { reason: Reason::Timeout, detail: "a secret sentence".to_owned() };
    down.parts
        .insert(Part::Nodes, PartState { outcome: Outcome::Refused, last_data: None, ..read(ago(HOUR)) });
    let reports = vec![report("a-well", Vec::new(), ago(Duration::ZERO)), stale, down, Report::new("d-new")];
    let page = page(&reports, Vec::new(), UserLabels::Name);
    let rows: Vec<_> = page.split("<tr ").filter(|row| row.contains("href=\"./targets/")).collect();
    let expected = [
        ("a-well", "\">up</span>", "<small>none</small>"),
        ("b-stale", "partly stale</span>", "users: not read in time; what was read is too old to be shown"),
        ("c-down", "down</span>", ">it does not answer in time <small>since 2m</small>"),
        ("d-new", "not tried yet</span>", "none yet"),
    ];
    for (row, (target, state, trouble)) in rows.iter().zip(expected) {
        for part in [target, state, trouble] {
            assert!(row.contains(part), "{part} in {row}");
        }
    }
    assert_eq!(rows.len(), 4);
    assert!(page.contains("1m 1s ago") && !page.contains("secret sentence"));
    assert!(page.contains("<title>proxymeter: 2 of 4 up"));
}

#[tokio::test(start_paused = true)]
async fn a_target_shows_what_it_has_and_nothing_else() {
    let now = ago(Duration::ZERO);
    let mut full = report("a-full", vec![user("alice"), user("bob")], now);
    // As in the metrics, numbers by status go before the sum that the panel gives.
    let by_status = vec![(UserStatus::Active, 4_000), (UserStatus::Expired, 213)];
    full.counts = UserCounts { total: Some(4214), online: Some(56), by_status, ..UserCounts::default() };
    let node = |status| Node::named("DE-1", status);
    full.nodes = Arc::new(vec![node(NodeStatus::Connected), node(NodeStatus::Error)]);
    full.parts.insert(Part::Nodes, read(now));
    let inbound = |enabled| Inbound { enabled, ..Inbound::default() };
    full.merge(Fact::Inbounds([Some(true), Some(false), None].map(inbound).into()), now);
    let outbound = |up| Outbound { up, ..Outbound::default() };
    full.merge(Fact::Outbounds([Some(true), Some(false), Some(true), None].map(outbound).into()), now);
    full.parts.insert(Part::Inbounds, read(now));
    full.parts.insert(Part::Outbounds, read(now));
    let mut without_nodes = report("b-without-nodes", vec![user("alice")], now);
    without_nodes.parts.insert(Part::Nodes, read(now));
    // The panel says neither whether they are on, nor whether they are up.
    without_nodes.merge(Fact::Inbounds(vec![inbound(None)]), now);
    without_nodes.merge(Fact::Outbounds(vec![outbound(None)]), now);
    without_nodes.parts.insert(Part::Inbounds, read(now));
    without_nodes.parts.insert(Part::Outbounds, read(now));
    let online = |name| User { online: true, ..user(name) };
    // The panel does not count online users, or the system names all of them.
    let listed = report("d-listed", vec![online("alice"), online("bob"), user("carol")], now);
    let mut by_name = report("e-by-name", vec![online("alice"), user("bob")], now);
    by_name.merge(Fact::Online(["bob", "carol", "dave"].map(Arc::from).into()), now);
    by_name.parts.insert(Part::Online, read(now));
    let mut llm = Report::new("f-llm");
    llm.merge(Fact::Credentials(vec![Credential::default(); 3]), now);
    llm.parts.insert(Part::Credentials, read(now));
    let reports = [full, without_nodes, Report::new("c-new"), listed, by_name, llm];
    let page = page(&reports, Vec::new(), UserLabels::Name);
    let facts = |target: &str| {
        let row = page.split("<tr ").find(|row| row.contains(&format!("<bdi>{target}</bdi>"))).unwrap();
        let cell = row.split("data-label=\"Size\">").nth(1).unwrap().split("</td>").next().unwrap();
        // Tags stand between the two signs.
        cell.split('<').map(|tag| tag.rsplit('>').next().unwrap()).collect::<String>()
    };
    assert_eq!(
        facts("a-full"),
        "users 4,213 online 56 nodes up 1 of 2 inbounds on 1 of 3 outbounds up 2 of 3"
    );
    assert_eq!(facts("b-without-nodes"), "users 1 online 0");
    assert_eq!(facts("c-new"), "unknown");
    assert_eq!(facts("d-listed"), "users 3 online 2");
    assert_eq!(facts("e-by-name"), "users 2 online 3");
    assert_eq!(facts("f-llm"), "credentials 3");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_not_whole_shows_what_it_lacks() {
    // Unreadable rows, rows left out, and the panel's own count.
    let cases = [
        (0, 0, None, ""),
        (0, 0, Some(3), ""),
        (2, 0, Some(5), "unreadable users 2"),
        (0, 1200, Some(1203), "users left out 1,200"),
        (0, 0, Some(1004), "panel counts 1,004"),
        (1, 2, Some(0), "panel counts 0 unreadable users 1 users left out 2"),
    ];
    for (rows, omitted, total, expected) in cases {
        for (age, shown) in [(Duration::ZERO, expected), (HOUR, "")] {
            let read = ago(age);
            let mut report = report("home", Vec::new(), read);
            let users: Vec<_> = ["a", "b", "c"].map(user).into();
            let seen = users.iter().map(|user| Arc::clone(&user.name)).collect();
            let unreadable = Unreadable { rows, ..Unreadable::default() };
            let end = WalkEnd { page: users, seen, unreadable, omitted, total, started: read };
            report.merge(Fact::Users(UserFacts::WalkEnd(end)), read);
            let page = page(&[report], Vec::new(), UserLabels::Name);
            for words in ["panel counts", "unreadable users", "users left out"] {
                assert_eq!(page.contains(words), shown.contains(words), "{words}: {shown}");
            }
            let (_, body) = page.split_once("</style>").unwrap();
            let text: String =
                body.split(['<', '>']).step_by(2).map(|text| text.trim().to_owned() + " ").collect();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(shown), "{shown}: {text}");
        }
    }
}

/// An LLM proxy whose usage is counted and whose parts were not read.
fn proxy(now: Moment) -> Report {
    let mut llm = Report::new("llm");
    let row = LlmRow {
        requests: 1204,
        failed: 31,
        tokens: LlmTokens { total: 8_123_456, ..LlmTokens::default() },
        cost_nanos: 12_349_999_999,
        unpriced_tokens: 2048,
        ..LlmRow::default()
    };
    let credential = |status| Credential {
        status: Some(status),
        available: Some(status == CredentialStatus::Active),
        ..Credential::default()
    };
    llm.merge(Fact::LlmUsage(LlmUsage { rows: vec![row; 2], ..LlmUsage::default() }.into()), now);
    let states = [CredentialStatus::Active, CredentialStatus::Error, CredentialStatus::Active];
    llm.merge(Fact::Credentials(states.map(credential).into()), now);
    llm
}

#[tokio::test(start_paused = true)]
async fn llm_proxies_have_a_section_of_their_own() {
    let now = ago(Duration::ZERO);
    let mut llm = proxy(now);
    let words = |llm: &Report| {
        let page = page(std::slice::from_ref(llm), Vec::new(), UserLabels::Name);
        let section = page.split("<h2").find(|section| section.contains("LLM proxies")).map(str::to_owned)?;
        let text: String =
            section.split(['<', '>']).skip(1).step_by(2).map(|text| format!("{text} ")).collect();
        Some(text.split_whitespace().skip(8).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(words(&llm), None, "no LLM proxy");
    llm.merge(Fact::LlmState(LlmState { mode: LlmMode::Queue, enabled: Some(false) }), now);
    let unread = "llm queue not recorded by the server unknown unknown unknown unknown";
    assert_eq!(words(&llm).as_deref(), Some(unread));
    for part in [Part::Usage, Part::Credentials] {
        llm.parts.insert(part, read(now));
    }
    let shown = "llm queue not recorded by the server 2,408 62 failed 16,246,912 24.69 USD \
                 4,096 tokens without a price 2 active, 1 error 1 unavailable";
    assert_eq!(words(&llm).as_deref(), Some(shown));
}

fn failure(reason: &'static str, detail: &str) -> AttemptFailure {
    AttemptFailure { reason, detail: detail.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn receivers_are_told_with_their_queues() {
    let state = state(&[], ActiveAlerts::default(), UserLabels::Name);
    let minutes = |minutes: u64| NOW.saturating_sub(Duration::from_secs(minutes * 60)).as_secs_f64();
    state.telemetry.notification_queue("ops", 1234, Some(minutes(5)));
    state.telemetry.notification_attempt(
        "ops",
        HOUR,
        Some(failure("auth", "mail.example.com:587: AUTH: answered 535 5.7.8")),
    );
    state.telemetry.notification_last_success("oncall", minutes(7));
    state.telemetry.config_in_force(false);
    let page = written(&state);
    for part in [
        "failing</span> auth <small><bdi>mail.example.com:587: AUTH: answered 535 5.7.8<",
        "1,234",
        ">5m<",
        "7m ago",
        "1 of 2 receivers failing",
        "could not be reloaded",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

/// Whatever others choose to be called, it stays text in one place, and no character of it is hidden.
#[tokio::test(start_paused = true)]
async fn hostile_names_stay_text() {
    let long = "ж".repeat(10_000);
    for hostile in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</bdi></td></table><style>*{display:none}",
        "{{ 1111 * 9999 }}{% raw %}",
        "&lt;script&gt;",
        "javascript:alert(1)",
        "a\u{202e}b\u{0}c\r\nd",
        &long,
    ] {
        let users = vec![with_quota(hostile, 9, 10), expiring(&format!("{hostile}2"), 1)];
        let mut target = report("home", users, ago(Duration::ZERO));
        target.identity.as_mut().unwrap().version = hostile.to_owned();
        let alerts = vec![
            firing(Severity::Warning, "user", hostile, "95%", NOW),
            ActiveAlert {
                reading: Reading::Word(hostile.to_owned().into()),
                ..firing(Severity::Critical, "node", hostile, "", NOW)
            },
        ];
        let page = page(&[target], alerts, UserLabels::Name);
        let (_, body) = page.split_once("</style>").unwrap();
        for tag in ["<script", "<img", "<style", "onerror=alert(1)>", "11108889"] {
            assert!(!body.contains(tag), "{tag} by {hostile:?}");
        }
        assert!(!body.contains(|c: char| c.is_control() && c != '\n') && !body.contains('\u{202e}'));
        assert_eq!(body.matches("<bdi>").count(), body.matches("</bdi>").count(), "{hostile:?}");
        assert_eq!(body.matches("<td").count(), body.matches("</td>").count(), "{hostile:?}");
        assert!(page.len() < 40_000, "{} bytes by {hostile:?}", page.len());
    }
}

#[tokio::test(start_paused = true)]
async fn alerts_link_to_the_runbook_below_any_prefix() {
    let page = page(&[], vec![node_down()], UserLabels::Name);
    let entry = "<a href=\"./runbook#proxymeternodedown\">";
    assert!(page.contains(&format!("{entry}ProxymeterNodeDown</a>")), "{page}");
    assert!(page.contains(&format!("{entry}Node FI-1 is down: the panel reports an error.</a>")), "{page}");
    assert!(page.contains("<a href=\"./runbook\">"), "{page}");
}

/// Pages of all sorts, for a browser to look at: they go to the folder that `PROXYMETER_PAGES` names, if it is set.
#[tokio::test(start_paused = true)]
async fn pages_to_look_at() {
    let long = "W".repeat(10_000);
    let names = [
        "<script>alert(1)</script>",
        "a\u{202e}b\u{0}c\r\nd",
        "سارا_احمدی",
        "张伟 的 账户",
        "🦊🦊🦊 & \"friends\"",
        "user name  with   spaces",
        &long,
    ];
    let users = names.iter().flat_map(|name| [with_quota(name, 9, 10), expiring(&format!("{name}2"), 30)]);
    let mut hostile = report("home", users.collect(), ago(Duration::from_secs(3)));
    hostile.identity.as_mut().unwrap().version = long.clone();
    let mut down = report("far-away-and-with-a-name-that-is-rather-long", Vec::new(), ago(HOUR));
    down.up = Some(false);
    down.parts.get_mut(&Part::System).unwrap().outcome =
        Outcome::Failed { reason: Reason::Tls, detail: String::new() };
    let alerts = names.iter().map(|name| firing(Severity::Warning, "user", name, "95%", NOW));
    let alerts: Vec<_> = alerts.chain([node_down()]).collect();
    let mut llm = proxy(ago(Duration::ZERO));
    llm.merge(Fact::LlmState(LlmState { mode: LlmMode::Queue, enabled: Some(true) }), ago(HOUR));
    let mut unread = Report { target: "llm-unread".into(), up: Some(false), ..llm.clone() };
    unread.llm_state = Some(LlmState { mode: LlmMode::Off, enabled: Some(false) });
    for part in [Part::Usage, Part::Credentials] {
        llm.parts.insert(part, read(ago(Duration::ZERO)));
    }
    let reports = [hostile, down, llm, unread, Report::new("new")];

    let folder = std::env::var_os("PROXYMETER_PAGES").map(std::path::PathBuf::from);
    let look = |name: &str, page: &str| {
        assert!(page.ends_with("</html>"), "{name}");
        if let Some(folder) = &folder {
            std::fs::write(folder.join(name), page).unwrap();
        }
    };
    look("hostile.html", &page(&reports, alerts.clone(), UserLabels::Name));
    look("off.html", &page(&reports, alerts, UserLabels::Off));
    let mut alone = state(&[], ActiveAlerts::default(), UserLabels::Name);
    alone.telemetry.config_in_force(false);
    let mut setup = Setup::clone(&alone.setup.borrow());
    setup.receivers.clear();
    alone.setup = tokio::sync::watch::channel(Arc::new(setup)).1;
    look("alone.html", &written(&alone));
    let failing = state(&reports, ActiveAlerts::default(), UserLabels::Name);
    let put_off = format!(
        "{}:587: put off for 5{}",
        "mail-".repeat(12),
        ", …@example.com answered 450 4.2.0".repeat(5)
    );
    failing.telemetry.notification_queue("ops", 1234, Some(NOW.as_secs_f64() - 7200.0));
    failing.telemetry.notification_attempt("ops", HOUR, Some(failure("server_error", &put_off)));
    look("user.html", &pages::user_to_look_at(names[0]).await);
    look("silences.html", &silences::tests::page_to_look_at(&names));
    look("failing.html", &written(&failing));
}

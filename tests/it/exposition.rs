//! The whole exposition: held against golden files, against a strict parser, and against rules on random reports.

mod llm;

use std::{collections::HashSet, sync::Arc, time::Duration};

use proxymeter::{
    exposition::{self, Family, Format, Kind, Options, UserLabels},
    model::{
        ActiveAlert, ActiveAlerts, Admin, AlertState, AlertStep, Allowance, Core, Counter, Counts, Expiry,
        Extras, Fact, Host, Identity, Inbound, KIND_USER, LastOnline, Moment, Node, NodeAllowances,
        NodePeriods, NodeStats, NodeStatus, NodeTraffic, Outbound, Outcome, Part, PartState, ProxyTraffic,
        Rates, Reading, Reason, Report, Severity, System, Threshold, Thresholds, Timestamp, Unread,
        UsedToday, User, UserCounts, UserFacts, UserNodeTraffic, UserStatus, WalkEnd, WalkProgress,
    },
    secret::HashKey,
};

use crate::common::{
    exposition::{self as text_format, Sample, parse},
    golden::assert_golden,
    shown,
};

const STALE_AFTER: Duration = Duration::from_secs(600);
const WEIRD: &str = "we\"ird\\na\nme 🙂";

/// 2026-09-21T14:13:30.25Z, an hour after the start.
fn now() -> Moment {
    Moment { wall: Timestamp::from_millis(1_790_000_010_250), uptime: Duration::from_secs(3600) }
}

fn ago(secs: u64) -> Moment {
    let ago = Duration::from_secs(secs);
    Moment { wall: now().wall.saturating_sub(ago), uptime: now().uptime - ago }
}

fn read(secs_ago: u64, outcome: Outcome) -> PartState {
    let at = Some(ago(secs_ago));
    let duration = Some(Duration::from_millis(12));
    PartState {
        outcome,
        last_success: at,
        last_data: at,
        duration,
        round: Duration::from_secs(30),
        stale_after: STALE_AFTER,
    }
}

fn never_read(outcome: Outcome) -> PartState {
    PartState {
        outcome,
        last_success: None,
        last_data: None,
        duration: None,
        round: Duration::from_secs(30),
        stale_after: STALE_AFTER,
    }
}

fn failed() -> Outcome {
    Outcome::Failed { reason: Reason::Timeout, detail: "No answer within 20 s.".into() }
}

fn user(name: &str) -> User {
    User { read_at: now().wall, ..User::named(name) }
}

fn walk(report: &mut Report, page: Vec<User>, secs_ago: u64) {
    let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
    report.merge(
        Fact::Users(UserFacts::WalkEnd(WalkEnd {
            page,
            seen,
            total: Some(12),
            started: ago(secs_ago),
            ..WalkEnd::default()
        })),
        now(),
    );
    report.parts.insert(Part::Users, read(secs_ago, Outcome::Up));
}

fn node(label: &str, status: NodeStatus) -> Node {
    Node {
        address: "192.0.2.1".into(),
        version: Some("25.1.1".into()),
        usage_coefficient: Some(1.0),
        ..Node::named(label, status)
    }
}

fn identity(system: System, version: &str) -> Identity {
    Identity { system, version: version.into(), generation: "0.8".into() }
}

fn days(days: i64) -> Expiry {
    Expiry::At(Timestamp::from_millis(now().wall.as_millis() + days * 86_400_000))
}

/// A Marzban with everything an account may read.
fn rich() -> Report {
    let mut report = Report::new("home");
    let allowance = Allowance { bytes: 20_000_000_000_000, reset_day: 15, counts: Counts::Both };
    let by_name = vec![("*".to_owned(), allowance)];
    report.node_periods = NodePeriods::new(NodeAllowances { by_name, ..NodeAllowances::default() });
    report.up = Some(true);
    report.history.up_was(true, ago(3000));
    report.certificate_expiry = Some(Timestamp::from_secs(1_800_000_000));
    report.merge(Fact::Identity(identity(System::Marzban, "0.8.4")), now());
    report.merge(
        Fact::Host(Host {
            cpu_usage: Some(0.125),
            cpu_cores: Some(4),
            memory_used: Some(1 << 30),
            memory_size: Some(4 << 30),
            ..Host::default()
        }),
        now(),
    );
    for (downlink, at) in [(9_007_199_254_740_992, ago(60)), (9_007_199_254_740_993, ago(30))] {
        let traffic = ProxyTraffic { uplink: Some(123_456_789), downlink: Some(downlink) };
        report.merge(Fact::ProxyTraffic(traffic), at);
    }
    report.merge(
        Fact::Counts(UserCounts {
            by_status: vec![(UserStatus::Active, 4), (UserStatus::OnHold, 1), (UserStatus::Limited, 1)],
            seen_within_day: Some(3),
            ..UserCounts::default()
        }),
        now(),
    );
    report.merge(Fact::Core(Core { up: Some(true), version: Some("1.8.24".into()), uptime: None }), now());
    report.merge(
        Fact::Nodes(vec![
            node(WEIRD, NodeStatus::Connected),
            node("off", NodeStatus::Disabled),
            Node { version: None, usage_coefficient: Some(1.5), ..node("sick", NodeStatus::Error) },
        ]),
        now(),
    );
    for (uplink, at) in [(29, ago(60)), (30, ago(30))] {
        report.merge(
            Fact::NodeTraffic(vec![
                NodeTraffic { node: "master".into(), uplink: 10, downlink: 20 },
                NodeTraffic { node: WEIRD.into(), uplink, downlink: 40 },
            ]),
            at,
        );
    }
    report.merge(
        Fact::Admins(vec![
            Admin { name: "root".into(), sudo: Some(true), used: None, limit: None },
            Admin { name: "resell\"er".into(), sudo: Some(false), used: Some(77), limit: Some(100) },
            Admin { name: "shy".into(), sudo: None, used: Some(0), limit: None },
        ]),
        now(),
    );
    let online = LastOnline::seen(Timestamp::from_millis(now().wall.as_millis() - 60_100));
    walk(
        &mut report,
        vec![
            User { owner: Some("root".into()), last_online: online, online: true, ..user("alice") },
            User {
                used: 80,
                limit: Some(100),
                traffic: Counter::new(180),
                expiry: days(2),
                ..user("bob@x.y")
            },
            User { used: 95, limit: Some(100), expiry: days(1), ..user("carol") },
            User {
                status: UserStatus::Limited,
                used: 101,
                limit: Some(100),
                expiry: days(6),
                ..user("dave")
            },
            User {
                status: UserStatus::Disabled,
                used: 101,
                limit: Some(100),
                expiry: days(1),
                ..user("eve")
            },
            User { status: UserStatus::Expired, expiry: days(-1), ..user("frank") },
            User {
                status: UserStatus::OnHold,
                expiry: Expiry::OnFirstUse(Duration::from_secs(2_592_000)),
                ..user("grace")
            },
            User { status: UserStatus::Unknown, owner: Some(WEIRD.into()), ..user(WEIRD) },
            User { read_at: ago(400).wall, online: true, expiry: days(8), ..user("zoe") },
        ],
        200,
    );
    report.merge(
        Fact::UserNodes(vec![UserNodeTraffic { user: "alice".into(), node: "master".into(), bytes: 5 }]),
        now(),
    );
    let inbound = |label: &str, port: &str| Inbound {
        label: label.into(),
        protocol: "vless".into(),
        port: port.into(),
        ..Inbound::default()
    };
    report.merge(Fact::Inbounds(vec![inbound("VLESS TCP", "443"), inbound(WEIRD, "")]), now());
    report.merge(Fact::Omitted(Part::Nodes, 2), now());
    for part in
        [Part::System, Part::Core, Part::Nodes, Part::Usage, Part::Admins, Part::Inbounds, Part::UserNodes]
    {
        report.parts.insert(part, read(10, Outcome::Up));
    }
    report
}

/// A PasarGuard, whose nodes have counters of their own.
fn successor() -> Report {
    let mut report = Report::new("next");
    report.up = Some(true);
    report.merge(Fact::Identity(identity(System::PasarGuard, "1.2.3")), now());
    report.merge(
        Fact::Host(Host {
            disk_used: Some(1),
            disk_size: Some(2),
            uptime: Some(86_400.5),
            cpu_usage: Some(0.07),
            ..Host::default()
        }),
        now(),
    );
    report.merge(
        Fact::Counts(UserCounts {
            by_status: UserStatus::KNOWN.iter().zip(1..).map(|(status, users)| (*status, users)).collect(),
            online: Some(2),
            ..UserCounts::default()
        }),
        now(),
    );
    report.merge(
        Fact::Nodes(vec![
            Node {
                uplink: Some(Counter::new(1000)),
                downlink: Some(Counter::new(2000)),
                ..node("edge", NodeStatus::Limited)
            },
            Node { usage_coefficient: None, ..node("new", NodeStatus::Connecting) },
        ]),
        now(),
    );
    report.merge(
        Fact::NodeTraffic(vec![
            NodeTraffic { node: "edge".into(), uplink: 1, downlink: 2 },
            NodeTraffic { node: "new".into(), uplink: 3, downlink: 4 },
        ]),
        now(),
    );
    report.merge(
        Fact::NodeStats(vec![
            NodeStats {
                node: "edge".into(),
                cpu_usage: Some(0.5),
                cpu_cores: Some(2),
                memory_used: Some(1 << 30),
                memory_size: Some(4 << 30),
                memory_usage: Some(0.25),
                receive_speed: Some(1000),
                transmit_speed: Some(2000),
                uptime: Some(86_400.0),
            },
            NodeStats { node: "new".into(), ..NodeStats::default() },
        ]),
        now(),
    );
    report.parts.insert(Part::System, read(20, Outcome::Up));
    report.parts.insert(Part::NodeStats, read(20, Outcome::Up));
    report.parts.insert(Part::Nodes, read(20, failed()));
    report.parts.insert(Part::Usage, read(20, Outcome::Up));
    report.parts.insert(Part::Admins, never_read(Outcome::Refused));
    report.parts.insert(Part::Users, never_read(Outcome::Pending));
    report
}

/// A panel that counts inbounds and outbounds, and says more of its host.
fn detailed() -> Report {
    let mut report = Report::new("more");
    report.up = Some(true);
    let host = |received| Host {
        swap_used: Some(1 << 20),
        swap_size: Some(1 << 30),
        load: [Some(0.5), Some(0.25), Some(0.0)],
        tcp_connections: Some(120),
        udp_connections: Some(7),
        network_received: Some(received),
        network_sent: Some(9_007_199_254_740_993),
        ..Host::default()
    };
    // An interface went away in between.
    for received in [1000, 10, 60] {
        report.merge(Fact::Host(host(received)), now());
    }
    report.merge(Fact::Core(Core { up: Some(true), uptime: Some(3600.0), ..Core::default() }), now());
    let thresholds = Thresholds { expiry: Some(Duration::from_secs(7 * 86_400)), quota: Some(1 << 30) };
    report.merge(Fact::Thresholds(thresholds), now());
    let counter = |bytes| Some(Counter::new(bytes));
    report.merge(
        Fact::Inbounds(vec![
            Inbound {
                label: "in-443-tcp".into(),
                protocol: "vless".into(),
                port: "443".into(),
                remark: WEIRD.into(),
                node: "edge".into(),
                enabled: Some(true),
                users: Some(2),
                used: Some(30),
                limit: Some(100),
                expiry: Some(days(30)),
                uplink: counter(10),
                downlink: counter(20),
            },
            Inbound {
                label: WEIRD.into(),
                enabled: Some(false),
                users: Some(0),
                expiry: Some(Expiry::Never),
                ..Inbound::default()
            },
        ]),
        now(),
    );
    let direct =
        Outbound { label: "direct".into(), uplink: counter(1), downlink: counter(2), ..Outbound::default() };
    let latency = Some(Duration::from_millis(85));
    report.merge(
        Fact::Outbounds(vec![
            direct,
            Outbound { label: WEIRD.into(), up: Some(true), latency, ..Outbound::default() },
            Outbound { label: "warp".into(), up: Some(false), ..Outbound::default() },
        ]),
        now(),
    );
    report.merge(
        Fact::Nodes(vec![Node {
            users: Some(2),
            users_online: Some(1),
            latency: Some(Duration::from_millis(12)),
            core_up: Some(false),
            usage_coefficient: None,
            ..node("edge", NodeStatus::Connected)
        }]),
        now(),
    );
    let memory = NodeStats { node: "edge".into(), memory_usage: Some(0.5), ..NodeStats::default() };
    report.merge(Fact::NodeStats(vec![memory]), now());
    let inbounds: Arc<[Arc<str>]> = ["in-443-tcp", WEIRD].map(Arc::from).into();
    walk(
        &mut report,
        vec![
            User {
                traffic: Counter::new(11),
                renews: true,
                extra: Extras {
                    uplink: counter(5),
                    downlink: counter(6),
                    quota_reset: Some(Timestamp::from_secs(1_791_000_000)),
                    resets: None,
                    devices: Some(2),
                    devices_limit: Some(3),
                    inbounds: Arc::clone(&inbounds),
                }
                .into(),
                ..user("ann")
            },
            User {
                extra: Extras {
                    devices: Some(0),
                    inbounds: [Arc::clone(&inbounds[0])].into(),
                    ..Extras::default()
                }
                .into(),
                ..user("ben")
            },
        ],
        20,
    );
    for part in [Part::System, Part::Core, Part::Nodes, Part::NodeStats, Part::Inbounds, Part::Outbounds] {
        report.parts.insert(part, read(20, Outcome::Up));
    }
    let today = ago(60).wall..now().wall.saturating_add_millis(60_000);
    report.used_today = Some(Arc::new(UsedToday::new(today, vec![("ann".into(), 7)])));
    report.rates = Some(Arc::new(Rates::new(now().wall, [("ann".into(), Some(1 << 30))])));
    report.walk = Some(WalkProgress { read: 1, size: Some(2), took: Duration::ZERO, left: None });
    report
}

/// A target that was well once, too long ago to repeat what it said.
fn gone() -> Report {
    let mut report = Report { target: "gone".into(), up: Some(false), ..rich() };
    for state in report.parts.values_mut() {
        *state = read(600, failed());
    }
    report
}

fn snapshot() -> Vec<Arc<Report>> {
    [gone(), rich(), detailed(), llm::proxy(), successor(), Report::new("untried")].map(Arc::new).into()
}

fn options(labels: UserLabels) -> Options {
    Options { labels, limit: 1000, inbounds: true, used_today: true, budgets: llm::budgets() }
}

fn text(reports: &[Arc<Report>], options: &Options, format: Format) -> String {
    shown::checked_text(reports, &ActiveAlerts::default(), options, now(), format)
}

fn parsed(reports: &[Arc<Report>], options: &Options) -> Vec<Sample> {
    let classic = parse(text_format::Format::Classic, &text(reports, options, Format::Classic)).unwrap();
    let open = parse(text_format::Format::OpenMetrics, &text(reports, options, Format::OpenMetrics)).unwrap();
    assert_eq!(classic, open, "both formats show the same");
    classic
}

/// The family of a sample; that of a histogram has a shorter name.
fn family(sample: &Sample) -> &'static Family<'static> {
    let is_of = |family: &&Family<'_>| match sample.name.strip_prefix(family.name) {
        Some("") => true,
        Some("_bucket" | "_sum" | "_count") => family.kind == Kind::Histogram,
        _ => false,
    };
    exposition::families().find(is_of).unwrap()
}

fn find<'a>(
    samples: &'a [Sample],
    name: &'a str,
    labels: &'a [(&str, &str)],
) -> impl Iterator<Item = f64> + 'a {
    let fits = move |sample: &&Sample| {
        sample.name == format!("proxymeter_{name}")
            && labels.iter().all(|(label, value)| sample.label(label) == Some(value))
    };
    samples.iter().filter(fits).map(|sample| sample.value)
}

/// `UPDATE_GOLDEN=1 cargo test --test it exposition::` writes the files; read the difference before it is
/// committed.
#[test]
fn what_an_answer_did_not_say_of_a_user_has_no_series() {
    let cases = [
        (Unread::STATUS, "user_status"),
        (Unread::USED, "user_used_bytes"),
        (Unread::LIMIT, "user_limit_bytes"),
        (Unread::TRAFFIC, "user_traffic_bytes_total"),
        (Unread::EXPIRY, "user_expiry_timestamp_seconds"),
        (Unread::ONLINE, "user_online"),
    ];
    for (fact, family) in cases {
        let mut report = Report::new("home");
        walk(&mut report, vec![User { limit: Some(9), expiry: days(1), unread: fact, ..user("alice") }], 1);
        let text = text(&[Arc::new(report)], &options(UserLabels::Name), Format::Classic);
        let shown: Vec<_> =
            cases.iter().filter(|(_, family)| text.contains(&format!("\nproxymeter_{family}{{"))).collect();
        assert_eq!(shown.len(), 5, "{text}");
        assert!(shown.iter().all(|(_, shown)| *shown != family));
    }
}

#[test]
fn users_are_counted_by_the_list_if_it_is_younger_than_the_panels_counts() {
    for (counted, walked, expected) in [(None, 60, 4.0), (Some(30), 60, 4.0), (Some(200), 60, 1.0)] {
        let mut report = Report::new("home");
        let counts = UserCounts {
            by_status: vec![(UserStatus::Active, 4)],
            by_status_at: counted.map(ago),
            ..UserCounts::default()
        };
        report.merge(Fact::Counts(counts), now());
        report.parts.insert(Part::System, read(1, Outcome::Up));
        walk(&mut report, vec![user("alice")], walked);
        let text = text(&[Arc::new(report)], &options(UserLabels::Name), Format::Classic);
        let samples = parse(text_format::Format::Classic, &text).unwrap();
        let active = samples
            .iter()
            .find(|sample| sample.name == "proxymeter_users" && sample.label("status") == Some("active"));
        assert_eq!(active.map(|sample| sample.value), Some(expected), "{counted:?}");
    }
}

#[test]
fn golden_files() {
    let cases = [
        ("rich.prom", Format::Classic, text_format::Format::Classic),
        ("rich.om", Format::OpenMetrics, text_format::Format::OpenMetrics),
    ];
    for (name, format, parser) in cases {
        let text = text(&snapshot(), &options(UserLabels::Name), format);
        parse(parser, &text).unwrap();
        assert_golden(format!("tests/golden/{name}"), &text);
    }
}

/// Together, the reports behind the golden files have a series of every family there is.
#[test]
fn the_golden_files_show_every_family() {
    let shown: HashSet<_> =
        parsed(&snapshot(), &options(UserLabels::Name)).into_iter().map(|s| family(&s).name).collect();
    let missing: Vec<_> =
        exposition::families().map(|family| family.name).filter(|name| !shown.contains(name)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn no_help_text_names_a_system() {
    for family in exposition::families().chain(exposition::alert_families().iter().copied()) {
        for system in System::ALL {
            assert!(!family.help.to_lowercase().contains(system.label()), "{}: {}", family.name, family.help);
        }
    }
}

#[test]
fn labels_come_back_as_they_were() {
    let samples = parsed(&snapshot(), &options(UserLabels::Name));
    assert_eq!(find(&samples, "user_info", &[("user", WEIRD), ("admin", WEIRD)]).count(), 1);
    assert_eq!(find(&samples, "node_up", &[("target", "home"), ("node", WEIRD)]).collect::<Vec<_>>(), [1.0]);
    for sample in &samples {
        let labels = sample.labels.iter().map(|(name, _)| name).filter(|name| *name != "le");
        assert!(labels.eq(family(sample).labels), "{sample:?}");
    }
}

#[test]
fn a_stale_part_is_no_longer_told() {
    let samples = parsed(&[Arc::new(gone())], &options(UserLabels::Name));
    let names: HashSet<_> = samples.iter().map(|sample| sample.name.as_str()).collect();
    let stays = [
        "proxymeter_up",
        "proxymeter_target_info",
        "proxymeter_target_part_up",
        "proxymeter_target_part_refused",
        "proxymeter_target_part_last_success_timestamp_seconds",
        "proxymeter_target_part_poll_duration_seconds",
        "proxymeter_target_certificate_expiry_timestamp_seconds",
    ];
    assert_eq!(names, HashSet::from(stays));
    assert!(find(&samples, "target_part_up", &[]).all(|value| value == 0.0));
    // A second earlier all of it was.
    let mut fresh = gone();
    for state in fresh.parts.values_mut() {
        *state = read(599, failed());
    }
    let samples = parsed(&[Arc::new(fresh)], &options(UserLabels::Name));
    assert_eq!(find(&samples, "user_used_bytes", &[]).count(), 9);
    assert_eq!(find(&samples, "node_up", &[]).count(), 2);
    assert_eq!(find(&samples, "core_up", &[]).count(), 1);
}

#[test]
fn refused_pending_and_untried_parts() {
    let samples = parsed(&snapshot(), &options(UserLabels::Name));
    let values = |name, part| find(&samples, name, &[("target", "next"), ("part", part)]).collect::<Vec<_>>();
    assert_eq!(values("target_part_up", "system"), [1.0]);
    assert_eq!(values("target_part_up", "nodes"), [0.0]);
    assert_eq!(values("target_part_up", "admins"), [0.0; 0]);
    assert_eq!(values("target_part_up", "users"), [0.0; 0]);
    assert_eq!(values("target_part_refused", "admins"), [1.0]);
    assert_eq!(values("target_part_refused", "users"), [0.0]);
    assert_eq!(values("target_part_refused", "core"), [0.0; 0]);
    assert_eq!(samples.iter().filter(|sample| sample.label("target") == Some("untried")).count(), 0);
}

#[test]
fn counts_of_the_panel_come_first_and_the_list_fills_the_gaps() {
    let status = |report: Report, status| {
        let samples = parsed(&[Arc::new(report)], &options(UserLabels::Off));
        find(&samples, "users", &[("status", status)]).collect::<Vec<_>>()
    };
    // The panel says 4, the list has 4 active users as well as 1 expired one, of which the panel says nothing.
    let cases = [("active", 4.0), ("expired", 1.0), ("disabled", 1.0), ("unknown", 1.0), ("on_hold", 1.0)];
    for (name, expected) in cases {
        assert_eq!(status(rich(), name), [expected], "{name}");
    }
    let mut counted = rich();
    counted.counts.by_status = vec![(UserStatus::Active, 40)];
    assert_eq!(status(counted.clone(), "active"), [40.0]);
    counted.parts.insert(Part::Users, read(600, failed()));
    assert_eq!(status(counted.clone(), "expired"), [0.0; 0]);
    counted.parts.insert(Part::Users, read(10, Outcome::Up));
    counted.parts.insert(Part::System, read(600, failed()));
    assert_eq!(status(counted, "active"), [4.0]);

    // A list that is not whole yet is not counted.
    let mut partial = Report::new("t");
    partial.merge(Fact::Users(UserFacts::Page(vec![user("a")])), now());
    partial.parts.insert(Part::Users, read(1, Outcome::Pending));
    assert_eq!(status(partial.clone(), "active"), [0.0; 0]);
    let samples = parsed(&[Arc::new(partial)], &options(UserLabels::Name));
    assert_eq!(find(&samples, "users_expiring", &[]).count(), 0);
    assert_eq!(find(&samples, "user_used_bytes", &[]).count(), 1);
    assert_eq!(find(&samples, "target_users_omitted", &[]).collect::<Vec<_>>(), [0.0]);
}

#[test]
fn who_is_online_is_told_for_five_minutes() {
    let online = |walked: u64| {
        let mut report = Report::new("t");
        let page = vec![User { online: true, read_at: ago(walked).wall, ..user("a") }];
        walk(&mut report, page, walked);
        let samples = parsed(&[Arc::new(report)], &options(UserLabels::Name));
        let count = |name| find(&samples, name, &[]).collect::<Vec<_>>();
        (count("users_online"), count("user_online"))
    };
    assert_eq!(online(299), (vec![1.0], vec![1.0]));
    assert_eq!(online(300), (vec![], vec![]));
}

#[test]
fn expiring_users_and_quotas_are_cumulative() {
    for labels in [UserLabels::Name, UserLabels::Off] {
        let samples = parsed(&[Arc::new(rich())], &options(labels));
        let expiring: Vec<_> = ["1d", "3d", "7d"]
            .iter()
            .flat_map(|within| find(&samples, "users_expiring", &[("within", within)]).collect::<Vec<_>>())
            .collect();
        assert_eq!(expiring, [1.0, 2.0, 2.0]);
        let near: Vec<_> = ["0.8", "0.95", "1"]
            .iter()
            .flat_map(|ratio| find(&samples, "users_near_quota", &[("ratio", ratio)]).collect::<Vec<_>>())
            .collect();
        assert_eq!(near, [3.0, 2.0, 1.0]);
    }
}

#[test]
fn the_users_of_each_admin_are_counted_also_without_series_of_users() {
    let owned = |name: &str, owner: &str, status| User { owner: Some(owner.into()), status, ..user(name) };
    let mut report = Report::new("home");
    let mut page: Vec<_> =
        (0..2500).map(|at| owned(&format!("u{at:04}"), &format!("a{at:04}"), UserStatus::Limited)).collect();
    page.push(owned("v", "a0000", UserStatus::Active));
    page.push(owned("w", "a2400", UserStatus::Active));
    page.push(user("x"));
    walk(&mut report, page, 1);
    let samples = parsed(&[Arc::new(report)], &options(UserLabels::Off));
    let of = |admin, status| {
        let labels = [("admin", admin), ("status", status)];
        find(&samples, "users_by_admin", &labels).collect::<Vec<_>>()
    };
    assert_eq!((of("a0000", "limited"), of("a0000", "active")), (vec![1.0], vec![1.0]));
    assert_eq!(
        (of("a1999", "active"), of("a2000", "limited"), of("a2400", "active")),
        (vec![0.0], vec![], vec![])
    );
    let all = find(&samples, "users_by_admin", &[]).collect::<Vec<_>>();
    assert_eq!((all.len(), all.iter().sum::<f64>()), (2000 * UserStatus::KNOWN.len(), 2001.0));
}

#[test]
fn what_alerts_are_judged_by_is_shown() {
    let mut report = Report::new("home");
    report.up = Some(true);
    report.history.up_was(true, ago(3000));
    let active = |users| UserCounts { by_status: vec![(UserStatus::Active, users)], ..UserCounts::default() };
    report.merge(Fact::Counts(active(4)), now());
    let moving = |bytes| Node { uplink: Some(Counter::new(bytes)), ..node("edge", NodeStatus::Connected) };
    for (bytes, at) in [(1, 3000), (2, 2000), (2, 1000), (2, 10)] {
        let traffic = ProxyTraffic { uplink: Some(bytes), downlink: None };
        report.merge(Fact::ProxyTraffic(traffic), ago(at));
        report.merge(Fact::Nodes(vec![moving(bytes), node("still", NodeStatus::Connected)]), ago(at));
    }
    let forbidden = Outcome::Failed { reason: Reason::Forbidden, detail: String::new() };
    for (part, state) in [
        (Part::System, read(10, Outcome::Up)),
        (Part::Nodes, read(301, Outcome::Up)),
        (Part::Usage, read(10, failed())),
        (Part::Core, read(300, forbidden)),
        (Part::Admins, never_read(Outcome::Refused)),
        (Part::Users, never_read(failed())),
    ] {
        report.parts.insert(part, state);
    }
    let shown = |report: &Report| {
        let samples = parsed(&[Arc::new(report.clone())], &options(UserLabels::Name));
        let of = |name: &str| {
            let of = samples.iter().filter(|sample| sample.name == format!("proxymeter_{name}"));
            of.map(|sample| {
                let label = sample.label("part").or(sample.label("node")).unwrap_or_default().to_owned();
                (label, sample.value)
            })
            .collect::<Vec<_>>()
        };
        [
            "target_part_stale",
            "target_part_right_lost",
            "target_traffic_last_moved_timestamp_seconds",
            "node_traffic_last_moved_timestamp_seconds",
            "node_traffic_pause_allowed_seconds",
        ]
        .map(of)
    };
    let with =
        |list: &[(&str, f64)]| list.iter().map(|(of, value)| ((*of).to_owned(), *value)).collect::<Vec<_>>();
    let stale = [("system", 0.0), ("core", 0.0), ("nodes", 1.0), ("usage", 0.0), ("users", 1.0)];
    let lost = with(&[("system", 0.0), ("core", 1.0), ("nodes", 0.0)]);
    let moved = ago(2000).wall.as_secs_f64();
    let expected =
        [with(&stale), lost, with(&[("", moved)]), with(&[("edge", moved)]), with(&[("edge", 3000.0)])];
    assert_eq!(shown(&report), expected);

    // The target has just come up again, and does not count its active users.
    report.history.up_was(false, ago(310));
    report.history.up_was(true, ago(299));
    report.counts = UserCounts::default();
    let [stale, _, moved @ ..] = shown(&report);
    assert_eq!((stale, moved.concat()), (vec![], vec![]));
}

#[test]
fn thresholds_of_steps_are_shown_by_what_they_measure() {
    let own = |step| AlertStep { rule: Some("vip".into()), ..step };
    let known = vec![
        step("", Threshold::Holds),
        step("7d", Threshold::Remaining(Duration::from_secs(604_800))),
        step("expired", Threshold::Remaining(Duration::ZERO)),
        own(step("97.5%", Threshold::Used(9750))),
    ];
    let samples =
        with_alerts(&[], &ActiveAlerts { known, ..ActiveAlerts::default() }, &options(UserLabels::Name));
    let of = |name: &str| {
        let of =
            samples.iter().filter(|sample| sample.name == format!("proxymeter_alert_step_threshold_{name}"));
        of.map(|sample| (sample.label("rule"), sample.label("step").unwrap(), sample.value))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("seconds"), [(None, "7d", 604_800.0), (None, "expired", 0.0)]);
    assert_eq!(of("ratio"), [(Some("vip"), "97.5%", 0.975)]);
}

#[test]
fn names_do_not_leak_when_they_are_hashed_or_off() {
    let key = HashKey::new(&[7; 32]);
    for labels in [UserLabels::Hash(key.clone()), UserLabels::Off] {
        let hashed = matches!(labels, UserLabels::Hash(_));
        for format in [Format::Classic, Format::OpenMetrics] {
            let text = text(&snapshot(), &options(labels.clone()), format);
            for name in ["alice", "bob", "carol", "dave", "eve", "frank", "grace", "zoe"] {
                let mut samples = text.lines().filter(|line| !line.starts_with('#'));
                assert!(!samples.any(|line| line.contains(name)), "{name}");
            }
            assert_eq!(text.contains(&format!("user=\"{}\"", key.hash("alice"))), hashed);
            assert_eq!(text.contains("user="), hashed);
            assert_eq!(text.contains("proxymeter_target_users_omitted"), hashed);
            assert!(text.contains("proxymeter_users_expiring"));
        }
    }
    // Their order does not show where a name is in the alphabet.
    let mut report = rich();
    let users: Vec<_> = report.users.list().iter().map(|user| Arc::clone(&user.name)).collect();
    let traffic = |user: &Arc<str>| UserNodeTraffic { user: Arc::clone(user), node: "n".into(), bytes: 5 };
    report.merge(Fact::UserNodes(users.iter().map(traffic).collect()), now());
    let list = users.iter().map(|user| firing("home", KIND_USER, user));
    let alerts = ActiveAlerts::new(Vec::new(), list);
    let samples = with_alerts(&[Arc::new(report)], &alerts, &options(UserLabels::Hash(key)));
    let families =
        [("user_used_bytes", "user"), ("user_node_traffic_bytes_total", "user"), ("alert_firing", "subject")];
    for (family, label) in families {
        let samples = samples.iter().filter(|sample| sample.name == format!("proxymeter_{family}"));
        let hashes: Vec<_> = samples.map(|sample| sample.label(label).unwrap().to_owned()).collect();
        assert_eq!(hashes.len(), 9);
        assert!(hashes.is_sorted(), "{family}: {hashes:?}");
        assert!(hashes.iter().all(|hash| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}

#[test]
fn a_limit_keeps_the_first_by_name_and_counts_the_rest() {
    let samples = parsed(&[Arc::new(rich())], &Options { limit: 2, ..options(UserLabels::Name) });
    assert_eq!(find(&samples, "target_users_omitted", &[]).collect::<Vec<_>>(), [7.0]);
    let users: HashSet<_> = samples.iter().filter_map(|sample| sample.label("user")).collect();
    assert_eq!(users, HashSet::from(["alice", "bob@x.y"]));
    assert_eq!(find(&samples, "users_near_quota", &[("ratio", "0.8")]).collect::<Vec<_>>(), [3.0]);
}

fn firing(target: &str, kind: &'static str, subject: &str) -> ActiveAlert {
    ActiveAlert {
        alertname: "ProxymeterTest",
        severity: Severity::Warning,
        target: target.into(),
        kind,
        subject: subject.into(),
        step: "".into(),
        rule: None,
        state: AlertState::Firing,
        silenced_by: Vec::new(),
        active_since: now().wall,
        summary: "",
        reading: Reading::Lasting(1),
    }
}

fn step(label: &str, threshold: Threshold) -> AlertStep {
    AlertStep {
        alertname: "ProxymeterTest",
        rule: None,
        step: label.into(),
        severity: Severity::Warning,
        threshold,
    }
}

fn with_alerts(reports: &[Arc<Report>], alerts: &ActiveAlerts, options: &Options) -> Vec<Sample> {
    let text = shown::checked_text(reports, alerts, options, now(), Format::Classic);
    parse(text_format::Format::Classic, &text).unwrap()
}

#[test]
fn the_limit_holds_for_every_series_that_names_a_user() {
    let mut report = rich();
    let traffic =
        ["alice", "carol"].map(|user| UserNodeTraffic { user: user.into(), node: "n".into(), bytes: 5 });
    report.merge(Fact::UserNodes(traffic.into()), now());
    let mut stale = Report { target: "stale".into(), ..report.clone() };
    stale.parts.insert(Part::Users, read(600, failed()));
    let reports = [report, stale].map(Arc::new);
    let users: Vec<_> = reports[0].users.list().iter().map(|user| Arc::clone(&user.name)).collect();
    let mut list = Vec::new();
    for target in ["home", "stale"] {
        list.extend(users.iter().map(|user| firing(target, KIND_USER, user)));
        list.push(firing(target, "node", "sick"));
    }
    let alerts = ActiveAlerts::new(vec![step("", Threshold::Holds)], list);

    let key = HashKey::new(b"key");
    let hashes = ["alice", "bob@x.y"].map(|name| key.hash(name));
    let cases: [(_, _, Vec<&str>); 5] = [
        (UserLabels::Name, 1, vec!["alice"]),
        (UserLabels::Name, 2, vec!["alice", "bob@x.y"]),
        (UserLabels::Name, 9, users.iter().map(|user| &**user).collect()),
        (UserLabels::Hash(key), 2, hashes.iter().map(String::as_str).collect()),
        (UserLabels::Off, 2, vec![]),
    ];
    for (labels, limit, expected) in cases {
        let options = Options { limit, ..options(labels) };
        let samples = with_alerts(&reports, &alerts, &options);

        let expected = HashSet::from_iter(expected);
        for target in ["home", "stale"] {
            let of = |kind| {
                samples
                    .iter()
                    .filter(|sample| sample.name == "proxymeter_alert_firing")
                    .filter(|sample| sample.label("target") == Some(target))
                    .filter(|sample| sample.label("kind") == Some(kind))
                    .filter_map(|sample| sample.label("subject"))
                    .collect::<HashSet<_>>()
            };
            assert_eq!(of(KIND_USER), expected, "{options:?} {target}");
            assert_eq!(of("node"), HashSet::from(["sick"]));
        }
        let named = samples.iter().filter_map(|sample| sample.label("user")).collect::<HashSet<_>>();
        assert_eq!(named, expected, "{options:?}");
        let counted = find(&samples, "alerts", &[("state", "firing")]).collect::<Vec<_>>();
        assert_eq!(counted, [20.0], "the limit is of series, not of counts");
    }
}

/// The users with a place: those of the list first, then those with traffic per node, then those of alerts.
fn expected_names<'a>(sources: [&[&'a str]; 3], limit: usize) -> HashSet<&'a str> {
    let mut named = Vec::new();
    for source in sources {
        let mut new: Vec<_> = source.iter().filter(|name| !named.contains(*name)).collect();
        new.sort_unstable();
        named.extend(new);
    }
    named.into_iter().take(limit).collect()
}

#[test]
fn no_more_users_than_the_limit_are_named_whatever_the_list_knows() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..2000 {
        let limit = round % 5;
        let mut some = || NAMES.into_iter().filter(|_| random.u8(..3) == 0).collect::<Vec<_>>();
        let (listed, counted, alerting) = (some(), some(), some());
        let mut report = Report::new("home");
        if round % 3 == 0 {
            walk(&mut report, listed.iter().map(|name| user(name)).collect(), 1);
        } else {
            let page = listed.iter().map(|name| user(name)).collect();
            report.merge(Fact::Users(UserFacts::Page(page)), now());
            report.parts.insert(Part::Users, read(1, Outcome::Pending));
        }
        let traffic = |name: &&str| UserNodeTraffic { user: (*name).into(), node: "n".into(), bytes: 5 };
        report.merge(Fact::UserNodes(counted.iter().map(traffic).collect()), now());
        report.parts.insert(Part::UserNodes, read(1, Outcome::Up));
        // Two rules have the same subjects.
        let list = [alerting.as_slice(), &alerting].concat();
        let list = list.iter().map(|name| firing("home", KIND_USER, name)).enumerate();
        let step = |at: usize| if at < alerting.len() { "1d" } else { "3d" };
        let list = list.map(|(at, alert)| ActiveAlert { step: step(at).into(), ..alert });
        let alerts = ActiveAlerts::new(Vec::new(), list);

        let samples =
            with_alerts(&[Arc::new(report)], &alerts, &Options { limit, ..options(UserLabels::Name) });
        let of = |family: &str, label: &str| {
            let samples = samples.iter().filter(|sample| sample.name == format!("proxymeter_{family}"));
            samples.filter_map(|sample| sample.label(label)).collect::<HashSet<_>>()
        };
        let families =
            [("user_status", "user"), ("user_node_traffic_bytes_total", "user"), ("alert_firing", "subject")];
        let shown = families.map(|(family, label)| of(family, label));
        let expected = expected_names([&listed, &counted, &alerting], limit);
        let case = format!("{limit} of {listed:?} {counted:?} {alerting:?}");
        assert!(expected.len() <= limit, "{case}");
        for (shown, source) in shown.iter().zip([listed, counted, alerting]) {
            let named = source.into_iter().filter(|name| expected.contains(name)).collect();
            assert_eq!(*shown, named, "{case}");
        }
    }
}

#[test]
fn a_node_has_one_counter_even_while_its_own_is_stale() {
    let uplink = |report: Report, node: &str| {
        let samples = parsed(&[Arc::new(report)], &options(UserLabels::Name));
        find(&samples, "node_uplink_bytes_total", &[("node", node)]).collect::<Vec<_>>()
    };
    assert_eq!(uplink(successor(), "edge"), [1000.0]);
    assert_eq!(uplink(successor(), "new"), [3.0]);
    let mut stale = successor();
    stale.parts.insert(Part::Nodes, read(600, failed()));
    assert_eq!(uplink(stale.clone(), "edge"), [0.0; 0]);
    assert_eq!(uplink(stale, "new"), [3.0]);
}

#[test]
fn random_reports_are_well_formed() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let reports: Vec<_> = (0..random.usize(..4))
            .map(|at| Arc::new(random_report(&mut random, &format!("t{at}"))))
            .collect();
        let labels = match random.u8(..3) {
            0 => UserLabels::Name,
            1 => UserLabels::Hash(HashKey::new(&seed.to_le_bytes())),
            _ => UserLabels::Off,
        };
        let options = Options { limit: random.usize(..40), ..options(labels) };
        for sample in parsed(&reports, &options) {
            assert!(sample.value.is_finite(), "{sample:?}");
        }
    }
}

fn random_report(random: &mut fastrand::Rng, target: &str) -> Report {
    let mut report = Report::new(target);
    report.up = maybe(random, |random| random.bool());
    report.certificate_expiry = maybe(random, |random| Timestamp::from_millis(random.i64(..)));
    let statuses = [UserStatus::Active, UserStatus::OnHold, UserStatus::Limited, UserStatus::Unknown];
    if random.bool() {
        report.merge(Fact::Identity(identity(System::Marzban, &word(random))), now());
        report.merge(
            Fact::Host(Host { cpu_usage: maybe(random, fastrand::Rng::f64), ..Host::default() }),
            now(),
        );
        let traffic = ProxyTraffic {
            uplink: maybe(random, |random| random.u64(..)),
            downlink: maybe(random, |random| random.u64(..)),
        };
        report.merge(Fact::ProxyTraffic(traffic), now());
        report.merge(
            Fact::Counts(UserCounts {
                by_status: (0..random.usize(..9)).map(|at| (statuses[at % 4], random.u64(..))).collect(),
                online: maybe(random, |random| random.u64(..)),
                seen_within_day: maybe(random, |random| random.u64(..)),
                ..UserCounts::default()
            }),
            now(),
        );
    }
    let labels: Vec<_> = (0..random.usize(..5)).map(|at| format!("{}{at}", word(random))).collect();
    let node_status = |random: &mut fastrand::Rng| NodeStatus::ALL[random.usize(..NodeStatus::ALL.len())];
    report.merge(
        Fact::Nodes(
            labels
                .iter()
                .map(|label| Node {
                    address: word(random),
                    version: maybe(random, word),
                    uplink: maybe(random, |random| Counter::new(random.u64(..))),
                    ..node(label, node_status(random))
                })
                .collect(),
        ),
        now(),
    );
    let usage = labels.iter().map(|label| label.as_str()).chain(["master"]);
    report.merge(
        Fact::NodeTraffic(
            usage
                .map(|node| NodeTraffic { node: node.into(), uplink: random.u64(..), downlink: 0 })
                .collect(),
        ),
        now(),
    );
    let users = (0..random.usize(..60))
        .map(|_| User {
            owner: maybe(random, |random| word(random).into()),
            status: statuses[random.usize(..4)],
            used: random.u64(..),
            limit: maybe(random, |random| random.u64(..)),
            traffic: Counter::new(random.u64(..)),
            expiry: match random.u8(..3) {
                0 => Expiry::Never,
                1 => Expiry::OnFirstUse(Duration::from_secs(random.u64(..))),
                _ => Expiry::At(Timestamp::from_millis(random.i64(..))),
            },
            last_online: match random.u8(..3) {
                0 => LastOnline::default(),
                1 => LastOnline::never(Timestamp::from_millis(random.i64(..))),
                _ => LastOnline::seen(Timestamp::from_millis(random.i64(..))),
            },
            online: random.bool(),
            read_at: Timestamp::from_millis(random.i64(..)),
            ..user(&word(random))
        })
        .collect();
    if random.bool() {
        walk(&mut report, users, random.u64(..3000));
    } else {
        report.merge(Fact::Users(UserFacts::Page(users)), now());
    }
    for part in [Part::System, Part::Core, Part::Nodes, Part::Usage, Part::Admins, Part::Users] {
        let outcome = match random.u8(..4) {
            0 => Outcome::Up,
            1 => Outcome::Refused,
            2 => failed(),
            _ => Outcome::Pending,
        };
        match random.u8(..3) {
            0 => drop(report.parts.remove(&part)),
            1 => drop(report.parts.insert(part, never_read(outcome))),
            _ => drop(report.parts.insert(part, read(random.u64(..1200), outcome))),
        }
    }
    report
}

fn maybe<T>(random: &mut fastrand::Rng, value: impl FnOnce(&mut fastrand::Rng) -> T) -> Option<T> {
    random.bool().then(|| value(random))
}

fn word(random: &mut fastrand::Rng) -> String {
    const LETTERS: [char; 12] = ['a', 'b', '"', '\\', '\n', 'n', '{', '}', ',', '🙂', ' ', '#'];
    (0..random.usize(..6)).map(|_| LETTERS[random.usize(..LETTERS.len())]).collect()
}

/// The parser is what many tests rest on, so it must refuse what is wrong.
#[test]
fn the_parser_refuses_what_is_wrong() {
    use text_format::Format::{Classic, OpenMetrics};
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{t=\"x\"} 1\na_total{t=\"y\"} 2\n";
    parse(Classic, good).unwrap();
    parse(OpenMetrics, "# HELP a A.\n# TYPE a counter\na_total 1\n# EOF\n").unwrap();
    let cases = [
        (Classic, "two equal series", good.replace('y', "x")),
        (
            Classic,
            "two equal series",
            good.replace("{t=\"x\"}", "{s=\"a\",t=\"b\"}").replace("{t=\"y\"}", "{t=\"b\",s=\"a\"}"),
        ),
        (Classic, "family taken up again", format!("{good}{}{good}", good.replace("a_total", "b_total"))),
        (Classic, "sample of another family", format!("{good}b 1\n")),
        (Classic, "sample without TYPE", good.replace("# TYPE a_total counter\n", "")),
        (Classic, "sample without HELP", good.replace("# HELP a_total A.\n", "")),
        (Classic, "sample before any family", "a 1\n".into()),
        (Classic, "name does not fit", good.replace("a_total", "a")),
        (Classic, "name does not fit", good.replace("counter", "gauge")),
        (Classic, "counter below zero", good.replace(" 1", " -1")),
        (Classic, "not a number", good.replace(" 1", " inf")),
        (Classic, "not a number", good.replace(" 1", " 1 1700000000")),
        (Classic, "odd escape", good.replace("\"x\"", "\"\\x\"")),
        (Classic, "labels do not end", good.replace("\"x\"", "\"x\"y\"")),
        (Classic, "blank line", format!("{good}\n")),
        (Classic, "does not end", good.trim_end().into()),
        (Classic, "without samples", format!("# HELP x X.\n# TYPE x gauge\n{good}")),
        (Classic, "belongs to others", good.replace("t=", "job=")),
        (OpenMetrics, "no EOF", "# HELP a A.\n# TYPE a counter\na_total 1\n".into()),
        (OpenMetrics, "text after EOF", "# EOF\n# HELP a A.\n".into()),
        (OpenMetrics, "name does not fit", format!("{good}# EOF\n")),
        (
            OpenMetrics,
            "end in the unit",
            "# HELP a A.\n# TYPE a counter\n# UNIT a bytes\na_total 1\n# EOF\n".into(),
        ),
        (OpenMetrics, "bare quote", "# HELP a A \"b\".\n# TYPE a gauge\na 1\n# EOF\n".into()),
    ];
    for (format, expected, text) in cases {
        let wrong = parse(format, &text).expect_err(&text);
        assert!(wrong.contains(expected), "{wrong:?} instead of {expected:?}\n{text}");
    }
}

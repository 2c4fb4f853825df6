//! Ten thousand alerts that change with every poll, through the engine and a database on the disk. A program of its
//! own, as the memory that is measured is that of the process.

use proxymeter::wording::Voice;
use std::{fs, sync::Arc, time::Duration};

use proxymeter::{
    alert::{
        config::AlertingConfig,
        engine::{Engine, Rows},
        group::{self, Pick, Route, Size},
    },
    model::{
        Counter, Fact, Moment, Outcome, Part, PartState, Report, Severity, Timestamp, User, UserFacts,
        UserNames, WalkEnd,
    },
    store::{Batch, Store},
};
use tokio::time::Instant;

const USERS: usize = 10_000;
const POLLS: u64 = 100;
/// As often as targets are looked at in any case.
const POLL_EVERY: Duration = Duration::from_secs(15);
/// The shortest interval that can be configured: what a round takes has to fit, unoptimised as tests are.
const SHORTEST_POLL: Duration = Duration::from_secs(5);
const GROUP_INTERVAL: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;

#[tokio::test]
async fn ten_thousand_alerts_that_flap_stay_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), at(0).wall).unwrap().store;
    let mut engine = Engine::new(&config(), vec![route()], &Rows::default(), at(0)).unwrap();
    let mut panel = Panel::new();
    engine.observe_reports(&[panel.poll(1, at(0))], at(0));
    engine.tick(at(0));
    assert!(engine.next("ops", Pick::Urgent, Size::default(), None, at(0)).is_none());

    let quiet = memory("VmRSS");
    let mut told_once = quiet;
    let (mut told_at, mut sizes, mut slowest) = (Vec::new(), Vec::new(), Duration::ZERO);
    for poll in 1..=POLLS {
        let now = at(poll);
        let report = panel.poll(if poll % 2 == 0 { 1 } else { 85 }, now);
        let began = Instant::now();
        engine.observe_reports(&[report], now);
        engine.tick(now);
        let composed = engine.next("ops", Pick::Urgent, Size::default(), None, now);
        let output = engine.take_output();
        let messages = composed.iter().map(|composed| composed.message.clone()).collect();
        let (alerts, groups, settled) = (output.alerts, output.groups, output.settled);
        let batch = Batch { alerts, groups, messages, settled, ..Batch::default() };
        assert!(batch.alerts.len() <= USERS && batch.groups.len() <= 1);
        store.record(batch).await.unwrap();
        slowest = slowest.max(began.elapsed());
        if let Some(composed) = composed {
            // Of each user, one that ended and one that began anew.
            let alerts = composed.notice.alerts.len();
            assert!(alerts <= 2 * USERS, "{alerts} alerts");
            told_at.push(composed.notice.created_at);
            // Its outcome is stored with the next changes.
            engine.settle("ops", &composed.message.id, &group::Outcome::Taken, now);
        }
        if told_at.len() == 1 && told_once == quiet {
            told_once = memory("VmRSS");
        }
        sizes.push(store.status().size_bytes);
    }
    // What one message with everybody in it takes is no growth, and has a bound of its own.
    let (message, grown) = (told_once - quiet, memory("VmHWM").saturating_sub(told_once));
    store.close().await;

    let largest = |sizes: &[u64]| sizes.iter().copied().max().unwrap();
    let (early, late) = sizes.split_at(sizes.len() / 2);
    let (early, late) = (largest(early), largest(late));
    eprintln!(
        "{USERS} users, {POLLS} polls: {} messages, {} MiB for the first and {} MiB more for all that follows, {} MiB on \
         the disk, {slowest:?} a round at most",
        told_at.len(),
        message / MIB,
        grown / MIB,
        early.max(late) / MIB
    );
    assert!(grown <= 64 * MIB, "{grown} bytes more");
    assert!(message <= 72 * MIB, "{message} bytes for a message");
    assert!(late <= early + early / 10 && late <= 64 * MIB, "{early} bytes, and then {late}");
    assert!(slowest < SHORTEST_POLL, "{slowest:?}");
    assert!(told_at.len() >= 2, "{told_at:?}");
    assert!(told_at.windows(2).all(|pair| pair[1].since(pair[0]) >= GROUP_INTERVAL), "{told_at:?}");
}

fn config() -> AlertingConfig {
    AlertingConfig {
        enabled: true,
        group_by: vec!["target".into(), "alertname".into()],
        group_wait: Duration::from_secs(30),
        group_interval: GROUP_INTERVAL,
        ..AlertingConfig::default()
    }
}

fn route() -> Route {
    let config = config();
    Route {
        receiver: "ops".into(),
        min_severity: Severity::Info,
        send_resolved: true,
        group_by: config.group_by,
        group_wait: config.group_wait,
        group_interval: config.group_interval,
        repeat_interval: None,
        voice: Voice::default(),
        standing: false,
        digest: None,
        statements: Vec::new(),
    }
}

/// When this poll takes place.
fn at(poll: u64) -> Moment {
    let uptime = POLL_EVERY * u32::try_from(poll).unwrap();
    Moment { wall: Timestamp::from_secs(1_795_000_000).saturating_add(uptime), uptime }
}

/// A panel's report, and the names of its users.
struct Panel {
    report: Report,
    names: Vec<Arc<str>>,
}

impl Panel {
    fn new() -> Panel {
        let names = (0..USERS).map(|user| format!("user-{user:05}").into()).collect();
        Panel { report: Report::new("home"), names }
    }

    /// Every user has used so much of 100 bytes.
    fn poll(&mut self, used: u64, now: Moment) -> Arc<Report> {
        self.report.up = Some(true);
        self.report.history.up_was(true, now);
        for part in [Part::System, Part::Users] {
            let state = PartState {
                outcome: Outcome::Up,
                last_success: Some(now),
                last_data: Some(now),
                duration: None,
                round: POLL_EVERY,
                stale_after: POLL_EVERY * 20,
            };
            self.report.parts.insert(part, state);
        }
        let user = |name: &Arc<str>| User {
            name: Arc::clone(name),
            used,
            limit: Some(100),
            traffic: Counter::new(used),
            read_at: now.wall,
            ..User::named(name)
        };
        let page = self.names.iter().map(user).collect();
        let seen: UserNames = self.names.iter().cloned().collect();
        let end = WalkEnd { page, seen, started: now, ..WalkEnd::default() };
        self.report.merge(Fact::Users(UserFacts::WalkEnd(end)), now);
        Arc::new(self.report.clone())
    }
}

/// The process's memory of this kind, in bytes.
fn memory(kind: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

//! Counters that are made of a panel's hour buckets: they go on after a restart, whatever the hour, and a user whose
//! traffic cannot be read for a while keeps what was counted.

use std::{
    collections::BTreeMap,
    future::pending,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    board::Board,
    clock::Clock,
    model::{Allowance, Counts, NodeAllowances, Part, Report, Timestamp},
    poll::{Poller, config::PollConfig},
    simulator::{
        http::{Fault, Times},
        marzban::{Flavour, Options, Panel},
    },
    store::{Opened, Store},
    telemetry::Telemetry,
    upstream::Upstream,
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::common::{
    PATIENT, RECORDED_AT, SHORT, at, config,
    panel::{self, Role, TOKEN},
    password,
    server::{Answer, Request, Server},
    upstream,
};

const HOUR: i64 = 3600;

/// One life of the daemon: everything is read once, and nothing is done in the end.
async fn life(upstream: Upstream, folder: &Path, now: Timestamp) -> Report {
    let Opened { store, .. } = Store::open(folder, now).unwrap();
    let (_, requests) = mpsc::unbounded_channel();
    let (board, clock) = (Board::new(["home"]), Clock::starting_at(now));
    let (config, telemetry) = (PollConfig::default(), Telemetry::default());
    let poller =
        Poller::new("home", upstream, config, board, telemetry, clock, requests).keeping(store.clone(), None);
    let report = poller.read_once(|_| {}).await;
    store.close().await;
    report
}

/// A panel with the user alice and two nodes.
struct Simulated {
    panel: Panel,
    /// Its clock, in milliseconds.
    time: Arc<AtomicI64>,
    url: String,
    /// Ends when dropped.
    _server: JoinSet<()>,
}

impl Simulated {
    async fn start() -> Self {
        let time = Arc::new(AtomicI64::new(RECORDED_AT.as_millis()));
        let panel_time = Arc::clone(&time);
        let options = Options { users: 0, nodes: 2, ..Options::default() };
        let panel = Panel::new(options, move || panel_time.load(Ordering::SeqCst));
        assert!(panel.add_user("alice", |_| {}));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(panel.clone().serve(listener, pending()));
        Simulated { panel, time, url, _server: server }
    }
}

#[tokio::test]
async fn traffic_by_node_goes_on_after_every_restart() {
    let Simulated { panel, time, url, _server } = Simulated::start().await;
    let folder = tempfile::tempdir().unwrap();

    let mut known = BTreeMap::new();
    // Minutes until the next restart, some of them over the end of an hour, or of several.
    for (round, minutes) in (1..).zip([0, 10, 30, 1, 45, 59, 2, 2, 130, 5, 24 * 60, 7]) {
        time.fetch_add(minutes * 60_000, Ordering::SeqCst);
        let bytes = round * 1_000_003;
        assert!(panel.use_traffic("alice", bytes));
        let upstream = upstream(&config(&url, password("root", "root-password")), PATIENT);
        let now = Timestamp::from_millis(time.load(Ordering::SeqCst));
        let report = life(upstream, folder.path(), now).await;
        let totals: BTreeMap<_, _> = report
            .usage
            .iter()
            .map(|traffic| (traffic.node.to_string(), traffic.uplink + traffic.downlink))
            .collect();
        assert_eq!(totals.len(), 3);
        if round > 1 {
            for (node, total) in &totals {
                let moved = if node == "master" { bytes } else { 0 };
                assert_eq!(*total, known[node] + moved, "{node} after restart {round}");
            }
        }
        known = totals;
    }
}

#[tokio::test]
async fn what_a_node_has_moved_in_its_month_goes_on_after_every_restart() {
    let Simulated { panel, time, url, _server } = Simulated::start().await;
    let folder = tempfile::tempdir().unwrap();
    let allowance = Allowance { bytes: 1, reset_day: 1, counts: Counts::One };
    let by_name = vec![("master".to_owned(), allowance)];
    let allowances = NodeAllowances { by_name, ..NodeAllowances::default() };

    let mut expected = 0;
    for round in 0..4 {
        // What is moved before the first read is not counted, and later what is moved while the daemon is down.
        assert!(panel.use_traffic("alice", 1_000_003));
        expected += if round > 0 { 1_000_003 } else { 0 };
        let now = Timestamp::from_millis(time.fetch_add(60_000, Ordering::SeqCst));
        let upstream = upstream(&config(&url, password("root", "root-password")), PATIENT);
        let Opened { store, .. } = Store::open(folder.path(), now).unwrap();
        let (_, requests) = mpsc::unbounded_channel();
        let (board, clock) = (Board::new(["home"]), Clock::starting_at(now));
        let (mut views, telemetry) = (board.watch(), Telemetry::default());
        let poller = Poller::new("home", upstream, PollConfig::default(), board, telemetry, clock, requests);
        let mut poller = poller.keeping(store.clone(), None).allowing(allowances.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let read = async {
            loop {
                let report = views.borrow_and_update().reports[0].clone();
                if !report.usage.is_empty() {
                    drop(stop);
                    return report;
                }
                views.changed().await.unwrap();
            }
        };
        let (report, ()) = tokio::join!(read, poller.run(stopped));
        let moved: Vec<_> =
            report.node_periods.iter().map(|(node, _, period)| (node.to_string(), period.moved)).collect();
        assert_eq!(moved, [("master".to_owned(), expected)], "{round}");
        store.close().await;
    }
}

/// Bytes of a user by hour, and whether the panel fails to give them.
#[derive(Default)]
struct Usage {
    bytes: Mutex<BTreeMap<i64, u64>>,
    fails: Mutex<Option<u16>>,
}

impl Usage {
    fn moves(&self, at: Timestamp, bytes: u64) {
        *self.bytes.lock().unwrap().entry(at.as_secs().div_euclid(HOUR) * HOUR).or_default() += bytes;
    }

    fn answer(&self, request: &Request) -> Answer {
        if let Some(status) = *self.fails.lock().unwrap() {
            return Answer::new(status, &[], r#"{"detail":"You're not allowed"}"#);
        }
        let query = request.target.split_once('?').unwrap().1.replace("%2B00:00", "Z");
        let time = |name: &str| {
            let text = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            Some(text.parse::<jiff::Timestamp>().unwrap().as_second())
        };
        let (start, end) = (time("start").unwrap(), time("end").unwrap_or(i64::MAX));
        let sum: u64 = self.bytes.lock().unwrap().range(start..=end).map(|(_, bytes)| bytes).sum();
        let usages = json!([{"node_id": null, "node_name": "Master", "used_traffic": sum}]);
        Answer::json(json!({"username": "alice", "usages": usages}).to_string())
    }
}

#[tokio::test]
async fn a_user_whose_traffic_cannot_be_read_keeps_what_was_counted() {
    for status in [500, 403, 404] {
        let usage = Arc::new(Usage::default());
        let (alice, bob) = (Arc::clone(&usage), Usage::default());
        bob.moves(RECORDED_AT, 5);
        let panel = panel::Panel::of(Role::Sudo);
        let server = Server::start(move |request| match request.path() {
            "/api/user/alice/usage" => alice.answer(request),
            "/api/user/bob/usage" => bob.answer(request),
            // Its clock shows what ours does.
            "/api/system" => Answer::json(panel::recorded("system-sudo").to_string()),
            _ => panel.answer(request),
        });
        let mut config = config(&server.url(), Role::Sudo.login());
        config.node_traffic_of = vec!["alice".into(), "bob".into()];
        let folder = tempfile::tempdir().unwrap();
        let read = async |minutes: i64| {
            let now = Timestamp::from_secs(RECORDED_AT.as_secs() + minutes * 60);
            let report = life(upstream(&config, PATIENT), folder.path(), now).await;
            let of_user = report.user_nodes.iter();
            of_user.map(|traffic| (traffic.user.to_string(), traffic.bytes)).collect::<Vec<_>>()
        };
        let expected = |alice: u64| [("alice".to_owned(), alice), ("bob".to_owned(), 5)];
        let moves = |minutes: i64, bytes| {
            usage.moves(Timestamp::from_secs(RECORDED_AT.as_secs() + minutes * 60), bytes);
        };
        moves(0, 600);
        assert_eq!(read(0).await, expected(600));
        moves(80, 54);
        assert_eq!(read(80).await, expected(654));
        *usage.fails.lock().unwrap() = Some(status);
        for minutes in [90, 160, 230] {
            moves(minutes, 100);
            assert_eq!(read(minutes).await, expected(654), "{status}");
        }
        *usage.fails.lock().unwrap() = None;
        assert_eq!(read(240).await, expected(954), "{status}: what moved meanwhile is counted");
    }
}

#[tokio::test]
async fn counting_users_by_status_stops_when_the_panel_does_not_answer() {
    let options = Options { flavour: Flavour::Marzban07, ..Options::default() };
    let panel = Panel::new(options, || RECORDED_AT.as_millis());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(panel.clone().serve(listener, pending()));

    panel.wire.fail("/api/users?status=", Fault::Hang, Times::Always);
    let mut upstream = upstream(&config(&url, password("root", "root-password")), SHORT);
    let mut report = Report::new("home");
    for (seconds, asked) in [(0, 1), (30, 1), (300, 2)] {
        let now = proxymeter::model::Moment { uptime: Duration::from_secs(seconds), ..at(RECORDED_AT) };
        let step = upstream.read(Part::System, now).await.unwrap();
        step.facts.into_iter().for_each(|fact| report.merge(fact, now));
        assert_eq!(panel.wire.requests_to("/api/users?status="), asked, "after {seconds} s");
    }
    // What the panel counts itself is known all the same.
    let totals = panel.totals();
    assert_eq!(report.counts.total, u64::try_from(totals.users).ok());
    assert_eq!(report.counts.by_status.len(), 1, "{:?}", report.counts);

    panel.wire.heal();
    let now = proxymeter::model::Moment { uptime: Duration::from_secs(600), ..at(RECORDED_AT) };
    let step = upstream.read(Part::System, now).await.unwrap();
    step.facts.into_iter().for_each(|fact| report.merge(fact, now));
    assert_eq!(report.counts.by_status.len(), 5, "{:?}", report.counts);
}

#[tokio::test]
async fn nodes_that_are_known_by_id_keep_their_counters_when_their_list_cannot_be_read() {
    for status in [500, 404] {
        let (bytes, lists) = (Arc::new(AtomicI64::new(1000)), Arc::new(AtomicBool::new(true)));
        let (moved, listed) = (Arc::clone(&bytes), Arc::clone(&lists));
        let panel = panel::Panel::of(Role::Sudo);
        let server = Server::start(move |request| match request.path() {
            "/api/system" => {
                let system = json!({"version": "5.2.1", "total_user": 1, "active_users": 1});
                Answer::json(system.to_string())
            }
            "/api/nodes" if !listed.load(Ordering::SeqCst) => Answer::status(500),
            "/api/nodes" => {
                let node = |id, name| json!({"id": id, "name": name, "status": "connected"});
                Answer::json(json!({"nodes": [node(3, "fra-1"), node(4, "idle")]}).to_string())
            }
            "/api/node/usage" | "/api/user/alice/usage" => {
                let bytes = moved.load(Ordering::SeqCst);
                let bucket = json!({"uplink": bytes, "downlink": 0, "total_traffic": bytes});
                Answer::json(json!({"stats": {"3": [bucket]}}).to_string())
            }
            TOKEN => panel.answer(request),
            _ => Answer::status(status),
        });
        let mut config = config(&server.url(), Role::Sudo.login());
        config.node_traffic_of = vec!["alice".into()];
        let folder = tempfile::tempdir().unwrap();
        let read = async || {
            let report = life(upstream(&config, PATIENT), folder.path(), RECORDED_AT).await;
            let nodes = report.usage.iter().map(|traffic| (traffic.node.to_string(), traffic.uplink));
            let users = report.user_nodes.iter().map(|traffic| (traffic.node.to_string(), traffic.bytes));
            (nodes.collect::<Vec<_>>(), users.collect::<Vec<_>>())
        };
        let expected = |bytes| {
            let nodes = vec![("fra-1".to_owned(), bytes), ("idle".to_owned(), 0)];
            (nodes.clone(), nodes)
        };
        assert_eq!(read().await, expected(1000));
        lists.store(false, Ordering::SeqCst);
        bytes.fetch_add(5, Ordering::SeqCst);
        assert_eq!(read().await, (vec![], vec![]), "nothing is shown under other names");
        lists.store(true, Ordering::SeqCst);
        assert_eq!(read().await, expected(1005));
    }
}

#[tokio::test]
async fn counters_of_a_user_who_is_no_longer_named_are_deleted() {
    let usage = Arc::new(Usage::default());
    usage.moves(RECORDED_AT, 7);
    let answers = Arc::clone(&usage);
    let panel = panel::Panel::of(Role::Sudo);
    let server = Server::start(move |request| match request.path() {
        "/api/user/alice/usage" | "/api/user/bob/usage" => answers.answer(request),
        _ => panel.answer(request),
    });
    let folder = tempfile::tempdir().unwrap();
    for (names, expected) in [(vec!["alice", "bob"], 2), (vec!["bob"], 1), (vec![], 0)] {
        let mut config = config(&server.url(), Role::Sudo.login());
        config.node_traffic_of = names.into_iter().map(str::to_owned).collect();
        life(upstream(&config, PATIENT), folder.path(), RECORDED_AT).await;
        let Opened { store, .. } = Store::open(folder.path(), RECORDED_AT).unwrap();
        let families = store.load_counters("home").await.unwrap();
        let users = families.iter().filter(|(family, _)| family.starts_with("user_hours/"));
        assert_eq!(users.count(), expected, "{families:?}");
        store.close().await;
    }
}

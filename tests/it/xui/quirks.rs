//! What panels do for a moment, which is not what their data means: old samples, null, a core that is started again, a
//! list that is empty between two ticks, an answer that is cut.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    clock::Clock,
    http::options::PanelUrl,
    model::{Fact, Moment, Part, Report, Thresholds, UserFacts},
    simulator::xui::{self as simulator, Generation, Options},
    upstream::{
        Step, Upstream,
        xui::config::{Login, XuiConfig},
    },
};
use tokio::task::JoinSet;

use super::simulated;
use crate::common::{
    PATIENT, at,
    server::{Act, Answer, Server},
    xui::{BASE, Panel, client, password, token},
};

const NULL: &str = r#"{"success":true,"msg":"","obj":null}"#;
const DAY: f64 = 86_400.0;

/// A simulated panel and its client, whose clocks the test moves together.
pub(super) struct Moved {
    pub(super) panel: simulator::Panel,
    pub(super) upstream: Upstream,
    start: Moment,
    passed: Duration,
    ahead: Arc<AtomicI64>,
}

impl Moved {
    pub(super) async fn of(generation: Generation) -> Moved {
        let options = Options { generation, ..Options::default() };
        let ahead = Arc::default();
        let (panel, url) = simulated::serve(&options, &ahead).await;
        let upstream = simulated::client(&url, simulated::password(&options));
        Moved { panel, upstream, start: Clock::system().now(), passed: Duration::ZERO, ahead }
    }

    pub(super) fn has(&self, part: Part) -> bool {
        self.upstream.plan().iter().any(|planned| planned.part == part)
    }

    pub(super) fn now(&self) -> Moment {
        self.start.after(self.passed)
    }

    pub(super) fn passed(&self) -> Duration {
        self.passed
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.passed += Duration::from_secs(seconds);
        let ahead = self.passed.as_millis().try_into().unwrap();
        self.ahead.store(ahead, Ordering::SeqCst);
    }

    async fn version(&mut self) -> String {
        let step = self.read(Part::System).await;
        let identity = step.facts.into_iter().find_map(|fact| match fact {
            Fact::Identity(identity) => Some(identity.version),
            _ => None,
        });
        identity.unwrap()
    }

    pub(super) async fn read(&mut self, part: Part) -> Step {
        self.upstream.read(part, self.now()).await.unwrap()
    }

    /// Polls the status and who is online.
    pub(super) async fn online(&mut self) -> HashSet<String> {
        self.read(Part::System).await;
        let facts = self.read(Part::Online).await.facts;
        let online = facts.into_iter().find_map(|fact| match fact {
            Fact::Online(names) => Some(names.iter().map(ToString::to_string).collect()),
            _ => None,
        });
        online.expect("a list")
    }
}

#[tokio::test]
async fn the_status_of_an_idle_panel_is_a_new_sample() {
    async fn check(generation: Generation) {
        let is_old = generation < Generation::V3_0_0;
        let options = Options { generation, ..Options::default() };
        let ahead = Arc::new(AtomicI64::new(0));
        let (panel, url) = simulated::serve(&options, &ahead).await;
        let login = simulated::password(&options);
        // The time to wait is that of the configuration.
        let config = XuiConfig::new(PanelUrl::parse(&url).unwrap().into(), login);
        let mut upstream = Upstream::xui(&config, PATIENT).unwrap();
        let start = Clock::system().now();
        let mut asked = Vec::new();
        // An hour after somebody asked, then at the usual pace, then after a pause, then after one of less than 3 minutes.
        for seconds in [3600, 3630, 3660, 4000, 4170] {
            ahead.store(seconds * 1000, Ordering::SeqCst);
            let passed = Duration::from_secs(seconds.unsigned_abs());
            let step = upstream.read(Part::System, start.after(passed)).await.unwrap();
            let uptime = step.facts.iter().find_map(|fact| match fact {
                Fact::Host(host) => host.uptime,
                _ => None,
            });
            let late = 14.0 * DAY + passed.as_secs_f64() - uptime.unwrap();
            assert!(late.abs() < 15.0, "{generation:?} after {seconds} s: {late} s late");
            let requests = panel.wire.requests();
            asked.push(requests.iter().filter(|request| request.target.ends_with("/server/status")).count());
            panel.wire.forget_requests();
        }
        // Those of the first poll find the route.
        let again = if is_old { 2 } else { 1 };
        assert_eq!(asked[1..], [1, 1, again, 1], "{generation:?}");
    }

    let mut checks = JoinSet::new();
    Generation::ALL.into_iter().for_each(|generation| drop(checks.spawn(check(generation))));
    checks.join_all().await;
}

/// A recorded panel that answers null at these paths for as long as `is_null`.
fn with_null(panel: &Panel, paths: &'static [&'static str]) -> (Server, Arc<Mutex<bool>>) {
    let is_null = Arc::new(Mutex::new(false));
    let (replay, switch) = (panel.clone(), Arc::clone(&is_null));
    let server = Server::start(move |request| {
        let path = request.path().strip_prefix(BASE).unwrap();
        if *switch.lock().unwrap() && paths.contains(&path) {
            Answer::json(NULL)
        } else {
            replay.answer(request)
        }
    });
    (server, is_null)
}

/// Reads a part as the daemon does, and merges what it gives.
async fn poll(upstream: &mut Upstream, report: &mut Report, part: Part, now: Moment) {
    loop {
        let step = upstream.read(part, now).await.unwrap();
        step.facts.into_iter().for_each(|fact| report.merge(fact, now));
        if step.done.contains(&part) {
            return;
        }
    }
}

#[tokio::test]
async fn one_null_after_a_list_changes_nothing_and_two_are_an_empty_list() {
    let panel = Panel::of("3.6.0");
    let paths: &[&str] = &[
        "/panel/api/nodes/list",
        "/panel/api/xray/getOutboundsTraffic",
        "/panel/api/server/xrayObservatory",
        "/panel/api/inbounds/list/slim",
    ];
    let (server, is_null) = with_null(&panel, paths);
    let mut upstream = client(&server, token(), PATIENT);
    let mut report = Report::new("home");
    let mut counts = Vec::new();
    for (poll_number, null) in [false, true, false, true, true, true].into_iter().enumerate() {
        *is_null.lock().unwrap() = null;
        let now =
            at(panel.recorded_at()).after(Duration::from_secs(30) * u32::try_from(poll_number).unwrap());
        for part in [Part::System, Part::Nodes, Part::Outbounds, Part::Users] {
            poll(&mut upstream, &mut report, part, now).await;
        }
        counts.push((report.nodes.len(), report.outbounds.len(), report.inbounds.len()));
    }
    let all = counts[0];
    assert!(all.0 > 0 && all.1 > 0 && all.2 > 0, "{all:?}");
    assert_eq!(counts[1..], [all, all, all, (0, 0, 0), (0, 0, 0)]);
    // Users stay for as long as after any list that lacks them.
    assert!(!report.users.list().is_empty());
}

#[tokio::test]
async fn a_null_of_the_first_answer_is_requested_again() {
    let panel = Panel::of("3.6.0");
    let paths: &[&str] = &["/panel/api/nodes/list", "/panel/api/inbounds/list/slim"];
    for stays in [false, true] {
        let (asked, replay) = (Mutex::new(HashSet::new()), panel.clone());
        let server = Server::start(move |request| {
            let path = request.path().strip_prefix(BASE).unwrap().to_owned();
            let is_listed = paths.contains(&path.as_str());
            let is_first = is_listed && asked.lock().unwrap().insert(path);
            if is_first || is_listed && stays { Answer::json(NULL) } else { replay.answer(request) }
        });
        let report = super::recorded::read(&panel, &server, true).await;
        let failed = report.parts.values().filter(|state| state.last_success.is_none()).count();
        assert_eq!(failed, 0, "{:?}", report.parts);
        assert_eq!(report.nodes.is_empty(), stays);
        assert_eq!(report.inbounds.is_empty(), stays);
        assert_eq!(report.users.list().is_empty(), stays);
    }
}

#[tokio::test]
async fn descendants_of_null_are_none() {
    let panel = Panel::of("main").with_scope("node-sync");
    let server = panel.clone().with("/panel/api/server/descendants", || Answer::json(NULL));
    let report = super::recorded::read(&panel, &server, true).await;
    assert!(report.parts[&Part::Nodes].last_success.is_some() && report.nodes.is_empty());
}

#[tokio::test]
async fn a_status_of_null_keeps_the_host_for_one_poll() {
    let panel = Panel::of("2.8.11");
    let (server, is_null) = with_null(&panel, &["/panel/api/server/status"]);
    let mut upstream = client(&server, password(), PATIENT);
    let now = at(panel.recorded_at());
    assert!(!upstream.read(Part::System, now).await.unwrap().facts.is_empty());
    *is_null.lock().unwrap() = true;
    assert!(upstream.read(Part::System, now).await.unwrap().facts.is_empty());
    assert!(upstream.read(Part::System, now).await.is_err());
    *is_null.lock().unwrap() = false;
    assert!(!upstream.read(Part::System, now).await.unwrap().facts.is_empty());
}

#[tokio::test]
async fn a_list_that_is_cut_is_no_short_list() {
    // A panel stops writing after 30 seconds, in the middle of a row or between two.
    for (name, path) in [
        ("3.6.0", "/panel/api/inbounds/list/slim"),
        ("2.8.11", "/panel/api/inbounds/list"),
        ("alireza0-1.12.0", "/xui/API/inbounds/"),
    ] {
        let panel = Panel::of(name);
        let recorded = if name == "3.6.0" { "inbounds-list-slim" } else { "inbounds-list" };
        let body = panel.read(recorded).to_string();
        let ends = body.match_indices('}').map(|(end, _)| end + 1);
        let cuts: Vec<_> =
            ends.step_by(9).chain([0, 1, body.len() - 1]).filter(|end| *end < body.len()).collect();
        let cut = Arc::new(Mutex::new(None::<Answer>));
        let (replay, answer) = (panel.clone(), Arc::clone(&cut));
        let server = Server::start(move |request| {
            let is_list = request.path().strip_prefix(BASE) == Some(path);
            let cut = answer.lock().unwrap().clone().filter(|_| is_list);
            cut.unwrap_or_else(|| replay.answer(request))
        });
        let mut upstream = client(&server, password(), PATIENT);
        let now = at(panel.recorded_at());
        upstream.read(Part::System, now).await.unwrap();
        let mut report = Report::new("home");
        poll(&mut upstream, &mut report, Part::Users, now).await;
        let users = report.users.list().len();
        for end in cuts {
            let begun = body.as_bytes()[..end].to_vec();
            let chunk =
                [format!("{:x}\r\n", begun.len()).into_bytes(), begun.clone(), b"\r\n".to_vec()].concat();
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunks =
                [head.as_bytes().to_vec(), if begun.is_empty() { Vec::new() } else { chunk }].concat();
            for answer in [
                Answer(vec![Act::Send(chunks), Act::Close]),
                Answer::open_ended([Act::Send(begun), Act::Close]),
            ] {
                *cut.lock().unwrap() = Some(answer);
                let read = upstream.read(Part::Users, now).await;
                assert!(read.is_err(), "{name}, {end} of {} bytes: {read:?}", body.len());
            }
        }
        *cut.lock().unwrap() = None;
        let step = upstream.read(Part::Users, now).await.unwrap();
        let listed = step.facts.iter().find_map(|fact| match fact {
            Fact::Users(UserFacts::Whole(list)) => Some(list.users.len()),
            _ => None,
        });
        assert_eq!(listed, Some(users), "{name}");
    }
}

#[tokio::test]
async fn thresholds_are_read_every_ten_minutes() {
    for generation in Generation::ALL {
        let mut moved = Moved::of(generation).await;
        moved.panel.set_thresholds(simulator::Thresholds { expire_days: 3, traffic_gib: 2 });
        let mut read = Vec::new();
        for poll in 0..30 {
            let facts = moved.read(Part::System).await.facts;
            read.extend(facts.into_iter().filter_map(|fact| match fact {
                Fact::Thresholds(thresholds) => Some((poll, thresholds)),
                _ => None,
            }));
            moved.panel.set_thresholds(simulator::Thresholds { expire_days: 0, traffic_gib: 5 });
            moved.pass(30);
        }
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let first = Thresholds { expiry: days(3), quota: Some(2 << 30) };
        let second = Thresholds { expiry: None, quota: Some(5 << 30) };
        // The first panel has none.
        let none = Thresholds::default();
        let (first, second) = if generation == Generation::Vaxilu { (none, none) } else { (first, second) };
        assert_eq!(read, [(0, first), (20, second)], "{generation:?}");
    }
}

#[tokio::test]
async fn a_token_reads_thresholds_where_it_may() {
    for (generation, expected) in
        [(Generation::V3_0, None), (Generation::V3_1, None), (Generation::V3_6, Some(7))]
    {
        let options = Options { generation, ..Options::default() };
        let (_panel, url) = simulated::serve(&options, &Arc::default()).await;
        let login = Login::Token(options.token.as_str().into());
        let report = simulated::scrape(&url, login).await;
        assert_eq!(report.up, Some(true));
        let days = report.thresholds.expiry.map(|expiry| expiry.as_secs() / 86_400);
        assert_eq!(days, expected, "{generation:?}");
    }
}

#[tokio::test]
async fn a_page_that_fails_takes_back_no_version() {
    for bad in [Answer::new(200, &[("content-type", "text/html")], "<h1>Busy</h1>"), Answer::status(500)] {
        let panel = Panel::of("2.8.11");
        let fails = Arc::new(Mutex::new(false));
        let (replay, switch) = (panel.clone(), Arc::clone(&fails));
        let server = Server::start(move |request| {
            let is_page = request.path().strip_prefix(BASE) == Some("/");
            if is_page && *switch.lock().unwrap() { bad.clone() } else { replay.answer(request) }
        });
        let mut upstream = client(&server, password(), PATIENT);
        let mut pages = Vec::new();
        for (minute, is_down) in [(0, false), (60, true), (61, true), (119, true), (120, false), (180, false)]
        {
            *fails.lock().unwrap() = is_down;
            let now = at(panel.recorded_at()).after(Duration::from_secs(60 * minute));
            let step = upstream.read(Part::System, now).await.unwrap();
            let has_version = step.facts.iter().any(|fact| match fact {
                Fact::Identity(identity) => identity.version == "2.8.11",
                _ => false,
            });
            assert!(has_version, "after {minute} min");
            pages.push(server.requests_for(&format!("{BASE}/")).len());
        }
        // Once an hour, also after a failure.
        assert_eq!(pages, [1, 2, 2, 2, 3, 4]);
    }
}

#[tokio::test]
async fn a_panel_that_is_updated_shows_its_version() {
    let mut moved = Moved::of(Generation::V2_6).await;
    let old = moved.version().await;
    assert!(old.starts_with("2.6"), "{old}");
    // The session survives, and nothing but the login page has the version.
    moved.panel.upgrade(Generation::V2_8);
    moved.pass(2 * 3600);
    let new = moved.version().await;
    assert!(new.starts_with("2.8"), "{new}");
    moved.panel.upgrade(Generation::V3_0);
    moved.pass(2 * 3600);
    // 3.0 says no version anywhere.
    assert_eq!(moved.version().await, "");
}

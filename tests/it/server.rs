//! The HTTP face, asked over real sockets.

use std::{io::Read, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use proxymeter::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        engine::{Engine, Rows},
        rule::{KINDS, Kind},
    },
    board::Board,
    clock::{Beat, Beats, Clock},
    exposition::{Options, UserLabels},
    model::{
        ActiveAlerts, Expiry, Fact, Identity, Moment, Outcome, Part, PartState, ProxyTraffic, Report, System,
        Timestamp, User, UserFacts, UserNames, WalkEnd,
    },
    server::{Setup, State, access::Access, serve},
    store::Usage,
    telemetry::Telemetry,
    wording::Voice,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::common::exposition::{self, parse};

const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0";

struct Daemon {
    address: SocketAddr,
    other_address: SocketAddr,
    board: Board,
    alerts: watch::Sender<Arc<ActiveAlerts>>,
    telemetry: Telemetry,
    ready: watch::Sender<bool>,
    beats: Beats,
    stop: Option<oneshot::Sender<()>>,
    serving: Pin<Box<dyn Future<Output = ()>>>,
}

impl Daemon {
    async fn start() -> Self {
        let listeners = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let [address, other_address] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let board = Board::new(["edge", "home"]);
        let telemetry = Telemetry::new();
        telemetry.declare_part("home", "system", &["timeout"]);
        telemetry.declare_part("edge", "system", &["timeout"]);
        let (alerts, is_active) = watch::channel(Arc::default());
        let (ready, readiness) = watch::channel(false);
        let (stop, stopped) = oneshot::channel::<()>();
        let setup = Setup {
            options: Options {
                labels: UserLabels::Name,
                limit: 10,
                inbounds: false,
                used_today: false,
                budgets: Vec::new(),
            },
            config: "[users]\nhash_key = \"<hidden>\"\n".to_owned(),
            receivers: vec![("ops".to_owned(), "email")],
            voice: Voice::default(),
            names: Vec::new(),
            llms: Vec::new(),
            dashboards: String::new(),
            alerting: true,
            access: Arc::new(Access::open(&Default::default(), &telemetry).unwrap()),
        };
        let beats = Beats::default();
        let state = State {
            board: board.clone(),
            clock: Clock::starting_at(Timestamp::from_secs(1_790_000_000)),
            telemetry: telemetry.clone(),
            setup: watch::channel(Arc::new(setup)).1,
            telemetry_path: "/metrics".to_owned(),
            usage: Usage::in_memory(&Clock::starting_at(Timestamp::from_secs(1_790_000_000)), TimeZone::UTC),
            alerts: is_active,
            ready: readiness,
            reload: mpsc::channel(1).0,
            silences: mpsc::channel(1).0,
            beats: beats.clone(),
            version: "1.2.3",
        };
        let listeners = watch::channel(listeners.map(Arc::new).to_vec()).1;
        let serving = serve(listeners, state, async { drop(stopped.await) });
        Daemon {
            address,
            other_address,
            board,
            alerts,
            telemetry,
            ready,
            beats,
            stop: Some(stop),
            serving: Box::pin(serving),
        }
    }

    /// Serves while `client` runs.
    async fn during<T>(&mut self, client: impl Future<Output = T>) -> T {
        tokio::select! {
            result = client => result,
            () = &mut self.serving => panic!("the server ended"),
        }
    }

    async fn get(&mut self, path: &str, headers: &[&str]) -> Answer {
        let address = self.address;
        self.during(ask(address, "GET", path, headers)).await
    }

    async fn ask(&mut self, method: &str, path: &str) -> Answer {
        let address = self.address;
        self.during(ask(address, method, path, &[])).await
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

fn report(target: &str) -> Report {
    let mut report = Report::new(target);
    report.up = Some(true);
    report.merge(
        Fact::Identity(Identity {
            system: System::Marzban,
            version: "0.8.4".into(),
            generation: "0.8".into(),
        }),
        Default::default(),
    );
    let traffic = ProxyTraffic { uplink: Some(5), downlink: None };
    report.merge(Fact::ProxyTraffic(traffic), Default::default());
    let read = Some(Clock::starting_at(Timestamp::from_secs(1_790_000_000)).now());
    let state = PartState {
        outcome: Outcome::Up,
        last_success: read,
        last_data: read,
        duration: None,
        round: Duration::from_secs(30),
        stale_after: Duration::from_secs(600),
    };
    report.parts.insert(Part::System, state);
    report
}

#[tokio::test]
async fn metrics_in_both_formats_plain_and_packed() {
    let mut daemon = Daemon::start().await;
    daemon.board.publish(report("home"));
    let cases = [
        (&[][..], exposition::Format::Classic, "text/plain; version=0.0.4; charset=utf-8"),
        (
            &[OPEN_METRICS][..],
            exposition::Format::OpenMetrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ];
    for (headers, format, content_type) in cases {
        for path in ["/metrics", "/metrics/home"] {
            let plain = daemon.get(path, headers).await;
            assert_eq!(plain.status, 200);
            assert_eq!(plain.header("content-type"), Some(content_type));
            assert_eq!(plain.header("content-encoding"), None);
            assert_eq!(plain.header("vary"), Some("Accept, Accept-Encoding"));
            assert_eq!(plain.header("content-length"), Some(plain.body.len().to_string().as_str()));
            let samples = exposition::parse(format, plain.text()).unwrap();
            let has = |name: &str| samples.iter().any(|sample| sample.name == name);
            assert!(has("proxymeter_proxy_uplink_bytes_total") && has("proxymeter_target_polls_total"));
            assert_eq!(has("process_open_fds"), path == "/metrics");
            assert_eq!(has("proxymeter_build_info"), path == "/metrics");
            let foreign = samples.iter().filter(|sample| sample.label("target") == Some("edge"));
            assert_eq!(foreign.count() > 0, path == "/metrics");

            // Twice, since the second answer is made from what was kept of the first.
            for _ in 0..2 {
                let packed = daemon.get(path, &[headers, &["Accept-Encoding: gzip"]].concat()).await;
                assert_eq!(packed.header("content-type"), Some(content_type));
                assert_eq!(packed.header("content-encoding"), Some("gzip"));
                assert_eq!(packed.header("content-length"), Some(packed.body.len().to_string().as_str()));
                let mut decoder = flate2::bufread::GzDecoder::new(&packed.body[..]);
                let mut text = String::new();
                decoder.read_to_string(&mut text).unwrap();
                assert!(decoder.into_inner().is_empty());
                assert!(exposition::parse(format, &text).unwrap().len() >= samples.len());
            }
        }
    }
}

#[tokio::test]
async fn a_new_report_is_in_the_next_answer() {
    let mut daemon = Daemon::start().await;
    let up = "proxymeter_up{target=\"home\"} 1\n";
    assert!(!daemon.get("/metrics", &[]).await.text().contains(up));
    daemon.board.publish(report("home"));
    assert!(daemon.get("/metrics", &[]).await.text().contains(up));
}

#[tokio::test]
async fn health_readiness_and_what_is_not_there() {
    let mut daemon = Daemon::start().await;
    assert_eq!(daemon.get("/-/healthy", &[]).await.status, 200);
    assert_eq!(daemon.get("/-/ready", &[]).await.status, 503);
    daemon.ready.send_replace(true);
    assert_eq!(daemon.get("/-/ready", &[]).await.status, 200);

    for path in ["/nothing", "/metrics/unknown", "/metrics/", "/-/", "//metrics"] {
        let answer = daemon.get(path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("home"), "{path}");
    }
    for path in ["/metrics", "/-/healthy", "/", "/runbook"] {
        for (method, status) in [("POST", 405), ("DELETE", 405), ("TRACE", 405), ("OPTIONS", 200)] {
            let answer = daemon.ask(method, path).await;
            let expected = (status, Some("GET, HEAD, OPTIONS"));
            assert_eq!((answer.status, answer.header("allow")), expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_pages_for_people() {
    let mut daemon = Daemon::start().await;
    daemon.board.publish(report("home"));
    let status = daemon.get("/", &[]).await;
    assert_eq!((status.status, status.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(status.header("cache-control"), Some("no-store"));
    let policy = status.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline';"), "{policy}");
    for part in ["1.2.3", "home", "edge", "ops", "not tried yet", "0.8.4"] {
        assert!(status.text().contains(part), "{part}");
    }
    for (path, part) in [
        ("/targets/home?sort=-traffic&page=2", "Parts</h2>"),
        ("/targets/edge", "Not tried yet."),
        ("/targets/home/users?q=%3Cscript%3E&sort=nothing&page=-1", "Users of "),
        ("/receivers/ops", "email"),
        ("/?sort=-state&page=9", "0.8.4"),
    ] {
        let page = daemon.get(path, &[]).await;
        assert_eq!((page.status, page.header("content-security-policy")), (200, Some(policy)), "{path}");
        assert!(page.text().contains(part) && !page.text().contains("<script"), "{path}");
    }
    for path in
        ["/targets/", "/targets/hom", "/targets/hom/users", "/targets/home/", "/receivers/home", "/receivers"]
    {
        assert_eq!(daemon.get(path, &[]).await.status, 404, "{path}");
    }
    let config = daemon.get("/config", &[]).await;
    assert_eq!((config.status, config.text()), (200, "[users]\nhash_key = \"<hidden>\"\n"));
    assert_eq!(config.header("content-type"), Some("text/plain; charset=utf-8"));
    for path in ["/api/v1/targets", "/api/v1/alerts"] {
        let answer = daemon.get(path, &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{path}");
        let json: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!(json["status"], "success", "{path}");
    }
}

#[tokio::test]
async fn the_runbook_has_an_entry_for_every_alert() {
    let mut daemon = Daemon::start().await;
    let runbook = daemon.get("/runbook", &[]).await;
    assert_eq!((runbook.status, runbook.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(runbook.header("cache-control"), Some("no-store"));
    assert_eq!(
        runbook.header("content-security-policy"),
        daemon.get("/", &[]).await.header("content-security-policy")
    );
    for Kind { alertname, .. } in &KINDS {
        let heading = format!("<h3 id=\"{}\">{alertname}</h3>", alertname.to_lowercase());
        let entry =
            runbook.text().split_once(&heading).map(|(_, rest)| rest.split("</section>").next().unwrap());
        let entry = entry.unwrap_or_else(|| panic!("no entry for {alertname}"));
        assert!(entry.contains("<pre>"), "{alertname} has no command to run first");
    }
}

/// A report with users whose plans end in so many days.
fn with_users(target: &str, days: &[u64], now: Moment) -> Report {
    let mut report = report(target);
    let state = report.parts[&Part::System].clone();
    report.parts.insert(Part::Users, state);
    let page = days.iter().enumerate().map(|(place, days)| User {
        expiry: Expiry::At(now.wall.saturating_add(Duration::from_secs(days * 86_400))),
        read_at: now.wall,
        ..User::named(&format!("u{place}"))
    });
    let end =
        WalkEnd { page: page.collect(), seen: UserNames::default(), started: now, ..WalkEnd::default() };
    report.merge(Fact::Users(UserFacts::WalkEnd(end)), now);
    report
}

#[tokio::test]
async fn page_metrics_and_json_count_the_same_alerts_as_firing() {
    let mut daemon = Daemon::start().await;
    let now = Clock::starting_at(Timestamp::from_secs(1_790_000_000)).now();
    // Of home, three users have crossed two steps and five have crossed one. The same holds for edge, which then fails.
    let days = [2, 2, 2, 6, 6, 6, 6, 6];
    let down = Report { up: Some(false), ..with_users("edge", &days, now) };
    let at_once = RuleConfig { for_: Some(Duration::ZERO), ..RuleConfig::default() };
    let config =
        AlertingConfig { rules: [("target_down".to_owned(), at_once)].into(), ..AlertingConfig::default() };
    let mut engine = Engine::new(&config, Vec::new(), &Rows::default(), now).unwrap();
    let home = Arc::new(with_users("home", &days, now));
    for edge in [with_users("edge", &days, now), down] {
        engine.observe_reports(&[Arc::clone(&home), Arc::new(edge)], now);
    }
    daemon.alerts.send_replace(engine.active());

    let metrics = daemon.get("/metrics", &[]).await;
    let samples = parse(exposition::Format::Classic, metrics.text()).unwrap();
    let series = samples.iter().filter(|sample| sample.name == "proxymeter_alert_firing").count();
    let json: serde_json::Value =
        serde_json::from_str(daemon.get("/api/v1/alerts", &[]).await.text()).unwrap();
    let counts = ["firing", "suppressed", "pending"].map(|state| {
        let samples = samples.iter().filter(|sample| sample.name == "proxymeter_alerts");
        let samples = samples.filter(|sample| sample.label("state") == Some(state));
        let counted: f64 = samples.map(|sample| sample.value).sum();
        let alerts = json["data"]["alerts"].as_array().unwrap();
        let listed = alerts.iter().filter(|alert| alert["state"] == state).count();
        (counted, listed)
    });
    let page = daemon.get("/", &[]).await;
    let title = page.text().split("</title>").next().unwrap().to_owned();
    let on_page = title.split(", ").last().unwrap().to_owned();
    // Eight users of home fire, and that edge is down. Suppressed are three wider steps of home and all users of edge.
    assert_eq!((on_page.as_str(), series, counts), ("9 firing", 9, [(9.0, 9), (14.0, 14), (0.0, 0)]));
}

#[tokio::test]
async fn a_stuck_loop_makes_it_unhealthy() {
    let mut daemon = Daemon::start().await;
    let beat = Beat::default();
    daemon.beats.watch("poll home", &beat);
    beat.within(Duration::ZERO);
    assert_eq!(daemon.get("/-/healthy", &[]).await.status, 200);
    // Time may stand still only while no socket waits.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(200)).await;
    tokio::time::resume();
    let stuck = daemon.get("/-/healthy", &[]).await;
    assert_eq!((stuck.status, stuck.text()), (503, "Not healthy, these loops are stuck: poll home.\n"));
    beat.within(Duration::ZERO);
    assert_eq!(daemon.get("/-/healthy", &[]).await.status, 200);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let mut daemon = Daemon::start().await;
    for path in
        ["/", "/-/healthy", "/-/ready", "/nothing", "/metrics", "/metrics/home", "/config", "/runbook"]
    {
        let get = daemon.ask("GET", path).await;
        let head = daemon.ask("HEAD", path).await;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        let length = |answer: &Answer| answer.header("content-length").unwrap().parse::<usize>().unwrap();
        if path == "/metrics" {
            // The daemon's own metrics change from answer to answer.
            assert!(length(&head).abs_diff(length(&get)) < 200);
        } else {
            assert_eq!(length(&head), length(&get), "{path}");
        }
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_code() {
    let mut daemon = Daemon::start().await;
    daemon.get("/metrics/home", &[]).await;
    daemon.get("/metrics/unknown", &[]).await;
    daemon.get("/secret-path", &[]).await;
    let other = daemon.other_address;
    daemon.during(ask(other, "GET", "/-/healthy", &[])).await;
    const FIRST: &str = "proxymeter_http_requests_total{path=\"/metrics/{target}\",code=\"200\"} 1";
    let shown = async {
        loop {
            // The first request gathered the daemon's own metrics, which are kept for a second.
            let answer = daemon.get("/metrics", &[]).await;
            if answer.text().contains(FIRST) {
                break answer;
            }
        }
    };
    let answer = timeout(Duration::from_secs(20), shown).await.expect("the first request is not counted");
    for line in [
        "proxymeter_http_requests_total{path=\"/metrics/{target}\",code=\"404\"} 1",
        "proxymeter_http_requests_total{path=\"other\",code=\"404\"} 1",
        "proxymeter_http_requests_total{path=\"/-/healthy\",code=\"200\"} 1",
        "proxymeter_http_requests_total{path=\"/\",code=\"200\"} 0",
        "proxymeter_http_requests_in_flight 1",
    ] {
        assert!(answer.text().lines().any(|known| known == line), "{line}");
    }
    assert!(!answer.text().contains("secret-path"));
    let families = daemon.telemetry.gather();
    let in_flight = families.iter().find(|f| f.name() == "proxymeter_http_requests_in_flight").unwrap();
    assert_eq!(in_flight.get_metric()[0].get_gauge().get_value(), 0.0);
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let mut daemon = Daemon::start().await;
    let many = ["X: y"; 80];
    assert_eq!(daemon.get("/-/healthy", &many).await.status, 431);
    let large = format!("X: {}", "y".repeat(20_000));
    assert_eq!(daemon.get("/-/healthy", &[&large]).await.status, 431);
    assert_eq!(daemon.get("/-/healthy", &many[..40]).await.status, 200);
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_accepts_no_more() {
    let mut daemon = Daemon::start().await;
    let mut idle = TcpStream::connect(daemon.address).await.unwrap();
    let (address, stop) = (daemon.address, daemon.stop.take().unwrap());
    let first = async {
        idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut start = [0; 15];
        idle.read_exact(&mut start).await.unwrap();
        start
    };
    assert_eq!(&daemon.during(first).await, b"HTTP/1.1 200 OK");
    stop.send(()).unwrap();
    daemon.serving.as_mut().await;
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"Healthy.\n"));
    assert!(TcpStream::connect(address).await.is_err());
}

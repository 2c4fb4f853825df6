//! The dead man's switch over real sockets: what it is asked for, when it is not, and what is never told of it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use proxymeter::{
    board::Board,
    clock::{Beats, Clock},
    http::{install_crypto_provider, options::TlsOptions},
    notify::heartbeat::{
        Heartbeat,
        config::{HeartbeatConfig, HeartbeatMethod},
    },
    telemetry::Telemetry,
};
use tokio::time::{Instant, sleep, timeout};

use crate::common::{
    canary,
    listener::{closed_address, free_address},
    receiver::{Answer, Receiver},
};

fn config(url: String) -> HeartbeatConfig {
    HeartbeatConfig {
        url: url.into(),
        method: HeartbeatMethod::Get,
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
        delivery_patience: Duration::from_secs(3600),
        proxy: None,
        tls: TlsOptions::default(),
    }
}

fn heartbeat(config: &HeartbeatConfig, telemetry: &Telemetry) -> Heartbeat {
    install_crypto_provider();
    let clock = Clock::system();
    Heartbeat::new(config, Beats::default(), Default::default(), Board::new([]), telemetry.clone(), clock)
        .unwrap()
}

fn value(telemetry: &Telemetry, name: &str, reason: Option<&str>) -> f64 {
    let families = telemetry.gather();
    // There is nothing before it runs.
    let Some(family) = families.iter().find(|family| family.name() == name) else { return 0.0 };
    let is_it =
        |metric: &&prometheus::proto::Metric| metric.get_label().iter().map(|label| label.value()).eq(reason);
    let metric = family.get_metric().iter().find(is_it).unwrap();
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

/// Runs a heartbeat until `done`, for 20 s at most.
async fn run_until(heartbeat: Heartbeat, done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = heartbeat.run() => unreachable!("it does not end"),
        waited = timeout(Duration::from_secs(20), wait) => waited.unwrap(),
    }
}

#[tokio::test]
async fn it_asks_for_the_whole_url_by_the_method_that_is_configured() {
    for (method, word) in [(HeartbeatMethod::Get, "GET"), (HeartbeatMethod::Post, "POST")] {
        let service = Receiver::start(|_, _| Answer::with(200, &[("Content-Type", "text/plain")], "OK"));
        let url = format!("http://{}/ping/some-uuid?status=up", service.address);
        let telemetry = Telemetry::new();
        let heartbeat = heartbeat(&HeartbeatConfig { method, ..config(url) }, &telemetry);
        let attempts = "proxymeter_heartbeat_attempts_total";
        run_until(heartbeat, || value(&telemetry, attempts, None) >= 3.0).await;
        for request in service.requests() {
            assert_eq!(request.line, format!("{word} /ping/some-uuid?status=up HTTP/1.1"));
            assert!(request.header("user-agent").unwrap().starts_with("proxymeter/"));
            assert_eq!(request.body, b"");
        }
        assert_eq!(value(&telemetry, "proxymeter_heartbeat_failures_total", Some("timeout")), 0.0);
        assert!(value(&telemetry, "proxymeter_heartbeat_last_success_timestamp_seconds", None) > 1e9);
    }
}

/// Whatever goes wrong, the log says so once, and with nothing of the URL but its host.
#[tokio::test]
async fn failures_are_told_once_and_tell_no_secret() {
    use canary::{CANARY, assert_none, canary};

    let log = canary::log();
    let closed = closed_address();
    let secret = |scheme: &str, address: &str| {
        let path = canary("path");
        config(format!("{scheme}://{CANARY}:{CANARY}@{address}/{path}?{CANARY}"))
    };
    let answering = |answer: Answer| Receiver::start(move |_, _| answer.clone());
    let slow = Answer::Trickle(format!("HTTP/1.1 200 OK\r\n\r\n{CANARY}").into_bytes());
    let answers = canary::answers().into_iter().chain([(slow, "timeout")]);
    let services: Vec<_> = answers.map(|(answer, reason)| (answering(answer), reason)).collect();
    let mut cases: Vec<_> = services
        .iter()
        .map(|(service, reason)| (secret("http", &service.address.to_string()), *reason))
        .collect();
    cases.push((secret("http", &closed.to_string()), "connect"));
    let no_tls =
        Receiver::after(|stream| stream.write_all(CANARY.as_bytes()).unwrap(), |_, _| Answer::status(200));
    cases.push((secret("https", &no_tls.address.to_string()), "tls"));
    for scheme in ["http", "socks5h"] {
        let proxy = Some(format!("{scheme}://{CANARY}:{CANARY}@{closed}").into());
        cases.push((HeartbeatConfig { proxy, ..secret("http", "127.0.0.1:9") }, "connect"));
    }
    for (config, reason) in &cases {
        let telemetry = Telemetry::new();
        let heartbeat = heartbeat(config, &telemetry);
        assert_none("Debug", &format!("{config:?} {heartbeat:?}"));
        let before = log.text().matches("the heartbeat does not arrive").count();
        let failures = || value(&telemetry, "proxymeter_heartbeat_failures_total", Some(reason));
        run_until(heartbeat, || failures() >= 2.0).await;
        let told = log.text().matches("the heartbeat does not arrive").count() - before;
        assert_eq!(told, 1, "{reason}");
    }
    assert_none("the log", &log.text());
    for wrong in ["ftp://127.0.0.1/", "", "data:"] {
        let config = config(format!("{wrong}{CANARY}"));
        let clock = Clock::system();
        let refused = Heartbeat::new(
            &config,
            Beats::default(),
            Default::default(),
            Board::new([]),
            Telemetry::new(),
            clock,
        );
        assert_none("an error", &format!("{:?}", refused.map(|_| "it is taken").unwrap_err()));
    }
}

/// A daemon of its own, ended with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail once it has ended, which is what is wanted.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn get(address: &str, path: &str) -> String {
    let mut answer = String::new();
    // Until it listens there is no answer.
    if let Ok(mut stream) = TcpStream::connect(address) {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).unwrap();
    }
    answer
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The panel is down all the time, which is no reason to fall silent; that nobody can be told of it is.
#[test]
fn the_daemon_falls_silent_while_nobody_can_be_told() {
    let service = Receiver::start(|_, _| Answer::status(200));
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&broken);
    let hook =
        Receiver::start(move |_, _| Answer::status(if is_broken.load(Ordering::SeqCst) { 503 } else { 200 }));
    let (address, panel) = (free_address().to_string(), closed_address());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let text = format!(
        "[web]\nlisten = \"{address}\"\n\
         [poll]\ninterval = \"5s\"\ntimeout = \"2s\"\n\
         [marzban.home]\nurl = \"http://{panel}\"\nusername = \"a\"\npassword = \"b\"\n\
         [alert.target_down]\nfor = \"1s\"\n\
         [alerting]\ngroup_wait = \"0s\"\ngroup_interval = \"1s\"\nrepeat_interval = \"1s\"\n\
         [webhook.oncall]\nurl = \"{}\"\n\
         [heartbeat]\nurl = \"http://{}/ping/some-uuid\"\ninterval = \"5s\"\ndelivery_patience = \"0s\"\n",
        hook.url(),
        service.address
    );
    fs::write(&file, text).unwrap();
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
    command.arg(format!("--config.file={}", file.display())).stderr(log).stdout(Stdio::null());
    let daemon = Daemon(command.spawn().unwrap());

    wait_until("a ping, after notices", || !service.requests().is_empty() && !hook.requests().is_empty());
    broken.store(true, Ordering::SeqCst);
    let withheld = "proxymeter_heartbeats_withheld_total{reason=\"delivery\"}";
    wait_until("a ping that is withheld", || get(&address, "/metrics").contains(&format!("{withheld} 1\n")));
    let pings = service.requests().len();
    broken.store(false, Ordering::SeqCst);
    wait_until("a ping again", || service.requests().len() > pings);
    drop(daemon);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("no heartbeat is sent: receiver oncall does not accept notifications"), "{log}");
    assert!(!log.contains("some-uuid"), "{log}");
    assert!(service.requests().iter().all(|request| request.line == "GET /ping/some-uuid HTTP/1.1"));
}

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
        ping_once,
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
        success: None,
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
        let told = || log.text().matches("the heartbeat does not arrive").count();
        let before = told();
        let failures = || value(&telemetry, "proxymeter_heartbeat_failures_total", Some(reason));
        run_until(heartbeat, || failures() >= 2.0 && told() > before).await;
        assert_eq!(told() - before, 1, "{reason}");
        let answer = ping_once(config, Clock::system().now()).await.unwrap();
        assert_none("what was said", answer.said.as_deref().unwrap_or_default());
        assert_none("the error", &format!("{:?}", answer.outcome.unwrap_err()));
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

/// What the services answer that a heartbeat is meant for, and others that are in between.
#[tokio::test]
async fn an_answer_counts_by_what_it_says() {
    install_crypto_provider();
    const HTML: &[(&str, &str)] = &[("Content-Type", "text/html; charset=utf-8")];
    let page = "<!DOCTYPE html><title>Uptime Kuma</title>";
    for (status, headers, body, success, told) in [
        // healthchecks.io, and the same on a server of one's own.
        (200, &[][..], "OK", None, Ok("127.0.0.1 answered 200")),
        (201, &[], "Created", None, Ok("127.0.0.1 answered 201")),
        (
            200,
            &[],
            "OK (not found)",
            None,
            Err("gone: 127.0.0.1: answered 200 with 'OK (not found)': there is no such check any more"),
        ),
        (
            200,
            &[],
            "OK (not found)\n",
            Some("OK"),
            Err("gone: 127.0.0.1: answered 200 with 'OK (not found)': there is no such check any more"),
        ),
        // The check had a ping shortly before, so it is alive.
        (200, &[], "OK (rate limited)\n", None, Ok("127.0.0.1 answered 200")),
        (200, &[], "OK (rate limited)", Some("pong"), Ok("127.0.0.1 answered 200")),
        (
            404,
            &[],
            "not found",
            None,
            Err("client_error: 127.0.0.1: answered 404: there is nothing at this URL"),
        ),
        (
            409,
            &[],
            "ambiguous slug",
            None,
            Err("client_error: 127.0.0.1: answered 409: the receiver refuses this request"),
        ),
        // Uptime Kuma.
        (200, &[], "{\"ok\":true}", None, Ok("127.0.0.1 answered 200")),
        (
            200,
            &[],
            "{\"ok\":false,\"msg\":\"Monitor not found or not active.\"}",
            None,
            Err("response: 127.0.0.1: answered 200, but the answer says that it failed, in 'ok'"),
        ),
        (
            404,
            &[],
            "{\"ok\":false,\"msg\":\"Monitor not found or not active.\"}",
            None,
            Err("client_error: 127.0.0.1: answered 404: there is nothing at this URL"),
        ),
        (
            200,
            HTML,
            page,
            None,
            Err("response: 127.0.0.1: answered 200 with a web page: something else than the receiver"),
        ),
        // Dead Man's Snitch, Opsgenie, Better Stack, Cronitor.
        (202, &[], "Got it, thanks!", None, Ok("127.0.0.1 answered 202")),
        (
            202,
            &[],
            "{\"result\":\"PONG - Heartbeat received\",\"took\":0.1,\"requestId\":\"x\"}",
            None,
            Ok("127.0.0.1 answered 202"),
        ),
        (200, &[], "", None, Ok("127.0.0.1 answered 200")),
        (
            200,
            &[],
            "{\"status\":\"error\",\"message\":\"no such monitor\"}",
            None,
            Err("response: 127.0.0.1: answered 200, but the answer says that it failed, in 'status'"),
        ),
        // A text of success is the whole test of the body.
        (200, &[], "OK", Some("OK"), Ok("127.0.0.1 answered 200")),
        (200, HTML, "<html>thank you</html>", Some("thank you"), Ok("127.0.0.1 answered 200")),
        (200, &[], "{\"ok\":false,\"said\":\"pong\"}", Some("pong"), Ok("127.0.0.1 answered 200")),
        (
            200,
            &[],
            "{\"ok\": true}",
            Some("\"ok\":true"),
            Err("response: 127.0.0.1: answered 200, but the answer has no '\"ok\":true'"),
        ),
        (204, &[], "", Some("OK"), Err("response: 127.0.0.1: answered 204, but the answer has no 'OK'")),
        (500, &[], "OK", Some("OK"), Err("server_error: 127.0.0.1: answered 500")),
    ] {
        let service = Receiver::start(move |_, _| Answer::with(status, headers, body));
        let success = success.map(str::to_owned);
        let timeout = Duration::from_secs(20);
        let config =
            HeartbeatConfig { success, timeout, ..config(format!("http://{}/ping", service.address)) };
        let answer = ping_once(&config, Clock::system().now()).await.unwrap();
        let outcome = answer.outcome.map_err(|err| format!("{}: {err}", err.reason.label()));
        let outcome = outcome.as_deref().map_err(String::as_str);
        assert_eq!(outcome, told, "{status} {body}");
        assert_eq!(answer.said.as_deref(), Some(body.trim()).filter(|body| !body.is_empty()));
    }
}

/// The pings that the service ignores do not alternate with others in the log.
#[tokio::test]
async fn a_service_that_ignores_pings_is_told_once() {
    let log = canary::log();
    let number = std::sync::atomic::AtomicUsize::new(0);
    let service = Receiver::start(move |_, _| {
        let is_limited = number.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        Answer::with(200, &[], if is_limited { "OK (rate limited)" } else { "OK" })
    });
    let telemetry = Telemetry::new();
    // No other test has this host.
    let url = format!("http://localhost:{}/ping", service.address.port());
    let attempts = || value(&telemetry, "proxymeter_heartbeat_attempts_total", None);
    run_until(heartbeat(&config(url), &telemetry), || attempts() >= 6.0).await;
    let told = "localhost ignores heartbeats that come too often; write a longer interval";
    assert_eq!(log.text().matches(told).count(), 1);
    assert_eq!(value(&telemetry, "proxymeter_heartbeat_failures_total", Some("rate_limited")), 0.0);
}

/// `proxymeter test-notification` for the heartbeat, in all the ways to ask for it.
#[test]
fn the_command_pings_once_and_prints_what_the_service_said() {
    let service = Receiver::start(|_, request| match request.line.contains("/gone/") {
        true => Answer::with(200, &[], "OK (not found)"),
        false => Answer::with(200, &[], "OK, c4naryb1rd-uuid\nand more"),
    });
    let hook = Receiver::start(|_, _| Answer::with(200, &[], "I am a receiver"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let run = |text: String, arguments: &[&str]| {
        fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_proxymeter"))
            .args(["test-notification", "--log.level=debug"])
            .args(arguments)
            .arg(format!("--config.file={}", file.display()))
            .output()
            .unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        canary::assert_none("the output", &format!("{out}{err}"));
        (output.status.code(), out, err)
    };
    let heartbeat =
        |path: &str| format!("[heartbeat]\nurl = \"http://{}/{path}/c4naryb1rd-uuid\"\n", service.address);
    let receiver = |name: &str| format!("[webhook.{name}]\nurl = \"{}\"\n", hook.url());
    let said = "heartbeat said: OK, ***\n\
                heartbeat accepted a ping, which counts like any other: 127.0.0.1 answered 200\n";
    let named =
        "receiver heartbeat said: I am a receiver\nreceiver heartbeat accepted it: 127.0.0.1 answered 200\n";
    let gone = "heartbeat did not accept a ping, which counts like any other (gone): 127.0.0.1: answered 200 with \
                'OK (not found)': there is no such check any more";
    let (alive, with_name) = (heartbeat("alive"), heartbeat("alive") + &receiver("heartbeat"));
    for (text, arguments, code, told) in [
        (alive.clone(), ["heartbeat"].as_slice(), 0, said),
        (alive.clone(), &["--heartbeat"], 0, said),
        (with_name.clone(), &["heartbeat"], 0, named),
        (with_name.clone(), &["--heartbeat"], 0, said),
        (heartbeat("gone"), &["heartbeat"], 1, gone),
        (receiver("ops"), &["heartbeat"], 1, "there is no [heartbeat] in the configuration"),
        (receiver("ops"), &["--heartbeat"], 1, "there is no [heartbeat] in the configuration"),
        (
            alive.clone() + &receiver("ops"),
            &["op"],
            1,
            "there is no receiver op; the receivers are: ops, heartbeat",
        ),
        (alive.clone(), &["--heartbeat", "ops"], 2, "cannot be used with"),
        (alive, &[], 2, "required"),
    ] {
        let (seen, out, err) = run(text, arguments);
        assert_eq!(seen, Some(code), "{arguments:?}: {out}{err}");
        match code {
            0 => assert_eq!(out, told, "{arguments:?}"),
            _ => assert!(err.contains(told), "{arguments:?}: {err}"),
        }
    }
    assert_eq!((service.requests().len(), hook.requests().len()), (4, 1));
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

//! Alertmanager as a receiver over real sockets: what is posted, what is made of every answer, and that nothing leaks.

mod command;
mod fake;

use std::{io::Write, sync::Arc, time::Duration};

use proxymeter::{
    clock::Clock,
    http::{install_crypto_provider, options::TlsOptions},
    model::{Moment, NoticeAlert, NoticeStatus, Pairs, Severity},
    notify::{
        SendError, SendReason,
        alertmanager::{Alertmanager, Ask, Poster, Standing, config::AlertmanagerConfig},
        webhook::config::Authorization,
    },
    secret::Secret,
    telemetry::Telemetry,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use self::fake::Fake;
use crate::common::{
    canary::{self, CANARY, assert_none, canary},
    listener::closed_address,
    receiver::{Answer, Receiver, defaults},
};

const EXTERNAL_URL: &str = "http://proxymeter.example:9105";

fn config(urls: &[String]) -> AlertmanagerConfig {
    AlertmanagerConfig {
        urls: urls.iter().map(|url| Secret::from(url.as_str())).collect(),
        resend: Duration::from_millis(200),
        authorization: None,
        headers: Vec::new(),
        proxy: None,
        tls: TlsOptions::default(),
        timeout: Duration::from_millis(500),
        common: defaults(),
    }
}

fn alertmanager(config: &AlertmanagerConfig) -> Alertmanager {
    install_crypto_provider();
    Alertmanager::new(config, EXTERNAL_URL).unwrap()
}

fn now() -> Moment {
    Clock::system().now()
}

/// An alert that has been firing for a minute.
fn firing(subject: &str) -> NoticeAlert {
    NoticeAlert {
        event: format!("evt_{subject}"),
        status: NoticeStatus::Firing,
        severity: Severity::Warning,
        labels: [("alertname", "ProxymeterTest"), ("subject", subject), ("step", "")].into(),
        annotations: [("summary", "A test."), ("description", "Käse & <b> \u{202e}\"quoted\"")].into(),
        starts_at: now().wall.saturating_sub(Duration::from_secs(60)),
        ends_at: None,
        began: None,
        until: None,
    }
}

fn ended(subject: &str) -> NoticeAlert {
    let ends_at = now().wall.saturating_sub(Duration::from_secs(10));
    NoticeAlert {
        status: NoticeStatus::Resolved,
        annotations: [("description", "It holds no more.")].into(),
        ends_at: Some(ends_at),
        ..firing(subject)
    }
}

/// One round at each replica, and the outcome of each.
async fn post(config: &AlertmanagerConfig, alerts: &[NoticeAlert]) -> Vec<Result<String, SendError>> {
    let alerts: Vec<_> = alerts.iter().cloned().map(Arc::new).collect();
    let answers = alertmanager(config).post_once(&alerts, now()).await;
    answers.into_iter().map(|answer| answer.outcome).collect()
}

/// Runs a poster until `done`, with what fires and what ended. Returns the outcomes of its rounds.
async fn run_until(
    config: &AlertmanagerConfig,
    telemetry: &Telemetry,
    standing: (Vec<NoticeAlert>, Vec<NoticeAlert>),
    mut done: impl FnMut(&[Result<(), SendError>]) -> bool,
) -> Vec<Result<(), SendError>> {
    let (asks, mut asked) = mpsc::channel(4);
    // Its counter does not change.
    let (_changed, count) = watch::channel(0);
    let poster =
        Poster::new("am".into(), alertmanager(config), asks, count, telemetry.clone(), Clock::system());
    let shared = |alerts: &[NoticeAlert]| alerts.iter().cloned().map(Arc::new).collect();
    let answer = async {
        let mut outcomes = Vec::new();
        while let Some((_, ask)) = asked.recv().await {
            match ask {
                Ask::Standing(answer) => {
                    let standing = Standing { firing: shared(&standing.0), ended: shared(&standing.1) };
                    answer.send(standing).unwrap();
                }
                Ask::Over(events) => panic!("{events:?} are over"),
                Ask::GivenUp(_) => {}
                Ask::Outcome(outcome) => outcomes.push(outcome),
            }
            if done(&outcomes) {
                break;
            }
        }
        outcomes
    };
    tokio::select! {
        () = poster.run() => unreachable!("it ends with the other side"),
        outcomes = timeout(Duration::from_secs(20), answer) => outcomes.unwrap(),
    }
}

#[tokio::test]
async fn every_replica_gets_what_alertmanager_accepts() {
    let (first, second) = (Fake::start(""), Fake::start("/prefix/am"));
    let config = AlertmanagerConfig {
        authorization: Some(Authorization::Bearer("token".into())),
        headers: vec![("x-scope-orgid".into(), "ops".into())],
        resend: Duration::from_secs(60),
        ..config(&[first.url(), second.url()])
    };
    let before = now().wall;
    let answers = post(&config, &[firing("a"), ended("b")]).await;
    let after = now().wall;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for fake in [first, second] {
        let [request] = fake.requests().try_into().unwrap();
        assert_eq!(request.header("authorization"), Some("Bearer token"));
        assert_eq!(request.header("x-scope-orgid"), Some("ops"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body[0]["labels"], serde_json::json!({"alertname": "ProxymeterTest", "subject": "a"}));
        assert_eq!(body[0]["annotations"]["description"], "Käse & <b> \u{202e}\"quoted\"");
        assert_eq!(body[0]["generatorURL"], EXTERNAL_URL);
        let known = fake.alerts();
        let a = &known["ProxymeterTest a"];
        let lasts = Duration::from_secs(240);
        assert!((before.saturating_add(lasts)..=after.saturating_add(lasts)).contains(&a.ends), "{a:?}");
        let b = &known["ProxymeterTest b"];
        assert!(b.ends < before && b.starts < b.ends, "{b:?}");
        assert_eq!(b.description, "It holds no more.");
    }
}

#[tokio::test]
async fn an_address_of_our_pages_that_is_no_url_is_left_out() {
    let fake = Fake::start("");
    let config = config(&[fake.url()]);
    for external_url in ["", "not a url"] {
        let mut alertmanager = Alertmanager::new(&config, external_url).unwrap();
        let answers = alertmanager.post_once(&[Arc::new(firing("a"))], now()).await;
        assert!(answers[0].outcome.is_ok(), "{answers:?}");
    }
}

#[tokio::test]
async fn one_alert_that_is_refused_costs_no_other() {
    let fake = Fake::start("");
    let telemetry = Telemetry::new();
    // Alertmanager refuses an alert without labels.
    let bad = NoticeAlert { labels: Pairs::default(), ..firing("bad") };
    let mut alerts: Vec<_> = (0..600).map(|number| firing(&number.to_string())).collect();
    alerts.insert(321, bad);
    let config = config(&[fake.url()]);
    let outcomes = run_until(&config, &telemetry, (alerts, Vec::new()), |outcomes| outcomes.len() == 2).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(fake.alerts().len(), 600);
    let lengths: Vec<usize> = fake
        .requests()
        .iter()
        .map(|request| serde_json::from_slice::<Vec<serde_json::Value>>(&request.body).unwrap().len())
        .collect();
    // The list with the bad one is halved until it is alone, and the next round leaves it out.
    let (first, second) = lengths.split_at(lengths.len() - 2);
    assert_eq!(second, [500, 100]);
    assert!(first.len() <= 2 + 2 * 9, "{first:?}");
    assert_eq!(first.iter().filter(|length| **length == 1).count(), 2, "{first:?}");
}

#[tokio::test]
async fn an_end_is_posted_again_and_again_once_it_has_held() {
    let fake = Fake::start("");
    let telemetry = Telemetry::new();
    let standing = (vec![firing("a")], vec![ended("b")]);
    run_until(&config(&[fake.url()]), &telemetry, standing, |outcomes| outcomes.len() == 3).await;
    let known = fake.alerts();
    assert!(known["ProxymeterTest a"].ends > now().wall);
    assert!(known["ProxymeterTest b"].ends < now().wall);
    // What fires, and then the ends, but no ends at once after the start.
    assert_eq!(fake.requests().len(), 5);
}

/// A proxy before Alertmanager that allows posts alone.
#[tokio::test]
async fn ends_are_posted_without_a_list_and_the_log_says_so_once() {
    let log = canary::log();
    let receiver = Receiver::start(|_, request| {
        Answer::status(if request.line.starts_with("GET ") { 403 } else { 200 })
    });
    let config = config(&[format!("http://{}", receiver.address)]);
    let standing = (Vec::new(), vec![ended("b")]);
    run_until(&config, &Telemetry::new(), standing, |outcomes| outcomes.len() == 4).await;
    let posts = receiver.requests().into_iter().filter(|request| request.line.starts_with("POST "));
    // The first is empty.
    assert_eq!(posts.filter(|request| request.body.len() > 2).count(), 3);
    let line = format!("ends are posted even if others still post the alerts: {}", receiver.address);
    assert_eq!(log.text().matches(&line).count(), 1);
}

#[tokio::test]
async fn an_end_is_not_posted_while_another_sender_goes_on() {
    let fake = Fake::start("");
    let config = config(&[fake.url()]);
    let key = "ProxymeterTest b";
    post(&config, &[firing("b")]).await;
    let later = now().wall.saturating_add(Duration::from_secs(60));
    fake.prolong(key, later);
    let standing = || (vec![firing("a")], vec![ended("b")]);
    run_until(&config, &Telemetry::new(), standing(), |outcomes| outcomes.len() == 2).await;
    assert_eq!(fake.alerts()[key].ends, later);
    fake.prolong(key, now().wall);
    run_until(&config, &Telemetry::new(), standing(), |outcomes| outcomes.len() == 2).await;
    assert!(fake.alerts()[key].ends < now().wall.saturating_sub(Duration::from_secs(5)));
}

/// The answers that are not Alertmanager's, and what Alertmanager says to what is not a list of alerts.
#[tokio::test]
async fn every_other_answer_is_a_failure_of_the_replica() {
    for (answer, reason) in [
        (Answer::status(201), SendReason::Response),
        (Answer::status(204), SendReason::Response),
        (Answer::with(200, &[], "<!doctype html><title>Log in</title>"), SendReason::Response),
        (Answer::with(302, &[("Location", "/login")], ""), SendReason::Redirect),
        (Answer::with(400, &[], "<html>The plain HTTP request was sent to HTTPS port"), SendReason::Tls),
        (Answer::status(401), SendReason::Auth),
        (Answer::status(404), SendReason::ClientError),
        (
            Answer::with(415, &[], r#"{"code":415,"message":"unsupported media type"}"#),
            SendReason::ClientError,
        ),
        (Answer::with(410, &[], r#"{"status":"deprecated"}"#), SendReason::Gone),
        (Answer::status(503), SendReason::ServerError),
        (Answer::Stop(b"HTTP/1.1 200 OK\r\n".to_vec()), SendReason::Timeout),
    ] {
        let receiver = Receiver::start(move |_, _| answer.clone());
        let telemetry = Telemetry::new();
        let config = config(&[format!("http://{}", receiver.address)]);
        let alerts = vec![firing("a"), firing("b")];
        let outcomes =
            run_until(&config, &telemetry, (alerts, Vec::new()), |outcomes| outcomes.len() == 1).await;
        assert_eq!(outcomes[0].as_ref().unwrap_err().reason, reason);
        // It is not halved.
        assert_eq!(receiver.requests().len(), 1, "{reason:?}");
        assert_eq!(receiver.requests()[0].line, "POST /api/v2/alerts HTTP/1.1");
        assert_eq!(telemetry.receiver("am").failing.unwrap().reason, reason.label());
    }
}

/// Whatever goes wrong, the log says so once, without the path, the login, a header or an answer.
#[tokio::test]
async fn failures_are_logged_once_and_tell_no_secret() {
    let log = canary::log();
    let closed = closed_address();
    let secret = |scheme: &str, address: &str| AlertmanagerConfig {
        authorization: Some(Authorization::Basic {
            username: canary("user"),
            password: canary("password").as_str().into(),
        }),
        headers: vec![("x-key".into(), canary("header").as_str().into())],
        ..config(&[format!("{scheme}://{address}/{}", canary("path"))])
    };
    let answering = |answer: Answer| Receiver::start(move |_, _| answer.clone());
    let refused = format!("\"invalid label set: invalid name {CANARY}\"");
    let services = canary::answers().map(|(answer, reason)| (answering(answer), reason));
    let mut cases: Vec<_> = services
        .iter()
        .map(|(service, reason)| (secret("http", &service.address.to_string()), *reason))
        .collect();
    cases.push((secret("http", &closed.to_string()), "connect"));
    let no_tls =
        Receiver::after(|stream| drop(stream.write_all(CANARY.as_bytes())), |_, _| Answer::status(200));
    cases.push((secret("https", &no_tls.address.to_string()), "tls"));
    for scheme in ["http", "socks5h"] {
        let proxy = Some(format!("{scheme}://{CANARY}:{CANARY}@{closed}").as_str().into());
        cases.push((AlertmanagerConfig { proxy, ..secret("http", "127.0.0.1:9") }, "connect"));
    }
    let alert = || NoticeAlert {
        annotations: [("description", canary("description"))].into(),
        ..firing(&canary("subject"))
    };
    for (config, reason) in &cases {
        let telemetry = Telemetry::new();
        let shown = alertmanager(config);
        assert_none("Debug", &format!("{config:?} {shown:?}").replace(&canary("user"), ""));
        // Other tests log as well, about other addresses.
        let url = config.urls[0].expose();
        let host = url.split('/').nth(2).unwrap();
        let line = format!("alerts are not accepted: {host}: ");
        let before = log.text().matches(&line).count();
        let outcomes =
            run_until(config, &telemetry, (vec![alert()], Vec::new()), |outcomes| outcomes.len() == 2).await;
        for outcome in &outcomes {
            assert_eq!(outcome.as_ref().unwrap_err().reason.label(), *reason);
            assert_none("an outcome", &format!("{outcome:?}"));
        }
        let told = log.text().matches(&line).count() - before;
        assert_eq!(told, 1, "{reason}");
        assert_none("the status", &format!("{:?}", telemetry.receiver("am")));
    }
    // A refused alert is named by its rule alone.
    let subject = canary("subject");
    let refusing = Receiver::start(move |_, request| {
        let is_bad = String::from_utf8_lossy(&request.body).contains(&subject);
        if is_bad { Answer::with(400, &[], &refused) } else { Answer::status(200) }
    });
    let config = secret("http", &refusing.address.to_string());
    let telemetry = Telemetry::new();
    let alerts = vec![alert(), firing("good")];
    run_until(&config, &telemetry, (alerts, Vec::new()), |outcomes| outcomes.len() == 1).await;
    assert!(log.text().contains("alert refused and left out"));
    assert!(log.text().contains("ProxymeterTest"));
    assert_none("the log", &log.text());
    for wrong in ["ftp://127.0.0.1/", "", "data:"] {
        let config = config_of(&format!("{wrong}{CANARY}"));
        assert_none("an error", &format!("{:?}", Alertmanager::new(&config, EXTERNAL_URL).unwrap_err()));
    }
}

fn config_of(url: &str) -> AlertmanagerConfig {
    config(&[url.to_owned()])
}

#[test]
fn a_receiver_needs_an_address() {
    install_crypto_provider();
    assert!(Alertmanager::new(&config(&[]), EXTERNAL_URL).is_err());
    let header = |name: &str| AlertmanagerConfig {
        headers: vec![(name.to_owned(), "x".into())],
        ..config_of("http://127.0.0.1:9093")
    };
    assert!(Alertmanager::new(&header("a b"), EXTERNAL_URL).is_err());
    assert!(Alertmanager::new(&header("x-key"), EXTERNAL_URL).is_ok());
}

//! Webhooks over real sockets: what is sent, what is made of every answer, and that nothing leaks.

mod command;
mod proxies;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use proxymeter::{
    clock::Clock,
    http::options::TlsOptions,
    model::{Moment, Named, Notice, NoticeAlert, NoticeStatus, Pairs, Severity, Timestamp},
    notify::{
        Retry, SendError,
        webhook::{
            Webhook,
            config::{Authorization, WebhookConfig, WebhookFormat},
        },
    },
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::common::{
    listener::{Listener, closed_address},
    receiver::{Answer, Receiver, webhook as config},
};

const EXTERNAL_URL: &str = "http://proxymeter.example:9105/";
/// The secrets of the vectors that Standard Webhooks and GitHub publish; known to everybody.
const KNOWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What `scripts/alertmanager_e2e.sh` tells a real Alertmanager.
fn notice() -> Notice {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Alert {
        labels: Pairs,
        annotations: Pairs,
        starts_at: String,
        ends_at: Option<String>,
    }
    let time = |text: &str| Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let text = fs::read_to_string("tests/fixtures/webhook/alerts.json").unwrap();
    let alerts: Vec<Alert> = serde_json::from_str(&text).unwrap();
    let alerts = alerts.into_iter().map(|alert| {
        Arc::new(NoticeAlert {
            event: alert.starts_at.clone(),
            status: if alert.ends_at.is_some() { NoticeStatus::Resolved } else { NoticeStatus::Firing },
            severity: Severity::Warning,
            labels: alert.labels,
            annotations: alert.annotations,
            starts_at: time(&alert.starts_at),
            ends_at: alert.ends_at.as_deref().map(time),
            began: None,
            until: None,
        })
    });
    Notice {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
        receiver: "ops".into(),
        group: "{}:{alertname=\"ProxymeterUserExpiry\", target=\"home\"}".into(),
        group_labels: [("alertname", "ProxymeterUserExpiry"), ("target", "home")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        reason: "first notification".into(),
        alerts: alerts.collect(),
        created_at: Timestamp::from_secs(1_614_265_000),
        ..Notice::default()
    }
}

fn now() -> Moment {
    Clock::starting_at(Timestamp::from_secs(1_614_265_330)).now()
}

async fn send(config: &WebhookConfig, notice: &Notice) -> Result<String, SendError> {
    Webhook::new(config, EXTERNAL_URL).unwrap().send(Arc::new(notice.clone()), now()).await
}

#[tokio::test]
async fn the_body_is_alertmanagers() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    assert_eq!(send(&config(&receiver.url()), &notice()).await.unwrap(), "127.0.0.1 answered 200");
    let [request] = receiver.requests().try_into().unwrap();
    let golden = fs::read_to_string("tests/golden/webhook.json").unwrap();
    assert_eq!(String::from_utf8(request.body.clone()).unwrap(), golden);
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let agent = format!("proxymeter/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(agent.as_str()));
}

#[tokio::test]
async fn a_notice_of_many_alerts_can_be_cut() {
    let receiver = Receiver::start(|_, _| Answer::status(204));
    let mut notice = notice();
    let last = notice.alerts[1].clone();
    notice.alerts.resize(500, last);
    for (max_alerts, named, left_out, told, truncated) in [
        (0, None, 0, 500, 0),
        (1, None, 0, 1, 499),
        (500, None, 0, 500, 0),
        (501, None, 0, 500, 0),
        (50, Some(25), 0, 25, 475),
        (50, Some(100), 0, 50, 450),
        (0, None, 7, 500, 7),
        (1, None, 7, 1, 506),
    ] {
        (notice.named, notice.left_out) = (named, left_out);
        let config = WebhookConfig { max_alerts, ..config(&receiver.url()) };
        let webhook = Webhook::new(&config, "").unwrap();
        let names = proxymeter::notify::Receiver::Webhook(Box::new(webhook)).names();
        assert_eq!(names, if max_alerts > 0 { Named::First(max_alerts) } else { Named::All });
        send(&config, &notice).await.unwrap();
        let body = receiver.requests().last().unwrap().body.clone();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["alerts"].as_array().unwrap().len(), told);
        assert_eq!(body["truncatedAlerts"], truncated);
        assert_eq!(body["commonLabels"].as_object().unwrap().contains_key("subject"), max_alerts == 1);
    }
}

#[tokio::test]
async fn a_notice_carries_the_same_id_each_time_and_the_time_of_each() {
    let receiver = Receiver::start(|_, _| Answer::status(503));
    let mut webhook = Webhook::new(&config(&receiver.url()), "").unwrap();
    let mut notice = notice();
    notice.covers = (0..120).map(|n| format!("msg_{n}")).collect();
    let clock = Clock::starting_at(Timestamp::from_secs(1_614_265_330));
    for _ in 0..2 {
        assert!(webhook.send(Arc::new(notice.clone()), clock.now()).await.is_err());
        clock.step(5000);
    }
    let [first, second] = receiver.requests().try_into().unwrap();
    assert_eq!(first.header("webhook-id"), Some(notice.id.as_str()));
    assert_eq!(second.header("webhook-id"), Some(notice.id.as_str()));
    assert_eq!(first.header("webhook-timestamp"), Some("1614265330"));
    assert_eq!(second.header("webhook-timestamp"), Some("1614265335"));
    assert_eq!((first.header("webhook-signature"), first.header("x-hub-signature-256")), (None, None));
    let covers: Vec<_> = first.header("proxymeter-covers").unwrap().split(", ").collect();
    assert_eq!((covers.len(), covers[0], covers[99]), (100, "msg_20", "msg_119"), "the newest");
}

#[tokio::test]
async fn signatures_are_those_of_the_published_vectors() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let template =
        |text: &str| WebhookFormat::Template { template: text.into(), content_type: "text/plain".into() };
    let signed = WebhookConfig {
        format: template(r#"{"test": 2432232314}"#),
        secrets: vec!["another".into(), KNOWN.into()],
        ..config(&receiver.url())
    };
    send(&signed, &notice()).await.unwrap();
    let github = WebhookConfig {
        format: template("Hello, World!"),
        github_secret: Some("It's a Secret to Everybody".into()),
        ..config(&receiver.url())
    };
    send(&github, &notice()).await.unwrap();
    let [first, second] = receiver.requests().try_into().unwrap();
    let signatures: Vec<_> = first.header("webhook-signature").unwrap().split(' ').collect();
    assert_eq!(signatures.len(), 2);
    assert_eq!(signatures[1], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(first.header("content-type"), Some("text/plain"));
    let digits = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(second.header("x-hub-signature-256"), Some(format!("sha256={digits}").as_str()));
    assert_eq!(second.header("webhook-signature"), None);
}

#[tokio::test]
async fn who_we_are_is_told_in_headers() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let basic = Authorization::Basic { username: "me".into(), password: "pass:word".into() };
    for (authorization, expected) in
        [(Authorization::Bearer("token".into()), "Bearer token"), (basic, "Basic bWU6cGFzczp3b3Jk")]
    {
        let config = WebhookConfig {
            authorization: Some(authorization),
            headers: vec![("X-Api-Key".into(), "ключ".into()), ("User-Agent".into(), "other".into())],
            ..config(&receiver.url())
        };
        send(&config, &notice()).await.unwrap();
        let request = receiver.requests().pop().unwrap();
        assert_eq!(request.header("authorization"), Some(expected));
        assert_eq!(request.header("x-api-key"), Some("ключ"));
        assert_eq!(request.header("user-agent"), Some("other"));
    }
}

#[test]
fn what_can_never_work_is_refused() {
    let good = config("http://127.0.0.1:1/hook");
    assert!(Webhook::new(&good, "").is_ok());
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.into())];
    let template = |text: &str| WebhookFormat::Template { template: text.into(), content_type: "a/b".into() };
    for (what, config) in [
        ("URL", config("ftp://127.0.0.1/canary")),
        ("URL", config("canary")),
        ("URL", config("http://")),
        ("secret", WebhookConfig { secrets: vec!["whsec_canary!".into()], ..good.clone() }),
        ("header", WebhookConfig { headers: header("a b", "canary"), ..good.clone() }),
        ("header", WebhookConfig { headers: header("a", "canary\r\nb: c"), ..good.clone() }),
        ("header", WebhookConfig { headers: header("Content-Length", "canary"), ..good.clone() }),
        ("header", WebhookConfig { headers: header("webhook-id", "canary"), ..good.clone() }),
        (
            "header",
            WebhookConfig { authorization: Some(Authorization::Bearer("canary\n".into())), ..good.clone() },
        ),
        ("line 2", WebhookConfig { format: template("canary\n{% if %}"), ..good.clone() }),
        ("proxy", WebhookConfig { proxy: Some("ftp://canary@127.0.0.1".into()), ..good.clone() }),
        ("proxy", WebhookConfig { proxy: Some("canary".into()), ..good.clone() }),
        (
            "ca.pem",
            WebhookConfig {
                url: "https://127.0.0.1/canary".into(),
                tls: TlsOptions { ca_file: Some("/nowhere/ca.pem".into()), ..TlsOptions::default() },
                ..good.clone()
            },
        ),
    ] {
        let err = Webhook::new(&config, "").unwrap_err();
        let text = format!("{err} {err:?}");
        assert!(text.contains(what) && !text.contains("canary"), "{what}: {text}");
    }
}

#[tokio::test]
async fn every_class_of_answer() {
    let elsewhere = Receiver::start(|_, _| Answer::status(200));
    let location = elsewhere.url();
    for (status, expected) in [
        (200, None),
        (201, None),
        (202, None),
        (204, None),
        (299, None),
        (300, Some(("redirect", Retry::Later))),
        (301, Some(("redirect", Retry::Later))),
        (302, Some(("redirect", Retry::Later))),
        (303, Some(("redirect", Retry::Later))),
        (307, Some(("redirect", Retry::Later))),
        (308, Some(("redirect", Retry::Later))),
        (400, Some(("client_error", Retry::Never))),
        (401, Some(("auth", Retry::Refused))),
        (403, Some(("auth", Retry::Refused))),
        (404, Some(("client_error", Retry::Refused))),
        (405, Some(("client_error", Retry::Refused))),
        (408, Some(("timeout", Retry::NotBefore(Duration::from_secs(7))))),
        (410, Some(("gone", Retry::Disabled))),
        (413, Some(("client_error", Retry::Smaller))),
        (422, Some(("client_error", Retry::Never))),
        (425, Some(("client_error", Retry::NotBefore(Duration::from_secs(7))))),
        (429, Some(("rate_limited", Retry::NotBefore(Duration::from_secs(7))))),
        (500, Some(("server_error", Retry::NotBefore(Duration::from_secs(7))))),
        (502, Some(("server_error", Retry::NotBefore(Duration::from_secs(7))))),
        (503, Some(("server_error", Retry::NotBefore(Duration::from_secs(7))))),
        (504, Some(("server_error", Retry::NotBefore(Duration::from_secs(7))))),
        (599, Some(("server_error", Retry::NotBefore(Duration::from_secs(7))))),
    ] {
        let location = location.clone();
        let receiver = Receiver::start(move |_, _| {
            Answer::with(status, &[("Location", &location), ("Retry-After", "7")], "")
        });
        let config = WebhookConfig {
            authorization: Some(Authorization::Bearer("token".into())),
            ..config(&receiver.url())
        };
        let failure = send(&config, &notice()).await.err().map(|err| (err.reason.label(), err.retry));
        assert_eq!(failure, expected, "{status}");
        assert_eq!(receiver.requests().len(), 1, "{status}: one attempt is one request");
    }
    assert!(elsewhere.requests().is_empty(), "redirects are not followed");
}

/// Several services answer 200 for a failure.
#[tokio::test]
async fn an_answer_counts_by_what_it_says() {
    let failed =
        |key: &str| Err(format!("127.0.0.1: answered 200, but the answer says that it failed, in '{key}'"));
    let lacks = |text: &str| Err(format!("127.0.0.1: answered 200, but the answer has no '{text}'"));
    for (body, success, expected) in [
        ("", None, Ok(())),
        ("ok", None, Ok(())),
        ("{\"ok\":true,\"error\":null,\"errors\":[]}", None, Ok(())),
        ("{\"success\": true, \"error\": \"\"}", None, Ok(())),
        ("{\"status\":\"firing\",\"code\":200}", None, Ok(())),
        ("{\"errcode\":0,\"errmsg\":\"ok\"}", None, Ok(())),
        ("{\"errcode\":310000,\"errmsg\":\"keywords not in content\"}", None, failed("errcode")),
        ("\u{feff} {\"ok\": false, \"error\": \"canary\"}", None, failed("error")),
        ("{\"success\":false}", None, failed("success")),
        ("{\"success\":0,\"failure\":1}", None, failed("success")),
        ("{\"ok\":\"False\"}", None, failed("ok")),
        ("{\"ok\":\"yes\",\"success\":1}", None, Ok(())),
        ("{\"status\":\"Failed\"}", None, failed("status")),
        ("{\"error\":{\"code\":1}}", None, failed("error")),
        ("{\"errors\":[\"canary\"]}", None, failed("errors")),
        ("[{\"ok\":false}]", None, Ok(())),
        ("{\"ok\":false", None, Ok(())),
        ("{\"ok\":true}", Some("\"ok\":true"), Ok(())),
        ("{\"ok\":false}", Some("\"ok\":true"), lacks("\"ok\":true")),
        ("{\"ok\":false,\"id\":7}", Some("\"id\":"), Ok(())),
        ("", Some("تم"), lacks("تم")),
        ("<html>تم", Some("تم"), Ok(())),
        ("ACCEPTED", Some("accepted"), lacks("accepted")),
        (
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 400",
            None,
            Err("127.0.0.1: answered 200, but the answer says that the delivery failed".to_owned()),
        ),
    ] {
        let receiver = Receiver::start(move |_, _| Answer::with(200, &[], body));
        let success = success.map(str::to_owned);
        let sent = send(&WebhookConfig { success, ..config(&receiver.url()) }, &notice()).await;
        if let Err(err) = &sent {
            assert_eq!((err.reason.label(), err.retry), ("response", Retry::Later), "{body}");
        }
        assert_eq!(sent.map(drop).map_err(|err| err.detail), expected, "{body}");
    }
}

/// What is cut by `max_alerts` or by `named` does not make the message large.
#[tokio::test]
async fn a_message_of_one_alert_cannot_be_smaller() {
    let mut notice = notice();
    let last = notice.alerts[1].clone();
    notice.alerts.resize(500, last);
    for (status, max_alerts, named, expected) in [
        (413, 0, None, Retry::Smaller),
        (413, 2, None, Retry::Smaller),
        (413, 2, Some(1), Retry::Never),
        (413, 1, None, Retry::Never),
        (400, 0, None, Retry::Smaller),
        (400, 6, None, Retry::Smaller),
        (400, 5, None, Retry::Never),
        (400, 6, Some(5), Retry::Never),
    ] {
        let receiver = Receiver::start(move |_, _| Answer::status(status));
        notice.named = named;
        let err = send(&WebhookConfig { max_alerts, ..config(&receiver.url()) }, &notice).await.unwrap_err();
        assert_eq!(err.retry, expected, "{status}, {max_alerts}, {named:?}");
    }
}

/// Proxies refuse a large body by its length and read none of it.
#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_read_counts() {
    let mut notice = notice();
    let last = notice.alerts[1].clone();
    notice.alerts.resize(10_000, last);
    let proxy = Listener::start(|mut stream| {
        stream.read_exact(&mut [0; 64]).unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
        // It stays open: a proxy that closed it now would reset it.
        std::mem::forget(stream);
    });
    let err = send(&config(&format!("http://{}/hook", proxy.address)), &notice).await.unwrap_err();
    assert_eq!(err.retry, Retry::Smaller, "{err}");
}

/// A receiver that hangs for hours holds the body in memory, and no alerts.
#[tokio::test]
async fn a_request_under_way_holds_no_alerts() {
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let receiver = Receiver::start(move |_, _| {
        asked.send(()).unwrap();
        Answer::Stop(Vec::new())
    });
    let notice = Arc::new(notice());
    let alert = Arc::clone(&notice.alerts[0]);
    let mut webhook = Webhook::new(&config(&receiver.url()), "").unwrap();
    assert_eq!(Arc::strong_count(&alert), 2);
    tokio::select! {
        result = webhook.send(notice, now()) => panic!("{result:?}"),
        _ = is_asked.recv() => assert_eq!(Arc::strong_count(&alert), 1),
    }
}

#[tokio::test]
async fn a_page_is_a_failure() {
    let receiver = Receiver::start(|_, _| {
        Answer::with(200, &[("Content-Type", "text/html")], "<!DOCTYPE html><title>Wi-Fi</title>")
    });
    let err = send(&config(&receiver.url()), &notice()).await.unwrap_err();
    assert_eq!((err.reason.label(), err.retry), ("response", Retry::Later));
}

#[tokio::test]
async fn a_long_answer_is_not_read_to_its_end() {
    let receiver = Receiver::start(|_, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
        Answer::Stop([head.as_bytes(), &[b'x'; 100_000]].concat())
    });
    send(&config(&receiver.url()), &notice()).await.unwrap();
}

/// Each attempt ends when its time is up, whatever the other side does.
#[tokio::test]
async fn time_is_bounded() {
    const LIMIT: Duration = Duration::from_millis(300);

    // Accepts, by the system, and never looks.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let stop = |bytes: &'static str| Receiver::start(move |_, _| Answer::Stop(bytes.into()));
    let trickle =
        Receiver::start(|_, _| Answer::Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()));
    let servers = [
        stop(""),
        stop("HTTP/1.1 200 OK\r\nContent-Le"),
        stop("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        // A body that ends when the connection does, which it does not.
        stop("HTTP/1.1 200 OK\r\n\r\nok"),
        trickle,
    ];
    let mut urls: Vec<_> = servers.iter().map(Receiver::url).collect();
    urls.push(format!("http://{}/", silent.local_addr().unwrap()));
    urls.push(format!("https://{}/", silent.local_addr().unwrap()));
    for url in urls {
        let began = Instant::now();
        let err = send(&WebhookConfig { timeout: LIMIT, ..config(&url) }, &notice()).await.unwrap_err();
        let took = began.elapsed();
        assert_eq!((err.reason.label(), err.retry), ("timeout", Retry::Later), "{url}");
        assert!(took >= LIMIT && took < LIMIT + Duration::from_secs(1), "{url}: {took:?}");
    }
}

#[tokio::test]
async fn no_answer_is_tried_again() {
    let closed = closed_address();
    let cut = Receiver::start(|_, _| Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok".into()));
    let mute = Receiver::start(|_, _| Answer::Bytes(Vec::new()));
    let noise = TcpListener::bind("127.0.0.1:0").unwrap();
    let noise_address = noise.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut stream = noise.accept().unwrap().0;
        stream.write_all(b"220 mail.example.com ESMTP\r\n").unwrap();
        drop(stream.read(&mut [0; 1024]));
    });
    for (url, reason) in [
        (format!("http://{closed}/"), "connect"),
        ("http://nowhere.invalid/".to_owned(), "connect"),
        (format!("https://{noise_address}/"), "tls"),
        (cut.url(), "response"),
        (mute.url(), "response"),
    ] {
        let err = send(&config(&url), &notice()).await.unwrap_err();
        assert_eq!((err.reason.label(), err.retry), (reason, Retry::Later), "{url}: {err}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let names = vec!["127.0.0.1".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let server = Arc::new(server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            if matches!(tls.read(&mut [0; 65_536]), Ok(1..)) {
                drop(tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (good, other) = (folder.path().join("good.pem"), folder.path().join("other.pem"));
    fs::write(&good, cert.pem()).unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(&other, stranger.cert.pem()).unwrap();
    for (tls, reason) in [
        (TlsOptions { ca_file: Some(good), ..TlsOptions::default() }, None),
        (TlsOptions { ca_file: Some(other), ..TlsOptions::default() }, Some("tls")),
        (TlsOptions { pin_sha256: vec![[7; 32]], ..TlsOptions::default() }, Some("tls")),
        (TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() }, None),
    ] {
        let answer = send(&WebhookConfig { tls, ..config(&url) }, &notice()).await;
        let presented: [u8; 32] = Sha256::digest(cert.der()).into();
        let presented = presented.map(|byte| format!("{byte:02X}")).join(":");
        if let Err(err) = &answer {
            let hint = format!("write pin_sha256 = \"{presented}\" (this is what it presented)");
            assert!(err.detail.ends_with(&hint), "{}", err.detail);
        }
        assert_eq!(answer.as_ref().err().map(|err| err.reason.label()), reason, "{answer:?}");
    }
}

/// Clients of a panel choose their names.
#[tokio::test]
async fn names_cannot_break_out() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let long = "x".repeat(10_000);
    let corpus = [
        "a\r\nX-Injected: yes\r\n\r\nbody",
        "\0\u{1}\u{7f}\u{85}",
        "<script>alert(1)</script>",
        "@everyone <!here> [a](http://b) *b* _c_ `d`",
        "\u{202e}txt.exe\u{2066}",
        "\"},{\"status\":\"firing",
        "{{ 7 * 7 }}{% for x in alerts %}",
        "用户 کاربر пользователь 🦀\u{fffd}\u{ffff}\u{10ffff}",
        "\\u0000\\",
        &long,
    ];
    let template = WebhookFormat::Template {
        template:
            r#"{"text": {{ alerts[0].labels.subject|tojson }}, "group": {{ groupLabels.subject|tojson }}}"#
                .into(),
        content_type: "application/json".into(),
    };
    let mut plain_headers = Vec::new();
    for name in ["plain"].iter().chain(&corpus) {
        let mut notice = notice();
        let alert = Arc::make_mut(&mut notice.alerts[0]);
        alert.labels.insert("subject", name);
        alert.annotations.insert("summary", name);
        notice.group_labels.insert("subject".into(), (*name).into());
        notice.group = format!("{{}}:{{subject={name:?}}}");
        for format in [WebhookFormat::Alertmanager, template.clone()] {
            let config = WebhookConfig { format, secrets: vec![KNOWN.into()], ..config(&receiver.url()) };
            send(&config, &notice).await.unwrap();
        }
        let mut requests = receiver.requests();
        let (rendered, alertmanagers) = (requests.pop().unwrap(), requests.pop().unwrap());
        let body: serde_json::Value = serde_json::from_slice(&alertmanagers.body).unwrap();
        assert_eq!(body["alerts"][0]["labels"]["subject"], *name);
        assert_eq!(body["alerts"][0]["annotations"]["summary"], *name);
        assert_eq!(body["groupLabels"]["subject"], *name);
        assert_eq!(body["groupKey"], notice.group);
        assert!(!alertmanagers.body.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')), "{name}");
        let body: serde_json::Value = serde_json::from_slice(&rendered.body).unwrap();
        assert_eq!((&body["text"], &body["group"]), (&(*name).into(), &(*name).into()));
        let headers: Vec<_> = alertmanagers.headers.iter().map(|(name, _)| name.clone()).collect();
        if plain_headers.is_empty() {
            plain_headers.clone_from(&headers);
        }
        assert_eq!(headers, plain_headers, "{name}");
    }
}

/// Collects what is logged, down to the last detail.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_is_told() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let logging = tracing::subscriber::set_default(subscriber);
    tracing::trace!("the log is heard");

    let receiver = Receiver::start(|number, _| match number {
        0 => Answer::with(500, &[("X-Echo", "canary")], "canary"),
        1 => Answer::with(302, &[("Location", "http://canary.example/canary")], "canary"),
        2 => Answer::with(410, &[], "canary"),
        3 => Answer::with(401, &[("WWW-Authenticate", "Basic realm=\"canary\"")], "canary"),
        4 => Answer::with(200, &[], "<html>canary"),
        5 => Answer::Bytes(b"HTTP/1.1 canary\r\n\r\n".into()),
        6 => Answer::Stop(b"canary".into()),
        7 => Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncanary".into()),
        8 => Answer::with(200, &[], "{\"canary\":1,\"error\":\"canary\"}"),
        _ => Answer::with(200, &[], "canary"),
    });
    let closed = closed_address();
    let full = |address: &str, scheme: &str| WebhookConfig {
        url: format!("{scheme}://canary:canary@{address}/canary?canary#canary").into(),
        secrets: vec!["canary".into()],
        github_secret: Some("canary".into()),
        authorization: Some(Authorization::Basic { username: "me".into(), password: "canary".into() }),
        headers: vec![("X-Key".into(), "canary".into())],
        timeout: Duration::from_millis(500),
        ..config("")
    };
    let address = receiver.address.to_string();
    let mut configs: Vec<_> = (0..10).map(|_| full(&address, "http")).collect();
    configs.push(full(&closed.to_string(), "http"));
    configs.push(full(&address, "https"));
    configs.push(full("canary-free.invalid", "http"));
    for (scheme, target) in [("http", "https"), ("http", "http"), ("socks5", "http"), ("socks5h", "https")] {
        let proxy = Some(format!("{scheme}://canary:canary@{closed}").into());
        configs.push(WebhookConfig { proxy, ..full("127.0.0.1:9", target) });
    }
    configs.push(WebhookConfig {
        // Fits the example, but not a notice without alerts.
        format: WebhookFormat::Template {
            template: "canary {{ alerts[0].labels.subject }}".into(),
            content_type: "text/plain".into(),
        },
        ..full(&address, "http")
    });
    let mut heard = String::new();
    let mut failures = 0;
    for (number, config) in configs.iter().enumerate() {
        let mut webhook = Webhook::new(config, EXTERNAL_URL).unwrap();
        let mut notice = notice();
        if matches!(config.format, WebhookFormat::Template { .. }) {
            notice.alerts.clear();
        } else {
            heard.push_str(&format!("{config:?}"));
        }
        let outcome = webhook.send(Arc::new(notice), now()).await;
        failures += usize::from(outcome.is_err());
        heard.push_str(&format!("{number} {outcome:?} {webhook:?}\n"));
        if let Err(err) = outcome {
            heard.push_str(&format!("{err}\n"));
        }
    }
    drop(logging);
    assert_eq!(failures, configs.len() - 1, "{heard}");
    heard.push_str(&String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    assert!(heard.contains("the log is heard"));
    let heard = heard.replace("canary-free.invalid", "");
    let place = heard
        .find("canary")
        .map(|at| heard.chars().skip(at.saturating_sub(200)).take(400).collect::<String>());
    assert_eq!(place, None);
    // Nor in another dress.
    for coded in ["Y2FuYXJ5", "bWU6Y2FuYXJ5", "Y2FuYXJ5OmNhbmFyeQ"] {
        assert!(!heard.contains(coded), "{coded}");
    }
}

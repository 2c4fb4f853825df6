//! What only a real socket shows: time limits, proxies, and that nothing secret is told.

use std::{io::Write, sync::Arc, time::Duration};

use proxymeter::{
    notify::{Receiver, Retry, chat::config::ChatConfig, webhook::config::Authorization},
    simulator::inbox::Service,
};
use tokio::time::Instant;

use super::chats::{self, BOT_TOKEN, NOW, chat, firing, notice, pager, pagerduty, room};
use crate::common::{
    canary::{self, CANARY, assert_none, canary},
    listener::closed_address,
    receiver::{self, Answer},
};

fn now() -> proxymeter::model::Moment {
    proxymeter::clock::Clock::starting_at(NOW).now()
}

async fn send(receiver: &mut Receiver) -> Result<String, proxymeter::notify::SendError> {
    receiver.send(Arc::new(notice(vec![firing("ann")])), &mut Vec::new(), now()).await
}

const CHATS: [Service; 9] = [
    Service::Telegram,
    Service::Discord,
    Service::Slack,
    Service::Feishu,
    Service::DingTalk,
    Service::WeCom,
    Service::Ntfy,
    Service::Gotify,
    Service::Bark,
];

const UNPARSED: &str = r#"{"ok":false,"error_code":400,"description":"Bad Request: can't parse entities: Unsupported start tag"}"#;

#[tokio::test]
async fn telegram_gets_plain_text_where_it_does_not_parse_the_markup() {
    let bot = receiver::Receiver::start(|_, request| {
        let is_html = String::from_utf8_lossy(&request.body).contains("parse_mode");
        if is_html { Answer::with(400, &[], UNPARSED) } else { Answer::with(200, &[], r#"{"ok":true}"#) }
    });
    let mut receiver = room(&chat(Service::Telegram, &bot.address.to_string()));
    send(&mut receiver).await.unwrap();
    let requests = bot.requests();
    assert_eq!(requests.len(), 2);
    let bodies =
        requests.iter().map(|request| serde_json::from_slice::<serde_json::Value>(&request.body).unwrap());
    let bodies: Vec<_> = bodies.collect();
    assert!(bodies[0]["text"].as_str().unwrap().starts_with("<b>home: "), "{bodies:?}");
    let plain = bodies[1]["text"].as_str().unwrap();
    assert!(plain.starts_with("home: ") && plain.contains("All alerts: https://meter.example/"), "{plain}");
    assert!(!plain.contains(['<', '&']), "{plain}");
    assert_eq!(requests[0].line, format!("POST /bot{BOT_TOKEN}/sendMessage HTTP/1.1"));

    // Not for ever.
    let stubborn = receiver::Receiver::start(|_, _| Answer::with(400, &[], UNPARSED));
    let mut receiver = room(&chat(Service::Telegram, &stubborn.address.to_string()));
    let err = send(&mut receiver).await.unwrap_err();
    assert_eq!((err.reason.label(), err.retry), ("client_error", Retry::Never));
    assert_eq!(stubborn.requests().len(), 2);
    let moving = r#"{"ok":false,"error_code":400,"parameters":{"migrate_to_chat_id":-7}}"#;
    let moving = receiver::Receiver::start(move |_, _| Answer::with(400, &[], moving));
    let mut receiver = room(&chat(Service::Telegram, &moving.address.to_string()));
    let err = send(&mut receiver).await.unwrap_err();
    assert_eq!((err.reason.label(), err.retry), ("client_error", Retry::Refused));
    assert_eq!(moving.requests().len(), 2);
}

/// Each attempt ends when its time is up, also one of several requests.
#[tokio::test]
async fn time_is_bounded() {
    const LIMIT: Duration = Duration::from_millis(400);
    let slow = receiver::Receiver::start(|number, _| {
        if number == 0 {
            std::thread::sleep(LIMIT / 2);
            return Answer::with(400, &[], UNPARSED);
        }
        Answer::Stop(Vec::new())
    });
    let silent = receiver::Receiver::start(|_, _| Answer::Stop(b"HTTP/1.1 200 OK\r\nContent-Le".into()));
    let trickle = receiver::Receiver::start(|_, _| {
        Answer::Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into())
    });
    for server in [&slow, &silent, &trickle] {
        let address = server.address.to_string();
        let config = ChatConfig { timeout: LIMIT, ..chat(Service::Telegram, &address) };
        let began = Instant::now();
        let err = send(&mut room(&config)).await.unwrap_err();
        let took = began.elapsed();
        assert_eq!((err.reason.label(), err.retry), ("timeout", Retry::Later), "{err}");
        assert!(took >= LIMIT && took < LIMIT + Duration::from_secs(1), "{took:?}");
    }
    let config = proxymeter::notify::pagerduty::config::PagerdutyConfig {
        timeout: LIMIT,
        ..pagerduty(&silent.address.to_string())
    };
    assert_eq!(send(&mut pager(&config)).await.unwrap_err().reason.label(), "timeout");
}

/// A receiver that hangs for hours holds a text in memory, and no alerts.
#[tokio::test]
async fn a_request_under_way_holds_no_alerts() {
    for service in Service::ALL {
        let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
        let server = receiver::Receiver::start(move |_, _| {
            asked.send(()).unwrap();
            Answer::Stop(Vec::new())
        });
        let notice = Arc::new(notice(vec![firing("ann")]));
        let alert = Arc::clone(&notice.alerts[0]);
        let address = server.address.to_string();
        let mut receiver = match service {
            Service::PagerDuty => pager(&pagerduty(&address)),
            _ => room(&chat(service, &address)),
        };
        let mut done = Vec::new();
        tokio::select! {
            result = receiver.send(notice, &mut done, now()) => panic!("{result:?}"),
            _ = is_asked.recv() => assert_eq!(Arc::strong_count(&alert), 1, "{service:?}"),
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = receiver::Receiver::start(|_, _| Answer::with(200, &[], "ok"));
    let location = elsewhere.url();
    let server = receiver::Receiver::start(move |_, _| Answer::with(307, &[("Location", &location)], ""));
    for service in CHATS {
        let err = send(&mut room(&chat(service, &server.address.to_string()))).await.unwrap_err();
        assert_eq!((err.reason.label(), err.retry), ("redirect", Retry::Later), "{service:?}");
    }
    assert!(elsewhere.requests().is_empty());
}

/// Telegram is blocked where many of our users live.
#[tokio::test]
async fn a_proxy_is_used_for_everything() {
    let proxy = receiver::Receiver::start(|_, request| {
        if request.line.starts_with("CONNECT") {
            Answer::status(502)
        } else {
            Answer::with(200, &[], r#"{"ok":true}"#)
        }
    });
    let by_proxy = |url: &str| ChatConfig {
        url: url.into(),
        proxy: Some(format!("http://me:secret@{}", proxy.address).into()),
        ..chat(Service::Telegram, "")
    };
    send(&mut room(&by_proxy("http://telegram.invalid"))).await.unwrap();
    let err = send(&mut room(&by_proxy("https://api.telegram.org"))).await.unwrap_err();
    assert_eq!((err.reason.label(), err.retry), ("connect", Retry::Later), "{err}");
    let lines: Vec<_> = proxy.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            format!("POST http://telegram.invalid/bot{BOT_TOKEN}/sendMessage HTTP/1.1"),
            "CONNECT api.telegram.org:443 HTTP/1.1".to_owned(),
        ]
    );
}

/// A chat all of whose secrets are canaries.
fn secretive(service: Service, scheme: &str, address: &str) -> ChatConfig {
    let plain = chat(service, address);
    let path = match service {
        Service::DingTalk => format!("robot/send?access_token={}", canary("token")),
        Service::WeCom => format!("cgi-bin/webhook/send?key={}", canary("token")),
        _ => canary("path"),
    };
    let basic = Authorization::Basic { username: "me".into(), password: canary("password").as_str().into() };
    ChatConfig {
        url: format!("{scheme}://{address}/{path}").into(),
        token: plain.token.map(|_| format!("1:{}", canary("token")).into()),
        room: plain.room.map(|_| canary("room").into()),
        secret: plain.secret.map(|_| canary("secret").into()),
        authorization: Some(basic),
        headers: vec![("x-key".into(), canary("header").into())],
        timeout: Duration::from_millis(500),
        ..chat(service, address)
    }
}

/// The login of [`secretive`], as it is sent.
fn login() -> String {
    let pair = format!("me:{}", canary("password"));
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair)
}

#[tokio::test]
async fn nothing_secret_is_told() {
    let log = canary::log();
    let mut heard = String::new();
    let answers: [fn() -> Answer; 9] = [
        || Answer::with(500, &[("X-Echo", CANARY)], CANARY),
        || Answer::with(302, &[("Location", &format!("http://x/{CANARY}"))], CANARY),
        || Answer::with(410, &[], CANARY),
        || Answer::with(401, &[("WWW-Authenticate", CANARY)], CANARY),
        || Answer::with(200, &[], &format!("<html>{CANARY}")),
        || {
            Answer::with(
                200,
                &[],
                &format!(r#"{{"code":7,"errcode":7,"errmsg":"{CANARY}","description":"{CANARY}"}}"#),
            )
        },
        || {
            let body = format!(
                r#"{{"ok":false,"description":"{CANARY}","parameters":{{"migrate_to_chat_id":-4247424742}}}}"#
            );
            Answer::with(400, &[], &body)
        },
        || Answer::Bytes(format!("HTTP/1.1 {CANARY}\r\n\r\n").into_bytes()),
        || Answer::Stop(format!("HTTP/1.1 200 OK\r\nX-Echo: {CANARY}").into_bytes()),
    ];
    let closed = closed_address().to_string();
    let greeting = receiver::Receiver::after(
        |stream| stream.write_all(CANARY.as_bytes()).unwrap(),
        |_, _| Answer::status(200),
    );
    let mut failures = 0;
    for service in Service::ALL {
        let servers: Vec<_> = answers
            .iter()
            .map(|answer| {
                let answer = *answer;
                receiver::Receiver::start(move |_, _| answer())
            })
            .collect();
        let mut receivers = Vec::new();
        let addresses = servers.iter().map(|server| ("http", server.address.to_string()));
        let addresses = addresses.chain([("http", closed.clone()), ("https", greeting.address.to_string())]);
        for (scheme, address) in addresses {
            if service == Service::PagerDuty {
                let mut config = pagerduty(&address);
                config.url = format!("{scheme}://{address}/{}", canary("path")).into();
                config.routing_key = canary("key").into();
                config.timeout = Duration::from_millis(500);
                heard += &format!("{config:?}");
                receivers.push(pager(&config));
                continue;
            }
            let config = secretive(service, scheme, &address);
            heard += &format!("{config:?}");
            receivers.push(room(&config));
            let proxy = format!("socks5h://{CANARY}:{CANARY}@{closed}");
            let proxied = ChatConfig { proxy: Some(proxy.into()), ..config };
            heard += &format!("{proxied:?}");
            receivers.push(room(&proxied));
        }
        for mut receiver in receivers {
            let outcome = send(&mut receiver).await;
            failures += usize::from(outcome.is_err());
            assert!(outcome.is_err(), "{service:?} {outcome:?}");
            heard += &format!("{outcome:?} {receiver:?} {}\n", outcome.as_ref().unwrap_err());
        }
        for wrong in ["ftp://", "", "http://\n"] {
            if service != Service::PagerDuty {
                let config = ChatConfig { url: format!("{wrong}{CANARY}").into(), ..chat(service, "x") };
                if let Err(err) = proxymeter::notify::chat::Chat::new(&config, chats::voice()) {
                    heard += &format!("{err} {err:?}");
                }
            }
        }
    }
    assert!(failures > 150, "{failures}");
    heard += &log.text();
    canary::assert_none_of(&[&login(), "4247424742"], "what is told of chats", &heard);
    assert_none("what is told of chats", &heard);
}

/// What it said is for the person who tests it, without our secrets.
#[tokio::test]
async fn what_the_server_said_has_no_secrets() {
    for service in CHATS {
        let server = receiver::Receiver::start(move |_, request| {
            let path = request.line.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let headers: String =
                request.headers.iter().map(|(name, value)| format!("{name}={value};")).collect();
            Answer::with(404, &[], &format!("\n no such {path} {headers} {body}\nsecond line"))
        });
        let config = secretive(service, "http", &server.address.to_string());
        let mut receiver = room(&config);
        assert_eq!(receiver.said(), None);
        send(&mut receiver).await.unwrap_err();
        let said = receiver.said().unwrap();
        assert!(said.starts_with("no such /") && !said.contains("second line"), "{said}");
        assert!(!said.contains(&login()), "{said}");
        assert_none("what the server said", said);
    }
}

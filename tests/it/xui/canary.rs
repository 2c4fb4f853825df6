//! Secrets go to the panel and nowhere else: not into a log at any level, an error, a report or a `Debug`.

use std::sync::atomic::{AtomicUsize, Ordering};

use proxymeter::{
    http::options::PanelUrl,
    model::{Part, Report},
    upstream::{
        Upstream,
        xui::config::{Login, Password, TotpSecret, XuiConfig},
    },
};
use serde_json::{Value, json};

use crate::common::{
    PATIENT, SHORT, at,
    canary::{self, assert_none, canary},
    read_at,
    server::{Act, Answer, Request, Server},
    xui::{BASE, PASSWORD, Panel, client, config, password, token},
};

const PARTS: [Part; 5] = [Part::System, Part::Online, Part::Nodes, Part::Outbounds, Part::Users];

/// Puts canaries wherever an answer has secrets.
fn infect(value: &mut Value) {
    const SECRET: [&str; 20] = [
        "id",
        "uuid",
        "subId",
        "password",
        "privateKey",
        "apiToken",
        "basePath",
        "lastError",
        "ip",
        "auth",
        "pass",
        "comment",
        "ipv4",
        "ipv6",
        "hostname",
        "errorMsg",
        "defaultCert",
        "defaultKey",
        "subURI",
        "webDomain",
    ];
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "lastError" => {
                        *text = format!("Get \"https://{}/status\": refused", canary("node"));
                    }
                    Value::String(text) if SECRET.contains(&key.as_str()) => *text = canary(key),
                    Value::String(text) if key == "settings" => {
                        if let Ok(mut inner) = serde_json::from_str(text) {
                            infect(&mut inner);
                            *text = inner.to_string();
                        }
                    }
                    value => infect(value),
                }
            }
        }
        Value::Array(rows) => rows.iter_mut().for_each(infect),
        _ => {}
    }
}

/// The panel with canaries in its answers.
fn infected(panel: &Panel, request: &Request) -> Answer {
    for name in [
        "server-status",
        "inbounds-list",
        "inbounds-list-slim",
        "nodes-list",
        "server-client-ips",
        "outbounds-traffic",
        "default-settings",
    ] {
        if let Some(mut answer) = panel.find(name)
            && request.header("cookie").or(request.header("authorization")).is_some()
            && panel.is_at(name, request)
        {
            infect(&mut answer);
            return Answer::json(answer.to_string());
        }
    }
    panel.answer(request)
}

fn bad_answers() -> Vec<Answer> {
    let text = canary("body");
    let headers = [("content-type", "text/html"), ("x-secret", text.as_str())];
    let mut answers: Vec<_> = [200, 301, 307, 401, 403, 404, 429, 500, 502]
        .into_iter()
        .map(|status| Answer::new(status, &headers, format!("<p>{text}")))
        .collect();
    answers.push(Answer::new(307, &[("location", &*format!("https://127.0.0.1:1/{text}"))], ""));
    for body in [
        format!("\"{text}\""),
        format!("{{\"{text}\":\"{text}\""),
        json!({"success": true, "msg": text, "obj": text}).to_string(),
        json!({"success": false, "msg": text, "obj": text}).to_string(),
        json!({"success": true, "obj": [{"email": [text], "tag": text}]}).to_string(),
        json!({"success": true, "obj": {"xray": text, "panelVersion": [text], text.clone(): text}})
            .to_string(),
        text.clone(),
    ] {
        let cookie = format!("3x-ui={}; Path=/", canary("cookie"));
        let headers = [("content-type", "application/json"), ("set-cookie", cookie.as_str())];
        answers.push(Answer::new(200, &headers, body.clone()));
        answers.push(Answer::new(403, &headers, body));
    }
    answers.push(Answer(vec![Act::Send(format!("{text}\r\n\r\n").into_bytes()), Act::Close]));
    answers.push(Answer(vec![Act::Send(format!("HTTP/0.0 307 {text}\r\n\r\n").into_bytes()), Act::Close]));
    answers
}

fn assert_discreet(report: &Report) {
    assert_none("a report", &format!("{report:?} {report:#?}"));
}

#[tokio::test]
async fn no_secret_leaves_the_client() {
    let log = canary::log();
    for name in ["alireza0-1.12.0", "2.8.11", "3.1.0", "3.6.0"] {
        let panel = Panel::of(name);
        for login in [password(), token()] {
            if matches!(login, Login::Token(_)) && !panel.has_tokens() {
                continue;
            }
            let replay = panel.clone();
            let server = Server::start(move |request| infected(&replay, request));
            let config = config(&server, login);
            assert_none("a configuration", &format!("{config:?} {config:#?}"));
            let mut client = Upstream::xui(&config, PATIENT).unwrap();
            for part in PARTS {
                let step = client.read(part, at(panel.recorded_at())).await.unwrap();
                assert_none("a step", &format!("{step:?}"));
            }
            assert_none("a client", &format!("{client:?} {client:#?}"));
            let clock = proxymeter::clock::Clock::starting_at(panel.recorded_at());
            let report = read_at(Upstream::xui(&config, PATIENT).unwrap(), clock).await;
            assert!(!report.users.list().is_empty());
            assert_discreet(&report);
        }
    }
    assert!(log.text().contains("TRACE") && log.text().contains("detected the target's system"));
    assert_none("the log", &log.text());
}

#[tokio::test]
async fn no_secret_leaves_the_client_when_everything_fails() {
    let log = canary::log();
    for bad in bad_answers() {
        for login in [password(), token()] {
            // The first request of all, one of the login, and all after the first part.
            for good in [0, 1, 2, 3, 4] {
                let (answered, bad) = (AtomicUsize::new(0), bad.clone());
                let panel = Panel::of("3.6.0");
                let replay = panel.clone();
                let server = Server::start(move |request| {
                    let nth = answered.fetch_add(1, Ordering::SeqCst);
                    if nth < good { replay.answer(request) } else { bad.clone() }
                });
                let mut client = client(&server, login.clone(), SHORT);
                for part in PARTS {
                    let Err(err) = client.read(part, at(panel.recorded_at())).await else { continue };
                    assert_none("an error", &format!("{err} {err:?} {err:#?}"));
                }
                assert_none("a client", &format!("{client:?}"));
            }
        }
    }
    assert_none("the log", &log.text());
}

#[test]
fn a_configuration_does_not_print_its_secrets() {
    let login = Login::Password(Password {
        username: "admin".into(),
        password: PASSWORD.into(),
        totp: TotpSecret::parse(&"c4naryb3rd".into()),
        login_secret: Some(canary("secret").as_str().into()),
    });
    let url = PanelUrl::parse(&format!("https://panel.example.org{BASE}")).unwrap();
    let config = XuiConfig::new(url.into(), login);
    let text = format!("{config:?} {config:#?}");
    assert_none("a configuration", &text);
    assert!(!text.contains("c4naryb3rd"));
}

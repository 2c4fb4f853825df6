//! Secrets go to the panel and nowhere else: not into a log at any level, an error, a report or a `Debug`.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use proxymeter::{
    http::options::PanelUrl,
    model::{Part, Reason, Report},
    upstream::marzban::config::{Login, MarzbanConfig},
};
use serde_json::{Value, json};

use crate::common::{
    PATIENT, RECORDED_AT, SHORT, at,
    canary::{self, assert_none, canary},
    config,
    listener::closed_address,
    panel::{TOKEN, USERS, page, recorded},
    password, read_once,
    server::{Act, Answer, Request, Server},
    upstream,
};

const PARTS: [Part; 7] =
    [Part::System, Part::Core, Part::Nodes, Part::Usage, Part::Admins, Part::Users, Part::UserNodes];

fn canary_config(origin: &str, login: Login) -> MarzbanConfig {
    let mut config = config(&format!("{origin}/{}", canary("path")), login);
    config.node_traffic_of = vec!["alice".into()];
    config
}

fn logins() -> [Login; 2] {
    [password("root", &canary("password")), Login::ApiKey(canary("key").as_str().into())]
}

/// A panel below a secret path that puts canaries wherever an answer has secrets.
fn answer(request: &Request) -> Answer {
    let (_, path) = request.path().split_once(&canary("path")).expect("the base path");
    let user = |field: &str, value: Value| {
        let mut user = recorded("user-alice");
        for secret in ["links", "proxies", "inbounds", "excluded_inbounds"] {
            user[secret] = json!([canary(secret)]);
        }
        for secret in ["subscription_url", "note", "sub_last_user_agent"] {
            user[secret] = canary(secret).into();
        }
        user["admin"]["discord_webhook"] = canary("webhook").into();
        user["admin"]["telegram_id"] = canary("telegram").into();
        user[field] = value;
        user
    };
    let body = match path {
        TOKEN => json!({"access_token": canary("token"), "token_type": "bearer"}),
        "/api/system" => recorded("system-sudo"),
        "/api/core" => json!({"version": "25.1.1", "started": true, "logs_websocket": canary("websocket")}),
        "/api/nodes" => {
            let mut nodes = recorded("nodes-sudo");
            nodes[0]["message"] = canary("message").into();
            nodes
        }
        "/api/nodes/usage" => recorded("nodes-usage-current-hour"),
        "/api/admins" => {
            let mut admins = recorded("admins-sudo");
            admins[0]["discord_webhook"] = canary("webhook").into();
            admins[0]["telegram_id"] = canary("telegram").into();
            admins
        }
        USERS => {
            let odd =
                [user("username", json!({"a": canary("name")})), user("expire", canary("expire").into())];
            let rows = [user("username", "bob".into()), odd[0].clone(), odd[1].clone()];
            return Answer::json(page(&rows, 3));
        }
        _ => recorded("user-usage-alice"),
    };
    Answer::json(body.to_string())
}

/// Everything that a body, a head or a connection may be beside good.
fn bad_answers() -> Vec<Answer> {
    let text = canary("body");
    let headers = [("content-type", "text/html"), ("x-secret", text.as_str())];
    let json_headers = [("content-type", "application/json")];
    let mut answers: Vec<_> = [200, 301, 400, 401, 403, 404, 422, 429, 500, 502]
        .into_iter()
        .map(|status| Answer::new(status, &headers, format!("<p>{text}")))
        .collect();
    answers.push(Answer::new(307, &[("location", &*format!("http://127.0.0.1:1/{text}"))], ""));
    for body in [
        format!("\"{text}\""),
        format!("{{\"{text}\":\"{text}\""),
        format!("{{\"access_token\":[\"{text}\"],\"total_user\":\"{text}\",\"users_active\":\"{text}\"}}"),
        format!(
            "{{\"access_token\":\"{text}\\n\",\"users\":\"{text}\",\"usages\":\"{text}\",\"version\":\"{text}\"}}"
        ),
        format!("[{{\"id\":\"{text}\",\"username\":[\"{text}\"],\"status\":\"{text}\"}}]"),
        text.clone(),
    ] {
        answers.push(Answer::new(200, &json_headers, body.clone()));
        answers.push(Answer::new(
            200,
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            body,
        ));
    }
    answers.push(Answer(vec![Act::Send(format!("{text}\r\n\r\n").into_bytes()), Act::Close]));
    answers.push(Answer(vec![
        Act::Send(format!("HTTP/1.1 200 {text}\r\n{text}\r\n\r\n").into_bytes()),
        Act::Close,
    ]));
    answers.push(Answer::open_ended([Act::Send(format!("{{\"a\":\"{text}").into_bytes()), Act::Hang]));
    answers
}

/// Everything that can be printed of a target is free of secrets.
fn assert_discreet(report: &Report) {
    assert_none("a report", &format!("{report:?} {report:#?}"));
}

#[tokio::test]
async fn no_secret_leaves_the_client() {
    let log = canary::log();
    for login in logins() {
        let server = Server::start(answer);
        let config = canary_config(&server.url(), login);
        assert_none("a configuration", &format!("{config:?} {config:#?}"));
        let mut client = upstream(&config, PATIENT);
        for part in PARTS {
            let step = client.read(part, at(RECORDED_AT)).await.expect("a good answer");
            assert_none("a step", &format!("{step:?}"));
        }
        assert_none("a client", &format!("{client:?} {client:#?}"));
        let report = read_once(upstream(&config, PATIENT)).await;
        assert_eq!((report.users.list().len(), report.users.unreadable().rows), (2, 1));
        assert_eq!(report.user_nodes.len(), 6);
        assert_discreet(&report);
        // They did go to the panel.
        let seen = format!("{:?}", server.requests());
        assert!(
            seen.contains(&canary("path"))
                && (seen.contains(&canary("token")) || seen.contains(&canary("key")))
        );
    }
    // Something was logged at the lowest level too, so that its silence means something.
    assert!(log.text().contains("TRACE") && log.text().contains("detected the target's system"));
    assert_none("the log", &log.text());
}

#[tokio::test]
async fn no_secret_leaves_the_client_when_everything_fails() {
    let log = canary::log();
    for bad in bad_answers() {
        for login in logins() {
            // The first request of all, or the first after the login, or all after the first part.
            for good in [0, 1, 3] {
                let (answered, bad) = (AtomicUsize::new(0), bad.clone());
                let server = Server::start(move |request| {
                    let nth = answered.fetch_add(1, Ordering::SeqCst);
                    if nth < good { answer(request) } else { bad.clone() }
                });
                let config = canary_config(&server.url(), login.clone());
                let mut client = upstream(&config, SHORT);
                for part in PARTS {
                    // A panel that takes no token is asked for another one a second later, which need not be waited for.
                    let read = client.read(part, at(RECORDED_AT));
                    let Ok(read) = tokio::time::timeout(Duration::from_millis(300), read).await else {
                        break;
                    };
                    let Err(err) = read else { continue };
                    assert_none("an error", &format!("{err} {err:?} {err:#?}"));
                    if err.reason() == Reason::Timeout {
                        break;
                    }
                }
                assert_none("a client", &format!("{client:?}"));
            }
        }
    }
    assert_none("the log", &log.text());
}

#[tokio::test]
async fn no_secret_is_in_what_is_said_of_a_failed_target() {
    let log = canary::log();
    let [bad, ..] = &bad_answers()[..] else { unreachable!() };
    let bad = bad.clone();
    let server = Server::start(move |_| bad.clone());
    let tls_at_a_plain_port = server.url().replace("http:", "https:");
    for origin in [
        server.url(),
        format!("http://{}", closed_address()),
        "http://nowhere.invalid".into(),
        tls_at_a_plain_port,
    ] {
        for login in logins() {
            let mut config = canary_config(&origin, login);
            config.endpoint.tls.insecure_skip_verify = true;
            let report = read_once(upstream(&config, SHORT)).await;
            assert_eq!(report.up, Some(false));
            assert_discreet(&report);
        }
    }
    assert!(log.text().contains("polling fails"));
    assert_none("the log", &log.text());
}

#[test]
fn an_address_that_cannot_be_read_is_not_quoted() {
    for text in
        ["https://admin:{}@panel.example.org", "https://panel.example.org/?token={}", "ftp://{}", "{}"]
    {
        let err = PanelUrl::parse(&text.replace("{}", &canary("url"))).unwrap_err();
        assert_none("an error", &format!("{err} {err:?}"));
    }
}

//! Requests by what they name as their host, by where a browser says they come from, and by unusual forms, over raw
//! sockets.

use std::{sync::Arc, time::Duration};

use proxymeter::{
    model::{ActiveAlert, ActiveAlerts, AlertState, Reading, Severity, Timestamp},
    server::config::{AccessConfig, Users},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::common::port::{Port, basic, own, users};

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends bytes, and returns everything that comes until the server closes the connection.
async fn raw(port: &Port, request: &str) -> String {
    let mut stream = port.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect(request).unwrap();
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_port_without_a_password_is_not_for_the_pages_of_other_sites() {
    let port = Port::open(AccessConfig::default()).await;
    for host in [
        "localhost",
        "LOCALHOST:10057",
        "localhost.",
        "a.localhost:1",
        "127.0.0.1",
        "127.0.0.1:10057",
        "127.9.9.9",
        "[::1]:10057",
        "192.0.2.1:80",
    ] {
        assert_eq!(status(&raw(&port, &get("/metrics", host)).await), "200", "{host}");
    }
    for host in
        ["attacker.example", "attacker.example:10057", "localhost.attacker.example", "proxymeter.example.com"]
    {
        for path in ["/", "/metrics", "/config", "/api/v1/alerts", "/nothing", "/-/reload"] {
            let answer = raw(&port, &get(path, host)).await;
            assert!(answer.starts_with("HTTP/1.1 421 Misdirected Request\r\n"), "{answer}");
            let name = host.split(':').next().unwrap();
            let what_to_do = format!("write external_url = \"http://{name}\" in [web]");
            assert!(answer.contains(&what_to_do) && !answer.contains("home"), "{answer}");
        }
        // These tell nothing, and health checks call them by any name.
        for path in ["/-/healthy", "/-/ready"] {
            assert_eq!(status(&raw(&port, &get(path, host)).await), "200", "{host} {path}");
        }
        let reload = get("/-/reload", host).replace("GET", "POST");
        assert_eq!(status(&raw(&port, &reload).await), "421");
    }
    // The host of external_url, and the name of this machine.
    port.setup.send_modify(|setup| Arc::make_mut(setup).names = vec!["proxymeter.example.com".to_owned()]);
    assert_eq!(status(&raw(&port, &get("/metrics", "Proxymeter.Example.com:10057")).await), "200");
    assert_eq!(status(&raw(&port, &get("/metrics", "attacker.example")).await), "421");
}

/// A browser has no password for the name of another site.
#[tokio::test]
async fn with_a_password_any_name_is_right() {
    let port = Port::open(own(users(&[("alice", "right")]), None)).await;
    for (header, expected) in [("X: y".to_owned(), "401"), (basic("alice", "right"), "200")] {
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: proxymeter.example.com\r\nConnection: close\r\n{header}\r\n\r\n"
        );
        assert_eq!(status(&raw(&port, &request).await), expected);
    }
}

#[tokio::test]
async fn a_request_has_one_host() {
    // With a password too, before it is looked at.
    for config in [AccessConfig::default(), own(Users::new(), Some("token"))] {
        let port = Port::open(config).await;
        for (hosts, why) in [
            ("", "The request has no Host header.\n"),
            ("Host: localhost\r\nHost: localhost\r\n", "The request has more than one Host header.\n"),
            ("Host: localhost\r\nhost: attacker.example\r\n", "The request has more than one Host header.\n"),
            ("Host:\r\n", "The Host header is empty.\n"),
            ("Host: a b\r\n", "The Host header is not a host and a port.\n"),
            ("Host: localhost:99999\r\n", "The Host header is not a host and a port.\n"),
            ("Host: localhost/path\r\n", "The Host header is not a host and a port.\n"),
            ("Host: user@localhost\r\n", "The Host header is not a host and a port.\n"),
            ("Host: localhost, localhost\r\n", "The Host header is not a host and a port.\n"),
        ] {
            for method in ["GET", "OPTIONS", "POST"] {
                let request = format!("{method} /-/healthy HTTP/1.1\r\n{hosts}\r\n");
                // The connection is closed without being asked to.
                let answer = raw(&port, &request).await;
                assert_eq!(status(&answer), "400", "{request} {answer}");
                assert!(answer.ends_with(why), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn old_and_unusual_forms_of_requests() {
    let port = Port::open(AccessConfig::default()).await;
    for (request, expected) in [
        ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
        ("OPTIONS / HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.0\r\nHost: attacker.example\r\n\r\n", "421"),
        ("GET / HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "400"),
        // A host in the target counts.
        ("GET http://localhost/-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200"),
        (
            "GET http://localhost/metrics HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n",
            "200",
        ),
        (
            "GET http://attacker.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            "421",
        ),
        ("GET http://localhost/metrics HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
        ("GET http://localhost/metrics HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n", "400"),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\nConnection: close\r\n\r\n", "404"),
    ] {
        let answer = raw(&port, request).await;
        assert_eq!(status(&answer), expected, "{request} {answer}");
    }
    // HTTP/2 is not spoken.
    let answer = raw(&port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(answer, "");
}

#[tokio::test]
async fn options_tells_the_methods_and_nothing_else() {
    let port = Port::open(AccessConfig::default()).await;
    for (target, status, allow) in [
        ("/", "200", "GET, HEAD, OPTIONS"),
        ("/metrics", "200", "GET, HEAD, OPTIONS"),
        ("/metrics/home", "200", "GET, HEAD, OPTIONS"),
        ("/targets/home/users", "200", "GET, HEAD, OPTIONS"),
        ("/-/healthy", "200", "GET, HEAD, OPTIONS"),
        ("/-/reload", "200", "POST, PUT, OPTIONS"),
        ("/api/v1/usage", "200", "GET, HEAD, OPTIONS"),
        ("/api/v1/silences", "200", "GET, HEAD, POST, OPTIONS"),
        ("/api/v1/silences/one", "200", "GET, HEAD, DELETE, OPTIONS"),
        ("*", "200", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
        ("/nothing", "404", ""),
    ] {
        let request = format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\nOrigin: http://attacker.example\r\n\
             Access-Control-Request-Method: GET\r\n\r\n"
        );
        let answer = raw(&port, &request).await;
        let header = |name: &str| {
            let mut lines = answer.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default()
        };
        assert_eq!((answer.split(' ').nth(1).unwrap(), &*header("allow")), (status, allow), "{target}");
        assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
        if status == "200" {
            assert_eq!(header("content-length"), "0");
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
}

#[tokio::test]
async fn pages_of_other_sites_neither_reload_nor_embed() {
    let port = Port::open(AccessConfig::default()).await;
    let reload = async |headers: &[&str]| port.ask("POST", "/-/reload", headers).await;
    for headers in [
        &["Sec-Fetch-Site: cross-site"][..],
        &["Sec-Fetch-Site: same-site"],
        &["sec-fetch-site: anything"],
        &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"],
        &["Origin: null"],
        &["Origin: http://localhost:10057", "Sec-Fetch-Site: same-origin"],
    ] {
        let answer = reload(headers).await;
        assert_eq!((answer.status, &*answer.body), (403, "Not for browsers.\n"), "{headers:?}");
        for (method, path) in [("POST", "/api/v1/silences"), ("DELETE", "/api/v1/silences/one")] {
            assert_eq!(port.ask(method, path, headers).await.status, 403, "{method} {headers:?}");
        }
    }
    // A reload does not happen here: a request that passes gets the answer that the exporter is stopping.
    for headers in [&[][..], &["Sec-Fetch-Site: none"], &["Sec-Fetch-Site: same-origin"]] {
        assert_eq!(reload(headers).await.status, 503, "{headers:?}");
        assert_eq!(port.ask("DELETE", "/api/v1/silences/one", headers).await.status, 503, "{headers:?}");
        // A form can only send other types than JSON.
        for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"] {
            let kind = format!("Content-Type: {kind}");
            let answer = port.ask("POST", "/api/v1/silences", &[headers, &[&kind]].concat()).await;
            assert_eq!(answer.status, 415, "{kind}: {}", answer.body);
        }
    }
    for (path, status) in
        [("/", 200), ("/metrics", 200), ("/api/v1/alerts", 200), ("/nothing", 404), ("/-/ready", 200)]
    {
        // A link on another site may lead here.
        let answer = port.ask("GET", path, &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), ["same-origin"], "{path}");
    }
}

fn alerts(count: usize) -> ActiveAlerts {
    let alert = |n: usize| ActiveAlert {
        alertname: "ProxymeterUserExpiry",
        severity: Severity::Warning,
        target: "home".into(),
        kind: "user",
        subject: format!("user-{n:05}").into(),
        step: "3d".into(),
        rule: None,
        state: AlertState::Firing,
        silenced_by: Vec::new(),
        active_since: Timestamp::from_secs(1_790_000_000),
        summary: "User expires soon.",
        reading: Reading::Ends(Timestamp::from_secs(1_790_100_000)),
    };
    ActiveAlerts::new(Vec::new(), (0..count).map(alert))
}

#[tokio::test]
async fn alerts_come_in_pages() {
    let port = Port::open(AccessConfig::default()).await;
    let ask = async |parameters: &str| {
        let answer = port.ask("GET", &format!("/api/v1/alerts{parameters}"), &[]).await;
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.header("content-type"), ["application/json"]);
        (answer.status, json, answer.body.len())
    };
    port.alerts.send_replace(Arc::new(alerts(3)));
    let (status, json, _) = ask("").await;
    let data = &json["data"];
    assert_eq!((status, data["alerts"].as_array().unwrap().len(), &data["total"]), (200, 3, &3.into()));
    assert!(data.get("next").is_none());

    port.alerts.send_replace(Arc::new(alerts(25_000)));
    let (mut subjects, mut next, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (status, json, bytes) = ask(&next).await;
        assert_eq!((status, &json["data"]["total"]), (200, &25_000.into()));
        assert!(bytes < 10_000_000, "{bytes}");
        pages += 1;
        let alerts = json["data"]["alerts"].as_array().unwrap().iter();
        subjects.extend(alerts.map(|alert| alert["labels"]["subject"].as_str().unwrap().to_owned()));
        match json["data"]["next"].as_str() {
            Some(word) => next = format!("?after={word}"),
            None => break,
        }
    }
    assert_eq!((pages, subjects.len()), (3, 25_000));
    assert!(subjects.is_sorted() && subjects[0] == "user-00000");

    for (parameters, named) in [
        ("?limit=0", "limit"),
        ("?limit=10001", "limit"),
        ("?limit=-1", "limit"),
        ("?limit=all", "limit"),
        ("?limit=", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?after=x", "after"),
        ("?limit=5&after=", "after"),
    ] {
        let (status, json, _) = ask(parameters).await;
        assert_eq!((status, &json["status"], &json["errorType"]), (400, &"error".into(), &"bad_data".into()));
        assert!(json["error"].as_str().unwrap().contains(&format!("\"{named}\"")), "{json}");
    }
    assert_eq!(ask("?limit=2&unknown=1").await.1["data"]["alerts"].as_array().unwrap().len(), 2);
}

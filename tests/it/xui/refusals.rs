//! What is wrong with a panel or its configuration has words of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    http::options::PanelUrl,
    model::{Moment, Part, Reason, Report},
    upstream::{
        Again, FetchError, Scope, Upstream,
        xui::config::{Login, XuiConfig},
    },
};

use super::recorded::read;
use crate::common::{
    PATIENT, at,
    canary::assert_none,
    server::{Act, Answer, Server},
    xui::{BASE, PANELS, Panel, client, config, password, token},
};

async fn failure(panel: &Panel, server: &Server, login: Login) -> FetchError {
    let mut upstream = client(server, login, PATIENT);
    let err = upstream.read(Part::System, at(panel.recorded_at())).await.unwrap_err();
    assert_none("an error", &format!("{err} {err:?}"));
    err
}

#[tokio::test]
async fn a_wrong_base_path_is_no_wrong_login() {
    for name in PANELS {
        let panel = Panel::of(name);
        let server = panel.clone().start();
        for login in [password(), token()] {
            let mut config = config(&server, login);
            config.endpoint.url = PanelUrl::parse(&format!("{}/elsewhere", server.url())).unwrap();
            let mut upstream = Upstream::xui(&config, PATIENT).unwrap();
            let err = upstream.read(Part::System, at(panel.recorded_at())).await.unwrap_err();
            assert_eq!(err.reason(), Reason::NotFound, "{name}");
            assert!(err.to_string().contains("webBasePath"), "{err}");
            assert_eq!(upstream.take_notes().logins, 0);
        }
    }
}

#[tokio::test]
async fn a_wrong_token_is_one_whatever_the_status() {
    for name in PANELS {
        let panel = Panel::of(name);
        let server = panel.clone().start();
        let err = failure(&panel, &server, Login::Token("wrong".into())).await;
        let (scope, reason, words) = match panel.has_tokens() {
            true => (Scope::Login, Reason::Auth, "check the API token"),
            false => (Scope::Target, Reason::NotFound, "no API tokens"),
        };
        assert_eq!((err.scope(), err.reason()), (scope, reason), "{name}: {err}");
        assert!(err.to_string().contains(words), "{name}: {err}");
        // Without a login, and with no cookie.
        assert_eq!(server.requests_for(&format!("{BASE}/login")).len(), 0);
        assert!(server.requests().iter().all(|request| request.header("cookie").is_none()));
    }
}

#[tokio::test]
async fn a_domain_that_is_not_the_panels_is_named() {
    for name in ["2.8.11", "3.6.0", "alireza0-1.12.0"] {
        let panel = Panel::of(name);
        let replay = panel.clone();
        let server = Server::start(move |_| replay.replay("web-domain-mismatch"));
        for login in [password(), token()] {
            let err = failure(&panel, &server, login).await;
            assert_eq!(err.reason(), Reason::Forbidden, "{name}");
            assert!(err.to_string().contains("webDomain"), "{err}");
        }
    }
}

#[tokio::test]
async fn a_page_of_something_in_front_is_no_setting_of_the_panel() {
    for name in ["2.8.11", "3.6.0"] {
        let panel = Panel::of(name);
        let html = [("content-type", "text/html")];
        let firewall = Server::start(move |_| Answer::new(403, &html, "<h1>Forbidden</h1>"));
        for login in [password(), token()] {
            let err = failure(&panel, &firewall, login).await;
            assert_eq!(err.reason(), Reason::ClientError, "{name}");
            assert!(!err.to_string().contains("webDomain"), "{err}");
        }
        // It says how long to wait.
        for status in [429, 503] {
            let wait = Answer::new(status, &[("retry-after", "600")], "");
            let server = Server::start(move |_| wait.clone());
            let err = failure(&panel, &server, password()).await;
            assert_eq!(err.again, Again::NotBefore(Duration::from_secs(600)), "{name} {status}");
        }
    }
}

#[tokio::test]
async fn a_base_path_that_looks_like_a_page_is_named_where_no_panel_is() {
    let panel = Panel::of("3.6.0");
    let server = panel.clone().start();
    let url = PanelUrl::parse(&format!("{}/elsewhere/", server.url())).unwrap();
    let config = XuiConfig::new(url.into(), password());
    let mut upstream = Upstream::xui(&config, PATIENT).unwrap();
    let err = upstream.read(Part::System, at(panel.recorded_at())).await.unwrap_err();
    assert_eq!(err.reason(), Reason::NotFound);
    assert!(err.to_string().contains("write that twice"), "{err}");
}

#[tokio::test]
async fn tls_asked_without_tls_is_named() {
    let raw = b"HTTP/0.0 307 Temporary Redirect\r\nLocation: https://c4naryb1rd/\r\n\r\n".to_vec();
    let server = Server::start(move |_| Answer(vec![Act::Send(raw.clone()), Act::Close]));
    let panel = Panel::of("3.6.0");
    for login in [password(), token()] {
        let err = failure(&panel, &server, login).await;
        assert_eq!(err.reason(), Reason::Tls);
        assert!(err.to_string().contains("https://"), "{err}");
    }
}

#[tokio::test]
async fn a_redirect_to_https_is_named() {
    let server = Server::start(|_| Answer::new(301, &[("location", "https://c4naryb1rd/")], ""));
    let panel = Panel::of("3.6.0");
    for login in [password(), token()] {
        let err = failure(&panel, &server, login).await;
        assert_eq!(err.reason(), Reason::Redirect);
        assert!(err.to_string().contains("https://"), "{err}");
    }
}

#[tokio::test]
async fn a_page_in_place_of_json_is_named() {
    for name in ["2.8.11", "3.6.0"] {
        let panel = Panel::of(name);
        let replay = panel.clone();
        let server = panel.clone().with(panel.status_path(), move || replay.replay("base-page"));
        let err = failure(&panel, &server, password()).await;
        assert_eq!(err.reason(), Reason::NotJson, "{name}");
        assert!(err.to_string().contains("page instead of JSON"), "{err}");
    }
}

#[tokio::test]
async fn digits_that_are_missing_are_named() {
    for name in ["2.8.11", "3.6.0"] {
        let panel = Panel::of(name);
        let replay = Arc::new(panel.clone());
        let server = Server::start(move |request| match request.path().strip_prefix(BASE) {
            Some("/login") => replay.replay("login-2fa-missing"),
            Some("/getTwoFactorEnable") => replay.replay("2fa-enabled-true"),
            _ => replay.answer(request),
        });
        let err = failure(&panel, &server, password()).await;
        assert_eq!(err.reason(), Reason::Auth, "{name}");
        assert!(err.to_string().contains("totp_secret, which is missing"), "{err}");
        // The panel would write the password to its log.
        assert!(server.requests().iter().all(|request| !request.path().ends_with("/login")), "{name}");
    }
}

/// 3x-ui 2.5 to 2.6 and alireza0 1.8.9 to 1.9.1 answer so for paths that they do not have, where the answer would be
/// compressed.
fn empty_page() -> Answer {
    Answer::new(200, &[("content-type", "text/plain")], "")
}

#[tokio::test]
async fn an_empty_page_is_a_path_that_the_panel_does_not_have() {
    for name in ["2.6.8", "alireza0-1.12.0"] {
        let panel = Panel::of(name);
        let replay = panel.clone();
        let server = Server::start(move |request| match replay.answer(request) {
            answer if answer.is_status(404) => empty_page(),
            answer => answer,
        });
        let report = read(&panel, &server, false).await;
        assert_eq!(report.up, Some(true), "{name} {:?}", report.parts);
        let expected = read(&panel, &panel.clone().start(), false).await;
        assert_eq!(report.identity, expected.identity);
        assert!(report.parts.keys().eq(expected.parts.keys()), "{name}");
        assert_eq!(report.users.list().len(), expected.users.list().len());
        // No panel is there at all.
        let nothing = Server::start(|_| empty_page());
        let err = failure(&panel, &nothing, password()).await;
        assert_eq!(err.reason(), Reason::NotFound, "{err}");
        assert_eq!(nothing.requests().len(), 2, "the password is not sent");
    }
}

#[tokio::test]
async fn another_system_is_no_panel_of_this_family() {
    let panel = Panel::of("2.8.11");
    for body in [r#"{"detail":"Not authenticated"}"#, r#"{"success":true,"obj":{"version":"1"}}"#] {
        let server = panel.clone().with(panel.status_path(), move || Answer::json(body));
        let err = failure(&panel, &server, password()).await;
        assert_eq!(err.reason(), Reason::Decode);
        assert!(err.to_string().contains("x-ui family"), "{err}");
    }
}

#[tokio::test]
async fn another_version_has_other_routes() {
    // A panel that is updated from 3.0.2 to 3.1.0 while it is watched moves the list of those online.
    let (old, new) = (Panel::of("3.0.2"), Panel::of("3.1.0"));
    let updated = Arc::new(AtomicBool::new(false));
    let (switch, before, after) = (Arc::clone(&updated), old.clone(), new.clone());
    let server = Server::start(move |request| match switch.load(Ordering::SeqCst) {
        false => before.answer(request),
        true => after.answer(request),
    });
    let mut upstream = client(&server, password(), PATIENT);
    let now = at(old.recorded_at());
    for part in [Part::System, Part::Online, Part::Users] {
        upstream.read(part, now).await.unwrap();
    }
    updated.store(true, Ordering::SeqCst);
    let now = at(new.recorded_at());
    for part in [Part::System, Part::Online, Part::Users, Part::Outbounds] {
        upstream.read(part, now).await.unwrap();
    }
    let asked = |path: &str| server.requests_for(&format!("{BASE}{path}")).len();
    assert_eq!(asked("/panel/api/clients/onlines"), 2);
    assert_eq!(asked("/panel/api/inbounds/list/slim"), 2);
    assert_eq!(asked("/login"), 1);
}

#[tokio::test]
async fn a_panel_that_does_not_answer_for_traffic_is_not_asked_for_probes() {
    for (answer, asks) in [
        (Answer::status(502), 0),
        (Answer::status(429), 0),
        (Answer(vec![Act::Close]), 0),
        (Answer::status(500), 1),
        (Answer::new(403, &[], ""), 1),
    ] {
        let words = format!("{answer:?}");
        let panel = Panel::of("3.6.0");
        let server = panel.clone().with("/panel/api/xray/getOutboundsTraffic", move || answer.clone());
        let mut upstream = client(&server, token(), PATIENT);
        let now = at(panel.recorded_at());
        upstream.read(Part::System, now).await.unwrap();
        assert!(upstream.read(Part::Outbounds, now).await.is_err(), "{words}");
        let asked = server.requests_for(&format!("{BASE}/panel/api/server/xrayObservatory")).len();
        assert_eq!(asked, asks, "{words}");
    }
}

#[tokio::test]
async fn an_optional_request_that_fails_does_not_cost_the_users() {
    let panel = Panel::of("3.6.0");
    let optional = ["/panel/api/server/clientIps", "/panel/api/inbounds/list"];
    for answer in [Answer::status(502), Answer::new(403, &[], ""), Answer(vec![Act::Close])] {
        let words = format!("{answer:?}");
        let replay = panel.clone();
        let server = Server::start(move |request| {
            let path = request.path().strip_prefix(BASE).unwrap();
            if optional.contains(&path) { answer.clone() } else { replay.answer(request) }
        });
        let mut upstream = client(&server, token(), PATIENT);
        let now = at(panel.recorded_at());
        upstream.read(Part::System, now).await.unwrap();
        for _ in 0..2 {
            while !upstream.read(Part::Users, now).await.unwrap().done.contains(&Part::Users) {}
        }
        let asked: Vec<_> =
            optional.iter().map(|path| server.requests_for(&format!("{BASE}{path}")).len()).collect();
        // A GET on a connection that is closed is sent once more.
        assert!(asked.iter().all(|times| (1..=2).contains(times)), "{words} {asked:?}");
        // The first shows that it lacks the plans, which are read before the next.
        assert_eq!(server.requests_for(&format!("{BASE}/panel/api/inbounds/list/slim")).len(), 3, "{words}");
    }
}

#[tokio::test]
async fn an_optional_request_that_fails_takes_back_nothing() {
    let optional = ["/panel/api/server/clientIps", "/panel/api/inbounds/list"];
    let denied = r#"{"success":false,"msg":"not permitted"}"#;
    let denied = Answer::new(403, &[("content-type", "application/json")], denied);
    for (answer, stays) in [
        (Answer::status(500), true),
        (Answer::status(502), true),
        (Answer::json(r#"{"success":true,"obj":7}"#), true),
        (Answer(vec![Act::Close]), true),
        (denied, false),
    ] {
        let words = format!("{answer:?}");
        let panel = Panel::of("3.6.0");
        let fails = Arc::new(AtomicBool::new(false));
        let (replay, switch) = (panel.clone(), Arc::clone(&fails));
        let server = Server::start(move |request| {
            let path = request.path().strip_prefix(BASE).unwrap();
            let is_hit = switch.load(Ordering::SeqCst) && optional.contains(&path);
            if is_hit { answer.clone() } else { replay.answer(request) }
        });
        let mut upstream = client(&server, token(), PATIENT);
        let start = at(panel.recorded_at());
        let mut report = Report::new("home");
        let mut known = Vec::new();
        let asked = |path: &str| server.requests_for(&format!("{BASE}{path}")).len();
        // Within an hour and a half; it fails from the second reading of the plans on, until the last.
        for (minute, is_down) in [(0, false), (1, false), (61, true), (62, true), (75, false)] {
            fails.store(is_down, Ordering::SeqCst);
            // The panel's clock stands still, so its addresses stay in use.
            let now = Moment { uptime: Duration::from_secs(60 * minute), ..start };
            let before = optional.map(asked);
            upstream.read(Part::System, now).await.unwrap();
            loop {
                let step = upstream.read(Part::Users, now).await.unwrap();
                step.facts.into_iter().for_each(|fact| report.merge(fact, now));
                if step.done.contains(&Part::Users) {
                    break;
                }
            }
            let users = report.users.list().iter();
            let some = users
                .filter(|user| user.extra.devices.is_some() || user.extra.devices_limit.is_some())
                .count();
            known.push(some);
            let reads: Vec<_> =
                optional.iter().zip(before).map(|(path, before)| asked(path) > before).collect();
            // What failed is read again after some minutes, but not at once.
            let is_due = minute != 1 && minute != 62;
            let expected = if stays { [is_due, is_due] } else { [is_due, is_due && minute != 75] };
            assert_eq!(reads, expected, "{words} after {minute} min");
        }
        assert!(known[0] > 1, "{words} {known:?}");
        let expected = if stays { [known[0]; 5] } else { [known[0], known[0], 0, 0, known[4]] };
        assert_eq!(known[..], expected, "{words}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_behind_a_page_is_named() {
    let panel = Panel::of("3.6.0");
    let page = || Answer::new(401, &[("content-type", "text/html")], "<h1>401</h1>");
    let server = panel.clone().with(panel.status_path(), page);
    let err = failure(&panel, &server, token()).await;
    assert_eq!(err.reason(), Reason::Auth);
    assert!(err.to_string().contains("the API token"), "{err}");
}

#[tokio::test]
async fn an_optional_request_that_demands_a_wait_is_obeyed() {
    let panel = Panel::of("3.6.0");
    let server = panel.clone().with("/panel/api/server/clientIps", || Answer::status(429));
    let mut upstream = client(&server, token(), PATIENT);
    let now = at(panel.recorded_at());
    upstream.read(Part::System, now).await.unwrap();
    assert_eq!(upstream.read(Part::Users, now).await.unwrap_err().reason(), Reason::RateLimited);
}

#[tokio::test]
async fn a_part_that_is_missing_for_a_moment_stays() {
    let panel = Panel::of("3.6.0");
    let is_missing = Arc::new(AtomicBool::new(false));
    let (replay, switch) = (panel.clone(), Arc::clone(&is_missing));
    let server = Server::start(move |request| {
        let is_status = request.path().ends_with("/server/status");
        if switch.load(Ordering::SeqCst) && !is_status { Answer::status(404) } else { replay.answer(request) }
    });
    let mut upstream = client(&server, token(), PATIENT);
    let start = at(panel.recorded_at());
    let has = |upstream: &Upstream, part| upstream.plan().iter().any(|planned| planned.part == part);
    let parts = [Part::Online, Part::Nodes, Part::Users];
    upstream.read(Part::System, start).await.unwrap();
    for part in parts {
        while !upstream.read(part, start).await.unwrap().done.contains(&part) {}
    }
    is_missing.store(true, Ordering::SeqCst);
    for part in parts {
        let mut read = upstream.read(part, start.after(Duration::from_secs(60))).await;
        while matches!(&read, Ok(step) if step.done.is_empty()) {
            read = upstream.read(part, start.after(Duration::from_secs(60))).await;
        }
        assert_eq!(read.unwrap_err().reason(), Reason::NotFound, "{part:?}");
        assert!(has(&upstream, part), "{part:?}");
    }
    // What stays away is no part of the panel, except for the list.
    for part in parts {
        for _ in 0..3 {
            drop(upstream.read(part, start.after(Duration::from_secs(600))).await);
        }
        assert_eq!(has(&upstream, part), part != Part::Online, "{part:?}");
    }
    // It is found again within an hour or so.
    is_missing.store(false, Ordering::SeqCst);
    for minute in 70..80 {
        upstream.read(Part::System, start.after(Duration::from_secs(minute * 60))).await.unwrap();
    }
    assert!(parts.iter().all(|part| has(&upstream, *part)));
}

#[tokio::test]
async fn a_token_that_is_never_accepted_costs_one_part() {
    let panel = Panel::of("3.6.0");
    let server = panel.clone().with("/panel/api/clients/onlines", || Answer::new(403, &[], ""));
    let mut upstream = client(&server, password(), PATIENT);
    let now = at(panel.recorded_at());
    upstream.read(Part::System, now).await.unwrap();
    let err = upstream.read(Part::Online, now).await.unwrap_err();
    assert_eq!((err.scope(), err.reason()), (Scope::Part, Reason::Forbidden));
    assert!(err.to_string().contains("X-CSRF-Token"), "{err}");
}

//! How rarely the client logs in: each login is a message in the operator's chat, and five bad ones lock the account out.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    clock::Clock,
    model::{Fact, Moment, Part, Reason},
    simulator::xui::{Fault, Generation, Options, Times},
    upstream::{Again, Scope, Step, Upstream},
};

use super::{quirks::Moved, simulated};
use crate::common::{
    PATIENT, SHORT,
    listener::closed_address,
    server::{Act, Answer, Server},
    xui::{BASE, CSRF, LOGIN, PANELS, Panel, client, password, token, with_password},
};

/// So many seconds after the recording.
fn after(panel: &Panel, seconds: u64) -> Moment {
    let uptime = Duration::from_secs(1 + seconds);
    Moment { wall: panel.recorded_at().saturating_add(uptime), uptime }
}

/// Where a redirect leads that no client may follow.
const FOLLOWED: &str = "/c4naryb1rd-base/followed";

fn logins(server: &Server) -> usize {
    server.requests_for(LOGIN).len()
}

/// Polls the status and who is online a thousand times, whatever comes, twice a minute.
async fn poll_a_thousand_times(upstream: &mut Upstream, panel: &Panel, mut meanwhile: impl FnMut(u64)) {
    for poll in 0..1000 {
        meanwhile(poll);
        for part in [Part::System, Part::Online] {
            drop(upstream.read(part, after(panel, poll * 30)).await);
        }
    }
}

#[tokio::test]
async fn a_byte_order_mark_costs_no_login() {
    for name in ["2.8.11", "3.6.0"] {
        let panel = Panel::of(name);
        let (replay, cookie) = (panel.clone(), panel.set_cookie());
        let server = Server::start(move |request| {
            let headers = [("content-type", "application/json"), ("set-cookie", cookie.as_str())];
            match request.path().strip_prefix(BASE) {
                Some("/csrf-token") if replay.has_tokens() => {
                    Answer::new(200, &headers, format!("\u{feff}{{\"obj\":\"{CSRF}\",\"success\":true}}"))
                }
                Some("/login") => Answer::new(200, &headers, "\u{feff}{\"success\":true}"),
                _ => replay.answer(request),
            }
        });
        let mut upstream = client(&server, password(), PATIENT);
        upstream.read(Part::System, after(&panel, 0)).await.unwrap();
        upstream.read(Part::Online, after(&panel, 1)).await.unwrap();
        assert_eq!(logins(&server), 1, "{name}");
    }
}

#[tokio::test]
async fn a_thousand_polls_are_one_login() {
    for name in PANELS {
        let panel = Panel::of(name);
        let server = panel.clone().start();
        let mut upstream = client(&server, password(), PATIENT);
        poll_a_thousand_times(&mut upstream, &panel, |_| {}).await;
        assert_eq!((logins(&server), upstream.take_notes().logins), (1, 1), "{name}");
        // A token needs none.
        if panel.has_tokens() {
            let mut upstream = client(&server, token(), PATIENT);
            upstream.read(Part::System, after(&panel, 0)).await.unwrap();
            assert_eq!(logins(&server), 1, "{name}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_ever_more_rarely() {
    for name in PANELS {
        let panel = Panel::of(name);
        let server = panel.clone().start();
        let mut upstream = client(&server, with_password("c4naryb1rd-wrong"), PATIENT);
        let err = upstream.read(Part::System, after(&panel, 0)).await.unwrap_err();
        let quarter = Duration::from_secs(15 * 60);
        assert_eq!(err.again, Again::WhenChanged { at_latest: quarter }, "{name}");
        assert_eq!((err.scope(), err.reason()), (Scope::Login, Reason::Auth), "{name}: {err}");
        poll_a_thousand_times(&mut upstream, &panel, |_| {}).await;
        // Within 8 hours and 20 minutes: after 0, 15, 45, 105, 225 and 465 minutes.
        assert_eq!(logins(&server), 6, "{name}");
    }
}

#[tokio::test]
async fn a_lost_session_is_replaced_once_and_then_rarely() {
    for name in PANELS {
        let redirect = Answer::new(307, &[("location", FOLLOWED)], "");
        // A proxy in front may put a page of its own in place of what the panel says.
        let page = Answer::new(401, &[("content-type", "text/html")], "<h1>401</h1>");
        for lost in [Answer::new(401, &[], ""), page, Answer::new(404, &[], ""), redirect] {
            let panel = Panel::of(name);
            let is_lost = Arc::new(AtomicBool::new(false));
            let (replay, switch, words) = (panel.clone(), Arc::clone(&is_lost), format!("{name} {lost:?}"));
            let server = Server::start(move |request| {
                let path = request.path().strip_prefix(BASE).unwrap();
                match ["/", "/login", "/csrf-token"].contains(&path) {
                    false if switch.load(Ordering::SeqCst) => lost.clone(),
                    _ => replay.answer(request),
                }
            });
            let mut upstream = client(&server, password(), PATIENT);
            upstream.read(Part::System, after(&panel, 0)).await.unwrap();
            // One that works again after a login of its own.
            is_lost.store(true, Ordering::SeqCst);
            drop(upstream.read(Part::System, after(&panel, 7200)).await);
            assert_eq!(logins(&server), 2, "{words}");
            is_lost.store(false, Ordering::SeqCst);
            upstream.read(Part::System, after(&panel, 7230)).await.unwrap();
            assert_eq!(logins(&server), 2, "{words}");
            // One that never does.
            is_lost.store(true, Ordering::SeqCst);
            for poll in 0..1000 {
                assert!(upstream.read(Part::System, after(&panel, 7260 + poll * 30)).await.is_err());
            }
            // After 15, 45, 105, 225 and 465 minutes.
            assert_eq!(logins(&server), 7, "{words}");
            assert!(server.requests_for(FOLLOWED).is_empty());
        }
    }
}

/// The generation that a step shows.
fn generation(step: &Step) -> Option<&str> {
    step.facts.iter().find_map(|fact| match fact {
        Fact::Identity(identity) => Some(&*identity.generation),
        _ => None,
    })
}

#[tokio::test]
async fn a_new_login_changes_nothing_that_is_known() {
    for of in Generation::ALL {
        // 1.7 shows what it is by the route of its list alone, which is found again with the list.
        if of == Generation::V1_7 {
            continue;
        }
        for loser in [Part::System, Part::Online, Part::Outbounds, Part::Users] {
            let mut moved = Moved::of(of).await;
            let parts = [Part::System, Part::Nodes, Part::Online, Part::Outbounds, Part::Users];
            for part in parts {
                while moved.has(part) && !moved.read(part).await.done.contains(&part) {}
            }
            if !moved.has(loser) {
                continue;
            }
            let known = moved.read(Part::System).await;
            let plan = moved.upstream.plan();
            let has_online = moved.has(Part::Online);
            let online = if has_online { moved.online().await } else { HashSet::new() };
            moved.panel.expire_sessions();
            let words = format!("{of:?} {loser:?}");
            let step = moved.read(loser).await;
            assert_eq!(moved.panel.logins(), 2, "{words}");
            if loser == Part::System {
                assert_eq!(generation(&step), generation(&known), "{words}");
            }
            assert!(plan.iter().all(|planned| moved.has(planned.part)), "{words} {plan:?}");
            if has_online {
                let facts = moved.read(Part::Online).await.facts;
                let names = facts.into_iter().find_map(|fact| match fact {
                    Fact::Online(names) => Some(names.iter().map(ToString::to_string).collect()),
                    _ => None,
                });
                assert_eq!(names, Some(online), "{words}");
            }
            assert_eq!(generation(&moved.read(Part::System).await), generation(&known), "{words}");
            assert_eq!(moved.panel.logins(), 2, "{words}");
        }
    }
}

#[tokio::test]
async fn an_old_panel_says_in_words_alone_that_the_session_ended() {
    // vaxilu's: 200 and `success: false` without a session, whose cookie is called `session`.
    let ended = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&ended);
    let panel = Panel::of("2.6.8");
    let status = panel.read("server-status").to_string();
    let server = Server::start(move |request| {
        let path = request.path().strip_prefix(BASE).unwrap();
        let cookie = [("content-type", "application/json"), ("set-cookie", "session=c4naryb1rd; Path=/")];
        match path {
            "/" => Answer::new(200, &[("content-type", "text/html")], "<p>login"),
            "/login" => {
                switch.store(false, Ordering::SeqCst);
                Answer::new(200, &cookie, r#"{"success":true,"msg":"登录成功","obj":null}"#)
            }
            "/server/status" if switch.load(Ordering::SeqCst) => {
                Answer::json(r#"{"success":false,"msg":"登录时效已过，请重新登录","obj":null}"#)
            }
            "/server/status" => Answer::json(status.clone()),
            _ => Answer::new(404, &[], ""),
        }
    });
    let mut upstream = client(&server, password(), PATIENT);
    upstream.read(Part::System, after(&panel, 0)).await.unwrap();
    ended.store(true, Ordering::SeqCst);
    upstream.read(Part::System, after(&panel, 7200)).await.unwrap();
    assert_eq!(logins(&server), 2);
}

#[tokio::test]
async fn a_route_that_always_fails_is_no_lost_session() {
    // An old panel answers a failure of its own like a lost session.
    let options = Options { generation: Generation::Vaxilu, ..Options::default() };
    let (panel, url) = simulated::serve(&options, &Arc::default()).await;
    panel.wire.fail("/xui/inbound/list", Fault::Status(200), Times::Always);
    let mut upstream = simulated::client(&url, simulated::password(&options));
    let start = Clock::system().now();
    for poll in 0..1000_u32 {
        let now = start.after(Duration::from_secs(30) * poll);
        upstream.read(Part::System, now).await.unwrap();
        assert!(upstream.read(Part::Users, now).await.is_err());
    }
    assert_eq!(panel.logins(), 2);
    panel.wire.heal();
    let now = start.after(Duration::from_secs(30_030));
    upstream.read(Part::Users, now).await.unwrap();
    // The session that ends now is replaced all the same.
    panel.expire_sessions();
    upstream.read(Part::Users, now.after(Duration::from_secs(30))).await.unwrap();
    assert_eq!(panel.logins(), 3);
    // Something in front of the panel refuses one path.
    for refusal in [Answer::new(401, &[], ""), Answer::new(307, &[("location", FOLLOWED)], "")] {
        let panel = Panel::of("3.6.0");
        let server = panel.clone().with("/panel/api/nodes/list", move || refusal.clone());
        let mut upstream = client(&server, password(), PATIENT);
        for poll in 0..300 {
            let now = after(&panel, poll * 120);
            upstream.read(Part::System, now).await.unwrap();
            let err = upstream.read(Part::Nodes, now).await.unwrap_err();
            upstream.read(Part::Online, now).await.unwrap();
            assert!(poll == 0 || err.scope() == Scope::Part, "{err}");
        }
        assert_eq!(logins(&server), 2);
        assert!(server.requests_for(FOLLOWED).is_empty());
    }
}

#[tokio::test]
async fn a_session_outlives_restarts_of_the_panel() {
    for generation in Generation::ALL {
        let options = Options { generation, ..Options::default() };
        let ahead = Arc::default();
        let (panel, url) = simulated::serve(&options, &ahead).await;
        let mut upstream = simulated::client(&url, simulated::password(&options));
        let start = Clock::system().now();
        for hour in 0..12 {
            ahead.store(i64::from(hour) * 3_600_000, Ordering::SeqCst);
            upstream.read(Part::System, start.after(Duration::from_secs(3600) * hour)).await.unwrap();
            panel.restart_panel();
            ahead.fetch_add(10_000, Ordering::SeqCst);
        }
        assert_eq!(panel.logins(), 1, "{generation:?}");
    }
}

#[tokio::test]
async fn a_session_that_was_lost_behind_a_page_of_404_is_replaced() {
    for generation in Generation::ALL {
        let options = Options { generation, ..Options::default() };
        let (panel, url) = simulated::serve(&options, &Arc::default()).await;
        let mut upstream = simulated::client(&url, simulated::password(&options));
        let start = Clock::system().now();
        let minutes = |minutes: u64| start.after(Duration::from_secs(60 * minutes));
        upstream.read(Part::System, start).await.unwrap();
        panel.wire.fail("/", Fault::Status(404), Times::Always);
        for minute in 1..60 {
            assert!(upstream.read(Part::System, minutes(minute)).await.is_err());
        }
        panel.expire_sessions();
        panel.wire.heal();
        let mut back = 60;
        while upstream.read(Part::System, minutes(back)).await.is_err() {
            back += 1;
            assert!(back < 120, "{generation:?}");
        }
        assert!(panel.logins() <= 3, "{generation:?} {}", panel.logins());
    }
}

#[tokio::test]
async fn another_configuration_logs_in_at_once() {
    let panel = Panel::of("3.6.0");
    let server = panel.clone().start();
    let mut upstream = client(&server, with_password("c4naryb1rd-wrong"), PATIENT);
    for seconds in [0, 30] {
        assert!(upstream.read(Part::System, after(&panel, seconds)).await.is_err());
    }
    assert_eq!(logins(&server), 1);
    let mut upstream = client(&server, password(), PATIENT);
    upstream.read(Part::System, after(&panel, 31)).await.unwrap();
    assert_eq!(logins(&server), 2);
}

#[tokio::test]
async fn a_login_that_fails_for_whatever_reason_is_paced_like_a_refused_one() {
    let html = Answer::new(200, &[("content-type", "text/html")], "<title>Welcome</title>");
    let cases = [
        (Answer::status(401), Reason::Auth),
        (Answer::new(403, &[], ""), Reason::ClientError),
        (Answer::status(500), Reason::ServerError),
        (html, Reason::NotJson),
        (Answer::status(404), Reason::NotFound),
        (Answer::json("{}"), Reason::NotJson),
        (Answer::json(r#"{"success":true}"#), Reason::Decode),
        (Answer(vec![Act::Hang]), Reason::Timeout),
        (Answer(vec![Act::Close]), Reason::Interrupted),
    ];
    for (answer, reason) in cases {
        let words = format!("{answer:?}");
        // 2.8 gives no cookie before the login.
        let panel = Panel::of("2.8.11");
        let server = panel.clone().with("/login", move || answer.clone());
        let mut upstream = client(&server, password(), SHORT);
        let err = upstream.read(Part::System, after(&panel, 0)).await.unwrap_err();
        let wait = Again::WhenChanged { at_latest: Duration::from_secs(900) };
        assert_eq!((err.scope(), err.again, err.reason()), (Scope::Login, wait, reason), "{words}");
        drop(upstream.read(Part::System, after(&panel, 60)).await);
        assert_eq!((logins(&server), upstream.take_notes().logins), (1, 1), "{words}");
    }
}

#[tokio::test]
async fn what_never_reaches_the_login_is_none() {
    let panel = Panel::of("3.6.0");
    let server = Server::start(|_| Answer::status(502));
    let mut upstream = client(&server, password(), PATIENT);
    let err = upstream.read(Part::System, after(&panel, 0)).await.unwrap_err();
    assert_eq!((err.scope(), err.again), (Scope::Target, Again::Usual), "{err}");
    assert_eq!(upstream.take_notes().logins, 0);
    let mut config = crate::common::xui::config(&server, password());
    let url = format!("http://{}{BASE}", closed_address());
    config.endpoint.url = proxymeter::http::options::PanelUrl::parse(&url).unwrap();
    let mut upstream = Upstream::xui(&config, PATIENT).unwrap();
    let err = upstream.read(Part::System, after(&panel, 0)).await.unwrap_err();
    assert_eq!((err.reason(), err.again), (Reason::Connect, Again::Usual), "{err}");
}

#[tokio::test]
async fn a_post_without_its_token_is_repaired_without_a_login() {
    let panel = Panel::of("3.6.0");
    let replay = panel.clone();
    let refuses = AtomicBool::new(true);
    let server = Server::start(move |request| {
        let is_online = request.path().ends_with("/clients/onlines");
        match is_online && refuses.swap(false, Ordering::SeqCst) {
            true => Answer::new(403, &[], ""),
            false => replay.answer(request),
        }
    });
    let mut upstream = client(&server, password(), PATIENT);
    for part in [Part::System, Part::Online] {
        upstream.read(part, after(&panel, 0)).await.unwrap();
    }
    assert_eq!(logins(&server), 1);
    assert_eq!(server.requests_for(&format!("{BASE}/csrf-token")).len(), 2);
}

#[tokio::test]
async fn what_the_configuration_lacks_is_no_refused_login() {
    for (generation, words) in [
        (Generation::V1_7, "login_secret, which is missing"),
        (Generation::V2_8, "totp_secret, which is missing"),
    ] {
        let options = Options {
            generation,
            login_secret: (generation == Generation::V1_7).then(|| "old-secret".to_owned()),
            totp_secret: (generation == Generation::V2_8).then(|| "GEZDGNBVGY3TQOJQ".to_owned()),
            ..Options::default()
        };
        let (panel, url) = simulated::serve(&options, &Arc::default()).await;
        let bare = Options { login_secret: None, totp_secret: None, ..options };
        let mut upstream = simulated::client(&url, simulated::password(&bare));
        let start = Clock::system().now();
        for minute in 0..180 {
            let now = start.after(Duration::from_secs(60 * minute));
            let err = upstream.read(Part::System, now).await.unwrap_err();
            assert!(err.to_string().contains(words), "{generation:?} {err}");
            let left = Duration::from_secs(60 * (15 - minute % 15));
            assert_eq!(err.again, Again::WhenChanged { at_latest: left }, "{generation:?} {minute}");
        }
        assert_eq!((panel.logins(), panel.refused_logins()), (0, 0), "{generation:?}");
        assert!(panel.passwords_logged().is_empty(), "{generation:?}");
    }
}

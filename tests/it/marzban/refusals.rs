//! What a panel refuses, who refuses it, and how the client then behaves: few logins, long waits, no request too many.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    http,
    model::{Fact, Moment, Outcome, Part, Reason, Timestamp},
    upstream::{Again, Cause, FetchError, Scope, Upstream, marzban::config::Login},
};

use crate::common::{
    PATIENT, RECORDED_AT, SHORT, at, config,
    listener::closed_address,
    panel::{Panel, Role, SYSTEM, TOKEN, recorded},
    poll_until, reason,
    server::{Act, Answer, Server},
    upstream,
};

const ACCOUNT: &str = "/api/admin";

fn client(server: &Server) -> Upstream {
    upstream(&config(&server.url(), Role::Sudo.login()), PATIENT)
}

/// So many seconds after the recording.
fn after(seconds: u64) -> Moment {
    let wall = RECORDED_AT.saturating_add(Duration::from_secs(seconds));
    Moment { wall, uptime: Duration::from_secs(1 + seconds) }
}

fn said(status: u16, body: &str) -> Answer {
    Answer::new(status, &[("content-type", "application/json")], body)
}

/// The recorded panel, with something else at a path.
fn panel_with(path: &'static str, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Server {
    let panel = Panel::of(Role::Sudo);
    Server::start(move |request| if request.path() == path { answer() } else { panel.answer(request) })
}

async fn failure(upstream: &mut Upstream, part: Part, now: Moment) -> FetchError {
    upstream.read(part, now).await.unwrap_err()
}

#[tokio::test]
async fn only_the_panel_itself_says_what_an_account_may_not_read() {
    let cases = [
        (said(403, r#"{"detail":"You're not allowed"}"#), Scope::NotAllowed, Reason::Forbidden),
        (said(403, r#"{"detail":"Permission denied: nodes.read"}"#), Scope::NotAllowed, Reason::Forbidden),
        (said(403, r#"{"detail":"your account has been disabled"}"#), Scope::Login, Reason::Auth),
        (said(403, r#"{"detail":"Forbidden"}"#), Scope::Part, Reason::ClientError),
        (said(403, r#"{"error":"blocked by policy"}"#), Scope::Part, Reason::ClientError),
        (
            Answer::new(403, &[("content-type", "text/html")], "You're not allowed"),
            Scope::Part,
            Reason::ClientError,
        ),
        (Answer::status(403), Scope::Part, Reason::ClientError),
    ];
    for (answer, scope, reason) in cases {
        let words = format!("{answer:?}");
        let server = panel_with("/api/nodes", move || answer.clone());
        let mut upstream = client(&server);
        upstream.read(Part::System, at(RECORDED_AT)).await.unwrap();
        let err = failure(&mut upstream, Part::Nodes, at(RECORDED_AT)).await;
        assert_eq!((err.scope(), err.reason(), err.again), (scope, reason, Again::Usual), "{words}");
        assert_eq!(server.requests_for(TOKEN).len(), 1);
    }
}

#[tokio::test]
async fn a_panel_that_asks_to_wait_is_left_alone_for_that_long() {
    let busy = |status, wait: &'static str| Answer::new(status, &[("retry-after", wait)], "");
    let date = ("date", "Sat, 21 Nov 2026 02:23:53 GMT");
    let later = ("retry-after", "Sat, 21 Nov 2026 02:28:53 GMT");
    let cases = [
        (busy(429, "120"), Some(120)),
        (busy(429, "999999"), Some(3600)),
        (busy(429, "soon"), Some(60)),
        (Answer::new(429, &[date, later], ""), Some(300)),
        (busy(503, "120"), Some(120)),
        (Answer::status(503), None),
    ];
    for (answer, wait) in cases {
        let words = format!("{answer:?}");
        let server = panel_with("/api/core", move || answer.clone());
        let mut upstream = client(&server);
        upstream.read(Part::System, at(RECORDED_AT)).await.unwrap();
        let err = failure(&mut upstream, Part::Core, at(RECORDED_AT)).await;
        let again = wait.map_or(Again::Usual, |wait| Again::NotBefore(Duration::from_secs(wait)));
        assert_eq!((err.again, err.scope()), (again, Scope::Target), "{words}");
        assert_eq!(err.reason() == Reason::RateLimited, wait.is_some(), "{words}");
    }
}

/// How long a client waits that never got in.
const AFTER_REFUSAL: Again = Again::WhenChanged { at_latest: Duration::from_secs(15 * 60) };

#[tokio::test]
async fn a_login_that_fails_for_whatever_reason_is_paced_like_a_refused_one() {
    let html = Answer::new(200, &[("content-type", "text/html")], "<title>Welcome</title>");
    let cases = [
        (Answer::status(401), Reason::Auth),
        (said(403, r#"{"detail":"your account has been disabled"}"#), Reason::Auth),
        (Answer::status(429), Reason::RateLimited),
        (Answer::status(500), Reason::ServerError),
        (html, Reason::NotJson),
        (Answer::status(404), Reason::NotFound),
        (Answer::json("{}"), Reason::Decode),
        (Answer(vec![Act::Hang]), Reason::Timeout),
        (Answer(vec![Act::Close]), Reason::Interrupted),
    ];
    for (answer, reason) in cases {
        let words = format!("{answer:?}");
        let server = panel_with(TOKEN, move || answer.clone());
        let mut upstream = upstream(&config(&server.url(), Role::Sudo.login()), SHORT);
        let err = failure(&mut upstream, Part::System, at(RECORDED_AT)).await;
        assert_eq!((err.scope(), err.again, err.reason()), (Scope::Login, AFTER_REFUSAL, reason), "{words}");
        assert_eq!(server.requests().len(), 1, "{words}");
        assert_eq!(upstream.take_notes().logins, 1);
    }
    // A panel that starts later than the proxy in front of it is met soon.
    let server = panel_with(TOKEN, || Answer::status(502));
    let mut early = client(&server);
    let err = failure(&mut early, Part::System, at(RECORDED_AT)).await;
    assert!(matches!(err.again, Again::WhenChanged { at_latest } if at_latest.as_secs() <= 60), "{err:?}");
    assert_eq!(failure(&mut early, Part::System, after(60)).await.again, AFTER_REFUSAL);
    // A panel that asks for longer than that gets it.
    let server = panel_with(TOKEN, || Answer::new(429, &[("retry-after", "3000")], ""));
    let err = failure(&mut client(&server), Part::System, at(RECORDED_AT)).await;
    assert_eq!(err.again, Again::WhenChanged { at_latest: Duration::from_secs(3000) });
    // No password was sent.
    let nowhere = config(&format!("http://{}", closed_address()), Role::Sudo.login());
    let err = failure(&mut upstream(&nowhere, SHORT), Part::System, at(RECORDED_AT)).await;
    assert_eq!((err.scope(), err.again), (Scope::Target, Again::Usual));
}

/// A panel, or something in front of it, refuses everything for some seconds.
#[tokio::test]
async fn a_login_that_worked_is_tried_once_more_soon() {
    for status in [401, 403] {
        let refuses = Arc::new(AtomicBool::new(false));
        let (panel, switch) = (Panel::of(Role::Sudo), Arc::clone(&refuses));
        let server = Server::start(move |request| match switch.load(Ordering::SeqCst) {
            true if request.path() == TOKEN || status == 401 => Answer::status(status),
            _ => panel.answer(request),
        });
        let mut upstream = client(&server);
        upstream.read(Part::System, at(RECORDED_AT)).await.unwrap();
        refuses.store(true, Ordering::SeqCst);
        // The token ends after a day.
        let mut now = 90_000;
        let mut waits = Vec::new();
        for _ in 0..3 {
            let Again::WhenChanged { at_latest } =
                failure(&mut upstream, Part::System, after(now)).await.again
            else {
                panic!("the login was not refused")
            };
            waits.push(at_latest.as_secs());
            now += at_latest.as_secs();
        }
        assert!((30..=60).contains(&waits[0]) && waits[1..] == [900, 1800], "{status}: {waits:?}");
        refuses.store(false, Ordering::SeqCst);
        upstream.read(Part::System, after(now)).await.unwrap();
        refuses.store(true, Ordering::SeqCst);
        now += 90_000;
        let err = failure(&mut upstream, Part::System, after(now)).await;
        assert!(
            matches!(err.again, Again::WhenChanged { at_latest } if at_latest.as_secs() <= 60),
            "{err:?}"
        );
    }
}

/// Two workers of a panel with different secrets: each request meets one of them, and each accepts only its own tokens.
#[tokio::test]
async fn a_panel_that_forgets_its_sessions_is_seldom_logged_in_to() {
    type Worker = fn(usize) -> usize;
    const HOURS: u64 = 1;
    // Which worker the nth request meets; and whether it is possible to read anything at all.
    let workers: [(Worker, bool); 4] = [
        (|request| request / 3 % 2, true),
        (|request| request % 2, false),
        (|request| request / 7 % 2, true),
        (|request| usize::try_from(fastrand::Rng::with_seed(request as u64).u64(..) % 2).unwrap(), true),
    ];
    for (case, (worker, readable)) in workers.into_iter().enumerate() {
        let (panel, turn) = (Panel::of(Role::Sudo), AtomicUsize::new(0));
        let server = Server::start(move |request| {
            let worker = worker(turn.fetch_add(1, Ordering::SeqCst));
            match request.path() {
                TOKEN => said(200, &format!(r#"{{"access_token":"worker-{worker}"}}"#)),
                _ if request.header("authorization") == Some(&*format!("Bearer worker-{worker}")) => {
                    panel.replay(if request.path() == ACCOUNT { "admin-me-sudo" } else { "system-sudo" })
                }
                _ => panel.replay("system-garbage-token"),
            }
        });
        let mut upstream = client(&server);
        let (mut read, mut failed) = (0, 0);
        for minute in 0..HOURS * 60 {
            match upstream.read(Part::System, after(minute * 60)).await {
                Ok(_) => read += 1,
                Err(err) => {
                    assert_eq!((&err.cause, err.again), (&Cause::SessionLost, Again::Usual), "{case}");
                    failed += 1;
                }
            }
        }
        let logins = upstream.take_notes().logins;
        assert!(logins <= 1 + 3 + 6 * HOURS, "{case}: {logins} logins");
        assert!(
            failed > 0 && (read > 15 || !readable),
            "{case}: {read} read, {failed} failed, {logins} logins"
        );
    }
}

#[tokio::test]
async fn a_token_that_would_not_live_is_used_until_it_is_refused() {
    let panel = Panel::of(Role::Sudo);
    // {"iat":5,"exp":5}
    let server = Server::start(move |request| match request.path() {
        TOKEN => said(200, r#"{"access_token":"e30.eyJpYXQiOjUsImV4cCI6NX0.x"}"#),
        SYSTEM => panel.replay("system-sudo"),
        _ => panel.replay("admin-me-sudo"),
    });
    let mut upstream = client(&server);
    for minute in 0..30 {
        upstream.read(Part::System, after(minute * 60)).await.unwrap();
    }
    assert_eq!(upstream.take_notes().logins, 1);
}

#[tokio::test]
async fn a_wait_that_is_asked_for_in_passing_is_kept_too() {
    let busy = || Answer::new(429, &[("retry-after", "600")], "");
    let wait = Again::NotBefore(Duration::from_secs(600));
    // A panel up to 0.7 is asked for each count.
    let mut old = recorded("system-sudo");
    for status in ["limited", "expired", "disabled", "on_hold"] {
        old.as_object_mut().unwrap().remove(&format!("users_{status}"));
    }
    let panel = Panel::of(Role::Sudo);
    let server = Server::start(move |request| match request.path() {
        SYSTEM => Answer::json(old.to_string()),
        "/api/users" => busy(),
        _ => panel.answer(request),
    });
    assert_eq!(failure(&mut client(&server), Part::System, at(RECORDED_AT)).await.again, wait);
    assert!(server.requests_for(ACCOUNT).is_empty());
    let server = panel_with(ACCOUNT, busy);
    assert_eq!(failure(&mut client(&server), Part::System, at(RECORDED_AT)).await.again, wait);
    let server = panel_with("/api/users", busy);
    let mut upstream = client(&server);
    upstream.read(Part::System, at(RECORDED_AT)).await.unwrap();
    assert_eq!(failure(&mut upstream, Part::Users, at(RECORDED_AT)).await.again, wait);
    assert_eq!(upstream.read_named(&["alice".into()], at(RECORDED_AT)).await.unwrap_err().again, wait);
}

#[tokio::test]
async fn a_read_that_dies_on_an_old_connection_is_sent_once_more() {
    // The panel answers 500 and closes the connection, which shows when the next request is sent.
    let step = Arc::new(AtomicUsize::new(0));
    let (panel, steps) = (Panel::of(Role::Sudo), Arc::clone(&step));
    let server = Server::start(move |request| match (request.path(), steps.load(Ordering::SeqCst)) {
        ("/api/core", 0) => {
            steps.store(1, Ordering::SeqCst);
            Answer::status(500)
        }
        (_, 1) => {
            steps.store(2, Ordering::SeqCst);
            Answer(vec![Act::Close])
        }
        (_, 3) => Answer(vec![Act::Close]),
        _ => panel.answer(request),
    });
    let mut upstream = client(&server);
    upstream.read(Part::System, at(RECORDED_AT)).await.unwrap();
    let err = failure(&mut upstream, Part::Core, at(RECORDED_AT)).await;
    assert_eq!(err.cause, Cause::Http(http::Error::Status(500)));
    upstream.read(Part::Nodes, at(RECORDED_AT)).await.unwrap();
    assert_eq!(server.requests_for("/api/nodes").len(), 2);

    // Once more is not twice more.
    step.store(3, Ordering::SeqCst);
    let err = failure(&mut upstream, Part::Nodes, at(RECORDED_AT)).await;
    assert_eq!(err.cause, Cause::Http(http::Error::Interrupted));
    assert_eq!(server.requests_for("/api/nodes").len(), 4);
    // On a new connection, nothing is sent again.
    let err = failure(&mut upstream, Part::Nodes, at(RECORDED_AT)).await;
    assert_eq!(err.cause, Cause::Http(http::Error::Interrupted));
    assert_eq!(server.requests_for("/api/nodes").len(), 5);
}

#[tokio::test]
async fn a_login_is_never_sent_twice() {
    let (panel, dies) = (Panel::of(Role::Sudo), AtomicBool::new(false));
    let server = Server::start(move |request| match request.path() {
        SYSTEM if !dies.swap(true, Ordering::SeqCst) => panel.replay("system-garbage-token"),
        TOKEN if dies.load(Ordering::SeqCst) => Answer(vec![Act::Close]),
        _ => panel.answer(request),
    });
    let mut upstream = client(&server);
    let err = failure(&mut upstream, Part::System, at(RECORDED_AT)).await;
    assert_eq!(err.scope(), Scope::Login);
    // The first login, and one on the connection that the refused request had left open.
    assert_eq!(server.requests_for(TOKEN).len(), 2);
}

#[tokio::test]
async fn an_account_that_is_switched_off_is_no_missing_right() {
    let off = Arc::new(AtomicBool::new(false));
    let (panel, switch) = (Panel::of(Role::Owner), Arc::clone(&off));
    let server = Server::start(move |request| match switch.load(Ordering::SeqCst) {
        true => said(403, r#"{"detail":"your account has been disabled"}"#),
        false => panel.answer(request),
    });
    let upstream = upstream(&config(&server.url(), Role::Owner.login()), PATIENT);
    let phase = Mutex::new(0);
    let report = poll_until(upstream, |report| {
        let mut phase = phase.lock().unwrap();
        let up = report.parts.values().filter(|state| state.outcome == Outcome::Up).count();
        assert!(report.parts.values().all(|state| state.outcome != Outcome::Refused), "{:?}", report.parts);
        match *phase {
            0 if report.up == Some(true) && up >= 6 => {
                off.store(true, Ordering::SeqCst);
                *phase = 1;
            }
            1 if reason(report, Part::System) == Some("auth") => {
                off.store(false, Ordering::SeqCst);
                *phase = 2;
            }
            _ => {}
        }
        *phase == 2 && report.up == Some(true)
    })
    .await;
    assert!(report.unreachable.is_none());
    // The token was good all the time.
    assert_eq!(server.requests_for(TOKEN).len(), 1);
}

#[tokio::test]
async fn a_resellers_numbers_leave_out_what_is_the_whole_panels() {
    for (role, whole) in [
        (Role::Sudo, true),
        (Role::Envsudo, true),
        (Role::Nonsudo, false),
        (Role::Owner, true),
        (Role::Operator, false),
    ] {
        let server = Panel::of(role).start();
        let mut upstream = upstream(&config(&server.url(), role.login()), PATIENT);
        for minute in 0..12 {
            let facts = upstream.read(Part::System, after(minute * 60)).await.unwrap().facts;
            for fact in facts {
                match fact {
                    Fact::ProxyTraffic(traffic) => assert_eq!(traffic.downlink.is_some(), whole, "{role:?}"),
                    Fact::Counts(counts) => {
                        assert_eq!(
                            counts.seen_within_day.is_some(),
                            whole && role.word() != "owner",
                            "{role:?}"
                        );
                        assert!(counts.total.is_some());
                    }
                    _ => {}
                }
            }
        }
        // It is asked who it is every five minutes.
        assert_eq!(server.requests_for(ACCOUNT).len(), 3, "{role:?}");
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_asked_for_stays_what_it_was() {
    let fails = Arc::new(AtomicBool::new(false));
    for answer in [
        Answer::status(500),
        Answer::status(503),
        Answer(vec![Act::Close]),
        Answer::json(r#"{"is_sudo":[]}"#),
    ] {
        fails.store(false, Ordering::SeqCst);
        let (panel, switch) = (Panel::of(Role::Nonsudo), Arc::clone(&fails));
        let server = Server::start(move |request| match request.path() {
            ACCOUNT if switch.load(Ordering::SeqCst) => answer.clone(),
            _ => panel.answer(request),
        });
        let mut upstream = upstream(&config(&server.url(), Role::Nonsudo.login()), PATIENT);
        for minute in [0, 6, 12] {
            let facts = upstream.read(Part::System, after(minute * 60)).await.unwrap().facts;
            let shown = facts
                .iter()
                .any(|fact| matches!(fact, Fact::ProxyTraffic(traffic) if traffic.downlink.is_some()));
            assert!(!shown, "{minute}");
            fails.store(true, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn an_account_that_the_panel_does_not_describe_is_taken_for_one_that_sees_all() {
    for answer in [Answer::status(404), said(403, r#"{"detail":"Permission denied"}"#), Answer::json("[]")] {
        let server = panel_with(ACCOUNT, move || answer.clone());
        let facts = client(&server).read(Part::System, at(Timestamp::default())).await.unwrap().facts;
        let traffic = facts.iter().find_map(|fact| match fact {
            Fact::ProxyTraffic(traffic) => traffic.downlink,
            _ => None,
        });
        assert_eq!(traffic, recorded("system-sudo")["outgoing_bandwidth"].as_u64());
    }
}

#[tokio::test]
async fn an_api_key_that_worked_is_tried_once_more_soon_too() {
    let refuses = Arc::new(AtomicBool::new(false));
    let (panel, switch) = (Panel::of(Role::Sudo), Arc::clone(&refuses));
    let server = Server::start(move |_| match switch.load(Ordering::SeqCst) {
        true => panel.replay("system-no-token"),
        false => panel.replay("system-sudo"),
    });
    let mut upstream = upstream(&config(&server.url(), Login::ApiKey("pg_key_1".into())), PATIENT);
    upstream.read(Part::System, at(RECORDED_AT)).await.unwrap();
    refuses.store(true, Ordering::SeqCst);
    let err = failure(&mut upstream, Part::System, after(30)).await;
    assert!(matches!(err.again, Again::WhenChanged { at_latest } if at_latest.as_secs() <= 60), "{err:?}");
    let err = failure(&mut upstream, Part::System, after(90)).await;
    assert_eq!(err.again, AFTER_REFUSAL);
}

//! The user list: rows that break, pages that fail, and lists that change while they are walked.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use proxymeter::{
    model::{Expiry, Fact, Outcome, Part, Report, Timestamp, Unread, UnreadableCause, UserFacts, UserStatus},
    upstream::Timeouts,
};
use serde_json::{Value, json};

use crate::common::{
    PATIENT, RECORDED_AT, at, config,
    panel::{Panel, Role, SYSTEM, USERS, page, recorded},
    poll_until, read_once, reason,
    server::{Act, Answer, Request, Server},
    upstream, user_names,
};

/// The recorded panel with other users.
fn panel_with_users(users: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
    let panel = Panel::of(Role::Sudo);
    Server::start(move |request| match request.path() {
        USERS => users(request),
        _ => panel.answer(request),
    })
}

async fn report_of(server: &Server) -> Report {
    read_once(upstream(&config(&server.url(), Role::Sudo.login()), PATIENT)).await
}

async fn report_of_rows(rows: Vec<Value>) -> Report {
    let server = panel_with_users(move |_| Answer::json(page(&rows, rows.len())));
    report_of(&server).await
}

/// A row as the panel gives it.
fn row(name: &str) -> Value {
    let mut row = recorded("user-alice");
    row["username"] = name.into();
    row
}

fn with(field: &str, value: Value) -> Value {
    let mut row = row("odd");
    row[field] = value;
    row
}

fn assert_read(report: &Report) {
    assert_eq!(report.parts[&Part::Users].outcome, Outcome::Up);
}

#[tokio::test]
async fn names_and_notes_may_hold_anything() {
    let names = [
        "\"",
        "\\",
        "a\nb",
        "🦀 کاربر",
        " ",
        "\u{0}",
        "a,b=\"c\"}",
        "\u{202e}abc",
        "x".repeat(1024).as_str(),
    ]
    .map(str::to_owned);
    let mut rows: Vec<_> = names.iter().map(|name| row(name)).collect();
    rows[0]["note"] = "\"} \\ \n🦀".into();
    rows[1]["links"] = json!(["vless://\"\\\n"]);
    let report = report_of_rows(rows).await;
    assert_read(&report);
    let sorted: BTreeSet<_> = names.iter().map(String::as_str).collect();
    assert_eq!(user_names(&report), Vec::from_iter(sorted));
    assert_eq!(report.users.unreadable().rows, 0);
}

#[tokio::test]
async fn a_row_without_a_name_costs_itself_alone() {
    let odd = [
        with("username", json!(5)),
        with("username", Value::Null),
        with("username", json!("")),
        json!({}),
        json!(null),
        json!([]),
        json!("user"),
        json!(17),
    ];
    for odd in odd {
        let report = report_of_rows(vec![row("a"), odd.clone(), row("z")]).await;
        assert_read(&report);
        assert_eq!(user_names(&report), ["a", "z"], "{odd}");
        assert_eq!(report.users.unreadable().rows, 1, "{odd}");
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_leaves_its_row_out() {
    let report =
        report_of_rows(vec![row("a"), row(&"x".repeat(1025)), row(&"y".repeat(900_000)), row("z")]).await;
    assert_read(&report);
    assert_eq!(user_names(&report), ["a", "z"]);
    assert_eq!((report.users.unreadable().rows, report.users.omitted()), (0, 2));
}

#[tokio::test]
async fn an_odd_field_of_a_row_is_unread_and_the_rest_is_read() {
    let cases = [
        (with("status", json!(["active"])), Some(Unread::STATUS)),
        (with("used_traffic", json!("many")), Some(Unread::USED)),
        (with("used_traffic", json!({})), Some(Unread::USED)),
        (with("lifetime_used_traffic", json!([])), Some(Unread::TRAFFIC)),
        (with("data_limit", json!(true)), Some(Unread::LIMIT)),
        (with("expire", json!("tomorrow")), Some(Unread::EXPIRY)),
        (with("online_at", json!([])), Some(Unread::ONLINE)),
        (with("admin", json!("root")), None),
        (with("admin", json!({"name": "root"})), None),
    ];
    for (odd, fact) in cases {
        let report = report_of_rows(vec![row("a"), odd.clone(), row("z")]).await;
        assert_read(&report);
        let user = report.users.list().nth(1).unwrap();
        assert_eq!(report.users.list().len(), 3, "{odd}");
        let mut unread = Unread::default();
        fact.into_iter().for_each(|fact| unread.add(fact));
        assert_eq!((user.unread, user.owner.is_some()), (unread, fact.is_some()), "{odd}");
        assert_eq!(report.users.unreadable().rows, 0, "{odd}");
    }
}

#[tokio::test]
async fn rows_that_leave_out_what_they_can_are_read() {
    let report = report_of_rows(vec![json!({"username": "bare", "status": "active"})]).await;
    let user = report.users.list().nth(0).unwrap();
    assert_eq!((user.used, user.limit, user.expiry, user.last_online.at()), (0, None, Expiry::Never, None));
    assert_eq!((user.owner.clone(), user.traffic.value(), user.online), (None, 0, false));
}

#[tokio::test]
async fn words_and_numbers_of_no_known_kind_are_read_as_well_as_they_can_be() {
    let user = async |row: Value| report_of_rows(vec![row]).await.users.list().nth(0).unwrap().clone();
    assert_eq!(user(with("status", "on_fire".into())).await.status, UserStatus::Unknown);
    for (value, used) in [
        (json!(36_986_197.5), 36_986_197),
        (json!(-1), 0),
        (json!(9_223_372_036_854_775_808_u64), 1 << 63),
        (json!(1e300), u64::MAX),
    ] {
        assert_eq!(user(with("used_traffic", value.clone())).await.used, used, "{value}");
        let limit = user(with("data_limit", value.clone())).await.limit;
        assert_eq!(limit, Some(used).filter(|limit| *limit > 0), "{value}");
    }
    for (value, expiry) in [
        (json!(0), Expiry::Never),
        (json!(null), Expiry::Never),
        (json!(-1), Expiry::Never),
        (json!(1_795_227_833), Expiry::At(RECORDED_AT)),
        (json!("2026-11-21T02:23:53Z"), Expiry::At(RECORDED_AT)),
        (json!(1e300), Expiry::At(Timestamp::from_millis(i64::MAX))),
        (json!(u64::MAX), Expiry::At(Timestamp::from_millis(i64::MAX))),
    ] {
        assert_eq!(user(with("expire", value.clone())).await.expiry, expiry, "{value}");
    }
    let mut forever = with("on_hold_expire_duration", json!(u64::MAX));
    forever["status"] = "on_hold".into();
    forever["expire"] = Value::Null;
    assert_eq!(user(forever).await.expiry, Expiry::OnFirstUse(Duration::from_secs(u64::MAX)));
}

#[tokio::test]
async fn a_list_without_a_readable_row_is_a_failure_that_forgets_nobody() {
    for broken in [
        Answer::json(page(&[json!({"user": "a"}), json!({"user": "b"})], 2)),
        Answer::json(page(&[json!(null)], 1)),
    ] {
        let asked = Mutex::new(0);
        let server = panel_with_users(move |_| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            if *asked == 1 { Answer::json(page(&[row("a")], 1)) } else { broken.clone() }
        });
        let upstream = upstream(&config(&server.url(), Role::Sudo.login()), PATIENT);
        let report = poll_until(upstream, |report| reason(report, Part::Users).is_some()).await;
        assert_eq!(reason(&report, Part::Users), Some("decode"));
        assert_eq!(user_names(&report), ["a"]);
        assert_eq!(report.up, Some(true));
    }
}

#[tokio::test]
async fn a_name_that_comes_twice_is_one_user() {
    let mut second = row("twin");
    second["used_traffic"] = 1.into();
    let report = report_of_rows(vec![row("twin"), second, row("zoe")]).await;
    assert_eq!(user_names(&report), ["twin", "zoe"]);
    assert_eq!(report.users.list().nth(0).unwrap().used, 132_070_244_359);
}

#[tokio::test]
async fn an_enormous_row_costs_itself_and_a_large_one_is_read() {
    for (links, expected) in [(100, Some(1)), (30_000, None)] {
        let link = format!("vless://{}", "x".repeat(92));
        let rows = [row("a"), with("links", json!(vec![link; links])), row("z")];
        let server = panel_with_users(move |request| {
            let (offset, limit) = (request.number("offset").unwrap(), request.number("limit").unwrap());
            let rows: Vec<_> = rows.iter().skip(offset).take(limit).cloned().collect();
            Answer::json(page(&rows, 3))
        });
        let report = read_once(upstream(&config(&server.url(), Role::Sudo.login()), PATIENT)).await;
        assert_eq!(report.users.list().len(), 2 + expected.unwrap_or(0));
        let unreadable = report.users.unreadable();
        assert_eq!(unreadable.rows, 1 - expected.unwrap_or(0));
        assert!(unreadable.first.iter().all(|row| (row.place, row.cause) == (1, UnreadableCause::TooLarge)));
    }
}

#[tokio::test]
async fn depth_in_a_row_is_no_matter() {
    let nested = "{\"a\":".repeat(2000) + "1" + &"}".repeat(2000);
    let odd = row("deep").to_string().replace("\"note\":null", &format!("\"note\":{nested}"));
    assert!(odd.contains("{\"a\":{\"a\":"));
    let server = panel_with_users(move |_| Answer::json(format!(r#"{{"users":[{odd}],"total":1}}"#)));
    let report = report_of(&server).await;
    assert_read(&report);
    assert_eq!(user_names(&report), ["deep"]);
}

/// A list in the panel's order, and the rows of it that fail a page.
#[derive(Clone, Debug, Default)]
struct List {
    names: BTreeSet<String>,
    poisoned: BTreeSet<String>,
}

impl List {
    fn of(count: usize) -> Self {
        List { names: (0..count).map(|i| format!("u{i:05}")).collect(), ..List::default() }
    }

    /// The page a request asks for, failing as the panel does if there is a poisoned row on it.
    fn answer(&self, request: &Request) -> Answer {
        if let Some((_, names)) = request.target.split_once("?username=") {
            let known = names.split("&username=").filter(|name| self.names.contains(*name));
            let rows: Vec<_> = known.map(|name| json!({"username": name, "status": "active"})).collect();
            return Answer::json(page(&rows, rows.len()));
        }
        let (offset, limit) = (request.number("offset").unwrap(), request.number("limit").unwrap());
        assert!(limit > 0 && request.target.ends_with("&sort=username"), "{}", request.target);
        let names: Vec<_> = self.names.iter().skip(offset).take(limit).collect();
        if names.iter().any(|name| self.poisoned.contains(*name)) {
            return Panel::of(Role::Sudo).replay("poison-users-page-500");
        }
        let rows: Vec<_> = names
            .iter()
            .map(|name| json!({"username": name, "status": "active", "used_traffic": 1, "links": ["vless://x"]}))
            .collect();
        Answer::json(page(&rows, self.names.len()))
    }
}

#[tokio::test]
async fn a_row_that_fails_the_panel_costs_itself_alone() {
    for (count, poisoned) in [(3, 1), (3, 0), (33, 32), (1200, 777)] {
        let mut list = List::of(count);
        let bad = format!("u{poisoned:05}");
        list.poisoned.insert(bad.clone());
        let server = panel_with_users(move |request| list.answer(request));
        let report = report_of(&server).await;
        assert_read(&report);
        assert_eq!(report.users.list().len(), count - 1);
        assert!(!user_names(&report).contains(&&*bad));
        assert_eq!(report.users.unreadable().rows, 1);
    }
}

#[tokio::test]
async fn a_wrong_count_of_the_panel_loses_no_user_and_is_reported() {
    let totals = [json!(3), json!(1199), json!(1200), json!(1201), json!(0), json!(1e15), json!(u64::MAX)];
    for total in totals {
        let (list, said) = (List::of(1200), total.clone());
        let server = panel_with_users(move |request| {
            let mut answer = list.answer(request);
            let Act::Send(bytes) = &mut answer.0[0] else { unreachable!() };
            let text = String::from_utf8(bytes.clone()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let mut body: Value = serde_json::from_str(body).unwrap();
            body["total"] = said.clone();
            Answer::json(body.to_string())
        });
        let report = report_of(&server).await;
        assert_read(&report);
        assert_eq!(report.users.list().len(), 1200, "{total}");
        assert_eq!(report.users.counted_otherwise().is_some(), total != json!(1200), "{total}");
        let requests = server.requests_for(USERS).len();
        assert!((3..=4).contains(&requests), "{total}: {requests}");
    }
}

#[tokio::test]
async fn rows_that_cannot_be_read_beside_one_that_fails_the_panel_are_passed_over_too() {
    for (poisoned, odd) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        let mut list = List::of(6);
        list.poisoned.insert(format!("u{poisoned:05}"));
        let field = format!("\"username\":\"u{odd:05}\"");
        let server = panel_with_users(move |request| {
            let mut answer = list.answer(request);
            let Act::Send(bytes) = &mut answer.0[0] else { unreachable!() };
            // As long as before, and no name.
            *bytes = String::from_utf8(bytes.clone())
                .unwrap()
                .replace(&field, "\"username\":      12")
                .into_bytes();
            answer
        });
        let report = report_of(&server).await;
        assert_read(&report);
        assert_eq!((report.users.list().len(), report.users.unreadable().rows), (4, 2), "{poisoned} {odd}");
    }
}

#[tokio::test]
async fn a_list_of_rows_that_all_fail_the_panel_is_a_failure() {
    for count in [1, 3, 300] {
        let mut list = List::of(count);
        list.poisoned = list.names.clone();
        let server = panel_with_users(move |request| list.answer(request));
        let report = report_of(&server).await;
        assert!(["decode", "server_error"].contains(&reason(&report, Part::Users).unwrap()));
        assert_eq!(report.up, Some(true));
    }
}

#[tokio::test]
async fn those_who_stay_are_met_once_whoever_comes_and_goes_between_pages() {
    let list = Arc::new(Mutex::new((List::of(1700), 0)));
    let shared = Arc::clone(&list);
    let server = panel_with_users(move |request| {
        let mut list = shared.lock().unwrap();
        let (list, asked) = &mut *list;
        let answer = list.answer(request);
        // After each of the first pages some before the walk go and some come, there and ahead of it.
        if *asked < 3 {
            for i in 0..4 {
                list.names.remove(&format!("u{:05}", *asked * 300 + i * 11));
                list.names.insert(format!("u{:05}new", 900 + *asked * 7 + i));
            }
            *asked += 1;
        }
        answer
    });
    let report = report_of(&server).await;
    assert_read(&report);
    let stayed: Vec<_> = {
        let (list, _) = &*list.lock().unwrap();
        (0..1700).map(|i| format!("u{i:05}")).filter(|name| list.names.contains(name)).collect()
    };
    assert_eq!(stayed.len(), 1700 - 12);
    let met: BTreeSet<_> = user_names(&report).into_iter().collect();
    for name in &stayed {
        assert!(met.contains(name.as_str()), "{name}");
    }
    assert_eq!(met.len(), report.users.list().len());
    assert!(server.requests_for(USERS).len() < 12);
}

#[tokio::test]
async fn removed_users_are_forgotten_at_the_end_of_the_next_walk_and_not_before() {
    let list = Arc::new(Mutex::new(List::of(3)));
    let shared = Arc::clone(&list);
    let server = panel_with_users(move |request| shared.lock().unwrap().answer(request));
    let upstream = upstream(&config(&server.url(), Role::Sudo.login()), PATIENT);
    let report = poll_until(upstream, |report| {
        let mut list = list.lock().unwrap();
        if report.users.list().len() == 3 && list.names.len() == 3 {
            list.names.pop_first();
        }
        (1..3).contains(&report.users.list().len())
    })
    .await;
    assert_eq!(user_names(&report), ["u00001", "u00002"]);
}

#[tokio::test]
async fn a_page_that_takes_too_long_is_asked_for_in_smaller_pieces() {
    let list = List::of(60);
    let server = panel_with_users(move |request| {
        if request.number("limit") > Some(130) { Answer(vec![Act::Hang]) } else { list.answer(request) }
    });
    let timeouts = Timeouts { request: PATIENT.request, page: Duration::from_millis(100) };
    let upstream = upstream(&config(&server.url(), Role::Sudo.login()), timeouts);
    let report = poll_until(upstream, |report| !report.users.list().is_empty()).await;
    assert_eq!(report.users.list().len(), 60);
    let limits: Vec<_> =
        server.requests_for(USERS).iter().map(|request| request.number("limit").unwrap()).collect();
    assert_eq!(limits[..3], [500, 250, 125]);
}

/// How long a page takes says nothing about the panel's clock.
#[tokio::test]
async fn a_slow_answer_does_not_make_users_look_offline() {
    const SLOW: Duration = Duration::from_millis(300);
    let mut row = row("late");
    // By our clock this is 120.2 s before we ask for the list, and too long ago to be online.
    row["online_at"] = json!(1_795_227_712.8);
    let panel = Panel::of(Role::Sudo);
    let server = Server::start(move |request| match request.path() {
        SYSTEM => panel.replay("system-sudo").after(SLOW),
        USERS => Answer::json(page(&[row.clone()], 1)),
        _ => panel.answer(request),
    });
    let mut upstream = upstream(&config(&server.url(), Role::Sudo.login()), PATIENT);
    upstream.read(Part::System, at(RECORDED_AT)).await.unwrap();
    // The panel dated its answer as we dated our question, and took 0.3 s: its clock is behind by these.
    let step = upstream.read(Part::Users, at(RECORDED_AT)).await.unwrap();
    let [Fact::Users(UserFacts::WalkEnd(end))] = &step.facts[..] else { panic!("not one page") };
    assert!(end.page[0].online);
}

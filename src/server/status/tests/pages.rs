//! The pages below the status page.

use jiff::tz::TimeZone;

use super::{super::text::in_path, *};
use crate::{
    model::{Counter, LastOnline, Move, NodeTraffic, Unread},
    store::{Counted, Usage},
};

fn target(name: &str, parameters: &str) -> Page {
    Page::Target(name.to_owned(), Asked::of(Some(parameters)))
}

fn users_of(name: &str, parameters: &str) -> Page {
    Page::Users(name.to_owned(), Asked::of(Some(parameters)))
}

fn failed(reason: Reason, read: Moment) -> PartState {
    PartState { outcome: Outcome::Failed { reason, detail: "a secret sentence".into() }, ..super::read(read) }
}

/// The text of a section without its tags.
fn text(page: &str, id: &str) -> String {
    let (_, section) = page.split_once(&format!("<section aria-labelledby=\"{id}\">")).expect(id);
    let section = section.split("</section>").next().unwrap();
    let text: String = section
        .split('<')
        .map(|tag| tag.split_once('>').map_or("", |(_, text)| text))
        .collect::<Vec<_>>()
        .join(" ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_once_and_since_when() {
    let now = ago(Duration::ZERO);
    let minutes = |minutes: u64| ago(Duration::from_secs(minutes * 60));
    let mut down = report("down", vec![user("alice")], minutes(2));
    down.up = Some(false);
    down.history.up_was(true, minutes(9));
    down.history.up_was(false, minutes(2));
    down.history.up_was(false, now);
    down.unreachable = Some(Outcome::Failed { reason: Reason::Connect, detail: "a secret sentence".into() });
    down.parts.insert(Part::System, failed(Reason::Connect, minutes(2)));
    down.parts.insert(Part::Nodes, failed(Reason::Connect, minutes(2)));
    let mut slow = report("slow", vec![user("alice")], now);
    slow.parts.insert(Part::Nodes, failed(Reason::Timeout, minutes(7)));
    slow.parts.insert(Part::Usage, failed(Reason::Timeout, minutes(8)));
    slow.parts.insert(Part::Admins, failed(Reason::Decode, minutes(1)));
    slow.parts.insert(
        Part::Core,
        PartState { last_data: None, last_success: None, ..failed(Reason::NotFound, now) },
    );
    let state = state(&[down, slow], ActiveAlerts::default(), UserLabels::Name);
    let page = written(&state);
    let row = |target: &str| {
        let row = page.split("<tr ").find(|row| row.contains(&format!("<bdi>{target}</bdi>"))).unwrap();
        row.split("class=\"troubles\">").nth(1).unwrap().split("</td>").next().unwrap().to_owned()
    };
    assert_eq!(row("down"), "<span>no connection could be made <small>since 2m</small></span></span>");
    assert_eq!(
        row("slow"),
        "<span>admins: its answer does not have the expected format <small>last read 1m ago</small></span>\
         <span>core: there is nothing at this address; what was read is too old to be shown <small>never read</small></span>\
         <span>nodes, usage: it does not answer in time <small>last read 8m ago</small></span></span>"
    );
    let below = asked(&state, &target("down", ""));
    assert_eq!(
        below.matches("no connection could be made").count(),
        3,
        "the target, and the parts that failed"
    );
    assert!(text(&below, "parts").contains("users waits for the target"), "{below}");
    assert!(!below.contains("secret sentence") && !page.contains("secret sentence"));
}

#[tokio::test(start_paused = true)]
async fn a_target_has_a_page_with_its_nodes_sorted() {
    let now = ago(Duration::ZERO);
    let mut home = report("home", vec![with_quota("alice", 9, 10)], now);
    let node = |label: &str, status, bytes: Option<u64>| Node {
        uplink: bytes.map(Counter::new),
        users_online: bytes,
        version: Some("25.1.1".into()),
        ..Node::named(label, status)
    };
    home.merge(
        Fact::Nodes(vec![
            node("a", NodeStatus::Error, Some(5)),
            node("<b>", NodeStatus::Connected, None),
            Node { status_unread: true, ..node("c", NodeStatus::Connected, Some(9)) },
        ]),
        now,
    );
    let usage = NodeTraffic { node: "<b>".into(), uplink: 3, downlink: 4 };
    home.merge(Fact::NodeTraffic(vec![usage]), now);
    home.parts.insert(Part::Nodes, read(now));
    home.parts.insert(Part::Usage, read(now));
    let alerts =
        vec![node_down(), ActiveAlert { target: "edge".into(), subject: "DE-9".into(), ..node_down() }];
    let edge = report("edge", vec![with_quota("bob", 9, 10)], now);
    let state = state(&[edge, home], ActiveAlerts::new(Vec::new(), alerts), UserLabels::Name);
    let sorted = |parameters| {
        let page = asked(&state, &target("home", parameters));
        names(&page, "Nodes</h2>")
            .into_iter()
            .filter(|name| *name != "25.1.1")
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(sorted(""), ["&lt;b&gt;", "a", "c"]);
    assert_eq!(sorted("sort=-traffic"), ["c", "&lt;b&gt;", "a"]);
    assert_eq!(sorted("sort=state&page=9"), ["&lt;b&gt;", "c", "a"]);
    let page = asked(&state, &target("home", "sort=-traffic"));
    assert!(text(&page, "nodes").contains("c unknown 25.1.1 9 9 B &lt;b&gt; connected"), "{page}");
    assert!(page.contains("<th role=\"columnheader\" scope=\"col\" class=\"number\" aria-sort=\"descending\"><a href=\"?sort=traffic\">Traffic</a>"));
    assert!(
        page.contains("FI-1") && !page.contains("DE-9") && !page.contains("bob") && page.contains("alice")
    );
    assert!(page.contains("<a href=\"../metrics/home\">"), "{page}");
    assert!(page.contains("<a href=\"./home/users\">All users</a>"));
    assert!(page.contains("http-equiv=\"refresh\""));
    // One up, one in error; the state of the third is not known.
    assert!(page.contains("nodes up</small> 1 of 2"));
}

#[tokio::test(start_paused = true)]
async fn users_are_sorted_searched_and_in_pages() {
    let now = ago(Duration::ZERO);
    let many = (0..230_u32).map(|n| with_quota(&format!("u{n:03}"), u64::from(n), 1000));
    let others = [
        expiring("Carol", 2),
        expiring("dora", -30),
        User { expiry: Expiry::OnFirstUse(HOUR), last_online: LastOnline::seen(NOW), ..user("eve") },
        User {
            unread: [Unread::STATUS, Unread::EXPIRY].into_iter().fold(Unread::USED, |mut all, fact| {
                all.add(fact);
                all
            }),
            ..with_quota("frank", 1, 2)
        },
    ];
    let home = report("home", many.chain(others).collect(), now);
    let state = state(&[home], ActiveAlerts::default(), UserLabels::Name);
    let shown = |parameters: &str| {
        let page = asked(&state, &users_of("home", parameters));
        let names = names(&page, "Users of").into_iter().skip(1).map(str::to_owned).collect::<Vec<_>>();
        (page, names)
    };
    let (page, first) = shown("");
    assert_eq!((first.len(), &*first[0], &*first[99]), (100, "Carol", "u095"));
    assert!(
        page.contains("1 to 100 of 234") && page.contains("<a href=\"?sort=user&amp;page=2\" rel=\"next\">")
    );
    assert!(!page.contains("http-equiv=\"refresh\""), "a search that is typed would be lost");
    let (page, last) = shown("sort=-used&page=3");
    assert_eq!((last.len(), page.contains("201 to 234 of 234")), (34, true));
    assert_eq!(shown("sort=-quota").1[..2], ["frank", "u229"]);
    assert_eq!(shown("sort=expires").1[..3], ["dora", "Carol", "eve"]);
    assert_eq!(shown("sort=-online").1[0], "eve");
    let (page, found) = shown("q=CAR");
    assert_eq!(found, ["Carol"]);
    assert!(page.contains("1 user found.") && page.contains("in 2h") && page.contains("value=\"CAR\""));
    let (page, found) = shown("q=%22%3E%3Cscript%3E");
    assert!(found == ["&quot;&gt;&lt;script&gt;"] && !page.contains("<script"), "{found:?}");
    let (page, _) = shown("q=dora");
    assert!(text(&page, "users").contains("dora active 0 B no quota 1d 6h ago"), "{}", text(&page, "users"));
    let (page, _) = shown("q=frank");
    assert!(
        text(&page, "users").contains("frank unknown unknown no quota unknown unknown"),
        "{}",
        text(&page, "users")
    );
}

#[tokio::test(start_paused = true)]
async fn users_are_named_there_as_the_labels_say() {
    let now = ago(Duration::ZERO);
    let users = || vec![with_quota("canary", 9, 10), user("other")];
    let key = HashKey::new(b"key");
    let of = |labels| {
        let state = state(&[report("home", users(), now)], ActiveAlerts::default(), labels);
        asked(&state, &users_of("home", "q=canary"))
    };
    let hashed = of(UserLabels::Hash(key.clone()));
    assert!(!hashed.contains("canary") && !hashed.contains("<form"), "{hashed}");
    assert!(
        ["canary", "other"].iter().all(|name| hashed.contains(&key.hash(name))),
        "a search would tell whose a code is"
    );
    let off = of(UserLabels::Off);
    assert!(
        !off.contains("canary") && !off.contains(&key.hash("canary")) && off.contains("not shown one by one")
    );
    assert!(of(UserLabels::Name).contains("<bdi>canary</bdi>"));
    let stale = state(&[report("home", users(), ago(HOUR))], ActiveAlerts::default(), UserLabels::Name);
    let stale = asked(&stale, &users_of("home", ""));
    assert!(stale.contains("left out, last read 1h ago.") && !stale.contains("canary"), "{stale}");
}

#[tokio::test(start_paused = true)]
async fn many_targets_are_sorted_and_in_pages() {
    let mut reports: Vec<_> =
        (0..150).map(|n| report(&format!("t{n:03}"), Vec::new(), ago(Duration::ZERO))).collect();
    reports[70].up = Some(false);
    reports[3] = report("t003", vec![user("alice")], ago(Duration::ZERO));
    let state = state(&reports, ActiveAlerts::default(), UserLabels::Off);
    let first = |parameters: &str| {
        let page = asked(&state, &Page::Status(Asked::of(Some(parameters))));
        (names(&page, "Targets</h2>")[0].to_owned(), page.matches("data-label=\"Trouble\"").count())
    };
    assert_eq!(first(""), ("t000".to_owned(), 100));
    assert_eq!(first("page=2"), ("t100".to_owned(), 50));
    assert_eq!(first("sort=-state"), ("t070".to_owned(), 100));
    assert_eq!(first("sort=-users"), ("t003".to_owned(), 100));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_on_the_page_of_their_proxy() {
    let now = ago(Duration::ZERO);
    let mut llm = proxy(now);
    llm.merge(Fact::LlmState(LlmState { mode: LlmMode::Queue, enabled: Some(true) }), now);
    llm.parts.insert(Part::Credentials, read(now));
    let state = state(&[llm], ActiveAlerts::default(), UserLabels::Name);
    let page = asked(&state, &target("llm", "sort=state"));
    let states: Vec<_> =
        page.split("class=\"badge ").skip(1).filter_map(|rest| rest.split("</").next()).collect();
    assert!(states.ends_with(&["good\">active", "good\">active", "critical\">error"]), "{states:?}");
    assert!(!page.contains("All users") && !page.contains("Closest to their quota"));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_has_a_page_with_what_was_counted() {
    let state = state(&[], ActiveAlerts::default(), UserLabels::Name);
    let ops = Page::Receiver("ops".to_owned());
    assert!(
        text(&asked(&state, &ops), "receiver").starts_with("ops email well Waiting 0 Last delivery none yet")
    );
    let refused = || Some(failure("auth", "mail.example.com:587: AUTH: answered 535 5.7.8"));
    state.telemetry.notification_queue("ops", 1234, Some(NOW.as_secs_f64() - 300.0));
    for failure in [None, refused(), Some(failure("timeout", "")), refused()] {
        state.telemetry.notification_attempt("ops", HOUR, failure);
    }
    state.telemetry.notification_delivered("ops");
    state.telemetry.notifications_abandoned("ops", 3);
    let page = text(&asked(&state, &ops), "receiver");
    for part in [
        "ops email failing The last attempt failed: auth. mail.example.com:587: AUTH: answered 535 5.7.8",
        "Waiting 1,234 the oldest for 5m, since",
        "Delivered 1 since",
        "Attempts 4",
        "Failed attempts 2 auth , 1 timeout",
        "Given up 3 proxymeter replay-notifications",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_configured_has_a_page() {
    let state = state(&[Report::new("home")], ActiveAlerts::default(), UserLabels::Name);
    let receiver = |name: &str| Page::Receiver(name.to_owned());
    for (page, expected) in [
        (target("home", ""), true),
        (users_of("home", ""), true),
        (receiver("ops"), true),
        (target("hom", ""), false),
        (users_of("", ""), false),
        (receiver("home"), false),
    ] {
        assert_eq!(page.exists(&state), expected, "{page:?}");
        assert_eq!(html(&Seen::now(&state), &page).is_ok(), expected, "{page:?}");
    }
    let new = asked(&state, &target("home", ""));
    assert!(new.contains("Not tried yet.") && !new.contains("Nodes</h2>"));
}

#[tokio::test(start_paused = true)]
async fn a_user_has_a_page_with_what_was_used() {
    let user = |name: &str, labels: UserLabels| {
        let users = vec![with_quota("a b", 9, 10), with_quota("new", 1, 10)];
        (
            state(&[report("home", users, ago(Duration::ZERO))], ActiveAlerts::default(), labels),
            name.to_owned(),
        )
    };
    let key = HashKey::new(b"key");
    for (labels, path) in
        [(UserLabels::Name, "a%20b".to_owned()), (UserLabels::Hash(key.clone()), key.hash("a b"))]
    {
        let (state, path) = user(&path, labels);
        let read = |name: &str, total: u64, last: Timestamp| Move {
            name: name.into(),
            before: Some(0),
            total,
            last_read: Some(last),
            ..Move::default()
        };
        let long_ago = NOW.saturating_sub(Duration::from_secs(5 * 86_400));
        let moves = vec![read("a b", 5 << 30, long_ago), read("gone", 7, NOW)];
        state.usage.saw("home", Counted::Users, moves, Duration::from_secs(600), NOW);
        state.usage.write().await;
        let page = asked(&state, &Page::User("home".into(), path.clone()));
        assert!(page.contains("href=\"../../home\"") && page.contains("href=\"../users\""));
        assert!(page.contains("90%") && page.contains("<title>2026-11-18: 5 GiB, gap</title>"), "{page}");
        assert_eq!((page.matches("class=\"marked\"").count(), page.matches("role=\"img\"").count()), (1, 2));
        assert!(text(&page, "use").contains("5 GiB together, at most 5 GiB"));
        let of_target = asked(&state, &target("home", ""));
        assert!(of_target.contains("aria-label=\"Use by month from 2024-12 to 2026-11"), "{of_target}");
        let link = format!("href=\"../targets/home/users/{path}\"");
        assert!(of_target.contains(&link), "{of_target}");
    }
    let (named, _) = user("", UserLabels::Name);
    let page = |state: &State, path: &str| asked(state, &Page::User("home".into(), path.into()));
    assert!(page(&named, "new").contains("Nothing was used yet"));
    assert!(page(&named, "other").contains("No user of this name is known."));
    let (off, _) = user("", UserLabels::Off);
    let hidden = page(&off, "new");
    assert!(hidden.contains("Users are not shown one by one") && !hidden.contains("<bdi>new"));
}

#[tokio::test(start_paused = true)]
async fn a_history_that_cannot_be_read_is_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let users = vec![with_quota("ann", 9, 10)];
    let mut state =
        state(&[report("home", users, ago(Duration::ZERO))], ActiveAlerts::default(), UserLabels::Name);
    state.usage = Usage::open(folder.path(), &state.clock, TimeZone::UTC).unwrap().usage;
    let user = |name: &str| Page::User("home".into(), name.into());
    assert!(asked(&state, &target("home", "")).contains("Nothing was used yet"));
    assert!(asked(&state, &user("bob")).contains("No user of this name is known."));
    let errors = state.usage.status().errors;
    std::fs::remove_file(folder.path().join("usage.db")).unwrap();
    for page in [target("home", ""), user("ann"), user("bob")] {
        let page = asked(&state, &page);
        assert!(page.contains("the history of use cannot be read: "), "{page}");
        assert!(!page.contains("Nothing was used") && !page.contains("No user of this name"), "{page}");
    }
    assert_eq!(state.usage.status().errors, errors + 3);
}

#[tokio::test(start_paused = true)]
async fn one_who_was_deleted_is_found_by_name_or_code() {
    let key = HashKey::new(b"key");
    for (labels, path) in
        [(UserLabels::Name, "gone".to_owned()), (UserLabels::Hash(key.clone()), key.hash("gone"))]
    {
        let state =
            state(&[report("home", Vec::new(), ago(Duration::ZERO))], ActiveAlerts::default(), labels);
        let read =
            Move { name: "gone".into(), before: Some(0), total: 7, last_read: Some(NOW), ..Move::default() };
        state.usage.saw("home", Counted::Users, vec![read], Duration::from_secs(600), NOW);
        state.usage.write().await;
        let page = asked(&state, &Page::User("home".into(), path.clone()));
        assert!(page.contains("The user is not in the list") && page.contains("7 B together"), "{page}");
        for other in ["GONE", "go", "home", ""] {
            let page = asked(&state, &Page::User("home".into(), other.into()));
            assert!(page.contains("No user of this name is known."), "{other}: {page}");
        }
    }
}

/// The page of a user with 80 days of use, of which two are marked.
pub(super) async fn user_to_look_at(name: &str) -> String {
    const DAY: u64 = 86_400;
    let users = vec![with_quota(name, 9, 10)];
    let state =
        state(&[report("home", users, ago(Duration::ZERO))], ActiveAlerts::default(), UserLabels::Name);
    let mut total = 0;
    for day in (0..80).rev().filter(|day| !(20..24).contains(day)) {
        let now = NOW.saturating_sub(Duration::from_secs(day * DAY));
        let before = total;
        total += (1 + day * day % 17) << 28;
        let read = Move {
            name: name.into(),
            before: Some(before),
            total,
            last_read: Some(now.saturating_sub(Duration::from_secs(if day == 19 { 4 * DAY } else { 60 }))),
            may_be_reset: day == 40,
            ..Move::default()
        };
        state.usage.saw("home", Counted::Users, vec![read], Duration::from_secs(600), now);
        state.usage.write().await;
    }
    let page = asked(&state, &Page::User("home".into(), in_path(name).unwrap()));
    assert!(
        page.matches("<rect x=").count() > 40 && page.contains("reset") && page.contains("gap"),
        "{page}"
    );
    page
}

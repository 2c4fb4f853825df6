use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::tz::TimeZone;

use super::*;
use crate::{
    clock::Beats,
    http,
    model::{
        BesideUsers, Core, CounterChange, CounterRow, Host, Identity, Moment, ProxyTraffic, System,
        Timestamp, User, UserCounts, UserNames, WalkEnd, WholeList,
    },
    store::SavedUsers,
    upstream::{
        Again, Cause, Pace,
        scripted::{Log, Script, Scripted},
    },
};

mod handover;
mod pops;
mod rights;

fn plan() -> Vec<Planned> {
    vec![
        Planned::deciding(Part::System),
        Planned::new(Part::Core, Pace::Every(1)),
        Planned::new(Part::Users, Pace::Walk),
    ]
}

const START: Timestamp = Timestamp::from_secs(1_795_000_000);

fn system() -> Step {
    let identity = Identity { system: System::Marzban, version: "0.8.4".into(), generation: "0.8".into() };
    let facts = vec![
        Fact::Identity(identity),
        Fact::Host(Host::default()),
        Fact::ProxyTraffic(ProxyTraffic { uplink: Some(1), downlink: Some(2) }),
        Fact::Counts(UserCounts::default()),
    ];
    Step::done(Part::System, facts)
}

fn core() -> Step {
    Step::done(Part::Core, vec![Fact::Core(Core { up: Some(true), ..Core::default() })])
}

fn user(index: usize, now: Moment) -> User {
    User { read_at: now.wall, ..User::named(&format!("u{index:05}")) }
}

fn page(users: Vec<User>) -> Step {
    Step::more(vec![Fact::Users(UserFacts::Page(users))])
}

fn whole_walk(end: WalkEnd) -> Step {
    Step::done(Part::Users, vec![Fact::Users(UserFacts::WalkEnd(end))])
}

fn login_refused() -> Result<Step, FetchError> {
    let cause = Cause::Login { status: 401, check: "the password" };
    let again = Again::WhenChanged { at_latest: Duration::from_secs(3600) };
    Err(FetchError { asked: "/login", cause, again })
}

fn failure(cause: impl Into<Cause>) -> Result<Step, FetchError> {
    Err(FetchError::new("/api/system", cause))
}

fn poller(answer: Script) -> (Poller, Board, Clock, Log) {
    let (_, requests) = mpsc::unbounded_channel();
    let (poller, board, clock, log, _) = poller_with(answer, requests, None);
    (poller, board, clock, log)
}

type Named = Arc<Mutex<Vec<Vec<Arc<str>>>>>;

fn poller_with(
    answer: Script,
    requests: mpsc::UnboundedReceiver<Vec<Arc<str>>>,
    by_name: Option<FetchError>,
) -> (Poller, Board, Clock, Log, Named) {
    let board = Board::new(["home"]);
    let clock = Clock::starting_at(START);
    let log = Log::default();
    let named = Named::default();
    let scripted = Scripted {
        plan: plan(),
        answer,
        log: Arc::clone(&log),
        by_name,
        named: Arc::clone(&named),
        resumed: Arc::default(),
        announces: None,
        turn: Arc::default(),
        notes: Notes::default(),
        size: None,
        walked: None,
        timeouts: None,
        beat: Beat::default(),
    };
    let upstream = Upstream::Scripted(Box::new(scripted));
    let telemetry = Telemetry::default();
    let config = PollConfig::default();
    let poller = Poller::new("home", upstream, config, board.clone(), telemetry, clock.clone(), requests);
    (poller, board, clock, log, named)
}

async fn run_for(mut poller: Poller, time: Duration) {
    tokio::time::timeout(time, poller.run(std::future::pending::<()>())).await.unwrap_err();
}

/// Whether the test has run for longer than `seconds`.
fn running_for(now: Moment, seconds: i64) -> bool {
    now.wall > START.saturating_add_millis(seconds * 1000)
}

fn times(log: &Log, wanted: Part) -> Vec<Duration> {
    log.lock().unwrap().iter().filter(|(part, _)| *part == wanted).map(|(_, at)| *at).collect()
}

/// A panel of 20,000 users that takes ten seconds per page, like the measured one.
fn slow_panel() -> Script {
    const PAGES: usize = 40;
    let (mut at, mut started) = (0, Moment::default());
    Box::new(move |part, now| match part {
        Part::System => (Duration::from_millis(40), Ok(system())),
        Part::Core => (Duration::from_millis(5), Ok(core())),
        _ => {
            if at == 0 {
                started = now;
            }
            let users: Vec<_> = (at * 500..(at + 1) * 500).map(|index| user(index, now)).collect();
            at = (at + 1) % PAGES;
            let step = if at == 0 {
                let seen: UserNames = (0..20_000).map(|index| user(index, now).name).collect();
                whole_walk(WalkEnd { page: users, seen, started, ..WalkEnd::default() })
            } else {
                page(users)
            };
            (Duration::from_secs(10), Ok(step))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_slow_panel_is_walked_within_its_load_and_its_cheap_parts_stay_on_time() {
    const PAGE: Duration = Duration::from_secs(10);
    const TIME: Duration = Duration::from_secs(3 * 3600);
    let (poller, board, clock, log) = poller(slow_panel());
    run_for(poller, TIME).await;

    let pages = u32::try_from(times(&log, Part::Users).len()).unwrap();
    let busy = (PAGE * pages).div_duration_f64(TIME);
    assert!((0.09..=0.101).contains(&busy), "busy {busy}");

    let system = times(&log, Part::System);
    let longest = system.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    let allowed = Duration::from_secs(30).mul_f64(1.05) + PAGE;
    assert!(longest <= allowed, "{longest:?} between two polls of a cheap part");

    let report = Arc::clone(&board.view().reports[0]);
    assert_eq!(report.users.list().len(), 20_000);
    let users = &report.parts[&Part::Users];
    let age = clock.now().since(users.last_success.unwrap());
    assert!(age < Duration::from_secs(4100), "{age:?}");
    assert!(users.duration.unwrap() > Duration::from_secs(3800), "{:?}", users.duration);
    assert!(report.fresh(Part::Users, clock.now()));
    assert_eq!(report.parts[&Part::System].outcome, Outcome::Up);
}

#[tokio::test(start_paused = true)]
async fn the_first_walk_of_a_large_panel_says_how_far_it_is() {
    for (secs, read) in [(500, 2500), (3000, 15_000), (4100, 0)] {
        let (mut poller, board, _, _) = poller(slow_panel());
        let Upstream::Scripted(upstream) = &mut poller.upstream else { unreachable!() };
        upstream.size = Some(20_000);
        run_for(poller, Duration::from_secs(secs)).await;
        let report = Arc::clone(&board.view().reports[0]);
        assert_eq!(report.users_are_partial(), read > 0, "{secs} s");
        let Some(walk) = report.first_read() else {
            assert_eq!((read, report.users.list().len()), (0, 20_000), "{secs} s");
            continue;
        };
        assert_eq!((walk.read, walk.size), (read, Some(20_000)));
        // At 10 s a page and 10 % load, the whole takes 4000 s.
        let left =
            Duration::from_secs(4000).mul_f64(1.0 - f64::from(u32::try_from(walk.read).unwrap()) / 20_000.0);
        assert_eq!(walk.left, Some(left), "{secs} s");
    }
}

#[tokio::test(start_paused = true)]
async fn users_not_reached_again_stay_while_a_walk_goes_on_or_fails() {
    let mut panel = slow_panel();
    let (poller, board, clock, _) = poller(Box::new(move |part, now| {
        if part == Part::Users && running_for(now, 5000) {
            return (Duration::from_secs(60), failure(http::Error::Timeout(Duration::from_secs(60))));
        }
        panel(part, now)
    }));
    run_for(poller, Duration::from_secs(7000)).await;
    let report = Arc::clone(&board.view().reports[0]);
    assert_eq!(report.users.list().len(), 20_000);
    assert!(report.fresh(Part::Users, clock.now()));
    let Outcome::Failed { reason, .. } = &report.parts[&Part::Users].outcome else { panic!("not failed") };
    assert_eq!(*reason, Reason::Timeout);
    assert_eq!(report.up, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_takes_the_target_down_and_is_not_repeated_before_its_time() {
    let (poller, board, _, log) = poller(Box::new(|_, _| (Duration::from_millis(300), login_refused())));
    run_for(poller, Duration::from_secs(24 * 3600)).await;
    let report = Arc::clone(&board.view().reports[0]);
    assert_eq!(report.up, Some(false));
    assert_eq!(report.users.list().len(), 0);
    assert!(log.lock().unwrap().iter().all(|(part, _)| *part == Part::System));
    assert_eq!(times(&log, Part::System).len(), 24);
}

#[tokio::test(start_paused = true)]
async fn data_outlives_an_outage_until_it_is_stale_whatever_the_wall_clock_does() {
    let (poller, board, clock, _) = poller(Box::new(|part, now| match part {
        _ if running_for(now, 100) => (Duration::ZERO, failure(http::Error::Connect("refused".into()))),
        Part::System => (Duration::ZERO, Ok(system())),
        Part::Core => (Duration::ZERO, Ok(core())),
        _ => (Duration::ZERO, Ok(whole_walk(WalkEnd::default()))),
    }));
    run_for(poller, Duration::from_secs(600)).await;
    clock.step(10 * 365 * 86_400_000);
    let report = Arc::clone(&board.view().reports[0]);
    assert_eq!(report.up, Some(false));
    assert!(report.fresh(Part::Core, clock.now()));
    clock.step(-20 * 365 * 86_400_000);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!report.fresh(Part::Core, clock.now()));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_or_is_refused_leaves_the_target_up() {
    let (poller, board, _, log) = poller(Box::new(|part, _| match part {
        Part::System => (Duration::ZERO, Ok(system())),
        Part::Core => (Duration::ZERO, failure(Cause::NotAllowed)),
        _ => (Duration::ZERO, failure(http::Error::Status(500))),
    }));
    run_for(poller, Duration::from_secs(800)).await;
    let report = Arc::clone(&board.view().reports[0]);
    assert_eq!(report.up, Some(true));
    assert_eq!(report.parts[&Part::Core].outcome, Outcome::Refused);
    assert!(matches!(
        report.parts[&Part::Users].outcome,
        Outcome::Failed { reason: Reason::ServerError, .. }
    ));
    assert_eq!(times(&log, Part::Core).len(), 1);
    assert!(times(&log, Part::System).len() >= 25);
}

/// A panel of three users; one of them is missing from every walk except the first.
fn shrinking_panel(still_there: bool) -> Script {
    let mut walks = 0;
    Box::new(move |part, now| {
        let user_by = |name: &str| User { name: name.into(), ..user(0, now) };
        let step = match part {
            Part::System => system(),
            Part::Core => core(),
            _ => {
                walks += 1;
                match walks {
                    1 | 2 => {
                        let names: &[&str] = if walks == 1 { &["a", "b", "c"] } else { &["a", "c"] };
                        let page: Vec<_> = names.iter().map(|name| user_by(name)).collect();
                        let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
                        whole_walk(WalkEnd { page, seen, started: now, ..WalkEnd::default() })
                    }
                    3 if still_there => page(vec![user_by("b")]),
                    _ => Step::default(),
                }
            }
        };
        (Duration::from_millis(10), Ok(step))
    })
}

#[tokio::test(start_paused = true)]
async fn a_user_missing_from_a_walk_is_asked_for_by_name() {
    for still_there in [false, true] {
        let (_keep, requests) = mpsc::unbounded_channel();
        let (poller, board, _, _, named) = poller_with(shrinking_panel(still_there), requests, None);
        run_for(poller, Duration::from_secs(40)).await;
        assert_eq!(*named.lock().unwrap(), [[Arc::from("b")]]);
        let names: Vec<_> =
            board.view().reports[0].users.list().iter().map(|user| user.name.to_string()).collect();
        let expected: &[&str] = if still_there { &["a", "b", "c"] } else { &["a", "c"] };
        assert_eq!(names, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn users_are_read_again_when_somebody_asks_fifty_at_a_time_within_the_load() {
    let (ask, requests) = mpsc::unbounded_channel();
    let (mut poller, _, _, log, named) = poller_with(slow_panel(), requests, None);
    let names: Vec<Arc<str>> = (0..120).map(|i| format!("u{i:05}").into()).collect();
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ask.send(names.clone()).unwrap();
        ask.send(names.clone()).unwrap();
        std::future::pending::<()>().await;
    };
    tokio::time::timeout(Duration::from_secs(1000), async {
        tokio::join!(poller.run(std::future::pending::<()>()), later)
    })
    .await
    .unwrap_err();
    let asked: Vec<_> = named.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(asked, [50, 50, 20]);
    let users = times(&log, Part::Users);
    assert!(users.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(100)), "{users:?}");
}

#[tokio::test(start_paused = true)]
async fn asking_by_name_that_always_fails_does_not_keep_the_walk() {
    let (ask, requests) = mpsc::unbounded_channel();
    let fails = FetchError::new("/api/users?username", http::Error::Status(414));
    let (poller, board, _, _, asked) = poller_with(slow_panel(), requests, Some(fails));
    ask.send(vec!["u00001".into()]).unwrap();
    run_for(poller, Duration::from_secs(3 * 3600)).await;
    assert!(asked.lock().unwrap().len() > 10);
    assert_eq!(board.view().reports[0].users.list().len(), 20_000, "the walk goes on");
}

#[tokio::test(start_paused = true)]
async fn a_slow_panel_is_not_taken_for_a_stuck_loop_and_a_stuck_one_is() {
    let beats = Beats::default();
    let longest = PollConfig::default().page_timeout;
    // Every answer takes the maximum time, and the pause after a page of the list is nine times that.
    let answer: Script = Box::new(move |part, now| match part {
        Part::System => (longest, Ok(system())),
        Part::Core => (longest, failure(http::Error::Timeout(longest))),
        _ => (longest, Ok(page(vec![user(0, now)]))),
    });
    let (mut poller, _board, clock, log) = poller(answer);
    beats.watch("poll home", poller.beat());
    let mut running = Box::pin(poller.run(std::future::pending::<()>()));
    for _ in 0..6 * 60 {
        tokio::time::timeout(Duration::from_secs(60), &mut running).await.unwrap_err();
        assert_eq!(beats.stuck(), [""; 0]);
    }
    assert!(times(&log, Part::Users).len() > 10);

    // From now on, the loop is no longer polled.
    let stopped = clock.now();
    while beats.stuck().is_empty() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(beats.stuck(), ["poll home"]);
    assert!(clock.now().since(stopped) < Duration::from_secs(15 * 60));
    drop(running);
    drop(poller);
    assert_eq!(beats.stuck(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn users_deleted_in_bulk_leave_with_default_settings() {
    for left in [250, 100, 1] {
        let (poller, board, ..) = poller(Box::new(move |part, now| {
            let users: u64 = if running_for(now, 100) { left } else { 300 };
            let step = match part {
                Part::System => {
                    let counts = UserCounts { total: Some(users), ..UserCounts::default() };
                    Step::done(part, vec![Fact::Counts(counts)])
                }
                Part::Core => core(),
                _ => {
                    let page: Vec<_> =
                        (0..users).map(|index| user(usize::try_from(index).unwrap(), now)).collect();
                    let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
                    whole_walk(WalkEnd { page, seen, started: now, ..WalkEnd::default() })
                }
            };
            (Duration::from_millis(10), Ok(step))
        }));
        let known = || board.view().reports[0].users.list().len();
        let mut running = Box::pin(run_for(poller, Duration::from_secs(3600)));
        tokio::time::timeout(Duration::from_secs(95), &mut running).await.unwrap_err();
        assert_eq!(known(), 300);
        // A walk, and three counts that agree with it.
        tokio::time::timeout(Duration::from_secs(5 * 32), &mut running).await.unwrap_err();
        assert_eq!(known(), usize::try_from(left).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn parts_that_are_not_asked_for_while_the_target_fails_are_not_up() {
    let (poller, board, ..) = poller(Box::new(|part, now| match part {
        _ if running_for(now, 200) && !running_for(now, 600) => {
            (Duration::ZERO, failure(http::Error::Connect("refused".into())))
        }
        Part::System => (Duration::ZERO, Ok(system())),
        Part::Core => (Duration::ZERO, Ok(core())),
        _ => (Duration::from_secs(1), Ok(page(Vec::new()))),
    }));
    let mut running = Box::pin(run_for(poller, Duration::from_secs(3600)));
    let outcomes = async |running: &mut (dyn Future<Output = ()> + Unpin), seconds| {
        tokio::time::timeout(Duration::from_secs(seconds), running).await.unwrap_err();
        let report = Arc::clone(&board.view().reports[0]);
        plan().iter().map(|planned| report.outcome(planned.part).unwrap().clone()).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&mut running, 190).await, [Outcome::Up, Outcome::Up, Outcome::Pending]);
    let failed =
        Outcome::Failed { reason: Reason::Connect, detail: "/api/system: could not connect: refused".into() };
    assert_eq!(outcomes(&mut running, 100).await, [failed.clone(), failed.clone(), failed]);
    assert_eq!(outcomes(&mut running, 500).await, [Outcome::Up, Outcome::Up, Outcome::Pending]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_of_a_request_by_name_is_not_repeated_either() {
    let (ask, requests) = mpsc::unbounded_channel();
    let refused = login_refused().unwrap_err();
    let (poller, board, _, log, named) = poller_with(slow_panel(), requests, Some(refused));
    ask.send(vec!["u00001".into()]).unwrap();
    run_for(poller, Duration::from_secs(3000)).await;
    assert_eq!(board.view().reports[0].up, Some(false));
    assert_eq!((named.lock().unwrap().len(), times(&log, Part::System).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_answer_may_bring_several_parts_and_facts() {
    let (mut poller, board, clock, log) = poller(Box::new(|part, now| {
        let whole =
            WholeList { users: vec![user(1, now), user(2, now)], started: now, ..WholeList::default() };
        let step = match part {
            Part::System => system(),
            Part::Core => Step {
                done: vec![Part::Core, Part::Users, Part::Online],
                facts: vec![
                    Fact::Core(Core { up: Some(true), ..Core::default() }),
                    Fact::Users(UserFacts::Whole(whole)),
                    Fact::Online(["u00002".into()].into()),
                ],
                durable: Vec::new(),
            },
            _ => panic!("{part:?} came along"),
        };
        (Duration::from_millis(10), Ok(step))
    }));
    let Upstream::Scripted(upstream) = &mut poller.upstream else { unreachable!() };
    upstream.plan.push(Planned::new(Part::Online, Pace::Every(1)));
    run_for(poller, Duration::from_secs(300)).await;
    let report = Arc::clone(&board.view().reports[0]);
    let online: Vec<_> = report.users.list().iter().map(|user| report.online(user, clock.now())).collect();
    assert_eq!(online, [Some(false), Some(true)]);
    assert!(report.users.walked_since().is_some());
    assert_eq!(report.outcome(Part::Users), Some(&Outcome::Up));
    assert!(times(&log, Part::Core).len() >= 9);
    // The names of online users stay known while the part is fresh, even if the user rows are old.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(report.online(report.users.list().nth(0).unwrap(), clock.now()), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_walk_has_read_so_far_is_kept_at_the_end() {
    // A walk takes 3910 seconds, and ten pages 1000.
    for (time, walked, since) in [(3000, false, 0), (4950, true, 5000)] {
        let (mut before, ..) = poller(slow_panel());
        tokio::time::timeout(Duration::from_secs(time), before.run(std::future::pending::<()>()))
            .await
            .unwrap_err();
        // The store's thread takes real time.
        tokio::time::resume();
        let store = Store::in_memory();
        let mut before = before.keeping(store.clone(), None);
        before.keep_users().await;
        let kept = store.load_users("home").await.unwrap();
        tokio::time::pause();
        let Some(kept) = kept else {
            assert!(!walked, "a list that is not whole is not kept");
            continue;
        };
        let (users, beside) = saved::decode(&kept.users).unwrap();
        assert_eq!(users.len(), 20_000);
        assert_eq!(users.iter().filter(|user| user.read_at > kept.read_at).count(), since);
        assert_eq!(beside.unwrap().arrived.len(), before.report.users.beside().arrived.len());
        let report = &before.report;
        assert_eq!(Some(kept.started), report.users.walked_since().map(|since| since.wall));
        assert_eq!(Some(kept.read_at), report.parts[&Part::Users].last_success.map(|read| read.wall));

        // Unchanged users are not stored again.
        tokio::time::resume();
        store.retain_targets(&[], kept.read_at).await.unwrap();
        before.keep_users().await;
        let (next, ..) = poller(slow_panel());
        next.keeping(store.clone(), Some(kept)).keep_users().await;
        assert_eq!(store.load_users("home").await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_list_from_ahead_of_the_clock_is_no_whole_list() {
    for (ahead, whole) in [(-60, true), (60, false)] {
        let (poller, board, clock, _) = poller(slow_panel());
        let now = clock.now();
        let read = Moment { wall: now.wall.saturating_add_millis(ahead * 1000), ..now };
        let users = saved::encode(&[user(0, read)].into_iter().collect(), BesideUsers::default()).unwrap();
        let saved = SavedUsers { read_at: read.wall, started: read.wall, users };
        let poller = poller.keeping(Store::in_memory(), Some(saved));
        let report = Arc::clone(&board.view().reports[0]);
        assert_eq!(report.users.list().len(), 1);
        assert_eq!(report.users.walked_since().is_some(), whole, "{ahead}");
        drop(poller);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_written_before_the_list_is_stored() {
    let (poller, _, clock, _) = poller(Box::new(|part, began| {
        let step = match part {
            Part::System => system(),
            Part::Users => {
                let whole = WholeList { users: vec![user(0, began)], started: began, ..WholeList::default() };
                Step::done(part, vec![Fact::Users(UserFacts::Whole(whole))])
            }
            _ => Step::done(part, Vec::new()),
        };
        (Duration::from_millis(1), Ok(step))
    }));
    let (store, usage) = (Store::in_memory(), Usage::in_memory(&clock, TimeZone::UTC));
    let mut poller = poller.keeping(store.clone(), None).counting(usage.clone());
    let stored = async {
        loop {
            if let Some(saved) = store.load_users("home").await.unwrap() {
                return saved;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = poller.run(std::future::pending::<()>()) => unreachable!("the loop has no end"),
        saved = stored => assert!(usage.users_read("home").unwrap() >= Some(saved.read_at)),
    }
}

/// A system of two parts, one of which it forgets after a while.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_system_forgets_is_stored_before_the_next_request_and_continues_after_a_restart() {
    let store = Store::in_memory();
    let plan = || {
        let queue = Pace::Within(Duration::from_millis(5));
        vec![Planned::deciding(Part::System), Planned::new(Part::Usage, queue)]
    };
    let row = |value| CounterRow { labels: "all".into(), values: vec![value] };
    let mut popped = 0;
    for life in 1..=2 {
        let (seen, resumed) = (Arc::new(Mutex::new(Vec::new())), Arc::default());
        let (stored, found) = (store.clone(), Arc::clone(&seen));
        let mut total = popped;
        let (mut poller, ..) = poller(Box::new(move |part, _| {
            let stored = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(stored.load_counters("home")).unwrap()
            });
            found.lock().unwrap().push((total, stored));
            let step = if part == Part::System {
                system()
            } else {
                total += 1;
                let change =
                    CounterChange { family: "usage".into(), rows: vec![row(total)], gone: Vec::new() };
                Step { durable: vec![change], ..Step::done(part, Vec::new()) }
            };
            (Duration::from_millis(1), Ok(step))
        }));
        let Upstream::Scripted(upstream) = &mut poller.upstream else { unreachable!() };
        (upstream.plan, upstream.resumed) = (plan(), Arc::clone(&resumed));
        poller.schedule.plan(plan());
        let mut poller = poller.keeping(store.clone(), None);
        let enough = async {
            while seen.lock().unwrap().len() < 20 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = poller.run(std::future::pending::<()>()) => unreachable!("the loop has no end"),
            () = enough => {}
        }
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        for (total, stored) in &seen {
            let expected = if *total == 0 { vec![] } else { vec![("usage".to_owned(), vec![row(*total)])] };
            assert_eq!(*stored, expected, "life {life}");
        }
        let before = if life == 1 { vec![] } else { vec![("usage".to_owned(), vec![row(popped)])] };
        assert_eq!(*resumed.lock().unwrap(), before);
        // The last answer may have been lost with the loop.
        popped = store.load_counters("home").await.unwrap()[0].1[0].values[0];
        assert!(popped > 0);
    }
}

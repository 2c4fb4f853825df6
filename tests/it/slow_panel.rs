//! A simulated panel that is as slow as a real one of 20,000 users, with every time a hundredth of the measured: a page
//! of 500 users takes 100 ms here and 10 s there, and the cheap parts are asked for every 300 ms.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proxymeter::{
    board::Board,
    clock::Clock,
    model::{Moment, Part},
    poll::{Poller, config::PollConfig},
    simulator::marzban::{Cost, Options, Panel},
    telemetry::Telemetry,
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::common;

const USERS: usize = 1500;
const PAGE: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_millis(300);

#[expect(clippy::disallowed_methods, reason = "the panel's own clock")]
fn millis() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn a_panel_as_slow_as_a_real_one_is_walked_within_its_load_and_its_cheap_parts_stay_on_time() {
    let cost = Cost { per_request: Duration::from_millis(1), per_row: PAGE / 500 };
    let panel = Panel::new(Options { users: USERS, cost, ..Options::default() }, millis);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let Options { username, password, .. } = Options::default();
    let login = common::password(&username, &password);
    let upstream = common::upstream(&common::config(&url, login), common::PATIENT);

    let board = Board::new(["home"]);
    let clock = Clock::system();
    let config = PollConfig { interval: INTERVAL, ..PollConfig::default() };
    let (_, nobody_asks) = mpsc::unbounded_channel();
    let mut poller =
        Poller::new("home", upstream, config, board.clone(), Telemetry::new(), clock.clone(), nobody_asks);

    let started = Instant::now();
    let mut news = board.watch();
    // Each poll of the cheapest part, and how many pages were asked for before it.
    let mut polls: Vec<(Moment, usize)> = Vec::new();
    let watch = async {
        loop {
            news.changed().await.unwrap();
            let report = Arc::clone(&news.borrow_and_update().reports[0]);
            if let Some(system) = report.parts.get(&Part::System).and_then(|state| state.last_success)
                && polls.last().is_none_or(|(last, _)| *last != system)
            {
                polls.push((system, panel.wire.requests_to("/api/users?offset")));
            }
            if report.parts.get(&Part::Users).is_some_and(|users| users.last_success.is_some()) {
                return report;
            }
        }
    };
    let report = tokio::select! {
        report = watch => report,
        () = poller.run(std::future::pending::<()>()) => unreachable!("it does not end"),
        () = panel.clone().serve(listener, std::future::pending()) => unreachable!("it does not end"),
        () = sleep(Duration::from_secs(60)) => panic!("the walk does not end"),
    };
    let took = started.elapsed();

    assert_eq!(report.users.list().len(), USERS);
    // A page, a rest nine times as long, and so on; after the last page the rest is still to come.
    let pages = u32::try_from(panel.wire.requests_to("/api/users?offset")).unwrap();
    let busy = (PAGE * pages).div_duration_f64(took + PAGE * 9);
    assert!(busy <= 0.105, "the panel was busy {busy} of the time");
    assert_eq!(panel.wire.max_in_flight(), 1);
    // Other work on the machine delays some polls a little; a walk in their way delays every poll after a page. So the
    // median is held to what the schedule allows, each rest after a page, which is three intervals long, has polls, and
    // the longest gap has a generous limit.
    let polled = |pages: usize| polls.iter().filter(|(_, before)| *before == pages).count();
    let rests: Vec<_> = (1..panel.wire.requests_to("/api/users?offset")).map(polled).collect();
    assert!(rests.len() >= 2 && rests.iter().all(|polls| *polls >= 2), "{rests:?} polls in the rests");
    let mut gaps: Vec<_> = polls.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    gaps.sort_unstable();
    let allowed = INTERVAL.mul_f64(1.05) + PAGE;
    assert!(gaps[gaps.len() / 2] <= allowed, "{gaps:?} between polls of the cheapest part");
    assert!(*gaps.last().unwrap() <= allowed * 3, "{gaps:?} between polls of the cheapest part");
}

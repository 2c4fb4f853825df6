//! What a walk over a slow list costs the panel: no more of its time than is allowed.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use proxymeter::{
    board::Board,
    clock::Clock,
    model::Part,
    poll::{Poller, config::PollConfig},
    simulator::{
        http::Cost,
        xui::{Generation, Options},
    },
    telemetry::Telemetry,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::simulated;

const CLIENTS: u32 = 400;
/// What the panel takes for one list.
const LIST: Duration = Duration::from_millis(100);
const LISTS: usize = 4;

#[tokio::test]
async fn a_slow_list_keeps_the_panel_busy_no_longer_than_a_tenth_of_the_time() {
    for (generation, rows_per_client) in [(Generation::V2_8, 9), (Generation::V3_6, 17)] {
        let cost = Cost { per_request: Duration::ZERO, per_row: LIST / (CLIENTS * rows_per_client) };
        let options = Options { generation, clients: CLIENTS as usize, cost, ..Options::default() };
        let (panel, url) = simulated::serve(&options, &Arc::<AtomicI64>::default()).await;
        let upstream = simulated::client(&url, simulated::password(&options));
        let board = Board::new(["home"]);
        let config = PollConfig { interval: Duration::from_millis(300), load: 0.1, ..PollConfig::default() };
        let (_, nobody_asks) = mpsc::unbounded_channel();
        let telemetry = Telemetry::new();
        let mut poller =
            Poller::new("home", upstream, config, board.clone(), telemetry, Clock::system(), nobody_asks);
        let (started, mut news) = (Instant::now(), board.watch());
        let watch = async {
            let (mut lists, mut last) = (0, None);
            while lists < LISTS {
                news.changed().await.unwrap();
                let report = Arc::clone(&news.borrow_and_update().reports[0]);
                let read = report.parts.get(&Part::Users).and_then(|state| state.last_success);
                lists += usize::from(read.is_some() && read != last);
                last = read;
            }
        };
        tokio::select! {
            () = watch => {}
            () = poller.run(std::future::pending::<()>()) => unreachable!("it does not end"),
            () = sleep(Duration::from_secs(60)) => panic!("the lists do not end"),
        }
        // After the last list, its rest is still to come.
        let took = started.elapsed() + LIST * 9;
        let asked = u32::try_from(panel.wire.requests_to("/panel/api/inbounds/list")).unwrap();
        let busy = (LIST * asked).div_duration_f64(took);
        assert!(asked >= 4 && busy <= 0.105, "{generation:?}: busy {busy} of the time with {asked} lists");
        assert_eq!(panel.wire.max_in_flight(), 1, "{generation:?}");
    }
}

//! What tests that meet a panel share: a server that answers as told, a panel made of recorded answers, and a watch
//! on everything that could give a secret away.

pub(crate) mod canary;
pub(crate) mod chats;
pub(crate) mod cliproxy;
pub(crate) mod daemon;
pub(crate) mod exposition;
pub(crate) mod golden;
pub(crate) mod hook;
pub(crate) mod listener;
pub(crate) mod llm;
pub(crate) mod mailbox;
pub(crate) mod panel;
pub(crate) mod pki;
pub(crate) mod port;
pub(crate) mod queue;
pub(crate) mod receiver;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod shown;
pub(crate) mod simulated;
pub(crate) mod smtp;
pub(crate) mod xui;

use std::{collections::BTreeMap, time::Duration};

use proxymeter::{
    board::Board,
    clock::Clock,
    http::options::PanelUrl,
    model::{Moment, NodeAllowances, Outcome, Part, Report, Timestamp},
    poll::{Poller, config::PollConfig},
    telemetry::Telemetry,
    upstream::{
        Timeouts, Upstream,
        marzban::config::{Login, MarzbanConfig},
    },
};

/// What the recorded panel's clock showed: 2026-11-21 02:23:53 UTC.
pub(crate) const RECORDED_AT: Timestamp = Timestamp::from_secs(1_795_227_833);
/// For answers that come.
pub(crate) const PATIENT: Timeouts =
    Timeouts { request: Duration::from_secs(10), page: Duration::from_secs(10) };
/// For answers that do not.
pub(crate) const SHORT: Timeouts =
    Timeouts { request: Duration::from_millis(250), page: Duration::from_millis(250) };

pub(crate) fn password(username: &str, password: &str) -> Login {
    Login::Password { username: username.into(), password: password.into() }
}

pub(crate) fn config(url: &str, login: Login) -> MarzbanConfig {
    MarzbanConfig {
        device_limit: None,
        endpoint: PanelUrl::parse(url).unwrap().into(),
        login,
        node_traffic_of: Vec::new(),
        admin_limits: BTreeMap::new(),
        allowances: NodeAllowances::default(),
    }
}

pub(crate) fn upstream(config: &MarzbanConfig, timeouts: Timeouts) -> Upstream {
    Upstream::marzban(config, timeouts).unwrap()
}

/// A moment of a test that takes no time: what a client is told it is.
pub(crate) fn at(wall: Timestamp) -> Moment {
    Moment { wall, uptime: Duration::from_secs(1) }
}

pub(crate) async fn read_once(upstream: Upstream) -> Report {
    read_at(upstream, Clock::starting_at(RECORDED_AT)).await
}

/// Reads every part once, by this clock.
pub(crate) async fn read_at(upstream: Upstream, clock: Clock) -> Report {
    let (poller, _) = poller(upstream, clock);
    poller.read_once(|_| {}).await
}

/// Polls without rests until the report is as wanted, and gives it.
///
/// # Panics
/// When it does not become so.
pub(crate) async fn poll_until(upstream: Upstream, mut wanted: impl FnMut(&Report) -> bool) -> Report {
    let (mut poller, board) = poller(upstream, Clock::starting_at(RECORDED_AT));
    let mut views = board.watch();
    let seen = async {
        loop {
            let report = views.borrow_and_update().reports[0].clone();
            if wanted(&report) {
                return report.as_ref().clone();
            }
            views.changed().await.unwrap();
        }
    };
    tokio::select! {
        report = seen => report,
        () = poller.run(std::future::pending::<()>()) => unreachable!("the loop has no end"),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("never as wanted: {:#?}", board.view().reports[0].parts),
    }
}

fn poller(upstream: Upstream, clock: Clock) -> (Poller, Board) {
    let board = Board::new(["home"]);
    let config = PollConfig { interval: Duration::from_millis(10), load: 1.0, ..PollConfig::default() };
    let poller = Poller::new(
        "home",
        upstream,
        config,
        board.clone(),
        Telemetry::default(),
        clock,
        tokio::sync::mpsc::unbounded_channel().1,
    );
    (poller, board)
}

/// The reason that `part` failed for at its last attempt.
pub(crate) fn reason(report: &Report, part: Part) -> Option<&'static str> {
    match report.outcome(part)? {
        Outcome::Failed { reason, .. } => Some(reason.label()),
        _ => None,
    }
}

pub(crate) fn user_names(report: &Report) -> Vec<&str> {
    report.users.list().iter().map(|user| &*user.name).collect()
}

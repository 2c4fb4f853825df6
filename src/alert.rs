//! Alerting: rules, the state of each alert, and the grouping of alerts into notices.
//!
//! [`finding`] evaluates the rules of [`rule`] on a report, [`state`] moves each alert on by the findings, and [`group`]
//! turns the events into notices. All of these are pure, and [`engine`] combines them. Only [`run`] waits. [`promql`] has the
//! rules for Prometheus.

pub mod config;
pub mod rule;

pub mod finding;

pub mod state;

pub mod group;

pub mod engine;

pub mod promql;

#[cfg(test)]
pub(crate) mod testing;
mod words;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time,
};
use tracing::{error, info, warn};

pub use self::words::Pseudonym;
use self::{
    config::AlertingConfig,
    engine::{Engine, Output, Reread},
    group::{Route, Suppressed},
    rule::RuleError,
};
use crate::{
    board::View,
    clock::{Beat, Clock},
    model::{ActiveAlerts, Notice},
    store::{Batch, Store},
    telemetry::Telemetry,
};

/// What the alert task reads from and writes to.
pub struct Wiring {
    pub view: watch::Receiver<View>,
    pub reloads: mpsc::Receiver<Reload>,
    /// To the worker of each receiver, by name.
    pub notices: HashMap<String, mpsc::UnboundedSender<Notice>>,
    /// What is pending, firing or suppressed.
    pub alerts: watch::Sender<Arc<ActiveAlerts>>,
    /// What notices call users; absent: by their names.
    pub pseudonym: Option<Pseudonym>,
    /// To the loop of each target, by name: users to be read again.
    pub reread: HashMap<String, mpsc::UnboundedSender<Vec<Arc<str>>>>,
    pub store: Store,
    pub telemetry: Telemetry,
    pub clock: Clock,
    /// Beats as long as the task is not stuck.
    pub beat: Beat,
}

/// Another configuration to continue with.
pub struct Reload {
    pub config: AlertingConfig,
    pub routes: Vec<Route>,
    pub pseudonym: Option<Pseudonym>,
    pub notices: HashMap<String, mpsc::UnboundedSender<Notice>>,
    pub reread: HashMap<String, mpsc::UnboundedSender<Vec<Arc<str>>>>,
    /// Receives the mistakes in it, if any; then nothing changes.
    pub done: oneshot::Sender<Result<(), Vec<RuleError>>>,
}

/// The board is read at most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// Judges what is on the board, records the result, and then sends notices, until it is dropped.
pub async fn run(mut engine: Engine, mut wiring: Wiring) {
    wiring.telemetry.declare_suppressions(&Suppressed::REASONS);
    if engine.clock_was_ahead() {
        warn!("stored times lie ahead of the clock, which must have been set back");
        wiring.telemetry.clock_step();
    }
    loop {
        let now = wiring.clock.now();
        let view = wiring.view.borrow_and_update().clone();
        engine.observe(&view, now);
        let output = engine.tick(wiring.pseudonym.as_ref(), now);
        let active = engine.active();
        wiring.alerts.send_if_modified(|shown| {
            let is_new = !Arc::ptr_eq(shown, &active);
            *shown = active;
            is_new
        });
        wiring.carry_out(output).await;

        wiring.beat.within(PAUSE);
        // The sender of a reload waits for the answer.
        tokio::select! {
            () = time::sleep(PAUSE) => {}
            Some(reload) = wiring.reloads.recv() => {
                wiring.reload(&mut engine, reload);
                continue;
            }
        }
        let wait = engine.due().saturating_sub(wiring.clock.now().uptime);
        wiring.beat.within(wait);
        tokio::select! {
            Ok(()) = wiring.view.changed() => {}
            Some(reload) = wiring.reloads.recv() => wiring.reload(&mut engine, reload),
            () = time::sleep(wait) => {}
        }
    }
}

impl Wiring {
    /// Records the output first, and then acts on it.
    pub(crate) async fn carry_out(&self, output: Output) {
        let Output { alerts, groups, notices, reread, suppressed } = output;
        for (reason, count) in suppressed.by_reason() {
            self.telemetry.suppressed(reason, count);
        }
        for notice in &notices {
            let Notice { receiver, reason, alerts, .. } = notice;
            info!(receiver, reason, alert_count = alerts.len(), "a notification is due");
        }
        if !(alerts.is_empty() && groups.is_empty() && notices.is_empty()) {
            let batch = Batch { alerts, groups, notices: &notices };
            if let Err(err) = self.store.record(batch).await {
                // The store logs its own state; notices are sent from memory.
                warn!("alerts are not recorded and notifications could be repeated after a restart: {err}");
            }
        }
        for notice in notices {
            let left = match self.notices.get(&notice.receiver) {
                Some(worker) => worker.send(notice).err().map(|err| err.0),
                None => Some(notice),
            };
            if let Some(notice) = left {
                error!(
                    receiver = notice.receiver,
                    "the receiver has no delivery queue; its notification is lost"
                );
            }
        }
        for Reread { target, users } in reread {
            if let Some(poller) = self.reread.get(&*target) {
                // If the poller has ended, the next walk reads these users.
                drop(poller.send(users));
            }
        }
    }

    fn reload(&mut self, engine: &mut Engine, reload: Reload) {
        let Reload { config, routes, pseudonym, notices, reread, done } = reload;
        let result = engine.reconfigure(&config, routes, self.clock.now());
        if result.is_ok() {
            self.pseudonym = pseudonym;
            self.notices = notices;
            self.reread = reread;
        }
        // The sender may have stopped waiting.
        drop(done.send(result));
    }
}

#[cfg(test)]
mod tests {
    use super::{
        config::RuleConfig,
        engine::Rows,
        testing::{BEGIN, DAY, Panel, config},
        *,
    };
    use crate::{board::Board, clock::Beats, model::Severity};

    fn route() -> Route {
        Route {
            receiver: "ops".into(),
            min_severity: Severity::Info,
            send_resolved: true,
            group_by: vec!["alertname".into()],
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(300),
            repeat_interval: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_the_board_is_recorded_and_sent() {
        let (clock, board, store) = (Clock::starting_at(BEGIN), Board::new(["home"]), Store::in_memory());
        let (notices, mut told) = mpsc::unbounded_channel();
        let (reread, mut asked) = mpsc::unbounded_channel();
        let (reloads, reload) = mpsc::channel(1);
        let (alerts, mut listed) = watch::channel(Arc::default());
        let telemetry = Telemetry::new();
        let wiring = Wiring {
            view: board.watch(),
            reloads: reload,
            notices: HashMap::from([("ops".to_owned(), notices.clone())]),
            alerts,
            pseudonym: None,
            reread: HashMap::from([("home".to_owned(), reread.clone())]),
            store,
            telemetry,
            clock: clock.clone(),
            beat: Beat::default(),
        };
        let engine = Engine::new(&config(), vec![route()], &Rows::default(), clock.now()).unwrap();

        let story = async {
            let mut panel = Panel::new("home");
            panel.expires("alice", 2 * DAY);
            panel.expires("bob", 3 * DAY + 600);
            board.publish((*panel.poll(clock.now())).clone());
            let notice = told.recv().await.unwrap();
            assert_eq!((notice.reason.as_str(), notice.alerts.len()), ("first notification", 2));
            assert_eq!(listed.borrow_and_update().list.len(), 3);

            // Bob crosses a step while his last reading is old.
            assert!(asked.is_empty());
            for _ in 0..20 {
                time::sleep(Duration::from_secs(30)).await;
                panel.poll_cheap(clock.now());
                panel.read(crate::model::Part::Users, clock.now());
                board.publish(panel.report.clone());
            }
            let again = asked.recv().await.unwrap();
            assert_eq!(again, ["bob".into()]);

            // A configuration with a mistake changes nothing.
            let bad = RuleConfig { rule: Some("nonsense".into()), ..RuleConfig::default() };
            let off = RuleConfig { enabled: Some(false), ..RuleConfig::default() };
            for (name, rule, good) in [("mine", bad, false), ("user_expiry", off, true)] {
                let config = AlertingConfig { rules: [(name.to_owned(), rule)].into(), ..config() };
                let notices = HashMap::from([("ops".to_owned(), notices.clone())]);
                let (done, answer) = oneshot::channel();
                let reread = HashMap::from([("home".to_owned(), reread.clone())]);
                let routes = vec![route()];
                let reload = Reload { config, routes, pseudonym: None, notices, reread, done };
                reloads.send(reload).await.unwrap();
                assert_eq!(answer.await.unwrap().is_ok(), good);
            }
            let notice = told.recv().await.unwrap();
            assert_eq!(notice.reason, "all alerts resolved");
        };
        let beats = Beats::default();
        beats.watch("alerts", &wiring.beat);
        let mut running = Box::pin(run(engine, wiring));
        tokio::select! {
            () = &mut running => panic!("the task ended"),
            () = story => {}
        }
        assert_eq!(beats.stuck(), [""; 0]);
        time::advance(Duration::from_secs(200)).await;
        assert_eq!(beats.stuck(), ["alerts"]);
        drop(running);
    }
}

//! The dispatcher and a worker for each receiver, run by the test, on a real store.

use jiff::tz::TimeZone;
use proxymeter::wording::Voice;
use std::{collections::HashMap, path::Path, pin::Pin, sync::Arc, time::Duration};

use proxymeter::{
    alert::{config::AlertingConfig, group::Route},
    board::Board,
    clock::{Beat, Clock},
    dispatch::{self, Dispatcher, LAST_ATTEMPT, Link, Shown, Way, Wiring, Worker},
    model::{Notice, ReceiverTrouble, Severity},
    notify::{self, HealthByReceiver},
    store::{Batch, Loaded, Message, Store, Usage},
    telemetry::Telemetry,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A store and what is in it.
pub(crate) fn open(folder: &Path) -> (Store, Loaded) {
    let opened = Store::open(folder, Clock::system().now().wall).unwrap();
    assert_eq!(opened.problem, None);
    (opened.store, opened.loaded)
}

/// Records messages, as an earlier process would have.
pub(crate) async fn record(store: &Store, loaded: &mut Loaded, notices: &[Notice]) {
    let messages: Vec<_> = notices.iter().map(|notice| Message::of(notice).unwrap()).collect();
    loaded.outbox.extend(messages.iter().cloned());
    store.record(Batch { messages, ..Batch::default() }).await.unwrap();
}

/// Receivers that run.
pub(crate) struct Queue {
    board: Board,
    pub(crate) telemetry: Telemetry,
    stop: oneshot::Sender<()>,
    pub(crate) running: Pin<Box<dyn Future<Output = ()>>>,
}

impl Queue {
    pub(crate) fn start(receivers: Vec<(&str, notify::Receiver)>, store: &Store, loaded: Loaded) -> Queue {
        let (board, clock, telemetry) = (Board::new([]), Clock::system(), Telemetry::new());
        let (reports, heard) = mpsc::channel(64);
        let (mut links, mut routes, mut workers) = (Vec::new(), Vec::new(), JoinSet::new());
        for (name, receiver) in receivers {
            let (queue, letters) = mpsc::channel(1);
            routes.push(route(name));
            links.push(Link {
                place: String::new(),
                receiver: name.to_owned(),
                to: Way::Messages {
                    letters: queue,
                    worker: 1,
                    names: receiver.names(),
                    pace: receiver.pace(),
                },
                config: 7,
            });
            let worker = Worker {
                name: name.to_owned(),
                number: 1,
                receiver,
                letters,
                reports: reports.clone(),
                telemetry: telemetry.clone(),
                clock: clock.clone(),
            };
            workers.spawn(worker.run());
        }
        drop(reports);
        let shown =
            Shown { board: board.clone(), telemetry: telemetry.clone(), health: HealthByReceiver::default() };
        let config = AlertingConfig::default();
        let dispatcher = Dispatcher::new(&config, routes, links, loaded, None, shown, clock.now()).unwrap();
        let wiring = Wiring {
            view: board.watch(),
            reloads: mpsc::channel(1).1,
            reports: heard,
            asks: mpsc::channel(1).1,
            silences: mpsc::channel(1).1,
            alerts: watch::channel(Arc::default()).0,
            reread: HashMap::new(),
            store: store.clone(),
            usage: Usage::in_memory(&clock, TimeZone::UTC),
            telemetry: telemetry.clone(),
            clock,
            beat: Beat::default(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let running = Box::pin(async move {
            let stopped = async {
                drop(stopped.await);
                Instant::now() + LAST_ATTEMPT
            };
            dispatch::run(dispatcher, wiring, stopped).await;
            drop(workers);
        });
        Queue { board, telemetry, stop, running }
    }

    /// Runs until a counter of this receiver has this value.
    pub(crate) async fn until(&mut self, name: &str, receiver: &str, value: f64) {
        let telemetry = self.telemetry.clone();
        let reached = async {
            while counter(&telemetry, name, receiver) < value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        self.meanwhile(reached).await;
    }

    /// Runs until `work` is done.
    pub(crate) async fn meanwhile(&mut self, work: impl Future<Output = ()>) {
        tokio::select! {
            done = timeout(PATIENCE, work) => done.unwrap(),
            () = &mut self.running => panic!("it ended"),
        }
    }

    /// Stops as a daemon does.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.running.await;
    }

    /// What is known to be wrong with a receiver.
    pub(crate) fn trouble(&self, receiver: &str) -> ReceiverTrouble {
        self.board.view().own.receivers[receiver].clone()
    }
}

fn route(receiver: &str) -> Route {
    Route {
        receiver: receiver.to_owned(),
        min_severity: Severity::Info,
        send_resolved: true,
        group_by: vec!["target".into(), "alertname".into()],
        group_wait: Duration::ZERO,
        group_interval: Duration::ZERO,
        repeat_interval: None,
        voice: Voice::default(),
        standing: false,
        digest: None,
        statements: Vec::new(),
    }
}

pub(crate) fn counter(telemetry: &Telemetry, name: &str, receiver: &str) -> f64 {
    let families = telemetry.gather();
    let family = families.iter().find(|family| family.name() == format!("proxymeter_{name}")).unwrap();
    let of_receiver = |metric: &&prometheus::proto::Metric| {
        metric.get_label().iter().any(|label| label.value() == receiver)
    };
    family.get_metric().iter().filter(of_receiver).map(|metric| metric.get_counter().get_value()).sum()
}

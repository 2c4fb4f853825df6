//! A receiver's queue, run by the test, on a real store.

use std::{collections::HashMap, path::Path, pin::Pin, time::Duration};

use proxymeter::{
    clock::Clock,
    model::Notice,
    notify::{
        self,
        delivery::{Fallback, HealthByReceiver, Left, Others, Terms, Wiring, Worker},
    },
    store::{Batch, Loaded, Store},
    telemetry::Telemetry,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A store and what is in it.
pub(crate) fn open(folder: &Path) -> (Store, Loaded) {
    let opened = Store::open(folder, Clock::system().now().wall).unwrap();
    assert_eq!(opened.problem, None);
    (opened.store, opened.loaded)
}

/// A running queue and its ends.
pub(crate) struct Queue {
    name: String,
    pub(crate) store: Store,
    pub(crate) telemetry: Telemetry,
    pub(crate) notices: mpsc::UnboundedSender<Notice>,
    pub(crate) fallback: mpsc::UnboundedReceiver<Notice>,
    _to_fallback: mpsc::UnboundedSender<Notice>,
    pub(crate) running: Pin<Box<dyn Future<Output = Left>>>,
}

impl Queue {
    pub(crate) fn start(name: &str, receiver: notify::Receiver, store: &Store, loaded: Loaded) -> Queue {
        let (notices, incoming) = mpsc::unbounded_channel();
        let (to_fallback, fallback) = mpsc::unbounded_channel();
        let telemetry = Telemetry::new();
        let state = loaded.receivers.into_iter().find(|(of, _)| of == name).map(|(_, state)| state);
        let left = Left {
            pending: loaded.outbox.into_iter().filter(|row| row.notice.receiver == name).collect(),
            state: state.unwrap_or_default(),
        };
        let terms = Terms { send_resolved: true, config: 7 };
        let others = Others {
            fallback: Some(Fallback { receiver: "other".into(), after: PATIENCE }),
            queues: HashMap::from([("other".to_owned(), to_fallback.downgrade())]),
        };
        let wiring = Wiring {
            store: store.clone(),
            telemetry: telemetry.clone(),
            clock: Clock::system(),
            others: watch::channel(others).1,
            health: HealthByReceiver::default(),
        };
        let worker = Worker::new(name.into(), receiver, left, terms, wiring, incoming);
        let running = Box::pin(worker.run());
        Queue {
            name: name.into(),
            store: store.clone(),
            telemetry,
            notices,
            fallback,
            _to_fallback: to_fallback,
            running,
        }
    }

    /// Records a notice, and only then hands it over.
    pub(crate) async fn send(&self, notice: Notice) {
        self.store
            .record(Batch { notices: std::slice::from_ref(&notice), ..Batch::default() })
            .await
            .unwrap();
        self.notices.send(notice).unwrap();
    }

    /// Runs until a counter of this receiver has this value.
    pub(crate) async fn until(&mut self, name: &str, value: f64) {
        let (telemetry, receiver) = (self.telemetry.clone(), self.name.clone());
        let reached = async {
            while counter(&telemetry, name, &receiver) < value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            reached = timeout(PATIENCE, reached) => reached.unwrap(),
            _ = &mut self.running => panic!("the queue ended"),
        }
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

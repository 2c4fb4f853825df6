//! The alert engine, the receivers' queues, and the channels that join what does not know each other.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tracing::error;

use super::StartError;
use crate::{
    alert::{
        self, Pseudonym, Reload, Wiring,
        engine::{Engine, Reread, Rows},
        group::Route,
    },
    board::Board,
    clock::Clock,
    config::{Config, NoticeNames, ReceiverKind, ReceiverTable},
    exposition::HashKey,
    model::{ActiveAlerts, Notice},
    notify::{
        Receiver,
        delivery::{Failing, Worker},
        email::Email,
        failing_notice,
        webhook::Webhook,
    },
    store::{Batch, Loaded, Store},
    telemetry::Telemetry,
};

/// Failures of receivers that wait to be told to the fallback.
const FAILINGS: usize = 64;
/// What an attempt under way may still take after the daemon was told to stop. One that is cut off is made again after
/// the next start, under the same id.
const LAST_ATTEMPT: Duration = Duration::from_secs(3);

/// Everything about alerts, built and not yet running.
pub(super) struct Alerting {
    engine: Engine,
    wiring: Wiring,
    rereads: Rereads,
    workers: Vec<Worker>,
    fallback: Fallback,
    /// What is pending and firing.
    pub(super) active: watch::Receiver<Arc<ActiveAlerts>>,
}

/// What the rest of the daemon lends.
pub(super) struct Shared<'a> {
    pub(super) board: &'a Board,
    pub(super) clock: &'a Clock,
    pub(super) store: &'a Store,
    pub(super) telemetry: &'a Telemetry,
    /// Under which notices name users, if they are to be hashed.
    pub(super) key: Option<HashKey>,
}

/// Passes on to each target's loop which users are to be read again by name.
struct Rereads {
    wanted: mpsc::UnboundedReceiver<Reread>,
    pollers: BTreeMap<Arc<str>, mpsc::UnboundedSender<Vec<Arc<str>>>>,
    /// Held so that the engine does not take it for closed.
    _reload: mpsc::Sender<Reload>,
}

/// Tells one receiver that another fails.
struct Fallback {
    failing: mpsc::Receiver<Failing>,
    /// Absent: nobody is told.
    receiver: Option<(String, mpsc::UnboundedSender<Notice>)>,
    store: Store,
    clock: Clock,
}

impl Alerting {
    pub(super) fn build(
        config: &Config,
        mut loaded: Loaded,
        rereads: BTreeMap<Arc<str>, mpsc::UnboundedSender<Vec<Arc<str>>>>,
        shared: &Shared<'_>,
    ) -> Result<Self, StartError> {
        let rows =
            Rows { alerts: std::mem::take(&mut loaded.alerts), groups: std::mem::take(&mut loaded.groups) };
        let routes = config.receivers.iter().map(|table| route(config, table)).collect();
        let now = shared.clock.now();
        let engine = Engine::new(&config.alerting, routes, &rows, now)
            .map_err(|errors| StartError::Alerting(errors.iter().map(ToString::to_string).collect()))?;

        let (fail, failing) = mpsc::channel(FAILINGS);
        let (mut workers, mut queues) = (Vec::new(), HashMap::new());
        for table in &config.receivers {
            let receiver =
                receiver(table).map_err(|why| StartError::Receiver { receiver: table.name.clone(), why })?;
            let (queue, incoming) = mpsc::unbounded_channel();
            let mine = |row: &crate::store::Pending| row.notice.receiver == table.name;
            let pending = loaded.outbox.extract_if(.., |row| mine(row)).collect();
            let state = loaded.receivers.iter().find(|(name, _)| *name == table.name);
            workers.push(Worker::new(
                table.name.clone(),
                receiver,
                pending,
                state.map(|(_, state)| state.clone()).unwrap_or_default(),
                shared.store.clone(),
                shared.telemetry.clone(),
                shared.clock.clone(),
                incoming,
                fail.clone(),
            ));
            queues.insert(table.name.clone(), queue);
        }
        let fallback = config.alerting.fallback.as_ref();
        let fallback = fallback.and_then(|name| Some((name.clone(), queues.get(name)?.clone())));

        let (active, is_active) = watch::channel(Arc::default());
        let (reread, reread_wanted) = mpsc::unbounded_channel();
        let (reload, reloads) = mpsc::channel(1);
        let hashed = config.users.notices == NoticeNames::Hash;
        Ok(Alerting {
            engine,
            wiring: Wiring {
                view: shared.board.watch(),
                reloads,
                notices: queues,
                alerts: active,
                pseudonym: shared.key.clone().filter(|_| hashed).map(pseudonym),
                reread,
                store: shared.store.clone(),
                telemetry: shared.telemetry.clone(),
                clock: shared.clock.clone(),
            },
            rereads: Rereads { wanted: reread_wanted, pollers: rereads, _reload: reload },
            workers,
            fallback: Fallback {
                failing,
                receiver: fallback,
                store: shared.store.clone(),
                clock: shared.clock.clone(),
            },
            active: is_active,
        })
    }
}

impl Alerting {
    /// What runs until `stop` resolves: the engine and the fallback. Queues end by themselves once the engine has,
    /// after the attempt that they are making, or without its end if that takes longer than [`LAST_ATTEMPT`].
    pub(super) fn spawn<S: Future<Output = ()> + Send + 'static>(
        self,
        tasks: &mut JoinSet<()>,
        stop: impl Fn() -> S,
    ) {
        tasks.spawn(super::until(alert::run(self.engine, self.wiring), stop()));
        tasks.spawn(super::until(self.rereads.run(), stop()));
        tasks.spawn(super::until(self.fallback.run(), stop()));
        for worker in self.workers {
            let stopped = stop();
            let at_last = async {
                stopped.await;
                sleep(LAST_ATTEMPT).await;
            };
            tasks.spawn(super::until(async { drop(worker.run().await) }, at_last));
        }
    }
}

impl Rereads {
    /// Does not end.
    async fn run(mut self) {
        while let Some(reread) = self.wanted.recv().await {
            if let Some(poller) = self.pollers.get(&reread.target) {
                // A target's loop ends only with the daemon.
                drop(poller.send(reread.users));
            }
        }
        std::future::pending::<()>().await;
    }
}

impl Fallback {
    /// Does not end.
    async fn run(mut self) {
        while let Some(failing) = self.failing.recv().await {
            let Some((name, queue)) = self.receiver.as_ref().filter(|(name, _)| *name != failing.receiver)
            else {
                continue;
            };
            let notice = failing_notice(&failing, name, self.clock.now().wall);
            let batch = Batch { notices: vec![notice.clone()], ..Batch::default() };
            if let Err(err) = self.store.record(batch).await {
                error!("that a receiver fails is not recorded and would be lost in a crash: {err}");
            }
            // The queue ends only with the daemon.
            drop(queue.send(notice));
        }
        std::future::pending::<()>().await;
    }
}

fn pseudonym(key: HashKey) -> Pseudonym {
    Box::new(move |name| key.hash(name))
}

/// A receiver as configured.
///
/// # Errors
/// Says what of it can never work.
pub(crate) fn receiver(table: &ReceiverTable) -> Result<Receiver, String> {
    match &table.kind {
        ReceiverKind::Email(config) => {
            Email::new(config).map(|email| Receiver::Email(Box::new(email))).map_err(|err| err.to_string())
        }
        ReceiverKind::Webhook(config) => Webhook::new(config, "")
            .map(|webhook| Receiver::Webhook(Box::new(webhook)))
            .map_err(|err| err.to_string()),
    }
}

/// What a receiver is to be told: as it says, else as `[alerting]` says.
fn route(config: &Config, table: &ReceiverTable) -> Route {
    let common = match &table.kind {
        ReceiverKind::Email(email) => &email.common,
        ReceiverKind::Webhook(webhook) => &webhook.common,
    };
    let alerting = &config.alerting;
    Route {
        receiver: table.name.clone(),
        min_severity: common.min_severity,
        send_resolved: common.send_resolved,
        group_by: common.group_by.clone().unwrap_or_else(|| alerting.group_by.clone()),
        group_wait: common.group_wait.unwrap_or(alerting.group_wait),
        group_interval: common.group_interval.unwrap_or(alerting.group_interval),
        repeat_interval: common.repeat_interval.or(alerting.repeat_interval),
    }
}

//! The alert engine, the receivers' queues, and the channels that join what does not know each other.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{error, warn};

use super::StartError;
use crate::{
    alert::{
        self, Pseudonym, Reload, Wiring,
        engine::{Engine, Rows},
        group::Route,
    },
    board::Board,
    clock::{Clock, Heartbeats, Pulse},
    config::{Config, NoticeNames, ReceiverKind, ReceiverTable},
    exposition::HashKey,
    model::{ActiveAlerts, Notice, NoticeStatus, Severity},
    notify::{
        OwnAlert, Receiver,
        delivery::{Failing, Worker},
        email::Email,
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
    storage: Storage,
    /// Held so that the engine does not take it for closed.
    _reload: mpsc::Sender<Reload>,
    workers: Vec<Worker>,
    fallback: Fallback,
    /// Notices to receivers that are no longer configured, or to any if alerting was turned off.
    orphans: Vec<Notice>,
    /// What is pending and firing.
    pub(super) active: watch::Receiver<Arc<ActiveAlerts>>,
}

/// What the rest of the daemon lends.
pub(super) struct Shared<'a> {
    pub(super) board: &'a Board,
    pub(super) clock: &'a Clock,
    pub(super) store: &'a Store,
    pub(super) telemetry: &'a Telemetry,
    pub(super) heartbeats: &'a Heartbeats,
    /// Under which notices name users, if they are to be hashed.
    pub(super) key: Option<HashKey>,
}

/// Shows how the store is, and tells everybody when it fails.
struct Storage {
    store: Store,
    telemetry: Telemetry,
    clock: Clock,
    receivers: HashMap<String, mpsc::UnboundedSender<Notice>>,
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
        rereads: HashMap<String, mpsc::UnboundedSender<Vec<Arc<str>>>>,
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
        // Without alerting nobody is told anything, what was left from before included.
        let receivers = if config.alerting.enabled { config.receivers.as_slice() } else { &[] };
        for table in receivers {
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
        let orphans = loaded.outbox.into_iter().map(|row| row.notice).collect();
        let fallback = config.alerting.fallback.as_ref();
        let fallback = fallback.and_then(|name| Some((name.clone(), queues.get(name)?.clone())));

        let (active, is_active) = watch::channel(Arc::default());
        let pulse = Pulse::default();
        shared.heartbeats.watch("alerts", &pulse);
        let (reload, reloads) = mpsc::channel(1);
        let hashed = config.users.notices == NoticeNames::Hash;
        Ok(Alerting {
            engine,
            storage: Storage {
                store: shared.store.clone(),
                telemetry: shared.telemetry.clone(),
                clock: shared.clock.clone(),
                receivers: queues.clone(),
            },
            wiring: Wiring {
                view: shared.board.watch(),
                reloads,
                notices: queues,
                alerts: active,
                pseudonym: shared.key.clone().filter(|_| hashed).map(pseudonym),
                reread: rereads,
                store: shared.store.clone(),
                telemetry: shared.telemetry.clone(),
                clock: shared.clock.clone(),
                pulse,
            },
            _reload: reload,
            workers,
            fallback: Fallback {
                failing,
                receiver: fallback,
                store: shared.store.clone(),
                clock: shared.clock.clone(),
            },
            orphans,
            active: is_active,
        })
    }
}

impl Alerting {
    /// Gives up what is addressed to receivers that are no longer configured.
    pub(super) async fn give_up_orphans(&mut self) {
        for notice in std::mem::take(&mut self.orphans) {
            warn!(
                receiver = notice.receiver,
                id = notice.id,
                "a notice is given up: nobody is configured to be told"
            );
            // The store tells of its own failures.
            drop(self.storage.store.abandoned(&notice.id).await);
        }
    }

    /// What runs until `stop` resolves: the engine and the fallback. Queues end by themselves once the engine has,
    /// after the attempt that they are making, or without its end if that takes longer than [`LAST_ATTEMPT`].
    pub(super) fn spawn<S: Future<Output = ()> + Send + 'static>(
        self,
        tasks: &mut JoinSet<()>,
        stop: impl Fn() -> S,
    ) {
        tasks.spawn(super::until(alert::run(self.engine, self.wiring), stop()));
        tasks.spawn(super::until(self.fallback.run(), stop()));
        tasks.spawn(super::until(self.storage.run(), stop()));
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

/// How often it is looked at how the store is.
const STORAGE_CHECK: Duration = Duration::from_secs(1);
/// The store is told to fail when it has for so long: a disk that hiccups is nobody's business.
const STORAGE_PATIENCE: u32 = 10;

impl Storage {
    /// Does not end.
    async fn run(self) {
        let mut ticks = interval(STORAGE_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut down = 0;
        loop {
            ticks.tick().await;
            let status = self.store.status();
            self.telemetry.store(status.up, status.size_bytes, status.errors);
            if !status.up {
                down += 1;
                if down == STORAGE_PATIENCE {
                    self.tell(NoticeStatus::Firing);
                }
            } else {
                if down >= STORAGE_PATIENCE {
                    self.tell(NoticeStatus::Resolved);
                }
                down = 0;
            }
        }
    }

    /// From memory alone, as there is nothing else.
    fn tell(&self, status: NoticeStatus) {
        let alert = OwnAlert {
            alertname: "ProxymeterStorageFailing",
            severity: Severity::Critical,
            status,
            kind: "storage",
            subject: "storage",
            summary: "What has to outlive the daemon cannot be written down.",
            description: "Alerts and notices are kept in memory alone and would be lost in a crash. \
                          See the log for the reason; a full disk is the most common one.",
            reason: "",
        };
        for (name, queue) in &self.receivers {
            // A receiver's queue ends only with the daemon.
            drop(queue.send(alert.notice(name, self.clock.now().wall)));
        }
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
            let description = format!(
                "Receiver {} cannot be told ({}): {}. Notices given up so far: {}.",
                failing.receiver, failing.reason, failing.detail, failing.abandoned
            );
            let alert = OwnAlert {
                alertname: "ProxymeterNotificationsFailing",
                severity: Severity::Critical,
                status: NoticeStatus::Firing,
                kind: "receiver",
                subject: &failing.receiver,
                summary: "A receiver of notices cannot be told.",
                description: &description,
                reason: failing.reason,
            };
            let notice = alert.notice(name, self.clock.now().wall);
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
        // A rule's own and that of [alerting] are in the rules already.
        repeat_interval: common.repeat_interval,
    }
}

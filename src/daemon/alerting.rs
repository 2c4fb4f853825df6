//! The alert engine, the receivers' queues, and the channels that join what does not know each other.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use tokio::sync::{mpsc, watch};
use tracing::error;

use super::StartError;
use crate::{
    alert::{
        Task,
        engine::{Engine, Rows},
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

/// Everything about alerts, built and not yet running.
pub(super) struct Alerting {
    task: Task,
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
        let rows = Rows { alerts: std::mem::take(&mut loaded.alerts), groups: std::mem::take(&mut loaded.groups) };
        let routes = config.receivers.iter().map(|table| route(config, table)).collect();
        let now = shared.clock.now();
        let engine = Engine::new(&config.alerting, routes, &rows, now)
            .map_err(|errors| StartError::Alerting(errors.iter().map(ToString::to_string).collect()))?;

        let (fail, failing) = mpsc::channel(FAILINGS);
        let (mut workers, mut queues) = (Vec::new(), BTreeMap::new());
        for table in &config.receivers {
            let receiver = receiver(table).map_err(|why| StartError::Receiver { receiver: table.name.clone(), why })?;
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
        let hashed = config.users.notices == NoticeNames::Hash;
        Ok(Alerting {
            task: Task {
                engine,
                board: shared.board.clone(),
                clock: shared.clock.clone(),
                store: shared.store.clone(),
                telemetry: shared.telemetry.clone(),
                receivers: queues,
                rereads,
                user_names: shared.key.clone().filter(|_| hashed).map(UserNames::Hashed).unwrap_or_default(),
                active,
            },
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

//! The queues of the receivers: which ones run, and how they change with the configuration.

use std::{
    collections::{BTreeMap, HashMap},
    future::ready,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use tokio::sync::{
    mpsc,
    oneshot::{
        self,
        error::{RecvError, TryRecvError},
    },
    watch,
};
use tracing::warn;

use super::{Shared, StartError, Tasks};
use crate::{
    alert::group::Route,
    config::{Config, ReceiverKind, ReceiverTable},
    model::Notice,
    notify::{
        Receiver,
        delivery::{Fallback, HealthByReceiver, Left, Others, Terms, Wiring, Worker},
        email::{Email, config::ReceiverConfig},
        webhook::Webhook,
    },
    store::{Loaded, ReceiverState, Settled, Settlement},
};

/// The sender of each receiver's queue.
pub(super) type Queues = HashMap<String, mpsc::UnboundedSender<Notice>>;

/// The queues that run.
pub(super) struct Receivers {
    running: BTreeMap<String, Line>,
    /// Removed queues that may still be sending.
    ending: BTreeMap<String, Ending>,
    /// Stored state of receivers that do not run yet.
    loaded: BTreeMap<String, Left>,
    /// For the queues, which notify each other of failures.
    others: watch::Sender<Others>,
    /// For the daemon's own alerts, which go to all receivers.
    queues: watch::Sender<Arc<Queues>>,
    health: HealthByReceiver,
}

struct Line {
    table: ReceiverTable,
    external_url: String,
    queue: mpsc::UnboundedSender<Notice>,
    /// What is undelivered when the queue ends.
    left: oneshot::Receiver<Left>,
}

/// A queue whose receiver is no longer configured.
struct Ending {
    /// Sent: a new queue continues with what this one leaves. Dropped: the daemon stops.
    claim: oneshot::Sender<()>,
    /// Empty, if it was not claimed in time.
    left: oneshot::Receiver<Left>,
}

/// Which queues a configuration needs.
pub(super) struct ReceiversPlan {
    /// The queues that continue. Weak: a build that hangs keeps none of them from ending when the daemon stops.
    kept: Vec<(String, mpsc::WeakUnboundedSender<Notice>)>,
    /// The receivers that need a new queue.
    changed: Vec<ReceiverTable>,
}

/// Queues that are built and do not run yet.
pub(super) struct NewReceivers {
    /// Every receiver, including the unchanged ones.
    queues: Queues,
    fallback: Option<Fallback>,
    new: Vec<New>,
}

struct New {
    table: ReceiverTable,
    external_url: String,
    receiver: Receiver,
    incoming: mpsc::UnboundedReceiver<Notice>,
}

impl Receivers {
    /// No queue runs yet. `loaded` is what the store has for them.
    pub(super) fn new(loaded: Loaded) -> Self {
        Receivers {
            running: BTreeMap::new(),
            ending: BTreeMap::new(),
            loaded: by_receiver(loaded),
            others: watch::Sender::default(),
            queues: watch::Sender::default(),
            health: HealthByReceiver::default(),
        }
    }

    /// The health of each receiver.
    pub(super) fn health(&self) -> HealthByReceiver {
        self.health.clone()
    }

    /// A queue is needed for each receiver that is new or has changed, including a change in one of its files.
    pub(super) fn plan(&self, config: &Config, file_changed: impl Fn(&Path) -> bool) -> ReceiversPlan {
        // Without alerting there are no notifications, not even those left from before.
        let tables = if config.alerting.enabled { config.receivers.as_slice() } else { &[] };
        let (mut kept, mut changed) = (Vec::new(), Vec::new());
        for table in tables {
            let same_files = !table.files().into_iter().any(&file_changed);
            let is_same = |line: &&Line| line.table == *table && line.external_url == config.web.external_url;
            let running = self.running.get(&table.name).filter(is_same).filter(|_| same_files);
            match running {
                Some(line) => kept.push((table.name.clone(), line.queue.downgrade())),
                None => changed.push(table.clone()),
            }
        }
        ReceiversPlan { kept, changed }
    }

    /// Starts the new queues, ends the removed ones, and gives up the notices of receivers that no longer exist.
    pub(super) fn commit(&mut self, new: NewReceivers, shared: &Shared, tasks: &mut Tasks) {
        let NewReceivers { queues, fallback, new } = new;
        let queues = Arc::new(queues);
        // Before any queue ends, so that every sender found here is open.
        let ways = queues.iter().map(|(name, queue)| (name.clone(), queue.downgrade())).collect();
        self.others.send_replace(Others { fallback, queues: ways });
        self.queues.send_replace(Arc::clone(&queues));
        self.ending.retain(|_, ending| !ending.claim.is_closed());
        let (wanted, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.running).into_iter().partition(|(name, _)| queues.contains_key(name));
        self.running = wanted;
        for (name, line) in gone {
            self.let_end(name, line.left, shared, tasks);
        }
        let wiring = Wiring {
            store: shared.store.clone(),
            telemetry: shared.telemetry.clone(),
            clock: shared.clock.clone(),
            others: self.others.subscribe(),
            health: self.health.clone(),
        };
        for New { table, external_url, receiver, incoming } in new {
            let Some(queue) = queues.get(&table.name).cloned() else { continue };
            let (name, wiring) = (table.name.clone(), wiring.clone());
            let before = self.running.remove(&name).map(|line| line.left).or_else(|| self.claim(&name));
            let loaded = self.loaded.remove(&name).unwrap_or_default();
            let terms = Terms { send_resolved: common(&table).send_resolved, config: digest(&table) };
            let (end, left) = oneshot::channel();
            tasks.spawn_to_the_end(async move {
                let earlier = match before {
                    Some(before) => before.await,
                    None => Ok(loaded),
                };
                // The daemon stops: the store has what is left.
                let Ok(earlier) = earlier else { return };
                let left = Worker::new(name, receiver, earlier, terms, wiring, incoming).run().await;
                // The receiver is gone when the daemon stops.
                drop(end.send(left));
            });
            self.running.insert(table.name.clone(), Line { table, external_url, queue, left });
        }
        for (name, left) in std::mem::take(&mut self.loaded) {
            self.let_end(name, ready(Ok(left)), shared, tasks);
        }
    }

    /// Gives up what a queue leaves, unless a new queue of the same name has claimed it by then.
    fn let_end(
        &mut self,
        name: String,
        left: impl Future<Output = Result<Left, RecvError>> + Send + 'static,
        shared: &Shared,
        tasks: &mut Tasks,
    ) {
        let (claim, mut claimed) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        self.ending.insert(name.clone(), Ending { claim, left: ended });
        let (shared, health, queues) = (shared.clone(), self.health.clone(), self.queues.subscribe());
        tasks.spawn_to_the_end(async move {
            let Ok(left) = left.await else { return };
            let left = match claimed.try_recv() {
                Ok(()) => left,
                Err(TryRecvError::Empty) => {
                    give_up(&name, &left, &shared, &queues).await;
                    shared.telemetry.forget_receiver(&name);
                    health.forget(&name);
                    Left::default()
                }
                // The next start finds it in the store.
                Err(TryRecvError::Closed) => return,
            };
            // The receiver exists only if there is a new queue of that name.
            drop(end.send(left));
        });
    }

    /// What an ending queue of that name leaves, if there is one.
    fn claim(&mut self, name: &str) -> Option<oneshot::Receiver<Left>> {
        let Ending { claim, left } = self.ending.remove(name)?;
        // If this is too late, what was left is given up, and the new queue starts empty.
        claim.send(()).ok();
        Some(left)
    }

    /// Drops the senders of all queues, which ends them.
    pub(super) fn close(self) {
        self.queues.send_replace(Arc::default());
    }
}

impl ReceiversPlan {
    /// Builds the receivers. Nothing runs yet. Reads certificates and keys, so not for async threads.
    ///
    /// # Errors
    /// Says why a receiver cannot be built.
    pub(super) fn build(self, config: &Config) -> Result<NewReceivers, StartError> {
        let (mut queues, mut new) = (Queues::new(), Vec::new());
        for table in self.changed {
            let external_url = config.web.external_url.clone();
            let receiver = receiver(&table, &external_url)
                .map_err(|why| StartError::Receiver { receiver: table.name.clone(), why })?;
            let (queue, incoming) = mpsc::unbounded_channel();
            queues.insert(table.name.clone(), queue);
            new.push(New { table, external_url, receiver, incoming });
        }
        // After all reads, see `kept`.
        queues.extend(self.kept.into_iter().filter_map(|(name, queue)| Some((name, queue.upgrade()?))));
        let named = config.alerting.fallback.clone().filter(|name| queues.contains_key(name));
        let fallback = named.map(|receiver| Fallback { receiver, after: config.alerting.fallback_after });
        Ok(NewReceivers { queues, fallback, new })
    }
}

impl NewReceivers {
    pub(super) fn queues(&self) -> Queues {
        self.queues.clone()
    }
}

fn by_receiver(loaded: Loaded) -> BTreeMap<String, Left> {
    let mut by_receiver: BTreeMap<String, Left> = BTreeMap::new();
    for (name, state) in loaded.receivers {
        by_receiver.entry(name).or_default().state = state;
    }
    for row in loaded.outbox {
        by_receiver.entry(row.notice.receiver.clone()).or_default().pending.push(row);
    }
    by_receiver
}

/// Gives up the notices of a receiver that is no longer configured, deletes its state, and resolves its failure at the
/// receiver that was notified of it.
async fn give_up(name: &str, left: &Left, shared: &Shared, queues: &watch::Receiver<Arc<Queues>>) {
    let nothing = ReceiverState::default();
    if left.pending.is_empty() && left.state == nothing {
        return;
    }
    for row in &left.pending {
        warn!(
            receiver = name,
            id = row.notice.id,
            "notification given up: its receiver is no longer configured"
        );
    }
    let farewell = left.farewell(name, shared.clock.now().wall).and_then(|notice| {
        let queue = queues.borrow().get(&notice.receiver).cloned()?;
        Some((notice, queue))
    });
    let settled = Settled {
        notices: left.pending.iter().map(|row| (row.notice.id.as_str(), Settlement::Abandoned)).collect(),
        receiver: Some((name, &nothing)),
        told: farewell.as_ref().map(|(notice, _)| notice),
    };
    // The store logs its own failures.
    drop(shared.store.settle(settled).await);
    if let Some((notice, queue)) = farewell {
        // Its worker runs as long as this sender exists.
        drop(queue.send(notice));
    }
}

/// Builds a configured receiver.
///
/// # Errors
/// Says why it cannot be built.
pub(crate) fn receiver(table: &ReceiverTable, external_url: &str) -> Result<Receiver, String> {
    match &table.kind {
        ReceiverKind::Email(config) => {
            Email::new(config).map(|email| Receiver::Email(Box::new(email))).map_err(|err| err.to_string())
        }
        ReceiverKind::Webhook(config) => Webhook::new(config, external_url)
            .map(|webhook| Receiver::Webhook(Box::new(webhook)))
            .map_err(|err| err.to_string()),
    }
}

/// The routing of each receiver: its own settings, else those of `[alerting]`.
pub(super) fn routes(config: &Config) -> Vec<Route> {
    config.receivers.iter().map(|table| route(config, table)).collect()
}

fn route(config: &Config, table: &ReceiverTable) -> Route {
    let common = common(table);
    let alerting = &config.alerting;
    Route {
        receiver: table.name.clone(),
        min_severity: common.min_severity,
        send_resolved: common.send_resolved,
        group_by: common.group_by.clone().unwrap_or_else(|| alerting.group_by.clone()),
        group_wait: common.group_wait.unwrap_or(alerting.group_wait),
        group_interval: common.group_interval.unwrap_or(alerting.group_interval),
        // The rule's and the `[alerting]` intervals are in the rules already.
        repeat_interval: common.repeat_interval,
    }
}

fn common(table: &ReceiverTable) -> &ReceiverConfig {
    match &table.kind {
        ReceiverKind::Email(email) => &email.common,
        ReceiverKind::Webhook(webhook) => &webhook.common,
    }
}

/// A few bits of a digest of a receiver's configuration: enough to detect a change, and too few to guess a password.
fn digest(table: &ReceiverTable) -> u16 {
    let mut hasher = DefaultHasher::new();
    table.kind.hash(&mut hasher);
    let [low, high, ..] = hasher.finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}

//! The queues of the receivers: which run, and how they change when the configuration does.

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

/// The way to the queue of each receiver.
pub(super) type Queues = HashMap<String, mpsc::UnboundedSender<Notice>>;

/// The queues that are worked off.
pub(super) struct Receivers {
    running: BTreeMap<String, Line>,
    /// Those that are no longer wanted and may still be sending.
    ending: BTreeMap<String, Ending>,
    /// What the store remembers of receivers that do not run yet.
    loaded: BTreeMap<String, Left>,
    /// For the queues, which may have something to tell each other.
    others: watch::Sender<Others>,
    /// For whoever has something to say to everybody.
    queues: watch::Sender<Arc<Queues>>,
    health: HealthByReceiver,
}

struct Line {
    table: ReceiverTable,
    external_url: String,
    queue: mpsc::UnboundedSender<Notice>,
    /// What is not brought when the queue has ended.
    left: oneshot::Receiver<Left>,
}

/// A line whose receiver is no longer configured.
struct Ending {
    /// Sent: another line goes on from what this one leaves. Dropped: everything ends.
    claim: oneshot::Sender<()>,
    /// Nothing, if it was not claimed in time.
    left: oneshot::Receiver<Left>,
}

/// Queues that were built and are not worked off yet.
pub(super) struct NewReceivers {
    /// Every receiver, those that go on as they are included.
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
    /// None runs yet. `loaded` is what the store remembers of them.
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

    /// The way to each queue that is worked off, always the newest.
    pub(super) fn queues(&self) -> watch::Receiver<Arc<Queues>> {
        self.queues.subscribe()
    }

    /// How it stands with each receiver.
    pub(super) fn health(&self) -> HealthByReceiver {
        self.health.clone()
    }

    /// Builds each receiver that is new or was changed, be it by what is in a file. Nothing runs yet.
    ///
    /// # Errors
    /// Says what of a receiver can never work.
    pub(super) fn prepare(
        &self,
        config: &Config,
        file_changed: impl Fn(&Path) -> bool,
    ) -> Result<NewReceivers, StartError> {
        // Without alerting nobody is told anything, what was left from before included.
        let tables = if config.alerting.enabled { config.receivers.as_slice() } else { &[] };
        let external_url = &config.web.external_url;
        let (mut queues, mut new) = (Queues::new(), Vec::new());
        for table in tables {
            let same_files = !table.files().into_iter().any(&file_changed);
            let is_same = |line: &&Line| line.table == *table && line.external_url == *external_url;
            let running = self.running.get(&table.name).filter(is_same).filter(|_| same_files);
            if let Some(line) = running {
                queues.insert(table.name.clone(), line.queue.clone());
                continue;
            }
            let receiver = receiver(table, external_url)
                .map_err(|why| StartError::Receiver { receiver: table.name.clone(), why })?;
            let (queue, incoming) = mpsc::unbounded_channel();
            queues.insert(table.name.clone(), queue);
            let (table, external_url) = (table.clone(), external_url.clone());
            new.push(New { table, external_url, receiver, incoming });
        }
        let named = config.alerting.fallback.clone().filter(|name| queues.contains_key(name));
        let fallback = named.map(|receiver| Fallback { receiver, after: config.alerting.fallback_after });
        Ok(NewReceivers { queues, fallback, new })
    }

    /// Works off what is new, lets what is no longer wanted come to its end, and gives up what nobody is left to be
    /// told of.
    pub(super) fn commit(&mut self, new: NewReceivers, shared: &Shared, tasks: &mut Tasks) {
        let NewReceivers { queues, fallback, new } = new;
        let queues = Arc::new(queues);
        // Before any queue ends, so that nobody who asks here for the way to one finds it closed.
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
                // Nothing is left when everything ends: the store has it.
                let Ok(earlier) = earlier else { return };
                let left = Worker::new(name, receiver, earlier, terms, wiring, incoming).run().await;
                // Nobody is interested when everything ends.
                drop(end.send(left));
            });
            self.running.insert(table.name.clone(), Line { table, external_url, queue, left });
        }
        for (name, left) in std::mem::take(&mut self.loaded) {
            self.let_end(name, ready(Ok(left)), shared, tasks);
        }
    }

    /// Gives up what a line leaves, unless another of its name has claimed that by then.
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
            // Nobody is interested unless there is another of that name.
            drop(end.send(left));
        });
    }

    /// What a line leaves that is coming to its end, if there is one of that name.
    fn claim(&mut self, name: &str) -> Option<oneshot::Receiver<Left>> {
        let Ending { claim, left } = self.ending.remove(name)?;
        // Too late, what was left is given up, and the new line begins with nothing.
        claim.send(()).ok();
        Some(left)
    }

    /// Lets go of all queues, which end then.
    pub(super) fn close(self) {
        self.queues.send_replace(Arc::default());
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

/// Gives up what is addressed to a receiver that is no longer configured, forgets how it was, and tells whoever knows
/// that it failed.
async fn give_up(name: &str, left: &Left, shared: &Shared, queues: &watch::Receiver<Arc<Queues>>) {
    let nothing = ReceiverState::default();
    if left.pending.is_empty() && left.state == nothing {
        return;
    }
    for row in &left.pending {
        warn!(receiver = name, id = row.notice.id, "a notice is given up: nobody is configured to be told");
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
    // The store tells of its own failures.
    drop(shared.store.settle(settled).await);
    if let Some((notice, queue)) = farewell {
        // Its worker runs as long as there is a way to it.
        drop(queue.send(notice));
    }
}

/// A receiver as configured.
///
/// # Errors
/// Says what of it can never work.
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

/// What each receiver is to be told: as it says, else as `[alerting]` says.
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
        // A rule's own and that of [alerting] are in the rules already.
        repeat_interval: common.repeat_interval,
    }
}

fn common(table: &ReceiverTable) -> &ReceiverConfig {
    match &table.kind {
        ReceiverKind::Email(email) => &email.common,
        ReceiverKind::Webhook(webhook) => &webhook.common,
    }
}

/// A few bits of a digest of a receiver's configuration: enough to notice that it changed, and too few to guess a
/// password by.
fn digest(table: &ReceiverTable) -> u16 {
    let mut hasher = DefaultHasher::new();
    table.kind.hash(&mut hasher);
    let [low, high, ..] = hasher.finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}

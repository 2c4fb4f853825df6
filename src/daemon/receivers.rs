//! The queues of the receivers: which run, and how they change when the configuration does.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use super::{Shared, StartError, Tasks};
use crate::{
    alert::group::Route,
    config::{Config, ReceiverKind, ReceiverTable},
    model::Notice,
    notify::{
        Receiver,
        delivery::{Fallback, Left, Standings, Terms, Wiring, Worker},
        email::{Email, config::ReceiverConfig},
        webhook::Webhook,
    },
    store::{Loaded, Outcome, Pending, Settled, Store},
};

/// The way to the queue of each receiver.
pub(super) type Queues = HashMap<String, mpsc::UnboundedSender<Notice>>;

/// The queues that are worked off.
pub(super) struct Receivers {
    running: BTreeMap<String, Line>,
    /// What the store remembers of receivers that do not run yet.
    loaded: Loaded,
    fallback: watch::Sender<Option<Fallback>>,
    /// For whoever has something to say to everybody.
    queues: watch::Sender<Arc<Queues>>,
    standings: Standings,
}

struct Line {
    table: ReceiverTable,
    external_url: String,
    queue: mpsc::UnboundedSender<Notice>,
    /// What is not brought when the queue has ended.
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
            loaded,
            fallback: watch::Sender::new(None),
            queues: watch::Sender::default(),
            standings: Standings::default(),
        }
    }

    /// The way to each queue that is worked off, always the newest.
    pub(super) fn queues(&self) -> watch::Receiver<Arc<Queues>> {
        self.queues.subscribe()
    }

    /// How it stands with each receiver.
    pub(super) fn standings(&self) -> Standings {
        self.standings.clone()
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
        let named = config.alerting.fallback.as_ref().and_then(|name| queues.get_key_value(name));
        let fallback = named.map(|(name, queue)| Fallback {
            receiver: name.clone(),
            after: config.alerting.fallback_after,
            queue: queue.clone(),
        });
        Ok(NewReceivers { queues, fallback, new })
    }

    /// Works off what is new, lets what is no longer wanted come to its end, and gives up what nobody is left to be
    /// told of.
    pub(super) async fn commit(&mut self, new: NewReceivers, shared: &Shared, tasks: &mut Tasks) {
        let NewReceivers { queues, fallback, new } = new;
        let gone: Vec<_> = self.running.keys().filter(|name| !queues.contains_key(*name)).cloned().collect();
        for name in gone {
            let Some(line) = self.running.remove(&name) else { continue };
            let (shared, standings, queues) =
                (shared.clone(), self.standings.clone(), self.queues.subscribe());
            drop(line.queue);
            tasks.spawn_to_the_end(async move {
                let left = line.left.await.unwrap_or_default();
                give_up(left.pending.into_iter().map(|row| row.notice), &shared.store).await;
                // Another of that name may have come since.
                if !queues.borrow().contains_key(&name) {
                    shared.telemetry.forget_receiver(&name);
                    standings.forget(&name);
                }
            });
        }
        // An earlier queue ends once these let go of it.
        self.fallback.send_replace(fallback);
        self.queues.send_replace(Arc::new(queues.clone()));
        let wiring = Wiring {
            store: shared.store.clone(),
            telemetry: shared.telemetry.clone(),
            clock: shared.clock.clone(),
            fallback: self.fallback.subscribe(),
            standings: self.standings.clone(),
        };
        for New { table, external_url, receiver, incoming } in new {
            let Some(queue) = queues.get(&table.name).cloned() else { continue };
            let before = self.running.remove(&table.name).map(|line| line.left);
            let loaded = self.take_loaded(&table.name);
            let terms = Terms { send_resolved: common(&table).send_resolved, config: digest(&table) };
            let (name, wiring) = (table.name.clone(), wiring.clone());
            let (end, left) = oneshot::channel();
            tasks.spawn_to_the_end(async move {
                let earlier = match before {
                    Some(before) => before.await.unwrap_or_default(),
                    None => loaded,
                };
                let left = Worker::new(name, receiver, earlier, terms, wiring, incoming).run().await;
                // Nobody is interested when everything ends.
                drop(end.send(left));
            });
            self.running.insert(table.name.clone(), Line { table, external_url, queue, left });
        }
        let orphans = std::mem::take(&mut self.loaded.outbox);
        give_up(orphans.into_iter().map(|row| row.notice), &shared.store).await;
    }

    /// Lets go of all queues, which end then.
    pub(super) fn close(self) {
        self.fallback.send_replace(None);
        self.queues.send_replace(Arc::default());
    }

    fn take_loaded(&mut self, name: &str) -> Left {
        let pending = self.loaded.outbox.extract_if(.., |row: &mut Pending| row.notice.receiver == name);
        let pending = pending.collect();
        let state = self.loaded.receivers.iter().find(|(known, _)| known == name);
        Left { pending, state: state.map(|(_, state)| state.clone()).unwrap_or_default() }
    }
}

impl NewReceivers {
    pub(super) fn queues(&self) -> Queues {
        self.queues.clone()
    }
}

/// Gives up what is addressed to receivers that are no longer configured.
async fn give_up(notices: impl Iterator<Item = Notice>, store: &Store) {
    for notice in notices {
        let (receiver, id) = (&notice.receiver, &notice.id);
        warn!(receiver, id, "a notice is given up: nobody is configured to be told");
        let settled = Settled { notices: vec![(id, Outcome::Abandoned)], ..Settled::default() };
        // The store tells of its own failures.
        drop(store.settle(settled).await);
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

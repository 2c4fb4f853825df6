//! The receivers: which ones run, and how they change with the configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use jiff::tz::TimeZone;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Shared, StartError, Tasks};
use crate::{
    alert::{digest::DigestTime, group::Route, statement::Statement},
    config::{Config, ReceiverKind, ReceiverTable, StatementConfig},
    dispatch::{Letter, Link, Report, Way, Worker},
    notify::{
        HealthByReceiver, Receiver,
        alertmanager::{Alertmanager, Ask, Poster},
        chat::Chat,
        email::Email,
        pagerduty::Pagerduty,
        webhook::Webhook,
    },
    wording::Voice,
};

/// What workers and posters may say before the dispatcher listens.
const UNHEARD: usize = 64;

/// The receivers that run.
pub(super) struct Receivers {
    running: BTreeMap<String, Running>,
    /// Of the worker that was built last.
    number: u64,
    reports: mpsc::Sender<Report>,
    asks: mpsc::Sender<(String, Ask)>,
    health: HealthByReceiver,
}

/// What the dispatcher hears from receivers.
pub(super) struct Ears {
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) asks: mpsc::Receiver<(String, Ask)>,
}

struct Running {
    table: ReceiverTable,
    voice: Voice,
    /// Dropped: its poster ends. Workers end when the dispatcher lets go of them.
    _stop: oneshot::Sender<()>,
}

/// Which receivers have to be built for a configuration.
pub(super) struct ReceiversPlan {
    changed: Vec<ReceiverTable>,
    wanted: BTreeSet<String>,
    number: u64,
}

/// Receivers that are built and do not run yet.
pub(super) struct NewReceivers {
    wanted: BTreeSet<String>,
    number: u64,
    new: Vec<New>,
    /// For the dispatcher.
    links: Vec<Link>,
}

struct New {
    table: ReceiverTable,
    voice: Voice,
    task: Task,
}

enum Task {
    Worker { number: u64, receiver: Receiver, letters: mpsc::Receiver<Vec<Letter>> },
    Poster { alertmanager: Alertmanager, changed: watch::Receiver<u64> },
}

impl Receivers {
    /// No receiver runs yet.
    pub(super) fn new() -> (Self, Ears) {
        let ((reports, heard), (asks, asked)) = (mpsc::channel(UNHEARD), mpsc::channel(UNHEARD));
        let health = HealthByReceiver::default();
        let receivers = Receivers { running: BTreeMap::new(), number: 0, reports, asks, health };
        (receivers, Ears { reports: heard, asks: asked })
    }

    /// The health of each receiver.
    pub(super) fn health(&self) -> HealthByReceiver {
        self.health.clone()
    }

    /// A receiver is built if it is new or has changed, including a change in one of its files.
    pub(super) fn plan(&self, config: &Config, file_changed: impl Fn(&Path) -> bool) -> ReceiversPlan {
        // Without alerting there are no notifications, not even those left from before.
        let tables = if config.alerting.enabled { config.receivers.as_slice() } else { &[] };
        let is_same = |table: &ReceiverTable| {
            let running = self.running.get(&table.name);
            running.is_some_and(|line| line.table == *table && line.voice == voice(config, table))
                && !table.files().into_iter().any(&file_changed)
        };
        ReceiversPlan {
            changed: tables.iter().filter(|table| !is_same(table)).cloned().collect(),
            wanted: tables.iter().map(|table| table.name.clone()).collect(),
            number: self.number,
        }
    }

    /// Starts the new receivers, and lets go of those that are no longer configured.
    pub(super) fn commit(&mut self, new: NewReceivers, shared: &Shared, tasks: &mut Tasks) {
        let NewReceivers { wanted, number, new, links: _ } = new;
        self.number = number;
        self.running.retain(|name, _| wanted.contains(name));
        for New { table, voice, task } in new {
            let (telemetry, clock) = (shared.telemetry.clone(), shared.clock.clone());
            let name = table.name.clone();
            let (stop, stopped) = oneshot::channel::<()>();
            match task {
                Task::Worker { number, receiver, letters } => {
                    let reports = self.reports.clone();
                    let worker = Worker { name, number, receiver, letters, reports, telemetry, clock };
                    tasks.spawn_to_the_end(worker.run());
                }
                Task::Poster { alertmanager, changed } => {
                    let asks = self.asks.clone();
                    let poster = Poster::new(name, alertmanager, asks, changed, telemetry, clock);
                    tasks.spawn(async {
                        tokio::select! {
                            () = poster.run() => {}
                            _ = stopped => {}
                        }
                    });
                }
            }
            self.running.insert(table.name.clone(), Running { table, voice, _stop: stop });
        }
    }
}

impl ReceiversPlan {
    /// Builds the receivers. Nothing runs yet. Reads certificates and keys, so not for async threads.
    ///
    /// # Errors
    /// Says why a receiver cannot be built.
    pub(super) fn build(self, config: &Config) -> Result<NewReceivers, StartError> {
        let ReceiversPlan { changed, wanted, mut number } = self;
        let (mut new, mut links) = (Vec::new(), Vec::new());
        for table in changed {
            let voice = voice(config, &table);
            let failed = |why| StartError::Receiver { receiver: table.name.clone(), why };
            let (task, place, to) = match &table.kind {
                ReceiverKind::Alertmanager(config) => {
                    let alertmanager = Alertmanager::new(config, voice.pages.as_deref().unwrap_or_default());
                    let alertmanager = alertmanager.map_err(|err| failed(err.to_string()))?;
                    let (changes, changed) = watch::channel(0);
                    let place = alertmanager.place();
                    (Task::Poster { alertmanager, changed }, place, Way::Posts { changed: changes })
                }
                ReceiverKind::Chat(_)
                | ReceiverKind::Email(_)
                | ReceiverKind::Pagerduty(_)
                | ReceiverKind::Webhook(_) => {
                    let receiver = receiver(&table, voice.clone()).map_err(failed)?;
                    let (names, pace, place) = (receiver.names(), receiver.pace(), receiver.place());
                    number += 1;
                    let (queue, letters) = mpsc::channel(1);
                    let way = Way::Messages { letters: queue, worker: number, names, pace };
                    (Task::Worker { number, receiver, letters }, place, way)
                }
            };
            links.push(Link { receiver: table.name.clone(), place, to, config: digest(&table) });
            new.push(New { table, voice, task });
        }
        Ok(NewReceivers { wanted, number, new, links })
    }
}

impl NewReceivers {
    /// For the dispatcher, once.
    pub(super) fn take_links(&mut self) -> Vec<Link> {
        std::mem::take(&mut self.links)
    }
}

/// How a receiver is spoken to.
pub(crate) fn voice(config: &Config, table: &ReceiverTable) -> Voice {
    let common = table.kind.common();
    let alerting = &config.alerting;
    let language = common.language.unwrap_or(alerting.language);
    let group_by = common.group_by.as_ref().unwrap_or(&alerting.group_by);
    // People read the target in the subject; programs take each sentence for itself.
    let for_people = match table.kind {
        ReceiverKind::Chat(_) | ReceiverKind::Email(_) | ReceiverKind::Pagerduty(_) => true,
        ReceiverKind::Alertmanager(_) | ReceiverKind::Webhook(_) => false,
    };
    let alone = !for_people || !group_by.iter().any(|label| label == "target");
    Voice { alone, ..Voice::new(language, alerting.zone.clone(), &config.web.external_url) }
}

/// Builds a configured receiver that gets messages.
///
/// # Errors
/// Says why it cannot be built.
pub(crate) fn receiver(table: &ReceiverTable, voice: Voice) -> Result<Receiver, String> {
    match &table.kind {
        ReceiverKind::Alertmanager(_) => Err("an Alertmanager gets alerts by other means".into()),
        ReceiverKind::Chat(config) => {
            Chat::new(config, voice).map(|chat| Receiver::Chat(Box::new(chat))).map_err(|err| err.to_string())
        }
        ReceiverKind::Pagerduty(config) => Pagerduty::new(config, voice)
            .map(|pagerduty| Receiver::Pagerduty(Box::new(pagerduty)))
            .map_err(|err| err.to_string()),
        ReceiverKind::Email(config) => Email::new(config, voice)
            .map(|email| Receiver::Email(Box::new(email)))
            .map_err(|err| err.to_string()),
        ReceiverKind::Webhook(config) => Webhook::new(config, voice.pages.as_deref().unwrap_or_default())
            .map(|webhook| Receiver::Webhook(Box::new(webhook)))
            .map_err(|err| err.to_string()),
    }
}

/// Builds a receiver of any kind, to see whether that can be done.
///
/// # Errors
/// Says why it cannot be built.
pub(super) fn check(config: &Config, table: &ReceiverTable) -> Result<(), String> {
    let voice = voice(config, table);
    match &table.kind {
        ReceiverKind::Alertmanager(config) => {
            let pages = voice.pages.as_deref().unwrap_or_default();
            Alertmanager::new(config, pages).map(drop).map_err(|err| err.to_string())
        }
        ReceiverKind::Chat(_)
        | ReceiverKind::Email(_)
        | ReceiverKind::Pagerduty(_)
        | ReceiverKind::Webhook(_) => receiver(table, voice).map(drop),
    }
}

/// The routing of each receiver: its own settings, else those of `[alerting]`.
pub(super) fn routes(config: &Config) -> Vec<Route> {
    config.receivers.iter().map(|table| route(config, table)).collect()
}

fn route(config: &Config, table: &ReceiverTable) -> Route {
    let common = table.kind.common();
    let alerting = &config.alerting;
    let standing = matches!(table.kind, ReceiverKind::Alertmanager(_));
    let group_by = common.group_by.clone().unwrap_or_else(|| alerting.group_by.clone());
    Route {
        receiver: table.name.clone(),
        min_severity: common.min_severity,
        send_resolved: common.send_resolved,
        group_by: if standing { Vec::new() } else { group_by },
        group_wait: common.group_wait.unwrap_or(alerting.group_wait),
        group_interval: common.group_interval.unwrap_or(alerting.group_interval),
        // The rule's and the `[alerting]` intervals are in the rules already.
        repeat_interval: common.repeat_interval,
        voice: voice(config, table),
        standing,
        digest: common.digest.as_ref().map(|digest| DigestTime {
            at: digest.at,
            // The name was checked when the configuration was read.
            zone: digest
                .zone
                .as_ref()
                .and_then(|zone| TimeZone::get(zone).ok())
                .unwrap_or(alerting.zone.clone()),
            empty: digest.empty,
            top: digest.top,
        }),
        statements: statements(config, &table.name),
    }
}

/// The statements that a receiver sends about targets of this shard.
fn statements(config: &Config, receiver: &str) -> Vec<Statement> {
    let is_here = |name: &str| config.targets.iter().any(|target| target.name == *name);
    let wanted = config.statements.iter();
    let wanted = wanted.filter(|statement| statement.receiver == *receiver && is_here(&statement.target));
    let statement = |statement: &StatementConfig| {
        let StatementConfig { name, receiver: _, to, target, admin, day, at } = statement.clone();
        // The months of the history are of this zone.
        Statement { name, target, admin, to, day, at, zone: config.alerting.zone.clone() }
    };
    wanted.map(statement).collect()
}

/// A few bits of a digest of a receiver's configuration: enough to detect a change, and too few to guess a password.
fn digest(table: &ReceiverTable) -> u16 {
    let mut hasher = DefaultHasher::new();
    table.kind.hash(&mut hasher);
    let [low, high, ..] = hasher.finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}

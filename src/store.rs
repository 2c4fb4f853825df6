//! Persistent state: a storage folder with one database and the key that hashes user labels.
//!
//! [`Store`] is a handle to the database `proxymeter.db`. A dedicated thread does all disk access. It writes the changes
//! that wait in one transaction, so a slow disk delays all of them once and not each of them. A change is on the disk
//! when its call returns. Each change is atomic: if the process is killed, the file has all of it or none of it.
//!
//! A disk failure never stops the daemon. Memory holds all state except lists of users and dead letters. While the disk
//! is full, read-only or broken, changes are made in memory only, and each call returns an error. When the disk is
//! writable again, the complete state is written. So it is when another program removes, replaces or changes the files:
//! this is checked with each change, and every ten seconds. While the disk hangs, only the newest list of users of each target
//! waits; all other waiting changes are small. A file that is damaged, or written by a newer version, is renamed, and a
//! new one is created. Every row has a checksum, so damaged rows are detected. If the thread panics, the store reports
//! itself down and refuses every call.
//!
//! Users and counters of a target that left the configuration are kept for 30 days.
//!
//! The database may be read while the daemon runs (`sqlite3 -readonly proxymeter.db`). A row that another program
//! changes has a wrong checksum and counts as damaged.
//!
//! A call of [`Store`] that changes state sends a `change` to the thread, the `writer`. The writer applies it first to
//! a database in memory and then to the database on the disk. `outbox`, `users` and `counters` read and write the rows.

mod change;
mod counters;
mod database;
mod error;
mod fault;
mod folder;
mod health;
mod key;
mod loaded;
mod message;
mod outbox;
mod receiver;
mod schema;
mod table;
mod unusable;
mod usage;
mod users;
mod waiting;
mod writer;

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, timeout},
};

use crate::{
    clock::Beat,
    model::{CounterChange, CounterFamilies, Timestamp},
};
use change::{Change, Rows};
use counters::CounterRows;
use health::{Health, PATIENCE, Wait};
use waiting::{List, Lists};
use writer::{Request, Work, Writer};

#[cfg(test)]
pub(crate) use writer::by_hand::{ByHand, Written};

pub use error::StoreError;
pub use health::StoreStatus;
pub use key::{KeptKey, existing_hash_key, hash_key};
pub use loaded::Loaded;
pub use message::{Message, Packed, Settlement};
pub use receiver::{LastFailure, ReceiverState};
pub use usage::{
    By, Counted, OpenedUsage, SubjectKind, Usage, UsageError, UsagePlace, UsageQuery, UsageRow, UsageSum,
};
pub use users::SavedUsers;

/// Requests that may wait for the disk. If the queue is full, callers wait for room.
const QUEUE: usize = 64;

/// Checks that the folder is there and takes files. A full, read-only or failing disk passes.
///
/// # Errors
/// If there is no such folder, or if it lacks a permission.
pub fn check_folder(folder: &Path) -> Result<(), StoreError> {
    match folder::exists(folder).and_then(|()| folder::probe(folder)) {
        Err(err) if err.is_wrong() => Err(err.stops(folder)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A handle to the persistent state. Cheap to clone. When the last handle is dropped, queued requests still complete.
///
/// No call blocks the thread of its caller. A cancelled call may still take effect.
#[derive(Clone, Debug)]
pub struct Store {
    requests: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    lists: Lists,
    health: Arc<Health>,
}

/// An open store and its content.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub loaded: Loaded,
    /// A problem with the folder or the file and how it was handled, as a sentence for logs.
    pub problem: Option<String>,
}

/// The changes of one round of alerting and delivery. They are atomic.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Key and new state, a text that the store does not interpret. `None` deletes the alert.
    pub alerts: Vec<(String, Option<String>)>,
    /// Key and new state, as for alerts.
    pub groups: Vec<(String, Option<String>)>,
    /// Id and new state, as for alerts.
    pub silences: Vec<(String, Option<String>)>,
    /// Messages, recorded before they are sent. A message that is already recorded stays as it is.
    pub messages: Vec<Message>,
    /// Outcomes of recorded messages, by id; applied after `messages` are added. Unknown ids are ignored.
    pub settled: Vec<(String, Settlement)>,
    /// State of receivers, by name. `None` deletes it.
    pub receivers: Vec<(String, Option<ReceiverState>)>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        let Batch { alerts, groups, silences, messages, settled, receivers } = self;
        alerts.is_empty()
            && groups.is_empty()
            && silences.is_empty()
            && messages.is_empty()
            && settled.is_empty()
            && receivers.is_empty()
    }
}

impl Store {
    /// Opens the database in `folder` and creates the folder if it is missing. `now` is part of the names of renamed
    /// files.
    ///
    /// This call blocks: it reads the whole database. Other processes cannot use the folder until the store is closed
    /// or the process ends.
    ///
    /// # Errors
    /// If another process uses the folder, if the folder or a file in it is none or lacks a permission, or if the thread
    /// cannot start. A damaged file or a disk that is full, read-only or failing is reported in [`Opened::problem`]. The
    /// store then works in memory and retries the disk.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Opened, StoreError> {
        let health = Arc::default();
        let (writer, loaded, problem) = Writer::open(folder, now, Arc::clone(&health))?;
        let store = Store::start(writer, health).map_err(StoreError::Thread)?;
        Ok(Opened { store, loaded, problem })
    }

    /// A store without a file, for tests and for commands that run once.
    pub fn in_memory() -> Store {
        let health = Arc::default();
        let writer = Writer::in_memory(Arc::clone(&health));
        Store::start(writer, health).expect("the system has room for one more thread")
    }

    fn start(writer: Writer, health: Arc<Health>) -> io::Result<Store> {
        let (requests, queue) = mpsc::channel();
        let store = Store::new(requests, health);
        let (lists, health) = (store.lists.clone(), Arc::clone(&store.health));
        thread::Builder::new().name("store".into()).spawn(move || {
            // Dropped before the queue, because callers detect the end of the thread by the end of the queue.
            let end = End { lists, health };
            writer.run(&queue, &end.lists);
        })?;
        Ok(store)
    }

    fn new(requests: mpsc::Sender<Request>, health: Arc<Health>) -> Store {
        Store { requests, room: Arc::new(Semaphore::new(QUEUE)), lists: Lists::default(), health }
    }

    /// Records the changes of a round.
    ///
    /// # Errors
    /// [`StoreError::NotDurable`] if the change is not on the disk. It is kept in memory and written later. After a
    /// restart before that, alerts and deliveries of the round may be repeated.
    pub async fn record(&self, batch: Batch) -> Result<(), StoreError> {
        let Batch { alerts, groups, silences, messages, settled, receivers } = batch;
        let stored = |state| serde_json::to_string(&state);
        let receivers = receivers.into_iter().map(|(name, state)| Ok((name, state.map(stored).transpose()?)));
        let receivers = receivers.collect::<Result<Rows, serde_json::Error>>()?;
        self.change(Change::Record { alerts, groups, silences, messages, settled, receivers }).await
    }

    /// Every dead letter, oldest first.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub async fn dead_letters(&self) -> Result<Vec<Message>, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Work::DeadLetters { answer }).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Moves dead letters, given oldest first, to the front of the outbox, and deletes the dead letters with the ids
    /// `outdated`.
    ///
    /// # Errors
    /// As for [`Store::record`].
    pub async fn revive(&self, messages: Vec<Message>, outdated: Vec<String>) -> Result<(), StoreError> {
        self.change(Change::Revived { messages, outdated }).await
    }

    /// Replaces the saved users of a target. While the disk hangs, only the newest list of each target waits.
    ///
    /// # Errors
    /// As for [`Store::record`], and if a newer list replaced this one while it waited.
    pub async fn save_users(&self, target: &str, saved: SavedUsers) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let replaced = match self.lists.held().as_mut() {
            None => return Err(StoreError::Closed),
            Some(lists) => lists.insert(target.to_owned(), List { saved, answer }),
        };
        match replaced {
            Some(older) => older.refuse("a newer list replaced it"),
            None => {
                let work = Work::SaveUsers { target: target.to_owned(), wait: Wait::begin(&self.health) };
                self.requests.send(Request { work, _room: None }).map_err(|_| StoreError::Closed)?;
            }
        }
        self.answer(PATIENCE, answered).await
    }

    /// The saved users of a target, if any.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub async fn load_users(&self, target: &str) -> Result<Option<SavedUsers>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let read = async {
            self.ask(Work::Users { target: target.to_owned(), answer }).await?;
            answered.await.map_err(|_| StoreError::Closed)?
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_| self.hangs())
    }

    /// All counters of a target, by family and label set.
    ///
    /// # Errors
    /// If the store is closed or does not answer in time.
    pub async fn load_counters(&self, target: &str) -> Result<CounterFamilies, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Work::Counters { target: target.to_owned(), answer };
        let read = async {
            self.ask(work).await?;
            answered.await.map_err(|_| StoreError::Closed)?
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_| self.hangs())
    }

    /// Changes counters of a target: all of `changes` or none. They are on the disk when this returns.
    ///
    /// # Errors
    /// As for [`Store::record`].
    pub async fn commit_counters(&self, target: &str, changes: Vec<CounterChange>) -> Result<(), StoreError> {
        let families = changes.into_iter().map(|CounterChange { family, rows, gone }| {
            let rows = rows.into_iter().map(|row| Ok((row.labels, serde_json::to_string(&row.values)?)));
            Ok(CounterRows { family, rows: rows.collect::<Result<_, serde_json::Error>>()?, gone })
        });
        let families = families.collect::<Result<_, serde_json::Error>>()?;
        self.change(Change::Counters { target: target.to_owned(), families }).await
    }

    /// Notes that these are the targets of the configuration at `now`, by [`Report::id`](crate::model::Report::id). Saved
    /// users and counters of a target that left stay for 30 days, and hold again if it is back by then.
    ///
    /// # Errors
    /// As for [`Store::record`].
    pub async fn retain_targets(&self, ids: &[String], now: Timestamp) -> Result<(), StoreError> {
        self.change(Change::Targets { kept: ids.to_vec(), now }).await
    }

    /// Writes this key to the folder whenever its file is missing there: other programs may remove it, and the disk may
    /// have failed when it was created.
    pub fn keep_hash_key(&self, key: Vec<u8>) {
        // A store that is closed keeps nothing.
        drop(self.requests.send(Request { work: Work::KeepKey(key), _room: None }));
    }

    /// Completes the queued requests, closes the database and releases the folder. Afterwards every call on any handle
    /// fails.
    pub async fn close(&self) {
        let (closed, until_closed) = oneshot::channel();
        if self.ask(Work::Close { closed }).await.is_ok() {
            // No answer is sent: the writer drops its end after it has released the folder.
            drop(until_closed.await);
        }
    }

    /// The heartbeat of the thread. It stops while a disk operation hangs.
    pub fn beat(&self) -> &Beat {
        &self.health.beat
    }

    /// The health of the store. This call never waits for the disk.
    pub fn status(&self) -> StoreStatus {
        self.health.status()
    }

    async fn change(&self, change: Change) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let wait = Wait::begin(&self.health);
        let began = Instant::now();
        // The queue may be full while the disk hangs. The change enters it anyway, or it would be lost.
        let room = timeout(PATIENCE, Arc::clone(&self.room).acquire_owned()).await;
        let room = room.ok().transpose().map_err(|_| StoreError::Closed)?;
        let request = Request { work: Work::Change { change, answer, wait }, _room: room };
        self.requests.send(request).map_err(|_| StoreError::Closed)?;
        self.answer(PATIENCE.saturating_sub(began.elapsed()), answered).await
    }

    async fn answer(
        &self,
        patience: Duration,
        answered: oneshot::Receiver<Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        match timeout(patience, answered).await {
            Ok(answer) => answer.map_err(|_| StoreError::Closed)?,
            Err(_) => self.hangs(),
        }
    }

    /// Marks the store as down, until the writer ends its work, because the disk did not answer in time.
    fn hangs<T>(&self) -> Result<T, StoreError> {
        if !self.health.down.swap(true, Ordering::Relaxed) {
            self.health.count_error();
        }
        Err(StoreError::NotDurable { why: "the disk does not answer".to_owned() })
    }

    async fn ask(&self, work: Work) -> Result<(), StoreError> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.requests.send(Request { work, _room: Some(room) }).map_err(|_| StoreError::Closed)
    }
}

/// Dropped when the writer thread ends. After a panic, the store reports itself down.
struct End {
    lists: Lists,
    health: Arc<Health>,
}

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            self.health.down.store(true, Ordering::Relaxed);
            self.health.count_error();
        }
        *self.lists.held() = None;
    }
}

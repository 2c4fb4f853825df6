//! What outlives the process: a folder of our own, with one database and the key that user labels are hashed with.
//!
//! [`Store`] is a handle to the database `proxymeter.db`. A thread of its own does all that touches the disk, one
//! change after the other, each in one transaction that is on the disk when the call returns. A process that is
//! killed at any point leaves all of a change or nothing of it.
//!
//! No failure of the disk stops the daemon. Everything but lists of users is held in memory too. When the disk is full,
//! read-only or broken, changes go to memory alone and their calls say so. As soon as the disk takes them again,
//! everything is written, so the file never lacks what happened in between. While the disk hangs, of each target only
//! the newest list of users waits for it; everything else that waits is small. A file that is damaged, or that a newer
//! version wrote, is put aside under another name, and a new one is made. Every row carries a checksum, so damage is
//! not taken for state. If the thread panics, the store reports itself down and refuses every call.
//!
//! Lists of users and counters of a target that left the configuration stay for 30 days.
//!
//! The database is there to be looked into while the daemon runs (`sqlite3 -readonly proxymeter.db`), but rows
//! changed by others do not have their sum and count as damage.

mod change;
mod counters;
mod database;
mod folder;
mod key;
mod schema;
mod table;
mod writer;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, timeout},
};

use crate::{
    clock::Beat,
    model::{Notice, Timestamp},
};
use change::{Change, Queued};
use writer::{Request, Work, Writer};

#[cfg(test)]
pub(crate) use writer::by_hand::ByHand;

pub use key::{existing_hash_key, hash_key};

/// Requests that may wait for the disk; the caller of another one waits as well.
const QUEUE: usize = 64;

/// How long a caller waits. A change that is not done by then joins the queue whatever its length: it is small, and it
/// would be lost otherwise. Lists of users are large and have no place in this queue, see [`Lists`].
const PATIENCE: Duration = Duration::from_secs(10);

/// A handle to what outlives the process. Cheap to clone; when the last one is dropped, what was asked is still done.
///
/// Every call may be awaited anywhere, it never blocks its thread. A call that is given up is carried out all the
/// same.
#[derive(Clone, Debug)]
pub struct Store {
    requests: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    lists: Lists,
    health: Arc<Health>,
}

/// A store, and what it held.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub loaded: Loaded,
    /// What was wrong with the folder or the file, in a sentence for people, and what was done about it.
    pub problem: Option<String>,
}

/// What a store held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Key and state of every alert, by key.
    pub alerts: Vec<(String, String)>,
    /// Key and state of every group, by key.
    pub groups: Vec<(String, String)>,
    /// Notices that are neither delivered nor abandoned, oldest first.
    pub outbox: Vec<Pending>,
    /// Every receiver with at least one attempt, by name.
    pub receivers: Vec<(String, ReceiverState)>,
}

/// A notice that is yet to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub notice: Notice,
    /// The addresses that took it already.
    pub done: Vec<String>,
    /// Since when it waits, or the oldest of the notices that it includes.
    pub queued_at: Timestamp,
}

/// What one round of alerting changes, all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Key and new state, a text that only the owner understands; without a state the alert is forgotten.
    pub alerts: Vec<(String, Option<String>)>,
    /// Key and new state, likewise.
    pub groups: Vec<(String, Option<String>)>,
    /// Notices to be delivered, in the order they are to go.
    pub notices: &'a [Notice],
}

/// What became of notices to one receiver, what is remembered of it, and the notice to another receiver about it: all
/// of it or nothing.
#[derive(Debug, Default)]
pub struct Settled<'a> {
    /// By id.
    pub notices: Vec<(&'a str, Settlement)>,
    /// Its name and state.
    pub receiver: Option<(&'a str, &'a ReceiverState)>,
    /// A notice to be delivered.
    pub told: Option<&'a Notice>,
}

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is no longer pending.
    Delivered,
    /// Likewise; it is kept among the dead letters, of which there are the newest 1000.
    Abandoned,
    /// It was tried and remains pending. `done` are all addresses that took it so far.
    Attempted { done: Vec<String> },
}

/// What is remembered of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiverState {
    /// Attempts that failed since the last success.
    pub failures: u32,
    /// Not to be tried before.
    pub next_attempt: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// Takes nothing until its configuration changes.
    pub disabled: bool,
    /// When the first attempt failed since the last success.
    pub failing_since: Option<Timestamp>,
    /// What the fallback was notified of since the last success.
    pub fallback_knows: FallbackKnows,
    /// The name of that fallback, if it was notified.
    pub fallback: Option<String>,
    /// A few bits of a digest of its configuration.
    pub config: u16,
}

/// What the fallback was notified of about a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackKnows {
    #[default]
    Nothing,
    /// That it fails.
    Failing,
    /// That notices to it were given up.
    GivenUp,
}

/// The last finished read of a target's users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedUsers {
    /// When the read ended.
    pub read_at: Timestamp,
    /// When the read began.
    pub started: Timestamp,
    /// The users, in a form that only the owner understands.
    pub users: Vec<u8>,
}

/// How the store is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether all that was given is on the disk. A store that is meant to live in memory is always up.
    pub up: bool,
    /// What the database takes on the disk, with its log of recent changes.
    pub size_bytes: u64,
    /// Times that the disk failed: writes and attempts to open it that did not succeed, and files put aside.
    pub errors: u64,
}

/// Why the store did not do what was asked. The text is fit for logs and pages.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "{}: another proxymeter uses this storage folder; stop that one, or give this one a folder of its own \
         with storage.path",
        folder.display()
    )]
    Locked { folder: PathBuf },
    /// A file of the folder cannot be used.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The disk did not take it. A change is kept in memory and written with the next that the disk takes.
    #[error("not on the disk yet: {why}")]
    NotDurable { why: String },
    /// A notice or a receiver's state has no text form.
    #[error("it cannot be stored: {0}")]
    Unwritable(#[from] serde_json::Error),
    #[error("the storage is closed")]
    Closed,
    #[error("cannot start the thread that writes to the storage: {0}")]
    Thread(#[source] io::Error),
}

impl Store {
    /// Opens the database in `folder`, which is made if it is not there. `now` names files that are put aside.
    ///
    /// It reads the whole database before it returns, so call it before there is anything to hold up.
    /// The folder belongs to this process until the store is closed or the process ends, however it ends.
    ///
    /// # Errors
    /// When another process holds the folder. A damaged file, a full or a read-only disk are no errors but
    /// [`Opened::problem`]: then the store is at least a memory, which looks for the disk again from time to time.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Opened, StoreError> {
        let health = Arc::default();
        let (writer, loaded, problem) = Writer::open(folder, now, Arc::clone(&health))?;
        let store = Store::start(writer, health).map_err(StoreError::Thread)?;
        Ok(Opened { store, loaded, problem })
    }

    /// A store that forgets everything when it is dropped, for tests and for what runs once.
    pub fn in_memory() -> Store {
        let health = Arc::default();
        let writer = Writer::in_memory(Arc::clone(&health));
        Store::start(writer, health).expect("the system has room for one more thread")
    }

    /// A store that takes nothing any more.
    #[cfg(test)]
    pub(crate) fn closed() -> Store {
        Store::new(mpsc::channel().0, Arc::default())
    }

    fn start(writer: Writer, health: Arc<Health>) -> io::Result<Store> {
        let (requests, queue) = mpsc::channel();
        let store = Store::new(requests, health);
        let (lists, health) = (store.lists.clone(), Arc::clone(&store.health));
        thread::Builder::new().name("store".into()).spawn(move || {
            // Dropped before the queue, whose end is what callers notice.
            let end = End { lists, health };
            writer.run(&queue, &end.lists);
        })?;
        Ok(store)
    }

    fn new(requests: mpsc::Sender<Request>, health: Arc<Health>) -> Store {
        Store { requests, room: Arc::new(Semaphore::new(QUEUE)), lists: Lists::default(), health }
    }

    /// Records what a round of alerting changed and the notices that follow. A notice that is recorded twice is there
    /// once.
    ///
    /// # Errors
    /// [`StoreError::NotDurable`] when the disk did not take it; the store goes on with it in memory.
    pub async fn record(&self, batch: Batch<'_>) -> Result<(), StoreError> {
        let notices = batch.notices.iter().map(Queued::new).collect::<Result<_, _>>()?;
        self.change(Change::Record { alerts: batch.alerts, groups: batch.groups, notices }).await
    }

    /// What became of notices that were pending. Of one that is not there is nothing to settle.
    ///
    /// # Errors
    /// As of [`Store::record`]; after a restart what was delivered may be sent once more.
    pub async fn settle(&self, settled: Settled<'_>) -> Result<(), StoreError> {
        let Settled { notices, receiver, told } = settled;
        let notices = notices.into_iter().map(|(id, outcome)| (id.to_owned(), outcome)).collect();
        let receiver = match receiver {
            Some((name, state)) => Some((name.to_owned(), serde_json::to_string(state)?)),
            None => None,
        };
        let told = told.map(Queued::new).transpose()?;
        self.change(Change::Settled { notices, receiver, told }).await
    }

    /// Every notice that was given up and is still kept, the oldest first.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn dead_letters(&self) -> Result<Vec<Pending>, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Work::DeadLetters { answer }).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Puts notices that were given up, oldest first, at the front of the queue, and forgets those with the ids
    /// `outdated`.
    ///
    /// # Errors
    /// As of [`Store::record`].
    pub async fn revive(&self, notices: &[Notice], outdated: Vec<String>) -> Result<(), StoreError> {
        let notices = notices.iter().map(Queued::new).collect::<Result<_, _>>()?;
        self.change(Change::Revived { notices, outdated }).await
    }

    /// `notice` replaces the pending notices `old_ids` and takes the place of the newest of them in the queue, with
    /// the age of the oldest. No address has taken it yet.
    ///
    /// # Errors
    /// As of [`Store::record`].
    pub async fn replace(&self, old_ids: &[String], notice: &Notice) -> Result<(), StoreError> {
        let notice = Queued::new(notice)?;
        self.change(Change::Replaced { old_ids: old_ids.to_vec(), notice }).await
    }

    /// Keeps the users of a target instead of those kept before. While the disk hangs only the newest list of a target
    /// waits for it.
    ///
    /// # Errors
    /// As of [`Store::record`]; also when a newer list took the place of this one.
    pub async fn save_users(&self, target: &str, saved: SavedUsers) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let replaced = match self.lists.held().as_mut() {
            None => return Err(StoreError::Closed),
            Some(lists) => lists.insert(target.to_owned(), List { saved, answer }),
        };
        match replaced {
            Some(older) => older.refuse("a newer list took its place"),
            None => {
                let request = Request { work: Work::SaveUsers { target: target.to_owned() }, _room: None };
                self.requests.send(request).map_err(|_| StoreError::Closed)?;
            }
        }
        self.answer(PATIENCE, answered).await
    }

    /// The users of a target that were kept last, if any.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn load_users(&self, target: &str) -> Result<Option<SavedUsers>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let read = async {
            self.ask(Work::Users { target: target.to_owned(), answer }).await?;
            answered.await.map_err(|_| StoreError::Closed)?
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_| self.hangs())
    }

    /// Notes that these are the targets of the configuration at `now`, by name and source, see
    /// [`Report::source`](crate::model::Report::source). Saved users and counters of a target that left stay for 30
    /// days, and hold again if it is back by then. Those of a target with another source are deleted at once.
    ///
    /// # Errors
    /// As of [`Store::record`].
    pub async fn retain_targets(
        &self,
        targets: &[(String, String)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(Change::Targets { kept: targets.to_vec(), now }).await
    }

    /// Does what was asked so far, closes the database and gives the folder free. All handles are of no use then.
    pub async fn close(&self) {
        let (closed, until_closed) = oneshot::channel();
        if self.ask(Work::Close { closed }).await.is_ok() {
            // Nothing is sent: the writer lets go of its end last.
            drop(until_closed.await);
        }
    }

    /// Beats as long as the disk takes or refuses what it is given, and does neither for ever.
    pub fn beat(&self) -> &Beat {
        &self.health.beat
    }

    /// How the store is doing. Costs nothing.
    pub fn status(&self) -> StoreStatus {
        StoreStatus {
            up: !self.health.down.load(Ordering::Relaxed),
            size_bytes: self.health.size.load(Ordering::Relaxed),
            errors: self.health.errors.load(Ordering::Relaxed),
        }
    }

    async fn change(&self, change: Change) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let began = Instant::now();
        // There is no room while the disk hangs; what has changed waits all the same, or it would be lost.
        let room = timeout(PATIENCE, Arc::clone(&self.room).acquire_owned()).await;
        let room = room.ok().transpose().map_err(|_| StoreError::Closed)?;
        let request = Request { work: Work::Change { change, answer }, _room: room };
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

    /// The disk does not answer in time.
    fn hangs<T>(&self) -> Result<T, StoreError> {
        if !self.health.down.swap(true, Ordering::Relaxed) {
            self.health.errors.fetch_add(1, Ordering::Relaxed);
        }
        Err(StoreError::NotDurable { why: "the disk does not answer".to_owned() })
    }

    async fn ask(&self, work: Work) -> Result<(), StoreError> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.requests.send(Request { work, _room: Some(room) }).map_err(|_| StoreError::Closed)
    }
}

/// The lists of users that wait for the disk, by target; none when the thread that writes has ended. Lists are
/// megabytes, so each target has at most one here, and one request in the queue.
#[derive(Clone, Debug)]
struct Lists(Arc<Mutex<Option<HashMap<String, List>>>>);

#[derive(Debug)]
struct List {
    saved: SavedUsers,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl List {
    fn refuse(self, why: &str) {
        // The caller may have given up.
        drop(self.answer.send(Err(StoreError::NotDurable { why: why.to_owned() })));
    }
}

impl Default for Lists {
    fn default() -> Self {
        Lists(Arc::new(Mutex::new(Some(HashMap::new()))))
    }
}

impl Lists {
    fn take(&self, target: &str) -> Option<List> {
        self.held().as_mut()?.remove(target)
    }

    fn held(&self) -> MutexGuard<'_, Option<HashMap<String, List>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped when the thread that writes ends. If it ends by a panic, nothing is written any more, and that shows.
struct End {
    lists: Lists,
    health: Arc<Health>,
}

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            self.health.down.store(true, Ordering::Relaxed);
            self.health.errors.fetch_add(1, Ordering::Relaxed);
        }
        *self.lists.held() = None;
    }
}

/// What the writer reports about itself.
#[derive(Debug, Default)]
struct Health {
    down: AtomicBool,
    size: AtomicU64,
    errors: AtomicU64,
    beat: Beat,
}

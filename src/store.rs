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
//!
//! A call of [`Store`] that changes something sends a `change` to the `writer`, the thread. The writer applies it first
//! to a database in memory and then to the one on the disk. `outbox`, `users` and `counters` read and write the rows.

mod change;
mod counters;
mod database;
mod error;
mod fault;
mod folder;
mod health;
mod key;
mod loaded;
mod outbox;
mod receiver;
mod schema;
mod table;
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
    model::{CounterChange, CounterFamilies, Notice, Timestamp},
};
use change::Change;
use health::Health;
use outbox::Queued;
use waiting::{List, Lists};
use writer::{Request, Work, Writer};

#[cfg(test)]
pub(crate) use writer::by_hand::ByHand;

pub use error::StoreError;
pub use health::StoreStatus;
pub use key::{existing_hash_key, hash_key};
pub use loaded::Loaded;
pub use outbox::{Pending, Settlement};
pub use receiver::{FallbackKnows, ReceiverState};
pub use users::SavedUsers;

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

    /// All counters of a target, by family and label set.
    ///
    /// # Errors
    /// When the store is closed or does not answer.
    pub async fn load_counters(&self, target: &str) -> Result<CounterFamilies, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Work::Counters { target: target.to_owned(), answer };
        let read = async {
            self.ask(work).await?;
            answered.await.map_err(|_| StoreError::Closed)?
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_| self.hangs())
    }

    /// Changes counters of a target, all of it or nothing. It is on the disk when this returns.
    ///
    /// # Errors
    /// As of [`Store::record`].
    pub async fn commit_counters(&self, target: &str, change: CounterChange) -> Result<(), StoreError> {
        let CounterChange { family, rows, gone } = change;
        let rows = rows.into_iter().map(|row| Ok((row.labels, serde_json::to_string(&row.values)?)));
        let rows = rows.collect::<Result<_, serde_json::Error>>()?;
        self.change(Change::Counters { target: target.to_owned(), family, rows, gone }).await
    }

    /// Notes that these are the targets of the configuration at `now`, by [`Report::id`](crate::model::Report::id). Saved
    /// users and counters of a target that left stay for 30 days, and hold again if it is back by then.
    ///
    /// # Errors
    /// As of [`Store::record`].
    pub async fn retain_targets(&self, ids: &[String], now: Timestamp) -> Result<(), StoreError> {
        self.change(Change::Targets { kept: ids.to_vec(), now }).await
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
        self.health.status()
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
            self.health.count_error();
        }
        Err(StoreError::NotDurable { why: "the disk does not answer".to_owned() })
    }

    async fn ask(&self, work: Work) -> Result<(), StoreError> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.requests.send(Request { work, _room: Some(room) }).map_err(|_| StoreError::Closed)
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
            self.health.count_error();
        }
        *self.lists.held() = None;
    }
}

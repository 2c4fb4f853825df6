//! The health of the store. The writer thread and the callers update it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::clock::Beat;

/// How long a caller waits. After this time, a change enters the queue even if it is full: changes are small, and the
/// change would be lost otherwise. Lists of users are large and wait elsewhere, see
/// [`Lists`](super::waiting::Lists).
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The health of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether all state is on the disk, except changes of the last ten seconds. A store without a file is up as long as
    /// its thread keeps pace.
    pub up: bool,
    /// Size of the database on the disk, including its write-ahead log.
    pub size_bytes: u64,
    /// Failed writes, failed reads of the history of use, failed attempts to open the database, and renamed files.
    pub errors: u64,
    /// Changes that wait for the disk. Those that are kept in memory since the disk failed are not counted.
    pub backlog: usize,
}

/// What the writer and the callers publish.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) down: AtomicBool,
    pub(super) size: AtomicU64,
    errors: AtomicU64,
    pub(super) beat: Beat,
    waiting: Mutex<Waiting>,
}

/// When each waiting change was made, by number.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

/// A change that waits for the disk, until this is dropped.
#[derive(Debug)]
pub(super) struct Wait {
    health: Arc<Health>,
    number: u64,
}

impl Wait {
    pub(super) fn begin(health: &Arc<Health>) -> Self {
        let mut waiting = health.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert(number, Instant::now());
        Wait { health: Arc::clone(health), number }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.health.waiting().since.remove(&self.number);
    }
}

impl Health {
    pub(super) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> StoreStatus {
        let (backlog, oldest) = {
            let waiting = self.waiting();
            (waiting.since.len(), waiting.since.values().next().copied())
        };
        let keeps_pace = oldest.is_none_or(|since| since.elapsed() <= PATIENCE);
        StoreStatus {
            up: keeps_pace && !self.down.load(Ordering::Relaxed),
            size_bytes: self.size.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            backlog,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The health of the store. The writer thread updates it, and handles read it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::Beat;

/// The health of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether all state is on the disk. A store without a file is always up.
    pub up: bool,
    /// Size of the database on the disk, including its write-ahead log.
    pub size_bytes: u64,
    /// Failed writes, failed attempts to open the database, and renamed files.
    pub errors: u64,
}

/// What the writer publishes.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) down: AtomicBool,
    pub(super) size: AtomicU64,
    errors: AtomicU64,
    pub(super) beat: Beat,
}

impl Health {
    pub(super) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> StoreStatus {
        StoreStatus {
            up: !self.down.load(Ordering::Relaxed),
            size_bytes: self.size.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

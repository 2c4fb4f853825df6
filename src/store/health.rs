//! How the store is doing: written by its thread, read by its handles.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::Beat;

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

/// What the writer reports about itself.
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

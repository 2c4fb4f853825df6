//! The connections between the parts of the daemon.

use super::storage_key::StorageKey;
use crate::{
    board::Board,
    clock::{Beats, Clock},
    store::{Store, Usage},
    telemetry::Telemetry,
    upstream::RefusedKeys,
};

/// What all parts of the daemon share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) board: Board,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) usage: Usage,
    pub(super) telemetry: Telemetry,
    pub(super) beats: Beats,
    pub(super) refused_keys: RefusedKeys,
    pub(super) storage_key: StorageKey,
}

/// Where a daemon keeps the state that must survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// In the storage folder.
    InStorage,
    /// Nowhere: it starts empty, and what it knows is lost when it ends.
    Nothing,
}

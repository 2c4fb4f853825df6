//! Lists of users that wait for the disk.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{error::StoreError, users::SavedUsers};

/// The lists of users that wait for the disk, by target; `None` after the writer thread has ended. A list can be
/// megabytes, so each target has at most one here, with one request in the queue.
#[derive(Clone, Debug)]
pub(super) struct Lists(Arc<Mutex<Option<HashMap<String, List>>>>);

#[derive(Debug)]
pub(super) struct List {
    pub(super) saved: SavedUsers,
    pub(super) answer: oneshot::Sender<Result<(), StoreError>>,
}

impl List {
    pub(super) fn refuse(self, why: &str) {
        // The caller may have stopped waiting.
        drop(self.answer.send(Err(StoreError::NotDurable { why: why.to_owned() })));
    }
}

impl Default for Lists {
    fn default() -> Self {
        Lists(Arc::new(Mutex::new(Some(HashMap::new()))))
    }
}

impl Lists {
    pub(super) fn take(&self, target: &str) -> Option<List> {
        self.held().as_mut()?.remove(target)
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Option<HashMap<String, List>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

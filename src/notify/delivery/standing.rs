use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::Moment;

/// How it stands with a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When the first attempt failed since it took a notice.
    pub failing_since: Option<Moment>,
    /// When the oldest notice was made that it has yet to take.
    pub oldest_pending: Option<Moment>,
}

/// How it stands with each receiver, by name. Cheap to clone; all clones are one list.
#[derive(Clone, Debug, Default)]
pub struct Standings(Arc<Mutex<BTreeMap<String, Standing>>>);

impl Standings {
    pub fn list(&self) -> BTreeMap<String, Standing> {
        self.held().clone()
    }

    pub fn set(&self, receiver: &str, standing: Standing) {
        self.held().insert(receiver.to_owned(), standing);
    }

    /// Of a receiver that is no longer configured.
    pub fn forget(&self, receiver: &str) {
        self.held().remove(receiver);
    }

    /// A panic cannot leave it half written: each change is one call.
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

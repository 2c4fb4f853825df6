use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::Moment;

/// Whether a receiver takes its notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When the first attempt failed since the last notice was delivered.
    pub failing_since: Option<Moment>,
    /// Since when the oldest notification waits.
    pub oldest_pending: Option<Moment>,
}

/// The health of each receiver, by name. Cheap to clone; all clones share one list.
#[derive(Clone, Debug, Default)]
pub struct HealthByReceiver(Arc<Mutex<BTreeMap<String, Health>>>);

impl HealthByReceiver {
    pub fn list(&self) -> BTreeMap<String, Health> {
        self.held().clone()
    }

    pub fn set(&self, receiver: &str, health: Health) {
        self.held().insert(receiver.to_owned(), health);
    }

    /// Removes a receiver that is no longer configured.
    pub fn forget(&self, receiver: &str) {
        self.held().remove(receiver);
    }

    /// Each change is a single call, so a panic of a holder leaves no half-written state.
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Health>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The key that hashes users, as the storage folder has it.

use std::sync::{Arc, OnceLock};

use tracing::error;

use super::error::StartError;
use crate::{
    clock::Clock,
    config::StorageConfig,
    secret::HashKey,
    store::{self, KeptKey, Store},
};

/// The key in the storage folder. It is read once, so that no reload changes the codes of users. The store keeps it
/// there.
#[derive(Clone)]
pub(super) struct StorageKey {
    store: Store,
    key: Arc<OnceLock<HashKey>>,
}

impl StorageKey {
    pub(super) fn new(store: &Store) -> Self {
        StorageKey { store: store.clone(), key: Arc::default() }
    }

    /// # Errors
    /// When the folder or the key file cannot be used.
    pub(super) fn get(&self, storage: &StorageConfig, clock: &Clock) -> Result<HashKey, StartError> {
        if let Some(key) = self.key.get() {
            return Ok(key.clone());
        }
        let KeptKey { key, problem } = store::hash_key(&storage.path, clock.now().wall)?;
        if let Some(problem) = problem {
            error!("{problem}");
        }
        let hash_key = self.key.get_or_init(|| HashKey::new(&key)).clone();
        self.store.keep_hash_key(key);
        Ok(hash_key)
    }
}

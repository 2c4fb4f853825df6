//! The key that hashes users, as the storage folder has it.

use std::sync::{Arc, OnceLock};

use tracing::error;

use super::error::StartError;
use crate::{
    clock::Clock,
    config::StorageConfig,
    secret::HashKey,
    store::{self, KeptKey},
};

/// The key in the storage folder. It is read once, so that no reload changes the codes of users.
#[derive(Clone, Default)]
pub(super) struct StorageKey(Arc<OnceLock<HashKey>>);

impl StorageKey {
    /// # Errors
    /// When the folder or the key file cannot be used.
    pub(super) fn get(&self, storage: &StorageConfig, clock: &Clock) -> Result<HashKey, StartError> {
        if let Some(key) = self.0.get() {
            return Ok(key.clone());
        }
        let KeptKey { key, problem } = store::hash_key(&storage.path, clock.now().wall)?;
        if let Some(problem) = problem {
            error!("{problem}");
        }
        Ok(self.0.get_or_init(|| HashKey::new(&key)).clone())
    }
}

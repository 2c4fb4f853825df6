//! How metrics label users, and the key that hashes their names.

use super::error::StartError;
use crate::{
    config::{Config, LabelsChoice, NoticeNames, StorageConfig, UsersConfig},
    exposition::UserLabels,
    secret::HashKey,
    store,
};

/// How metrics label users, with an existing key.
///
/// # Errors
/// When labels are to be hashed and there is no key, or the key cannot be read.
pub fn labels_without_store(users: &UsersConfig, storage: &StorageConfig) -> Result<UserLabels, StartError> {
    let key = match (&users.hash_key, users.labels) {
        (Some(key), _) => Some(HashKey::new(key.expose().as_bytes())),
        (None, LabelsChoice::Hash) => {
            let key = store::existing_hash_key(&storage.path)?;
            Some(HashKey::new(&key.ok_or_else(|| StartError::NoHashKey(storage.path.display().to_string()))?))
        }
        (None, _) => None,
    };
    Ok(user_labels(users, key))
}

/// The key that hashes users, if any are hashed; created if there is none.
pub(super) fn hash_key(config: &Config) -> Result<Option<HashKey>, StartError> {
    let users = &config.users;
    if users.labels != LabelsChoice::Hash && users.notices != NoticeNames::Hash {
        return Ok(None);
    }
    Ok(Some(match &users.hash_key {
        Some(key) => HashKey::new(key.expose().as_bytes()),
        None => HashKey::new(&store::hash_key(&config.storage.path)?),
    }))
}

/// How metrics label users, with a key if their names are hashed.
pub(super) fn user_labels(users: &UsersConfig, key: Option<HashKey>) -> UserLabels {
    match (users.labels, key) {
        (LabelsChoice::Name, _) => UserLabels::Name,
        (LabelsChoice::Hash, Some(key)) => UserLabels::Hash(key),
        (LabelsChoice::Off | LabelsChoice::Hash, _) => UserLabels::Off,
    }
}

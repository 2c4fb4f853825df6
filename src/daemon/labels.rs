//! How metrics label users, and the key that hashes their names.

use super::{error::StartError, shared::Keep, storage_key::StorageKey};
use crate::{
    clock::Clock,
    config::{Config, LabelsChoice, NoticeNames, StorageConfig, Target, UsersConfig},
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

/// The key that hashes what targets show of people and keys, for a command that keeps nothing: the key that a daemon
/// has, else one of this process.
///
/// # Errors
/// When the system gives no random bytes.
pub fn hash_key_without_store(config: &Config) -> Result<HashKey, StartError> {
    if let Some(key) = &config.users.hash_key {
        return Ok(HashKey::new(key.expose().as_bytes()));
    }
    // One that cannot be read is none.
    match store::existing_hash_key(&config.storage.path) {
        Ok(Some(key)) => Ok(HashKey::new(&key)),
        Ok(None) | Err(_) => passing_key(),
    }
}

/// A key that lasts as long as the process.
fn passing_key() -> Result<HashKey, StartError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(StartError::Random)?;
    Ok(HashKey::new(&key))
}

/// The key that hashes users and what targets meet, if anything is hashed; created if there is none.
pub(super) fn hash_key(
    config: &Config,
    keep: Keep,
    in_storage: &StorageKey,
    clock: &Clock,
) -> Result<Option<HashKey>, StartError> {
    let users = &config.users;
    let hashes_users = users.labels == LabelsChoice::Hash || users.notices == NoticeNames::Hash;
    if !hashes_users && !config.targets.iter().any(Target::hashes) {
        return Ok(None);
    }
    Ok(Some(match (&users.hash_key, keep) {
        (Some(key), _) => HashKey::new(key.expose().as_bytes()),
        (None, Keep::InStorage) => in_storage.get(&config.storage, clock)?,
        (None, Keep::Nothing) => passing_key()?,
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

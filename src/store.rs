//! What outlives the process: a folder of our own.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Bytes of the key that user labels are hashed with.
const KEY_BYTES: usize = 32;
const KEY_FILE: &str = "hash.key";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct StoreError {
    path: PathBuf,
    source: io::Error,
}

/// The key that user labels are hashed with, made at its first use. It stays the same as long as the folder lives,
/// so that a user keeps one label.
///
/// # Errors
/// When the folder or the key's file cannot be made or read, or the file holds something else.
pub fn hash_key(folder: &Path) -> Result<Vec<u8>, StoreError> {
    match existing_hash_key(folder)? {
        Some(key) => Ok(key),
        None => make_hash_key(folder),
    }
}

/// The key that was made earlier, if there is one. Nothing is written.
///
/// # Errors
/// When the key's file cannot be read or holds something else.
pub fn existing_hash_key(folder: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let path = folder.join(KEY_FILE);
    let key = match fs::read(&path) {
        Ok(key) => key,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError { path, source }),
    };
    if key.len() != KEY_BYTES {
        let source = io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "holds {} bytes instead of a key's {KEY_BYTES}; remove it to have a new key made",
                key.len()
            ),
        );
        return Err(StoreError { path, source });
    }
    Ok(Some(key))
}

fn make_hash_key(folder: &Path) -> Result<Vec<u8>, StoreError> {
    let path = folder.join(KEY_FILE);
    let write = || -> io::Result<Vec<u8>> {
        let mut key = vec![0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Written aside and renamed, so that a crash leaves a whole key or none.
        let aside = folder.join(format!("{KEY_FILE}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(key)
    };
    write().map_err(|source| StoreError { path: path.clone(), source })
}

// STUB-BEGIN
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::model::{Notice, Timestamp};

#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Mutex<BTreeMap<String, (Notice, Vec<String>)>>>);

#[derive(Clone, Debug)]
pub struct Pending {
    pub notice: Notice,
    pub done: Vec<String>,
    pub queued_at: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub alerts: Vec<(String, Option<String>)>,
    pub groups: Vec<(String, Option<String>)>,
    pub notices: Vec<Notice>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReceiverState {
    pub failures: u32,
    pub next_attempt: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    pub disabled: bool,
}

#[expect(clippy::unused_async, reason = "stub")]
impl Store {
    pub fn in_memory() -> Store {
        Store::default()
    }
    pub async fn record(&self, batch: Batch) -> Result<(), StoreError> {
        let mut rows = self.0.lock().unwrap();
        for notice in batch.notices {
            rows.insert(notice.id.clone(), (notice, vec![]));
        }
        Ok(())
    }
    pub async fn delivered(&self, notice_id: &str, _receiver: &ReceiverState) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(notice_id);
        Ok(())
    }
    pub async fn attempted(
        &self,
        notice_id: &str,
        done: &[String],
        _receiver: &ReceiverState,
    ) -> Result<(), StoreError> {
        if let Some(row) = self.0.lock().unwrap().get_mut(notice_id) {
            row.1 = done.to_vec();
        }
        Ok(())
    }
    pub async fn abandoned(&self, notice_id: &str) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(notice_id);
        Ok(())
    }
    pub async fn replace(&self, old_ids: &[String], notice: &Notice) -> Result<(), StoreError> {
        let mut rows = self.0.lock().unwrap();
        for id in old_ids {
            rows.remove(id);
        }
        rows.insert(notice.id.clone(), (notice.clone(), vec![]));
        Ok(())
    }
}
// STUB-END

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_key_is_made_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        assert!(existing_hash_key(&folder).unwrap().is_none());
        let key = hash_key(&folder).unwrap();
        assert_eq!(hash_key(&folder).unwrap(), key);
        let mode = fs::metadata(folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(KEY_FILE), b"short").unwrap();
        let err = hash_key(folder.path()).unwrap_err().to_string();
        assert!(err.contains("holds 5 bytes"), "{err}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        let err = hash_key(&file.join("data")).unwrap_err().to_string();
        assert!(err.contains("hash.key"), "{err}");
    }
}

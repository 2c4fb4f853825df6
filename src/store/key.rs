use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{error::StoreError, folder};

/// Length in bytes of the key that hashes user labels.
const KEY_BYTES: usize = 32;
const KEY_FILE: &str = "hash.key";

/// The key that hashes user labels, created at first use. It lasts as long as the folder, so the label of a user stays
/// the same.
///
/// # Errors
/// If the folder or the key file cannot be created or read, or if the file is not a key.
pub fn hash_key(folder: &Path) -> Result<Vec<u8>, StoreError> {
    match existing_hash_key(folder)? {
        Some(key) => Ok(key),
        None => make_hash_key(folder),
    }
}

/// The existing key, if there is one. Nothing is written.
///
/// # Errors
/// If the key file cannot be read or is not a key.
pub fn existing_hash_key(folder: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let path = folder.join(KEY_FILE);
    let key = match fs::read(&path) {
        Ok(key) => key,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::File { path, source }),
    };
    if key.len() != KEY_BYTES {
        let source = io::Error::new(
            io::ErrorKind::InvalidData,
            format!("holds {} bytes instead of {KEY_BYTES}; delete it to create a new key", key.len()),
        );
        return Err(StoreError::File { path, source });
    }
    Ok(Some(key))
}

fn make_hash_key(folder: &Path) -> Result<Vec<u8>, StoreError> {
    let path = folder.join(KEY_FILE);
    let write = || -> io::Result<Vec<u8>> {
        let mut key = vec![0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        folder::make(folder)?;
        // Written to another file and renamed, so a crash leaves a complete key or none.
        let aside = folder.join(format!("{KEY_FILE}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(key)
    };
    write().map_err(|source| StoreError::File { path: path.clone(), source })
}

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

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{
    error::StoreError,
    folder,
    unusable::{Unusable, at},
};
use crate::model::Timestamp;

/// Length in bytes of the key that hashes user labels.
const KEY_BYTES: usize = 32;
const KEY_FILE: &str = "hash.key";

/// The key that hashes user labels.
#[derive(Debug)]
pub struct KeptKey {
    pub key: Vec<u8>,
    /// A problem with the key file and how it was handled, as a sentence for logs.
    pub problem: Option<String>,
}

/// The key that hashes user labels, created at first use. It lasts as long as the folder, so the label of a user stays
/// the same. If the disk is full, read-only or failing, the key is in memory only; see [`Store::keep_hash_key`](super::Store::keep_hash_key). A file that is not a key
/// is renamed. `now` is part of its new name.
///
/// # Errors
/// If the folder or the key file is no folder or file, or may not be read or created.
pub fn hash_key(folder: &Path, now: Timestamp) -> Result<KeptKey, StoreError> {
    let path = folder.join(KEY_FILE);
    let mut problem = None;
    let kept = match read(&path) {
        Ok(Some(key)) if key.len() == KEY_BYTES => return Ok(KeptKey { key, problem }),
        Ok(Some(other)) => {
            let aside = folder::put_aside(&path, "damaged", now).map_err(at(&path));
            aside.and_then(|aside| {
                problem = Some(format!(
                    "{}: {}; it was renamed to {} and a new key was created: the codes of users change",
                    path.display(),
                    not_a_key(&other),
                    aside.display()
                ));
                make(folder)
            })
        }
        Ok(None) => make(folder),
        Err(err) => Err(err),
    };
    match kept {
        Ok(key) => Ok(KeptKey { key, problem }),
        Err(err) if err.is_wrong() => Err(err.stops(folder)),
        Err(Unusable { path, source }) => Ok(KeptKey {
            key: random().map_err(|source| Unusable::new(&path, source).stops(folder))?,
            problem: Some(format!(
                "{}: {source}; users get other codes, with a key that is kept in memory only until it can be written",
                path.display()
            )),
        }),
    }
}

/// The existing key, if there is one. Nothing is written.
///
/// # Errors
/// If the key file cannot be read or is not a key.
pub fn existing_hash_key(folder: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let path = folder.join(KEY_FILE);
    match read(&path).map_err(|err| err.stops(folder))? {
        Some(other) if other.len() != KEY_BYTES => {
            let source = io::Error::new(io::ErrorKind::InvalidData, not_a_key(&other));
            Err(Unusable::new(&path, source).stops(folder))
        }
        key => Ok(key),
    }
}

fn not_a_key(other: &[u8]) -> String {
    match other.len() {
        0..KEY_BYTES => format!("holds {} bytes instead of {KEY_BYTES}", other.len()),
        _ => format!("holds more than {KEY_BYTES} bytes"),
    }
}

/// The content of the key file, of which at most one byte too many is read.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Unusable> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(found) if found.is_dir() => {
            return Err(Unusable::new(path, io::ErrorKind::IsADirectory.into()));
        }
        // Such as a pipe, which could block.
        Ok(_) => {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            return Err(Unusable::new(path, source));
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(Unusable::new(path, err)),
    }
    let mut key = Vec::new();
    let most = u64::try_from(KEY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut key));
    read.map_err(at(path))?;
    Ok(Some(key))
}

fn random() -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

fn make(folder: &Path) -> Result<Vec<u8>, Unusable> {
    folder::make(folder)?;
    let key = random().map_err(at(&folder.join(KEY_FILE)))?;
    write(folder, &key)?;
    Ok(key)
}

/// Writes a key that is in use, if there is no key file. Returns whether it did.
pub(super) fn keep(folder: &Path, key: &[u8]) -> Result<bool, Unusable> {
    let path = folder.join(KEY_FILE);
    match fs::metadata(&path) {
        Ok(_) => Ok(false),
        Err(err) if err.kind() == io::ErrorKind::NotFound => write(folder, key).map(|()| true),
        Err(err) => Err(Unusable::new(&path, err)),
    }
}

fn write(folder: &Path, key: &[u8]) -> Result<(), Unusable> {
    let path = folder.join(KEY_FILE);
    // Written to another file and renamed, so a crash leaves a complete key or none.
    let aside = folder.join(format!("{KEY_FILE}.new"));
    // What is left behind may be anything: opening a pipe would block.
    match fs::remove_file(&aside) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(at(&aside))?,
    }
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(key)?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        folder::sync(folder)
    };
    write().map_err(at(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn key(folder: &Path) -> Vec<u8> {
        let KeptKey { key, problem } = hash_key(folder, NOW).unwrap();
        assert_eq!(problem, None);
        key
    }

    #[test]
    fn the_hash_key_is_made_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        assert!(existing_hash_key(&folder).unwrap().is_none());
        let made = key(&folder);
        assert_eq!(key(&folder), made);
        let mode = fs::metadata(folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_renamed_and_a_new_one_made() {
        for damaged in [&b""[..], b"short", &[7; 33], &[7; 100_000]] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(KEY_FILE), damaged).unwrap();
            let err = existing_hash_key(folder.path()).unwrap_err().to_string();
            assert!(err.contains("hash.key") && err.contains("bytes"), "{err}");
            let KeptKey { key: made, problem } = hash_key(folder.path(), NOW).unwrap();
            let problem = problem.unwrap();
            assert!(problem.contains("hash.key.damaged-1795000000"), "{problem}");
            assert_eq!(fs::read(folder.path().join("hash.key.damaged-1795000000")).unwrap(), damaged);
            assert_eq!(key(folder.path()), made);
        }
    }

    #[test]
    fn what_is_in_the_way_of_the_key_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        let folder = root.path().join("folder");
        fs::create_dir_all(folder.join(KEY_FILE)).unwrap();
        let device = root.path().join("device");
        fs::create_dir(&device).unwrap();
        std::os::unix::fs::symlink("/dev/zero", device.join(KEY_FILE)).unwrap();
        for (folder, named, why) in [
            (file.join("data"), "hash.key", "Not a directory"),
            (folder, "hash.key", "directory"),
            (device, "hash.key", "not a regular file"),
        ] {
            for err in [hash_key(&folder, NOW).unwrap_err(), existing_hash_key(&folder).unwrap_err()] {
                let err = err.to_string();
                assert!(err.contains(named) && err.contains(why) && err.contains("storage.path"), "{err}");
            }
        }
    }

    #[test]
    fn what_is_left_of_a_new_key_is_removed() {
        let prepare: [fn(&Path); 2] = [
            |aside| assert!(std::process::Command::new("mkfifo").arg(aside).status().unwrap().success()),
            |aside| std::os::unix::fs::symlink("/dev/full", aside).unwrap(),
        ];
        for prepare in prepare {
            let folder = tempfile::tempdir().unwrap();
            prepare(&folder.path().join("hash.key.new"));
            let made = key(folder.path());
            assert_eq!(key(folder.path()), made);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("hash.key.new")).unwrap();
        let err = hash_key(folder.path(), NOW).unwrap_err().to_string();
        assert!(err.contains("hash.key.new") && err.contains("a folder is in the way"), "{err}");
    }

    #[test]
    fn a_key_in_use_is_written_when_its_file_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(keep(folder.path(), &[7; KEY_BYTES]).unwrap());
        assert!(!keep(folder.path(), &[8; KEY_BYTES]).unwrap());
        assert_eq!(key(folder.path()), [7; KEY_BYTES]);
    }
}

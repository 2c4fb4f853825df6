//! The folder: made for its owner alone, held by one process, and where files are put aside.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::model::Timestamp;

const LOCK_FILE: &str = "proxymeter.lock";

/// What SQLite keeps beside a database. The log comes first: a new database would take a log that lies about for its
/// own, so it must not be left behind when the file is moved.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Makes the folder and those above it, for their owner alone, unless they are there.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    make(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        // Whatever umask there is, it is not to lock out ourselves.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o700))?,
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        Err(err) => return Err(err),
    }
    sync(above)
}

/// Why a folder is not ours to write.
pub(super) enum Unclaimed {
    /// Another process holds it.
    Locked,
    Unusable(io::Error),
}

impl From<io::Error> for Unclaimed {
    fn from(err: io::Error) -> Self {
        Unclaimed::Unusable(err)
    }
}

/// A folder that this process holds until this is dropped. The system ends it with the process, so nothing needs to be
/// cleaned up after a crash.
#[derive(Debug)]
pub(super) struct Claim(File);

impl Drop for Claim {
    fn drop(&mut self) {
        // A child process that another thread is starting shares the file until it runs, so closing is not enough.
        drop(self.0.unlock());
    }
}

/// Makes the folder and takes hold of it.
pub(super) fn claim(folder: &Path) -> Result<Claim, Unclaimed> {
    make(folder)?;
    let lock = open_or_make(&folder.join(LOCK_FILE))?;
    match lock.try_lock() {
        Ok(()) => Ok(Claim(lock)),
        Err(TryLockError::WouldBlock) => Err(Unclaimed::Locked),
        Err(TryLockError::Error(err)) => Err(Unclaimed::Unusable(err)),
    }
}

/// Opens a file for writing, and makes it for its owner alone if it is not there.
pub(super) fn open_or_make(path: &Path) -> io::Result<File> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(0o600))?;
            if let Some(folder) = path.parent() {
                sync(folder)?;
            }
            Ok(file)
        }
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => OpenOptions::new().write(true).open(path),
        Err(err) => Err(err),
    }
}

/// Renames a database and what SQLite keeps beside it to `<name>.<word>-<unix seconds>`, and returns that name.
pub(super) fn put_aside(database: &Path, word: &str, now: Timestamp) -> io::Result<PathBuf> {
    let stem = with_suffix(database, &format!(".{word}-{}", now.as_secs()));
    let mut aside = stem.clone();
    let mut copy = 2_u32;
    while aside.symlink_metadata().is_ok() {
        aside = with_suffix(&stem, &format!("-{copy}"));
        copy = copy.saturating_add(1);
    }
    for companion in COMPANIONS {
        match fs::rename(with_suffix(database, companion), with_suffix(&aside, companion)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    fs::rename(database, &aside)?;
    if let Some(folder) = database.parent() {
        sync(folder)?;
    }
    Ok(aside)
}

/// The log of recent changes that belongs to a database.
pub(super) fn log_of(database: &Path) -> PathBuf {
    with_suffix(database, "-wal")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Puts a folder's entries on the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between fork and exec a child has a copy of each open file.
    #[test]
    fn a_copy_of_the_file_in_a_child_keeps_no_claim() {
        let folder = tempfile::tempdir().unwrap();
        let first = claim(folder.path()).unwrap_or_else(|_| panic!("free"));
        let _in_a_child = first.0.try_clone().unwrap();
        assert!(matches!(claim(folder.path()), Err(Unclaimed::Locked)));
        drop(first);
        assert!(claim(folder.path()).is_ok());
    }
}

//! The storage folder: accessible to its owner only, and locked by one process. Unusable files are renamed in it.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::model::Timestamp;

const LOCK_FILE: &str = "proxymeter.lock";

/// The suffixes of the files that SQLite keeps beside a database. The log comes first, because a new database would
/// apply a log that is left behind.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Creates the folder and its missing parents with mode 0700.
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
        // The umask may have removed permissions that this process needs.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o700))?,
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        Err(err) => return Err(err),
    }
    sync(above)
}

/// Why the folder cannot be locked.
pub(super) enum Unclaimed {
    /// Another process has locked it.
    Locked,
    Unusable(io::Error),
}

impl From<io::Error> for Unclaimed {
    fn from(err: io::Error) -> Self {
        Unclaimed::Unusable(err)
    }
}

/// The lock on the folder, released on drop. The system releases it when the process ends, so a crash leaves no stale
/// lock.
#[derive(Debug)]
pub(super) struct Claim(File);

impl Drop for Claim {
    fn drop(&mut self) {
        // Between fork and exec, a child process shares the file, so closing it does not release the lock.
        drop(self.0.unlock());
    }
}

/// Creates the folder if it is missing, and locks it.
pub(super) fn claim(folder: &Path) -> Result<Claim, Unclaimed> {
    make(folder)?;
    let lock = open_or_make(&folder.join(LOCK_FILE))?;
    match lock.try_lock() {
        Ok(()) => Ok(Claim(lock)),
        Err(TryLockError::WouldBlock) => Err(Unclaimed::Locked),
        Err(TryLockError::Error(err)) => Err(Unclaimed::Unusable(err)),
    }
}

/// Opens a file for writing. Creates it with mode 0600 if it is missing.
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

/// Renames a database and its companion files to `<name>.<word>-<unix seconds>` and returns that name.
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

/// The write-ahead log of a database.
pub(super) fn log_of(database: &Path) -> PathBuf {
    with_suffix(database, "-wal")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Syncs the entries of a folder to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between fork and exec, a child process has a copy of each open file.
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

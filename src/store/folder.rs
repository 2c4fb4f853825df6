//! The storage folder: accessible to its owner only, and locked by one process. Unusable files are renamed in it.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use super::unusable::{Unusable, at};
use crate::model::Timestamp;

const LOCK_FILE: &str = "proxymeter.lock";

/// Bad file descriptor. `io::ErrorKind` has no stable name for it.
const EBADF: i32 = 9;

/// Created and removed, to learn whether the folder takes files.
const PROBE_FILE: &str = "proxymeter.probe";

/// The suffixes of the files that SQLite keeps beside a database. The log comes first, because a new database would
/// apply a log that is left behind.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Creates the folder and its missing parents with mode 0700.
pub(super) fn make(folder: &Path) -> Result<(), Unusable> {
    match exists(folder) {
        Err(err) if err.source.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let above = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    make(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        // The umask may have removed permissions that this process needs.
        // Some file systems have none.
        Ok(()) => drop(fs::set_permissions(folder, Permissions::from_mode(0o700))),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        Err(err) => return Err(Unusable::new(folder, err)),
    }
    sync(above).map_err(at(above))
}

/// Checks that the folder is there.
pub(super) fn exists(folder: &Path) -> Result<(), Unusable> {
    let found = fs::metadata(folder).map_err(at(folder))?;
    if found.is_dir() { Ok(()) } else { Err(Unusable::new(folder, io::ErrorKind::NotADirectory.into())) }
}

/// Why the folder cannot be locked.
#[derive(Debug)]
pub(super) enum Unclaimed {
    /// Another process has locked it.
    Locked,
    Unusable(Unusable),
}

impl From<Unusable> for Unclaimed {
    fn from(err: Unusable) -> Self {
        Unclaimed::Unusable(err)
    }
}

/// The locks on the folder, released on drop. The system releases them when the process ends, so a crash leaves no stale
/// lock.
///
/// The folder itself is locked, which no removed file undoes, and which works on a read-only disk. The lock file keeps
/// earlier versions out, and on network file systems other machines, to which the lock on a folder does not extend.
#[derive(Debug, Default)]
pub(super) struct Claim {
    folder: Option<Lock>,
    file: Option<Lock>,
}

/// An open file or folder that is locked, if its file system has locks.
#[derive(Debug)]
struct Lock {
    file: File,
    is_locked: bool,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Between fork and exec, a child process shares the file, so closing it does not release the lock.
        drop(self.file.unlock());
    }
}

impl Lock {
    fn take(file: File) -> Result<Self, Unclaimed> {
        match file.try_lock() {
            Ok(()) => Ok(Lock { file, is_locked: true }),
            Err(TryLockError::WouldBlock) => Err(Unclaimed::Locked),
            // Such as a network file system without a lock service.
            Err(TryLockError::Error(_)) => Ok(Lock { file, is_locked: false }),
        }
    }

    fn is_at(&self, path: &Path) -> Result<bool, Unusable> {
        let there = found(path)?.as_ref().map(identity);
        // Of a file that a server has deleted, a network file system knows nothing.
        Ok(there.is_some() && self.file.metadata().ok().as_ref().map(identity) == there)
    }
}

/// Whether it is locked and still at the path.
fn is_held(lock: Option<&Lock>, path: &Path) -> Result<bool, Unusable> {
    lock.map_or(Ok(false), |lock| lock.is_at(path))
}

impl Claim {
    /// Creates the folder if it is missing, and locks what is not locked yet. What it has locked stays locked if the rest
    /// fails.
    pub(super) fn renew(&mut self, folder: &Path) -> Result<(), Unclaimed> {
        make(folder)?;
        if !is_held(self.folder.as_ref(), folder)? {
            *self = Claim::default();
            self.folder = Some(Lock::take(File::open(folder).map_err(at(folder))?)?);
        }
        let file = folder.join(LOCK_FILE);
        if !is_held(self.file.as_ref(), &file)? {
            self.file = Some(Lock::take(open_or_make(&file)?)?);
        }
        Ok(())
    }

    /// The folder or the lock file, if it was removed or replaced since it was locked.
    pub(super) fn missing(&self, folder: &Path) -> Result<Option<PathBuf>, Unusable> {
        let file = folder.join(LOCK_FILE);
        if !is_held(self.folder.as_ref(), folder)? {
            return Ok(Some(folder.to_owned()));
        }
        Ok((!is_held(self.file.as_ref(), &file)?).then_some(file))
    }

    /// Whether another process cannot claim the folder.
    pub(super) fn is_locked(&self) -> bool {
        [&self.folder, &self.file].into_iter().flatten().any(|lock| lock.is_locked)
    }
}

/// Device and inode of a file or folder.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(found: &fs::Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// What is at a path, if there is anything. An error means that this is not known.
pub(super) fn found(path: &Path) -> Result<Option<fs::Metadata>, Unusable> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(err) => Err(Unusable::new(path, err)),
    }
}

/// Opens a file for writing. Creates it with mode 0600 if it is missing.
pub(super) fn open_or_make(path: &Path) -> Result<File, Unusable> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            drop(file.set_permissions(Permissions::from_mode(0o600)));
            if let Some(folder) = path.parent() {
                if let Ok(owner) = fs::metadata(folder) {
                    // A command that root runs must not lock the exporter out. Of other users, this fails.
                    drop(fchown(&file, Some(owner.uid()), Some(owner.gid())));
                }
                sync(folder).map_err(at(folder))?;
            }
            Ok(file)
        }
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => open(path),
        Err(err) => Err(Unusable::new(path, err)),
    }
}

/// Opens an existing file for writing. Anything else, such as a pipe, could block.
fn open(path: &Path) -> Result<File, Unusable> {
    let found = fs::metadata(path).map_err(at(path))?;
    if found.is_dir() {
        return Err(Unusable::new(path, io::ErrorKind::IsADirectory.into()));
    }
    if !found.is_file() {
        return Err(Unusable::new(path, io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    OpenOptions::new().write(true).open(path).map_err(at(path))
}

/// Checks that the database and its companion files can be opened and created. No connection to the database may be open
/// in this process, because closing a file releases all its locks that SQLite holds.
pub(super) fn check(database: &Path) -> Result<(), Unusable> {
    open_or_make(database)?;
    for companion in COMPANIONS.map(|suffix| with_suffix(database, suffix)) {
        if companion.symlink_metadata().is_ok() {
            open(&companion)?;
        }
    }
    database.parent().map_or(Ok(()), probe)
}

/// Checks that files can be created in a folder.
pub(super) fn probe(folder: &Path) -> Result<(), Unusable> {
    let file = folder.join(PROBE_FILE);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
        // Left behind by a crash.
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
        made => drop(made.map_err(at(folder))?),
    }
    match fs::remove_file(&file) {
        // By a command that checks the folder too.
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(at(&file)),
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

/// The database and the files that SQLite keeps beside it.
pub(super) fn files_of(database: &Path) -> [PathBuf; 3] {
    let [log, index] = COMPANIONS.map(|suffix| with_suffix(database, suffix));
    [database.to_owned(), log, index]
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Syncs the entries of a folder to the disk, if its file system can do that.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(err)
            if matches!(err.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
                || err.raw_os_error() == Some(EBADF) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(folder: &Path) -> Result<Claim, Unclaimed> {
        let mut claim = Claim::default();
        claim.renew(folder).map(|()| claim)
    }

    /// Between fork and exec, a child process has a copy of each open file.
    #[test]
    fn a_copy_of_the_file_in_a_child_keeps_no_claim() {
        let folder = tempfile::tempdir().unwrap();
        let first = claim(folder.path()).unwrap();
        let copy = |lock: &Option<Lock>| lock.as_ref().unwrap().file.try_clone().unwrap();
        let _in_a_child = [copy(&first.folder), copy(&first.file)];
        assert!(matches!(claim(folder.path()), Err(Unclaimed::Locked)));
        drop(first);
        claim(folder.path()).unwrap();
    }

    #[test]
    fn a_claim_survives_what_happens_to_the_lock_file_and_the_names_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let [folder, link, away] = ["data", "link", "away"].map(|name| root.path().join(name));
        let mut first = claim(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let locked =
            |path: &Path| assert!(matches!(claim(path), Err(Unclaimed::Locked)), "{}", path.display());
        locked(&link);
        assert_eq!(first.missing(&folder).unwrap(), None);

        let file = folder.join(LOCK_FILE);
        fs::remove_file(&file).unwrap();
        assert_eq!(first.missing(&folder).unwrap(), Some(file.clone()));
        locked(&folder);
        first.renew(&folder).unwrap();
        assert_eq!(first.missing(&folder).unwrap(), None);
        // Earlier versions lock the file alone.
        assert!(matches!(Lock::take(File::open(&file).unwrap()), Err(Unclaimed::Locked)));

        fs::rename(&folder, &away).unwrap();
        assert_eq!(first.missing(&folder).unwrap(), Some(folder.clone()));
        locked(&away);
        fs::create_dir(&folder).unwrap();
        assert_eq!(first.missing(&folder).unwrap(), Some(folder.clone()));
        first.renew(&folder).unwrap();
        assert_eq!(first.missing(&folder).unwrap(), None);
        locked(&folder);
        claim(&away).unwrap();
        assert!(first.is_locked());
    }

    #[test]
    fn a_folder_that_another_process_took_is_not_claimed() {
        let root = tempfile::tempdir().unwrap();
        let [folder, away] = ["data", "away"].map(|name| root.path().join(name));
        let mut first = claim(&folder).unwrap();
        fs::rename(&folder, &away).unwrap();
        let _second = claim(&folder).unwrap();
        assert!(matches!(first.renew(&folder), Err(Unclaimed::Locked)));
    }

    /// The system's own folders have no disk. So have some network file systems.
    #[test]
    fn a_file_system_that_cannot_sync_folders_is_used() {
        let folder = Path::new("/proc");
        assert_eq!(File::open(folder).unwrap().sync_all().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        sync(folder).unwrap();
        assert_eq!(sync(Path::new("/proc/none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_that_takes_files_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        probe(folder.path()).unwrap();
        // Opening a pipe would block.
        let file = folder.path().join(PROBE_FILE);
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        probe(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::create_dir(&file).unwrap();
        assert_eq!(probe(folder.path()).unwrap_err().path, file);
    }

    /// Locks are there, but not to be had for a file that is no file.
    #[test]
    fn a_file_system_without_locks_is_used_and_known_as_such() {
        let lock = |is_locked| Some(Lock { file: File::open("/dev/null").unwrap(), is_locked });
        for (folder, file, expected) in
            [(true, true, true), (true, false, true), (false, true, true), (false, false, false)]
        {
            let claim = Claim { folder: lock(folder), file: lock(file) };
            assert_eq!(claim.is_locked(), expected, "{folder} {file}");
        }
        assert!(!Claim::default().is_locked());
    }
}

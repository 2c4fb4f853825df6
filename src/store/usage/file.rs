//! The file: how it is opened, checked, renamed and left.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::schema;
use crate::{
    model::Timestamp,
    store::{
        database,
        fault::Fault,
        folder::{self, Identity},
    },
};

const NAME: &str = "usage.db";

/// How long to wait while another process holds a lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many files one process renames. The limit keeps a disk that damages every file from filling up.
const MOST_ASIDES: u32 = 10;

/// The file and the connection that writes to it.
#[derive(Debug)]
pub(super) struct UsageFile {
    path: PathBuf,
    /// Held by readers. While the writer opens the file by other means than SQLite, none may have it open, because closing
    /// a file releases all locks of the process on it.
    gate: Arc<RwLock<()>>,
    open: Option<(Connection, Identity)>,
    /// The structure was checked.
    is_checked: bool,
    asides: u32,
}

/// What readers need to open the file.
#[derive(Clone, Debug)]
pub(super) struct Door {
    path: PathBuf,
    gate: Arc<RwLock<()>>,
}

impl Door {
    /// Reads with a connection of its own, which blocks no writer.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let _open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        // Everything that is read is of one moment.
        let transaction = connection.unchecked_transaction()?;
        read(&transaction)
    }
}

impl UsageFile {
    pub(super) fn in_folder(folder: &Path) -> Self {
        UsageFile { path: folder.join(NAME), gate: Arc::default(), open: None, is_checked: false, asides: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn door(&self) -> Door {
        Door { path: self.path.clone(), gate: Arc::clone(&self.gate) }
    }

    /// Size in bytes, with the log.
    pub(super) fn size(&self) -> u64 {
        let files = folder::files_of(&self.path);
        let size = |path: &PathBuf| folder::found(path).ok().flatten().map_or(0, |found| found.len());
        files.iter().take(2).map(size).fold(0, u64::saturating_add)
    }

    /// The connection; opens or creates the file if need be, also if another program has removed or replaced it.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, Fault> {
        let there = folder::found(&self.path)?.as_ref().map(folder::identity);
        if self.open.as_ref().is_some_and(|(_, identity)| Some(*identity) != there) {
            self.leave()?;
        }
        if self.open.is_none() {
            let _none_reads = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            folder::check(&self.path)?;
            let connection = open(&self.path)?;
            let identity = folder::found(&self.path)?.as_ref().map(folder::identity);
            let identity = identity.ok_or_else(|| Fault::Unavailable("it was removed".to_owned()))?;
            self.open = Some((connection, identity));
        }
        match &mut self.open {
            Some((connection, _)) => Ok(connection),
            None => Err(Fault::Unavailable("it is not open".to_owned())),
        }
    }

    /// Checks the structure of the file, once. It reads the whole file, so not when the daemon starts.
    pub(super) fn check(&mut self) -> Result<(), Fault> {
        if !self.is_checked {
            database::check(self.connection()?)?;
            self.is_checked = true;
        }
        Ok(())
    }

    /// Closes the file after a failure. It is opened again for the next write.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Closes the connection to a file that is not there any more, without a change to the one that is there now.
    fn leave(&mut self) -> Result<(), Fault> {
        if let Some((connection, _)) = self.open.take() {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
        Ok(())
    }

    /// Renames a file that cannot be used, and returns a sentence about it for logs.
    pub(super) fn put_aside(&mut self, fault: &Fault, now: Timestamp) -> Result<String, Fault> {
        self.open = None;
        if self.asides >= MOST_ASIDES {
            return Err(Fault::Unavailable(format!("{fault}, and {MOST_ASIDES} files were already renamed")));
        }
        self.asides += 1;
        self.is_checked = false;
        let _none_reads = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let word = if matches!(fault, Fault::Newer { .. }) { "newer" } else { "damaged" };
        let aside = folder::put_aside(&self.path, word, now)?;
        Ok(format!(
            "{}: {fault}; it was renamed to {} and a new one is written",
            self.path.display(),
            aside.display()
        ))
    }
}

/// In WAL mode, a write that was synced late is lost as a whole at a power failure. What it had is then read and counted
/// again.
fn open(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA journal_size_limit = 1048576;",
    )?;
    schema::prepare(&mut connection)?;
    Ok(connection)
}

/// A database in memory, with all tables.
pub(super) fn in_memory() -> Result<Connection, Fault> {
    let mut connection = Connection::open_in_memory()?;
    schema::prepare(&mut connection)?;
    Ok(connection)
}

//! Opening a database and checking whether it is whole.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{
    change::undo_unfinished,
    fault::Fault,
    folder,
    outbox::{bury, owned},
    schema::{self, ALL, DEAD_LETTERS, HANDED_ON, HELD, META, USERS},
    table::text,
};
use crate::model::Timestamp;

/// How long to wait for another process that reads the database and locks it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Free pages beyond which a quarter of the database is worth giving back.
const SPARE_PAGES: i64 = 64;

/// A database on the disk that is open for writing.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) connection: Connection,
    path: PathBuf,
    /// Device and inode, to notice when the file is moved away.
    identity: (u64, u64),
}

impl Disk {
    /// Opens the database, or makes it, brings it up to date, reads every row and writes one.
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<Disk, Fault> {
        let file = folder::open_or_make(path)?.metadata()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        let version = version(&connection)?;
        if connection.is_readonly("main")? {
            // It could be opened for writing above, so that only its own header can forbid it.
            return Err(Fault::Damaged("its header marks it as read-only".into()));
        }
        connection.execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             PRAGMA foreign_keys = OFF;
             PRAGMA wal_autocheckpoint = 256;
             PRAGMA journal_size_limit = 1048576;",
        )?;
        // In WAL mode this is what FULL is: every commit is synced. Some file systems do not allow for WAL; there it
        // also syncs the folder when the journal goes.
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        if version > 0 {
            check(&connection)?;
        }
        schema::migrate(&mut connection, version)?;
        if schema::columns(&connection, &ALL)? != schema::columns(&in_memory()?, &ALL)? {
            return Err(Fault::Damaged("its tables are not those of this version".into()));
        }
        for table in ALL {
            table.each(&connection, "1", |_| Ok(()))?;
        }
        undo_unfinished(&mut connection)?;
        let opened = now.as_millis().to_string();
        META.put(&connection, &["opened_at", &opened].map(text))?;
        Ok(Disk { connection, path: path.to_owned(), identity: (file.dev(), file.ino()) })
    }

    /// What the database takes on the disk, with its log; absent when it is no longer where it was opened.
    pub(super) fn size(&self) -> Option<u64> {
        let file = fs::metadata(&self.path).ok()?;
        let log = fs::metadata(folder::log_of(&self.path)).map_or(0, |log| log.len());
        ((file.dev(), file.ino()) == self.identity).then_some(file.len().saturating_add(log))
    }

    /// Gives back what deleted rows leave.
    pub(super) fn tidy(&self) -> Result<(), Fault> {
        give_back(&self.connection)
    }

    /// Makes the database hold what the memory does.
    pub(super) fn catch_up(&mut self, memory: &Connection) -> Result<(), Fault> {
        let transaction = self.connection.transaction()?;
        for table in HELD {
            table.clear(&transaction)?;
            table.copy(memory, &transaction)?;
        }
        let mut letters = Vec::new();
        DEAD_LETTERS.each(memory, "seq", |row| {
            letters.push(owned(row)?);
            Ok(())
        })?;
        bury(&transaction, letters)?;
        USERS.copy(memory, &transaction)?;
        transaction.commit()?;
        Ok(())
    }
}

/// A database in memory, with all tables.
pub(super) fn in_memory() -> Result<Connection, Fault> {
    let mut connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    schema::migrate(&mut connection, 0)?;
    Ok(connection)
}

/// A database in memory that holds what `from` does, as far as it is to be held. Of an earlier version that cannot be
/// written, and so not be brought up to date, these are the tables that have not changed since.
pub(super) fn in_memory_like(from: &Connection) -> Result<Connection, Fault> {
    let mut memory = in_memory()?;
    let transaction = memory.transaction()?;
    for table in HELD.into_iter().chain([META]) {
        if schema::columns(from, &[table])? == schema::columns(&transaction, &[table])? {
            table.copy(from, &transaction)?;
        }
    }
    transaction.commit()?;
    // A file that cannot be written may have the mark still.
    undo_unfinished(&mut memory)?;
    Ok(memory)
}

/// Forgets in memory what only the disk is to hold, once it does, and gives back what deleted rows leave.
pub(super) fn hand_on(memory: &Connection) -> Result<(), Fault> {
    for table in HANDED_ON {
        table.clear(memory)?;
    }
    give_back(memory)
}

/// Gives back what deleted rows leave, once it is much of the database.
fn give_back(connection: &Connection) -> Result<(), Fault> {
    let pages = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let free = pages("freelist_count")?;
    if free > SPARE_PAGES && free > pages("page_count")? / 4 {
        // Each step frees one page.
        let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        // A file becomes shorter when its log has been copied into it.
        connection.execute_batch("PRAGMA wal_checkpoint")?;
    }
    Ok(())
}

/// Reads a database that cannot be written, if there is one.
pub(super) fn read_only(path: &Path) -> Result<Connection, Fault> {
    // Without a log the file holds everything, and SQLite must not make one.
    let has_log = fs::metadata(folder::log_of(path)).is_ok_and(|log| log.len() > 0);
    let options = if has_log { "mode=ro" } else { "mode=ro&immutable=1" };
    let mut uri = String::from("file:");
    for byte in std::path::absolute(path)?.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("{uri}?{options}"), flags)?;
    if version(&connection)? == 0 {
        return Err(Fault::Unavailable("it is empty".into()));
    }
    check(&connection)?;
    Ok(connection)
}

/// The version of a database, 0 if it is empty.
fn version(connection: &Connection) -> Result<usize, Fault> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Ok(known) = usize::try_from(version) else {
        return Err(Fault::Damaged(format!("its version is {version}")));
    };
    if known > schema::VERSION {
        return Err(Fault::Newer { version, known: schema::VERSION });
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if known == 0 && tables > 0 {
        return Err(Fault::Damaged("it holds tables, but has no version".into()));
    }
    Ok(known)
}

/// Lets SQLite check the structure of the file.
fn check(connection: &Connection) -> Result<(), Fault> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(Fault::Damaged(found)) }
}

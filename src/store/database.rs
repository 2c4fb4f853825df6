//! Opens a database and checks its integrity.

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
    schema::{self, ALL, HANDED_ON, HELD, META},
    table::text,
};
use crate::model::Timestamp;

/// How long to wait while another process that reads the database holds a lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Up to this many free pages stay in the database; see [`give_back`].
const SPARE_PAGES: i64 = 64;

/// A database on the disk that is open for writing.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) connection: Connection,
    path: PathBuf,
    /// Device and inode, to detect that the file was moved or replaced.
    identity: (u64, u64),
}

impl Disk {
    /// Opens or creates the database, migrates it, checks every row, and writes one row as a test.
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<Disk, Fault> {
        let file = folder::open_or_make(path)?.metadata()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        let version = version(&connection)?;
        if connection.is_readonly("main")? {
            // The file was opened for writing above, so only its header can make the database read-only.
            return Err(Fault::Damaged("its header makes it read-only".into()));
        }
        connection.execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             PRAGMA foreign_keys = OFF;
             PRAGMA wal_autocheckpoint = 256;
             PRAGMA journal_size_limit = 1048576;",
        )?;
        // In WAL mode, EXTRA equals FULL: every commit is synced. Some file systems do not support WAL. There, EXTRA
        // also syncs the folder after the journal is deleted.
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        if version > 0 {
            check(&connection)?;
        }
        if version < schema::VERSION {
            schema::migrate(&mut connection, version..schema::VERSION)?;
            vacuum(&connection)?;
        }
        if schema::columns(&connection, &ALL)? != schema::columns(&in_memory()?, &ALL)? {
            return Err(Fault::Damaged("its tables differ from the schema".into()));
        }
        for table in ALL {
            table.each(&connection, "1", |_| Ok(()))?;
        }
        undo_unfinished(&mut connection)?;
        let opened = now.as_millis().to_string();
        META.put(&connection, &["opened_at", &opened].map(text))?;
        Ok(Disk { connection, path: path.to_owned(), identity: (file.dev(), file.ino()) })
    }

    /// Size of the database and its log in bytes, or `None` if the file was moved or replaced.
    pub(super) fn size(&self) -> Option<u64> {
        let file = fs::metadata(&self.path).ok()?;
        let log = fs::metadata(folder::log_of(&self.path)).map_or(0, |log| log.len());
        ((file.dev(), file.ino()) == self.identity).then_some(file.len().saturating_add(log))
    }

    /// Frees the space of deleted rows.
    pub(super) fn tidy(&self) -> Result<(), Fault> {
        give_back(&self.connection)
    }
}

/// A database in memory, with all tables.
pub(super) fn in_memory() -> Result<Connection, Fault> {
    in_memory_of(schema::VERSION)
}

fn in_memory_of(version: usize) -> Result<Connection, Fault> {
    let mut connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    schema::migrate(&mut connection, 0..version)?;
    Ok(connection)
}

/// A copy in memory of the tables of `from` that memory holds. `from` may be of an earlier version: a read-only file is
/// not migrated, but its copy is.
pub(super) fn in_memory_like(from: &Connection) -> Result<Connection, Fault> {
    let version = version(from)?;
    let mut memory = in_memory_of(version)?;
    let transaction = memory.transaction()?;
    for table in HELD.into_iter().chain([META]) {
        let is_there = !schema::columns(&transaction, &[table])?.is_empty();
        if is_there {
            table.copy(from, &transaction)?;
        }
    }
    transaction.commit()?;
    schema::migrate(&mut memory, version..schema::VERSION)?;
    // A read-only file may still have the mark of an unfinished change.
    undo_unfinished(&mut memory)?;
    Ok(memory)
}

/// Deletes from memory the rows that are now on the disk and belong only there, and frees their space.
pub(super) fn hand_on(memory: &Connection) -> Result<(), Fault> {
    for table in HANDED_ON {
        table.clear(memory)?;
    }
    give_back(memory)
}

/// Frees the space of deleted rows once it is more than a quarter of the database and [`SPARE_PAGES`].
fn give_back(connection: &Connection) -> Result<(), Fault> {
    let pages = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let free = pages("freelist_count")?;
    if free > SPARE_PAGES && free > pages("page_count")? / 4 {
        vacuum(connection)?;
        // The file shrinks only when the log is copied into it.
        connection.execute_batch("PRAGMA wal_checkpoint")?;
    }
    Ok(())
}

/// Frees the space of deleted rows and tables.
fn vacuum(connection: &Connection) -> Result<(), Fault> {
    let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut steps = statement.query([])?;
    // Each step frees one page.
    while steps.next()?.is_some() {}
    Ok(())
}

/// Opens a database that cannot be written.
pub(super) fn read_only(path: &Path) -> Result<Connection, Fault> {
    // Without a log, the file is complete, and SQLite must not create a log.
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

/// The schema version of a database; 0 if it is empty.
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
        return Err(Fault::Damaged("it has tables but no version".into()));
    }
    Ok(known)
}

/// Runs SQLite's check of the file structure.
fn check(connection: &Connection) -> Result<(), Fault> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(Fault::Damaged(found)) }
}

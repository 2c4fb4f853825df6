//! Opens a database and checks its integrity.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    change::undo_unfinished,
    fault::Fault,
    folder::{self, Identity},
    schema::{self, ALL, HANDED_ON, HELD, META},
    table::text,
    unusable::Unusable,
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
    /// The database and its companions, as they were after the last write.
    files: [Option<Seen>; 3],
    /// Another program has written to the files.
    pub(super) is_suspect: bool,
    /// The log is to be emptied: it may be damaged where it is not read now, but would be read after a crash.
    pub(super) empties_log: bool,
}

/// What the file system says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    identity: Identity,
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Seen {
    fn at(path: &Path) -> Result<Option<Self>, Unusable> {
        Ok(folder::found(path)?.map(|found| Seen {
            identity: folder::identity(&found),
            len: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        }))
    }
}

impl Disk {
    /// Opens or creates the database, migrates it, checks every row, and writes one row as a test.
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<Disk, Fault> {
        drop(folder::open_or_make(path)?);
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
        let mut disk = Disk {
            connection,
            path: path.to_owned(),
            files: [None; 3],
            is_suspect: false,
            empties_log: false,
        };
        disk.note_files();
        Ok(disk)
    }

    /// Size of the database and its log in bytes, after the last write.
    pub(super) fn size(&self) -> u64 {
        let [database, log, _] = self.files.map(|file| file.map_or(0, |file| file.len));
        database.saturating_add(log)
    }

    /// Remembers the files as they are now, after a write. One that was replaced is still missing.
    pub(super) fn note_files(&mut self) {
        for (path, known) in folder::files_of(&self.path).iter().zip(&mut self.files) {
            let found = Seen::at(path).ok().flatten();
            if known.is_none_or(|known| found.is_some_and(|found| found.identity == known.identity)) {
                *known = found;
            }
        }
    }

    /// The database or a file beside it, if it was removed or replaced. An open connection does not detect this: it goes
    /// on with the old file. A change of the content is remembered for [`Disk::verify`].
    pub(super) fn missing_file(&mut self) -> Result<Option<PathBuf>, Unusable> {
        let [database, log, index] = folder::files_of(&self.path);
        let [known_database, known_log, known_index] = self.files;
        for (path, known) in [(database, known_database), (log, known_log)] {
            let Some(known) = known else { continue };
            match Seen::at(&path)? {
                Some(found) if found.identity == known.identity => self.is_suspect |= found != known,
                Some(_) | None => return Ok(Some(path)),
            }
        }
        let found = Seen::at(&index)?;
        let is_there = |known: Seen| found.is_some_and(|found| found.identity == known.identity);
        let is_whole = known_index.is_none_or(is_there) && !self.index_is_cut();
        Ok((!is_whole).then_some(index))
    }

    /// Whether the end of the index is missing. All programs share its content in memory, and the system kills one that
    /// reads behind the end of the file.
    fn index_is_cut(&self) -> bool {
        let ([_, _, path], [_, _, known]) = (folder::files_of(&self.path), self.files);
        let found = Seen::at(&path).ok().flatten();
        known
            .zip(found)
            .is_some_and(|(known, found)| found.identity == known.identity && found.len < known.len)
    }

    /// If another program has written to the files, checks that they have what memory has. An attribute that a network
    /// file system changes late is no reason to write everything again.
    pub(super) fn verify(&mut self, memory: &Connection) -> Result<(), Fault> {
        if self.is_suspect {
            self.compare(memory)?;
            (self.is_suspect, self.empties_log) = (false, true);
        }
        if self.empties_log {
            // A program that reads may take its time.
            self.connection.busy_timeout(Duration::ZERO)?;
            let busy: i64 =
                self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            self.connection.busy_timeout(PATIENCE)?;
            self.empties_log = busy != 0;
            self.note_files();
        }
        Ok(())
    }

    /// Checks that the files have what memory has.
    fn compare(&self, memory: &Connection) -> Result<(), Fault> {
        // Our own connection would not read again what it has read.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let other = Connection::open_with_flags(&self.path, flags)?;
        other.busy_timeout(PATIENCE)?;
        if version(&other)? != schema::VERSION {
            return Err(Fault::Damaged("its tables are missing".into()));
        }
        check(&other)?;
        for table in ALL {
            table.each(&other, "1", |_| Ok(()))?;
        }
        for table in HELD {
            if table.sum(&other)? != table.sum(memory)? {
                return Err(Fault::Damaged("another program changed it".into()));
            }
        }
        Ok(())
    }

    /// Closes the connection to files that another program has removed, replaced or damaged. Copies to memory what only
    /// they have, and leaves the files that are there now as they are.
    pub(super) fn leave(self, memory: &mut Connection) -> Result<(), Fault> {
        let mut outcome = Ok(());
        // Without the index they cannot be read, but then the database has them.
        let lost = if self.index_is_cut() { &[][..] } else { &HANDED_ON };
        for table in lost {
            let transaction = memory.transaction()?;
            match table.copy(&self.connection, &transaction) {
                Ok(()) => transaction.commit()?,
                Err(fault) => outcome = Err(fault),
            }
        }
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        outcome
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
pub(super) fn check(connection: &Connection) -> Result<(), Fault> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    // A title may come before it.
    match found.lines().last() {
        Some("ok") => Ok(()),
        why => Err(Fault::Damaged(why.unwrap_or_default().to_owned())),
    }
}

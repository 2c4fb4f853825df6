//! How much users, admins, nodes and client keys use by day and by month.
//!
//! [`Usage`] is a handle to the history, the file `usage.db` in the storage folder. It is apart from the database of the
//! [`Store`](super::Store): that one is checked row by row at each start, and alerts depend on it; a history may be large, and
//! nothing depends on it. A thread of its own writes.
//!
//! Readers of targets give the totals that have moved to [`Usage::saw`]. A row is in memory only from then until the next
//! write, at most six minutes later, see `open`. The growth is computed when it is written, from the total that the file has,
//! and the new total is written in the same transaction, see `write`. So what moved while this process did not run is counted
//! once, and a process that is killed loses nothing: what it had not written, the next one reads again.
//!
//! A day is one of the configured zone, and ends at the first reading of the next one. [`is_late`](crate::model::is_late) says
//! when that is too unsharp, and [`growth`](crate::model::growth) what a reset is: then the row is marked.
//!
//! 62 days and 24 months are kept, and what is kept of a target that left the configuration goes after 30 days.

mod file;
mod open;
mod read;
mod rows;
mod schema;
mod subject;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::{
    io,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use jiff::tz::TimeZone;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::{
    file::{Door, UsageFile},
    open::Open,
    writer::{Shared, Work, Writer},
};
use super::{error::StoreError, fault::Fault, health::StoreStatus};
use crate::{
    clock::Clock,
    model::{Day, Move, Rates, Timestamp, UsedToday},
};

pub use read::{UsagePlace, UsageQuery, UsageRow, UsageSum};
pub use subject::{By, Counted, SubjectKind};

/// A handle to the history of use. Cheap to clone. When the last handle is dropped, what was read is written.
#[derive(Clone, Debug)]
pub struct Usage {
    shared: Arc<Shared>,
    source: Source,
    requests: mpsc::Sender<Work>,
}

/// Where it is read.
#[derive(Clone, Debug)]
enum Source {
    File(Door),
    Memory(Arc<Mutex<Connection>>),
}

/// Why the history of use cannot be read. The text is safe for logs and pages.
#[derive(Debug, thiserror::Error)]
#[error("the history of use cannot be read: {0}")]
pub struct UsageError(String);

/// A history that is open.
#[derive(Debug)]
pub struct OpenedUsage {
    pub usage: Usage,
    /// A problem with the file and how it was handled, as a sentence for logs.
    pub problem: Option<String>,
}

impl Usage {
    /// Opens the history in a folder that a [`Store`](super::Store) has opened before. A file that is damaged, or written by a
    /// newer version, is renamed, and a new one is created. One that cannot be written is tried again.
    ///
    /// # Errors
    /// If the thread cannot start.
    pub fn open(folder: &Path, clock: &Clock, zone: TimeZone) -> Result<OpenedUsage, StoreError> {
        let shared = Arc::new(Shared::new(Open::new(zone), clock.clone()));
        let file = UsageFile::in_folder(folder);
        let source = Source::File(file.door());
        let (writer, problem) = Writer::open(Arc::clone(&shared), file);
        let usage = Usage::start(shared, source, writer).map_err(StoreError::Thread)?;
        Ok(OpenedUsage { usage, problem })
    }

    /// A history that ends with the process, for tests and demonstrations.
    pub fn in_memory(clock: &Clock, zone: TimeZone) -> Usage {
        let shared = Arc::new(Shared::new(Open::new(zone), clock.clone()));
        let (writer, memory) = Writer::in_memory(Arc::clone(&shared));
        Usage::start(shared, Source::Memory(memory), writer).expect("the system has room for one more thread")
    }

    fn start(shared: Arc<Shared>, source: Source, writer: Writer) -> io::Result<Usage> {
        let (requests, queue) = mpsc::channel();
        thread::Builder::new().name("usage".into()).spawn(move || writer.run(&queue))?;
        Ok(Usage { shared, source, requests })
    }

    /// Notes that the totals of a target are read by another loop from now on, which may know older ones than the history.
    pub fn begins(&self, target: &str) {
        self.shared.open().begins(target);
    }

    /// Adds totals of a target, given by [`Report::id`](crate::model::Report::id), that were read now. `usual` is the time
    /// between two readings beyond which something is missing. Never waits for the disk.
    pub fn saw(&self, target: &str, counted: Counted, moves: Vec<Move>, usual: Duration, now: Timestamp) {
        self.shared.open().add(target, counted, moves, usual, now);
    }

    /// Sets the zone whose days count from now on.
    pub fn set_zone(&self, zone: &TimeZone) {
        self.shared.open().set_zone(zone);
    }

    /// Sets whether [`Usage::used_today`] is wanted.
    pub fn want_today(&self, is_wanted: bool) {
        let mut today = self.shared.today();
        match is_wanted {
            true => drop(today.get_or_insert_default()),
            false => *today = None,
        }
    }

    /// What users of a target used today, as of the last write; absent: it is not wanted, or not known.
    pub fn used_today(&self, target: &str) -> Option<Arc<UsedToday>> {
        self.shared.today().as_ref()?.get(target).cloned()
    }

    /// How fast the users of a target use their quota, each time that this was computed again; absent: it was not since the last
    /// call.
    pub fn take_rates(&self, target: &str) -> Option<Rates> {
        self.shared.rates().remove(target)
    }

    /// Notes that these are the targets of the configuration at `now`. What is kept of a target that left stays for 30 days, and
    /// holds again if it is back by then.
    pub fn retain_targets(&self, ids: &[String], now: Timestamp) {
        self.shared.open().keep_only(ids.to_vec(), now);
    }

    /// Today in the configured zone.
    pub fn today(&self) -> Day {
        let now = self.shared.clock.now().wall;
        self.shared.open().calendar().day(now)
    }

    /// As of when a target's use is here: now, if everything that this process has read of it is written. Absent: nothing of it is
    /// yet.
    pub fn as_of(&self, target: &str) -> Option<Timestamp> {
        let readings = self.shared.open().readings(target);
        let written = self.shared.written().get(target).copied();
        match written {
            Some(last) if last.readings < readings => Some(last.at.wall),
            None if readings > 0 => None,
            _ => Some(self.shared.clock.now().wall),
        }
    }

    /// The rows that a query asks for, by period. This call blocks, but no writer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rows(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, UsageError> {
        self.read(|connection| read::rows(connection, query))
    }

    /// What each subject of a kind whose name `is_one` accepts used in the periods together, the most first; at most so many,
    /// and none that used nothing. With an `owner`: of the users that this admin has, or had last. This call blocks, but no
    /// writer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sums(
        &self,
        of: (&str, SubjectKind),
        owner: Option<&str>,
        by: By,
        periods: RangeInclusive<i32>,
        most: usize,
        is_one: impl Fn(&str) -> bool,
    ) -> Result<Vec<UsageSum>, UsageError> {
        self.read(|connection| read::sums(connection, of, owner, by, periods, most, is_one))
    }

    /// The name of a subject of a target that `is_it` accepts. This call blocks, but no writer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find_name(
        &self,
        of: (&str, SubjectKind),
        is_it: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, UsageError> {
        self.read(|connection| read::find_name(connection, of, is_it))
    }

    /// Whether a subject of a target was ever seen under this name. This call blocks, but no writer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has(&self, (target, kind): (&str, SubjectKind), name: &str) -> Result<bool, UsageError> {
        self.read(|connection| match schema::target(connection, target)? {
            None => Ok(false),
            Some(target) => Ok(schema::subject(connection, target, kind, name)?.is_some()),
        })
    }

    /// When the users of a target were last read, as far as that is written; absent: never. This call blocks, but no writer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn users_read(&self, target: &str) -> Result<Option<Timestamp>, UsageError> {
        self.read(|connection| read::users_read(connection, target))
    }

    /// The day on which anything of a target was first seen; absent: nothing was. This call blocks, but no writer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn began(&self, target: &str) -> Result<Option<Day>, UsageError> {
        self.read(|connection| read::began(connection, target))
    }

    /// The health of the history. This call never waits for the disk.
    pub fn status(&self) -> StoreStatus {
        self.shared.health.status()
    }

    /// Writes what was read so far, if the disk lets it.
    pub async fn write(&self) {
        drop(self.ask(|done| Work::WriteAll { done }).await);
    }

    /// Writes what was read of a target so far, if the disk lets it.
    pub async fn write_of(&self, target: &str) {
        drop(self.ask(|done| Work::WriteOf { target: target.to_owned(), done }).await);
    }

    /// As [`Usage::write`], on a thread that may block.
    pub fn write_and_wait(&self) {
        drop(self.ask(|done| Work::WriteAll { done }).blocking_recv());
    }

    /// Writes what was read so far and closes the file.
    pub async fn close(&self) {
        drop(self.ask(|done| Work::Close { done }).await);
    }

    /// No answer is sent: the writer drops its end, and so does a request that finds no writer.
    fn ask(&self, work: impl FnOnce(oneshot::Sender<()>) -> Work) -> oneshot::Receiver<()> {
        let (done, until_done) = oneshot::channel();
        drop(self.requests.send(work(done)));
        until_done
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, UsageError> {
        let found = match &self.source {
            Source::File(door) => door.read(read),
            Source::Memory(memory) => read(&memory.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        found.map_err(|fault| {
            self.shared.health.count_error();
            UsageError(fault.to_string())
        })
    }
}

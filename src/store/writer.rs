//! The thread that writes, and how it gets along with a disk that does not take everything.

#[cfg(test)]
pub(super) mod by_hand;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use rusqlite::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};
use tracing::{info, warn};

use super::{
    change::{self, Change},
    counters,
    database::{self, Disk},
    error::StoreError,
    fault::Fault,
    folder::{self, Unclaimed},
    health::Health,
    loaded::{self, Loaded},
    outbox::{self, Ends, Pending},
    schema::DEAD_LETTERS,
    users::{self, SavedUsers},
    waiting::{List, Lists},
};
use crate::model::{CounterFamilies, Timestamp};

const DATABASE: &str = "proxymeter.db";

/// Pauses before a disk that failed is tried again: each twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Files put aside by one process: a disk that damages everything is not to be filled with the damage.
const MOST_ASIDES: u32 = 10;

/// What waits for the writer, with its place among those that may wait.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    /// Absent: it needs no room, or could not wait for it any longer.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
pub(super) enum Work {
    Change {
        change: Change,
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
    /// The list is the one that waits for the target.
    SaveUsers {
        target: String,
    },
    Users {
        target: String,
        answer: oneshot::Sender<Result<Option<SavedUsers>, StoreError>>,
    },
    Counters {
        target: String,
        answer: oneshot::Sender<Result<CounterFamilies, StoreError>>,
    },
    DeadLetters {
        answer: oneshot::Sender<Result<Vec<Pending>, StoreError>>,
    },
    /// `closed` is dropped when it is done.
    Close {
        closed: oneshot::Sender<()>,
    },
    /// Lets a test do to the writer what a disk would.
    #[cfg(test)]
    Meddle(fn(&mut Writer)),
}

/// Owns the databases: every change is made in memory first, then on the disk.
#[derive(Debug)]
pub(super) struct Writer {
    memory: Connection,
    /// Of the outbox in memory, and of the one on the disk, which is the same.
    ends: Ends,
    /// Absent if nothing is meant to outlive the process.
    place: Option<Place>,
    health: Arc<Health>,
}

/// Where the file is, and what is wrong with it.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    file: PathBuf,
    lock: Option<folder::Claim>,
    /// Open as long as it takes everything; then it holds all that the memory does.
    disk: Option<Disk>,
    /// What is wrong while there is no disk.
    trouble: Trouble,
    /// Whether the memory knows what the file holds, so that the file may be written over.
    known: bool,
    /// Files put aside so far.
    asides: u32,
    opened_at: (Timestamp, Instant),
    /// Pages that the file may have.
    #[cfg(test)]
    page_limit: Option<u32>,
}

#[derive(Debug)]
struct Trouble {
    why: String,
    retry_at: Instant,
    pause: Duration,
}

impl Writer {
    /// Opens or makes the database in `folder`. Returns what it held, and what was wrong with it.
    pub(super) fn open(
        folder: &Path,
        now: Timestamp,
        health: Arc<Health>,
    ) -> Result<(Writer, Loaded, Option<String>), StoreError> {
        let mut place = Place {
            folder: folder.to_owned(),
            file: folder.join(DATABASE),
            lock: None,
            disk: None,
            trouble: Trouble::none(),
            known: true,
            asides: 0,
            opened_at: (now, Instant::now()),
            #[cfg(test)]
            page_limit: None,
        };
        let claimed = match folder::claim(folder) {
            Ok(lock) => {
                place.lock = Some(lock);
                Ok(())
            }
            Err(Unclaimed::Locked) => return Err(StoreError::Locked { folder: folder.to_owned() }),
            Err(Unclaimed::Unusable(err)) => Err(Fault::from(err)),
        };
        let mut problem = None;
        let mut opened = claimed.and_then(|()| place.open_and_read());
        if let Err(fault @ (Fault::Damaged(_) | Fault::Newer { .. })) = opened {
            health.count_error();
            opened = match place.put_aside(&fault) {
                Ok(sentence) => {
                    problem = Some(sentence);
                    place.open_and_read()
                }
                Err(fault) => Err(fault),
            };
        }
        let (memory, loaded) = match opened {
            Ok((disk, memory, loaded)) => {
                place.disk = Some(disk);
                (memory, loaded)
            }
            Err(fault) => {
                place.failed(fault.to_string(), &health);
                let sentence = format!(
                    "{}: cannot be written ({fault}); until it can, everything is kept in memory only and a restart \
                     forgets it",
                    place.file.display()
                );
                problem = Some(problem.map_or(sentence.clone(), |earlier| format!("{earlier}; {sentence}")));
                place.read_what_can_be()
            }
        };
        let writer = Writer::new(memory, Some(place), health);
        writer.measure();
        Ok((writer, loaded, problem))
    }

    pub(super) fn in_memory(health: Arc<Health>) -> Writer {
        Writer::new(empty_memory(), None, health)
    }

    fn new(memory: Connection, place: Option<Place>, health: Arc<Health>) -> Writer {
        let ends = Ends::of(&memory).expect("a database of our own making is read in memory");
        Writer { memory, ends, place, health }
    }

    /// Serves requests until one asks it to close or the last handle is dropped.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Request>, lists: &Lists) {
        let closed = loop {
            self.health.beat.rest();
            let request = match self.retry_in() {
                None => queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                Some(pause) => queue.recv_timeout(pause),
            };
            self.health.beat.within(Duration::ZERO);
            match request.map(|request| request.work) {
                Ok(Work::Change { change, answer }) => {
                    let done = self.change(&change);
                    self.measure();
                    drop(answer.send(done));
                }
                Ok(Work::SaveUsers { target }) => {
                    if let Some(List { saved, answer }) = lists.take(&target) {
                        let done = self.change(&Change::Users { target, saved });
                        self.measure();
                        drop(answer.send(done));
                    }
                }
                Ok(Work::Users { target, answer }) => {
                    let found = self.users(&target);
                    self.measure();
                    drop(answer.send(found));
                }
                Ok(Work::Counters { target, answer }) => {
                    let found = counters::load(&self.memory, &target);
                    drop(answer.send(found.map_err(not_durable)));
                }
                Ok(Work::DeadLetters { answer }) => drop(answer.send(self.dead_letters())),
                Ok(Work::Close { closed }) => break Some(closed),
                #[cfg(test)]
                Ok(Work::Meddle(meddle)) => meddle(&mut self),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.catch_up();
                    self.measure();
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break None,
            }
        };
        if self.retry_in().is_some() {
            self.catch_up();
        }
        self.health.beat.rest();
        // The folder is free before the caller is answered.
        drop(self);
        drop(closed);
    }

    /// How long until a disk that failed is to be tried again; absent if there is none or it is fine.
    fn retry_in(&self) -> Option<Duration> {
        let place = self.place.as_ref().filter(|place| place.disk.is_none())?;
        Some(place.trouble.retry_at.saturating_duration_since(Instant::now()))
    }

    fn change(&mut self, change: &Change) -> Result<(), StoreError> {
        let ends = self.ends;
        match change::apply(&mut self.memory, change, ends) {
            Ok(after) => self.ends = after,
            Err(fault) => {
                self.health.count_error();
                return Err(StoreError::NotDurable { why: fault.to_string() });
            }
        }
        let Some(place) = &mut self.place else { return Ok(()) };
        if place.is_where_it_was(&self.health)
            && let Some(disk) = &mut place.disk
        {
            match change::apply(&mut disk.connection, change, ends) {
                Ok(_) => {
                    if let Err(fault) = disk.tidy() {
                        place.gave_way(fault, &self.health);
                    }
                    self.hand_on();
                    return Ok(());
                }
                Err(fault) => place.gave_way(fault, &self.health),
            }
        }
        if self.retry_in().is_some_and(|pause| pause.is_zero()) {
            self.catch_up();
        }
        match &self.place {
            Some(place) if place.disk.is_none() => {
                Err(StoreError::NotDurable { why: place.trouble.why.clone() })
            }
            _ => Ok(()),
        }
    }

    fn users(&mut self, target: &str) -> Result<Option<SavedUsers>, StoreError> {
        let found = match users::load(&self.memory, target).map_err(not_durable)? {
            Some(held) => Some(held),
            None => self.users_on_disk(target)?,
        };
        Ok(found.filter(|saved| !saved.users.is_empty()))
    }

    fn users_on_disk(&mut self, target: &str) -> Result<Option<SavedUsers>, StoreError> {
        let Some(place) = &mut self.place else { return Ok(None) };
        let Some(disk) = &place.disk else {
            return Err(StoreError::NotDurable { why: place.trouble.why.clone() });
        };
        users::load(&disk.connection, target).map_err(|fault| {
            let why = fault.to_string();
            place.gave_way(fault, &self.health);
            StoreError::NotDurable { why }
        })
    }

    fn dead_letters(&self) -> Result<Vec<Pending>, StoreError> {
        let disk = self.place.as_ref().and_then(|place| place.disk.as_ref());
        let mut letters = match disk {
            Some(disk) => outbox::pending(&disk.connection, DEAD_LETTERS).map_err(not_durable)?,
            None => Vec::new(),
        };
        // Those that the disk has not taken yet.
        letters.extend(outbox::pending(&self.memory, DEAD_LETTERS).map_err(not_durable)?);
        Ok(letters)
    }

    /// Opens the disk again and writes what is in memory.
    fn catch_up(&mut self) {
        let Some(place) = &mut self.place else { return };
        match place.reopen(&self.memory, &self.health) {
            Ok(disk) => {
                place.disk = Some(disk);
                place.known = true;
                place.trouble = Trouble::none();
                info!(file = %place.file.display(), "the storage is written again, nothing is missing from it");
                self.hand_on();
            }
            Err(fault) => place.failed(fault.to_string(), &self.health),
        }
    }

    /// Forgets in memory what only the disk is to hold, now that it does.
    fn hand_on(&self) {
        if let Err(fault) = database::hand_on(&self.memory) {
            warn!(error = %fault, "memory that the storage no longer needs cannot be released");
        }
    }

    /// Publishes how it is going.
    fn measure(&self) {
        let Some(place) = &self.place else { return };
        self.health.down.store(place.disk.is_none(), Ordering::Relaxed);
        if let Some(size) = place.disk.as_ref().and_then(Disk::size) {
            self.health.size.store(size, Ordering::Relaxed);
        }
    }
}

impl Trouble {
    fn none() -> Self {
        Trouble { why: String::new(), retry_at: Instant::now(), pause: FIRST_PAUSE }
    }
}

impl Place {
    fn open_and_read(&self) -> Result<(Disk, Connection, Loaded), Fault> {
        let disk = Disk::open(&self.file, self.now())?;
        let memory = database::in_memory_like(&disk.connection)?;
        let loaded = loaded::load(&memory)?;
        Ok((disk, memory, loaded))
    }

    /// Reads a file that cannot be written. If that does not work either, whatever comes to light there later is
    /// unknown.
    fn read_what_can_be(&mut self) -> (Connection, Loaded) {
        let read = database::read_only(&self.file).and_then(|file| {
            let memory = database::in_memory_like(&file)?;
            let loaded = loaded::load(&memory)?;
            Ok((memory, loaded))
        });
        read.unwrap_or_else(|_| {
            self.known = false;
            (empty_memory(), Loaded::default())
        })
    }

    /// Notices when the file was moved away, which the open one does not show.
    fn is_where_it_was(&mut self, health: &Health) -> bool {
        let moved = self.disk.as_ref().is_some_and(|disk| disk.size().is_none());
        if moved {
            // What is there now is not ours and must not be lost.
            self.known = false;
            self.gave_way(Fault::Unavailable("the file was moved away or replaced".into()), health);
            self.trouble.retry_at = Instant::now();
        }
        !moved
    }

    /// The disk did not take something: it is closed and will be opened again, at once if it was damaged.
    fn gave_way(&mut self, fault: Fault, health: &Health) {
        self.disk = None;
        let damaged = !matches!(fault, Fault::Unavailable(_));
        let fault = match fault {
            Fault::Unavailable(_) => fault,
            _ => match self.put_aside(&fault) {
                Ok(sentence) => {
                    warn!("{sentence}");
                    fault
                }
                Err(cannot) => cannot,
            },
        };
        self.failed(fault.to_string(), health);
        if damaged {
            self.trouble.retry_at = Instant::now();
        }
    }

    fn failed(&mut self, why: String, health: &Health) {
        health.count_error();
        if why != self.trouble.why {
            warn!(
                file = %self.file.display(),
                error = why,
                "the storage is not written; until it is, everything is kept in memory only"
            );
        }
        let pause = self.trouble.pause;
        self.trouble =
            Trouble { why, retry_at: Instant::now() + pause, pause: (pause * 2).min(LONGEST_PAUSE) };
    }

    /// Opens the file again, or another one if it cannot be used, and writes what is in memory.
    fn reopen(&mut self, memory: &Connection, health: &Health) -> Result<Disk, Fault> {
        if self.lock.is_none() {
            self.lock = Some(folder::claim(&self.folder).map_err(|unclaimed| match unclaimed {
                Unclaimed::Locked => Fault::Unavailable("another proxymeter uses the folder".into()),
                Unclaimed::Unusable(err) => err.into(),
            })?);
        }
        if !self.known && self.has_content() {
            let aside = folder::put_aside(&self.file, "unread", self.now())?;
            warn!(
                "{}: its content could not be read in time; it was renamed to {}, and a new file is created",
                self.file.display(),
                aside.display()
            );
        }
        let mut written = self.open_and_write(memory);
        if let Err(fault @ (Fault::Damaged(_) | Fault::Newer { .. })) = written {
            health.count_error();
            let sentence = self.put_aside(&fault)?;
            warn!("{sentence}");
            written = self.open_and_write(memory);
        }
        written
    }

    fn open_and_write(&self, memory: &Connection) -> Result<Disk, Fault> {
        let mut disk = Disk::open(&self.file, self.now())?;
        #[cfg(test)]
        if let Some(pages) = self.page_limit {
            disk.connection.pragma_update(None, "max_page_count", pages)?;
        }
        disk.catch_up(memory)?;
        Ok(disk)
    }

    /// Puts the file aside and returns a sentence that says so.
    fn put_aside(&mut self, fault: &Fault) -> Result<String, Fault> {
        if self.asides >= MOST_ASIDES {
            return Err(Fault::Unavailable(format!(
                "{fault}, and {MOST_ASIDES} files were renamed before it"
            )));
        }
        self.asides += 1;
        let word = if matches!(fault, Fault::Newer { .. }) { "newer" } else { "damaged" };
        let aside = folder::put_aside(&self.file, word, self.now())?;
        Ok(format!(
            "{}: {fault}; it was renamed to {}, and a new file is created",
            self.file.display(),
            aside.display()
        ))
    }

    fn has_content(&self) -> bool {
        fs::metadata(&self.file).is_ok_and(|file| file.len() > 0)
    }

    fn now(&self) -> Timestamp {
        let (wall, instant) = self.opened_at;
        wall.saturating_add(instant.elapsed())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn not_durable(fault: Fault) -> StoreError {
    StoreError::NotDurable { why: fault.to_string() }
}

/// Nothing from outside enters here, so that it always works or never.
fn empty_memory() -> Connection {
    database::in_memory().expect("a database of our own making opens in memory")
}

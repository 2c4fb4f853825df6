//! The writer thread, and how it handles disk failures.

#[cfg(test)]
pub(super) mod by_hand;
mod place;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError},
    },
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
    fault::{Fault, Left},
    folder::{self, Claim, Identity, Unclaimed},
    health::{Health, Wait},
    key,
    loaded::{self, Loaded},
    message::Message,
    outbox,
    schema::DEAD_LETTERS,
    users::{self, SavedUsers},
    waiting::{List, Lists},
};
use crate::model::{CounterFamilies, Timestamp};

const DATABASE: &str = "proxymeter.db";

/// Pauses between retries of a failed disk. Each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often the files are checked for changes by other programs while none of ours is written.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// The most changes in one transaction, and about the most bytes. SQLite's write-ahead log grows to the size of the
/// largest transaction.
const MOST_TOGETHER: usize = 64;
const MOST_BYTES: usize = 8 << 20;

/// How many files one process renames. The limit keeps a disk that damages every file from filling up.
const MOST_ASIDES: u32 = 10;

/// A request to the writer, with its place in the queue.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    /// `None` if the request needs no place, or if the queue was full for too long.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

impl Request {
    fn work(self) -> Work {
        self.work
    }
}

#[derive(Debug)]
pub(super) enum Work {
    Change {
        change: Change,
        answer: oneshot::Sender<Result<(), StoreError>>,
        wait: Wait,
    },
    /// The list is in [`Lists`].
    SaveUsers {
        target: String,
        wait: Wait,
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
        answer: oneshot::Sender<Result<Vec<Message>, StoreError>>,
    },
    /// The key of the folder.
    KeepKey(Vec<u8>),
    /// `closed` is dropped when the folder is released.
    Close {
        closed: oneshot::Sender<()>,
    },
    /// Lets a test simulate a disk failure.
    #[cfg(test)]
    Meddle(fn(&mut Writer)),
}

/// Changes that are written together, and who waits for them.
#[derive(Debug, Default)]
struct Group {
    changes: Vec<Change>,
    answers: Vec<oneshot::Sender<Result<(), StoreError>>>,
    waits: Vec<Wait>,
    bytes: usize,
}

impl Group {
    /// The change `first` and those that wait behind it, and the work after them that is no change, if it was taken.
    fn gather(first: Work, queue: &mpsc::Receiver<Request>, lists: &Lists) -> (Group, Option<Work>) {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(work) = next {
            match work {
                Work::Change { change, answer, wait } => group.push(change, answer, wait),
                Work::SaveUsers { target, wait } => {
                    if let Some(List { saved, answer }) = lists.take(&target) {
                        group.push(Change::Users { target, saved }, answer, wait);
                    }
                }
                other => return (group, Some(other)),
            }
            let is_full = group.changes.len() >= MOST_TOGETHER || group.bytes >= MOST_BYTES;
            next = if is_full { None } else { queue.try_recv().ok().map(Request::work) };
        }
        (group, None)
    }

    fn push(&mut self, change: Change, answer: oneshot::Sender<Result<(), StoreError>>, wait: Wait) {
        self.bytes += change.size();
        self.changes.push(change);
        self.answers.push(answer);
        self.waits.push(wait);
    }
}

/// Owns both databases. Every change is applied in memory first, then on the disk.
#[derive(Debug)]
pub(super) struct Writer {
    memory: Connection,
    /// `None` for a store without a file.
    place: Option<Place>,
    health: Arc<Health>,
}

/// Location and condition of the file.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    file: PathBuf,
    /// `None` after a failure. While it is open, it has all state that memory has.
    disk: Option<Disk>,
    /// Dropped after `disk`, so that no other process opens the database before it is closed.
    claim: Claim,
    check_at: Instant,
    /// The key that hashes users, once it is known.
    key: Option<Vec<u8>>,
    /// Why the key could not be written.
    key_trouble: String,
    /// The failure, while `disk` is `None`.
    trouble: Trouble,
    /// The file whose content memory includes, so that it may be overwritten.
    known: Option<Identity>,
    /// Why a database that memory does not include is left as it is. Otherwise it is renamed.
    left: Option<Left>,
    /// Files renamed so far.
    asides: u32,
    opened_at: (Timestamp, Instant),
    /// The most pages that the file may have.
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
    /// Opens or creates the database in `folder`. Returns its content, and its problem if there was one.
    pub(super) fn open(
        folder: &Path,
        now: Timestamp,
        health: Arc<Health>,
    ) -> Result<(Writer, Loaded, Option<String>), StoreError> {
        let mut place = Place {
            folder: folder.to_owned(),
            file: folder.join(DATABASE),
            disk: None,
            claim: Claim::default(),
            check_at: Instant::now() + CHECK_EVERY,
            key: None,
            key_trouble: String::new(),
            trouble: Trouble::none(),
            known: None,
            left: None,
            asides: 0,
            opened_at: (now, Instant::now()),
            #[cfg(test)]
            page_limit: None,
        };
        let claimed = match place.claim.renew(folder) {
            Ok(()) => folder::check(&place.file),
            Err(Unclaimed::Locked) => return Err(StoreError::Locked { folder: folder.to_owned() }),
            Err(Unclaimed::Unusable(err)) => Err(err),
        };
        let claimed = match claimed {
            Err(err) if err.is_wrong() => return Err(err.stops(folder)),
            claimed => claimed.map_err(Fault::from),
        };
        if claimed.is_ok() && !place.claim.is_locked() {
            warn!(
                "{}: its file system has no locks; make sure that no other proxymeter uses this folder",
                folder.display()
            );
        }
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
                place.known = place.there().ok().flatten();
                (memory, loaded)
            }
            Err(fault) => {
                place.failed(&fault, &health);
                let sentence = format!(
                    "{}: cannot be written ({fault}); until it can, state is kept in memory only and a restart \
                     loses it",
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
        Writer { memory, place, health }
    }

    /// Serves requests until one asks it to close or the last handle is dropped.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Request>, lists: &Lists) {
        // What was found in the queue behind changes, but is none.
        let mut next = None;
        let closed = loop {
            self.health.beat.rest();
            let work = match (next.take(), self.wakes_in()) {
                (Some(work), _) => Ok(work),
                (None, None) => queue.recv().map(Request::work).map_err(|_| RecvTimeoutError::Disconnected),
                (None, Some(pause)) => queue.recv_timeout(pause).map(Request::work),
            };
            self.health.beat.within(Duration::ZERO);
            match work {
                Ok(work @ (Work::Change { .. } | Work::SaveUsers { .. })) => {
                    let (group, other) = Group::gather(work, queue, lists);
                    next = other;
                    let Group { changes, answers, waits, .. } = group;
                    let done = self.commit(&changes);
                    self.measure();
                    drop(waits);
                    for (answer, done) in answers.into_iter().zip(done) {
                        // The caller may have stopped waiting.
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
                Ok(Work::KeepKey(key)) => {
                    if let Some(place) = &mut self.place {
                        place.key = Some(key);
                    }
                }
                Ok(Work::Close { closed }) => break Some(closed),
                #[cfg(test)]
                Ok(Work::Meddle(meddle)) => meddle(&mut self),
                Err(RecvTimeoutError::Timeout) => {
                    if self.retry_in().is_some() {
                        self.catch_up();
                        self.measure();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break None,
            }
            if self.place.as_ref().is_some_and(Place::check_is_due) {
                self.check();
                self.measure();
            }
        };
        if let Some(place) = &mut self.place {
            // Such as a backup that is being restored.
            place.left.get_or_insert(Left::Stopping);
        }
        self.check();
        if self.retry_in().is_some() {
            self.catch_up();
        }
        self.health.beat.rest();
        // The folder is released before the caller gets its answer.
        drop(self);
        drop(closed);
    }

    /// Time until there is something to do without a request; `None` if the store has no file.
    fn wakes_in(&self) -> Option<Duration> {
        let place = self.place.as_ref()?;
        let at = if place.disk.is_some() { place.check_at } else { place.trouble.retry_at };
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Time until the next retry of a failed disk; `None` if the disk works or the store has no file.
    fn retry_in(&self) -> Option<Duration> {
        let place = self.place.as_ref().filter(|place| place.disk.is_none())?;
        Some(place.trouble.retry_at.saturating_duration_since(Instant::now()))
    }

    /// Makes changes and returns the outcome of each. In memory, each is a transaction of its own; on the disk, all are
    /// one.
    fn commit(&mut self, changes: &[Change]) -> Vec<Result<(), StoreError>> {
        // Before memory has the changes: it gets what only the old files have.
        self.check_files();
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            let applied = change::apply(&mut self.memory, [change]);
            done.push(applied.map_err(|fault| {
                self.health.count_error();
                not_durable(fault)
            }));
        }
        let applied = changes.iter().zip(&done).filter_map(|(change, done)| done.is_ok().then_some(change));
        if let Err(why) = self.write(applied) {
            for done in done.iter_mut().filter(|done| done.is_ok()) {
                *done = Err(StoreError::NotDurable { why: why.clone() });
            }
        }
        done
    }

    /// Writes changes that memory has to the disk. An error is the reason for which the disk does not have them yet.
    fn write<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) -> Result<(), String> {
        let Some(place) = &mut self.place else { return Ok(()) };
        if let Some(disk) = &mut place.disk {
            match change::apply(&mut disk.connection, changes) {
                Ok(()) => {
                    let tidied = disk.tidy();
                    disk.note_files();
                    if let Err(fault) = tidied {
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
            Some(place) if place.disk.is_none() => Err(place.trouble.why.clone()),
            _ => Ok(()),
        }
    }

    fn users(&mut self, target: &str) -> Result<Option<SavedUsers>, StoreError> {
        match users::load(&self.memory, target).map_err(not_durable)? {
            Some(held) => Ok(Some(held)),
            None => self.users_on_disk(target),
        }
    }

    fn users_on_disk(&mut self, target: &str) -> Result<Option<SavedUsers>, StoreError> {
        self.check_before_reading();
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

    fn dead_letters(&mut self) -> Result<Vec<Message>, StoreError> {
        self.check_before_reading();
        let disk = self.place.as_ref().and_then(|place| place.disk.as_ref());
        let mut letters = match disk {
            Some(disk) => outbox::messages(&disk.connection, DEAD_LETTERS).map_err(not_durable)?,
            None => Vec::new(),
        };
        // Those that are not on the disk yet.
        letters.extend(outbox::messages(&self.memory, DEAD_LETTERS).map_err(not_durable)?);
        Ok(letters)
    }

    /// Detects that another program has removed, replaced or changed the folder or its files, and writes the state in
    /// memory to new ones.
    fn check(&mut self) {
        self.check_files();
        let Some(place) = &mut self.place else { return };
        if let Some(disk) = &mut place.disk
            && let Err(fault) = disk.verify(&self.memory)
        {
            place.leave_disk(&mut self.memory);
            match fault {
                Fault::Unavailable(why) => {
                    place.is_written_again(
                        format!("{}: cannot be read: {why}", place.file.display()),
                        &self.health,
                    );
                }
                fault => place.gave_way(fault, &self.health),
            }
        }
        place.check_at = Instant::now() + CHECK_EVERY;
        if self.retry_in().is_some_and(|pause| pause.is_zero()) {
            self.catch_up();
        } else {
            self.keep_key();
        }
    }

    fn check_before_reading(&mut self) {
        if self.check_files() {
            self.catch_up();
        }
    }

    /// Leaves the database if it, a file beside it or the folder was removed or replaced, and returns whether it did. All
    /// changes in memory must be on the disk.
    fn check_files(&mut self) -> bool {
        let Some(place) = &mut self.place else { return false };
        let Some(disk) = &mut place.disk else { return false };
        let missing = match place.claim.missing(&place.folder) {
            Ok(None) => disk.missing_file(),
            found => found,
        };
        let missing = match missing {
            Ok(None) => return false,
            Ok(Some(missing)) => missing,
            Err(err) => {
                place.gave_way(err.into(), &self.health);
                return false;
            }
        };
        place.leave_disk(&mut self.memory);
        let sentence = format!("{}: another program has removed, replaced or cut it", missing.display());
        place.is_written_again(sentence, &self.health);
        true
    }

    /// Reopens the database and writes the state in memory to it.
    fn catch_up(&mut self) {
        let Some(place) = &mut self.place else { return };
        match place.reopen(&self.memory, &self.health) {
            Ok(disk) => {
                place.disk = Some(disk);
                place.left = None;
                place.trouble = Trouble::none();
                info!(file = %place.file.display(), "the storage is writable again and complete");
                self.hand_on();
                self.keep_key();
            }
            Err(fault) => place.failed(&fault, &self.health),
        }
    }

    /// Writes the key of the folder if its file is missing.
    fn keep_key(&mut self) {
        let Some(place) = self.place.as_mut().filter(|place| place.disk.is_some()) else { return };
        let Some(key) = &place.key else { return };
        match key::keep(&place.folder, key) {
            Ok(false) => {}
            Ok(true) => {
                place.key_trouble.clear();
                warn!("{}: its key was missing and is written again", place.folder.display());
            }
            Err(err) => {
                let why = io::Error::from(err).to_string();
                self.health.count_error();
                if why != place.key_trouble {
                    warn!("{why}; the key is kept in memory only, and after a restart users get other codes");
                }
                place.key_trouble = why;
            }
        }
    }

    /// Deletes from memory the rows that are now on the disk and belong only there.
    fn hand_on(&self) {
        if let Err(fault) = database::hand_on(&self.memory) {
            warn!(error = %fault, "cannot free memory that the storage no longer needs");
        }
    }

    /// Publishes the health of the store.
    fn measure(&self) {
        let Some(place) = &self.place else { return };
        self.health.down.store(place.disk.is_none(), Ordering::Relaxed);
        if let Some(disk) = &place.disk {
            self.health.size.store(disk.size(), Ordering::Relaxed);
        }
    }
}

impl Trouble {
    fn none() -> Self {
        Trouble { why: String::new(), retry_at: Instant::now(), pause: FIRST_PAUSE }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as an argument of map_err")]
fn not_durable(fault: Fault) -> StoreError {
    StoreError::NotDurable { why: fault.to_string() }
}

/// This depends on no input, so it either always works or never.
fn empty_memory() -> Connection {
    database::in_memory().expect("a new database in memory opens")
}

//! The thread that writes.

use std::{
    collections::BTreeMap,
    iter::Peekable,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
    vec,
};

use rusqlite::Connection;
use tokio::{sync::oneshot, time::Instant};
use tracing::{info, warn};

use super::{
    file::{self, UsageFile},
    open::{Open, Taken},
    read, schema, write,
};
use crate::{
    clock::Clock,
    model::{Day, Moment, Rates, Timestamp, UsedToday},
    store::{fault::Fault, health::Health},
};

/// What was read of a target is written so long after its last write, and at the end of a day. A target whose list of users is
/// stored every five minutes is written with it, and mostly not due in between.
const WRITE_AFTER: Duration = Duration::from_secs(330);
/// How often it is looked for targets that are due.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often rates are computed.
const RATES_EVERY: Duration = Duration::from_secs(15 * 60);

/// What the thread, those who read targets and those who ask share.
#[derive(Debug)]
pub(super) struct Shared {
    open: Mutex<Open>,
    written: Mutex<BTreeMap<String, Written>>,
    /// What users of each target used today; absent: it is not wanted.
    today: Mutex<Option<BTreeMap<String, Arc<UsedToday>>>>,
    /// How fast users of each target use their quota, until that is taken.
    rates: Mutex<BTreeMap<String, Rates>>,
    pub(super) health: Arc<Health>,
    pub(super) clock: Clock,
}

impl Shared {
    pub(super) fn new(open: Open, clock: Clock) -> Self {
        Shared {
            open: Mutex::new(open),
            written: Mutex::default(),
            today: Mutex::default(),
            rates: Mutex::default(),
            health: Arc::default(),
            clock,
        }
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What users of each target used today; absent: it is not wanted.
    pub(super) fn today(&self) -> MutexGuard<'_, Option<BTreeMap<String, Arc<UsedToday>>>> {
        self.today.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How fast users of each target use their quota, until that is taken.
    pub(super) fn rates(&self) -> MutexGuard<'_, BTreeMap<String, Rates>> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this process has last written of each target.
    pub(super) fn written(&self) -> MutexGuard<'_, BTreeMap<String, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When everything that had been read of a target was written, and how many readings that were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) at: Moment,
    pub(super) readings: u64,
}

/// A request to write at once. `done` is dropped when that was tried.
#[derive(Debug)]
pub(super) enum Work {
    /// What was read of a target. What is computed from it comes later.
    WriteOf {
        target: String,
        done: oneshot::Sender<()>,
    },
    WriteAll {
        done: oneshot::Sender<()>,
    },
    /// Writes for the last time and closes the file.
    Close {
        done: oneshot::Sender<()>,
    },
}

/// Where it is written.
#[derive(Debug)]
pub(super) enum Place {
    File(UsageFile),
    Memory(Arc<Mutex<Connection>>),
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    place: Place,
    /// The day for which old rows were deleted last.
    pruned: Option<Day>,
    /// When rates were computed last; absent: not yet.
    rated: Option<Timestamp>,
    /// Something was written since it was last computed from.
    has_changed: bool,
    /// Why the last write failed; empty: it did not.
    trouble: String,
}

/// What is not written yet.
struct Left {
    taken: Peekable<vec::IntoIter<Taken>>,
    kept: Option<(Vec<String>, Timestamp)>,
}

impl Writer {
    /// Opens or creates the file. Returns its problem, if there is one, as a sentence for logs.
    pub(super) fn open(shared: Arc<Shared>, mut file: UsageFile) -> (Writer, Option<String>) {
        let now = shared.clock.now().wall;
        let opened = |file: &mut UsageFile| schema::reads(file.connection()?);
        let mut problem = None;
        let reads = opened(&mut file).or_else(|fault| match fault {
            Fault::Damaged(_) | Fault::Newer { .. } => {
                problem = Some(file.put_aside(&fault, now)?);
                shared.health.count_error();
                opened(&mut file)
            }
            fault => Err(fault),
        });
        let mut writer = Writer {
            shared,
            place: Place::File(file),
            pruned: None,
            rated: None,
            has_changed: false,
            trouble: String::new(),
        };
        match reads {
            Ok(reads) => {
                let mut open = writer.shared.open();
                for (target, counted, at) in reads {
                    open.was_read(&target, counted, at);
                }
            }
            Err(fault) => writer.failed(&fault),
        }
        writer.measure();
        (writer, problem)
    }

    pub(super) fn in_memory(shared: Arc<Shared>) -> (Writer, Arc<Mutex<Connection>>) {
        // This depends on no input, so it either always works or never.
        let memory = Arc::new(Mutex::new(file::in_memory().expect("a new database in memory opens")));
        let place = Place::Memory(Arc::clone(&memory));
        (
            Writer { shared, place, pruned: None, rated: None, has_changed: false, trouble: String::new() },
            memory,
        )
    }

    /// Writes until it is asked to close, or the last handle is dropped.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Work>) {
        let mut look = Instant::now() + LOOK_EVERY;
        loop {
            let wait = look.saturating_duration_since(Instant::now());
            match queue.recv_timeout(wait.min(self.until_midnight())) {
                // What fails is tried again at the next look, and not for each target.
                Ok(Work::WriteOf { target, done }) if !done.is_closed() && self.trouble.is_empty() => {
                    self.put(|known| known == target);
                }
                Ok(Work::WriteOf { .. }) => {}
                Ok(Work::WriteAll { done }) => {
                    self.write(|_| true);
                    drop(done);
                }
                Ok(Work::Close { done }) => {
                    self.put(|_| true);
                    // The file is closed before the caller gets its answer.
                    drop(self);
                    drop(done);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => look = Instant::now(),
                Err(RecvTimeoutError::Disconnected) => return self.put(|_| true),
            }
            if Instant::now() >= look {
                self.look();
                look = Instant::now() + LOOK_EVERY;
            }
        }
    }

    /// Writes what was not written for a while.
    pub(super) fn look(&mut self) {
        let (written, now) = (self.shared.written().clone(), self.shared.clock.now());
        self.write(|target| written.get(target).is_none_or(|last| now.since(last.at) >= WRITE_AFTER));
    }

    /// Until a moment after the end of the day.
    fn until_midnight(&self) -> Duration {
        let now = self.shared.clock.now().wall;
        self.shared.open().calendar().end_of_day(now).since(now).saturating_add(Duration::from_secs(1))
    }

    /// Writes what was read of targets that are due, and computes from what is written.
    pub(super) fn write(&mut self, is_due: impl Fn(&str) -> bool) {
        self.put(is_due);
        if self.trouble.is_empty() && std::mem::take(&mut self.has_changed) {
            self.compute_today();
            self.compute_rates();
        }
    }

    /// Writes what was read of targets that are due; after the end of a day and after a failure, of all. What cannot be written
    /// stays in memory.
    fn put(&mut self, is_due: impl Fn(&str) -> bool) {
        let now = self.shared.clock.now();
        let (taken, kept, today, begins) = {
            let mut open = self.shared.open();
            let today = open.calendar().day(now.wall);
            let begins = self.pruned != Some(today);
            let all = begins || !self.trouble.is_empty();
            let (taken, kept) = open.take(|target| all || is_due(target));
            (taken, kept, today, begins)
        };
        if taken.is_empty() && kept.is_none() && !begins && self.trouble.is_empty() {
            return;
        }
        self.has_changed = true;
        let mut left = Left { taken: taken.into_iter().peekable(), kept };
        match self.put_all(&mut left, (begins, today), now) {
            Ok(()) => {
                if !std::mem::take(&mut self.trouble).is_empty() {
                    info!("the history of use is writable again and complete");
                }
                self.shared.health.down.store(false, Ordering::Relaxed);
            }
            Err(fault) => {
                let mut open = self.shared.open();
                left.taken.for_each(|taken| open.put_back(taken));
                left.kept.into_iter().for_each(|kept| open.put_back_kept(kept));
                drop(open);
                self.failed(&fault);
            }
        }
        self.measure();
    }

    /// Computes what users used today, if that is wanted.
    fn compute_today(&mut self) {
        if self.shared.today().is_none() {
            return;
        }
        let now = self.shared.clock.now().wall;
        let (today, times) = {
            let mut open = self.shared.open();
            let calendar = open.calendar();
            (calendar.day(now), calendar.start_of_day(now)..calendar.end_of_day(now))
        };
        match self.with(|connection| read::used_on(connection, today, &times)) {
            Ok(used) => {
                // Unless it is not wanted any more.
                self.shared.today().as_mut().into_iter().for_each(|known| known.clone_from(&used));
            }
            Err(fault) => self.failed(&fault),
        }
    }

    /// Computes how fast users use their quota, from time to time: that changes slowly, and many rows are read.
    fn compute_rates(&mut self) {
        let now = self.shared.clock.now().wall;
        // Days are those of the wall clock, which may be set.
        if self.rated.is_some_and(|rated| now.since(rated).max(rated.since(now)) < RATES_EVERY) {
            return;
        }
        let mut calendar = self.shared.open().calendar().clone();
        match self.with(|connection| read::rates(connection, &mut calendar)) {
            Ok(rates) => {
                *self.shared.rates() = rates;
                self.rated = Some(now);
            }
            Err(fault) => self.failed(&fault),
        }
    }

    /// Writes what is left, in several transactions, and takes away what is written.
    fn put_all(&mut self, left: &mut Left, (begins, today): (bool, Day), now: Moment) -> Result<(), Fault> {
        self.check(now.wall)?;
        while let Some(next) = left.taken.peek() {
            self.with(|connection| write::write(connection, next))?;
            let written = Written { at: now, readings: next.readings };
            self.shared.written().insert(next.target.clone(), written);
            left.taken.next();
        }
        if let Some((ids, since)) = &left.kept {
            self.with(|connection| {
                let transaction = connection.transaction()?;
                schema::keep_only(&transaction, ids, *since)?;
                Ok(transaction.commit()?)
            })?;
        }
        left.kept = None;
        if begins {
            let days = (self.pruned, today);
            self.with(|connection| write::begin_day(connection, days, now.wall))?;
            self.pruned = Some(today);
        }
        Ok(())
    }

    /// Checks the structure of the file before it is first written. A damaged one is renamed.
    fn check(&mut self, now: Timestamp) -> Result<(), Fault> {
        let Place::File(file) = &mut self.place else { return Ok(()) };
        match file.check() {
            Err(fault @ (Fault::Damaged(_) | Fault::Newer { .. })) => {
                let sentence = file.put_aside(&fault, now)?;
                self.shared.health.count_error();
                warn!("{sentence}");
                file.check()
            }
            checked => checked,
        }
    }

    pub(super) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match &mut self.place {
            Place::File(file) => work(file.connection()?),
            Place::Memory(memory) => work(&mut memory.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Logs a failure, once for each reason. A damaged file is renamed, and the next write creates a new one.
    fn failed(&mut self, fault: &Fault) {
        self.shared.health.count_error();
        self.shared.health.down.store(true, Ordering::Relaxed);
        let Place::File(file) = &mut self.place else { return };
        file.close();
        if matches!(fault, Fault::Damaged(_) | Fault::Newer { .. })
            && let Ok(sentence) = file.put_aside(fault, self.shared.clock.now().wall)
        {
            warn!("{sentence}");
        }
        let why = fault.to_string();
        if why != self.trouble {
            warn!(
                file = %file.path().display(),
                error = why,
                "the history of use cannot be written; until it can, what is used is kept in memory"
            );
        }
        self.trouble = why;
    }

    /// Publishes the size of the file.
    fn measure(&self) {
        if let Place::File(file) = &self.place {
            self.shared.health.size.store(file.size(), Ordering::Relaxed);
        }
    }
}

//! The file of the writer: how it is opened, left, renamed and written again.

use tracing::error;

use super::*;
use crate::store::unusable::Unusable;

impl Place {
    pub(super) fn open_and_read(&self) -> Result<(Disk, Connection, Loaded), Fault> {
        let disk = Disk::open(&self.file, self.now())?;
        let memory = database::in_memory_like(&disk.connection)?;
        let loaded = loaded::load(&memory)?;
        Ok((disk, memory, loaded))
    }

    /// Reads a file that cannot be written. If reading fails too, the content of the file is unknown, and it must not
    /// be overwritten later.
    pub(super) fn read_what_can_be(&mut self) -> (Connection, Loaded) {
        let read = database::read_only(&self.file).and_then(|file| {
            let memory = database::in_memory_like(&file)?;
            let loaded = loaded::load(&memory)?;
            Ok((memory, loaded))
        });
        self.known = read.as_ref().ok().and_then(|_| self.there().ok().flatten());
        read.unwrap_or_else(|_| (empty_memory(), Loaded::default()))
    }

    pub(super) fn check_is_due(&self) -> bool {
        self.disk.is_some() && Instant::now() >= self.check_at
    }

    /// Closes a database that another program has removed, replaced or damaged.
    pub(super) fn leave_disk(&mut self, memory: &mut Connection) {
        let Some(disk) = self.disk.take() else { return };
        if let Err(fault) = disk.leave(memory) {
            error!(
                file = %self.file.display(),
                error = %fault,
                "saved users or notifications that were given up cannot be read and are lost"
            );
        }
    }

    /// Closes the database after a failure. It is reopened later, or at once if it was damaged.
    pub(super) fn gave_way(&mut self, fault: Fault, health: &Health) {
        self.disk = None;
        let aside = match &fault {
            Fault::Unavailable(_) | Fault::Left(_) => Err(fault),
            Fault::Damaged(_) | Fault::Newer { .. } => self.put_aside(&fault),
        };
        match aside {
            Ok(sentence) => self.is_written_again(sentence, health),
            Err(fault) => self.failed(&fault, health),
        }
    }

    /// Logs why the file was closed. The state in memory is written at once.
    pub(super) fn is_written_again(&mut self, why: String, health: &Health) {
        health.count_error();
        warn!("{why}");
        self.trouble = Trouble { why, ..Trouble::none() };
    }

    pub(super) fn failed(&mut self, fault: &Fault, health: &Health) {
        health.count_error();
        let why = fault.to_string();
        if why != self.trouble.why {
            match fault {
                Fault::Left(_) => error!("{}: {why}", self.file.display()),
                Fault::Damaged(_) | Fault::Newer { .. } | Fault::Unavailable(_) => warn!(
                    file = %self.file.display(),
                    error = why,
                    "the storage is not writable; until it is, state is kept in memory only"
                ),
            }
        }
        let pause = self.trouble.pause;
        self.trouble =
            Trouble { why, retry_at: Instant::now() + pause, pause: (pause * 2).min(LONGEST_PAUSE) };
    }

    /// Reopens the file, or creates a new one if it cannot be used, and writes the state in memory to it.
    pub(super) fn reopen(&mut self, memory: &Connection, health: &Health) -> Result<Disk, Fault> {
        // Before the folder is locked: its process may be about to start again.
        if let Some(left) = self.left
            && self.is_foreign()?
        {
            return Err(Fault::Left(left));
        }
        match self.claim.renew(&self.folder) {
            Ok(()) => {}
            Err(Unclaimed::Locked) => {
                self.claim = Claim::default();
                (self.known, self.left) = (None, Some(Left::Taken));
                return Err(Fault::Left(Left::Taken));
            }
            Err(Unclaimed::Unusable(err)) => return Err(err.into()),
        }
        if self.is_foreign()? {
            self.may_put_aside("its content is unknown")?;
            let aside = folder::put_aside(&self.file, "unread", self.now())?;
            warn!(
                "{}: its content is unknown; it was renamed to {} and a new one is written",
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

    fn open_and_write(&mut self, memory: &Connection) -> Result<Disk, Fault> {
        // SQLite does not say which file is wrong.
        folder::check(&self.file)?;
        self.known = self.there()?;
        let mut disk = Disk::open(&self.file, self.now())?;
        #[cfg(test)]
        if let Some(pages) = self.page_limit {
            disk.connection.pragma_update(None, "max_page_count", pages)?;
        }
        change::catch_up(&mut disk.connection, memory)?;
        disk.note_files();
        Ok(disk)
    }

    /// Renames the file and returns a sentence about it for logs.
    pub(super) fn put_aside(&mut self, fault: &Fault) -> Result<String, Fault> {
        self.may_put_aside(&fault.to_string())?;
        let word = if matches!(fault, Fault::Newer { .. }) { "newer" } else { "damaged" };
        let aside = folder::put_aside(&self.file, word, self.now())?;
        Ok(format!(
            "{}: {fault}; it was renamed to {} and a new one is written",
            self.file.display(),
            aside.display()
        ))
    }

    /// Counts a file that is to be renamed, unless there were too many.
    pub(super) fn may_put_aside(&mut self, why: &str) -> Result<(), Fault> {
        if self.asides >= MOST_ASIDES {
            return Err(Fault::Unavailable(format!("{why}, and {MOST_ASIDES} files were already renamed")));
        }
        self.asides += 1;
        Ok(())
    }

    /// The file at the path.
    pub(super) fn there(&self) -> Result<Option<Identity>, Unusable> {
        Ok(folder::found(&self.file)?.as_ref().map(folder::identity))
    }

    /// Whether there is a file with a content that memory does not include.
    fn is_foreign(&self) -> Result<bool, Unusable> {
        let has_content = self.file.symlink_metadata().is_ok_and(|file| !file.is_file() || file.len() > 0);
        Ok(has_content && (self.known.is_none() || self.there()? != self.known))
    }

    pub(super) fn now(&self) -> Timestamp {
        let (wall, instant) = self.opened_at;
        wall.saturating_add(instant.elapsed())
    }
}

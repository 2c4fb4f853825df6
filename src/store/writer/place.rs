//! The file of the writer: how it is opened, left, renamed and written again.

use tracing::error;

use super::*;

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
        read.unwrap_or_else(|_| {
            self.known = false;
            (empty_memory(), Loaded::default())
        })
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
        let damaged = matches!(fault, Fault::Damaged(_) | Fault::Newer { .. });
        let fault = match fault {
            Fault::Unavailable(_) | Fault::Left(_) => fault,
            Fault::Damaged(_) | Fault::Newer { .. } => match self.put_aside(&fault) {
                Ok(sentence) => {
                    warn!("{sentence}");
                    fault
                }
                Err(cannot) => cannot,
            },
        };
        self.failed(&fault, health);
        if damaged {
            self.trouble.retry_at = Instant::now();
        }
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
        if let Some(left) = self.left.filter(|_| self.has_content()) {
            return Err(Fault::Left(left));
        }
        match self.claim.renew(&self.folder) {
            Ok(()) => {}
            Err(Unclaimed::Locked) => {
                self.claim = Claim::default();
                self.left = Some(Left::Taken);
                return Err(Fault::Left(Left::Taken));
            }
            Err(Unclaimed::Unusable(err)) => return Err(err.into()),
        }
        if !self.known && self.has_content() {
            self.may_put_aside("its content is unknown")?;
            let aside = folder::put_aside(&self.file, "unread", self.now())?;
            warn!(
                "{}: its content is unknown; it was renamed to {} and a new one was created",
                self.file.display(),
                aside.display()
            );
        }
        // SQLite does not say which file is wrong.
        folder::check(&self.file)?;
        let mut written = self.open_and_write(memory);
        if let Err(fault @ (Fault::Damaged(_) | Fault::Newer { .. })) = written {
            health.count_error();
            let sentence = self.put_aside(&fault)?;
            warn!("{sentence}");
            written = self.open_and_write(memory);
        }
        written
    }

    pub(super) fn open_and_write(&self, memory: &Connection) -> Result<Disk, Fault> {
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
            "{}: {fault}; it was renamed to {} and a new one was created",
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

    /// Whether there is anything but an empty file.
    pub(super) fn has_content(&self) -> bool {
        self.file.symlink_metadata().is_ok_and(|file| !file.is_file() || file.len() > 0)
    }

    pub(super) fn now(&self) -> Timestamp {
        let (wall, instant) = self.opened_at;
        wall.saturating_add(instant.elapsed())
    }
}

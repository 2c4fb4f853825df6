//! Facts by client that are read more rarely than the list.

use std::time::Duration;

use super::convert::ByName;
use crate::model::Moment;

/// When they are read again after a failure, at the latest.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Facts by client that are read more rarely than the list.
pub(super) struct Cached<T> {
    /// When they are read next, by the daemon's uptime; absent: they were not yet.
    due: Option<Duration>,
    pub(super) by_name: ByName<T>,
}

/// What a request for such facts brought.
pub(super) enum Reading<T> {
    Read(ByName<T>),
    /// The panel does not have them, or not for this login.
    Nothing,
    Failed,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Cached { due: None, by_name: ByName::default() }
    }
}

impl<T> Cached<T> {
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.due.is_none_or(|due| now.uptime >= due)
    }

    /// Whether they were never asked for.
    pub(super) fn is_new(&self) -> bool {
        self.due.is_none()
    }

    /// A failure takes back nothing.
    pub(super) fn set(&mut self, reading: Reading<T>, every: Duration, now: Moment) {
        let wait = if matches!(reading, Reading::Failed) { every.min(AGAIN_AFTER) } else { every };
        self.due = Some(now.uptime + wait);
        match reading {
            Reading::Read(by_name) => self.by_name = by_name,
            Reading::Nothing => self.by_name.clear(),
            Reading::Failed => {}
        }
    }
}

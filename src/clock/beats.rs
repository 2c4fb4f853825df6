//! Detects loops of the daemon that no longer run.
//!
//! In each round, a loop says when it will be back at the latest. A loop that waits for something that may never come,
//! such as a lock or a disk, does not come back, and is reported here while everything else looks healthy.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

/// How late a loop may be before it counts as stuck. A busy machine, a slow disk or a suspended moment is no reason
/// for a restart.
const PATIENCE: Duration = Duration::from_secs(120);

/// A loop's sign of life. Clones are one beat. It is idle until the loop first calls [`Beat::within`].
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<Mutex<Option<Instant>>>);

impl Beat {
    /// The loop runs, and will call this again before `next` has passed.
    pub fn within(&self, next: Duration) {
        *held(&self.0) = Instant::now().checked_add(next);
    }

    /// The loop waits for external work, for any time.
    pub fn rest(&self) {
        *held(&self.0) = None;
    }
}

/// The loops that the daemon needs. Cheap to clone; all clones share one list.
#[derive(Clone, Default)]
pub struct Beats(Arc<Mutex<Vec<Watched>>>);

struct Watched {
    name: String,
    /// Gone when its loop has ended.
    back_by: Weak<Mutex<Option<Instant>>>,
}

impl Beats {
    /// Watches a loop from now on, as long as it holds its beat. The name appears in reports of late loops.
    pub fn watch(&self, name: impl Into<String>, beat: &Beat) {
        let mut watched = held(&self.0);
        watched.retain(|watched| watched.back_by.strong_count() > 0);
        watched.push(Watched { name: name.into(), back_by: Arc::downgrade(&beat.0) });
    }

    /// The loops that are late by more than `slack`, in the order they were added.
    pub fn late(&self, slack: Duration) -> Vec<String> {
        let now = Instant::now();
        let is_late = |watched: &&Watched| {
            let back_by = watched.back_by.upgrade().and_then(|back_by| *held(&back_by));
            back_by.is_some_and(|back_by| now.saturating_duration_since(back_by) > slack)
        };
        held(&self.0).iter().filter(is_late).map(|watched| watched.name.clone()).collect()
    }

    /// The loops that are so late that the daemon should be restarted.
    pub fn stuck(&self) -> Vec<String> {
        self.late(PATIENCE)
    }
}

impl fmt::Debug for Beats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(held(&self.0).iter().map(|watched| &watched.name)).finish()
    }
}

/// The locked value. A panic of a holder cannot leave it half written, so poisoning is ignored.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_late_when_it_is_silent_for_longer_than_it_said() {
        let beats = Beats::default();
        let (poll, writer) = (Beat::default(), Beat::default());
        beats.watch("poll home", &poll);
        beats.clone().watch("store", &writer);
        advance(60 * MINUTE).await;
        assert!(beats.late(Duration::ZERO).is_empty(), "neither has started");

        poll.within(10 * MINUTE);
        writer.within(Duration::ZERO);
        advance(MINUTE).await;
        assert_eq!(beats.late(MINUTE), [""; 0]);
        assert_eq!(beats.late(59 * SECOND), ["store"]);
        writer.rest();
        advance(11 * MINUTE).await;
        assert_eq!(beats.stuck(), [""; 0]);
        advance(SECOND).await;
        assert_eq!(beats.stuck(), ["poll home"]);
        writer.within(SECOND);
        advance(3 * MINUTE).await;
        assert_eq!(beats.stuck(), ["poll home", "store"], "in the order they came");

        poll.within(Duration::MAX);
        assert_eq!(beats.stuck(), ["store"]);
        drop(writer);
        assert_eq!(beats.stuck(), [""; 0], "what has ended is not late");
    }
}

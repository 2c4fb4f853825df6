use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

/// How late a loop may be: a busy machine or a slow disk is no reason to have the daemon restarted.
const PATIENCE: Duration = Duration::from_secs(120);

/// A loop's sign of life. Clones are one pulse, which is at rest until it first beats.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// The loop goes on, and will have done so once more before `within` has passed.
    pub fn beat(&self, within: Duration) {
        *lock(&self.0) = Instant::now().checked_add(within.saturating_add(PATIENCE));
    }

    /// The loop waits for others, for any time.
    pub fn rest(&self) {
        *lock(&self.0) = None;
    }
}

/// The loops that have to go round for the daemon to be of use. Cheap to clone; all clones know the same loops.
#[derive(Clone, Default)]
pub struct Heartbeats(Arc<Mutex<Vec<Watched>>>);

struct Watched {
    name: String,
    /// Gone when its loop is.
    pulse: Weak<Mutex<Option<Instant>>>,
}

impl Heartbeats {
    /// Watches a loop from now on, as long as it holds its pulse.
    pub fn watch(&self, name: impl Into<String>, pulse: &Pulse) {
        let mut watched = lock(&self.0);
        watched.retain(|watched| watched.pulse.strong_count() > 0);
        watched.push(Watched { name: name.into(), pulse: Arc::downgrade(&pulse.0) });
    }

    /// The name of a loop that should have gone on long ago, if there is one.
    pub fn stuck(&self) -> Option<String> {
        let now = Instant::now();
        let is_stuck = |pulse: &Mutex<Option<Instant>>| lock(pulse).is_some_and(|until| until < now);
        let watched = lock(&self.0);
        let stuck = watched.iter().find(|watched| watched.pulse.upgrade().is_some_and(|it| is_stuck(&it)));
        stuck.map(|watched| watched.name.clone())
    }
}

impl fmt::Debug for Heartbeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(lock(&self.0).iter().map(|watched| &watched.name)).finish()
    }
}

/// What is held is always whole, whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_stuck_when_it_is_silent_for_longer_than_it_said() {
        let heartbeats = Heartbeats::default();
        let (poll, writer) = (Pulse::default(), Pulse::default());
        heartbeats.watch("poll home", &poll);
        heartbeats.watch("store", &writer);
        tokio::time::advance(60 * MINUTE).await;
        assert_eq!(heartbeats.stuck(), None);

        poll.beat(10 * MINUTE);
        writer.beat(Duration::ZERO);
        writer.rest();
        tokio::time::advance(12 * MINUTE).await;
        assert_eq!(heartbeats.stuck(), None);
        tokio::time::advance(MINUTE).await;
        assert_eq!(heartbeats.stuck().as_deref(), Some("poll home"));

        poll.beat(Duration::MAX);
        assert_eq!(heartbeats.stuck(), None);
        poll.beat(Duration::ZERO);
        tokio::time::advance(3 * MINUTE).await;
        assert!(heartbeats.stuck().is_some());
        drop(poll);
        assert_eq!(heartbeats.stuck(), None);
    }
}

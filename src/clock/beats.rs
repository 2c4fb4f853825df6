//! Tells whether every loop of the daemon still goes round.
//!
//! A loop says each time round when it will be back at the latest. A loop that waits for something that may never come,
//! such as a lock or a disk, does not come back, and that shows here while everything else looks well.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use super::Clock;
use crate::model::Moment;

/// What a loop may be late by before anyone hears of it: machines are busy, and are suspended for a moment.
pub const SLACK: Duration = Duration::from_secs(30);

/// The loops that are watched. Cheap to clone; all clones watch the same.
#[derive(Clone, Debug)]
pub struct Beats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// Those that are gone are forgotten when the next one comes.
    loops: Mutex<Vec<Weak<Watched>>>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    /// The uptime at which the loop is to be back.
    back_by: Mutex<Duration>,
}

/// One loop's way to say that it goes round. It is watched until this is dropped.
#[derive(Debug)]
pub struct Beat {
    clock: Clock,
    watched: Arc<Watched>,
}

impl Beats {
    pub fn new(clock: Clock) -> Self {
        Beats(Arc::new(Inner { clock, loops: Mutex::default() }))
    }

    /// Watches a loop from now on, which is about to begin. The name is what people read when it is late.
    pub fn register(&self, name: &str) -> Beat {
        let clock = self.0.clock.clone();
        let watched = Arc::new(Watched { name: name.to_owned(), back_by: Mutex::new(clock.now().uptime) });
        let mut loops = held(&self.0.loops);
        loops.retain(|watched| watched.strong_count() > 0);
        loops.push(Arc::downgrade(&watched));
        Beat { clock, watched }
    }

    /// The loops that should have been back more than [`SLACK`] before `now`, in the order they were registered;
    /// none of them if all is well.
    pub fn late(&self, now: Moment) -> Vec<String> {
        let loops = held(&self.0.loops);
        let is_late = |watched: &Arc<Watched>| now.uptime.saturating_sub(*held(&watched.back_by)) > SLACK;
        loops.iter().filter_map(Weak::upgrade).filter(is_late).map(|watched| watched.name.clone()).collect()
    }
}

impl Beat {
    /// The loop has gone round and is back within `next` at the latest.
    pub fn within(&self, next: Duration) {
        *held(&self.watched.back_by) = self.clock.now().uptime.saturating_add(next);
    }
}

/// What is behind the lock. Nobody can leave it half written, whatever became of them.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::model::Timestamp;

    const SECOND: Duration = Duration::from_secs(1);

    fn beats() -> (Beats, Clock) {
        let clock = Clock::starting_at(Timestamp::from_secs(1_795_000_000));
        (Beats::new(clock.clone()), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_late_once_it_is_overdue_by_more_than_the_slack() {
        let (beats, clock) = beats();
        assert!(beats.late(clock.now()).is_empty(), "nobody is watched");
        let home = beats.register("poll home");
        let alerts = beats.register("alerts");
        alerts.within(10 * SECOND);
        advance(SLACK).await;
        assert!(beats.late(clock.now()).is_empty());
        advance(SECOND).await;
        assert_eq!(beats.late(clock.now()), ["poll home"], "it never went round");
        home.within(60 * SECOND);
        assert!(beats.late(clock.now()).is_empty());
        advance(10 * SECOND).await;
        assert_eq!(beats.late(clock.now()), ["alerts"]);
        advance(81 * SECOND).await;
        assert_eq!(
            beats.clone().late(clock.now()),
            ["poll home", "alerts"],
            "in the order they were registered"
        );
        alerts.within(SECOND);
        home.within(Duration::MAX);
        assert!(beats.late(clock.now()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_sets_the_wall_clock_makes_nobody_late() {
        let (beats, clock) = beats();
        let beat = beats.register("alerts");
        beat.within(10 * SECOND);
        clock.step(86_400_000);
        assert!(beats.late(clock.now()).is_empty());
        clock.step(-2 * 86_400_000);
        advance(SLACK + 11 * SECOND).await;
        assert_eq!(beats.late(clock.now()), ["alerts"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_was_ended_is_not_missed() {
        let (beats, clock) = beats();
        let removed = beats.register("poll home");
        let other = beats.register("poll edge");
        advance(SLACK + SECOND).await;
        drop(removed);
        assert_eq!(beats.late(clock.now()), ["poll edge"]);
        drop(other);
        assert!(beats.late(clock.now()).is_empty());
        let again = beats.register("poll home");
        assert_eq!(held(&beats.0.loops).len(), 1, "those that are gone are forgotten");
        drop(again);
    }
}

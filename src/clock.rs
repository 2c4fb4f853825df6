//! The source of wall time. Everything below `daemon` takes `now` as a parameter or uses this clock.

mod beats;

pub use beats::{Beat, Beats};

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use crate::model::{Moment, Timestamp};

/// Uptime starts at one year, which leaves room for events of earlier processes.
const BEFORE: Duration = Duration::from_secs(365 * 86_400);

/// Gives the wall time, which can be set at any time, and the uptime since the clock was made, which cannot be set.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    wall: Wall,
}

#[derive(Clone, Debug)]
enum Wall {
    System,
    /// Runs with tokio's time from this many milliseconds, so that a test moves both clocks or only this one.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The system clock.
    pub fn system() -> Self {
        Clock { started: Instant::now(), wall: Wall::System }
    }

    /// A clock for tests: it starts at `wall` and runs with tokio's time.
    pub fn starting_at(wall: Timestamp) -> Self {
        Clock { started: Instant::now(), wall: Wall::Set(Arc::new(AtomicI64::new(wall.as_millis()))) }
    }

    /// Sets a test's wall clock forward by `millis` (or back), as NTP or a person would. The system clock is not
    /// changed.
    pub fn step(&self, millis: i64) {
        if let Wall::Set(start) = &self.wall {
            start.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// The moment for a wall time that an earlier process stored, see [`Moment::restored`].
    pub fn long_ago(&self, wall: Timestamp) -> Moment {
        Moment::restored(wall, self.now())
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        let uptime = BEFORE + self.started.elapsed();
        let wall = match &self.wall {
            Wall::System => system_time(),
            Wall::Set(start) => Timestamp::from_millis(start.load(Ordering::SeqCst))
                .saturating_add(uptime.saturating_sub(BEFORE)),
        };
        Moment { wall, uptime }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for wall time")]
fn system_time() -> Timestamp {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp::from_millis(millis(after)),
        Err(before) => Timestamp::from_millis(-millis(before.duration())),
    }
}

/// Seconds by which the wall clock was set forward (or back) between two moments; absent if it ran with uptime.
pub fn step(before: Moment, now: Moment) -> Option<i64> {
    /// NTP slews clocks by less than a thousandth, and steps them when they are off by more than 128 ms.
    const TOLERATED_MILLIS: i64 = 1000;

    let passed = i64::try_from(now.since(before).as_millis()).unwrap_or(i64::MAX);
    let shown = now.wall.as_millis().saturating_sub(before.wall.as_millis());
    let step = shown.saturating_sub(passed);
    (step.abs() > TOLERATED_MILLIS).then_some(step / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_is_distinguished_from_time_passing() {
        let clock = Clock::starting_at(Timestamp::from_secs(1_795_000_000));
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(step(before, clock.now()), None);
        for (millis, seconds) in [(900, None), (86_400_000, Some(86_400)), (-7_200_000, Some(-7200))] {
            let before = clock.now();
            tokio::time::advance(Duration::from_secs(10)).await;
            clock.step(millis);
            assert_eq!(step(before, clock.now()), seconds, "{millis}");
        }
    }
}

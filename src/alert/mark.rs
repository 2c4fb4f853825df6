use std::time::Duration;

use crate::model::{Moment, Timestamp};

/// When something happened, possibly before this process began. Ages are computed by uptime, which cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) wall: Timestamp,
    /// Milliseconds since the process began, negative before.
    uptime: i64,
}

impl Mark {
    pub(super) fn at(now: Moment) -> Self {
        Mark { wall: now.wall, uptime: millis(now.uptime) }
    }

    /// A mark of which the wall time was stored. One that lies ahead was made under a clock that has been set back
    /// since, and counts from now.
    pub(super) fn restored(wall: Timestamp, now: Moment) -> Self {
        let wall = wall.min(now.wall);
        let age = now.wall.as_millis().saturating_sub(wall.as_millis());
        Mark { wall, uptime: millis(now.uptime).saturating_sub(age) }
    }

    pub(super) fn age(self, now: Moment) -> Duration {
        let age = millis(now.uptime).saturating_sub(self.uptime);
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }

    /// The uptime at which it will be this old; zero if that was before the process began.
    pub(super) fn uptime_after(self, age: Duration) -> Duration {
        Duration::from_millis(u64::try_from(self.uptime.saturating_add(millis(age))).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_mark_has_its_age_unless_it_lies_ahead() {
        let now = Moment { wall: Timestamp::from_secs(1000), uptime: Duration::from_secs(3) };
        let cases = [(990, 10, 0), (1000, 0, 23), (5000, 0, 23)];
        for (stored, age, after_20s) in cases {
            let mark = Mark::restored(Timestamp::from_secs(stored), now);
            assert_eq!(mark.age(now), Duration::from_secs(age));
            let due = mark.uptime_after(Duration::from_secs(20)).as_secs();
            assert_eq!(due, if after_20s == 0 { 13 } else { after_20s });
        }
    }
}

use std::{fmt, num::NonZero, time::Duration};

use jiff::{
    ToSpan, Zoned,
    civil::{Date, Time},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

/// A point in wall time: milliseconds since the Unix epoch, negative before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Timestamp(
    /// Milliseconds since the earliest `i64`. A time that may be absent needs no further bytes: there are many users.
    NonZero<u64>,
);

impl Timestamp {
    /// The earliest possible value becomes the one after it.
    pub const fn from_millis(millis: i64) -> Self {
        match NonZero::new(millis.cast_unsigned() ^ SIGN) {
            Some(since) => Timestamp(since),
            None => Timestamp(NonZero::<u64>::MIN),
        }
    }

    /// Seconds since the epoch; values out of range are clamped.
    pub const fn from_secs(secs: i64) -> Self {
        Timestamp::from_millis(secs.saturating_mul(1000))
    }

    pub const fn as_millis(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.as_millis().div_euclid(1000)
    }

    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.saturating_add_millis(millis(duration))
    }

    /// Seconds with their fraction, as metrics have them.
    #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years around the epoch")]
    pub fn as_secs_f64(self) -> f64 {
        self.as_millis() as f64 / 1000.0
    }

    /// Adds milliseconds, which may be negative, like the difference of two clocks.
    #[must_use]
    pub const fn saturating_add_millis(self, millis: i64) -> Self {
        Timestamp::from_millis(self.as_millis().saturating_add(millis))
    }

    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Timestamp::from_millis(self.as_millis().saturating_sub(millis(duration)))
    }

    /// The local time in a zone; absent beyond the calendar.
    pub fn local(self, zone: &TimeZone) -> Option<Zoned> {
        Some(jiff::Timestamp::from_millisecond(self.as_millis()).ok()?.to_zoned(zone.clone()))
    }

    /// A local time of a day, in minutes since midnight. One that the day has twice is the first of both, and one that it leaves
    /// out is as much later as the clocks go forward. Absent beyond the calendar.
    pub fn of_local(day: Date, minutes: u16, zone: &TimeZone) -> Option<Self> {
        let local = day.to_datetime(Time::midnight()).checked_add(i64::from(minutes).minutes()).ok()?;
        let instant = zone.to_ambiguous_timestamp(local).compatible().ok()?;
        Some(Timestamp::from_millis(instant.as_millisecond()))
    }

    /// A time that a test writes down.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    /// Time since `earlier`; zero if that is in the future.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.get().saturating_sub(earlier.0.get()))
    }
}

/// The sign's bit. Without it, the order of unsigned numbers is that of signed ones.
const SIGN: u64 = 1 << 63;

impl Default for Timestamp {
    fn default() -> Self {
        Timestamp::from_millis(0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_millis()).finish()
    }
}

impl From<i64> for Timestamp {
    fn from(millis: i64) -> Self {
        Timestamp::from_millis(millis)
    }
}

impl From<Timestamp> for i64 {
    fn from(time: Timestamp) -> i64 {
        time.as_millis()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A point in time by both clocks: wall time to show, and uptime to compute ages with. People and NTP set wall clocks,
/// and ages must not jump then. Uptime starts long before the daemon, which leaves room for events of earlier
/// processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    pub wall: Timestamp,
    pub uptime: Duration,
}

impl Moment {
    /// The moment for a wall time that an earlier process stored, with the same age by either clock. A time later than
    /// `now` was stored before the clock was set back, and becomes `now`.
    pub fn restored(wall: Timestamp, now: Moment) -> Self {
        let age = now.wall.since(wall);
        Moment { wall: wall.min(now.wall), uptime: now.uptime.saturating_sub(age) }
    }

    /// The moment that is later by `time`, if the wall clock is not set meanwhile.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Moment { wall: self.wall.saturating_add(time), uptime: self.uptime.saturating_add(time) }
    }

    /// The earlier moment at this uptime, if the wall clock was not set meanwhile; `self` if that is not earlier.
    #[must_use]
    pub fn back_to(self, uptime: Duration) -> Self {
        let age = self.uptime.saturating_sub(uptime);
        Moment { wall: self.wall.saturating_sub(age), uptime: self.uptime - age }
    }

    /// The same moment by the wall clock as it is `now`, which may have been set by more than a minute since.
    #[must_use]
    pub fn as_of(self, now: Moment) -> Self {
        let by_uptime = now.back_to(self.uptime);
        let differs = by_uptime.wall.since(self.wall).max(self.wall.since(by_uptime.wall));
        if differs > Duration::from_secs(60) { by_uptime } else { self }
    }

    /// Time since `earlier`, by uptime.
    pub fn since(self, earlier: Moment) -> Duration {
        self.uptime.saturating_sub(earlier.uptime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_value_and_order() {
        let millis = [i64::MIN + 1, -1000, -1, 0, 1, 1_795_000_000_000, i64::MAX];
        let times = millis.map(Timestamp::from_millis);
        assert_eq!(times.map(Timestamp::as_millis), millis);
        assert!(times.is_sorted());
        assert_eq!(Timestamp::from_millis(i64::MIN), times[0]);
        assert_eq!(serde_json::to_string(&times[..3]).unwrap(), format!("[{},-1000,-1]", i64::MIN + 1));
        assert_eq!(serde_json::from_str::<Timestamp>("-1000").unwrap(), times[1]);
        assert_eq!(times[6].since(times[0]), Duration::from_millis(u64::MAX - 1));
        assert_eq!(times[3].since(times[4]), Duration::ZERO);
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
    }

    #[test]
    fn a_moment_follows_a_wall_clock_that_was_set() {
        let at =
            |wall, uptime| Moment { wall: Timestamp::from_secs(wall), uptime: Duration::from_secs(uptime) };
        // Then, now, and then by the clock of now.
        for (then, now, seen) in [
            (at(1000, 500), at(1100, 600), at(1000, 500)),
            (at(1000, 500), at(1159, 600), at(1000, 500)),
            (at(1000, 500), at(1161, 600), at(1061, 500)),
            (at(0, 500), at(1_795_000_100, 600), at(1_795_000_000, 500)),
            (at(1_795_000_000, 500), at(100, 600), at(0, 500)),
        ] {
            assert_eq!(then.as_of(now), seen);
        }
    }

    #[test]
    fn a_restored_moment_is_as_long_ago_by_either_clock_unless_it_lies_ahead() {
        let now = Moment { wall: Timestamp::from_secs(1000), uptime: Duration::from_secs(500) };
        // Stored time, its age, and what is left of 20 s.
        for (stored, age, left) in [(990, 10, 10), (900, 100, 0), (1000, 0, 20), (5000, 0, 20)] {
            let moment = Moment::restored(Timestamp::from_secs(stored), now);
            assert_eq!(now.since(moment), Duration::from_secs(age), "{stored}");
            assert_eq!(now.wall.since(moment.wall), Duration::from_secs(age), "{stored}");
            let due = moment.after(Duration::from_secs(20)).uptime;
            assert_eq!(due.saturating_sub(now.uptime), Duration::from_secs(left), "{stored}");
        }
    }
}

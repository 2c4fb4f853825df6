//! The stored form of what durable counters hold beside counts.

use crate::model::Timestamp;

/// The first values of a row; missing ones are zero.
pub(super) fn padded<const N: usize>(values: &[u64]) -> [u64; N] {
    std::array::from_fn(|at| values.get(at).copied().unwrap_or(0))
}

/// A time since the epoch, in milliseconds.
pub(super) fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(0)
}

/// Absent: 0.
pub(super) fn of_millis(millis: u64) -> Option<Timestamp> {
    i64::try_from(millis).ok().filter(|millis| *millis > 0).map(Timestamp::from_millis)
}

/// A time since the epoch, in seconds.
pub(super) fn secs(time: Timestamp) -> u64 {
    u64::try_from(time.as_secs()).unwrap_or(0)
}

/// Absent: 0.
pub(super) fn of_secs(secs: u64) -> Option<Timestamp> {
    i64::try_from(secs).ok().filter(|secs| *secs > 0).map(Timestamp::from_secs)
}

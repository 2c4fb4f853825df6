//! What to request from a target, and how often: each system plans its own parts.

use std::time::Duration;

use crate::model::Part;

/// A part that a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub part: Part,
    pub pace: Pace,
    /// Whether reading this part means that the target is up. Exactly one part of a plan decides this: the cheapest.
    /// While the target itself fails, only this part is requested.
    pub decides_up: bool,
}

/// The pace of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Once in this many intervals.
    Every(u32),
    /// Once in this time, and at most once an interval.
    Each(Duration),
    /// A long list, read page by page within the target's load.
    Walk,
    /// Once every interval, and never later than this after the last read: for data that the target discards. A read
    /// takes it away, so only the daemon reads it, and a read that has begun is not cut short.
    Within(Duration),
}

impl Planned {
    /// A part that does not decide whether the target is up.
    pub fn new(part: Part, pace: Pace) -> Self {
        Planned { part, pace, decides_up: false }
    }

    /// Whether a read takes data away that the target does not keep.
    pub fn takes_away(&self) -> bool {
        matches!(self.pace, Pace::Within(_))
    }

    /// The part that decides whether the target is up, requested once every interval.
    pub fn deciding(part: Part) -> Self {
        Planned { part, pace: Pace::Every(1), decides_up: true }
    }
}

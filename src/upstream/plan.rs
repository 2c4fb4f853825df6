//! What a target is asked for, and how often: what each system says of its own parts.

use std::time::Duration;

use crate::model::Part;

/// A part that a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub part: Part,
    pub pace: Pace,
    /// Whether the target is up when this part can be read. Exactly one part of a plan decides that: the cheapest. While
    /// the target itself fails, it alone is asked for.
    pub decides_up: bool,
}

/// How a part is paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Once every so many intervals.
    Every(u32),
    /// A long list, read bit by bit within the target's load.
    Walk,
    /// Once every interval, and never later than this after the last read: for what the target forgets.
    Within(Duration),
}

impl Planned {
    /// A part that does not decide whether the target is up.
    pub fn new(part: Part, pace: Pace) -> Self {
        Planned { part, pace, decides_up: false }
    }

    /// The part that decides whether the target is up, asked for once every interval.
    pub fn deciding(part: Part) -> Self {
        Planned { part, pace: Pace::Every(1), decides_up: true }
    }
}

//! Steps of the wall clock, and which times can be trusted after one.

use std::time::Duration;

use crate::{
    clock,
    model::{Moment, Timestamp},
};

/// What a fetch may take between its own clock reading and ours.
const SLACK: Duration = Duration::from_secs(1);

/// Notices steps of the wall clock.
#[derive(Debug)]
pub(super) struct ClockWatch {
    pub(super) began: Moment,
    last: Moment,
    /// Just after the clock was last set.
    stepped: Option<Moment>,
}

impl ClockWatch {
    pub(super) fn new(now: Moment) -> Self {
        ClockWatch { began: now, last: now, stepped: None }
    }

    pub(super) fn look(&mut self, now: Moment) {
        if clock::step(self.last, now).is_some() {
            self.stepped = Some(now);
        }
        self.last = now;
    }

    /// Whether the wall clock shows more than an hour more or less than it would if it had not been set.
    pub(super) fn far_off(&self) -> bool {
        const FAR: i64 = 60 * 60;
        clock::step(self.began, self.last).is_some_and(|secs| secs.abs() > FAR)
    }

    /// Whether something read at this time was read by this process, and after the clock was last set.
    pub(super) fn is_recent(&self, at: Timestamp, now: Moment) -> bool {
        let since = self.stepped.map_or(self.began.wall, |stepped| stepped.wall.saturating_sub(SLACK));
        at >= since && at <= now.wall.saturating_add(SLACK)
    }

    /// Whether something read at this time may change what was judged by something read at `before`. A time that lies
    /// ahead of now was read under a clock that has been set back since, and says nothing.
    pub(super) fn follows(at: Timestamp, before: Timestamp, now: Moment) -> bool {
        let ahead = now.wall.saturating_add(SLACK);
        at <= ahead && (at >= before || before > ahead)
    }

    /// Whether the wall clock was set so lately, and is so far off, that what is over by its word may come back.
    pub(super) fn may_be_set_back(&self, within: Duration, now: Moment) -> bool {
        self.far_off() && self.stepped.is_some_and(|stepped| now.since(stepped) < within)
    }
}

use std::time::Duration;

use jiff::{Zoned, tz::TimeZone};

use crate::model::{LlmSpent, Timestamp};

/// A clock that is set back by more than this was wrong before.
const NONSENSE: Duration = Duration::from_secs(24 * 60 * 60);
/// By how much another zone can move the start of a running day or month. The next period begins later than that.
const DAY_MOVES: Duration = Duration::from_secs(12 * 60 * 60);
const MONTH_MOVES: Duration = Duration::from_secs(26 * 60 * 60);

/// When a period began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    at: Timestamp,
    /// A start that is later by no more than this is that of the same period in another zone.
    moves: Duration,
}

/// The day and the month of a zone that a time is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) day: Start,
    /// When the next day begins.
    next_day: Timestamp,
    pub(super) month: Start,
}

impl Calendar {
    pub(super) fn of(zone: &TimeZone, now: Timestamp) -> Self {
        // Beyond the years that the calendar has, each time is a period of its own.
        let (day, next_day, month) = Self::found(zone, now).unwrap_or((now, now, now));
        let (day, month) = (Start { at: day, moves: DAY_MOVES }, Start { at: month, moves: MONTH_MOVES });
        Calendar { day, next_day, month }
    }

    /// When the day began, when the next one begins, and when the month began.
    fn found(zone: &TimeZone, now: Timestamp) -> Option<(Timestamp, Timestamp, Timestamp)> {
        let now = now.local(zone)?;
        let start = |of: Zoned| {
            let start = of.start_of_day().ok()?;
            Some(Timestamp::from_secs(start.timestamp().as_second()))
        };
        let (next_day, month) = (start(now.tomorrow().ok()?)?, start(now.first_of_month().ok()?)?);
        Some((start(now)?, next_day, month))
    }

    pub(super) fn has(&self, now: Timestamp) -> bool {
        (self.day.at..self.next_day).contains(&now)
    }
}

/// The sums of the period that runs at `now`, which by the clock began at `start`.
///
/// A period ends when a later one begins. If the clock is set back into an earlier period, the later one goes on, so that
/// its sums are not lost, and all that is used counts in it. If it began more than a day ahead, the clock was wrong, and
/// the period of the clock begins with nothing.
pub(super) fn running(spent: LlmSpent, start: Start, now: Timestamp) -> LlmSpent {
    let has_ended = start.at.since(spent.since) > start.moves;
    let is_nonsense = spent.since > now.saturating_add(NONSENSE);
    if has_ended || is_nonsense { LlmSpent { since: start.at, ..LlmSpent::default() } } else { spent }
}

/// Adds what was used at the time `at`. What was used before the period began belongs to one that has ended, and is left
/// out.
pub(super) fn add_to(
    spent: &mut LlmSpent,
    (start, at, now): (Start, Timestamp, Timestamp),
    (tokens, cost_nanos): (u64, u64),
) {
    *spent = running(*spent, start, now);
    if at >= start.at {
        spent.tokens = spent.tokens.saturating_add(tokens);
        spent.cost_nanos = spent.cost_nanos.saturating_add(cost_nanos);
    }
}

use std::{num::NonZeroU16, time::Duration};

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The system sets a user's `used` back to 0 when so many times 24 hours have passed since it last did so, or since the user was
/// created (Marzban: `data_limit_reset_strategy`). It does not say when that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resets {
    pub days: NonZeroU16,
    /// When it does so next; absent: no period is known to have begun.
    pub next: Option<Timestamp>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// So much later than it is due may a reset be: Marzban looks once an hour.
const LATE: Duration = Duration::from_secs(2 * 60 * 60);

impl Resets {
    /// Of periods of which one `began` then, if that is known.
    pub fn new(days: NonZeroU16, began: Option<Timestamp>, now: Timestamp) -> Self {
        let resets = Resets { days, next: None };
        Resets { next: began.map(|began| resets.end(began, now)), ..resets }
    }

    /// The same after another reading at `now`, of a user of whom this was `known` before, and whose use fell after a time.
    #[must_use]
    pub fn after(self, known: Option<Resets>, fell_after: Option<Timestamp>, now: Timestamp) -> Self {
        if let Some(began) = fell_after {
            return Resets { next: Some(self.end(began, now)), ..self };
        }
        let known = known.filter(|known| known.days == self.days).and_then(|known| known.next);
        let next = || Some(self.end(known?.saturating_sub(self.period()), now));
        Resets { next: self.next.or_else(next), ..self }
    }

    fn period(self) -> Duration {
        DAY * u32::from(self.days.get())
    }

    /// The end of the period that is running, if one began then.
    fn end(self, began: Timestamp, now: Timestamp) -> Timestamp {
        let passed = now.saturating_sub(LATE).since(began).as_secs() / self.period().as_secs();
        let periods = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1);
        began.saturating_add(self.period().saturating_mul(periods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU16 = NonZeroU16::new(1).unwrap();
    const SEVEN: NonZeroU16 = NonZeroU16::new(7).unwrap();

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_secs(1_795_000_000 + hours * 3600)
    }

    #[test]
    fn periods_follow_each_other() {
        for (now, expected) in [(0, 24), (23, 24), (25, 24), (26, 48), (49, 48), (24 * 365 + 2, 24 * 366)] {
            let resets = Resets::new(ONE, Some(at(0)), at(now));
            assert_eq!(resets.next, Some(at(expected)), "{now}");
        }
        assert_eq!(Resets::new(ONE, None, at(5)).next, None);
        // Created in the future, by another clock.
        assert_eq!(Resets::new(ONE, Some(at(9)), at(5)).next, Some(at(33)));
    }

    #[test]
    fn a_period_begins_when_the_use_falls() {
        let none = Resets { days: ONE, next: None };
        let known = Resets { next: Some(at(30)), ..none };
        let week = Resets { days: SEVEN, ..none };
        for (read, before, fell, now, expected) in [
            (none, None, None, 10, None),
            (none, None, Some(9), 10, Some(33)),
            (none, Some(known), None, 10, Some(30)),
            (none, Some(known), Some(27), 28, Some(51)),
            // Nothing was read for three days.
            (none, Some(known), Some(27), 102, Some(123)),
            // It is late, or nothing was used meanwhile.
            (none, Some(known), None, 31, Some(30)),
            (none, Some(known), None, 33, Some(54)),
            // The panel has never reset it.
            (known, Some(none), None, 10, Some(30)),
            (week, Some(known), None, 10, None),
        ] {
            let after = read.after(before, fell.map(at), at(now));
            assert_eq!(after, Resets { next: expected.map(at), ..read }, "{before:?} {fell:?} {now}");
        }
    }
}

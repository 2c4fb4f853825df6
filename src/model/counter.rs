use serde::{Deserialize, Serialize};

/// A count that the panel keeps and may reset.
///
/// Prometheus treats any fall as a reset and would add the whole value again, so a fall counts only after two polls:
/// some panels dip for a moment while they sync (3x-ui with several nodes does).
// Packed, because there are many users: otherwise, padding would follow the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(Rust, packed(2))]
pub struct Counter {
    value: u64,
    falling: bool,
    /// The last answer did not have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unread: bool,
}

impl Counter {
    /// A counter that starts at this reading.
    pub fn new(reading: u64) -> Self {
        Counter { value: reading, falling: false, unread: false }
    }

    /// The value known last.
    pub fn value(self) -> u64 {
        self.value
    }

    /// The published value; absent: the last answer did not have it.
    pub fn read(self) -> Option<u64> {
        (!self.unread).then_some(self.value)
    }

    /// Whether the last reading was lower than the value, which is not believed yet.
    pub(super) fn is_falling(self) -> bool {
        self.falling
    }

    /// The counter after one more reading.
    #[must_use]
    pub fn then(self, reading: u64) -> Self {
        if reading >= self.value || self.falling {
            Counter::new(reading)
        } else {
            Counter { value: self.value, falling: true, unread: false }
        }
    }

    /// The sum of the counters that a system has; absent: it has none, or the last answer lacks one of them, so that the
    /// sum of the others would look like something that moved.
    pub(super) fn sum(counters: [Option<Counter>; 2]) -> Option<u64> {
        let mut known = counters.into_iter().flatten().peekable();
        known.peek()?;
        known.try_fold(0_u64, |sum, counter| Some(sum.saturating_add(counter.read()?)))
    }

    /// A counter that a system may not have, after one more answer. One that is missing from an answer goes on with the
    /// next.
    pub(super) fn go_on(known: Option<Counter>, reading: Option<u64>) -> Option<Counter> {
        match (known, reading) {
            (Some(counter), Some(reading)) => Some(counter.then(reading)),
            (Some(counter), None) => Some(Counter { unread: true, ..counter }),
            (None, reading) => reading.map(Counter::new),
        }
    }
}

/// A total of our own of a count that is none: what the count has grown since the first reading, added to that reading.
/// A count that falls and goes on (an interface that goes away, a reboot) does not reset it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    total: u64,
    last: u64,
}

impl Total {
    /// A total that starts at this reading.
    pub fn new(reading: u64) -> Self {
        Total { total: reading, last: reading }
    }

    pub fn value(self) -> u64 {
        self.total
    }

    /// The total after one more reading.
    #[must_use]
    pub fn then(self, reading: u64) -> Self {
        let grown = reading.saturating_sub(self.last);
        Total { total: self.total.saturating_add(grown), last: reading }
    }

    /// A total that goes on with the next reading if this one is absent.
    pub(super) fn go_on(known: Option<Total>, reading: Option<u64>) -> Option<Total> {
        match (known, reading) {
            (Some(known), Some(reading)) => Some(known.then(reading)),
            (known, reading) => known.or(reading.map(Total::new)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_goes_on_after_an_answer_without_it() {
        let mut counter = None;
        let mut seen = Vec::new();
        for reading in [None, Some(5), None, Some(7), Some(3), None, Some(4)] {
            counter = Counter::go_on(counter, reading);
            seen.push(counter.and_then(Counter::read));
        }
        assert_eq!(seen, [None, Some(5), None, Some(7), Some(7), None, Some(4)]);
    }

    #[test]
    fn a_fall_is_published_only_when_it_holds() {
        let cases: [(&[u64], &[u64]); 4] = [
            (&[5, 7, 7, 9], &[5, 7, 7, 9]),
            (&[100, 3, 101], &[100, 100, 101]),
            (&[100, 3, 4, 5], &[100, 100, 4, 5]),
            (&[100, 3, 100, 3, 100], &[100, 100, 100, 100, 100]),
        ];
        for (readings, published) in cases {
            let mut counter = Counter::new(readings[0]);
            let mut seen = vec![counter.value()];
            for reading in &readings[1..] {
                counter = counter.then(*reading);
                seen.push(counter.value());
            }
            assert_eq!(seen, published, "{readings:?}");
        }
    }

    #[test]
    fn a_total_grows_by_what_the_count_grows() {
        let cases = [
            ([None, Some(5), Some(7)], [None, Some(5), Some(7)]),
            ([Some(100), Some(3), Some(10)], [Some(100), Some(100), Some(107)]),
            ([Some(5), None, Some(6)], [Some(5), Some(5), Some(6)]),
            ([Some(u64::MAX), Some(0), Some(9)], [Some(u64::MAX); 3]),
        ];
        for (readings, totals) in cases {
            let mut total = None;
            let seen = readings.iter().map(|reading| {
                total = Total::go_on(total, *reading);
                total.map(Total::value)
            });
            assert_eq!(seen.collect::<Vec<_>>(), totals, "{readings:?}");
        }
    }
}

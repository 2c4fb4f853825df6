use serde::{Deserialize, Serialize};

/// A count that the panel keeps and may reset.
///
/// Prometheus treats any fall as a reset and would add the whole value again, so a fall counts only after two polls:
/// some panels dip for a moment while they sync (3x-ui with several nodes does).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    value: u64,
    falling: bool,
}

impl Counter {
    /// A counter that starts at this reading.
    pub fn new(reading: u64) -> Self {
        Counter { value: reading, falling: false }
    }

    /// The published value.
    pub fn value(self) -> u64 {
        self.value
    }

    /// The counter after one more reading.
    #[must_use]
    pub fn then(self, reading: u64) -> Self {
        if reading >= self.value || self.falling {
            Counter::new(reading)
        } else {
            Counter { value: self.value, falling: true }
        }
    }

    /// A counter that a system may not have, after one more reading.
    pub(super) fn go_on(known: Option<Counter>, reading: Option<u64>) -> Option<Counter> {
        let reading = reading?;
        Some(known.map_or_else(|| Counter::new(reading), |counter| counter.then(reading)))
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

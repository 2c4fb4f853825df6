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
}

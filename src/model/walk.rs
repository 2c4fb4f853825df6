use std::time::Duration;

use super::words::{about, count};

/// How far a walk is, which reads a long user list in many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkProgress {
    /// Rows that were read.
    pub read: usize,
    /// Rows of the list by the panel's own count, at least those that were read; absent: it does not say.
    pub size: Option<usize>,
    /// How long its requests took together.
    pub took: Duration,
    /// How long the rest takes at the present pace; absent: unknown.
    pub left: Option<Duration>,
}

impl WalkProgress {
    /// How far a walk is that has read these rows, of all if they are counted, after a request that took so long.
    /// What is left takes as long as what was read, without pauses.
    pub fn after(before: Option<Self>, (read, size): (usize, Option<usize>), took: Duration) -> Self {
        let took = before.map_or(Duration::ZERO, |before| before.took) + took;
        let rows = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        let left = size.filter(|_| read > 0).map(|size| {
            let left = rows(size.saturating_sub(read));
            (took / rows(read)).saturating_mul(left)
        });
        WalkProgress { read, size, took, left }
    }

    /// In words, e.g. `1,500 of 20,000, about 45 min to go`.
    pub fn words(&self) -> String {
        match (self.size, self.left) {
            (None, _) => format!("{} so far", count(self.read)),
            (Some(size), None) => format!("{} of {}", count(self.read), count(size)),
            (Some(size), Some(left)) => {
                format!("{} of {}, {} to go", count(self.read), count(size), about(left))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_was_read() {
        let before = WalkProgress { read: 500, size: Some(20_000), took: Duration::from_secs(6), left: None };
        for (before, rows, left) in [
            (None, (500, Some(20_000)), Some(78)),
            (Some(before), (1000, Some(20_000)), Some(152)),
            (None, (20_000, Some(20_000)), Some(0)),
            (None, (20_000, Some(10)), Some(0)),
            (None, (0, Some(20_000)), None),
            (None, (500, None), None),
        ] {
            let walk = WalkProgress::after(before, rows, Duration::from_secs(2));
            assert_eq!(walk.left, left.map(Duration::from_secs), "{rows:?}");
        }
    }

    #[test]
    fn progress_is_put_into_words() {
        let left = Some(Duration::from_secs(44 * 60));
        for (size, left, expected) in [
            (Some(20_000), left, "1,500 of 20,000, about 45 min to go"),
            (Some(20_000), None, "1,500 of 20,000"),
            (None, left, "1,500 so far"),
        ] {
            let walk = WalkProgress { read: 1500, size, took: Duration::ZERO, left };
            assert_eq!(walk.words(), expected);
        }
    }
}

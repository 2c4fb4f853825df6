//! Limits of requests.

use std::collections::VecDeque;

/// So many requests in any period of this length.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    period_ms: i64,
    taken_ms: VecDeque<i64>,
}

impl Window {
    pub(super) fn new(most: usize, period_ms: i64) -> Window {
        Window { most, period_ms, taken_ms: VecDeque::new() }
    }

    /// How many milliseconds to wait for the next request; 0: it may come now.
    pub(super) fn wait(&mut self, now_ms: i64) -> i64 {
        while self.taken_ms.front().is_some_and(|taken_ms| taken_ms + self.period_ms <= now_ms) {
            self.taken_ms.pop_front();
        }
        let oldest = self.taken_ms.front().filter(|_| self.taken_ms.len() >= self.most);
        oldest.map_or(0, |oldest_ms| oldest_ms + self.period_ms - now_ms)
    }

    /// How many more requests may come now.
    pub(super) fn left(&mut self, now_ms: i64) -> usize {
        self.wait(now_ms);
        self.most.saturating_sub(self.taken_ms.len())
    }

    /// Counts a request; `Err`: it is one too many and not counted, and this is how many milliseconds it must wait.
    pub(super) fn take(&mut self, now_ms: i64) -> Result<(), i64> {
        match self.wait(now_ms) {
            0 => {
                self.taken_ms.push_back(now_ms);
                Ok(())
            }
            wait_ms => Err(wait_ms),
        }
    }
}

/// A burst of so many requests, and one more after each pause of this length.
#[derive(Debug)]
pub(super) struct Bucket {
    most: i64,
    every_ms: i64,
    /// When the bucket is full again.
    full_ms: i64,
}

impl Bucket {
    pub(super) fn new(most: i64, every_ms: i64) -> Bucket {
        Bucket { most, every_ms, full_ms: i64::MIN }
    }

    /// As [`Window::wait`].
    pub(super) fn wait(&self, now_ms: i64) -> i64 {
        let full_ms = self.full_ms.max(now_ms) + self.every_ms;
        (full_ms - now_ms - self.most * self.every_ms).max(0)
    }

    /// As [`Window::take`].
    pub(super) fn take(&mut self, now_ms: i64) -> Result<(), i64> {
        match self.wait(now_ms) {
            0 => {
                self.full_ms = self.full_ms.max(now_ms) + self.every_ms;
                Ok(())
            }
            wait_ms => Err(wait_ms),
        }
    }
}

/// Whole seconds, rounded up.
pub(super) fn seconds(ms: i64) -> i64 {
    ms.div_euclid(1000) + i64::from(ms.rem_euclid(1000) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides() {
        let mut window = Window::new(3, 1000);
        for (now_ms, expected) in [
            (0, Ok(())),
            (0, Ok(())),
            (400, Ok(())),
            (999, Err(1)),
            (1000, Ok(())),
            (1000, Ok(())),
            (1000, Err(400)),
            (1400, Ok(())),
        ] {
            assert_eq!(window.take(now_ms), expected, "{now_ms}");
        }
        assert_eq!((window.left(1999), window.left(2000), window.left(2400)), (0, 2, 3));
    }

    #[test]
    fn a_bucket_fills_one_by_one() {
        let mut bucket = Bucket::new(2, 5000);
        for (now_ms, expected) in [
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(5000)),
            (4999, Err(1)),
            (5000, Ok(())),
            (5000, Err(5000)),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Err(5000)),
        ] {
            assert_eq!(bucket.take(now_ms), expected, "{now_ms}");
        }
        assert_eq!((seconds(1), seconds(1000), seconds(1001)), (1, 1, 2));
    }
}

//! Keeps the rates that a service allows, before it has to refuse a message.

use std::{collections::VecDeque, time::Duration};

use crate::notify::Rate;

/// When the last attempts ended, by uptime, as far back as the rates need it. A message that the service counts while an
/// attempt goes on is counted before its end, so what begins a span after that end is in another span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts(VecDeque<Duration>);

impl Attempts {
    /// After a start: the last one that is known may have been the last of as many as are allowed.
    pub(super) fn until(last: Duration, rates: &[Rate]) -> Self {
        let most = rates.iter().map(|rate| rate.most).max().unwrap_or(0);
        Attempts(std::iter::repeat_n(last, most).collect())
    }

    pub(super) fn note(&mut self, rates: &[Rate], now: Duration) {
        self.0.push_back(now);
        let most = rates.iter().map(|rate| rate.most).max().unwrap_or(0);
        self.0.drain(..self.0.len().saturating_sub(most));
    }

    /// The uptime from which on another attempt is within all rates.
    pub(super) fn next(&self, rates: &[Rate]) -> Duration {
        let nexts = rates.iter().filter_map(|rate| {
            let oldest = self.0.len().checked_sub(rate.most)?;
            self.0.get(oldest).map(|attempt| *attempt + rate.within)
        });
        nexts.max().unwrap_or_default()
    }

    /// How many attempts are within all rates if they begin now.
    pub(super) fn room(&self, rates: &[Rate], now: Duration) -> usize {
        let rooms = rates.iter().map(|rate| {
            let recent = self.0.iter().filter(|attempt| **attempt + rate.within > now).count();
            rate.most.saturating_sub(recent)
        });
        rooms.min().unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GROUP: &[Rate] =
        &[Rate { most: 1, within: SECOND }, Rate { most: 20, within: Duration::from_secs(60) }];
    const BURST: &[Rate] = &[Rate { most: 3, within: Duration::from_secs(10) }];

    /// When `count` attempts of 100 ms each begin, one after the other as soon as they may.
    fn begins(rates: &[Rate], count: usize) -> Vec<Duration> {
        let (mut attempts, mut now) = (Attempts::default(), Duration::from_secs(1000));
        let begin = now;
        let mut begins = Vec::new();
        for _ in 0..count {
            now = now.max(attempts.next(rates));
            assert!(attempts.room(rates, now) > 0);
            begins.push(now - begin);
            now += Duration::from_millis(100);
            attempts.note(rates, now);
        }
        begins
    }

    #[test]
    fn no_span_has_more_than_its_rate() {
        for rates in [GROUP, BURST] {
            let begins = begins(rates, 200);
            for rate in rates {
                for span in begins.windows(rate.most + 1) {
                    assert!(span[rate.most] - span[0] >= rate.within, "{rate:?} {span:?}");
                }
            }
        }
        // Nor does it wait longer than it must.
        let begins = begins(BURST, 7);
        let millis = |index: usize| begins[index].as_millis();
        assert_eq!([millis(2), millis(3), millis(5), millis(6)], [200, 10_100, 10_300, 20_200]);
    }

    #[test]
    fn a_start_counts_what_a_process_before_it_may_have_sent() {
        let at = Duration::from_secs;
        let attempts = Attempts::until(at(100), GROUP);
        assert_eq!((attempts.next(GROUP), attempts.room(GROUP, at(159))), (at(160), 0));
        assert_eq!(attempts.room(GROUP, at(160)), 1);
        assert_eq!(Attempts::until(at(100), &[]), Attempts::default());
    }

    #[test]
    fn room_is_what_is_left_of_the_smallest_rate() {
        let mut attempts = Attempts::default();
        let at = Duration::from_secs;
        assert_eq!((attempts.room(&[], at(0)), attempts.room(BURST, at(0))), (usize::MAX, 3));
        attempts.note(BURST, at(100));
        attempts.note(BURST, at(101));
        assert_eq!((attempts.room(BURST, at(101)), attempts.room(BURST, at(110))), (1, 2));
        assert_eq!(attempts.next(BURST), Duration::ZERO);
        attempts.note(BURST, at(102));
        assert_eq!((attempts.room(BURST, at(102)), attempts.next(BURST)), (0, at(110)));
        assert_eq!(attempts.next(&[]), Duration::ZERO);
    }

    #[test]
    fn no_more_is_kept_than_the_rates_need() {
        let mut attempts = Attempts::default();
        for second in 0..1000 {
            attempts.note(BURST, Duration::from_secs(second));
            attempts.note(&[], Duration::from_secs(second));
        }
        assert!(attempts.0.is_empty());
        for second in 0..1000 {
            attempts.note(GROUP, Duration::from_secs(second));
        }
        assert_eq!(attempts.0.len(), 20);
    }
}

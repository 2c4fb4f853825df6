use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// How long to wait after this many failures in a row; after more, the last one.
const STEPS: [u64; 8] = [5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR];
/// Spreads retries of receivers that failed together. It only adds, so a receiver that is down for three days is tried
/// 25 times at most.
const JITTER: f64 = 0.1;

/// How long to wait after `failures` attempts in a row failed.
pub(super) fn delay(failures: u32) -> Duration {
    let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let seconds = STEPS.get(step).copied().unwrap_or(4 * HOUR);
    Duration::from_secs(seconds).mul_f64(1.0 + JITTER * fastrand::f64())
}

/// The longest wait. A stored wait that is longer was computed by a wrong clock.
pub(super) fn longest() -> Duration {
    Duration::from_secs(4 * HOUR).mul_f64(1.0 + JITTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_four_hours() {
        let seconds = [5, 5, 30, 120, 600, 1800, 3600, 7200, 14_400, 14_400];
        for (failures, seconds) in (0_u32..).zip(seconds) {
            let base = Duration::from_secs(seconds);
            for _ in 0..200 {
                let delay = delay(failures);
                assert!(delay >= base && delay <= base.mul_f64(1.1), "{failures}: {delay:?}");
            }
        }
        assert!(delay(u32::MAX) <= longest());
    }
}

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::super::config::web_file::RateLimit;

/// A bucket of tokens, one for each request: it holds `burst` of them, and each `interval` brings another.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: RateLimit,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        let bucket = Bucket { tokens: f64::from(limit.burst), filled: Instant::now() };
        Limiter { limit, bucket: Mutex::new(bucket) }
    }

    /// Takes a token if there is one.
    pub(super) fn allows(&self) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = bucket.filled.elapsed().as_secs_f64() / self.limit.interval.as_secs_f64();
        bucket.tokens = (bucket.tokens + gained).min(f64::from(self.limit.burst));
        bucket.filled = Instant::now();
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_one_per_interval() {
        let limiter = Limiter::new(RateLimit { interval: Duration::from_secs(2), burst: 3 });
        let allowed = || (0..5).filter(|_| limiter.allows()).count();
        assert_eq!(allowed(), 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(allowed(), 0);
        tokio::time::advance(Duration::from_millis(1100)).await;
        assert_eq!(allowed(), 1);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(allowed(), 3);
    }

    #[tokio::test]
    async fn without_a_burst_nothing_passes() {
        let limiter = Limiter::new(RateLimit { interval: Duration::from_nanos(1), burst: 0 });
        assert!(!limiter.allows());
    }
}

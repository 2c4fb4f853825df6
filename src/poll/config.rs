//! stub
use std::time::Duration;
#[derive(Clone, Debug)]
pub struct PollConfig {
    pub interval: Duration,
    pub timeout: Duration,
    pub page_timeout: Duration,
    pub stale_after: Duration,
    pub load: f64,
    pub users_interval: UsersInterval,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsersInterval {
    Auto,
    Every(Duration),
}
impl Default for PollConfig {
    fn default() -> Self {
        PollConfig {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(20),
            page_timeout: Duration::from_secs(60),
            stale_after: Duration::from_secs(600),
            load: 0.1,
            users_interval: UsersInterval::Auto,
        }
    }
}

//! A target that answers from a script, in tokio's time, for tests that pause it.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    model::{Moment, Part},
    upstream::{FetchError, Step},
};

/// How long an answer takes, and what it is.
pub type Script = Box<dyn FnMut(Part, Moment) -> (Duration, Result<Step, FetchError>) + Send>;

/// Which part was asked for, and when, by uptime.
pub type Log = Arc<Mutex<Vec<(Part, Duration)>>>;

pub struct Scripted {
    pub parts: Vec<Part>,
    pub answer: Script,
    pub log: Log,
    pub requests: u64,
}

impl Scripted {
    pub(super) fn parts(&self) -> Vec<Part> {
        self.parts.clone()
    }

    pub(super) async fn read(&mut self, part: Part, now: Moment) -> Result<Step, FetchError> {
        self.log.lock().unwrap().push((part, now.uptime));
        self.requests += 1;
        let (takes, answer) = (self.answer)(part, now);
        tokio::time::sleep(takes).await;
        answer
    }

    pub(super) fn take_requests(&mut self) -> u64 {
        std::mem::take(&mut self.requests)
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

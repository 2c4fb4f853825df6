use std::time::Duration;

use crate::model::{CounterChange, Fact, Part};

/// Time limits for a target's answers.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For one request.
    pub request: Duration,
    /// For one page of a long list.
    pub page: Duration,
}

/// The result of one request, or of a few that belong together.
#[derive(Debug, Default)]
pub struct Step {
    /// The parts that this step completes. A long list that is not among them has more to read.
    pub done: Vec<Part>,
    pub facts: Vec<Fact>,
    /// What must survive a restart, all of it or nothing. It is on disk before the next request to the target.
    pub durable: Vec<CounterChange>,
}

impl Step {
    /// `part` is complete, and these are its facts.
    pub fn done(part: Part, facts: Vec<Fact>) -> Self {
        Step { done: vec![part], facts, durable: Vec::new() }
    }

    /// There is more to read.
    pub fn more(facts: Vec<Fact>) -> Self {
        Step { facts, ..Step::default() }
    }
}

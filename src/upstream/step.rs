use std::time::Duration;

use crate::model::{CounterChange, Fact, Part};

/// How long a target may take over an answer.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// One request.
    pub request: Duration,
    /// One page of a long list.
    pub page: Duration,
}

/// What one request, or the few that belong together, brought.
#[derive(Debug, Default)]
pub struct Step {
    /// The parts that are read to their end by it. A long list that is not among them has more to read.
    pub done: Vec<Part>,
    pub facts: Vec<Fact>,
    /// What must outlive the process. It is on the disk before the target is asked for anything else.
    pub durable: Vec<CounterChange>,
}

impl Step {
    /// `part` is read to its end, and this is what it says.
    pub fn done(part: Part, facts: Vec<Fact>) -> Self {
        Step { done: vec![part], facts, durable: Vec::new() }
    }

    /// There is more to read.
    pub fn more(facts: Vec<Fact>) -> Self {
        Step { facts, ..Step::default() }
    }
}

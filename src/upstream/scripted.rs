//! A target that answers from a script, in tokio's time, for tests that pause it.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    clock::Beat,
    model::{CounterChange, CounterFamilies, CounterRow, Fact, Moment, NamedUsers, Part, UserFacts},
    upstream::{FetchError, Notes, Planned, Step, Timeouts},
};

/// How long an answer takes, and the answer.
pub type Script = Box<dyn FnMut(Part, Moment) -> (Duration, Result<Step, FetchError>) + Send>;

/// The requested part and the uptime of each request.
pub type Log = Arc<Mutex<Vec<(Part, Duration)>>>;

pub struct Scripted {
    pub plan: Vec<Planned>,
    pub answer: Script,
    pub log: Log,
    /// How requests by name fail, if they do.
    pub by_name: Option<FetchError>,
    /// The names that were requested.
    pub named: Arc<Mutex<Vec<Vec<Arc<str>>>>>,
    /// The durable counters that were restored.
    pub resumed: Arc<Mutex<CounterFamilies>>,
    /// The part whose reads are announced by a durable row.
    pub announces: Option<Part>,
    /// Each request waits until nothing holds it.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    pub notes: Notes,
    /// Rows of its user list.
    pub size: Option<usize>,
    /// How far its walk is.
    pub walked: Option<(usize, Option<usize>)>,
    /// The time limits that were set.
    pub timeouts: Option<Timeouts>,
    pub beat: Beat,
}

impl Scripted {
    pub(super) fn announce(&self, part: Part) -> Vec<CounterChange> {
        let row = CounterRow { labels: "begun".to_owned(), values: vec![1] };
        let change = CounterChange { family: "announced".to_owned(), rows: vec![row], gone: Vec::new() };
        self.announces.filter(|announced| *announced == part).map(|_| change).into_iter().collect()
    }

    pub(super) async fn read(&mut self, part: Part, now: Moment) -> Result<Step, FetchError> {
        self.log.lock().unwrap().push((part, now.uptime));
        self.notes.requests += 1;
        let (takes, answer) = (self.answer)(part, now);
        self.beat.within(takes);
        tokio::time::sleep(takes).await;
        for fact in answer.iter().flat_map(|step| &step.facts) {
            let (read, size) = self.walked.unwrap_or_default();
            self.walked = match fact {
                Fact::Users(UserFacts::Page(page)) => Some((read + page.len(), size.or(self.size))),
                Fact::Users(UserFacts::WalkEnd(_)) => None,
                _ => continue,
            };
        }
        answer
    }

    /// Answers by name from the script's answer to [`Part::Users`], which must be a page.
    pub(super) async fn read_named(
        &mut self,
        names: &[Arc<str>],
        now: Moment,
    ) -> Result<NamedUsers, FetchError> {
        self.named.lock().unwrap().push(names.to_vec());
        if let Some(err) = &self.by_name {
            return Err(err.clone());
        }
        let facts = self.read(Part::Users, now).await?.facts;
        let found = facts.into_iter().find_map(|fact| match fact {
            Fact::Users(UserFacts::Page(found)) => Some(found),
            _ => None,
        });
        let found = found.unwrap_or_default();
        let gone =
            names.iter().filter(|name| found.iter().all(|user| user.name != **name)).cloned().collect();
        Ok(NamedUsers { found, gone })
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

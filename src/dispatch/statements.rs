//! The monthly statements of one receiver: which one is due, and how far it is.

use std::{collections::BTreeMap, time::Duration};

use tracing::{info, warn};

use super::reading::{Ask, Read, Reading, WITHIN};
use crate::{
    alert::{engine::Engine, statement::Statement},
    model::{Moment, Month},
};

/// After this time, what could not be read is asked for again, and so is a month that was not read to its end.
const AGAIN: Duration = Duration::from_secs(15 * 60);

/// The months that statements were composed about last, by name.
type Done = BTreeMap<String, i32>;

/// The statements of one receiver. One at a time is read and composed.
#[derive(Debug, Default)]
pub(super) struct Statements {
    plans: Vec<Statement>,
    pub(super) reading: Reading<Read>,
    /// The uptime before which nothing is asked.
    not_before: Duration,
    /// Those about a month that was not read to its end, by name, and the uptime before which they are not asked again.
    put_off: BTreeMap<String, Duration>,
}

impl Statements {
    /// Sends these from now on. Of one that is new, the first is the next that becomes due. Returns whether `done` has changed.
    pub(super) fn plan(&mut self, plans: &[Statement], done: &mut Done, now: Moment) -> bool {
        self.plans = plans.to_vec();
        let before = done.clone();
        let is_planned = |name: &String| plans.iter().any(|plan| plan.name == *name);
        done.retain(|name, _| is_planned(name));
        self.put_off.retain(|name, _| is_planned(name));
        for plan in plans {
            if let Some(due) = plan.due(now.wall) {
                done.entry(plan.name.clone()).or_insert(due.month.number());
            }
        }
        *done != before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// Whether one can be composed; if not, the uptime at which to look again. Asks what it needs. `done` may be corrected.
    pub(super) fn look(
        &mut self,
        (receiver, engine): (&str, &Engine),
        done: &mut Done,
        asks: &mut Vec<Ask>,
        now: Moment,
    ) -> Result<(), Duration> {
        let (plan, month) = match self.due(engine, done, now) {
            Ok((plan, month)) => (plan.clone(), month),
            Err(next) => {
                self.reading = Reading::Unasked;
                return Err(next);
            }
        };
        match &self.reading {
            Reading::Ended(Some(read)) if read.name == plan.name && read.month == month => {
                let is_whole = read.used.as_ref().is_none_or(|used| used.unread_since.is_none());
                if is_whole || !plan.can_wait(month, now.wall) {
                    return Ok(());
                }
                self.reading = Reading::Unasked;
                if self.put_off.insert(plan.name.clone(), now.uptime + AGAIN).is_none() {
                    info!(
                        receiver,
                        statement = plan.name,
                        "the statement waits: {month} was not read to its end"
                    );
                }
                // Another one may be due.
                return self.look((receiver, engine), done, asks, now);
            }
            Reading::Until(until) if *until > now.uptime => return Err(*until),
            Reading::Until(_) | Reading::Ended(None) => {
                warn!(receiver, statement = plan.name, "the statement waits: what was used cannot be read");
                (self.reading, self.not_before) = (Reading::Unasked, now.uptime + AGAIN);
            }
            Reading::Unasked | Reading::Ended(Some(_)) => {}
        }
        if self.not_before > now.uptime {
            return Err(self.not_before);
        }
        let Some(ask) = engine.ask_statement(&plan, month) else { return Err(Duration::MAX) };
        asks.push(Ask::Statement(receiver.to_owned(), ask));
        let until = now.uptime + WITHIN;
        self.reading = Reading::Until(until);
        Err(until)
    }

    /// The first one that is due, and the month that it is about; if there is none, the uptime of the next.
    fn due(&self, engine: &Engine, done: &mut Done, now: Moment) -> Result<(&Statement, Month), Duration> {
        let mut next = Duration::MAX;
        for plan in &self.plans {
            let Some(due) = plan.due(now.wall) else { continue };
            let last = done.entry(plan.name.clone()).or_insert(due.month.number());
            if *last > due.month.plus(1).number() {
                // The clock was far ahead. One that is a month ahead of it stands: the clock may be set back over a border.
                *last = due.month.number();
            }
            if *last < due.month.number() && engine.has_target(&plan.target) {
                match self.put_off.get(&plan.name).filter(|until| **until > now.uptime) {
                    Some(until) => next = next.min(*until),
                    None => return Ok((plan, due.month)),
                }
            }
            next = next.min(now.uptime.saturating_add(due.next.since(now.wall)));
        }
        Err(next)
    }

    /// What was read for the statement that is due, which is done with it.
    pub(super) fn take(&mut self, done: &mut Done) -> Option<(Statement, Read)> {
        let read = self.reading.take()?;
        let plan = self.plans.iter().find(|plan| plan.name == read.name)?;
        self.put_off.remove(&read.name);
        done.insert(read.name.clone(), read.month.number());
        Some((plan.clone(), read))
    }
}

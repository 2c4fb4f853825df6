//! The monthly statement: what the users of a target, or those of one admin, used in a month. [`AskStatement::read`] reads
//! the history of use, and [`notice`] says it.

mod content;
mod time;
mod words;

use std::collections::BTreeMap;

pub use self::{
    content::{AskStatement, Used},
    time::Due,
};
use super::words::Pseudonym;
use crate::{
    model::{Enclosure, Month, Notice, Timestamp},
    wording::Voice,
};

use jiff::tz::TimeZone;

const REASON: &str = "monthly statement";

/// `[statement.NAME]`, as its receiver sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub name: String,
    pub target: String,
    /// Absent: all users of the target.
    pub admin: Option<String>,
    /// Addresses; empty: those of the receiver.
    pub to: Vec<String>,
    /// The day of the month, from 1 to 28.
    pub day: i8,
    /// Local time, in minutes of the day.
    pub at: u16,
    pub zone: TimeZone,
}

/// The message of a statement about `month`.
pub fn notice(
    statement: &Statement,
    (receiver, voice): (&str, &Voice),
    month: Month,
    used: &Used,
    pseudonym: Option<&Pseudonym>,
    now: Timestamp,
) -> Notice {
    let Statement { name, to, .. } = statement;
    let file = format!("{name}-{month}.csv");
    let digest = words::statement(statement, month, used, &file, pseudonym, voice);
    let csv = words::csv(used, pseudonym);
    Notice {
        id: Notice::new_id(),
        receiver: receiver.to_owned(),
        group: format!("statement {name}"),
        group_labels: BTreeMap::new(),
        reason: REASON.to_owned(),
        digest: Some(digest),
        enclosure: Some(Enclosure { to: to.clone(), file, csv }),
        created_at: now,
        ..Notice::default()
    }
}

#[cfg(test)]
mod tests;

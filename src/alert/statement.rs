//! The monthly statement: what the users of a target, or those of one admin, used in a month. [`AskStatement::read`] reads
//! the history of use, and [`notice`] says it.

mod content;
mod time;
mod words;

use std::collections::BTreeMap;

pub use self::{
    content::{AskStatement, Used},
    time::{Due, Statement},
};
use super::words::Pseudonym;
use crate::{
    model::{Enclosure, Month, Notice, Timestamp},
    wording::Voice,
};

const REASON: &str = "monthly statement";

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

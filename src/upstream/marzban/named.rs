//! Users named in the configuration, whose traffic by node is counted.

use super::{convert::NodeKey, hours::Hours};
use crate::model::CounterRow;

/// A user named in the configuration.
#[derive(Debug)]
pub(super) struct NamedUser {
    pub(super) name: String,
    pub(super) hours: Hours<NodeKey, 1>,
    pub(super) totals: Vec<(NodeKey, [u64; 1])>,
}

impl NamedUser {
    pub(super) fn new(name: &str) -> Self {
        NamedUser { name: name.to_owned(), hours: Hours::new(), totals: Vec::new() }
    }

    /// The family of the user's durable counters.
    pub(super) fn family(&self) -> String {
        format!("user_hours/{}", self.name)
    }

    /// Restores durable counters.
    pub(super) fn resume(&mut self, rows: &[CounterRow]) {
        self.hours = Hours::restored(rows);
        self.totals = self.hours.totals();
    }
}

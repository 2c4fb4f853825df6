//! What the harness must know of a system. A later system joins with a description and a test.

use std::sync::Arc;

use proxymeter::upstream::Upstream;
use serde_json::Value;

use crate::common::server::{Answer, Request};

pub(super) struct System {
    pub(super) name: &'static str,
    /// A new client for the system at a URL.
    pub(super) client: fn(&str) -> Upstream,
    /// The system as it was recorded.
    pub(super) panel: Arc<dyn Fn(&Request) -> Answer + Send + Sync>,
    /// The requests whose answers are mutated, with the login first.
    pub(super) polled: Vec<Polled>,
    /// The paths of those from which counters are made.
    pub(super) counters: Vec<&'static str>,
    /// What the client also asks for, and the system does not have.
    pub(super) absent: Vec<&'static str>,
}

impl System {
    /// The position of the first request that is such.
    pub(super) fn at(&self, is_such: impl Fn(&Polled) -> bool) -> Option<usize> {
        self.polled.iter().position(is_such)
    }
}

/// A request of the client. One that has rows of two sorts is there twice, with the rows of each.
pub(super) struct Polled {
    pub(super) path: &'static str,
    pub(super) weight: Weight,
    pub(super) body: Value,
    /// Of the recorded answer.
    pub(super) headers: Vec<(String, String)>,
    pub(super) rows: Option<Rows>,
    /// Fields that say what the rest of their row, or of other answers, means.
    pub(super) decides: &'static [&'static str],
}

/// What depends on an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Everything, and all that matters in the answer is this field.
    Login(&'static str),
    /// Everything depends on whether it comes.
    Deciding,
    /// Its own part.
    Part,
}

/// The rows of an answer: the elements of a list or the values of an object.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// JSON pointer; empty: the answer itself.
    pub(super) at: &'static str,
    /// The label by which series name the row.
    pub(super) label: &'static str,
    /// The fields that identify a row; none: its key does.
    pub(super) identity: &'static [&'static str],
    /// Fields in whose absence another one counts. An unreadable one may cost a few series of the row.
    pub(super) replaced: &'static [&'static str],
    /// The value of the label, by the row's key or position and the row.
    pub(super) name: fn(&str, &Value) -> String,
    /// Rows of another sort that are in a row. Its fields concern them too.
    pub(super) inner: Option<Inner>,
}

/// Rows in rows.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    /// The field of a row that lists them.
    pub(super) at: &'static str,
    pub(super) label: &'static str,
    /// Those in a row.
    pub(super) names: fn(&Value) -> Vec<String>,
}

impl Polled {
    /// Whether this is the request. Later pages of a list are answered from the recording.
    pub(super) fn is(&self, request: &Request) -> bool {
        request.path() == self.path && request.number("offset").unwrap_or(0) == 0
    }

    /// The object that an answer is wrapped in says whether it is one, and has it in this field.
    pub(super) fn wrapped(&self) -> Option<&Value> {
        self.body.get("obj").filter(|_| self.body.get("success").is_some())
    }

    /// Each row: its key or position, and itself.
    pub(super) fn rows(&self) -> Vec<(String, &Value)> {
        match self.rows.and_then(|rows| self.body.pointer(rows.at)) {
            Some(Value::Array(rows)) => {
                rows.iter().enumerate().map(|(at, row)| (at.to_string(), row)).collect()
            }
            Some(Value::Object(rows)) => rows.iter().map(|(key, row)| (key.clone(), row)).collect(),
            _ => Vec::new(),
        }
    }
}

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
    /// What the client also asks for, and the system does not have.
    pub(super) absent: Vec<&'static str>,
}

/// A request of the client.
pub(super) struct Polled {
    pub(super) path: &'static str,
    pub(super) weight: Weight,
    pub(super) body: Value,
    /// Of the recorded answer.
    pub(super) headers: Vec<(String, String)>,
    pub(super) rows: Option<Rows>,
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
    /// The value of the label, by the row's key or position and the row.
    pub(super) name: fn(&str, &Value) -> String,
}

impl Polled {
    /// Whether this is the request. Later pages of a list are answered from the recording.
    pub(super) fn is(&self, request: &Request) -> bool {
        request.path() == self.path && request.number("offset").unwrap_or(0) == 0
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

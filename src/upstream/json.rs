//! Reads JSON that cannot be trusted: one odd field costs that field, and one unreadable row that row.
//!
//! A client reads an answer with [`Object`]: field by field, each as what it should be. A field that is something else is
//! absent and is recorded in [`OddFields`]. Numbers in strings are numbers, and null is absent. Every text has a cap, and
//! so has every list.

mod object;
mod page;
mod value;

use std::{cell::RefCell, collections::BTreeMap, fmt, io::Read};

use serde_json::value::RawValue;

pub use self::{
    object::{Lacking, Object, Rows, rows},
    page::page,
};
use crate::http::Body;

/// The longest name or key of a row, in bytes. A row with a longer one is left out: a cut name could be another row's.
pub const IDENTITY: usize = 1024;
/// The longest other text, in bytes. A longer one is cut.
pub const TEXT: usize = 1024;
/// The most rows that are kept of a list other than that of the users. Large panels have some hundred nodes.
pub const ROWS: usize = 2000;

/// A field that was not what it should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OddField {
    /// What has the field, e.g. `system`.
    pub object: &'static str,
    pub field: &'static str,
    found: &'static str,
    expected: &'static str,
}

impl fmt::Display for OddField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OddField { object, field, found, expected } = self;
        write!(f, "{object}.{field}: {found} where {expected} was expected")
    }
}

/// The odd fields of an answer, and how often each occurred.
#[derive(Debug, Default)]
pub struct OddFields(RefCell<BTreeMap<OddField, u64>>);

impl OddFields {
    fn add(&self, field: OddField, times: u64) {
        *self.0.borrow_mut().entry(field).or_default() += times;
    }

    /// Adds those of another answer.
    pub fn extend(&self, other: OddFields) {
        for (field, times) in other.0.into_inner() {
            self.add(field, times);
        }
    }

    /// The fields since the last call.
    pub fn take(&self) -> BTreeMap<OddField, u64> {
        self.0.take()
    }
}

/// Decodes an answer that is one JSON value. Bytes that are not UTF-8 cost the characters that they are in.
///
/// # Errors
/// When it is not one, or more follows.
pub fn document(body: Body) -> serde_json::Result<Box<RawValue>> {
    let mut bytes = Vec::new();
    body.buffered().and_then(|mut body| body.read_to_end(&mut bytes)).map_err(serde_json::Error::io)?;
    let text =
        String::from_utf8(bytes).unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned());
    serde_json::from_str(&text)
}

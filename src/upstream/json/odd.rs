//! Fields that are not what they should be.

use std::{cell::RefCell, collections::BTreeMap, fmt};

use super::value::kind;

/// A field that was not what it should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OddField {
    /// What has the field, e.g. `system`.
    pub object: &'static str,
    pub field: &'static str,
    pub(super) found: &'static str,
    pub(super) expected: &'static str,
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
    /// Records that a field is not what it should be. `text` is its value, or the start of it.
    pub fn record(&self, object: &'static str, field: &'static str, text: &str, expected: &'static str) {
        self.add(OddField { object, field, found: kind(text), expected }, 1);
    }

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

//! Fields that are not what they should be.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

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
pub struct OddFields(Mutex<BTreeMap<OddField, u64>>);

impl OddFields {
    /// Records that a field is not what it should be. `text` is its value, or the start of it.
    pub fn record(&self, object: &'static str, field: &'static str, text: &str, expected: &'static str) {
        self.add(OddField { object, field, found: kind(text), expected }, 1);
    }

    fn add(&self, field: OddField, times: u64) {
        *self.lock().entry(field).or_default() += times;
    }

    /// Adds those of another answer.
    pub fn extend(&self, other: &OddFields) {
        for (field, times) in other.take() {
            self.add(field, times);
        }
    }

    /// The fields since the last call.
    pub fn take(&self) -> BTreeMap<OddField, u64> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OddField, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

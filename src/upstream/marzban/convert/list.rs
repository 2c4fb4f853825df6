//! Lists and percentages, as both systems write them.

use crate::upstream::json::{Object, OddFields, Rows, rows};

/// A list that Marzban returns bare, and PasarGuard in an object from 2.0 on.
pub(in crate::upstream::marzban) struct List<'a> {
    rows: &'a str,
    odd: &'a OddFields,
}

impl<'a> List<'a> {
    /// The list in `answer`, which is in its field `field` if it is an object.
    pub(in crate::upstream::marzban) fn new(
        answer: &'a str,
        field: &'static str,
        odd: &'a OddFields,
    ) -> Self {
        let wrapped = Object::new(field, answer, odd).and_then(|answer| answer.raw(field));
        List { rows: wrapped.unwrap_or(answer), odd }
    }

    /// Absent: it is no list.
    pub(super) fn rows<T>(
        &self,
        name: &'static str,
        row: impl FnMut(Object<'a>) -> Option<T>,
    ) -> Option<Rows<T>> {
        rows(name, self.rows, self.odd, row)
    }
}

/// Percent as a ratio.
pub(super) fn ratio(object: &Object<'_>, field: &'static str) -> Option<f64> {
    object.number(field).map(|percent| (percent / 100.0).clamp(0.0, 1.0))
}

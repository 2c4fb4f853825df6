//! The one conversion from Marzban's and PasarGuard's answers to the model.

mod nodes;
mod system;
mod users;

use std::fmt::Write;

use serde_json::value::RawValue;

pub(super) use self::{
    nodes::{Naming, NodeKey, Readings, inbounds, node_stats, nodes, usages},
    system::{admins, core, sees_all, system},
    users::{Owners, UserRow},
};
use crate::upstream::json::{Object, OddFields, Rows, rows};

/// A window of hours as a query; without an end it reaches to now. The plus sign must be encoded, or it is read as a
/// space; panels on Python 3.10 refuse `Z`, and from 0.7 on a date without an offset is local time.
pub(super) fn window(from: i64, to: Option<i64>) -> String {
    let start = query_time(from);
    to.map_or_else(|| format!("start={start}"), |to| format!("start={start}&end={}", query_time(to)))
}

fn query_time(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%%2B00:00").to_string()
}

/// A name as one segment of a path.
pub(super) fn percent_encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(encoded, "%{byte:02X}").unwrap_or_default();
        }
    }
    encoded
}

/// A list that Marzban returns bare, and PasarGuard in an object from 2.0 on.
pub(super) struct List<'a> {
    rows: &'a RawValue,
    odd: &'a OddFields,
}

impl<'a> List<'a> {
    /// The list in `answer`, which is in its field `field` if it is an object.
    pub(super) fn new(answer: &'a RawValue, field: &'static str, odd: &'a OddFields) -> Self {
        let wrapped = Object::new(field, answer, odd).and_then(|answer| answer.raw(field));
        List { rows: wrapped.unwrap_or(answer), odd }
    }

    /// Absent: it is no list.
    fn rows<T>(&self, name: &'static str, row: impl FnMut(Object<'a>) -> Option<T>) -> Option<Rows<T>> {
        rows(name, self.rows, self.odd, row)
    }
}

/// Percent as a ratio.
fn ratio(object: &Object<'_>, field: &'static str) -> Option<f64> {
    object.number(field).map(|percent| (percent / 100.0).clamp(0.0, 1.0))
}

//! The one conversion from Marzban's and PasarGuard's answers to the model.

mod list;
mod nodes;
mod system;
mod users;

use std::fmt::Write;

pub(super) use self::{
    list::List,
    nodes::{Naming, NodeKey, Readings, inbounds, node_stats, nodes, usages},
    system::{admins, core, sees_all, system},
    users::{Owners, UserRow, addresses},
};
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

//! Reads JSON that cannot be trusted: one odd field costs that field, and one unreadable row that row.
//!
//! A client reads an answer with [`Object`]: field by field, each as what it should be. A field that is something else is
//! absent and is recorded in [`OddFields`]. Numbers in strings are numbers, and null is absent. Every text has a cap, and
//! so has every list.

mod caps;
mod object;
mod odd;
mod page;
mod scan;
mod value;

use std::io::Read;

use serde_json::value::RawValue;

pub use self::{
    caps::{IDENTITY, ROWS, TEXT},
    object::{Lacking, Object, Rows, rows},
    odd::{OddField, OddFields},
    page::{Page, each, page},
    scan::Scanner,
    value::start,
};
use crate::http::{BYTE_ORDER_MARK, Body};

/// Decodes an answer that is one JSON value. Bytes that are not UTF-8 cost the characters that they are in.
///
/// # Errors
/// When it is not one, or more follows.
pub fn document(body: Body) -> serde_json::Result<Box<RawValue>> {
    let mut bytes = Vec::new();
    body.take(u64::MAX).read_to_end(&mut bytes).map_err(serde_json::Error::io)?;
    from_bytes(&bytes)
}

/// As [`document`], of a body that is here already.
///
/// # Errors
/// When it is not one, or more follows.
pub fn from_bytes(bytes: &[u8]) -> serde_json::Result<Box<RawValue>> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    serde_json::from_str(&String::from_utf8_lossy(bytes))
}

/// True or false, as [`Object::flag`] reads it.
pub fn flag(raw: &RawValue) -> Option<bool> {
    value::flag(raw.get())
}

/// A number of bytes or items, as [`Object::count`] reads it.
pub fn count(raw: &RawValue) -> Option<u64> {
    value::count(raw.get())
}

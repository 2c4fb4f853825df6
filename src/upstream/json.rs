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
mod split;
mod value;

use serde::de::IgnoredAny;
use tokio::io::AsyncReadExt;

pub use self::{
    caps::{IDENTITY, ROWS, TEXT},
    object::{Lacking, Object, Rows, each, objects, rows},
    odd::{OddField, OddFields},
    page::{Listed, Page, page},
    scan::{Open, Scanner, at_once, lossy},
    value::{count, flag, instant, start},
};
use crate::http::{BYTE_ORDER_MARK, Body};

/// An answer that is one JSON value. Bytes that are not UTF-8 cost the characters that they are in.
///
/// # Errors
/// When it is not one, or more follows.
pub async fn document(mut body: Body) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).await.map_err(serde_json::Error::io)?;
    from_bytes(bytes)
}

/// As [`document`], of a body that is here already.
///
/// # Errors
/// When it is not one, or more follows.
pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> serde_json::Result<String> {
    let mut bytes = bytes.into();
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    let text =
        String::from_utf8(bytes).unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned());
    serde_json::from_str::<IgnoredAny>(&text)?;
    Ok(text)
}

//! The table `headers` of a target or a receiver: headers of its requests, whose values are secrets.

use reqwest::header::HeaderName;

use super::secrets;
use super::table::{Placed, Table};
use super::values::path;
use crate::secret::Secret;

/// Headers of every request, and what to write instead.
const OF_ALL: [(&str, &str); 11] = [
    ("accept-encoding", LEAVE_OUT),
    ("connection", LEAVE_OUT),
    ("content-length", LEAVE_OUT),
    ("content-type", LEAVE_OUT),
    ("expect", LEAVE_OUT),
    ("keep-alive", LEAVE_OUT),
    ("proxy-authorization", "write the user name and password into the URL of proxy"),
    ("te", LEAVE_OUT),
    ("trailer", LEAVE_OUT),
    ("transfer-encoding", LEAVE_OUT),
    ("upgrade", LEAVE_OUT),
];
const LEAVE_OUT: &str = "leave it out";

/// The most headers that a table may have. Servers refuse requests with more than about a hundred.
const MOST: usize = 32;

/// Takes `headers`. A name that ends in `_file` names the file with the header's value. `own` are headers that requests
/// have beside those of all, and what to write instead of each. They come first.
pub(super) fn read(table: &mut Table<'_, '_>, own: &[(&str, &str)]) -> Vec<(String, Secret)> {
    let reading = table.reading;
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for (index, entry) in table.free_section("headers").into_iter().enumerate() {
        let (name, is_file) = match entry.name.strip_suffix("_file") {
            Some(name) => (name, true),
            None => (&*entry.name, false),
        };
        let header = HeaderName::try_from(name).map(|name| name.as_str().to_owned());
        let advice = |header: &String| own.iter().chain(&OF_ALL).find(|(name, _)| header == name);
        let fault = match &header {
            _ if index >= MOST => Some(format!("more than {MOST} headers; leave some out")),
            Err(_) => Some("not a header's name; write one such as X-Team".to_owned()),
            Ok(header) if let Some((_, advice)) = advice(header) => {
                Some(format!("a header that every request has already; {advice}"))
            }
            Ok(header) if headers.iter().any(|(other, _)| other == header) => {
                Some("a header that is listed twice, as case makes no difference; write it once".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(fault) = fault {
            reading.refuse(&entry.place, fault);
        }
        let value = if is_file {
            let Placed { value, place } = entry.value;
            match path(&value) {
                Ok(value) => secrets::read_file(reading, Placed { value, place }).given(),
                Err(text) => {
                    reading.refuse(&place, text);
                    None
                }
            }
        } else {
            secrets::of_value(reading, entry.value)
        };
        let Some(value) = value else { continue };
        headers.extend(header.ok().map(|header| (header, value.value)));
    }
    headers
}

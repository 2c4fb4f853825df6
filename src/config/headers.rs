//! The table `headers` of a target or a receiver: headers of its requests, whose values are secrets.

use hyper::http::uri::Authority;
use reqwest::header::HeaderName;

use super::secrets;
use super::table::{Placed, Table};
use super::values::path;
use crate::secret::Secret;

/// Headers of every request, and those that ask for something else than the answer. And what to write instead.
const OF_ALL: [(&str, &str); 18] = [
    ("accept-encoding", LEAVE_OUT),
    ("connection", LEAVE_OUT),
    ("content-length", LEAVE_OUT),
    ("content-type", LEAVE_OUT),
    ("expect", LEAVE_OUT),
    ("if-match", LEAVE_OUT),
    ("if-modified-since", LEAVE_OUT),
    ("if-none-match", LEAVE_OUT),
    ("if-range", LEAVE_OUT),
    ("if-unmodified-since", LEAVE_OUT),
    ("keep-alive", LEAVE_OUT),
    ("proxy-authorization", "write the user name and password into the URL of proxy"),
    ("proxy-connection", LEAVE_OUT),
    ("range", LEAVE_OUT),
    ("te", LEAVE_OUT),
    ("trailer", LEAVE_OUT),
    ("transfer-encoding", LEAVE_OUT),
    ("upgrade", LEAVE_OUT),
];
const LEAVE_OUT: &str = "leave it out";

/// The most headers that a table may have. Servers refuse requests with more than about a hundred.
const MOST: usize = 32;
/// Bytes of a value. Servers refuse heads of more than 8 KiB.
const LONGEST: usize = 4096;

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
            Ok(header) => match advice(header) {
                Some((_, advice)) => Some(format!("a header of the exporter's own; {advice}")),
                None if headers.iter().any(|(other, _)| other == header) => Some(
                    "a header that is listed twice, as case makes no difference; write it once".to_owned(),
                ),
                None => None,
            },
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
        let secret = value.value.expose();
        if secret.len() > LONGEST {
            reading.refuse(&value.place, format!("longer than {LONGEST} bytes, which servers refuse"));
        } else if header.as_ref().is_ok_and(|header| header == "host") && secret.parse::<Authority>().is_err()
        {
            reading.refuse(
                &value.place,
                "not a host, or a host and a port; write one such as panel.example.com",
            );
        }
        headers.extend(header.ok().map(|header| (header, value.value)));
    }
    headers
}

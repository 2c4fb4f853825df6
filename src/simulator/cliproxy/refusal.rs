//! Answers without data.

use hyper::header::LOCATION;
use serde::Serialize;
use serde_json::json;

use crate::simulator::http::Answer;

const JSON: &str = "application/json; charset=utf-8";
/// From this size on a server does not say how long a body is.
const CHUNKED_FROM: usize = 2048;

/// 200 with this.
pub(super) fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => body_of(body),
        Err(_) => Answer::empty(500),
    }
}

/// 200 with a JSON body.
pub(super) fn body_of(body: Vec<u8>) -> Answer {
    if body.len() < CHUNKED_FROM {
        Answer::bytes(200, JSON, body)
    } else {
        pieces(std::iter::once(body.into()))
    }
}

/// 200 with a JSON body that is written while it is sent.
pub(super) fn pieces(pieces: impl Iterator<Item = bytes::Bytes> + Send + 'static) -> Answer {
    Answer::chunked(pieces).with(hyper::header::CONTENT_TYPE, JSON)
}

pub(super) fn error(status: u16, text: &str) -> Answer {
    let body = serde_json::to_vec(&json!({ "error": text })).unwrap_or_default();
    Answer::bytes(status, JSON, body)
}

/// Of a server that knows no such path, up to 7.1.46.
pub(super) fn not_found() -> Answer {
    Answer::bytes(404, "text/plain", "404 page not found")
}

/// To the path without its last slash.
pub(super) fn redirect(path: &str, query: &str) -> Answer {
    let place = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let body = format!("<a href=\"{place}\">Moved Permanently</a>.\n\n");
    Answer::bytes(301, "text/html; charset=utf-8", body).with(LOCATION, &place)
}

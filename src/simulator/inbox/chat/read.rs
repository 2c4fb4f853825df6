//! Reading a request.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::simulator::http::Asked;

/// A header; empty if there is none.
pub(super) fn header<'a>(asked: &Asked<'a>, name: &str) -> &'a str {
    asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The `content-type` without its parameters, in lower case.
pub(super) fn content_type(asked: &Asked<'_>) -> String {
    header(asked, "content-type").split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// The body as text; what is no UTF-8 becomes U+FFFD.
pub(super) fn body(asked: &Asked<'_>) -> String {
    String::from_utf8_lossy(asked.body).into_owned()
}

/// The body, if it is a JSON object.
pub(super) fn object(asked: &Asked<'_>) -> Option<Value> {
    serde_json::from_slice(asked.body).ok().filter(Value::is_object)
}

/// A string inside; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The `user:password` of Basic authentication, or the token of Bearer.
pub(super) enum Login {
    Absent,
    Basic(String),
    Bearer(String),
}

pub(super) fn login(asked: &Asked<'_>) -> Login {
    let Some((scheme, value)) = header(asked, "authorization").split_once(' ') else { return Login::Absent };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Login::Bearer(value.trim().to_owned()),
        "basic" => {
            let decoded = STANDARD.decode(value.trim()).unwrap_or_default();
            Login::Basic(String::from_utf8_lossy(&decoded).into_owned())
        }
        _ => Login::Absent,
    }
}

/// HMAC-SHA256 in base64.
pub(super) fn signature(key: &str, message: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(message.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

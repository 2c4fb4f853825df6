//! Refusals and errors, as a real panel words them.

use hyper::StatusCode;
use hyper::header::WWW_AUTHENTICATE;
use serde_json::json;

use crate::simulator::http::Answer;

pub(super) fn detail(status: u16, text: &str) -> Answer {
    Answer::json(status, &json!({ "detail": text }))
}

pub(super) fn internal_error() -> Answer {
    Answer::bytes(500, "text/plain; charset=utf-8", "Internal Server Error")
}

pub(super) fn unauthorized(text: &str) -> Answer {
    detail(401, text).with(WWW_AUTHENTICATE, "Bearer")
}

/// What a real panel sends with this status.
pub(super) fn of(status: u16) -> Answer {
    match status {
        401 => unauthorized("Could not validate credentials"),
        403 => detail(403, "You're not allowed"),
        500 => internal_error(),
        _ => {
            let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            detail(status, reason.unwrap_or("Error"))
        }
    }
}

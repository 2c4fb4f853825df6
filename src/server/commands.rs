//! Requests that change something: reloads and silences.
//!
//! Pages of other sites may send requests from a browser that can reach this port, so requests for pages are refused. What
//! has a body must be JSON, which such pages may not send unasked.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN},
};
use tokio::{sync::oneshot, time::timeout};

use super::{
    answer::{Answer, answer, bad_request, json, plain},
    api,
    state::State,
};
use crate::model::{SilenceChange, SilenceError};

/// In bytes. A body that is larger is refused.
pub(super) const MAX_BODY: usize = 8 * 1024;
/// From the head of a request to the end of its body.
const BODY_WITHIN: Duration = Duration::from_secs(10);

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a browser sends this for a page, unless somebody typed the address.
pub(super) fn is_of_a_page(headers: &HeaderMap) -> bool {
    let is_elsewhere = |site: &HeaderValue| !matches!(site.as_bytes(), b"same-origin" | b"none");
    headers.contains_key(ORIGIN) || headers.get_all(FETCH_SITE).iter().any(is_elsewhere)
}

/// Reloads the configuration and answers with the outcome.
pub(super) async fn reload(state: &State) -> Response<Answer> {
    let (done, outcome) = oneshot::channel();
    // If it cannot be sent, it will not be answered either.
    drop(state.reload.send(done).await);
    match outcome.await {
        Err(_) => stopping(),
        Ok(Ok(())) => plain(StatusCode::OK, "The configuration was reloaded.\n"),
        Ok(Err(why)) => {
            let text = format!("The configuration cannot be used; the one before stays in force:\n{why}\n");
            let pieces = vec![Bytes::from(text)];
            answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", pieces)
        }
    }
}

/// Adds the silence in the body, or changes the one whose id it has.
pub(super) async fn put_silence(state: &State, headers: &HeaderMap, body: Incoming) -> Response<Answer> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let text = "The body must be JSON, with the header Content-Type: application/json.\n";
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    let body = match timeout(BODY_WITHIN, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return bad_request("The body does not come whole.\n"),
        Err(_) => {
            let mut response = plain(StatusCode::REQUEST_TIMEOUT, "The body does not come in time.\n");
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
    };
    match api::silences::read(&body, state.clock.now().wall) {
        Ok(silence) => change(state, SilenceChange::Put(silence)).await,
        Err(why) => refused(&SilenceError::Wrong(why)),
    }
}

/// Ends a silence now.
pub(super) async fn expire_silence(state: &State, id: &str) -> Response<Answer> {
    change(state, SilenceChange::Expire(id.into())).await
}

async fn change(state: &State, change: SilenceChange) -> Response<Answer> {
    let (done, outcome) = oneshot::channel();
    // As with reloads.
    drop(state.silences.send((change, done)).await);
    match outcome.await {
        Err(_) => stopping(),
        Ok(Ok(id)) => json(StatusCode::OK, api::silences::changed(&id)),
        Ok(Err(why)) => refused(&why),
    }
}

fn refused(why: &SilenceError) -> Response<Answer> {
    let (status, kind) = match why {
        SilenceError::Unknown => (StatusCode::NOT_FOUND, "not_found"),
        SilenceError::Wrong(_) | SilenceError::TooMany => (StatusCode::BAD_REQUEST, "bad_data"),
        SilenceError::NotStored { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    json(status, api::mistake(kind, &why.to_string()))
}

fn stopping() -> Response<Answer> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "The exporter is stopping.\n")
}

//! Answers, and their bodies in pieces.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use tokio::{sync::OwnedSemaphorePermit, task::JoinError};

use super::{
    connections::{Answering, Held},
    stream::Stream,
};
use crate::telemetry::InFlight;

pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    answer(status, PLAIN, vec![Bytes::from_static(text.as_bytes())])
}

pub(super) fn unwritable() -> Response<Answer> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "The response cannot be generated.\n")
}

/// May name people, and is soon outdated: caches must not keep it.
pub(super) fn fresh(mut response: Response<Answer>) -> Response<Answer> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, pieces: Vec<Bytes>) -> Response<Answer> {
    let left = pieces.iter().map(|piece| u64::try_from(piece.len()).unwrap_or(u64::MAX)).sum();
    let mut response = Response::new(Answer {
        pieces: pieces.into_iter(),
        left,
        stream: None,
        in_flight: None,
        permit: None,
        answering: None,
    });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body in pieces. Each is dropped as soon as it is sent.
pub(super) struct Answer {
    pub(super) pieces: vec::IntoIter<Bytes>,
    /// Bytes of `pieces`.
    left: u64,
    /// What follows them.
    pub(super) stream: Option<Stream>,
    /// Held until the body is sent or given up.
    pub(super) in_flight: Option<InFlight>,
    /// Held until there is room to send it.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    pub(super) answering: Option<Answering>,
}

/// Pieces of answers that are smaller, in bytes, do not count among what answers keep in memory.
const MIN_HELD: usize = 4 * 1024;

impl Answer {
    /// What it keeps in memory until it is sent.
    pub(super) fn held(&self) -> Vec<Held> {
        let pieces = self.pieces.as_slice().iter().filter(|piece| piece.len() >= MIN_HELD);
        let pieces = pieces.map(|piece| Held { at: piece.as_ptr().addr(), size: piece.len() });
        pieces.chain(self.stream.iter().flat_map(|stream| stream.held)).collect()
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = JoinError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, JoinError>>> {
        let answer = self.get_mut();
        let piece = match (answer.pieces.next(), &mut answer.stream) {
            (Some(piece), _) => {
                answer.left = answer.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                Some(Ok(piece))
            }
            (None, Some(stream)) => ready!(stream.poll_next(cx)),
            (None, None) => None,
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.stream.is_some() { SizeHint::default() } else { SizeHint::with_exact(self.left) }
    }
}

/// JSON, which caches must not keep.
pub(super) fn json(status: StatusCode, text: impl Into<Bytes>) -> Response<Answer> {
    fresh(answer(status, "application/json", vec![text.into()]))
}

/// An answer without a body that tells which methods there are.
pub(super) fn methods(allowed: &'static str) -> Response<Answer> {
    let mut response = answer(StatusCode::OK, PLAIN, Vec::new());
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A request that may not be what it seems: what follows on its connection is not read.
pub(super) fn bad_request(text: &'static str) -> Response<Answer> {
    let mut response = plain(StatusCode::BAD_REQUEST, text);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(super) fn busy(text: &'static str) -> Response<Answer> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

pub(super) fn not_allowed(text: &'static str, allowed: &'static str) -> Response<Answer> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

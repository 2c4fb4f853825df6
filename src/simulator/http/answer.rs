//! An answer and its body.

use std::{io, iter, pin::Pin};

use bytes::Bytes;
use futures_util::stream::Stream;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;

/// What a system answers.
pub(in crate::simulator) struct Answer {
    pub(in crate::simulator) status: u16,
    pub(in crate::simulator) headers: Vec<(HeaderName, HeaderValue)>,
    /// Rows of a list in the answer, each of which has its [`Cost`](super::Cost).
    pub(super) rows: usize,
    /// Of all pieces, in bytes; `None`: sent in chunks.
    pub(super) length: Option<u64>,
    pub(super) pieces: Box<dyn Iterator<Item = Bytes> + Send>,
    /// The connection closes before anything of it is sent.
    pub(super) lost: bool,
}

impl Answer {
    pub(in crate::simulator) fn empty(status: u16) -> Answer {
        let pieces = Box::new(iter::empty());
        Answer { status, headers: Vec::new(), rows: 0, length: Some(0), pieces, lost: false }
    }

    /// An answer of status 200 that is written while it is sent. `length` is in bytes; each of `rows` has its
    /// [`Cost`](super::Cost).
    pub(in crate::simulator) fn list(
        rows: usize,
        length: u64,
        pieces: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> Answer {
        let length = Some(length);
        let answer = Answer { rows, length, pieces: Box::new(pieces), ..Answer::empty(200) };
        answer.with(CONTENT_TYPE, "application/json")
    }

    /// An answer of status 200 without a `content-length`, written while it is sent.
    pub(in crate::simulator) fn chunked(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Answer {
        Answer { length: None, pieces: Box::new(pieces), ..Answer::empty(200) }
    }

    pub(in crate::simulator) fn bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
        Answer::empty(status).body(body).with(CONTENT_TYPE, content_type)
    }

    pub(in crate::simulator) fn json(status: u16, value: &impl Serialize) -> Answer {
        match serde_json::to_vec(value) {
            Ok(body) => Answer::bytes(status, "application/json", body),
            Err(_) => Answer::empty(500),
        }
    }

    /// Sets the number of rows, each of which has its [`Cost`](super::Cost).
    pub(in crate::simulator) fn costing(self, rows: usize) -> Answer {
        Answer { rows, ..self }
    }

    /// Closes the connection instead of sending it.
    pub(in crate::simulator) fn lost(self) -> Answer {
        Answer { lost: true, ..self }
    }

    pub(super) fn body(self, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        Answer { length: Some(length_of(&body)), pieces: Box::new(iter::once(body)), ..self }
    }

    /// Everything but the body, and the body.
    pub(in crate::simulator) fn read(mut self) -> (Answer, Bytes) {
        let pieces = std::mem::replace(&mut self.pieces, Box::new(iter::empty()));
        let mut whole = Vec::new();
        pieces.for_each(|piece| whole.extend_from_slice(&piece));
        (self, whole.into())
    }

    /// Adds a header, beside others of this name.
    pub(in crate::simulator) fn with(mut self, name: HeaderName, value: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

pub(super) fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A body as it is sent. An error closes the connection.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

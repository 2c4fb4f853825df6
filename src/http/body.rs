//! A body, as decoders read it while it arrives.

use std::{
    io::{self, BufReader},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::body::Body as _;
use reqwest::Response;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt, ReadBuf},
    runtime::Handle,
    task::spawn_blocking,
};

use super::error::{Error, classify};

/// What some proxies put in front of a body.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A body that is decoded while it arrives, without a byte order mark.
#[derive(Debug)]
pub struct Body {
    arriving: Option<reqwest::Body>,
    chunk: Bytes,
    /// Bytes that arrived, and that may.
    length: usize,
    most: usize,
    deadline: Duration,
    /// It calls itself text.
    is_text: bool,
    /// What of the mark may still come.
    mark: &'static [u8],
}

impl Body {
    pub(super) fn new(response: Response, is_text: bool, most: usize, deadline: Duration) -> Self {
        let (arriving, chunk) = (Some(response.into()), Bytes::new());
        Body { arriving, chunk, length: 0, most, deadline, is_text, mark: BYTE_ORDER_MARK }
    }

    /// The next piece of data; absent: there is no more.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let Some(arriving) = &mut self.arriving else { return Poll::Ready(Ok(None)) };
        let frame = ready!(Pin::new(arriving).poll_frame(cx));
        let Some(frame) = frame else {
            self.arriving = None;
            let is_empty = self.length == 0;
            return Poll::Ready(if is_empty {
                Err(Error::Empty { is_text: self.is_text })
            } else {
                Ok(None)
            });
        };
        let frame = frame.map_err(|err| classify(&err, self.deadline))?;
        let data = frame.into_data().unwrap_or_default();
        self.length = self.length.saturating_add(data.len());
        if self.length > self.most {
            return Poll::Ready(Err(Error::TooLarge(self.most)));
        }
        Poll::Ready(Ok(Some(data)))
    }
}

impl Body {
    /// Decodes one JSON value while it arrives, on a thread that may block: for what serde can build at once.
    ///
    /// # Errors
    /// When it is another one.
    pub async fn json<T: DeserializeOwned + Send + 'static>(self) -> serde_json::Result<T> {
        let waiting = Waiting { body: self, runtime: Handle::current() };
        let decoded = spawn_blocking(|| serde_json::from_reader(BufReader::new(waiting))).await;
        decoded.unwrap_or_else(|stopped| Err(serde_json::Error::io(io::Error::other(stopped))))
    }
}

/// A body on a thread that waits for it.
struct Waiting {
    body: Body,
    runtime: Handle,
}

impl io::Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.block_on(self.body.read(buffer))
    }
}

impl AsyncBufRead for Body {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let body = self.get_mut();
        while body.chunk.is_empty() {
            match ready!(body.poll_data(cx)).map_err(io::Error::other)? {
                Some(data) => body.chunk = data,
                None => break,
            }
            let same = body.mark.iter().zip(&body.chunk).take_while(|(mark, byte)| mark == byte).count();
            body.chunk.advance(same);
            body.mark = if body.chunk.is_empty() { &body.mark[same..] } else { &[] };
        }
        Poll::Ready(Ok(&body.chunk))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        let chunk = &mut self.get_mut().chunk;
        chunk.advance(count.min(chunk.len()));
    }
}

impl AsyncRead for Body {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let chunk = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = chunk.len().min(buffer.remaining());
        buffer.put_slice(&chunk[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

/// The error of a decoder about a row that is larger than a row may be.
pub fn too_large_row() -> serde_json::Error {
    serde_json::Error::io(io::Error::other(Error::TooLargeRow))
}

/// The error of a decoder about a list of more rows than it may have.
pub fn too_many_rows() -> serde_json::Error {
    serde_json::Error::io(io::Error::other(Error::TooLargeList))
}

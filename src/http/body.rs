//! A body, as decoders read it while it arrives.

use std::{
    io,
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
    /// Decodes one JSON value that serde can build at once, on a thread that may block.
    ///
    /// # Errors
    /// When it is another one.
    pub async fn json<T: DeserializeOwned + Send + 'static>(mut self) -> serde_json::Result<T> {
        let mut bytes = Vec::new();
        // Reading stays here: it must end when the caller no longer waits.
        self.read_to_end(&mut bytes).await.map_err(serde_json::Error::io)?;
        let decoded = spawn_blocking(move || serde_json::from_slice(&bytes)).await;
        decoded.unwrap_or_else(|stopped| Err(serde_json::Error::io(io::Error::other(stopped))))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use hyper::body::Frame;

    use super::*;

    /// A server that sends so much, and nothing more.
    struct Stalls {
        sent: Option<Bytes>,
        _connection: Arc<()>,
    }

    impl hyper::body::Body for Stalls {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            self.sent.take().map_or(Poll::Pending, |data| Poll::Ready(Some(Ok(Frame::data(data)))))
        }
    }

    #[tokio::test]
    async fn a_body_that_is_given_up_is_no_longer_read() {
        let connection = Arc::new(());
        let stalls = Stalls { sent: Some(Bytes::from_static(b"[1,")), _connection: Arc::clone(&connection) };
        let response = hyper::Response::new(reqwest::Body::wrap(stalls));
        let body = Body::new(response.into(), false, 100, Duration::from_secs(1));
        assert!(body.json::<Vec<u64>>().now_or_never().is_none());
        assert_eq!(Arc::strong_count(&connection), 1, "something still reads it");
    }
}

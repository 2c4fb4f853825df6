//! A body, as decoders read it while it arrives.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::mpsc;

/// The error of a list of more rows than it may have.
pub(super) const TOO_MANY_ROWS: io::ErrorKind = io::ErrorKind::QuotaExceeded;
/// What some proxies put in front of a body.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A body that arrives while a decoder on a blocking thread reads it, without a byte order mark.
#[derive(Debug)]
pub struct Body {
    arriving: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    begun: bool,
}

impl Body {
    pub(super) fn new(arriving: mpsc::Receiver<Bytes>) -> Self {
        Body { arriving, chunk: Bytes::new(), begun: false }
    }

    /// Waits for as many bytes as show whether the body begins with a mark.
    fn begin(&mut self) {
        self.begun = true;
        let mut first = BytesMut::new();
        while first.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&first) {
            let Some(chunk) = self.arriving.blocking_recv() else { break };
            first.extend_from_slice(&chunk);
        }
        self.chunk = first.freeze();
        if self.chunk.starts_with(BYTE_ORDER_MARK) {
            self.chunk.advance(BYTE_ORDER_MARK.len());
        }
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.begun {
            self.begin();
        }
        while self.chunk.is_empty() {
            // A body that ends early shows as broken JSON. The sending side knows the reason.
            match self.arriving.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => break,
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, count: usize) {
        self.chunk.advance(count.min(self.chunk.len()));
    }
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buf)?;
        self.consume(count);
        Ok(count)
    }
}

/// The error of a decoder about a row that is larger than a row may be.
pub fn too_large_row() -> serde_json::Error {
    serde_json::Error::io(io::ErrorKind::FileTooLarge.into())
}

/// The error of a decoder about a list of more rows than it may have.
pub fn too_many_rows() -> serde_json::Error {
    serde_json::Error::io(TOO_MANY_ROWS.into())
}

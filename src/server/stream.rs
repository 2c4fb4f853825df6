//! Text that is written while it is sent.

use std::{
    mem,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::connections::Held;
use crate::exposition::{Format, Joiner, Piece};

/// Bytes that a stream takes in memory, about: what waits to be sent.
const SIZE: usize = 2 * 1024 * 1024;

/// Larger buffers are not used again.
const BUFFER: usize = 1024 * 1024;

/// An answer in pieces. Each is written by itself, when there is room to send it. So no thread waits for the client, and
/// nothing is written for one that has left.
pub(super) struct Stream {
    writer: Arc<dyn Writer>,
    /// Those that are not begun.
    left: Range<usize>,
    /// One that another thread writes.
    begun: Option<JoinHandle<Piece>>,
    joiner: Joiner,
    /// Those of pieces that are sent. New memory for each would cost as much as writing does.
    buffers: Arc<Mutex<Vec<Vec<u8>>>>,
    /// What it keeps in memory.
    pub(super) held: [Held; 2],
}

/// Writes pieces by their place.
pub(super) trait Writer: Send + Sync + 'static {
    /// Whether this takes so little time that other connections can wait for it.
    fn is_fast(&self, at: usize) -> bool;

    /// `buffer` is empty.
    fn write(&self, at: usize, buffer: Vec<u8>) -> Piece;
}

/// The text of a piece until it is sent.
struct Sending {
    text: Vec<u8>,
    buffers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Stream {
    /// Of so many pieces, in this format. It keeps `reports` in memory.
    pub(super) fn new(pieces: usize, format: Format, reports: Held, writer: impl Writer) -> Self {
        let writer = Arc::new(writer);
        let held = [reports, Held { at: Arc::as_ptr(&writer).addr(), size: SIZE }];
        let (begun, joiner, buffers) = (None, Joiner::new(format), Arc::default());
        Stream { writer, left: 0..pieces, begun, joiner, buffers, held }
    }

    /// The next piece that is not empty.
    ///
    /// # Errors
    /// When it could not be written: what was sent is not all.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, JoinError>>> {
        loop {
            let piece = if let Some(begun) = &mut self.begun {
                let piece = ready!(Pin::new(begun).poll(cx));
                self.begun = None;
                piece
            } else {
                let Some(at) = self.left.next() else { return Poll::Ready(None) };
                let buffer = lock(&self.buffers).pop().unwrap_or_default();
                if !self.writer.is_fast(at) {
                    let writer = Arc::clone(&self.writer);
                    self.begun = Some(spawn_blocking(move || writer.write(at, buffer)));
                    continue;
                }
                Ok(self.writer.write(at, buffer))
            };
            let text = piece.map(|piece| {
                let skip = self.joiner.skip(&piece);
                let mut text =
                    Bytes::from_owner(Sending { text: piece.text, buffers: Arc::clone(&self.buffers) });
                text.advance(skip);
                text
            });
            if !text.as_ref().is_ok_and(Bytes::is_empty) {
                return Poll::Ready(Some(text));
            }
        }
    }
}

/// Whatever a thread that panicked left there can be used.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsRef<[u8]> for Sending {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut buffer = mem::take(&mut self.text);
        if buffer.capacity() <= BUFFER {
            buffer.clear();
            lock(&self.buffers).push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Writes the number of each piece, but every third is empty, and every fourth is slow.
    struct Numbers {
        written: Arc<AtomicUsize>,
        fails_at: usize,
    }

    impl Writer for Numbers {
        fn is_fast(&self, at: usize) -> bool {
            !at.is_multiple_of(4)
        }

        fn write(&self, at: usize, mut buffer: Vec<u8>) -> Piece {
            self.written.fetch_add(1, Ordering::Relaxed);
            assert!(buffer.is_empty() && at != self.fails_at);
            if !at.is_multiple_of(3) {
                buffer.extend_from_slice(at.to_string().as_bytes());
            }
            Piece::of(buffer)
        }
    }

    fn stream(pieces: usize, fails_at: usize) -> (Stream, Arc<AtomicUsize>) {
        let written = Arc::default();
        let numbers = Numbers { written: Arc::clone(&written), fails_at };
        (Stream::new(pieces, Format::Classic, Held { at: 0, size: 0 }, numbers), written)
    }

    #[tokio::test]
    async fn pieces_come_in_order_and_are_written_as_they_are_taken() {
        let (mut stream, written) = stream(20, usize::MAX);
        let mut text = Vec::new();
        assert_eq!(written.load(Ordering::Relaxed), 0);
        while let Some(piece) = poll_fn(|cx| stream.poll_next(cx)).await {
            let piece = String::from_utf8(piece.unwrap().to_vec()).unwrap();
            assert_eq!(written.load(Ordering::Relaxed), piece.parse::<usize>().unwrap() + 1);
            text.push(piece);
        }
        let expected = (0..20).filter(|at| at % 3 > 0).map(|at| at.to_string());
        assert_eq!(text, expected.collect::<Vec<_>>());
        assert_eq!(lock(&stream.buffers).len(), 1, "the same is used again");
    }

    #[tokio::test]
    async fn an_answer_that_is_not_whole_does_not_end_as_if_it_were() {
        let (mut stream, _) = stream(9, 8);
        let mut last = None;
        while let Some(piece) = poll_fn(|cx| stream.poll_next(cx)).await {
            last = Some(piece.is_ok());
            if last == Some(false) {
                break;
            }
        }
        assert_eq!(last, Some(false));
    }
}

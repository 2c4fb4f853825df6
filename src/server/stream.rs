//! Text that is written while it is sent.

use std::{
    collections::VecDeque,
    mem,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::connections::Held;
use crate::exposition::{Joiner, Piece};

/// Pieces that are written before they can be sent.
const AHEAD: usize = 4;

/// Bytes that a stream takes in memory, about: pieces that are ahead, and what waits to be sent.
const SIZE: usize = 4 * 1024 * 1024;

/// Larger buffers are not used again.
const BUFFER: usize = 2 * 1024 * 1024;

/// An answer in pieces. Each is written by itself, so no thread waits for the client, and nothing is written for one that
/// has left.
pub(super) struct Stream {
    writer: Arc<Writer>,
    /// Those that are not begun.
    left: Range<usize>,
    begun: VecDeque<JoinHandle<Piece>>,
    joiner: Joiner,
    /// What it keeps in memory.
    pub(super) held: [Held; 2],
}

struct Writer {
    write: Box<dyn Fn(usize, Vec<u8>) -> Piece + Send + Sync>,
    /// Those of pieces that are sent. New memory for each would cost as much as writing does.
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// The text of a piece until it is sent.
struct Sending {
    text: Vec<u8>,
    writer: Arc<Writer>,
}

impl Stream {
    /// Of so many pieces, which `write` writes by their place into an empty buffer. It keeps `reports` in memory.
    pub(super) fn new(
        pieces: usize,
        reports: Held,
        write: impl Fn(usize, Vec<u8>) -> Piece + Send + Sync + 'static,
    ) -> Self {
        let writer = Arc::new(Writer { write: Box::new(write), buffers: Mutex::default() });
        let held = [reports, Held { at: Arc::as_ptr(&writer).addr(), size: SIZE }];
        Stream { writer, left: 0..pieces, begun: VecDeque::new(), joiner: Joiner::default(), held }
    }

    /// The next piece that is not empty.
    ///
    /// # Errors
    /// When it could not be written: what was sent is not all.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, JoinError>>> {
        loop {
            let room = AHEAD.saturating_sub(self.begun.len());
            for place in self.left.by_ref().take(room) {
                let writer = Arc::clone(&self.writer);
                self.begun.push_back(spawn_blocking(move || (writer.write)(place, writer.buffer())));
            }
            let Some(next) = self.begun.front_mut() else { return Poll::Ready(None) };
            let piece = ready!(Pin::new(next).poll(cx));
            self.begun.pop_front();
            let text = piece.map(|piece| {
                let skip = self.joiner.skip(&piece);
                let mut text =
                    Bytes::from_owner(Sending { text: piece.text, writer: Arc::clone(&self.writer) });
                text.advance(skip);
                text
            });
            if !text.as_ref().is_ok_and(Bytes::is_empty) {
                return Poll::Ready(Some(text));
            }
        }
    }
}

impl Writer {
    fn buffer(&self) -> Vec<u8> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
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
            self.writer.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
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

    fn stream(pieces: usize, write: impl Fn(usize, Vec<u8>) -> Piece + Send + Sync + 'static) -> Stream {
        Stream::new(pieces, Held { at: 0, size: 0 }, write)
    }

    #[tokio::test]
    async fn pieces_come_in_order_and_only_as_they_are_taken() {
        let begun = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&begun);
        let mut stream = stream(20, move |at, mut buffer| {
            written.fetch_add(1, Ordering::Relaxed);
            assert!(buffer.is_empty());
            // Every third is empty.
            if at % 3 > 0 {
                buffer.extend_from_slice(at.to_string().as_bytes());
            }
            Piece::of(buffer)
        });
        assert_eq!(begun.load(Ordering::Relaxed), 0, "before it is asked for");
        let mut text = Vec::new();
        while let Some(piece) = poll_fn(|cx| stream.poll_next(cx)).await {
            text.push(String::from_utf8(piece.unwrap().to_vec()).unwrap());
            assert!(begun.load(Ordering::Relaxed) <= text.len() * 2 + AHEAD);
        }
        let expected = (0..20).filter(|at| at % 3 > 0).map(|at| at.to_string());
        assert_eq!(text, expected.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_whole_does_not_end_as_if_it_were() {
        let mut stream =
            stream(
                3,
                |at, buffer| {
                    if at == 1 { panic!("as expected") } else { Piece::of([buffer, vec![1]].concat()) }
                },
            );
        assert!(poll_fn(|cx| stream.poll_next(cx)).await.unwrap().is_ok());
        assert!(poll_fn(|cx| stream.poll_next(cx)).await.unwrap().is_err());
    }
}

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connections::Place;

/// A stream that breaks when what is written to it is not taken for a time: else a client that stops reading would
/// hold its page and its place among the connections for ever. It reports reads and writes to its place.
pub(super) struct Stall<S> {
    stream: S,
    limit: Duration,
    place: Arc<Place>,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Stall<S> {
    pub(super) fn new(stream: S, limit: Duration, place: Arc<Place>) -> Self {
        Stall { stream, limit, place, waiting: None }
    }

    /// Passes on how a write went, or that it has waited too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            self.place.taken();
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: Read + Unpin> Read for Stall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.place.heard();
        }
        read
    }
}

impl<S: Write + Unpin> Write for Stall<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.place.sent();
        }
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn write(stream: &mut Stall<TokioIo<tokio::io::DuplexStream>>) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, b"abcd")).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_not_taken_breaks_after_the_limit() {
        let (near, mut far) = tokio::io::duplex(4);
        let local = std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST);
        let place = Arc::new(Place::new(local, local, Arc::default()));
        let mut stream = Stall::new(TokioIo::new(near), LIMIT, place);
        assert_eq!(write(&mut stream).await.unwrap(), 4);
        let start = Instant::now();
        assert_eq!(write(&mut stream).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());

        // One that is taken at last is not held against the next.
        let mut stream = Stall::new(stream.stream, LIMIT, stream.place);
        let slow = async {
            tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
            far.read_exact(&mut [0; 4]).await
        };
        let (written, read) = tokio::join!(write(&mut stream), slow);
        assert_eq!((written.unwrap(), read.unwrap()), (4, 4));
        let start = Instant::now();
        write(&mut stream).await.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    }
}

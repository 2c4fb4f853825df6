//! The connections there are: TLS, how long each thing may take, and who makes room when there are too many.

use std::{
    collections::HashMap,
    error::Error,
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsAcceptor;

use super::{Server, access::Broken, stall::Stall};

/// Beyond this, the one that has been idle for longest makes room.
const MAX_CONNECTIONS: usize = 512;

/// From the connection, or from the first byte of a further request, to the end of the request's head. TLS is agreed
/// upon within it.
const ASK_WITHIN: Duration = Duration::from_secs(20);

/// Longer than scrape intervals usually are, so that scrapers find their connection still open.
const IDLE_LIMIT: Duration = Duration::from_secs(150);

/// Longer than scrapers usually wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A client that takes nothing of its answer for so long is let go.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Requests whose head has more headers, or is larger in bytes, are refused.
const MAX_HEADERS: usize = 64;
const MAX_HEAD_SIZE: usize = 16 * 1024;

/// All that are open.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    places: HashMap<u64, Arc<Place>>,
    next: u64,
}

impl Connections {
    /// A place for a new connection. When there is none, another one has to leave.
    pub(super) fn enter(self: &Arc<Self>) -> Seat {
        let mut all = self.lock();
        if all.places.len() >= MAX_CONNECTIONS {
            all.dismiss_one();
        }
        let id = all.next;
        all.next = id.wrapping_add(1);
        let place = Arc::new(Place::new());
        all.places.insert(id, Arc::clone(&place));
        Seat { connections: Arc::clone(self), id, place }
    }

    /// Makes one leave: the longest idle, or else the one that has been answered for longest.
    pub(super) fn dismiss_one(&self) {
        self.lock().dismiss_one();
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn dismiss_one(&mut self) {
        let first = self.places.iter().min_by_key(|(_, place)| {
            let (doing, since) = *place.state();
            (doing.is_answer(), since)
        });
        if let Some(id) = first.map(|(id, _)| *id)
            && let Some(place) = self.places.remove(&id)
        {
            place.leave.notify_one();
        }
    }
}

/// A connection's place among the others, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Arc<Connections>,
    id: u64,
    place: Arc<Place>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.lock().places.remove(&self.id);
    }
}

/// What a connection does, and since when.
#[derive(Debug)]
pub(super) struct Place {
    state: Mutex<(Doing, Instant)>,
    leave: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Has yet to send a request's head.
    Asking,
    Answering,
    /// All of the answer is written, but not all of it sent.
    Written,
    Idle,
}

impl Doing {
    fn is_answer(self) -> bool {
        matches!(self, Doing::Answering | Doing::Written)
    }

    fn limit(self) -> Duration {
        match self {
            Doing::Asking => ASK_WITHIN,
            Doing::Answering | Doing::Written => ANSWER_WITHIN,
            Doing::Idle => IDLE_LIMIT,
        }
    }
}

impl Place {
    pub(super) fn new() -> Self {
        Place { state: Mutex::new((Doing::Asking, Instant::now())), leave: Notify::new() }
    }

    /// A request's head is there; it is being answered until the guard is dropped, and then until that is sent.
    fn answer(self: &Arc<Self>) -> Answering {
        *self.state() = (Doing::Answering, Instant::now());
        Answering(Arc::clone(self))
    }

    /// All that was written is sent.
    pub(super) fn sent(&self) {
        let mut state = self.state();
        if state.0 == Doing::Written {
            *state = (Doing::Idle, Instant::now());
        }
    }

    /// Something has come from the client.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.0 == Doing::Idle {
            *state = (Doing::Asking, Instant::now());
        }
    }

    /// Resolves when it has taken too long for what it does.
    async fn overdue(&self) {
        loop {
            let (doing, since) = *self.state();
            let now = Instant::now();
            if now >= since + doing.limit() {
                return tracing::debug!(?doing, "HTTP connection took too long");
            }
            // What it does may change meanwhile; whatever it is then, it is not overdue before that.
            sleep_until((since + doing.limit()).min(now + ASK_WITHIN)).await;
        }
    }

    /// Resolves when the connection has to end at once.
    async fn ended(&self, mut closing: watch::Receiver<bool>) {
        let closed = async {
            // The sender lives as long as the server; without it, it had better end, too.
            drop(closing.wait_for(|closing| *closing).await);
            if self.state().0 != Doing::Asking {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.leave.notified() => tracing::debug!("HTTP connection made room for another"),
            () = self.overdue() => {}
            () = closed => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, (Doing, Instant)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held until an answer is written whole or given up.
#[derive(Debug)]
pub(super) struct Answering(Arc<Place>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state().0 = Doing::Written;
    }
}

/// Answers on a connection until it ends. When `closing` becomes true, what is being answered is the last.
pub(super) async fn attend(
    server: Arc<Server>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    seat: Seat,
    closing: watch::Receiver<bool>,
) {
    let _open = server.state.telemetry.http_connection();
    tokio::select! {
        () = seat.place.ended(closing.clone()) => {}
        ended = greet(&server, stream, &seat.place, closing) => if let Err(error) = ended {
            tracing::debug!(%error, "HTTP connection ended early");
        }
    }
}

async fn greet(
    server: &Server,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    place: &Arc<Place>,
    closing: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tls = match server.access().terms().await {
        Ok(terms) => terms.tls.clone(),
        Err(Broken { tls: true }) => return Err("there is no TLS that could be agreed upon".into()),
        Err(Broken { tls: false }) => None,
    };
    let Some(tls) = tls else { return Ok(speak(server, stream, place, None, closing).await?) };
    match TlsAcceptor::from(Arc::clone(&tls)).accept(stream).await {
        Ok(stream) => Ok(speak(server, stream, place, Some(&tls), closing).await?),
        Err(error) => {
            server.state.telemetry.http_handshake_failure();
            Err(error.into())
        }
    }
}

async fn speak(
    server: &Server,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    place: &Arc<Place>,
    tls: Option<&Arc<ServerConfig>>,
    mut closing: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let service = service_fn(async |request| {
        let answering = place.answer();
        let mut response = server.answer(&request, tls).await?;
        response.body_mut().answering = Some(answering);
        Ok::<_, super::Outdated>(response)
    });
    let connection = http1::Builder::new()
        // `Place` has the limits.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_SIZE)
        .serve_connection(Stall::new(TokioIo::new(stream), STALL_LIMIT, Arc::clone(place)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::{
        super::{MAX_SCRAPES, tests::server},
        *,
    };

    const HEALTHY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
    const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

    /// Attends to a connection whose client does as `client` does, and tells how many seconds it lasted.
    async fn lasts<C: Future<Output = ()>>(client: impl FnOnce(DuplexStream) -> C) -> u64 {
        let (near, far) = tokio::io::duplex(256);
        let (_close, closing) = watch::channel(false);
        let connections = Arc::new(Connections::default());
        let start = Instant::now();
        let server = Arc::new(server());
        let attended = attend(Arc::clone(&server), near, connections.enter(), closing);
        tokio::select! {
            () = attended => {}
            () = client(far) => panic!("the client gave up first"),
        }
        assert!(connections.lock().places.is_empty());
        assert_eq!(server.scrapes.available_permits(), MAX_SCRAPES);
        start.elapsed().as_secs()
    }

    /// Asks, and takes the whole answer.
    async fn ask(client: &mut DuplexStream, request: &[u8]) {
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        loop {
            client.read_buf(&mut answer).await.unwrap();
            let text = std::str::from_utf8(&answer).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.unwrap().parse::<usize>().unwrap() == body.len() {
                return;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_to_come_in_time() {
        let silent = async |_client| pending().await;
        assert_eq!(lasts(silent).await, ASK_WITHIN.as_secs());
        let trickling = async |mut client: DuplexStream| {
            loop {
                client.write_all(b"G").await.ok();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        assert_eq!(lasts(trickling).await, ASK_WITHIN.as_secs());
        let second = async |mut client: DuplexStream| {
            ask(&mut client, HEALTHY).await;
            tokio::time::sleep(Duration::from_secs(100)).await;
            trickling(client).await;
        };
        assert_eq!(lasts(second).await, 100 + ASK_WITHIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_for_a_while() {
        let idle = async |mut client: DuplexStream| {
            for request in [HEALTHY, METRICS, METRICS] {
                ask(&mut client, request).await;
                tokio::time::sleep(IDLE_LIMIT - Duration::from_secs(1)).await;
            }
            pending::<()>().await;
        };
        assert_eq!(lasts(idle).await, 2 * (IDLE_LIMIT.as_secs() - 1) + IDLE_LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_to_be_taken_in_time() {
        let deaf = async |mut client: DuplexStream| {
            client.write_all(METRICS).await.unwrap();
            pending::<()>().await;
        };
        assert_eq!(lasts(deaf).await, STALL_LIMIT.as_secs());
        let slow = async |mut client: DuplexStream| {
            client.write_all(METRICS).await.unwrap();
            loop {
                tokio::time::sleep(Duration::from_secs(29)).await;
                client.read_u8().await.ok();
            }
        };
        assert_eq!(lasts(slow).await, ANSWER_WITHIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room_and_then_the_longest_answered() {
        let connections = Arc::new(Connections::default());
        let mut seats = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            seats.push(connections.enter());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let left = |seat: &Seat| !connections.lock().places.contains_key(&seat.id);
        let [oldest, next, ..] = &seats[..] else { unreachable!() };
        let _answering = oldest.place.answer();
        let first = connections.enter();
        assert!(left(next) && !left(oldest));
        next.place.ended(watch::channel(false).1).await;

        tokio::time::advance(Duration::from_millis(1)).await;
        let _others: Vec<_> = seats.iter().skip(2).map(|seat| seat.place.answer()).collect();
        let second = connections.enter();
        assert!(left(&first) && !left(oldest));
        let _second = second.place.answer();
        let third = connections.enter();
        assert!(left(oldest) && !left(&second) && !left(&third));
        assert_eq!(connections.lock().places.len(), MAX_CONNECTIONS);
    }
}

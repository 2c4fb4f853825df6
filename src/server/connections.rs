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
    net::TcpStream,
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
    stream: TcpStream,
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
    stream: TcpStream,
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

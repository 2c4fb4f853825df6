//! HTTP of the simulated systems: connections, the request log, delays, and answers made to go wrong.
//!
//! A system gives `Wire::serve` two functions: its answer to a request, and its refusal for a status.

mod answer;
mod fault;
pub(super) mod query;

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONTENT_LENGTH, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub(super) use self::answer::Answer;
use self::answer::{Pieces, length_of};
use self::fault::Faults;
pub use self::fault::{Fault, Times};

const MAX_REQUESTS_LOGGED: usize = 10_000;
const MAX_REQUEST_BODY: usize = 32 * 1024 * 1024;

/// The HTTP side of a simulated system: what it saw of its clients, and which answers go wrong. Clones share both.
#[derive(Clone)]
pub struct Wire {
    shared: Arc<Shared>,
}

struct Shared {
    cost: Cost,
    log: Mutex<Log>,
}

/// How long a system takes to answer, on top of the simulator's own work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// For every request.
    pub per_request: Duration,
    /// For every row of a list in the answer. A real Marzban takes 3 to 17 ms for a user.
    pub per_row: Duration,
}

/// A request that came in, and its answer.
#[derive(Clone, Debug)]
pub struct Logged {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The status it was answered with; `None` before the answer, and if there was none.
    pub status: Option<u16>,
    headers: HeaderMap,
}

impl Logged {
    /// A header of the request; the first if there are several of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[derive(Default)]
struct Log {
    faults: Faults,
    requests: VecDeque<Logged>,
    /// Requests that are no longer in `requests`.
    forgotten: usize,
    in_flight: usize,
    max_in_flight: usize,
}

/// A request with its body read.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Wire {
    pub(super) fn new(cost: Cost) -> Wire {
        Wire { shared: Arc::new(Shared { cost, log: Mutex::default() }) }
    }

    /// Makes requests whose path and query begin with `prefix` fail. The newest matching fault wins.
    pub fn fail(&self, prefix: &str, fault: Fault, times: Times) {
        self.log().faults.add(prefix, fault, times);
    }

    /// Forgets every fault set by [`Wire::fail`].
    pub fn heal(&self) {
        self.log().faults.clear();
    }

    /// The newest ten thousand requests, oldest first.
    pub fn requests(&self) -> Vec<Logged> {
        self.log().requests.iter().cloned().collect()
    }

    /// How many of [`Wire::requests`] had a path and query that began with `prefix`.
    pub fn requests_to(&self, prefix: &str) -> usize {
        self.log().requests.iter().filter(|request| request.target.starts_with(prefix)).count()
    }

    /// Forgets the requests seen so far and the highest number in flight.
    pub fn forget_requests(&self) {
        let mut log = self.log();
        log.forgotten += log.requests.len();
        log.requests.clear();
        log.max_in_flight = log.in_flight;
    }

    /// The most requests that were being answered at one time. A request counts until the last byte of its
    /// answer is handed over, or its client has gone.
    pub fn max_in_flight(&self) -> usize {
        self.log().max_in_flight
    }

    /// Answers on `listener` with `answer`, or for [`Fault::Status`] with `refusal` of that status. Does not end;
    /// when it is dropped, so is every connection, as with a killed process.
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        answer: impl Fn(&Asked<'_>) -> Answer + Send + Sync + 'static,
        refusal: impl Fn(u16) -> Answer + Send + Sync + 'static,
    ) {
        let system = Arc::new((self, answer, refusal));
        let converse = |stream| {
            let system = Arc::clone(&system);
            let service = service_fn(move |request| {
                let system = Arc::clone(&system);
                async move {
                    let (wire, answer, refusal) = &*system;
                    wire.respond(request, answer, refusal).await
                }
            });
            // The client may end a connection in any way.
            async { drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await) }
        };
        accept(listener, converse).await;
    }

    /// An error closes the connection without an answer.
    async fn respond(
        &self,
        request: Request<Incoming>,
        answer: impl Fn(&Asked<'_>) -> Answer,
        refusal: impl Fn(u16) -> Answer,
    ) -> io::Result<Response<Sending>> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", |both| both.as_str());
        let (in_flight, fault) = self.begin(&head.method, target, &head.headers);
        match &fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Closed) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Fault::Delay(delay)) => tokio::time::sleep(*delay).await,
            _ => {}
        }
        let Ok(body) = Limited::new(body, MAX_REQUEST_BODY).collect().await else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let body = body.to_bytes();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let asked = Asked { method: &head.method, path, query, headers: &head.headers, body: &body };
        let right = || answer(&asked);
        let mut answer = match &fault {
            Some(fault) => fault.answer(right, refusal),
            None => right(),
        };
        if answer.lost {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let Cost { per_request, per_row } = self.shared.cost;
        let rows = u32::try_from(answer.rows).unwrap_or(u32::MAX);
        let delay = per_request.saturating_add(per_row.saturating_mul(rows));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = std::mem::take(&mut answer.headers);
        let (left, pieces) = fault::sent(answer, fault.as_ref());
        in_flight.answered(status);
        let mut response = Response::new(Sending { pieces, left, in_flight: Some(in_flight) });
        *response.status_mut() = status;
        for (name, value) in headers {
            response.headers_mut().append(name, value);
        }
        if let Some(length) = left {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(response)
    }

    fn begin(&self, method: &Method, target: &str, headers: &HeaderMap) -> (InFlight, Option<Fault>) {
        let mut log = self.log();
        let fault = log.faults.take(target);
        log.in_flight += 1;
        log.max_in_flight = log.max_in_flight.max(log.in_flight);
        if log.requests.len() >= MAX_REQUESTS_LOGGED {
            log.requests.pop_front();
            log.forgotten += 1;
        }
        let number = log.forgotten + log.requests.len();
        let (method, target, headers) = (method.to_string(), target.to_owned(), headers.clone());
        log.requests.push_back(Logged { method, target, status: None, headers });
        (InFlight { wire: self.clone(), number }, fault)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections, each of which `converse` serves. Does not end; when it is dropped, so is every connection.
pub(super) async fn accept<C>(listener: TcpListener, converse: impl Fn(TcpStream) -> C)
where
    C: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    drop(stream.set_nodelay(true));
                    connections.spawn(converse(stream));
                }
                // Out of descriptors, for example: wait until some are free.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

/// A request being answered, counted until it is dropped.
struct InFlight {
    wire: Wire,
    /// Of the request, from 0.
    number: usize,
}

impl InFlight {
    fn answered(&self, status: StatusCode) {
        let mut log = self.wire.log();
        let place = self.number.checked_sub(log.forgotten);
        if let Some(request) = place.and_then(|place| log.requests.get_mut(place)) {
            request.status = Some(status.as_u16());
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.wire.log().in_flight -= 1;
    }
}

/// A body being sent.
struct Sending {
    pieces: Pieces,
    /// Bytes still to send; `None`: not known.
    left: Option<u64>,
    in_flight: Option<InFlight>,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = ready!(self.pieces.as_mut().poll_next(context));
        if let (Some(left), Some(Ok(bytes))) = (&mut self.left, &piece) {
            *left = left.saturating_sub(length_of(bytes));
        }
        // A client that has read the last byte may ask again before hyper drops this body.
        if piece.is_none() || self.is_end_stream() {
            self.in_flight = None;
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

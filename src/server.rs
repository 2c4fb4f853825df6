//! The daemon's HTTP face: metrics, health and a landing page.
//!
//! [`serve`] answers on listeners that are already bound. What is known of the targets is written once per change and
//! shared by all scrapers, see `pages`.

mod api;
mod landing;
mod negotiate;
mod pages;
mod stall;

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{
        ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, VARY,
    },
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use crate::{
    board::Board,
    clock::Clock,
    exposition::{Coding, Options, Tail},
    model::ActiveAlerts,
    telemetry::{InFlight, Telemetry},
};
use pages::Pages;
use stall::Stall;

/// A connection that asks nothing for so long, or takes so long to ask, is closed. Longer than scrape intervals
/// usually are, so that scrapers find theirs still open.
const ASK_WITHIN: Duration = Duration::from_secs(150);

/// A client that takes nothing of its answer for so long is let go.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Connections beyond this wait to be accepted.
const MAX_CONNECTIONS: usize = 512;

/// Scrapes beyond this are refused.
const MAX_SCRAPES: usize = 40;

/// Requests whose head has more headers, or is larger in bytes, are refused.
const MAX_HEADERS: usize = 64;
const MAX_HEAD_SIZE: usize = 16 * 1024;

/// After an error of accepting, such as too many open files, it is tried again so much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the answers are made from.
pub struct State {
    pub board: Board,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub options: Options,
    /// Where the metrics are, e.g. `/metrics`, but not `/`; those of one target are one level below.
    pub telemetry_path: String,
    /// What is pending and firing.
    pub alerts: watch::Receiver<Arc<ActiveAlerts>>,
    /// Whether the daemon is ready.
    pub ready: watch::Receiver<bool>,
    /// As the landing page shows it.
    pub version: &'static str,
}

/// Answers on `listeners` until `stop` is done; then accepts no more, and returns when all requests being answered
/// are. The caller may drop this to have it stop at once.
pub async fn serve(listeners: Vec<TcpListener>, state: State, stop: impl Future<Output = ()>) {
    for route in Route::GOOD {
        state.telemetry.declare_path(route.label());
    }
    let server = Arc::new(Server {
        pages: Pages::new(state.board.clone(), state.clock.clone(), state.options.clone()),
        scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
        state,
    });
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, place) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listeners, &free) => accepted,
        };
        while connections.try_join_next().is_some() {}
        let server = Arc::clone(&server);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(&request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ASK_WITHIN)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD_SIZE)
            .serve_connection(Stall::new(TokioIo::new(stream), STALL_LIMIT), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "HTTP connection ended early");
            }
            drop(place);
        });
    }
    drop(listeners);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is a place for it.
async fn accept(
    listeners: &[TcpListener],
    free: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(free).acquire_owned().await.ok();
    loop {
        match poll_fn(|cx| poll_accept(listeners, cx)).await {
            Ok(stream) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn poll_accept(listeners: &[TcpListener], cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
    for listener in listeners {
        if let Poll::Ready(accepted) = listener.poll_accept(cx) {
            return Poll::Ready(accepted.map(|(stream, _)| stream));
        }
    }
    Poll::Pending
}

struct Server {
    state: State,
    pages: Pages,
    scrapes: Arc<Semaphore>,
}

/// What a request asks for.
#[derive(Clone, Copy)]
enum Route<'p> {
    Landing,
    Metrics,
    /// Those of one target.
    Target(&'p str),
    Alerts,
    Healthy,
    Ready,
    Unknown,
}

impl<'p> Route<'p> {
    /// Those that can succeed.
    const GOOD: [Route<'static>; 6] =
        [Route::Landing, Route::Metrics, Route::Target(""), Route::Alerts, Route::Healthy, Route::Ready];

    fn of(path: &'p str, telemetry_path: &str) -> Self {
        match path {
            "/-/healthy" => Route::Healthy,
            "/-/ready" => Route::Ready,
            "/api/v1/alerts" => Route::Alerts,
            _ if path == telemetry_path => Route::Metrics,
            "/" => Route::Landing,
            _ => path
                .strip_prefix(telemetry_path)
                .and_then(|rest| rest.strip_prefix('/'))
                .map_or(Route::Unknown, Route::Target),
        }
    }

    /// The path in `http_requests_total`: not the one asked for, of which there may be any number.
    fn label(self) -> &'static str {
        match self {
            Route::Landing => "/",
            Route::Metrics => "/metrics",
            Route::Target(_) => "/metrics/{target}",
            Route::Alerts => "/api/v1/alerts",
            Route::Healthy => "/-/healthy",
            Route::Ready => "/-/ready",
            Route::Unknown => "other",
        }
    }
}

impl Server {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Answer> {
        let in_flight = self.state.telemetry.http_in_flight();
        let route = Route::of(request.uri().path(), &self.state.telemetry_path);
        let mut response = if matches!(route, Route::Unknown) {
            plain(StatusCode::NOT_FOUND, "Not found.\n")
        } else if matches!(*request.method(), Method::GET | Method::HEAD) {
            self.get(route, request.headers()).await
        } else {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are served here.\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        };
        let length = HeaderValue::from(response.body().left);
        response.headers_mut().insert(CONTENT_LENGTH, length);
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(hyper::header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response.body_mut().in_flight = Some(in_flight);
        self.state.telemetry.http(route.label(), response.status().as_u16());
        response
    }

    async fn get(&self, route: Route<'_>, headers: &HeaderMap) -> Response<Answer> {
        match route {
            Route::Metrics => self.metrics(None, headers).await,
            Route::Target(target) => self.metrics(Some(target), headers).await,
            Route::Alerts => self.alerts(),
            Route::Healthy => plain(StatusCode::OK, "Healthy.\n"),
            Route::Ready if *self.state.ready.borrow() => plain(StatusCode::OK, "Ready.\n"),
            Route::Ready => plain(StatusCode::SERVICE_UNAVAILABLE, "Not ready yet.\n"),
            Route::Landing => {
                let view = self.state.board.view();
                let targets = view.reports.iter().map(|report| &*report.target);
                let page = landing::page(self.state.version, &self.state.telemetry_path, targets);
                let mut response =
                    answer(StatusCode::OK, "text/html; charset=utf-8", vec![Bytes::from(page)]);
                let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
                response.headers_mut().insert(hyper::header::CONTENT_SECURITY_POLICY, policy);
                response
            }
            Route::Unknown => plain(StatusCode::NOT_FOUND, "Not found.\n"),
        }
    }

    fn alerts(&self) -> Response<Answer> {
        let alerts = Arc::clone(&self.state.alerts.borrow());
        match api::alerts(&alerts, &self.state.options.labels) {
            Ok(json) => answer(StatusCode::OK, "application/json", vec![Bytes::from(json)]),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "The alerts cannot be written.\n"),
        }
    }

    async fn metrics(&self, target: Option<&str>, headers: &HeaderMap) -> Response<Answer> {
        let Ok(permit) = Arc::clone(&self.scrapes).try_acquire_owned() else {
            let mut response = plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many scrapes are being answered; try again later.\n",
            );
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return response;
        };
        let format = negotiate::format(headers);
        let coding = negotiate::coding(headers);
        let Some(panel) = self.pages.get(target, format, coding).await else {
            return plain(StatusCode::NOT_FOUND, "No such target.\n");
        };
        let alerts = Arc::clone(&self.state.alerts.borrow());
        let own = self.state.telemetry.gather();
        let tail = Tail { alerts: &alerts, labels: &self.state.options.labels, own: &own };
        let pieces = panel.complete(&tail, target);
        let mut response = answer(StatusCode::OK, format.content_type(), pieces);
        if coding == Coding::Gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        response.body_mut().permit = Some(permit);
        response
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    answer(status, "text/plain; charset=utf-8", vec![Bytes::from_static(text.as_bytes())])
}

fn answer(status: StatusCode, content_type: &'static str, pieces: Vec<Bytes>) -> Response<Answer> {
    let left = pieces.iter().map(|piece| u64::try_from(piece.len()).unwrap_or(u64::MAX)).sum();
    let mut response =
        Response::new(Answer { pieces: pieces.into_iter(), left, in_flight: None, permit: None });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body that is there in pieces. Each is let go as soon as it is sent.
struct Answer {
    pieces: vec::IntoIter<Bytes>,
    /// Bytes.
    left: u64,
    /// Held until the body is sent or given up.
    in_flight: Option<InFlight>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let answer = self.get_mut();
        let piece = answer.pieces.next();
        if let Some(piece) = &piece {
            answer.left = answer.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exposition::UserLabels, model::Timestamp};

    #[tokio::test]
    async fn scrapes_beyond_the_limit_are_refused_until_one_is_sent() {
        let options = Options { labels: UserLabels::Name, limit: 1 };
        let (board, clock) = (Board::new(["home"]), Clock::starting_at(Timestamp::default()));
        let server = Server {
            pages: Pages::new(board.clone(), clock.clone(), options.clone()),
            scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
            state: State {
                board,
                clock,
                telemetry: Telemetry::new(),
                options,
                telemetry_path: "/metrics".to_owned(),
                alerts: watch::channel(Arc::default()).1,
                ready: watch::channel(true).1,
                version: "0",
            },
        };
        let mut held = Vec::new();
        for _ in 0..MAX_SCRAPES {
            held.push(server.get(Route::Metrics, &HeaderMap::new()).await);
        }
        assert!(held.iter().all(|response| response.status() == StatusCode::OK));
        let refused = server.get(Route::Target("home"), &HeaderMap::new()).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key(RETRY_AFTER));
        let healthy = server.get(Route::Healthy, &HeaderMap::new()).await;
        assert_eq!(healthy.status(), StatusCode::OK);
        held.pop();
        let again = server.get(Route::Target("home"), &HeaderMap::new()).await;
        assert_eq!(again.status(), StatusCode::OK);
    }

    #[test]
    fn routes() {
        let cases = [
            ("/", "/metrics", "/"),
            ("/metrics", "/metrics", "/metrics"),
            ("/metrics/home", "/metrics", "/metrics/{target}"),
            ("/metrics/", "/metrics", "/metrics/{target}"),
            ("/metricsx", "/metrics", "other"),
            ("/metrics", "/m", "other"),
            ("/m/metrics", "/m", "/metrics/{target}"),
            ("/-/healthy", "/metrics", "/-/healthy"),
            ("/-/ready", "/metrics", "/-/ready"),
            ("/-/ready/", "/metrics", "other"),
            ("", "/metrics", "other"),
        ];
        for (path, telemetry_path, expected) in cases {
            assert_eq!(Route::of(path, telemetry_path).label(), expected, "{path} with {telemetry_path}");
        }
    }
}

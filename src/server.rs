//! The daemon's HTTP face: metrics, health, a status page, and what it tells as JSON.
//!
//! [`serve`] answers on listeners that are already bound. What is known of the targets is written once per change and
//! shared by all scrapers, see `pages`.

mod api;
mod negotiate;
mod pages;
mod seen;
mod stall;
mod standing;
mod status;

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
        ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        HeaderMap, HeaderValue, REFERRER_POLICY, RETRY_AFTER, VARY,
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
    clock::{Clock, Heartbeats},
    exposition::{Coding, Options, Tail},
    model::ActiveAlerts,
    telemetry::{InFlight, Telemetry},
};
use pages::Pages;
use seen::{Kept, Seen};
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
    pub setup: watch::Receiver<Arc<Setup>>,
    /// Where the metrics are, e.g. `/metrics`, but not `/`; those of one target are one level below.
    pub telemetry_path: String,
    /// What is pending and firing.
    pub alerts: watch::Receiver<Arc<ActiveAlerts>>,
    /// Whether the daemon is ready.
    pub ready: watch::Receiver<bool>,
    /// The loops without which the daemon is not healthy.
    pub heartbeats: Heartbeats,
    /// As the status page shows it.
    pub version: &'static str,
}

/// What of the answers depends on the configuration. It is replaced as one when that is loaded anew.
#[derive(Clone, Debug)]
pub struct Setup {
    pub options: Options,
    /// As `/config` shows it: fit for everyone who is answered.
    pub config: String,
    /// Who is told of alerts: name and kind, by name.
    pub receivers: Vec<(String, &'static str)>,
    /// Whether anybody is told of alerts at all.
    pub alerting: bool,
}

/// Answers on `listeners` until `stop` is done; then accepts no more, and returns when all requests being answered
/// are. The caller may drop this to have it stop at once.
pub async fn serve(listeners: Vec<TcpListener>, state: State, stop: impl Future<Output = ()>) {
    for route in Route::GOOD {
        state.telemetry.declare_path(route.label());
    }
    let server = Arc::new(Server {
        pages: Pages::new(state.board.clone(), state.clock.clone(), state.setup.clone()),
        scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
        status: Kept::default(),
        alerts: Kept::default(),
        targets: Kept::default(),
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
    status: Kept,
    alerts: Kept,
    targets: Kept,
}

/// What a request asks for.
#[derive(Clone, Copy)]
enum Route<'p> {
    Status,
    Metrics,
    /// Those of one target.
    Target(&'p str),
    Alerts,
    Targets,
    Config,
    Healthy,
    Ready,
    Unknown,
}

impl<'p> Route<'p> {
    /// Those that can succeed.
    const GOOD: [Route<'static>; 8] = [
        Route::Status,
        Route::Metrics,
        Route::Target(""),
        Route::Alerts,
        Route::Targets,
        Route::Config,
        Route::Healthy,
        Route::Ready,
    ];

    fn of(path: &'p str, telemetry_path: &str) -> Self {
        match path {
            "/-/healthy" => Route::Healthy,
            "/-/ready" => Route::Ready,
            "/api/v1/alerts" => Route::Alerts,
            "/api/v1/targets" => Route::Targets,
            "/config" => Route::Config,
            _ if path == telemetry_path => Route::Metrics,
            "/" => Route::Status,
            _ => path
                .strip_prefix(telemetry_path)
                .and_then(|rest| rest.strip_prefix('/'))
                .map_or(Route::Unknown, Route::Target),
        }
    }

    /// The path in `http_requests_total`: not the one asked for, of which there may be any number.
    fn label(self) -> &'static str {
        match self {
            Route::Status => "/",
            Route::Metrics => "/metrics",
            Route::Target(_) => "/metrics/{target}",
            Route::Alerts => "/api/v1/alerts",
            Route::Targets => "/api/v1/targets",
            Route::Config => "/config",
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
            Route::Status => self.status().await,
            Route::Alerts => self.json(&self.alerts, api::alerts::json).await,
            Route::Targets => self.json(&self.targets, api::targets::json).await,
            Route::Config => {
                let setup = Arc::clone(&self.state.setup.borrow());
                fresh(answer(StatusCode::OK, PLAIN, vec![Bytes::from(setup.config.clone())]))
            }
            Route::Healthy => match self.state.heartbeats.stuck() {
                None => plain(StatusCode::OK, "Healthy.\n"),
                Some(name) => {
                    let text = format!("Not healthy: the loop \"{name}\" is stuck.\n");
                    answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, vec![Bytes::from(text)])
                }
            },
            Route::Ready if *self.state.ready.borrow() => plain(StatusCode::OK, "Ready.\n"),
            Route::Ready => plain(StatusCode::SERVICE_UNAVAILABLE, "Not ready yet.\n"),
            Route::Unknown => plain(StatusCode::NOT_FOUND, "Not found.\n"),
        }
    }

    async fn status(&self) -> Response<Answer> {
        let Some(page) = self.status.get(&self.state, status::html).await else { return unwritable() };
        let mut response = fresh(answer(StatusCode::OK, "text/html; charset=utf-8", vec![page]));
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }

    async fn json(&self, kept: &Kept, write: fn(&Seen) -> serde_json::Result<Vec<u8>>) -> Response<Answer> {
        match kept.get(&self.state, write).await {
            Some(json) => fresh(answer(StatusCode::OK, "application/json", vec![json])),
            None => unwritable(),
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
        let setup = Arc::clone(&self.state.setup.borrow());
        let tail = Tail { alerts: &alerts, labels: &setup.options.labels, own: &own };
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

/// What the status page may do: nothing but have a style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const PLAIN: &str = "text/plain; charset=utf-8";

fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    answer(status, PLAIN, vec![Bytes::from_static(text.as_bytes())])
}

fn unwritable() -> Response<Answer> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "This cannot be written down.\n")
}

/// Names people perhaps, and is old in a moment: nobody on the way is to keep it.
fn fresh(mut response: Response<Answer>) -> Response<Answer> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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
        let setup = Setup { options, config: String::new(), receivers: Vec::new(), alerting: true };
        let setup = watch::channel(Arc::new(setup)).1;
        let (board, clock) = (Board::new(["home"]), Clock::starting_at(Timestamp::default()));
        let server = Server {
            pages: Pages::new(board.clone(), clock.clone(), setup.clone()),
            scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
            status: Kept::default(),
            alerts: Kept::default(),
            targets: Kept::default(),
            state: State {
                board,
                clock,
                telemetry: Telemetry::new(),
                setup,
                telemetry_path: "/metrics".to_owned(),
                alerts: watch::channel(Arc::default()).1,
                ready: watch::channel(true).1,
                heartbeats: Heartbeats::default(),
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
            ("/api/v1/targets", "/metrics", "/api/v1/targets"),
            ("/config", "/metrics", "/config"),
            ("", "/metrics", "other"),
        ];
        for (path, telemetry_path, expected) in cases {
            assert_eq!(Route::of(path, telemetry_path).label(), expected, "{path} with {telemetry_path}");
        }
    }
}

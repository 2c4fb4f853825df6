//! The HTTP server: metrics, health, the status page, and the same as JSON.
//!
//! [`serve`] answers on listeners that are already bound. `connections` sets the time limits, [`access`] checks
//! requests. Metrics of targets are rendered once per change and shared by all scrapers, see `pages`.

pub mod access;
pub mod config;

mod answer;
mod api;
mod connections;
mod negotiate;
mod pages;
mod seen;
mod stall;
mod status;
mod target;
mod tls;

use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{
        CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue,
        ORIGIN, REFERRER_POLICY, VARY, WWW_AUTHENTICATE,
    },
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    board::Board,
    clock::{Beats, Clock},
    exposition::{Coding, Options, Tail},
    model::ActiveAlerts,
    telemetry::Telemetry,
};
use access::{Access, Refusal, Terms};
use answer::{Answer, PLAIN, answer, busy, fresh, not_allowed, plain, unwritable};
use connections::{Connections, Place};
use pages::Pages;
use seen::{Kept, Seen};

/// Scrapes that are answered at the same time; further ones wait. `connections` limits the sending.
const MAX_SCRAPES: usize = 40;

/// Scrapes that waited so long are refused. Scrapers usually give up after ten seconds.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(8);

/// No request here needs a body; one that is larger, in bytes, is refused. None is read.
const MAX_BODY: u64 = 8 * 1024;

/// After an error of accepting, such as too many open files, it is tried again so much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the answers are made from.
pub struct State {
    pub board: Board,
    pub clock: Clock,
    pub telemetry: Telemetry,
    /// A new value holds from the next request on.
    pub setup: watch::Receiver<Arc<Setup>>,
    /// Where the metrics are, e.g. `/metrics`, but not `/`; those of one target are one level below.
    pub telemetry_path: String,
    /// What is pending and firing.
    pub alerts: watch::Receiver<Arc<ActiveAlerts>>,
    /// Whether the daemon is ready.
    pub ready: watch::Receiver<bool>,
    /// Requests to reload the configuration.
    pub reload: mpsc::Sender<Reload>,
    /// The loops without which the daemon is not healthy.
    pub beats: Beats,
    /// As the status page shows it.
    pub version: &'static str,
}

/// The part of the answers that depends on the configuration. A reload replaces it as a whole.
#[derive(Clone, Debug)]
pub struct Setup {
    pub options: Options,
    /// As `/config` shows it, without secrets.
    pub config: String,
    /// The receivers of notifications: name and kind, sorted by name.
    pub receivers: Vec<(String, &'static str)>,
    /// Whether alerting is enabled.
    pub alerting: bool,
    /// The checks of connections and requests.
    pub access: Arc<Access>,
}

/// Sockets that are bound. One that is missing from the next value is closed.
pub type Listeners = Vec<Arc<TcpListener>>;

/// A request to reload the configuration, and the way to answer it. The error says why the configuration cannot be
/// used.
pub type Reload = oneshot::Sender<Result<(), String>>;

/// Answers on `listeners` until `stop` is done. Then it accepts no more connections, and returns when the requests in
/// progress are answered. Dropping it stops it at once.
pub async fn serve(mut listeners: watch::Receiver<Listeners>, state: State, stop: impl Future<Output = ()>) {
    for route in Route::GOOD {
        state.telemetry.declare_path(route.label());
    }
    let connections = Arc::new(Connections::default());
    let server = Arc::new(Server {
        connections: Arc::clone(&connections),
        pages: Pages::new(state.board.clone(), state.clock.clone(), state.setup.clone()),
        scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
        status: Kept::default(),
        alerts: Kept::default(),
        targets: Kept::default(),
        state,
    });
    let (close, closing) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_ready(Arc::clone(&server), closing.clone()));
    let mut stop = pin!(stop);
    let mut open = listeners.borrow_and_update().clone();
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            Ok(()) = listeners.changed() => {
                open = listeners.borrow_and_update().clone();
                continue;
            }
            accepted = accept(&open, &connections) => accepted,
        };
        while tasks.try_join_next().is_some() {}
        let seat = connections.enter(peer);
        tasks.spawn(connections::attend(Arc::clone(&server), stream, seat, closing.clone()));
    }
    drop((open, listeners));
    close.send_replace(true);
    while tasks.join_next().await.is_some() {}
}

/// Keeps pages ready until the server stops.
async fn keep_ready(server: Arc<Server>, mut closing: watch::Receiver<bool>) {
    tokio::select! {
        _ = closing.changed() => {}
        () = server.pages.keep_ready() => {}
    }
}

async fn accept(listeners: &[Arc<TcpListener>], connections: &Connections) -> (TcpStream, IpAddr) {
    loop {
        match poll_fn(|cx| poll_accept(listeners, cx)).await {
            Ok((stream, peer)) => {
                // Else the end of an answer waits until the client has acknowledged what comes before it.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY on an HTTP connection");
                }
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                // Such as too many open files; only a client that has gone away again takes none.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    connections.dismiss_one();
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn poll_accept(
    listeners: &[Arc<TcpListener>],
    cx: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, IpAddr)>> {
    for listener in listeners {
        if let Poll::Ready(accepted) = listener.poll_accept(cx) {
            return Poll::Ready(accepted.map(|(stream, peer)| (stream, peer.ip())));
        }
    }
    Poll::Pending
}

/// Whether something else is at `path` or below it, so that the metrics cannot be there.
pub fn is_taken(path: &str) -> bool {
    Route::FIXED.into_iter().any(|route| {
        let rest = route.label().strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

struct Server {
    state: State,
    connections: Arc<Connections>,
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
    Reload,
    Unknown,
}

impl<'p> Route<'p> {
    /// Those that can succeed.
    const GOOD: [Route<'static>; 9] = [
        Route::Status,
        Route::Metrics,
        Route::Target(""),
        Route::Alerts,
        Route::Targets,
        Route::Config,
        Route::Healthy,
        Route::Ready,
        Route::Reload,
    ];

    /// Those whose path is their label, wherever the metrics are.
    const FIXED: [Route<'static>; 7] = [
        Route::Status,
        Route::Alerts,
        Route::Targets,
        Route::Config,
        Route::Healthy,
        Route::Ready,
        Route::Reload,
    ];

    fn of(path: &'p str, telemetry_path: &str) -> Self {
        if let Some(route) = Route::FIXED.into_iter().find(|route| route.label() == path) {
            return route;
        }
        match path.strip_prefix(telemetry_path) {
            Some("") => Route::Metrics,
            Some(rest) => rest.strip_prefix('/').map_or(Route::Unknown, Route::Target),
            None => Route::Unknown,
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
            Route::Reload => "/-/reload",
            Route::Unknown => "other",
        }
    }
}

/// Why a request gets no answer: its connection was made under other certificates. Clients repeat the request on a
/// new connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection was made under former terms")]
struct Outdated;

impl Server {
    fn access(&self) -> Arc<Access> {
        Arc::clone(&self.state.setup.borrow().access)
    }

    /// Answers a request on the connection at `place`, which was made with `tls`.
    async fn answer(
        &self,
        request: &Request<Incoming>,
        place: &Place,
        tls: Option<&Arc<ServerConfig>>,
    ) -> Result<Response<Answer>, Outdated> {
        let in_flight = self.state.telemetry.http_in_flight();
        let route = Route::of(request.uri().path(), &self.state.telemetry_path);
        let access = self.access();
        let mut response = match access.terms().await {
            Ok(terms) if !terms.same_tls(tls) => return Err(Outdated),
            Ok(terms) => self.judge(&access, &terms, place.peer, route, request).await,
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "The web configuration file is broken.\n"),
        };
        self.connections.make_room(place, response.body().pieces.as_slice()).await;
        response.body_mut().permit = None;
        let length = HeaderValue::from(response.body().left);
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response.body_mut().in_flight = Some(in_flight);
        self.state.telemetry.http(route.label(), response.status().as_u16());
        Ok(response)
    }

    /// Answers the request if it passes. Otherwise the answer is the same for every path, existing or not.
    async fn judge(
        &self,
        access: &Access,
        terms: &Terms,
        peer: IpAddr,
        route: Route<'_>,
        request: &Request<Incoming>,
    ) -> Response<Answer> {
        let health = matches!(route, Route::Healthy);
        let mut response = match access.admit(terms, peer, request.headers(), health).await {
            Ok(()) => self.respond(route, request).await,
            Err(Refusal::TooFast) => return plain(StatusCode::TOO_MANY_REQUESTS, "Too many requests.\n"),
            Err(Refusal::Unknown) => {
                let mut response = plain(StatusCode::UNAUTHORIZED, "Unauthorized.\n");
                for challenge in terms.challenges() {
                    response.headers_mut().append(WWW_AUTHENTICATE, challenge);
                }
                response
            }
            Err(Refusal::Busy) => busy("Too many passwords are being looked at; try again later.\n"),
        };
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(hyper::header::X_CONTENT_TYPE_OPTIONS, nosniff);
        for (name, value) in &terms.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    async fn respond(&self, route: Route<'_>, request: &Request<Incoming>) -> Response<Answer> {
        if request.body().size_hint().upper().is_none_or(|size| size > MAX_BODY) {
            let mut response = plain(StatusCode::PAYLOAD_TOO_LARGE, "No request here needs a body.\n");
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        match (route, request.method()) {
            (Route::Unknown, _) => plain(StatusCode::NOT_FOUND, "Not found.\n"),
            // Pages of other sites may send requests from a browser that can reach this port.
            (Route::Reload, &Method::POST | &Method::PUT) if request.headers().contains_key(ORIGIN) => {
                plain(StatusCode::FORBIDDEN, "Not for browsers.\n")
            }
            (Route::Reload, &Method::POST | &Method::PUT) => self.reload().await,
            (Route::Reload, _) => not_allowed("Only POST and PUT are served here.\n", "POST, PUT"),
            (_, &Method::GET | &Method::HEAD) => self.get(route, request.headers()).await,
            (_, _) => not_allowed("Only GET and HEAD are served here.\n", "GET, HEAD"),
        }
    }

    /// Reloads the configuration and answers with the outcome.
    async fn reload(&self) -> Response<Answer> {
        let (done, outcome) = oneshot::channel();
        // If it cannot be sent, it will not be answered either.
        drop(self.state.reload.send(done).await);
        match outcome.await {
            Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "The exporter is stopping.\n"),
            Ok(Ok(())) => plain(StatusCode::OK, "The configuration was reloaded.\n"),
            Ok(Err(why)) => {
                let text =
                    format!("The configuration cannot be used; the one before stays in force:\n{why}\n");
                let pieces = vec![Bytes::from(text)];
                answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", pieces)
            }
        }
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
            Route::Healthy => match self.state.beats.stuck().as_slice() {
                [] => plain(StatusCode::OK, "Healthy.\n"),
                stuck => {
                    let text = format!("Not healthy, these loops are stuck: {}.\n", stuck.join(", "));
                    answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, vec![Bytes::from(text)])
                }
            },
            Route::Ready if *self.state.ready.borrow() => plain(StatusCode::OK, "Ready.\n"),
            Route::Ready => plain(StatusCode::SERVICE_UNAVAILABLE, "Not ready yet.\n"),
            Route::Reload | Route::Unknown => plain(StatusCode::NOT_FOUND, "Not found.\n"),
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
        let permit = timeout(SCRAPE_PATIENCE, Arc::clone(&self.scrapes).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return busy("Too many scrapes are being answered; try again later.\n");
        };
        let format = negotiate::format(headers);
        let coding = negotiate::coding(headers);
        let Some(panel) = self.pages.get(target, format, coding).await else {
            return plain(StatusCode::NOT_FOUND, "No such target.\n");
        };
        let alerts = Arc::clone(&self.state.alerts.borrow());
        let own = self.state.telemetry.gather();
        let tail = Tail { alerts: &alerts, own: &own };
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

/// The status page may have a style and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exposition::UserLabels, model::Timestamp};

    pub(super) fn setup() -> watch::Receiver<Arc<Setup>> {
        let setup = Setup {
            options: Options { labels: UserLabels::Name, limit: 10 },
            config: String::new(),
            receivers: Vec::new(),
            alerting: true,
            access: Arc::new(Access::open(&Default::default(), &Telemetry::new()).unwrap()),
        };
        watch::channel(Arc::new(setup)).1
    }

    pub(super) fn server() -> Server {
        let (board, clock) = (Board::new(["home"]), Clock::starting_at(Timestamp::default()));
        Server {
            connections: Arc::default(),
            pages: Pages::new(board.clone(), clock.clone(), setup()),
            scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
            status: Kept::default(),
            alerts: Kept::default(),
            targets: Kept::default(),
            state: State {
                board,
                clock,
                telemetry: Telemetry::new(),
                setup: setup(),
                telemetry_path: "/metrics".to_owned(),
                alerts: watch::channel(Arc::default()).1,
                ready: watch::channel(true).1,
                reload: mpsc::channel(1).0,
                beats: Beats::default(),
                version: "0",
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn scrapes_beyond_the_limit_are_refused_until_one_is_answered() {
        let server = server();
        let mut held = Vec::new();
        for _ in 0..MAX_SCRAPES {
            held.push(server.get(Route::Metrics, &HeaderMap::new()).await);
        }
        assert!(held.iter().all(|response| response.status() == StatusCode::OK));
        let refused = server.get(Route::Target("home"), &HeaderMap::new()).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        let healthy = server.get(Route::Healthy, &HeaderMap::new()).await;
        assert_eq!(healthy.status(), StatusCode::OK);
        held.pop();
        let again = server.get(Route::Target("home"), &HeaderMap::new()).await;
        assert_eq!(again.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn answers_are_sent_without_delay() {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = accept(&[listener], &Connections::default()).await;
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn metrics_cannot_be_where_something_else_is() {
        for taken in
            ["/config", "/api", "/api/v1", "/api/v1/alerts", "/api/v1/targets", "/-", "/-/ready", "/"]
        {
            assert!(is_taken(taken), "{taken}");
        }
        for free in ["/metrics", "/m/metrics", "/configs", "/conf", "/config/metrics", "/api/v2"] {
            assert!(!is_taken(free), "{free}");
        }
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

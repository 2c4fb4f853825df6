//! Requests and their answers: the check of access, the route, and the content.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{
        CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName,
        HeaderValue, LINK, REFERRER_POLICY, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
    http::request::Parts,
};
use rustls::ServerConfig;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    access::{Access, Refusal, Terms},
    answer::{
        Answer, PLAIN, answer, bad_request, busy, fresh, json, methods, not_allowed, plain, unwritable,
    },
    api::{self, alerts::Query, usage},
    commands::{self, MAX_BODY, is_of_a_page},
    connections::{Connections, Place},
    host, negotiate,
    pages::{Metrics, Pages},
    route::Route,
    runbook,
    seen::{Seen, SharedPage},
    state::State,
    status::{self, Asked, Page},
};
use crate::exposition::Coding;

/// Scrapes that are answered at the same time; further ones wait. `connections` limits the sending.
pub(super) const MAX_SCRAPES: usize = 40;

/// Requests that read the history of use at the same time; further ones wait.
const MAX_READS: usize = 4;

/// Scrapes that waited so long are refused. Scrapers usually give up after ten seconds.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(8);

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

pub(super) struct Server {
    pub(super) state: State,
    pub(super) connections: Arc<Connections>,
    pub(super) pages: Pages,
    pub(super) scrapes: Arc<Semaphore>,
    status: SharedPage<Page>,
    /// The last page of another kind, or part of a table, that was asked for.
    status_pages: SharedPage<Page>,
    alerts: SharedPage<Query>,
    /// The last page of alerts that was asked for with parameters: different ones keep no more in memory.
    alert_pages: SharedPage<Query>,
    targets: SharedPage,
    silences: SharedPage,
    /// Held while the history of use is read.
    reads: Arc<Semaphore>,
    /// Made for the first request.
    runbook: OnceLock<Option<Bytes>>,
}

/// Why a request gets no answer: its connection was made under other certificates. Clients repeat the request on a
/// new connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection was made under former terms")]
pub(super) struct Outdated;

impl Server {
    pub(super) fn new(state: State) -> Self {
        Server {
            connections: Arc::default(),
            pages: Pages::new(&state),
            scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
            status: SharedPage::default(),
            status_pages: SharedPage::default(),
            alerts: SharedPage::default(),
            alert_pages: SharedPage::default(),
            targets: SharedPage::default(),
            silences: SharedPage::default(),
            reads: Arc::new(Semaphore::new(MAX_READS)),
            runbook: OnceLock::new(),
            state,
        }
    }

    pub(super) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.state.setup.borrow().access)
    }

    /// Answers a request on the connection at `place`, which was made with `tls`.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        place: &Place,
        tls: Option<&Arc<ServerConfig>>,
    ) -> Result<Response<Answer>, Outdated> {
        let in_flight = self.state.telemetry.http_in_flight();
        let (head, body) = request.into_parts();
        let route = Route::of(head.uri.path(), &self.state.telemetry_path);
        let access = self.access();
        let mut response = match access.terms().await {
            Ok(terms) if !terms.same_tls(tls) => return Err(Outdated),
            Ok(terms) => self.judge(&access, &terms, place, route, &head, body).await,
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "The web configuration file is broken.\n"),
        };
        self.connections.make_room(place, response.body().held()).await;
        response.body_mut().permit = None;
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response.body_mut().in_flight = Some(in_flight);
        self.state.telemetry.http(route.label(), response.status().as_u16());
        Ok(response)
    }

    /// Answers the request if it passes. Otherwise the answer is the same for every path, existing or not, as it is to
    /// `OPTIONS`, which needs no password: load balancers ask so whether a server is alive.
    async fn judge(
        &self,
        access: &Access,
        terms: &Terms,
        place: &Place,
        route: Route<'_>,
        head: &Parts,
        body: Incoming,
    ) -> Response<Answer> {
        if terms.is_too_fast() {
            return plain(StatusCode::TOO_MANY_REQUESTS, "Too many requests.\n");
        }
        let mut response = match host::of(&head.uri, &head.headers, head.version) {
            Err(bad) => bad_request(bad.text()),
            Ok(_) if head.method == Method::OPTIONS => options(terms, route, head.uri.path()),
            Ok(Some(host)) if terms.is_open() && !self.may_be_called(&host, place, route) => {
                let pieces = vec![Bytes::from(host::advice(&host))];
                answer(StatusCode::MISDIRECTED_REQUEST, PLAIN, pieces)
            }
            Ok(_) => self.admit(access, terms, place, route, head, body).await,
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Pages of other sites must not embed anything from here.
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        for (name, value) in &terms.headers {
            headers.insert(name, value.clone());
        }
        response
    }

    /// Whether a port without a password may be reached by this name. On other addresses than loopback, scrapers use names
    /// that only their network knows. Health is checked by any name.
    fn may_be_called(&self, host: &str, place: &Place, route: Route<'_>) -> bool {
        !place.local.to_canonical().is_loopback()
            || matches!(route, Route::Healthy | Route::Ready)
            || host::is_ours(host, &self.state.setup.borrow().names)
    }

    /// Answers the request if its credentials are right.
    async fn admit(
        &self,
        access: &Access,
        terms: &Terms,
        place: &Place,
        route: Route<'_>,
        head: &Parts,
        body: Incoming,
    ) -> Response<Answer> {
        let health = matches!(route, Route::Healthy);
        match access.admit(terms, place.peer, &head.headers, health).await {
            Ok(()) => self.respond(route, head, body).await,
            Err(Refusal::Unknown) => {
                let mut response = plain(StatusCode::UNAUTHORIZED, "Unauthorized.\n");
                for challenge in terms.challenges() {
                    response.headers_mut().append(WWW_AUTHENTICATE, challenge);
                }
                response
            }
            Err(Refusal::Busy) => busy("Too many passwords are being looked at; try again later.\n"),
        }
    }

    async fn respond(&self, route: Route<'_>, head: &Parts, body: Incoming) -> Response<Answer> {
        let most = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
        if body.size_hint().upper().is_none_or(|size| size > most) {
            let text = "The body is larger than 8 KiB, or the header Content-Length is missing.\n";
            let mut response = plain(StatusCode::PAYLOAD_TOO_LARGE, text);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        let changes = match (route, &head.method) {
            (Route::Reload, &Method::POST | &Method::PUT)
            | (Route::Silences, &Method::POST)
            | (Route::Silence(_), &Method::DELETE) => true,
            (_, _) => false,
        };
        match (route, &head.method) {
            (Route::Unknown, _) => plain(StatusCode::NOT_FOUND, "Not found.\n"),
            _ if changes && is_of_a_page(&head.headers) => {
                plain(StatusCode::FORBIDDEN, "Not for browsers.\n")
            }
            (Route::Reload, _) if changes => commands::reload(&self.state).await,
            (Route::Silences, _) if changes => commands::put_silence(&self.state, &head.headers, body).await,
            (Route::Silence(id), _) if changes => commands::expire_silence(&self.state, id).await,
            (Route::Reload, _) => not_allowed("Only POST and PUT are served here.\n", methods_of(route)),
            (_, &Method::GET | &Method::HEAD) => self.get(route, head).await,
            (Route::Silences, _) => {
                not_allowed("Only GET, HEAD and POST are served here.\n", methods_of(route))
            }
            (Route::Silence(_), _) => {
                not_allowed("Only GET, HEAD and DELETE are served here.\n", methods_of(route))
            }
            (_, _) => not_allowed("Only GET and HEAD are served here.\n", methods_of(route)),
        }
    }

    async fn get(&self, route: Route<'_>, head: &Parts) -> Response<Answer> {
        let headers = &head.headers;
        match route {
            Route::Metrics => self.metrics(None, headers).await,
            Route::Target(target) => self.metrics(Some(target), headers).await,
            Route::Status => self.status(Page::Status(Asked::of(head.uri.query()))).await,
            Route::TargetPage(target) => {
                self.status(Page::Target(target.to_owned(), Asked::of(head.uri.query()))).await
            }
            Route::UsersPage(target) => {
                self.status(Page::Users(target.to_owned(), Asked::of(head.uri.query()))).await
            }
            Route::UserPage(target, label) => {
                self.status(Page::User(target.to_owned(), label.to_owned())).await
            }
            Route::ReceiverPage(receiver) => self.status(Page::Receiver(receiver.to_owned())).await,
            Route::Runbook => page(self.runbook()),
            Route::Alerts => match Query::of(head.uri.query()) {
                Ok(query) if query == Query::default() => {
                    json_or_error(self.alerts.get(&self.state, query, api::alerts::json).await)
                }
                Ok(query) => json_or_error(self.alert_pages.get(&self.state, query, api::alerts::json).await),
                Err(why) => json(StatusCode::BAD_REQUEST, api::bad_data(&why)),
            },
            Route::Targets => {
                json_or_error(self.targets.get(&self.state, (), |seen, ()| api::targets::json(seen)).await)
            }
            Route::Usage => self.usage(head.uri.query(), headers).await,
            Route::Silences => {
                json_or_error(self.silences.get(&self.state, (), |seen, ()| api::silences::json(seen)).await)
            }
            Route::Silence(id) => match api::silences::one(&Seen::now(&self.state), id) {
                Some(text) => json_or_error(text.ok().map(Bytes::from)),
                None => plain(StatusCode::NOT_FOUND, "No such silence.\n"),
            },
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

    async fn status(&self, asked: Page) -> Response<Answer> {
        if !asked.exists(&self.state) {
            return plain(StatusCode::NOT_FOUND, "There is no target or receiver of this name.\n");
        }
        let is_usual = asked == Page::Status(Asked::default());
        let pages = if is_usual { &self.status } else { &self.status_pages };
        page(pages.get(&self.state, asked, status::html).await)
    }

    async fn usage(&self, parameters: Option<&str>, headers: &HeaderMap) -> Response<Answer> {
        let query = match usage::Query::of(parameters, negotiate::wants_csv(headers)) {
            Ok(query) => query,
            Err(why) => return json(StatusCode::BAD_REQUEST, api::bad_data(&why)),
        };
        // It fails only when the server is dropped.
        let Ok(permit) = Arc::clone(&self.reads).acquire_owned().await else { return unwritable() };
        let (seen, history) = (Seen::now(&self.state), self.state.usage.clone());
        let format = query.format;
        let read = tokio::task::spawn_blocking(move || {
            let page = usage::page(&seen, &history, &query);
            drop(permit);
            page
        });
        let mut response = match read.await {
            Ok(Ok(page)) => {
                let kind =
                    if format == usage::Format::Csv { "text/csv; charset=utf-8" } else { "application/json" };
                let mut response = fresh(answer(StatusCode::OK, kind, vec![page.text.into()]));
                let link = page.next.map(|next| format!("<?{next}>; rel=\"next\""));
                if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
                    response.headers_mut().insert(LINK, link);
                }
                response
            }
            Ok(Err(refused)) => {
                let (status, text) = refused.answer();
                json(status, text)
            }
            Err(_) => unwritable(),
        };
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
        response
    }

    fn runbook(&self) -> Option<Bytes> {
        let write = || runbook::page(self.state.version).map(Bytes::from).ok();
        self.runbook.get_or_init(write).clone()
    }

    async fn metrics(&self, target: Option<&str>, headers: &HeaderMap) -> Response<Answer> {
        let permit = timeout(SCRAPE_PATIENCE, Arc::clone(&self.scrapes).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return busy("Too many scrapes are being answered; try again later.\n");
        };
        let format = negotiate::format(headers);
        let coding = negotiate::coding(headers);
        let (pieces, stream) = match self.pages.get(target, format, coding).await {
            Some(Metrics::Ready(pieces)) => (pieces, None),
            Some(Metrics::Written(stream)) => (Vec::new(), Some(stream)),
            None => return plain(StatusCode::NOT_FOUND, "No such target.\n"),
        };
        let mut response = answer(StatusCode::OK, format.content_type(), pieces);
        response.body_mut().stream = stream;
        if coding == Coding::Gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        response.body_mut().permit = Some(permit);
        response
    }
}

fn json_or_error(text: Option<Bytes>) -> Response<Answer> {
    match text {
        Some(text) => json(StatusCode::OK, text),
        None => unwritable(),
    }
}

/// Answers `OPTIONS`. With a password, all paths get the same answer, which tells nothing.
fn options(terms: &Terms, route: Route<'_>, path: &str) -> Response<Answer> {
    match route {
        _ if path == "*" || terms.asks_for_credentials() => methods("GET, HEAD, POST, PUT, DELETE, OPTIONS"),
        Route::Unknown => plain(StatusCode::NOT_FOUND, "Not found.\n"),
        route => methods(methods_of(route)),
    }
}

fn methods_of(route: Route<'_>) -> &'static str {
    match route {
        Route::Reload => "POST, PUT, OPTIONS",
        Route::Silences => "GET, HEAD, POST, OPTIONS",
        Route::Silence(_) => "GET, HEAD, DELETE, OPTIONS",
        Route::Status
        | Route::TargetPage(_)
        | Route::UsersPage(_)
        | Route::UserPage(_, _)
        | Route::ReceiverPage(_)
        | Route::Metrics
        | Route::Target(_)
        | Route::Alerts
        | Route::Targets
        | Route::Usage
        | Route::Config
        | Route::Runbook
        | Route::Healthy
        | Route::Ready
        | Route::Unknown => "GET, HEAD, OPTIONS",
    }
}

/// An answer with a page in HTML.
fn page(html: Option<Bytes>) -> Response<Answer> {
    let Some(html) = html else { return unwritable() };
    let mut response = fresh(answer(StatusCode::OK, "text/html; charset=utf-8", vec![html]));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A page may have a style and a search, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

#[cfg(test)]
pub(super) mod tests {
    use jiff::tz::TimeZone;
    use tokio::sync::{mpsc, watch};

    use super::{super::state::Setup, *};
    use crate::{
        board::Board,
        clock::{Beats, Clock},
        exposition::{Options, UserLabels},
        model::Timestamp,
        store::Usage,
        telemetry::Telemetry,
        wording::Voice,
    };

    pub(in crate::server) fn setup() -> watch::Receiver<Arc<Setup>> {
        let setup = Setup {
            options: Options {
                labels: UserLabels::Name,
                limit: 20_000,
                inbounds: false,
                used_today: false,
                budgets: Vec::new(),
            },
            config: String::new(),
            receivers: Vec::new(),
            voice: Voice::default(),
            names: Vec::new(),
            llms: Vec::new(),
            dashboards: String::new(),
            alerting: true,
            access: Arc::new(Access::open(&Default::default(), &Telemetry::new()).unwrap()),
        };
        watch::channel(Arc::new(setup)).1
    }

    pub(in crate::server) fn server() -> Server {
        Server::new(state(["home"]))
    }

    pub(in crate::server) fn state<const N: usize>(targets: [&str; N]) -> State {
        State {
            board: Board::new(targets),
            clock: Clock::starting_at(Timestamp::default()),
            telemetry: Telemetry::new(),
            setup: setup(),
            telemetry_path: "/metrics".to_owned(),
            usage: Usage::in_memory(&Clock::starting_at(Timestamp::default()), TimeZone::UTC),
            alerts: watch::channel(Arc::default()).1,
            ready: watch::channel(true).1,
            reload: mpsc::channel(1).0,
            silences: mpsc::channel(1).0,
            beats: Beats::default(),
            version: "0",
        }
    }

    #[tokio::test]
    async fn only_loopback_is_reached_by_known_names_alone() {
        let server = server();
        for (local, host, expected) in [
            ("127.0.0.1", "attacker.example", false),
            ("127.0.0.2", "attacker.example", false),
            ("::1", "attacker.example", false),
            ("::ffff:127.0.0.1", "attacker.example", false),
            ("127.0.0.1", "localhost", true),
            // The name of a service in a network of containers.
            ("172.17.0.2", "proxymeter", true),
            ("::ffff:172.17.0.2", "proxymeter", true),
            ("2001:db8::1", "proxymeter.example.com", true),
        ] {
            let place = Place::new([192, 0, 2, 7].into(), local.parse().unwrap(), Arc::default());
            assert_eq!(server.may_be_called(host, &place, Route::Metrics), expected, "{host} at {local}");
            assert!(server.may_be_called(host, &place, Route::Healthy));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn scrapes_beyond_the_limit_are_refused_until_one_is_answered() {
        let server = server();
        let mut held = Vec::new();
        for _ in 0..MAX_SCRAPES {
            held.push(server.get(Route::Metrics, &Request::new(()).into_parts().0).await);
        }
        assert!(held.iter().all(|response| response.status() == StatusCode::OK));
        let refused = server.get(Route::Target("home"), &Request::new(()).into_parts().0).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        let healthy = server.get(Route::Healthy, &Request::new(()).into_parts().0).await;
        assert_eq!(healthy.status(), StatusCode::OK);
        held.pop();
        let again = server.get(Route::Target("home"), &Request::new(()).into_parts().0).await;
        assert_eq!(again.status(), StatusCode::OK);
    }
}

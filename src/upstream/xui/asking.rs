//! One request, with the session that it needs, and the words for what is wrong.

use reqwest::{
    RequestBuilder,
    header::{ACCEPT, LOCATION},
};
use tracing::warn;

use super::{
    Xui,
    config::Login,
    envelope::{self, Envelope, Found, other_system},
    routes::{self, Route, Subject},
};
use crate::{
    http::{self, Body, Limits, Refusal, Repeat, Reply},
    model::{Moment, Reason},
    upstream::{
        Cause, FetchError,
        json::{self, Object},
    },
};

/// Why a request brought nothing.
#[derive(Debug)]
enum Miss {
    /// The panel has no such route.
    NoRoute,
    Failed(FetchError),
}

impl From<FetchError> for Miss {
    fn from(err: FetchError) -> Self {
        Miss::Failed(err)
    }
}

impl Xui {
    /// Asks for one small JSON value.
    pub(super) async fn value(&mut self, subject: Subject, now: Moment) -> Result<Found<String>, FetchError> {
        let limits = self.small;
        self.find(subject, now, limits, envelope::value).await
    }

    /// As [`Xui::value`], but not within an hour after the panel refused it: something else can be read instead.
    pub(super) async fn value_if_allowed(
        &mut self,
        subject: Subject,
        now: Moment,
    ) -> Result<Found<String>, FetchError> {
        if self.routes.is_refused(subject, now) {
            return Err(FetchError::new(subject.routes()[0].path, Cause::NotAllowed));
        }
        self.value(subject, now).await
    }

    /// Asks for a subject whose answer may be long. For two seconds after its start, a panel may answer null for what it
    /// has. So a null is believed only if the one before was null too, and the first answer of all is requested again.
    pub(super) async fn find<T, D>(
        &mut self,
        subject: Subject,
        now: Moment,
        limits: Limits,
        decode: impl FnOnce(Body) -> D + Clone,
    ) -> Result<Found<T>, FetchError>
    where
        D: Future<Output = serde_json::Result<Envelope<T>>>,
    {
        let mut found = self.find_once(subject, now, limits, decode.clone()).await?;
        let before = self.had_value.get(&subject).copied();
        if matches!(found, Found::Null) && before.is_none() && !subject.may_be_null() {
            self.wait_for_a_sample().await;
            found = self.find_once(subject, now, limits, decode).await?;
        }
        if !matches!(found, Found::NoRoute) {
            self.had_value.insert(subject, matches!(found, Found::Some(_)));
        }
        let is_passing = matches!(found, Found::Null) && before == Some(true) && !subject.may_be_null();
        Ok(if is_passing { Found::NotYet } else { found })
    }

    /// Waits until a panel that has just started, or that did not sample its host, has a new sample.
    pub(super) async fn wait_for_a_sample(&mut self) {
        let wait = self.config.sample_wait;
        self.beat.within(wait + self.small.deadline);
        tokio::time::sleep(wait).await;
    }

    /// Asks by the route that is known to answer, else by each that the subject has.
    async fn find_once<T, D>(
        &mut self,
        subject: Subject,
        now: Moment,
        limits: Limits,
        decode: impl FnOnce(Body) -> D + Clone,
    ) -> Result<Found<T>, FetchError>
    where
        D: Future<Output = serde_json::Result<Envelope<T>>>,
    {
        match self.routes.known(subject) {
            Some(None) => return Ok(Found::NoRoute),
            Some(Some(route)) => match self.ask(route, now, limits, decode.clone()).await {
                Ok(found) => {
                    // A new login forgets the routes.
                    self.routes.learn(subject, route);
                    return Ok(found);
                }
                Err(Miss::Failed(err)) => {
                    if err.cause == Cause::NotAllowed {
                        self.routes.refuse(subject, now);
                    }
                    return Err(err);
                }
                Err(Miss::NoRoute) if subject == Subject::Status => self.routes.forget_but(None),
                Err(Miss::NoRoute) => self.routes.forget(subject),
            },
            None => {}
        }
        for route in subject.routes() {
            if self.has_token() && !route.takes_token() {
                continue;
            }
            match self.ask(*route, now, limits, decode.clone()).await {
                Ok(found) => {
                    self.routes.learn(subject, *route);
                    return Ok(found);
                }
                Err(Miss::NoRoute) => {}
                Err(Miss::Failed(err)) => {
                    // A panel fails, and forbids, only where it has a route.
                    let is_there = matches!(err.cause, Cause::NotAllowed | Cause::PanelFailed)
                        || err.cause == Cause::Http(http::Error::Status(500));
                    if is_there {
                        self.routes.learn(subject, *route);
                    }
                    if err.cause == Cause::NotAllowed {
                        self.routes.refuse(subject, now);
                    }
                    return Err(err);
                }
            }
        }
        if subject == Subject::Status || self.routes.finds_none(subject, now) {
            return Ok(Found::NoRoute);
        }
        Err(FetchError::new(subject.routes()[0].path, Cause::NotFound(404)))
    }

    /// One request. Logs in if there is no session, and once more if the panel no longer accepts it.
    async fn ask<T, D>(
        &mut self,
        route: Route,
        now: Moment,
        limits: Limits,
        decode: impl FnOnce(Body) -> D + Clone,
    ) -> Result<Found<T>, Miss>
    where
        D: Future<Output = serde_json::Result<Envelope<T>>>,
    {
        let asked = route.path;
        let (mut is_new, mut csrf_is_new) = (!self.session.is_open(), false);
        loop {
            self.log_in(now).await?;
            let may_be_lost = !is_new && self.session.may_be_lost(asked);
            let repeat = if route.is_get { Repeat::Safe } else { Repeat::Never };
            let request = self.request(route);
            let refusal = match self.send(request, repeat, limits, decode.clone(), now).await {
                Ok(Envelope { success: Some(false), .. }) => {
                    let is_of_old = self.session.is_of_an_old_panel();
                    if !(is_of_old && may_be_lost) {
                        if is_of_old && is_new {
                            self.session.was_refused(asked);
                        }
                        return Err(FetchError::new(asked, Cause::PanelFailed).into());
                    }
                    // Most likely the session has ended, which old panels do not answer with a status.
                    self.replace_session(asked, now).await?;
                    is_new = true;
                    continue;
                }
                Ok(Envelope { success: Some(true), value }) => {
                    self.session.was_accepted(asked, now);
                    return Ok(value.map_or(Found::Null, Found::Some));
                }
                Ok(Envelope { success: None, .. }) => return Err(other_system(asked).into()),
                Err(refusal) => refusal,
            };
            let Some(status) = status(&refusal.error) else {
                return Err(self.unusable(asked, refusal).into());
            };
            match status {
                401 | 307 if self.has_token() => return Err(self.token_refused(asked).into()),
                401 | 404 | 307 if may_be_lost && (status != 404 || self.routes.has_answered(route)) => {
                    if self.has_token() {
                        return Err(Miss::NoRoute);
                    }
                    self.replace_session(asked, now).await?;
                    is_new = true;
                }
                401 | 307 if is_new => {
                    self.session.was_refused(asked);
                    return Err(FetchError::new(asked, Cause::SessionLost).into());
                }
                301 | 308 | 404 | 405 => return Err(Miss::NoRoute),
                403 if envelope::is_refusal(&refusal.said) => {
                    return Err(FetchError::new(asked, Cause::NotAllowed).into());
                }
                403 if !route.is_get && !self.has_token() && !csrf_is_new => {
                    csrf_is_new = true;
                    self.get_csrf(now).await?;
                }
                403 if refusal.said.is_empty() && !Subject::Status.routes().contains(&route) => {
                    let cause = if csrf_is_new { Cause::CrossSite } else { refusal.error.into() };
                    return Err(FetchError::new(asked, cause).into());
                }
                _ => return Err(self.unusable(asked, refusal).into()),
            }
        }
    }

    /// Logs in again instead of using a session that the panel no longer accepts. It may be another panel by now, which
    /// the next status shows if its route no longer answers.
    async fn replace_session(&mut self, asked: &'static str, now: Moment) -> Result<(), FetchError> {
        if !self.session.may_renew(now) {
            if self.session.warns() {
                warn!(
                    panel = ?self.config.endpoint.url,
                    "the panel forgets its sessions within an hour; new logins are made ever more rarely"
                );
            }
            return Err(FetchError::new(asked, Cause::SessionLost));
        }
        self.session.lost();
        self.routes.forget_but(Some(Subject::Status));
        self.log_in(now).await
    }

    /// Whether each request has the whole login, a token or a certificate, so that there are no sessions.
    pub(super) fn has_token(&self) -> bool {
        match self.config.login {
            Login::Token(_) | Login::Certificate => true,
            Login::Password(_) => false,
        }
    }

    fn request(&self, route: Route) -> RequestBuilder {
        let request = self.bare_request(route);
        match &self.config.login {
            Login::Token(token) if route.takes_token() => request.bearer_auth(token.expose()),
            Login::Token(_) | Login::Certificate => request,
            Login::Password(_) => self.session.authorize(request, route.is_get),
        }
    }

    /// A request without a login. Without these headers, panels redirect to their login page.
    pub(super) fn bare_request(&self, route: Route) -> RequestBuilder {
        let url = self.config.endpoint.url.join(route.path);
        headers_of_scripts(if route.is_get { self.http.get(url) } else { self.http.post(url) })
    }

    /// As [`Xui::bare_request`], on a connection of its own: a login is never sent twice.
    pub(super) fn login_request(&self, path: &'static str) -> RequestBuilder {
        headers_of_scripts(self.http.post_alone(self.config.endpoint.url.join(path)))
    }

    async fn send<T, D>(
        &mut self,
        request: RequestBuilder,
        repeat: Repeat,
        limits: Limits,
        decode: impl FnOnce(Body) -> D,
        now: Moment,
    ) -> Result<T, Refusal>
    where
        D: Future<Output = serde_json::Result<T>>,
    {
        self.begins(limits, now);
        let answer = self.http.read(request, repeat, limits, decode).await.map_err(with_its_status)?;
        self.clock.learn(answer.date, now, answer.began);
        Ok(answer.value)
    }

    /// Counts a request that is about to be sent.
    pub(super) fn begins(&mut self, limits: Limits, now: Moment) {
        self.notes.requests += 1;
        self.beat.within(limits.deadline);
        self.clock.begins(now);
    }

    /// The words for an answer that no route of a panel gives.
    pub(super) fn unusable(&self, asked: &'static str, refusal: Refusal) -> FetchError {
        let hint = match refusal.error {
            http::Error::Status(403) if refusal.said.is_empty() => Cause::Hint(
                Reason::Forbidden,
                "the panel refuses every request (answered 403); its setting for the domain (webDomain) must \
                 be the host in the URL",
            ),
            http::Error::NotJson(_) => Cause::Hint(
                Reason::NotJson,
                "the answer is a page instead of JSON, as of a login or a proxy; check the URL and its base path",
            ),
            _ => return FetchError::refused(asked, refusal),
        };
        FetchError::new(asked, hint)
    }

    /// Why a panel has no status for this login.
    pub(super) async fn diagnose(&mut self, now: Moment) -> FetchError {
        const ASKED: &str = "/panel/api/server/status";
        if !self.has_token() {
            // A panel that was there may have lost the session, as 2.8 answers that with 404, too.
            if self.is_known && self.session.may_renew(now) {
                self.session.lost();
            }
            return FetchError::new(ASKED, Cause::NotFound(404));
        }
        match self.find_csrf(now).await {
            Ok(true) => self.token_refused(ASKED),
            Ok(false) => match self.base_page(now).await {
                Ok(()) => FetchError::new(
                    ASKED,
                    Cause::Hint(
                        Reason::NotFound,
                        "this panel has no API tokens, which came with 3x-ui 3.0; write username and \
                         password_file instead",
                    ),
                ),
                Err(err) => err,
            },
            Err(err) => err,
        }
    }

    /// Asks for the login page. It is there if the base path is right, and shows the version of panels before 3.0.
    pub(super) async fn base_page(&mut self, now: Moment) -> Result<(), FetchError> {
        const ASKED: &str = "/";
        const PAGE: usize = 64 * 1024;
        let limits = Limits { body: PAGE, ..self.small };
        self.begins(limits, now);
        self.page_read = Some(now);
        let reply = self.http.send(self.bare_request(routes::get(ASKED)), limits).await;
        let reply = reply.map_err(|error| self.unusable(ASKED, error.into()))?;
        match status_of(&reply) {
            200 => {
                // One page without it, perhaps of something in front, is no other panel.
                self.page_version = envelope::version_of_page(&reply.body).or(self.page_version.take());
                Ok(())
            }
            404 => {
                let words = "no panel here (answered 404); check the base path in the URL (webBasePath), and that it is \
                             the system configured; if the base path ends in /panel, /xui or /login, write that twice";
                Err(FetchError::new(ASKED, Cause::Hint(Reason::NotFound, words)))
            }
            301..=308 => {
                let location =
                    reply.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
                if location.starts_with("https://") && self.config.endpoint.url.is_http() {
                    let words = "the answer is a redirect to https; write https:// in the URL";
                    return Err(FetchError::new(ASKED, Cause::Hint(Reason::Redirect, words)));
                }
                Err(FetchError::new(ASKED, http::Error::Redirect(reply.status)))
            }
            _ => Err(self.unusable(ASKED, refusal_of(reply))),
        }
    }

    /// Asks for the token against cross-site requests; false: the panel is older than 3.0 and has none, or its base path
    /// is another.
    pub(super) async fn find_csrf(&mut self, now: Moment) -> Result<bool, FetchError> {
        const ASKED: &str = "/csrf-token";
        let limits = self.small;
        self.begins(limits, now);
        let request = self.session.authorize(self.bare_request(routes::get(ASKED)), true);
        let reply = self.http.send(request, limits).await;
        let reply = reply.map_err(|error| self.unusable(ASKED, error.into()))?;
        self.clock.learn(
            http::date(&reply.headers, &reqwest::header::DATE),
            now,
            tokio::time::Instant::now(),
        );
        match status_of(&reply) {
            200 => {
                let token = json::from_bytes(reply.body).ok();
                let token = token.and_then(|raw| Object::new("csrf", &raw, &self.odd)?.secret("obj"));
                // A page: something in front answers for every path.
                let Some(token) = token else { return Ok(false) };
                self.session.take_cookies(&reply.headers);
                self.session.set_csrf(Some(token));
                self.signs.tokens = true;
                (self.page_version, self.page_read) = (None, None);
                Ok(true)
            }
            301..=308 | 404 => Ok(false),
            _ => Err(self.unusable(ASKED, refusal_of(reply))),
        }
    }

    fn token_refused(&self, asked: &'static str) -> FetchError {
        let check = match self.config.login {
            Login::Certificate => "client_cert_file, whose authority the panel may not trust",
            Login::Token(_) | Login::Password(_) => {
                "the API token, which may be wrong, switched off or expired"
            }
        };
        FetchError::new(asked, Cause::login(401, check))
    }

    /// Renews the token against cross-site requests within the session.
    async fn get_csrf(&mut self, now: Moment) -> Result<(), FetchError> {
        let had = self.signs.tokens;
        if self.find_csrf(now).await? && !had {
            // The panel was updated to 3.0, and kept the session.
            self.routes.forget_but(Some(Subject::Status));
        }
        Ok(())
    }
}

fn headers_of_scripts(request: RequestBuilder) -> RequestBuilder {
    request.header("X-Requested-With", "XMLHttpRequest").header(ACCEPT, "application/json")
}

/// The status of an answer without a body. Panels with some versions of a library that compresses (3x-ui 2.5 to 2.6, 3.0
/// and 3.1, alireza0 1.8.9 to 1.9.1) send 200 in place of theirs: of a path that they do not have, which calls itself
/// text, and of a failure.
fn with_its_status(refusal: Refusal) -> Refusal {
    let error = match refusal.error {
        http::Error::Empty { is_text: true } => http::Error::Status(404),
        http::Error::Empty { is_text: false } => http::Error::Status(500),
        error => error,
    };
    Refusal { error, ..refusal }
}

/// What an answer without the status that is wanted says.
fn refusal_of(reply: Reply) -> Refusal {
    let status = status_of(&reply);
    let is_page = reply.body.first() == Some(&b'<');
    reply.refused(if is_page { http::Error::Page(status) } else { http::Error::Status(status) })
}

/// As [`with_its_status`], of an answer with any status.
pub(super) fn status_of(reply: &Reply) -> u16 {
    if reply.status == 200 && reply.body.is_empty() { 404 } else { reply.status }
}

/// The status of an answer that is none of a route; absent: there was no answer, or something else is wrong with it.
fn status(error: &http::Error) -> Option<u16> {
    match error {
        http::Error::Status(status) | http::Error::Redirect(status) => Some(*status),
        // A proxy may put a page of its own in place of the panel's answer.
        http::Error::Page(status @ (401 | 404 | 405)) => Some(*status),
        _ => None,
    }
}

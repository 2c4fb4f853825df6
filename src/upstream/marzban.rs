//! Marzban, and its successor PasarGuard, which has nearly the same API.

pub mod config;
mod convert;
mod hours;
mod named;
mod session;
mod traffic;
mod users;
mod walk;
mod wire;

use std::time::Duration;

use reqwest::RequestBuilder;
use tokio::time::Instant;
use tracing::warn;

use self::{
    config::MarzbanConfig,
    convert::{Naming, NodeKey},
    hours::Hours,
    named::NamedUser,
    session::Session,
    walk::Walk,
};
use crate::{
    clock::Beat,
    http::{self, Body, BuildError, Client, Limits},
    model::{Fact, Moment, Part, System, Timestamp, UserStatus},
    upstream::{Again, Cause, FetchError, Pace, Planned, Scope, Step, Timeouts},
};

/// Limit of an answer that is one small object or a short list, in bytes.
const SMALL_BODY: usize = 8 * 1024 * 1024;
/// Limit of a page of users, in bytes: the whole list of 20,000 takes 78 MB, if a panel ignores the limit.
const PAGE_BODY: usize = 128 * 1024 * 1024;
/// How often a panel up to 0.7, which has no counts by status, is asked for each count.
const COUNTS_EVERY: Duration = Duration::from_secs(300);
/// Marzban stores token times in whole seconds and password changes in microseconds, so a token issued in the second
/// of a change is invalid. One second later it is valid.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// A client for one panel.
#[derive(Debug)]
pub struct Marzban {
    http: Client,
    config: MarzbanConfig,
    small: Limits,
    page: Limits,
    session: Session,
    requests: u64,
    beat: Beat,
    system: Option<System>,
    /// When the present step started, and when its first request was sent.
    step: Option<(Moment, Instant)>,
    /// By how much the panel's clock is ahead of ours, in milliseconds.
    clock_ahead: i64,
    /// Counts by status from a panel that must be asked for each one, and when they were read.
    counts: Option<(Moment, Vec<(UserStatus, u64)>)>,
    /// Why the last count was abandoned.
    uncounted: Option<FetchError>,
    naming: Naming,
    /// Whether the panel was asked for its nodes' names, and gave them or never will.
    nodes_known: bool,
    /// Whether the list of nodes has no lifetime counters (PasarGuard may have them).
    usage_needed: bool,
    node_hours: Hours<NodeKey, 2>,
    /// Users whose traffic by node is read, and the next one to read.
    named: Vec<NamedUser>,
    next_named: usize,
    walk: Option<Walk>,
    page_size: usize,
}

impl Marzban {
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn new(config: &MarzbanConfig, timeouts: Timeouts) -> Result<Self, BuildError> {
        Ok(Marzban {
            http: Client::new(&config.tls, config.url.is_https())?,
            config: config.clone(),
            small: Limits { deadline: timeouts.request, body: SMALL_BODY },
            page: Limits { deadline: timeouts.page, body: PAGE_BODY },
            session: Session::default(),
            requests: 0,
            beat: Beat::default(),
            system: None,
            step: None,
            clock_ahead: 0,
            counts: None,
            uncounted: None,
            naming: Naming::default(),
            nodes_known: false,
            usage_needed: true,
            node_hours: Hours::new(),
            named: config.node_traffic_of.iter().map(|name| NamedUser::new(name)).collect(),
            next_named: 0,
            walk: None,
            page_size: walk::PAGE,
        })
    }

    pub(super) fn plan(&self) -> Vec<Planned> {
        let mut plan = vec![Planned::deciding(Part::System)];
        let mut add = |part, pace| plan.push(Planned::new(part, pace));
        if self.system == Some(System::Marzban) {
            add(Part::Core, Pace::Every(1));
        }
        if self.system.is_some() {
            add(Part::Nodes, Pace::Every(1));
            if self.usage_needed {
                add(Part::Usage, Pace::Every(2));
            }
            add(Part::Admins, Pace::Every(2));
            add(Part::Users, Pace::Walk);
            if !self.named.is_empty() {
                add(Part::UserNodes, Pace::Walk);
            }
        }
        plan
    }

    pub(super) async fn read(&mut self, part: Part, now: Moment) -> Result<Step, FetchError> {
        match part {
            Part::System => self.read_system(now).await,
            Part::Core => self.read_core(now).await,
            Part::Nodes => self.read_nodes(now).await,
            Part::Usage => self.read_usage(now).await,
            Part::Admins => self.read_admins(now).await,
            Part::Users => self.read_users(now).await,
            Part::UserNodes => self.read_user_nodes(now).await,
            // No plan of this client has them.
            Part::NodeStats | Part::Inbounds | Part::Online => Ok(Step::done(part, Vec::new())),
        }
    }

    pub(super) fn tell(&mut self, beat: &Beat) {
        self.beat = beat.clone();
    }

    pub(super) fn set_timeouts(&mut self, timeouts: Timeouts) {
        (self.small.deadline, self.page.deadline) = (timeouts.request, timeouts.page);
    }

    pub(super) fn take_requests(&mut self) -> u64 {
        std::mem::take(&mut self.requests)
    }

    pub(super) fn certificate_expiry(&self) -> Option<Timestamp> {
        self.http.certificate_expiry()
    }

    async fn read_system(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/system";
        let answer: wire::System = self.get(ASKED, ASKED, now).await?;
        let expected = "Marzban or PasarGuard";
        let mut facts = convert::system(&answer)
            .ok_or_else(|| FetchError::new(ASKED, Cause::OtherSystem { expected }))?;
        let system = facts.identity.system;
        self.system = Some(system);
        if system == System::Marzban && answer.users_limited.is_none() {
            facts.counts.by_status = self.count_users(now, facts.counts.by_status).await?;
        }
        let facts = vec![
            Fact::Identity(facts.identity),
            Fact::Host(facts.host),
            Fact::Counts(facts.counts),
            Fact::ProxyTraffic(facts.proxy_traffic),
        ];
        Ok(Step::done(Part::System, facts))
    }

    /// Counts by status from a panel that does not report them: the total of an almost empty page is cheap.
    async fn count_users(
        &mut self,
        now: Moment,
        given: Vec<(UserStatus, u64)>,
    ) -> Result<Vec<(UserStatus, u64)>, FetchError> {
        let given_now = |status| given.iter().find(|(given, _)| *given == status).map(|(_, count)| *count);
        if let Some((_, counts)) = self.counts.as_ref().filter(|(at, _)| now.since(*at) < COUNTS_EVERY) {
            return Ok(counts
                .iter()
                .map(|(status, n)| (*status, given_now(*status).unwrap_or(*n)))
                .collect());
        }
        let mut counts = Vec::with_capacity(UserStatus::KNOWN.len());
        let mut uncounted = None;
        for status in UserStatus::KNOWN {
            if let Some(count) = given_now(status) {
                counts.push((status, count));
                continue;
            }
            // Counts that could not be read are left out.
            if uncounted.is_some() {
                continue;
            }
            let path = format!("/api/users?status={}&limit=1", status.label());
            match self.get::<wire::Total>("/api/users", &path, now).await {
                Ok(answer) => counts.push((status, answer.total.0)),
                Err(err) if err.scope() == Scope::Login => return Err(err),
                // The other counts would take as long to fail.
                Err(err) if err.scope() == Scope::Target => uncounted = Some(err),
                // The panel may fail on the one row of this page.
                Err(_) => {}
            }
        }
        if let Some(err) = uncounted.as_ref().filter(|_| self.uncounted.is_none()) {
            warn!(panel = ?self.config.url, "not all users are counted by status: {err}");
        }
        self.uncounted = uncounted;
        self.counts = Some((now, counts.clone()));
        Ok(counts)
    }

    async fn read_core(&mut self, now: Moment) -> Result<Step, FetchError> {
        let core: wire::Core = self.get("/api/core", "/api/core", now).await?;
        Ok(Step::done(Part::Core, vec![Fact::Core(convert::core(core))]))
    }

    async fn read_nodes(&mut self, now: Moment) -> Result<Step, FetchError> {
        let answer: wire::Nodes = self.get("/api/nodes", "/api/nodes", now).await?;
        let list = answer.into_list();
        let nodes = convert::nodes(&list);
        self.naming.learn(&list);
        self.nodes_known = true;
        self.usage_needed = nodes.is_empty() || nodes.iter().any(|node| node.uplink.is_none());
        Ok(Step::done(Part::Nodes, vec![Fact::Nodes(nodes)]))
    }

    /// PasarGuard's traffic answers have the nodes' ids alone and leave out idle nodes. Without the list of nodes, the
    /// counters of its nodes would be taken for those of removed ones.
    async fn know_nodes(&mut self, now: Moment) -> Result<(), FetchError> {
        if self.nodes_known || self.system != Some(System::PasarGuard) {
            return Ok(());
        }
        match self.read_nodes(now).await {
            Err(err) if !matches!(err.cause, Cause::NotAllowed | Cause::NotFound(_)) => Err(err),
            _ => {
                self.nodes_known = true;
                Ok(())
            }
        }
    }

    async fn read_admins(&mut self, now: Moment) -> Result<Step, FetchError> {
        let answer: wire::Admins = self.get("/api/admins", "/api/admins", now).await?;
        Ok(Step::done(Part::Admins, vec![Fact::Admins(convert::admins(answer))]))
    }

    /// Now, by the panel's clock.
    fn panel_time(&self, now: Moment) -> Timestamp {
        now.wall.saturating_add_millis(self.clock_ahead)
    }

    async fn get<T>(&mut self, asked: &'static str, path: &str, now: Moment) -> Result<T, FetchError>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
    {
        self.ask(asked, path, now, self.small, http::json).await
    }

    /// One authenticated GET. Logs in if there is no token, and once more if the panel no longer accepts it.
    async fn ask<T, F>(
        &mut self,
        asked: &'static str,
        path: &str,
        now: Moment,
        limits: Limits,
        decode: F,
    ) -> Result<T, FetchError>
    where
        T: Send + 'static,
        F: FnOnce(Body) -> serde_json::Result<T> + Clone + Send + 'static,
    {
        let mut had_token = self.session.is_open(now);
        self.log_in(now).await?;
        let mut waited = false;
        loop {
            let request =
                self.session.authorize(self.http.get(self.config.url.join(path)), &self.config.login);
            let answer = self.send(request, limits, decode.clone(), now).await;
            let cause = match answer {
                Ok(value) => {
                    self.session.was_accepted();
                    return Ok(value);
                }
                Err(http::Error::Status(401)) if self.config.login.can_renew() => {
                    if had_token {
                        had_token = false;
                    } else if waited {
                        return Err(self.login_refused(asked, 401));
                    } else {
                        tokio::time::sleep(NEXT_SECOND).await;
                        waited = true;
                    }
                    self.session.close();
                    self.log_in(now).await?;
                    continue;
                }
                Err(http::Error::Status(401)) => return Err(self.login_refused(asked, 401)),
                Err(http::Error::Status(403)) => {
                    self.session.was_accepted();
                    Cause::NotAllowed
                }
                Err(http::Error::Status(code @ (404 | 405)) | http::Error::Page(code @ (404 | 405))) => {
                    Cause::NotFound(code)
                }
                Err(err) => err.into(),
            };
            return Err(FetchError::new(asked, cause));
        }
    }

    fn login_refused(&mut self, asked: &'static str, status: u16) -> FetchError {
        let check = "the username and password or the API key";
        let again = Again::WhenChanged { at_latest: self.session.was_refused() };
        FetchError { asked, cause: Cause::Login { status, check }, again }
    }

    /// Gets a token, unless there is one.
    async fn log_in(&mut self, now: Moment) -> Result<(), FetchError> {
        const ASKED: &str = "/api/admin/token";
        if self.session.is_open(now) {
            return Ok(());
        }
        let Some(form) = Session::form(&self.config.login) else { return Ok(()) };
        let request = self.http.post(self.config.url.join(ASKED)).form(&form);
        let cause = match self.send(request, self.small, http::json::<wire::Token>, now).await {
            Ok(wire::Token { access_token }) if session::can_be_sent(&access_token) => {
                self.session.open(access_token, now);
                return Ok(());
            }
            Ok(_) => http::Error::Decode("a token that no request can carry".into()).into(),
            Err(http::Error::Status(code @ (400 | 401 | 403 | 422))) => {
                return Err(self.login_refused(ASKED, code));
            }
            Err(http::Error::Status(code @ (404 | 405)) | http::Error::Page(code @ (404 | 405))) => {
                Cause::NotFound(code)
            }
            Err(err) => err.into(),
        };
        Err(FetchError::new(ASKED, cause))
    }

    async fn send<T, F>(
        &mut self,
        request: RequestBuilder,
        limits: Limits,
        decode: F,
        now: Moment,
    ) -> Result<T, http::Error>
    where
        T: Send + 'static,
        F: FnOnce(Body) -> serde_json::Result<T> + Send + 'static,
    {
        self.requests += 1;
        self.beat.within(limits.deadline);
        let sent = match self.step {
            Some((step, sent)) if step == now => sent,
            _ => self.step.insert((now, Instant::now())).1,
        };
        let answer = self.http.read(request, limits, decode).await?;
        if let Some(date) = answer.date {
            // The answer to a long list starts long after the request.
            let ours = now.wall.saturating_add(answer.began.saturating_duration_since(sent));
            self.clock_ahead = date.as_millis().saturating_sub(ours.as_millis());
        }
        Ok(answer.value)
    }
}

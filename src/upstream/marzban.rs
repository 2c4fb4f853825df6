//! Marzban, and its successor PasarGuard, which has nearly the same API.

mod addresses;
pub mod config;
mod connected;
mod convert;
mod hours;
mod named;
mod session;
mod traffic;
pub mod users;
mod walk;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use reqwest::RequestBuilder;
use tracing::warn;

use self::{
    config::MarzbanConfig,
    connected::Addresses,
    convert::{List, Naming, NodeKey, Owners},
    hours::Hours,
    named::NamedUser,
    session::Session,
    walk::Walk,
};
use crate::{
    clock::Beat,
    http::{self, Body, BuildError, Client, Limits, Refusal, Repeat},
    model::{Fact, Moment, Part, ProxyTraffic, System, Timestamp, UserStatus},
    upstream::{
        Again, Cause, FetchError, Notes, Pace, Planned, Scope, Step, Timeouts,
        json::{self, Object, OddFields, Rows},
        panel_clock::PanelClock,
    },
};

/// Limit of an answer that is one small object or a short list, in bytes.
const SMALL_BODY: usize = 8 * 1024 * 1024;
/// Limit of a page of users, in bytes: the whole list of 20,000 takes 78 MB, if a panel ignores the limit.
const PAGE_BODY: usize = 128 * 1024 * 1024;
/// How often a panel up to 0.7, which has no counts by status, is asked for each count.
const COUNTS_EVERY: Duration = Duration::from_secs(300);
/// How often the panel is asked what the account may see.
const ACCOUNT_EVERY: Duration = Duration::from_secs(300);
/// Inbounds change when the operator edits the core's configuration.
const INBOUNDS_EVERY: Duration = Duration::from_secs(3600);
/// Marzban stores token times in whole seconds and password changes in microseconds, so a token issued in the second
/// of a change is invalid. One second later it is valid.
const NEXT_SECOND: Duration = Duration::from_millis(1100);
/// What to check when a login is refused.
const CHECK: &str = "the username and password or the API key";

/// A client for one panel.
#[derive(Debug)]
pub struct Marzban {
    http: Client,
    config: MarzbanConfig,
    small: Limits,
    page: Limits,
    session: Session,
    notes: Notes,
    odd: OddFields,
    beat: Beat,
    system: Option<System>,
    clock: PanelClock,
    /// Counts by status from a panel that must be asked for each one, and when they were read.
    counts: Option<(Moment, Vec<(UserStatus, u64)>)>,
    /// Whether the account sees the whole panel, by the last answer that says so, and when it was asked for.
    sees_all: Option<bool>,
    account_at: Option<Moment>,
    /// Why the last count was abandoned.
    uncounted: Option<FetchError>,
    naming: Naming,
    owners: Owners,
    /// Whether the panel has users' lifetime traffic.
    has_lifetime: Arc<AtomicBool>,
    /// Whether the panel was asked for its nodes' names, and gave them or never will.
    nodes_known: bool,
    /// Whether the list of nodes has no lifetime counters (PasarGuard may have them).
    usage_needed: bool,
    node_hours: Hours<NodeKey, 2>,
    /// Users whose traffic by node is read, and the next one to read.
    named: Vec<NamedUser>,
    next_named: usize,
    /// See [`MarzbanConfig::admin_limits`].
    admin_limits: BTreeMap<String, u64>,
    /// Absent: they are not read.
    addresses: Option<Addresses>,
    walk: Option<Walk>,
    page_size: usize,
}

impl Marzban {
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn new(config: &MarzbanConfig, timeouts: Timeouts) -> Result<Self, BuildError> {
        Ok(Marzban {
            http: Client::new(&config.endpoint)?,
            config: config.clone(),
            small: Limits { deadline: timeouts.request, body: SMALL_BODY },
            page: Limits { deadline: timeouts.page, body: PAGE_BODY },
            session: Session::default(),
            notes: Notes::default(),
            odd: OddFields::default(),
            beat: Beat::default(),
            system: None,
            clock: PanelClock::default(),
            counts: None,
            sees_all: None,
            account_at: None,
            uncounted: None,
            naming: Naming::default(),
            owners: Owners::default(),
            has_lifetime: Arc::default(),
            nodes_known: false,
            usage_needed: true,
            node_hours: Hours::new(),
            named: config.node_traffic_of.iter().map(|name| NamedUser::new(name)).collect(),
            next_named: 0,
            admin_limits: config.admin_limits.clone(),
            addresses: config.device_limit.map(Addresses::new),
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
            if self.system == Some(System::PasarGuard) {
                add(Part::NodeStats, Pace::Every(2));
            }
            add(Part::Admins, Pace::Every(2));
            add(Part::Inbounds, Pace::Each(INBOUNDS_EVERY));
            add(Part::Users, Pace::Walk);
            if !self.named.is_empty() {
                add(Part::UserNodes, Pace::Walk);
            }
            if self.addresses.is_some() && self.system == Some(System::PasarGuard) {
                add(Part::Addresses, Pace::Walk);
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
            Part::Addresses => self.read_addresses(now).await,
            Part::NodeStats => self.read_node_stats(now).await,
            Part::Inbounds => self.read_inbounds(now).await,
            // No plan of this client has them.
            Part::Outbounds | Part::Online | Part::Credentials => Ok(Step::done(part, Vec::new())),
        }
    }

    pub(super) fn set_beat(&mut self, beat: &Beat) {
        self.beat = beat.clone();
    }

    pub(super) fn take_notes(&mut self) -> Notes {
        Notes { odd_fields: self.odd.take(), ..std::mem::take(&mut self.notes) }
    }

    pub(super) fn set_timeouts(&mut self, timeouts: Timeouts) {
        (self.small.deadline, self.page.deadline) = (timeouts.request, timeouts.page);
    }

    pub(super) fn certificate_expiry(&self) -> Option<Timestamp> {
        self.http.certificate_expiry()
    }

    async fn read_system(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/system";
        let answer = self.get(ASKED, ASKED, now).await?;
        let system = |answer: &str, odd: &OddFields| {
            let answer = Object::new("system", answer, odd)?;
            Some((convert::system(&answer)?, answer.has("users_limited")))
        };
        let (mut facts, counts_all) = system(&answer, &self.odd).ok_or_else(|| other_system(ASKED))?;
        let system = facts.identity.system;
        self.system = Some(system);
        if let Some(addresses) = &self.addresses {
            addresses.are_of(&facts.identity.version);
        }
        if system == System::Marzban && !counts_all {
            facts.counts.by_status = self.count_users(now, facts.counts.by_status).await?;
            facts.counts.by_status_at = self.counts.as_ref().map(|(at, _)| *at);
        }
        if !self.sees_all(now).await? {
            // Some of these are the whole panel's all the same, and others the account's own.
            facts.counts.seen_within_day = None;
            facts.proxy_traffic = ProxyTraffic::default();
        }
        let facts = vec![
            Fact::Identity(facts.identity),
            Fact::Host(facts.host),
            Fact::Counts(facts.counts),
            Fact::ProxyTraffic(facts.proxy_traffic),
        ];
        Ok(Step::done(Part::System, facts))
    }

    /// Whether the account sees the whole panel. An account that the panel does not describe is taken for one that does.
    async fn sees_all(&mut self, now: Moment) -> Result<bool, FetchError> {
        const ASKED: &str = "/api/admin";
        if self.account_at.is_none_or(|at| now.since(at) >= ACCOUNT_EVERY) {
            let sees_all = match self.get(ASKED, ASKED, now).await {
                Ok(answer) => {
                    Object::new("admin", &answer, &self.odd).and_then(|account| convert::sees_all(&account))
                }
                Err(err) if err.stops_others() => return Err(err),
                Err(_) => None,
            };
            self.account_at = Some(now);
            self.sees_all = sees_all.or(self.sees_all);
        }
        Ok(self.sees_all.unwrap_or(true))
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
            match self.get("/api/users", &path, now).await {
                Ok(answer) => {
                    let total = Object::new("users", &answer, &self.odd).and_then(|page| page.count("total"));
                    counts.extend(total.map(|total| (status, total)));
                }
                Err(err) if err.stops_others() => return Err(err),
                // The other counts would take as long to fail.
                Err(err) if err.scope() == Scope::Target => uncounted = Some(err),
                // The panel may fail on the one row of this page.
                Err(_) => {}
            }
        }
        if let Some(err) = uncounted.as_ref().filter(|_| self.uncounted.is_none()) {
            warn!(panel = ?self.config.endpoint.url, "not all users are counted by status: {err}");
        }
        self.uncounted = uncounted;
        self.counts = Some((now, counts.clone()));
        Ok(counts)
    }

    async fn read_core(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/core";
        let answer = self.get(ASKED, ASKED, now).await?;
        let core =
            Object::new("core", &answer, &self.odd).filter(|core| core.has("started") || core.has("version"));
        let core = core.ok_or_else(|| other_system(ASKED))?;
        Ok(Step::done(Part::Core, vec![Fact::Core(convert::core(&core))]))
    }

    async fn read_nodes(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/nodes";
        let answer = self.get(ASKED, ASKED, now).await?;
        let list = List::new(&answer, "nodes", &self.odd);
        let Rows { kept, omitted } = readable(ASKED, convert::nodes(&list))?;
        let nameless = omitted > 0 || kept.iter().any(|row| row.key.0.is_none());
        self.naming.learn(kept.iter().map(|row| &row.key), nameless);
        self.nodes_known = true;
        self.usage_needed = kept.is_empty() || kept.iter().any(|row| !row.counts_traffic);
        let nodes = kept.into_iter().map(|row| row.node).collect();
        Ok(Step::done(Part::Nodes, vec![Fact::Omitted(Part::Nodes, omitted), Fact::Nodes(nodes)]))
    }

    async fn read_node_stats(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/nodes/realtime_stats";
        let mut facts = self.know_nodes(now).await?;
        let answer = self.get(ASKED, ASKED, now).await?;
        let stats = Object::new("nodes", &answer, &self.odd);
        let stats = stats.map(|stats| convert::node_stats(&stats, &self.odd, &self.naming));
        let Rows { kept, omitted } = readable(ASKED, stats)?;
        facts.extend([Fact::NodeStats(kept), Fact::Omitted(Part::NodeStats, omitted)]);
        Ok(Step::done(Part::NodeStats, facts))
    }

    async fn read_inbounds(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/inbounds";
        let answer = self.get(ASKED, ASKED, now).await?;
        let Rows { kept, omitted } = readable(ASKED, convert::inbounds(&answer, &self.odd))?;
        Ok(Step::done(Part::Inbounds, vec![Fact::Inbounds(kept), Fact::Omitted(Part::Inbounds, omitted)]))
    }

    /// PasarGuard's traffic answers have the nodes' ids alone and leave out idle nodes. Without the list of nodes, the
    /// counters of its nodes would be taken for those of removed ones. Returns the list, if it had to be read.
    async fn know_nodes(&mut self, now: Moment) -> Result<Vec<Fact>, FetchError> {
        if self.nodes_known || self.system != Some(System::PasarGuard) {
            return Ok(Vec::new());
        }
        let facts = match self.read_nodes(now).await {
            Ok(step) => step.facts,
            Err(err) if matches!(err.cause, Cause::NotAllowed | Cause::NotFound(_)) => Vec::new(),
            Err(err) => return Err(err),
        };
        self.nodes_known = true;
        Ok(facts)
    }

    async fn read_admins(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/admins";
        let answer = self.get(ASKED, ASKED, now).await?;
        let list = List::new(&answer, "admins", &self.odd);
        let Rows { mut kept, omitted } = readable(ASKED, convert::admins(&list))?;
        for admin in &mut kept {
            admin.limit = self.admin_limits.get(&admin.name).copied().or(admin.limit);
        }
        Ok(Step::done(Part::Admins, vec![Fact::Admins(kept), Fact::Omitted(Part::Admins, omitted)]))
    }

    /// Now, by the panel's clock.
    fn panel_time(&self, now: Moment) -> Timestamp {
        self.clock.at(now)
    }

    async fn get(&mut self, asked: &'static str, path: &str, now: Moment) -> Result<String, FetchError> {
        self.ask(asked, path, now, self.small, json::document).await
    }

    /// One authenticated GET. Logs in if there is no token, and once more if the panel no longer accepts it.
    async fn ask<T, D>(
        &mut self,
        asked: &'static str,
        path: &str,
        now: Moment,
        limits: Limits,
        decode: impl FnOnce(Body) -> D + Clone,
    ) -> Result<T, FetchError>
    where
        D: Future<Output = serde_json::Result<T>>,
    {
        let mut fresh = !self.session.is_open(now);
        self.log_in(now).await?;
        let mut waited = false;
        loop {
            let request = self
                .session
                .authorize(self.http.get(self.config.endpoint.url.join(path)), &self.config.login);
            let refusal = match self.send(request, Repeat::Safe, limits, decode.clone(), now).await {
                Ok(value) => {
                    self.session.was_accepted();
                    return Ok(value);
                }
                Err(refusal) => refusal,
            };
            match refusal.error {
                http::Error::Status(401) if self.config.login.can_renew() => {
                    // The login was accepted, so a token that is not is no refusal of it.
                    if waited || !self.session.may_renew(now) {
                        return Err(self.session_lost(asked));
                    }
                    if fresh {
                        tokio::time::sleep(NEXT_SECOND).await;
                        waited = true;
                    }
                    fresh = true;
                    self.session.renews(now);
                    self.session.close();
                    self.log_in(now).await?;
                }
                http::Error::Status(401) => return Err(self.login_refused(asked, Cause::login(401, CHECK))),
                http::Error::Status(403) => return Err(self.forbidden(asked, refusal)),
                http::Error::Status(code @ (404 | 405)) | http::Error::Page(code @ (404 | 405)) => {
                    return Err(FetchError::new(asked, Cause::NotFound(code)));
                }
                _ => return Err(FetchError::refused(asked, refusal)),
            }
        }
    }

    /// The panel refuses a right or a switched-off account, or a proxy in front of it refuses the request.
    fn forbidden(&mut self, asked: &'static str, refusal: Refusal) -> FetchError {
        match session::Forbidden::of(&refusal.said) {
            Some(session::Forbidden::Right) => {
                self.session.was_accepted();
                self.account_at = None;
                FetchError::new(asked, Cause::NotAllowed)
            }
            // The token stays good, so that asking again costs no login.
            Some(session::Forbidden::Account) => FetchError::new(asked, Cause::SwitchedOff),
            None => FetchError::refused(asked, refusal),
        }
    }

    fn login_refused(&mut self, asked: &'static str, cause: Cause) -> FetchError {
        let wait = self.session.was_refused(fastrand::f64());
        FetchError { asked, cause, again: Again::WhenChanged { at_latest: wait } }
    }

    /// The panel no longer accepts a token that it issued, and another login would be one too many.
    fn session_lost(&mut self, asked: &'static str) -> FetchError {
        if self.session.warns() {
            warn!(
                panel = ?self.config.endpoint.url,
                "the panel forgets its sessions: it sometimes refuses its own tokens, as several workers with different \
                 secrets do; after three new logins in an hour, there is one in ten minutes at most"
            );
        }
        FetchError::new(asked, Cause::SessionLost)
    }

    /// Gets a token, unless there is one.
    async fn log_in(&mut self, now: Moment) -> Result<(), FetchError> {
        const ASKED: &str = "/api/admin/token";
        if self.session.is_open(now) {
            return Ok(());
        }
        let Some(form) = Session::form(&self.config.login) else { return Ok(()) };
        let request = self.http.post_alone(self.config.endpoint.url.join(ASKED)).form(&form);
        self.notes.logins += 1;
        let refusal = match self.send(request, Repeat::Never, self.small, json::document, now).await {
            Ok(answer) => {
                let token = Object::new("token", &answer, &self.odd)
                    .and_then(|answer| answer.secret("access_token"))
                    .filter(|token| session::can_be_sent(token));
                if let Some(token) = token {
                    self.session.open(token, now);
                    return Ok(());
                }
                http::Error::Decode("a token that no request can carry".into()).into()
            }
            Err(refusal) => refusal,
        };
        Err(match refusal.error {
            http::Error::Status(403)
                if session::Forbidden::of(&refusal.said) == Some(session::Forbidden::Account) =>
            {
                self.login_refused(ASKED, Cause::SwitchedOff)
            }
            http::Error::Status(code @ (400 | 401 | 403 | 422)) => {
                self.login_refused(ASKED, Cause::login(code, CHECK))
            }
            // The password was not sent.
            http::Error::Connect(_)
            | http::Error::Proxy(_)
            | http::Error::ProxyLogin
            | http::Error::Tls(_) => FetchError::refused(ASKED, refusal),
            http::Error::Status(code @ (404 | 405)) | http::Error::Page(code @ (404 | 405)) => {
                self.login_refused(ASKED, Cause::NotFound(code).of_login())
            }
            ref error => {
                // A panel that starts later than what is in front of it.
                if matches!(error, http::Error::Status(502..=504 | 520..=526)) {
                    self.session.was_not_reached();
                }
                let failed = FetchError::refused(ASKED, refusal);
                let paced = self.login_refused(ASKED, failed.cause.of_login());
                paced.not_before(failed.again)
            }
        })
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
        self.notes.requests += 1;
        self.beat.within(limits.deadline);
        self.clock.begins(now);
        let answer = self.http.read(request, repeat, limits, decode).await?;
        self.clock.learn(answer.date, now, answer.began);
        Ok(answer.value)
    }
}

/// An answer that is JSON, but nothing that these systems say there.
fn other_system(asked: &'static str) -> FetchError {
    FetchError::new(asked, Cause::OtherSystem { expected: "Marzban or PasarGuard" })
}

/// A list that has a row that could be read, or none at all.
fn readable<T>(asked: &'static str, rows: Option<Rows<T>>) -> Result<Rows<T>, FetchError> {
    let rows = rows.ok_or_else(|| other_system(asked))?;
    if rows.are_unreadable() { Err(FetchError::new(asked, Cause::Rows)) } else { Ok(rows) }
}

//! Marzban, and PasarGuard, its successor, which is spoken to with the same words but for some turned round.

pub mod config;
mod convert;
mod hours;
mod session;
mod walk;
mod wire;

use std::{collections::HashMap, sync::Arc, time::Duration};

use reqwest::RequestBuilder;
use tokio::time::Instant;

use self::{
    config::MarzbanConfig,
    convert::{Naming, NodeKey, Row},
    hours::Hours,
    session::Session,
    walk::{Advance, Span, Walk},
};
use crate::{
    http::{self, Body, BuildError, Client, Limits},
    model::{
        Moment, NamedUsers, NodeTraffic, Part, PartData, System, Timestamp, UserNodeTraffic, UserStatus,
        node_labels,
    },
    upstream::{Cause, FetchError, Step, Timeouts},
};

/// Bytes of an answer that is one small object or a short list.
const SMALL_BODY: usize = 8 * 1024 * 1024;
/// Bytes of a page of users: 78 MB is the whole list of 20,000, should a panel ignore the limit.
const PAGE_BODY: usize = 128 * 1024 * 1024;
/// How often a panel up to 0.7, which does not count users by status, is asked to count them one by one.
const COUNTS_EVERY: Duration = Duration::from_secs(300);
/// Marzban dates tokens in whole seconds and password changes in microseconds, so that a token issued in the second
/// of a change is dead on arrival. A second later it is not.
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
    system: Option<System>,
    /// The moment that the step under way was asked for at, and when its first request was sent.
    step: Option<(Moment, Instant)>,
    /// What the panel's clock shows more than ours, in milliseconds.
    clock_ahead: i64,
    counts: Option<(Moment, Vec<(UserStatus, u64)>)>,
    naming: Naming,
    /// Whether the nodes' own answer lacks lifetime counters (PasarGuard may have them).
    usage_needed: bool,
    node_hours: Hours<NodeKey, 2>,
    user_hours: Hours<UserNodeKey, 1>,
    user_nodes: UserNodes,
    walk: Option<Walk>,
    page_size: usize,
}

/// A user, by place in the configuration, on a node.
type UserNodeKey = (usize, NodeKey);

/// A round over the users whose traffic by node is asked for.
#[derive(Debug, Default)]
struct UserNodes {
    next: usize,
    windows: Option<hours::Windows>,
    finished: HashMap<UserNodeKey, [u64; 1]>,
    running: Vec<(UserNodeKey, [u64; 1])>,
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
            system: None,
            step: None,
            clock_ahead: 0,
            counts: None,
            naming: Naming::default(),
            usage_needed: true,
            node_hours: Hours::new(),
            user_hours: Hours::new(),
            user_nodes: UserNodes::default(),
            walk: None,
            page_size: walk::PAGE,
        })
    }

    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::System];
        if self.system == Some(System::Marzban) {
            parts.push(Part::Core);
        }
        if self.system.is_some() {
            parts.push(Part::Nodes);
            if self.usage_needed {
                parts.push(Part::Usage);
            }
            parts.extend([Part::Admins, Part::Users]);
            if !self.config.node_traffic_of.is_empty() {
                parts.push(Part::UserNodes);
            }
        }
        parts
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
        }
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
        let mut facts =
            convert::system(&answer).ok_or(FetchError { asked: ASKED, cause: Cause::OtherSystem })?;
        let system = facts.identity.system;
        self.system = Some(system);
        if system == System::Marzban && answer.users_limited.is_none() {
            facts.counts.by_status = self.count_users(now, facts.counts.by_status).await?;
        }
        Ok(Step::Done(PartData::System(facts)))
    }

    /// Counts by status from a panel that does not tell them: the total of an almost empty page is cheap.
    async fn count_users(
        &mut self,
        now: Moment,
        told: Vec<(UserStatus, u64)>,
    ) -> Result<Vec<(UserStatus, u64)>, FetchError> {
        if let Some((_, counts)) = self.counts.as_ref().filter(|(at, _)| now.since(*at) < COUNTS_EVERY) {
            let told_now = |status| told.iter().find(|(told, _)| *told == status).map(|(_, count)| *count);
            return Ok(counts.iter().map(|(status, n)| (*status, told_now(*status).unwrap_or(*n))).collect());
        }
        let mut counts = Vec::with_capacity(UserStatus::KNOWN.len());
        for status in UserStatus::KNOWN {
            let known = told.iter().find(|(told, _)| *told == status);
            let count = match known {
                Some((_, count)) => *count,
                None => {
                    let path = format!("/api/users?status={}&limit=1", status.label());
                    let answer: wire::Total = self.get("/api/users", &path, now).await?;
                    answer.total.0
                }
            };
            counts.push((status, count));
        }
        self.counts = Some((now, counts.clone()));
        Ok(counts)
    }

    async fn read_core(&mut self, now: Moment) -> Result<Step, FetchError> {
        let core: wire::Core = self.get("/api/core", "/api/core", now).await?;
        Ok(Step::Done(PartData::Core(convert::core(core))))
    }

    async fn read_nodes(&mut self, now: Moment) -> Result<Step, FetchError> {
        let answer: wire::Nodes = self.get("/api/nodes", "/api/nodes", now).await?;
        let list = answer.into_list();
        let nodes = convert::nodes(&list);
        self.naming.learn(&list);
        self.usage_needed = nodes.is_empty() || nodes.iter().any(|node| node.uplink.is_none());
        Ok(Step::Done(PartData::Nodes(nodes)))
    }

    async fn read_usage(&mut self, now: Moment) -> Result<Step, FetchError> {
        let windows = self.node_hours.windows(self.panel_time(now));
        let finished = match windows.finished {
            Some((from, to)) => self.node_usage(from, Some(to), now).await?.into_iter().collect(),
            None => HashMap::new(),
        };
        let running = self.node_usage(windows.running, None, now).await?;
        let totals = self.node_hours.add(windows, &finished, running);
        let labels =
            node_labels(&totals.iter().map(|((id, name), _)| (*id, name.as_str())).collect::<Vec<_>>());
        let usage = labels.into_iter().zip(&totals);
        let usage = usage.map(|(node, (_, [uplink, downlink]))| NodeTraffic {
            node,
            uplink: *uplink,
            downlink: *downlink,
        });
        Ok(Step::Done(PartData::Usage(usage.collect())))
    }

    /// Bytes by node in the hours from `from` to `to` or now.
    async fn node_usage(
        &mut self,
        from: i64,
        to: Option<i64>,
        now: Moment,
    ) -> Result<Vec<(NodeKey, [u64; 2])>, FetchError> {
        let window = convert::window(from, to);
        if self.system == Some(System::PasarGuard) {
            let path = format!("/api/node/usage?period=hour&group_by_node=true&{window}");
            let answer: wire::Stats = self.get("/api/node/usage", &path, now).await?;
            return Ok(self.naming.by_id(answer, |bucket| [bucket.uplink.0, bucket.downlink.0]));
        }
        let path = format!("/api/nodes/usage?{window}");
        let answer: wire::Usages = self.get("/api/nodes/usage", &path, now).await?;
        Ok(convert::usages(answer, |usage| [usage.uplink.0, usage.downlink.0]))
    }

    async fn read_admins(&mut self, now: Moment) -> Result<Step, FetchError> {
        let answer: wire::Admins = self.get("/api/admins", "/api/admins", now).await?;
        Ok(Step::Done(PartData::Admins(convert::admins(answer))))
    }

    /// One page, or the next try at one.
    async fn read_users(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/users";
        let size = self.page_size;
        let first = Span { offset: 0, limit: size };
        if self.walk.is_none() {
            self.naming.forget_former_owners();
        }
        let span = self.walk.get_or_insert_with(|| Walk::new(now, size)).next();
        let path = format!("{ASKED}?offset={}&limit={}&sort=username", span.offset, span.limit);
        let row = Row { read_at: now.wall, panel_now: self.panel_time(now), owners: self.naming.owners() };
        let answer = self
            .ask(ASKED, &path, now, self.page, move |body| wire::user_page(body, |user| row.convert(user)))
            .await;
        let Some(walk) = &mut self.walk else { return Ok(Step::More(None)) };
        match answer {
            // A whole first page of such rows; among those around a row that makes the panel fail it may be chance.
            Ok(page) if span == first && !page.rows.is_empty() && page.rows.iter().all(Option::is_none) => {
                self.walk = None;
                Err(FetchError { asked: ASKED, cause: Cause::Rows })
            }
            Ok(page) => {
                self.page_size = (self.page_size * 2).min(walk::PAGE);
                Ok(match walk.answered(page, self.page_size) {
                    Advance::More(users) if users.is_empty() => Step::More(None),
                    Advance::More(users) => Step::More(Some(PartData::UsersPage(users))),
                    Advance::End(end) if end.seen.is_empty() && end.unreadable > 0 => {
                        self.walk = None;
                        return Err(FetchError { asked: ASKED, cause: Cause::Rows });
                    }
                    Advance::End(end) => {
                        self.walk = None;
                        Step::Done(PartData::UsersEnd(end))
                    }
                })
            }
            Err(FetchError { cause: Cause::Http(http::Error::Status(500)), .. }) if walk.failed().is_ok() => {
                Ok(Step::More(None))
            }
            Err(FetchError { cause: Cause::Http(http::Error::Status(500)), .. }) => {
                self.walk = None;
                Err(FetchError { asked: ASKED, cause: Cause::Poisoned(500) })
            }
            Err(err) => {
                if err.reason() == "timeout" {
                    self.page_size = walk::smaller(self.page_size);
                    walk.shrink(self.page_size);
                }
                Err(err)
            }
        }
    }

    /// Asks for some users by name. One whose row makes the panel fail is neither found nor gone.
    pub(super) async fn read_named(
        &mut self,
        names: &[Arc<str>],
        now: Moment,
    ) -> Result<NamedUsers, FetchError> {
        const ASKED: &str = "/api/users?username";
        let mut named = NamedUsers::default();
        let mut ask = vec![names];
        while let Some(names) = ask.pop() {
            let query: Vec<_> =
                names.iter().map(|name| format!("username={}", convert::percent_encode(name))).collect();
            let path = format!("/api/users?{}", query.join("&"));
            let row =
                Row { read_at: now.wall, panel_now: self.panel_time(now), owners: self.naming.owners() };
            let decode = move |body| wire::user_page(body, |user| row.convert(user));
            match self.ask(ASKED, &path, now, self.page, decode).await {
                Ok(page) => {
                    let known = |name: &Arc<str>| page.rows.iter().flatten().any(|user| user.name == *name);
                    // A row that could not be read may be any of those not found.
                    if page.rows.iter().all(Option::is_some) {
                        named.gone.extend(names.iter().filter(|name| !known(name)).cloned());
                    }
                    named
                        .found
                        .extend(page.rows.into_iter().flatten().filter(|user| names.contains(&user.name)));
                }
                Err(FetchError { cause: Cause::Http(http::Error::Status(500)), .. }) => {
                    if names.len() > 1 {
                        let (front, back) = names.split_at(names.len() / 2);
                        ask.extend([front, back]);
                    }
                }
                Err(err) => return Err(err),
            }
        }
        Ok(named)
    }

    /// One user of those named in the configuration.
    async fn read_user_nodes(&mut self, now: Moment) -> Result<Step, FetchError> {
        let windows = *self
            .user_nodes
            .windows
            .get_or_insert(self.user_hours.windows(now.wall.saturating_add_millis(self.clock_ahead)));
        let index = self.user_nodes.next;
        if let Some(name) = self.config.node_traffic_of.get(index).cloned() {
            if let Some((from, to)) = windows.finished {
                let finished = self.user_usage(index, &name, from, Some(to), now).await?;
                self.user_nodes.finished.extend(finished);
            }
            let running = self.user_usage(index, &name, windows.running, None, now).await?;
            self.user_nodes.running.extend(running);
            self.user_nodes.next += 1;
        }
        if self.user_nodes.next < self.config.node_traffic_of.len() {
            return Ok(Step::More(None));
        }
        let round = std::mem::take(&mut self.user_nodes);
        let totals = self.user_hours.add(windows, &round.finished, round.running);
        let mut traffic = Vec::with_capacity(totals.len());
        for (index, name) in self.config.node_traffic_of.iter().enumerate() {
            let of_user: Vec<_> = totals.iter().filter(|((user, _), _)| *user == index).collect();
            let nodes: Vec<_> = of_user.iter().map(|((_, (id, node)), _)| (*id, node.as_str())).collect();
            let labels = node_labels(&nodes);
            traffic.extend(labels.into_iter().zip(of_user).map(|(node, (_, [bytes]))| UserNodeTraffic {
                user: name.as_str().into(),
                node,
                bytes: *bytes,
            }));
        }
        Ok(Step::Done(PartData::UserNodes(traffic)))
    }

    /// Bytes by node of one user in the hours from `from` to `to` or now; none if the panel has no such user.
    async fn user_usage(
        &mut self,
        index: usize,
        name: &str,
        from: i64,
        to: Option<i64>,
        now: Moment,
    ) -> Result<Vec<(UserNodeKey, [u64; 1])>, FetchError> {
        const ASKED: &str = "/api/user/{name}/usage";
        let window = convert::window(from, to);
        let user = convert::percent_encode(name);
        let by_node = if self.system == Some(System::PasarGuard) {
            let path = format!("/api/user/{user}/usage?period=hour&group_by_node=true&{window}");
            let answer = self.get::<wire::Stats>(ASKED, &path, now).await;
            answer.map(|stats| self.naming.by_id(stats, |bucket| [bucket.total_traffic.0]))
        } else {
            let path = format!("/api/user/{user}/usage?{window}");
            let answer = self.get::<wire::Usages>(ASKED, &path, now).await;
            answer.map(|usages| convert::usages(usages, |usage| [usage.used_traffic.0]))
        };
        match by_node {
            Ok(list) => Ok(list.into_iter().map(|(node, bytes)| ((index, node), bytes)).collect()),
            Err(FetchError { cause: Cause::NotFound(_), .. }) => Ok(Vec::new()),
            Err(err) => Err(err),
        }
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

    /// One authenticated GET: logs in if there is no token, and once more if the panel no longer takes it.
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
                Ok(value) => return Ok(value),
                Err(http::Error::Status(401)) if self.session.can_renew(&self.config.login) => {
                    if had_token {
                        had_token = false;
                    } else if waited {
                        return Err(FetchError { asked, cause: Cause::Auth(401) });
                    } else {
                        tokio::time::sleep(NEXT_SECOND).await;
                        waited = true;
                    }
                    self.session.close();
                    self.log_in(now).await?;
                    continue;
                }
                Err(http::Error::Status(401)) => Cause::Auth(401),
                Err(http::Error::Status(403)) => Cause::Refused,
                Err(http::Error::Status(code @ (404 | 405))) => Cause::NotFound(code),
                Err(err) => err.into(),
            };
            return Err(FetchError { asked, cause });
        }
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
            Err(http::Error::Status(code @ (400 | 401 | 403 | 422))) => Cause::Auth(code),
            Err(http::Error::Status(code @ (404 | 405))) => Cause::NotFound(code),
            Err(err) => err.into(),
        };
        Err(FetchError { asked: ASKED, cause })
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
        let sent = match self.step {
            Some((step, sent)) if step == now => sent,
            _ => self.step.insert((now, Instant::now())).1,
        };
        let answer = self.http.read(request, limits, decode).await?;
        if let Some(date) = answer.date {
            // The answer to a long list begins long after it was asked for.
            let ours = now.wall.saturating_add(answer.began.saturating_duration_since(sent));
            self.clock_ahead = date.as_millis().saturating_sub(ours.as_millis());
        }
        Ok(answer.value)
    }
}

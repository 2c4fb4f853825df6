//! The x-ui family: 3x-ui from 1.0 on, x-ui of alireza0, and the legacy panels that these come from.
//!
//! A panel is asked by the routes that it turns out to have, see `routes`, and its generation is what these and the
//! fields of its status show, see `detect`.

mod asking;
mod cached;
pub mod config;
mod convert;
mod detect;
mod envelope;
pub mod lists;
mod login;
mod online;
mod routes;
mod seen;
mod session;
mod totp;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use self::{
    cached::Cached,
    config::XuiConfig,
    convert::{ByName, NodeLabels, Plan, StatusFacts},
    detect::{Generation, Signs},
    envelope::{Found, other_system},
    routes::{LIST, Routes, STATUS_OF_OLD, Subject},
    seen::Seen,
    session::Session,
};
use crate::{
    clock::Beat,
    http::{BuildError, Client, Limits},
    model::{
        Fact, Identity, Moment, NamedUsers, NodeStatus, Part, System, Thresholds, Timestamp, UserCounts,
    },
    upstream::{
        Cause, FetchError, Notes, Pace, Planned, Scope, Step, Timeouts,
        json::{Object, OddFields, Rows},
        panel_clock::PanelClock,
    },
};

/// Limit of an answer other than the list, in bytes. That of all addresses of 20,000 clients takes 2 MB.
const SMALL_BODY: usize = 16 * 1024 * 1024;
/// Limit of the list, in bytes: 20,000 clients take 15 MB in 3x-ui 2.8.
const LIST_BODY: usize = 128 * 1024 * 1024;
/// How often the login page is read for the version.
const PAGE_EVERY: Duration = Duration::from_secs(3600);
/// How often the thresholds are read, which a person changes.
const THRESHOLDS_EVERY: Duration = Duration::from_secs(600);
/// How long old panels go on sampling their host after a request for the status.
const SAMPLED_FOR: Duration = Duration::from_secs(3 * 60);

/// A client for one panel.
pub struct Xui {
    http: Client,
    config: XuiConfig,
    small: Limits,
    list: Limits,
    session: Session,
    clock: PanelClock,
    routes: Routes,
    signs: Signs,
    notes: Notes,
    odd: OddFields,
    beat: Beat,
    /// The version in the login page, of panels before 3.0, and when the page was read.
    page_version: Option<String>,
    page_read: Option<Moment>,
    /// As the last status had it.
    panel_version: Option<String>,
    /// Whether a status was read.
    is_known: bool,
    /// When the panel last answered a request for its status, by the daemon's uptime.
    status_read: Option<Duration>,
    /// Whether the last answer for a subject had a value, or was null.
    had_value: BTreeMap<Subject, bool>,
    /// The core is said to run, but has no uptime: it was just started, or fails to start.
    core_starts: bool,
    core_is_down: bool,
    /// The last status said that it runs.
    core_runs: bool,
    /// The login may not read who is online, but perhaps how many are.
    online_refused: bool,
    /// Whether the list was read, and whether the login may not read it.
    list_read: bool,
    list_refused: bool,
    /// When the panel refused the cheap list, by the daemon's uptime, so that the whole one is read instead.
    slim_refused: Option<Duration>,
    /// Who was in the lists of those online.
    seen: Seen,
    node_labels: NodeLabels,
    /// Whether one of the nodes is connected.
    has_node: bool,
    /// Whether nodes were read. The same answer has their statistics.
    nodes_read: bool,
    /// The names in the list that are not in lower case, by those that are.
    spellings: ByName<Arc<str>>,
    /// The number of addresses.
    addresses: Cached<u64>,
    /// What the cheap list lacks.
    plans: Cached<Plan>,
    /// When the thresholds were last requested.
    thresholds_asked: Option<Moment>,
}

/// Without the names of clients.
impl fmt::Debug for Xui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Xui { config, session, routes, signs, .. } = self;
        f.debug_struct("Xui")
            .field("config", config)
            .field("session", session)
            .field("routes", routes)
            .field("signs", signs)
            .finish_non_exhaustive()
    }
}

impl Xui {
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn new(config: &XuiConfig, timeouts: Timeouts) -> Result<Self, BuildError> {
        Ok(Xui {
            http: Client::new(&config.endpoint)?,
            config: config.clone(),
            small: Limits { deadline: timeouts.request, body: SMALL_BODY },
            list: Limits { deadline: timeouts.page, body: LIST_BODY },
            session: Session::default(),
            clock: PanelClock::default(),
            routes: Routes::default(),
            signs: Signs::default(),
            notes: Notes::default(),
            odd: OddFields::default(),
            beat: Beat::default(),
            page_version: None,
            page_read: None,
            panel_version: None,
            is_known: false,
            status_read: None,
            had_value: BTreeMap::new(),
            core_starts: false,
            core_is_down: false,
            core_runs: false,
            online_refused: false,
            list_read: false,
            list_refused: false,
            slim_refused: None,
            seen: Seen::default(),
            node_labels: NodeLabels::default(),
            has_node: false,
            nodes_read: false,
            spellings: ByName::default(),
            addresses: Cached::default(),
            plans: Cached::default(),
            thresholds_asked: None,
        })
    }

    pub(super) fn plan(&self) -> Vec<Planned> {
        let mut plan = vec![Planned::deciding(Part::System)];
        let mut add = |part, pace, subjects: &[Subject]| {
            if self.is_known && !subjects.iter().all(|subject| self.routes.is_absent(*subject)) {
                plan.push(Planned::new(part, pace));
            }
        };
        // The status has both, so this comes after the system.
        add(Part::Core, Pace::Every(1), &[Subject::Status]);
        let has_nodes = self.generation() >= Generation::V3_0;
        if has_nodes {
            add(Part::Nodes, Pace::Every(1), &[Subject::Nodes, Subject::Descendants]);
            if self.nodes_read {
                add(Part::NodeStats, Pace::Every(1), &[Subject::Nodes, Subject::Descendants]);
            }
        }
        add(Part::Online, Pace::Every(1), &[Subject::Online]);
        add(Part::Outbounds, Pace::Every(2), &[Subject::OutboundTraffic, Subject::Observatory]);
        add(Part::Users, Pace::Walk, &[Subject::List]);
        // The same answer has both, so this comes after the users.
        if self.list_read || self.list_refused {
            add(Part::Inbounds, Pace::Walk, &[Subject::List]);
        }
        plan
    }

    pub(super) async fn read(&mut self, part: Part, now: Moment) -> Result<Step, FetchError> {
        match part {
            Part::System | Part::Core => self.read_system(now).await,
            Part::Nodes | Part::NodeStats => self.read_nodes(now).await,
            Part::Online => self.read_online(now).await,
            Part::Outbounds => self.read_outbounds(now).await,
            // The next request for the users shows whether they still are.
            Part::Inbounds if self.list_refused => Err(FetchError::new(LIST.path, Cause::NotAllowed)),
            Part::Users | Part::Inbounds => self.read_list(now).await,
            // No plan of this client has them.
            Part::Usage | Part::Admins | Part::UserNodes | Part::Addresses | Part::Credentials => {
                Ok(Step::done(part, Vec::new()))
            }
        }
    }

    /// Requests no user by name: a list comes whole.
    pub(super) fn read_named(&self, _names: &[Arc<str>]) -> NamedUsers {
        NamedUsers::default()
    }

    pub(super) fn set_beat(&mut self, beat: &Beat) {
        self.beat = beat.clone();
    }

    pub(super) fn take_notes(&mut self) -> Notes {
        Notes { odd_fields: self.odd.take(), ..std::mem::take(&mut self.notes) }
    }

    pub(super) fn set_timeouts(&mut self, timeouts: Timeouts) {
        (self.small.deadline, self.list.deadline) = (timeouts.request, timeouts.page);
    }

    pub(super) fn certificate_expiry(&self) -> Option<Timestamp> {
        self.http.certificate_expiry()
    }

    fn generation(&self) -> Generation {
        detect::generation(self.signs, &self.routes)
    }

    /// The status with a sample that is not old: panels up to 2.8.0 and the forks stop sampling without requests. Those from
    /// 2.8.1 on do not, but the versions of forks do not show it.
    async fn read_status(&mut self, now: Moment) -> Result<Found<String>, FetchError> {
        let found = self.value(Subject::Status, now).await?;
        let read = self.status_read.replace(now.uptime);
        let was_idle = read.is_none_or(|read| now.uptime.saturating_sub(read) > SAMPLED_FOR);
        let is_old = !self.has_token() && self.generation() < Generation::V3_0;
        if was_idle && is_old && matches!(found, Found::Some(_)) {
            self.wait_for_a_sample().await;
            return self.value(Subject::Status, now).await;
        }
        Ok(found)
    }

    async fn read_system(&mut self, now: Moment) -> Result<Step, FetchError> {
        let answer = match self.read_status(now).await? {
            Found::Some(answer) => answer,
            Found::NotYet => return Ok(system_step(Vec::new())),
            Found::Null => return Err(FetchError::new("/server/status", Cause::PanelFailed)),
            Found::NoRoute => return Err(self.diagnose(now).await),
        };
        let status = Object::new("status", &answer, &self.odd).and_then(|answer| convert::status(&answer));
        let status = status.ok_or_else(|| other_system("/server/status"))?;
        self.learn(&status);
        // The list of users online shows which of the old panels it is, and whether a token may read only their number.
        let shows_more = self.has_token() || self.routes.of(Subject::Status) == Some(STATUS_OF_OLD);
        let mut online = Step::default();
        if shows_more && self.routes.known(Subject::Online).is_none() {
            online = match self.read_online(now).await {
                Err(err) if matches!(err.scope(), Scope::Login | Scope::Target) => return Err(err),
                online => online.unwrap_or_default(),
            };
        }
        self.read_page_version(now).await?;
        // A part that the panel does not have is in no plan, so this is the only request that finds it.
        if let Some(subject) = self.routes.looks_again_for(now)
            && let Err(err) = self.value(subject, now).await
            && concerns_all(&err)
        {
            return Err(err);
        }
        let version = status.panel_version.or_else(|| self.page_version.clone()).unwrap_or_default();
        let generation = self.generation().label().to_owned();
        let mut facts = vec![
            Fact::Identity(Identity { system: System::Xui, version, generation }),
            Fact::Host(status.host),
            Fact::Core(status.core),
        ];
        facts.push(Fact::Counts(match self.online_refused {
            true => self.count_online(now).await,
            false => UserCounts::default(),
        }));
        if self.thresholds_asked.is_none_or(|asked| now.since(asked) >= THRESHOLDS_EVERY) {
            self.thresholds_asked = Some(now);
            facts.extend(self.read_thresholds(now).await?.map(Fact::Thresholds));
        }
        let mut step = system_step(facts);
        step.done.extend(online.done);
        step.facts.extend(online.facts);
        Ok(step)
    }

    /// Reads the version of a panel before 3.0 again, which may have been updated without the loss of the session.
    async fn read_page_version(&mut self, now: Moment) -> Result<(), FetchError> {
        let is_due = self.page_read.is_some_and(|read| now.since(read) >= PAGE_EVERY);
        if is_due && !self.signs.tokens && self.panel_version.is_none() {
            match self.base_page(now).await {
                Err(err) if concerns_all(&err) => return Err(err),
                _ => {}
            }
        }
        Ok(())
    }

    /// What a status shows of the panel. Another version may have other routes.
    fn learn(&mut self, status: &StatusFacts) {
        let known = std::mem::replace(&mut self.panel_version, status.panel_version.clone());
        let is_another = self.is_known && known != status.panel_version;
        if is_another {
            self.routes.begin_again(Subject::Status);
            self.addresses = Cached::default();
            self.plans = Cached::default();
        }
        self.signs.tokens |= self.has_token();
        self.signs.panel_version = status.panel_version.is_some();
        // One answer without it is no other panel.
        self.signs.panel_guid = status.has_guid || self.signs.panel_guid && !is_another;
        // The panel restarts the core for each user that it switches off, and it has no uptime for a second.
        let starts =
            status.core.up == Some(false) && status.core_is_said_to_run && status.core.version.is_some();
        self.core_is_down = status.core.up == Some(false) && (!starts || self.core_starts);
        self.core_starts = starts;
        self.core_runs = status.core.up == Some(true);
        self.is_known = true;
    }

    /// How many are online, for a token that may not read who is.
    async fn count_online(&mut self, now: Moment) -> UserCounts {
        let online = match self.value(Subject::OnlineCount, now).await {
            Ok(Found::Some(history)) => convert::last_point(&history, &self.odd),
            Ok(Found::NotYet | Found::Null | Found::NoRoute) | Err(_) => None,
        };
        UserCounts { online, ..UserCounts::default() }
    }

    /// None, if the panel does not have them, or not for this login. Absent: the answer does not say.
    async fn read_thresholds(&mut self, now: Moment) -> Result<Option<Thresholds>, FetchError> {
        match self.value_if_allowed(Subject::Thresholds, now).await {
            Ok(Found::Some(settings)) => Ok(convert::thresholds(&settings, &self.odd)),
            Ok(Found::NoRoute) | Err(FetchError { cause: Cause::NotAllowed, .. }) => {
                Ok(Some(Thresholds::default()))
            }
            Ok(Found::NotYet | Found::Null) => Ok(None),
            Err(err) if concerns_all(&err) => Err(err),
            Err(_) => Ok(None),
        }
    }

    async fn read_nodes(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/panel/api/nodes/list";
        let found = match self.value_if_allowed(Subject::Nodes, now).await {
            Err(FetchError { cause: Cause::NotAllowed, .. }) => {
                self.value_if_allowed(Subject::Descendants, now).await?
            }
            found => found?,
        };
        let list = match found {
            Found::Some(list) => Some(list),
            Found::Null => None,
            Found::NotYet => return Ok(same(&[Part::Nodes, Part::NodeStats])),
            Found::NoRoute => {
                self.has_node = false;
                return Ok(same(&[Part::Nodes]));
            }
        };
        let nodes = convert::nodes(list.as_deref(), &self.odd).ok_or_else(|| other_system(ASKED))?;
        if nodes.nodes.are_unreadable() {
            return Err(FetchError::new(ASKED, Cause::Rows));
        }
        self.node_labels = nodes.labels;
        let Rows { kept, omitted } = nodes.nodes;
        self.has_node = kept.iter().any(|node| node.status == NodeStatus::Connected);
        let facts =
            vec![Fact::Omitted(Part::Nodes, omitted), Fact::Nodes(kept), Fact::NodeStats(nodes.stats)];
        self.nodes_read = true;
        Ok(Step { done: vec![Part::Nodes, Part::NodeStats], facts, durable: Vec::new() })
    }

    async fn read_outbounds(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/panel/api/xray/getOutboundsTraffic";
        let traffic = match self.value_if_allowed(Subject::OutboundTraffic, now).await {
            Err(err) if matches!(err.scope(), Scope::Login | Scope::Target) => return Err(err),
            traffic => traffic,
        };
        let probes = self.value_if_allowed(Subject::Observatory, now).await;
        // What one of the two may not read costs only that.
        let (traffic, probes) = match (traffic, probes) {
            (Err(refused), Ok(Found::NoRoute | Found::Null)) | (Ok(Found::NoRoute), Err(refused)) => {
                return Err(refused);
            }
            (Err(FetchError { cause: Cause::NotAllowed, .. }), probes) => (Found::NoRoute, probes?),
            (traffic, Err(FetchError { cause: Cause::NotAllowed, .. })) => (traffic?, Found::NoRoute),
            (traffic, probes) => (traffic?, probes?),
        };
        if matches!(traffic, Found::NotYet) || matches!(probes, Found::NotYet) {
            return Ok(same(&[Part::Outbounds]));
        }
        let raw = |found: Found<String>| match found {
            Found::Some(raw) => Some(raw),
            Found::NotYet | Found::Null | Found::NoRoute => None,
        };
        let (traffic, probes) = (raw(traffic), raw(probes));
        let found = convert::outbounds(traffic.as_deref(), probes.as_deref(), &self.odd);
        let found = found.ok_or_else(|| other_system(ASKED))?;
        if found.are_unreadable() {
            return Err(FetchError::new(ASKED, Cause::Rows));
        }
        let facts = vec![Fact::Omitted(Part::Outbounds, found.omitted), Fact::Outbounds(found.kept)];
        Ok(Step::done(Part::Outbounds, facts))
    }
}

/// Whether a failure of an optional request stops the others too. Any other costs only what was requested.
fn concerns_all(err: &FetchError) -> bool {
    err.stops_others() || err.cause == Cause::SessionLost
}

/// A status shows the host and the core.
fn system_step(facts: Vec<Fact>) -> Step {
    Step { done: vec![Part::System, Part::Core], facts, durable: Vec::new() }
}

/// The answer says nothing new of these parts.
fn same(parts: &[Part]) -> Step {
    Step { done: parts.to_vec(), ..Step::default() }
}

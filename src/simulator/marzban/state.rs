//! The state of a simulated panel: users, nodes and admins.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::options::Flavour;

pub(super) struct State {
    pub(super) flavour: Flavour,
    pub(super) seed: u64,
    pub(super) links_per_user: usize,
    pub(super) token_lifetime_s: Option<i64>,
    pub(super) api_key: String,
    pub(super) started_at_ms: i64,
    pub(super) users: Roster,
    /// The master comes first, with id 0.
    pub(super) nodes: Vec<Node>,
    pub(super) admins: Vec<Admin>,
    pub(super) core_started: bool,
    pub(super) recording: bool,
    /// Bytes ever recorded, all nodes, unweighted.
    pub(super) incoming_bandwidth: u64,
    pub(super) outgoing_bandwidth: u64,
    /// Bytes per second over the last simulated stretch.
    pub(super) incoming_speed: u64,
    pub(super) outgoing_speed: u64,
    pub(super) tokens: Vec<Issued>,
    /// Answers given; what must differ from answer to answer (subscription links, loads) is drawn from it.
    pub(super) answers: u64,
    pub(super) logins: u64,
    pub(super) refused_logins: u64,
    pub(super) rows_examined: u64,
}

/// A user of the panel. Instants are unix milliseconds, `expire` and durations are seconds, traffic is bytes.
#[derive(Clone, Debug)]
pub struct User {
    pub(super) id: u32,
    pub(super) username: Box<str>,
    /// Whether the user may use the proxy, and if not, why.
    pub status: Status,
    /// Bytes up and down since the last reset, weighted by the nodes' coefficients.
    pub used_traffic: u64,
    /// What earlier resets took from `used_traffic`; both together are the lifetime's traffic.
    pub used_before_resets: u64,
    /// `None` or `Some(0)`: unlimited.
    pub data_limit: Option<u64>,
    /// When `used_traffic` goes back to 0 by itself.
    pub data_limit_reset_strategy: ResetStrategy,
    /// Unix seconds; `None` or `Some(0)`: never.
    pub expire: Option<i64>,
    /// When the user last moved a byte; `None`: never.
    pub online_at_ms: Option<i64>,
    /// When the user was created.
    pub created_at_ms: i64,
    /// Length of the plan of a user on hold once it starts.
    pub on_hold_expire_duration: Option<i64>,
    /// When a user on hold becomes active even without traffic.
    pub on_hold_timeout_ms: Option<i64>,
    /// Days after which a user that has ended is deleted; shown, not acted on.
    pub auto_delete_in_days: Option<i64>,
    /// What follows when this plan ends.
    pub next_plan: Option<NextPlan>,
    /// The admin's note, of any text.
    pub note: Option<Box<str>>,
    /// Bytes per second while busy; 0: the user moves nothing by itself.
    pub bytes_per_second: u32,
    /// In how many of 256 ten-minute stretches the user is busy.
    pub busy: u8,
    pub(super) subscribed_at_ms: Option<i64>,
    pub(super) edited_at_ms: i64,
    pub(super) reset_at_ms: i64,
    /// Index into the admins.
    pub(super) owner: Option<usize>,
    pub(super) poisoned: bool,
}

/// Whether a user may use the proxy, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// May use the proxy.
    Active,
    /// Switched off by an admin.
    Disabled,
    /// Has used up its quota.
    Limited,
    /// Its time is over.
    Expired,
    /// Its time begins with its first use.
    OnHold,
}

/// When a user's traffic goes back to 0 by itself: 1, 7, 30 or 365 times 24 hours after the last reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ResetStrategy {
    NoReset,
    Day,
    Week,
    Month,
    Year,
}

/// The plan that follows when a user's quota or time ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextPlan {
    /// Bytes; `None` or `Some(0)`: unlimited.
    pub data_limit: Option<u64>,
    /// Marzban: unix seconds; PasarGuard: seconds from the start of the plan.
    pub expire: Option<i64>,
    /// Whether the rest of the old quota is added; Marzban 0.8.4 inverts it.
    pub add_remaining_traffic: bool,
    /// Whether one of both ends is enough, or both are needed. PasarGuard has no such field.
    pub fire_on_either: bool,
}

pub(super) struct Node {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) usage_coefficient: f64,
    pub(super) xray_version: &'static str,
    pub(super) status: NodeStatus,
    pub(super) message: Option<String>,
    /// PasarGuard only: what the node says of its host; `None`: it does not answer.
    pub(super) stats: Option<NodeStats>,
    /// Bytes up and down by the unix second at which a UTC hour starts.
    pub(super) buckets: BTreeMap<i64, Traffic>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) uplink: u64,
    pub(super) downlink: u64,
}

/// The panel's connection to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the panel's own words")]
pub enum NodeStatus {
    Connected,
    Connecting,
    Error,
    Disabled,
    /// PasarGuard only: the node has used up its own quota.
    Limited,
}

/// A node's host, as `/api/nodes/realtime_stats` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NodeStats {
    /// Bytes.
    pub mem_total: u64,
    /// Bytes.
    pub mem_used: u64,
    /// Processors.
    pub cpu_cores: u64,
    /// Percent.
    pub cpu_usage: f64,
    /// Bytes per second.
    pub incoming_bandwidth_speed: u64,
    /// Bytes per second.
    pub outgoing_bandwidth_speed: u64,
    /// Seconds.
    pub uptime: u64,
}

pub(super) struct Admin {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) is_sudo: bool,
    pub(super) disabled: bool,
    pub(super) telegram_id: Option<i64>,
    pub(super) discord_webhook: Option<&'static str>,
    /// Bytes the admin's users have moved, weighted.
    pub(super) users_usage: u64,
    pub(super) password_reset_at_ms: Option<i64>,
}

/// A token the panel has given out.
pub(super) struct Issued {
    pub(super) token: String,
    /// Index into the admins.
    pub(super) admin: usize,
    pub(super) issued_at_s: i64,
    pub(super) expires_at_s: Option<i64>,
}

/// All users, by age and by name. A page of the list is a slice of the sorted names, so it costs what it shows.
///
/// Rows are shared: an answer being sent keeps the rows it began with, even if the users change meanwhile.
#[derive(Default)]
pub(super) struct Roster {
    by_age: Vec<Option<Arc<User>>>,
    by_name: Vec<u32>,
}

/// Sums over a panel's users; see [`Panel::totals`](super::Panel::totals).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All users.
    pub users: usize,
    /// Users with status `active`.
    pub active: usize,
    /// Users with status `on_hold`.
    pub on_hold: usize,
    /// Users with status `disabled`.
    pub disabled: usize,
    /// Users with status `expired`.
    pub expired: usize,
    /// Users with status `limited`.
    pub limited: usize,
    /// Users seen within the flavour's window: 24 hours for Marzban, two minutes for PasarGuard.
    pub online: usize,
    /// Bytes since each user's last reset.
    pub used_traffic: u64,
    /// Bytes over each user's life.
    pub lifetime_used_traffic: u64,
}

impl State {
    /// Whether the admin at index `caller` may read a user. A sudo admin may read all users, any other its own.
    pub(super) fn may_read(&self, caller: usize, user: &User) -> bool {
        self.admins.get(caller).is_some_and(|admin| admin.is_sudo) || user.owner == Some(caller)
    }

    pub(super) fn nodes_beside_master(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.is_master())
    }

    /// Sums over the users chosen by `wanted`.
    pub(super) fn totals(&self, now_ms: i64, wanted: impl Fn(&User) -> bool) -> Totals {
        let window_ms = match self.flavour {
            Flavour::Marzban | Flavour::Marzban07 => 24 * 60 * 60 * 1000,
            Flavour::PasarGuard => 2 * 60 * 1000,
        };
        let mut totals = Totals::default();
        for user in self.users.oldest_first() {
            // Every admin sees the online users of all admins.
            totals.online += usize::from(user.online_at_ms.is_some_and(|at| at >= now_ms - window_ms));
            if !wanted(user) {
                continue;
            }
            totals.users += 1;
            let of_status = match user.status {
                Status::Active => &mut totals.active,
                Status::Disabled => &mut totals.disabled,
                Status::Limited => &mut totals.limited,
                Status::Expired => &mut totals.expired,
                Status::OnHold => &mut totals.on_hold,
            };
            *of_status += 1;
            totals.used_traffic = totals.used_traffic.saturating_add(user.used_traffic);
            totals.lifetime_used_traffic =
                totals.lifetime_used_traffic.saturating_add(user.lifetime_used_traffic());
        }
        totals
    }
}

impl User {
    /// Its name, which never changes.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Bytes over the user's life.
    pub fn lifetime_used_traffic(&self) -> u64 {
        self.used_before_resets.saturating_add(self.used_traffic)
    }

    pub(super) fn new(username: &str, now_ms: i64) -> User {
        User {
            id: 0,
            username: username.into(),
            status: Status::Active,
            used_traffic: 0,
            used_before_resets: 0,
            data_limit: None,
            data_limit_reset_strategy: ResetStrategy::NoReset,
            expire: None,
            online_at_ms: None,
            created_at_ms: now_ms,
            on_hold_expire_duration: None,
            on_hold_timeout_ms: None,
            auto_delete_in_days: None,
            next_plan: None,
            note: None,
            bytes_per_second: 0,
            busy: 0,
            subscribed_at_ms: None,
            edited_at_ms: now_ms,
            reset_at_ms: now_ms,
            owner: None,
            poisoned: false,
        }
    }

    pub(super) fn is_over_quota(&self) -> bool {
        self.data_limit.is_some_and(|limit| limit > 0 && self.used_traffic >= limit)
    }

    pub(super) fn is_past_expiry(&self, now_ms: i64) -> bool {
        self.expire.is_some_and(|expire| expire > 0 && expire <= now_ms.div_euclid(1000))
    }
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Disabled => "disabled",
            Status::Limited => "limited",
            Status::Expired => "expired",
            Status::OnHold => "on_hold",
        }
    }
}

impl ResetStrategy {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            ResetStrategy::NoReset => "no_reset",
            ResetStrategy::Day => "day",
            ResetStrategy::Week => "week",
            ResetStrategy::Month => "month",
            ResetStrategy::Year => "year",
        }
    }

    pub(super) fn period_ms(self) -> Option<i64> {
        let days = match self {
            ResetStrategy::NoReset => return None,
            ResetStrategy::Day => 1,
            ResetStrategy::Week => 7,
            ResetStrategy::Month => 30,
            ResetStrategy::Year => 365,
        };
        Some(days * 24 * 60 * 60 * 1000)
    }
}

impl Node {
    pub(super) fn is_master(&self) -> bool {
        self.id == 0
    }

    /// What the node carried in the hours that start within `[start_s, end_s]`.
    pub(super) fn between(&self, start_s: i64, end_s: i64) -> Traffic {
        if start_s > end_s {
            return Traffic::default();
        }
        let mut sum = Traffic::default();
        for traffic in self.buckets.range(start_s..=end_s).map(|(_, traffic)| traffic) {
            sum.uplink += traffic.uplink;
            sum.downlink += traffic.downlink;
        }
        sum
    }
}

impl Roster {
    /// Takes users in their order of creation.
    pub(super) fn of(users: Vec<User>) -> Roster {
        let mut roster = Roster::default();
        for (id, mut user) in (0..).zip(users) {
            user.id = id;
            roster.by_age.push(Some(Arc::new(user)));
            roster.by_name.push(id);
        }
        let by_age = &roster.by_age;
        roster.by_name.sort_by(|a, b| name_of(by_age, *a).cmp(name_of(by_age, *b)));
        roster
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, username: &str) -> Option<&Arc<User>> {
        let at = self.find(username).ok()?;
        self.by_id(*self.by_name.get(at)?)
    }

    pub(super) fn insert(&mut self, mut user: User) -> bool {
        let Err(at) = self.find(&user.username) else { return false };
        let Ok(id) = u32::try_from(self.by_age.len()) else { return false };
        user.id = id;
        self.by_age.push(Some(Arc::new(user)));
        self.by_name.insert(at, id);
        true
    }

    pub(super) fn remove(&mut self, username: &str) -> bool {
        let Ok(at) = self.find(username) else { return false };
        let id = self.by_name.remove(at);
        if let Some(row) = self.by_age.get_mut(index(id)) {
            *row = None;
        }
        true
    }

    pub(super) fn edit(&mut self, username: &str, edit: impl FnOnce(&mut User)) -> bool {
        let Ok(at) = self.find(username) else { return false };
        let Some(Some(row)) = self.by_name.get(at).and_then(|id| self.by_age.get_mut(index(*id))) else {
            return false;
        };
        edit(Arc::make_mut(row));
        true
    }

    pub(super) fn sorted(&self) -> impl DoubleEndedIterator<Item = &Arc<User>> {
        self.by_name.iter().filter_map(|id| self.by_id(*id))
    }

    /// At most `limit` users from place `offset` of the sorted list, without visiting those before.
    pub(super) fn page(&self, offset: usize, limit: usize) -> impl Iterator<Item = &Arc<User>> {
        let names = self.by_name.get(offset..).unwrap_or_default();
        names.iter().take(limit).filter_map(|id| self.by_id(*id))
    }

    pub(super) fn oldest_first(&self) -> impl DoubleEndedIterator<Item = &Arc<User>> {
        self.by_age.iter().flatten()
    }

    /// Only users that will change, as a row that is being sent is copied before it does.
    pub(super) fn oldest_first_mut_if(
        &mut self,
        wanted: impl Fn(&User) -> bool,
    ) -> impl Iterator<Item = &mut User> {
        self.by_age.iter_mut().flatten().filter(move |user| wanted(user)).map(Arc::make_mut)
    }

    fn by_id(&self, id: u32) -> Option<&Arc<User>> {
        self.by_age.get(index(id))?.as_ref()
    }

    fn find(&self, username: &str) -> Result<usize, usize> {
        self.by_name.binary_search_by(|id| name_of(&self.by_age, *id).cmp(username))
    }
}

fn name_of(by_age: &[Option<Arc<User>>], id: u32) -> &str {
    by_age.get(index(id)).and_then(Option::as_ref).map_or("", |user| user.username())
}

fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

/// A number that follows from `seed` and `of` alone and looks random.
pub(super) fn scatter(seed: u64, of: u64) -> u64 {
    fastrand::Rng::with_seed(seed ^ of.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)).u64(..)
}

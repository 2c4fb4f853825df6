//! Series about users: counts of them all, then those of each user that may be named.

use std::{ops::Range, time::Duration};

use super::{
    family::{Family, families},
    text::{Number, Text, push_label},
    view::{View, each_target},
};
use crate::model::{Counter, Expiry, Moment, Part, SortedUsers, Unread, User, UserStatus};

families! {
    USERS = Gauge("users", ["target", "status"],
        "Users by status, as counted by the panel (users_active, users_disabled, users_expired, users_limited, users_on_hold of /api/system), otherwise counted from the user list; polled.");
    USERS_ONLINE = Gauge("users_online", ["target"],
        "Users with traffic in the last two minutes, as counted by the panel (online_users, where it covers two minutes) or named by it (onlines), otherwise counted from the user list (online_at within two minutes of the read) while its last walk started less than five minutes ago; polled.");
    USERS_SEEN = Gauge("users_seen", ["target", "within"],
        "Users with traffic within the given time, as counted by the panel (online_users of /api/system, where it covers a day: within=1d); polled.");
    USERS_EXPIRING = Gauge("users_expiring", ["target", "within"],
        "Active users whose plan ends (expire) within the given time; cumulative. Computed every minute from the polled list.");
    USERS_NEAR_QUOTA = Gauge("users_near_quota", ["target", "ratio"],
        "Active and limited users with a quota that have used at least the given ratio of it (used_traffic / data_limit); cumulative. Computed from the polled list.");
    USER_STATUS = Gauge("user_status", ["target", "user", "status"],
        "1 for the user's current status (status; or by enable, expiryTime, total, up and down). Other statuses have no series: use count by (status). Polled.");
    USER_INFO = Info("user_info", ["target", "user", "admin"],
        "Admin that owns the user (admin.username); polled.");
    USER_INBOUND_INFO = Info("user_inbound_info", ["target", "user", "inbound"],
        "Inbound to which the user may connect (tag), with users.inbounds = true; polled.");
    USER_USED = Gauge("user_used_bytes", ["target", "user"],
        "Bytes that count against the user's quota (used_traffic, or up + down); falls when the panel resets it. Polled.");
    USER_LIMIT = Gauge("user_limit_bytes", ["target", "user"],
        "Bytes of the user's quota (data_limit, total or totalGB); no series if unlimited. Polled.");
    USER_TRAFFIC = Counter("user_traffic_bytes_total", ["target", "user"],
        "Bytes transferred by the user in total (lifetime_used_traffic, weighted by the nodes' coefficients; or up + down, which fall when the panel resets them); polled.");
    USER_UPLINK = Counter("user_uplink_bytes_total", ["target", "user"],
        "Bytes sent by the user (up), where the panel counts both directions; polled.");
    USER_DOWNLINK = Counter("user_downlink_bytes_total", ["target", "user"],
        "Bytes received by the user (down), where the panel counts both directions; polled.");
    USER_EXPIRY = Gauge("user_expiry_timestamp_seconds", ["target", "user"],
        "Unix time at which the user's plan ends (expire or expiryTime); no series if never. Polled.");
    USER_EXPIRY_PENDING = Gauge("user_expiry_pending_seconds", ["target", "user"],
        "Seconds that the user's plan lasts from its first use (on_hold_expire_duration, or a negative expiryTime); polled.");
    USER_QUOTA_RESET = Gauge("user_quota_reset_timestamp_seconds", ["target", "user"],
        "Unix time at which the panel next sets the user's used bytes back to 0 (expiryTime of a user with reset); no series if it does not. Polled.");
    USER_RENEWS = Gauge("user_renews", ["target", "user"],
        "1: the panel starts the user's next plan by itself when this one ends (next_plan, or reset) and, if it does not reset the quota at a given time, when the quota is used up. Other users have no series. Polled.");
    USER_ONLINE = Gauge("user_online", ["target", "user"],
        "Whether the user is online: the panel names the user as such (onlines), or the user had traffic (online_at) in the two minutes before the user was read. No series if that read is older than five minutes. Polled.");
    USER_LAST_ONLINE = Gauge("user_last_online_timestamp_seconds", ["target", "user"],
        "Unix time of the user's last traffic (online_at or lastOnline); no series if never. Polled.");
    USER_DEVICES = Gauge("user_devices", ["target", "user"],
        "Addresses in use by the user at present (client IPs of the panel); polled.");
    USER_DEVICES_LIMIT = Gauge("user_devices_limit", ["target", "user"],
        "Addresses that the user may use at a time (limitIp); no series if unlimited. Polled.");
    USER_NODE_TRAFFIC = Counter("user_node_traffic_bytes_total", ["target", "user", "node"],
        "Bytes transferred by the user through a node since first seen (used_traffic of /api/user/NAME/usage), for users named in the configuration; polled.");
}

/// Bounds of `users_expiring`.
const WITHIN: [(&str, Duration); 3] = [("1d", days(1)), ("3d", days(3)), ("7d", days(7))];

/// Bounds of `users_near_quota`, in percent.
const RATIOS: [(&str, u128); 3] = [("0.8", 80), ("0.95", 95), ("1", 100)];

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

pub(super) fn write(text: &mut Text, views: &[View<'_>]) {
    write_counts(text, views);
    write_rows(text, views);
    write_node_traffic(text, views);
}

fn write_counts(text: &mut Text, views: &[View<'_>]) {
    let targets: Vec<_> = views.iter().map(Counts::new).collect();
    let mut series = text.family(&USERS);
    for target in &targets {
        for status in UserStatus::KNOWN {
            if let Some(users) = target.with_status(status) {
                series.add(&[target.name(), status.label()], users);
            }
        }
        // A status that no panel is known to have is shown only when one has it.
        if let Some(users @ 1..) = target.with_status(UserStatus::Unknown) {
            series.add(&[target.name(), UserStatus::Unknown.label()], users);
        }
    }
    each_target(text, &USERS_ONLINE, views, |view| view.report.users_online(view.now));
    let mut series = text.family(&USERS_SEEN);
    for view in views {
        if let Some(users) = view.if_fresh(Part::System, view.report.counts.seen_within_day) {
            series.add(&[view.target(), "1d"], users);
        }
    }
    let mut series = text.family(&USERS_EXPIRING);
    for target in &targets {
        if let Some(tally) = &target.tally {
            for ((within, _), users) in WITHIN.iter().zip(tally.expiring) {
                series.add(&[target.name(), within], users);
            }
        }
    }
    let mut series = text.family(&USERS_NEAR_QUOTA);
    for target in &targets {
        if let Some(tally) = &target.tally {
            for ((ratio, _), users) in RATIOS.iter().zip(tally.near_quota) {
                series.add(&[target.name(), ratio], users);
            }
        }
    }
}

/// The users of a target, counted.
struct Counts<'v, 'a> {
    view: &'v View<'a>,
    /// Absent while the list is not whole or is stale.
    tally: Option<Tally>,
}

impl<'v, 'a> Counts<'v, 'a> {
    fn new(view: &'v View<'a>) -> Self {
        Counts { view, tally: view.all_users().map(|users| Tally::of(users, view.now)) }
    }

    fn name(&self) -> &'a str {
        self.view.target()
    }

    /// By the panel's count or counted from the list, whichever is younger.
    fn with_status(&self, status: UserStatus) -> Option<u64> {
        let counts = &self.view.report.counts;
        let walked = self.view.report.users.walked_since().filter(|_| self.tally.is_some());
        let outdated =
            counts.by_status_at.zip(walked).is_some_and(|(counted, walked)| counted.uptime < walked.uptime);
        let counts = counts.by_status.iter().filter(|_| !outdated).filter(|(counted, _)| *counted == status);
        let counted = counts.map(|(_, users)| *users).reduce(u64::saturating_add);
        self.view
            .if_fresh(Part::System, counted)
            .or_else(|| self.tally.as_ref().map(|tally| tally.by_status.of(status)))
    }
}

/// Users counted in several ways on one pass over the list.
#[derive(Default)]
struct Tally {
    by_status: ByStatus,
    expiring: [u64; WITHIN.len()],
    near_quota: [u64; RATIOS.len()],
}

impl Tally {
    fn of(users: &SortedUsers, now: Moment) -> Self {
        let mut tally = Tally::default();
        for user in users.iter() {
            tally.by_status.add(user.status);
            if let (UserStatus::Active, Expiry::At(end)) = (user.status, user.expiry)
                && end > now.wall
            {
                let left = end.since(now.wall);
                for (count, (_, within)) in tally.expiring.iter_mut().zip(WITHIN) {
                    *count += u64::from(left <= within);
                }
            }
            if let (UserStatus::Active | UserStatus::Limited, Some(limit @ 1..)) = (user.status, user.limit) {
                for (count, (_, percent)) in tally.near_quota.iter_mut().zip(RATIOS) {
                    *count += u64::from(u128::from(user.used) * 100 >= u128::from(limit) * percent);
                }
            }
        }
        tally
    }
}

/// Numbers of users by status.
#[derive(Default)]
pub(super) struct ByStatus([u64; 6]);

impl ByStatus {
    pub(super) fn add(&mut self, status: UserStatus) {
        self.0[Self::index(status)] += 1;
    }

    fn of(&self, status: UserStatus) -> u64 {
        self.0[Self::index(status)]
    }

    /// Every status that panels are known to have, and another one only if a user has it.
    pub(super) fn shown(&self) -> impl Iterator<Item = (UserStatus, u64)> + '_ {
        let unknown = Some(UserStatus::Unknown).filter(|status| self.of(*status) > 0);
        UserStatus::KNOWN.into_iter().chain(unknown).map(|status| (status, self.of(status)))
    }

    fn index(status: UserStatus) -> usize {
        match status {
            UserStatus::Active => 0,
            UserStatus::OnHold => 1,
            UserStatus::Disabled => 2,
            UserStatus::Limited => 3,
            UserStatus::Expired => 4,
            UserStatus::Unknown => 5,
        }
    }
}

fn write_rows(text: &mut Text, views: &[View<'_>]) {
    let targets: Vec<_> = views.iter().map(Rows::new).collect();
    each_user_with(text, &USER_STATUS, &targets, |user, _| {
        if_read(user, Unread::STATUS, user.status.label())
    });
    each_user_with(text, &USER_INFO, &targets, |user, _| user.owner.as_deref());
    each_user_with(text, &USER_INBOUND_INFO, &targets, |user, view| {
        let shown = if view.options.inbounds { &*user.extra.inbounds } else { &[] };
        shown.iter().map(|inbound| &**inbound)
    });
    each_user(text, &USER_USED, &targets, |user, _| if_read(user, Unread::USED, user.used));
    each_user(text, &USER_LIMIT, &targets, |user, _| user.limit.filter(|_| !user.unread.has(Unread::LIMIT)));
    each_user(text, &USER_TRAFFIC, &targets, |user, _| if_read(user, Unread::TRAFFIC, user.traffic.value()));
    each_user(text, &USER_UPLINK, &targets, |user, _| user.extra.uplink.and_then(Counter::read));
    each_user(text, &USER_DOWNLINK, &targets, |user, _| user.extra.downlink.and_then(Counter::read));
    each_user(text, &USER_EXPIRY, &targets, |user, _| match user.expiry {
        Expiry::At(end) => if_read(user, Unread::EXPIRY, end),
        Expiry::Never | Expiry::OnFirstUse(_) => None,
    });
    each_user(text, &USER_EXPIRY_PENDING, &targets, |user, _| match user.expiry {
        Expiry::OnFirstUse(duration) => if_read(user, Unread::EXPIRY, duration),
        Expiry::Never | Expiry::At(_) => None,
    });
    each_user(text, &USER_QUOTA_RESET, &targets, |user, _| user.extra.quota_reset);
    each_user(text, &USER_RENEWS, &targets, |user, _| user.renews.then_some(true));
    each_user(text, &USER_ONLINE, &targets, |user, view| view.report.online(user, view.now));
    each_user(text, &USER_LAST_ONLINE, &targets, |user, _| user.last_online);
    each_user(text, &USER_DEVICES, &targets, |user, _| user.extra.devices);
    each_user(text, &USER_DEVICES_LIMIT, &targets, |user, _| user.extra.devices_limit);
}

fn if_read<T>(user: &User, fact: Unread, value: T) -> Option<T> {
    (!user.unread.has(fact)).then_some(value)
}

/// The users of a target that have series of their own.
struct Rows<'v, 'a> {
    view: &'v View<'a>,
    rows: Vec<Row<'a>>,
    /// The rows' label texts, one after the other.
    labels: String,
}

struct Row<'a> {
    user: &'a User,
    /// Where in [`Rows::labels`] its `target="…",user="…"` is.
    labels: Range<usize>,
}

impl<'v, 'a> Rows<'v, 'a> {
    fn new(view: &'v View<'a>) -> Self {
        let (number, _) = view.named_users().unwrap_or_default();
        let mut text = Vec::with_capacity(number * (view.target().len() + 40));
        let mut rows = Vec::with_capacity(number);
        for user in view.report.users.list().iter().take(number) {
            let Some(label) = view.naming.labels.of(&user.name) else { continue };
            let start = text.len();
            push_label(&mut text, "target", view.target());
            text.push(b',');
            push_label(&mut text, "user", &label);
            rows.push(Row { user, labels: start..text.len() });
        }
        let labels = String::from_utf8(text).unwrap_or_default();
        if view.naming.hashes() {
            // In the order of names, a hash would still show where in the alphabet its user is.
            rows.sort_unstable_by_key(|row| labels.get(row.labels.clone()));
        }
        Rows { view, rows, labels }
    }

    /// The users, each with its label text.
    fn labelled(&self) -> impl Iterator<Item = (&'a User, &str)> {
        self.rows.iter().filter_map(|row| Some((row.user, self.labels.get(row.labels.clone())?)))
    }
}

fn each_user<V: Into<Number>>(
    text: &mut Text,
    family: &Family<'_>,
    targets: &[Rows<'_, '_>],
    value: impl Fn(&User, &View<'_>) -> Option<V>,
) {
    let mut series = text.family(family);
    for target in targets {
        for (user, labels) in target.labelled() {
            if let Some(value) = value(user, target.view) {
                series.add_to(labels, &[], value);
            }
        }
    }
}

/// As [`each_user`], of families with one more label, whose values are given, and the value 1.
fn each_user_with<'a, L: IntoIterator<Item = &'a str>>(
    text: &mut Text,
    family: &Family<'_>,
    targets: &[Rows<'_, 'a>],
    values: impl Fn(&'a User, &View<'_>) -> L,
) {
    let mut series = text.family(family);
    for target in targets {
        for (user, labels) in target.labelled() {
            for value in values(user, target.view) {
                series.add_to(labels, &[value], true);
            }
        }
    }
}

fn write_node_traffic(text: &mut Text, views: &[View<'_>]) {
    let mut series = text.family(&USER_NODE_TRAFFIC);
    for view in views {
        let traffic = view.if_fresh_list(Part::UserNodes, &view.report.user_nodes).iter();
        let labelled = traffic.filter_map(|traffic| Some((view.naming.label(&traffic.user)?, traffic)));
        let mut labelled: Vec<_> = labelled.collect();
        if view.naming.hashes() {
            labelled.sort_by(|(user, _), (other, _)| user.cmp(other));
        }
        for (user, traffic) in labelled {
            series.add(&[view.target(), &user, &traffic.node], traffic.bytes);
        }
    }
}

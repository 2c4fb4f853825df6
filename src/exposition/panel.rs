use std::{collections::HashSet, ops::Range, sync::Arc, time::Duration};

use crate::model::{
    Admin, Core, Counter, Expiry, Host, Moment, Node, NodeStatus, NodeTraffic, Outcome, Part, PartState,
    Report, User, UserStatus,
};

use super::{
    Family, Options, UserLabels,
    family::*,
    text::{Number, Text, push_label},
    view::Naming,
};

/// How long after a read it may still be told who was online then.
const ONLINE_FOR: Duration = Duration::from_secs(5 * 60);

/// Bounds of `users_expiring`.
const WITHIN: [(&str, Duration); 3] = [("1d", days(1)), ("3d", days(3)), ("7d", days(7))];

/// Bounds of `users_near_quota`, in percent.
const RATIOS: [(&str, u128); 3] = [("0.8", 80), ("0.95", 95), ("1", 100)];

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

/// Writes all families in the order of [`super::families`], each for all targets.
pub(super) fn write(
    text: &mut Text,
    reports: &[Arc<Report>],
    namings: &[Naming],
    now: Moment,
    options: &Options,
) {
    let views = reports.iter().zip(namings);
    let views: Vec<_> = views.map(|(report, naming)| View::new(report, naming, now, options)).collect();
    write_targets(text, &views);
    write_user_counts(text, &views);
    write_users(text, &views);
    write_user_nodes(text, &views);
    write_nodes(text, &views);
    write_hosts(text, &views);
    write_admins(text, &views);
}

/// A report as it is told at one moment.
struct View<'a> {
    report: &'a Report,
    naming: &'a Naming,
    now: Moment,
    /// What the list of users gives when counted; absent while it is not whole or is stale.
    tally: Option<Tally>,
    /// Users with series of their own.
    rows: Vec<Row<'a>>,
    /// The rows' label texts, one after the other.
    labels: String,
    /// Users left out of `rows` by the limit; absent: they are not known, or none is to have series.
    omitted: Option<usize>,
}

struct Row<'a> {
    user: &'a User,
    /// Where in [`View::labels`] its `target="…",user="…"` stands.
    labels: Range<usize>,
}

impl<'a> View<'a> {
    fn new(report: &'a Report, naming: &'a Naming, now: Moment, options: &Options) -> Self {
        let mut view =
            View { report, naming, now, tally: None, rows: Vec::new(), labels: String::new(), omitted: None };
        if report.fresh(Part::Users, now) {
            let list = report.users.list();
            if report.users.walked_since().is_some() {
                view.tally = Some(Tally::of(list, now));
            }
            if !matches!(options.labels, UserLabels::Off) {
                view.omitted = Some(list.len().saturating_sub(options.limit));
                view.name_rows(&options.labels, list.iter().take(options.limit));
            }
        }
        view
    }

    fn name_rows(&mut self, labels: &UserLabels, users: impl ExactSizeIterator<Item = &'a Arc<User>>) {
        let mut text = Vec::with_capacity(users.len() * (self.report.target.len() + 40));
        self.rows.reserve_exact(users.len());
        for user in users {
            let Some(label) = self.naming.label(&user.name) else { continue };
            let start = text.len();
            push_label(&mut text, "target", &self.report.target);
            text.push(b',');
            push_label(&mut text, "user", &label);
            self.rows.push(Row { user, labels: start..text.len() });
        }
        self.labels = String::from_utf8(text).unwrap_or_default();
        if matches!(labels, UserLabels::Hash(_)) {
            // In the order of names, a hash would still tell where in the alphabet its user stands.
            let labels = &self.labels;
            self.rows.sort_unstable_by_key(|row| labels.get(row.labels.clone()));
        }
    }

    fn target(&self) -> &str {
        &self.report.target
    }

    fn if_fresh<T>(&self, part: Part, value: Option<T>) -> Option<T> {
        value.filter(|_| self.report.fresh(part, self.now))
    }

    fn if_fresh_list<T>(&self, part: Part, list: &'a [T]) -> &'a [T] {
        if self.report.fresh(part, self.now) { list } else { &[] }
    }

    fn host<T>(&self, value: impl FnOnce(&Host) -> Option<T>) -> Option<T> {
        self.if_fresh(Part::System, value(&self.report.host))
    }

    fn nodes(&self) -> &'a [Node] {
        self.if_fresh_list(Part::Nodes, &self.report.nodes)
    }

    fn admins(&self) -> &'a [Admin] {
        self.if_fresh_list(Part::Admins, &self.report.admins)
    }

    fn core(&self) -> Option<&'a Core> {
        self.if_fresh(Part::Core, self.report.core.as_ref())
    }

    /// By the panel's count, else counted from the list.
    fn users_of(&self, status: UserStatus) -> Option<u64> {
        let counts = self.report.counts.by_status.iter().filter(|(counted, _)| *counted == status);
        let counted = counts.map(|(_, users)| *users).reduce(u64::saturating_add);
        self.if_fresh(Part::System, counted)
            .or_else(|| self.tally.as_ref().map(|tally| tally.by_status[status_index(status)]))
    }

    fn users_online(&self) -> Option<u64> {
        self.if_fresh(Part::System, self.report.counts.online).or_else(|| {
            let walked_since = self.report.users.walked_since()?;
            let young = self.now.since(walked_since) < ONLINE_FOR;
            self.tally.as_ref().filter(|_| young).map(|tally| tally.online)
        })
    }
}

/// Users counted in several ways on one pass over the list.
#[derive(Default)]
struct Tally {
    by_status: [u64; 6],
    online: u64,
    expiring: [u64; WITHIN.len()],
    near_quota: [u64; RATIOS.len()],
}

impl Tally {
    fn of(users: &[Arc<User>], now: Moment) -> Self {
        let mut tally = Tally::default();
        for user in users {
            tally.by_status[status_index(user.status)] += 1;
            tally.online += u64::from(user.online);
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

fn status_index(status: UserStatus) -> usize {
    match status {
        UserStatus::Active => 0,
        UserStatus::OnHold => 1,
        UserStatus::Disabled => 2,
        UserStatus::Limited => 3,
        UserStatus::Expired => 4,
        UserStatus::Unknown => 5,
    }
}

fn write_targets(text: &mut Text, views: &[View<'_>]) {
    each_target(text, &UP, views, |view| view.report.up);
    let mut series = text.family(&TARGET_INFO);
    for view in views {
        if let Some(identity) = &view.report.identity {
            let system = identity.system.label();
            series.add(&[view.target(), system, &identity.version, &identity.generation], true);
        }
    }
    each_part(text, &TARGET_PART_UP, views, |state| match state.outcome {
        Outcome::Up => Some(true),
        Outcome::Failed { .. } => Some(false),
        Outcome::Refused | Outcome::Pending => None,
    });
    each_part(text, &TARGET_PART_REFUSED, views, |state| Some(state.outcome == Outcome::Refused));
    each_part(text, &TARGET_PART_LAST_SUCCESS, views, |state| state.last_success.map(|moment| moment.wall));
    each_part(text, &TARGET_PART_DURATION, views, |state| state.duration);
    each_target(text, &TARGET_CERTIFICATE_EXPIRY, views, |view| view.report.certificate_expiry);
    each_target(text, &TARGET_USERS_OMITTED, views, |view| view.omitted);
    each_target(text, &TARGET_USERS_UNREADABLE, views, |view| {
        view.tally.as_ref().map(|_| view.report.users.unreadable())
    });
}

fn write_user_counts(text: &mut Text, views: &[View<'_>]) {
    let mut series = text.family(&USERS);
    for view in views {
        for status in UserStatus::KNOWN {
            if let Some(users) = view.users_of(status) {
                series.add(&[view.target(), status.label()], users);
            }
        }
        // A status that no panel is known to have is told only when one has it.
        if let Some(users @ 1..) = view.users_of(UserStatus::Unknown) {
            series.add(&[view.target(), UserStatus::Unknown.label()], users);
        }
    }
    each_target(text, &USERS_ONLINE, views, |view| view.users_online());
    let mut series = text.family(&USERS_SEEN);
    for view in views {
        if let Some(users) = view.if_fresh(Part::System, view.report.counts.seen_within_day) {
            series.add(&[view.target(), "1d"], users);
        }
    }
    let mut series = text.family(&USERS_EXPIRING);
    for view in views {
        if let Some(tally) = &view.tally {
            for ((within, _), users) in WITHIN.iter().zip(tally.expiring) {
                series.add(&[view.target(), within], users);
            }
        }
    }
    let mut series = text.family(&USERS_NEAR_QUOTA);
    for view in views {
        if let Some(tally) = &view.tally {
            for ((ratio, _), users) in RATIOS.iter().zip(tally.near_quota) {
                series.add(&[view.target(), ratio], users);
            }
        }
    }
}

fn write_users(text: &mut Text, views: &[View<'_>]) {
    each_user_with(text, &USER_STATUS, views, |user| Some(user.status.label()));
    each_user_with(text, &USER_INFO, views, |user| user.owner.as_deref());
    each_user(text, &USER_USED, views, |user, _| Some(user.used));
    each_user(text, &USER_LIMIT, views, |user, _| user.limit);
    each_user(text, &USER_TRAFFIC, views, |user, _| Some(user.traffic));
    each_user(text, &USER_EXPIRY, views, |user, _| match user.expiry {
        Expiry::At(end) => Some(end),
        Expiry::Never | Expiry::OnFirstUse(_) => None,
    });
    each_user(text, &USER_EXPIRY_PENDING, views, |user, _| match user.expiry {
        Expiry::OnFirstUse(duration) => Some(duration),
        Expiry::Never | Expiry::At(_) => None,
    });
    each_user(text, &USER_ONLINE, views, |user, now| {
        (now.wall.since(user.read_at) < ONLINE_FOR).then_some(user.online)
    });
    each_user(text, &USER_LAST_ONLINE, views, |user, _| user.last_online);
}

fn write_user_nodes(text: &mut Text, views: &[View<'_>]) {
    let mut series = text.family(&USER_NODE_TRAFFIC);
    for view in views {
        for traffic in view.if_fresh_list(Part::UserNodes, &view.report.user_nodes) {
            if let Some(user) = view.naming.label(&traffic.user) {
                series.add(&[view.target(), &user, &traffic.node], traffic.bytes);
            }
        }
    }
}

fn write_nodes(text: &mut Text, views: &[View<'_>]) {
    each_node(text, &NODE_UP, views, |node| {
        (node.status != NodeStatus::Disabled).then_some(node.status == NodeStatus::Connected)
    });
    let mut series = text.family(&NODE_STATUS);
    for view in views {
        for node in view.nodes() {
            for status in NodeStatus::ALL {
                series.add(&[view.target(), &node.label, status.label()], node.status == status);
            }
        }
    }
    let mut series = text.family(&NODE_INFO);
    for view in views {
        for node in view.nodes() {
            let version = node.version.as_deref().unwrap_or_default();
            series.add(&[view.target(), &node.label, &node.address, version], true);
        }
    }
    each_node_traffic(
        text,
        &NODE_UPLINK,
        views,
        |node| node.uplink.map(Counter::value),
        |traffic| traffic.uplink,
    );
    each_node_traffic(
        text,
        &NODE_DOWNLINK,
        views,
        |node| node.downlink.map(Counter::value),
        |traffic| traffic.downlink,
    );
    each_node(text, &NODE_USAGE_COEFFICIENT, views, |node| node.usage_coefficient);
}

fn write_hosts(text: &mut Text, views: &[View<'_>]) {
    each_target(text, &HOST_CPU_USAGE, views, |view| view.host(|host| host.cpu_usage));
    each_target(text, &HOST_CPU_CORES, views, |view| view.host(|host| host.cpu_cores));
    each_target(text, &HOST_MEMORY_USED, views, |view| view.host(|host| host.memory_used));
    each_target(text, &HOST_MEMORY_SIZE, views, |view| view.host(|host| host.memory_size));
    each_target(text, &HOST_DISK_USED, views, |view| view.host(|host| host.disk_used));
    each_target(text, &HOST_DISK_SIZE, views, |view| view.host(|host| host.disk_size));
    each_target(text, &HOST_UPTIME, views, |view| view.host(|host| host.uptime));
    each_target(text, &PROXY_UPLINK, views, |view| view.if_fresh(Part::System, view.report.proxy_uplink));
    each_target(text, &PROXY_DOWNLINK, views, |view| view.if_fresh(Part::System, view.report.proxy_downlink));
    each_target(text, &CORE_UP, views, |view| view.core().map(|core| core.up));
    let mut series = text.family(&CORE_INFO);
    for view in views {
        if let Some(version) = view.core().and_then(|core| core.version.as_deref()) {
            series.add(&[view.target(), version], true);
        }
    }
}

fn write_admins(text: &mut Text, views: &[View<'_>]) {
    let mut series = text.family(&ADMIN_USED);
    for view in views {
        for admin in view.admins() {
            if let Some(used) = admin.used {
                series.add(&[view.target(), &admin.name], used);
            }
        }
    }
    let mut series = text.family(&ADMIN_INFO);
    for view in views {
        for admin in view.admins() {
            let sudo = match admin.sudo {
                Some(true) => "true",
                Some(false) => "false",
                None => "",
            };
            series.add(&[view.target(), &admin.name, sudo], true);
        }
    }
}

fn each_target<V: Into<Number>>(
    text: &mut Text,
    family: &'static Family,
    views: &[View<'_>],
    value: impl Fn(&View<'_>) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        if let Some(value) = value(view) {
            series.add(&[view.target()], value);
        }
    }
}

fn each_part<V: Into<Number>>(
    text: &mut Text,
    family: &'static Family,
    views: &[View<'_>],
    value: impl Fn(&PartState) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        for (part, state) in &view.report.parts {
            if let Some(value) = value(state) {
                series.add(&[view.target(), part.label()], value);
            }
        }
    }
}

fn each_user<V: Into<Number>>(
    text: &mut Text,
    family: &'static Family,
    views: &[View<'_>],
    value: impl Fn(&User, Moment) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        for row in &view.rows {
            if let (Some(value), Some(labels)) =
                (value(row.user, view.now), view.labels.get(row.labels.clone()))
            {
                series.add_to(labels, &[], value);
            }
        }
    }
}

/// As [`each_user`], of families with one more label and the value 1.
fn each_user_with<'a>(
    text: &mut Text,
    family: &'static Family,
    views: &[View<'a>],
    label: impl Fn(&'a User) -> Option<&'a str>,
) {
    let mut series = text.family(family);
    for view in views {
        for row in &view.rows {
            if let (Some(label), Some(labels)) = (label(row.user), view.labels.get(row.labels.clone())) {
                series.add_to(labels, &[label], true);
            }
        }
    }
}

fn each_node<V: Into<Number>>(
    text: &mut Text,
    family: &'static Family,
    views: &[View<'_>],
    value: impl Fn(&Node) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        for node in view.nodes() {
            if let Some(value) = value(node) {
                series.add(&[view.target(), &node.label], value);
            }
        }
    }
}

/// The node's own counter where the panel keeps one, else what was added up from its usage. Never one after the
/// other for the same node, even while the first is stale: they do not count from the same start.
fn each_node_traffic(
    text: &mut Text,
    family: &'static Family,
    views: &[View<'_>],
    counted: impl Fn(&Node) -> Option<u64>,
    added_up: impl Fn(&NodeTraffic) -> u64,
) {
    let mut series = text.family(family);
    for view in views {
        for node in view.nodes() {
            if let Some(bytes) = counted(node) {
                series.add(&[view.target(), &node.label], bytes);
            }
        }
        let nodes = view.report.nodes.iter();
        let own: HashSet<&str> =
            nodes.filter(|node| counted(node).is_some()).map(|node| &*node.label).collect();
        for traffic in view.if_fresh_list(Part::Usage, &view.report.usage) {
            if !own.contains(&*traffic.node) {
                series.add(&[view.target(), &traffic.node], added_up(traffic));
            }
        }
    }
}

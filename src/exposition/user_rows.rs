//! Series of each user that may be named: nearly all of a large page.

use std::{
    ops::Range,
    sync::{Arc, Weak},
};

use super::{
    family::{Family, families},
    text::{CLOSING, Number, Text, push_label, push_value},
    view::View,
};
use crate::model::{Counter, Expiry, Extras, Part, Unread, User, Users};

families! {
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
    USER_LAST_ONLINE = Gauge("user_last_online_timestamp_seconds", ["target", "user"],
        "Unix time of the user's last traffic (online_at or lastOnline); no series if never. Polled.");
    USER_DEVICES = Gauge("user_devices", ["target", "user"],
        "Addresses in use by the user at present (client IPs of the panel); polled.");
    USER_DEVICES_LIMIT = Gauge("user_devices_limit", ["target", "user"],
        "Addresses that the user may use at a time (limitIp); no series if unlimited. Polled.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
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
    each_extra(text, &USER_UPLINK, &targets, |extra| extra.uplink.and_then(Counter::read));
    each_extra(text, &USER_DOWNLINK, &targets, |extra| extra.downlink.and_then(Counter::read));
    each_user(text, &USER_EXPIRY, &targets, |user, _| match user.expiry {
        Expiry::At(end) => if_read(user, Unread::EXPIRY, end),
        Expiry::Never | Expiry::OnFirstUse(_) => None,
    });
    each_user(text, &USER_EXPIRY_PENDING, &targets, |user, _| match user.expiry {
        Expiry::OnFirstUse(duration) => if_read(user, Unread::EXPIRY, duration),
        Expiry::Never | Expiry::At(_) => None,
    });
    each_extra(text, &USER_QUOTA_RESET, &targets, |extra| extra.quota_reset);
    each_user(text, &USER_RENEWS, &targets, |user, _| user.renews.then_some(true));
    each_user(text, &USER_LAST_ONLINE, &targets, |user, _| user.last_online);
    each_extra(text, &USER_DEVICES, &targets, |extra| extra.devices);
    each_extra(text, &USER_DEVICES_LIMIT, &targets, |extra| extra.devices_limit);
}

/// What the rows of a target were written from.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Weak, so that an old list is not kept in memory.
    users: Weak<Users>,
    is_fresh: bool,
}

impl Source {
    pub(super) fn of(view: &View<'_>) -> Self {
        let is_fresh = view.report.fresh(Part::Users, view.now);
        Source { users: Arc::downgrade(&view.report.users), is_fresh }
    }

    /// Whether the same would be written again.
    pub(super) fn is_still(&self, view: &View<'_>) -> bool {
        let now = Source::of(view);
        Weak::ptr_eq(&self.users, &now.users) && self.is_fresh == now.is_fresh
    }
}

fn if_read<T>(user: &User, fact: Unread, value: T) -> Option<T> {
    (!user.unread.has(fact)).then_some(value)
}

/// The users of a target that have series of their own.
pub(super) struct Rows<'v, 'a> {
    view: &'v View<'a>,
    rows: Vec<Row<'a>>,
    /// Whether the system says of some what not all systems say.
    have_extras: bool,
    /// The rows' label texts, one after the other, each with the brace and the space that follow the last label.
    labels: Vec<u8>,
}

struct Row<'a> {
    user: &'a User,
    /// Where in [`Rows::labels`] its `target="…",user="…"` is.
    labels: Range<usize>,
}

impl<'v, 'a> Rows<'v, 'a> {
    pub(super) fn new(view: &'v View<'a>) -> Self {
        let (number, _) = view.named_users().unwrap_or_default();
        let mut text = Vec::with_capacity(number * (view.target().len() + 45));
        let mut rows = Vec::with_capacity(number);
        let mut start_of_each = Vec::new();
        push_label(&mut start_of_each, "target", view.target());
        start_of_each.extend_from_slice(b",user=\"");
        for user in view.report.users.list().iter().take(number) {
            let Some(label) = view.naming.labels.of(&user.name) else { continue };
            let start = text.len();
            text.extend_from_slice(&start_of_each);
            push_value(&mut text, &label);
            text.push(b'"');
            text.extend_from_slice(CLOSING);
            rows.push(Row { user, labels: start..text.len() });
        }
        if view.naming.hashes() {
            // In the order of names, a hash would still show where in the alphabet its user is.
            rows.sort_unstable_by_key(|row| text.get(row.labels.clone()));
        }
        let have_extras = rows.iter().any(|row| !row.user.extra.is_empty());
        Rows { view, rows, have_extras, labels: text }
    }

    /// The users, each with its label text.
    fn labelled(&self) -> impl Iterator<Item = (&'a User, &[u8])> {
        self.rows.iter().filter_map(|row| Some((row.user, self.labels.get(row.labels.clone())?)))
    }
}

pub(super) fn each_user<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    targets: &[Rows<'_, '_>],
    value: impl Fn(&User, &View<'_>) -> Option<V>,
) {
    let mut series = text.family(family);
    for target in targets {
        for (user, labels) in target.labelled() {
            if let Some(value) = value(user, target.view) {
                series.add_row(labels, value);
            }
        }
    }
}

/// As [`each_user`], of what only some systems say.
fn each_extra<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    targets: &[Rows<'_, '_>],
    value: impl Fn(&Extras) -> Option<V>,
) {
    let mut series = text.family(family);
    for target in targets.iter().filter(|target| target.have_extras) {
        for (user, labels) in target.labelled() {
            if let Some(value) = value(&user.extra) {
                series.add_row(labels, value);
            }
        }
    }
}

/// As [`each_user`], of families with one more label, whose values are given, and the value 1.
fn each_user_with<'a, L: IntoIterator<Item = &'a str>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    targets: &[Rows<'_, 'a>],
    values: impl Fn(&'a User, &View<'_>) -> L,
) {
    let mut series = text.family(family);
    for target in targets {
        for (user, labels) in target.labelled() {
            for value in values(user, target.view) {
                series.add_row_with(labels, value, true);
            }
        }
    }
}

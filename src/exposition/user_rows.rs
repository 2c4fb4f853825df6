//! Series of each user that may be named: nearly all of a large page.

use std::sync::{Arc, Weak};

use super::{family::families, rows::RowFamily, view::View};
use crate::model::{Counter, Expiry, Part, Unread, UsedToday, User, Users};

families! {
    USER_STATUS = Gauge("user_status", ["target", "user", "status"],
        "1 for the user's current status (status; or by enable, expiryTime, total, up and down). Other statuses have no series: use count by (status). Polled.");
    USER_INFO = Info("user_info", ["target", "user", "admin"],
        "Admin that owns the user (admin.username); polled.");
    USER_INBOUND_INFO = Info("user_inbound_info", ["target", "user", "inbound"],
        "Inbound to which the user may connect (tag), with users.inbounds = true; polled.");
    USER_USED = Gauge("user_used_bytes", ["target", "user"],
        "Bytes that count against the user's quota (used_traffic, or up + down); falls when the panel resets it. Polled.");
    USER_USED_TODAY = Gauge("user_used_today_bytes", ["target", "user"],
        "Bytes that the user has used since the day began in the zone of [alerting], with users.used_today = true. Counted from polled totals, and up to six minutes older than they are.");
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
        "Addresses in use by the user at present (client IPs of the panel or of its nodes); polled.");
    USER_DEVICES_LIMIT = Gauge("user_devices_limit", ["target", "user"],
        "Addresses that the user may use at a time (limitIp, or hwid_limit, or device_limit of the configuration); no series if unlimited. Polled.");
}

pub(super) static ROWS: &[RowFamily] = &[
    RowFamily(&USER_STATUS, |rows| {
        rows.each_with(|user| if_read(user, Unread::STATUS, user.status.label()));
    }),
    RowFamily(&USER_INFO, |rows| rows.each_with(|user| user.owner.as_deref())),
    RowFamily(&USER_INBOUND_INFO, |rows| {
        if rows.view.options.inbounds {
            rows.each_with(|user| user.extra.inbounds.iter().map(|inbound| &**inbound));
        }
    }),
    RowFamily(&USER_USED, |rows| rows.each(|user| if_read(user, Unread::USED, user.used))),
    RowFamily(&USER_USED_TODAY, |rows| {
        if let Some(today) = used_today(rows.view) {
            rows.each(|user| Some(today.of(&user.name)));
        }
    }),
    RowFamily(&USER_LIMIT, |rows| {
        rows.each(|user| user.limit.filter(|_| !user.unread.has(Unread::LIMIT)));
    }),
    RowFamily(&USER_TRAFFIC, |rows| {
        rows.each(|user| if_read(user, Unread::TRAFFIC, user.traffic.value()));
    }),
    RowFamily(&USER_UPLINK, |rows| rows.each(|user| user.extra.uplink.and_then(Counter::read))),
    RowFamily(&USER_DOWNLINK, |rows| rows.each(|user| user.extra.downlink.and_then(Counter::read))),
    RowFamily(&USER_EXPIRY, |rows| {
        rows.each(|user| match user.expiry {
            Expiry::At(end) => if_read(user, Unread::EXPIRY, end),
            Expiry::Never | Expiry::OnFirstUse(_) => None,
        });
    }),
    RowFamily(&USER_EXPIRY_PENDING, |rows| {
        rows.each(|user| match user.expiry {
            Expiry::OnFirstUse(duration) => if_read(user, Unread::EXPIRY, duration),
            Expiry::Never | Expiry::At(_) => None,
        });
    }),
    RowFamily(&USER_QUOTA_RESET, |rows| rows.each(|user| user.extra.quota_reset)),
    RowFamily(&USER_RENEWS, |rows| rows.each(|user| user.renews.then_some(true))),
    RowFamily(&USER_LAST_ONLINE, |rows| {
        rows.each(|user| user.last_online.at().filter(|_| !user.unread.has(Unread::ONLINE)));
    }),
    RowFamily(&USER_DEVICES, |rows| rows.each(|user| user.extra.devices)),
    RowFamily(&USER_DEVICES_LIMIT, |rows| rows.each(|user| user.extra.devices_limit)),
];

/// What the rows of a target were written from.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Weak, so that an old list is not kept in memory.
    users: Weak<Users>,
    used_today: Option<Weak<UsedToday>>,
    is_fresh: bool,
}

impl Source {
    pub(super) fn of(view: &View<'_>) -> Self {
        let is_fresh = view.report.fresh(Part::Users, view.now);
        let used_today = used_today(view).map(Arc::downgrade);
        Source { users: Arc::downgrade(&view.report.users), used_today, is_fresh }
    }

    /// Whether the same would be written again.
    pub(super) fn is_still(&self, view: &View<'_>) -> bool {
        let now = Source::of(view);
        let is_same_day = match (&self.used_today, &now.used_today) {
            (Some(before), Some(now)) => Weak::ptr_eq(before, now),
            (None, None) => true,
            (_, _) => false,
        };
        Weak::ptr_eq(&self.users, &now.users) && is_same_day && self.is_fresh == now.is_fresh
    }
}

/// What users used today; absent: it is not wanted, or not known, as after a midnight at which the history could not be
/// written.
fn used_today<'a>(view: &View<'a>) -> Option<&'a Arc<UsedToday>> {
    let known = view.report.used_today.as_ref().filter(|_| view.options.used_today);
    known.filter(|today| !today.is_past(view.now.wall))
}

fn if_read<T>(user: &User, fact: Unread, value: T) -> Option<T> {
    (!user.unread.has(fact)).then_some(value)
}

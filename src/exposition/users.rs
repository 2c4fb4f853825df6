//! Counts of users.

use std::time::Duration;

use super::{
    family::families,
    text::Text,
    view::{View, each_target},
};
use crate::model::{ByStatus, Expiry, Moment, Part, Rates, SortedUsers, UserStatus};

families! {
    USERS = Gauge("users", ["target", "status"],
        "Users by status, as counted by the panel (users_active, users_disabled, users_expired, users_limited, users_on_hold of /api/system), otherwise counted from the user list; polled.");
    USERS_ONLINE = Gauge("users_online", ["target"],
        "Users with traffic in the last two minutes, as counted by the panel (online_users, where it covers two minutes) or named by it (onlines), otherwise counted from the user list (online_at within two minutes of the read) while its last walk started less than five minutes ago; polled.");
    USERS_SEEN = Gauge("users_seen", ["target", "within"],
        "Users with traffic within the given time, as counted by the panel (online_users of /api/system, where it covers a day: within=1d); polled.");
    USERS_EXPIRING = Gauge("users_expiring", ["target", "within"],
        "Active users whose plan ends (expire) within the given time; cumulative. Computed every minute from the polled list.");
    USERS_INACTIVE = Gauge("users_inactive", ["target", "within"],
        "Active users who were not online (online_at or lastOnline) within the given time; cumulative. Those who were never online and moved no traffic count from their creation (created_at), others of whom the panel does not say are left out. Computed every minute from the polled list.");
    USERS_NEAR_QUOTA = Gauge("users_near_quota", ["target", "ratio"],
        "Active and limited users with a quota that have used at least the given ratio of it (used_traffic / data_limit); cumulative. Computed from the polled list.");
    USERS_FORECAST_EXHAUSTED = Gauge("users_forecast_exhausted", ["target", "within"],
        "Active users whose quota is used up within the given time, before it is reset and before the plan ends, at the rate of the last three days; cumulative. Users whose quota begins again by itself, or at a time that the panel does not say, are left out. Computed every minute from the polled list and the history of use, whose rates are up to 20 minutes old; no series while there is no history.");
}

/// Bounds of `users_expiring` and `users_forecast_exhausted`.
const WITHIN: [(&str, Duration); 3] = [("1d", days(1)), ("3d", days(3)), ("7d", days(7))];

/// Bounds of `users_inactive`.
const INACTIVE: [(&str, Duration); 3] = [("7d", days(7)), ("30d", days(30)), ("90d", days(90))];

/// Bounds of `users_near_quota`, in percent.
const RATIOS: [(&str, u128); 3] = [("0.8", 80), ("0.95", 95), ("1", 100)];

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
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
    let mut series = text.family(&USERS_INACTIVE);
    for target in &targets {
        if let Some(tally) = target.tally.as_ref().filter(|tally| tally.says_online) {
            for ((within, _), users) in INACTIVE.iter().zip(tally.inactive) {
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
    let mut series = text.family(&USERS_FORECAST_EXHAUSTED);
    for target in &targets {
        if let Some(exhausted) = target.tally.as_ref().and_then(|tally| tally.exhausted) {
            for ((within, _), users) in WITHIN.iter().zip(exhausted) {
                series.add(&[target.name(), within], users);
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
        let rates = view.report.rates(view.now).map(|rates| &**rates);
        Counts { view, tally: view.all_users().map(|users| Tally::of(users, rates, view.now)) }
    }

    fn name(&self) -> &'a str {
        self.view.target()
    }

    /// By the panel's count or counted from the list, whichever is younger.
    fn with_status(&self, status: UserStatus) -> Option<u64> {
        let listed = self.tally.as_ref().map(|tally| &tally.by_status);
        self.view.report.users_with(status, listed, self.view.now)
    }
}

/// Users counted in several ways on one pass over the list.
#[derive(Default)]
struct Tally {
    by_status: ByStatus,
    expiring: [u64; WITHIN.len()],
    inactive: [u64; INACTIVE.len()],
    /// Whether the list says of anyone when they were online.
    says_online: bool,
    near_quota: [u64; RATIOS.len()],
    /// Absent: the history of use does not say.
    exhausted: Option<[u64; WITHIN.len()]>,
}

impl Tally {
    fn of(users: &SortedUsers, rates: Option<&Rates>, now: Moment) -> Self {
        let mut rates = rates.map(Rates::finder);
        let mut tally = Tally { exhausted: rates.is_some().then(Default::default), ..Tally::default() };
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
            if let Some(since) = user.last_online.since() {
                tally.says_online = true;
                let age = now.wall.since(since);
                for (count, (_, time)) in tally.inactive.iter_mut().zip(INACTIVE) {
                    *count += u64::from(user.status == UserStatus::Active && age >= time);
                }
            }
            if let (UserStatus::Active | UserStatus::Limited, Some(limit @ 1..)) = (user.status, user.limit) {
                for (count, (_, percent)) in tally.near_quota.iter_mut().zip(RATIOS) {
                    *count += u64::from(u128::from(user.used) * 100 >= u128::from(limit) * percent);
                }
            }
            if let Some((rates, exhausted)) = rates.as_mut().zip(tally.exhausted.as_mut())
                && let Some(forecast) = rates.forecast(user, now.wall)
            {
                let left = forecast.at.since(now.wall);
                for (count, (_, within)) in exhausted.iter_mut().zip(WITHIN) {
                    *count += u64::from(left <= within);
                }
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LastOnline, Timestamp, User};

    #[test]
    fn inactive_users_are_counted_by_how_long_they_were_not_online() {
        let now = Moment { wall: Timestamp::from_secs(1_795_000_000), uptime: Duration::ZERO };
        let ago = |age: u64| now.wall.saturating_sub(days(age));
        let user = |name, status, last_online| User { status, last_online, ..User::named(name) };
        let (active, at) = (UserStatus::Active, |age| LastOnline::seen(ago(age)));
        let users = [
            user("a", active, at(0)),
            user("b", active, at(7)),
            user("c", active, at(31)),
            user("d", active, LastOnline::never(ago(90))),
            user("e", active, LastOnline::never(ago(6))),
            user("f", active, LastOnline::default()),
            user("g", UserStatus::Expired, at(90)),
        ];
        let tally = Tally::of(&users.into_iter().collect(), None, now);
        assert_eq!((tally.says_online, tally.inactive), (true, [3, 2, 1]));
        let silent = Tally::of(&[user("f", active, LastOnline::default())].into_iter().collect(), None, now);
        assert!(!silent.says_online);
    }

    #[test]
    fn users_are_counted_whose_quota_is_soon_used_up() {
        let now = Moment { wall: Timestamp::from_secs(1_795_000_000), uptime: Duration::ZERO };
        let user = |name, used| User { used, limit: Some(100), read_at: now.wall, ..User::named(name) };
        let users: SortedUsers =
            [user("a", 90), user("b", 50), user("c", 0), user("d", 90), user("e", 90), user("f", 100)]
                .into_iter()
                .collect();
        // Ten bytes a day, but for one who uses nothing and one of whom that is not known.
        let daily = [("a", Some(10)), ("b", Some(10)), ("c", Some(10)), ("e", None), ("f", Some(10))];
        let daily = daily.map(|(name, daily)| (name.into(), daily));
        let tally = |rates: Option<&Rates>| Tally::of(&users, rates, now).exhausted;
        assert_eq!(tally(None), None);
        assert_eq!(tally(Some(&Rates::default())), Some([0, 0, 0]));
        assert_eq!(tally(Some(&Rates::new(now.wall, daily))), Some([1, 1, 2]));
    }
}

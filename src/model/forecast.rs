//! When users use up their quota, if they go on as in the last days.

use std::{iter::Peekable, num::NonZero, slice, sync::Arc, time::Duration};

use super::{Calendar, Day, Expiry, SortedUsers, Timestamp, Unread, User, UserStatus};

/// How much the use of a day counts, the last day first. That one counts only as far as it has been read.
const WEIGHTS: [u32; 4] = [3, 3, 2, 1];

/// The days by which rates are computed: three whole ones, and the one that was running when the users were last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateDays {
    last: Day,
    /// How much of each day has been read, the last day first.
    spans: [Duration; RateDays::COUNT],
}

/// What a user used on one of these days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayUse {
    pub used: u64,
    /// The figure may lack something or have too much: of this day and those before it, nothing is known.
    pub is_marked: bool,
}

impl RateDays {
    pub const COUNT: usize = WEIGHTS.len();

    /// The days of the calendar up to a reading.
    pub fn until(read_at: Timestamp, calendar: &mut Calendar) -> Self {
        let (mut within, mut end) = (read_at, read_at);
        let spans = [(); RateDays::COUNT].map(|()| {
            let start = calendar.start_of_day(within);
            within = start.saturating_add_millis(-1);
            std::mem::replace(&mut end, start).since(start)
        });
        RateDays { last: calendar.day(read_at), spans }
    }

    /// The days, the last one first.
    pub fn days(&self) -> [Day; RateDays::COUNT] {
        let mut next = self.last.plus(1);
        [(); RateDays::COUNT].map(|()| {
            next = next.plus(-1);
            next
        })
    }

    /// Bytes in 24 hours, by the `used` of these days, the last one first, of a user who was first seen on the day `since`.
    /// Absent: no whole day of the user is known.
    ///
    /// Later days count more. A day counts by the hours that it has, which are not always 24. The first day of a user is
    /// left out, because it is not known when it began.
    pub fn rate(&self, since: Day, used: &[DayUse; RateDays::COUNT]) -> Option<u64> {
        let known =
            self.days().into_iter().zip(used).take_while(|(day, used)| *day > since && !used.is_marked);
        let known = known.count();
        if known < 2 {
            return None;
        }
        let (mut bytes, mut millis) = (0_u128, 0_u128);
        for ((weight, span), DayUse { used, .. }) in WEIGHTS.iter().zip(self.spans).zip(used).take(known) {
            bytes += u128::from(*weight) * u128::from(*used);
            millis += u128::from(*weight) * span.as_millis();
        }
        let rate = (bytes * MILLIS_OF_DAY).checked_div(millis)?;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

const MILLIS_OF_DAY: u128 = 24 * 60 * 60 * 1000;

/// How fast each user of a target uses the quota, by the history of use.
///
/// The history counts the total of a user, and the quota is compared with another count. They grow alike: Marzban and
/// PasarGuard weight both by the coefficients of the nodes, and panels of the x-ui family have only one. So the quota needs no
/// history of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// When the users were last read.
    read_at: Timestamp,
    /// Users who used something within the last days, sorted by name, and their bytes in 24 hours; absent: not known. A user takes
    /// 24 bytes, and the name is that of the list of users.
    users: Vec<UserRate>,
}

/// A user's name, and the bytes in 24 hours.
type UserRate = (Arc<str>, Option<NonZero<u64>>);

impl Rates {
    /// Rates are not used any more when they are so old.
    pub const OLD: Duration = Duration::from_secs(24 * 60 * 60);

    /// Of users who used something; absent: it is not known how fast.
    pub fn new(read_at: Timestamp, rates: impl IntoIterator<Item = (Arc<str>, Option<u64>)>) -> Self {
        let least = NonZero::<u64>::MIN;
        let rate = |rate: u64| NonZero::new(rate).unwrap_or(least);
        let mut users: Vec<_> = rates.into_iter().map(|(name, known)| (name, known.map(rate))).collect();
        users.sort_unstable();
        Rates { read_at, users }
    }

    pub fn is_old(&self, now: Timestamp) -> bool {
        now.since(self.read_at) >= Rates::OLD
    }

    /// Takes over the names of a list, so that they are in memory once, and are found without being compared.
    pub fn share_names(&mut self, list: &SortedUsers) {
        let mut listed = list.iter().map(|user| &user.name).peekable();
        for (name, _) in &mut self.users {
            while listed.next_if(|listed| **listed < *name).is_some() {}
            if let Some(listed) = listed.next_if(|listed| **listed == *name) {
                *name = Arc::clone(listed);
            }
        }
    }

    /// The bytes in 24 hours of a user; absent: not known.
    pub fn of(&self, user: &str) -> Option<u64> {
        let at = self.users.binary_search_by(|(name, _)| (**name).cmp(user)).ok();
        at.and_then(|at| self.users.get(at)).map_or(Some(0), |(_, rate)| rate.map(NonZero::get))
    }

    /// Finds the rates of users that are asked for in the order of their names.
    pub fn finder(&self) -> RateFinder<'_> {
        RateFinder(self.users.iter().peekable())
    }
}

/// See [`Rates::finder`].
#[derive(Debug)]
pub struct RateFinder<'r>(Peekable<slice::Iter<'r, UserRate>>);

impl RateFinder<'_> {
    /// When a user's quota is used up, see [`Forecast::new`].
    pub fn forecast(&mut self, user: &User, now: Timestamp) -> Option<Forecast> {
        Forecast::new(user, self.daily(user)?, now)
    }

    /// The bytes in 24 hours of a user who can use up a quota; absent: not known, or there is no such quota.
    pub fn daily(&mut self, user: &User) -> Option<u64> {
        // Most users need not be found.
        quota(user)?;
        self.of(&user.name)
    }

    /// The bytes in 24 hours of a user; absent: not known.
    pub fn of(&mut self, user: &Arc<str>) -> Option<u64> {
        let is_before = |name: &Arc<str>| !Arc::ptr_eq(name, user) && name < user;
        while self.0.next_if(|(name, _)| is_before(name)).is_some() {}
        match self.0.peek() {
            Some((name, rate)) if Arc::ptr_eq(name, user) || name == user => rate.map(NonZero::get),
            _ => Some(0),
        }
    }
}

/// That a user uses up the quota before it begins again and before the plan ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// When it is used up.
    pub at: Timestamp,
    /// Bytes in 24 hours.
    pub daily: u64,
}

impl Forecast {
    /// Of a user who goes on using so many bytes in 24 hours. Absent: the quota lasts as long as it has to, or there is none that
    /// can be used up: of users who are not active, who get another plan then, or of whom it is not known when the quota begins
    /// again.
    pub fn new(user: &User, daily: u64, now: Timestamp) -> Option<Self> {
        let left = quota(user)?;
        let lasts = (u128::from(left) * MILLIS_OF_DAY).checked_div(u128::from(daily))?;
        let lasts = Duration::from_millis(u64::try_from(lasts).unwrap_or(u64::MAX));
        let at = user.read_at.saturating_add(lasts).max(now);
        let plan = if let Expiry::At(end) = user.expiry { Some(end) } else { None };
        let reset = user.extra.resets.and_then(|resets| resets.next);
        let ends = [plan, user.extra.quota_reset, reset].into_iter().flatten();
        ends.min().is_none_or(|end| at < end).then_some(Forecast { at, daily })
    }
}

/// The bytes of the quota that a user may use up.
fn quota(user: &User) -> Option<u64> {
    let limit = user.limit.filter(|_| user.status == UserStatus::Active)?;
    let left = limit.checked_sub(user.used).filter(|left| *left > 0);
    let is_reset_unseen = user.extra.resets.is_some_and(|resets| resets.next.is_none());
    left.filter(|_| !user.renews_when_used_up() && !is_reset_unseen && !user.unread.has(Unread::QUOTA_RESET))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::model::{Extras, Resets};

    const HOUR: u64 = 3600;

    fn days(zone: &str, read_at: &str) -> RateDays {
        RateDays::until(Timestamp::of(read_at), &mut Calendar::new(TimeZone::get(zone).unwrap()))
    }

    #[test]
    fn a_day_has_the_hours_that_were_read() {
        for (zone, read_at, first, last, hours) in [
            ("UTC", "2026-11-27T06:00:00Z", "2026-11-24", "2026-11-27", [6, 24, 24, 24]),
            ("UTC", "2026-11-27T00:00:00Z", "2026-11-24", "2026-11-27", [0, 24, 24, 24]),
            ("UTC", "2027-01-02T23:00:00Z", "2026-12-30", "2027-01-02", [23, 24, 24, 24]),
            ("UTC", "2028-03-01T12:00:00Z", "2028-02-27", "2028-03-01", [12, 24, 24, 24]),
            ("Asia/Shanghai", "2026-11-27T20:00:00Z", "2026-11-25", "2026-11-28", [4, 24, 24, 24]),
            // Clocks are set forward on the 29th, and back on the 25th.
            ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-26", "2026-03-29", [13, 24, 24, 24]),
            ("Europe/Berlin", "2026-03-31T00:00:00Z", "2026-03-28", "2026-03-31", [2, 24, 23, 24]),
            ("Europe/Berlin", "2026-10-26T11:00:00Z", "2026-10-23", "2026-10-26", [12, 25, 24, 24]),
        ] {
            let days = days(zone, read_at);
            let [newest, .., oldest] = days.days();
            assert_eq!(
                (oldest.to_string(), newest.to_string()),
                (first.to_owned(), last.to_owned()),
                "{read_at}"
            );
            assert_eq!(days.spans.map(|span| span.as_secs()), hours.map(|hours| hours * HOUR), "{read_at}");
        }
    }

    #[test]
    fn the_rate_is_that_of_the_days_that_are_known() {
        let noon = "2026-11-27T12:00:00Z";
        let usual = [50, 100, 100, 100];
        // When it was read, since when the user is known, the use of each day, the day with a mark, and the rate.
        let cases = [
            (noon, "2026-10-01", usual, None, Some(100)),
            ("2026-11-27T00:00:00Z", "2026-10-01", [0, 100, 100, 100], None, Some(100)),
            // Of 36, 72, 48 and 24 hours: later days count more.
            (noon, "2026-10-01", [100, 0, 0, 0], None, Some(40)),
            (noon, "2026-10-01", [0, 100, 0, 0], None, Some(40)),
            (noon, "2026-10-01", [0, 0, 100, 0], None, Some(26)),
            (noon, "2026-10-01", [0, 0, 0, 100], None, Some(13)),
            (noon, "2026-10-01", [0, 0, 0, 0], None, Some(0)),
            // At least one whole day. What was used on the first one is left out with that day.
            (noon, "2026-11-24", [50, 100, 100, 7], None, Some(100)),
            (noon, "2026-11-25", [50, 100, 7, 0], None, Some(100)),
            (noon, "2026-11-26", [50, 7, 0, 0], None, None),
            (noon, "2026-11-27", [7, 0, 0, 0], None, None),
            ("2026-11-27T00:00:00Z", "2026-11-25", [0, 100, 7, 0], None, Some(100)),
            ("2026-11-27T23:59:59Z", "2026-11-26", [100, 7, 0, 0], None, None),
            // A pause or a reset: all begins after that day.
            (noon, "2026-10-01", [50, 100, 100, 5000], Some(3), Some(100)),
            (noon, "2026-10-01", [50, 100, 5000, 100], Some(2), Some(100)),
            (noon, "2026-10-01", [50, 5000, 100, 100], Some(1), None),
            (noon, "2026-10-01", [5000, 100, 100, 100], Some(0), None),
            (noon, "2026-10-01", [u64::MAX; 4], None, Some(u64::MAX)),
        ];
        for (read_at, since, used, marked, expected) in cases {
            let mut used = used.map(|used| DayUse { used, is_marked: false });
            if let Some(place) = marked {
                used[place].is_marked = true;
            }
            let rate = days("UTC", read_at).rate(since.parse().unwrap(), &used);
            assert_eq!(rate, expected, "{read_at} {since} {used:?}");
        }
        // The longest day: 1,250 bytes in 25 hours, and 50 in each hour of the others.
        let used = [600, 1250, 1200, 1200].map(|used| DayUse { used, is_marked: false });
        let days = days("Europe/Berlin", "2026-10-26T11:00:00Z");
        assert_eq!(days.rate("2026-10-01".parse().unwrap(), &used), Some(1200));
    }

    const NOW: &str = "2026-11-27T12:00:00Z";

    fn resets(hours: Option<u64>) -> Option<Resets> {
        let next = hours.map(|hours| Timestamp::of(NOW).saturating_add(Duration::from_secs(hours * HOUR)));
        Some(Resets { days: NonZeroU16::MIN, next })
    }

    #[test]
    fn a_quota_is_used_up_before_it_begins_again_or_never() {
        let now = Timestamp::of(NOW);
        let after = |hours: u64| now.saturating_add(Duration::from_secs(hours * HOUR));
        let user = |change: fn(&mut User)| {
            let mut user = User { used: 60, limit: Some(100), read_at: now, ..User::named("u") };
            change(&mut user);
            user
        };
        // Ten bytes a day, the hours after which the quota is used up, and after which the plan and the quota end.
        for (change, plan, reset, expected) in [
            ((|_| {}) as fn(&mut User), None, None, Some(96)),
            (|user| user.used = 99, None, None, Some(2)),
            (|user| user.used = 100, None, None, None),
            (|user| user.used = 101, None, None, None),
            (|user| user.limit = None, None, None, None),
            (|user| user.limit = Some(0), None, None, None),
            (|_| {}, Some(97), None, Some(96)),
            (|_| {}, Some(96), None, None),
            (|_| {}, None, Some(97), Some(96)),
            (|_| {}, None, Some(95), None),
            (|_| {}, Some(97), Some(95), None),
            (|_| {}, Some(95), Some(97), None),
            (|user| user.status = UserStatus::OnHold, None, None, None),
            (|user| user.status = UserStatus::Disabled, None, None, None),
            (|user| user.status = UserStatus::Expired, None, None, None),
            (|user| user.status = UserStatus::Limited, None, None, None),
            (|user| user.status = UserStatus::Unknown, None, None, None),
            (|user| user.expiry = Expiry::OnFirstUse(Duration::from_secs(HOUR)), None, None, Some(96)),
            // Another plan follows; with a reset, only then.
            (|user| user.renews = true, None, None, None),
            (|user| user.renews = true, None, Some(97), Some(96)),
            (|user| user.unread = Unread::QUOTA_RESET, None, None, None),
            (|user| user.extra.resets = resets(None), None, None, None),
            (|user| user.extra.resets = resets(Some(96)), None, None, None),
            (|user| user.extra.resets = resets(Some(97)), None, None, Some(96)),
        ] {
            let mut user = user(change);
            if let Some(hours) = plan {
                user.expiry = Expiry::At(after(hours));
            }
            if reset.is_some() {
                user.extra = Extras { quota_reset: reset.map(after), ..Extras::default() }.into();
            }
            let found = Forecast::new(&user, 10, now).map(|forecast| forecast.at.since(now).as_secs() / HOUR);
            assert_eq!(found, expected, "{user:?}");
            assert_eq!(Forecast::new(&user, 0, now), None);
        }
        // From when it was read, but not in the past.
        let user = user(|user| user.used = 99);
        for (hours, expected) in [(1, 2), (2, 2), (5, 5)] {
            let forecast = Forecast::new(&user, 10, after(hours)).unwrap();
            assert_eq!(
                forecast.at,
                after(expected).max(user.read_at.saturating_add(Duration::from_secs(8640)))
            );
        }
        let huge = User { limit: Some(u64::MAX), ..User::named("huge") };
        assert_eq!(Forecast::new(&huge, 1, now).unwrap().at, Timestamp::from_millis(i64::MAX));
    }

    #[test]
    fn rates_are_found_by_name() {
        let name = |name: &str| Arc::<str>::from(name);
        let mut rates = Rates::new(
            Timestamp::from_secs(5),
            [(name("c"), None), (name("a"), Some(7)), (name("gone"), Some(9)), (name("b"), Some(0))],
        );
        let list: SortedUsers = ["a", "b", "bb", "c", "d"].map(User::named).into_iter().collect();
        let expected = [Some(7), Some(1), Some(0), None, Some(0)];
        for is_shared in [false, true] {
            if is_shared {
                rates.share_names(&list);
                assert!(Arc::ptr_eq(&rates.users[0].0, &list.get("a").unwrap().name));
            }
            let mut finder = rates.finder();
            for (user, rate) in list.iter().zip(expected) {
                assert_eq!((finder.of(&user.name), rates.of(&user.name)), (rate, rate), "{}", user.name);
            }
            assert_eq!(rates.of("gone"), Some(9));
        }
        let at = |secs: i64| Timestamp::from_secs(secs);
        assert!(!rates.is_old(at(0)) && !rates.is_old(at(86_404)) && rates.is_old(at(86_405)));
        assert_eq!(size_of::<UserRate>(), 24);
    }
}

//! What users have moved within the last hour or day, for rules that ask for it.
//!
//! A panel counts all that a user ever moved. What was moved within a time is the difference to the count of then, so of
//! each user a count is remembered every twelfth of the time: about 100 bytes. It is kept in memory, for targets with such
//! a rule alone.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{config::Within, rule::Rules};
use crate::model::{Moment, Report, SortedUsers, User};

/// The recent traffic of the users of a target, by the times that rules ask about.
#[derive(Debug, Default)]
pub struct Traffic {
    /// See [`Report::source`].
    source: Arc<str>,
    windows: Vec<Window>,
}

/// The counts of users within a time.
#[derive(Debug)]
struct Window {
    within: Within,
    /// Sorted. The places of a column are those of the users here.
    names: Vec<Arc<str>>,
    /// The oldest first, which is as old as the time if it was watched for so long.
    columns: VecDeque<Column>,
}

/// The counts of all users at one moment.
#[derive(Debug)]
struct Column {
    taken: Duration,
    /// No count is older.
    since: Duration,
    totals: Vec<u64>,
}

/// How many columns a time has.
const COLUMNS: u32 = 12;

impl Traffic {
    /// Remembers what the users of `report` have moved by now, if a rule will ask.
    pub fn observe(&mut self, rules: &Rules, report: &Report, now: Moment) {
        let asks = rules.list().iter().filter(|rule| rule.covers_target(&report.target));
        let mut asked: Vec<_> = asks.filter_map(|rule| Some(rule.traffic?.within)).collect();
        if asked.is_empty() {
            return self.windows.clear();
        }
        asked.sort();
        asked.dedup();
        if self.source != report.source {
            // Another system counts its own users.
            *self = Traffic { source: Arc::clone(&report.source), windows: Vec::new() };
        }
        self.windows.retain(|window| asked.contains(&window.within));
        let Some((list, walked)) = report.all_users(now).zip(report.users.walked_since()) else { return };
        for within in asked {
            let known = self.windows.iter().position(|window| window.within == within);
            let place = known.unwrap_or_else(|| {
                self.windows.push(Window { within, names: Vec::new(), columns: VecDeque::new() });
                self.windows.len() - 1
            });
            if let Some(window) = self.windows.get_mut(place).filter(|window| window.is_due(now)) {
                window.add(list, walked.uptime, now);
            }
        }
    }

    /// Gives `look` each user of `list` with the bytes that the user has moved within the time, in the order of names.
    /// Returns whether the whole of the time was watched; if not, users may have moved more.
    pub(super) fn each(
        &self,
        within: Within,
        list: &SortedUsers,
        now: Moment,
        look: impl FnMut(&User, u64),
    ) -> bool {
        let window = self.windows.iter().find(|window| window.within == within);
        window.is_some_and(|window| window.each(list, now, look))
    }
}

impl Window {
    fn step(&self) -> Duration {
        self.within.duration() / COLUMNS
    }

    fn is_due(&self, now: Moment) -> bool {
        self.columns.back().is_none_or(|last| now.uptime.saturating_sub(last.taken) >= self.step())
    }

    fn add(&mut self, list: &SortedUsers, since: Duration, now: Moment) {
        let users = || list.iter().map(|user| &user.name);
        let is_same = self.names.len() == list.len()
            && self.names.iter().zip(users()).all(|(name, user)| Arc::ptr_eq(name, user) || name == user);
        if !is_same {
            self.rename(list);
        }
        let totals: Vec<_> = list.iter().map(|user| user.traffic.value()).collect();
        // A count that has fallen began again: what was moved before it fell is added to what is moved after.
        let last = self.columns.back().into_iter().flat_map(|last| &last.totals);
        let fallen = last.zip(&totals).enumerate().filter(|(_, (last, now))| now < last);
        let fallen: Vec<_> = fallen.map(|(place, (last, _))| (place, *last)).collect();
        for column in &mut self.columns {
            for (place, last) in &fallen {
                if let Some(total) = column.totals.get_mut(*place) {
                    *total = total.wrapping_sub(*last);
                }
            }
        }
        self.columns.push_back(Column { taken: now.uptime, since, totals });
        let within = self.within.duration();
        let is_old = |column: &Column| now.uptime.saturating_sub(column.taken) >= within;
        // One that is as old as the time is needed.
        while self.columns.get(1).is_some_and(is_old) {
            self.columns.pop_front();
        }
    }

    /// Takes over the names of `list`. Users who are new have moved nothing before.
    fn rename(&mut self, list: &SortedUsers) {
        let mut known = self.names.iter().enumerate().peekable();
        let places = list.iter().map(|user| {
            while known.next_if(|(_, name)| **name < user.name).is_some() {}
            known.next_if(|(_, name)| **name == user.name).map(|(place, _)| place)
        });
        let places: Vec<_> = places.collect();
        for column in &mut self.columns {
            let total = |(place, user): (&Option<usize>, &User)| {
                place.and_then(|place| column.totals.get(place).copied()).unwrap_or(user.traffic.value())
            };
            column.totals = places.iter().zip(list.iter()).map(total).collect();
        }
        self.names = list.iter().map(|user| Arc::clone(&user.name)).collect();
    }

    fn each(&self, list: &SortedUsers, now: Moment, mut look: impl FnMut(&User, u64)) -> bool {
        let Some((first, last)) = self.columns.front().zip(self.columns.back()) else { return false };
        let within = self.within.duration();
        // Counts of a long list can be much older than the column. Then no more is sure than that the mean was reached.
        let span = now.uptime.saturating_sub(first.since).max(within).as_millis();
        let counts = self.names.iter().zip(first.totals.iter().zip(&last.totals));
        let mut counts = counts.peekable();
        for user in list.iter() {
            let is_before = |name: &Arc<str>| !Arc::ptr_eq(name, &user.name) && *name < user.name;
            while counts.next_if(|(name, _)| is_before(name)).is_some() {}
            let Some((_, (first, last))) = counts.next_if(|(name, _)| **name == user.name) else { continue };
            let total = user.traffic.value();
            let grown = if total >= *last {
                total.wrapping_sub(*first)
            } else {
                last.wrapping_sub(*first).saturating_add(total)
            };
            let moved = u128::from(grown) * within.as_millis() / span;
            look(user, u64::try_from(moved).unwrap_or(grown));
        }
        now.uptime.saturating_sub(first.taken) >= within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        alert::{
            config::{AlertingConfig, RuleConfig},
            testing::{Panel, at, config},
        },
        model::{Counter, Users},
    };

    fn rules(within: &[Within]) -> Rules {
        let rule = |within| RuleConfig {
            rule: Some("user_traffic".into()),
            limit: Some(100),
            within: Some(within),
            ..RuleConfig::default()
        };
        let rules = within.iter().map(|within| (format!("in-{}", within.label()), rule(*within)));
        Rules::new(&AlertingConfig { rules: rules.collect(), ..config() }).unwrap()
    }

    /// A panel that has counted this of its users, by a list that it began to read so long ago.
    fn report(totals: &[(&str, u64)], walked: u64, now: u64) -> Report {
        let mut panel = Panel::new("home");
        panel.poll(at(now));
        let user = |(name, total): &(&str, u64)| User { traffic: Counter::new(*total), ..User::named(name) };
        let began = Moment { uptime: at(now).uptime - Duration::from_secs(walked), ..at(now) };
        panel.report.users = Users::restored(totals.iter().map(user).collect(), Some(began)).into();
        panel.report
    }

    /// What is known of each user after the last of these reads, and whether the whole time was watched.
    fn moved(traffic: &mut Traffic, within: Within, reads: &[(u64, &[(&str, u64)])]) -> (Vec<String>, bool) {
        let mut found = (Vec::new(), false);
        for (secs, totals) in reads {
            let report = report(totals, 0, *secs);
            traffic.observe(&rules(&[within]), &report, at(*secs));
            found.0.clear();
            let look = |user: &User, moved| found.0.push(format!("{} {moved}", user.name));
            found.1 = traffic.each(within, report.users.list(), at(*secs), look);
        }
        found
    }

    #[test]
    fn what_was_moved_within_an_hour() {
        let steady: Vec<_> = (0..40_u64).map(|step| (step * 300, [("a", 100 + 10 * step)])).collect();
        let steady = |steps: usize| {
            let reads: Vec<_> = steady[..steps].iter().map(|(secs, totals)| (*secs, &totals[..])).collect();
            moved(&mut Traffic::default(), Within::Hour, &reads)
        };
        let found = |moved: &str, is_whole| (vec![format!("a {moved}")], is_whole);
        assert_eq!(steady(1), found("0", false));
        assert_eq!(steady(12), found("110", false));
        assert_eq!(steady(13), found("120", true));
        assert_eq!(steady(40), found("120", true));

        let of = |reads: &[(u64, &[(&str, u64)])]| moved(&mut Traffic::default(), Within::Hour, reads).0;
        // Between two columns, and after a count that fell.
        assert_eq!(of(&[(0, &[("a", 100)]), (30, &[("a", 130)])]), ["a 30"]);
        let fell: [(u64, &[_]); 4] =
            [(0, &[("a", 100)]), (300, &[("a", 150)]), (330, &[("a", 5)]), (600, &[("a", 20)])];
        assert_eq!(of(&fell[..3]), ["a 55"]);
        assert_eq!(of(&fell), ["a 70"]);
        // Users who come and go.
        let changes: [(u64, &[_]); 3] = [
            (0, &[("b", 1), ("d", 1)]),
            (300, &[("a", 50), ("b", 3), ("c", 60), ("d", 4)]),
            (600, &[("a", 51), ("d", 8), ("e", 9)]),
        ];
        assert_eq!(of(&changes), ["a 1", "d 7", "e 0"]);
        // Of one who is newer than the last column, nothing is known.
        assert_eq!(of(&[(0, &[("b", 1)]), (30, &[("a", 9), ("b", 2)])]), ["b 1"]);
    }

    #[test]
    fn a_day_is_watched_in_longer_steps() {
        let mut traffic = Traffic::default();
        for hour in 0..30 {
            let reads: [(u64, &[_]); 1] = [(hour * 3600, &[("a", 10 * hour)])];
            let (found, is_whole) = moved(&mut traffic, Within::Day, &reads);
            assert_eq!(is_whole, hour >= 24, "{hour}");
            // Between two columns it is the mean of a little more than a day.
            assert!(hour < 24 || found == ["a 240"], "{hour} {found:?}");
        }
        assert_eq!(traffic.windows[0].columns.len(), 13);
    }

    #[test]
    fn a_count_that_may_be_old_is_a_lower_bound() {
        let mut traffic = Traffic::default();
        let rules = rules(&[Within::Hour]);
        // The list takes an hour and a half to read.
        traffic.observe(&rules, &report(&[("a", 100)], 5400, 0), at(0));
        let newer = report(&[("a", 400)], 60, 1800);
        let mut found = Vec::new();
        traffic.each(Within::Hour, newer.users.list(), at(1800), |_, moved| found.push(moved));
        assert_eq!(found, [150], "300 within two hours");
    }

    #[test]
    fn nothing_is_remembered_unless_a_rule_asks() {
        let mut traffic = Traffic::default();
        let report = report(&[("a", 1)], 0, 0);
        traffic.observe(&rules(&[]), &report, at(0));
        assert!(traffic.windows.is_empty());
        traffic.observe(&rules(&[Within::Day, Within::Hour]), &report, at(0));
        assert_eq!(traffic.windows.len(), 2);
        traffic.observe(&rules(&[Within::Day]), &report, at(1));
        assert_eq!(traffic.windows.len(), 1);
        let other = Report { source: "another".into(), ..report };
        traffic.observe(&rules(&[Within::Day]), &other, at(2));
        assert_eq!(traffic.windows[0].columns.len(), 1);
        traffic.observe(&rules(&[]), &other, at(3));
        assert!(traffic.windows.is_empty());
    }
}

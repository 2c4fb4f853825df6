//! Who is connected, and from how many addresses.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    model::{Extra, Extras, Moment, Users},
    upstream::FetchError,
};

/// A count holds for three rounds through all connected users, and no shorter than this.
const HOLDS_FOR: Duration = Duration::from_secs(300);

/// The addresses of one panel's users. Rows of the list say who is connected, and get the last count.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// The limit of users without one of their own.
    limit: u64,
    /// Of a user who is not connected and has no other limit. All such users share it.
    none: Extra,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) by: By,
    /// By their ids.
    connected: BTreeMap<u64, Connected>,
    /// The user of the present round who was asked about last.
    asked: Option<u64>,
    /// When the present round began.
    began: Option<Moment>,
    /// From the start of one round to the start of the next.
    round: Duration,
    /// Whether the panel has answered in this round, and ever.
    pub(super) has_answered: bool,
    has_ever_answered: bool,
    /// Why a user was left out of this round.
    pub(super) failure: Option<FetchError>,
}

#[derive(Debug)]
struct Connected {
    name: Arc<str>,
    /// The number of addresses, and when it was read.
    count: Option<(u64, Moment)>,
}

/// What stands for a user in the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum By {
    /// From 5.0 on.
    #[default]
    Id,
    /// From 1.6 to 4.
    Name,
    /// The panel has no such path.
    Nothing,
}

impl By {
    /// Versions that are no numbers are those of development.
    fn of(version: &str) -> Self {
        let mut numbers = version.trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(0), _) | (Some(1), Some(0..=5)) => By::Nothing,
            (Some(1..=4), _) => By::Name,
            _ => By::Id,
        }
    }
}

impl Addresses {
    pub(super) fn new(limit: u64) -> Self {
        let none = Extras { devices: Some(0), devices_limit: Some(limit), ..Extras::default() };
        Addresses { limit, none: none.into(), known: Arc::default() }
    }

    /// Sets the version of the panel.
    pub(super) fn are_of(&self, version: &str) {
        self.known().by = By::of(version);
    }

    /// What is known of a user by a row of the list. `own_limit` is 0 for any number of devices, and `is_connected` absent if
    /// the row does not say that.
    pub(super) fn of(
        &self,
        (id, name): (u64, &Arc<str>),
        own_limit: Option<u64>,
        is_connected: Option<bool>,
        now: Moment,
    ) -> Extra {
        let devices = is_connected.and_then(|is_connected| self.known().met(id, name, is_connected, now));
        if devices == Some(0) && own_limit.is_none() {
            return self.none.clone();
        }
        let devices_limit = Some(own_limit.unwrap_or(self.limit)).filter(|limit| *limit > 0);
        Extras { devices, devices_limit, ..Extras::default() }.into()
    }

    /// Begins a new round, because the present one has paused for too long.
    pub(super) fn forget_round(&self) {
        let mut known = self.known();
        (known.asked, known.began) = (None, None);
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Notes who is connected. Returns from how many addresses, if that was read lately.
    fn met(&mut self, id: u64, name: &Arc<str>, is_connected: bool, now: Moment) -> Option<u64> {
        if !is_connected {
            self.connected.remove(&id);
            return self.has_ever_answered.then_some(0);
        }
        let holds_for = HOLDS_FOR.max(self.round.saturating_mul(3));
        if let Some(user) = self.connected.get_mut(&id) {
            user.name = Arc::clone(name);
            return user.count.filter(|(_, read)| now.since(*read) <= holds_for).map(|(count, _)| count);
        }
        if self.connected.len() < Users::MOST {
            self.connected.insert(id, Connected { name: Arc::clone(name), count: None });
        }
        None
    }

    /// The next user to ask about. If no user is connected, it is one who does not exist: whether the account may read this is
    /// known only by asking.
    pub(super) fn next(&mut self, now: Moment) -> (u64, Arc<str>) {
        if !self.has_more() {
            if let Some(began) = self.began.replace(now) {
                self.round = now.since(began);
            }
            (self.asked, self.has_answered, self.failure) = (None, false, None);
        }
        let after = (self.asked.map_or(Unbounded, Excluded), Unbounded);
        let next = self.connected.range(after).next();
        let next = next.map_or_else(|| (0, "0".into()), |(id, user)| (*id, Arc::clone(&user.name)));
        self.asked = Some(next.0);
        next
    }

    /// The panel does not know the user.
    pub(super) fn forget(&mut self, id: u64) {
        self.connected.remove(&id);
    }

    /// Whether the round goes on.
    pub(super) fn has_more(&self) -> bool {
        self.asked.is_some_and(|asked| self.connected.range((Excluded(asked), Unbounded)).next().is_some())
    }

    /// The panel has answered; absent: no node says how many addresses there are.
    pub(super) fn answered(&mut self, id: u64, count: Option<u64>, now: Moment) {
        (self.has_answered, self.has_ever_answered) = (true, true);
        if let Some(user) = self.connected.get_mut(&id) {
            user.count = count.map(|count| (count, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_decides_what_stands_for_a_user() {
        for (version, expected) in [
            ("5.2.1", By::Id),
            ("v5.0.0-rc.1", By::Id),
            ("10.0", By::Id),
            ("dev", By::Id),
            ("", By::Id),
            ("4.9.9", By::Name),
            ("1.10.0", By::Name),
            ("1.6", By::Name),
            ("1", By::Name),
            ("1.5.9", By::Nothing),
            ("0.8.4", By::Nothing),
        ] {
            assert_eq!(By::of(version), expected, "{version}");
        }
    }
}

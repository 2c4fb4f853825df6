//! From how many addresses users are connected. PasarGuard tells that of one user at a time, and asks all its nodes for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Marzban, convert, other_system};
use crate::{
    http,
    model::{Moment, Part, Users},
    upstream::{Cause, FetchError, Step},
};

/// A count is shown for three rounds through all users, and no shorter than this.
const FRESH_FOR: Duration = Duration::from_secs(300);

const ASKED: &str = "/api/node/online_stats/{user}/ip";

/// What is known of users' addresses. Rows of the list say who is connected, and get the last count.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// The most that a user may use whose row has no limit.
    pub(super) limit: u64,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Users who are connected, by their ids.
    connected: BTreeMap<u64, Connected>,
    /// The user after whom the next one is asked for.
    asked: Option<u64>,
    /// When the present round began.
    began: Option<Moment>,
    /// How long the last whole round took.
    round: Duration,
    by: By,
}

#[derive(Debug)]
struct Connected {
    name: Arc<str>,
    /// The number of addresses, and when it was read.
    count: Option<(u64, Moment)>,
}

/// By what the panel wants users to be named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum By {
    #[default]
    Unknown,
    /// PasarGuard since 5.0.
    Id,
    /// PasarGuard 1.10 to 4.
    Name,
}

impl Addresses {
    pub(super) fn new(limit: u64) -> Self {
        Addresses { limit, known: Arc::default() }
    }

    /// Notes a row of the list. Returns from how many addresses the user is connected; absent: that was not read lately.
    pub(super) fn met(&self, id: u64, name: &Arc<str>, is_connected: bool, now: Moment) -> Option<u64> {
        let mut known = self.known();
        if !is_connected {
            known.connected.remove(&id);
            return Some(0);
        }
        let fresh_for = FRESH_FOR.max(known.round.saturating_mul(3));
        if let Some(user) = known.connected.get_mut(&id) {
            user.name = Arc::clone(name);
            return user.count.filter(|(_, read)| now.since(*read) <= fresh_for).map(|(count, _)| count);
        }
        if known.connected.len() < Users::MOST {
            known.connected.insert(id, Connected { name: Arc::clone(name), count: None });
        }
        None
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The next user to ask for; absent: the round has ended.
    fn next(&mut self, now: Moment) -> Option<(u64, Arc<str>)> {
        self.began.get_or_insert(now);
        let after = self.asked.map_or(0, |asked| asked.saturating_add(1));
        let next = self.connected.range(after..).next().map(|(id, user)| (*id, Arc::clone(&user.name)));
        self.asked = next.as_ref().map(|(id, _)| *id);
        next
    }

    fn is_last(&self) -> bool {
        self.connected.last_key_value().map(|(id, _)| *id) <= self.asked
    }

    fn end_round(&mut self, now: Moment) {
        self.round = self.began.take().map_or(Duration::ZERO, |began| now.since(began));
        self.asked = None;
    }
}

impl Marzban {
    /// Asks for the next connected user. One that fails is left out until the next round.
    pub(super) async fn read_addresses(&mut self, now: Moment) -> Result<Step, FetchError> {
        let Some(addresses) = self.addresses.clone() else {
            return Ok(Step::done(Part::Addresses, Vec::new()));
        };
        let next = addresses.known().next(now);
        if let Some((id, name)) = next {
            let count = self.count_addresses(&addresses, id, &name, now).await?;
            let mut known = addresses.known();
            match count {
                // Unless the user has left meanwhile.
                Some(count) => {
                    if let Some(user) = known.connected.get_mut(&id) {
                        user.count = Some((count, now));
                    }
                }
                None => drop(known.connected.remove(&id)),
            }
            if !known.is_last() {
                return Ok(Step::default());
            }
        }
        addresses.known().end_round(now);
        Ok(Step::done(Part::Addresses, Vec::new()))
    }

    /// From how many addresses a user is connected; absent: there is no such user any more.
    async fn count_addresses(
        &mut self,
        addresses: &Addresses,
        id: u64,
        name: &str,
        now: Moment,
    ) -> Result<Option<u64>, FetchError> {
        let by = addresses.known().by;
        let ways: &[By] = if by == By::Unknown { &[By::Id, By::Name] } else { &[by] };
        for way in ways {
            let user = if *way == By::Name { convert::percent_encode(name) } else { id.to_string() };
            match self.get(ASKED, &format!("/api/node/online_stats/{user}/ip"), now).await {
                Ok(answer) => {
                    addresses.known().by = *way;
                    let count = convert::addresses(&answer, &self.odd).ok_or_else(|| other_system(ASKED))?;
                    return Ok(Some(count));
                }
                Err(FetchError { cause: Cause::NotFound(_), .. }) => {}
                // The panel takes an id where we send a name: it was updated.
                Err(FetchError { cause: Cause::Http(http::Error::Status(422)), .. }) => {
                    addresses.known().by = By::Unknown;
                }
                Err(err) => return Err(err),
            }
        }
        match by {
            By::Unknown => Err(FetchError::new(ASKED, Cause::Missing(NOT_TOLD))),
            By::Id | By::Name => Ok(None),
        }
    }
}

const NOT_TOLD: &str = "this panel does not tell from which addresses users are connected, as PasarGuard does since 1.10; \
                        remove device_limit";

//! Users that were online a short time ago, of panels whose lists flap.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crate::model::Moment;

/// Up to 3x-ui 3.0, the list of users online has only those that moved bytes within the last tick of 5 or 10 s, so a user
/// stays online for this long after the last list that had the user, and until this many lists in a row lack the user:
/// with the usual interval, one tick without bytes would else be enough.
const LINGERS: Duration = Duration::from_secs(30);
const LISTS: u32 = 2;

/// Users in the lists of those online.
#[derive(Default)]
pub(super) struct Seen(HashMap<Arc<str>, LastSeen>);

struct LastSeen {
    /// By the daemon's uptime.
    at: Duration,
    /// Lists since then.
    missed: u32,
}

impl Seen {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes a list, and gives its users and those that stay online without being in it.
    pub(super) fn online(&mut self, names: HashSet<Arc<str>>, now: Moment) -> HashSet<Arc<str>> {
        self.0.values_mut().for_each(|seen| seen.missed += 1);
        self.0.extend(names.into_iter().map(|name| (name, LastSeen { at: now.uptime, missed: 0 })));
        self.0.retain(|_, seen| now.uptime.saturating_sub(seen.at) < LINGERS || seen.missed < LISTS);
        self.0.keys().cloned().collect()
    }
}

use std::time::Duration;

use super::{Moment, Outcome, Part, Report};

/// Whether a part is older than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
    Recent,
    /// It was last read this long ago. The target has not been up again for long enough to read it.
    NotYetRead(Duration),
    /// It was last read this long ago.
    Stale(Duration),
}

/// No part is stale before.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);
/// A part may miss this many of its rounds.
const ROUNDS: u32 = 3;

impl Report {
    /// Whether each part that the account may read is stale; absent: the target is not up, or not for long enough to
    /// say. Of a part that was never read, the time since the target is up counts.
    pub fn staleness(&self, now: Moment) -> Option<impl Iterator<Item = (Part, Staleness)> + '_> {
        let up_since = self.history.up_since().filter(|_| self.up == Some(true))?;
        let up_for = now.since(up_since);
        // Sooner nothing can be stale, and not every part may have been tried.
        if up_for < STALE_AFTER {
            return None;
        }
        let readable = self.parts.iter().filter(|(_, state)| state.outcome != Outcome::Refused);
        Some(readable.map(move |(part, state)| {
            // A first walk is as young as its newest page.
            let read = if state.outcome == Outcome::Pending { state.last_data } else { state.last_success };
            let stale_after = STALE_AFTER.max(state.round * ROUNDS);
            let age = read.map(|read| now.since(read));
            let staleness = match (age, age.unwrap_or(up_for)) {
                (Some(age), _) if age <= stale_after => Staleness::Recent,
                (_, age) if up_for > stale_after => Staleness::Stale(age),
                (_, age) => Staleness::NotYetRead(age),
            };
            (*part, staleness)
        }))
    }
}

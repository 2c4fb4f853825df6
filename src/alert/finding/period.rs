//! What began and ends: plans, quotas, and their ends.

use super::crossing::Crossing;
use crate::model::{End, Expiry, Reading};

/// Why an alert about a period ended, if the subject's expiry and limit are these now.
pub(super) fn ended(then: &Reading, expiry: Expiry, limit: Option<u64>) -> End {
    match then {
        Reading::Ends(end) if expiry == Expiry::At(*end) => End::Clock,
        Reading::Ends(_) => End::Renewed,
        Reading::Used { limit: known, .. } if limit != Some(*known) => End::ToppedUp,
        Reading::Used { .. } => End::Reset,
        Reading::Forecast { limit: known, .. } if limit != Some(*known) => End::ToppedUp,
        Reading::Forecast { .. }
        | Reading::Word(_)
        | Reading::Window { .. }
        | Reading::Spent { .. }
        | Reading::Attempts { .. }
        | Reading::Share(_)
        | Reading::Unseen { .. }
        | Reading::Devices { .. }
        | Reading::Moved { .. }
        | Reading::Lasting(_)
        | Reading::Down { .. }
        | Reading::Count(_)
        | Reading::Nothing
        | Reading::Unreadable { .. } => End::Recovered,
    }
}

/// Why an alert about what was used of a limit ended, and what holds instead, if that is not what is known of the subject
/// now: it has no limit any more.
pub(super) fn of_use(then: &Reading, well: Option<&Crossing>) -> (End, Option<Reading>) {
    match well.and_then(|well| well.reading.as_ref()) {
        Some(Reading::Used { limit, .. }) => (ended(then, Expiry::Never, Some(*limit)), None),
        _ => (End::ToppedUp, Some(Reading::Nothing)),
    }
}

/// When a plan ends, if it does.
pub(super) fn ends(expiry: Expiry) -> Reading {
    match expiry {
        Expiry::At(end) => Reading::Ends(end),
        Expiry::Never | Expiry::OnFirstUse(_) => Reading::Nothing,
    }
}

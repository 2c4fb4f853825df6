//! What polling logs: changes, not every poll. Numbers and words, never a name.

use tracing::{info, warn};

use crate::model::{Outcome, Part};

/// Logs the outcome of a part when it changes.
pub(super) fn outcome(target_name: &str, part: Part, before: Option<&Outcome>, outcome: &Outcome) {
    let part = part.label();
    match (before, outcome) {
        (Some(Outcome::Failed { reason: known, .. }), Outcome::Failed { reason, .. }) if known == reason => {}
        (_, Outcome::Failed { reason, detail }) => {
            warn!(target_name, part, reason = reason.label(), "polling fails: {detail}");
        }
        (Some(Outcome::Refused), Outcome::Refused) => {}
        (_, Outcome::Refused) => {
            info!(target_name, part, "this account may not read the part; it is skipped");
        }
        (Some(Outcome::Failed { .. }), Outcome::Up) => {
            info!(target_name, part, "polling works again");
        }
        _ => {}
    }
}

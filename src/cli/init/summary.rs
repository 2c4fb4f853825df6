//! What was read of a target, in a short table.

use std::io;

use super::dialog::say;
use crate::model::{Outcome, Part, Report};

/// Prints the system and its parts, and what of them the account may not see.
pub(super) fn print(report: &Report, origin: &str) -> io::Result<()> {
    if let Some(identity) = &report.identity {
        say(format_args!("{} {} at {origin}", identity.system.label(), identity.version))?;
    }
    for (part, state) in &report.parts {
        let outcome = match report.outcome(*part).unwrap_or(&state.outcome) {
            Outcome::Up => read(report, *part),
            Outcome::Refused => "this account may not see it".to_owned(),
            Outcome::Failed { reason, detail } => format!("failed ({}): {detail}", reason.label()),
            Outcome::Pending => "not read completely".to_owned(),
        };
        say(format_args!("  {:<12}{outcome}", part.label()))?;
    }
    Ok(())
}

/// Why the target cannot be read; absent: it can.
pub(super) fn failure(report: &Report) -> Option<String> {
    if report.up == Some(true) {
        return None;
    }
    let outcomes = report.unreachable.iter().chain(report.parts.values().map(|state| &state.outcome));
    let mut details = outcomes.filter_map(|outcome| match outcome {
        Outcome::Failed { detail, .. } => Some(detail.clone()),
        _ => None,
    });
    Some(details.next().unwrap_or_else(|| "it could not be read".to_owned()))
}

/// How much of a part there is.
fn read(report: &Report, part: Part) -> String {
    let count = match part {
        Part::Users => report.users.list().len(),
        Part::Online => report.online.len(),
        Part::Nodes => report.nodes.len(),
        Part::Inbounds => report.inbounds.len(),
        Part::Outbounds => report.outbounds.len(),
        Part::Admins => report.admins.len(),
        Part::Credentials => report.credentials.len(),
        Part::System | Part::Core | Part::NodeStats | Part::Usage | Part::UserNodes | Part::Addresses => {
            return "read".to_owned();
        }
    };
    count.to_string()
}

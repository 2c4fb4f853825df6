//! What is configured of a receiver, and what it spares people.

use std::time::Duration;

use crate::{
    alert::{digest::DigestTime, state::Alert, statement::Statement},
    model::Severity,
    wording::Voice,
};

/// Which alerts one receiver gets, and how they are grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub receiver: String,
    /// Only alerts of at least this severity.
    pub min_severity: Severity,
    /// Whether it gets resolved alerts.
    pub send_resolved: bool,
    /// Labels whose values alerts of one message share.
    pub group_by: Vec<String>,
    /// From a group's first alert to its first message, so that alerts of one moment share a message.
    pub group_wait: Duration,
    /// From one message of a group to the next.
    pub group_interval: Duration,
    /// Overrides each rule's own; zero: never repeat.
    pub repeat_interval: Option<Duration>,
    /// How its texts are made.
    pub voice: Voice,
    /// It groups by itself, and is posted everything that fires, again and again: an Alertmanager.
    pub standing: bool,
    /// Absent: it gets no digest, and what that would say is sent as it comes.
    pub digest: Option<DigestTime>,
    /// The monthly statements that it gets.
    pub statements: Vec<Statement>,
}

/// Alerts that were held back, and messages that were not needed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    pub muted: u64,
    pub silenced: u64,
    pub inhibited: u64,
    pub unchanged: u64,
}

impl Suppressed {
    /// Every reason.
    pub const REASONS: [&'static str; 4] = ["inhibited", "muted", "silenced", "unchanged"];

    /// As in [`Suppressed::REASONS`].
    pub fn by_reason(self) -> [(&'static str, u64); 4] {
        let Suppressed { muted, silenced, inhibited, unchanged } = self;
        [("inhibited", inhibited), ("muted", muted), ("silenced", silenced), ("unchanged", unchanged)]
    }
}

impl Route {
    /// Whether the receiver gets this alert.
    pub(super) fn is_for(&self, alert: &Alert<'_>) -> bool {
        let rule = alert.rule();
        let is_named = rule.receivers.as_ref().is_none_or(|receivers| receivers.contains(&self.receiver));
        let about_itself = rule.kind.question.is_about_receivers() && **alert.subject() == *self.receiver;
        // A digest lists users until nothing is left.
        let is_listed = rule.kind.question.is_in_digests() && !alert.is_last_step();
        let waits = self.digest.is_some() && alert.severity() == Severity::Info && is_listed;
        alert.severity() >= self.min_severity && is_named && !about_itself && !waits
    }
}

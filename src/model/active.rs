use std::sync::Arc;

use super::{Reading, Severity, Timestamp};

/// What the alert engine knows at one moment, for metrics and pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveAlerts {
    /// The alerts that there can be: every alertname with every severity that one of its steps has.
    pub known: Vec<(&'static str, Severity)>,
    /// By target, rule and subject.
    pub list: Vec<ActiveAlert>,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    pub alertname: &'static str,
    pub severity: Severity,
    pub target: Arc<str>,
    /// What the subject is: `user`, `node`, `target` …
    pub kind: &'static str,
    /// Empty where it is the target.
    pub subject: Arc<str>,
    /// Empty where there are no steps.
    pub step: Arc<str>,
    /// Name of a rule of the operator's; absent for the default ones.
    pub rule: Option<Arc<str>>,
    pub state: AlertState,
    /// Since when it is pending or firing.
    pub active_since: Timestamp,
    /// What it is about, the same for every alert of that name.
    pub summary: &'static str,
    /// The values behind it, from which words are made only for those that are shown.
    pub reading: Reading,
}

/// Whether an alert waits to have held for long enough, or fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertState {
    Pending,
    Firing,
}

impl AlertState {
    /// The word used in metrics and pages.
    pub fn label(self) -> &'static str {
        match self {
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// What the subject is, where it is a user, whose name may have to be kept from pages.
pub const KIND_USER: &str = "user";

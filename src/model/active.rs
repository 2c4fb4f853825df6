use std::{sync::Arc, time::Duration};

use super::{Reading, Severity, Silence, Timestamp};

/// The state of the alert engine at one moment, for metrics and pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveAlerts {
    /// The steps of all rules in force.
    pub known: Vec<AlertStep>,
    /// Sorted by target, rule and subject. One that has not changed is the same as in the state before.
    pub list: Vec<Arc<ActiveAlert>>,
    /// All that are kept, also those that have expired.
    pub silences: Arc<[Arc<Silence>]>,
    /// The windows of the configuration in which it is at present.
    pub mutes: Arc<[ActiveMute]>,
}

impl ActiveAlerts {
    /// A state with these steps and alerts.
    pub fn new(known: Vec<AlertStep>, list: impl IntoIterator<Item = ActiveAlert>) -> Self {
        ActiveAlerts { known, list: list.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// Each of the list.
    pub fn iter(&self) -> impl Iterator<Item = &ActiveAlert> {
        self.list.iter().map(|alert| &**alert)
    }
}

/// A mute window of the configuration, while it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveMute {
    pub name: String,
    /// Label and glob; all must fit.
    pub matchers: Vec<(String, String)>,
    /// Only alerts below this severity.
    pub below: Option<Severity>,
    pub until: Timestamp,
}

/// A step of a rule in force, which alerts may cross.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStep {
    pub alertname: &'static str,
    /// Name of the operator's own rule; absent for default rules.
    pub rule: Option<Arc<str>>,
    /// Empty if the rule has no steps.
    pub step: Arc<str>,
    pub severity: Severity,
    pub threshold: Threshold,
}

/// What crosses a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    Holds,
    /// At most this long is left.
    Remaining(Duration),
    /// At least this long has passed.
    Passed(Duration),
    /// At least this share is used, in ten-thousandths.
    Used(u32),
}

impl Threshold {
    /// All of something, in the ten-thousandths of [`Threshold::Used`].
    pub const WHOLE: u32 = 10_000;

    /// Whether nothing is left beyond this step.
    pub fn is_last(self) -> bool {
        match self {
            Threshold::Holds | Threshold::Passed(_) => false,
            Threshold::Remaining(within) => within.is_zero(),
            Threshold::Used(share) => share >= Self::WHOLE,
        }
    }
}

/// An alert that is pending, firing, or suppressed by another alert or a silence.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    pub alertname: &'static str,
    pub severity: Severity,
    pub target: Arc<str>,
    /// What the subject is: `user`, `node`, `target` …
    pub kind: &'static str,
    /// Empty if it is the target.
    pub subject: Arc<str>,
    /// Empty if the rule has no steps.
    pub step: Arc<str>,
    /// Name of the operator's own rule; absent for default rules.
    pub rule: Option<Arc<str>>,
    pub state: AlertState,
    /// The ids of the silences that are about it.
    pub silenced_by: Vec<Arc<str>>,
    /// Start of the pending state, or of firing, suppressed or not.
    pub active_since: Timestamp,
    /// The same for every alert of that name.
    pub summary: &'static str,
    /// The values behind it. They are formatted only for alerts that are shown.
    pub reading: Reading,
}

/// The present state of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertState {
    /// Its condition holds, but not yet for long enough.
    Pending,
    Firing,
    /// Its condition holds, but a silence is about it, or another alert that fires inhibits it: a tighter step of the same
    /// rule and subject, or an alert that its target is down or that the part it is read from is stale. It is in no count of
    /// firing alerts.
    Suppressed,
}

impl AlertState {
    /// Every state.
    pub const ALL: [AlertState; 3] = [AlertState::Pending, AlertState::Firing, AlertState::Suppressed];

    /// The word used in metrics and pages.
    pub fn label(self) -> &'static str {
        match self {
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
            AlertState::Suppressed => "suppressed",
        }
    }
}

/// The kind of subjects that are users, whose names may have to be hidden.
pub const KIND_USER: &str = "user";

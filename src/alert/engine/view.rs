use std::{collections::BTreeMap, sync::Arc};

use crate::{
    alert::{
        group::inhibited,
        rule::Rule,
        state::{Alert, State},
        words::{self, Standing},
    },
    model::{ActiveAlert, AlertState, NoticeStatus, Reading, Severity, Timestamp},
};

/// An alert as metrics and pages show it. Cheap to make: most of tens of thousands are never looked at closely.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertView {
    pub alertname: &'static str,
    pub severity: Severity,
    pub target: Arc<str>,
    /// What the subject is.
    pub kind: &'static str,
    /// Empty where it is the target.
    pub subject: Arc<str>,
    /// Empty where there are no steps.
    pub step: Arc<str>,
    /// The word of the target's system, if it was known when the alert began.
    pub system: Option<Arc<str>>,
    pub state: AlertState,
    /// It fires only because it is not re-armed yet: by hysteresis, or because a tighter step has followed.
    pub held: bool,
    /// Since when it is pending or firing.
    pub active_since: Timestamp,
    rule: Arc<Rule>,
    reading: Reading,
}

impl AlertView {
    /// The label `rule`; absent: it is of a default rule.
    pub fn rule(&self) -> Option<&str> {
        self.rule.label()
    }

    /// The same in plain terms.
    pub(super) fn active(&self) -> ActiveAlert {
        ActiveAlert {
            alertname: self.alertname,
            severity: self.severity,
            target: Arc::clone(&self.target),
            kind: self.kind,
            subject: Arc::clone(&self.subject),
            step: Arc::clone(&self.step),
            rule: self.rule.label().map(Arc::from),
            state: self.state,
            active_since: self.active_since,
            summary: self.rule.kind.summary,
            reading: self.reading.clone(),
        }
    }

    /// Those that have a value.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let system = self.system.as_deref();
        words::labels(&self.rule, self.severity, &self.step, &self.subject, system, &self.target)
    }

    /// `summary`, `description`, and what varies.
    pub fn annotations(&self, now: Timestamp) -> BTreeMap<String, String> {
        words::annotations(&self.rule, &self.labels(), &self.reading, Standing::Firing, now)
    }
}

/// What is pending or firing, by target, rule and subject.
pub(super) fn list(state: &State) -> Arc<Vec<AlertView>> {
    Arc::new(state.alerts().filter_map(|alert| of(&alert, state)).collect())
}

fn of(alert: &Alert<'_>, state: &State) -> Option<AlertView> {
    let state = match alert.status() {
        None => AlertState::Pending,
        Some(NoticeStatus::Firing) if inhibited(alert, state) => AlertState::Suppressed,
        Some(NoticeStatus::Firing) => AlertState::Firing,
        Some(NoticeStatus::Resolved) => return None,
    };
    let rule = alert.rule();
    Some(AlertView {
        alertname: rule.kind.alertname,
        severity: alert.severity(),
        target: Arc::clone(alert.target()),
        kind: rule.kind.kind,
        subject: Arc::clone(alert.subject()),
        step: Arc::clone(alert.step()),
        system: alert.system().cloned(),
        state,
        held: alert.held(),
        active_since: alert.since(),
        rule: Arc::clone(rule),
        reading: alert.reading().clone(),
    })
}

use std::sync::Arc;

use crate::{
    alert::{
        group::inhibited,
        rule::Rules,
        state::{Alert, State},
    },
    model::{ActiveAlert, ActiveAlerts, AlertState, AlertStep, NoticeStatus},
};

/// What metrics and pages show of `state`. Readings are put into words later, and only for alerts that are shown.
pub(super) fn active(rules: &Rules, state: &State) -> Arc<ActiveAlerts> {
    let steps = rules.list().iter().flat_map(|rule| rule.steps.iter().map(move |step| (rule, step)));
    let known = steps.map(|(rule, step)| AlertStep {
        alertname: rule.kind.alertname,
        rule: rule.label().map(Arc::from),
        step: Arc::clone(&step.label),
        severity: step.severity,
        threshold: step.threshold,
    });
    let known = known.collect();
    Arc::new(ActiveAlerts { known, list: state.alerts().filter_map(|alert| of(&alert, state)).collect() })
}

fn of(alert: &Alert<'_>, state: &State) -> Option<ActiveAlert> {
    let state = match alert.status() {
        None => AlertState::Pending,
        Some(NoticeStatus::Firing) if inhibited(alert, state) => AlertState::Suppressed,
        Some(NoticeStatus::Firing) => AlertState::Firing,
        Some(NoticeStatus::Resolved) => return None,
    };
    let rule = alert.rule();
    Some(ActiveAlert {
        alertname: rule.kind.alertname,
        severity: alert.severity(),
        target: Arc::clone(alert.target()),
        kind: rule.kind.kind_of(alert.subject()),
        subject: Arc::clone(alert.subject()),
        step: Arc::clone(alert.step()),
        rule: rule.label().map(Arc::from),
        state,
        active_since: alert.began(),
        summary: rule.kind.summary(),
        reading: alert.reading().for_pages(),
    })
}

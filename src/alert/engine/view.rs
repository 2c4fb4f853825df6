use std::sync::Arc;

use crate::{
    alert::{
        group::Inhibition,
        rule::Rules,
        state::{Alert, State},
    },
    model::{ActiveAlert, ActiveAlerts, AlertState, AlertStep, NoticeStatus},
};

/// What metrics and pages show of `state`. Readings are put into words later, and only for alerts that are shown.
pub(super) fn active(rules: &Rules, state: &mut State) -> Arc<ActiveAlerts> {
    let steps = rules.list().iter().flat_map(|rule| rule.steps.iter().map(move |step| (rule, step)));
    let known = steps.map(|(rule, step)| AlertStep {
        alertname: rule.kind.alertname,
        rule: rule.label().map(Arc::from),
        step: Arc::clone(&step.label),
        severity: step.severity,
        threshold: step.threshold,
    });
    let known = known.collect();
    let (mut list, mut new) = (Vec::new(), Vec::new());
    let mut inhibition = Inhibition::new(state);
    for alert in state.alerts() {
        let Some(state) = state_of(&alert, &mut inhibition) else { continue };
        let before = alert.shown().filter(|shown| shown.state == state).cloned();
        list.push(before.unwrap_or_else(|| {
            let shown = Arc::new(of(&alert, state));
            new.push((alert.id(), Arc::clone(&shown)));
            shown
        }));
    }
    for (id, shown) in new {
        state.keep_shown(&id, shown);
    }
    Arc::new(ActiveAlerts { known, list })
}

/// Absent: it has ended, and is not shown.
fn state_of<'a>(alert: &Alert<'a>, inhibition: &mut Inhibition<'a>) -> Option<AlertState> {
    match alert.status() {
        None => Some(AlertState::Pending),
        Some(NoticeStatus::Firing) if inhibition.holds(alert) => Some(AlertState::Suppressed),
        Some(NoticeStatus::Firing) => Some(AlertState::Firing),
        Some(NoticeStatus::Resolved) => None,
    }
}

/// What is shown by nothing but the present state.
#[cfg(test)]
pub(super) fn from_scratch(state: &State) -> Vec<ActiveAlert> {
    let mut inhibition = Inhibition::new(state);
    state.alerts().filter_map(|alert| Some(of(&alert, state_of(&alert, &mut inhibition)?))).collect()
}

fn of(alert: &Alert<'_>, state: AlertState) -> ActiveAlert {
    let rule = alert.rule();
    ActiveAlert {
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
    }
}

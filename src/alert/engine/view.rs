use std::sync::Arc;

use crate::{
    alert::{
        group::{Inhibition, Quiet},
        rule::Rules,
        state::{Alert, State},
    },
    model::{ActiveAlert, ActiveAlerts, AlertState, AlertStep, NoticeStatus},
};

/// What metrics and pages show of `state`. Readings are put into words later, and only for alerts that are shown.
pub(super) fn active(rules: &Rules, state: &mut State, quiet: &Quiet) -> Arc<ActiveAlerts> {
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
        let Some((state, silenced_by)) = state_of(&alert, &mut inhibition, quiet) else { continue };
        let same = |shown: &&Arc<ActiveAlert>| shown.state == state && shown.silenced_by == silenced_by;
        let before = alert.shown().filter(same).cloned();
        list.push(before.unwrap_or_else(|| {
            let shown = Arc::new(of(&alert, state, silenced_by));
            new.push((alert.id(), Arc::clone(&shown)));
            shown
        }));
    }
    for (id, shown) in new {
        state.keep_shown(&id, shown);
    }
    Arc::new(ActiveAlerts { known, list, silences: quiet.silences.shown(), mutes: quiet.muted() })
}

/// The state of an alert, and the silences that are about it. Absent: it has ended, and is not shown.
fn state_of<'a>(
    alert: &Alert<'a>,
    inhibition: &mut Inhibition<'a>,
    quiet: &Quiet,
) -> Option<(AlertState, Vec<Arc<str>>)> {
    match alert.status() {
        None => Some((AlertState::Pending, Vec::new())),
        Some(NoticeStatus::Firing) => {
            let silenced_by = quiet.silences.about(alert);
            let is_firing = silenced_by.is_empty() && !inhibition.holds(alert);
            Some((if is_firing { AlertState::Firing } else { AlertState::Suppressed }, silenced_by))
        }
        Some(NoticeStatus::Resolved) => None,
    }
}

/// What is shown by nothing but the present state.
#[cfg(test)]
pub(super) fn from_scratch(state: &State, quiet: &Quiet) -> Vec<ActiveAlert> {
    let mut inhibition = Inhibition::new(state);
    let shown = state.alerts().filter_map(|alert| {
        let (state, silenced_by) = state_of(&alert, &mut inhibition, quiet)?;
        // Nothing that is remembered of it is wrong.
        let forgetful = quiet.silences.about_by_asking(&alert);
        assert!(silenced_by.is_empty() && state == AlertState::Pending || silenced_by == forgetful);
        Some(of(&alert, state, silenced_by))
    });
    shown.collect()
}

fn of(alert: &Alert<'_>, state: AlertState, silenced_by: Vec<Arc<str>>) -> ActiveAlert {
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
        silenced_by,
        active_since: alert.began(),
        summary: rule.kind.summary(),
        reading: alert.reading().for_pages(),
    }
}

use std::collections::BTreeMap;

use super::{Family, Kind, UserLabels, text::Text};
use crate::model::{ActiveAlerts, AlertState};

/// The families about alerts: what fires, and how many there are.
pub static ALERT_FAMILIES: [Family; 2] = [
    Family {
        name: "alert_firing",
        kind: Kind::Gauge,
        unit: "",
        labels: &["alertname", "severity", "target", "kind", "subject", "step", "rule"],
        help: "1 while the alert fires; no series while it does not or is suppressed. Labels without a value are left out.",
    },
    Family {
        name: "alerts",
        kind: Kind::Gauge,
        unit: "",
        labels: &["alertname", "severity", "state"],
        help: "Alerts whose condition holds: pending, not yet for long enough; firing; suppressed, inhibited by another \
               alert that fires.",
    },
];

/// Writes the alerts of every state, or only those that fire at the target `only`.
pub(super) fn write(text: &mut Text, alerts: &ActiveAlerts, labels: &UserLabels, only: Option<&str>) {
    let [firing_family, count_family] = &ALERT_FAMILIES;
    let firing = alerts.list.iter().filter(|alert| alert.state == AlertState::Firing);
    let firing = firing.filter(|alert| only.is_none_or(|target| target == &*alert.target));
    let mut named = firing.filter_map(|alert| Some((alert, labels.of_subject(alert)?))).peekable();
    if named.peek().is_some() {
        let name = &text.begin(firing_family);
        for (alert, subject) in named {
            let pairs = [
                ("alertname", alert.alertname),
                ("severity", alert.severity.label()),
                ("target", &alert.target),
                ("kind", alert.kind),
                ("subject", &subject),
                ("step", &alert.step),
                ("rule", alert.rule.as_deref().unwrap_or("")),
            ];
            text.sample(name, pairs.into_iter().filter(|(_, value)| !value.is_empty()), 1_u64);
        }
    }
    if only.is_some() || alerts.known.is_empty() {
        return;
    }
    let mut counts = BTreeMap::new();
    for (alertname, severity) in &alerts.known {
        for state in AlertState::ALL {
            counts.insert((*alertname, severity.label(), state.label()), 0_u64);
        }
    }
    for alert in &alerts.list {
        *counts.entry((alert.alertname, alert.severity.label(), alert.state.label())).or_default() += 1;
    }
    let name = &text.begin(count_family);
    for ((alertname, severity, state), count) in counts {
        text.sample(name, [("alertname", alertname), ("severity", severity), ("state", state)], count);
    }
}

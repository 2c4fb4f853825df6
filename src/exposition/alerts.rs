use std::{borrow::Cow, collections::BTreeMap};

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::Naming,
};
use crate::model::{ActiveAlerts, AlertState, AlertStep, KIND_USER, Threshold};

families! {
    FIRING = Gauge("alert_firing", ["alertname", "severity", "target", "kind", "subject", "step", "rule"],
        "1 while the alert fires and is not suppressed. Users beyond users.limit have no series. Labels without a value are left out.");
    COUNT = Gauge("alerts", ["alertname", "severity", "state"],
        "Alerts by state: pending (the condition does not hold long enough yet), firing, or suppressed (another firing alert covers it, or it is silenced).");
    STEP_SECONDS = Gauge("alert_step_threshold_seconds", ["alertname", "rule", "step", "severity"],
        "Remaining time at which a step of a rule in force is crossed; 0 once nothing remains. Labels without a value are left out.");
    STEP_RATIO = Gauge("alert_step_threshold_ratio", ["alertname", "rule", "step", "severity"],
        "Used share at which a step of a rule in force is crossed. Labels without a value are left out.");
}

/// Writes what is pending and firing: all of it, or only what fires at the target `only`.
pub(super) fn write(text: &mut Text<'_>, alerts: &ActiveAlerts, namings: &[Naming], only: Option<&str>) {
    let firing = alerts.iter().filter(|alert| alert.state == AlertState::Firing);
    let firing: Vec<_> = firing.filter(|alert| only.is_none_or(|target| target == &*alert.target)).collect();
    let mut named = Vec::with_capacity(firing.len());
    for of_target in firing.chunk_by(|a, b| a.target == b.target) {
        let Some(target) = of_target.first().map(|alert| &alert.target) else { continue };
        if target.is_empty() {
            // The daemon's own alerts name no user.
            named.extend(of_target.iter().map(|alert| (*alert, Cow::Borrowed(&*alert.subject))));
            continue;
        }
        let Some(naming) = Naming::of(namings, target) else { continue };
        let omitted = naming.omitted(of_target);
        let shown = of_target.iter().filter(|a| a.kind != KIND_USER || !omitted.contains(&*a.subject));
        named.extend(shown.filter_map(|alert| Some((*alert, naming.labels.of_subject(alert)?))));
    }
    if namings.first().is_some_and(Naming::hashes) {
        // In the order of names, a hash would still show where in the alphabet its user is.
        let of_rule = named.chunk_by_mut(|(a, _), (b, _)| {
            (&a.target, a.alertname, &a.rule) == (&b.target, b.alertname, &b.rule)
        });
        of_rule.for_each(|alerts| alerts.sort_by(|(_, subject), (_, other)| subject.cmp(other)));
    }
    if !named.is_empty() {
        text.head(&FIRING);
    }
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
        text.sample(FIRING.name, pairs.into_iter().filter(|(_, value)| !value.is_empty()), 1_u64);
    }
    if only.is_some() || alerts.known.is_empty() {
        return;
    }
    let mut counts = BTreeMap::new();
    for known in &alerts.known {
        for state in AlertState::ALL {
            counts.insert((known.alertname, known.severity.label(), state.label()), 0_u64);
        }
    }
    for alert in alerts.iter() {
        *counts.entry((alert.alertname, alert.severity.label(), alert.state.label())).or_default() += 1;
    }
    let mut series = text.family(&COUNT);
    for ((alertname, severity, state), count) in counts {
        series.add(&[alertname, severity, state], count);
    }
    each_step(text, &STEP_SECONDS, alerts, |threshold| match threshold {
        Threshold::Remaining(time) | Threshold::Passed(time) => Some(Number::from(time)),
        Threshold::Holds | Threshold::Used(_) => None,
    });
    each_step(text, &STEP_RATIO, alerts, |threshold| match threshold {
        Threshold::Used(share) => Some(Number::from(f64::from(share) / f64::from(Threshold::WHOLE))),
        Threshold::Holds | Threshold::Remaining(_) | Threshold::Passed(_) => None,
    });
}

fn each_step(
    text: &mut Text<'_>,
    family: &Family<'_>,
    alerts: &ActiveAlerts,
    value: impl Fn(Threshold) -> Option<Number>,
) {
    let mut steps = alerts.known.iter().filter_map(|step| Some((step, value(step.threshold)?))).peekable();
    if steps.peek().is_some() {
        text.head(family);
    }
    for (AlertStep { alertname, rule, step, severity, threshold: _ }, value) in steps {
        let pairs = [
            ("alertname", *alertname),
            ("rule", rule.as_deref().unwrap_or("")),
            ("step", step),
            ("severity", severity.label()),
        ];
        text.sample(family.name, pairs.into_iter().filter(|(_, value)| !value.is_empty()), value);
    }
}

//! The words of alerts, as templates of Prometheus.

use std::time::Duration;

use super::{file::PrometheusRule, selector::MISSED};
use crate::{
    alert::{
        rule::{Question, Rule},
        words::filled,
    },
    model::{Severity, Threshold},
};

/// The label `subject`, made of `labels`; empty if the target is the subject.
pub(super) fn subject(labels: &[&str]) -> String {
    match labels {
        [] => String::new(),
        [first, "model", last] => {
            format!("{}{{{{ with $labels.model }}}} {{{{ . }}}}{{{{ end }}}} {}", of(first), of(last))
        }
        [label, ..] => of(label),
    }
}

/// The annotation `description` of a step. What only proxymeter knows is left out.
pub(super) fn description(rule: &Rule, place: usize, labels: &[&str]) -> String {
    let (subject, target) = (subject(labels), of("target"));
    let about =
        if labels.is_empty() { target.clone() } else { format!("{} {subject} of {target}", rule.kind.kind) };
    let value = value(rule.kind.question);
    let within = rule.traffic.map(|limit| limit.within.label());
    let text = |template: &str| {
        let template = without_unknown(template, value.is_some());
        filled(&template, |name| match name {
            "subject" => Some(&subject),
            "target" => Some(&target),
            "about" => Some(&about),
            "remaining" => Some("{{ $value | humanizeDuration }}"),
            "ratio" => Some("{{ $value | humanizePercentage }}"),
            "value" => value,
            "limit" => within,
            _ => None,
        })
    };
    let description = text(rule.kind.description);
    if rule.kind.question == Question::PartStale {
        return either(
            "gt $value 1.0",
            &description,
            &format!("Part {subject} of {target} has never been read."),
        );
    }
    let (Some(step), Some(reached)) = (rule.steps.get(place), rule.kind.reached) else { return description };
    let reached = text(reached);
    let is_tightest = place + 1 == rule.steps.len();
    match step.threshold {
        threshold if threshold.is_last() => reached,
        // The next step takes over before all is used up.
        _ if !is_tightest && rule.for_.is_zero() => description,
        Threshold::Remaining(_) => either("gt $value 0.0", &description, &reached),
        Threshold::Used(_) => either("lt $value 1.0", &description, &reached),
        Threshold::Holds | Threshold::Passed(_) => description,
    }
}

/// An alert on the number of users of a target of which something is true.
pub(super) struct Counted {
    pub(super) alertname: &'static str,
    /// The label of the metric that has the step.
    pub(super) label: &'static str,
    pub(super) step: &'static str,
    pub(super) summary: &'static str,
    /// What is true of the users.
    pub(super) what: &'static str,
}

impl Counted {
    pub(super) fn rule(self, expr: String) -> PrometheusRule {
        let Counted { alertname, label, step, summary, what } = self;
        PrometheusRule {
            alertname,
            group: "target",
            expr,
            for_: Duration::ZERO,
            keep_firing_for: MISSED,
            labels: vec![
                ("severity", Severity::Info.label().to_owned()),
                ("kind", "target".to_owned()),
                ("step", step.to_owned()),
                (label, String::new()),
            ],
            summary,
            description: format!("Users of {} that {what}: {{{{ $value }}}}.", of("target")),
        }
    }
}

fn of(label: &str) -> String {
    format!("{{{{ $labels.{label} }}}}")
}

fn either(condition: &str, then: &str, otherwise: &str) -> String {
    format!("{{{{ if {condition} }}}}{then}{{{{ else }}}}{otherwise}{{{{ end }}}}")
}

/// The value of an alert in words; absent: it is not that of the placeholder `value`.
fn value(question: Question) -> Option<&'static str> {
    match question {
        Question::PartStale | Question::AccountingStalled | Question::UserInactive => {
            Some("{{ $value | humanizeDuration }}")
        }
        Question::CoreDown
        | Question::NodeCpu
        | Question::NodeMemory
        | Question::HostCpu
        | Question::HostMemory
        | Question::HostDisk
        | Question::CredentialQuota => Some("{{ $value | humanizePercentage }}"),
        Question::LlmErrorRatio => Some("{{ $value | humanizePercentage }} of the"),
        Question::RowsUnreadable => Some("{{ $value }} rows"),
        Question::UserDevices => Some("{{ $value }}"),
        Question::UserTraffic => Some("{{ $value | humanize1024 }}B"),
        Question::UserExpiry
        | Question::UserQuota
        | Question::QuotaForecast
        | Question::UserStatus
        | Question::AdminQuota
        | Question::NodeTraffic
        | Question::InboundExpiry
        | Question::InboundQuota
        | Question::TargetDown
        | Question::RightLost
        | Question::NodeDown
        | Question::OutboundDown
        | Question::CertificateExpiry
        | Question::CredentialUnavailable
        | Question::CredentialPlanExpiry
        | Question::LlmTokenBudget
        | Question::LlmCostBudget
        | Question::LlmUsageGap
        | Question::LoginRefused
        | Question::StoreFailing
        | Question::HistoryFailing
        | Question::ReloadFailed
        | Question::HeartbeatWithheld
        | Question::ReceiverFailing
        | Question::NotificationsAbandoned => None,
    }
}

/// `template` up to the first clause that has a placeholder without a value.
fn without_unknown(template: &str, has_value: bool) -> String {
    let template = template.replace(" of {limit}", "");
    let value = if has_value { None } else { template.find("{value}") };
    let unknown = [template.find("{reason}"), value].into_iter().flatten().min();
    let known = unknown.and_then(|place| template.get(..place)).map(|known| {
        let end = known.rfind(". ").or_else(|| known.rfind(": ")).unwrap_or(known.len());
        format!("{}.", known.get(..end).unwrap_or_default())
    });
    known.unwrap_or(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_with_unknown_values_are_left_out() {
        for (template, expected) in [
            ("Target {target} cannot be polled: {reason}.", "Target {target} cannot be polled."),
            ("Of {target}, {value} cannot be read. Cause: {reason}.", "Of {target}, {value} cannot be read."),
            ("{subject} has used {ratio} of it.", "{subject} has used {ratio} of it."),
            ("{subject} has used up the limit of {limit}.", "{subject} has used up the limit."),
        ] {
            assert_eq!(without_unknown(template, true), expected);
        }
        let used = "{subject} has used {ratio}: {value} of {limit}.";
        assert_eq!(without_unknown(used, false), "{subject} has used {ratio}.");
    }
}

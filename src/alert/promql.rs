//! The rules as alerting rules for Prometheus.
//!
//! `conditions` has the PromQL of each question, `description` its words as a template, and `file` the YAML. All of
//! it is made from a [`Rule`], so that names, steps, severities and texts are those of the built-in alerts.

mod conditions;
mod description;
mod file;
mod selector;

use self::{
    conditions::{Condition, conditions, users_counted},
    description::{description, subject},
};
use super::rule::{Question, Rule, Rules, Step};
use crate::model::KIND_USER;

pub use file::{PrometheusRule, groups};

/// Rules whose alert in Prometheus can differ from the built-in one for longer than a few evaluations, and what it does
/// then.
pub static DIFFERENCES: [(Question, &str); 17] = [
    (
        Question::UserExpiry,
        "resolves when the user becomes limited or waits for the first use and, without the step \"0s\", when the user \
         expires",
    ),
    (
        Question::UserQuota,
        "resolves when the user expires or waits for the first use and, without the step \"100%\", when the user becomes \
         limited",
    ),
    (
        Question::QuotaForecast,
        "needs `recording.rules.yml`. It counts the last 72 hours alike, with those before a pause or a reset, is computed once an \
         hour, and includes users whose quota the panel resets at times that it does not say",
    ),
    (Question::UserInactive, "leaves out users who were never online"),
    (
        Question::UserTraffic,
        "counts by the times of scrapes, also what was moved before proxymeter started, and estimates the part between scrapes",
    ),
    (
        Question::InboundExpiry,
        "resolves when the inbound is stopped because of its quota and, without the step \"0s\", when it expires",
    ),
    (
        Question::RightLost,
        "resolves when proxymeter restarts, and while the part fails for another reason than the lost right",
    ),
    (
        Question::AccountingStalled,
        "resolves when proxymeter restarts. It fires again only after traffic was counted once more",
    ),
    (Question::NodeTraffic, "resolves 15 minutes after a new month has begun"),
    (Question::LoginRefused, "resolves while the target fails for another reason than the refused login"),
    (Question::StoreFailing, "fires after six minutes, not after ten seconds"),
    (Question::HistoryFailing, "fires after 20 minutes, not after 15"),
    (
        Question::HeartbeatWithheld,
        "counts the last 15 minutes. It resolves later, and it resolves and fires in turn if the `interval` of the heartbeat \
         is longer",
    ),
    (Question::OutboundDown, "resolves when the outbound is not probed any more, not an hour later"),
    (
        Question::CredentialQuota,
        "resolves when the server forgets the provider's answer, not at the end of the window",
    ),
    (
        Question::CredentialPlanExpiry,
        "resolves when the credential no longer has a plan, not seven days after its end",
    ),
    (
        Question::LlmErrorRatio,
        "counts attempts by the time at which they were scraped, not by that of the server's records, and resolves when \
         there were none for ten minutes, not for an hour",
    ),
];

/// The rules that are not about single users, and what counts users per target.
pub fn of_targets(rules: &Rules) -> Vec<PrometheusRule> {
    let counted = rules.list().iter().filter_map(|rule| users_counted(rule));
    let counted = counted.map(|rule| PrometheusRule { expr: with_system(&rule.expr), ..rule });
    let others = rules.list().iter().filter(|rule| rule.kind.kind != KIND_USER);
    others.flat_map(|rule| prometheus_rules(rule)).chain(counted).collect()
}

/// The rules about single users. Each user with an alert is an alert in Alertmanager.
pub fn of_users(rules: &Rules) -> Vec<PrometheusRule> {
    let about_users = rules.list().iter().filter(|rule| rule.kind.kind == KIND_USER);
    about_users.flat_map(|rule| prometheus_rules(rule)).collect()
}

/// A rule for each step, and where it asks about the target and about its nodes, for each of these.
fn prometheus_rules(rule: &Rule) -> Vec<PrometheusRule> {
    let with_steps = conditions(rule).into_iter();
    let made = with_steps
        .filter_map(|condition| Some(prometheus_rule(rule, rule.steps.get(condition.step)?, condition)));
    made.collect()
}

fn prometheus_rule(rule: &Rule, step: &Step, condition: Condition) -> PrometheusRule {
    let Condition { step: place, labels: of_metric, expr, for_, keep_firing_for } = condition;
    let subject = subject(of_metric);
    let kind = if of_metric.is_empty() { rule.kind.kind_of("") } else { rule.kind.kind };
    let mut labels = vec![
        ("severity", step.severity.label().to_owned()),
        ("kind", kind.to_owned()),
        ("subject", subject),
        ("step", step.label.to_string()),
        ("rule", rule.label().unwrap_or_default().to_owned()),
    ];
    labels.retain(|(_, value)| !value.is_empty());
    // The subject stands for them. An empty label is none.
    labels.extend(of_metric.iter().map(|label| (*label, String::new())));
    PrometheusRule {
        alertname: rule.kind.alertname,
        group: rule.kind.kind,
        expr: with_system(&expr),
        for_,
        keep_firing_for,
        labels,
        summary: rule.kind.summary(),
        description: description(rule, place, of_metric),
    }
}

/// `expr` with the label `system` of the target, if it is known. It is the same for all versions of the system, of which
/// there can be two at a time.
fn with_system(expr: &str) -> String {
    let expr = expr.replace('\n', "\n  ");
    format!(
        "(\n  {expr}\n)\n\
         * on (cluster, job, target) group_left (system) topk by (cluster, job, target) (1,\n  \
           max by (cluster, job, target, system) (last_over_time(proxymeter_target_info[1h]))\n  \
           or 0 * max by (cluster, job, target) (last_over_time(proxymeter_up[1h]))\n\
         ) ^ 0"
    )
}

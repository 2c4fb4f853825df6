//! Alerting rules as YAML.

use std::{collections::BTreeMap, time::Duration};

use super::selector::duration;
use crate::model::KIND_USER;

/// An alerting rule for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusRule {
    pub alertname: &'static str,
    /// What its subjects are. Such rules are evaluated one after the other.
    pub group: &'static str,
    pub expr: String,
    pub for_: Duration,
    pub keep_firing_for: Duration,
    /// Their values are templates. An empty one removes the label that the result has.
    pub labels: Vec<(&'static str, String)>,
    pub summary: &'static str,
    /// A template.
    pub description: String,
}

/// Prometheus needs seconds to evaluate the rules of 50,000 users, which change slowly.
const USERS_INTERVAL: &str = "1m";
/// Rules in a group.
const MOST: usize = 20;

/// The groups of `rules`, as the items of the list `groups` of a file.
pub fn groups(rules: &[PrometheusRule]) -> String {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for rule in rules {
        groups.entry(rule.group).or_default().push(rule);
    }
    let mut text = String::new();
    for (group, rules) in groups {
        for (number, rules) in (1..).zip(rules.chunks(MOST)) {
            let number = if number == 1 { String::new() } else { format!("-{number}") };
            text += &format!("  - name: proxymeter-{group}{number}\n");
            if group == KIND_USER {
                text += &format!("    interval: {USERS_INTERVAL}\n");
            }
            text += "    rules:\n";
            text.extend(rules.iter().map(|rule| rule.yaml()));
        }
    }
    text
}

impl PrometheusRule {
    /// A heading of the runbook.
    fn runbook_url(&self) -> String {
        format!("docs/runbook.md#{}", self.alertname.to_lowercase())
    }

    fn yaml(&self) -> String {
        let PrometheusRule { alertname, group: _, expr, for_, keep_firing_for, labels, summary, description } =
            self;
        let expr = expr.replace('\n', "\n          ");
        let time = |key: &str, time: Duration| match time {
            Duration::ZERO => String::new(),
            time => format!("        {key}: {}\n", duration(time)),
        };
        let labels = labels.iter().map(|(label, value)| format!("          {label}: {}\n", quoted(value)));
        format!(
            "      - alert: {alertname}\n        expr: |\n          {expr}\n{}{}        labels:\n{}        annotations:\n          \
             summary: {}\n          description: {}\n          runbook_url: {}\n",
            time("for", *for_),
            time("keep_firing_for", *keep_firing_for),
            labels.collect::<String>(),
            quoted(summary),
            quoted(description),
            self.runbook_url()
        )
    }
}

/// A string in quotes, which are the same in YAML as in JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

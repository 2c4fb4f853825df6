//! Alerting rules as YAML.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

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
            for rule in rules {
                // Writing to a string cannot fail.
                let _ = rule.write(&mut text);
            }
        }
    }
    text
}

impl PrometheusRule {
    /// A heading of the runbook.
    fn runbook_url(&self) -> String {
        format!("docs/runbook.md#{}", self.alertname.to_lowercase())
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let PrometheusRule { alertname, group: _, expr, for_, keep_firing_for, labels, summary, description } =
            self;
        writeln!(text, "      - alert: {alertname}")?;
        writeln!(text, "        expr: |")?;
        for line in expr.lines() {
            writeln!(text, "          {line}")?;
        }
        for (key, time) in [("for", for_), ("keep_firing_for", keep_firing_for)] {
            if !time.is_zero() {
                writeln!(text, "        {key}: {}", duration(*time))?;
            }
        }
        writeln!(text, "        labels:")?;
        for (label, value) in labels {
            writeln!(text, "          {label}: {}", quoted(value))?;
        }
        writeln!(text, "        annotations:")?;
        writeln!(text, "          summary: {}", quoted(summary))?;
        writeln!(text, "          description: {}", quoted(description))?;
        writeln!(text, "          runbook_url: {}", self.runbook_url())
    }
}

/// A string in quotes, which are the same in YAML as in JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

//! Compares the tables of `docs/alerts.md` with the rules that exist. `UPDATE_GOLDEN=1` rewrites them.

use std::{fs, time::Duration};

use proxymeter::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        promql::DIFFERENCES,
        rule::{KINDS, Rule, Rules},
    },
    model::{BudgetPeriod, words::duration},
};

use crate::common::golden::assert_golden;

const PATH: &str = "docs/alerts.md";

/// The rules as they are by default, and those that are off.
fn rules() -> Rules {
    let off = KINDS.iter().filter(|kind| !kind.enabled).map(|kind| {
        let budget = kind.name.ends_with("_budget");
        let rule = RuleConfig {
            enabled: Some(true),
            budget: budget.then_some(1),
            period: budget.then_some(BudgetPeriod::Day),
            ..RuleConfig::default()
        };
        (kind.name.to_owned(), rule)
    });
    Rules::new(&AlertingConfig { rules: off.collect(), ..AlertingConfig::default() }).unwrap()
}

fn defaults(rule: &Rule) -> String {
    let kind = rule.kind;
    let off = if kind.enabled { "" } else { " (off)" };
    let time =
        |time: Duration, zero: &str| if time == Duration::ZERO { zero.to_owned() } else { duration(time) };
    let steps = rule.steps.iter().map(|step| match &*step.label {
        "" => step.severity.label().to_owned(),
        label => format!("`{label}` {}", step.severity.label()),
    });
    format!(
        "| `{}`{off} | {} | {} | {} | {} | {} |\n",
        kind.name,
        kind.alertname,
        kind.kind,
        steps.collect::<Vec<_>>().join(", "),
        time(rule.for_, "at once"),
        time(rule.repeat_interval, "never"),
    )
}

fn differences() -> String {
    let named = |question| KINDS.iter().find(|kind| kind.question == question).unwrap().name;
    DIFFERENCES.iter().map(|(question, text)| format!("| `{}` | {text} |\n", named(*question))).collect()
}

/// The document with the rows of a table replaced, which is found by its head.
fn with_table(document: &str, head: &str, rows: &str) -> String {
    let (before, table) = document.split_once(head).unwrap_or_else(|| panic!("no table has the head {head}"));
    let mut lines = table.split_inclusive('\n').skip(1);
    let line = lines.next().unwrap();
    let after: String = lines.skip_while(|row| row.starts_with('|')).collect();
    format!("{before}{head}\n{line}{rows}{after}")
}

#[test]
fn the_reference_lists_every_rule() {
    let rules = rules();
    assert_eq!(rules.list().len(), KINDS.len());
    let defaults: String = rules.list().iter().map(|rule| defaults(rule)).collect();
    let mut document = fs::read_to_string(PATH).unwrap();
    for (head, rows) in [
        ("| Rule | Alert | Subject | Label `step`, and severity | For | Repeated |", &defaults),
        ("| Rule | The alert in Prometheus |", &differences()),
    ] {
        document = with_table(&document, head, rows);
    }
    assert_golden(PATH, &document);
}

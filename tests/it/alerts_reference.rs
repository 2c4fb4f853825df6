//! Compares `docs/alerts.md` with the rules that exist. `UPDATE_GOLDEN=1` rewrites it.

use std::{fmt::Write, time::Duration};

use proxymeter::{
    alert::rule::{KINDS, Kind, Steps},
    model::Severity,
};

use crate::common::golden::assert_golden;

const PATH: &str = "docs/alerts.md";

const HEAD: &str = "# Alerts

All rules with their defaults. Rules are active by default, except those marked (off); `enabled = false` disables a rule.
A table `[alert.NAME]` changes only the keys that it contains. A table with another name and `rule = \"NAME\"` adds a
second rule of that kind. Its name becomes the label `rule`.

Each crossed step is a separate alert. A renewal, a top-up or a reset resolves all alerts of the subject.

A firing alert suppresses others: a tighter step suppresses the wider steps of the same rule and subject,
`ProxymeterTargetDown` suppresses all other alerts of the target, and `ProxymeterPartStale` suppresses the alerts that
depend on the part. A suppressed alert sends no notification. It has `state=\"suppressed\"` in `proxymeter_alerts` and in
the JSON, and is not counted as firing anywhere. An alert in a mute window is counted as firing.

| Rule | Alert | Subject | Steps | For | Repeated | Meaning |
|---|---|---|---|---|---|---|
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for kind in &KINDS {
        let Kind { name, alertname, kind: subject, summary, .. } = kind;
        let repeat = told(kind.repeat_interval, "never");
        let off = if kind.enabled { "" } else { " (off)" };
        let for_ = told(kind.for_, "at once");
        writeln!(
            text,
            "| `{name}`{off} | {alertname} | {subject} | {} | {for_} | {repeat} | {summary} |",
            steps(kind)
        )
        .unwrap();
    }
    text
}

fn steps(kind: &Kind) -> String {
    let with = |step: String, severity: &Severity| format!("{step} {}", severity.label());
    let steps: Vec<_> = match kind.steps {
        Steps::None(severity) => return severity.label().to_owned(),
        Steps::Remaining(steps) => steps
            .iter()
            .map(|(secs, severity)| with(told(Duration::from_secs(*secs), "reached"), severity))
            .collect(),
        Steps::Ratio(steps) => {
            steps.iter().map(|(percent, severity)| with(format!("{percent}%"), severity)).collect()
        }
    };
    steps.join(", ")
}

fn told(duration: Duration, zero: &str) -> String {
    if duration.is_zero() { zero.to_owned() } else { humantime::format_duration(duration).to_string() }
}

#[test]
fn the_reference_lists_every_rule() {
    assert_golden(PATH, &reference());
}

//! Compares `alerts/targets.rules.yml` and `alerts/users.rules.yml` with the rules that exist, and checks each rule.
//! `UPDATE_GOLDEN=1` rewrites them.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use proxymeter::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        promql::{DIFFERENCES, PrometheusRule, groups, of_targets, of_users},
        rule::{KINDS, Question, Rules},
    },
    config::{Config, Source},
    exposition::families,
};

use crate::common::golden::assert_golden;

const OWN: &str = "tests/fixtures/config/good/rules.toml";

const TARGETS: &str = "# Alerting rules for Prometheus: those that proxymeter has by default, but for those about single users, whom it counts.
# They are made from the same table; `UPDATE_GOLDEN=1 cargo test --test it prometheus_rules` writes this file.
#
# `proxymeter rules --config.file=FILE` prints the rules of a configuration, with its steps, severities, times and names.
#
# Scrapes may be a minute apart. One or two missed scrapes change nothing.
groups:
";

const USERS: &str = "# Alerting rules for Prometheus: those about single users that proxymeter has by default. Each user with an alert is an alert in
# Alertmanager; a panel with 20,000 users has thousands of them. Users without series have no alerts (`users.limit`, and
# `labels = \"off\"`).
# They are made from the same table; `UPDATE_GOLDEN=1 cargo test --test it prometheus_rules` writes this file.
groups:
";

fn defaults() -> Rules {
    Rules::new(&AlertingConfig::default()).unwrap()
}

#[test]
fn the_files_have_the_default_rules() {
    let rules = defaults();
    assert_golden("alerts/targets.rules.yml", &format!("{TARGETS}{}", groups(&of_targets(&rules))));
    assert_golden("alerts/users.rules.yml", &format!("{USERS}{}", groups(&of_users(&rules))));
}

/// A configuration in which most rules differ from the default ones.
fn own() -> Rules {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(OWN);
    Rules::new(&Config::load(&Source::from(&*config), &|_| None).unwrap().alerting).unwrap()
}

fn all(rules: &Rules) -> Vec<PrometheusRule> {
    [of_targets(rules), of_users(rules)].concat()
}

fn label<'a>(rule: &'a PrometheusRule, name: &str) -> &'a str {
    rule.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
}

/// The rule of this alert in the file that is written by hand.
fn written_by_hand(alertname: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/exporter.rules.yml");
    let text = fs::read_to_string(file).unwrap();
    let mut rules = text.split("- alert: ").filter(|rule| rule.lines().next() == Some(alertname));
    rules.next().unwrap_or_else(|| panic!("no rule {alertname}")).to_owned()
}

#[test]
fn every_step_has_a_rule_with_its_own_words() {
    for rules in [defaults(), own()] {
        let made = all(&rules);
        let mut expected = 0;
        for rule in rules.list() {
            for step in &rule.steps {
                let about = |made: &&PrometheusRule| {
                    made.alertname == rule.kind.alertname
                        && label(made, "step") == &*step.label
                        && label(made, "rule") == rule.label().unwrap_or_default()
                };
                let found: Vec<_> = made.iter().filter(about).collect();
                let kinds: Vec<_> = found.iter().map(|made| label(made, "kind")).collect();
                match rule.kind.question {
                    Question::StoreFailing
                    | Question::HistoryFailing
                    | Question::ReloadFailed
                    | Question::HeartbeatWithheld
                    | Question::ReceiverFailing
                    | Question::NotificationsAbandoned => {
                        let text = written_by_hand(rule.kind.alertname);
                        let severity = step.severity.label();
                        for line in
                            [format!("severity: {severity}"), format!("summary: {}", rule.kind.summary())]
                        {
                            assert!(text.contains(&format!("  {line}\n")), "{line} is not in {text}");
                        }
                        assert!(found.is_empty(), "{}", rule.name);
                    }
                    Question::AccountingStalled | Question::CoreDown => assert_eq!(kinds, ["target", "node"]),
                    _ => assert_eq!(kinds, [rule.kind.kind], "{}", rule.name),
                }
                for made in &found {
                    assert_eq!(label(made, "severity"), step.severity.label());
                    assert_eq!(made.summary, rule.kind.summary());
                }
                expected += found.len();
            }
        }
        let counted = made.iter().filter(|made| made.alertname.starts_with("ProxymeterUsers"));
        assert_eq!(made.len(), expected + counted.count());
    }
    assert_eq!(of_targets(&defaults()).len() + 8, all(&defaults()).len());
}

#[test]
fn rules_have_what_alertmanager_and_people_need() {
    let runbook = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md")).unwrap();
    let headings: BTreeSet<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for kind in &KINDS {
        assert!(headings.contains(kind.alertname), "docs/runbook.md lacks {}", kind.alertname);
    }
    for rule in all(&defaults()).iter().chain(&all(&own())) {
        let PrometheusRule { alertname, summary, description, .. } = rule;
        assert!(alertname.len() <= 40, "{alertname}");
        assert!(headings.contains(alertname), "docs/runbook.md lacks {alertname}");
        assert!(["critical", "warning", "info"].contains(&label(rule, "severity")), "{alertname}");
        assert!(summary.ends_with('.') && !summary.contains("{{"), "{alertname}: {summary}");
        assert!(description.contains("{{ $labels.target }}"), "{alertname}: {description}");
        assert!(
            !description.contains("{{ $labels.subject }}") && !description.contains('?'),
            "{description}"
        );
        // Or one missed scrape ends the alert.
        assert!(!rule.for_.is_zero() || !rule.keep_firing_for.is_zero(), "{alertname}");
    }
}

#[test]
fn groups_are_small_and_have_names_of_their_own() {
    let tables = (0..50).map(|number| {
        let rule = RuleConfig { rule: Some("host_cpu".into()), ..RuleConfig::default() };
        (format!("a-rule-with-quite-a-long-name-{number}"), rule)
    });
    let config = AlertingConfig { rules: tables.collect(), ..AlertingConfig::default() };
    let text = groups(&all(&Rules::new(&config).unwrap()));
    let mut names = BTreeSet::new();
    for group in text.split("  - name: ").skip(1) {
        let name = group.lines().next().unwrap();
        assert!(name.len() <= 40 && names.insert(name), "{name}");
        let rules = group.matches("      - alert: ").count();
        assert!((1..=20).contains(&rules), "{name}: {rules}");
    }
    assert!(names.contains("proxymeter-target-6"), "{names:?}");
}

/// The words of a query: names of metrics, of what is recorded of them, labels and functions.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')))
        .filter(|word| !word.is_empty())
}

#[test]
fn queries_name_only_metrics_that_there_are_and_labels_that_these_have() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/recording.rules.yml");
    let recording = fs::read_to_string(recording).unwrap();
    for rule in all(&defaults()).iter().chain(&all(&own())) {
        for recorded in words(&rule.expr).filter(|word| word.contains(":proxymeter_")) {
            assert!(recording.contains(&format!("- record: {recorded}\n")), "{}: {recorded}", rule.alertname);
        }
        let named = words(&rule.expr).filter(|word| word.starts_with("proxymeter_"));
        let of_name = |name| families().find(|family| family.name == name);
        let found = named.map(|name| of_name(name).unwrap_or_else(|| panic!("{}: {name}", rule.alertname)));
        let mut labels: BTreeSet<_> = found.flat_map(|family| family.labels.iter().copied()).collect();
        labels.extend(["cluster", "job", "instance", "system"]);
        let removed = rule.labels.iter().filter(|(_, value)| value.is_empty()).map(|(label, _)| *label);
        for label in
            removed.chain(rule.description.split("$labels.").skip(1).filter_map(|rest| words(rest).next()))
        {
            assert!(labels.contains(label), "{}: {label}", rule.alertname);
        }
        let templated =
            rule.labels.iter().any(|(label, value)| *label == "subject" && value.contains("$labels."));
        assert_eq!(templated, label(rule, "kind") != "target", "{}", rule.alertname);
    }
}

#[test]
fn what_differs_from_the_built_in_alerts_is_about_rules_that_there_are() {
    let reference = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alerts.md")).unwrap();
    for (question, difference) in &DIFFERENCES {
        let kind = KINDS.iter().find(|kind| kind.question == *question).unwrap();
        assert!(reference.contains(&format!("| `{}` | {difference} |", kind.name)), "{}", kind.name);
    }
}

#[test]
fn the_command_prints_the_rules_of_its_configuration() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(OWN)).unwrap();
    let run = |text: &str, arguments: &[&str]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        let config = format!("--config.file={}", file.path().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
        command.args(["rules", &config]).args(arguments).output().unwrap()
    };
    let printed = |arguments: &[&str]| {
        // The secrets are where only the daemon can read them.
        let output = run(&text.replace("../secrets/password", "missing"), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let rules = own();
    let (targets, users) = (groups(&of_targets(&rules)), groups(&of_users(&rules)));
    let without = printed(&[]);
    let others = without.strip_prefix(&format!("groups:\n{targets}")).unwrap();
    for rule in
        ["- alert: ProxymeterExporterDown", "- record: target_user:proxymeter_user_traffic_bytes:increase1h"]
    {
        assert!(others.contains(rule), "{others}");
    }
    assert!(!others.contains("- alert: ProxymeterUserExpiry"));
    assert_eq!(printed(&["--users"]), format!("groups:\n{targets}{users}{others}"));
    assert_golden("tests/golden/own.rules.yml", &format!("groups:\n{targets}{users}"));

    let wrong = run("[alert.user_expiry]\nsteps = [\"80%\"]\n[alrt.host_cpu]\n", &[]);
    let errors = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.stdout.is_empty() && !wrong.status.success(), "{errors}");
    assert!(errors.contains("alert.user_expiry.steps") && errors.contains("alrt"), "{errors}");
}

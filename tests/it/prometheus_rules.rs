//! Compares `alerts/targets.rules.yml` and `alerts/users.rules.yml` with the rules that exist, and checks each rule.
//! `UPDATE_GOLDEN=1` rewrites them.

use std::{collections::BTreeSet, fs};

use proxymeter::{
    alert::{
        config::AlertingConfig,
        promql::{DIFFERENCES, PrometheusRule, groups, of_targets, of_users},
        rule::{KINDS, Rules},
    },
    exposition::families,
};

use crate::common::golden::assert_golden;

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

//! Prints rules for Prometheus.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::exit::Done;
use crate::alert::{
    config::AlertingConfig,
    promql::{groups, of_targets, of_users},
    rule::{RuleError, Rules},
};

/// Files of rules that do not depend on the configuration.
const OTHERS: [&str; 2] =
    [include_str!("../../alerts/exporter.rules.yml"), include_str!("../../alerts/recording.rules.yml")];

pub(super) fn run(config: &AlertingConfig, users: bool) -> Done {
    let rules = Rules::new(config).map_err(|errors: Vec<RuleError>| {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    })?;
    let mut text = groups(&of_targets(&rules));
    if users {
        text += &groups(&of_users(&rules));
    }
    let others = OTHERS.iter().filter_map(|file| Some(file.split_once("\ngroups:\n")?.1));
    let mut out = io::stdout().lock();
    write!(out, "groups:\n{text}{}", others.collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

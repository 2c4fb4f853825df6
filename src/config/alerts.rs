//! The tables `[alert.NAME]`: each changes a rule or adds another one of its kind.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use crate::alert::config::{RuleConfig, StepConfig, Within};
use crate::alert::rule::{KINDS, Kind, Question, Steps as StepsOf};
use crate::model::{BudgetPeriod, BudgetUnit};

use super::names::{self, Names, is_name, is_pattern};
use super::shape::{
    Shape,
    Show::{If, Number, People},
};
use super::table::{Field, Placed, Table, nearest};
use super::values::{
    above_zero, choice, describe, duration, is_choice, is_quantity, is_severity, is_size, one_of, ratio,
    severity, size, switch, text,
};

pub(super) const SHAPE: Shape = Shape {
    title: "[alert.NAME]",
    keys: &[&[
        ("rule", If(is_name)),
        ("enabled", Number),
        ("targets", If(is_pattern)),
        ("subjects", People),
        ("exclude", People),
        ("steps", If(is_quantity)),
        ("for", If(is_quantity)),
        ("severity", If(is_severity)),
        ("repeat_interval", If(is_quantity)),
        ("receivers", If(is_name)),
        ("expired_for", If(is_quantity)),
        ("renewing", Number),
        ("budget", Number),
        ("period", If(|text| is_choice(text, &periods()))),
        ("limit", If(is_size)),
        ("within", If(|text| is_choice(text, &withins()))),
    ]],
};

/// How long a panel does not answer until it counts as down, unless `[alert.target_down]` says otherwise.
pub(super) fn target_down_for() -> Duration {
    KINDS.iter().find(|kind| kind.question == Question::TargetDown).map_or(Duration::ZERO, |kind| kind.for_)
}

/// What the steps of a rule are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    None,
    /// Remaining time.
    Remaining,
    /// Remaining time above 0.
    Forecast,
    /// Time that has passed.
    Passed,
    /// Used share.
    Ratio,
}

type Rule = (&'static str, Steps);

/// The rules there are, and what their steps are.
fn rules() -> impl Iterator<Item = Rule> {
    KINDS.iter().map(|kind| {
        let steps = match kind.steps {
            StepsOf::None(_) => Steps::None,
            StepsOf::Remaining(_) => Steps::Remaining,
            StepsOf::Forecast(_) => Steps::Forecast,
            StepsOf::Passed(_) => Steps::Passed,
            StepsOf::Ratio(_) => Steps::Ratio,
        };
        (kind.name, steps)
    })
}

pub(super) type Rules = BTreeMap<String, RuleConfig>;

/// The rules, and `for` of `[alert.target_down]` with its place if it is given.
pub(super) fn read_all(root: &mut Table<'_, '_>, names: &Names) -> (Rules, Option<Placed<Duration>>) {
    let mut rules = BTreeMap::new();
    let mut target_down_for = None;
    for (name, mut table) in names::tables(root, "alert", "an alert", &SHAPE) {
        let for_ = table.take("for", duration).given();
        let rule = RuleConfig { for_: for_.as_ref().map(|for_| for_.value), ..read(&name, table, names) };
        if name == "target_down" {
            target_down_for = for_;
        }
        rules.insert(name, rule);
    }
    (rules, target_down_for)
}

fn read(name: &str, mut table: Table<'_, '_>, names: &Names) -> RuleConfig {
    let named = table.take("rule", rule);
    let rule = kind_of(name, &named, &table);
    let expired_for =
        take_of(&mut table, "expired_for", above_zero, rule, &["user_expiry", "inbound_expiry"]);
    let renewing = take_of(&mut table, "renewing", switch, rule, &["user_expiry", "user_quota"]);
    let enabled = table.take("enabled", switch).value();
    let (budget, period) = read_budget(&mut table, rule, enabled);
    let (limit, within) = read_traffic(&mut table, rule, enabled);
    RuleConfig {
        rule: named.value().map(|(rule, _)| rule.to_owned()),
        enabled,
        targets: take_patterns(&mut table, "targets", |pattern| names.check_target(pattern)),
        subjects: take_patterns(&mut table, "subjects", |_| Ok(())),
        exclude: names::take_list(&mut table, "exclude", |_| Ok(())).value().unwrap_or_default(),
        steps: read_steps(&mut table, rule),
        for_: None,
        severity: table.take("severity", severity).value(),
        repeat_interval: table.take("repeat_interval", duration).value(),
        receivers: names::take_list(&mut table, "receivers", |name| names.check_receiver(name)).value(),
        expired_for: expired_for.value(),
        renewing: renewing.value().unwrap_or_default(),
        budget,
        period,
        limit,
        within,
    }
}

/// The rules that have a budget.
const OF_BUDGETS: [&str; 2] = ["llm_token_budget", "llm_cost_budget"];

fn periods() -> [(&'static str, BudgetPeriod); 2] {
    BudgetPeriod::ALL.map(|period| (period.label(), period))
}

/// `budget` and `period`, which only rules about budgets have, and need unless they are off.
fn read_budget(
    table: &mut Table<'_, '_>,
    rule: Option<Rule>,
    enabled: Option<bool>,
) -> (Option<u64>, Option<BudgetPeriod>) {
    let kind = KINDS.iter().find(|kind| rule.is_some_and(|(rule, _)| rule == kind.name));
    let unit = kind.and_then(Kind::budget);
    let budget = take_of(table, "budget", |value| amount(value, unit), rule, &OF_BUDGETS);
    let period = take_of(table, "period", |value| choice(value, &periods()), rule, &OF_BUDGETS);
    if let Some(unit) = unit.filter(|_| enabled != Some(false)) {
        if budget.is_absent() {
            let text = format!("missing; write what each client key may use, such as {}", example(unit));
            table.refuse("budget", text);
        }
        if period.is_absent() {
            table.refuse("period", "missing; write \"day\" or \"month\"");
        }
    }
    (budget.value(), period.value())
}

fn withins() -> [(&'static str, Within); 2] {
    Within::ALL.map(|within| (within.label(), within))
}

/// `limit` and `within`, which only rules about the traffic of users have, and need unless they are off.
fn read_traffic(
    table: &mut Table<'_, '_>,
    rule: Option<Rule>,
    enabled: Option<bool>,
) -> (Option<u64>, Option<Within>) {
    const RULE: &str = "user_traffic";
    let limit = take_of(table, "limit", size, rule, &[RULE]);
    let within = take_of(table, "within", |value| choice(value, &withins()), rule, &[RULE]);
    if rule.is_some_and(|(rule, _)| rule == RULE) && enabled != Some(false) {
        if limit.is_absent() {
            table.refuse("limit", "missing; write what a user may move within the time, such as \"20GiB\"");
        }
        if within.is_absent() {
            table.refuse("within", "missing; write \"1h\" or \"1d\"");
        }
    }
    (limit.value(), within.value())
}

/// A budget in its own unit: whole tokens, or US dollars. Of an unknown rule, any number is accepted.
fn amount(value: &DeValue<'_>, unit: Option<BudgetUnit>) -> Result<u64, String> {
    const MOST: f64 = 1e9;
    let number = match value {
        DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
        _ => None,
    };
    let advice = |what, unit| format!("{}; write {what} above 0, such as {}", describe(value), example(unit));
    match unit {
        Some(BudgetUnit::Tokens) => {
            number.filter(|tokens| *tokens > 0).ok_or_else(|| advice("a whole number", BudgetUnit::Tokens))
        }
        Some(BudgetUnit::UsdNanos) | None => {
            let dollars = match value {
                DeValue::Integer(digits) => digits.as_str().parse::<f64>().ok(),
                DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
                _ => None,
            };
            let nanos = dollars.filter(|dollars| *dollars <= MOST).map(|dollars| (dollars * 1e9).round());
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 1e18 by the filters"
            )]
            let nanos = nanos.filter(|nanos| *nanos >= 1.0).map(|nanos| nanos as u64);
            nanos.ok_or_else(|| advice("a number", BudgetUnit::UsdNanos))
        }
    }
}

fn example(unit: BudgetUnit) -> &'static str {
    match unit {
        BudgetUnit::Tokens => "5000000 for five million tokens",
        BudgetUnit::UsdNanos => "20 for 20 US dollars",
    }
}

/// Takes a key that only some rules have.
fn take_of<T>(
    table: &mut Table<'_, '_>,
    key: &str,
    read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    rule: Option<Rule>,
    of: &[&str],
) -> Field<T> {
    let field = table.take(key, read);
    if let (Field::Given(value), Some((rule, _))) = (&field, rule)
        && !of.contains(&rule)
    {
        let text = format!("a key of {}, and this is {rule}; leave it out", of.join(" and "));
        table.reading.refuse(&value.place, text);
    }
    field
}

/// The kind that a table is of, by its name or its key `rule`; refuses a table of no kind or of two.
fn kind_of(name: &str, named: &Field<Rule>, table: &Table<'_, '_>) -> Option<Rule> {
    let own = rules().find(|(rule, _)| *rule == name);
    match (own, named) {
        (Some(own), Field::Absent) => Some(own),
        (Some(own), Field::Given(named)) if own == named.value => Some(own),
        (Some(_), Field::Given(named)) => {
            let text =
                format!("{name} is a rule itself, which this table changes; give the table another name");
            table.reading.refuse(&named.place, text);
            None
        }
        (None, Field::Given(named)) => Some(named.value),
        (None, Field::Absent) => {
            let text = match nearest(name, rule_names()) {
                Some(meant) => format!(
                    "missing, as no rule is named {name}; name the table {meant}, or write the rule it is of"
                ),
                None => format!("missing; {}", one_of_the_rules()),
            };
            table.refuse("rule", text);
            None
        }
        (_, Field::Refused) => None,
    }
}

fn rule(value: &DeValue<'_>) -> Result<Rule, String> {
    let name = text(value)?;
    match rules().find(|(rule, _)| *rule == name) {
        Some(rule) => Ok(rule),
        None => {
            let advice = nearest(&name, rule_names()).map(|meant| format!("write {meant:?}"));
            Err(format!("no rule is named {name:?}; {}", advice.unwrap_or_else(one_of_the_rules)))
        }
    }
}

fn rule_names() -> impl Iterator<Item = &'static str> {
    rules().map(|(rule, _)| rule)
}

fn one_of_the_rules() -> String {
    one_of(&rule_names().collect::<Vec<_>>())
}

/// Takes a list of globs, which must not be empty.
fn take_patterns(
    table: &mut Table<'_, '_>,
    key: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Vec<String> {
    let Field::Given(patterns) = names::take_list(table, key, check) else { return Vec::new() };
    if patterns.value.is_empty() {
        table
            .reading
            .refuse(&patterns.place, "an empty list; write at least one, or leave the key out for all");
    }
    patterns.value
}

/// More than anybody follows.
const MOST_STEPS: usize = 100;

fn read_steps(table: &mut Table<'_, '_>, rule: Option<Rule>) -> Option<Vec<StepConfig>> {
    let (sort, rule) = match rule {
        Some((rule, sort)) => (Some(sort), rule),
        None => (None, ""),
    };
    let steps = table.take_list("steps", |value| step(value, sort)).given()?;
    if sort == Some(Steps::None) {
        table.reading.refuse(&steps.place, format!("{rule} has no steps; leave the key out"));
        return None;
    }
    if steps.value.is_empty() {
        let text = "an empty list; write at least one step, or enabled = false";
        table.reading.refuse(&steps.place, text);
    }
    if steps.value.len() > MOST_STEPS {
        table
            .reading
            .refuse(&steps.place, format!("{} steps; write at most {MOST_STEPS}", steps.value.len()));
        return None;
    }
    let mut distinct: Vec<StepConfig> = Vec::new();
    for step in steps.value {
        if distinct.contains(&step.value) {
            table.reading.refuse(&step.place, "a step that is listed twice; write it once");
        } else {
            distinct.push(step.value);
        }
    }
    // The widest first.
    distinct.sort_by(|a, b| match (a, b) {
        (StepConfig::Time(a), StepConfig::Time(b)) if sort == Some(Steps::Passed) => a.cmp(b),
        (StepConfig::Time(a), StepConfig::Time(b)) => b.cmp(a),
        (StepConfig::Ratio(a), StepConfig::Ratio(b)) => a.total_cmp(b),
        // Never together in one rule.
        (StepConfig::Time(_), StepConfig::Ratio(_)) => std::cmp::Ordering::Less,
        (StepConfig::Ratio(_), StepConfig::Time(_)) => std::cmp::Ordering::Greater,
    });
    Some(distinct)
}

/// One step. If the rule is unknown or has no steps, a step of any sort is accepted.
fn step(value: &DeValue<'_>, sort: Option<Steps>) -> Result<StepConfig, String> {
    let is_share = match value {
        DeValue::String(text) => text.trim_end().ends_with('%'),
        _ => matches!(value, DeValue::Float(_)),
    };
    match sort {
        Some(Steps::Remaining | Steps::Forecast | Steps::Passed) if is_share => {
            Err(format!("{}, but this rule's steps are times; write one such as \"7d\"", shown(value)))
        }
        Some(Steps::Ratio) if !is_share && matches!(value, DeValue::String(_)) => {
            Err(format!("{}, but this rule's steps are shares; write one such as \"95%\"", shown(value)))
        }
        Some(Steps::Ratio) => share(value),
        Some(Steps::Forecast | Steps::Passed) => above_zero(value).map(StepConfig::Time),
        _ if is_share => share(value),
        _ => duration(value).map(StepConfig::Time),
    }
}

fn share(value: &DeValue<'_>) -> Result<StepConfig, String> {
    let share = ratio(value)?;
    if share > 0.0 && share <= 1.0 {
        return Ok(StepConfig::Ratio(share));
    }
    Err(format!("{} is out of range; write more than \"0%\" and at most \"100%\"", shown(value)))
}

fn shown(value: &DeValue<'_>) -> String {
    if let DeValue::String(text) = value { format!("{text:?}") } else { describe(value) }
}

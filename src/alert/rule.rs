//! The kinds of rule, and the rules that the configuration makes of them.

mod kinds;

use std::{fmt, sync::Arc, time::Duration};

pub use kinds::{KINDS, Kind, Question, Steps};

use super::config::{AlertingConfig, RuleConfig, StepConfig, Within};
use crate::model::{Budget, KeyBudget, Severity, Threshold, Timestamp, check_label, glob::Names};

/// A rule's [`Rule::expired_for`] unless the configuration says otherwise.
const EXPIRED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The rules in force.
#[derive(Clone, Debug)]
pub struct Rules {
    list: Vec<Arc<Rule>>,
}

/// One rule in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The name of its table, which for a default rule is its kind's.
    pub name: Arc<str>,
    pub kind: &'static Kind,
    /// The widest first. A value crosses them in this order, so a number says which of them it has crossed.
    pub steps: Vec<Step>,
    pub for_: Duration,
    /// Zero: never.
    pub repeat_interval: Duration,
    /// Absent: all.
    pub receivers: Option<Vec<String>>,
    /// An alert about an expiry ends without a notification this long after it.
    pub expired_for: Duration,
    /// Whether it also asks about users whose plan starts again by itself.
    pub renewing: bool,
    /// Only of rules about budgets, which have one.
    pub budget: Option<Budget>,
    /// Only of rules about the traffic of users, which have one.
    pub traffic: Option<TrafficLimit>,
    targets: Names,
    subjects: Names,
}

/// A step of a rule; a rule without steps has one without a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The label `step`, e.g. `7d`, `expired` or `95%`; empty where there are no steps.
    pub label: Arc<str>,
    pub severity: Severity,
    pub threshold: Threshold,
}

/// What a user may move within a time that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficLimit {
    /// Above zero.
    pub bytes: u64,
    pub within: Within,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.question == other.question
    }
}

/// What is wrong with `[alert.NAME]` or `[alerting]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct RuleError {
    /// Where in the configuration, e.g. `alert.user_expiry.steps`.
    pub key: String,
    /// What to write instead.
    pub problem: String,
}

impl RuleError {
    /// Of a key of `[alert.NAME]`.
    fn new(name: &str, key: &str, problem: impl Into<String>) -> Self {
        RuleError { key: format!("alert.{name}.{key}"), problem: problem.into() }
    }
}

impl Rules {
    /// The default rules with the configuration's changes, and its own.
    ///
    /// # Errors
    /// Every mistake there is, not only the first.
    pub fn new(config: &AlertingConfig) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        if let Some(problem) = config.group_by.iter().find_map(|label| check_label(label).err()) {
            errors.push(RuleError { key: "alerting.group_by".into(), problem });
        }

        let unchanged = RuleConfig::default();
        let defaults =
            KINDS.iter().map(|kind| (kind.name, config.rules.get(kind.name).unwrap_or(&unchanged)));
        let others = config.rules.iter().map(|(name, rule)| (name.as_str(), rule));
        let others = others.filter(|(name, _)| !KINDS.iter().any(|kind| kind.name == *name));

        let mut list = Vec::new();
        for (name, rule) in defaults.chain(others) {
            let made = kind_of(name, rule).and_then(|kind| {
                let needs_limit = kind.needs_limit();
                let wanted =
                    kind.enabled || name != kind.name || needs_limit && config.rules.contains_key(name);
                let enabled = rule.enabled.unwrap_or(wanted);
                if !enabled && needs_limit {
                    return Ok(None);
                }
                Ok(enabled.then_some(Rule::new(name, kind, rule, config)?))
            });
            match made {
                Ok(rule) => list.extend(rule.map(Arc::new)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Rules { list }) } else { Err(errors) }
    }

    /// Default rules come first, in the order of [`KINDS`].
    pub fn list(&self) -> &[Arc<Rule>] {
        &self.list
    }

    /// The rules that ask this of a target and notify `receiver`.
    pub fn asking(&self, question: Question, receiver: &str, target: &str) -> Vec<&Rule> {
        let names = |rule: &Rule| {
            rule.receivers.as_ref().is_none_or(|names| names.iter().any(|name| name == receiver))
        };
        let rules = self.list.iter().map(|rule| &**rule);
        rules
            .filter(|rule| rule.kind.question == question && names(rule) && rule.covers_target(target))
            .collect()
    }
}

fn kind_of(name: &str, config: &RuleConfig) -> Result<&'static Kind, RuleError> {
    let known = |name: &str| KINDS.iter().find(|kind| kind.name == name);
    let words = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    match (known(name), &config.rule) {
        (Some(kind), None) => Ok(kind),
        (Some(kind), Some(word)) if kind.name == word => Ok(kind),
        (Some(_), Some(_)) => {
            let problem = format!("{name} is a rule's own name; name the table otherwise");
            Err(RuleError::new(name, "rule", problem))
        }
        (None, Some(word)) => known(word).ok_or_else(|| {
            let problem = format!("there is no rule {word:?}; use one of {}", words());
            RuleError::new(name, "rule", problem)
        }),
        (None, None) => Err(RuleError {
            key: format!("alert.{name}"),
            problem: format!("say with `rule = …` what it asks, or name the table as one of {}", words()),
        }),
    }
}

impl Rule {
    fn new(
        name: &str,
        kind: &'static Kind,
        config: &RuleConfig,
        alerting: &AlertingConfig,
    ) -> Result<Self, RuleError> {
        let steps = steps_of(kind, config).map_err(|problem| RuleError::new(name, "steps", problem))?;
        let for_ =
            if kind.question == Question::ReceiverFailing { alerting.fallback_after } else { kind.for_ };
        let fallback = || alerting.fallback.iter().cloned().collect();
        let fallback = kind.question.is_about_receivers().then(fallback);
        let repeat_interval = config.repeat_interval.or(alerting.repeat_interval);
        Ok(Rule {
            name: name.into(),
            kind,
            steps,
            for_: config.for_.unwrap_or(for_),
            repeat_interval: repeat_interval.unwrap_or(kind.repeat_interval),
            receivers: config.receivers.clone().or(fallback),
            expired_for: config.expired_for.unwrap_or(EXPIRED_FOR),
            renewing: config.renewing,
            budget: budget_of(name, kind, config)?,
            traffic: traffic_of(name, kind, config)?,
            targets: Names { only: config.targets.clone(), except: Vec::new() },
            subjects: Names { only: config.subjects.clone(), except: config.exclude.clone() },
        })
    }

    /// Stands in for a rule that is no longer in force.
    pub(super) fn gone(name: &str, kind: &'static Kind) -> Self {
        Rule {
            name: name.into(),
            kind,
            steps: Vec::new(),
            for_: Duration::ZERO,
            repeat_interval: kind.repeat_interval,
            receivers: None,
            expired_for: EXPIRED_FOR,
            renewing: false,
            budget: None,
            traffic: None,
            targets: Names::default(),
            subjects: Names::default(),
        }
    }

    /// The label `rule`: the rule's name unless it is a default rule.
    pub fn label(&self) -> Option<&str> {
        (&*self.name != self.kind.name).then_some(&*self.name)
    }

    /// Which targets and which subjects it asks about.
    pub(super) fn names(&self) -> (&Names, &Names) {
        (&self.targets, &self.subjects)
    }

    pub(super) fn covers_target(&self, target: &str) -> bool {
        self.targets.include(target)
    }

    /// Whether the rule asks about `subject`, which of a rule about targets is the target's name.
    pub(super) fn covers(&self, subject: &str) -> bool {
        self.subjects.include(subject)
    }

    /// The place of the step with this label.
    pub(super) fn step(&self, label: &str) -> Option<usize> {
        self.steps.iter().position(|step| &*step.label == label)
    }

    /// How many steps are crossed when this long is left until `end`; and how many stay crossed, because a step once
    /// crossed stays so until an hour more is left.
    pub(super) fn crossed_by_time(&self, end: Timestamp, now: Timestamp) -> (usize, usize) {
        const HYSTERESIS: Duration = Duration::from_secs(60 * 60);
        let over = |step: &&Step, slack| {
            let Threshold::Remaining(within) = step.threshold else { return false };
            end <= now.saturating_add(within).saturating_add(slack)
        };
        let count = |slack| self.steps.iter().take_while(|step| over(step, slack)).count();
        (count(Duration::ZERO), count(HYSTERESIS))
    }

    /// How many steps are crossed when this long has passed.
    pub(super) fn crossed_by_age(&self, age: Duration) -> usize {
        let over = |step: &&Step| matches!(step.threshold, Threshold::Passed(time) if age >= time);
        self.steps.iter().take_while(over).count()
    }

    /// How many steps are crossed when `used` of `limit` is; and how many stay crossed, because a step once crossed
    /// stays so until usage falls two points below it.
    pub(super) fn crossed_by_use(&self, used: u64, limit: u64) -> (usize, usize) {
        let (used, limit) = (u128::from(used) * u128::from(WHOLE), u128::from(limit));
        let over = |step: &&Step, slack| {
            let Threshold::Used(share) = step.threshold else { return false };
            used >= limit * u128::from(share.saturating_sub(slack))
        };
        let count = |slack| self.steps.iter().take_while(|step| over(step, slack)).count();
        (count(0), count(TWO_POINTS))
    }

    /// How many steps a share between 0 and 1 crosses.
    pub(super) fn crossed_by_share(&self, share: f64) -> usize {
        let over = |step: &&Step| match step.threshold {
            Threshold::Used(step) => share * f64::from(WHOLE) >= f64::from(step),
            Threshold::Holds | Threshold::Remaining(_) | Threshold::Passed(_) => false,
        };
        self.steps.iter().take_while(over).count()
    }
}

/// All of something, and two points of it, in the ten-thousandths of [`Threshold::Used`].
pub(super) const WHOLE: u32 = Threshold::WHOLE;
pub(super) const TWO_POINTS: u32 = 200;

/// The budgets of the rules that `config` puts in force; none if it has mistakes.
pub fn budgets(config: &AlertingConfig) -> Vec<KeyBudget> {
    let list = Rules::new(config).map(|rules| rules.list).unwrap_or_default();
    let of_rule = |rule: &Arc<Rule>| {
        let (targets, keys) = (rule.targets.clone(), rule.subjects.clone());
        Some(KeyBudget { budget: rule.budget?, targets, keys })
    };
    list.iter().filter_map(of_rule).collect()
}

/// The budget of a rule about budgets.
fn budget_of(name: &str, kind: &Kind, config: &RuleConfig) -> Result<Option<Budget>, RuleError> {
    let wrong = |key, problem: &str| Err(RuleError::new(name, key, problem));
    match (kind.budget(), config.budget, config.period) {
        (None, None, None) => Ok(None),
        (None, Some(_), _) => wrong("budget", "this rule has no budget; leave the key out"),
        (None, None, Some(_)) => wrong("period", "this rule has no budget; leave the key out"),
        (Some(_), None, _) => wrong("budget", "missing; write what a client key may use in each period"),
        (Some(_), Some(0), _) => wrong("budget", "zero; write more than 0"),
        (Some(_), Some(_), None) => wrong("period", "missing; write \"day\" or \"month\""),
        (Some(unit), Some(limit), Some(period)) => Ok(Some(Budget { unit, period, limit })),
    }
}

/// The limit of a rule about the traffic of users.
fn traffic_of(name: &str, kind: &Kind, config: &RuleConfig) -> Result<Option<TrafficLimit>, RuleError> {
    let wrong = |key, problem: &str| Err(RuleError::new(name, key, problem));
    match (kind.question == Question::UserTraffic, config.limit, config.within) {
        (false, None, None) => Ok(None),
        (false, Some(_), _) => wrong("limit", "this rule has no limit of its own; leave the key out"),
        (false, None, Some(_)) => wrong("within", "this rule has no limit of its own; leave the key out"),
        (true, None, _) => wrong("limit", "missing; write what a user may move within the time"),
        (true, Some(0), _) => wrong("limit", "zero; write more than 0"),
        (true, Some(_), None) => wrong("within", "missing; write \"1h\" or \"1d\""),
        (true, Some(bytes), Some(within)) => Ok(Some(TrafficLimit { bytes, within })),
    }
}

fn steps_of(kind: &Kind, config: &RuleConfig) -> Result<Vec<Step>, &'static str> {
    let defaults: Vec<(Threshold, Severity)> = match kind.steps {
        Steps::None(severity) => vec![(Threshold::Holds, severity)],
        Steps::Remaining(steps) | Steps::Forecast(steps) => steps
            .iter()
            .map(|(secs, severity)| (Threshold::Remaining(Duration::from_secs(*secs)), *severity))
            .collect(),
        Steps::Passed(steps) => steps
            .iter()
            .map(|(secs, severity)| (Threshold::Passed(Duration::from_secs(*secs)), *severity))
            .collect(),
        Steps::Ratio(steps) => steps
            .iter()
            .map(|(percent, severity)| (Threshold::Used(u32::from(*percent) * (WHOLE / 100)), *severity))
            .collect(),
    };
    let thresholds = match &config.steps {
        None => defaults.iter().map(|(threshold, _)| *threshold).collect(),
        Some(steps) => configured(kind, steps)?,
    };
    let severity_of = |threshold: Threshold| {
        // That of the tightest default step it reaches, or of the widest if it is wider than all.
        let mut reached =
            defaults.iter().rev().filter(|(default, _)| tightness(*default) <= tightness(threshold));
        let default = reached.next().or(defaults.first()).map(|(_, severity)| *severity);
        config.severity.or(default).unwrap_or(Severity::Warning)
    };
    let step = |threshold: Threshold| {
        let label = match threshold {
            Threshold::Holds => String::new(),
            Threshold::Remaining(Duration::ZERO) => "expired".to_owned(),
            Threshold::Remaining(time) | Threshold::Passed(time) => round_duration(time),
            Threshold::Used(share) => Percent(share).to_string(),
        };
        Step { label: label.into(), severity: severity_of(threshold), threshold }
    };
    Ok(thresholds.into_iter().map(step).collect())
}

/// Grows from wide steps to tight ones of the same sort.
fn tightness(threshold: Threshold) -> (u32, std::cmp::Reverse<Duration>) {
    match threshold {
        Threshold::Holds => (0, std::cmp::Reverse(Duration::ZERO)),
        Threshold::Remaining(within) => (0, std::cmp::Reverse(within)),
        Threshold::Passed(time) => {
            let secs = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
            (secs, std::cmp::Reverse(Duration::ZERO))
        }
        Threshold::Used(share) => (share, std::cmp::Reverse(Duration::ZERO)),
    }
}

fn configured(kind: &Kind, steps: &[StepConfig]) -> Result<Vec<Threshold>, &'static str> {
    let threshold = |step: &StepConfig| match (&kind.steps, *step) {
        (Steps::None(_), _) => Err("this rule has no steps; leave the key out"),
        (Steps::Remaining(_), StepConfig::Time(within)) => Ok(Threshold::Remaining(within)),
        (Steps::Remaining(_), StepConfig::Ratio(_)) => {
            Err("write times that are left, e.g. [\"7d\", \"1d\", \"0s\"]")
        }
        (Steps::Forecast(_), StepConfig::Time(within)) if !within.is_zero() => {
            Ok(Threshold::Remaining(within))
        }
        (Steps::Forecast(_), _) => Err("write times above 0 that are left, e.g. [\"7d\", \"3d\"]"),
        (Steps::Passed(_), StepConfig::Time(time)) if !time.is_zero() => Ok(Threshold::Passed(time)),
        (Steps::Passed(_), _) => Err("write times that have passed, e.g. [\"30d\", \"90d\"]"),
        (Steps::Ratio(_), StepConfig::Ratio(share)) if share > 0.0 && share <= 10.0 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 100,000 by the guard"
            )]
            let share = (share * f64::from(WHOLE)).round() as u32;
            Ok(Threshold::Used(share))
        }
        (Steps::Ratio(_), _) => Err("write shares that are used, e.g. [\"80%\", \"100%\"]"),
    };
    let mut thresholds = steps.iter().map(threshold).collect::<Result<Vec<_>, _>>()?;
    thresholds.sort_by_key(|threshold| tightness(*threshold));
    thresholds.dedup();
    if thresholds.is_empty() { Err("name at least one step") } else { Ok(thresholds) }
}

/// In the largest unit that leaves no rest.
fn round_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let fits = units.iter().find(|(_, unit)| secs.is_multiple_of(*unit));
    fits.map_or_else(String::new, |(word, unit)| format!("{}{word}", secs / unit))
}

/// Ten-thousandths, written in percent.
struct Percent(u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, rest) if rest % 10 == 0 => write!(f, "{whole}.{}%", rest / 10),
            (whole, rest) => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

#[cfg(test)]
mod tests;

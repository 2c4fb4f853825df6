//! The kinds of rule, and the rules that the configuration makes of them.

mod kinds;

use std::{fmt, sync::Arc, time::Duration};

pub use kinds::{KINDS, Kind, Question, Steps};

use super::config::{AlertingConfig, RuleConfig, StepConfig};
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
                // A rule about budgets has no default budget: its table is what enables it.
                let has_budget = kind.budget().is_some();
                let wanted =
                    kind.enabled || name != kind.name || has_budget && config.rules.contains_key(name);
                let enabled = rule.enabled.unwrap_or(wanted);
                if !enabled && has_budget {
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
}

fn kind_of(name: &str, config: &RuleConfig) -> Result<&'static Kind, RuleError> {
    let known = |name: &str| KINDS.iter().find(|kind| kind.name == name);
    let words = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    match (known(name), &config.rule) {
        (Some(kind), None) => Ok(kind),
        (Some(kind), Some(word)) if kind.name == word => Ok(kind),
        (Some(_), Some(_)) => Err(RuleError {
            key: format!("alert.{name}.rule"),
            problem: format!("{name} is a rule's own name; name the table otherwise"),
        }),
        (None, Some(word)) => known(word).ok_or_else(|| RuleError {
            key: format!("alert.{name}.rule"),
            problem: format!("there is no rule {word:?}; use one of {}", words()),
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
        let steps = steps_of(kind, config).map_err(|problem| {
            let problem = problem.into();
            RuleError { key: format!("alert.{name}.steps"), problem }
        })?;
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
            Threshold::Holds | Threshold::Remaining(_) => false,
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
    let wrong = |key: &str, problem: &str| {
        let (key, problem) = (format!("alert.{name}.{key}"), problem.to_owned());
        RuleError { key, problem }
    };
    match (kind.budget(), config.budget, config.period) {
        (None, None, None) => Ok(None),
        (None, Some(_), _) => Err(wrong("budget", "this rule has no budget; leave the key out")),
        (None, None, Some(_)) => Err(wrong("period", "this rule has no budget; leave the key out")),
        (Some(_), None, _) => Err(wrong("budget", "missing; write what a client key may use in each period")),
        (Some(_), Some(0), _) => Err(wrong("budget", "zero; write more than 0")),
        (Some(_), Some(_), None) => Err(wrong("period", "missing; write \"day\" or \"month\"")),
        (Some(unit), Some(limit), Some(period)) => Ok(Some(Budget { unit, period, limit })),
    }
}

fn steps_of(kind: &Kind, config: &RuleConfig) -> Result<Vec<Step>, &'static str> {
    let defaults: Vec<(Threshold, Severity)> = match kind.steps {
        Steps::None(severity) => vec![(Threshold::Holds, severity)],
        Steps::Remaining(steps) => steps
            .iter()
            .map(|(secs, severity)| (Threshold::Remaining(Duration::from_secs(*secs)), *severity))
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
            Threshold::Remaining(within) => round_duration(within),
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
        Threshold::Used(share) => (share, std::cmp::Reverse(Duration::ZERO)),
    }
}

fn configured(kind: &Kind, steps: &[StepConfig]) -> Result<Vec<Threshold>, &'static str> {
    let threshold = |step: &StepConfig| match (&kind.steps, *step) {
        (Steps::None(_), _) => Err("this rule has no steps; leave the key out"),
        (Steps::Remaining(_), StepConfig::Remaining(within)) => Ok(Threshold::Remaining(within)),
        (Steps::Remaining(_), StepConfig::Ratio(_)) => {
            Err("write times that are left, e.g. [\"7d\", \"1d\", \"0s\"]")
        }
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{BudgetPeriod, BudgetUnit};

    fn config(rules: &[(&str, RuleConfig)]) -> AlertingConfig {
        let rules = rules.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone()));
        AlertingConfig { rules: rules.collect(), ..crate::alert::testing::config() }
    }

    fn rule<'a>(rules: &'a Rules, name: &str) -> &'a Rule {
        rules.list().iter().find(|rule| &*rule.name == name).unwrap()
    }

    fn steps(rule: &Rule) -> Vec<(&str, Severity)> {
        rule.steps.iter().map(|step| (&*step.label, step.severity)).collect()
    }

    #[test]
    fn the_defaults_run_but_for_some() {
        use Severity::{Critical, Info, Warning};

        let rules = Rules::new(&config(&[])).unwrap();
        let names: Vec<_> = rules.list().iter().map(|rule| &*rule.name).collect();
        let off = ["user_status", "llm_token_budget", "llm_cost_budget"];
        assert_eq!(names.len(), KINDS.len() - off.len());
        assert!(!off.iter().any(|name| names.contains(name)));
        let expected: BTreeMap<_, _> = [
            ("user_expiry", vec![("7d", Info), ("3d", Warning), ("1d", Warning), ("expired", Warning)]),
            ("user_quota", vec![("80%", Info), ("95%", Warning), ("100%", Warning)]),
            ("target_down", vec![("", Critical)]),
            ("host_disk", vec![("85%", Warning), ("95%", Critical)]),
            ("certificate_expiry", vec![("14d", Warning), ("3d", Critical)]),
        ]
        .into();
        for (name, expected) in expected {
            assert_eq!(steps(rule(&rules, name)), expected, "{name}");
        }
    }

    #[test]
    fn a_table_changes_only_the_keys_it_gives() {
        let day = |days: u64| StepConfig::Remaining(Duration::from_secs(days * 86_400));
        let rules = Rules::new(&config(&[
            ("user_expiry", RuleConfig { exclude: vec!["test-*".into()], ..RuleConfig::default() }),
            (
                "vip_expiry",
                RuleConfig {
                    rule: Some("user_expiry".into()),
                    subjects: vec!["vip-*".into()],
                    steps: Some(vec![day(2), day(14), day(7), day(2)]),
                    receivers: Some(vec!["oncall".into()]),
                    ..RuleConfig::default()
                },
            ),
            ("user_status", RuleConfig { enabled: Some(true), ..RuleConfig::default() }),
            ("core_down", RuleConfig { enabled: Some(false), ..RuleConfig::default() }),
        ]))
        .unwrap();
        let default = rule(&rules, "user_expiry");
        assert_eq!((default.steps.len(), default.label(), &default.receivers), (4, None, &None));
        assert!(!default.covers("test-1") && default.covers("vip-1"));
        let vip = rule(&rules, "vip_expiry");
        assert_eq!(steps(vip), [("14d", Severity::Info), ("7d", Severity::Info), ("2d", Severity::Warning)]);
        assert_eq!(vip.label(), Some("vip_expiry"));
        assert!(vip.covers("vip-1") && !vip.covers("ann"));
        assert!(rules.list().iter().any(|rule| &*rule.name == "user_status"));
        assert!(!rules.list().iter().any(|rule| &*rule.name == "core_down"));
    }

    #[test]
    fn a_table_with_a_budget_is_enabled_by_it() {
        let of =
            |limit, period| RuleConfig { budget: Some(limit), period: Some(period), ..RuleConfig::default() };
        let off = RuleConfig { enabled: Some(false), ..RuleConfig::default() };
        let with = config(&[
            ("llm_token_budget", RuleConfig { targets: vec!["llm".into()], ..of(7, BudgetPeriod::Day) }),
            ("llm_cost_budget", off),
            (
                "spending",
                RuleConfig {
                    rule: Some("llm_cost_budget".into()),
                    subjects: vec!["a*".into()],
                    exclude: vec!["alice".into()],
                    ..of(9, BudgetPeriod::Month)
                },
            ),
        ]);
        let found: Vec<_> = budgets(&with).into_iter().map(|of| (of.budget, of.targets, of.keys)).collect();
        let names = |only: &[&str], except: &[&str]| Names {
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            except: except.iter().map(|name| (*name).to_owned()).collect(),
        };
        let tokens = Budget { unit: BudgetUnit::Tokens, period: BudgetPeriod::Day, limit: 7 };
        let dollars = Budget { unit: BudgetUnit::UsdNanos, period: BudgetPeriod::Month, limit: 9 };
        let expected = [
            (tokens, names(&["llm"], &[]), names(&[], &[])),
            (dollars, names(&[], &[]), names(&["a*"], &["alice"])),
        ];
        assert_eq!(found, expected);
        assert_eq!(budgets(&config(&[])), []);
    }

    #[test]
    fn steps_are_named_in_the_largest_round_unit() {
        for (secs, label) in [(0, "0d"), (86_400, "1d"), (129_600, "36h"), (90, "90s"), (5400, "90m")] {
            assert_eq!(round_duration(Duration::from_secs(secs)), label);
        }
        for (share, label) in [(8000, "80%"), (9750, "97.5%"), (9999, "99.99%"), (9905, "99.05%")] {
            assert_eq!(Percent(share).to_string(), label);
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let with = |rule: RuleConfig, steps| RuleConfig { steps: Some(steps), ..rule };
        let named = |word: &str| RuleConfig { rule: Some(word.into()), ..RuleConfig::default() };
        let none = RuleConfig::default;
        let budget = |rule: RuleConfig, limit| RuleConfig { budget: Some(limit), ..rule };
        let cases = [
            ("nonsense", none(), "alert.nonsense"),
            ("mine", named("nonsense"), "alert.mine.rule"),
            ("user_quota", named("user_expiry"), "alert.user_quota.rule"),
            (
                "user_quota",
                with(none(), vec![StepConfig::Remaining(Duration::ZERO)]),
                "alert.user_quota.steps",
            ),
            ("user_expiry", with(none(), vec![StepConfig::Ratio(0.5)]), "alert.user_expiry.steps"),
            ("user_quota", with(none(), vec![StepConfig::Ratio(0.0)]), "alert.user_quota.steps"),
            ("user_quota", with(none(), vec![StepConfig::Ratio(f64::NAN)]), "alert.user_quota.steps"),
            ("user_quota", with(none(), vec![]), "alert.user_quota.steps"),
            ("target_down", with(none(), vec![StepConfig::Ratio(0.5)]), "alert.target_down.steps"),
            ("llm_token_budget", none(), "alert.llm_token_budget.budget"),
            ("mine", named("llm_cost_budget"), "alert.mine.budget"),
            ("mine", budget(named("llm_cost_budget"), 0), "alert.mine.budget"),
            ("mine", budget(named("llm_cost_budget"), 5), "alert.mine.period"),
            ("user_quota", budget(none(), 5), "alert.user_quota.budget"),
        ];
        for (name, rule, key) in cases {
            let errors = Rules::new(&config(&[(name, rule)])).unwrap_err();
            assert_eq!(errors.iter().map(|error| &*error.key).collect::<Vec<_>>(), [key]);
        }
        let mut both = config(&[("nonsense", none())]);
        both.group_by.push("colour".into());
        assert_eq!(Rules::new(&both).unwrap_err().len(), 2);
    }

    #[test]
    fn repeating_is_as_the_nearest_word_says() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        let cases = [(None, None, hours(24)), (hours(1), None, hours(1)), (hours(1), hours(2), hours(2))];
        for (all, own, expected) in cases {
            let rule_config = RuleConfig { repeat_interval: own, ..RuleConfig::default() };
            let config = AlertingConfig { repeat_interval: all, ..config(&[("target_down", rule_config)]) };
            let rules = Rules::new(&config).unwrap();
            assert_eq!(Some(rule(&rules, "target_down").repeat_interval), expected);
        }
    }

    #[test]
    fn crossing_is_decided_by_the_second_and_the_byte() {
        let rules = Rules::new(&config(&[])).unwrap();
        let expiry = rule(&rules, "user_expiry");
        let end = Timestamp::from_secs(2_000_000_000);
        let days = |days: i64| days * 86_400;
        let cases = [
            (days(7) + 3601, (0, 0)),
            (days(7) + 3600, (0, 1)),
            (days(7) + 1, (0, 1)),
            (days(7), (1, 1)),
            (days(3) + 1, (1, 2)),
            (days(2), (2, 2)),
            (1, (3, 4)),
            (0, (4, 4)),
            (-1, (4, 4)),
        ];
        for (left, expected) in cases {
            let now = end.saturating_add_millis(-left * 1000);
            assert_eq!(expiry.crossed_by_time(end, now), expected, "{left}");
        }
        let quota = rule(&rules, "user_quota");
        let cases =
            [(779, (0, 0)), (780, (0, 1)), (799, (0, 1)), (800, (1, 1)), (930, (1, 2)), (1000, (3, 3))];
        for (used, expected) in cases {
            assert_eq!(quota.crossed_by_use(used, 1000), expected, "{used}");
        }
        assert_eq!(quota.crossed_by_use(u64::MAX, u64::MAX), (3, 3));
        let disk = rule(&rules, "host_disk");
        assert_eq!([0.84, 0.85, 0.95].map(|share| disk.crossed_by_share(share)), [0, 1, 2]);
    }
}

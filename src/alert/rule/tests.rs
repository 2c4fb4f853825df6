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
    let off = [
        "user_status",
        "user_inactive",
        "user_devices",
        "user_traffic",
        "llm_token_budget",
        "llm_cost_budget",
    ];
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
    let day = |days: u64| StepConfig::Time(Duration::from_secs(days * 86_400));
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
        (
            "user_inactive",
            RuleConfig { enabled: Some(true), steps: Some(vec![day(90), day(14)]), ..RuleConfig::default() },
        ),
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
    let inactive = rule(&rules, "user_inactive");
    assert_eq!(steps(inactive), [("14d", Severity::Info), ("90d", Severity::Info)]);
    let age = |secs| inactive.crossed_by_age(Duration::from_secs(secs));
    assert_eq!([14 * 86_400 - 1, 14 * 86_400, 90 * 86_400].map(age), [0, 1, 2]);
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
        ("user_quota", with(none(), vec![StepConfig::Time(Duration::ZERO)]), "alert.user_quota.steps"),
        ("user_expiry", with(none(), vec![StepConfig::Ratio(0.5)]), "alert.user_expiry.steps"),
        ("user_inactive", with(none(), vec![StepConfig::Time(Duration::ZERO)]), "alert.user_inactive.steps"),
        ("user_quota", with(none(), vec![StepConfig::Ratio(0.0)]), "alert.user_quota.steps"),
        ("user_quota", with(none(), vec![StepConfig::Ratio(f64::NAN)]), "alert.user_quota.steps"),
        ("user_quota", with(none(), vec![]), "alert.user_quota.steps"),
        ("target_down", with(none(), vec![StepConfig::Ratio(0.5)]), "alert.target_down.steps"),
        ("llm_token_budget", none(), "alert.llm_token_budget.budget"),
        ("mine", named("llm_cost_budget"), "alert.mine.budget"),
        ("mine", budget(named("llm_cost_budget"), 0), "alert.mine.budget"),
        ("mine", budget(named("llm_cost_budget"), 5), "alert.mine.period"),
        ("user_quota", budget(none(), 5), "alert.user_quota.budget"),
        ("user_traffic", none(), "alert.user_traffic.limit"),
        ("user_traffic", RuleConfig { limit: Some(5), ..none() }, "alert.user_traffic.within"),
        ("user_quota", RuleConfig { within: Some(Within::Hour), ..none() }, "alert.user_quota.within"),
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
    let cases = [(779, (0, 0)), (780, (0, 1)), (799, (0, 1)), (800, (1, 1)), (930, (1, 2)), (1000, (3, 3))];
    for (used, expected) in cases {
        assert_eq!(quota.crossed_by_use(used, 1000), expected, "{used}");
    }
    assert_eq!(quota.crossed_by_use(u64::MAX, u64::MAX), (3, 3));
    let disk = rule(&rules, "host_disk");
    assert_eq!([0.84, 0.85, 0.95].map(|share| disk.crossed_by_share(share)), [0, 1, 2]);
}

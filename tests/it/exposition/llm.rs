//! Series about LLM proxies.

use std::{sync::Arc, time::Duration};

use proxymeter::{
    exposition::UserLabels,
    model::{
        Budget, BudgetPeriod, BudgetUnit, Cooldown, CooldownReason, Credential, CredentialStatus, Fact,
        KeyBudget, LlmErrors, LlmMode, LlmPeriod, LlmRow, LlmSpent, LlmState, LlmTimes, LlmTokens, LlmUsage,
        OTHER, Outcome, Part, QuotaWindow, Report, System, Times, Timestamp, glob::Names,
    },
};

use super::{WEIRD, ago, failed, find, identity, now, options, parsed, read};

fn ahead(secs: u64) -> Timestamp {
    now().wall.saturating_add(Duration::from_secs(secs))
}

fn spent(tokens: u64, cost_nanos: u64) -> LlmSpent {
    LlmSpent { since: ago(3600).wall, tokens, cost_nanos }
}

fn usage() -> LlmUsage {
    let row = |api_key: &str, provider: &str, model: &str| LlmRow {
        api_key: api_key.into(),
        provider: provider.into(),
        model: model.into(),
        ..LlmRow::default()
    };
    let mut duration = Times::default();
    for millis in [100, 1_500, 2_000, 700_202] {
        duration.observe(Duration::from_millis(millis));
    }
    let mut first_token = Times::default();
    first_token.observe(Duration::from_millis(350));
    LlmUsage {
        rows: vec![
            LlmRow { requests: 3, ..row("", "gemini", "gemini-2.5-pro") },
            LlmRow {
                requests: 40,
                failed: 2,
                tokens: LlmTokens {
                    input: 9_007_199_254_740_993,
                    output: 2_000,
                    reasoning: 500,
                    cached: 4_000,
                    cache_write: 100,
                    total: 12_345,
                },
                cost_nanos: 1_234_500_100,
                ..row("team-a", "codex", "gpt-5.2")
            },
            LlmRow { unpriced_tokens: 77, requests: 1, ..row("d2f5a1c09be3f8a4", "local", WEIRD) },
            LlmRow { requests: 9, ..row(OTHER, "codex", OTHER) },
        ],
        times: vec![LlmTimes { provider: "codex".into(), model: "gpt-5.2".into(), duration, first_token }],
        errors: vec![
            LlmErrors { provider: "codex".into(), status_code: Some(429), attempts: 1 },
            LlmErrors { provider: "codex".into(), status_code: Some(499), attempts: 1 },
            LlmErrors { provider: "gemini".into(), status_code: None, attempts: 5 },
        ],
        periods: vec![
            LlmPeriod { api_key: "".into(), day: spent(10, 0), month: spent(10, 0) },
            LlmPeriod {
                api_key: "team-a".into(),
                day: spent(1_000_000, 250_000_000),
                month: spent(3_000_000, 5_000_000_000),
            },
            LlmPeriod { api_key: OTHER.into(), day: spent(10, 0), month: spent(10, 0) },
        ],
        records: 44,
        gaps: 1,
        bypassed: 0,
        ..LlmUsage::default()
    }
}

fn credentials() -> Vec<Credential> {
    let cooldown =
        |model: Option<&str>, reason, until| Cooldown { model: model.map(Arc::from), reason, until };
    let window = |model: &str, window: &str, used_ratio, resets| QuotaWindow {
        model: model.into(),
        window: window.into(),
        used_ratio,
        resets,
    };
    vec![
        Credential {
            label: "1f0c9a3b5d7e2468".into(),
            provider: "claude".into(),
            status: Some(CredentialStatus::Error),
            available: Some(false),
            cause: "its login has ended",
            cooldowns: vec![
                cooldown(None, CooldownReason::InvalidGrant, ahead(600)),
                cooldown(None, CooldownReason::InvalidGrant, ahead(1800)),
                cooldown(Some("opus"), CooldownReason::Quota, ahead(60)),
                cooldown(Some("haiku"), CooldownReason::Quota, now().wall),
            ],
            requests: Some(12),
            failed: Some(7),
            ..Credential::default()
        },
        Credential {
            label: "work".into(),
            provider: "codex".into(),
            status: Some(CredentialStatus::Active),
            available: Some(true),
            requests: Some(99),
            failed: Some(0),
            quotas: vec![
                window("", "5h", Some(0.37), Some(ahead(9_000))),
                window("", "7d", Some(0.99), Some(now().wall)),
                window("gpt-5.2", "7d", Some(1.02), None),
            ],
            plan_expiry: Some(ahead(86_400)),
            last_refresh: Some(now().wall.saturating_sub(Duration::from_secs(7_200))),
            ..Credential::default()
        },
        Credential { label: WEIRD.into(), provider: "local".into(), ..Credential::default() },
    ]
}

/// An LLM proxy whose records are taken from its queue.
pub(super) fn proxy() -> Report {
    let mut report = Report::new("llm");
    report.up = Some(true);
    report.merge(Fact::Identity(identity(System::Cliproxy, "7.2.140")), now());
    report.merge(Fact::LlmState(LlmState { mode: LlmMode::Queue, enabled: Some(true) }), now());
    report.merge(Fact::LlmUsage(Arc::new(usage())), now());
    report.merge(Fact::Credentials(credentials()), now());
    for part in [Part::Credentials, Part::Usage] {
        report.parts.insert(part, read(5, Outcome::Up));
    }
    report
}

pub(super) fn budgets() -> Vec<KeyBudget> {
    let budget = |keys: &[&str], unit, period, limit| KeyBudget {
        budget: Budget { unit, period, limit },
        targets: Names { only: vec!["llm*".into()], except: Vec::new() },
        keys: Names { only: keys.iter().map(|key| (*key).to_owned()).collect(), except: Vec::new() },
    };
    vec![
        budget(&[], BudgetUnit::Tokens, BudgetPeriod::Day, 4_000_000),
        budget(&["team-*"], BudgetUnit::Tokens, BudgetPeriod::Day, 2_000_000),
        budget(&["team-a"], BudgetUnit::UsdNanos, BudgetPeriod::Month, 20_500_000_000),
    ]
}

#[test]
fn a_stale_part_of_an_llm_proxy_is_no_longer_shown() {
    // Parts that are stale, and families that are shown.
    let cases: [(&[Part], [usize; 4]); 4] = [
        (&[], [4, 3, 3, 3]),
        (&[Part::Usage], [0, 0, 3, 3]),
        (&[Part::Credentials], [4, 3, 3, 0]),
        (&[Part::Usage, Part::Credentials], [0, 0, 0, 0]),
    ];
    for (stale, expected) in cases {
        let mut report = proxy();
        for part in stale {
            report.parts.insert(*part, read(600, failed()));
        }
        let samples = parsed(&[Arc::new(report)], &options(UserLabels::Name));
        let families = ["llm_requests_total", "llm_budget_limit", "llm_usage_mode", "llm_credential_info"];
        assert_eq!(families.map(|name| find(&samples, name, &[]).count()), expected, "{stale:?}");
    }
    // Another system's usage is no LLM proxy's.
    let mut panel = proxy();
    panel.llm_state = None;
    let samples = parsed(&[Arc::new(panel)], &options(UserLabels::Name));
    assert_eq!(find(&samples, "llm_usage_records_total", &[]).count(), 0);
}

#[test]
fn budgets_are_of_client_keys_that_are_known() {
    let mut report = proxy();
    let mut usage = usage();
    // The team used nothing in the running day, and the ledger has no row for it.
    usage.periods.retain(|used| used.api_key != "team-a".into());
    for (with_use, used) in [(true, [0.5, 0.0, 5.0 / 20.5]), (false, [0.0, 0.0, 0.0])] {
        if !with_use {
            report.merge(Fact::LlmUsage(Arc::new(usage.clone())), now());
        }
        let samples = parsed(&[Arc::new(report.clone())], &options(UserLabels::Name));
        let of = |key, budget, period| {
            let labels = [("target", "llm"), ("api_key", key), ("budget", budget), ("period", period)];
            let value = |name| find(&samples, name, &labels).collect::<Vec<_>>();
            (value("llm_budget_limit"), value("llm_budget_used_ratio"))
        };
        assert_eq!(of("team-a", "tokens", "day"), (vec![2e6], vec![used[0]]), "the smaller one");
        assert_eq!(of("d2f5a1c09be3f8a4", "tokens", "day"), (vec![4e6], vec![used[1]]));
        assert_eq!(of("team-a", "usd", "month"), (vec![20.5], vec![used[2]]));
        assert_eq!(find(&samples, "llm_budget_limit", &[]).count(), 3);
    }
}

#[test]
fn what_has_ended_has_no_series() {
    let samples = parsed(&[Arc::new(proxy())], &options(UserLabels::Name));
    let ends = |labels: &[(&str, &str)]| {
        let name = "llm_credential_cooldown_end_timestamp_seconds";
        find(&samples, name, labels).collect::<Vec<_>>()
    };
    assert_eq!(ends(&[("scope", "credential"), ("model", "")]), [ahead(1800).as_secs_f64()]);
    assert_eq!(ends(&[("scope", "model"), ("model", "opus")]), [ahead(60).as_secs_f64()]);
    assert_eq!(ends(&[]).len(), 2);
    let windows: Vec<_> = find(&samples, "llm_credential_quota_used_ratio", &[]).collect();
    assert_eq!(windows, [0.37, 1.02]);
}

#[test]
fn quotas_and_cooldowns_have_only_so_many_series_and_models() {
    let window = |model: String, used| QuotaWindow {
        model: model.into(),
        window: "5h".into(),
        used_ratio: Some(used),
        resets: Some(ahead(60)),
    };
    let cooldown = |model: String, secs| Cooldown {
        model: Some(model.into()),
        reason: CooldownReason::Quota,
        until: ahead(secs),
    };
    // Credentials and models of each; series of each family, distinct models, and windows and cooldowns left out.
    let cases = [
        (1_u16, 0_u16, 1, 1, 0),
        (2, 100, 202, 101, 0),
        (2, 101, 204, 102, 0),
        (2, 900, 204, 102, 0),
        (19, 900, 19 * 102, 102, 0),
        // The first 19 take 102 and 101 places each, and the last one has room for 62 of 901 and 81 of 900.
        (20, 900, 2000, 102, 839 + 819),
    ];
    for (credentials, models, series, distinct, omitted) in cases {
        let credential = |number: u16| Credential {
            label: format!("c{number:03}").into(),
            quotas: (0..=models)
                .map(|model| match model {
                    0 => window(String::new(), 0.5),
                    model => window(format!("m{model:03}"), f64::from(model) / 1000.0),
                })
                .collect(),
            cooldowns: (1..=models).map(|model| cooldown(format!("m{model:03}"), model.into())).collect(),
            ..Credential::default()
        };
        let mut report = proxy();
        report.merge(Fact::Credentials((0..credentials).map(credential).collect()), now());
        let samples = parsed(&[Arc::new(report)], &options(UserLabels::Name));
        let of = |name: &str, labels: &[(&str, &str)]| find(&samples, name, labels).collect::<Vec<_>>();
        let used = "llm_credential_quota_used_ratio";
        assert_eq!(of(used, &[]).len(), series, "{credentials} {models}");
        assert_eq!(of("llm_credential_quota_reset_timestamp_seconds", &[]).len(), series);
        assert_eq!(of(used, &[("credential", "c000")]).len(), distinct);
        assert_eq!(of("llm_credential_limits_omitted", &[]), [f64::from(omitted)], "{credentials} {models}");
        if models > 100 {
            let other = [("credential", "c000"), ("model", OTHER)];
            assert_eq!(of(used, &other), [f64::from(models) / 1000.0], "the most used one");
            let end = "llm_credential_cooldown_end_timestamp_seconds";
            assert_eq!(of(end, &other), [ahead(models.into()).as_secs_f64()], "the latest one");
        }
    }
}

#[test]
fn records_are_those_of_the_queue() {
    for (mode, expected) in
        [(LlmMode::Queue, vec![44.0]), (LlmMode::Snapshot, vec![]), (LlmMode::Off, vec![])]
    {
        let mut report = proxy();
        report.merge(Fact::LlmState(LlmState { mode, enabled: None }), now());
        let samples = parsed(&[Arc::new(report)], &options(UserLabels::Name));
        let records: Vec<_> = find(&samples, "llm_usage_records_total", &[]).collect();
        assert_eq!(records, expected, "{mode:?}");
    }
}

#[test]
fn histograms_are_cumulative() {
    let samples = parsed(&[Arc::new(proxy())], &options(UserLabels::Name));
    let name = "llm_request_duration_seconds_bucket";
    let up_to = |bound| find(&samples, name, &[("le", bound)]).next();
    let bounds = ["0.1", "1.0", "2.0", "600.0", "+Inf"];
    assert_eq!(bounds.map(up_to), [Some(1.0), Some(1.0), Some(3.0), Some(3.0), Some(4.0)]);
    assert_eq!(find(&samples, "llm_request_duration_seconds_count", &[]).next(), Some(4.0));
    assert_eq!(find(&samples, "llm_request_duration_seconds_sum", &[]).next(), Some(703.802));
    assert_eq!(find(&samples, name, &[]).count(), Times::BOUNDS.len() + 1);
}

#[test]
fn a_busy_server_does_not_reach_the_end_of_a_sum() {
    let mut usage = usage();
    // 10,000 attempts in flight at all times, over ten years.
    usage.times[0].duration.sum = Duration::from_millis(3_153_600_000_000_500);
    let mut report = proxy();
    report.merge(Fact::LlmUsage(Arc::new(usage)), now());
    let samples = parsed(&[Arc::new(report)], &options(UserLabels::Name));
    let sum = find(&samples, "llm_request_duration_seconds_sum", &[]).next();
    assert_eq!(sum, Some(3_153_600_000_000.5));
}

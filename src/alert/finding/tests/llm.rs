use super::*;
use crate::{
    alert::testing::START,
    model::{
        Budget, BudgetPeriod, BudgetUnit, Cooldown, CooldownReason, Credential, CredentialStatus, Fact,
        LlmMode, LlmPeriod, LlmRecent, LlmRow, LlmSpent, LlmState, LlmUsage, OTHER, QuotaWindow,
    },
};

/// An LLM proxy, read at this second.
pub(super) fn read(report: &mut Report, part: Part, fact: Fact, secs: u64) {
    let mut panel = Panel { users: BTreeMap::new(), report: report.clone() };
    panel.report.up = Some(true);
    panel.report.merge(fact, at(secs));
    panel.read(part, at(secs));
    *report = panel.report;
}

fn proxy() -> Report {
    Report { up: Some(true), ..Report::new("llm") }
}

fn credential(label: &str) -> Credential {
    Credential {
        label: label.into(),
        provider: "codex".into(),
        status: Some(CredentialStatus::Active),
        available: Some(true),
        ..Credential::default()
    }
}

fn ahead(secs: i64) -> Timestamp {
    BEGIN.saturating_add_millis(secs * 1000)
}

/// An alert that had the reading `then` at second 0, and why it ends.
fn end_of(
    rules: &Rules,
    name: &str,
    report: &Report,
    secs: u64,
    subject: &str,
    then: &Reading,
) -> Option<End> {
    let findings = findings(rules, report, at(secs));
    let scope = findings.scopes.into_iter().find(|scope| &*scope.rule.name == name).unwrap();
    assert!(!scope.crossings().any(|crossing| *crossing.subject == *subject), "{subject} has a crossing");
    scope.end(subject, "llm", then, BEGIN).map(|ended| ended.end)
}

#[test]
fn credentials_that_cannot_be_used() {
    // Reads a minute apart: `-` available, `x` not, `.` unknown, `o` switched off. What is found, and why an alert ends.
    let cases = [
        ("-", "work []", None),
        ("x", "work ", None),
        ("xxxxxxxxxxx", "work !", None),
        ("xxxxxxx-xx-xxx", "work !", None),
        ("xxxxxxxxxxx-", "work []", None),
        ("xxxxxxxxxxx-----------", "", Some(End::Recovered)),
        ("xxx.", "", None),
        ("xxxo", "", Some(End::Disabled)),
        ("oooooooooooo", "", Some(End::Disabled)),
    ];
    for (reads, expected, ended) in cases {
        let mut report = proxy();
        let mut secs = 0;
        for (place, word) in (0..).zip(reads.chars()) {
            secs = place * MINUTE;
            let mut work = credential("work");
            work.available = match word {
                '-' => Some(true),
                '.' => None,
                _ => Some(false),
            };
            if word == 'o' {
                work.status = Some(CredentialStatus::Disabled);
            }
            read(&mut report, Part::Credentials, Fact::Credentials(vec![work]), secs);
        }
        let found = findings(&rules(), &report, at(secs));
        let scope = found.scopes.iter().find(|scope| &*scope.rule.name == "credential_unavailable").unwrap();
        let words = scope.crossings().map(|crossing| {
            let held = if crossing.crossed.is_empty() { "[]" } else { "" };
            format!("{} {held}{}", crossing.subject, if crossing.long_enough { "!" } else { "" })
        });
        assert_eq!(words.collect::<Vec<_>>().join(", "), expected, "{reads}");
        let then = Reading::Word("".into());
        let end = |report: &Report, subject: &str| {
            end_of(&rules(), "credential_unavailable", report, secs, subject, &then)
        };
        if expected.is_empty() {
            assert_eq!(end(&report, "work"), ended, "{reads}");
        }
        assert_eq!(end(&report, "gone"), Some(End::Deleted));
        report.merge(Fact::Omitted(Part::Credentials, 1), at(secs));
        assert_eq!(end(&report, "gone"), None, "it may be among those that were left out");
        report.parts.clear();
        assert_eq!(end(&report, "work"), None, "not read");
    }
}

#[test]
fn the_cause_is_in_words_of_ours() {
    let cooldown = |model: Option<&str>, reason, secs| Cooldown {
        model: model.map(Arc::from),
        reason,
        until: ahead(secs),
    };
    let cases = [
        ("", vec![], "the server says that it cannot be used"),
        ("its login has ended", vec![], "its login has ended"),
        (
            "",
            vec![
                cooldown(None, CooldownReason::Unauthorized, 60),
                cooldown(None, CooldownReason::Quota, 3600),
                cooldown(Some("m"), CooldownReason::NotFound, 7200),
            ],
            "its quota is used up, until 2026-11-18T12:06:40Z",
        ),
        (
            "it waits",
            vec![cooldown(None, CooldownReason::Unknown, 60)],
            "it waits, until 2026-11-18T11:07:40Z",
        ),
        ("", vec![cooldown(None, CooldownReason::Quota, 0)], "the server says that it cannot be used"),
    ];
    for (cause, cooldowns, expected) in cases {
        let mut report = proxy();
        let work = Credential { available: Some(false), cause, cooldowns, ..credential("work") };
        read(&mut report, Part::Credentials, Fact::Credentials(vec![work]), 0);
        let found = findings(&rules(), &report, START);
        let scope = found.scopes.iter().find(|scope| &*scope.rule.name == "credential_unavailable").unwrap();
        let reading = scope.crossings().next().unwrap().reading.clone().unwrap();
        assert_eq!(reading.words(START.wall), [("reason", expected.to_owned())]);
    }
}

fn with_window(used_ratio: Option<f64>, resets: Option<i64>) -> Credential {
    let window = QuotaWindow { model: "".into(), window: "5h".into(), used_ratio, resets: resets.map(ahead) };
    Credential { quotas: vec![window], ..credential("work") }
}

#[test]
fn quota_windows_that_are_used_up() {
    let cases = [
        (Some(0.77), Some(60), ""),
        (Some(0.78), Some(60), "work 5h [80%]"),
        (Some(0.80), None, "work 5h 80%"),
        (Some(0.95), Some(60), "work 5h 80% 95%"),
        (Some(1.3), Some(60), "work 5h 80% 95% 100%"),
        (Some(0.99), Some(0), ""),
        (Some(f64::NAN), Some(60), ""),
        (None, Some(60), ""),
    ];
    for (share, resets, expected) in cases {
        let mut report = proxy();
        let off = Credential { status: Some(CredentialStatus::Disabled), ..with_window(share, resets) };
        let list = vec![with_window(share, resets), Credential { label: "off".into(), ..off }];
        read(&mut report, Part::Credentials, Fact::Credentials(list), 0);
        let told = found("credential_quota", &report, START).unwrap().join(", ");
        assert_eq!(told, expected, "{share:?} {resets:?}");
    }
    let mut of_model = with_window(Some(0.8), None);
    of_model.quotas[0].model = "opus".into();
    let mut report = proxy();
    read(&mut report, Part::Credentials, Fact::Credentials(vec![of_model]), 0);
    assert_eq!(found("credential_quota", &report, START).unwrap(), ["work opus 5h 80%"]);
}

#[test]
fn a_quota_window_that_is_forgotten_holds_until_it_ends() {
    let gone = || credential("work");
    // What is read at this second about a window that was used by 96 % and ends in ten minutes.
    let cases = [
        (300, with_window(Some(0.5), Some(600)), Some(End::Recovered)),
        (300, with_window(Some(0.5), Some(20_000)), Some(End::Renewed)),
        (300, with_window(None, Some(600)), None),
        (300, gone(), None),
        (599, gone(), None),
        (600, gone(), Some(End::Renewed)),
        (600, with_window(Some(0.96), Some(600)), Some(End::Renewed)),
        (300, Credential { status: Some(CredentialStatus::Disabled), ..gone() }, Some(End::Disabled)),
        (300, credential("other"), Some(End::Deleted)),
    ];
    let then = Reading::Window { share: 0.96, resets: Some(ahead(600)) };
    for (secs, credential, expected) in cases {
        let mut report = proxy();
        read(&mut report, Part::Credentials, Fact::Credentials(vec![credential.clone()]), secs);
        let end = end_of(&rules(), "credential_quota", &report, secs, "work 5h", &then);
        assert_eq!(end, expected, "{secs} {credential:?}");
    }
    // Without an end, it holds as long as such a window lasts.
    let of_model = QuotaWindow { used_ratio: None, ..with_window(None, None).quotas.remove(0) };
    let cases = [
        ("work 5h", 5 * HOUR),
        ("work opus 5h", 5 * HOUR),
        ("work 90m", 90 * MINUTE),
        ("work 7d_opus", 7 * DAY),
        ("work weekly", DAY),
    ];
    let then = Reading::Window { share: 0.96, resets: None };
    for (subject, ends) in cases {
        for credential in [gone(), Credential { quotas: vec![of_model.clone()], ..gone() }] {
            for (secs, expected) in [(ends - 1, None), (ends, Some(End::Renewed))] {
                let mut report = proxy();
                read(&mut report, Part::Credentials, Fact::Credentials(vec![credential.clone()]), secs);
                let end = end_of(&rules(), "credential_quota", &report, secs, subject, &then);
                assert_eq!(end, expected, "{subject} {secs}");
            }
        }
    }
    // Read before the end of the window, and looked at after it: what was read still holds.
    let mut report = proxy();
    read(&mut report, Part::Credentials, Fact::Credentials(vec![with_window(Some(0.96), Some(600))]), 590);
    assert_eq!(found("credential_quota", &report, at(605)).unwrap(), ["work 5h 80% 95%"]);
}

#[test]
fn plans_that_pay_for_credentials() {
    let days = |days: i64| days * 86_400;
    let cases = [
        (days(8), ""),
        (days(7) + 1800, "work [7d]"),
        (days(7), "work 7d"),
        (days(1), "work 7d 1d"),
        (days(-6), "work 7d 1d"),
        (days(-7), "work 7d 1d over"),
    ];
    for (left, expected) in cases {
        let mut report = proxy();
        let with = Credential { plan_expiry: Some(ahead(left)), ..credential("work") };
        let off =
            Credential { status: Some(CredentialStatus::Disabled), label: "off".into(), ..with.clone() };
        read(&mut report, Part::Credentials, Fact::Credentials(vec![with, off]), 0);
        let told = found("credential_plan_expiry", &report, START).unwrap().join(", ");
        assert_eq!(told, expected, "{left}");
    }
    let then = Reading::Ends(ahead(days(1)));
    let cases = [
        (Some(ahead(days(31))), 0, Some(End::Renewed)),
        // After a new login, there is no plan.
        (None, 0, None),
        (None, 8 * DAY - 1, None),
        (None, 8 * DAY, Some(End::Recovered)),
    ];
    for (plan_expiry, secs, expected) in cases {
        let mut report = proxy();
        let with = Credential { plan_expiry, ..credential("work") };
        read(&mut report, Part::Credentials, Fact::Credentials(vec![with]), secs);
        let end = end_of(&rules(), "credential_plan_expiry", &report, secs, "work", &then);
        assert_eq!(end, expected, "{plan_expiry:?} {secs}");
    }
}

#[test]
fn the_certificate_of_a_target_without_a_system_part() {
    let mut report = proxy();
    report.certificate_expiry = Some(ahead(86_400));
    assert_eq!(found("certificate_expiry", &report, START), None, "not read");
    read(&mut report, Part::Credentials, Fact::Credentials(Vec::new()), 0);
    assert_eq!(found("certificate_expiry", &report, START).unwrap(), ["14d 3d"]);
}

fn attempts(all: u64, failed: u64) -> Fact {
    let recent = LlmRecent { provider: "codex".into(), attempts: all, failed };
    // An import of old failures grows the sums of rows by far more.
    let row = LlmRow { provider: "codex".into(), requests: all * 99, failed: all * 99, ..LlmRow::default() };
    Fact::LlmUsage(LlmUsage { rows: vec![row], recent: vec![recent], ..LlmUsage::default() }.into())
}

#[test]
fn providers_at_which_attempts_fail() {
    // Seconds and sums of attempts; when it is looked at, what is found, and why an alert ends.
    type Case<'a> = (&'a [(u64, u64, u64)], u64, &'a str, Option<End>);
    let cases: [Case<'_>; 11] = [
        // The first reading, as after a restart, says nothing about the last ten minutes.
        (&[(0, 1000, 900)], 0, "", None),
        (&[(0, 1000, 900), (30, 1019, 919)], 30, "codex [20%]", None),
        (&[(0, 1000, 900), (30, 1020, 904)], 30, "codex 20%", None),
        (&[(0, 1000, 900), (30, 1100, 919)], 30, "codex [20%]", None),
        (&[(0, 1000, 900), (30, 1100, 917)], 30, "", Some(End::Recovered)),
        (&[(0, 1000, 900), (30, 1003, 900)], 30, "", Some(End::Recovered)),
        (&[(0, 1000, 900), (30, 1020, 920), (640, 1020, 920)], 640, "", None),
        (&[(0, 1000, 900), (30, 1020, 920), (640, 1025, 920)], 640, "", Some(End::Recovered)),
        (&[(0, 1000, 900), (30, 1020, 920), (3629, 1020, 920)], 3629, "", None),
        (&[(0, 1000, 900), (30, 1020, 920), (3630, 1020, 920)], 3630, "", Some(End::Recovered)),
        // The sums were lost and begin again.
        (&[(0, 1000, 900), (30, 20, 20)], 30, "", None),
    ];
    for (readings, secs, expected, ended) in cases {
        let mut report = proxy();
        for (secs, all, failed) in readings {
            read(&mut report, Part::Usage, attempts(*all, *failed), *secs);
        }
        let told = found("llm_error_ratio", &report, at(secs)).unwrap().join(", ");
        assert_eq!(told, expected, "{readings:?}");
        if expected.is_empty() {
            assert_eq!(end("llm_error_ratio", &report, at(secs), "codex"), ended, "{readings:?}");
        }
        assert_eq!(end("llm_error_ratio", &report, at(secs), "other"), None);
        assert_eq!(found("llm_error_ratio", &report, at(secs + 600)), None, "stale");
    }
}

#[test]
fn records_that_were_lost() {
    // When records were lost and bypassed last, in seconds; when it is looked at, and what is found.
    let cases = [
        (None, None, 9000, ""),
        // Also what an earlier process noticed.
        (Some(9000), None, 9000, "records were lost"),
        (Some(9000), None, 12_599, "records were lost"),
        (Some(9000), None, 12_600, ""),
        (None, Some(9000), 9030, "another reader takes records"),
        (Some(9000), Some(9001), 9030, "records were lost, and another reader takes some"),
        (Some(9000), Some(9045), 12_600, "another reader takes records"),
        // Before the clock was set back.
        (Some(9000), None, 5401, "records were lost"),
        (Some(9000), None, 5400, ""),
    ];
    for (lost, bypassed, now, expected) in cases {
        let usage = LlmUsage {
            gap_at: lost.map(|secs| at(secs).wall),
            bypassed_at: bypassed.map(|secs| at(secs).wall),
            ..LlmUsage::default()
        };
        let mut report = proxy();
        read(&mut report, Part::Usage, Fact::LlmUsage(usage.into()), now);
        let all = findings(&rules(), &report, at(now));
        let scope = all.scopes.iter().find(|scope| &*scope.rule.name == "llm_usage_gap").unwrap();
        let reading = scope.crossings().next().and_then(|crossing| crossing.reading.clone());
        let word = (!expected.is_empty()).then(|| Reading::Word(expected.into()));
        assert_eq!(reading, word, "{lost:?} {bypassed:?} {now}");
        if expected.is_empty() {
            assert_eq!(end("llm_usage_gap", &report, at(now), ""), Some(End::Recovered), "{now}");
        }
    }
}

#[test]
fn usage_that_is_not_read_any_more_ends_its_alerts() {
    let mut report = proxy();
    read(&mut report, Part::Credentials, Fact::Credentials(Vec::new()), 0);
    for (mode, expected) in [(LlmMode::Queue, None), (LlmMode::Off, Some(End::Disabled))] {
        report.merge(Fact::LlmState(LlmState { mode, enabled: None }), at(0));
        for (rule, subject) in [("llm_error_ratio", "codex"), ("llm_usage_gap", "")] {
            assert_eq!(end(rule, &report, at(0), subject), expected, "{mode:?}");
        }
        assert_eq!(end("llm_usage_gap", &report, at(700), ""), None, "the target is not read");
    }
}

#[test]
fn client_keys_that_use_up_their_budget() {
    let of = |rule: &str, budget, period| {
        let rule = RuleConfig {
            rule: Some(rule.into()),
            budget: Some(budget),
            period: Some(period),
            exclude: vec!["bob".into()],
            ..RuleConfig::default()
        };
        let rules = BTreeMap::from([("mine".to_owned(), rule)]);
        Rules::new(&AlertingConfig { rules, ..config() }).unwrap()
    };
    let tokens = of("llm_token_budget", 1000, BudgetPeriod::Day);
    let dollars = of("llm_cost_budget", 20_000_000_000, BudgetPeriod::Month);
    let used = |key: &str, since, tokens, cost_nanos| LlmPeriod {
        api_key: key.into(),
        day: LlmSpent { since: ahead(since), tokens, cost_nanos: 0 },
        month: LlmSpent { since: ahead(since), tokens: 0, cost_nanos },
    };
    // What Alice used, and the steps that are crossed or held.
    let cases = [
        (&tokens, 779, 0, (0, 0)),
        (&tokens, 780, 0, (0, 1)),
        (&tokens, 800, 0, (1, 1)),
        (&tokens, 5000, 0, (2, 2)),
        (&dollars, 0, 15_999_999_999, (0, 1)),
        (&dollars, 0, 16_000_000_000, (1, 1)),
        (&dollars, 0, 20_000_000_000, (2, 2)),
    ];
    for (rules, tokens, nanos, expected) in cases {
        let mut report = proxy();
        let keys = ["", "alice", "bob", OTHER];
        let periods = keys.map(|key| used(key, 0, tokens, nanos)).into();
        let usage = LlmUsage { periods, ..LlmUsage::default() };
        read(&mut report, Part::Usage, Fact::LlmUsage(usage.into()), 0);
        let found = findings(rules, &report, START);
        let scope = found.scopes.iter().find(|scope| &*scope.rule.name == "mine").unwrap();
        let crossings: Vec<_> = scope.crossings().collect();
        assert!(crossings.iter().all(|crossing| &*crossing.subject == "alice"), "{crossings:?}");
        let steps = crossings.first().map_or((0, 0), |crossing| (crossing.crossed.len(), crossing.held));
        assert_eq!(steps, expected, "{tokens} {nanos}");
    }

    let Budget { unit, period, limit } =
        Budget { unit: BudgetUnit::Tokens, period: BudgetPeriod::Day, limit: 1000 };
    let then = |limit| Reading::Spent { spent: 900, limit, unit, period, since: ahead(0) };
    let cases = [
        (vec![used("alice", 0, 100, 0)], limit, Some(End::Reset)),
        (vec![used("alice", 86_400, 100, 0)], limit, Some(End::Renewed)),
        (vec![used("alice", 0, 100, 0)], 950, Some(End::ToppedUp)),
        (vec![used("carol", 86_400, 100, 0)], limit, Some(End::Renewed)),
        (vec![used("carol", 0, 100, 0)], limit, None),
        (vec![], limit, None),
    ];
    for (periods, limit, expected) in cases {
        let mut report = proxy();
        let usage = LlmUsage { periods, ..LlmUsage::default() };
        read(&mut report, Part::Usage, Fact::LlmUsage(usage.clone().into()), 0);
        let ended = end_of(&tokens, "mine", &report, 0, "alice", &then(limit));
        assert_eq!(ended, expected, "{usage:?}");
        report.parts.clear();
        assert_eq!(end_of(&tokens, "mine", &report, 0, "alice", &then(limit)), None, "not read");
    }
}

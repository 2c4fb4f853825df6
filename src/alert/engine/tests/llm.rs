//! LLM proxies: quota windows, plans and budgets from one period to the next, over restarts.

use std::time::Duration;

use super::{Bench, route};
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        testing::{BEGIN, MINUTE, Panel, at, config},
    },
    model::{
        BudgetPeriod, Credential, CredentialStatus, Fact, LlmPeriod, LlmRecent, LlmSpent, LlmUsage, Part,
        QuotaWindow, Timestamp,
    },
};

/// An LLM proxy that is read every five minutes. Whatever is read, the process restarts every hour.
struct Life {
    bench: Bench,
    panel: Panel,
    minute: u64,
    /// The minute, and what was notified of each alert.
    told: Vec<(u64, String)>,
}

impl Life {
    fn new(rules: &[(&str, RuleConfig)]) -> Self {
        let rules = rules.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect();
        let bench = Bench::with(AlertingConfig { rules, ..config() }, vec![route("ops")]);
        Life { bench, panel: Panel::new("llm"), minute: 0, told: Vec::new() }
    }

    /// Reads the same fact until this minute.
    fn live(&mut self, until: u64, fact: impl Fn() -> Fact) {
        while self.minute < until {
            let secs = self.minute * MINUTE;
            if self.minute % 60 == 55 {
                self.bench.restart(at(secs));
                self.panel = Panel::new("llm");
            }
            let fact = fact();
            let part = if matches!(fact, Fact::Credentials(_)) { Part::Credentials } else { Part::Usage };
            self.panel.report.up = Some(true);
            self.panel.report.merge(fact, at(secs));
            self.panel.read(part, at(secs));
            self.bench.observe(&[self.panel.report()], at(secs));
            self.minute += 5;
            self.bench.pass(at(secs), at(self.minute * MINUTE));
            for alert in self.bench.notices.drain(..).flat_map(|notice| notice.alerts) {
                let text = |name: &str| alert.annotations.get(name).unwrap_or_default().to_owned();
                let step = alert.labels.get("step").unwrap_or_default().to_owned();
                let told = match alert.ends_at {
                    Some(_) => format!("{step} -> {}", text("reason")),
                    None => format!("{step}: {}", text("description")),
                };
                self.told.push((self.minute - 5, told));
            }
        }
    }

    fn told(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.told)
    }
}

fn told(minute: u64, text: &str) -> (u64, String) {
    (minute, text.to_owned())
}

fn ahead(minutes: u64) -> Timestamp {
    BEGIN.saturating_add(Duration::from_secs(minutes * MINUTE))
}

#[test]
fn a_budget_alerts_once_per_step_and_period() {
    let budget =
        RuleConfig { budget: Some(50_000_000_000), period: Some(BudgetPeriod::Day), ..RuleConfig::default() };
    let mut life = Life::new(&[("llm_cost_budget", budget)]);
    let spent = |since, dollars: u64| {
        move || {
            let day = LlmSpent { since: ahead(since), tokens: 0, cost_nanos: dollars * 1_000_000_000 };
            let alice = LlmPeriod { api_key: "alice".into(), day, month: LlmSpent::default() };
            Fact::LlmUsage(LlmUsage { periods: vec![alice], ..LlmUsage::default() }.into())
        }
    };
    life.live(60, spent(0, 10));
    life.live(300, spent(0, 41));
    life.live(600, spent(0, 49));
    life.live(1440, spent(0, 50));
    let of = |used: &str| format!("Client key alice (llm) has used {used}");
    let first = of("82 % of its budget (41.00 of 50.00 USD a day).");
    let second = of("up its budget of 50.00 USD a day.");
    assert_eq!(life.told(), [told(60, &format!("80%: {first}")), told(600, &format!("100%: {second}"))]);
    // The next day begins with little, and the one after it with much.
    life.live(1500, spent(1440, 1));
    assert_eq!(life.told(), [told(1440, "100% -> renewed"), told(1440, "80% -> renewed")]);
    life.live(2880, spent(1440, 45));
    life.live(2940, spent(2880, 46));
    let of_day = |dollars, percent| {
        format!("80%: {}", of(&format!("{percent} % of its budget ({dollars}.00 of 50.00 USD a day).")))
    };
    assert_eq!(life.told(), [told(1500, &of_day(45, 90)), told(2880, &of_day(46, 92))]);
}

fn work(quotas: Vec<QuotaWindow>) -> Credential {
    Credential {
        label: "work".into(),
        status: Some(CredentialStatus::Active),
        available: Some(true),
        quotas,
        ..Credential::default()
    }
}

#[test]
fn a_quota_window_alerts_once_per_step_and_window() {
    let mut life = Life::new(&[]);
    let used = |percent: u32, resets| {
        move || {
            let (used_ratio, resets) = (Some(f64::from(percent) / 100.0), Some(ahead(resets)));
            let window = QuotaWindow { model: "".into(), window: "5h".into(), used_ratio, resets };
            Fact::Credentials(vec![work(vec![window])])
        }
    };
    let forgotten = || Fact::Credentials(vec![work(Vec::new())]);
    life.live(30, used(50, 300));
    life.live(100, used(85, 300));
    life.live(200, used(96, 300));
    assert_eq!(
        life.told(),
        [
            told(
                30,
                "80%: 85 % of the quota window work 5h (llm) is used; it begins again in 4 h 29 min, on 18 November 2026, 16:06 UTC."
            ),
            told(
                100,
                "95%: 96 % of the quota window work 5h (llm) is used; it begins again in 3 h 19 min, on 18 November 2026, 16:06 UTC."
            ),
        ]
    );
    // The server restarts and forgets what the provider said.
    life.live(300, forgotten);
    assert_eq!(life.told(), []);
    life.live(330, forgotten);
    assert_eq!(life.told(), [told(300, "95% -> renewed"), told(300, "80% -> renewed")]);
    // Of the next window most is used before the server is asked again, and of the one after it as well.
    life.live(400, used(97, 600));
    life.live(620, used(97, 600));
    life.live(700, used(81, 900));
    assert_eq!(
        life.told(),
        [
            told(
                330,
                "95%: 97 % of the quota window work 5h (llm) is used; it begins again in 4 h 29 min, on 18 November 2026, 21:06 UTC."
            ),
            told(600, "95% -> renewed"),
            told(
                620,
                "80%: 81 % of the quota window work 5h (llm) is used; it begins again in 4 h 39 min, on 19 November 2026, 02:06 UTC."
            ),
        ]
    );
}

#[test]
fn a_credential_that_fails_in_turn_is_one_alert() {
    let mut life = Life::new(&[]);
    let credential = |available| {
        move || {
            Fact::Credentials(vec![Credential {
                available: Some(available),
                cause: "its login has ended",
                ..work(Vec::new())
            }])
        }
    };
    // A cooldown of half an hour, after which the next attempt fails again.
    for round in 0..6 {
        life.live(round * 35 + 30, credential(false));
        life.live(round * 35 + 35, credential(true));
    }
    let fired = told(10, ": Credential work (llm) cannot be used: its login has ended.");
    assert_eq!(life.told(), [fired]);
    life.live(300, credential(true));
    assert_eq!(life.told(), [told(215, " -> recovered")], "after ten good minutes");
}

#[test]
fn a_restart_invents_no_errors_and_ends_none() {
    let mut life = Life::new(&[]);
    let attempts = |all, failed| {
        move || {
            let recent = LlmRecent { provider: "codex".into(), attempts: all, failed };
            Fact::LlmUsage(LlmUsage { recent: vec![recent], ..LlmUsage::default() }.into())
        }
    };
    // Nothing but failures before the daemon began.
    life.live(5, attempts(1000, 1000));
    life.live(10, attempts(1100, 1000));
    assert_eq!(life.told(), []);
    life.live(15, attempts(1140, 1040));
    let fired =
        told(10, "20%: At provider codex (llm), 28 % of the attempts of the last 10 min failed (40 of 140).");
    assert_eq!(life.told(), [fired]);
    // No attempts, and a restart at minute 55: an hour without attempts is known from then on.
    life.live(110, attempts(1140, 1040));
    assert_eq!(life.told(), []);
    life.live(115, attempts(1150, 1040));
    assert_eq!(life.told(), [told(110, "20% -> recovered")]);
}

//! Compares the tables of `docs/alerts.md` and of its Chinese counterpart with the rules that exist. `UPDATE_GOLDEN=1`
//! rewrites them.

use std::{fs, time::Duration};

use proxymeter::{
    alert::{
        config::{AlertingConfig, RuleConfig, Within},
        promql::DIFFERENCES,
        rule::{KINDS, Question, Rule, Rules},
    },
    model::{BudgetPeriod, BudgetUnit, Reading, Timestamp, words::duration},
    wording::{About, Language, Told, Voice},
};

use crate::common::golden::assert_golden;

const ENGLISH: &str = "docs/alerts.md";
const CHINESE: &str = "docs/zh-CN/alerts.md";

/// The rules as they are by default, and those that are off.
fn rules() -> Rules {
    let off = KINDS.iter().filter(|kind| !kind.enabled).map(|kind| {
        let (budget, traffic) = (kind.name.ends_with("_budget"), kind.name == "user_traffic");
        let rule = RuleConfig {
            enabled: Some(true),
            budget: budget.then_some(1),
            period: budget.then_some(BudgetPeriod::Day),
            limit: traffic.then_some(1),
            within: traffic.then_some(Within::Hour),
            ..RuleConfig::default()
        };
        (kind.name.to_owned(), rule)
    });
    Rules::new(&AlertingConfig { rules: off.collect(), ..AlertingConfig::default() }).unwrap()
}

/// The words of one language in the table of rules.
struct Words {
    off: &'static str,
    at_once: &'static str,
    never: &'static str,
}

const IN_ENGLISH: Words = Words { off: " (off)", at_once: "at once", never: "never" };
const IN_CHINESE: Words = Words { off: "（关闭）", at_once: "立即", never: "不重复" };

/// A rule, what `third` says of it, and its defaults.
fn defaults(rule: &Rule, third: &str, words: &Words) -> String {
    let kind = rule.kind;
    let off = if kind.enabled { "" } else { words.off };
    let time =
        |time: Duration, zero: &str| if time == Duration::ZERO { zero.to_owned() } else { duration(time) };
    let steps = rule.steps.iter().map(|step| match &*step.label {
        "" => step.severity.label().to_owned(),
        label => format!("`{label}` {}", step.severity.label()),
    });
    format!(
        "| `{}`{off} | {} | {third} | {} | {} | {} |\n",
        kind.name,
        kind.alertname,
        steps.collect::<Vec<_>>().join(", "),
        time(rule.for_, words.at_once),
        time(rule.repeat_interval, words.never),
    )
}

fn voice(language: Language) -> Voice {
    Voice { alone: false, language, ..Voice::default() }
}

/// An alert as a notification says it, and what it says to do. The link leads from a document to the runbook.
fn says(rule: &Rule, voice: &Voice, runbook: &str) -> String {
    let kind = rule.kind;
    let now = Timestamp::from_secs(1_795_694_400);
    let subject = match kind.kind {
        "target" => "",
        "user" | "api_key" => "ann",
        "admin" => "reza",
        "node" => "DE-1",
        "inbound" => "in-443",
        "outbound" => "warp",
        "part" => "users",
        "credential" if kind.question == Question::CredentialQuota => "work 5h",
        "credential" => "work",
        "provider" => "claude",
        "receiver" => "ops",
        // The exporter and its storage are the only ones of their kind.
        own => own,
    };
    let about = About { alertname: kind.alertname, kind: kind.kind, subject, target: "home", step: "" };
    let reading = example(kind.question, now);
    let told = Told { reading: &reading, began: now, ended: None, now };
    let (name, anchor) = (kind.alertname, kind.alertname.to_lowercase());
    format!("| [{name}]({runbook}#{anchor}) | {} | {} |\n", voice.sentence(&about, &told), voice.action(name))
}

/// What may be read when such an alert fires.
fn example(question: Question, now: Timestamp) -> Reading {
    use Question as Q;
    let down = |cause: &'static str, detail: Option<&str>| Reading::Down {
        cause: cause.into(),
        detail: detail.map(str::to_owned),
        until: None,
    };
    match question {
        Q::UserExpiry | Q::InboundExpiry | Q::CertificateExpiry | Q::CredentialPlanExpiry => {
            Reading::Ends(now.saturating_add(Duration::from_secs(47 * 3600)))
        }
        Q::UserQuota | Q::InboundQuota | Q::AdminQuota => {
            Reading::Used { used: 97 << 30, limit: 100 << 30, resets: None }
        }
        Q::QuotaForecast => Reading::Forecast {
            at: now.saturating_add(Duration::from_secs(47 * 3600)),
            used: 76 << 30,
            limit: 100 << 30,
            daily: 12 << 30,
        },
        Q::UserStatus => Reading::Word("limited".into()),
        Q::UserInactive => {
            Reading::Unseen { since: now.saturating_sub(Duration::from_secs(36 * 86_400)), never: false }
        }
        Q::UserTraffic => Reading::Moved { bytes: 23 << 30, limit: 20 << 30, within: 3600 },
        Q::NodeTraffic => {
            let resets = Some(now.saturating_add(Duration::from_secs(4 * 86_400)));
            Reading::Used { used: 16 << 40, limit: 20 << 40, resets }
        }
        Q::UserDevices => Reading::Devices { used: 5, limit: 2 },
        Q::TargetDown => down("connect", Some("connection refused")),
        Q::LoginRefused => Reading::Word("auth".into()),
        Q::PartStale | Q::AccountingStalled => Reading::Lasting(25 * 60),
        Q::RightLost => Reading::Word("forbidden".into()),
        Q::RowsUnreadable => Reading::Unreadable { rows: 2, cause: "it has no name".into() },
        Q::NodeDown => down("error", Some("dial tcp 192.0.2.9:62050: connection refused")),
        Q::OutboundDown => down("its probes fail", None),
        Q::CoreDown => Reading::Share(0.4),
        Q::NodeCpu | Q::NodeMemory | Q::HostCpu | Q::HostMemory | Q::HostDisk => Reading::Share(0.96),
        Q::CredentialUnavailable => down("login_expired_or_revoked", None),
        Q::CredentialQuota => Reading::Window { share: 0.96, resets: None },
        Q::LlmErrorRatio => Reading::Attempts { failed: 31, all: 120 },
        Q::LlmTokenBudget => spent(960_000, 1_000_000, BudgetUnit::Tokens, now),
        Q::LlmCostBudget => spent(19_200_000_000, 20_000_000_000, BudgetUnit::UsdNanos, now),
        Q::LlmUsageGap => Reading::Word("records were lost".into()),
        Q::StoreFailing | Q::HistoryFailing => Reading::Word("not writable".into()),
        Q::ReloadFailed => Reading::Word("the file cannot be used".into()),
        Q::HeartbeatWithheld => Reading::Word("poll home is stuck".into()),
        Q::ReceiverFailing => Reading::Word("auth".into()),
        Q::NotificationsAbandoned => Reading::Count(3),
    }
}

fn spent(spent: u64, limit: u64, unit: BudgetUnit, since: Timestamp) -> Reading {
    Reading::Spent { spent, limit, unit, period: BudgetPeriod::Day, since }
}

fn differences() -> String {
    let named = |question| KINDS.iter().find(|kind| kind.question == question).unwrap().name;
    DIFFERENCES.iter().map(|(question, text)| format!("| `{}` | {text} |\n", named(*question))).collect()
}

/// The document with the rows of a table replaced, which is found by its head.
fn with_table(document: &str, head: &str, rows: &str) -> String {
    let (before, table) = document.split_once(head).unwrap_or_else(|| panic!("no table has the head {head}"));
    let mut lines = table.split_inclusive('\n').skip(1);
    let line = lines.next().unwrap();
    let after: String = lines.skip_while(|row| row.starts_with('|')).collect();
    format!("{before}{head}\n{line}{rows}{after}")
}

/// A document with the rows of its tables replaced.
fn assert_tables<const N: usize>(path: &str, tables: [(&str, String); N]) {
    let written = fs::read_to_string(path).unwrap();
    let with = |document: String, (head, rows): (&str, String)| with_table(&document, head, &rows);
    assert_golden(path, &tables.into_iter().fold(written, with));
}

#[test]
fn the_reference_lists_every_rule() {
    let rules = rules();
    assert_eq!(rules.list().len(), KINDS.len());
    let of_each =
        |row: &dyn Fn(&Rule) -> String| rules.list().iter().map(|rule| row(rule)).collect::<String>();
    let voice = voice(Language::En);
    assert_tables(
        ENGLISH,
        [
            (
                "| Rule | Alert | Subject | Label `step`, and severity | For | Repeated |",
                of_each(&|rule| defaults(rule, rule.kind.kind, &IN_ENGLISH)),
            ),
            (
                "| Alert | A notification says | What to do |",
                of_each(&|rule| says(rule, &voice, "runbook.md")),
            ),
            ("| Rule | The alert in Prometheus |", differences()),
        ],
    );
}

#[test]
fn so_does_the_chinese_one() {
    let rules = rules();
    let of_each =
        |row: &dyn Fn(&Rule) -> String| rules.list().iter().map(|rule| row(rule)).collect::<String>();
    let voice = voice(Language::Zh);
    assert_tables(
        CHINESE,
        [
            (
                "| 规则 | 告警 | 何时触发 | 标签 `step` 与级别 | 等待（`for`） | 重复 |",
                of_each(&|rule| defaults(rule, &voice.text(rule.kind.alertname), &IN_CHINESE)),
            ),
            ("| 告警 | 通知的内容 | 该做什么 |", of_each(&|rule| says(rule, &voice, "../runbook.md"))),
        ],
    );
}

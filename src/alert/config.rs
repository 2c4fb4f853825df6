//! The settings of the alert engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;

use crate::{
    model::{BudgetPeriod, Severity},
    wording::Language,
};

pub use crate::model::ALERT_LABELS as LABELS;

/// `[alerting]`, `[alert.NAME]` and `[mute.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingConfig {
    /// False: nothing is sent. Alerts still show in metrics.
    pub enabled: bool,
    /// Labels whose values alerts of one message share, of [`LABELS`]; empty: all go into one message.
    pub group_by: Vec<String>,
    pub group_wait: Duration,
    pub group_interval: Duration,
    /// Overrides each rule's own; zero: never repeat.
    pub repeat_interval: Option<Duration>,
    /// Alerts that the first read of a target's users after the start finds send no notifications.
    pub adopt: bool,
    /// The receiver that is notified when another one fails.
    pub fallback: Option<String>,
    /// How long a receiver may fail before the fallback is notified. A permanent refusal notifies it at once.
    pub fallback_after: Duration,
    /// Of the times in notifications, and of the days and months of budgets.
    pub zone: TimeZone,
    /// Of notifications.
    pub language: Language,
    /// By name. A name that is a rule's own changes that rule's defaults; another needs `rule`.
    pub rules: BTreeMap<String, RuleConfig>,
    pub mutes: BTreeMap<String, MuteConfig>,
    /// Targets of other shards.
    pub elsewhere: BTreeSet<Arc<str>>,
}

impl Default for AlertingConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            group_by: vec!["target".to_owned(), "alertname".to_owned()],
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(5 * 60),
            repeat_interval: None,
            adopt: false,
            fallback: None,
            fallback_after: Duration::from_secs(30 * 60),
            zone: TimeZone::UTC,
            language: Language::En,
            rules: BTreeMap::new(),
            mutes: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
        }
    }
}

/// `[alert.NAME]`: overrides of the rule's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleConfig {
    /// The kind of rule, e.g. `user_expiry`; absent: the table's name is the kind.
    pub rule: Option<String>,
    pub enabled: Option<bool>,
    /// Globs (`*`, `?`); empty: all.
    pub targets: Vec<String>,
    pub subjects: Vec<String>,
    pub exclude: Vec<String>,
    /// At least one, without duplicates, from the widest to the tightest, and of the sort that the rule has.
    pub steps: Option<Vec<StepConfig>>,
    pub for_: Option<Duration>,
    pub severity: Option<Severity>,
    /// Zero: never repeat.
    pub repeat_interval: Option<Duration>,
    /// Absent: all; empty: none, so that the alert shows in metrics only.
    pub receivers: Option<Vec<String>>,
    /// How long after an expiry the last step ends without a notification. Only for `user_expiry` and `inbound_expiry`.
    pub expired_for: Option<Duration>,
    /// Also asks about users whose plan starts again by itself. Only for `user_expiry` and `user_quota`.
    pub renewing: bool,
    /// What a client key may use in each `period`: tokens, or billionths of a US dollar. Above zero, and only for
    /// `llm_token_budget` and `llm_cost_budget`, which need both.
    pub budget: Option<u64>,
    pub period: Option<BudgetPeriod>,
    /// The bytes that a user may move `within` a time. Above zero, and only for `user_traffic`, which needs both.
    pub limit: Option<u64>,
    pub within: Option<Within>,
}

/// A time that ends now, in which traffic is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Within {
    Hour,
    Day,
}

impl Within {
    /// Every one.
    pub const ALL: [Within; 2] = [Within::Hour, Within::Day];

    /// The word used in the configuration.
    pub fn label(self) -> &'static str {
        match self {
            Within::Hour => "1h",
            Within::Day => "1d",
        }
    }

    pub fn duration(self) -> Duration {
        match self {
            Within::Hour => Duration::from_secs(60 * 60),
            Within::Day => Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A step of a rule that has steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepConfig {
    /// Remaining time, `7d`, where zero is the end itself; or time that has passed, `30d`.
    Time(Duration),
    /// Used share, `95%` is 0.95; above 0 and up to 1.
    Ratio(f64),
}

/// `[mute.NAME]`: when no notifications are sent, and for which alerts. Alerts that still fire at its end are sent then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteConfig {
    /// Days a window starts on, Monday is 1, in order; empty: every day.
    pub days: Vec<u8>,
    /// Minutes of the day, from (below 1440) and to (1 to 1440); to may be smaller, for a window over midnight. It
    /// belongs to the day it starts. Absent: the whole day.
    pub hours: Option<(u16, u16)>,
    /// IANA name, known to this build's database of time zones; `UTC` where neither days nor hours are given.
    pub zone: String,
    /// Label and glob; all must match.
    pub matchers: BTreeMap<String, String>,
    /// Only alerts below this severity.
    pub below: Option<Severity>,
}

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    BudgetPeriod, BudgetUnit, Timestamp,
    words::{self, amount, bytes, date, duration, percent},
};

/// The values behind an alert, as they were read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    Ends(Timestamp),
    /// Bytes.
    Used {
        used: u64,
        limit: u64,
        /// When the system sets `used` to 0, if it says so.
        #[serde(default)]
        resets: Option<Timestamp>,
    },
    /// When a user's quota is used up at the present rate.
    Forecast {
        at: Timestamp,
        /// Bytes.
        used: u64,
        limit: u64,
        /// Bytes in 24 hours.
        daily: u64,
    },
    /// 0 to 1.
    Share(f64),
    /// A word for the cause.
    Word(Cow<'static, str>),
    /// A subject that does not work.
    #[serde(alias = "not_connected")]
    Down {
        /// A word for the cause.
        #[serde(alias = "status")]
        cause: Cow<'static, str>,
        /// What the panel says of it, or our own log, on one line. It may contain addresses, so it is for notices only.
        #[serde(alias = "message", default)]
        detail: Option<String>,
        /// Until when it is known to last.
        #[serde(default)]
        until: Option<Timestamp>,
    },
    /// How many there are of what should not be.
    Count(u64),
    /// Rows of a list that could not be read.
    Unreadable {
        rows: usize,
        /// Why the first of them could not be read.
        cause: Cow<'static, str>,
    },
    /// How long the condition has held, in seconds.
    Lasting(u64),
    /// How much of a quota window is used, 0 to 1 and more.
    Window {
        share: f64,
        /// When the window ends.
        resets: Option<Timestamp>,
    },
    /// How much of a budget is used.
    Spent {
        spent: u64,
        limit: u64,
        unit: BudgetUnit,
        period: BudgetPeriod,
        /// When the period began.
        since: Timestamp,
    },
    /// Since when a user has not been online.
    Unseen {
        since: Timestamp,
        /// Never since the user was created then.
        never: bool,
    },
    /// Bytes that a user moved within a time that ends now, in seconds, and how many are allowed.
    Moved {
        bytes: u64,
        limit: u64,
        within: u64,
    },
    /// Addresses in use, and how many are allowed at a time.
    Devices {
        used: u64,
        limit: u64,
    },
    /// Attempts, and how many of them failed.
    Attempts {
        failed: u64,
        all: u64,
    },
    /// What was limited, or was to end, is so no more.
    Nothing,
}

impl Reading {
    /// The values as annotations of the alert, by name.
    pub fn words(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        match self {
            Reading::Ends(end) => vec![("value", date(*end)), ("remaining", duration(end.since(now)))],
            Reading::Used { used, limit, resets: _ } => vec![
                ("value", bytes(*used)),
                ("limit", bytes(*limit)),
                ("remaining", bytes(limit.saturating_sub(*used))),
                ("ratio", percent(u128::from(*used) * 100 / u128::from((*limit).max(1)))),
            ],
            Reading::Forecast { at, used: _, limit, daily: _ } => {
                vec![("value", date(*at)), ("limit", bytes(*limit)), ("remaining", duration(at.since(now)))]
            }
            Reading::Share(share) => vec![("value", format!("{:.0}%", share * 100.0))],
            Reading::Word(word) => vec![("reason", word.clone().into_owned())],
            Reading::Down { cause, detail, until } => {
                let detail = detail.iter().map(|detail| format!(": {detail}"));
                let until = until.iter().map(|until| format!(", until {}", date(*until)));
                vec![(
                    "reason",
                    [cause.clone().into_owned()].into_iter().chain(detail).chain(until).collect(),
                )]
            }
            Reading::Count(count) => vec![("value", words::count(*count))],
            Reading::Nothing => Vec::new(),
            Reading::Unreadable { rows, cause } => {
                vec![("value", words::rows(*rows)), ("reason", cause.clone().into_owned())]
            }
            Reading::Lasting(secs) => vec![("value", duration(Duration::from_secs(*secs)))],
            Reading::Window { share, resets } => {
                let remaining = resets.map(|resets| ("remaining", duration(resets.since(now))));
                [("value", format!("{:.0}%", share * 100.0))].into_iter().chain(remaining).collect()
            }
            Reading::Spent { spent, limit, unit, period, since: _ } => vec![
                ("value", amount(*spent, *unit)),
                ("limit", format!("{} a {}", amount(*limit, *unit), period.label())),
                ("remaining", amount(limit.saturating_sub(*spent), *unit)),
                ("ratio", percent(u128::from(*spent) * 100 / u128::from((*limit).max(1)))),
            ],
            Reading::Unseen { since, never: _ } => vec![("value", duration(now.since(*since)))],
            Reading::Moved { bytes: moved, limit, within } => {
                let within = duration(Duration::from_secs(*within));
                vec![("value", bytes(*moved)), ("limit", format!("{} in {within}", bytes(*limit)))]
            }
            Reading::Devices { used, limit } => {
                vec![("value", words::count(*used)), ("limit", words::count(*limit))]
            }
            Reading::Attempts { failed, all } => vec![
                ("value", format!("{} of {}", words::count(*failed), words::count(*all))),
                ("ratio", percent(u128::from(*failed) * 100 / u128::from((*all).max(1)))),
            ],
        }
    }

    /// The reading without what is for notices only.
    #[must_use]
    pub fn for_pages(&self) -> Reading {
        match self {
            Reading::Down { cause, until, .. } => {
                Reading::Down { cause: cause.clone(), detail: None, until: *until }
            }
            other => other.clone(),
        }
    }
}

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
    },
    /// 0 to 1.
    Share(f64),
    /// A word for the cause.
    Word(Cow<'static, str>),
    /// A subject that the panel should be connected to, and is not.
    NotConnected {
        /// The word for its state.
        status: Cow<'static, str>,
        /// What the panel says of it, on one line. It may contain addresses, so it is for notices only.
        message: Option<String>,
    },
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
    /// Attempts, and how many of them failed.
    Attempts {
        failed: u64,
        all: u64,
    },
}

impl Reading {
    /// The values as annotations of the alert, by name.
    pub fn words(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        match self {
            Reading::Ends(end) => vec![("value", date(*end)), ("remaining", duration(end.since(now)))],
            Reading::Used { used, limit } => vec![
                ("value", bytes(*used)),
                ("limit", bytes(*limit)),
                ("remaining", bytes(limit.saturating_sub(*used))),
                ("ratio", percent(u128::from(*used) * 100 / u128::from((*limit).max(1)))),
            ],
            Reading::Share(share) => vec![("value", format!("{:.0}%", share * 100.0))],
            Reading::Word(word) => vec![("reason", word.clone().into_owned())],
            Reading::NotConnected { status, message: None } => {
                vec![("reason", format!("not connected ({status})"))]
            }
            Reading::NotConnected { status, message: Some(message) } => {
                vec![("reason", format!("not connected ({status}: {message})"))]
            }
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
            Reading::NotConnected { status, .. } => {
                Reading::NotConnected { status: status.clone(), message: None }
            }
            other => other.clone(),
        }
    }
}

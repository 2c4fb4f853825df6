use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    words::{self, bytes, date, duration, percent},
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

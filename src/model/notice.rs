use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Pairs, Timestamp};

/// The severity of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    /// The word used in labels, configuration and pages.
    pub fn label(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// Whether an alert, or any alert of a notice, is still firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeStatus {
    Firing,
    Resolved,
}

/// An alert as a receiver gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeAlert {
    /// Identifies one firing of one alert, from its start until it is resolved.
    pub event: String,
    pub status: NoticeStatus,
    pub severity: Severity,
    /// `alertname`, `target`, `system`, `kind`, `subject`, `step`, `severity` (and `rule`), and nothing that varies
    /// while it fires. Labels without a value are left out.
    pub labels: Pairs,
    /// `summary`, `description`, and what varies: `reason`, `value`, `limit`, `remaining` …
    pub annotations: Pairs,
    pub starts_at: Timestamp,
    /// Absent while it is firing.
    pub ends_at: Option<Timestamp>,
    /// When it began: before it fired, by the first read that found it so.
    #[serde(default)]
    pub began: Option<Timestamp>,
    /// When that was over: before the alert ended, which waits until it is sure.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl NoticeAlert {
    /// From when until when it lasted; the end is absent while it is firing.
    pub fn times(&self) -> (Timestamp, Option<Timestamp>) {
        (self.began.unwrap_or(self.starts_at), self.ends_at.map(|end| self.until.unwrap_or(end)))
    }
}

/// Which alerts the messages of a receiver name one by one. They count the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Named {
    #[default]
    All,
    /// At most so many.
    First(usize),
    /// At most so many of those that are new to the receiver; in a repetition, of all.
    News(usize),
}

impl Named {
    /// How many of so many alerts it names, of which the receiver knows `known`.
    pub fn of(self, alerts: usize, known: usize) -> usize {
        match self {
            Named::All => alerts,
            Named::First(most) => most.min(alerts),
            Named::News(most) if known >= alerts => most.min(alerts),
            Named::News(most) => most.min(alerts - known),
        }
    }
}

/// A daily digest in words. Its texts come from one receiver's language, and contain names that others have chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub title: String,
    pub sections: Vec<DigestSection>,
}

/// A list of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestSection {
    pub heading: String,
    pub lines: Vec<String>,
    /// How many more lines are left out.
    pub more: usize,
}

impl DigestSection {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.more == 0
    }
}

/// A table that a mail carries, and to whom the mail goes. It contains names that others have chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enclosure {
    /// Addresses; empty: those of the receiver.
    pub to: Vec<String>,
    /// The name of the file.
    pub file: String,
    pub csv: String,
}

/// Bits that no other call returns. Without a source of randomness they can be guessed, which harms nothing: notices are
/// sent then, too.
pub fn random_bits() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        Err(_) => fastrand::u128(..),
    }
}

/// One message to one receiver about one group of alerts, or a digest. Retries send the same notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Unique, and the same on every retry: `webhook-id`, and the left half of the Message-ID.
    pub id: String,
    /// The receiver's name in the configuration.
    pub receiver: String,
    /// Identifies the group among a receiver's groups, e.g. `{}:{alertname="ProxymeterUserExpiry", target="home"}`.
    pub group: String,
    pub group_labels: BTreeMap<String, String>,
    /// Why it is sent, one of a closed set.
    pub reason: String,
    /// Firing ones that are new to the receiver, then those that have ended, then the ones that it knows; each by severity.
    /// Receivers share them.
    pub alerts: Vec<Arc<NoticeAlert>>,
    /// How many alerts at the end of `alerts` the receiver knows, and that still fire.
    #[serde(default)]
    pub known: usize,
    /// How many alerts of the group are left out, because the receiver refused a message with more.
    #[serde(default)]
    pub left_out: usize,
    /// How many of those follow in the next messages. The receiver knows the others.
    #[serde(default)]
    pub follow: usize,
    /// Whether an alert that is left out is firing.
    #[serde(default)]
    pub others_fire: bool,
    /// The most alerts that a message that names only some may name; absent: as many as it usually does.
    #[serde(default)]
    pub named: Option<usize>,
    /// Ids of earlier undelivered notices that this one replaces.
    pub covers: Vec<String>,
    /// A digest, which is about no alerts.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// What comes with a monthly statement, whose text is in `digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclosure: Option<Enclosure>,
    pub created_at: Timestamp,
}

impl Notice {
    /// A new id: `msg_` and 128 random bits.
    pub fn new_id() -> String {
        format!("msg_{:032x}", random_bits())
    }

    /// Whether it goes to other addresses than those of its receiver. Then a refusal says nothing of the receiver.
    pub fn goes_elsewhere(&self) -> bool {
        self.enclosure.as_ref().is_some_and(|enclosure| !enclosure.to.is_empty())
    }

    /// Firing as long as an alert of its group is firing.
    pub fn status(&self) -> NoticeStatus {
        let fires = self.others_fire || self.alerts.iter().any(|alert| alert.status == NoticeStatus::Firing);
        if fires { NoticeStatus::Firing } else { NoticeStatus::Resolved }
    }

    /// How many alerts its message names.
    pub fn names(&self, named: Named) -> usize {
        let usual = named.of(self.alerts.len(), self.known);
        self.named.map_or(usual, |most| most.min(usual))
    }

    /// The highest severity of the firing alerts, or of all if none is firing.
    pub fn severity(&self) -> Severity {
        let of = |status| self.alerts.iter().filter(move |alert| alert.status == status);
        let firing = of(NoticeStatus::Firing).map(|alert| alert.severity).max();
        firing
            .or_else(|| of(NoticeStatus::Resolved).map(|alert| alert.severity).max())
            .unwrap_or(Severity::Info)
    }
}

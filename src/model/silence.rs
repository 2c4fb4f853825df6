//! Silences: what operators do not want to be notified of for a while.
//!
//! The words and meanings are Alertmanager's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Matcher, Timestamp, random_bits};

/// Silences that have not expired. More are refused.
pub const MOST_SILENCES: usize = 1000;
const MOST_MATCHERS: usize = 10;
/// In bytes.
const LONGEST_COMMENT: usize = 1000;
const LONGEST_AUTHOR: usize = 100;

/// Alerts that all matchers fit are not notified between two times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// A UUID; empty while it has none.
    pub id: Arc<str>,
    /// At least one.
    pub matchers: Vec<Matcher>,
    pub starts_at: Timestamp,
    /// From then on it holds no more.
    pub ends_at: Timestamp,
    pub updated_at: Timestamp,
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// Where a silence is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilenceState {
    Active,
    /// It has yet to begin.
    Pending,
    Expired,
}

impl SilenceState {
    pub const ALL: [SilenceState; 3] = [SilenceState::Active, SilenceState::Pending, SilenceState::Expired];

    /// The word used in metrics, JSON and pages.
    pub fn label(self) -> &'static str {
        match self {
            SilenceState::Active => "active",
            SilenceState::Pending => "pending",
            SilenceState::Expired => "expired",
        }
    }
}

impl Silence {
    /// A random UUID (version 4).
    pub fn new_id() -> Arc<str> {
        let bits = random_bits() & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        let mut id = String::with_capacity(36);
        for (place, digit) in hex.chars().enumerate() {
            if matches!(place, 8 | 12 | 16 | 20) {
                id.push('-');
            }
            id.push(digit);
        }
        id.into()
    }

    pub fn state(&self, now: Timestamp) -> SilenceState {
        if self.ends_at <= now {
            SilenceState::Expired
        } else if now < self.starts_at {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    /// Whether it is about an alert whose labels have the values that `label` gives.
    pub fn is_about<'a>(&self, label: impl Fn(&str) -> &'a str) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(label(matcher.name())))
    }

    /// The silence to add at `now`. A start in the past is now.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(mut self, now: Timestamp) -> Result<Self, String> {
        if self.matchers.is_empty() || self.matchers.len() > MOST_MATCHERS {
            return Err(format!("write 1 to {MOST_MATCHERS} matchers"));
        }
        if self.is_about(|_| "") {
            return Err(
                "at least one matcher must not fit an empty value; write one such as target=\"edge\""
                    .to_owned(),
            );
        }
        for (what, text, most) in [
            ("comment", &self.comment, LONGEST_COMMENT),
            ("name of the author (createdBy)", &self.created_by, LONGEST_AUTHOR),
        ] {
            if text.trim().is_empty() || text.len() > most || text.contains(char::is_control) {
                return Err(format!("write a {what} of 1 to {most} bytes, without control characters"));
            }
        }
        // Expressions take the longest, and are seldom asked if they come last.
        self.matchers.sort_by_key(|matcher| matcher.op().is_regex());
        self.starts_at = self.starts_at.max(now);
        if self.ends_at <= now {
            return Err("the end is in the past; write a later one".to_owned());
        }
        if self.ends_at <= self.starts_at {
            return Err("the end is not after the start; write a later end".to_owned());
        }
        Ok(self)
    }
}

/// What is to become of silences.
#[derive(Clone, Debug, PartialEq)]
pub enum SilenceChange {
    /// Adds one that has no id, or changes the one that has this id.
    Put(Silence),
    /// Ends the one that has this id.
    Expire(Arc<str>),
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    #[error("there is no silence with this id; \"silence list --expired\" and GET /api/v1/silences list all")]
    Unknown,
    #[error("{0}")]
    Wrong(String),
    #[error("there are {MOST_SILENCES} silences already; expire some, or let one with =~ stand for several")]
    TooMany,
    #[error("the change of silence {id} is in force, but not stored, so that a restart may undo it: {why}")]
    NotStored { id: Arc<str>, why: String },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn at(secs: i64) -> Timestamp {
        NOW.saturating_add_millis(secs * 1000)
    }

    fn silence(matchers: &[&str]) -> Silence {
        Silence {
            id: "".into(),
            matchers: matchers.iter().map(|text| text.parse().unwrap()).collect(),
            starts_at: NOW,
            ends_at: at(3600),
            updated_at: NOW,
            created_by: "ann".into(),
            comment: "the move".into(),
        }
    }

    #[test]
    fn ids_are_uuids() {
        let id = Silence::new_id();
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert!(id.bytes().all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        assert!(id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        assert_ne!(Silence::new_id(), id);
    }

    #[test]
    fn a_silence_is_pending_active_and_expired() {
        let silence = Silence { starts_at: at(10), ends_at: at(20), ..silence(&["target=edge"]) };
        for (secs, state) in [
            (0, SilenceState::Pending),
            (9, SilenceState::Pending),
            (10, SilenceState::Active),
            (19, SilenceState::Active),
            (20, SilenceState::Expired),
            (9999, SilenceState::Expired),
        ] {
            assert_eq!(silence.state(at(secs)), state, "{secs}");
        }
        // Ended before it began.
        let never = Silence { starts_at: at(10), ends_at: at(5), ..silence };
        assert_eq!(never.state(at(7)), SilenceState::Expired);
    }

    #[test]
    fn all_matchers_have_to_fit() {
        let labels = BTreeMap::from([("target", "edge"), ("kind", "user"), ("subject", "ann")]);
        let cases: [(&[&str], bool); 7] = [
            (&["target=edge"], true),
            (&["target=edge", "kind=user", "subject=ann"], true),
            (&["target=edge", "kind=node"], false),
            (&["target=edge", "rule=\"\""], true),
            (&["target=edge", "step!=\"\""], false),
            (&["target!=home", "subject=~a.*"], true),
            (&["target=edge", "subject!~a.*"], false),
        ];
        for (matchers, expected) in cases {
            let is_about = silence(matchers).is_about(|name| labels.get(name).copied().unwrap_or_default());
            assert_eq!(is_about, expected, "{matchers:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_silence_is_refused() {
        let fine = || silence(&["target=edge"]);
        assert_eq!(fine().checked(NOW), Ok(fine()));
        let earlier = Silence { starts_at: at(-60), ..fine() };
        assert_eq!(earlier.checked(NOW), Ok(fine()), "a start in the past is now");
        let later = Silence { starts_at: at(60), ..fine() };
        assert_eq!(later.clone().checked(NOW), Ok(later));
        let cases = [
            (silence(&[]), "write 1 to 10 matchers"),
            (silence(&["target=edge"; 11]), "write 1 to 10 matchers"),
            (silence(&["target=~.*"]), "at least one matcher must not fit an empty value"),
            (silence(&["target!=edge"]), "at least one matcher must not fit an empty value"),
            (Silence { comment: String::new(), ..fine() }, "write a comment of 1 to 1000 bytes"),
            (Silence { comment: "a\nb".into(), ..fine() }, "without control characters"),
            (Silence { comment: "a".repeat(1001), ..fine() }, "write a comment of 1 to 1000 bytes"),
            (
                Silence { created_by: " ".into(), ..fine() },
                "write a name of the author (createdBy) of 1 to 100 bytes",
            ),
            (Silence { ends_at: NOW, ..fine() }, "the end is in the past"),
            (Silence { starts_at: at(60), ends_at: at(60), ..fine() }, "the end is not after the start"),
        ];
        for (silence, why) in cases {
            let refused = silence.clone().checked(NOW).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}

use serde::{Deserialize, Serialize};

/// Why an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The expiry was moved, or a new period began.
    Renewed,
    /// The limit was changed.
    ToppedUp,
    /// Usage was set back.
    Reset,
    /// The subject no longer exists.
    Deleted,
    /// The operator turned the subject off.
    Disabled,
    /// The wall clock was set back.
    Clock,
    /// No rule asks any more.
    Removed,
    /// The target is another system now.
    Replaced,
    /// It no longer holds.
    Recovered,
}

impl End {
    /// Whether a period ended with it, so that what is crossed after it is news.
    pub fn of_period(self) -> bool {
        matches!(self, End::Renewed | End::ToppedUp | End::Reset)
    }

    /// The annotation `reason` of a resolved alert.
    pub fn label(self) -> &'static str {
        match self {
            End::Renewed => "renewed",
            End::ToppedUp => "topped up",
            End::Reset => "reset",
            End::Deleted => "deleted",
            End::Disabled => "disabled",
            End::Clock => "clock set",
            End::Removed => "rule removed",
            End::Replaced => "target replaced",
            End::Recovered => "recovered",
        }
    }
}

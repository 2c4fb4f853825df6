use std::borrow::Cow;

/// What people must hear of the daemon itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnState {
    /// Whether the storage can be written.
    pub storage: Condition,
    /// Whether the configuration, and each file that it names, could be used when last loaded.
    pub configuration: Condition,
    /// Whether the heartbeat is sent, or there is none.
    pub heartbeat: Condition,
}

/// How a part of the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It was not looked at since the start.
    #[default]
    Unknown,
    Good,
    /// With the cause in a few words.
    Failing(Cow<'static, str>),
}

use std::{sync::Arc, time::Duration};

use super::{Counter, Expiry};

/// A port of a proxy core on which users connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    /// Unique within the target.
    pub label: Arc<str>,
    /// Empty if the panel does not report it, like the other texts.
    pub protocol: String,
    /// A number, or a range or an expression of the core's configuration.
    pub port: String,
    /// The operator's own name for it.
    pub remark: String,
    /// The node that it is on.
    pub node: String,
    /// Whether it is switched on; absent: the panel does not say. Panels also switch off what is used up or has expired
    /// (3x-ui: `enable`).
    pub enabled: Option<bool>,
    /// Users who may connect to it.
    pub users: Option<u64>,
    /// Bytes that count against its quota; falls when the panel resets it. Absent: the panel does not say, or its quota
    /// could not be read.
    pub used: Option<u64>,
    /// Quota in bytes; absent: unlimited (3x-ui: `total`, 0 = unlimited).
    pub limit: Option<u64>,
    /// When the panel switches it off; absent: the panel does not say.
    pub expiry: Option<Expiry>,
    /// Bytes from users.
    pub uplink: Option<Counter>,
    /// Bytes to users.
    pub downlink: Option<Counter>,
}

impl Inbound {
    /// Whether its quota is used up.
    pub fn is_used_up(&self) -> bool {
        self.used.zip(self.limit.filter(|limit| *limit > 0)).is_some_and(|(used, limit)| used >= limit)
    }
}

/// A way by which a proxy core sends traffic on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Unique within the target.
    pub label: Arc<str>,
    /// Bytes towards the internet.
    pub uplink: Option<Counter>,
    /// Bytes towards the users.
    pub downlink: Option<Counter>,
    /// Whether the core's own probes pass (3x-ui: `alive` of its observatory); absent: the core does not probe it, or
    /// not yet. An answer whose probes could not be read is a failure of [`Part::Outbounds`](super::Part::Outbounds),
    /// because an outbound that is not probed for long is no longer judged.
    pub up: Option<bool>,
    /// Duration of the last probe that passed.
    pub latency: Option<Duration>,
}

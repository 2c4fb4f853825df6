//! The parts that are built for a configuration: at the start, and again for each change.

use std::sync::Arc;

use super::{
    alerting::Joints,
    labels::user_labels,
    receivers::{NewReceivers, Receivers},
    shared::Shared,
    targets::{NewTargets, Targets},
};
use crate::{
    config::Config,
    exposition::Options,
    notify::heartbeat::{Heartbeat, HeartbeatError},
    secret::HashKey,
    server::{Setup, access::Access},
};

/// The parts that were built for a configuration and do not run yet. Parts that are not here continue unchanged.
pub(super) struct New {
    pub(super) targets: NewTargets,
    pub(super) receivers: NewReceivers,
    /// Absent: the heartbeat continues, or there is still none.
    pub(super) heartbeat: Option<Option<Heartbeat>>,
}

impl New {
    /// What connects the alert engine to the parts that will run.
    pub(super) fn joints(&self, targets: &Targets, key: Option<HashKey>) -> Joints {
        Joints { queues: self.receivers.queues(), rereads: self.targets.rereads(targets), key }
    }
}

/// The configured heartbeat, if there is one.
///
/// # Errors
/// When it cannot be built.
pub(super) fn heartbeat(
    config: &Config,
    receivers: &Receivers,
    shared: &Shared,
) -> Result<Option<Heartbeat>, HeartbeatError> {
    let Shared { beats, telemetry, clock, .. } = shared;
    let heartbeat =
        |config| Heartbeat::new(config, beats.clone(), receivers.health(), telemetry.clone(), clock.clone());
    config.heartbeat.as_ref().map(heartbeat).transpose()
}

/// The part of the configuration that the server needs.
pub(super) fn set_up(config: &Config, key: Option<HashKey>, access: Arc<Access>) -> Setup {
    Setup {
        options: Options { labels: user_labels(&config.users, key), limit: config.users.limit },
        config: config.shown().to_owned(),
        receivers: config.receivers.iter().map(|table| (table.name.clone(), table.kind.word())).collect(),
        alerting: config.alerting.enabled,
        access,
    }
}

//! The parts that are built for a configuration: at the start, and again for each change.

use std::sync::Arc;

use super::{
    alerting::Joints,
    error::StartError,
    labels::user_labels,
    receivers::{NewReceivers, ReceiversPlan},
    shared::Shared,
    targets::{NewTargets, Targets, TargetsPlan},
};
use crate::{
    alert::rule,
    config::Config,
    exposition::Options,
    notify::{HealthByReceiver, heartbeat::Heartbeat},
    secret::HashKey,
    server::{Setup, access::Access, own_names},
    wording::{Language, Voice},
};

/// Which parts a configuration needs.
pub(super) struct Plan {
    pub(super) targets: TargetsPlan,
    pub(super) receivers: ReceiversPlan,
    /// Whether the heartbeat is another one.
    pub(super) heartbeat: bool,
    pub(super) health: HealthByReceiver,
}

impl Plan {
    /// Builds the parts. Reads certificates and keys, so not for async threads.
    ///
    /// # Errors
    /// When any of them cannot be built.
    pub(super) fn build(
        self,
        config: &Config,
        shared: &Shared,
        key: Option<&HashKey>,
    ) -> Result<New, StartError> {
        let Shared { board, beats, telemetry, clock, .. } = shared;
        let health = self.health;
        let heartbeat = |config| {
            Heartbeat::new(config, beats.clone(), health, board.clone(), telemetry.clone(), clock.clone())
        };
        let heartbeat = self.heartbeat.then(|| config.heartbeat.as_ref().map(heartbeat).transpose());
        Ok(New {
            heartbeat: heartbeat.transpose()?,
            targets: self.targets.build(shared, key)?,
            receivers: self.receivers.build(config)?,
        })
    }
}

/// The parts that were built for a configuration and do not run yet. Parts that are not here continue unchanged.
pub(super) struct New {
    pub(super) targets: NewTargets,
    pub(super) receivers: NewReceivers,
    /// Absent: the heartbeat continues, or there is still none.
    pub(super) heartbeat: Option<Option<Heartbeat>>,
}

impl New {
    /// What connects the dispatcher to the parts that will run. To be asked once.
    pub(super) fn joints(&mut self, targets: &Targets, key: Option<HashKey>) -> Joints {
        Joints { links: self.receivers.take_links(), rereads: self.targets.rereads(targets), key }
    }
}

/// The part of the configuration that the server needs.
pub(super) fn set_up(config: &Config, key: Option<HashKey>, access: Arc<Access>) -> Setup {
    let llms = config.targets.iter().filter(|target| target.is_llm());
    Setup {
        options: Options {
            labels: user_labels(&config.users, key),
            limit: config.users.limit,
            inbounds: config.users.inbounds,
            used_today: config.users.used_today,
            budgets: rule::budgets(&config.alerting),
        },
        config: config.shown().to_owned(),
        receivers: config.receivers.iter().map(|table| (table.name.clone(), table.kind.word())).collect(),
        voice: Voice::new(Language::En, config.alerting.zone.clone(), &config.web.external_url),
        names: own_names(&config.web.external_url),
        llms: llms.map(|target| target.name.clone()).collect(),
        dashboards: config.web.dashboards_url.clone(),
        alerting: config.alerting.enabled,
        access,
    }
}

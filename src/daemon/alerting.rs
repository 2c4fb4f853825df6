//! Connects the alert engine to targets and receivers, and watches the store.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    Shared, StartError,
    receivers::{Queues, routes},
    targets::Rereads,
};
use crate::{
    alert::{
        self, Pseudonym, Reload, Wiring,
        engine::{Engine, Rows},
        rule::RuleError,
    },
    clock::Beat,
    config::{Config, NoticeNames},
    model::{ActiveAlerts, Condition},
    secret::HashKey,
};

/// The handle of the alert engine.
pub(super) struct Alerting {
    /// Built, but not running yet.
    engine: Option<(Engine, Wiring)>,
    reloads: mpsc::Sender<Reload>,
    /// The alerts that are pending, firing or suppressed.
    pub(super) active: watch::Receiver<Arc<ActiveAlerts>>,
}

/// What connects the engine to targets and receivers.
pub(super) struct Joints {
    pub(super) queues: Queues,
    pub(super) rereads: Rereads,
    /// The key that hashes users, if there is one.
    pub(super) key: Option<HashKey>,
}

impl Alerting {
    /// # Errors
    /// When a rule cannot be used.
    pub(super) fn build(
        config: &Config,
        rows: &Rows,
        joints: Joints,
        shared: &Shared,
    ) -> Result<Self, StartError> {
        let engine =
            Engine::new(&config.alerting, routes(config), rows, shared.clock.now()).map_err(wrong)?;
        let (active, is_active) = watch::channel(Arc::default());
        let (reloads, is_reloaded) = mpsc::channel(1);
        let beat = Beat::default();
        shared.beats.watch("alerts", &beat);
        let wiring = Wiring {
            view: shared.board.watch(),
            reloads: is_reloaded,
            notices: joints.queues,
            alerts: active,
            pseudonym: pseudonym(config, joints.key),
            reread: joints.rereads,
            store: shared.store.clone(),
            telemetry: shared.telemetry.clone(),
            clock: shared.clock.clone(),
            beat,
        };
        Ok(Alerting { engine: Some((engine, wiring)), reloads, active: is_active })
    }

    /// Evaluates, records and notifies until it is dropped. Only the first call returns a run that does so.
    pub(super) fn run(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let engine = self.engine.take();
        async {
            if let Some((engine, wiring)) = engine {
                alert::run(engine, wiring).await;
            }
        }
    }

    /// Continues with another configuration.
    ///
    /// # Errors
    /// When a rule cannot be used. Then nothing has changed.
    pub(super) async fn reload(&self, config: &Config, joints: Joints) -> Result<(), StartError> {
        let (done, answer) = oneshot::channel();
        let reload = Reload {
            config: config.alerting.clone(),
            routes: routes(config),
            pseudonym: pseudonym(config, joints.key),
            notices: joints.queues,
            reread: joints.rereads,
            done,
        };
        let stopped = || StartError::Alerting(vec!["the alert engine has stopped".into()]);
        self.reloads.send(reload).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?.map_err(wrong)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
pub(super) fn wrong(errors: Vec<RuleError>) -> StartError {
    StartError::Alerting(errors.iter().map(ToString::to_string).collect())
}

fn pseudonym(config: &Config, key: Option<HashKey>) -> Option<Pseudonym> {
    let key = key.filter(|_| config.users.notices == NoticeNames::Hash)?;
    Some(Box::new(move |name| key.hash(name)))
}

/// How often the store's status is read.
const STORAGE_CHECK: Duration = Duration::from_secs(1);

/// Shows the store's status. Does not end.
pub(super) async fn watch_storage(shared: Shared) {
    let mut ticks = interval(STORAGE_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let status = shared.store.status();
        shared.telemetry.store(status.up, status.size_bytes, status.errors);
        let condition = if status.up { Condition::Good } else { Condition::Failing("not writable".into()) };
        shared.board.change_own(|own| own.storage = condition);
    }
}

//! Connects the alert engine to targets and receivers, and watches the store.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Shared, StartError,
    receivers::{Ears, routes},
    targets::Rereads,
};
use crate::{
    alert::{Pseudonym, rule::RuleError},
    clock::Beat,
    config::{Config, NoticeNames},
    dispatch::{self, AskSilence, Dispatcher, Link, Reload, Shown, Wiring},
    model::{ActiveAlerts, Condition},
    notify::HealthByReceiver,
    secret::HashKey,
    store::{Loaded, StoreStatus},
};

/// Changes of silences that wait for the dispatcher; further ones wait for room.
const SILENCES_AT_ONCE: usize = 16;

/// The handle of the dispatcher, and of the alert engine in it.
pub(super) struct Alerting {
    /// Built, but not running yet.
    dispatcher: Option<(Dispatcher, Wiring)>,
    reloads: mpsc::Sender<Reload>,
    /// The alerts that are pending, firing or suppressed.
    pub(super) active: watch::Receiver<Arc<ActiveAlerts>>,
    /// Changes of silences.
    pub(super) silences: mpsc::Sender<AskSilence>,
}

/// What connects the dispatcher to targets and receivers.
pub(super) struct Joints {
    /// Of the receivers that are new or have changed.
    pub(super) links: Vec<Link>,
    pub(super) rereads: Rereads,
    /// The key that hashes users, if there is one.
    pub(super) key: Option<HashKey>,
}

impl Alerting {
    /// # Errors
    /// When a rule cannot be used.
    pub(super) fn build(
        config: &Config,
        loaded: Loaded,
        joints: Joints,
        ears: Ears,
        health: HealthByReceiver,
        shared: &Shared,
    ) -> Result<Self, StartError> {
        let Joints { links, rereads, key } = joints;
        let (board, telemetry, now) = (shared.board.clone(), shared.telemetry.clone(), shared.clock.now());
        let shown = Shown { board, telemetry, health };
        let pseudonym = pseudonym(config, key);
        let dispatcher =
            Dispatcher::new(&config.alerting, routes(config), links, loaded, pseudonym, shown, now);
        let dispatcher = dispatcher.map_err(wrong)?;
        let (active, is_active) = watch::channel(dispatcher.active());
        let (reloads, is_reloaded) = mpsc::channel(1);
        let (silences, asked) = mpsc::channel(SILENCES_AT_ONCE);
        let beat = Beat::default();
        shared.beats.watch("alerts", &beat);
        let wiring = Wiring {
            view: shared.board.watch(),
            reloads: is_reloaded,
            reports: ears.reports,
            asks: ears.asks,
            silences: asked,
            alerts: active,
            reread: rereads,
            store: shared.store.clone(),
            usage: shared.usage.clone(),
            telemetry: shared.telemetry.clone(),
            clock: shared.clock.clone(),
            beat,
        };
        Ok(Alerting { dispatcher: Some((dispatcher, wiring)), reloads, active: is_active, silences })
    }

    /// Evaluates, records and notifies until `stopped`. Only the first call returns a run that does so.
    pub(super) fn run(
        &mut self,
        stopped: impl Future<Output = Instant> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let dispatcher = self.dispatcher.take();
        async {
            if let Some((dispatcher, wiring)) = dispatcher {
                dispatch::run(dispatcher, wiring, stopped).await;
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
            links: joints.links,
            pseudonym: pseudonym(config, joints.key),
            reread: joints.rereads,
            done,
        };
        let stopped = || StartError::Alerting(vec!["alerting has stopped".into()]);
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
        let StoreStatus { up, backlog, size_bytes, errors } = shared.store.status();
        shared.telemetry.store(up, backlog, size_bytes, errors);
        let usage = shared.usage.status();
        shared.telemetry.usage(usage.up, usage.size_bytes, usage.errors);
        shared.board.change_own(|own| {
            own.storage = writable(up);
            own.history = writable(usage.up);
        });
    }
}

fn writable(up: bool) -> Condition {
    if up { Condition::Good } else { Condition::Failing("not writable".into()) }
}

//! The alert engine with what it is joined to, and the watch on the store.

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
    model::{ActiveAlerts, NoticeStatus, Severity, Timestamp},
    notify::OwnAlert,
    secret::HashKey,
    store::Batch,
};

/// The alert engine from outside.
pub(super) struct Alerting {
    /// Built, and not yet running.
    engine: Option<(Engine, Wiring)>,
    reloads: mpsc::Sender<Reload>,
    /// What is pending and firing.
    pub(super) active: watch::Receiver<Arc<ActiveAlerts>>,
}

/// What joins the engine to targets and receivers.
pub(super) struct Joints {
    pub(super) queues: Queues,
    pub(super) rereads: Rereads,
    /// Under which users may have to be hashed.
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

    /// Judges, records and tells until it is dropped. There is one such run.
    pub(super) fn run(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let engine = self.engine.take();
        async {
            if let Some((engine, wiring)) = engine {
                alert::run(engine, wiring).await;
            }
        }
    }

    /// Goes on under another configuration.
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

/// How often it is looked at how the store is.
const STORAGE_CHECK: Duration = Duration::from_secs(1);
/// The store is told to fail when it has for so long: a disk that hiccups is nobody's business.
const STORAGE_PATIENCE: u32 = 10;

/// Shows how the store is, and tells everybody when it fails. Does not end.
pub(super) async fn watch_storage(shared: Shared, queues: watch::Receiver<Arc<Queues>>) {
    let mut ticks = interval(STORAGE_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Since when it is down, and for how many looks.
    let mut down: Option<(Timestamp, u32)> = None;
    loop {
        ticks.tick().await;
        let status = shared.store.status();
        shared.telemetry.store(status.up, status.size_bytes, status.errors);
        if !status.up {
            let (_, looks) = down.get_or_insert((shared.clock.now().wall, 0));
            *looks = looks.saturating_add(1);
        }
        match down {
            Some((since, STORAGE_PATIENCE)) if !status.up => {
                tell(&shared, &queues, NoticeStatus::Firing, since).await;
            }
            Some((since, looks)) if status.up => {
                down = None;
                if looks >= STORAGE_PATIENCE {
                    tell(&shared, &queues, NoticeStatus::Resolved, since).await;
                }
            }
            _ => {}
        }
    }
}

/// While the store fails, from memory alone, as there is nothing else.
async fn tell(
    shared: &Shared,
    queues: &watch::Receiver<Arc<Queues>>,
    status: NoticeStatus,
    since: Timestamp,
) {
    let alert = OwnAlert {
        alertname: "ProxymeterStorageFailing",
        severity: Severity::Critical,
        status,
        since,
        kind: "storage",
        subject: "storage",
        summary: "What has to outlive the daemon cannot be written down.",
        description: "Alerts and notices are kept in memory alone and would be lost in a crash. \
                      See the log for the reason; a full disk is the most common one.",
        reason: "",
    };
    let queues = Arc::clone(&queues.borrow());
    let notices: Vec<_> = queues.keys().map(|name| alert.notice(name, shared.clock.now().wall)).collect();
    // The store tells of its own failures.
    drop(shared.store.record(Batch { notices: &notices, ..Batch::default() }).await);
    for notice in notices {
        if let Some(queue) = queues.get(&notice.receiver) {
            // A queue that has ended since left its place to another, or its receiver is gone.
            drop(queue.send(notice));
        }
    }
}

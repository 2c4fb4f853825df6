//! Builds everything from the configuration, runs it, changes it, and stops it. The only place that spawns tasks.

mod alerting;
mod check;
mod error;
mod labels;
mod listening;
mod parts;
mod receivers;
mod running;
mod shared;
mod signals;
mod storage_key;
pub mod systemd;
mod targets;
mod tasks;
#[cfg(test)]
mod tests;

use std::{future::ready, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{error, info, warn};

pub(crate) use self::receivers::{receiver, voice};
use self::{
    alerting::{Alerting, watch_storage},
    labels::hash_key,
    listening::{Listening, bound, listen},
    parts::{New, Plan, set_up},
    receivers::Receivers,
    running::Running,
    shared::Shared,
    signals::{unless_stopped, until_stop},
    storage_key::StorageKey,
    systemd::ServiceManager,
    targets::Targets,
    tasks::Tasks,
};
pub use self::{
    check::check,
    error::{Ended, StartError},
    labels::{hash_key_without_store, labels_without_store},
    running::{Load, Loader},
    shared::Keep,
    signals::{Asked, Signals},
    targets::poller,
};
use crate::{
    board::Board,
    clock::{self, Beats, Clock},
    config::Config,
    server::{self, Reload, Setup, State, access::Access},
    store::{Loaded, OpenedUsage, Store, Usage},
    telemetry::{self, Telemetry},
    upstream::RefusedKeys,
};

/// How long requests in flight may take after a request to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How often the wall clock is compared with uptime, which cannot be set.
const CLOCK_CHECK: Duration = Duration::from_secs(10);

/// How often the files that the configuration names are checked for changes.
const FILES_CHECK: Duration = Duration::from_secs(15);

/// Everything built, nothing started.
pub struct Daemon {
    config: Config,
    listeners: Vec<Listening>,
    targets: Targets,
    receivers: Receivers,
    /// Built, but not running yet.
    new: New,
    alerting: Alerting,
    shared: Shared,
    state: State,
    setup: watch::Sender<Arc<Setup>>,
    reloads: mpsc::Receiver<Reload>,
    ready: watch::Sender<bool>,
    service_manager: ServiceManager,
}

impl Daemon {
    /// Binds every address, opens the store and builds every client. Whatever can fail, fails before anything runs.
    ///
    /// # Errors
    /// When an address is in use, the storage folder belongs to another process or is no folder that can be written, or a
    /// certificate, key or rule cannot be used.
    pub async fn build(config: Config, telemetry_path: &str, keep: Keep) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for address in &config.web.listen {
            listeners.push(listen(*address).await?);
        }
        let clock = Clock::system();
        let (store, loaded) = match keep {
            Keep::InStorage => {
                let opened = Store::open(&config.storage.path, clock.now().wall)?;
                if let Some(problem) = opened.problem {
                    error!("{problem}");
                }
                (opened.store, opened.loaded)
            }
            Keep::Nothing => (Store::in_memory(), Loaded::default()),
        };
        let usage = history(&config, keep, &clock)?;
        let storage_key = StorageKey::new(&store);
        let key = hash_key(&config, keep, &storage_key, &clock)?;
        let telemetry = Telemetry::new();
        let board = Board::new(config.targets.iter().map(|target| target.name.as_str()));
        let beats = Beats::default();
        beats.watch("store", store.beat());
        let refused_keys = match keep {
            Keep::InStorage => RefusedKeys::in_folder(&config.storage.path),
            Keep::Nothing => RefusedKeys::in_memory(),
        };
        let shared = Shared { board, clock, store, usage, telemetry, beats, refused_keys, storage_key };
        let access = Arc::new(Access::open(&config.web.access, &shared.telemetry)?);

        let (targets, (receivers, ears)) = (Targets::default(), Receivers::new());
        let plan = Plan {
            targets: targets.plan(&config.targets, |_| false, false),
            receivers: receivers.plan(&config, |_| false),
            heartbeat: true,
            health: receivers.health(),
        };
        let mut new = plan.build(&config, &shared, key.as_ref())?;
        let joints = new.joints(&targets, key.clone());
        let alerting = Alerting::build(&config, loaded, joints, ears, receivers.health(), &shared)?;

        let (setup, is_set_up) = watch::channel(Arc::new(set_up(&config, key, access)));
        let (reload, reloads) = mpsc::channel(1);
        let (ready, is_ready) = watch::channel(false);
        let state = State {
            board: shared.board.clone(),
            clock: shared.clock.clone(),
            telemetry: shared.telemetry.clone(),
            setup: is_set_up,
            telemetry_path: telemetry_path.to_owned(),
            usage: shared.usage.clone(),
            alerts: alerting.active.clone(),
            ready: is_ready,
            reload,
            silences: alerting.silences.clone(),
            beats: shared.beats.clone(),
            version: telemetry::VERSION,
        };
        shared.telemetry.config_loaded(shared.clock.now().wall.as_secs_f64());
        Ok(Daemon {
            config,
            listeners,
            targets,
            receivers,
            new,
            alerting,
            shared,
            state,
            setup,
            reloads,
            ready,
            service_manager: ServiceManager::default(),
        })
    }

    /// Reports the daemon's state to a service manager.
    #[must_use]
    pub fn telling(self, service_manager: ServiceManager) -> Self {
        Daemon { service_manager, ..self }
    }

    /// The addresses that the daemon listens on, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listening| listening.listener.local_addr().ok()).collect()
    }

    /// Runs until a request to stop. Then it answers the requests in flight within five seconds and returns; a request to a
    /// target whose answer is the only copy of its data gets longer, see [`Poller::run_until`](crate::poll::Poller). A second
    /// request to stop makes it return at once. `loader` reads the configuration for each reload, or says what is
    /// wrong with it.
    ///
    /// # Errors
    /// When a task ends unexpectedly, or a second request cuts the stop short.
    pub async fn run(self, mut asked: impl AsyncFnMut() -> Asked, loader: Loader) -> Result<(), Ended> {
        let Daemon { listeners, alerting, state, mut reloads, new, shared, .. } = self;
        let service_manager = self.service_manager;
        let mut running = Running {
            config: self.config,
            listening: watch::Sender::new(bound(&listeners)),
            listeners,
            targets: self.targets,
            receivers: self.receivers,
            alerting,
            setup: self.setup,
            stop_heartbeat: None,
            refused: false,
            files_refused: None,
            shared: shared.clone(),
            tasks: Tasks::new(),
        };
        // Restored state is on the board before the first answer or notification.
        running.commit(new).await;
        running.show_what_is_in_force();
        let tasks = &mut running.tasks;
        let asked_to_stop = tasks.asked_to_stop();
        tasks.spawn_stopping_itself(running.alerting.run(asked_to_stop));
        tasks.spawn_endless(watch_storage(shared.clone()));
        tasks.spawn_endless(tell_when_ready(shared.board.clone(), self.ready));
        tasks.spawn_endless(watch_clock(shared.clock.clone(), shared.telemetry.clone()));
        tasks.spawn_endless(service_manager.clone().keep_watchdog(shared.beats.clone()));
        let stopped = tasks.stopped();
        tasks.spawn_stopping_itself(server::serve(running.listening.subscribe(), state, stopped));
        service_manager.ready();

        let mut looks = interval(FILES_CHECK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A reload was requested during other work.
        let mut once_more = false;
        let unasked = loop {
            let (asker, ask) = tokio::select! {
                () = ready(()), if once_more => (None, Asked::Reload),
                ask = asked() => (None, ask),
                Some(asker) = reloads.recv() => (Some(asker), Asked::Reload),
                why = running.tasks.failed() => break Some(why),
                _ = looks.tick() => {
                    let look = running.look_at_files(&loader);
                    if unless_stopped(look, &mut asked, &mut once_more).await.is_none() {
                        break None;
                    }
                    continue;
                }
            };
            match ask {
                Asked::Stop => break None,
                Asked::Reload => {
                    once_more = false;
                    service_manager.reloading();
                    let reload = running.reload(&loader);
                    let Some(outcome) = unless_stopped(reload, &mut asked, &mut once_more).await else {
                        break None;
                    };
                    service_manager.ready();
                    if let Some(asker) = asker {
                        // The requester may have gone.
                        drop(asker.send(outcome));
                    }
                }
            }
        };
        service_manager.stopping();
        let Running { mut tasks, shared, receivers, alerting, listeners, listening, .. } = running;
        // Workers finish what they are sending. New connections and waiting reloads are dropped.
        drop((alerting, listeners, listening, reloads, receivers));
        let stopped = async {
            if !tasks.stop(DRAIN).await {
                warn!("requests that did not end in time are cut off");
            }
            if timeout(DRAIN, shared.store.close()).await.is_err() {
                warn!("the storage does not respond and is not closed");
            }
            if timeout(DRAIN, shared.usage.close()).await.is_err() {
                warn!(
                    "the disk does not respond; what was used in the last minutes is counted after the next start"
                );
            }
        };
        tokio::select! {
            () = stopped => {}
            () = until_stop(&mut asked) => return Err(Ended::CutShort),
        }
        unasked.map_or(Ok(()), |why| Err(Ended::Unasked(why)))
    }
}

/// The history of use. The folder was opened by the store, which locks it.
fn history(config: &Config, keep: Keep, clock: &Clock) -> Result<Usage, StartError> {
    let zone = config.alerting.zone.clone();
    let usage = match keep {
        Keep::InStorage => {
            let OpenedUsage { usage, problem } = Usage::open(&config.storage.path, clock, zone)?;
            if let Some(problem) = problem {
                error!("{problem}");
            }
            usage
        }
        Keep::Nothing => Usage::in_memory(clock, zone),
    };
    usage.want_today(config.users.used_today);
    Ok(usage)
}

/// Sets `ready` once every target was tried, whatever the outcome. Does not end.
async fn tell_when_ready(board: Board, ready: watch::Sender<bool>) {
    let mut news = board.watch();
    // The board outlives its watchers, so this cannot fail.
    drop(news.wait_for(|view| view.reports.iter().all(|report| report.up.is_some())).await);
    ready.send_replace(true);
    std::future::pending::<()>().await;
}

/// Logs and counts steps of the wall clock, which explain unexpected ages and expiries. Does not end.
async fn watch_clock(clock: Clock, telemetry: Telemetry) {
    let mut ticks = interval(CLOCK_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = clock.now();
    loop {
        ticks.tick().await;
        let now = clock.now();
        if let Some(seconds) = clock::step(before, now) {
            telemetry.clock_step();
            info!(seconds, "the wall clock was set");
        }
        before = now;
    }
}

//! A running daemon, and how it changes with its configuration.

use std::{path::Path, sync::Arc};

use tokio::sync::{oneshot, watch};
use tracing::{error, info};

use super::{
    alerting::Alerting,
    error::StartError,
    labels::hash_key,
    listening::{Listening, bound, listen},
    parts::{New, Plan, set_up},
    receivers::Receivers,
    shared::{Keep, Shared},
    targets::Targets,
    tasks::Tasks,
};
use crate::{
    config::Config,
    model::Condition,
    server::{Listeners, Setup},
};

/// Which configuration to read.
#[derive(Debug)]
pub enum Load {
    /// The file, as it is now.
    File,
    /// This configuration, with the present content of the files that it names.
    Again(Box<Config>),
}

/// Reads configurations. It runs on a thread that may block.
pub type Loader = Arc<dyn Fn(Load) -> Result<Config, String> + Send + Sync>;

/// A running daemon.
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) listeners: Vec<Listening>,
    pub(super) listening: watch::Sender<Listeners>,
    pub(super) targets: Targets,
    pub(super) receivers: Receivers,
    pub(super) alerting: Alerting,
    pub(super) setup: watch::Sender<Arc<Setup>>,
    /// Dropped: the heartbeat ends.
    pub(super) stop_heartbeat: Option<oneshot::Sender<()>>,
    /// The file could not be used when it was last loaded.
    pub(super) refused: bool,
    /// Why changed files could not be used at the last check.
    pub(super) files_refused: Option<String>,
    pub(super) shared: Shared,
    pub(super) tasks: Tasks,
}

impl Running {
    /// Rebuilds what depends on a secret, certificate or template file that has changed.
    pub(super) async fn look_at_files(&mut self, loader: &Loader) {
        let files = self.config.files.clone();
        // It fails only when the runtime ends.
        if !tokio::task::spawn_blocking(move || files.have_changed()).await.unwrap_or(false) {
            if self.files_refused.take().is_some() {
                self.show_what_is_in_force();
            }
            return;
        }
        let outcome = match load(loader, Load::Again(Box::new(self.config.clone()))).await {
            Ok(config) => self.change(config).await.map_err(|err| err.to_string()),
            Err(why) => Err(why),
        };
        match outcome {
            Ok(()) => {
                info!("files that the configuration names have changed and are in force");
                self.files_refused = None;
            }
            // The file may be half written; the next check reads it again.
            Err(why) if self.files_refused.as_ref() != Some(&why) => {
                error!("files that the configuration names have changed and cannot be used:\n{why}");
                self.files_refused = Some(why);
            }
            Err(_) => {}
        }
        self.show_what_is_in_force();
    }

    pub(super) fn show_what_is_in_force(&self) {
        let condition = match (self.refused, &self.files_refused) {
            (true, _) => Condition::Failing("the file cannot be used".into()),
            (false, Some(_)) => {
                Condition::Failing("a file that it names has changed and cannot be used".into())
            }
            (false, None) => Condition::Good,
        };
        self.shared.telemetry.config_in_force(condition == Condition::Good);
        self.shared.board.change_own(|own| own.configuration = condition);
    }

    /// Switches to the loaded configuration, or keeps the present one if any part of the new one cannot be used.
    pub(super) async fn reload(&mut self, loader: &Loader) -> Result<(), String> {
        let outcome = match load(loader, Load::File).await {
            Ok(config) => self.change(config).await.map_err(|err| err.to_string()),
            Err(why) => Err(why),
        };
        self.refused = outcome.is_err();
        match &outcome {
            Ok(()) => {
                self.files_refused = None;
                self.shared.telemetry.config_loaded(self.shared.clock.now().wall.as_secs_f64());
                let (targets, receivers) = (self.config.targets.len(), self.config.receivers.len());
                info!(targets, receivers, "the configuration was reloaded");
            }
            Err(why) => {
                error!("the configuration cannot be used; the one before stays in force:\n{why}");
            }
        }
        self.show_what_is_in_force();
        outcome
    }

    /// All or nothing: everything that can fail is done before anything changes.
    async fn change(&mut self, config: Config) -> Result<(), StartError> {
        if config.storage != self.config.storage {
            let before = self.config.storage.path.display().to_string();
            return Err(StartError::StorageMoved(before));
        }
        let mut listeners = Vec::new();
        for address in &config.web.listen {
            let known = self.listeners.iter().find(|listening| listening.address == *address);
            listeners.push(match known {
                Some(listening) => listening.clone(),
                None => listen(*address).await.map_err(|err| self.own_port(err))?,
            });
        }
        let file_changed = |path: &Path| config.files.differ_in(&self.config.files, path);
        let its_files_changed =
            config.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.tls.files().any(file_changed));
        let plan = Plan {
            targets: self.targets.plan(
                &config.targets,
                file_changed,
                config.users.hash_key != self.config.users.hash_key,
            ),
            receivers: self.receivers.plan(&config, file_changed),
            heartbeat: config.heartbeat != self.config.heartbeat || its_files_changed,
            health: self.receivers.health(),
        };
        let same_access = config.web.access == self.config.web.access;
        let access = Arc::clone(&self.setup.borrow().access);
        let shared = self.shared.clone();
        // Reads files, whose disk may not answer. A stop does not wait for it.
        let build = move || {
            let access = if same_access { access } else { Arc::new(access.reopen(&config.web.access)?) };
            let key = hash_key(&config, Keep::InStorage, &shared.storage_key, &shared.clock)?;
            let new = plan.build(&config, &shared, key.as_ref())?;
            Ok::<_, StartError>((config, access, key, new))
        };
        // It fails only when the runtime ends.
        let built = tokio::task::spawn_blocking(build).await;
        let (config, access, key, mut new) = built.unwrap_or(Err(StartError::Stopping))?;
        self.alerting.reload(&config, new.joints(&self.targets, key.clone())).await?;

        for new in listeners.iter().filter(|new| self.listeners.iter().all(|old| old.address != new.address))
        {
            info!("listening on {}", new.address);
        }
        self.listening.send_replace(bound(&listeners));
        self.listeners = listeners;
        self.setup.send_replace(Arc::new(set_up(&config, key, access)));
        self.shared.usage.set_zone(&config.alerting.zone);
        self.shared.usage.want_today(config.users.used_today);
        self.config = config;
        self.commit(new).await;
        Ok(())
    }

    /// Replaces the error if the daemon itself uses the address: a port cannot be bound in two ways at once.
    fn own_port(&self, err: StartError) -> StartError {
        match err {
            StartError::Listen { address, .. }
                if self.listeners.iter().any(|ours| ours.address.port() == address.port()) =>
            {
                StartError::OwnPort(address)
            }
            err => err,
        }
    }

    /// Starts what was built.
    pub(super) async fn commit(&mut self, new: New) {
        self.targets.commit(new.targets, &self.shared, &mut self.tasks).await;
        self.receivers.commit(new.receivers, &self.shared, &mut self.tasks);
        let Some(heartbeat) = new.heartbeat else { return };
        if heartbeat.is_none() {
            self.shared.telemetry.forget_heartbeat();
            self.shared.board.change_own(|own| own.heartbeat = Condition::Good);
        }
        self.stop_heartbeat = heartbeat.map(|heartbeat| {
            let (stop, stopped) = oneshot::channel::<()>();
            self.tasks.spawn(async {
                tokio::select! {
                    () = heartbeat.run() => {}
                    _ = stopped => {}
                }
            });
            stop
        });
    }
}

async fn load(loader: &Loader, which: Load) -> Result<Config, String> {
    let loader = Arc::clone(loader);
    let loaded = tokio::task::spawn_blocking(move || loader(which)).await;
    loaded.unwrap_or_else(|_| Err(StartError::Stopping.to_string()))
}

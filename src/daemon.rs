//! Builds everything from the configuration, runs it, and stops it. The only place that spawns tasks.

mod alerting;

use std::{collections::HashMap, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{error, info, warn};

pub(crate) use self::alerting::receiver;
use self::alerting::{Alerting, Shared};
use crate::{
    board::Board,
    clock::{self, Clock, Heartbeats},
    config::{
        Config, LabelsChoice, NoticeNames, ReceiverKind, StorageConfig, Target, TargetKind, UsersConfig,
    },
    exposition::{self, HashKey, UserLabels},
    http::BuildError,
    poll::Poller,
    server::{self, Setup, State},
    store::{self, Loaded, Store, StoreError},
    telemetry::{self, Telemetry},
    upstream::{Timeouts, Upstream},
};

/// What requests in flight may still take after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How often the wall clock is held against the one that nobody sets.
const CLOCK_CHECK: Duration = Duration::from_secs(10);

/// Where a daemon keeps what is to outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// In the storage folder.
    InStorage,
    /// Nowhere: the daemon begins and ends with nothing.
    Nothing,
}

/// Everything built, nothing started.
pub struct Daemon {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    pollers: Vec<Poller>,
    alerting: Alerting,
    store: Store,
    state: State,
    board: Board,
    ready: watch::Sender<bool>,
    /// Held so that the server's part of the configuration can be replaced.
    _setup: watch::Sender<Arc<Setup>>,
    clock: Clock,
    telemetry: Telemetry,
}

/// Why a daemon could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("target {target}: {source}")]
    Client { target: String, source: BuildError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("receiver {receiver}: {why}")]
    Receiver { receiver: String, why: String },
    #[error("{}", .0.join("\n"))]
    Alerting(Vec<String>),
    #[error(
        "labels = \"hash\" needs a key: write users.hash_key_file, or run the daemon once, which makes one in {0}"
    )]
    NoHashKey(String),
}

/// Why a daemon ended other than well.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("a part of the daemon stopped unasked: {0}")]
    Unasked(String),
    #[error("stopped at once, with requests unanswered")]
    CutShort,
}

impl Daemon {
    /// Binds every address, opens the store and builds every client, so that what can fail fails before anything
    /// runs.
    ///
    /// # Errors
    /// When an address is taken, the storage folder belongs to another process, or a certificate, key or rule cannot
    /// be used.
    pub async fn build(config: &Config, telemetry_path: &str, keep: Keep) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for address in &config.web.listen {
            listeners.push(listen(*address).await?);
        }
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
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
        let key = hash_key(config)?;
        let telemetry = Telemetry::new();
        telemetry.config_loaded(clock.now().wall.as_secs_f64());
        let board = Board::new(config.targets.iter().map(|target| target.name.as_str()));

        let heartbeats = Heartbeats::default();
        heartbeats.watch("store", store.pulse());
        let mut rereads = HashMap::new();
        let mut pollers = Vec::new();
        for target in &config.targets {
            let (ask, requests) = mpsc::unbounded_channel();
            rereads.insert(target.name.clone(), ask);
            let poller = poller(target, &board, &telemetry, &clock, requests)?;
            heartbeats.watch(format!("poll {}", target.name), poller.pulse());
            let saved = store.load_users(&target.name).await.ok().flatten();
            pollers.push(poller.keeping(store.clone(), saved));
        }
        let shared = Shared {
            board: &board,
            clock: &clock,
            store: &store,
            telemetry: &telemetry,
            heartbeats: &heartbeats,
            key: key.clone(),
        };
        let mut alerting = Alerting::build(config, loaded, rereads, &shared)?;
        alerting.give_up_orphans().await;
        let targets: Vec<_> = config.targets.iter().map(|target| target.name.clone()).collect();
        // The store tells of its own failures.
        drop(store.retain_targets(&targets).await);

        let (ready, is_ready) = watch::channel(false);
        let (setup, setup_of_server) = watch::channel(Arc::new(setup(config, key)));
        let state = State {
            board: board.clone(),
            clock: clock.clone(),
            telemetry: telemetry.clone(),
            setup: setup_of_server,
            telemetry_path: telemetry_path.to_owned(),
            alerts: alerting.active.clone(),
            ready: is_ready,
            heartbeats,
            version: telemetry::VERSION,
        };
        Ok(Daemon {
            listeners,
            addresses,
            pollers,
            alerting,
            store,
            state,
            board,
            ready,
            _setup: setup,
            clock,
            telemetry,
        })
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Runs until `stop` resolves; then answers what is being asked, within five seconds, and returns.
    /// When `stop` resolves once more meanwhile, it returns at once.
    ///
    /// # Errors
    /// When a task ends unasked, and when stopping was cut short.
    pub async fn run(self, mut stop: impl AsyncFnMut()) -> Result<(), Ended> {
        let (stopping, stopped) = watch::channel(false);
        let until_stopped = || {
            let mut stopped = stopped.clone();
            // The sender outlives the tasks; should it not, they had better stop too.
            async move { drop(stopped.wait_for(|stopping| *stopping).await) }
        };

        let mut tasks = JoinSet::new();
        for poller in self.pollers {
            tasks.spawn(until(poller.run(), until_stopped()));
        }
        self.alerting.spawn(&mut tasks, until_stopped);
        tasks.spawn(until(tell_when_ready(self.board, self.ready), until_stopped()));
        tasks.spawn(until(watch_clock(self.clock, self.telemetry), until_stopped()));
        tasks.spawn(server::serve(self.listeners, self.state, until_stopped()));

        let unasked = tokio::select! {
            () = stop() => None,
            ended = tasks.join_next() => Some(ended),
        };
        stopping.send_replace(true);
        let drained = timeout(DRAIN, async { while tasks.join_next().await.is_some() {} });
        tokio::select! {
            drained = drained => if drained.is_err() {
                warn!(seconds = DRAIN.as_secs(), "requests still being answered are cut off");
            },
            () = stop() => return Err(Ended::CutShort),
        }
        self.store.close().await;
        match unasked {
            None => Ok(()),
            Some(Some(Err(err))) => Err(Ended::Unasked(err.to_string())),
            Some(_) => Err(Ended::Unasked("it returned".into())),
        }
    }
}

/// The loop of one target. `requests` are users to read again by name.
///
/// # Errors
/// When a certificate or key cannot be used.
pub fn poller(
    target: &Target,
    board: &Board,
    telemetry: &Telemetry,
    clock: &Clock,
    requests: mpsc::UnboundedReceiver<Vec<Arc<str>>>,
) -> Result<Poller, StartError> {
    let timeouts = Timeouts { request: target.poll.timeout, page: target.poll.page_timeout };
    let upstream = match &target.kind {
        TargetKind::Marzban(marzban) => Upstream::marzban(marzban, timeouts),
    };
    let upstream = upstream.map_err(|source| StartError::Client { target: target.name.clone(), source })?;
    let (board, telemetry, clock) = (board.clone(), telemetry.clone(), clock.clone());
    Ok(Poller::new(&target.name, upstream, target.poll.clone(), board, telemetry, clock, requests))
}

/// How users are named in metrics, with a key that is there already.
///
/// # Errors
/// When labels are to be hashed and there is no key, or it cannot be read.
pub fn labels_without_store(users: &UsersConfig, storage: &StorageConfig) -> Result<UserLabels, StartError> {
    let key = match (&users.hash_key, users.labels) {
        (Some(key), _) => Some(HashKey::new(key.expose().as_bytes())),
        (None, LabelsChoice::Hash) => {
            let key = store::existing_hash_key(&storage.path)?;
            Some(HashKey::new(&key.ok_or_else(|| StartError::NoHashKey(storage.path.display().to_string()))?))
        }
        (None, _) => None,
    };
    Ok(user_labels(users, key))
}

/// The key that users are hashed with, if any are; made if there is none.
fn hash_key(config: &Config) -> Result<Option<HashKey>, StartError> {
    let users = &config.users;
    if users.labels != LabelsChoice::Hash && users.notices != NoticeNames::Hash {
        return Ok(None);
    }
    Ok(Some(match &users.hash_key {
        Some(key) => HashKey::new(key.expose().as_bytes()),
        None => HashKey::new(&store::hash_key(&config.storage.path)?),
    }))
}

/// What the server is to know of the configuration.
fn setup(config: &Config, key: Option<HashKey>) -> Setup {
    let kind = |kind: &ReceiverKind| match kind {
        ReceiverKind::Email(_) => "email",
        ReceiverKind::Webhook(_) => "webhook",
    };
    Setup {
        options: exposition::Options { labels: user_labels(&config.users, key), limit: config.users.limit },
        config: config.shown().to_owned(),
        receivers: config.receivers.iter().map(|table| (table.name.clone(), kind(&table.kind))).collect(),
        alerting: config.alerting.enabled,
    }
}

fn user_labels(users: &UsersConfig, key: Option<HashKey>) -> UserLabels {
    match (users.labels, key) {
        (LabelsChoice::Name, _) => UserLabels::Name,
        (LabelsChoice::Hash, Some(key)) => UserLabels::Hash(key),
        (LabelsChoice::Off | LabelsChoice::Hash, _) => UserLabels::Off,
    }
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on the signals no longer end the process.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of the two.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs `work`, which does not end by itself, until `stop` resolves.
async fn until(work: impl Future<Output = ()>, stop: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop => {}
    }
}

/// Listens on an address; on all of IPv4's where all of IPv6's were meant and the machine has no IPv6.
async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = match TcpListener::bind(address).await {
        Err(_) if address.ip().is_unspecified() && address.is_ipv6() => {
            TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], address.port()))).await
        }
        bound => bound,
    };
    listener.map_err(|source| StartError::Listen { address, source })
}

/// A daemon is ready once every target was tried, whatever came of it. Does not end.
async fn tell_when_ready(board: Board, ready: watch::Sender<bool>) {
    let mut news = board.watch();
    // The board outlives its watchers, so waiting only ends well.
    drop(news.wait_for(|view| view.reports.iter().all(|report| report.up.is_some())).await);
    ready.send_replace(true);
    std::future::pending::<()>().await;
}

/// Tells of wall clocks that jump: it explains odd ages and expiries to whoever looks for the reason.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn the_health_check_watches_every_loop() {
        let text = "web.listen = \"127.0.0.1:0\"\n[marzban.home]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n\
                    [marzban.edge]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n";
        let config = Config::parse(text, Path::new("exporter.toml"), &|_| None).unwrap();
        let daemon = Daemon::build(&config, "/metrics", Keep::Nothing).await.unwrap();
        let watched = format!("{:?}", daemon.state.heartbeats);
        assert_eq!(watched, r#"["store", "poll edge", "poll home", "alerts"]"#);
        assert_eq!(daemon.state.setup.borrow().config, config.shown());
    }
}

//! Builds everything from the configuration, runs it, and stops it. The only place that spawns tasks.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};

use crate::{
    board::Board,
    clock::{self, Clock},
    config::{Config, LabelsChoice, StorageConfig, Target, TargetKind, UsersConfig},
    exposition::{self, HashKey, UserLabels},
    http::BuildError,
    poll::Poller,
    server::{self, State},
    store::{self, StoreError},
    telemetry::{self, Telemetry},
    upstream::{Timeouts, Upstream},
};

/// What requests in flight may still take after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How often the wall clock is held against the one that nobody sets.
const CLOCK_CHECK: Duration = Duration::from_secs(10);

/// Everything built, nothing started.
pub struct Daemon {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    pollers: Vec<Poller>,
    state: State,
    board: Board,
    ready: watch::Sender<bool>,
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
    #[error("cannot use the key that user labels are hashed with: {0}")]
    Store(#[from] StoreError),
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
    /// Binds every address and builds every client, so that what can fail fails before anything runs.
    ///
    /// # Errors
    /// When an address is taken, or a certificate, key or the storage folder cannot be used.
    pub async fn build(config: &Config, telemetry_path: &str) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for address in &config.web.listen {
            listeners.push(listen(*address).await?);
        }
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let labels = match config.users.labels {
            LabelsChoice::Hash if config.users.hash_key.is_none() => {
                UserLabels::Hash(HashKey::new(&store::hash_key(&config.storage.path)?))
            }
            _ => labels(&config.users, &config.storage)?,
        };
        let clock = Clock::system();
        let telemetry = Telemetry::new();
        telemetry.config_loaded(clock.now().wall.as_secs_f64());
        let board = Board::new(config.targets.iter().map(|target| target.name.as_str()));
        let pollers = pollers(config, &board, &telemetry, &clock)?;
        let options = exposition::Options { labels, limit: config.users.limit };
        let (ready, is_ready) = watch::channel(false);
        let state = State {
            board: board.clone(),
            clock: clock.clone(),
            telemetry: telemetry.clone(),
            options,
            telemetry_path: telemetry_path.to_owned(),
            ready: is_ready,
            version: telemetry::VERSION,
        };
        Ok(Daemon { listeners, addresses, pollers, state, board, ready, clock, telemetry })
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
        match unasked {
            None => Ok(()),
            Some(Some(Err(err))) => Err(Ended::Unasked(err.to_string())),
            Some(_) => Err(Ended::Unasked("it returned".into())),
        }
    }
}

/// The loops of all targets.
///
/// # Errors
/// When a certificate or key cannot be used.
pub fn pollers(
    config: &Config,
    board: &Board,
    telemetry: &Telemetry,
    clock: &Clock,
) -> Result<Vec<Poller>, StartError> {
    let poller = |target: &Target| {
        let timeouts = Timeouts { request: target.poll.timeout, page: target.poll.page_timeout };
        let upstream = match &target.kind {
            TargetKind::Marzban(marzban) => Upstream::marzban(marzban, timeouts),
        };
        let upstream =
            upstream.map_err(|source| StartError::Client { target: target.name.clone(), source })?;
        let (board, telemetry, clock) = (board.clone(), telemetry.clone(), clock.clone());
        let (_, requests) = tokio::sync::mpsc::unbounded_channel();
        Ok(Poller::new(&target.name, upstream, target.poll.clone(), board, telemetry, clock, requests))
    };
    config.targets.iter().map(poller).collect()
}

/// How users are named, with a key that is there already.
///
/// # Errors
/// When labels are to be hashed and there is no key, or it cannot be read.
pub fn labels(users: &UsersConfig, storage: &StorageConfig) -> Result<UserLabels, StartError> {
    Ok(match users.labels {
        LabelsChoice::Name => UserLabels::Name,
        LabelsChoice::Off => UserLabels::Off,
        LabelsChoice::Hash => {
            let key = match &users.hash_key {
                Some(key) => key.expose().as_bytes().to_vec(),
                None => store::existing_hash_key(&storage.path)?
                    .ok_or_else(|| StartError::NoHashKey(storage.path.display().to_string()))?,
            };
            UserLabels::Hash(HashKey::new(&key))
        }
    })
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

//! The `demo` command: simulated panels that live, and a real daemon that polls them.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    clock::Clock,
    config::{Config, ConfigErrors},
    daemon::{Asked, Daemon, Ended, Keep, Load, StartError},
    simulator::{
        inbox::{self, Arrival},
        marzban::{Flavour, NodeStatus, Options as PanelOptions, Panel},
    },
};

/// What to demonstrate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Users of the simulated Marzban panel; the PasarGuard panel has a third of them.
    pub users: usize,
    /// The same seed gives the same panels.
    pub seed: u64,
    /// Where the daemon listens.
    pub listen: SocketAddr,
}

/// Why a demonstration could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the simulated panels cannot listen on loopback, or nothing can be printed: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Runs panels and a daemon until it is asked to stop.
///
/// # Errors
/// When a port is taken, and when the daemon ends other than well.
pub async fn run(options: Options, asked: impl AsyncFnMut() -> Asked) -> Result<(), DemoError> {
    let panels = Panels::start(options).await?;
    let (smtp, http) = (loopback().await?, loopback().await?);
    let text = panels.config(options) + &receivers(smtp.local_addr()?, http.local_addr()?);
    let config = Config::parse(&text, Path::new("demo.toml"), &|_| None)?;
    let daemon = Daemon::build(config, "/metrics", Keep::Nothing).await?;
    let mut out = io::stdout();
    for address in daemon.addresses() {
        writeln!(out, "Simulated panels are polled every {} s; see", INTERVAL.as_secs())?;
        writeln!(out, "  http://{address}/")?;
        writeln!(out, "  http://{address}/metrics")?;
    }
    writeln!(
        out,
        "Once in two minutes a node fails for half a minute. Mails and webhooks that alerts send are printed"
    )?;
    writeln!(out, "here as they arrive. Ctrl-C ends it.")?;
    out.flush()?;
    let (arrive, mut arrivals) = mpsc::unbounded_channel();
    let print = async {
        while let Some(arrival) = arrivals.recv().await {
            show(&arrival)?;
        }
        Ok(())
    };
    let no_file = |_: Load| Err("a demonstration has no configuration file".to_owned());
    tokio::select! {
        ended = daemon.run(asked, Arc::new(no_file)) => Ok(ended?),
        () = panels.live() => Ok(()),
        () = inbox::serve(smtp, http, arrive, std::future::pending()) => Ok(()),
        printed = print => printed,
    }
}

/// Receivers of notices, and a pace at which there is something to see.
fn receivers(smtp: SocketAddr, http: SocketAddr) -> String {
    format!(
        "\n[alerting]\n\
         group_wait = \"5s\"\n\
         group_interval = \"20s\"\n\n\
         [alert.node_down]\n\
         for = \"10s\"\n\n\
         [email.ops]\n\
         smarthost = \"{smtp}\"\n\
         tls = \"none\"\n\
         from = \"proxymeter <alerts@example.com>\"\n\
         to = [\"ops@example.com\"]\n\n\
         [webhook.oncall]\n\
         url = \"http://{http}/hook\"\n\
         min_severity = \"critical\"\n"
    )
}

/// Prints what arrived.
fn show(arrival: &Arrival) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match arrival {
        Arrival::Mail { to, .. } => {
            writeln!(
                out,
                "\n--- mail to {}: {}",
                to.join(", "),
                arrival.header("subject").unwrap_or_default()
            )?;
            for line in arrival.text().trim_end().lines() {
                writeln!(out, "    {line}")?;
            }
        }
        Arrival::Webhook { id, body } => {
            let body: String = body.trim_end().chars().take(SHOWN).collect();
            writeln!(out, "\n--- webhook {id}\n    {body}")?;
        }
    }
    out.flush()
}

/// Runs panels alone until `stop` resolves, and prints a configuration for them.
///
/// # Errors
/// When the panels cannot listen.
pub async fn panels_only(options: Options, mut stop: impl AsyncFnMut()) -> Result<(), DemoError> {
    let panels = Panels::start(options).await?;
    let mut out = io::stdout();
    write!(out, "{}", panels.config(options))?;
    out.flush()?;
    tokio::select! {
        () = stop() => {}
        () = panels.live() => {}
    }
    Ok(())
}

const INTERVAL: Duration = Duration::from_secs(5);
/// The node that fails and recovers.
const NODE: i64 = 1;
/// In every two minutes the node is away for half a minute.
const CYCLE: u64 = 120;
const NODE_FAILS: u64 = 45;
const NODE_RECOVERS: u64 = 75;
/// Characters of a webhook's body that are printed.
const SHOWN: usize = 600;
/// A member of the simulated panel's cast, whose quota runs out in front of everybody.
const HEAVY_USER: &str = "bob_85pct";

struct Panels {
    marzban: (Panel, TcpListener, SocketAddr),
    pasarguard: (Panel, TcpListener, SocketAddr),
    logins: PanelOptions,
}

impl Panels {
    async fn start(options: Options) -> io::Result<Self> {
        let marzban = PanelOptions { users: options.users, seed: options.seed, ..PanelOptions::default() };
        let logins = marzban.clone();
        let pasarguard = PanelOptions {
            users: options.users / 3,
            seed: options.seed.wrapping_add(1),
            flavour: Flavour::PasarGuard,
            ..PanelOptions::default()
        };
        Ok(Panels { marzban: open(marzban).await?, pasarguard: open(pasarguard).await?, logins })
    }

    /// A configuration with which a daemon watches these panels.
    fn config(&self, options: Options) -> String {
        let (marzban, pasarguard) = (self.marzban.2, self.pasarguard.2);
        let PanelOptions { username, password, api_key, .. } = &self.logins;
        format!(
            "[web]\n\
             listen = \"{}\"\n\n\
             [poll]\n\
             interval = \"{}s\"\n\n\
             [marzban.home]\n\
             url = \"http://{marzban}\"\n\
             username = \"{username}\"\n\
             password = \"{password}\"\n\
             node_traffic_of = [\"{HEAVY_USER}\"]\n\n\
             [marzban.edge]\n\
             url = \"http://{pasarguard}\"\n\
             api_key = \"{api_key}\"\n",
            options.listen,
            INTERVAL.as_secs(),
        )
    }

    /// Serves the panels and lets time pass in them. Does not end.
    async fn live(self) {
        let (marzban, listener, _) = self.marzban;
        let (pasarguard, other_listener, _) = self.pasarguard;
        let life = async {
            let mut seconds = interval(Duration::from_secs(1));
            seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for second in 0.. {
                seconds.tick().await;
                marzban.advance(1);
                pasarguard.advance(1);
                happen(&marzban, second % CYCLE);
            }
        };
        tokio::join!(
            life,
            marzban.clone().serve(listener, std::future::pending()),
            pasarguard.clone().serve(other_listener, std::future::pending()),
        );
    }
}

async fn loopback() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

async fn open(options: PanelOptions) -> io::Result<(Panel, TcpListener, SocketAddr)> {
    let clock = Clock::system();
    let panel = Panel::new(options, move || clock.now().wall.as_millis());
    // A past to begin with: who is online, and what the running hour has seen.
    panel.advance(120);
    let listener = loopback().await?;
    let address = listener.local_addr()?;
    Ok((panel, listener, address))
}

/// What happens in a panel at this second of the cycle, besides what its users do by themselves.
fn happen(panel: &Panel, second: u64) {
    match second {
        0 => drop(panel.reset_user(HEAVY_USER)),
        NODE_FAILS => {
            panel.set_node_status(NODE, NodeStatus::Error, Some("connection refused"));
        }
        NODE_RECOVERS => {
            panel.set_node_status(NODE, NodeStatus::Connected, None);
        }
        _ => {}
    }
    if let Some(limit) = panel.user(HEAVY_USER).and_then(|user| user.data_limit) {
        // A little more than the quota in each cycle.
        panel.use_traffic(HEAVY_USER, limit / (CYCLE - 20));
    }
}

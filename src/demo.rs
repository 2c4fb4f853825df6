//! The `demo` command: simulated panels and an LLM proxy whose state changes, and a real daemon that polls them.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc::{self, UnboundedSender},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    clock::Clock,
    config::{Config, ConfigErrors},
    daemon::{Asked, Daemon, Ended, Keep, Load, StartError},
    simulator::{
        cliproxy, front,
        inbox::{self, Arrival},
        marzban::{Flavour, NodeStatus, Options as PanelOptions, Panel},
        xui,
    },
};

/// Options of the demonstration.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Users of the simulated Marzban panel; the PasarGuard panel and the 3x-ui panel have a third of them each.
    pub users: usize,
    /// The same seed gives the same panels.
    pub seed: u64,
    /// Where the daemon listens.
    pub listen: SocketAddr,
    /// Whether notifications are printed whole.
    pub verbose: bool,
}

/// Why a demonstration could not start, or stopped.
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

/// A simulated system.
struct Simulated {
    /// Its tables of the daemon's configuration.
    tables: String,
    /// Serves it and lets time pass in it. Does not end.
    life: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// How a panel is reached.
enum Way {
    Plain,
    /// By a server in front of it that has a certificate which it signed itself.
    Tls,
}

/// Everything that is polled.
async fn panels(options: Options, way: Way) -> io::Result<Vec<Simulated>> {
    Ok(vec![
        marzban(options).await?,
        pasarguard(options, way).await?,
        xui(options).await?,
        cliproxy(options).await?,
    ])
}

/// Runs panels and a daemon until it is asked to stop.
///
/// # Errors
/// If a port is in use, and if the daemon ends with an error.
pub async fn run(options: Options, asked: impl AsyncFnMut() -> Asked) -> Result<(), DemoError> {
    let (arrive, mut arrivals) = mpsc::unbounded_channel();
    let mut simulated = panels(options, Way::Tls).await?;
    simulated.push(receivers(arrive).await?);
    let config = Config::parse(&config(options, &simulated), Path::new("demo.toml"), &|_| None)?;
    let daemon = Daemon::build(config, "/metrics", Keep::Nothing).await?;
    let mut out = io::stdout();
    for address in daemon.addresses() {
        writeln!(out, "Simulated panels and an LLM proxy are polled every {} s:", INTERVAL.as_secs())?;
        writeln!(out, "  status page  http://{address}/")?;
        writeln!(out, "  metrics      http://{address}/metrics")?;
        writeln!(out, "  runbook      http://{address}/runbook")?;
    }
    let whole = if options.verbose { "" } else { "; --verbose prints them whole" };
    writeln!(out, "Notifications are printed here as they arrive{whole}. Ctrl-C ends the demo.\n")?;
    out.flush()?;
    let began = Instant::now();
    let print = async {
        while let Some(arrival) = arrivals.recv().await {
            show(&arrival, began.elapsed(), options.verbose)?;
        }
        Ok(())
    };
    let no_file = |_: Load| Err("a demonstration has no configuration file".to_owned());
    tokio::select! {
        ended = daemon.run(asked, Arc::new(no_file)) => Ok(ended?),
        () = live(simulated) => Ok(()),
        printed = print => printed,
    }
}

/// Runs panels alone until `stop` resolves, and prints a configuration for them.
///
/// # Errors
/// If the panels cannot listen.
pub async fn panels_only(options: Options, mut stop: impl AsyncFnMut()) -> Result<(), DemoError> {
    let panels = panels(options, Way::Plain).await?;
    let mut out = io::stdout();
    write!(out, "{}", config(options, &panels))?;
    out.flush()?;
    tokio::select! {
        () = stop() => {}
        () = live(panels) => {}
    }
    Ok(())
}

/// The configuration of a daemon that uses what is simulated.
fn config(options: Options, simulated: &[Simulated]) -> String {
    let mut text = format!(
        "[web]\n\
         listen = \"{}\"\n\n\
         [poll]\n\
         interval = \"{}s\"\n",
        options.listen,
        INTERVAL.as_secs(),
    );
    text.extend(simulated.iter().map(|simulated| format!("\n{}", simulated.tables)));
    text
}

async fn live(simulated: Vec<Simulated>) {
    join_all(simulated.into_iter().map(|simulated| simulated.life)).await;
}

const INTERVAL: Duration = Duration::from_secs(5);
/// The node that fails and recovers.
const NODE: i64 = 1;
/// In seconds. In every cycle the node fails for half a minute.
const CYCLE: u64 = 120;
const NODE_FAILS: u64 = 45;
const NODE_RECOVERS: u64 = 75;
/// Characters of a webhook's body that are printed.
const SHOWN: usize = 600;
/// A user that every simulated panel has. Its quota runs out in each cycle.
const HEAVY_USER: &str = "bob_85pct";

async fn marzban(options: Options) -> io::Result<Simulated> {
    let options = PanelOptions { users: options.users, seed: options.seed, ..PanelOptions::default() };
    let PanelOptions { username, password, reseller, .. } = options.clone();
    let (panel, listener) = open(options).await?;
    let tables = format!(
        "[marzban.home]\n\
         url = \"http://{}\"\n\
         username = \"{username}\"\n\
         password = \"{password}\"\n\
         node_traffic_of = [\"{HEAVY_USER}\"]\n\
         admin_limits = {{ {reseller} = \"20TiB\" }}\n\
         [marzban.home.nodes.\"*\"]\n\
         allowance = \"20TB\"\n",
        listener.local_addr()?,
    );
    let life = async move {
        let time = every_second(|second| {
            panel.advance(1);
            happen(&panel, second % CYCLE);
        });
        tokio::join!(time, panel.clone().serve(listener, std::future::pending()));
    };
    Ok(Simulated { tables, life: Box::pin(life) })
}

async fn pasarguard(options: Options, way: Way) -> io::Result<Simulated> {
    let options = PanelOptions {
        users: options.users / 3,
        seed: options.seed.wrapping_add(1),
        flavour: Flavour::PasarGuard,
        ..PanelOptions::default()
    };
    let api_key = options.api_key.clone();
    let (panel, listener) = open(options).await?;
    let address = listener.local_addr()?;
    let (url, pin, front): (_, _, Pin<Box<dyn Future<Output = ()> + Send>>) = match way {
        Way::Plain => (format!("http://{address}"), String::new(), Box::pin(std::future::pending())),
        Way::Tls => {
            let listener = loopback().await?;
            let url = format!("https://{}", listener.local_addr()?);
            let pin = format!("tls.pin_sha256 = \"{}\"\n", front::fingerprint()?);
            (url, pin, Box::pin(async move { drop(front::serve(listener, address).await) }))
        }
    };
    let tables = format!("[marzban.edge]\nurl = \"{url}\"\n{pin}api_key = \"{api_key}\"\ndevice_limit = 3\n");
    let life = async move {
        let time = every_second(|_| panel.advance(1));
        tokio::join!(time, front, panel.clone().serve(listener, std::future::pending()));
    };
    Ok(Simulated { tables, life: Box::pin(life) })
}

/// A 3x-ui panel with a node and an outbound that fails.
async fn xui(options: Options) -> io::Result<Simulated> {
    let options = xui::Options {
        clients: options.users / 3,
        seed: options.seed.wrapping_add(2),
        ..xui::Options::default()
    };
    let token = options.token.clone();
    let clock = Clock::system();
    let panel = xui::Panel::new(&options, move || clock.now().wall.as_millis());
    panel.advance(120_000);
    let listener = loopback().await?;
    let tables = format!(
        "[xui.office]\n\
         url = \"http://{}\"\n\
         token = \"{token}\"\n",
        listener.local_addr()?,
    );
    let life = async move {
        let time = every_second(|_| panel.advance(1000));
        tokio::join!(time, panel.clone().serve(listener, std::future::pending()));
    };
    Ok(Simulated { tables, life: Box::pin(life) })
}

/// A CLIProxyAPI server with people at work, and prices of most models.
async fn cliproxy(options: Options) -> io::Result<Simulated> {
    let options = cliproxy::Options {
        generation: cliproxy::Generation::V7_3,
        seed: options.seed.wrapping_add(3),
        ..cliproxy::Options::default()
    };
    let clock = Clock::system();
    let server = cliproxy::Server::new(&options, move || clock.now().wall.as_millis());
    server.advance(120_000);
    let listener = loopback().await?;
    let keys = server.client_keys();
    let keys = keys.iter().zip(["alice", "bob", "carol", "ci"]);
    let keys: Vec<_> = keys.map(|(key, alias)| format!("\"{key}\" = \"{alias}\"")).collect();
    let accounts = server.credentials();
    let accounts = accounts.iter().filter_map(|credential| {
        let (owner, _) = credential.email.split_once('@')?;
        let label = server.auth_index(&credential.name)?;
        Some(format!("\"{label}\" = \"{}-{owner}\"", credential.provider))
    });
    let accounts: Vec<_> = accounts.collect();
    let tables = format!(
        "[cliproxy.llm]\n\
         url = \"http://{}\"\n\
         management_key = \"{}\"\n\
         usage = \"queue\"\n\
         key_aliases = {{ {} }}\n\
         credential_aliases = {{ {} }}\n\n\
         [cost.override]\n\
         \"claude-opus-*\" = {{ input = 5.0, output = 25.0, cached = 0.5, cache_write = 6.25 }}\n\
         \"claude-sonnet-*\" = {{ input = 3.0, output = 15.0, cached = 0.3, cache_write = 3.75 }}\n\
         \"gpt-5*\" = {{ input = 1.25, output = 10.0, cached = 0.125 }}\n\
         \"gemini-3-pro*\" = {{ input = 2.0, output = 12.0, cached = 0.2 }}\n",
        listener.local_addr()?,
        options.key,
        keys.join(", "),
        accounts.join(", "),
    );
    let life = async move {
        let time = every_second(|_| server.advance(1000));
        tokio::join!(time, server.clone().serve(listener, std::future::pending()));
    };
    Ok(Simulated { tables, life: Box::pin(life) })
}

/// Receivers that pass what they get to `arrivals`, and short intervals and small budgets, so that alerts arrive soon.
async fn receivers(arrivals: UnboundedSender<Arrival>) -> io::Result<Simulated> {
    let (smtp, http) = (loopback().await?, loopback().await?);
    let tables = format!(
        "[alerting]\n\
         group_wait = \"5s\"\n\
         group_interval = \"20s\"\n\n\
         [alert.node_down]\n\
         for = \"10s\"\n\n\
         [alert.llm_token_budget]\n\
         budget = 500_000\n\
         period = \"day\"\n\n\
         [alert.llm_cost_budget]\n\
         budget = 2\n\
         period = \"month\"\n\n\
         [email.ops]\n\
         smarthost = \"{}\"\n\
         tls = \"none\"\n\
         from = \"proxymeter <alerts@example.com>\"\n\
         to = [\"ops@example.com\"]\n\n\
         [webhook.oncall]\n\
         url = \"http://{web}/hook\"\n\
         min_severity = \"critical\"\n\n\
         [webhook.late]\n\
         url = \"http://{web}{late}\"\n\
         min_severity = \"critical\"\n\n\
         [heartbeat]\n\
         url = \"http://{web}{heartbeat}\"\n",
        smtp.local_addr()?,
        web = http.local_addr()?,
        late = inbox::LATE,
        heartbeat = inbox::HEARTBEAT,
    );
    let life = inbox::serve(smtp, http, arrivals, std::future::pending());
    Ok(Simulated { tables, life: Box::pin(life) })
}

/// Prints what arrived after this time: a line, or all of it.
fn show(arrival: &Arrival, after: Duration, whole: bool) -> io::Result<()> {
    let (what, text) = match arrival {
        Arrival::Mail { to, .. } => {
            let subject = arrival.header("subject").unwrap_or_default();
            (format!("mail to {}: {subject}", to.join(", ")), arrival.text())
        }
        Arrival::Webhook { body, .. } => {
            (format!("webhook: {}", summary(body)), body.chars().take(SHOWN).collect())
        }
        Arrival::Chat(message) => (format!("chat: {}", message.title), message.text.clone()),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{:>5} s  {what}", after.as_secs())?;
    if whole {
        for line in text.trim_end().lines() {
            writeln!(out, "         {line}")?;
        }
    }
    out.flush()
}

/// The body of a webhook in a line: how many alerts of which names.
fn summary(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let alerts = body["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut counts = BTreeMap::<_, usize>::new();
    for alert in alerts {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        *counts.entry((word(&alert["status"]), word(&alert["labels"]["alertname"]))).or_default() += 1;
    }
    let counts = counts.iter().map(|((status, name), count)| format!("{count} × {name} {status}"));
    counts.collect::<Vec<_>>().join(", ")
}

async fn loopback() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

async fn open(options: PanelOptions) -> io::Result<(Panel, TcpListener)> {
    let clock = Clock::system();
    let panel = Panel::new(options, move || clock.now().wall.as_millis());
    // Two minutes of history, so that some users are online and the current hour has traffic.
    panel.advance(120);
    Ok((panel, loopback().await?))
}

/// Calls `act` every second with the number of the second, from 0. Does not end.
async fn every_second(mut act: impl FnMut(u64)) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for second in 0.. {
        seconds.tick().await;
        act(second);
    }
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

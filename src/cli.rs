//! Arguments, logging, exit codes, and what each command does.

mod healthcheck;
mod replay;
mod scrape;
mod test_notification;

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::{info, warn};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    config::{Config, ConfigErrors, Shard, parse_listen},
    daemon::{self, Asked, Daemon, Keep, Load, Signals, systemd::ServiceManager},
    demo, http,
    server::{self, access::AccessError, config::AccessConfig},
    telemetry,
};

/// Prometheus exporter and alerting daemon for Marzban and PasarGuard panels: users, quotas, expiries, nodes.
#[derive(Debug, Parser)]
#[command(name = "proxymeter", version = version(), args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the exporter; the same as no command.
    Run(Run),
    /// Checks the configuration and tells of every mistake at once. Needs no network.
    CheckConfig {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        web_file: WebFile,
        #[command(flatten)]
        shard: ShardChoice,
    },
    /// Reads targets once, without rests, and prints what would be exported; a line per target and part goes to
    /// stderr. Exit code 1 if a target failed.
    Scrape {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        log: Log,
        /// Only these targets; all, if none is named.
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
    },
    /// Sends a test to a receiver by the way that notices take, once, and prints what it answered.
    TestNotification {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        log: Log,
        /// The receiver's name in the configuration.
        #[arg(value_name = "RECEIVER")]
        receiver: String,
    },
    /// Sends once more what was given up, because a receiver refused it or could not be reached for three days. The
    /// exporter must not be running; it sends them when it is started.
    ReplayNotifications {
        #[command(flatten)]
        config: ConfigFile,
        /// Folder for what must outlive a restart, in place of the configuration's.
        #[arg(long = "storage.path", value_name = "DIR")]
        storage: Option<PathBuf>,
        /// Only tells which there are.
        #[arg(long)]
        list: bool,
        /// Only those to these receivers; to all, if none is named.
        #[arg(value_name = "RECEIVER")]
        receivers: Vec<String>,
    },
    /// Simulates panels that live, on loopback, and runs the exporter on them. Needs no configuration.
    Demo(Demo),
    /// Asks a running exporter whether it is healthy, for containers. Exit code 1 if it is not.
    Healthcheck {
        #[command(flatten)]
        config: ConfigFile,
        /// Address to ask, in place of the configuration's first.
        #[arg(long = "web.listen-address", value_name = "HOST:PORT", value_parser = parse_listen)]
        listen: Option<std::net::SocketAddr>,
        /// Accepted so that the arguments may be those of the exporter: whether there is TLS shows by itself.
        #[arg(long = "web.config.file", value_name = "FILE")]
        web_config: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// Configuration file, TOML.
    #[arg(long = "config.file", value_name = "FILE", default_value = "exporter.toml")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct WebFile {
    /// Web configuration file for TLS and passwords, in the format of the official exporters, in place of the
    /// configuration's.
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config: Option<PathBuf>,
}

impl WebFile {
    /// What takes the place of the configuration's, if anything does, checked as that is.
    fn access(&self) -> Result<Option<AccessConfig>, AccessError> {
        let access = self.web_config.clone().map(AccessConfig::WebFile);
        if let Some(access) = &access {
            access.check().map_err(AccessError)?;
        }
        Ok(access)
    }
}

#[derive(Debug, Args)]
struct ShardChoice {
    /// Which of the targets are watched, in place of the configuration's shard: the second of three is 2/3.
    #[arg(long = "poll.shard", value_name = "I/N")]
    shard: Option<Shard>,
}

impl ShardChoice {
    fn apply(&self, config: Config) -> Config {
        match self.shard {
            Some(shard) => config.of_shard(shard),
            None => config,
        }
    }
}

#[derive(Debug, Args)]
struct Log {
    /// Lowest severity that is logged, to stderr.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    level: Level,
    /// One line per event, or one JSON object.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "text")]
    format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    config: ConfigFile,
    /// Address to listen on, in place of the configuration's; may be given more than once.
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", value_parser = parse_listen)]
    listen: Vec<std::net::SocketAddr>,
    #[command(flatten)]
    web_file: WebFile,
    /// Path of the metrics.
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    telemetry_path: String,
    /// Folder for what must outlive a restart, in place of the configuration's.
    #[arg(long = "storage.path", value_name = "DIR")]
    storage: Option<PathBuf>,
    /// Takes what the first read of each panel's users finds for known, and tells nobody of it. For the first start on
    /// a panel where much has expired or run out.
    #[arg(long = "alerting.adopt")]
    adopt: bool,
    #[command(flatten)]
    shard: ShardChoice,
    #[command(flatten)]
    log: Log,
}

#[derive(Debug, Args)]
struct Demo {
    /// Users of the simulated Marzban panel.
    #[arg(long, value_name = "N", default_value_t = 60)]
    users: usize,
    /// The same seed gives the same panels.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Address to listen on.
    #[arg(
        long = "web.listen-address",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:10057",
        value_parser = parse_listen
    )]
    listen: std::net::SocketAddr,
    /// Only simulates the panels, and prints a configuration for them.
    #[arg(long)]
    panels_only: bool,
    #[command(flatten)]
    log: Log,
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    http::install_crypto_provider();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(err) => return fail(&err),
    };
    let done = runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Run(arguments.run)) {
            Command::Run(run) => run.run().await,
            Command::CheckConfig { config, web_file, shard } => check(&config, &web_file, &shard),
            Command::Scrape { config, log, targets } => {
                log.start();
                scrape::run(load(&config.file)?, &targets).await
            }
            Command::TestNotification { config, log, receiver } => {
                log.start();
                test_notification::run(&load(&config.file)?, &receiver).await
            }
            Command::ReplayNotifications { config, storage, list, receivers } => {
                replay::run(&config.file, storage, &receivers, list).await
            }
            Command::Demo(demo) => demo.run().await,
            Command::Healthcheck { config, listen, web_config: _ } => {
                healthcheck::run(&config.file, listen).await
            }
        }
    });
    // Threads that still wait for a name to be resolved must not keep the process.
    runtime.shutdown_background();
    done.unwrap_or_else(|err| fail(&*err))
}

type Done = Result<ExitCode, Box<dyn std::error::Error>>;

impl Run {
    async fn run(self) -> Done {
        self.log.start();
        let mut signals = Signals::listen()?;
        let mut config = self.adjusted(load(&self.config.file)?)?;
        warn_of(&config);
        config.alerting.adopt = self.adopt;
        let targets = config.targets.len();
        let scheme = if config.web.access.check().is_ok_and(|port| port.tls) { "https" } else { "http" };
        let service_manager = ServiceManager::from_env(|name| std::env::var(name).ok());
        let daemon = Daemon::build(config, &self.telemetry_path, Keep::InStorage).await?;
        let daemon = daemon.telling(service_manager);
        for address in daemon.addresses() {
            info!(version = telemetry::VERSION, targets, "listening on {scheme}://{address}");
        }
        let loader = move |which: Load| {
            let anew = matches!(which, Load::File);
            let config = match which {
                Load::File => load(&self.config.file),
                Load::Again(config) => config.again(&env),
            };
            let config = config.map_err(|errors| errors.to_string())?;
            let config = self.adjusted(config).map_err(|errors| errors.to_string())?;
            if anew {
                warn_of(&config);
            }
            Ok(config)
        };
        daemon.run(async || signals.next().await, Arc::new(loader)).await?;
        info!("stopped");
        Ok(ExitCode::SUCCESS)
    }

    /// A configuration in which arguments take the place of what it says.
    fn adjusted(&self, config: Config) -> Result<Config, AccessError> {
        let mut config = self.shard.apply(config);
        if !self.listen.is_empty() {
            config.web.listen.clone_from(&self.listen);
        }
        if let Some(access) = self.web_file.access()? {
            config.web.access = access;
        }
        if let Some(storage) = &self.storage {
            config.storage.path.clone_from(storage);
        }
        Ok(config)
    }
}

fn warn_of(config: &Config) {
    for warning in config.warnings() {
        warn!("{warning}");
    }
}

impl Demo {
    async fn run(self) -> Done {
        self.log.start();
        let mut signals = Signals::listen()?;
        let options = demo::Options { users: self.users, seed: self.seed, listen: self.listen };
        if self.panels_only {
            demo::panels_only(options, async || while signals.next().await != Asked::Stop {}).await?;
        } else {
            demo::run(options, async || signals.next().await).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn check(config: &ConfigFile, web_file: &WebFile, shard: &ShardChoice) -> Done {
    let mut err = io::stderr().lock();
    let access = web_file.access();
    if let Err(mistakes) = &access {
        writeln!(err, "{mistakes}")?;
    }
    let mut loaded = shard.apply(load(&config.file)?);
    if let Ok(Some(access)) = &access {
        loaded.web.access.clone_from(access);
    }
    for warning in loaded.warnings() {
        writeln!(err, "warning: {warning}")?;
    }
    let (file, targets) = (config.file.display(), loaded.targets.len());
    let errors = daemon::check(&loaded);
    for error in &errors {
        writeln!(err, "{file}: {error}")?;
    }
    if !errors.is_empty() || access.is_err() {
        return Ok(ExitCode::FAILURE);
    }
    let mut out = io::stdout().lock();
    if loaded.shard.is_whole() {
        writeln!(out, "{file} is valid: {targets} targets")?;
    } else {
        let (all, shard) = (loaded.targets_of_all_shards(), loaded.shard);
        writeln!(out, "{file} is valid: {targets} of {all} targets are of shard {shard}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn load(file: &Path) -> Result<Config, ConfigErrors> {
    Config::load(file, &env)
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn fail(err: &dyn std::error::Error) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    drop(writeln!(io::stderr().lock(), "proxymeter: {err}"));
    ExitCode::FAILURE
}

impl Log {
    fn start(&self) {
        let level = match self.level {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
        };
        // Other crates' debug lines may hold whole requests, headers included.
        let filter = tracing_subscriber::filter::Targets::new()
            .with_default(LevelFilter::WARN.min(level))
            .with_target("proxymeter", level);
        let ansi = io::stderr().is_terminal();
        let lines =
            tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(ansi).with_target(false);
        use tracing_subscriber::prelude::*;
        match self.format {
            LogFormat::Text => tracing_subscriber::registry().with(lines.with_filter(filter)).init(),
            LogFormat::Json => tracing_subscriber::registry().with(lines.json().with_filter(filter)).init(),
        }
    }
}

fn telemetry_path(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    if text.len() < 2 || !text.starts_with('/') || text.starts_with("/-/") || text.ends_with('/') || !plain {
        Err("write a path such as /metrics".into())
    } else if server::is_taken(text) {
        Err("something else is served there; write another path, such as /metrics".into())
    } else {
        Ok(text.to_owned())
    }
}

fn version() -> &'static str {
    const {
        concat!(
            env!("CARGO_PKG_VERSION"),
            " (revision ",
            env!("PROXYMETER_REVISION"),
            ", rustc ",
            env!("PROXYMETER_RUSTC"),
            ")"
        )
    }
}

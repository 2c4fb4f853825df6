//! Arguments, logging, exit codes, and what each command does.

mod check;
mod exit;
mod exporter;
mod healthcheck;
mod init;
mod log;
mod packaging;
mod progress;
mod replay;
mod rules;
mod scrape;
mod silence;
mod source;
mod test_notification;
mod usage;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use self::{
    exit::{Done, fail},
    log::{Level, Log},
    source::{ConfigFile, env},
    test_notification::Tested,
};
use crate::{
    config::{Config, ConfigErrors, MOST, Shard, Source, and_more, parse_listen},
    daemon::{Asked, Daemon, Keep, Load, Signals, systemd::ServiceManager},
    demo, http,
    server::{self, access::AccessError, config::AccessConfig},
    telemetry,
};

const EXAMPLE: &str = include_str!("../exporter.example.toml");

/// Prometheus exporter and alerting daemon for Marzban and PasarGuard panels: users, quotas, expiry, nodes.
#[derive(Debug, Parser)]
#[command(
    name = "proxymeter",
    version = version(),
    long_version = long_version(),
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the exporter. This is the default command.
    Run(Run),
    /// Asks for a panel, finds out what it is and what its account may see, and writes a configuration for it.
    Init(Box<init::Init>),
    /// Prints an example of a configuration: all keys with their defaults.
    ExampleConfig,
    /// Checks the configuration, reports its errors together, and shows what it says. Needs no network.
    CheckConfig {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        web_file: WebFile,
        #[command(flatten)]
        shard: ShardChoice,
    },
    /// Reads targets once, without pauses, and prints the metrics; prints a line per target and part on stderr. Exit
    /// code 1 if a target failed.
    Scrape {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        log: Log,
        /// Folder with the data of the exporter, which knows refused keys; overrides the configuration.
        #[arg(long = "storage.path", value_name = "DIR")]
        storage: Option<PathBuf>,
        /// Only these targets. Default: all.
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
    },
    /// Prints rules for Prometheus: the alerts of this configuration with its steps, severities, times and names, those
    /// about the exporter, and recording rules. Needs no network and no secrets.
    Rules {
        #[command(flatten)]
        config: ConfigFile,
        /// Also rules with an alert for each user. A large panel has thousands of such alerts.
        #[arg(long)]
        users: bool,
    },
    /// Sends a test notification to a receiver once, or a ping to the service of the heartbeat, and prints the answer.
    TestNotification {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        log: Log,
        /// The receiver's name in the configuration, or "heartbeat" for [heartbeat].
        #[arg(value_name = "RECEIVER", required_unless_present = "heartbeat")]
        receiver: Option<String>,
        /// Tests [heartbeat], even if a receiver has that name. The service counts the ping like any other.
        #[arg(long, conflicts_with = "receiver")]
        heartbeat: bool,
    },
    /// Queues notifications again that were given up, because a receiver refused them or could not be reached for three
    /// days. The exporter must be stopped; it sends them at its next start.
    ReplayNotifications {
        #[command(flatten)]
        config: ConfigFile,
        /// Folder for data that must survive a restart; overrides the configuration.
        #[arg(long = "storage.path", value_name = "DIR")]
        storage: Option<PathBuf>,
        /// Only lists them.
        #[arg(long)]
        list: bool,
        /// Only notifications to these receivers. Default: all.
        #[arg(value_name = "RECEIVER")]
        receivers: Vec<String>,
    },
    /// Adds, lists and ends silences of a running exporter: alerts that are not notified for a while.
    Silence {
        #[command(subcommand)]
        command: Box<silence::Command>,
    },
    /// Prints what was used by day or month, as a running exporter has counted it.
    Usage(Box<usage::Usage>),
    /// Simulates panels and an LLM proxy on loopback and runs the exporter on them. Needs no configuration.
    Demo(Demo),
    /// Checks whether a running exporter is healthy, for containers. Exit code 1 if it is not.
    Healthcheck {
        #[command(flatten)]
        config: ConfigFile,
        /// Address of the exporter. Default: the first address in the configuration.
        #[arg(long = "web.listen-address", value_name = "HOST:PORT", value_parser = parse_listen)]
        listen: Option<std::net::SocketAddr>,
        /// Ignored. Accepted so that the exporter's arguments can be used; TLS is detected.
        #[arg(long = "web.config.file", value_name = "FILE")]
        web_config: Option<PathBuf>,
    },
    /// Prints completions for a shell, on stdout.
    Completions {
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Writes the man pages, one for the program and one for each command.
    Man {
        /// Folder for the pages. It is made if it does not exist.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct WebFile {
    /// Web configuration file for TLS and passwords, in the format of the official exporters; overrides the
    /// configuration.
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config: Option<PathBuf>,
}

impl WebFile {
    /// The access settings that override the configuration, if any, after a check.
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
    /// Shard of the targets to poll, such as 2/3 for the second of three; overrides the configuration.
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
struct Run {
    #[command(flatten)]
    config: ConfigFile,
    /// Address to listen on; overrides the configuration. Can be given more than once.
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", value_parser = parse_listen)]
    listen: Vec<std::net::SocketAddr>,
    #[command(flatten)]
    web_file: WebFile,
    /// Path of the metrics.
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    telemetry_path: String,
    /// Folder for data that must survive a restart; overrides the configuration.
    #[arg(long = "storage.path", value_name = "DIR")]
    storage: Option<PathBuf>,
    /// Sends no notifications about what the first read of each panel's users finds. For the first start with a panel
    /// where many users have expired or used up their quota.
    #[arg(long = "alerting.adopt")]
    adopt: bool,
    #[command(flatten)]
    shard: ShardChoice,
    #[command(flatten)]
    log: Log,
}

#[derive(Debug, Args)]
struct Demo {
    /// Number of users of the simulated Marzban panel.
    #[arg(long, value_name = "N", default_value_t = 60)]
    users: usize,
    /// Random seed. The same seed gives the same panels.
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
    /// Prints notifications whole, instead of a line each.
    #[arg(long)]
    verbose: bool,
    /// Only simulates them and prints a configuration for them.
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
        // Where the program could not start itself again, a client that leaves would end it otherwise.
        drop(signal(SignalKind::pipe()));
        match arguments.command.unwrap_or(Command::Run(arguments.run)) {
            Command::Run(run) => run.run().await,
            Command::Init(init) => init.run().await,
            Command::ExampleConfig => {
                io::stdout().lock().write_all(EXAMPLE.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::CheckConfig { config, web_file, shard } => {
                let source = config.source()?;
                let loaded = load(&source).map(|config| shard.apply(config));
                check::run(source.name(), loaded, web_file.access())
            }
            Command::Scrape { config, log, storage, targets } => {
                log.start();
                scrape::run(load(&config.source()?)?, storage, &targets).await
            }
            Command::Rules { config, users } => rules::run(&Config::load_alerting(&config.source()?)?, users),
            Command::TestNotification { config, log, receiver, heartbeat: _ } => {
                log.start();
                // Without a receiver, the heartbeat was asked for.
                let tested = receiver.map_or(Tested::Heartbeat, Tested::Named);
                test_notification::run(&load(&config.source()?)?, &tested, &mut io::stdout()).await
            }
            Command::ReplayNotifications { config, storage, list, receivers } => {
                replay::run(&config.source()?, storage, &receivers, list).await
            }
            Command::Silence { command } => command.run().await,
            Command::Usage(usage) => usage.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Healthcheck { config, listen, web_config: _ } => {
                healthcheck::run(|| config.source(), listen).await
            }
            Command::Completions { shell } => packaging::completions(Arguments::command(), shell),
            Command::Man { folder } => packaging::man(Arguments::command(), &folder),
        }
    });
    // Threads that still wait for a name to be resolved must not delay the exit.
    runtime.shutdown_background();
    done.unwrap_or_else(|err| fail(&*err))
}

impl Run {
    async fn run(self) -> Done {
        self.log.start();
        let mut signals = Signals::listen()?;
        let source = self.config.source()?;
        if is_root() {
            warn!("running as root, which the exporter does not need: run it as a user of its own");
        }
        let mut config = self.adjusted(load(&source)?)?;
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
            let from_file = matches!(which, Load::File);
            let config = match which {
                Load::File => load(&source),
                Load::Again(config) => config.again(&env),
            };
            let config = config.map_err(|errors| errors.to_string())?;
            let config = self.adjusted(config).map_err(|errors| errors.to_string())?;
            if from_file {
                warn_of(&config);
            }
            Ok(config)
        };
        daemon.run(async || signals.next().await, Arc::new(loader)).await?;
        info!("stopped");
        Ok(ExitCode::SUCCESS)
    }

    /// The configuration, overridden by the arguments.
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
    let warnings = config.warnings();
    for warning in warnings.iter().take(MOST) {
        warn!("{warning}");
    }
    if warnings.len() > MOST {
        warn!("{}", and_more(warnings.len() - MOST));
    }
}

impl Demo {
    async fn run(self) -> Done {
        self.log.start_at(Level::Warn);
        let mut signals = Signals::listen()?;
        let Demo { users, seed, listen, verbose, .. } = self;
        let options = demo::Options { users, seed, listen, verbose };
        if self.panels_only {
            demo::panels_only(options, async || while signals.next().await != Asked::Stop {}).await?;
        } else {
            demo::run(options, async || signals.next().await).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn load(source: &Source) -> Result<Config, ConfigErrors> {
    Config::load(source, &env)
}

fn telemetry_path(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    if text.len() < 2 || !text.starts_with('/') || text.starts_with("/-/") || text.ends_with('/') || !plain {
        Err("write a path such as /metrics".into())
    } else if server::is_taken(text) {
        Err("this path is in use; write another path, such as /metrics".into())
    } else {
        Ok(text.to_owned())
    }
}

/// Whether the process has the rights of root, as far as the system tells.
fn is_root() -> bool {
    // A process owns its folder there.
    fs::metadata("/proc/self").is_ok_and(|folder| folder.uid() == 0)
}

fn version() -> String {
    format!("{} (branch {}, revision {})", telemetry::VERSION, telemetry::BRANCH, telemetry::REVISION)
}

fn long_version() -> String {
    let date = env!("PROXYMETER_DATE").parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let date = date.map_or_else(|| "unknown".to_owned(), |date| date.to_string());
    let (rustc, platform) = (telemetry::RUSTC, env!("PROXYMETER_TARGET"));
    format!("{}\n  date: {date}\n  rustc: {rustc}\n  platform: {platform}", version())
}

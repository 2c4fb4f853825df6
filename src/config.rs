//! The configuration file: one TOML document, read whole, checked whole, every error reported at once.
//!
//! [`Config::parse`] is the way through: the text becomes a tree that knows its positions, each section takes its keys
//! from a `Table` of that tree, and whatever is wrong is noted in the `Reading` while the reading goes
//! on. The finished types hold no text that still needs checking.

mod alerting;
mod alerts;
mod email;
mod errors;
mod files;
mod heartbeat;
mod listen;
mod marzban;
mod mutes;
mod names;
mod poll;
mod reading;
mod receivers;
mod secrets;
mod shard;
mod shown;
mod table;
mod tls;
mod users;
mod values;
mod web;
mod webhook;

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use humantime::format_duration;

use crate::alert::config::AlertingConfig;
use crate::notify::email::config::EmailConfig;
use crate::notify::heartbeat::config::HeartbeatConfig;
use crate::notify::webhook::config::WebhookConfig;
use crate::poll::config::PollConfig;
use crate::secret::Secret;
use crate::server::config::AccessConfig;
use crate::upstream::marzban::config::{Login, MarzbanConfig};

pub use errors::{ConfigError, ConfigErrors};
pub use files::Files;
pub use listen::{DEFAULT_LISTEN, ListenError, parse_listen};
pub use shard::{Shard, ShardError};
pub use users::{LabelsChoice, NoticeNames, UsersConfig};

use names::Names;
use reading::{Findings, Reading};
use secrets::Readers;
use table::{Placed, Shape, Table};
use values::path;

/// What the program was told: complete, checked, with every secret at hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub web: WebConfig,
    pub users: UsersConfig,
    pub storage: StorageConfig,
    /// Which of the targets this process watches.
    pub shard: Shard,
    /// Those of this shard, by name, each name once.
    pub targets: Vec<Target>,
    /// Those of the other shards, which are checked and not watched.
    elsewhere: Vec<Target>,
    pub alerting: AlertingConfig,
    /// By name, each name once, whatever their kinds.
    pub receivers: Vec<ReceiverTable>,
    /// Who is told that the daemon is well, if anybody.
    pub heartbeat: Option<HeartbeatConfig>,
    /// The same as a page may show it.
    shown: String,
    /// Secret files that any user of this machine may read.
    open_secret_files: Vec<PathBuf>,
    /// The keys of secrets that stand in the file itself.
    inline_secrets: Vec<String>,
    /// Who may read the file itself.
    readers: Readers,
    /// What the files that it names held when it was read.
    pub files: Files,
    /// The file and its text, which may hold secrets.
    source: (PathBuf, Secret),
}

/// Where the exporter itself is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebConfig {
    /// At least one; all addresses of the machine are written `[::]`.
    pub listen: Vec<SocketAddr>,
    /// Where people find the status page, told with alerts; empty if they do not.
    pub external_url: String,
    /// Who may use it, and by which TLS.
    pub access: AccessConfig,
}

/// Where the program keeps what must outlive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    pub path: PathBuf,
}

/// One system that is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The value of the label `target`: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// `[poll]` with what the target's own table says instead.
    pub poll: PollConfig,
    pub kind: TargetKind,
}

impl Target {
    /// The certificates and keys that it names. What is in secret files is in the configuration itself.
    pub fn files(&self) -> Vec<&Path> {
        match &self.kind {
            TargetKind::Marzban(marzban) => marzban.tls.files().collect(),
        }
    }
}

/// The systems there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    Marzban(MarzbanConfig),
}

/// One place that alerts are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverTable {
    /// The value of the label `receiver`: lower-case letters, digits, `-` and `_`.
    pub name: String,
    pub kind: ReceiverKind,
}

impl ReceiverTable {
    /// The certificates and keys that it names. What is in secret files is in the configuration itself.
    pub fn files(&self) -> Vec<&Path> {
        match &self.kind {
            ReceiverKind::Email(email) => email.ca_file.iter().map(PathBuf::as_path).collect(),
            ReceiverKind::Webhook(webhook) => webhook.tls.files().collect(),
        }
    }
}

/// The ways there are to tell someone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReceiverKind {
    Email(EmailConfig),
    Webhook(WebhookConfig),
}

/// Looks up an environment variable.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The top level and the small tables; the others stand in their own files.
const ROOT: Shape = Shape {
    title: "the top level",
    keys: &[&[
        "web",
        "poll",
        "users",
        "storage",
        "marzban",
        "email",
        "webhook",
        "alerting",
        "alert",
        "mute",
        "heartbeat",
    ]],
};
const STORAGE: Shape = Shape { title: "[storage]", keys: &[&["path"]] };

/// Every table there is: tells a misplaced key where it belongs.
const SHAPES: &[&Shape] = &[
    &web::SHAPE,
    &poll::SHAPE,
    &users::SHAPE,
    &STORAGE,
    &marzban::SHAPE,
    &tls::SHAPE,
    &email::SHAPE,
    &webhook::SHAPE,
    &alerting::SHAPE,
    &alerts::SHAPE,
    &mutes::SHAPE,
    &mutes::MATCHERS,
    &heartbeat::SHAPE,
];

impl Config {
    /// Reads a configuration file and the secret files it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, or that it cannot be read.
    pub fn load(file: &Path, env: Env<'_>) -> Result<Self, ConfigErrors> {
        let (bytes, readers) = read(file).map_err(|error| ConfigErrors::unreadable(file, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| ConfigErrors::not_utf8(file, &error))?;
        Ok(Self { readers, ..Self::parse(&text, file, env)? })
    }

    /// Reads the same text again, with what the files that it names hold by now.
    ///
    /// # Errors
    /// Everything that is wrong with these.
    pub fn again(&self, env: Env<'_>) -> Result<Self, ConfigErrors> {
        let (file, text) = &self.source;
        Ok(Self { readers: self.readers, ..Self::parse(text.expose(), file, env)? })
    }

    /// Reads a configuration from its text. `file` is what messages call it, and relative paths in the text begin
    /// in its folder.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse(text: &str, file: &Path, env: Env<'_>) -> Result<Self, ConfigErrors> {
        let (tree, syntax_errors) = toml::de::DeTable::parse_recoverable(text);
        if !syntax_errors.is_empty() {
            return Err(ConfigErrors::syntax(file, text, &syntax_errors));
        }
        let shown = shown::text(tree.get_ref());
        let reading = Reading::new(file, env);
        let mut root = Table::root(&reading, &ROOT, tree.into_inner());

        let web = web::read(root.section("web", &web::SHAPE));
        let users = users::read(root.section("users", &users::SHAPE));
        let storage = read_storage(root.section("storage", &STORAGE));

        let names = Names::read(&root);
        let receivers = receivers::read_all(&mut root);
        let heartbeat = heartbeat::read(&mut root);
        let (rules, down_for) = alerts::read_all(&mut root, &names);
        let mutes = mutes::read_all(&mut root, &names);
        let alerting = alerting::read(root.section("alerting", &alerting::SHAPE), rules, mutes, &names);

        let shortest_stale_after = poll::shortest_stale_after(
            down_for.as_ref().map_or_else(alerts::target_down_for, |down_for| down_for.value),
        );
        let mut poll_table = root.section("poll", &poll::SHAPE);
        let poll = poll::read(&mut poll_table, &PollConfig::default(), shortest_stale_after);
        let shard = poll_table.take("shard", shard::shard).value().unwrap_or(Shard::WHOLE);
        let targets = marzban::read_all(&mut root, &poll, shortest_stale_after, &users);
        if let Some(down_for) = down_for {
            check_down_for(&reading, &down_for, &poll, &targets);
        }

        let Findings { problems, open_secret_files, inline_secrets, files } = reading.into_findings();
        if problems.is_empty() {
            let elsewhere = Vec::new();
            let whole = Self {
                web,
                users,
                storage,
                shard,
                targets,
                elsewhere,
                alerting,
                receivers,
                heartbeat,
                shown,
                open_secret_files,
                inline_secrets,
                readers: Readers::Some,
                files,
                source: (file.to_owned(), Secret::from(text)),
            };
            Ok(whole.of_shard(shard))
        } else {
            Err(ConfigErrors::problems(file, text, problems))
        }
    }

    /// Reads where a running daemon is to be found. Nothing else is looked at: certificates and secrets may have
    /// changed since the daemon read them.
    ///
    /// # Errors
    /// When the file cannot be read, or says this wrongly.
    pub fn load_listen(file: &Path) -> Result<Vec<SocketAddr>, ConfigErrors> {
        let listen = |mut root: Table<'_, '_>| listen::read(&mut root.section("web", &web::SHAPE));
        let listen = load_part(file, listen, |key| matches!(key, "web" | "web.listen"))?;
        Ok(listen.unwrap_or_else(|| vec![DEFAULT_LISTEN]))
    }

    /// Reads where a daemon keeps what outlives it, and the names of its receivers. Nothing else is looked at: secrets
    /// may be there for the daemon alone, and only while it runs.
    ///
    /// # Errors
    /// When the file cannot be read, or says this wrongly.
    pub fn load_storage(file: &Path) -> Result<(StorageConfig, Vec<String>), ConfigErrors> {
        let part = |mut root: Table<'_, '_>| {
            let storage = read_storage(root.section("storage", &STORAGE));
            let tables = ["email", "webhook"].into_iter().flat_map(|kind| root.named_tables(kind));
            (storage, tables.map(|(name, ..)| name).collect())
        };
        // A table that is not known may be a misspelt one of these.
        load_part(file, part, |_| true)
    }

    /// The same for another shard.
    #[must_use]
    pub fn of_shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self.targets.append(&mut self.elsewhere);
        self.targets.sort_by(|a, b| a.name.cmp(&b.name));
        (self.targets, self.elsewhere) =
            self.targets.into_iter().partition(|target| shard.holds(&target.name));
        self
    }

    /// How many targets all shards watch together.
    pub fn targets_of_all_shards(&self) -> usize {
        self.targets.len() + self.elsewhere.len()
    }

    /// The file as TOML without its comments, with `<hidden>` in place of every value that is not known to be
    /// harmless: secrets, addresses, paths, users unless they are shown by name.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What is allowed but probably not meant, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.targets.is_empty() && !self.elsewhere.is_empty() {
            warnings.push(format!(
                "poll.shard: shard {} has none of the {} targets and watches nothing; let fewer shards share them",
                self.shard,
                self.elsewhere.len()
            ));
        } else if self.targets.is_empty() {
            warnings.push(
                "no target: add a table such as [marzban.home], else there is nothing to export".to_owned(),
            );
        }
        warnings.extend(web::warning(&self.web, self.users.labels));
        for Target { name, kind: TargetKind::Marzban(marzban), .. } in &self.targets {
            if marzban.tls.insecure_skip_verify {
                warnings.push(format!(
                    "marzban.{name}: insecure_skip_verify lets anyone between here and the panel read the login; \
                     write pin_sha256 or ca_file instead"
                ));
            }
            if !marzban.url.is_https() && !marzban.url.is_loopback() {
                let what = match marzban.login {
                    Login::Password { .. } => "password",
                    Login::ApiKey(_) => "API key",
                };
                warnings.push(format!(
                    "marzban.{name}: the {what} crosses the network unencrypted, as the URL starts with http://"
                ));
            }
        }
        if self.alerting.enabled && self.receivers.is_empty() && !self.alerting.rules.is_empty() {
            warnings.push(
                "alert: nobody is told of alerts; add a receiver such as [email.ops] or [webhook.oncall]"
                    .to_owned(),
            );
        }
        for ReceiverTable { name, kind } in &self.receivers {
            let ReceiverKind::Webhook(webhook) = kind else { continue };
            if webhook.tls.insecure_skip_verify {
                warnings.push(format!(
                    "webhook.{name}: insecure_skip_verify lets anyone between here and the receiver read all it is \
                     told; write pin_sha256 or ca_file instead"
                ));
            }
            if let Some(exposed) = webhook::exposed(webhook) {
                warnings.push(format!(
                    "webhook.{name}: {exposed} the network unencrypted, as the URL starts with http://"
                ));
            }
        }
        warnings.extend(self.heartbeat.as_ref().and_then(heartbeat::warning));
        if !self.shard.is_whole() && self.inline_secrets.iter().any(|key| key == "heartbeat.url") {
            let variable = secrets::variable(&["heartbeat", "url"]);
            warnings.push(format!(
                "heartbeat.url: every shard pings this URL, so nobody learns that one of them is dead; leave it out of \
                 the file, and set {variable} to a URL of its own for each"
            ));
        }
        if self.readers == Readers::Everyone && !self.inline_secrets.is_empty() {
            let (file, keys) = (self.source.0.display(), self.inline_secrets.join(", "));
            warnings.push(format!(
                "{file}: any user of this machine may read the secrets in this file, {keys}; keep them in files of \
                 their own, or chmod o-r"
            ));
        }
        warnings.extend(self.open_secret_files.iter().map(|path| {
            format!("{}: any user of this machine may read this secret file; chmod o-r", path.display())
        }));
        warnings
    }
}

/// Reads a file and who may read it.
fn read(file: &Path) -> io::Result<(Vec<u8>, Readers)> {
    let mut file = File::open(file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((bytes, secrets::readers(&file)?))
}

/// Reads a part of a file. Only what is wrong with the keys that matter is told.
fn load_part<T>(
    file: &Path,
    part: impl FnOnce(Table<'_, '_>) -> T,
    matters: impl Fn(&str) -> bool,
) -> Result<T, ConfigErrors> {
    let text = fs::read_to_string(file).map_err(|error| ConfigErrors::unreadable(file, &error))?;
    let (tree, syntax_errors) = toml::de::DeTable::parse_recoverable(&text);
    if !syntax_errors.is_empty() {
        return Err(ConfigErrors::syntax(file, &text, &syntax_errors));
    }
    let reading = Reading::new(file, &|_| None);
    let value = part(Table::root(&reading, &ROOT, tree.into_inner()));
    let mut problems = reading.into_findings().problems;
    problems.retain(|problem| matters(&problem.key));
    if problems.is_empty() { Ok(value) } else { Err(ConfigErrors::problems(file, &text, problems)) }
}

/// Refuses a `for` of `[alert.target_down]` that a `stale_after` is too short for which nobody wrote down: one that
/// was written is refused in its own place.
fn check_down_for(reading: &Reading<'_>, down_for: &Placed<Duration>, poll: &PollConfig, targets: &[Target]) {
    let shortest = poll::shortest_stale_after(down_for.value);
    let polls = targets.iter().map(|target| &target.poll);
    let polls = if targets.is_empty() { vec![poll] } else { polls.collect() };
    if polls.iter().any(|poll| poll.stale_after < shortest) {
        let (seen, stale_after) = (format_duration(down_for.value), format_duration(poll.stale_after));
        let shortest = format_duration(shortest);
        reading.refuse(
            &down_for.place,
            format!(
                "{seen} is too long for poll.stale_after, which is {stale_after}; shorten this, or write \
                     stale_after = \"{shortest}\" in [poll]"
            ),
        );
    }
}

/// The default, too, begins in the file's folder, so that writing it down changes nothing.
fn read_storage(mut table: Table<'_, '_>) -> StorageConfig {
    let path = table.take("path", path).value().unwrap_or_else(|| PathBuf::from("proxymeter-data"));
    StorageConfig { path: table.reading.resolve(&path) }
}

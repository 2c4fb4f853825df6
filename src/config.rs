//! The configuration file: one TOML document, read whole, checked whole, every error reported at once.
//!
//! [`Config::parse`] does it: the text becomes a tree with positions, each section takes its keys from a `Table` of that
//! tree, and errors are collected in the `Reading`. The finished types hold no text that still needs checking.

mod alerting;
mod alerts;
mod cost;
mod errors;
mod files;
mod headers;
mod heartbeat;
mod kinds;
mod listen;
mod mutes;
mod names;
mod placeholders;
mod poll;
mod reading;
mod receivers;
mod secrets;
mod shape;
mod shard;
mod shown;
mod source;
mod statements;
mod storage;
mod table;
mod targets;
mod tls;
mod twice;
mod urls;
mod users;
mod values;
mod web;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use humantime::format_duration;

use crate::alert::config::AlertingConfig;
use crate::notify::heartbeat::config::HeartbeatConfig;
use crate::poll::config::PollConfig;
use crate::secret::Secret;

pub use cost::CostConfig;
pub use errors::{ConfigError, ConfigErrors, MOST, and_more};
pub use files::Files;
pub use kinds::{ReceiverKind, ReceiverTable, Target, TargetKind};
pub use listen::{DEFAULT_LISTEN, ListenError, parse_listen};
pub use reading::{Env, is_bare};
pub use shard::{Shard, ShardError};
pub use source::Source;
pub use statements::StatementConfig;
pub use storage::StorageConfig;
pub use urls::origin;
pub use users::{LabelsChoice, NoticeNames, UsersConfig};
pub use web::WebConfig;

use reading::{Findings, Reading};
use secrets::Readers;
use shape::{Shape, Show};
use table::{Placed, Table};

/// The configuration: complete, checked, with all secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub web: WebConfig,
    pub users: UsersConfig,
    pub storage: StorageConfig,
    pub cost: CostConfig,
    /// Which of the targets this process polls.
    pub shard: Shard,
    /// The targets of this shard, by name, each name once.
    pub targets: Vec<Target>,
    /// The targets of other shards, which are checked but not polled.
    elsewhere: Vec<Target>,
    pub alerting: AlertingConfig,
    /// By name, each name once, whatever their kinds.
    pub receivers: Vec<ReceiverTable>,
    /// By name.
    pub statements: Vec<StatementConfig>,
    /// The service that is pinged while the daemon works.
    pub heartbeat: Option<HeartbeatConfig>,
    /// The text of the page `/config`.
    shown: String,
    /// What is allowed but probably not meant, as found while it was read: a sentence each.
    doubts: Vec<String>,
    /// Secret files that any user of this machine can read.
    open_secret_files: Vec<PathBuf>,
    /// The keys of secrets that the file itself contains.
    inline_secrets: Vec<String>,
    /// Which users can read the file itself.
    readers: Readers,
    /// The files that it names, with a digest of their content when it was read.
    pub files: Files,
    /// What messages call it, and its text, which may hold secrets.
    source: (PathBuf, Secret),
}

const ROOT: Shape = Shape {
    title: "the top level",
    keys: &[
        &[
            ("web", Show::Table(&web::SHAPE)),
            ("poll", Show::Table(&poll::SHAPE)),
            ("users", Show::Table(&users::SHAPE)),
            ("storage", Show::Table(&storage::SHAPE)),
            ("cost", Show::Table(&cost::SHAPE)),
        ],
        kinds::TARGET_KEYS,
        kinds::RECEIVER_KEYS,
        &[
            ("alerting", Show::Table(&alerting::SHAPE)),
            ("alert", Show::Tables(&alerts::SHAPE)),
            ("mute", Show::Tables(&mutes::SHAPE)),
            ("statement", Show::Tables(&statements::SHAPE)),
            ("heartbeat", Show::Table(&heartbeat::SHAPE)),
        ],
    ],
};

impl Config {
    /// Reads a configuration and the secret files it names.
    ///
    /// # Errors
    /// All mistakes in it, or that it cannot be read.
    pub fn load(source: &Source, env: Env<'_>) -> Result<Self, ConfigErrors> {
        let (text, readers) = source.read()?;
        Ok(Self { readers, ..Self::parse(&text, source.name(), env)? })
    }

    /// Reads the same text again, with the current content of the files that it names.
    ///
    /// # Errors
    /// All mistakes in it.
    pub fn again(&self, env: Env<'_>) -> Result<Self, ConfigErrors> {
        let (file, text) = &self.source;
        Ok(Self { readers: self.readers, ..Self::parse(text.expose(), file, env)? })
    }

    /// Reads a configuration from its text. Messages call it `file`, and relative paths start in the folder of `file`.
    ///
    /// # Errors
    /// All mistakes in it, in the order of the text.
    pub fn parse(text: &str, file: &Path, env: Env<'_>) -> Result<Self, ConfigErrors> {
        let (tree, syntax_errors) = toml::de::DeTable::parse_recoverable(text);
        if !syntax_errors.is_empty() {
            return Err(ConfigErrors::syntax(file, text, &syntax_errors));
        }
        let shown = shown::text(&ROOT, tree.get_ref());
        let reading = Reading::new(file, env, &ROOT);
        let mut root = Table::root(&reading, tree.into_inner());

        let web = web::read(root.section("web", &web::SHAPE));
        let users = users::read(root.section("users", &users::SHAPE));
        let storage = storage::read(root.section("storage", &storage::SHAPE));
        let cost = cost::read(root.section("cost", &cost::SHAPE));

        let names = kinds::read_names(&root);
        let receivers = kinds::read_receivers(&mut root);
        let statements = statements::read_all(&mut root, &names, &receivers);
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
        let sections = kinds::Sections { users: &users, cost: &cost, alerting: &alerting };
        let targets = kinds::read_targets(&mut root, &poll, shortest_stale_after, &sections);
        if let Some(down_for) = down_for {
            check_down_for(&reading, &down_for, &poll, &targets);
        }

        let Findings { problems, warnings, open_secret_files, inline_secrets, files } =
            reading.into_findings();
        if problems.is_empty() {
            let elsewhere = Vec::new();
            let whole = Self {
                web,
                users,
                storage,
                cost,
                shard,
                targets,
                elsewhere,
                alerting,
                receivers,
                statements,
                heartbeat,
                shown,
                doubts: warnings,
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

    /// Reads only the addresses of a running daemon. Certificates and secrets may have changed since the daemon read
    /// them.
    ///
    /// # Errors
    /// When it cannot be read, or its addresses are wrong.
    pub fn load_listen(source: &Source) -> Result<Vec<SocketAddr>, ConfigErrors> {
        let listen = |mut root: Table<'_, '_>| listen::read(&mut root.section("web", &web::SHAPE));
        let listen = load_part(source, listen, |key| matches!(key, "web" | "web.listen"))?;
        Ok(listen.unwrap_or_else(|| vec![DEFAULT_LISTEN]))
    }

    /// Reads only the token that the daemon's own clients need; absent: there is none, or it may not be read.
    pub fn load_own_token(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Option<Secret> {
        let token = |mut root: Table<'_, '_>| web::read_bearer_token(&mut root.section("web", &web::SHAPE));
        load_part_with(source, env, token, |key| key.starts_with("web.bearer_token")).ok().flatten()
    }

    /// Reads only where a daemon stores its data, and the names of its receivers. Secrets may be available to the daemon
    /// alone, and only while it runs.
    ///
    /// # Errors
    /// When it cannot be read, or these are wrong.
    pub fn load_storage(source: &Source) -> Result<(StorageConfig, Vec<String>), ConfigErrors> {
        let part = |mut root: Table<'_, '_>| {
            let storage = storage::read(root.section("storage", &storage::SHAPE));
            (storage, kinds::take_receiver_names(&mut root))
        };
        // An unknown table may be a misspelt one of these.
        load_part(source, part, |_| true)
    }

    /// Reads only what concerns alerts. Secrets may be available to the daemon alone.
    ///
    /// # Errors
    /// When it cannot be read, or all mistakes in these.
    pub fn load_alerting(source: &Source) -> Result<AlertingConfig, ConfigErrors> {
        let part = |mut root: Table<'_, '_>| {
            let names = kinds::read_names(&root);
            let (rules, _) = alerts::read_all(&mut root, &names);
            let mutes = mutes::read_all(&mut root, &names);
            alerting::read(root.section("alerting", &alerting::SHAPE), rules, mutes, &names)
        };
        // An unknown table may be a misspelt one of these.
        load_part(source, part, |_| true)
    }

    /// The same configuration for another shard.
    #[must_use]
    pub fn of_shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self.targets.append(&mut self.elsewhere);
        self.targets.sort_by(|a, b| a.name.cmp(&b.name));
        (self.targets, self.elsewhere) =
            self.targets.into_iter().partition(|target| shard.holds(&target.name));
        self.alerting.elsewhere = self.elsewhere.iter().map(|target| target.name.as_str().into()).collect();
        self
    }

    /// The number of targets of all shards together.
    pub fn targets_of_all_shards(&self) -> usize {
        self.targets.len() + self.elsewhere.len()
    }

    /// The text that it was read from, which may hold secrets.
    pub fn text(&self) -> &Secret {
        &self.source.1
    }

    fn all_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().chain(&self.elsewhere)
    }

    /// The file as TOML without its comments. Values that are not known to be harmless are replaced by `<hidden>`:
    /// secrets, addresses, paths, and users unless they are shown by name.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What is allowed but probably not meant, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.doubts.clone();
        if self.targets.is_empty() && !self.elsewhere.is_empty() {
            warnings.push(format!(
                "poll.shard: shard {} has none of the {} targets; use fewer shards",
                self.shard,
                self.elsewhere.len()
            ));
        } else if self.targets.is_empty() {
            warnings.push(
                "no target: add a table such as [marzban.home], else there is nothing to export".to_owned(),
            );
        }
        warnings.extend(web::warning(&self.web, self.users.labels));
        warnings.extend(self.cost.warning.clone());
        warnings.extend(cost::without_prices(&self.cost, &self.alerting));
        warnings.extend(self.targets.iter().flat_map(Target::warnings));
        warnings.extend(twice::targets(self.all_targets()));
        warnings.extend(self.without_notifications());
        warnings.extend(self.receivers.iter().flat_map(ReceiverTable::warnings));
        warnings.extend(twice::receivers(&self.receivers, &self.alerting));
        warnings.extend(self.heartbeat.as_ref().and_then(heartbeat::warning));
        if !self.shard.is_whole() && self.inline_secrets.iter().any(|key| key == "heartbeat.url") {
            warnings.push(
                "heartbeat.url: every shard pings this URL, which hides that one of them is dead; leave it out of the file, \
                 and set PROXYMETER_HEARTBEAT_URL to a different URL for each"
                    .to_owned(),
            );
        }
        if self.readers == Readers::Everyone && !self.inline_secrets.is_empty() {
            let (file, keys) = (self.source.0.display(), self.inline_secrets.join(", "));
            warnings.push(format!(
                "{file}: any user of this machine may read the secrets in this file, {keys}; move them to separate \
                 files, or chmod o-r"
            ));
        }
        warnings.extend(self.open_secret_files.iter().map(|path| {
            format!("{}: any user of this machine may read this secret file; chmod o-r", path.display())
        }));
        warnings
    }

    /// Why no alert is sent, if none is: a sentence.
    fn without_notifications(&self) -> Option<String> {
        if !self.alerting.enabled && !self.receivers.is_empty() {
            return Some(
                "alerting.enabled: false, so nothing is sent to any receiver; leave it out to send notifications"
                    .to_owned(),
            );
        }
        (self.alerting.enabled && self.receivers.is_empty()).then(|| {
            "alerting: there is no receiver, so alerts are in metrics alone; add a table such as [telegram.me] or \
             [email.ops], or write enabled = false in [alerting]"
                .to_owned()
        })
    }
}

/// Reads a part of a configuration. Reports only mistakes in the keys that matter.
fn load_part<T>(
    source: &Source,
    part: impl FnOnce(Table<'_, '_>) -> T,
    matters: fn(&str) -> bool,
) -> Result<T, ConfigErrors> {
    load_part_with(source, &|_| None, part, matters)
}

fn load_part_with<T>(
    source: &Source,
    env: &dyn Fn(&str) -> Option<String>,
    part: impl FnOnce(Table<'_, '_>) -> T,
    matters: fn(&str) -> bool,
) -> Result<T, ConfigErrors> {
    let (file, (text, _)) = (source.name(), source.read()?);
    let (tree, syntax_errors) = toml::de::DeTable::parse_recoverable(&text);
    if !syntax_errors.is_empty() {
        return Err(ConfigErrors::syntax(file, &text, &syntax_errors));
    }
    let reading = Reading::new(file, env, &ROOT).about(matters);
    let value = part(Table::root(&reading, tree.into_inner()));
    let problems = reading.into_findings().problems;
    if problems.is_empty() { Ok(value) } else { Err(ConfigErrors::problems(file, &text, problems)) }
}

/// Refuses a `for` of `[alert.target_down]` that is too long for a default `stale_after`. A `stale_after` that the file
/// contains is refused in its own place.
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

//! Asks for a panel, finds out what it is and what its account may see, and writes a configuration for it.
//!
//! What is written is what was tried: the same text, parsed as a daemon parses it. Until everything is known, nothing is
//! written.

mod dialog;
mod draft;
mod existing;
mod files;
mod panel;
mod receiver;
mod secret;
mod summary;

use std::{
    cell::RefCell,
    error::Error,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use tokio::signal;

use self::{
    dialog::{Dialog, say},
    draft::Draft,
    existing::Existing,
    files::FileError,
};
use super::{
    exit::Done,
    progress::Progress,
    scrape,
    source::{self, env},
};
use crate::{
    clock::Clock,
    config::{Config, Shard, Source},
    model::Report,
    telemetry::Telemetry,
};

/// Without a terminal, everything that is asked for comes from these. A file for a secret may be "-": then a line of the
/// standard input is the secret, and a file of its own is written for it. Other files are named in the configuration.
#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    panel: panel::PanelFlags,
    #[command(flatten)]
    receiver: receiver::ReceiverFlags,
    /// File to write. Secrets are written into the folder "secrets" beside it.
    #[arg(long = "config.file", value_name = "FILE", default_value = source::DEFAULT)]
    file: PathBuf,
    /// Adds the panel to the file if it exists, and keeps what the file has.
    #[arg(long, conflicts_with = "force")]
    add: bool,
    /// Replaces the files if they exist.
    #[arg(long)]
    force: bool,
    /// Asks nothing, and takes the defaults.
    #[arg(long)]
    yes: bool,
}

/// What --alerting.adopt is for.
const ADOPTING: &str = "it sends nothing about users who have expired or used up their quota already.";

impl Init {
    pub(super) async fn run(self) -> Done {
        tokio::select! {
            done = self.steps() => done,
            _ = signal::ctrl_c() => Err("interrupted; nothing was written".into()),
        }
    }

    async fn steps(&self) -> Done {
        let dialog = Dialog::new(!self.yes);
        let existing = self.existing(&dialog).await?;
        let found = panel::find(&self.panel, &dialog).await?;
        let table = panel::name(&self.panel, &found, existing.as_ref(), &dialog).await?;
        let table = panel::log_in(&self.panel, &found, table, &dialog).await?;
        let mut draft = Draft::new(&self.file, existing, table);
        loop {
            files::check_secrets(&draft, self.force)?;
            say(format_args!("Reading {} once.", found.origin()))?;
            let Err(why) = read(&draft, found.origin()).await else { break };
            let (table, why) = (&draft.target, why.to_string());
            draft.target = panel::log_in_again(&self.panel, &found, table, &why, &dialog).await?;
        }

        receiver::add(&self.receiver, &mut draft, &dialog).await?;
        files::check_secrets(&draft, self.force)?;
        let tried = draft.config(&env)?;
        files::write(&draft, self.force)?;
        self.finish(&draft, &tried)
    }

    /// The file to which the panel is added, if there is one.
    async fn existing(&self, dialog: &Dialog) -> Result<Option<Existing>, Box<dyn Error>> {
        let file = self.file.display();
        if self.force || !files::exists(&self.file) {
            return Ok(None);
        }
        let question = format_args!("{file} exists. Add a panel to it, and keep what it has");
        let adds = self.add || dialog.asks() && dialog.agrees(question, true).await?;
        if !adds {
            return Err(FileError::Exists(self.file.clone()).into());
        }
        let existing = Existing::read(&self.file, &env);
        Ok(Some(existing.map_err(|errors| {
            format!("{errors}\n{file}: a panel is added only to a file without mistakes; --force replaces it")
        })?))
    }

    /// Reads what was written, and prints how to go on.
    fn finish(&self, draft: &Draft, tried: &Config) -> Done {
        let file = &self.file;
        let config = Config::load(&Source::from(&**file), &env)?;
        if (&config.targets, &config.receivers) != (&tried.targets, &tried.receivers) {
            return Err(format!("{}: not read as it was tried; check it", file.display()).into());
        }
        for path in draft.secret_paths() {
            say(format_args!("Wrote {}, which only this user can read.", path.display()))?;
        }
        match &draft.existing {
            None => say(format_args!("Wrote {}.", file.display()))?,
            Some(_) => say(format_args!("Added {} to {}.", draft.target.name, file.display()))?,
        }
        for warning in config.warnings() {
            say(format_args!("warning: {warning}"))?;
        }
        if draft.existing.is_some() {
            say("A running exporter loads it when it gets SIGHUP, such as by systemctl reload proxymeter.")?;
            if !config.receivers.is_empty() {
                say(format_args!("Restart it with --alerting.adopt instead, and {ADOPTING}"))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let argument = match file == Path::new(source::DEFAULT) {
            true => String::new(),
            false => format!(" --config.file={}", file.display()),
        };
        say(format_args!("To run the exporter: proxymeter{argument}"))?;
        if !config.receivers.is_empty() {
            say(format_args!("For the first start, add --alerting.adopt: {ADOPTING}"))?;
        }
        say("For Prometheus, add this to prometheus.yml:\n")?;
        let listen = config.web.listen.first().ok_or("there is no address to listen on")?;
        let mut out = io::stdout().lock();
        write!(
            out,
            "scrape_configs:\n  - job_name: proxymeter\n    static_configs:\n      - targets: [\"{listen}\"]\n"
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads the panel once and prints what was seen.
async fn read(draft: &Draft, origin: &str) -> Result<(), Box<dyn Error>> {
    let mut config = draft.config(&env)?.of_shard(Shard::WHOLE);
    config.targets.retain(|target| target.name == draft.target.name);
    let progress = RefCell::new(Progress::new());
    let show = |report: &Report| progress.borrow_mut().show(report);
    let reports = scrape::read(&config, &Telemetry::new(), &Clock::system(), show).await?;
    drop(progress);
    let report = reports.first().ok_or("there is no target")?;
    summary::print(report, origin)?;
    summary::failure(report).map_or(Ok(()), |why| Err(why.into()))
}

//! Asks for a panel, finds out what it is and what its account may see, and writes a configuration for it.
//!
//! What is written is what was tried: the same text, parsed as a daemon parses it. Until everything is known, nothing is
//! written.

mod dialog;
mod draft;
mod files;
mod panel;
mod receiver;
mod secret;
mod summary;

use std::{
    cell::RefCell,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use tokio::signal;

use self::{
    dialog::{Dialog, say},
    draft::Draft,
};
use super::{
    exit::Done,
    progress::Progress,
    scrape,
    source::{self, env},
};
use crate::{
    clock::Clock,
    config::{Config, Source},
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
    /// Replaces the files if they exist.
    #[arg(long)]
    force: bool,
    /// Asks nothing, and takes the defaults.
    #[arg(long)]
    yes: bool,
}

impl Init {
    pub(super) async fn run(self) -> Done {
        tokio::select! {
            done = self.steps() => done,
            _ = signal::ctrl_c() => Err("interrupted; nothing was written".into()),
        }
    }

    async fn steps(&self) -> Done {
        let dialog = Dialog::new(!self.yes);
        files::check([&self.file], self.force)?;
        let found = panel::find(&self.panel, &dialog).await?;
        let table = panel::log_in(&self.panel, &found, &dialog).await?;
        let mut draft = Draft::new(&self.file, table);
        files::check(draft.secret_paths(), self.force)?;

        say(format_args!("Reading {} once.", found.origin()))?;
        let config = draft.config(&env)?;
        let progress = RefCell::new(Progress::new());
        let show = |report: &Report| progress.borrow_mut().show(report);
        let reports = scrape::read(&config, &Telemetry::new(), &Clock::system(), show).await?;
        drop(progress);
        let report = reports.first().ok_or("there is no target")?;
        summary::print(report, found.origin())?;
        if let Some(why) = summary::failure(report) {
            return Err(format!("{why}; nothing was written").into());
        }

        receiver::add(&self.receiver, &mut draft, &dialog).await?;
        files::check(draft.secret_paths(), self.force)?;
        let tried = draft.config(&env)?;
        files::write(&draft, self.force)?;
        self.finish(&draft, &tried)
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
        say(format_args!("Wrote {}.", file.display()))?;
        for warning in config.warnings() {
            say(format_args!("warning: {warning}"))?;
        }
        let argument = match file == Path::new(source::DEFAULT) {
            true => String::new(),
            false => format!(" --config.file={}", file.display()),
        };
        say(format_args!("To run the exporter: proxymeter{argument}"))?;
        if !config.receivers.is_empty() {
            say(
                "For the first start, add --alerting.adopt: it sends nothing about users who have expired or used up \
                 their quota already.",
            )?;
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

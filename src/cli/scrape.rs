use std::{
    cell::RefCell,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use futures_util::future;
use tokio::sync::mpsc;

use super::{exit::Done, progress::Progress};
use crate::{
    alert::rule,
    board::Board,
    clock::Clock,
    config::{Config, Shard},
    daemon::{self, StartError},
    exposition::{self, Format, Shown},
    model::{ActiveAlerts, Outcome, Report},
    store,
    telemetry::Telemetry,
    upstream::RefusedKeys,
};

/// Reads targets once and prints their metrics: the targets of the shard, or the named ones of any shard. A running
/// exporter with the same storage folder, and the next run, know which keys were refused. `storage` overrides the
/// configuration.
pub(super) async fn run(mut config: Config, storage: Option<PathBuf>, targets: &[String]) -> Done {
    if let Some(storage) = storage {
        store::check_folder(&storage)?;
        config.storage.path = storage;
    }
    if !targets.is_empty() {
        config = config.of_shard(Shard::WHOLE);
    }
    let known: Vec<_> = config.targets.iter().map(|target| target.name.clone()).collect();
    if let Some(unknown) = targets.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no target {unknown}; the targets are: {}", known.join(", ")).into());
    }
    config.targets.retain(|target| targets.is_empty() || targets.contains(&target.name));

    let (clock, telemetry) = (Clock::system(), Telemetry::new());
    let options = exposition::Options {
        labels: daemon::labels_without_store(&config.users, &config.storage)?,
        limit: config.users.limit,
        inbounds: config.users.inbounds,
        used_today: false,
        budgets: rule::budgets(&config.alerting),
    };
    let progress = RefCell::new(Progress::new());
    let reports = read(&config, &telemetry, &clock, |report| progress.borrow_mut().show(report)).await?;

    let failed = print_outcomes(&reports)?;
    let reports: Vec<_> = reports.into_iter().map(Arc::new).collect();
    let alerts = Arc::new(ActiveAlerts::default());
    let shown = Shown { reports: &reports, alerts: &alerts, options: &options, now: clock.now(), only: None };
    let mut out = io::stdout().lock();
    exposition::write(&shown, &telemetry.gather(), Format::Classic)
        .try_for_each(|piece| out.write_all(&piece))?;
    out.flush()?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads all targets once, and shows each new report of one. The reports are in the order of the names.
pub(super) async fn read(
    config: &Config,
    telemetry: &Telemetry,
    clock: &Clock,
    show: impl Fn(&Report),
) -> Result<Vec<Report>, StartError> {
    let key = daemon::hash_key_without_store(config)?;
    let refused = RefusedKeys::in_folder(&config.storage.path).without_waiting();
    let board = Board::new(config.targets.iter().map(|target| target.name.as_str()));
    let mut reads = Vec::new();
    for target in &config.targets {
        let (_, requests) = mpsc::unbounded_channel();
        let mut target = target.clone();
        // Lists are read without pauses, and so the rest of one takes as long.
        target.poll.load = 1.0;
        let poller = daemon::poller(&target, Some(&key), &refused, &board, telemetry, clock, requests)?;
        reads.push(poller.read_once(&show));
    }
    let mut reports = future::join_all(reads).await;
    reports.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(reports)
}

/// Prints a line per target and part on stderr. Returns whether anything failed.
fn print_outcomes(reports: &[Report]) -> io::Result<bool> {
    let mut err = io::stderr().lock();
    let mut failed = false;
    for report in reports {
        let up = report.up == Some(true);
        failed |= !up;
        let system = report.identity.as_ref().map_or_else(
            || "unknown system".to_owned(),
            |identity| format!("{} {}", identity.system.label(), identity.version).trim_end().to_owned(),
        );
        writeln!(err, "{}: {} ({system})", report.target, if up { "up" } else { "down" })?;
        for (part, state) in &report.parts {
            let took =
                state.duration.map_or_else(String::new, |took| format!(" in {:.3} s", took.as_secs_f64()));
            match report.outcome(*part).unwrap_or(&state.outcome) {
                Outcome::Up => writeln!(err, "{}: {}: read{took}", report.target, part.label())?,
                Outcome::Refused => {
                    writeln!(
                        err,
                        "{}: {}: refused: the account may not read it",
                        report.target,
                        part.label()
                    )?;
                }
                Outcome::Failed { reason, detail } => {
                    failed = true;
                    writeln!(
                        err,
                        "{}: {}: failed ({}): {detail}",
                        report.target,
                        part.label(),
                        reason.label()
                    )?;
                }
                Outcome::Pending => {
                    writeln!(err, "{}: {}: not read completely", report.target, part.label())?;
                }
            }
        }
    }
    Ok(failed)
}

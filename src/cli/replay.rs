use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::exit::Done;
use crate::{
    alert::state::firing_events,
    clock::Clock,
    config::Config,
    model::{Notice, NoticeAlert, NoticeStatus, Timestamp},
    notify::delivery::known_failure,
    store::{ReceiverState, Settled, Store},
};

/// Moves notices that were given up back to the queues of their receivers, which are sent at the next start, and resets
/// the retries of failed receivers. With `list`, only lists the notices. Alerts that no longer fire are left out, because
/// their end would not be notified. Without `receivers`, it applies to all configured receivers. `storage` overrides the
/// configuration.
pub(super) async fn run(file: &Path, storage: Option<PathBuf>, receivers: &[String], list: bool) -> Done {
    let (configured_storage, configured) = Config::load_storage(file)?;
    let storage = storage.unwrap_or(configured_storage.path);
    if let Some(unknown) = receivers.iter().find(|name| !configured.contains(name)) {
        return Err(
            format!("there is no receiver {unknown}; the receivers are: {}", configured.join(", ")).into()
        );
    }
    let now = Clock::system().now().wall;
    let opened = Store::open(&storage, now)?;
    if let Some(problem) = opened.problem {
        return Err(problem.into());
    }
    let store = opened.store;
    let mut letters: Vec<Notice> = store.dead_letters().await?.into_iter().map(|row| row.notice).collect();
    letters.retain(|notice| {
        let wanted = receivers.is_empty() || receivers.contains(&notice.receiver);
        wanted && (list || configured.contains(&notice.receiver))
    });

    let mut out = io::stdout().lock();
    for notice in &letters {
        let Notice { id, receiver, created_at, alerts, .. } = notice;
        let alertname = notice.group_labels.get("alertname").map_or("", String::as_str);
        writeln!(out, "{id} {receiver} {} {} alerts {alertname}", rfc3339(*created_at), alerts.len())?;
    }
    if !list {
        let firing = firing_events(&opened.loaded.alerts);
        // Alerts about failing receivers are not alerts of the engine.
        let of_receivers = opened.loaded.receivers.iter();
        let own: BTreeSet<_> = of_receivers.filter_map(|(name, state)| known_failure(name, state)).collect();
        for notice in &mut letters {
            // It is retried for as long as a new one.
            notice.created_at = now;
            notice.alerts.retain(|NoticeAlert { event, status, .. }| {
                let fires =
                    firing.contains(event) || own.contains(&(notice.receiver.as_str(), event.clone()));
                *status == NoticeStatus::Resolved || fires
            });
        }
        let (letters, outdated): (Vec<_>, Vec<_>) =
            letters.into_iter().partition(|notice| !notice.alerts.is_empty());
        store.revive(&letters, outdated.iter().map(|notice| notice.id.clone()).collect()).await?;
        for (name, state) in &opened.loaded.receivers {
            if receivers.is_empty() || receivers.contains(name) {
                let state =
                    ReceiverState { failures: 0, next_attempt: None, disabled: false, ..state.clone() };
                store.settle(Settled { receiver: Some((name, &state)), ..Settled::default() }).await?;
            }
        }
        for notice in outdated {
            writeln!(out, "{} is dropped: its alerts no longer fire", notice.id)?;
        }
        writeln!(out, "{} notifications will be sent at the next start of the exporter", letters.len())?;
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_secs()).map(|time| time.to_string()).unwrap_or_default()
}

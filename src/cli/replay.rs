use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use super::exit::Done;
use crate::{
    alert::state::firing_events,
    clock::Clock,
    config::{Config, Source},
    model::{Notice, NoticeStatus, Timestamp},
    store::{Batch, Message, ReceiverState, Store},
};

/// Moves notices that were given up back to the queues of their receivers, which are sent at the next start, and resets
/// the retries of failed receivers. With `list`, only lists the notices. Alerts that no longer fire are left out, because
/// their end would not be notified. Without `receivers`, it applies to all configured receivers. `storage` overrides the
/// configuration.
pub(super) async fn run(source: &Source, storage: Option<PathBuf>, receivers: &[String], list: bool) -> Done {
    let (configured_storage, configured) = Config::load_storage(source)?;
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
    let mut letters = store.dead_letters().await?;
    letters.retain(|letter| {
        let wanted = receivers.is_empty() || receivers.contains(&letter.receiver);
        wanted && (list || configured.contains(&letter.receiver))
    });
    let mut notices =
        letters.iter().map(|letter| letter.packed.unpack()).collect::<Result<Vec<Notice>, _>>()?;

    let mut out = io::stdout().lock();
    for notice in &notices {
        let Notice { id, receiver, created_at, alerts, .. } = notice;
        let alertname = notice.group_labels.get("alertname").map_or("", String::as_str);
        writeln!(out, "{id} {receiver} {} {} alerts {alertname}", rfc3339(*created_at), alerts.len())?;
    }
    if !list {
        let firing = firing_events(&opened.loaded.alerts);
        for notice in &mut notices {
            // It is retried for as long as a new one.
            notice.created_at = now;
            notice
                .alerts
                .retain(|alert| alert.status == NoticeStatus::Resolved || firing.contains(&alert.event));
        }
        let (revived, outdated): (Vec<_>, Vec<_>) =
            notices.into_iter().partition(|notice| !notice.alerts.is_empty());
        let messages = revived.iter().map(Message::of).collect::<Result<Vec<_>, _>>()?;
        store.revive(messages, outdated.iter().map(|notice| notice.id.clone()).collect()).await?;
        let failed = opened.loaded.receivers.into_iter();
        let failed = failed.filter(|(name, _)| receivers.is_empty() || receivers.contains(name));
        // What is known of its failure holds until it accepts a notification.
        let reset = failed.map(|(name, state)| {
            let state = ReceiverState { failures: 0, next_attempt: None, disabled: false, ..state };
            (name, Some(state))
        });
        store.record(Batch { receivers: reset.collect(), ..Batch::default() }).await?;
        for notice in outdated {
            writeln!(out, "{} is dropped: its alerts no longer fire", notice.id)?;
        }
        writeln!(out, "{} notifications will be sent at the next start of the exporter", revived.len())?;
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_secs()).map(|time| time.to_string()).unwrap_or_default()
}

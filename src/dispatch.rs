//! Tells receivers what the alert engine finds.
//!
//! A round takes in what has happened, composes a message for each receiver that is free and has something to be told,
//! records everything in one transaction, and then hands the messages to the receivers' workers. What a receiver accepts is
//! noted in the next round. So a process may die at any moment: it continues with what was recorded, and sends a message
//! without an outcome again under its id. A round is computed on a thread that may block, as messages can be large.
//!
//! The waits between attempts at a failing receiver grow, and survive restarts.

mod backoff;
mod composing;
mod dispatcher;
mod line;
mod rate;
mod reading;
mod statements;
mod worker;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::warn;

pub use self::{
    dispatcher::{AskSilence, Dispatcher, Shown},
    line::{Link, Way},
    worker::{Letter, News, Report, Worker},
};
use self::{
    dispatcher::{Heard, Pace, Round},
    reading::Ask as AskUsage,
};
use crate::{
    alert::{
        Pseudonym,
        config::AlertingConfig,
        engine::Reread,
        group::{Route, Suppressed},
        rule::RuleError,
    },
    board::View,
    clock::{Beat, Clock},
    model::{ActiveAlerts, SilenceError},
    notify::alertmanager::Ask,
    store::{Store, Usage},
    telemetry::Telemetry,
};

/// The board is read at most this often.
const PAUSE: Duration = Duration::from_secs(1);
/// From here on, a disk is slow.
const SLOW: Duration = Duration::from_millis(100);
/// How long attempts at notifications may take after a request to stop.
pub const LAST_ATTEMPT: Duration = Duration::from_secs(3);

/// What the dispatcher reads from and writes to.
pub struct Wiring {
    pub view: watch::Receiver<View>,
    pub reloads: mpsc::Receiver<Reload>,
    /// From all workers.
    pub reports: mpsc::Receiver<Report>,
    /// From the posters of Alertmanagers, with the receiver's name.
    pub asks: mpsc::Receiver<(String, Ask)>,
    /// From operators.
    pub silences: mpsc::Receiver<AskSilence>,
    /// What is pending, firing or suppressed.
    pub alerts: watch::Sender<Arc<ActiveAlerts>>,
    /// To the loop of each target, by name: users to be read again.
    pub reread: HashMap<String, mpsc::UnboundedSender<Vec<Arc<str>>>>,
    pub store: Store,
    /// For digests and statements.
    pub usage: Usage,
    pub telemetry: Telemetry,
    pub clock: Clock,
    /// Beats as long as the task is not stuck.
    pub beat: Beat,
}

/// Another configuration to continue with.
pub struct Reload {
    pub config: AlertingConfig,
    pub routes: Vec<Route>,
    /// Of the receivers that are new or have changed.
    pub links: Vec<Link>,
    pub pseudonym: Option<Pseudonym>,
    pub reread: HashMap<String, mpsc::UnboundedSender<Vec<Arc<str>>>>,
    /// Receives the mistakes in it, if any; then nothing changes.
    pub done: oneshot::Sender<Result<(), Vec<RuleError>>>,
}

/// Runs until `stopped`, then waits for the attempts in progress and records what came of them.
pub async fn run(mut dispatcher: Dispatcher, mut wiring: Wiring, stopped: impl Future<Output = Instant>) {
    wiring.telemetry.declare_suppressions(&Suppressed::REASONS);
    if dispatcher.clock_was_ahead() {
        warn!("stored times lie ahead of the clock, which must have been set back");
        wiring.telemetry.clock_step();
    }
    let mut stopped = pin!(stopped);
    let (answers, mut answered) = mpsc::unbounded_channel();
    let (mut heard, mut pace, mut looked) = (Heard::default(), Pace::Usual, None::<Instant>);
    let asked_to_stop = loop {
        let look = looked.is_none_or(|looked| looked.elapsed() >= PAUSE);
        if look {
            looked = Some(Instant::now());
        }
        let (more, asks);
        (dispatcher, more, asks) =
            wiring.round(dispatcher, std::mem::take(&mut heard), look, &mut pace).await;
        reading::begin(asks, &wiring.usage, &answers);
        let again = looked.map_or_else(Instant::now, |looked| looked + PAUSE);
        let wait = dispatcher.due().saturating_sub(wiring.clock.now().uptime);
        wiring.beat.within(wait.max(PAUSE));
        let due = Instant::now().checked_add(wait);
        let Wiring { view, reloads, reports, asks, silences, .. } = &mut wiring;
        let next_look = async {
            sleep_until(again).await;
            tokio::select! {
                Ok(()) = view.changed() => {}
                () = until(due) => {}
            }
        };
        tokio::select! {
            biased;
            asked = &mut stopped => break asked,
            // The sender of a reload waits for the answer.
            Some(reload) = reloads.recv() => dispatcher = wiring.reload(dispatcher, reload).await,
            Some(report) = reports.recv() => {
                heard.reports.push(report);
                heard.reports.extend(std::iter::from_fn(|| reports.try_recv().ok()));
            }
            Some(ask) = asks.recv() => {
                heard.asks.push(ask);
                heard.asks.extend(std::iter::from_fn(|| asks.try_recv().ok()));
            }
            Some(silence) = silences.recv() => {
                heard.silences.push(silence);
                heard.silences.extend(std::iter::from_fn(|| silences.try_recv().ok()));
            }
            Some(answer) = answered.recv() => heard.answers.push(answer),
            () = async {}, if more => {}
            () = next_look => {}
        }
    };
    dispatcher.close();
    let end = asked_to_stop + LAST_ATTEMPT;
    while let Ok(Some(report)) = timeout_at(end, wiring.reports.recv()).await {
        heard.reports.push(report);
    }
    wiring.round(dispatcher, heard, false, &mut Pace::Closing).await;
}

/// Works on a thread that may block.
async fn off_the_runtime<T: Send + 'static>(
    mut dispatcher: Dispatcher,
    work: impl FnOnce(&mut Dispatcher) -> T + Send + 'static,
) -> (Dispatcher, T) {
    let done = task::spawn_blocking(move || {
        let result = work(&mut dispatcher);
        (dispatcher, result)
    });
    match done.await {
        Ok(done) => done,
        Err(err) if err.is_panic() => std::panic::resume_unwind(err.into_panic()),
        // The runtime ends.
        Err(_) => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Wiring {
    /// Does a round. Returns whether there is more to do at once, and what is asked of the history of use.
    async fn round(
        &mut self,
        dispatcher: Dispatcher,
        heard: Heard,
        look: bool,
        pace: &mut Pace,
    ) -> (Dispatcher, bool, Vec<AskUsage>) {
        let (now, speed) = (self.clock.now(), *pace);
        let view = look.then(|| self.view.borrow_and_update().clone());
        let computed =
            off_the_runtime(dispatcher, move |dispatcher| dispatcher.round(heard, view.as_ref(), speed, now));
        let (dispatcher, Round { batch, letters, reread, answers, silenced, asks, more }) = computed.await;
        let active = dispatcher.active();
        self.alerts.send_if_modified(|shown| {
            let is_new = !Arc::ptr_eq(shown, &active);
            *shown = active;
            is_new
        });
        let mut not_stored = None;
        if !batch.is_empty() {
            let began = Instant::now();
            if let Err(err) = self.store.record(batch).await {
                // The store logs its own state; messages are sent from memory.
                warn!("alerts are not recorded and notifications could be repeated after a restart: {err}");
                not_stored = Some(err.to_string());
            }
            if speed != Pace::Closing {
                *pace = if began.elapsed() < SLOW { Pace::Usual } else { Pace::SlowDisk };
            }
        }
        dispatcher.show(now);
        for (receiver, letters) in letters {
            if let Some(Way::Messages { letters: queue, .. }) = dispatcher.way(&receiver) {
                // A worker without work has room. If it has ended, so does the daemon.
                drop(queue.try_send(letters));
            }
        }
        for (poster, standing) in answers {
            // The poster may have ended.
            drop(poster.send(standing));
        }
        for (asker, outcome) in silenced {
            let stored = outcome.and_then(|id| match &not_stored {
                None => Ok(id),
                Some(why) => Err(SilenceError::NotStored { id, why: why.clone() }),
            });
            // The asker may have gone.
            drop(asker.send(stored));
        }
        for Reread { target, users } in reread {
            if let Some(poller) = self.reread.get(&*target) {
                // If the poller has ended, the next walk reads these users.
                drop(poller.send(users));
            }
        }
        (dispatcher, more, asks)
    }

    async fn reload(&mut self, dispatcher: Dispatcher, reload: Reload) -> Dispatcher {
        let Reload { config, routes, links, pseudonym, reread, done } = reload;
        let now = self.clock.now();
        let (dispatcher, result) = off_the_runtime(dispatcher, move |dispatcher| {
            dispatcher.reload(&config, routes, links, pseudonym, now)
        })
        .await;
        if result.is_ok() {
            self.reread = reread;
        }
        // The sender may have stopped waiting.
        drop(done.send(result));
        dispatcher
    }
}

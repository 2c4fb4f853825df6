//! The tasks of a daemon, and how they end.

use std::{future::Future, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};

use crate::dispatch::LAST_ATTEMPT;

/// How long a task may take that must not be cut short: an answer that is the only copy of its data gets 20 s, and what it
/// says is then written to the disk.
pub(super) const UNHURRIED: Duration = Duration::from_secs(25);

/// Tasks that end when the daemon stops, and some that end before.
pub(super) struct Tasks {
    /// Each returns whether it was allowed to end.
    set: JoinSet<bool>,
    /// Those that end themselves, at once if they can.
    unhurried: JoinSet<()>,
    /// When the request to stop came.
    stopping: watch::Sender<Option<Instant>>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Tasks { set: JoinSet::new(), unhurried: JoinSet::new(), stopping: watch::Sender::new(None) }
    }

    /// Resolves when the daemon stops.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let asked = self.asked_to_stop();
        async move {
            asked.await;
        }
    }

    /// Resolves when the daemon stops, with the time of the request.
    pub(super) fn asked_to_stop(&self) -> impl Future<Output = Instant> + Send + 'static {
        let mut stopping = self.stopping.subscribe();
        async move {
            // The sender outlives the tasks. If it did not, they should stop too.
            let asked = stopping.wait_for(Option::is_some).await.ok().and_then(|asked| *asked);
            asked.unwrap_or_else(Instant::now)
        }
    }

    /// Runs work that does not end by itself; it is dropped when the daemon stops.
    pub(super) fn spawn_endless(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped();
        self.set.spawn(async {
            tokio::select! {
                () = work => false,
                () = stopped => true,
            }
        });
    }

    /// Runs work that may end; it is dropped when the daemon stops.
    pub(super) fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped();
        self.set.spawn(async {
            tokio::select! {
                () = work => {}
                () = stopped => {}
            }
            true
        });
    }

    /// Runs work that ends by itself. When the daemon stops, it gets [`LAST_ATTEMPT`] to do so.
    pub(super) fn spawn_to_the_end(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped();
        self.set.spawn(async {
            tokio::select! {
                () = work => {}
                () = async { stopped.await; sleep(LAST_ATTEMPT).await; } => {}
            }
            true
        });
    }

    /// Runs work that ends itself once the daemon stops, see [`Tasks::stopped`].
    pub(super) fn spawn_stopping_itself(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let mut stopping = self.stopping.subscribe();
        self.set.spawn(async move {
            work.await;
            stopping.borrow_and_update().is_some()
        });
    }

    /// Runs work that ends itself once the daemon stops, and gets [`UNHURRIED`] to do so.
    pub(super) fn spawn_unhurried(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.unhurried.spawn(work);
    }

    /// Waits until a task ends that should not, and says why.
    pub(super) async fn failed(&mut self) -> String {
        loop {
            let ended = tokio::select! {
                ended = self.set.join_next() => ended,
                Some(ended) = self.unhurried.join_next() => Some(ended.map(|()| true)),
            };
            match ended {
                Some(Ok(true)) => {}
                Some(Ok(false)) => return "it returned".to_owned(),
                Some(Err(err)) => return JoinError::to_string(&err),
                None => return "all tasks returned".to_owned(),
            }
        }
    }

    /// Signals all tasks to stop and waits for them; returns whether they ended within `limit`, the unhurried ones within
    /// [`UNHURRIED`]. Tasks that did not are cut off.
    pub(super) async fn stop(&mut self, limit: Duration) -> bool {
        self.stopping.send_replace(Some(Instant::now()));
        let Tasks { set, unhurried, .. } = self;
        let drained = async {
            let drained = timeout(limit, async { while set.join_next().await.is_some() {} }).await;
            set.abort_all();
            drained
        };
        let unhurried = timeout(UNHURRIED, async { while unhurried.join_next().await.is_some() {} });
        let (drained, ended) = tokio::join!(drained, unhurried);
        drained.is_ok() && ended.is_ok()
    }
}

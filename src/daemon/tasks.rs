//! The tasks of a daemon, and how they end.

use std::{future::Future, time::Duration};

use tokio::{
    sync::watch,
    task::{AbortHandle, JoinError, JoinSet},
    time::{sleep, timeout},
};

/// What an attempt at telling somebody may still take after the daemon was told to stop. One that is cut off is made
/// again after the next start, under the same id.
const LAST_ATTEMPT: Duration = Duration::from_secs(3);

/// Tasks that end when the daemon stops, and some before.
pub(super) struct Tasks {
    /// Each tells whether it may have ended.
    set: JoinSet<bool>,
    stopping: watch::Sender<bool>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Tasks { set: JoinSet::new(), stopping: watch::Sender::new(false) }
    }

    /// Resolves when the daemon stops.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopping = self.stopping.subscribe();
        // The sender outlives the tasks; should it not, they had better stop too.
        async move { drop(stopping.wait_for(|stopping| *stopping).await) }
    }

    /// Runs what does not end by itself, and is dropped when the daemon stops.
    pub(super) fn spawn_endless(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped();
        self.set.spawn(async {
            tokio::select! {
                () = work => false,
                () = stopped => true,
            }
        });
    }

    /// Runs what may end, and is dropped when the daemon stops.
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

    /// Runs what ends by itself, also when the daemon stops, for which it is given a little time.
    pub(super) fn spawn_to_the_end(
        &mut self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let stopped = self.stopped();
        self.set.spawn(async {
            tokio::select! {
                () = work => {}
                () = async { stopped.await; sleep(LAST_ATTEMPT).await; } => {}
            }
            true
        })
    }

    /// Runs what ends itself once the daemon stops, see [`Tasks::stopped`].
    pub(super) fn spawn_stopping_itself(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let mut stopping = self.stopping.subscribe();
        self.set.spawn(async move {
            work.await;
            *stopping.borrow_and_update()
        });
    }

    /// Waits until a task has ended that should not have, and says why.
    pub(super) async fn failed(&mut self) -> String {
        loop {
            match self.set.join_next().await {
                Some(Ok(true)) => {}
                Some(Err(err)) if err.is_cancelled() => {}
                Some(Ok(false)) => return "it returned".to_owned(),
                Some(Err(err)) => return JoinError::to_string(&err),
                None => return "all of them did".to_owned(),
            }
        }
    }

    /// Tells all tasks to stop and waits for them; tells whether they did within `limit`.
    pub(super) async fn stop(&mut self, limit: Duration) -> bool {
        self.stopping.send_replace(true);
        let drained = timeout(limit, async { while self.set.join_next().await.is_some() {} });
        drained.await.is_ok()
    }
}

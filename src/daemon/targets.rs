//! The loops of the targets: which run, and how they change when the configuration does.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use tokio::sync::{
    mpsc,
    oneshot::{self, error::TryRecvError},
};

use super::{Shared, StartError, Tasks};
use crate::{
    board::Board,
    clock::Clock,
    config::{Target, TargetKind},
    poll::Poller,
    telemetry::Telemetry,
    upstream::{Timeouts, Upstream},
};

/// Users to be read again by name, for the loop of each target.
pub(super) type Rereads = HashMap<String, mpsc::UnboundedSender<Vec<Arc<str>>>>;

/// The loops that run.
#[derive(Default)]
pub(super) struct Targets {
    running: BTreeMap<String, Loop>,
    /// Those that make a last request, by target.
    ending: BTreeMap<String, oneshot::Receiver<()>>,
}

struct Loop {
    target: Target,
    reread: mpsc::UnboundedSender<Vec<Arc<str>>>,
    /// Dropped: the loop ends after the request that it is making.
    _stop: oneshot::Sender<()>,
    /// Closed when it has.
    ended: oneshot::Receiver<()>,
}

/// Loops that were built and do not run yet.
pub(super) struct NewTargets {
    /// Every target's name, those that go on as they are included.
    names: Vec<String>,
    new: Vec<NewTarget>,
}

struct NewTarget {
    target: Target,
    poller: Poller,
    reread: mpsc::UnboundedSender<Vec<Arc<str>>>,
}

impl Targets {
    /// Builds a loop for each target that is new or was changed, be it by what is in a file. Nothing runs yet.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub(super) fn prepare(
        &self,
        targets: &[Target],
        file_changed: impl Fn(&Path) -> bool,
        shared: &Shared,
    ) -> Result<NewTargets, StartError> {
        let mut new = Vec::new();
        for target in targets {
            let same_files = !target.files().into_iter().any(&file_changed);
            let running = self.running.get(&target.name);
            if running.is_some_and(|running| running.target == *target && same_files) {
                continue;
            }
            let (reread, requests) = mpsc::unbounded_channel();
            let poller = poller(target, &shared.board, &shared.telemetry, &shared.clock, requests)?;
            shared.beats.watch(format!("poll {}", target.name), poller.beat());
            new.push(NewTarget { target: target.clone(), poller, reread });
        }
        Ok(NewTargets { names: targets.iter().map(|target| target.name.clone()).collect(), new })
    }

    /// Runs what is new, and lets what is no longer wanted come to its end.
    pub(super) async fn commit(&mut self, new: NewTargets, shared: &Shared, tasks: &mut Tasks) {
        shared.board.set_targets(new.names.iter().map(String::as_str));
        // The store tells of its own failures.
        drop(shared.store.retain_targets(&new.names, shared.clock.now().wall).await);
        let gone: Vec<_> = self.running.keys().filter(|name| !new.names.contains(name)).cloned().collect();
        for name in gone {
            if let Some(running) = self.running.remove(&name) {
                self.ending.insert(name, running.ended);
            }
        }
        for NewTarget { target, poller, reread } in new.new {
            let name = target.name.clone();
            let before = self.running.remove(&name).map(|running| running.ended);
            let before = before.or_else(|| self.ending.remove(&name));
            let poller = if before.is_some() {
                poller.keeping(shared.store.clone(), None)
            } else {
                let saved = shared.store.load_users(&name).await.ok().flatten();
                poller.keeping(shared.store.clone(), saved)
            };
            let (stop, stopped) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            tasks.spawn(watch(name.clone(), poller, before, stopped, end, shared.clone()));
            self.running.insert(name, Loop { target, reread, _stop: stop, ended });
        }
        self.ending.retain(|_, ended| ended.try_recv() == Err(TryRecvError::Empty));
    }
}

impl NewTargets {
    /// The way to each loop that will run.
    pub(super) fn rereads(&self, targets: &Targets) -> Rereads {
        let kept = targets.running.iter().filter(|(name, _)| self.names.contains(name));
        let kept = kept.map(|(name, running)| (name.clone(), running.reread.clone()));
        let new = self.new.iter().map(|new| (new.target.name.clone(), new.reread.clone()));
        kept.chain(new).collect()
    }
}

/// Watches a target until `stopped`, once the loop of `before` has ended, which may be asking the panel something.
async fn watch(
    name: String,
    mut poller: Poller,
    before: Option<oneshot::Receiver<()>>,
    stopped: oneshot::Receiver<()>,
    ended: oneshot::Sender<()>,
    shared: Shared,
) {
    let report = |board: &Board| board.view().reports.iter().find(|report| *report.target == *name).cloned();
    if let Some(before) = before {
        // Nothing is sent.
        drop(before.await);
        if let Some(report) = report(&shared.board) {
            poller = poller.resuming((*report).clone());
        }
    }
    poller.run(stopped).await;
    if report(&shared.board).is_none() {
        shared.telemetry.forget_target(&name);
    }
    drop(ended);
}

/// The loop of one target. `requests` are users to read again by name.
///
/// # Errors
/// When a certificate or key cannot be used.
pub fn poller(
    target: &Target,
    board: &Board,
    telemetry: &Telemetry,
    clock: &Clock,
    requests: mpsc::UnboundedReceiver<Vec<Arc<str>>>,
) -> Result<Poller, StartError> {
    let timeouts = Timeouts { request: target.poll.timeout, page: target.poll.page_timeout };
    let upstream = match &target.kind {
        TargetKind::Marzban(marzban) => Upstream::marzban(marzban, timeouts),
    };
    let upstream = upstream.map_err(|source| StartError::Client { target: target.name.clone(), source })?;
    Ok(Poller::new(
        &target.name,
        upstream,
        target.poll.clone(),
        board.clone(),
        telemetry.clone(),
        clock.clone(),
        requests,
    ))
}

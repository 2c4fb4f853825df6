//! The loops of the targets: which run, and how they change when the configuration does.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use tokio::{
    sync::{
        mpsc,
        oneshot::{self, error::TryRecvError},
    },
    task::AbortHandle,
};

use super::{Shared, StartError, Tasks};
use crate::{
    board::Board,
    clock::Clock,
    config::{Target, TargetKind},
    model::Report,
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
    ending: BTreeMap<String, Ending>,
}

struct Loop {
    target: Target,
    reread: mpsc::UnboundedSender<Vec<Arc<str>>>,
    /// Dropped: the loop ends after the request that it is making.
    _stop: oneshot::Sender<()>,
    ending: Ending,
}

/// A loop as its successor sees it.
struct Ending {
    source: String,
    /// What the loop knew in the end; closed: it was aborted.
    ended: oneshot::Receiver<Report>,
    task: AbortHandle,
}

/// Loops that were built and do not run yet.
pub(super) struct NewTargets {
    /// Every target's name and source, those that go on as they are included.
    targets: Vec<(String, String)>,
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
        let targets = targets.iter().map(|target| (target.name.clone(), target.source()));
        Ok(NewTargets { targets: targets.collect(), new })
    }

    /// Runs what is new, and lets what is no longer wanted come to its end. A target that is another system by now begins
    /// again.
    pub(super) async fn commit(&mut self, new: NewTargets, shared: &Shared, tasks: &mut Tasks) {
        let NewTargets { targets, new } = new;
        let wanted = |name: &String| targets.iter().any(|(target, _)| target == name);
        let gone: Vec<_> = self.running.keys().filter(|name| !wanted(name)).cloned().collect();
        for name in gone {
            if let Some(running) = self.running.remove(&name) {
                self.ending.insert(name, running.ending);
            }
        }
        let mut before = BTreeMap::new();
        for NewTarget { target, .. } in &new {
            let running = self.running.remove(&target.name).map(|running| running.ending);
            let Some(ending) = running.or_else(|| self.ending.remove(&target.name)) else { continue };
            if ending.source == target.source() {
                before.insert(target.name.clone(), ending);
            } else {
                // Nothing that it still learns may be put down for its successor.
                ending.task.abort();
                drop(ending.ended.await);
            }
        }
        shared.board.set_targets(targets.iter().map(|(name, source)| (name.as_str(), source.as_str())));
        // The store logs its own failures.
        drop(shared.store.retain_targets(&targets, shared.clock.now().wall).await);
        for NewTarget { target, poller, reread } in new {
            let before = before.remove(&target.name);
            let saved = match &before {
                Some(_) => None,
                None => shared.store.load_users(&target.name).await.ok().flatten(),
            };
            let poller = poller.keeping(shared.store.clone(), saved);
            let (stop, stopped) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            let watch = watch(poller, before, stopped, end, shared.clone(), tasks.stopped());
            let ending = Ending { source: target.source(), ended, task: tasks.spawn_to_the_end(watch) };
            self.running.insert(target.name.clone(), Loop { target, reread, _stop: stop, ending });
        }
        self.ending.retain(|_, ending| matches!(ending.ended.try_recv(), Err(TryRecvError::Empty)));
    }
}

impl NewTargets {
    /// The way to each loop that will run.
    pub(super) fn rereads(&self, targets: &Targets) -> Rereads {
        let kept =
            targets.running.iter().filter(|(name, _)| self.targets.iter().any(|(target, _)| target == *name));
        let kept = kept.map(|(name, running)| (name.clone(), running.reread.clone()));
        let new = self.new.iter().map(|new| (new.target.name.clone(), new.reread.clone()));
        kept.chain(new).collect()
    }
}

/// Watches a target until `stopped`, once the loop of `before` has ended, which may be asking the panel something. When
/// the daemon stops, the request in flight is given up and the users are kept.
async fn watch(
    mut poller: Poller,
    before: Option<Ending>,
    stopped: oneshot::Receiver<()>,
    end: oneshot::Sender<Report>,
    shared: Shared,
    daemon_stops: impl Future<Output = ()>,
) {
    if let Some(before) = before
        && let Ok(report) = before.ended.await
    {
        poller = poller.resuming(report);
    }
    tokio::select! {
        () = poller.run(stopped) => {}
        () = daemon_stops => poller.keep_users().await,
    }
    let report = poller.into_report();
    if shared.board.view().reports.iter().all(|known| known.target != report.target) {
        shared.telemetry.forget_target(&report.target);
    }
    // There may be no successor.
    drop(end.send(report));
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
    let (config, board) = (target.poll.clone(), board.clone());
    let poller =
        Poller::new(&target.name, upstream, config, board, telemetry.clone(), clock.clone(), requests);
    Ok(poller.of(&target.source()))
}

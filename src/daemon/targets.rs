//! The loops of the targets: which run, and how they change when the configuration does.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use futures_util::future::join_all;
use tokio::{
    sync::{
        mpsc,
        oneshot::{self, error::TryRecvError},
    },
    time::timeout,
};

use super::{Shared, StartError, Tasks};
use crate::{
    board::Board,
    clock::Clock,
    config::{Target, TargetKind},
    dispatch::LAST_ATTEMPT,
    model::Report,
    poll::{Handover, Poller, Stopped},
    secret::HashKey,
    telemetry::Telemetry,
    upstream::{RefusedKeys, Upstream},
};

/// Users to be read again by name, for the loop of each target.
pub(super) type Rereads = HashMap<String, mpsc::UnboundedSender<Vec<Arc<str>>>>;

/// The loops that run.
#[derive(Default)]
pub(super) struct Targets {
    /// By target.
    running: BTreeMap<String, Loop>,
    /// Those that make a last request, by [`Report::id`](crate::model::Report::id).
    ending: BTreeMap<String, oneshot::Receiver<Handover>>,
}

struct Loop {
    target: Target,
    reread: mpsc::UnboundedSender<Vec<Arc<str>>>,
    /// Dropped: the loop ends after the request that it is making.
    _stop: oneshot::Sender<()>,
    /// What the loop knew in the end.
    ended: oneshot::Receiver<Handover>,
}

/// Which loops a configuration needs.
pub(super) struct TargetsPlan {
    /// An empty report of every target.
    targets: Vec<Report>,
    /// The targets that need a new loop.
    changed: Vec<(Target, Start)>,
}

/// What a new loop takes from the one that ran for its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// What it knew, if it is the same system.
    Knowing,
    /// Everything, its login included: only the pace or the prices have changed.
    GoingOn,
}

/// Loops that were built and do not run yet.
pub(super) struct NewTargets {
    /// An empty report of every target, those that go on as they are included.
    targets: Vec<Report>,
    new: Vec<NewTarget>,
}

struct NewTarget {
    target: Target,
    start: Start,
    poller: Poller,
    reread: mpsc::UnboundedSender<Vec<Arc<str>>>,
}

impl Targets {
    /// A loop is needed for each target that is new or has changed, including a change in one of its files, or in the key
    /// that hashes what it meets.
    pub(super) fn plan(
        &self,
        targets: &[Target],
        file_changed: impl Fn(&Path) -> bool,
        key_changed: bool,
    ) -> TargetsPlan {
        let change = |target: &Target| {
            let running = self.running.get(&target.name).map(|running| &running.target);
            let has_changed = target.files().into_iter().any(&file_changed) || key_changed && target.hashes();
            let same = running.filter(|_| !has_changed);
            match same {
                Some(running) if running == target => None,
                Some(running) if running.is_read_as(target) => Some((target.clone(), Start::GoingOn)),
                _ => Some((target.clone(), Start::Knowing)),
            }
        };
        TargetsPlan {
            targets: targets.iter().map(empty_report).collect(),
            changed: targets.iter().filter_map(change).collect(),
        }
    }

    /// Runs what is new, and lets what is no longer wanted come to its end. A target that is another system by now begins
    /// again: the board and the store do not take what the former one still answers for it.
    pub(super) async fn commit(&mut self, new: NewTargets, shared: &Shared, tasks: &mut Tasks) {
        let NewTargets { targets, new } = new;
        let goes_on = |name: &String| {
            let wanted = targets.iter().any(|report| *report.target == **name);
            wanted && new.iter().all(|new| new.target.name != *name)
        };
        let ends: Vec<_> = self.running.keys().filter(|name| !goes_on(name)).cloned().collect();
        for name in ends {
            if let Some(Loop { target, ended, .. }) = self.running.remove(&name) {
                self.ending.insert(empty_report(&target).id(), ended);
            }
        }
        shared.board.set_targets(&targets);
        let ids: Vec<_> = targets.iter().map(Report::id).collect();
        // The store logs its own failures.
        drop(shared.store.retain_targets(&ids, shared.clock.now().wall).await);
        shared.usage.retain_targets(&ids, shared.clock.now().wall);
        let starts = new.into_iter().map(async |NewTarget { target, start, poller, reread }| {
            let id = empty_report(&target).id();
            let saved = match self.ending.contains_key(&id) {
                true => None,
                false => shared.store.load_users(&id).await.ok().flatten(),
            };
            let poller = poller.keeping(shared.store.clone(), saved).counting(shared.usage.clone());
            (id, target, start, poller, reread)
        });
        for (id, target, start, poller, reread) in join_all(starts).await {
            let (stop, stopped) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            let before = self.ending.remove(&id).map(|before| (before, start));
            let watch = watch(poller, before, stopped, end, shared.clone(), tasks.stopped());
            tasks.spawn_unhurried(watch);
            self.running.insert(target.name.clone(), Loop { target, reread, _stop: stop, ended });
        }
        self.ending.retain(|_, ended| matches!(ended.try_recv(), Err(TryRecvError::Empty)));
    }
}

fn empty_report(target: &Target) -> Report {
    Report::of(target.name.as_str(), target.source())
}

impl TargetsPlan {
    /// Builds the loops. Nothing runs yet. Reads certificates and keys, so not for async threads.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub(super) fn build(self, shared: &Shared, key: Option<&HashKey>) -> Result<NewTargets, StartError> {
        let Shared { board, clock, telemetry, beats, refused_keys, store: _, usage: _, storage_key: _ } =
            shared;
        let mut new = Vec::new();
        for (target, start) in self.changed {
            let (reread, requests) = mpsc::unbounded_channel();
            let poller = poller(&target, key, refused_keys, board, telemetry, clock, requests)?;
            beats.watch(format!("poll {}", target.name), poller.beat());
            new.push(NewTarget { target, start, poller, reread });
        }
        Ok(NewTargets { targets: self.targets, new })
    }
}

impl NewTargets {
    /// The way to each loop that will run.
    pub(super) fn rereads(&self, targets: &Targets) -> Rereads {
        let kept = targets
            .running
            .iter()
            .filter(|(name, _)| self.targets.iter().any(|report| *report.target == ***name));
        let kept = kept.map(|(name, running)| (name.clone(), running.reread.clone()));
        let new = self.new.iter().map(|new| (new.target.name.clone(), new.reread.clone()));
        kept.chain(new).collect()
    }
}

/// Watches a target until `stopped`, once the loop of `before` has ended, which may be asking the panel something. When
/// the daemon stops, the request in flight is given up, see [`Poller::run_until`], and the users are kept.
async fn watch(
    mut poller: Poller,
    before: Option<(oneshot::Receiver<Handover>, Start)>,
    stopped: oneshot::Receiver<()>,
    end: oneshot::Sender<Handover>,
    shared: Shared,
    daemon_stops: impl Future<Output = ()>,
) {
    if let Some((before, start)) = before
        && let Ok(before) = before.await
    {
        poller = match start {
            Start::Knowing => poller.resuming(before),
            Start::GoingOn => poller.going_on(before),
        };
    }
    if poller.run_until(stopped, daemon_stops).await == Stopped::AtOnce {
        // A list that cannot be kept in time is read again after the next start.
        drop(timeout(LAST_ATTEMPT, poller.keep_users()).await);
    }
    let left = poller.hand_over();
    if shared.board.view().reports.iter().all(|known| *known.target != *left.target()) {
        shared.telemetry.forget_target(left.target());
    }
    // There may be no successor.
    drop(end.send(left));
}

/// The loop of one target. `key` hashes what it meets, if it hashes anything, `refused` are the keys that servers refused,
/// and `requests` are users to read again by name.
///
/// # Errors
/// When a certificate or key cannot be used.
pub fn poller(
    target: &Target,
    key: Option<&HashKey>,
    refused: &RefusedKeys,
    board: &Board,
    telemetry: &Telemetry,
    clock: &Clock,
    requests: mpsc::UnboundedReceiver<Vec<Arc<str>>>,
) -> Result<Poller, StartError> {
    let upstream = match &target.kind {
        TargetKind::Marzban(marzban) => Upstream::marzban(marzban, target.poll.timeouts()),
        TargetKind::Xui(xui) => Upstream::xui(xui, target.poll.timeouts()),
        TargetKind::Cliproxy(cliproxy) => {
            let key = key.ok_or_else(|| StartError::NoKey(target.name.clone()))?;
            Upstream::cliproxy(cliproxy, key.clone(), refused, target.poll.timeouts())
        }
    };
    let upstream = upstream.map_err(|source| StartError::Client { target: target.name.clone(), source })?;
    let (config, board) = (target.poll.clone(), board.clone());
    let poller =
        Poller::new(&target.name, upstream, config, board, telemetry.clone(), clock.clone(), requests);
    Ok(poller.of(&target.source()).allowing(target.allowances()))
}

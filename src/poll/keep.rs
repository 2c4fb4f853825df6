//! What a loop keeps for the next process: users, durable counters, the journal.

use std::{sync::Arc, time::Duration};

use tracing::{debug, warn};

use super::{Poller, saved};
use crate::{
    model::{CounterChange, Journal, NodePeriods, Outcome, Part, PartState, Users},
    store::{SavedUsers, Store},
};

impl Poller {
    /// Stores the users of each finished walk in `store`. Starts with the stored users, with their age, if they can be
    /// decoded.
    #[must_use]
    pub fn keeping(mut self, store: Store, saved: Option<SavedUsers>) -> Self {
        self.store = Some(store);
        self.load_counters_at = Some(Duration::ZERO);
        let Some(saved) = saved else { return self };
        let target_name = &*self.report.target;
        match saved::decode(&saved.users) {
            Ok((users, beside)) => {
                let (now, read) = (self.clock.now().wall, self.clock.long_ago(saved.read_at));
                let ahead = users.iter().any(|user| user.read_at > now);
                let round = saved.read_at.since(saved.started);
                self.schedule.remember(Part::Users, round);
                debug!(target_name, users = users.len(), "users restored from the store");
                // After the clock was set back, it is unknown whether the list is older than the rest of the stored
                // state.
                let started = (!ahead).then(|| self.clock.long_ago(saved.started));
                self.report.users = Arc::new(Users::restored(users, started).with(beside));
                let state = PartState {
                    outcome: Outcome::Pending,
                    last_success: Some(read),
                    last_data: Some(read),
                    duration: Some(round),
                    round: self.schedule.round(Part::Users),
                    stale_after: self.schedule.stale_after(Part::Users),
                };
                self.report.parts.insert(Part::Users, state);
                self.board.publish(self.report.clone());
            }
            // The error may quote a user.
            Err(err) => {
                let (line, column) = (err.line(), err.column());
                warn!(target_name, line, column, "the stored users cannot be decoded: {:?}", err.classify());
            }
        }
        self
    }

    /// Stores the users of the last finished walk, with what was read since, for the next process, unless they are
    /// stored already.
    pub async fn keep_users(&mut self) {
        let users = Arc::clone(&self.report.users);
        let read = self.report.parts.get(&Part::Users).and_then(|state| state.last_success);
        let Some(((read, started), store)) = read.zip(users.walked_since()).zip(self.store.as_ref()) else {
            return;
        };
        if !self.unkept {
            return;
        }
        let encoded = tokio::task::spawn_blocking(move || saved::encode(users.list(), users.beside())).await;
        let Ok(Ok(users)) = encoded else { return };
        // The history before the list: the next process would miss what only this one has seen.
        if let Some(used) = &self.used {
            drop(tokio::time::timeout(WRITTEN_WITHIN, used.write(&self.report)).await);
        }
        let saved = SavedUsers { read_at: read.wall, started: started.wall, users };
        // The store logs its own failures.
        drop(store.save_users(&self.report.id(), saved).await);
        self.unkept = false;
    }

    /// Stores what has changed of the journal, and of what nodes have moved.
    pub(super) async fn keep_journal(&mut self) {
        self.report.journal.keep(self.board.view().own.digested, self.clock.now());
        if self.load_counters_at.is_none() {
            let periods = self.report.node_periods.take_changes(self.clock.now());
            let journal = self.report.journal.take_changes();
            self.commit(journal.into_iter().chain(periods).collect()).await;
        }
    }

    /// Continues the durable counters where an earlier loop of the target, or an earlier process, left them.
    pub(super) async fn load_counters(&mut self) {
        let now = self.clock.now().uptime;
        let Some(store) = self.store.as_ref().filter(|_| self.load_counters_at.is_some_and(|at| now >= at))
        else {
            return;
        };
        self.load_counters_at = match store.load_counters(&self.report.id()).await {
            Ok(mut counters) => {
                if let Some(at) = counters.iter().position(|(family, _)| family == Journal::FAMILY) {
                    self.report.journal.restore(&counters.swap_remove(at).1);
                }
                if let Some(at) = counters.iter().position(|(family, _)| family == NodePeriods::FAMILY) {
                    self.report.node_periods.restore(&counters.swap_remove(at).1);
                }
                let outdated = self.upstream.resume(&counters, self.clock.now());
                self.load_counters_at = None;
                return self.commit(outdated).await;
            }
            Err(err) => {
                warn!(target_name = &*self.report.target, "durable counters are not loaded yet: {err}");
                Some(self.clock.now().uptime + LOAD_AGAIN_AFTER)
            }
        };
    }

    /// Stores what must survive a restart. If the disk fails, the store keeps it in memory until the disk works again.
    /// Counters that are not loaded yet are not overwritten.
    pub(super) async fn commit(&mut self, changes: Vec<CounterChange>) {
        let Some(store) = self.store.as_ref().filter(|_| self.load_counters_at.is_none()) else { return };
        if !changes.is_empty() {
            // The store logs its own failures.
            drop(store.commit_counters(&self.report.id(), changes).await);
        }
    }
}

/// A disk that does not answer is asked for the durable counters again after this time.
const LOAD_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How long a target's loop waits for the history, which is less than the daemon gives it at the end.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

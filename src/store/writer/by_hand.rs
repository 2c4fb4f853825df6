//! A store without a thread, for tests with paused time, which would advance while a thread works.

use super::*;
use crate::{
    model::Notice,
    store::{ReceiverState, Settlement, Store, outbox::Queued},
};

/// A database in memory that outlives its stores, like a disk that outlives processes.
pub(crate) struct ByHand {
    writer: Writer,
    queue: mpsc::Receiver<Request>,
}

/// What one change did to notices.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) queued: Vec<Notice>,
    /// Ids of merged notices, and the notice that replaces them.
    pub(crate) replaced: Option<(Vec<String>, Notice)>,
    pub(crate) settled: Vec<(String, Settlement)>,
    pub(crate) receiver: Option<(String, ReceiverState)>,
}

impl ByHand {
    pub(crate) fn new() -> Self {
        ByHand { writer: Writer::in_memory(Arc::default()), queue: mpsc::channel().1 }
    }

    /// A store whose changes wait for [`ByHand::work`]. Changes that wait in an earlier store are lost.
    pub(crate) fn store(&mut self) -> Store {
        let (requests, queue) = mpsc::channel();
        self.queue = queue;
        Store::new(requests, Arc::clone(&self.writer.health))
    }

    /// What a store would load if it were opened now.
    pub(crate) fn loaded(&self) -> Loaded {
        loaded::load(&self.writer.memory).unwrap()
    }

    /// Applies the first waiting change, if any.
    pub(crate) fn work(&mut self) -> Option<Written> {
        let Work::Change { change, answer } = self.queue.try_recv().ok()?.work else {
            unimplemented!("only changes are supported")
        };
        let done = self.writer.change(&change);
        assert!(done.is_ok(), "{done:?}");
        drop(answer.send(done));
        let notice = |queued: &Queued| serde_json::from_str(&queued.json).unwrap();
        Some(match change {
            Change::Record { notices, .. } | Change::Revived { notices, .. } => {
                Written { queued: notices.iter().map(notice).collect(), ..Written::default() }
            }
            Change::Settled { notices, receiver, told } => Written {
                queued: told.iter().map(notice).collect(),
                settled: notices,
                receiver: receiver.map(|(name, state)| (name, serde_json::from_str(&state).unwrap())),
                replaced: None,
            },
            Change::Replaced { old_ids, notice: merged } => {
                Written { replaced: Some((old_ids, notice(&merged))), ..Written::default() }
            }
            Change::Users { .. } | Change::Counters { .. } | Change::Targets { .. } => Written::default(),
        })
    }
}

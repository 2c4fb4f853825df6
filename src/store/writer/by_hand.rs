//! A store without a thread, for tests with paused time, which would advance while a thread works.

use super::*;
use crate::{
    model::Notice,
    store::{Settlement, Store},
};

/// A database in memory that outlives its stores, like a disk that outlives processes.
pub(crate) struct ByHand {
    writer: Writer,
    queue: mpsc::Receiver<Request>,
    next: Option<Request>,
}

/// What one change did to alerts, messages and receivers.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) alerts: Vec<(String, Option<String>)>,
    pub(crate) messages: Vec<Notice>,
    pub(crate) settled: Vec<(String, Settlement)>,
}

impl ByHand {
    pub(crate) fn new() -> Self {
        ByHand { writer: Writer::in_memory(Arc::default()), queue: mpsc::channel().1, next: None }
    }

    /// A store whose changes wait for [`ByHand::work`]. Changes that wait in an earlier store are lost.
    pub(crate) fn store(&mut self) -> Store {
        let (requests, queue) = mpsc::channel();
        (self.queue, self.next) = (queue, None);
        Store::new(requests, Arc::clone(&self.writer.health))
    }

    /// What a store would load if it were opened now.
    pub(crate) fn loaded(&self) -> Loaded {
        loaded::load(&self.writer.memory).unwrap()
    }

    /// Whether a change waits.
    pub(crate) fn waits(&mut self) -> bool {
        self.next = self.next.take().or_else(|| self.queue.try_recv().ok());
        self.next.is_some()
    }

    /// Applies the first waiting change, if any.
    pub(crate) fn work(&mut self) -> Option<Written> {
        let next = self.next.take().or_else(|| self.queue.try_recv().ok());
        let Work::Change { change, answer, wait } = next?.work else {
            unimplemented!("only changes are supported")
        };
        let done = self.writer.commit(std::slice::from_ref(&change)).remove(0);
        assert!(done.is_ok(), "{done:?}");
        drop(wait);
        drop(answer.send(done));
        let notices = |messages: &[Message]| {
            messages.iter().map(|message| message.packed.unpack().unwrap()).collect::<Vec<_>>()
        };
        Some(match change {
            Change::Record { alerts, groups: _, silences: _, messages, settled, receivers: _ } => {
                Written { alerts, messages: notices(&messages), settled }
            }
            Change::Revived { messages, .. } => {
                Written { messages: notices(&messages), ..Written::default() }
            }
            Change::Users { .. } | Change::Counters { .. } | Change::Targets { .. } => Written::default(),
        })
    }
}

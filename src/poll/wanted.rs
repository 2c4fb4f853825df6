//! Users to request by name.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

/// Users to request by name, in order, each once.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) queue: VecDeque<Arc<str>>,
    known: HashSet<Arc<str>>,
    /// A request by name failed. The list goes first, or a request that always fails would block it for ever.
    pub(super) put_off: bool,
}

impl Wanted {
    pub(super) fn waits(&self) -> bool {
        !self.put_off && !self.queue.is_empty()
    }

    pub(super) fn add(&mut self, names: Vec<Arc<str>>) {
        for name in names {
            if self.known.insert(Arc::clone(&name)) {
                self.queue.push_back(name);
            }
        }
    }

    pub(super) fn take(&mut self, most: usize) -> Vec<Arc<str>> {
        let names: Vec<_> = self.queue.drain(..self.queue.len().min(most)).collect();
        for name in &names {
            self.known.remove(name);
        }
        names
    }

    pub(super) fn put_off(&mut self, names: Vec<Arc<str>>) {
        self.add(names);
        self.put_off = true;
    }
}

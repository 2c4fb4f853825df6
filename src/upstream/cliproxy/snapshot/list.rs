//! How far one list of details was counted.

use std::time::Duration;

use crate::{
    model::Timestamp,
    upstream::cliproxy::stored::{millis, of_millis},
};

/// Former lists whose parts are recognised.
const FORMER: usize = 3;
/// The server's clock is known to the second.
const SECOND: Duration = Duration::from_secs(1);

/// How far a list was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Details counted, those that the server has dropped included.
    pub(super) count: u64,
    /// Stands for the first detail.
    pub(super) first: u64,
    /// Stands for the last detail; 0: it is not known.
    pub(super) last: u64,
    /// Tokens of the details counted.
    pub(super) tokens: u64,
    /// Details that are still to come of a part of a former list.
    pub(super) again: u64,
    /// When the former list was last read, if the server was read since.
    pub(super) former_read: Option<Timestamp>,
    /// Former lists: how many details they had, and what stands for the first one.
    pub(super) former: Vec<(u64, u64)>,
    /// It is not stored as it is.
    pub(super) changed: bool,
    /// The number of the snapshot that had it last; not stored.
    pub(super) seen: u64,
}

impl List {
    /// The server has begun again.
    pub(super) fn begins_again(&mut self) {
        if self.count == 0 {
            return;
        }
        if self.first != 0 {
            match self.former.iter_mut().find(|(_, first)| *first == self.first) {
                Some((count, _)) => *count = self.count.max(*count),
                None => self.former.push((self.count, self.first)),
            }
            // The shortest one is forgotten: after some restarts in a row, those in between have hardly anything.
            if self.former.len() > FORMER
                && let Some(shortest) = (0..self.former.len()).min_by_key(|at| self.former.get(*at))
            {
                self.former.remove(shortest);
            }
        }
        (self.count, self.first, self.last, self.tokens, self.again) = (0, 0, 0, 0, 0);
    }

    /// Goes on to the next detail, and returns whether it is new. `started` is when its attempt did, and `read` when the
    /// server was last read.
    pub(super) fn next(
        &mut self,
        print: impl FnOnce() -> u64,
        started: Option<Timestamp>,
        read: Option<Timestamp>,
    ) -> bool {
        self.count += 1;
        self.last = 0;
        self.changed = true;
        if self.again > 0 {
            // Whatever began after the former list was read is not of it.
            let began_before =
                |(started, read): (Timestamp, Timestamp)| started < read.saturating_add(SECOND);
            let is_former = started.zip(self.former_read.or(read)).is_none_or(began_before);
            self.again = if is_former { self.again - 1 } else { 0 };
            if is_former {
                return false;
            }
        }
        if self.former.is_empty() {
            return true;
        }
        let print = print();
        let former = self.former.iter().find(|(_, first)| *first == print);
        if let Some((count, _)) = former {
            self.again = count.saturating_sub(1);
        }
        former.is_none()
    }

    pub(super) fn values(&self) -> Vec<u64> {
        let List { count, first, last, tokens, again, former_read, former, changed: _, seen: _ } = self;
        let own = [*count, *first, *last, *tokens, *again, former_read.map_or(0, millis)];
        own.into_iter().chain(former.iter().flat_map(|(count, first)| [*count, *first])).collect()
    }

    /// Restores the output of [`List::values`].
    pub(super) fn restored(values: &[u64]) -> Option<List> {
        let ([count, first, last, tokens, again, former_read], former) = values.split_first_chunk()?;
        let (former, _) = former.as_chunks::<2>();
        let former = former.iter().take(FORMER).map(|[count, first]| (*count, *first)).collect();
        let (count, first, last, tokens, again) = (*count, *first, *last, *tokens, *again);
        let former_read = of_millis(*former_read);
        Some(List { count, first, last, tokens, again, former_read, former, changed: false, seen: 0 })
    }
}

//! Decides which page of the user list to request next. No I/O: requests come out, answers go in.
//!
//! Pages are cut by offset from a list that changes meanwhile, so each page also requests the last row of the page
//! before. If that row is a known one, no row was missed. If it is not, rows were removed before it, and the walk goes
//! back until it finds a known one. Names are compared for equality only, because databases sort them by rules of
//! their own. A page that the panel fails on is halved until the row that causes it is alone and is skipped.
//!
//! A walk ends by what it has read. The panel's own count of the list may be wrong: it can only add requests.

use std::collections::BTreeMap;

use crate::model::{Moment, Unreadable, UnreadableCause, UnreadableRow, User, UserNames, Users, WalkEnd};

/// Rows per request: measured as the best compromise between speed and a panel's memory.
pub(super) const PAGE: usize = 500;
/// Rows per request to a panel that returned no whole page in time.
const SMALLEST_PAGE: usize = 25;
/// Rows that one walk may skip, and failures in a row, before the panel itself counts as broken.
const MAX_POISONED: usize = 2000;
const MAX_FAILURES: usize = 40;
/// How often a walk may go back without progress. A panel whose order changes with every request would never let it
/// end.
const MAX_GOING_BACK: usize = 50;
/// Pages in a row that may bring nothing new. After many users were added before the walk's position, the rows that it
/// has read come again.
const MAX_REPEATS: usize = 20;

/// A part of the list: `limit` rows from `offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

/// A decoded page.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// In the panel's order.
    pub(super) rows: Vec<Result<User, LeftOut>>,
    /// Rows of the whole list.
    pub(super) total: Option<usize>,
}

/// Why a row gives no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    Unreadable(UnreadableCause),
    /// Its name is longer than any may be.
    Omitted,
}

/// The state of a walk.
#[derive(Debug)]
pub(super) struct Walk {
    started: Moment,
    /// Every row before this one was read or skipped.
    at: usize,
    /// Rows before `at` to request again.
    overlap: usize,
    /// Rows to request from `at` on.
    size: usize,
    /// A row before this one makes the panel fail.
    bad_before: Option<usize>,
    /// Rows right before `at` that were skipped. They cannot be requested again together with others.
    skipped: usize,
    /// The next request is for one row, to check whether rows moved while there was no overlap.
    probe: Option<Probe>,
    /// The position at which a probe showed that no rows moved.
    confirmed: Option<usize>,
    failures: usize,
    /// The size of the last step back, and the number of steps back since the last progress.
    back: usize,
    gone_back: usize,
    furthest: usize,
    /// Pages in a row without anything new.
    repeats: usize,
    /// Rows of the whole list, according to the panel.
    total: Option<usize>,
    /// Rows that were skipped or give no user.
    left_out: BTreeMap<usize, LeftOut>,
    seen: UserNames,
}

/// The row before the skipped ones, which must be a known one; or the list's first row, if it was skipped, on which
/// the panel must fail again.
#[derive(Clone, Copy, Debug)]
struct Probe {
    row: usize,
    known: bool,
    /// The position of the walk when the probe became necessary.
    at: usize,
}

/// What to do after an answer.
#[derive(Debug)]
pub(super) enum Advance {
    /// These users are new on this walk; continue.
    More(Vec<User>),
    End(WalkEnd),
}

/// The panel fails too often for single rows to be the cause.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Walk {
    pub(super) fn new(started: Moment, size: usize) -> Self {
        Walk {
            started,
            at: 0,
            overlap: 0,
            size,
            bad_before: None,
            skipped: 0,
            probe: None,
            confirmed: None,
            failures: 0,
            back: 0,
            gone_back: 0,
            furthest: 0,
            repeats: 0,
            total: None,
            left_out: BTreeMap::new(),
            seen: UserNames::default(),
        }
    }

    pub(super) fn next(&self) -> Span {
        match self.probe {
            Some(probe) => Span { offset: probe.row, limit: 1 },
            None => Span { offset: self.at - self.overlap, limit: self.overlap + self.size },
        }
    }

    /// Processes the answer to [`Walk::next`]; `largest` is the page size to grow back to.
    pub(super) fn answered(&mut self, page: Page, largest: usize) -> Advance {
        self.failures = 0;
        self.total = page.total.or(self.total);
        if let Some(probe) = self.probe.take() {
            let holds = probe.known && page.rows.first().is_some_and(|row| self.knows(row));
            let fresh = self.meet(page.rows, probe.row);
            self.conclude(probe, holds);
            return Advance::More(fresh);
        }
        let span = self.next();
        let anchored = span.offset < self.at;
        let moved = anchored && !page.rows.first().is_some_and(|row| self.knows(row));
        let rows = page.rows.len();
        let reached = span.offset + rows;
        let met = self.met();
        let fresh = self.meet(page.rows, span.offset);
        let too_long = self.met() > Users::MOST;
        if moved && self.gone_back < MAX_GOING_BACK && !too_long {
            self.go_back(span.offset);
            return Advance::More(fresh);
        }
        let no_progress = reached <= self.at;
        let is_new = self.met() > met;
        self.repeats = match is_new {
            true => 0,
            // After a step back, known rows come again.
            false => self.repeats + usize::from(reached >= self.furthest),
        };
        let goes_on = rows >= span.limit || self.total.is_some_and(|total| total > reached);
        // A page that is too long does not follow the request, so the next one would be the same.
        let repeats = !is_new && (rows > span.limit || self.repeats > MAX_REPEATS);
        let sure = anchored || self.at == 0 || self.confirmed == Some(self.at);
        if !sure && self.gone_back < MAX_GOING_BACK && !too_long {
            let good = self.last_good();
            self.probe = Some(Probe { row: good.unwrap_or(0), known: good.is_some(), at: self.at });
        } else if no_progress || !goes_on || repeats || too_long {
            return Advance::End(self.end(fresh, reached));
        }
        if anchored {
            self.back = 0;
        }
        if !no_progress {
            self.at = reached;
            self.overlap = 1;
            self.skipped = 0;
        }
        if self.at > self.furthest {
            self.furthest = self.at;
            self.gone_back = 0;
        }
        self.size = match self.bad_before.filter(|bad| *bad > self.at) {
            Some(bad) => (bad - self.at).div_ceil(2),
            None => self.size.saturating_mul(2).min(largest),
        };
        Advance::More(fresh)
    }

    /// A row of the last request keeps its page from being read, for this reason.
    pub(super) fn failed(&mut self, cause: UnreadableCause) -> Result<(), Broken> {
        if let Some(probe) = self.probe.take() {
            if self.failures > MAX_FAILURES {
                return Err(Broken);
            }
            self.conclude(probe, !probe.known);
            return Ok(());
        }
        self.failures += 1;
        let fails = |why: &&LeftOut| {
            matches!(why, LeftOut::Unreadable(UnreadableCause::PanelFails | UnreadableCause::TooLarge))
        };
        if self.left_out.values().filter(fails).count() >= MAX_POISONED {
            return Err(Broken);
        }
        if self.failures > MAX_FAILURES {
            // Either many bad rows are adjacent, or the panel fails on everything; a known row decides which.
            let Some(row) = self.last_good() else { return Err(Broken) };
            self.probe = Some(Probe { row, known: true, at: self.at });
            return Ok(());
        }
        if self.size > 1 {
            self.bad_before = Some(self.at + self.size);
            self.size /= 2;
        } else if self.overlap > 0 {
            self.overlap = 0;
        } else {
            self.left_out.insert(self.at, LeftOut::Unreadable(cause));
            self.at += 1;
            self.skipped += 1;
            self.bad_before = None;
        }
        Ok(())
    }

    /// Rows that were read, and all that the walk is going to read, if the panel counts them.
    pub(super) fn progress(&self) -> (usize, Option<usize>) {
        (self.met(), self.total.map(|total| total.min(Users::MOST).max(self.met())))
    }

    /// The last request timed out; the next one must be for no more than `size` rows.
    pub(super) fn shrink(&mut self, size: usize) {
        self.size = self.size.min(size);
    }

    /// The end of a walk whose last page has these new users and ended at `reached`.
    fn end(&mut self, page: Vec<User>, reached: usize) -> WalkEnd {
        let (mut unreadable, mut omitted) = (Unreadable::default(), 0);
        for (place, why) in &self.left_out {
            match *why {
                LeftOut::Unreadable(cause) => unreadable.add(UnreadableRow { place: *place, cause }),
                LeftOut::Omitted => omitted += 1,
            }
        }
        if self.met() > Users::MOST {
            omitted += self.total.map_or(0, |total| total.saturating_sub(reached));
        }
        let seen = std::mem::take(&mut self.seen);
        WalkEnd { page, seen, unreadable, omitted, total: self.total, started: self.started }
    }

    /// Rows that were met and are remembered.
    fn met(&self) -> usize {
        self.seen.len() + self.left_out.len()
    }

    fn conclude(&mut self, probe: Probe, holds: bool) {
        if holds {
            self.confirmed = Some(probe.at);
        } else {
            self.go_back(probe.row);
        }
    }

    /// The row before the rows that were skipped right before `at`.
    fn last_good(&self) -> Option<usize> {
        self.at.checked_sub(self.skipped + 1)
    }

    /// Rows before `offset` were removed: goes back, each time eight times as far.
    fn go_back(&mut self, offset: usize) {
        self.gone_back += 1;
        self.back = self.back.max(1).saturating_mul(8);
        self.at = offset.saturating_sub(self.back - 1);
        self.overlap = self.at.min(1);
        self.bad_before = None;
        self.skipped = 0;
        self.left_out.split_off(&self.at);
    }

    /// Whether the panel reports users but returned none.
    pub(super) fn found_none(end: &WalkEnd) -> bool {
        end.seen.is_empty() && end.total.unwrap_or(0).max(end.unreadable.rows + end.omitted) > 0
    }

    fn knows(&self, row: &Result<User, LeftOut>) -> bool {
        // An unreadable row cannot show that the list has moved.
        row.as_ref().map_or(true, |user| self.seen.contains(&user.name))
    }

    /// Records the rows' names and returns the users seen for the first time. Beyond the cap of the list, users are left
    /// out.
    fn meet(&mut self, rows: Vec<Result<User, LeftOut>>, offset: usize) -> Vec<User> {
        let mut fresh = Vec::with_capacity(rows.len());
        for (position, row) in (offset..).zip(rows) {
            match row {
                Ok(user) if self.seen.contains(&user.name) => {}
                Ok(user) if self.seen.len() < Users::MOST => {
                    self.seen.insert(&user.name);
                    fresh.push(user);
                }
                Ok(_) => drop(self.left_out.insert(position, LeftOut::Omitted)),
                Err(why) => drop(self.left_out.insert(position, why)),
            }
        }
        fresh
    }
}

/// The page size after a page of `size` rows timed out.
pub(super) fn smaller(size: usize) -> usize {
    (size / 2).max(SMALLEST_PAGE)
}

#[cfg(test)]
mod tests;

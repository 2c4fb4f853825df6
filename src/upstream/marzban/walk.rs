//! Decides which page of the user list to request next. No I/O: requests come out, answers go in.
//!
//! Pages are cut by offset from a list that changes meanwhile, so each page also requests the last row of the page
//! before. If that row is a known one, no row was missed. If it is not, rows were removed before it, and the walk goes
//! back until it finds a known one. Names are compared for equality only, because databases sort them by rules of
//! their own. A page that the panel fails on is halved until the row that causes it is alone and is skipped.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crate::model::{Moment, Unreadable, UnreadableCause, UnreadableRow, User, WalkEnd};

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
/// Names that one walk remembers; a panel with more users is broken.
const MAX_SEEN: usize = 5_000_000;

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
    /// Rows of the whole list, according to the panel.
    total: usize,
    /// Rows that were skipped or give no user.
    left_out: BTreeMap<usize, LeftOut>,
    seen: HashSet<Arc<str>>,
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
            total: 0,
            left_out: BTreeMap::new(),
            seen: HashSet::new(),
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
        if let Some(probe) = self.probe.take() {
            let holds = probe.known && page.rows.first().is_some_and(|row| self.knows(row));
            let fresh = self.meet(page.rows, probe.row);
            self.conclude(probe, holds);
            return Advance::More(fresh);
        }
        let span = self.next();
        let anchored = span.offset < self.at;
        let moved = anchored && !page.rows.first().is_some_and(|row| self.knows(row));
        let reached = span.offset + page.rows.len();
        self.total = page.total.unwrap_or(reached);
        let whole = match page.total {
            Some(total) => reached >= total,
            None => page.rows.len() < span.limit,
        };
        let no_progress = reached <= self.at;
        let fresh = self.meet(page.rows, span.offset);
        if moved && self.gone_back < MAX_GOING_BACK {
            self.go_back(span.offset);
            return Advance::More(fresh);
        }
        let sure = anchored || self.at == 0 || self.confirmed == Some(self.at);
        if !sure && self.gone_back < MAX_GOING_BACK {
            let good = self.last_good();
            self.probe = Some(Probe { row: good.unwrap_or(0), known: good.is_some(), at: self.at });
        } else if whole || no_progress || self.seen.len() > MAX_SEEN {
            return Advance::End(WalkEnd {
                page: fresh,
                seen: std::mem::take(&mut self.seen),
                unreadable: self.unreadable(),
                omitted: self.left_out.values().filter(|why| **why == LeftOut::Omitted).count(),
                total: None,
                started: self.started,
            });
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

    /// The panel answered with a server error.
    pub(super) fn failed(&mut self) -> Result<(), Broken> {
        if let Some(probe) = self.probe.take() {
            if self.failures > MAX_FAILURES {
                return Err(Broken);
            }
            self.conclude(probe, !probe.known);
            return Ok(());
        }
        self.failures += 1;
        if self.left_out.len() >= MAX_POISONED {
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
            self.left_out.insert(self.at, LeftOut::Unreadable(UnreadableCause::PanelFails));
            self.at += 1;
            self.skipped += 1;
            self.bad_before = None;
        }
        Ok(())
    }

    /// The last request timed out; the next one must be for no more than `size` rows.
    pub(super) fn shrink(&mut self, size: usize) {
        self.size = self.size.min(size);
    }

    fn unreadable(&self) -> Unreadable {
        let mut unreadable = Unreadable::default();
        for (place, why) in &self.left_out {
            if let LeftOut::Unreadable(cause) = *why {
                unreadable.add(UnreadableRow { place: *place, cause });
            }
        }
        unreadable
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
    pub(super) fn found_none(&self, end: &WalkEnd) -> bool {
        end.seen.is_empty() && self.total > 0
    }

    fn knows(&self, row: &Result<User, LeftOut>) -> bool {
        // An unreadable row cannot show that the list has moved.
        row.as_ref().map_or(true, |user| self.seen.contains(&user.name))
    }

    /// Records the rows' names and returns the users seen for the first time.
    fn meet(&mut self, rows: Vec<Result<User, LeftOut>>, offset: usize) -> Vec<User> {
        let mut fresh = Vec::with_capacity(rows.len());
        for (position, row) in (offset..).zip(rows) {
            match row {
                Ok(user) if self.seen.insert(Arc::clone(&user.name)) => fresh.push(user),
                Ok(_) => {}
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
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;

    /// A panel with a sorted list, some of whose rows make it fail.
    #[derive(Default)]
    struct Panel {
        names: BTreeSet<String>,
        poisoned: BTreeSet<String>,
        requests: Vec<Span>,
    }

    impl Panel {
        fn with(count: usize) -> Self {
            Panel { names: (0..count).map(|i| format!("u{i:05}")).collect(), ..Panel::default() }
        }

        fn ask(&mut self, span: Span) -> Option<Page> {
            self.requests.push(span);
            let rows: Vec<_> = self.names.iter().skip(span.offset).take(span.limit).collect();
            if rows.iter().any(|name| self.poisoned.contains(*name)) {
                return None;
            }
            let rows = rows.into_iter().map(|name| Ok(User::named(name))).collect();
            Some(Page { rows, total: Some(self.names.len()) })
        }
    }

    /// Walks to the end, while `meanwhile` changes the panel between requests. Counts how often each user was
    /// returned.
    fn walk(panel: &mut Panel, mut meanwhile: impl FnMut(&mut Panel)) -> (HashMap<String, usize>, WalkEnd) {
        let mut walk = Walk::new(Moment::default(), PAGE);
        let mut got = HashMap::new();
        for _ in 0..100_000 {
            match panel.ask(walk.next()) {
                None => walk.failed().unwrap(),
                Some(page) => match walk.answered(page, PAGE) {
                    Advance::More(users) => {
                        users.iter().for_each(|user| *got.entry(user.name.to_string()).or_default() += 1);
                    }
                    Advance::End(end) => {
                        end.page.iter().for_each(|user| *got.entry(user.name.to_string()).or_default() += 1);
                        return (got, end);
                    }
                },
            }
            meanwhile(panel);
        }
        panic!("the walk does not end");
    }

    #[test]
    fn a_quiet_list_is_read_page_by_page_with_one_row_of_overlap() {
        let mut panel = Panel::with(1200);
        let (got, end) = walk(&mut panel, |_| {});
        assert_eq!(got.len(), 1200);
        assert_eq!(end.seen.len(), 1200);
        let spans: Vec<_> = panel.requests.iter().map(|span| (span.offset, span.limit)).collect();
        assert_eq!(spans, [(0, 500), (499, 501), (999, 501)]);
    }

    #[test]
    fn empty_and_exactly_full_lists_end_at_once() {
        for count in [0, 1, 499, 500] {
            let mut panel = Panel::with(count);
            assert_eq!(walk(&mut panel, |_| {}).0.len(), count);
            assert_eq!(panel.requests.len(), 1);
        }
    }

    #[test]
    fn a_row_that_makes_the_panel_fail_costs_only_itself() {
        for poisoned in
            [vec![0], vec![777], vec![1199], vec![0, 1, 2], vec![498, 499, 500, 501], vec![3, 600, 1100]]
        {
            let mut panel = Panel::with(1200);
            panel.poisoned = poisoned.iter().map(|i| format!("u{i:05}")).collect();
            let (got, end) = walk(&mut panel, |_| {});
            assert_eq!(got.len(), 1200 - poisoned.len(), "{poisoned:?}");
            assert_eq!(end.unreadable.rows, poisoned.len(), "{poisoned:?}");
            assert!(panel.requests.len() < 4 + 40 * poisoned.len(), "{} requests", panel.requests.len());
        }
    }

    #[test]
    fn a_row_of_wrong_types_is_counted_and_passed_over() {
        let mut walk = Walk::new(Moment::default(), PAGE);
        let rows = vec![
            Ok(User::named("a")),
            Err(LeftOut::Unreadable(UnreadableCause::NoName)),
            Ok(User::named("c")),
        ];
        let Advance::End(end) = walk.answered(Page { rows, total: Some(3) }, PAGE) else {
            panic!("not at its end")
        };
        assert_eq!((end.page.len(), end.unreadable.rows), (2, 1));
    }

    #[test]
    fn a_panel_that_only_fails_is_given_up() {
        let mut walk = Walk::new(Moment::default(), PAGE);
        let failures = (0..1000).take_while(|_| walk.failed().is_ok()).count();
        assert_eq!(failures, MAX_FAILURES);

        // In the middle of a walk, the row before decides.
        let mut panel = Panel::with(1200);
        let mut walk = Walk::new(Moment::default(), PAGE);
        assert!(matches!(walk.answered(panel.ask(walk.next()).unwrap(), PAGE), Advance::More(_)));
        let failures = (0..1000).take_while(|_| walk.failed().is_ok()).count();
        assert_eq!(failures, MAX_FAILURES + 1);
    }

    #[test]
    fn many_bad_rows_side_by_side_cost_only_themselves() {
        let mut panel = Panel::with(1200);
        panel.poisoned = (600..900).map(|i| format!("u{i:05}")).collect();
        let (got, end) = walk(&mut panel, |_| {});
        assert_eq!((got.len(), end.unreadable.rows), (900, 300));
    }

    #[test]
    fn no_request_is_larger_than_a_page_however_many_rows_are_removed() {
        let mut panel = Panel::with(20_000);
        let mut removed = false;
        let (got, _) = walk(&mut panel, |panel| {
            if panel.requests.len() == 20 && !removed {
                removed = true;
                panel.names.retain(|name| name.as_str() >= "u05000");
            }
        });
        assert_eq!(got.len(), 20_000);
        assert!(panel.requests.iter().all(|span| span.limit <= PAGE + 1));
        assert!(panel.requests.len() < 70, "{} requests", panel.requests.len());
    }

    #[test]
    fn a_panel_that_ignores_the_limit_or_caps_it_is_read_all_the_same() {
        let mut walk = Walk::new(Moment::default(), PAGE);
        let rows = (0..2000).map(|i| Ok(User::named(&format!("u{i}")))).collect();
        assert!(matches!(walk.answered(Page { rows, total: Some(2000) }, PAGE), Advance::End(_)));

        let mut panel = Panel::with(1000);
        let mut walk = Walk::new(Moment::default(), PAGE);
        let seen = loop {
            let mut span = walk.next();
            span.limit = span.limit.min(100);
            if let Advance::End(end) = walk.answered(panel.ask(span).unwrap(), PAGE) {
                break end.seen;
            }
        };
        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn a_list_in_random_order_ends_too() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut walk = Walk::new(Moment::default(), PAGE);
        let mut names: Vec<_> = (0..2000).map(|i| format!("u{i}")).collect();
        for _ in 0..500 {
            random.shuffle(&mut names);
            let span = walk.next();
            let rows =
                names.iter().skip(span.offset).take(span.limit).map(|name| Ok(User::named(name))).collect();
            if let Advance::End(_) = walk.answered(Page { rows, total: Some(2000) }, PAGE) {
                return;
            }
        }
        panic!("the walk does not end");
    }

    /// Walks a list of up to 4000 users, of which `poisoned` make the panel fail, with up to `churn` users added or
    /// removed between requests. Checks that users that stay are returned exactly once.
    fn churn(seed: u64, poisoned: usize, churn: impl Fn(&mut fastrand::Rng) -> usize) {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(0..4000);
        let mut panel = Panel::with(count);
        panel.poisoned = (0..poisoned).map(|_| format!("u{:05}", random.usize(0..4000))).collect();
        let mut removed = BTreeSet::new();
        let (got, end) = walk(&mut panel, |panel| {
            for _ in 0..churn(&mut random) {
                let name = format!("u{:05}", random.usize(0..4000));
                if random.bool() {
                    panel.names.remove(&name);
                    removed.insert(name);
                } else {
                    panel.names.insert(format!("{name}x"));
                }
            }
        });
        assert!(got.values().all(|times| *times == 1), "seed {seed}: doubled");
        let stayed = (0..count).map(|i| format!("u{i:05}")).filter(|name| !removed.contains(name));
        for name in stayed.filter(|name| !panel.poisoned.contains(name)) {
            assert!(got.contains_key(&name), "seed {seed}: {name} vanished");
            assert!(end.seen.contains(name.as_str()), "seed {seed}: {name} not seen");
        }
    }

    #[test]
    fn users_who_stay_neither_vanish_nor_double_however_busy_the_list() {
        for seed in 0..500 {
            churn(seed, 0, |random| random.usize(0..12));
        }
    }

    // Next to a bad row, a removal and an addition before it that cancel out within a few requests go unnoticed; with
    // a change every ten requests, none of these seeds has that case.
    #[test]
    fn users_beside_rows_that_make_the_panel_fail_stay_too() {
        for seed in 0..500 {
            churn(seed, 3, |random| usize::from(random.u8(0..10) == 0));
        }
    }
}

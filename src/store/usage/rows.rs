//! A row for each subject that was read on a day.

use std::{slice, sync::Arc};

use crate::model::{Day, Marks, Move, growth};

/// What was read of one sort of subjects on one day, a row for each subject.
#[derive(Debug, Default)]
pub(super) struct Rows {
    list: Vec<Row>,
    /// So many from the start are sorted by name, one for each subject. New rows follow in the order in which they came, and
    /// may repeat a subject.
    sorted: usize,
}

/// How many rows are looked at before one is searched.
const NEAR: usize = 8;
/// So many new rows wait before they are sorted, and half as many again as are sorted: a list comes in many pages.
const WAITING: usize = 1024;

impl Rows {
    /// Adds readings.
    pub(super) fn add(&mut self, day: Day, read: impl Iterator<Item = (Move, Pause)>) {
        let mut next = 0;
        for (read, since) in read {
            let known = self.list.get_mut(..self.sorted).unwrap_or_default();
            // They come mostly in the order of the rows, with the same names.
            let near = known.iter().skip(next).take(NEAR).position(|row| Arc::ptr_eq(&row.name, &read.name));
            let found = match near {
                Some(near) => Some(next + near),
                None => known.binary_search_by(|row| row.name.cmp(&read.name)).ok(),
            };
            next = found.map_or(next, |at| at + 1);
            match found.and_then(|at| known.get_mut(at)) {
                Some(row) => row.go_on(Row::of(read, since), day),
                None => self.list.push(Row::of(read, since)),
            }
        }
        if self.list.len() - self.sorted > WAITING + self.sorted / 2 {
            self.settle(day);
        }
    }

    /// Goes on with what was read later.
    pub(super) fn go_on(&mut self, mut later: Rows, day: Day) {
        later.settle(day);
        self.list.append(&mut later.list);
        self.sorted = 0;
        self.settle(day);
    }

    /// Lets what was used on an earlier day count on another one.
    pub(super) fn move_to(&mut self, from: Day, to: Day) {
        self.settle(from);
        self.list.iter_mut().for_each(|row| row.move_to(from, to));
    }

    /// Sorts all rows, so that each is of another subject.
    pub(super) fn settle(&mut self, day: Day) {
        if self.sorted == self.list.len() {
            return;
        }
        // What comes is mostly sorted, which a stable sort makes use of.
        self.list.sort_by(|one, other| one.name.cmp(&other.name));
        self.list.dedup_by(|later, earlier| {
            let is_same = later.name == earlier.name;
            if is_same {
                earlier.go_on(std::mem::take(later), day);
            }
            is_same
        });
        self.sorted = self.list.len();
    }

    pub(super) fn iter(&self) -> slice::Iter<'_, Row> {
        self.list.iter()
    }
}

/// What was read of one subject on one day since the last write.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) name: Arc<str>,
    /// The admin that owned the user last.
    pub(super) owner: Option<Arc<str>>,
    /// The total before the first reading.
    before: Option<u64>,
    /// It was read after what the file has.
    is_newer: bool,
    /// It was missing when the others were last read.
    was_missing: bool,
    /// An earlier process read it after what the file has.
    is_unwritten: bool,
    /// The panel may have reset it since the total that the file has.
    is_unsure: bool,
    first: u64,
    /// The earlier day of the reading before the first one, or near enough to it.
    since: Option<Day>,
    /// What it grew up to the first reading may be of any day since then.
    is_late: bool,
    falling: Falling,
    /// Growth from the first reading to the last.
    grown: u64,
    last: u64,
    marks: PeriodMarks,
}

/// Whether the panel said less, which is not believed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Falling {
    #[default]
    No,
    /// When it was last read.
    Last,
    /// Whenever it was read: the row only says that something may have been reset.
    Always,
}

/// The total that the file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) total: u64,
    /// The panel said less afterwards, which was not believed yet.
    pub(super) is_held: bool,
}

/// What was used of a subject since its row was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) used: u64,
    pub(super) marks: PeriodMarks,
    /// An earlier day, with the marks that it gets too.
    pub(super) earlier: Option<(Day, Marks)>,
    /// The subject was missing for a while: part of it may be of any day since the last one on which it moved.
    pub(super) is_back: bool,
}

/// The marks of a day and of its month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeriodMarks {
    pub(super) day: Marks,
    pub(super) month: Marks,
}

impl PeriodMarks {
    /// A reset is one of both.
    const RESET: PeriodMarks = PeriodMarks { day: Marks::RESET, month: Marks::RESET };

    /// Those of growth of which it is not known when it began.
    const GAP: PeriodMarks = PeriodMarks { day: Marks::GAP, month: Marks::GAP };

    /// Those of growth since this day, or an earlier one.
    pub(super) fn since(since: Option<Day>, day: Day) -> Self {
        since.map_or(PeriodMarks::GAP, |since| PeriodMarks::gap(since, day))
    }

    fn gap(since: Day, day: Day) -> Self {
        let gap = |same_period: bool| Marks::GAP.only_if(!same_period);
        PeriodMarks { day: gap(since == day), month: gap(since.month() == day.month()) }
    }

    pub(super) fn is_empty(self) -> bool {
        self.day.is_empty() && self.month.is_empty()
    }

    fn only_if(self, holds: bool) -> Self {
        if holds { self } else { PeriodMarks::default() }
    }

    #[must_use]
    pub(super) fn with(self, other: PeriodMarks) -> Self {
        PeriodMarks { day: self.day | other.day, month: self.month | other.month }
    }
}

/// The time between a reading and the one before.
#[derive(Clone, Copy)]
pub(super) struct Pause {
    /// See [`Row`].
    pub(super) since: Option<Day>,
    pub(super) is_late: bool,
    pub(super) is_newer: bool,
    pub(super) is_unwritten: bool,
    pub(super) is_unsure: bool,
}

impl Row {
    fn of(read: Move, pause: Pause) -> Self {
        let Pause { since, is_late, is_newer, is_unwritten, is_unsure } = pause;
        let Move { name, owner, before, was_missing, total, may_be_reset, is_falling, .. } = read;
        // Within a short time, a subject that is at rest before and after is at rest.
        let moved = before.is_some_and(|before| before != total || is_late);
        let is_reset = may_be_reset && moved || is_falling && is_late;
        let marks = PeriodMarks::RESET.only_if(is_reset);
        Row {
            name,
            owner,
            before,
            is_newer,
            was_missing,
            is_unwritten,
            is_unsure,
            first: total,
            since,
            is_late,
            falling: if is_falling { Falling::Always } else { Falling::No },
            grown: 0,
            last: total,
            marks,
        }
    }

    /// Goes on with a later row of the same day.
    fn go_on(&mut self, later: Row, day: Day) {
        self.marks = self.marks.with(later.marks);
        self.since = self.since.or(later.since);
        if later.falling == Falling::Always {
            if self.falling == Falling::No {
                self.falling = Falling::Last;
            }
            return;
        }
        if self.falling == Falling::Always {
            let (marks, since, is_late) = (self.marks, self.since, self.is_late || later.is_late);
            *self = Row { marks, since, is_late, ..later };
            return;
        }
        let (grown, fell) = growth(self.last, later.first);
        let gap = later.since.filter(|_| later.is_late && grown > 0);
        let gap = gap.map(|since| PeriodMarks::gap(since, day)).unwrap_or_default();
        let may_be_reset = later.is_unsure && (grown > 0 || later.is_late);
        self.marks = self.marks.with(gap).with(PeriodMarks::RESET.only_if(fell || may_be_reset));
        self.grown = self.grown.saturating_add(grown).saturating_add(later.grown);
        (self.last, self.falling) = (later.last, later.falling);
        if later.owner.is_some() {
            self.owner = later.owner;
        }
    }

    /// Lets what was used on an earlier day count on another one.
    fn move_to(&mut self, from: Day, to: Day) {
        self.since = self.since.min(Some(from)).or(Some(from));
        self.is_late = true;
        if self.grown > 0 {
            self.marks = self.marks.with(PeriodMarks::gap(from, to));
        }
    }

    /// The total for the file.
    pub(super) fn stored(&self, before: Option<Stored>) -> Option<Stored> {
        match self.falling {
            Falling::Always => before.map(|before| Stored { is_held: true, ..before }),
            falling => Some(Stored { total: self.last, is_held: falling == Falling::Last }),
        }
    }

    /// What was used since the `stored` total. Without that total or one before, the first reading is where the count
    /// starts. What a reset or a pause took from this day may be missing on an earlier one as well.
    pub(super) fn used(&self, stored: Option<Stored>, day: Day) -> Used {
        // An earlier process saw that it fell, and it still has, or has grown since.
        let is_held = self.falling == Falling::Always;
        let was_held = stored.is_some_and(|stored| stored.is_held && (is_held || stored.total != self.first));
        let stored = stored.map(|stored| stored.total);
        // A subject that was missing for a while has not begun at 0 again, unless its total is less than the one before. Without
        // an earlier list, it may have been missing too.
        let goes_on =
            (self.was_missing || self.before.is_none()) && stored.is_some_and(|stored| self.first >= stored);
        // A process that read a newer total than the file has may have been killed before it wrote that. It alone knew whether
        // the subject had been missing.
        let may_be_back = self.is_unwritten && stored.is_some_and(|stored| self.before > Some(stored));
        let before = self.before.filter(|_| !goes_on && (self.is_newer || stored.is_none()));
        let known = [stored, before].into_iter().flatten().filter(|_| !is_held);
        let (mut last, mut grown, mut fell) = (None, 0_u64, was_held);
        for total in known.chain([self.first]) {
            let (more, is_reset) = growth(last.replace(total).unwrap_or(total), total);
            (grown, fell) = (grown.saturating_add(more), fell || is_reset);
        }
        let may_be_reset = self.is_unsure && stored.is_some() && (grown > 0 || self.is_late);
        let marks = self.marks.with(PeriodMarks::RESET.only_if(fell || may_be_reset));
        let is_late = self.is_late && (grown > 0 || marks.day.has(Marks::RESET));
        let gap = self.since.filter(|_| is_late).map(|since| PeriodMarks::gap(since, day));
        // What it had used before, and which part of it today, is not known.
        let is_lost = stored.is_none() && (self.is_unwritten || self.was_missing && self.before.is_none());
        let is_back = (goes_on || may_be_back) && grown > 0;
        let marks = marks.with(gap.unwrap_or_default()).with(PeriodMarks::GAP.only_if(is_lost));
        let earlier = self.since.filter(|_| !marks.is_empty()).map(|since| (since, marks.day));
        Used { used: grown.saturating_add(self.grown), marks, earlier, is_back }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_next_process_did_not_see_that_a_total_fell() {
        let doubted = Stored { total: 10, is_held: true };
        for (total, falling, marks) in [(10, Falling::No, 0), (12, Falling::No, 2), (10, Falling::Always, 2)]
        {
            let row = Row { first: total, last: total, falling, ..Row::default() };
            assert_eq!(row.used(Some(doubted), Day::default()).marks.day.bits(), marks);
        }
    }

    #[test]
    fn a_list_comes_in_pages_and_in_any_order() {
        const SUBJECTS: usize = 5000;
        let day = Day::default();
        let names: Vec<Arc<str>> = (0..SUBJECTS).map(|i| format!("{:04}", i * 7 % SUBJECTS).into()).collect();
        let (mut rows, mut totals) = (Rows::default(), vec![100_u64; SUBJECTS]);
        let none =
            Pause { since: None, is_late: false, is_newer: false, is_unwritten: false, is_unsure: false };
        let (mut chance, mut came) = (fastrand::Rng::with_seed(7), HashSet::new());
        for _ in 0..400 {
            let mut page = Vec::new();
            // Within a page, a subject may come twice.
            for _ in 0..100 {
                let at = chance.usize(..SUBJECTS);
                let before = totals[at];
                totals[at] += chance.u64(..9);
                came.insert(Arc::clone(&names[at]));
                let read = Move {
                    name: Arc::clone(&names[at]),
                    before: Some(before),
                    total: totals[at],
                    ..Move::default()
                };
                page.push((read, none));
            }
            rows.add(day, page.into_iter());
        }
        rows.settle(day);
        assert!(rows.iter().is_sorted_by(|one, other| one.name < other.name));
        let used: Vec<_> = rows.iter().map(|row| (&row.name, row.used(None, day).used)).collect();
        let mut expected: Vec<_> = names.iter().zip(totals.iter().map(|total| total - 100)).collect();
        expected.sort_unstable();
        expected.retain(|(name, _)| came.contains(*name));
        assert_eq!(used, expected);
    }

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<Row>() <= 88, "{}", size_of::<Row>());
    }
}

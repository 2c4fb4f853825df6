//! What was read since the last write, in memory: a row for each subject that moved, and nothing for the others.

use std::{collections::BTreeMap, time::Duration};

use jiff::tz::TimeZone;

use super::{
    rows::{Pause, Rows},
    subject::{Counted, Each},
};
use crate::model::{Calendar, Day, Move, Timestamp, is_late};

/// Days that a target may have here while the disk fails. What is older counts in the next day, and is marked.
const MOST_DAYS: usize = 3;

/// What was read of all targets and is not written yet.
#[derive(Debug)]
pub(super) struct Open {
    calendar: Calendar,
    /// Finds the days of earlier readings.
    past: Calendar,
    /// By [`Report::id`](crate::model::Report::id).
    targets: BTreeMap<String, OpenTarget>,
    /// The targets of the configuration, and since when, if that is not written yet.
    kept: Option<(Vec<String>, Timestamp)>,
}

/// What was read of one target.
#[derive(Debug, Default)]
struct OpenTarget {
    /// When each sort was last read before the present loop began, by this process or an earlier one.
    before: Each<Option<Timestamp>>,
    /// When this process last read each sort.
    newest: Each<Option<Timestamp>>,
    /// When each sort was last read; absent: not since the last write.
    read: Each<Option<Timestamp>>,
    /// How often this process has read any of it.
    readings: u64,
    /// In the order in which they came.
    days: Vec<OpenDay>,
}

/// What was read of one target on one day.
#[derive(Debug, Default)]
pub(super) struct OpenDay {
    pub(super) day: Day,
    pub(super) rows: Each<Rows>,
}

/// What was taken of one target to be written.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) target: String,
    /// How often this process had read any of it.
    pub(super) readings: u64,
    pub(super) read: Each<Option<Timestamp>>,
    pub(super) days: Vec<OpenDay>,
}

impl Open {
    pub(super) fn new(zone: TimeZone) -> Self {
        let calendar = Calendar::new(zone);
        Open { past: calendar.clone(), calendar, targets: BTreeMap::new(), kept: None }
    }

    /// Sets the zone of later readings.
    pub(super) fn set_zone(&mut self, zone: &TimeZone) {
        if self.calendar.zone() != zone {
            self.calendar = Calendar::new(zone.clone());
            self.past = self.calendar.clone();
        }
    }

    pub(super) fn calendar(&mut self) -> &mut Calendar {
        &mut self.calendar
    }

    /// Sets when earlier processes last read a sort of a target.
    pub(super) fn was_read(&mut self, target: &str, counted: Counted, at: Timestamp) {
        *self.target(target).before.of_mut(counted) = Some(at);
    }

    pub(super) fn begins(&mut self, target: &str) {
        let OpenTarget { before, newest, .. } = self.target(target);
        for counted in Counted::ALL {
            let before = before.of_mut(counted);
            *before = (*before).max(*newest.of(counted));
        }
    }

    /// How often this process has read any of a target.
    pub(super) fn readings(&self, target: &str) -> u64 {
        self.targets.get(target).map_or(0, |open| open.readings)
    }

    pub(super) fn keep_only(&mut self, ids: Vec<String>, now: Timestamp) {
        self.kept = Some((ids, now));
    }

    /// Adds what was read at `now`. Growth after more than the `usual` time between two readings is marked.
    pub(super) fn add(
        &mut self,
        target: &str,
        counted: Counted,
        moves: Vec<Move>,
        usual: Duration,
        now: Timestamp,
    ) {
        let day = self.calendar.day(now);
        let (start, lately) = (self.calendar.start_of_day(now), now.saturating_sub(usual));
        let Open { past, targets, .. } = self;
        let open = targets.entry(target.to_owned()).or_default();
        let before = *open.before.of(counted);
        let since = |mut read: Move| {
            // The file may lack what an earlier process has read.
            let last = if read.is_restored { before.or(read.last_read) } else { read.last_read.max(before) };
            let last = last.unwrap_or(now);
            // What is new was missing in the last whole list, which began up to two rounds ago.
            let usual = if read.was_missing { usual * 2 } else { usual };
            let is_late = is_late(last, now, last >= start, usual);
            let since = if is_late { last } else { lately };
            let since = (since < start).then(|| past.day(since));
            // A total that was held is older than the reading.
            let is_newer = read.last_read > before && !read.may_be_reset;
            let is_due = now.since(last) > usual && quarter_of_hour(last) != quarter_of_hour(now);
            let is_unwritten = read.is_restored && before.is_some() && read.last_read > before;
            let is_unsure = read.resets && (is_unwritten || read.was_missing || read.before.is_none());
            read.may_be_reset |= read.resets_unseen && is_due;
            (read, Pause { since, is_late, is_newer, is_unwritten, is_unsure })
        };
        *open.read.of_mut(counted) = Some(now);
        *open.newest.of_mut(counted) = Some(now);
        open.readings += 1;
        if moves.is_empty() {
            return;
        }
        if open.days.last().is_none_or(|last| last.day != day) {
            open.days.push(OpenDay { day, ..OpenDay::default() });
        }
        if let Some(today) = open.days.last_mut() {
            today.rows.of_mut(counted).add(day, moves.into_iter().map(since));
        }
        open.hold_together();
    }

    /// Takes everything of the targets that are due, to be written. If the targets of the configuration are too, all are due: one
    /// may have left.
    pub(super) fn take(
        &mut self,
        is_due: impl Fn(&str) -> bool,
    ) -> (Vec<Taken>, Option<(Vec<String>, Timestamp)>) {
        let all = self.kept.is_some();
        let due = self.targets.iter_mut().filter(|(target, _)| all || is_due(target));
        let targets = due.filter_map(|(target, open)| {
            let (read, mut days) = (std::mem::take(&mut open.read), std::mem::take(&mut open.days));
            days.iter_mut().for_each(OpenDay::settle);
            let was_read = Counted::ALL.into_iter().any(|counted| read.of(counted).is_some());
            was_read.then(|| Taken { target: target.clone(), readings: open.readings, read, days })
        });
        (targets.collect(), self.kept.take())
    }

    /// Puts back what could not be written.
    pub(super) fn put_back(&mut self, taken: Taken) {
        let Taken { target, readings: _, read, days } = taken;
        let open = self.target(&target);
        for counted in Counted::ALL {
            let (earlier, later) = (*read.of(counted), open.read.of_mut(counted));
            *later = later.or(earlier);
        }
        for later in std::mem::replace(&mut open.days, days) {
            match open.days.last_mut().filter(|last| last.day == later.day) {
                Some(last) => last.go_on(later),
                None => open.days.push(later),
            }
        }
        open.hold_together();
    }

    pub(super) fn put_back_kept(&mut self, kept: (Vec<String>, Timestamp)) {
        self.kept.get_or_insert(kept);
    }

    fn target(&mut self, target: &str) -> &mut OpenTarget {
        self.targets.entry(target.to_owned()).or_default()
    }
}

/// Panels reset counts at full hours of their zone (3x-ui: `trafficReset`).
fn quarter_of_hour(time: Timestamp) -> i64 {
    time.as_secs().div_euclid(15 * 60)
}

impl OpenTarget {
    /// Adds the oldest days to the next ones if there are too many.
    fn hold_together(&mut self) {
        while self.days.len() > MOST_DAYS {
            let mut oldest = self.days.remove(0);
            let Some(next) = self.days.first_mut() else { return };
            for counted in Counted::ALL {
                oldest.rows.of_mut(counted).move_to(oldest.day, next.day);
            }
            oldest.day = next.day;
            let later = std::mem::replace(next, oldest);
            next.go_on(later);
        }
    }
}

impl OpenDay {
    /// Goes on with what was read later.
    fn go_on(&mut self, later: OpenDay) {
        let OpenDay { day, rows: mut later } = later;
        for counted in Counted::ALL {
            self.rows.of_mut(counted).go_on(std::mem::take(later.of_mut(counted)), day);
        }
    }

    /// See [`Rows::settle`].
    fn settle(&mut self) {
        Counted::ALL.into_iter().for_each(|counted| self.rows.of_mut(counted).settle(self.day));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::usage::rows::{Stored, Used};

    const NOON: Timestamp = Timestamp::from_secs(1_795_003_200);
    const USUAL: Duration = Duration::from_secs(600);
    const HOUR: i64 = 3_600_000;

    fn read(name: &str, before: Option<u64>, total: u64, last_read: Option<Timestamp>) -> Move {
        let was_missing = before == Some(0);
        Move { name: name.into(), before, was_missing, total, last_read, ..Move::default() }
    }

    fn add(open: &mut Open, hours: i64, moves: &[(&str, Option<u64>, u64)]) {
        let now = NOON.saturating_add_millis(hours * HOUR);
        let last = now.saturating_add_millis(-60_000);
        let moves = moves.iter().map(|(name, before, total)| read(name, *before, *total, Some(last)));
        open.add("home", Counted::Users, moves.collect(), USUAL, now);
    }

    fn days(open: &mut Open) -> Vec<OpenDay> {
        open.take(|_| true).0.pop().unwrap().days
    }

    /// Name, what was used, and the marks of the day and of the month.
    fn used(day: &OpenDay, stored: Option<u64>) -> Vec<(&str, u64, u8, u8)> {
        let stored = stored.map(|total| Stored { total, is_held: false });
        let rows = day.rows.of(Counted::Users).iter();
        let used = rows.map(|row| {
            let Used { used, marks, .. } = row.used(stored, day.day);
            (&*row.name, used, marks.day.bits(), marks.month.bits())
        });
        used.collect()
    }

    #[test]
    fn rows_are_by_name_and_grow_by_what_is_read() {
        let mut open = Open::new(TimeZone::UTC);
        let last = Some(NOON.saturating_add_millis(-60_000));
        let moves = [read("b", Some(10), 15, last), read("a", Some(0), 7, last)];
        let moves = moves.map(|read| Move { is_restored: true, was_missing: false, ..read }).to_vec();
        open.add("home", Counted::Users, moves, USUAL, NOON);
        add(&mut open, 1, &[("c", None, 100), ("a", Some(7), 9), ("b", Some(15), 15)]);
        add(&mut open, 2, &[("c", None, 104), ("b", Some(15), 3), ("b", Some(3), 5)]);
        let days = days(&mut open);
        let [day] = &*days else { panic!("{days:?}") };
        // The reset of b is marked in both periods.
        assert_eq!(used(day, None), [("a", 9, 0, 0), ("b", 10, 2, 2), ("c", 4, 0, 0)]);
        // The file has an older total.
        assert_eq!(used(day, Some(5)), [("a", 9, 2, 2), ("b", 15, 2, 2), ("c", 99, 0, 0)]);
        assert!(open.take(|_| true).0.is_empty());
    }

    #[test]
    fn totals_count_in_the_order_in_which_they_were_read() {
        // When the file and the list were written, in hours, and what was used: 10 in the file, 3 and then 15 in the list.
        for (file, list, expected) in [(-2, -3, ("a", 5, 0, 0)), (-3, -2, ("a", 15, 2, 2))] {
            let [file, list] = [file, list].map(|hours| NOON.saturating_add_millis(hours * HOUR));
            let mut open = Open::new(TimeZone::UTC);
            open.was_read("home", Counted::Users, file);
            open.add("home", Counted::Users, vec![read("a", Some(3), 15, Some(list))], USUAL, NOON);
            assert_eq!(used(&days(&mut open)[0], Some(10)), [expected]);
        }
    }

    #[test]
    fn growth_after_a_pause_over_a_border_is_marked() {
        // Days since the last reading, the total before, and the marks of the day and of the month.
        for (days, before, marks) in [(0, 5, (0, 0)), (1, 5, (1, 0)), (1, 9, (0, 0)), (30, 5, (1, 1))] {
            let mut open = Open::new(TimeZone::UTC);
            let last = NOON.saturating_add_millis(-days * 24 * HOUR - 11 * HOUR);
            open.add("home", Counted::Users, vec![read("a", Some(before), 9, Some(last))], USUAL, NOON);
            add(&mut open, 1, &[("a", Some(9), 11)]);
            let days_open = self::days(&mut open);
            assert_eq!(used(&days_open[0], None), [("a", 11 - before, marks.0, marks.1)], "{days}");
        }
    }

    #[test]
    fn an_earlier_process_read_it_last() {
        let mut open = Open::new(TimeZone::UTC);
        open.was_read("home", Counted::Users, NOON.saturating_add_millis(-60_000));
        let long_ago = NOON.saturating_add_millis(-50 * HOUR);
        open.add("home", Counted::Users, vec![read("a", Some(3), 9, Some(long_ago))], USUAL, NOON);
        assert_eq!(used(&days(&mut open)[0], None), [("a", 6, 0, 0)]);
        open.was_read("home", Counted::Users, long_ago);
        open.add("home", Counted::Users, vec![read("a", Some(3), 9, None)], USUAL, NOON);
        assert_eq!(used(&days(&mut open)[0], None), [("a", 6, 1, 0)]);
    }

    /// The process before wrote a total after a reset, and had saved the list from before it.
    #[test]
    fn a_total_that_is_held_is_not_counted() {
        let mut open = Open::new(TimeZone::UTC);
        let held =
            |name: &str, last: Timestamp| Move { is_falling: true, ..read(name, Some(100), 100, Some(last)) };
        let long_ago = NOON.saturating_add_millis(-50 * HOUR);
        open.add("home", Counted::Users, vec![held("a", NOON), held("b", long_ago)], USUAL, NOON);
        let days_open = days(&mut open);
        let stored = Some(10);
        assert_eq!(used(&days_open[0], stored), [("a", 0, 0, 0), ("b", 0, 3, 2)]);
        let row = days_open[0].rows.of(Counted::Users).iter().next().unwrap();
        let [good, doubted] = [false, true].map(|is_held| Stored { total: 10, is_held });
        assert_eq!((row.stored(None), row.stored(Some(good))), (None, Some(doubted)));
        for moves in
            [vec![held("a", NOON)], vec![Move { may_be_reset: true, ..read("a", Some(100), 12, Some(NOON)) }]]
        {
            open.add("home", Counted::Users, moves, USUAL, NOON);
        }
        let days = days(&mut open);
        assert_eq!(used(&days[0], stored), [("a", 2, 2, 2)]);
        assert_eq!(used(&days[0], None), [("a", 12, 2, 2)]);
        let row = days[0].rows.of(Counted::Users).iter().next().unwrap();
        assert_eq!(row.stored(Some(doubted)), Some(Stored { total: 12, is_held: false }));
    }

    /// It moved before it fell, and is written in between.
    #[test]
    fn the_file_knows_that_a_total_fell() {
        let mut open = Open::new(TimeZone::UTC);
        let held = Move { is_falling: true, ..read("a", Some(7), 7, Some(NOON)) };
        for (moves, is_held) in [
            (vec![read("a", Some(5), 7, Some(NOON)), held.clone()], true),
            (vec![held, read("a", Some(7), 1, Some(NOON))], false),
        ] {
            open.add("home", Counted::Users, moves, USUAL, NOON);
            let days = days(&mut open);
            let row = days[0].rows.of(Counted::Users).iter().next().unwrap();
            let total = if is_held { 7 } else { 1 };
            assert_eq!(
                row.stored(Some(Stored { total: 5, is_held: false })),
                Some(Stored { total, is_held })
            );
        }
    }

    /// A user of 3x-ui with `trafficReset`.
    #[test]
    fn a_pause_may_hide_a_reset_that_no_panel_announces() {
        // Minutes since the last reading, and the marks of the day.
        for (minutes, resets_unseen, marks) in [(10, true, 0), (11, true, 2), (11, false, 0), (900, true, 3)]
        {
            let mut open = Open::new(TimeZone::UTC);
            let last = NOON.saturating_add_millis(-minutes * 60_000);
            let read = Move { resets_unseen, ..read("a", Some(5), 9, Some(last)) };
            open.add("home", Counted::Users, vec![read], USUAL, NOON);
            let month = marks & 2;
            assert_eq!(used(&days(&mut open)[0], None), [("a", 4, marks, month)], "{minutes}");
        }
    }

    /// The list was lost: what the panel announced is not known.
    #[test]
    fn a_process_without_a_list_may_have_missed_a_reset() {
        // The total in the file, the total now, and what was used with its marks.
        for (stored, now, expected) in
            [(Some(5), 9, ("a", 4, 2, 2)), (Some(9), 9, ("a", 0, 0, 0)), (None, 9, ("a", 0, 0, 0))]
        {
            let mut open = Open::new(TimeZone::UTC);
            open.was_read("home", Counted::Users, NOON.saturating_add_millis(-60_000));
            let read = Move { resets: true, ..read("a", None, now, None) };
            open.add("home", Counted::Users, vec![read], USUAL, NOON);
            assert_eq!(used(&days(&mut open)[0], stored), [expected], "{stored:?}");
        }
    }

    /// The history could not be written, or not in time, before the list was stored.
    #[test]
    fn a_list_that_is_newer_than_the_file_hides_what_its_process_saw() {
        for (resets, stored, expected) in [
            (false, Some(5), ("a", 6, 0, 0)),
            (true, Some(5), ("a", 6, 2, 2)),
            // At rest.
            (true, Some(11), ("a", 0, 0, 0)),
            (false, None, ("a", 2, 1, 1)),
        ] {
            let mut open = Open::new(TimeZone::UTC);
            open.was_read("home", Counted::Users, NOON.saturating_add_millis(-10 * 60_000));
            let before = if stored == Some(11) { 11 } else { 9 };
            let read = read("a", Some(before), 11, Some(NOON.saturating_add_millis(-60_000)));
            open.add("home", Counted::Users, vec![Move { resets, is_restored: true, ..read }], USUAL, NOON);
            assert_eq!(used(&days(&mut open)[0], stored), [expected], "{resets} {stored:?}");
        }
    }

    /// What is new was missing in the last list, which began a round before it was read; another one was read at that time.
    #[test]
    fn what_is_new_may_be_twice_as_old() {
        for (was_missing, minutes, marks) in [(true, 20, 0), (true, 21, 1), (false, 10, 0), (false, 11, 1)] {
            let mut open = Open::new(TimeZone::UTC);
            let midnight = NOON.saturating_add_millis(-12 * HOUR);
            let last = midnight.saturating_add_millis(-60_000);
            let read = Move { was_missing, ..read("a", Some(0), 9, Some(last)) };
            let now = last.saturating_add_millis(minutes * 60_000);
            open.add("home", Counted::Users, vec![read], USUAL, now);
            assert_eq!(used(&days(&mut open)[0], None), [("a", 9, marks, 0)], "{was_missing} {minutes}");
        }
    }

    /// What an earlier process had read before midnight, and not written, is not of today.
    #[test]
    fn the_file_says_since_when_a_total_grew_that_an_earlier_process_read() {
        let midnight = NOON.saturating_add_millis(-12 * HOUR);
        for (is_restored, marks) in [(true, 1), (false, 0)] {
            let mut open = Open::new(TimeZone::UTC);
            open.was_read("home", Counted::Users, midnight.saturating_add_millis(-20 * 60_000));
            let last = midnight.saturating_add_millis(-60_000);
            let read = Move { is_restored, ..read("a", Some(7), 9, Some(last)) };
            open.add("home", Counted::Users, vec![read], USUAL, midnight.saturating_add_millis(60_000));
            assert_eq!(used(&days(&mut open)[0], Some(5)), [("a", 4, marks, 0)]);
        }
    }

    /// A target that was removed from the configuration and added again, with the list that was saved before that.
    #[test]
    fn a_loop_that_begins_knows_less_than_the_history() {
        let mut open = Open::new(TimeZone::UTC);
        add(&mut open, 0, &[("a", Some(40), 100)]);
        drop(open.take(|_| true));
        open.begins("home");
        let earlier = Some(NOON.saturating_add_millis(-HOUR));
        let read = Move { is_restored: true, ..read("a", Some(40), 105, earlier) };
        open.add("home", Counted::Users, vec![read], USUAL, NOON.saturating_add_millis(HOUR));
        assert_eq!(used(&days(&mut open)[0], Some(100)), [("a", 5, 0, 0)]);
    }

    #[test]
    fn one_that_was_missing_for_a_while_goes_on() {
        // The total in the file, the total now, and what was used with its marks.
        for (stored, now, expected) in [
            (None, 9, ("a", 9, 0, 0)),
            (Some(5), 9, ("a", 4, 0, 0)),
            (Some(9), 9, ("a", 0, 0, 0)),
            // Deleted and created again.
            (Some(20), 9, ("a", 9, 2, 2)),
        ] {
            let mut open = Open::new(TimeZone::UTC);
            add(&mut open, 0, &[("a", Some(0), now)]);
            assert_eq!(used(&days(&mut open)[0], stored), [expected], "{stored:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_goes_on() {
        let mut open = Open::new(TimeZone::UTC);
        add(&mut open, 0, &[("a", Some(0), 5), ("b", Some(0), 1)]);
        let mut taken = open.take(|_| true).0;
        add(&mut open, 1, &[("a", Some(5), 8), ("c", Some(0), 2)]);
        open.put_back(taken.pop().unwrap());
        assert_eq!(used(&days(&mut open)[0], None), [("a", 8, 0, 0), ("b", 1, 0, 0), ("c", 2, 0, 0)]);
    }

    #[test]
    fn a_disk_that_fails_for_days_costs_the_border_of_days_and_no_byte() {
        let mut open = Open::new(TimeZone::UTC);
        let mut totals = 0;
        for day in 0..10 {
            if let Some(taken) = open.take(|_| true).0.pop() {
                open.put_back(taken);
            }
            add(&mut open, 24 * day, &[("a", Some(totals), totals + 3)]);
            totals += 3;
        }
        let days = days(&mut open);
        // The 18th to the 27th of a month.
        let seen: Vec<_> = days.iter().map(|day| (day.day.to_string(), used(day, None))).collect();
        let expected = [("2026-11-25", 24, 1), ("2026-11-26", 3, 0), ("2026-11-27", 3, 0)];
        let expected = expected.map(|(day, used, marks)| (day.to_owned(), vec![("a", used, marks, 0)]));
        assert_eq!(seen, expected);
    }
}

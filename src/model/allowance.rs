use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use jiff::{ToSpan, civil::Date, tz::TimeZone};

use super::{CounterChange, CounterRow, Moment, Timestamp, glob};

/// What the server of a node may move in a month before its hoster throttles it or sends a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Above zero.
    pub bytes: u64,
    /// The day of the month on which it begins again, 1 to 31. Shorter months have their last day instead.
    pub reset_day: u8,
    pub counts: Counts,
}

/// What a hoster counts. A proxy sends on all that it receives, whatever the direction: each byte of a user enters the
/// server once and leaves it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// What leaves the server, what enters it, or the larger of both.
    One,
    /// What leaves the server and what enters it, added up.
    Both,
}

/// The allowances of a target's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAllowances {
    /// In which days begin.
    pub zone: TimeZone,
    /// By the names of nodes, or patterns of them.
    pub by_name: Vec<(String, Allowance)>,
}

/// What the nodes with an allowance have moved since theirs began again. It survives restarts as durable counters of the
/// target.
#[derive(Clone, Debug, Default)]
pub struct NodePeriods {
    /// Both are shared, because a report is copied with every read of any part.
    allowances: Arc<NodeAllowances>,
    by_node: Arc<BTreeMap<Arc<str>, NodePeriod>>,
    /// Nodes whose rows are to be stored or deleted.
    dirty: BTreeSet<Arc<str>>,
    /// When rows were last taken to be stored.
    kept: Option<Duration>,
}

/// What a node has moved in the present period. Of a period in which counting began, it is a lower bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePeriod {
    pub began: Timestamp,
    pub ends: Timestamp,
    /// Bytes of users, in both directions.
    pub moved: u64,
    /// The node's counter at the last read, and when that was.
    last: u64,
    read_at: Timestamp,
}

impl Allowance {
    /// What the hoster counts if users moved so many bytes.
    pub fn used(self, moved: u64) -> u64 {
        match self.counts {
            Counts::One => moved,
            Counts::Both => moved.saturating_mul(2),
        }
    }

    /// The month of this allowance that `now` is in; absent: beyond the calendar.
    pub fn period(self, zone: &TimeZone, now: Timestamp) -> Option<Range<Timestamp>> {
        let now = now.local(zone)?;
        let (today, month) = (now.date(), now.date().first_of_month());
        let reset = self.reset_in(month)?;
        let (began, ends) = if today < reset {
            (self.reset_in(month.checked_sub(1.month()).ok()?)?, reset)
        } else {
            (reset, self.reset_in(month.checked_add(1.month()).ok()?)?)
        };
        let start = |day: Date| {
            let start = day.to_zoned(zone.clone()).ok()?.timestamp();
            Some(Timestamp::from_millis(start.as_millisecond()))
        };
        Some(start(began)?..start(ends)?)
    }

    fn reset_in(self, month: Date) -> Option<Date> {
        let day = i8::try_from(self.reset_day).ok()?.min(month.days_in_month());
        month.with().day(day).build().ok()
    }
}

impl Default for NodeAllowances {
    fn default() -> Self {
        NodeAllowances { zone: TimeZone::UTC, by_name: Vec::new() }
    }
}

impl NodeAllowances {
    /// The allowance of a node. A name without wildcards decides, and then the pattern with the most other characters.
    pub fn of(&self, node: &str) -> Option<Allowance> {
        let fits = self.by_name.iter().filter(|(name, _)| name == node || glob::matches(name, node));
        let letters = |name: &str| name.chars().filter(|c| !matches!(c, '*' | '?')).count();
        let best = fits.max_by_key(|(name, _)| (name == node, letters(name)));
        best.map(|(_, allowance)| *allowance)
    }
}

impl NodePeriods {
    /// How durable counters name the rows.
    pub const FAMILY: &'static str = "node_periods";

    /// A row that changes is stored this often. After a crash, the node's own counter says what was moved since.
    const KEEP_EVERY: Duration = Duration::from_secs(5 * 60);
    /// A node that was not read for this long after its period had ended is forgotten.
    const LIFE: Duration = Duration::from_secs(31 * 86_400);
    /// The most nodes that are counted.
    const MOST: usize = 2000;

    pub fn new(allowances: NodeAllowances) -> Self {
        NodePeriods { allowances: Arc::new(allowances), ..NodePeriods::default() }
    }

    /// What was known under other allowances.
    #[must_use]
    pub fn taking_over(self, before: NodePeriods) -> Self {
        NodePeriods { allowances: self.allowances, ..before }
    }

    /// The allowance of a node, and what it has moved, if it was read.
    pub fn of(&self, node: &str) -> Option<(Allowance, Option<&NodePeriod>)> {
        Some((self.allowances.of(node)?, self.by_node.get(node)))
    }

    /// The nodes with an allowance that were read, and what they have moved.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Allowance, &NodePeriod)> {
        self.by_node.iter().filter_map(|(node, period)| Some((node, self.allowances.of(node)?, period)))
    }

    /// The counter of a node was read.
    pub(super) fn read(&mut self, node: &Arc<str>, counter: u64, now: Moment) {
        if self.allowances.by_name.is_empty() {
            return;
        }
        let known = self.by_node.get(node);
        if known.is_none() && self.by_node.len() >= Self::MOST {
            return;
        }
        let allowance = self.allowances.of(node);
        let Some(period) = allowance.and_then(|allowance| allowance.period(&self.allowances.zone, now.wall))
        else {
            return;
        };
        let next = match known {
            Some(known) => known.then(counter, period, now.wall),
            None => NodePeriod::new(counter, period, now.wall),
        };
        // A node that moves nothing is not stored again.
        if known.is_none_or(|known| (known.began, known.last) != (next.began, next.last)) {
            self.dirty.insert(Arc::clone(node));
        }
        Arc::make_mut(&mut self.by_node).insert(Arc::clone(node), next);
    }

    /// The changes of rows since the last call.
    pub fn take_changes(&mut self, now: Moment) -> Option<CounterChange> {
        let rests = self.kept.is_some_and(|kept| now.uptime.saturating_sub(kept) < Self::KEEP_EVERY);
        if rests {
            return None;
        }
        let is_old = |node: &str, period: &NodePeriod| {
            self.allowances.of(node).is_none() || period.ends.saturating_add(Self::LIFE) <= now.wall
        };
        let old = self.by_node.iter().filter(|(node, period)| is_old(node, period));
        let old: Vec<_> = old.map(|(node, _)| Arc::clone(node)).collect();
        for node in old {
            Arc::make_mut(&mut self.by_node).remove(&node);
            self.dirty.insert(node);
        }
        let mut change = CounterChange { family: Self::FAMILY.to_owned(), ..CounterChange::default() };
        for node in std::mem::take(&mut self.dirty) {
            match self.by_node.get(&node) {
                Some(period) => {
                    change.rows.push(CounterRow { labels: node.to_string(), values: period.values() });
                }
                None => change.gone.push(node.to_string()),
            }
        }
        let has_changes = !change.rows.is_empty() || !change.gone.is_empty();
        has_changes.then(|| {
            self.kept = Some(now.uptime);
            change
        })
    }

    /// Continues with what was stored. What was read since is added to it. Rows that cannot be read are deleted.
    pub fn restore(&mut self, rows: &[CounterRow]) {
        let by_node = Arc::make_mut(&mut self.by_node);
        for row in rows {
            let node: Arc<str> = row.labels.as_str().into();
            let stored = NodePeriod::restored(&row.values);
            let Some(stored) = stored.filter(|_| by_node.len() < Self::MOST) else {
                self.dirty.insert(node);
                continue;
            };
            let read = by_node.get(&node);
            let period =
                read.map_or(stored, |read| stored.then(read.last, read.began..read.ends, read.read_at));
            by_node.insert(node, period);
        }
    }
}

impl NodePeriod {
    /// By how much a clock may be ahead and go back without that what was moved is counted again from 0.
    const AHEAD: Duration = Duration::from_secs(86_400);

    fn new(counter: u64, period: Range<Timestamp>, now: Timestamp) -> Self {
        NodePeriod { began: period.start, ends: period.end, moved: 0, last: counter, read_at: now }
    }

    /// After one more read, in the month `period`. A counter that has fallen began again. What was moved while a month ended
    /// is divided between both by their shares of that time.
    fn then(self, counter: u64, period: Range<Timestamp>, now: Timestamp) -> Self {
        if self.began.since(now) > Self::AHEAD {
            return NodePeriod::new(counter, period, now);
        }
        let grown = counter.checked_sub(self.last).unwrap_or(counter);
        let ends = if period.end > self.began { period.end } else { self.ends };
        let next = NodePeriod { ends, last: counter, read_at: now, ..self };
        if period.start <= self.began {
            return NodePeriod { moved: self.moved.saturating_add(grown), ..next };
        }
        let whole = now.since(self.read_at).as_millis().max(1);
        let after = now.since(period.start).as_millis().min(whole);
        let moved = u128::from(grown) * after / whole;
        NodePeriod { began: period.start, moved: u64::try_from(moved).unwrap_or(grown), ..next }
    }

    fn values(&self) -> Vec<u64> {
        let millis = |at: Timestamp| at.as_millis().cast_unsigned();
        vec![millis(self.began), millis(self.ends), self.moved, self.last, millis(self.read_at)]
    }

    fn restored(values: &[u64]) -> Option<Self> {
        let &[began, ends, moved, last, read_at] = values else { return None };
        let time = |millis: u64| Timestamp::from_millis(millis.cast_signed());
        Some(NodePeriod { began: time(began), ends: time(ends), moved, last, read_at: time(read_at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(reset_day: u8) -> Allowance {
        Allowance { bytes: 1000, reset_day, counts: Counts::One }
    }

    fn moment(text: &str) -> Moment {
        let wall = Timestamp::of(text);
        Moment { wall, uptime: Duration::from_millis(wall.as_millis().unsigned_abs()) }
    }

    #[test]
    fn a_month_begins_on_the_reset_day_or_on_the_last_one() {
        for (zone, reset_day, now, began, ends) in [
            ("UTC", 1, "2026-11-27T05:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("UTC", 15, "2026-11-14T23:59:59Z", "2026-10-15T00:00:00Z", "2026-11-15T00:00:00Z"),
            ("UTC", 15, "2026-11-15T00:00:00Z", "2026-11-15T00:00:00Z", "2026-12-15T00:00:00Z"),
            ("UTC", 31, "2026-11-30T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z"),
            ("UTC", 31, "2027-02-27T12:00:00Z", "2027-01-31T00:00:00Z", "2027-02-28T00:00:00Z"),
            ("UTC", 31, "2027-03-01T12:00:00Z", "2027-02-28T00:00:00Z", "2027-03-31T00:00:00Z"),
            ("UTC", 30, "2028-02-29T12:00:00Z", "2028-02-29T00:00:00Z", "2028-03-30T00:00:00Z"),
            ("UTC", 5, "2027-01-02T12:00:00Z", "2026-12-05T00:00:00Z", "2027-01-05T00:00:00Z"),
            ("Asia/Tehran", 1, "2026-10-31T21:00:00Z", "2026-10-31T20:30:00Z", "2026-11-30T20:30:00Z"),
            ("Europe/Berlin", 1, "2026-10-31T22:59:59Z", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            let period = allowance(reset_day).period(&zone, Timestamp::of(now));
            assert_eq!(period, Some(Timestamp::of(began)..Timestamp::of(ends)), "{now} {reset_day}");
        }
        let beyond = Timestamp::from_millis(i64::MAX);
        assert_eq!(allowance(1).period(&TimeZone::UTC, beyond), None);
    }

    #[test]
    fn a_proxy_sends_on_what_it_receives() {
        let used = |counts, moved| Allowance { counts, ..allowance(1) }.used(moved);
        assert_eq!((used(Counts::One, 7), used(Counts::Both, 7)), (7, 14));
        assert_eq!(used(Counts::Both, u64::MAX), u64::MAX);
    }

    #[test]
    fn the_most_exact_name_decides() {
        let named = ["*", "DE-*", "DE-1", "a*"];
        let by_name = (1..).zip(named).map(|(day, name)| (name.to_owned(), allowance(day))).collect();
        let allowances = NodeAllowances { by_name, ..NodeAllowances::default() };
        let day = |node: &str| allowances.of(node).map(|allowance| allowance.reset_day);
        assert_eq!(["DE-1", "DE-2", "FI-1", "DE-*"].map(day), [Some(3), Some(2), Some(1), Some(2)]);
        assert_eq!(NodeAllowances::default().of("DE-1"), None);
    }

    fn periods() -> NodePeriods {
        let by_name = vec![("DE-*".to_owned(), allowance(15))];
        NodePeriods::new(NodeAllowances { by_name, ..NodeAllowances::default() })
    }

    /// Reads the counter of a node at these times; what it has moved after each.
    fn moved(periods: &mut NodePeriods, reads: &[(&str, u64)]) -> Vec<u64> {
        let node: Arc<str> = "DE-1".into();
        let moved = |(at, counter): &(&str, u64)| {
            periods.read(&node, *counter, moment(at));
            periods.of("DE-1").unwrap().1.unwrap().moved
        };
        reads.iter().map(moved).collect()
    }

    #[test]
    fn what_is_moved_counts_from_the_reset_day() {
        for (reads, expected) in [
            // The first reading is where counting begins.
            (
                &[
                    ("2026-11-16T00:00:00Z", 500),
                    ("2026-11-17T00:00:00Z", 700),
                    ("2026-11-18T00:00:00Z", 701),
                ][..],
                &[0, 200, 201][..],
            ),
            // A counter that begins again.
            (
                &[("2026-11-16T00:00:00Z", 500), ("2026-11-17T00:00:00Z", 600), ("2026-11-18T00:00:00Z", 30)],
                &[0, 100, 130],
            ),
            // A quarter of the time after the last read was in the new month.
            (
                &[("2026-12-14T00:00:00Z", 0), ("2026-12-14T21:00:00Z", 80), ("2026-12-15T01:00:00Z", 120)],
                &[0, 80, 10],
            ),
            // After months.
            (&[("2026-11-16T00:00:00Z", 0), ("2027-03-17T00:00:00Z", 1210)], &[0, 20]),
            // The clock is set back over the reset day, and the month goes on.
            (
                &[("2026-12-15T00:00:00Z", 0), ("2026-12-15T01:00:00Z", 40), ("2026-12-14T20:00:00Z", 50)],
                &[0, 40, 50],
            ),
            // It was wrong by a year.
            (&[("2027-12-16T00:00:00Z", 0), ("2026-12-16T01:00:00Z", 40)], &[0, 0]),
        ] {
            assert_eq!(moved(&mut periods(), reads), expected, "{reads:?}");
        }
    }

    #[test]
    fn it_goes_on_after_a_restart() {
        let mut before = periods();
        moved(&mut before, &[("2026-11-16T00:00:00Z", 500), ("2026-11-17T00:00:00Z", 700)]);
        let change = before.take_changes(moment("2026-11-17T00:00:00Z")).unwrap();
        assert_eq!((change.family.as_str(), change.rows.len(), change.gone.len()), ("node_periods", 1, 0));
        // What is stored later would say the same.
        moved(&mut before, &[("2026-11-17T00:01:00Z", 720)]);
        assert_eq!(before.take_changes(moment("2026-11-17T00:01:00Z")), None);
        assert!(before.take_changes(moment("2026-11-17T00:06:00Z")).is_some());
        assert_eq!(before.take_changes(moment("2026-11-17T00:12:00Z")), None, "nothing has changed");

        let mut after = periods();
        after.restore(&change.rows);
        assert_eq!(moved(&mut after, &[("2026-11-18T00:00:00Z", 800)]), [300]);
        // The disk answered only after the first read.
        let mut late = periods();
        moved(&mut late, &[("2026-11-18T00:00:00Z", 800)]);
        late.restore(&change.rows);
        assert_eq!(late.of("DE-1").unwrap().1.unwrap().moved, 300);
        assert_eq!(moved(&mut late, &[("2026-11-18T01:00:00Z", 810)]), [310]);
    }

    #[test]
    fn rows_that_are_of_no_use_are_deleted() {
        let mut periods = periods();
        let row = |labels: &str, values: &[u64]| CounterRow { labels: labels.into(), values: values.into() };
        let now = moment("2026-11-17T00:00:00Z");
        let values = NodePeriod::new(5, now.wall..now.wall, now.wall).values();
        periods.restore(&[row("DE-1", &[1, 2]), row("DE-2", &values), row("FI-1", &values)]);
        let change = periods.take_changes(now).unwrap();
        assert_eq!(change.gone, ["DE-1", "FI-1"]);
        let later = moment("2026-12-18T00:00:01Z");
        assert_eq!(periods.take_changes(later).unwrap().gone, ["DE-2"], "not read for a month");
        assert_eq!(periods.iter().count(), 0);
    }

    #[test]
    fn nothing_is_kept_without_an_allowance() {
        let mut periods = NodePeriods::default();
        periods.read(&"DE-1".into(), 5, moment("2026-11-17T00:00:00Z"));
        assert!(periods.of("DE-1").is_none() && periods.by_node.is_empty());
        let mut periods = self::periods();
        periods.read(&"FI-1".into(), 5, moment("2026-11-17T00:00:00Z"));
        assert!(periods.by_node.is_empty());
    }
}

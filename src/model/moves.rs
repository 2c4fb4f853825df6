use std::{
    collections::HashMap,
    ops::{BitOr, BitOrAssign, Range},
    sync::Arc,
    time::Duration,
};

use super::{Timestamp, Unread, User};

/// By how much a count has grown between two readings, and whether it fell: then the panel has set it back to 0, and what
/// it has now came after that. What was used between the last reading and the reset was not seen.
///
/// A count that falls by less than half was not set back to 0: such as that of a panel that was restored from a backup.
/// Nothing is known of what was used meanwhile.
pub fn growth(before: u64, now: u64) -> (u64, bool) {
    match now.checked_sub(before) {
        Some(grown) => (grown, false),
        None if now > before / 2 => (0, true),
        None => (now, true),
    }
}

/// Whether growth between two readings may belong to an earlier day or month than the one that it counts in. Within one
/// period it does not, however long the pause. Otherwise, growth within the `usual` time between two readings counts as that of the
/// later period: the border is as sharp as the readings are dense.
pub fn is_late(last_read: Timestamp, read_at: Timestamp, same_period: bool, usual: Duration) -> bool {
    !same_period && read_at.since(last_read) > usual
}

/// What the figure of a period may lack or have too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// Part of it may have been used in an earlier period: nothing was read for a while.
    pub const GAP: Marks = Marks(1);
    /// What was used just before the panel reset its count is not in it.
    pub const RESET: Marks = Marks(2);

    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Unknown bits are dropped.
    pub const fn of_bits(bits: u8) -> Self {
        Marks(bits & (Marks::GAP.0 | Marks::RESET.0))
    }

    pub const fn has(self, other: Marks) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn only_if(self, holds: bool) -> Self {
        if holds { self } else { Marks::default() }
    }
}

impl BitOr for Marks {
    type Output = Marks;

    fn bitor(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }
}

impl BitOrAssign for Marks {
    fn bitor_assign(&mut self, other: Marks) {
        *self = *self | other;
    }
}

/// A new total of a subject: a user, a node or a client key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Move {
    pub name: Arc<str>,
    /// The admin that owns the user.
    pub owner: Option<Arc<str>>,
    /// The total before; absent: it is not known, and this one is where the count starts.
    pub before: Option<u64>,
    /// Bytes or tokens.
    pub total: u64,
    /// The list before was read without it, or without its total.
    pub was_missing: bool,
    /// When the total, or the list before, was read; absent: that is not known.
    pub last_read: Option<Timestamp>,
    /// An earlier process read `before`, and may not have written it to the history.
    pub is_restored: bool,
    /// The panel may have reset it in between, although it did not fall.
    pub may_be_reset: bool,
    /// The panel resets it at times.
    pub resets: bool,
    /// It does not say when, so that it may have done so in a pause.
    pub resets_unseen: bool,
    /// The panel says less, which is not believed yet: `total` is the one before.
    pub is_falling: bool,
}

impl Move {
    fn of(user: &User) -> Self {
        Move {
            name: Arc::clone(&user.name),
            owner: user.owner.clone(),
            total: user.traffic.value(),
            resets: user.extra.quota_reset.is_some() || user.unread.has(Unread::QUOTA_RESET),
            resets_unseen: user.unread.has(Unread::QUOTA_RESET),
            is_falling: user.traffic.is_falling(),
            ..Move::default()
        }
    }
}

/// The users whose totals have moved since they were last taken, and those that were read for the first time since
/// [`Moves::collect`]. Empty and free unless somebody collects.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    from: Option<Timestamp>,
    list: Vec<Move>,
    /// When the totals of users were last read that cannot be read now.
    unread: HashMap<Arc<str>, Timestamp>,
}

/// Further ones are as if they had been missing.
const MOST_UNREAD: usize = 10_000;

impl Moves {
    /// Collects from now on.
    pub fn collect(&mut self, now: Timestamp) {
        self.from.get_or_insert(now);
    }

    pub fn take(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.list)
    }

    /// Notes another reading of a user.
    pub(super) fn user_was(&mut self, known: &User, user: &User) {
        let Some(from) = self.from else { return };
        let was_unread = known.unread.has(Unread::TRAFFIC);
        if user.unread.has(Unread::TRAFFIC) {
            if !was_unread && self.unread.len() < MOST_UNREAD {
                self.unread.insert(Arc::clone(&user.name), known.read_at);
            }
            return;
        }
        let read = Move::of(user);
        let last_read = if was_unread { self.unread.remove(&user.name) } else { Some(known.read_at) };
        let (before, total) = (known.traffic.value(), user.traffic.value());
        let resets = known.extra.quota_reset.zip(user.extra.quota_reset);
        let was_due = resets.is_some_and(|(due, next)| due < next && due <= user.read_at);
        // A count that fell and is higher again has dipped, or it was used fast after a reset.
        let may_be_reset = was_due || known.traffic.is_falling() || was_unread && read.resets;
        // What an earlier process wrote down may be older than what it knew.
        let is_restored = last_read.is_some_and(|last| last <= from) && from <= user.read_at;
        let changes = before != total || known.owner != user.owner;
        if changes || is_restored || last_read.is_none() || may_be_reset || user.traffic.is_falling() {
            self.list.push(Move {
                before: last_read.map(|_| before),
                was_missing: last_read.is_none(),
                last_read,
                is_restored,
                may_be_reset,
                ..read
            });
        }
    }

    /// Notes a user who was not known, and when the last list began. If that surely had every user, all that this one has used
    /// came later: it is `new`.
    pub(super) fn user_came(&mut self, user: &User, is_new: bool, last_list: Option<Timestamp>) {
        if self.from.is_some() && !user.unread.has(Unread::TRAFFIC) {
            let (before, last_read) = (is_new.then_some(0), last_list);
            self.list.push(Move { before, was_missing: last_read.is_some(), last_read, ..Move::of(user) });
        }
    }
}

/// What users of a target used on a day.
#[derive(Clone, Debug, Default)]
pub struct UsedToday {
    day: Range<Timestamp>,
    /// Sorted by name.
    users: Vec<(Arc<str>, u64)>,
}

impl UsedToday {
    pub fn new(day: Range<Timestamp>, mut users: Vec<(Arc<str>, u64)>) -> Self {
        users.sort_unstable();
        UsedToday { day, users }
    }

    /// Whether the day is over, or has not begun: then this says nothing of today.
    pub fn is_past(&self, now: Timestamp) -> bool {
        !self.day.contains(&now)
    }

    /// The bytes of a user; those who are not known used nothing.
    pub fn of(&self, user: &str) -> u64 {
        let at = self.users.binary_search_by(|(name, _)| (**name).cmp(user)).ok();
        at.and_then(|at| self.users.get(at)).map_or(0, |(_, used)| *used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Counter;

    #[test]
    fn a_fall_is_a_reset() {
        for (before, now, expected) in [
            (5, 5, (0, false)),
            (5, 9, (4, false)),
            (9, 5, (0, true)),
            (9, 4, (4, true)),
            (9, 0, (0, true)),
            (0, u64::MAX, (u64::MAX, false)),
        ] {
            assert_eq!(growth(before, now), expected, "{before} {now}");
        }
    }

    #[test]
    fn a_user_who_is_at_rest_is_noted_once_and_with_another_admin() {
        let user = |owner: &str, seconds: i64| User {
            owner: Some(owner.into()),
            read_at: Timestamp::from_secs(seconds),
            ..User::named("ann")
        };
        let mut moves = Moves::default();
        let reads = [user("ali", 1), user("ali", 12), user("ali", 20), user("bea", 30), user("bea", 40)];
        // Nothing is collected yet.
        moves.user_was(&reads[0], &reads[1]);
        assert_eq!(moves.take(), []);
        moves.collect(Timestamp::from_secs(10));
        let noted = reads.windows(2).map(|pair| {
            moves.user_was(&pair[0], &pair[1]);
            moves.take().into_iter().map(|read| (read.owner, read.is_restored)).collect::<Vec<_>>()
        });
        let is = |owner: &str, is_restored| vec![(Some(owner.into()), is_restored)];
        let expected = [is("ali", true), vec![], is("bea", false), vec![]];
        assert_eq!(noted.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_total_that_could_not_be_read_goes_on_from_when_it_was() {
        let user = |total: u64, seconds: i64, is_unread: bool| {
            let mut user = User {
                traffic: Counter::new(total),
                read_at: Timestamp::from_secs(seconds),
                ..User::named("ann")
            };
            if is_unread {
                user.unread.add(Unread::TRAFFIC);
            }
            user
        };
        let mut moves = Moves::default();
        moves.collect(Timestamp::from_secs(0));
        let mut noted = |known: &User, user: &User| {
            moves.user_was(known, user);
            let at = |last: Option<Timestamp>| last.map(Timestamp::as_secs);
            let reads = moves.take().into_iter();
            reads.map(|read| (read.before, read.was_missing, at(read.last_read))).collect::<Vec<_>>()
        };
        let reads = [user(5, 10, false), user(5, 20, true), user(5, 30, true), user(9, 40, false)];
        let all: Vec<_> = reads.windows(2).flat_map(|pair| noted(&pair[0], &pair[1])).collect();
        assert_eq!(all, [(Some(5), false, Some(10))]);
        // An earlier process may know.
        assert_eq!(noted(&reads[1], &reads[3]), [(None, true, None)]);
        moves.user_came(&reads[1], true, None);
        assert_eq!(moves.take(), []);
    }

    #[test]
    fn only_a_pause_over_a_border_is_late() {
        let at = Timestamp::from_secs;
        let usual = Duration::from_secs(600);
        for (last, now, same, expected) in [
            (0, 600, false, false),
            (0, 601, false, true),
            (0, 80_000, true, false),
            // The clock was set back.
            (5000, 0, false, false),
        ] {
            assert_eq!(is_late(at(last), at(now), same, usual), expected, "{last} {now} {same}");
        }
    }
}

use std::{collections::BTreeMap, iter, mem, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Counter, Journal, Moment, Moves, NamedUsers, SortedUsers, Timestamp, Unread, Unreadable, User, UserFacts,
    WalkEnd, WholeList,
};

/// The users of a target: those of the last finished walk, updated by the present one.
#[derive(Clone, Debug, Default)]
pub struct Users {
    list: SortedUsers,
    /// When the last finished walk started; absent: none has finished yet, and the list is not whole.
    walked_since: Option<Moment>,
    /// Rows of the last finished walk that the panel did not return in a readable form.
    unreadable: Unreadable,
    is_restored: bool,
    /// The list is that of an earlier process, which did not say what was beside it.
    lacks_beside: bool,
    /// Rows of the last whole list that were left out, and its size by the panel's own count.
    omitted: usize,
    total: Option<usize>,
    /// Names that the last finished walk did not find. The value is the number of consecutive polls, since the first
    /// walk that missed the name, in which the panel's own count agreed that the user is gone.
    missing: BTreeMap<Arc<str>, u32>,
    /// The number of users that the last finished walk found or could not read.
    walked: usize,
    /// Users who were found since the last finished walk, and were not in it; and when.
    arrived: Vec<(Arc<str>, Timestamp)>,
    order: Order,
}

/// Places in the last list that came whole, in the order of the names there. Panels return the same order each time, so
/// it sorts the next list, and only has to be checked.
#[derive(Clone, Debug, Default)]
struct Order(Arc<[u32]>);

/// What is to be known of the last whole list beside its users, so that no user is taken for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BesideUsers {
    /// Rows that could not be read.
    pub unreadable: usize,
    /// Rows that were left out.
    pub omitted: usize,
    /// Users who were found since.
    pub arrived: Vec<Arc<str>>,
}

/// Up to this number of missing users are requested by name. If more are missing, an incomplete list is more likely
/// than so many deletions between two walks.
const FEW: usize = 20;
/// The panel's own count must agree this many times in a row before many missing users are removed.
const AGREEMENTS: u32 = 3;

impl Users {
    /// The most users that are kept of one target, ten times those of the largest panel measured. A list without an end
    /// must not fill the memory.
    pub const MOST: usize = 200_000;

    pub fn list(&self) -> &SortedUsers {
        &self.list
    }

    /// The users of a walk that an earlier process finished. Without the time when that walk started, they do not
    /// count as a whole list.
    pub fn restored(mut list: SortedUsers, walked_since: Option<Moment>) -> Self {
        if list.len() > Users::MOST {
            list = list.iter().take(Users::MOST).cloned().collect();
        }
        let lacks_beside = true;
        Users { walked: list.len(), list, walked_since, is_restored: true, lacks_beside, ..Users::default() }
    }

    /// The same, with what an earlier process knew beside the list; absent: it did not say.
    #[must_use]
    pub fn with(mut self, beside: Option<BesideUsers>) -> Self {
        if let Some(BesideUsers { unreadable, omitted, arrived }) =
            beside.filter(|_| self.walked_since.is_some())
        {
            self.unreadable.rows = unreadable;
            self.omitted = omitted;
            self.arrived = arrived.iter().filter_map(|name| self.list.get(name)).map(arrival).collect();
            self.lacks_beside = false;
        }
        self
    }

    /// What the next process has to know beside the list.
    pub fn beside(&self) -> BesideUsers {
        let arrived = self.arrived.iter().map(|(name, _)| Arc::clone(name)).collect();
        BesideUsers { unreadable: self.unreadable.rows, omitted: self.omitted, arrived }
    }

    /// Whether the last whole list is that of an earlier process, of which unreadable rows are not known.
    pub fn is_restored(&self) -> bool {
        self.is_restored
    }

    pub fn walked_since(&self) -> Option<Moment> {
        self.walked_since
    }

    /// Rows of the last whole list that the panel did not return in a readable form.
    pub fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    /// Rows of the last whole list that were left out, because it is too long or their names are.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Rows of the last finished walk by the panel's own count, if it differs from what the walk found.
    pub fn counted_otherwise(&self) -> Option<usize> {
        self.total.filter(|total| *total != self.found())
    }

    /// The number of rows of the last whole list, whether they gave a user or not.
    pub fn found(&self) -> usize {
        self.walked.saturating_add(self.omitted)
    }

    /// Users that the last finished walk did not find and that must be requested by name. Until then they stay in the
    /// list. If many users are missing, they are not among these: they are removed when the panel's own count agrees
    /// with the walk for long enough.
    pub fn missing(&self) -> Vec<Arc<str>> {
        if self.holds_many_missing() { Vec::new() } else { self.missing.keys().cloned().collect() }
    }

    pub(super) fn holds_many_missing(&self) -> bool {
        self.missing.len() > FEW || self.missing.len() * 2 > self.list.len()
    }

    /// Compares the panel's own user count with the last finished walk. It agrees if most of the missing users are not
    /// counted; a few users may have been added or deleted since the walk.
    pub(super) fn compare(&mut self, total: Option<u64>, journal: &mut Journal, now: Moment) {
        let most = self.walked.saturating_add(self.missing.len() / 2);
        let agrees = total.is_some_and(|total| usize::try_from(total).is_ok_and(|total| total <= most));
        for agreed in self.missing.values_mut() {
            *agreed = if agrees { *agreed + 1 } else { 0 };
        }
        let gone = self.missing.iter().filter(|(_, agreed)| **agreed >= AGREEMENTS);
        let gone: Vec<_> = gone.map(|(name, _)| Arc::clone(name)).collect();
        self.missing.retain(|_, agreed| *agreed < AGREEMENTS);
        self.forget(&gone, journal, now);
    }

    /// What changes by it is noted in `journal`, and what was used in `moves`.
    pub(super) fn merge(&mut self, facts: UserFacts, journal: &mut Journal, moves: &mut Moves, now: Moment) {
        match facts {
            UserFacts::Page(page) => self.merge_page(page, journal, moves),
            UserFacts::WalkEnd(end) => self.merge_end(end, journal, moves),
            UserFacts::Whole(list) => self.merge_whole(list, journal, moves, now),
            UserFacts::Named(named) => self.merge_named(named, journal, moves, now),
        }
    }

    /// Merges users that were requested by name.
    fn merge_named(&mut self, named: NamedUsers, journal: &mut Journal, moves: &mut Moves, now: Moment) {
        let found = named.found.iter().map(|user| &user.name);
        for name in found.chain(&named.gone) {
            self.missing.remove(name);
        }
        self.merge_page(named.found, journal, moves);
        self.forget(&named.gone, journal, now);
    }

    fn forget(&mut self, names: &[Arc<str>], journal: &mut Journal, now: Moment) {
        let gone = names.iter().filter_map(|name| self.list.remove(name));
        gone.for_each(|user| journal.user_is_gone(&user.name, now));
    }

    /// Merges users read on a walk. Counters of known users continue; other users stay as they are. New users beyond the
    /// cap are left out.
    fn merge_page(&mut self, page: Vec<User>, journal: &mut Journal, moves: &mut Moves) {
        let mut new = Vec::new();
        for user in page {
            match self.list.get_mut(&user.name) {
                Some(known) => *known = gone_on(known, user, journal, moves),
                None => new.push(user),
            }
        }
        let room = Users::MOST.saturating_sub(self.list.len());
        for user in sorted(new).into_iter().take(room) {
            if self.walked_since.is_some() {
                self.arrived.push(arrival(&user));
            }
            moves.user_came(&user, self.was_complete(), self.last_list());
            self.list.insert(user);
        }
    }

    /// Merges a walk's last page and records which users the walk did not find.
    fn merge_end(&mut self, end: WalkEnd, journal: &mut Journal, moves: &mut Moves) {
        self.merge_page(end.page, journal, moves);
        let missing = self.list.iter().filter(|user| !end.seen.contains(&user.name));
        let missing = missing.map(|user| {
            let agreed = self.missing.get(&user.name).copied().unwrap_or(0);
            (Arc::clone(&user.name), agreed)
        });
        self.missing = missing.collect();
        let kept = self.list.len() - self.missing.len();
        let beyond = end.seen.len().saturating_sub(kept);
        let arrived = mem::take(&mut self.arrived);
        self.note_arrived(arrived, &end.unreadable, journal);
        self.walked = end.seen.len() - beyond + end.unreadable.rows;
        self.omitted = end.omitted.saturating_add(beyond);
        self.total = end.total;
        self.walked_since = Some(end.started);
        self.unreadable = end.unreadable;
        self.list.shrink();
        (self.is_restored, self.lacks_beside) = (false, false);
    }

    /// Merges a list that came whole. A user who is not in it stays until three lists in a row lack the user, because a
    /// panel may return an empty or an incomplete list for a moment. New users beyond the cap are left out.
    fn merge_whole(&mut self, whole: WholeList, journal: &mut Journal, moves: &mut Moves, now: Moment) {
        let known = mem::take(&mut self.list);
        let mut read = self.order.sorted(whole.users).peekable();
        let (mut missing, mut new) = (BTreeMap::new(), Vec::new());
        for user in known.iter() {
            new.extend(iter::from_fn(|| read.next_if(|read| read.name < user.name)));
            if let Some(read) = read.next_if(|read| read.name == user.name) {
                self.list.push(gone_on(user, read, journal, moves));
                continue;
            }
            let agreed = self.missing.get(&user.name).map_or(1, |agreed| agreed + 1);
            if agreed < AGREEMENTS {
                missing.insert(Arc::clone(&user.name), agreed);
                self.list.push(user.clone());
            } else {
                journal.user_is_gone(&user.name, now);
            }
        }
        new.extend(read);
        let room = Users::MOST.saturating_sub(self.list.len());
        let beyond = new.len().saturating_sub(room);
        new.truncate(room);
        if self.walked_since.is_some() {
            self.note_arrived(new.iter().map(arrival), &whole.unreadable, journal);
        }
        // One that comes while another one goes may be the same user under another name.
        let is_new = self.was_complete() && missing.is_empty();
        new.iter().for_each(|user| moves.user_came(user, is_new, self.last_list()));
        self.walked = self.list.len() - missing.len() + new.len();
        new.into_iter().for_each(|user| self.list.insert(user));
        self.list.shrink();
        self.missing = missing;
        self.walked_since = Some(whole.started);
        self.omitted = whole.omitted.saturating_add(beyond);
        self.total = None;
        self.unreadable = whole.unreadable;
        (self.is_restored, self.lacks_beside) = (false, false);
    }

    /// Whether the last whole list surely had every user.
    fn was_complete(&self) -> bool {
        self.walked_since.is_some() && !self.lacks_beside && self.omitted == 0 && self.unreadable.rows == 0
    }

    /// When the last whole list began.
    fn last_list(&self) -> Option<Timestamp> {
        self.walked_since.map(|since| since.wall)
    }

    /// Notes users whom the last whole list did not have, and this one has; unless they may be among the rows that could
    /// not be read then, or were left out.
    fn note_arrived(
        &self,
        arrived: impl IntoIterator<Item = (Arc<str>, Timestamp)>,
        unreadable: &Unreadable,
        journal: &mut Journal,
    ) {
        if !self.lacks_beside && self.omitted == 0 && self.unreadable.rows <= unreadable.rows {
            arrived.into_iter().for_each(|(name, at)| journal.user_is_new(&name, at));
        }
    }
}

impl Order {
    /// The users by name, of each name the first one.
    fn sorted(&mut self, users: Vec<User>) -> impl Iterator<Item = User> {
        let mut users: Vec<_> = users.into_iter().map(Some).collect();
        let name = |place: &u32| users.get(*place as usize)?.as_ref().map(|user| &*user.name);
        if self.0.len() != users.len() || !self.0.is_sorted_by(|a, b| name(a) < name(b)) {
            let mut places: Vec<_> = (0..).take(users.len()).collect();
            places.sort_by_key(name);
            places.dedup_by_key(|place| name(place));
            self.0 = places.into();
        }
        let places = Arc::clone(&self.0);
        (0..places.len()).filter_map(move |at| users.get_mut(*places.get(at)? as usize)?.take())
    }
}

/// Sorts by name and drops further users of the same name.
fn sorted(mut users: Vec<User>) -> Vec<User> {
    users.sort_by(|a, b| a.name.cmp(&b.name));
    users.dedup_by(|a, b| a.name == b.name);
    users
}

/// Who was found, and when.
fn arrival(user: &User) -> (Arc<str>, Timestamp) {
    (Arc::clone(&user.name), user.read_at)
}

/// A user after one more reading. Counters continue from the known ones.
fn gone_on(known: &User, read: User, journal: &mut Journal, moves: &mut Moves) -> User {
    let lacks = |fact| read.unread.has(fact);
    let mut user = User {
        // Reuses the known name's allocation, so that updates do not fragment memory.
        name: Arc::clone(&known.name),
        status: if lacks(Unread::STATUS) { known.status } else { read.status },
        used: if lacks(Unread::USED) { known.used } else { read.used },
        limit: if lacks(Unread::LIMIT) { known.limit } else { read.limit },
        renews: if lacks(Unread::RENEWS) { known.renews } else { read.renews },
        expiry: if lacks(Unread::EXPIRY) { known.expiry } else { read.expiry },
        last_online: if lacks(Unread::ONLINE) { known.last_online } else { read.last_online },
        traffic: match lacks(Unread::TRAFFIC) {
            true => known.traffic,
            false => known.traffic.then(read.traffic.value()),
        },
        ..read
    };
    let (before, now) = (&known.extra, &user.extra);
    let uplink = Counter::go_on(before.uplink, now.uplink.map(Counter::value));
    let downlink = Counter::go_on(before.downlink, now.downlink.map(Counter::value));
    if (uplink, downlink) != (now.uplink, now.downlink) {
        (user.extra.uplink, user.extra.downlink) = (uplink, downlink);
    }
    if let Some(resets) = user.extra.resets {
        let resets = Some(resets.after(
            known.extra.resets,
            (user.used < known.used).then_some(known.read_at),
            user.read_at,
        ));
        if resets != user.extra.resets {
            user.extra.resets = resets;
        }
    }
    journal.user_was(known, &user);
    moves.user_was(known, &user);
    user
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Expiry, Extra, Extras, LastOnline, UserStatus};

    fn sent(bytes: u64) -> Extra {
        Extras { uplink: Some(Counter::new(bytes)), ..Extras::default() }.into()
    }

    fn merge(users: &mut Users, facts: UserFacts) {
        users.merge(facts, &mut Journal::default(), &mut Moves::default(), Moment::default());
    }

    fn compare(users: &mut Users, total: Option<u64>) {
        users.compare(total, &mut Journal::default(), Moment::default());
    }

    fn walk(users: &mut Users, names: impl Iterator<Item = usize>) {
        let page: Vec<_> = names.map(|i| User::named(&format!("u{i:03}"))).collect();
        let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
        let end = WalkEnd { page, seen, ..WalkEnd::default() };
        users.merge_end(end, &mut Journal::default(), &mut Moves::default());
    }

    #[test]
    fn a_few_missing_users_stay_until_they_were_asked_for_by_name() {
        let mut users = Users::default();
        walk(&mut users, 0..100);
        walk(&mut users, 2..100);
        assert_eq!(users.list().len(), 100);
        assert_eq!(users.missing(), ["u000".into(), "u001".into()]);
        merge(
            &mut users,
            UserFacts::Named(NamedUsers { found: vec![User::named("u000")], gone: vec!["u001".into()] }),
        );
        assert_eq!(users.list().len(), 99);
        assert!(users.missing().is_empty());
    }

    #[test]
    fn many_missing_users_stay_until_the_panels_own_count_agrees_three_times() {
        for kept in [49, 79] {
            let mut users = Users::default();
            walk(&mut users, 0..100);
            walk(&mut users, 0..kept);
            assert!(users.missing().is_empty() && users.holds_many_missing());
            for total in [kept as u64, 100, kept as u64, kept as u64] {
                compare(&mut users, Some(total));
                assert_eq!(users.list().len(), 100);
            }
            compare(&mut users, Some(kept as u64));
            assert_eq!(users.list().len(), kept);
            assert!(!users.holds_many_missing());
        }
    }

    #[test]
    fn many_deleted_users_leave_however_often_the_panel_is_walked() {
        // Each letter is a walk or a count, in order of the polls.
        for polls in ["wccc", "wcwcwc", "wwcwwcwwc", "cwcwcwc", "wcwcc"] {
            let mut users = Users::default();
            walk(&mut users, 0..300);
            for poll in polls.chars() {
                assert_eq!(users.list().len(), 300, "{polls}");
                match poll {
                    'w' => walk(&mut users, 0..250),
                    _ => compare(&mut users, Some(250)),
                }
            }
            walk(&mut users, 0..250);
            assert_eq!(users.list().len(), 250, "{polls}");
        }
    }

    #[test]
    fn users_deleted_later_wait_for_agreements_of_their_own() {
        let mut users = Users::default();
        walk(&mut users, 0..300);
        walk(&mut users, 0..250);
        compare(&mut users, Some(250));
        compare(&mut users, Some(250));
        walk(&mut users, 0..200);
        compare(&mut users, Some(200));
        assert_eq!(users.list().len(), 250);
        compare(&mut users, Some(200));
        compare(&mut users, Some(200));
        assert_eq!(users.list().len(), 200);
    }

    #[test]
    fn users_who_come_and_go_meanwhile_do_not_keep_many_deleted_ones() {
        for total in [245, 250, 270] {
            let mut users = Users::default();
            walk(&mut users, 0..300);
            walk(&mut users, 0..250);
            (0..3).for_each(|_| compare(&mut users, Some(total)));
            assert_eq!(users.list().len(), 250, "{total}");
        }
        for total in [Some(276), Some(300), None] {
            let mut users = Users::default();
            walk(&mut users, 0..300);
            walk(&mut users, 0..250);
            (0..9).for_each(|_| compare(&mut users, total));
            assert_eq!(users.list().len(), 300, "{total:?}");
        }
    }

    #[test]
    fn a_user_leaves_when_three_whole_lists_in_a_row_lack_the_user() {
        let moved = |name: &str, bytes| User { extra: sent(bytes), ..User::named(name) };
        // The names in each answer, and those known after the last one.
        let cases: [(&[&str], &str); 7] = [
            (&["abc", "abc"], "abc"),
            (&["bd", "bd"], "abcd"),
            (&["bd", "bd", "bd"], "bd"),
            // An empty list, and half of one.
            (&["", ""], "abc"),
            (&["", "", "abc", "b", "b"], "abc"),
            (&["", "", ""], ""),
            // Each user waits for lists of its own.
            (&["ab", "ab", "b"], "ab"),
        ];
        for (answers, expected) in cases {
            let known = [moved("a", 5), moved("b", 7), moved("c", 9)];
            let mut users = Users::restored(known.into_iter().collect(), Some(Moment::default()));
            for answer in answers {
                let list = answer.chars().map(|name| moved(&name.to_string(), 3)).collect();
                let whole = WholeList { users: list, omitted: 2, ..WholeList::default() };
                merge(&mut users, UserFacts::Whole(whole));
                assert_eq!(users.omitted(), 2);
            }
            let known: String = users.list().iter().map(|user| &*user.name).collect();
            assert_eq!(known, expected, "{answers:?}");
        }
    }

    #[test]
    fn lists_are_merged_alike_whatever_order_the_list_before_had() {
        let mut users = Users::default();
        for names in ["cab", "cab", "bca", "cba", "aab", "abcc", "dabc", "ad", "", "ba"] {
            let bytes = |place: usize| u64::try_from(place).unwrap() + 1;
            let named =
                |(place, name): (usize, char)| User { used: bytes(place), ..User::named(&name.to_string()) };
            let read = names.chars().enumerate().map(named).collect();
            merge(&mut users, UserFacts::Whole(WholeList { users: read, ..WholeList::default() }));
            let listed: Vec<_> = users.list().iter().map(|user| user.name.to_string()).collect();
            assert!(listed.is_sorted_by(|a, b| a < b), "{names}: {listed:?}");
            for name in names.chars() {
                let user = users.list().get(&name.to_string()).unwrap();
                assert_eq!(user.used, bytes(names.find(name).unwrap()), "{names}: {name}");
            }
        }
    }

    #[test]
    fn counters_of_whole_lists_go_on() {
        let moved = |bytes| User { extra: sent(bytes), ..User::named("a") };
        let mut users = Users::restored([moved(7)].into_iter().collect(), Some(Moment::default()));
        // A first fall is not believed.
        for (bytes, expected) in [(9, 9), (3, 9), (4, 4)] {
            let whole = WholeList { users: vec![moved(bytes)], ..WholeList::default() };
            merge(&mut users, UserFacts::Whole(whole));
            assert_eq!(users.list().get("a").unwrap().extra.uplink.map(Counter::value), Some(expected));
        }
    }

    #[test]
    fn what_an_answer_does_not_say_stays_as_it_was() {
        let known = User {
            status: UserStatus::Active,
            used: 7,
            limit: Some(9),
            traffic: Counter::new(20),
            expiry: Expiry::At(Timestamp::from_secs(5)),
            last_online: LastOnline::seen(Timestamp::from_secs(4)),
            ..User::named("a")
        };
        let mut users = Users::restored([known.clone()].into_iter().collect(), None);
        for (fact, changed) in [
            (Unread::STATUS, User { status: UserStatus::Unknown, ..known.clone() }),
            (Unread::USED, User { used: 0, ..known.clone() }),
            (Unread::LIMIT, User { limit: None, ..known.clone() }),
            (Unread::TRAFFIC, User { traffic: Counter::new(0), ..known.clone() }),
            (Unread::EXPIRY, User { expiry: Expiry::Never, ..known.clone() }),
            (Unread::ONLINE, User { last_online: LastOnline::default(), ..known.clone() }),
        ] {
            merge(&mut users, UserFacts::Page(vec![User { unread: fact, ..changed }]));
            assert_eq!(users.list().get("a"), Some(&User { unread: fact, ..known.clone() }));
        }
    }

    #[test]
    fn no_list_grows_beyond_the_cap() {
        let named = |names: std::ops::Range<usize>| {
            names.map(|i| User::named(&format!("u{i:07}"))).collect::<Vec<_>>()
        };
        // Pages of walks that do not end.
        let mut users = Users::default();
        for start in (0..6 * Users::MOST).step_by(Users::MOST / 2) {
            merge(&mut users, UserFacts::Page(named(start..start + Users::MOST / 2)));
        }
        assert_eq!((users.list().len(), &*users.list().nth(0).unwrap().name), (Users::MOST, "u0000000"));
        // A walk that finds other users than those kept, and more of them than are kept.
        let page = named(5..Users::MOST + 10);
        let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
        merge(&mut users, UserFacts::WalkEnd(WalkEnd { page, seen, omitted: 3, ..WalkEnd::default() }));
        assert_eq!((users.list().len(), users.omitted(), users.missing().len()), (Users::MOST, 13, 5));
        // Room that users leave is used.
        let found = named(Users::MOST..Users::MOST + 10);
        let gone = users.missing();
        merge(&mut users, UserFacts::Named(NamedUsers { found: Vec::new(), gone }));
        merge(&mut users, UserFacts::Named(NamedUsers { found, gone: Vec::new() }));
        assert_eq!(users.list().len(), Users::MOST);
        assert_eq!(&*users.list().nth(Users::MOST - 1).unwrap().name, "u0200004");
        // Known users are kept before others, those that the list lacks for the first time included.
        let users_read =
            named(1_000_000..1_000_000 + Users::MOST).into_iter().chain(named(0..100_000)).collect();
        merge(&mut users, UserFacts::Whole(WholeList { users: users_read, ..WholeList::default() }));
        assert_eq!((users.list().len(), users.omitted()), (Users::MOST, Users::MOST + 5));
        assert!(users.list().get("u0200004").is_some());

        let list = WholeList { users: named(0..Users::MOST + 7), omitted: 1, ..WholeList::default() };
        let mut users = Users::restored(named(0..Users::MOST + 1).into_iter().collect(), None);
        merge(&mut users, UserFacts::Whole(list));
        assert_eq!((users.list().len(), users.omitted()), (Users::MOST, 8));
    }

    #[test]
    fn the_panels_own_count_is_compared_with_all_rows_that_were_found() {
        for (omitted, total, expected) in [
            (0, None, None),
            (0, Some(6), None),
            (2, Some(8), None),
            (2, Some(6), Some(6)),
            (0, Some(0), Some(0)),
        ] {
            let mut users = Users::default();
            let page: Vec<_> = (0..5).map(|i| User::named(&format!("u{i}"))).collect();
            let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
            let unreadable = Unreadable { rows: 1, ..Unreadable::default() };
            let end = WalkEnd { page, seen, unreadable, omitted, total, started: Moment::default() };
            merge(&mut users, UserFacts::WalkEnd(end));
            assert_eq!(users.counted_otherwise(), expected, "{omitted} {total:?}");
        }
    }

    #[test]
    fn a_missing_user_who_is_met_again_was_never_gone() {
        let mut users = Users::default();
        walk(&mut users, 0..100);
        walk(&mut users, 1..100);
        walk(&mut users, 0..100);
        assert!(users.missing().is_empty());
        assert_eq!(users.list().len(), 100);
    }
}

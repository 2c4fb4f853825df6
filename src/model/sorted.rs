use std::{fmt, hash::BuildHasher, ops::Range, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

use super::User;

/// Users in the order of their names, each name once. They are in blocks, which copies of the list share until one
/// changes them: the board has a copy while the next walk goes on.
#[derive(Clone, Debug, Default)]
pub struct SortedUsers {
    /// None is empty.
    blocks: Vec<Block>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Block {
    /// No name of the block comes before this one, and each name of the blocks before does.
    from: Arc<str>,
    rows: Arc<Rows>,
}

#[derive(Clone, Debug, Default)]
struct Rows {
    users: Vec<User>,
    /// A byte of each name's hash, by which a user is found with a look at one name, which is far away in memory.
    tags: Vec<u8>,
}

/// One of some parts of a list, in order and about equal.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// From 0.
    pub number: usize,
    pub of: usize,
}

impl Share {
    pub const ALL: Share = Share { number: 0, of: 1 };

    /// Its part of a list of so many.
    pub fn part(self, length: usize) -> Range<usize> {
        let start = |number: usize| length.saturating_mul(number) / self.of.max(1);
        start(self.number)..start(self.number + 1)
    }
}

/// Where a user is in a list, as long as that is not changed.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    block: usize,
    row: usize,
}

/// Finds users by name, faster if they are asked for in the order of the list.
#[derive(Debug)]
pub struct Finder<'u> {
    users: &'u SortedUsers,
    /// The block of the last name.
    at: usize,
}

/// The most users of a block. A page of a walk changes hundreds of users all over the list. Each copies its block, and
/// all together copy the list of blocks: this size keeps both small.
const BLOCK: usize = 64;

impl SortedUsers {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &User> + Clone {
        self.blocks.iter().flat_map(|block| &block.rows.users)
    }

    pub fn get(&self, name: &str) -> Option<&User> {
        self.finder().get(name)
    }

    /// Finds many users.
    pub fn finder(&self) -> Finder<'_> {
        Finder { users: self, at: usize::MAX }
    }

    /// The users of a share, in whole blocks.
    pub fn share(&self, share: Share) -> impl Iterator<Item = &User> {
        let blocks = self.blocks.get(share.part(self.blocks.len())).unwrap_or_default();
        blocks.iter().flat_map(|block| &block.rows.users)
    }

    /// The users, and where in this list they are found again.
    pub fn places(&self) -> impl Iterator<Item = (Place, &User)> {
        let blocks = self.blocks.iter().enumerate();
        blocks.flat_map(|(block, of)| {
            of.rows.users.iter().enumerate().map(move |(row, user)| (Place { block, row }, user))
        })
    }

    pub fn at(&self, place: Place) -> Option<&User> {
        self.blocks.get(place.block)?.rows.users.get(place.row)
    }

    /// The user at a place in the order, from 0.
    pub fn nth(&self, mut place: usize) -> Option<&User> {
        self.blocks.iter().find_map(|block| {
            let user = block.rows.users.get(place);
            place = place.saturating_sub(block.rows.users.len());
            user
        })
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut User> {
        let at = self.block_of(name);
        let rows = &mut self.blocks.get_mut(at)?.rows;
        let place = rows.find(name)?;
        Arc::make_mut(rows).users.get_mut(place)
    }

    /// Inserts a user, unless the name is known.
    pub(super) fn insert(&mut self, user: User) {
        let at = self.block_of(&user.name);
        let Some(Block { from, rows }) = self.blocks.get_mut(at) else { return self.push(user) };
        if user.name < *from {
            // It comes before all others.
            from.clone_from(&user.name);
        }
        let place = rows.users.binary_search_by(|known| known.name.cmp(&user.name));
        let Err(place) = place else { return };
        match rows.users.len() {
            ..BLOCK => Arc::make_mut(rows).insert(place, user),
            // Users who come in order fill their blocks.
            _ if place == BLOCK => self.blocks.insert(at + 1, Block::new(Rows::of(user))),
            _ => {
                let half = Arc::make_mut(rows).split_off(BLOCK / 2);
                self.blocks.insert(at + 1, Block::new(half));
                return self.insert(user);
            }
        }
        self.len += 1;
    }

    /// Adds a user whose name comes after all others.
    pub(super) fn push(&mut self, user: User) {
        match self.blocks.last_mut() {
            Some(Block { rows, .. }) if rows.users.len() < BLOCK => {
                let place = rows.users.len();
                Arc::make_mut(rows).insert(place, user);
            }
            _ => self.blocks.push(Block::new(Rows::of(user))),
        }
        self.len += 1;
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<User> {
        let at = self.block_of(name);
        let rows = &mut self.blocks.get_mut(at)?.rows;
        let place = rows.find(name)?;
        let rows = Arc::make_mut(rows);
        rows.tags.remove(place);
        let user = rows.users.remove(place);
        if rows.users.is_empty() {
            self.blocks.remove(at);
        }
        self.len -= 1;
        Some(user)
    }

    /// Gives back the room that grown blocks have for further users.
    pub(super) fn shrink(&mut self) {
        self.blocks.shrink_to_fit();
        for rows in self.blocks.iter_mut().filter_map(|block| Arc::get_mut(&mut block.rows)) {
            rows.users.shrink_to_fit();
            rows.tags.shrink_to_fit();
        }
    }

    /// Where the block is that the name is or belongs in.
    fn block_of(&self, name: &str) -> usize {
        self.blocks.partition_point(|block| *block.from <= *name).saturating_sub(1)
    }
}

impl<'u> Finder<'u> {
    pub fn get(&mut self, name: &str) -> Option<&'u User> {
        if !self.is_in(self.at, name) {
            let next = self.at.wrapping_add(1);
            self.at = if self.is_in(next, name) { next } else { self.users.block_of(name) };
        }
        let rows = &self.users.blocks.get(self.at)?.rows;
        rows.users.get(rows.find(name)?)
    }

    /// Whether the block is the one that the name is or belongs in.
    fn is_in(&self, at: usize, name: &str) -> bool {
        let mut from = self.users.blocks.iter().skip(at).map(|block| &*block.from);
        from.next().is_some_and(|from| from <= name) && from.next().is_none_or(|next| name < next)
    }
}

impl Block {
    fn new(rows: Rows) -> Self {
        let from = rows.users.first().map_or_else(Arc::default, |user| Arc::clone(&user.name));
        Block { from, rows: Arc::new(rows) }
    }
}

impl Rows {
    fn of(user: User) -> Self {
        Rows { tags: vec![tag(&user.name)], users: vec![user] }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let is_it = |place: &usize| self.users.get(*place).is_some_and(|user| *user.name == *name);
        memchr::memchr_iter(tag(name), &self.tags).find(is_it)
    }

    fn insert(&mut self, place: usize, user: User) {
        self.tags.insert(place, tag(&user.name));
        self.users.insert(place, user);
    }

    fn split_off(&mut self, place: usize) -> Rows {
        Rows { users: self.users.split_off(place), tags: self.tags.split_off(place) }
    }
}

fn tag(name: &str) -> u8 {
    let [tag, ..] = foldhash::fast::FixedState::default().hash_one(name).to_le_bytes();
    tag
}

impl FromIterator<User> for SortedUsers {
    /// Of users of the same name, the first one is kept.
    fn from_iter<I: IntoIterator<Item = User>>(users: I) -> Self {
        let mut list = SortedUsers::default();
        users.into_iter().for_each(|user| list.insert(user));
        list
    }
}

impl Serialize for SortedUsers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for SortedUsers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;

        impl<'de> Visitor<'de> for Rows {
            type Value = SortedUsers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of users")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<SortedUsers, A::Error> {
                let mut users = SortedUsers::default();
                while let Some(user) = rows.next_element()? {
                    users.insert(user);
                }
                Ok(users)
            }
        }

        deserializer.deserialize_seq(Rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_in_order_however_they_come_and_go() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut list = SortedUsers::default();
        let mut expected = std::collections::BTreeMap::new();
        for round in 0..20_000_u64 {
            let name = format!("u{}", random.u32(0..2000));
            // Grows, and shrinks again.
            match random.bool() || random.u64(0..20_000) > round {
                true => {
                    list.insert(User { used: round, ..User::named(&name) });
                    expected.entry(name).or_insert(round);
                }
                false => {
                    let removed = list.remove(&name).map(|user| user.used);
                    assert_eq!(removed, expected.remove(&name));
                }
            }
            if round % 500 == 0 {
                let users: Vec<_> = list.iter().map(|user| (user.name.to_string(), user.used)).collect();
                assert_eq!(users, expected.clone().into_iter().collect::<Vec<_>>());
                assert_eq!(list.len(), expected.len());
                let place = random.usize(0..2000);
                assert_eq!(list.nth(place), list.iter().nth(place));
                assert!(list.blocks.iter().all(|block| (1..=BLOCK).contains(&block.rows.users.len())));
            }
        }
        let named = expected.keys().filter(|name| list.get(name).is_some_and(|user| *user.name == ***name));
        assert_eq!(named.count(), list.len());
        // In order, and not in order.
        let mut finder = list.finder();
        let numbers = (0..2100).chain((0..2000).map(|_| random.usize(0..2100)));
        for name in numbers.map(|number| format!("u{number}")).chain(expected.keys().cloned()) {
            assert_eq!(finder.get(&name).map(|user| user.used), expected.get(&name).copied(), "{name}");
        }
        assert!(list.get("").is_none() && list.get("v").is_none());
        expected.keys().for_each(|name| assert!(list.remove(name).is_some()));
        assert!(list.is_empty() && list.blocks.is_empty() && list.iter().next().is_none());
    }

    #[test]
    fn blocks_are_in_the_order_of_where_they_begin() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut list = SortedUsers::default();
        let mut names: Vec<_> = (0..1000).rev().map(|number| format!("u{number:04}")).collect();
        random.shuffle(&mut names[500..]);
        for (known, name) in names.iter().enumerate() {
            list.insert(User::named(name));
            assert!(list.blocks.is_sorted_by(|one, next| one.from < next.from), "{name}");
            let begins = |block: &Block| block.rows.users.first().is_some_and(|user| block.from <= user.name);
            assert!(list.blocks.iter().all(begins), "{name}");
            assert!(names[..=known].iter().all(|name| list.get(name).is_some()), "{name}");
        }
    }

    #[test]
    fn a_change_copies_one_block() {
        let named = |place| User::named(&format!("u{place:05}"));
        let before: SortedUsers = (0..10_000).map(named).collect();
        assert_eq!(before.blocks.len(), 10_000_usize.div_ceil(BLOCK), "users in order fill their blocks");
        let mut after = before.clone();
        after.get_mut("u05000").unwrap().used = 7;
        assert_eq!((after.get("u05000").unwrap().used, before.get("u05000").unwrap().used), (7, 0));
        assert!(after.get_mut("u05000x").is_none());
        let shared = |list: &SortedUsers| {
            let is_shared =
                |block: &&Block| before.blocks.iter().any(|known| Arc::ptr_eq(&known.rows, &block.rows));
            list.blocks.iter().filter(is_shared).count()
        };
        assert_eq!(shared(&after), before.blocks.len() - 1);
        after.remove("u09999");
        after.insert(named(10_000));
        assert_eq!(shared(&after), before.blocks.len() - 2);
    }
}

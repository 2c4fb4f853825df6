use std::{fmt, sync::Arc};

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
    blocks: Vec<Arc<Vec<User>>>,
    len: usize,
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
        self.blocks.iter().flat_map(|block| block.iter())
    }

    pub fn get(&self, name: &str) -> Option<&User> {
        let (block, place) = self.place(name);
        self.blocks.get(block)?.get(place.ok()?)
    }

    /// The user at a place in the order, from 0.
    pub fn nth(&self, mut place: usize) -> Option<&User> {
        self.blocks.iter().find_map(|block| {
            let user = block.get(place);
            place = place.saturating_sub(block.len());
            user
        })
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut User> {
        let (block, place) = self.place(name);
        let block = self.blocks.get_mut(block)?;
        let place = place.ok()?;
        Arc::make_mut(block).get_mut(place)
    }

    /// Inserts a user, unless the name is known.
    pub(super) fn insert(&mut self, user: User) {
        let (at, Err(place)) = self.place(&user.name) else { return };
        match self.blocks.get_mut(at) {
            Some(block) if block.len() < BLOCK => Arc::make_mut(block).insert(place, user),
            Some(block) if place < BLOCK => {
                let half = Arc::make_mut(block).split_off(BLOCK / 2);
                self.blocks.insert(at + 1, Arc::new(half));
                return self.insert(user);
            }
            // Users who come in order fill their blocks.
            Some(_) => self.blocks.insert(at + 1, Arc::new(vec![user])),
            None => self.blocks.push(Arc::new(vec![user])),
        }
        self.len += 1;
    }

    /// Adds a user whose name comes after all others.
    pub(super) fn push(&mut self, user: User) {
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => Arc::make_mut(block).push(user),
            _ => self.blocks.push(Arc::new(vec![user])),
        }
        self.len += 1;
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<User> {
        let (at, Ok(place)) = self.place(name) else { return None };
        let block = Arc::make_mut(self.blocks.get_mut(at)?);
        let user = block.remove(place);
        if block.is_empty() {
            self.blocks.remove(at);
        }
        self.len -= 1;
        Some(user)
    }

    /// Gives back the room that grown blocks have for further users.
    pub(super) fn shrink(&mut self) {
        self.blocks.shrink_to_fit();
        self.blocks.iter_mut().filter_map(Arc::get_mut).for_each(Vec::shrink_to_fit);
    }

    /// The block where the name is or belongs, and its place there.
    fn place(&self, name: &str) -> (usize, Result<usize, usize>) {
        let starts_before = |block: &Arc<Vec<User>>| block.first().is_some_and(|first| *first.name <= *name);
        let block = self.blocks.partition_point(starts_before).saturating_sub(1);
        let users = self.blocks.get(block).map_or(&[][..], |block| block);
        (block, users.binary_search_by(|user| (*user.name).cmp(name)))
    }
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
                assert!(list.blocks.iter().all(|block| (1..=BLOCK).contains(&block.len())));
            }
        }
        let named = expected.keys().filter(|name| list.get(name).is_some_and(|user| *user.name == ***name));
        assert_eq!(named.count(), list.len());
        assert!(list.get("").is_none() && list.get("v").is_none());
        expected.keys().for_each(|name| assert!(list.remove(name).is_some()));
        assert!(list.is_empty() && list.blocks.is_empty() && list.iter().next().is_none());
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
                |block: &&Arc<Vec<User>>| before.blocks.iter().any(|known| Arc::ptr_eq(known, block));
            list.blocks.iter().filter(is_shared).count()
        };
        assert_eq!(shared(&after), before.blocks.len() - 1);
        after.remove("u09999");
        after.insert(named(10_000));
        assert_eq!(shared(&after), before.blocks.len() - 2);
    }
}

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Counter, Moment, NamedUsers, Timestamp, WalkEnd};

/// What a panel allows a user at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UserStatus {
    Active,
    /// Waiting for first use, when the plan starts to run.
    OnHold,
    Disabled,
    /// The quota is used up.
    Limited,
    Expired,
    /// A word that this version does not know.
    Unknown,
}

impl UserStatus {
    /// The statuses every panel has, in the order they are exported.
    pub const KNOWN: [UserStatus; 5] = [
        UserStatus::Active,
        UserStatus::Disabled,
        UserStatus::Expired,
        UserStatus::Limited,
        UserStatus::OnHold,
    ];

    /// The word used in metrics and pages.
    pub fn label(self) -> &'static str {
        match self {
            UserStatus::Active => "active",
            UserStatus::OnHold => "on_hold",
            UserStatus::Disabled => "disabled",
            UserStatus::Limited => "limited",
            UserStatus::Expired => "expired",
            UserStatus::Unknown => "unknown",
        }
    }
}

/// When a user's plan ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    Never,
    /// Runs this long from first use (Marzban: `on_hold_expire_duration`, seconds).
    OnFirstUse(Duration),
    At(Timestamp),
}

/// Somebody who may use the proxies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Unique within the target.
    pub name: Arc<str>,
    /// The admin who owns the user.
    pub owner: Option<Arc<str>>,
    pub status: UserStatus,
    /// Bytes that count against the quota; falls when the panel resets it.
    pub used: u64,
    /// Quota in bytes; absent: unlimited.
    pub limit: Option<u64>,
    /// Bytes ever moved (Marzban: `lifetime_used_traffic`).
    pub traffic: Counter,
    pub expiry: Expiry,
    pub last_online: Option<Timestamp>,
    /// Moved traffic within two minutes before it was read.
    pub online: bool,
    /// When this was read, by our clock.
    pub read_at: Timestamp,
}

/// The users of a target: those of the last finished walk, with what the present one has seen since.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// Sorted by name, each name once.
    list: Vec<Arc<User>>,
    /// When the last finished walk began; absent: none has finished yet, and the list is not whole.
    walked_since: Option<Moment>,
    /// Rows of the last finished walk that the panel did not give in a readable form.
    unreadable: usize,
    /// Names that the last finished walk did not meet, sorted.
    missing: Vec<Arc<str>>,
    /// Users whom the last finished walk met or could not read.
    walked: usize,
    /// Polls in a row in which the panel's own count agreed with the walk's.
    agreed: u32,
}

/// Users who may be asked for by name when they are missing. When more are, it is more likely that the panel gave
/// half a list than that so many were deleted between two walks.
const FEW: usize = 20;
/// So often the panel's own count has to agree with a walk before many missing users are held to be gone.
const AGREEMENTS: u32 = 3;

impl Users {
    pub fn list(&self) -> &[Arc<User>] {
        &self.list
    }

    /// The users of a walk that was finished in an earlier life of the daemon; without the time when that walk began,
    /// they are not taken for a whole list.
    pub fn restored(mut users: Vec<User>, walked_since: Option<Moment>) -> Self {
        users.sort_by(|a, b| a.name.cmp(&b.name));
        users.dedup_by(|a, b| a.name == b.name);
        let walked = users.len();
        let list = users.into_iter().map(Arc::new).collect();
        Users { list, walked_since, walked, ..Users::default() }
    }

    pub fn walked_since(&self) -> Option<Moment> {
        self.walked_since
    }

    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Users that the last finished walk did not meet and who are to be asked for by name. They stay in the list
    /// until that is done. Many missing users are not among these: they go when the panel's own count agrees with
    /// the walk for long enough.
    pub fn missing(&self) -> &[Arc<str>] {
        if self.holds_many_missing() { &[] } else { &self.missing }
    }

    pub(super) fn holds_many_missing(&self) -> bool {
        self.missing.len() > FEW || self.missing.len() * 2 > self.list.len()
    }

    /// Holds the panel's own count of users against that of the last finished walk.
    pub(super) fn compare(&mut self, total: Option<u64>) {
        let agrees =
            total.is_some_and(|total| usize::try_from(total).is_ok_and(|total| total == self.walked));
        self.agreed = if agrees { self.agreed + 1 } else { 0 };
        if self.agreed >= AGREEMENTS {
            let missing = std::mem::take(&mut self.missing);
            self.forget(&missing);
        }
    }

    /// Takes in users who were asked for by name.
    pub(super) fn merge_named(&mut self, named: NamedUsers) {
        let found = named.found.iter().map(|user| &user.name);
        let answered: HashSet<_> = found.chain(&named.gone).cloned().collect();
        self.missing.retain(|name| !answered.contains(name));
        self.merge_page(named.found);
        self.forget(&named.gone);
    }

    fn forget(&mut self, names: &[Arc<str>]) {
        let names: HashSet<_> = names.iter().collect();
        self.list.retain(|user| !names.contains(&user.name));
    }

    /// Takes in users read on a walk. Each keeps its counter; the other users stay as they are known.
    pub(super) fn merge_page(&mut self, page: Vec<User>) {
        let mut new = Vec::new();
        for mut user in page {
            match self.list.binary_search_by(|known| known.name.cmp(&user.name)) {
                Ok(at) => {
                    let known = &mut self.list[at];
                    user.traffic = known.traffic.then(user.traffic.value());
                    // The name's allocation is shared with the known user, so that renewals do not scatter memory.
                    user.name = Arc::clone(&known.name);
                    *known = Arc::new(user);
                }
                Err(_) => new.push(Arc::new(user)),
            }
        }
        if !new.is_empty() {
            self.list.append(&mut new);
            self.list.sort_by(|a, b| a.name.cmp(&b.name));
            self.list.dedup_by(|a, b| a.name == b.name);
        }
    }

    /// Takes in a walk's last page and notes which users the walk did not meet.
    pub(super) fn merge_end(&mut self, end: WalkEnd) {
        self.merge_page(end.page);
        let missing = self.list.iter().filter(|user| !end.seen.contains(&user.name));
        self.missing = missing.map(|user| Arc::clone(&user.name)).collect();
        self.walked = end.seen.len() + end.unreadable;
        self.agreed = 0;
        self.walked_since = Some(end.started);
        self.unreadable = end.unreadable;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User {
            name: name.into(),
            owner: None,
            status: UserStatus::Active,
            used: 0,
            limit: None,
            traffic: Counter::new(0),
            expiry: Expiry::Never,
            last_online: None,
            online: false,
            read_at: Timestamp::default(),
        }
    }

    fn walk(users: &mut Users, names: impl Iterator<Item = usize>) {
        let page: Vec<_> = names.map(|i| user(&format!("u{i:03}"))).collect();
        let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
        users.merge_end(WalkEnd { page, seen, unreadable: 0, started: Moment::default() });
    }

    #[test]
    fn a_few_missing_users_stay_until_they_were_asked_for_by_name() {
        let mut users = Users::default();
        walk(&mut users, 0..100);
        walk(&mut users, 2..100);
        assert_eq!(users.list().len(), 100);
        assert_eq!(users.missing().iter().map(|name| &**name).collect::<Vec<_>>(), ["u000", "u001"]);
        users.merge_named(NamedUsers { found: vec![user("u000")], gone: vec!["u001".into()] });
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
                users.compare(Some(total));
                assert_eq!(users.list().len(), 100);
            }
            users.compare(Some(kept as u64));
            assert_eq!(users.list().len(), kept);
            assert!(!users.holds_many_missing());
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

use std::{sync::Arc, time::Duration};

use super::{Counter, Moment, Timestamp, WalkEnd};

/// What a panel allows a user at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Never,
    /// Runs this long from first use (Marzban: `on_hold_expire_duration`, seconds).
    OnFirstUse(Duration),
    At(Timestamp),
}

/// Somebody who may use the proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

impl Users {
    pub fn list(&self) -> &[Arc<User>] {
        &self.list
    }

    pub fn walked_since(&self) -> Option<Moment> {
        self.walked_since
    }

    pub fn unreadable(&self) -> usize {
        self.unreadable
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

    /// Takes in a walk's last page and forgets the users that the walk did not meet.
    pub(super) fn merge_end(&mut self, end: WalkEnd) {
        self.merge_page(end.page);
        self.list.retain(|user| end.seen.contains(&user.name));
        self.walked_since = Some(end.started);
        self.unreadable = end.unreadable;
    }
}

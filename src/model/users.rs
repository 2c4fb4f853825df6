use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, LazyLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Counter, Moment, Resets, Timestamp};

/// The present status of a user in the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UserStatus {
    Active,
    /// Waits for its first use, when the plan starts.
    OnHold,
    Disabled,
    /// The quota is used up.
    Limited,
    Expired,
    /// A word that this version of the exporter does not know.
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
    /// This long after the first use (Marzban: `on_hold_expire_duration`, seconds).
    OnFirstUse(Duration),
    At(Timestamp),
}

/// An account that may use the proxies. A target may have 200,000, so every byte counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Unique within the target.
    pub name: Arc<str>,
    /// The admin that owns the user.
    pub owner: Option<Arc<str>>,
    pub status: UserStatus,
    /// Bytes that count against the quota; falls when the panel resets it.
    pub used: u64,
    /// Quota in bytes; absent: unlimited.
    pub limit: Option<u64>,
    /// All bytes ever moved (Marzban: `lifetime_used_traffic`).
    pub traffic: Counter,
    pub expiry: Expiry,
    /// The panel starts another plan by itself when this one is used up or ends (Marzban: `next_plan`). With a
    /// `quota_reset`, it does so only when this one ends (3x-ui: `reset`).
    #[serde(default)]
    pub renews: bool,
    #[serde(flatten)]
    pub extra: Extra,
    pub last_online: LastOnline,
    /// Moved traffic within two minutes before the row was read. Readers use
    /// [`Report::online`](super::Report::online).
    pub online: bool,
    /// When this was read, by the exporter's clock.
    pub read_at: Timestamp,
    /// What of it the last answer did not say. There the user keeps what was known, which is not shown.
    #[serde(default)]
    pub unread: Unread,
}

/// When a user moved traffic last.
// Packed as `Counter` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredLastOnline", into = "StoredLastOnline")]
#[repr(Rust, packed(2))]
pub struct LastOnline {
    /// Of one who never did, the creation.
    since: Option<Timestamp>,
    never: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredLastOnline {
    At(Timestamp),
    Never { created: Timestamp },
    Unknown,
}

impl LastOnline {
    pub fn seen(at: Timestamp) -> Self {
        LastOnline { since: Some(at), never: false }
    }

    pub fn never(created: Timestamp) -> Self {
        LastOnline { since: Some(created), never: true }
    }

    /// What a row says that has the time of the last traffic, the time at which the user was created, and all bytes that
    /// the user ever moved. A user who moved some was online, at a time that the system does not say.
    pub fn of(at: Option<Timestamp>, created: Option<Timestamp>, traffic: Option<u64>) -> Self {
        match (at, created, traffic) {
            (Some(at), ..) => LastOnline::seen(at),
            (None, Some(created), Some(0)) => LastOnline::never(created),
            (None, ..) => LastOnline::default(),
        }
    }

    /// When the user was online; absent: never, or unknown.
    pub fn at(self) -> Option<Timestamp> {
        self.since().filter(|_| !self.never)
    }

    /// Since when the user has not been online: since the last traffic, or since the user was created. Absent: unknown.
    pub fn since(self) -> Option<Timestamp> {
        self.since
    }

    /// Whether the user has never been online, and is known to exist since then.
    pub fn is_never(self) -> bool {
        self.never
    }
}

impl From<StoredLastOnline> for LastOnline {
    fn from(stored: StoredLastOnline) -> Self {
        match stored {
            StoredLastOnline::At(at) => LastOnline::seen(at),
            StoredLastOnline::Never { created } => LastOnline::never(created),
            StoredLastOnline::Unknown => LastOnline::default(),
        }
    }
}

impl From<LastOnline> for StoredLastOnline {
    fn from(last: LastOnline) -> Self {
        match (last.since, last.never) {
            (Some(created), true) => StoredLastOnline::Never { created },
            (Some(at), false) => StoredLastOnline::At(at),
            (None, _) => StoredLastOnline::Unknown,
        }
    }
}

/// What only some systems say of their users. A user without any of it takes the room of a pointer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Extras", into = "Extras")]
pub struct Extra(Option<Arc<Extras>>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// The part of `traffic` that the user sent, if the system counts both directions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink: Option<Counter>,
    /// The part of `traffic` that the user received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downlink: Option<Counter>,
    /// When the system next resets `used` to 0, if it reports this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_reset: Option<Timestamp>,
    /// The system sets `used` to 0 from time to time, and does not say when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets: Option<Resets>,
    /// Addresses from which the user connects at present. Only their number leaves the conversion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// The most addresses that the panel allows at a time; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices_limit: Option<u64>,
    /// Labels of the inbounds that the user may connect to, each once. Users with the same
    /// inbounds share one list.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub inbounds: Arc<[Arc<str>]>,
}

impl From<Extras> for Extra {
    fn from(extras: Extras) -> Self {
        Extra((extras != Extras::default()).then(|| Arc::new(extras)))
    }
}

impl From<Extra> for Extras {
    fn from(extra: Extra) -> Self {
        extra.0.map(Arc::unwrap_or_clone).unwrap_or_default()
    }
}

impl Extra {
    /// Whether there is surely none of it.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Deref for Extra {
    type Target = Extras;

    fn deref(&self) -> &Extras {
        static NONE: LazyLock<Extras> = LazyLock::new(Extras::default);
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Extra {
    fn deref_mut(&mut self) -> &mut Extras {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl PartialEq for Extra {
    fn eq(&self, other: &Extra) -> bool {
        **self == **other
    }
}

impl Eq for Extra {}

/// Facts of a user that an answer did not have, or not in a readable form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread(u8);

impl Unread {
    pub const STATUS: Unread = Unread(1);
    pub const USED: Unread = Unread(1 << 1);
    pub const LIMIT: Unread = Unread(1 << 2);
    pub const TRAFFIC: Unread = Unread(1 << 3);
    pub const EXPIRY: Unread = Unread(1 << 4);
    /// When the user was last online, and whether the user is now.
    pub const ONLINE: Unread = Unread(1 << 5);
    pub const RENEWS: Unread = Unread(1 << 6);
    /// When the panel next sets `used` back to 0, and all counts of the user with it, which it does from time to time (3x-ui:
    /// `trafficReset`).
    pub const QUOTA_RESET: Unread = Unread(1 << 7);

    pub fn add(&mut self, other: Unread) {
        self.0 |= other.0;
    }

    pub fn has(self, other: Unread) -> bool {
        self.0 & other.0 != 0
    }
}

impl User {
    /// An active user without limits that was never online, read at the epoch: for tests and examples.
    pub fn named(name: &str) -> User {
        User {
            name: name.into(),
            owner: None,
            status: UserStatus::Active,
            used: 0,
            limit: None,
            traffic: Counter::new(0),
            expiry: Expiry::Never,
            renews: false,
            extra: Extra::default(),
            last_online: LastOnline::default(),
            online: false,
            read_at: Timestamp::default(),
            unread: Unread::default(),
        }
    }

    /// Whether another plan starts when the quota is used up. Where the panel sets the used bytes back at a given time, a
    /// user who has used up the quota before is without service until then.
    pub fn renews_when_used_up(&self) -> bool {
        self.renews && self.extra.quota_reset.is_none()
    }
}

/// The panel's own counts of its users, as far as this account may see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserCounts {
    /// All users, whatever their status.
    pub total: Option<u64>,
    /// By status; a status that the panel does not count is missing.
    pub by_status: Vec<(UserStatus, u64)>,
    /// When `by_status` was counted, if that was earlier than the rest.
    pub by_status_at: Option<Moment>,
    /// Moving traffic within the last two minutes (PasarGuard: `online_users`).
    pub online: Option<u64>,
    /// Moved traffic within the last day (Marzban: `online_users`).
    pub seen_within_day: Option<u64>,
}

impl UserCounts {
    /// Active users; absent: the panel does not count them.
    pub fn active(&self) -> Option<u64> {
        let of_status = self.by_status.iter().find(|(status, _)| *status == UserStatus::Active);
        of_status.map(|(_, users)| *users)
    }
}

/// From when on the panel itself counts a user as expiring soon. Absent: it never does, or does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// With less than this time left.
    pub expiry: Option<Duration>,
    /// With fewer bytes left.
    pub quota: Option<u64>,
}

/// An administrator of the panel, which may own users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub name: String,
    pub sudo: Option<bool>,
    /// Bytes used by the admin's users, as the panel counts and resets them.
    pub used: Option<u64>,
    /// The most bytes that they may use, above zero: the configuration's, or the panel's own. Absent: no limit.
    pub limit: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_small() {
        assert_eq!(size_of::<User>(), 112);
        assert!(size_of::<Extras>() <= 96);
    }
}

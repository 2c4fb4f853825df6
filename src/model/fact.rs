use std::{collections::HashSet, hash::BuildHasher, sync::Arc};

use super::{
    Admin, Core, Credential, Host, Identity, Inbound, LlmState, LlmUsage, Moment, Node, NodeStats,
    NodeTraffic, Outbound, Part, Thresholds, User, UserCounts, UserNodeTraffic,
};

/// Something that an answer says about a target, in units of our own: the input of
/// [`Report::merge`](super::Report::merge). One answer may contain several.
#[derive(Debug)]
pub enum Fact {
    Identity(Identity),
    Host(Host),
    Core(Core),
    Counts(UserCounts),
    Thresholds(Thresholds),
    ProxyTraffic(ProxyTraffic),
    Nodes(Vec<Node>),
    NodeTraffic(Vec<NodeTraffic>),
    NodeStats(Vec<NodeStats>),
    Inbounds(Vec<Inbound>),
    /// Traffic and probes together, whatever requests they come from.
    Outbounds(Vec<Outbound>),
    Users(UserFacts),
    /// The names of all users who are online.
    Online(HashSet<Arc<str>>),
    Admins(Vec<Admin>),
    UserNodes(Vec<UserNodeTraffic>),
    Credentials(Vec<Credential>),
    /// All that was ever counted, not only what is new.
    LlmUsage(Arc<LlmUsage>),
    LlmState(LlmState),
    /// Rows of the part's list that were left out: those beyond its cap, and those without a usable identity.
    Omitted(Part, usize),
}

/// Bytes through the proxies since the panel's database was created, master and nodes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyTraffic {
    pub uplink: Option<u64>,
    /// Towards the users.
    pub downlink: Option<u64>,
}

/// What an answer says about users.
#[derive(Debug)]
pub enum UserFacts {
    /// Some users of an unfinished walk; other users stay as they are.
    Page(Vec<User>),
    /// The last page of a walk. Users not among `seen` are missing, see [`Users::missing`](super::Users::missing).
    WalkEnd(WalkEnd),
    /// All users in one answer. A user that several such answers lack is gone.
    Whole(WholeList),
    /// Users that were requested by name.
    Named(NamedUsers),
}

/// Names of users, by their hashes: those of a long list would fill megabytes. In a list of 100,000, two names have the
/// same hash once in a billion walks, and one of the two then waits for the next walk.
#[derive(Clone, Debug, Default)]
pub struct UserNames {
    hashes: HashSet<u64, foldhash::fast::RandomState>,
    state: foldhash::quality::RandomState,
}

impl UserNames {
    /// Whether the name is new.
    pub fn insert(&mut self, name: &str) -> bool {
        self.hashes.insert(self.state.hash_one(name))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.hashes.contains(&self.state.hash_one(name))
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

impl<T: AsRef<str>> FromIterator<T> for UserNames {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let mut seen = UserNames::default();
        for name in names {
            seen.insert(name.as_ref());
        }
        seen
    }
}

/// How a walk of the user list ended.
#[derive(Debug, Default)]
pub struct WalkEnd {
    pub page: Vec<User>,
    /// Every name seen on this walk, including those of `page`.
    pub seen: UserNames,
    /// Rows that the panel did not return, or not in a readable form.
    pub unreadable: Unreadable,
    /// Rows beyond the cap of the list, and rows whose names are too long.
    pub omitted: usize,
    /// Rows of the list by the panel's own count, which may be wrong; absent: it does not say.
    pub total: Option<usize>,
    /// When the walk's first page was requested.
    pub started: Moment,
}

/// A user list that came in one answer.
#[derive(Debug, Default)]
pub struct WholeList {
    pub users: Vec<User>,
    /// Rows that could not be read.
    pub unreadable: Unreadable,
    /// Rows beyond the cap of the list, and rows whose names are too long.
    pub omitted: usize,
    /// When the list was requested.
    pub started: Moment,
}

/// Rows of a user list that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    pub rows: usize,
    /// The first of them, at most [`Unreadable::FIRST`].
    pub first: Vec<UnreadableRow>,
}

/// A row of a user list that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnreadableRow {
    /// Its place in the list, from 0.
    pub place: usize,
    pub cause: UnreadableCause,
}

/// Why a row could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnreadableCause {
    /// The panel fails whenever its answer would contain the row.
    PanelFails,
    /// It is larger than any row may be.
    TooLarge,
    /// It is not an object.
    NotAnObject,
    /// It has no name.
    NoName,
}

impl Unreadable {
    /// How many rows are remembered one by one.
    pub const FIRST: usize = 20;

    pub fn add(&mut self, row: UnreadableRow) {
        self.rows += 1;
        if self.first.len() < Unreadable::FIRST {
            self.first.push(row);
        }
    }
}

impl UnreadableCause {
    /// For logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            UnreadableCause::PanelFails => "the panel fails on it",
            UnreadableCause::TooLarge => "it is larger than 1 MiB",
            UnreadableCause::NotAnObject => "it is not an object",
            UnreadableCause::NoName => "it has no name",
        }
    }
}

/// The result of requesting users by name.
#[derive(Debug, Default)]
pub struct NamedUsers {
    pub found: Vec<User>,
    /// Names that the panel does not know.
    pub gone: Vec<Arc<str>>,
}

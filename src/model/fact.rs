use std::{collections::HashSet, sync::Arc};

use super::{Admin, Core, Host, Identity, Moment, Node, NodeTraffic, User, UserCounts, UserNodeTraffic};

/// Something that an answer says about a target, in units of our own: the input of
/// [`Report::merge`](super::Report::merge). One answer may contain several.
#[derive(Debug)]
pub enum Fact {
    Identity(Identity),
    Host(Host),
    Core(Core),
    Counts(UserCounts),
    ProxyTraffic(ProxyTraffic),
    Nodes(Vec<Node>),
    NodeTraffic(Vec<NodeTraffic>),
    Users(UserFacts),
    /// The names of all users who are online.
    Online(HashSet<Arc<str>>),
    Admins(Vec<Admin>),
    UserNodes(Vec<UserNodeTraffic>),
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

/// How a walk of the user list ended.
#[derive(Debug, Default)]
pub struct WalkEnd {
    pub page: Vec<User>,
    /// Every name seen on this walk, including those of `page`.
    pub seen: HashSet<Arc<str>>,
    /// Rows that the panel did not give, or not in a readable form.
    pub unreadable: usize,
    /// When the walk's first page was requested.
    pub started: Moment,
}

/// A user list that came in one answer.
#[derive(Debug, Default)]
pub struct WholeList {
    pub users: Vec<User>,
    /// Rows that could not be read.
    pub unreadable: usize,
    /// When the list was requested.
    pub started: Moment,
}

/// The result of requesting users by name.
#[derive(Debug, Default)]
pub struct NamedUsers {
    pub found: Vec<User>,
    /// Names that the panel does not know.
    pub gone: Vec<Arc<str>>,
}

use std::time::Duration;

use super::Moment;

/// A part of a target, which is polled at its own pace and has its own age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Version, host, counts and traffic totals.
    System,
    /// The proxy core beside the panel.
    Core,
    Nodes,
    /// Processor, memory and network of the nodes.
    NodeStats,
    /// What was used: traffic by node, or attempts and tokens of an LLM proxy.
    Usage,
    Admins,
    Inbounds,
    Outbounds,
    /// The user list.
    Users,
    /// Users online, if the system reports them apart from its user list.
    Online,
    /// Traffic by node of the users named in the configuration.
    UserNodes,
    /// From how many addresses users are connected, of a panel that reports one user at a time.
    Addresses,
    /// The accounts by which an LLM proxy reaches its providers.
    Credentials,
}

impl Part {
    /// The word used in metrics, logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            Part::System => "system",
            Part::Core => "core",
            Part::Nodes => "nodes",
            Part::NodeStats => "node_stats",
            Part::Inbounds => "inbounds",
            Part::Outbounds => "outbounds",
            Part::Usage => "usage",
            Part::Admins => "admins",
            Part::Users => "users",
            Part::Online => "online",
            Part::UserNodes => "user_nodes",
            Part::Addresses => "addresses",
            Part::Credentials => "credentials",
        }
    }
}

/// The state of reading a part.
#[derive(Clone, Debug, PartialEq)]
pub struct PartState {
    /// The outcome of the last attempt. Readers use [`Report::outcome`](super::Report::outcome).
    pub outcome: Outcome,
    /// When the part was last completed.
    pub last_success: Option<Moment>,
    /// When any of it was last read: during a walk, its newest page.
    pub last_data: Option<Moment>,
    /// Duration of its last whole read.
    pub duration: Option<Duration>,
    /// From the start of one whole read to the start of the next, at the present pace.
    pub round: Duration,
    /// The age beyond which the part's data is no longer shown.
    pub stale_after: Duration,
}

/// The outcome of the last attempt at a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Up,
    /// The account may not read it. This is not a failure.
    Refused,
    /// The detail is a sentence for logs.
    Failed {
        reason: Reason,
        detail: String,
    },
    /// A first walk is under way.
    Pending,
}

impl Outcome {
    /// Whether the login could read the part before, and may not any more.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Outcome::Failed { reason: Reason::Forbidden, .. })
    }
}

/// Why a read failed: the closed set of reasons in `target_poll_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The login was refused.
    Auth,
    /// The target locked our address out after refused logins, ours or another's.
    Banned,
    /// A 4xx answer without a reason of its own.
    ClientError,
    Connect,
    /// The answer is not what this system returns here.
    Decode,
    /// The account may not read it.
    Forbidden,
    /// The connection broke before the answer ended.
    Interrupted,
    NotFound,
    /// HTML or plain text in place of JSON.
    NotJson,
    /// The target asked us to wait: 429, or 503 with `Retry-After`.
    RateLimited,
    Redirect,
    ServerError,
    Timeout,
    Tls,
    TooLarge,
}

impl Reason {
    /// Every reason, in the order of their labels.
    pub const ALL: [Reason; 15] = [
        Reason::Auth,
        Reason::Banned,
        Reason::ClientError,
        Reason::Connect,
        Reason::Decode,
        Reason::Forbidden,
        Reason::Interrupted,
        Reason::NotFound,
        Reason::NotJson,
        Reason::RateLimited,
        Reason::Redirect,
        Reason::ServerError,
        Reason::Timeout,
        Reason::Tls,
        Reason::TooLarge,
    ];

    /// The word used in metrics, logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            Reason::Auth => "auth",
            Reason::Banned => "banned",
            Reason::ClientError => "client_error",
            Reason::Connect => "connect",
            Reason::Decode => "decode",
            Reason::Forbidden => "forbidden",
            Reason::Interrupted => "interrupted",
            Reason::NotFound => "not_found",
            Reason::NotJson => "not_json",
            Reason::RateLimited => "rate_limited",
            Reason::Redirect => "redirect",
            Reason::ServerError => "server_error",
            Reason::Timeout => "timeout",
            Reason::Tls => "tls",
            Reason::TooLarge => "too_large",
        }
    }
}

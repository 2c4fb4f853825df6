use std::time::Duration;

use super::Moment;

/// A part of a target that is polled at its own pace and has its own age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Version, host, counts and traffic totals.
    System,
    /// The proxy core beside the panel.
    Core,
    Nodes,
    /// Traffic by node.
    Usage,
    Admins,
    /// The user list.
    Users,
    /// Who is online, where the system says so apart from its user list.
    Online,
    /// Traffic by node of the users named in the configuration.
    UserNodes,
}

impl Part {
    /// The word used in metrics, logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            Part::System => "system",
            Part::Core => "core",
            Part::Nodes => "nodes",
            Part::Usage => "usage",
            Part::Admins => "admins",
            Part::Users => "users",
            Part::Online => "online",
            Part::UserNodes => "user_nodes",
        }
    }
}

/// What is known of the reads of a part.
#[derive(Clone, Debug, PartialEq)]
pub struct PartState {
    /// How the last attempt ended. Readers ask [`Report::outcome`](super::Report::outcome).
    pub outcome: Outcome,
    /// When the part was last read to its end.
    pub last_success: Option<Moment>,
    /// When anything of it was last read: for a walk in progress, its newest page.
    pub last_data: Option<Moment>,
    /// How long its last whole read took.
    pub duration: Option<Duration>,
    /// From the beginning of one whole read to that of the next, at the present pace.
    pub round: Duration,
    /// Age beyond which what is known of the part is no longer shown.
    pub stale_after: Duration,
}

/// How the last attempt at a part ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Up,
    /// The account may not read it. Not a failure.
    Refused,
    /// The detail is a sentence for logs.
    Failed {
        reason: Reason,
        detail: String,
    },
    /// A first walk is under way.
    Pending,
}

/// Why a read failed: the closed set that `target_poll_failures_total` counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The login was refused.
    Auth,
    /// A 4xx that no other reason names.
    ClientError,
    Connect,
    /// The answer is not what the system answers here.
    Decode,
    /// The account may not read it.
    Forbidden,
    /// The connection broke before the answer ended.
    Interrupted,
    NotFound,
    /// HTML or plain text in place of JSON.
    NotJson,
    Redirect,
    ServerError,
    Timeout,
    Tls,
    TooLarge,
}

impl Reason {
    /// Every reason, in the order of their words.
    pub const ALL: [Reason; 13] = [
        Reason::Auth,
        Reason::ClientError,
        Reason::Connect,
        Reason::Decode,
        Reason::Forbidden,
        Reason::Interrupted,
        Reason::NotFound,
        Reason::NotJson,
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
            Reason::ClientError => "client_error",
            Reason::Connect => "connect",
            Reason::Decode => "decode",
            Reason::Forbidden => "forbidden",
            Reason::Interrupted => "interrupted",
            Reason::NotFound => "not_found",
            Reason::NotJson => "not_json",
            Reason::Redirect => "redirect",
            Reason::ServerError => "server_error",
            Reason::Timeout => "timeout",
            Reason::Tls => "tls",
            Reason::TooLarge => "too_large",
        }
    }
}

//! Why an attempt failed, and whether to make another.

use std::time::Duration;

/// Why a notice was not delivered. The text is safe for logs and pages: no secret, only the host of a URL, no part of
/// a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SendError {
    pub reason: SendReason,
    pub detail: String,
    pub retry: Retry,
}

/// Whether to retry a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// On the usual schedule.
    Later,
    /// On the usual schedule, but not before this time has passed, as the receiver requested.
    NotBefore(Duration),
    /// The message is too large for the receiver. The same with fewer alerts may be accepted.
    Smaller,
    /// On the usual schedule. The receiver refuses all messages because of itself: the credentials, the sender, the
    /// relay or the account.
    Refused,
    /// This notice will never be accepted, because of what it says; others may be.
    Never,
    /// No notice will be accepted until the configuration changes.
    Disabled,
}

impl Retry {
    /// For a message about `named` alerts that is too large: a message about one cannot be cut.
    pub(super) fn of_too_large(named: usize) -> Self {
        if named > 1 { Retry::Smaller } else { Retry::Never }
    }
}

/// The cause of a failed attempt, as metrics, logs and texts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendReason {
    /// The receiver refused the credentials, or requires some.
    Auth,
    /// The receiver cannot use what was sent.
    ClientError,
    Connect,
    /// The receiver no longer exists.
    Gone,
    RateLimited,
    /// The answer is a redirect, which is not followed.
    Redirect,
    /// The mail server refused the mail.
    Refused,
    /// The answer is missing, or is not one that this receiver gives.
    Response,
    ServerError,
    Timeout,
    Tls,
}

impl SendReason {
    /// All reasons, for metrics that count failures by reason.
    pub const ALL: [SendReason; 11] = [
        SendReason::Auth,
        SendReason::ClientError,
        SendReason::Connect,
        SendReason::Gone,
        SendReason::RateLimited,
        SendReason::Redirect,
        SendReason::Refused,
        SendReason::Response,
        SendReason::ServerError,
        SendReason::Timeout,
        SendReason::Tls,
    ];

    /// The word used in metrics, logs and texts.
    pub fn label(self) -> &'static str {
        match self {
            SendReason::Auth => "auth",
            SendReason::ClientError => "client_error",
            SendReason::Connect => "connect",
            SendReason::Gone => "gone",
            SendReason::RateLimited => "rate_limited",
            SendReason::Redirect => "redirect",
            SendReason::Refused => "refused",
            SendReason::Response => "response",
            SendReason::ServerError => "server_error",
            SendReason::Timeout => "timeout",
            SendReason::Tls => "tls",
        }
    }
}

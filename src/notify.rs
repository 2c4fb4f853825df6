//! Telling people: the words of a notice, sending it, and trying again.
//!
//! [`Receiver::send`] makes one attempt. [`delivery`] has a queue per receiver and decides when to make the next.

pub mod delivery;
pub mod email;
pub mod heartbeat;
#[cfg(test)]
pub(crate) mod scripted;
pub mod webhook;
mod words;

use std::time::Duration;

use crate::model::{Moment, Notice, NoticeAlert, NoticeStatus, Severity, Timestamp};

/// Where notices go. A closed set: a new kind is a module, a variant and a match arm.
#[derive(Debug)]
pub enum Receiver {
    Email(Box<email::Email>),
    Webhook(Box<webhook::Webhook>),
    #[cfg(test)]
    Scripted(scripted::Scripted),
}

impl Receiver {
    /// Makes one attempt at delivering `notice`. `done` holds what earlier attempts settled, in words of the
    /// receiver's own: for mail the addresses that took it or refused it for good, which are not told again. What
    /// this attempt settles is added, even if it fails for the rest.
    /// Returns what the receiver said, fit for a log.
    ///
    /// # Errors
    /// Says why it was not delivered, and whether and when to try again.
    pub async fn send(
        &mut self,
        notice: &Notice,
        done: &mut Vec<String>,
        now: Moment,
    ) -> Result<String, SendError> {
        match self {
            Receiver::Email(email) => email.send(notice, done).await,
            Receiver::Webhook(webhook) => webhook.send(notice, now).await,
            #[cfg(test)]
            Receiver::Scripted(scripted) => scripted.send(notice, done, now).await,
        }
    }

    /// Whether an attempt that failed this way may have been taken all the same, so that somebody may know of it.
    pub fn may_have_taken(&self, failure: &SendError) -> bool {
        match failure.reason {
            // An answer that did not come, or was none, does not say what happened before it.
            SendReason::Timeout | SendReason::Response => true,
            // A gateway answers so when it lost the answer of the receiver behind it. A mail server says that it did
            // not take the mail.
            SendReason::ServerError => !matches!(self, Receiver::Email(_)),
            SendReason::Auth
            | SendReason::ClientError
            | SendReason::Connect
            | SendReason::Gone
            | SendReason::RateLimited
            | SendReason::Redirect
            | SendReason::Refused
            | SendReason::Tls => false,
        }
    }
}

/// A new id for a notice: `msg_` and 128 random bits.
pub fn notice_id() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // They must not repeat, which these do not either; nobody needs to be kept from guessing them.
        bytes = fastrand::u128(..).to_be_bytes();
    }
    format!("msg_{:032x}", u128::from_be_bytes(bytes))
}

/// Why a notice was not delivered. The text is fit for logs and pages: no secret, no URL beyond its host, nothing of
/// a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SendError {
    pub reason: SendReason,
    pub detail: String,
    pub retry: Retry,
}

/// Whether to try a notice again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// By the usual schedule.
    Later,
    /// By the usual schedule, but not before this long from now, because the receiver asked so.
    NotBefore(Duration),
    /// This notice will never be taken; the next one may be.
    Never,
    /// No notice will be taken until the configuration changes.
    Disabled,
}

/// The cause of a failed attempt, as metrics, logs and texts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendReason {
    /// The receiver refused the credentials, or demands some.
    Auth,
    /// The receiver cannot use what was sent.
    ClientError,
    Connect,
    /// The receiver does not exist any more.
    Gone,
    RateLimited,
    /// The answer is a redirect, which is not followed.
    Redirect,
    /// The mail server refused the mail.
    Refused,
    /// The answer is missing or not one that the receiver gives.
    Response,
    ServerError,
    Timeout,
    Tls,
}

impl SendReason {
    /// The closed set that failures are counted by.
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

    /// The word for it.
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

/// What the daemon tells of itself, beside what it watches.
#[derive(Clone, Copy, Debug)]
pub struct OwnAlert<'a> {
    pub alertname: &'static str,
    pub severity: Severity,
    pub status: NoticeStatus,
    /// When it began.
    pub since: Timestamp,
    /// What of the daemon it is about.
    pub kind: &'static str,
    pub subject: &'a str,
    pub summary: &'static str,
    pub description: &'a str,
    /// One word of a closed set; empty if there is nothing to add.
    pub reason: &'a str,
}

impl OwnAlert<'_> {
    /// The name of this firing.
    pub fn event(&self) -> String {
        format!("evt_{}_{}_{}", self.alertname, self.subject, self.since.as_millis())
    }

    /// The notice that tells `receiver` of it. Receivers take the same subject's notices for one thread.
    pub fn notice(&self, receiver: &str, now: Timestamp) -> Notice {
        let Self { alertname, subject, .. } = self;
        let pairs = |pairs: &[(&str, &str)]| {
            let told = pairs.iter().filter(|(_, value)| !value.is_empty());
            told.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let fires = self.status == NoticeStatus::Firing;
        Notice {
            id: notice_id(),
            receiver: receiver.to_owned(),
            group: format!("{{}}:{{alertname=\"{alertname}\", subject=\"{subject}\"}}"),
            group_labels: pairs(&[("alertname", alertname), ("subject", subject)]),
            reason: if fires { "first notification" } else { "all alerts resolved" }.into(),
            alerts: vec![NoticeAlert {
                event: self.event(),
                status: self.status,
                severity: self.severity,
                labels: pairs(&[
                    ("alertname", alertname),
                    ("kind", self.kind),
                    ("severity", self.severity.label()),
                    ("subject", subject),
                ]),
                annotations: pairs(&[
                    ("description", self.description),
                    ("reason", self.reason),
                    ("summary", self.summary),
                ]),
                starts_at: self.since,
                ends_at: (!fires).then_some(now),
            }],
            covers: Vec::new(),
            created_at: now,
        }
    }
}

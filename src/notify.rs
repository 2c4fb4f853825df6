//! Notifications: composing a notice, sending it, and retrying.
//!
//! [`Receiver::send`] makes one attempt.

pub mod alertmanager;
mod compose;
pub mod email;
mod error;
mod health;
pub mod heartbeat;
#[cfg(test)]
pub(crate) mod scripted;
pub mod webhook;
mod words;

use std::sync::Arc;

pub use self::{
    error::{Retry, SendError, SendReason},
    health::{Health, HealthByReceiver},
};
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
    /// The most alerts that a message names one by one, while it counts the others; absent: it names all.
    pub fn names(&self) -> Option<usize> {
        match self {
            Receiver::Email(_) => Some(words::ROWS),
            Receiver::Webhook(webhook) => webhook.names(),
            #[cfg(test)]
            Receiver::Scripted(_) => None,
        }
    }

    /// Makes one attempt to deliver `notice`. `done` holds what earlier attempts settled, in the receiver's own form:
    /// for mail, the addresses that accepted the notice or refused it for good, which do not get it again. What this
    /// attempt settles is added, even if the rest fails. Returns the receiver's answer, safe to log.
    ///
    /// # Errors
    /// Why it was not delivered, and whether and when to retry.
    pub async fn send(
        &mut self,
        notice: Arc<Notice>,
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

    /// Whether the receiver may have accepted an attempt that failed this way.
    pub fn may_have_taken(&self, failure: &SendError) -> bool {
        match failure.reason {
            // A missing or invalid answer does not show what happened before it.
            SendReason::Timeout | SendReason::Response => true,
            // A gateway answers this when it lost the receiver's answer. A mail server means that it did not accept
            // the mail.
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
        // Ids must be unique, which these are too. They need not be unguessable.
        bytes = fastrand::u128(..).to_be_bytes();
    }
    format!("msg_{:032x}", u128::from_be_bytes(bytes))
}

/// An alert about the daemon itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnAlert<'a> {
    pub alertname: &'static str,
    pub severity: Severity,
    pub status: NoticeStatus,
    /// When it began.
    pub since: Timestamp,
    /// The kind of the subject, a part of the daemon.
    pub kind: &'static str,
    pub subject: &'a str,
    pub summary: &'static str,
    pub description: &'a str,
    /// One word of a closed set; empty if there is none.
    pub reason: &'a str,
}

impl OwnAlert<'_> {
    /// The id of this firing.
    pub fn event(&self) -> String {
        format!("evt_{}_{}_{}", self.alertname, self.subject, self.since.as_millis())
    }

    /// The notice of this alert for `receiver`. Notices with the same subject form one thread.
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
            alerts: vec![Arc::new(NoticeAlert {
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
            })],
            left_out: 0,
            follow: 0,
            others_fire: false,
            named: None,
            covers: Vec::new(),
            created_at: now,
        }
    }
}

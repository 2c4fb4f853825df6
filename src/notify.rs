//! Notifications: composing a notice, sending it, and retrying.
//!
//! [`Receiver::send`] makes one attempt.

pub mod alertmanager;
mod api;
pub mod chat;
mod compose;
pub mod email;
mod error;
mod health;
pub mod heartbeat;
mod pace;
pub mod pagerduty;
mod said;
#[cfg(test)]
pub(crate) mod scripted;
mod success;
pub mod webhook;
mod words;

use std::sync::Arc;

pub use self::{
    error::{Retry, SendError, SendReason},
    health::{Health, HealthByReceiver},
    pace::Rate,
};
use crate::{
    model::{Moment, Named, Notice, NoticeAlert, NoticeStatus, Reading, Severity, Timestamp},
    wording::{About, Told, Voice},
};

/// Where notices go. A closed set: a new kind is a module, a variant and a match arm.
#[derive(Debug)]
pub enum Receiver {
    Chat(Box<chat::Chat>),
    Email(Box<email::Email>),
    Pagerduty(Box<pagerduty::Pagerduty>),
    Webhook(Box<webhook::Webhook>),
    #[cfg(test)]
    Scripted(scripted::Scripted),
}

impl Receiver {
    /// Which alerts its messages name one by one.
    pub fn names(&self) -> Named {
        match self {
            Receiver::Chat(_) | Receiver::Email(_) | Receiver::Pagerduty(_) => words::NAMED,
            Receiver::Webhook(webhook) => webhook.names(),
            #[cfg(test)]
            Receiver::Scripted(_) => Named::All,
        }
    }

    /// How many messages it may get in which time.
    pub fn pace(&self) -> &'static [Rate] {
        match self {
            Receiver::Chat(chat) => chat.pace(),
            Receiver::Pagerduty(pagerduty) => pagerduty.pace(),
            Receiver::Email(_) | Receiver::Webhook(_) => &[],
            #[cfg(test)]
            Receiver::Scripted(_) => &[],
        }
    }

    /// Where it is, for logs: the host, the port and the path, without what may be secret.
    pub fn place(&self) -> String {
        match self {
            Receiver::Chat(chat) => chat.place(),
            Receiver::Pagerduty(pagerduty) => pagerduty.place(),
            Receiver::Webhook(webhook) => webhook.place(),
            Receiver::Email(email) => email.place(),
            #[cfg(test)]
            Receiver::Scripted(_) => String::new(),
        }
    }

    /// The first line that its server said to the last attempt, without our secrets. It is for the person who tests the
    /// receiver, and for no log.
    pub fn said(&self) -> Option<&str> {
        match self {
            Receiver::Chat(chat) => chat.said(),
            Receiver::Pagerduty(pagerduty) => pagerduty.said(),
            Receiver::Webhook(webhook) => webhook.said(),
            Receiver::Email(email) => email.said(),
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
            Receiver::Chat(chat) => chat.send(notice, now).await,
            Receiver::Email(email) => email.send(notice, done).await,
            Receiver::Pagerduty(pagerduty) => pagerduty.send(notice, now).await,
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

/// What came of a test.
#[derive(Debug)]
pub struct Answer {
    /// The first line that the server said, without our secrets. It is for the person who tests, and for no log.
    pub said: Option<String>,
    /// Whether it was accepted; the texts are safe to log.
    pub outcome: Result<String, SendError>,
}

/// The notice of a labelled test of `receiver`. All of them form one thread.
pub fn test_notice(receiver: &str, voice: &Voice, now: Timestamp) -> Notice {
    const NAME: &str = "ProxymeterTest";
    let severity = Severity::Info;
    let about = About { alertname: NAME, kind: "receiver", subject: receiver, target: "", step: "" };
    let told = Told { reading: &Reading::Nothing, began: now, ended: None, now };
    let alert = NoticeAlert {
        event: format!("evt_{NAME}_{receiver}_{}", now.as_millis()),
        status: NoticeStatus::Firing,
        severity,
        labels: [
            ("alertname", NAME),
            ("kind", about.kind),
            ("severity", severity.label()),
            ("subject", receiver),
        ]
        .into(),
        annotations: [
            ("description", voice.sentence(&about, &told)),
            ("reason", "test".to_owned()),
            ("summary", voice.summary(NAME)),
        ]
        .into(),
        starts_at: now,
        ends_at: None,
        began: None,
        until: None,
    };
    Notice {
        id: Notice::new_id(),
        receiver: receiver.to_owned(),
        group: format!("{{}}:{{alertname=\"{NAME}\", subject=\"{receiver}\"}}"),
        group_labels: [("alertname", NAME), ("subject", receiver)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        reason: "first notification".into(),
        alerts: vec![Arc::new(alert)],
        created_at: now,
        ..Notice::default()
    }
}

/// The sizes of a notice as a mail, as a webhook's body, and as the text of a chat, in bytes.
#[cfg(test)]
pub(crate) fn sizes(notice: &Notice, voice: &Voice) -> [usize; 3] {
    let words = words::Words::of(notice, voice);
    let rows = words.sections.iter().flat_map(|section| {
        let rows = section.rows.iter().map(|row| row.sentence.len() + 1);
        rows.chain([section.heading.len() + 1])
    });
    let chat = words.subject.len() + rows.sum::<usize>();
    [email::size(notice, voice), webhook::size(notice), chat.min(4096)]
}

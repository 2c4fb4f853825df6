//! The receiver that is notified that another fails, and that it works again, and the alert about that.

use std::{collections::HashMap, time::Duration};

use tokio::sync::mpsc;

use crate::{
    model::{Notice, NoticeStatus, Severity, Timestamp},
    notify::OwnAlert,
    store::{FallbackKnows, ReceiverState},
};

/// The receiver that is notified of other receivers' failures.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// The fallback's name.
    pub receiver: String,
    /// How long a receiver may fail before the fallback is notified.
    pub after: Duration,
}

/// All receivers, for notices from one about another.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// The fallback, if there is one.
    pub fallback: Option<Fallback>,
    /// The sender of each queue, by name. These do not keep a queue open.
    pub queues: HashMap<String, mpsc::WeakUnboundedSender<Notice>>,
}

/// A notice to another receiver.
#[derive(Debug)]
pub(super) struct News {
    pub(super) notice: Notice,
    /// Absent: the daemon is stopping, and the notice is sent after the next start.
    pub(super) queue: Option<mpsc::UnboundedSender<Notice>>,
}

impl News {
    /// Sends the notice. Call it after the notice is stored.
    pub(super) fn tell(self) {
        if let Some(queue) = self.queue {
            // If the queue has ended, the next start sends the notice.
            drop(queue.send(self.notice));
        }
    }
}

/// The receiver that knows of `receiver`'s failure, and the event of that alert; absent: none does.
pub fn known_failure<'a>(receiver: &str, state: &'a ReceiverState) -> Option<(&'a str, String)> {
    Some((known_by(state)?, well_again(receiver, state, state.failing_since?).event()))
}

/// The receiver that was notified of the failure in this state.
pub(super) fn known_by(state: &ReceiverState) -> Option<&str> {
    state.fallback.as_deref().filter(|_| state.fallback_knows != FallbackKnows::Nothing)
}

/// The resolved alert of a receiver's failure, without a description.
pub(super) fn well_again<'a>(receiver: &'a str, state: &ReceiverState, now: Timestamp) -> OwnAlert<'a> {
    OwnAlert {
        alertname: "ProxymeterNotificationsFailing",
        severity: Severity::Critical,
        status: NoticeStatus::Resolved,
        since: state.failing_since.unwrap_or(now),
        kind: "receiver",
        subject: receiver,
        summary: "A receiver does not accept notifications.",
        description: "",
        reason: "",
    }
}

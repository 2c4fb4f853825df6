//! Telling one receiver that another fails, and that it is well again.

use tokio::{sync::mpsc, time::Instant};

use super::{Outbox, TOO_OLD};
use crate::{
    model::{Notice, NoticeStatus, Severity},
    notify::OwnAlert,
    store::FallbackKnows,
};

/// Who is told that a receiver fails.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// The fallback's name.
    pub receiver: String,
    /// To its worker.
    pub queue: mpsc::UnboundedSender<Notice>,
}

impl Fallback {
    pub(super) fn tell(&self, news: Notice) {
        // The queue ends only with the daemon.
        drop(self.queue.send(news));
    }
}

impl Outbox {
    /// Tells the fallback if the receiver has failed for too long.
    pub(super) async fn lose_patience(&mut self) {
        if self.patience.is_some_and(|end| end <= Instant::now())
            && let Some(news) = self.news(FallbackKnows::Failing)
        {
            self.settle(Vec::new(), Some(news)).await;
        }
    }

    /// What the fallback is to be told, unless it knows. It is told at most twice until the receiver takes a notice:
    /// that it fails, and that notices were given up.
    pub(super) fn news(&mut self, knows: FallbackKnows) -> Option<Notice> {
        if self.terms.fallback.is_none() || self.state.fallback_knows >= knows {
            return None;
        }
        self.state.fallback_knows = knows;
        // What made it fail before we started, an earlier process knew.
        let (reason, detail) = match &self.last_failure {
            Some(err) => (err.reason, err.detail.as_str()),
            None => ("timeout", TOO_OLD),
        };
        let description = format!(
            "Receiver {} cannot be told ({reason}): {detail}. Notices given up so far: {}.",
            self.name, self.given_up
        );
        self.own_alert(NoticeStatus::Firing, &description, reason)
    }

    /// What the fallback is to be told now that the receiver took a notice, if it was told otherwise.
    pub(super) fn recovered(&self) -> Option<Notice> {
        if self.state.fallback_knows == FallbackKnows::Nothing {
            return None;
        }
        let description = format!("Receiver {} takes notices again.", self.name);
        self.own_alert(NoticeStatus::Resolved, &description, "")
    }

    fn own_alert(&self, status: NoticeStatus, description: &str, reason: &str) -> Option<Notice> {
        let now = self.clock.now().wall;
        let alert = OwnAlert {
            alertname: "ProxymeterNotificationsFailing",
            severity: Severity::Critical,
            status,
            since: self.state.failing_since.unwrap_or(now),
            kind: "receiver",
            subject: &self.name,
            summary: "A receiver of notices cannot be told.",
            description,
            reason,
        };
        Some(alert.notice(&self.terms.fallback.as_ref()?.receiver, now))
    }
}

//! Telling one receiver that another fails, and that it is well again.

use std::time::Duration;

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
    /// How long another may fail before this one is told.
    pub after: Duration,
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
    /// Whom to tell, unless it is this receiver itself.
    pub(super) fn fallback(&self) -> Option<Fallback> {
        self.fallback.borrow().clone().filter(|fallback| fallback.receiver != self.name)
    }

    /// When the fallback is to be told that the receiver fails, if it is to be and was not.
    pub(super) fn out_of_patience_at(&self) -> Option<Instant> {
        let untold = self.state.fallback_knows == FallbackKnows::Nothing;
        let since = self.failing_since.filter(|_| untold)?;
        Some(Instant::now() + self.fallback()?.after.saturating_sub(self.clock.now().since(since)))
    }

    /// Tells the fallback if the receiver has failed for too long.
    pub(super) async fn lose_patience(&mut self) {
        if self.out_of_patience_at().is_some_and(|end| end <= Instant::now())
            && let Some(news) = self.news(FallbackKnows::Failing)
        {
            self.settle(Vec::new(), Some(news)).await;
        }
    }

    /// What the fallback is to be told, unless it knows. It is told at most twice until the receiver takes a notice:
    /// that it fails, and that notices were given up.
    pub(super) fn news(&mut self, knows: FallbackKnows) -> Option<Notice> {
        let fallback = self.fallback()?;
        if self.state.fallback_knows >= knows {
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
        Some(self.own_alert(&fallback, NoticeStatus::Firing, &description, reason))
    }

    /// What the fallback is to be told now that the receiver took a notice, if it was told otherwise.
    pub(super) fn recovered(&self) -> Option<Notice> {
        if self.state.fallback_knows == FallbackKnows::Nothing {
            return None;
        }
        let description = format!("Receiver {} takes notices again.", self.name);
        Some(self.own_alert(&self.fallback()?, NoticeStatus::Resolved, &description, ""))
    }

    fn own_alert(
        &self,
        fallback: &Fallback,
        status: NoticeStatus,
        description: &str,
        reason: &str,
    ) -> Notice {
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
        alert.notice(&fallback.receiver, now)
    }
}

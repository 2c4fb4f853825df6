//! Telling one receiver that another fails, and that it is well again.

use std::{collections::HashMap, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{Left, Outbox, TOO_OLD};
use crate::{
    model::{Notice, NoticeStatus, Severity, Timestamp},
    notify::{OwnAlert, SendReason},
    store::{FallbackKnows, ReceiverState},
};

/// The receiver that is notified when another one fails.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// The fallback's name.
    pub receiver: String,
    /// How long another may fail before this one is notified.
    pub after: Duration,
}

/// Every receiver, as the others may have something to tell it.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// The receiver that is notified when another one fails, if there is one.
    pub fallback: Option<Fallback>,
    /// The way to the queue of each, by name. It keeps none from ending.
    pub queues: HashMap<String, mpsc::WeakUnboundedSender<Notice>>,
}

/// What another receiver is to be told.
#[derive(Debug)]
pub(super) struct News {
    pub(super) notice: Notice,
    /// Absent: everything ends, and the notice is sent after the next start.
    queue: Option<mpsc::UnboundedSender<Notice>>,
}

impl News {
    /// To be done once it is written down.
    pub(super) fn tell(self) {
        if let Some(queue) = self.queue {
            // A queue that ended all the same leaves it to the next start.
            drop(queue.send(self.notice));
        }
    }
}

impl Left {
    /// Who was told that the receiver fails is to be told this when it is no longer configured.
    pub fn farewell(&self, receiver: &str, now: Timestamp) -> Option<Notice> {
        let told = told(&self.state)?;
        let description = format!("Receiver {receiver} is no longer configured.");
        let alert = OwnAlert { description: &description, ..well_again(receiver, &self.state, now) };
        Some(alert.notice(told, now))
    }
}

/// Who was told that a receiver fails, and not yet that it no longer does, and the event of the alert that says so.
pub fn known_failure<'a>(receiver: &str, state: &'a ReceiverState) -> Option<(&'a str, String)> {
    Some((told(state)?, well_again(receiver, state, state.failing_since?).event()))
}

fn told(state: &ReceiverState) -> Option<&str> {
    state.fallback.as_deref().filter(|_| state.fallback_knows != FallbackKnows::Nothing)
}

/// That a receiver that failed no longer does, without a word why.
fn well_again<'a>(receiver: &'a str, state: &ReceiverState, now: Timestamp) -> OwnAlert<'a> {
    OwnAlert {
        alertname: "ProxymeterNotificationsFailing",
        severity: Severity::Critical,
        status: NoticeStatus::Resolved,
        since: state.failing_since.unwrap_or(now),
        kind: "receiver",
        subject: receiver,
        summary: "A receiver of notices cannot be told.",
        description: "",
        reason: "",
    }
}

impl Outbox {
    /// Whom to tell, unless it is this receiver itself.
    pub(super) fn fallback(&self) -> Option<Fallback> {
        self.others.borrow().fallback.clone().filter(|fallback| fallback.receiver != self.name)
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

    /// After a change of the fallback: notifies the new one of what the former one knows, and the former one that it
    /// gets no more about this receiver.
    pub(super) async fn hand_over(&mut self) {
        let knows = self.state.fallback_knows;
        let fallback = self.fallback().map(|fallback| fallback.receiver);
        if knows == FallbackKnows::Nothing || self.state.fallback == fallback {
            return;
        }
        let end = self.end(&format!("This receiver is no longer the fallback of receiver {}.", self.name));
        (self.state.fallback_knows, self.state.fallback) = (FallbackKnows::Nothing, None);
        self.settle(Vec::new(), end).await;
        if let Some(news) = self.news(knows) {
            self.settle(Vec::new(), Some(news)).await;
        }
    }

    /// The notice to the fallback, unless it knows. It gets at most two until the receiver takes a notice:
    /// that it fails, and that notices were given up.
    pub(super) fn news(&mut self, knows: FallbackKnows) -> Option<News> {
        let fallback = self.fallback()?.receiver;
        if self.state.fallback_knows >= knows {
            return None;
        }
        self.state.fallback_knows = knows;
        // As long as another was told, this one is still to be handed what that one knows.
        if *self.state.fallback.get_or_insert_with(|| fallback.clone()) != fallback {
            return None;
        }
        // What made it fail before we started, an earlier process knew.
        let (reason, detail) = match &self.last_failure {
            Some(err) => (err.reason.label(), err.detail.as_str()),
            None if knows == FallbackKnows::GivenUp => (SendReason::Timeout.label(), TOO_OLD),
            None => (SendReason::Timeout.label(), "the log says why"),
        };
        let description = format!(
            "Receiver {} cannot be told ({reason}): {detail}. Notices given up so far: {}.",
            self.name, self.given_up
        );
        let status = NoticeStatus::Firing;
        self.news_for(&fallback, |alert| OwnAlert { status, description: &description, reason, ..alert })
    }

    /// What is to be told now that the receiver took a notice, to whom was told otherwise.
    pub(super) fn recovered(&self) -> Option<News> {
        self.end(&format!("Receiver {} takes notices again.", self.name))
    }

    /// The notice to the receiver that knows of the failure, at the end of it.
    fn end(&self, description: &str) -> Option<News> {
        self.news_for(told(&self.state)?, |alert| OwnAlert { description, ..alert })
    }

    /// Whatever `say` makes of the end of this receiver's failing, to a receiver that is configured.
    fn news_for<'a>(
        &'a self,
        receiver: &str,
        say: impl FnOnce(OwnAlert<'a>) -> OwnAlert<'a>,
    ) -> Option<News> {
        // While this borrow lasts, no queue is replaced by another.
        let queue = self.others.borrow().queues.get(receiver)?.upgrade();
        let now = self.clock.now().wall;
        let notice = say(well_again(&self.name, &self.state, now)).notice(receiver, now);
        Some(News { notice, queue })
    }
}

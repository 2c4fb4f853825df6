//! Notifies one receiver that another fails, and that it works again.

use std::{collections::HashMap, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{Left, Outbox, TOO_OLD};
use crate::{
    model::{Notice, NoticeStatus, Severity, Timestamp},
    notify::{OwnAlert, SendReason},
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
    queue: Option<mpsc::UnboundedSender<Notice>>,
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

impl Left {
    /// The notice that resolves a failure when its receiver is no longer configured, to the receiver that knows of it.
    pub fn farewell(&self, receiver: &str, now: Timestamp) -> Option<Notice> {
        let told = told(&self.state)?;
        let description = format!("Receiver {receiver} is no longer configured.");
        let alert = OwnAlert { description: &description, ..well_again(receiver, &self.state, now) };
        Some(alert.notice(told, now))
    }
}

/// The receiver that knows of `receiver`'s failure, and the event of that alert; absent: none does.
pub fn known_failure<'a>(receiver: &str, state: &'a ReceiverState) -> Option<(&'a str, String)> {
    Some((told(state)?, well_again(receiver, state, state.failing_since?).event()))
}

fn told(state: &ReceiverState) -> Option<&str> {
    state.fallback.as_deref().filter(|_| state.fallback_knows != FallbackKnows::Nothing)
}

/// The resolved alert of a receiver's failure, without a description.
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
    /// The fallback, unless it is this receiver itself.
    pub(super) fn fallback(&self) -> Option<Fallback> {
        self.others.borrow().fallback.clone().filter(|fallback| fallback.receiver != self.name)
    }

    /// When to notify the fallback of the failure; absent: not needed, or done.
    pub(super) fn out_of_patience_at(&self) -> Option<Instant> {
        let untold = self.state.fallback_knows == FallbackKnows::Nothing;
        let since = self.failing_since.filter(|_| untold)?;
        Some(Instant::now() + self.fallback()?.after.saturating_sub(self.clock.now().since(since)))
    }

    /// Notifies the fallback if the receiver has failed for too long.
    pub(super) async fn lose_patience(&mut self) {
        if self.out_of_patience_at().is_some_and(|end| end <= Instant::now())
            && let Some(news) = self.news(FallbackKnows::Failing)
        {
            self.settle(Vec::new(), Some(news)).await;
        }
    }

    /// After a change of the fallback, resolves the failure at the former fallback and notifies the present one.
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

    /// The notice for the fallback, unless it knows already. It gets at most two until the receiver accepts a notice:
    /// one for the failure, and one for notices given up.
    pub(super) fn news(&mut self, knows: FallbackKnows) -> Option<News> {
        let fallback = self.fallback()?.receiver;
        if self.state.fallback_knows >= knows {
            return None;
        }
        self.state.fallback_knows = knows;
        // The former fallback must be resolved first; then `hand_over` notifies this one.
        if *self.state.fallback.get_or_insert_with(|| fallback.clone()) != fallback {
            return None;
        }
        // Only an earlier process knew why it failed before this one started.
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

    /// The notice that the receiver works again, for the receiver that knows of its failure.
    pub(super) fn recovered(&self) -> Option<News> {
        self.end(&format!("Receiver {} takes notices again.", self.name))
    }

    /// The notice that ends the failure, for the receiver that knows of it.
    fn end(&self, description: &str) -> Option<News> {
        self.news_for(told(&self.state)?, |alert| OwnAlert { description, ..alert })
    }

    /// The notice that `say` makes from the resolved alert, for a configured receiver.
    fn news_for<'a>(
        &'a self,
        receiver: &str,
        say: impl FnOnce(OwnAlert<'a>) -> OwnAlert<'a>,
    ) -> Option<News> {
        // While this is borrowed, the set of queues cannot be replaced.
        let queue = self.others.borrow().queues.get(receiver)?.upgrade();
        let now = self.clock.now().wall;
        let notice = say(well_again(&self.name, &self.state, now)).notice(receiver, now);
        Some(News { notice, queue })
    }
}

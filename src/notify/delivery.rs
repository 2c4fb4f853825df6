//! One queue per receiver: sends its notices and retries until each is accepted or too old.
//!
//! A notice is in the store before it gets here, and leaves the store when it is accepted. A worker may be dropped at
//! any moment; a notice that was not marked as delivered is sent again with the same id. The waits between attempts at
//! a failing receiver grow, and the fallback is notified of the failure. All of this state survives restarts.

mod backoff;
mod fallback;
mod health;
mod merge;
mod outbox;
mod queue;
#[cfg(test)]
mod tests;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::outbox::Outbox;
pub use self::{
    fallback::{Fallback, Others, known_failure},
    health::{Health, HealthByReceiver},
    outbox::{Left, Terms, Wiring},
};
use super::Receiver;
use crate::{model::Notice, telemetry::AttemptFailure};

/// Delivers notices to one receiver, one at a time.
#[derive(Debug)]
pub struct Worker {
    receiver: Receiver,
    incoming: mpsc::UnboundedReceiver<Notice>,
    outbox: Outbox,
}

impl Worker {
    /// `left` is what an earlier worker left or the store has of this receiver; `incoming` delivers what was recorded
    /// since.
    pub fn new(
        name: String,
        receiver: Receiver,
        left: Left,
        terms: Terms,
        wiring: Wiring,
        incoming: mpsc::UnboundedReceiver<Notice>,
    ) -> Self {
        let outbox = Outbox::new(name, left, terms, wiring);
        Worker { receiver, incoming, outbox }
    }

    /// Runs until no more notices can come. Then it finishes the attempt in progress and starts no other. It may be
    /// dropped at any moment without loss.
    pub async fn run(mut self) -> Left {
        self.outbox.hand_over().await;
        self.outbox.tidy().await;
        loop {
            let due = self.outbox.due();
            tokio::select! {
                biased;
                notice = self.incoming.recv() => match notice {
                    Some(notice) => self.outbox.accept(notice).await,
                    None => return self.outbox.left(),
                },
                // Not awaited once the sender is gone.
                Ok(()) = self.outbox.others.changed() => self.outbox.hand_over().await,
                () = until(due) => self.work().await,
            }
        }
    }

    /// Does everything whose time has come.
    async fn work(&mut self) {
        self.outbox.lose_patience().await;
        if self.outbox.may_send() {
            self.attempt().await;
        }
        self.outbox.expire().await;
    }

    /// Sends the first notice of the queue.
    async fn attempt(&mut self) {
        let Some(mut item) = self.outbox.next().await else { return };
        self.outbox.in_flight = Some(item.since);
        let began = Instant::now();
        let outcome = self.receiver.send(&item.notice, &mut item.done, self.outbox.clock.now()).await;
        self.outbox.in_flight = None;
        let failure = outcome.as_ref().err();
        let failure =
            failure.map(|err| AttemptFailure { reason: err.reason.label(), detail: err.detail.clone() });
        self.outbox.telemetry.notification_attempt(&self.outbox.name, began.elapsed(), failure);
        match outcome {
            Ok(said) => self.outbox.taken(&item, &said).await,
            Err(err) => {
                item.maybe_taken |= self.receiver.may_have_taken(&err);
                self.outbox.failed(item, &err).await;
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

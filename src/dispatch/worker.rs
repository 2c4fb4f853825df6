use std::sync::Arc;

use tokio::{
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    clock::Clock,
    model::Notice,
    notify::{Receiver, SendError},
    telemetry::{AttemptFailure, Telemetry},
};

/// What is not sent within this time is composed again.
const FRESH: Duration = Duration::from_secs(5);

/// A recorded message on its way to a receiver.
#[derive(Debug)]
pub struct Letter {
    pub notice: Arc<Notice>,
    /// What earlier attempts settled, see [`Receiver::send`].
    pub done: Vec<String>,
}

/// What a worker says.
#[derive(Debug)]
pub struct Report {
    pub receiver: String,
    /// Which of the receiver's workers says it.
    pub worker: u64,
    pub news: News,
}

/// What happened.
#[derive(Debug)]
pub enum News {
    /// An attempt ended. The receiver may have accepted a message although the attempt failed.
    Attempt { id: String, result: Result<String, SendError>, done: Vec<String>, may_have_arrived: bool },
    /// The messages were sent, except those that no attempt was reported of.
    Free,
}

/// Sends messages to one receiver, one at a time.
#[derive(Debug)]
pub struct Worker {
    pub name: String,
    /// Tells it from earlier workers of the same receiver.
    pub number: u64,
    pub receiver: Receiver,
    pub letters: mpsc::Receiver<Vec<Letter>>,
    pub reports: mpsc::Sender<Report>,
    pub telemetry: Telemetry,
    pub clock: Clock,
}

impl Worker {
    /// Runs until no more messages can come. Then it finishes the attempt in progress and starts no other. It may be
    /// dropped at any moment without loss.
    pub async fn run(mut self) {
        while let Some(letters) = self.letters.recv().await {
            let began = Instant::now();
            for letter in letters {
                if self.letters.is_closed() || began.elapsed() > FRESH || !self.attempt(letter).await {
                    break;
                }
            }
            self.report(News::Free).await;
        }
    }

    /// Returns whether the receiver took the message.
    async fn attempt(&mut self, letter: Letter) -> bool {
        let Letter { notice, mut done } = letter;
        let id = notice.id.clone();
        let began = Instant::now();
        let result = self.receiver.send(notice, &mut done, self.clock.now()).await;
        let failure = result.as_ref().err();
        let may_have_arrived =
            failure.is_some_and(|err| self.receiver.may_have_taken(err) || !done.is_empty());
        let failure =
            failure.map(|err| AttemptFailure { reason: err.reason.label(), detail: err.detail.clone() });
        self.telemetry.notification_attempt(&self.name, began.elapsed(), failure);
        let taken = result.is_ok();
        self.report(News::Attempt { id, result, done, may_have_arrived }).await;
        taken
    }

    async fn report(&mut self, news: News) {
        let report = Report { receiver: self.name.clone(), worker: self.number, news };
        // The dispatcher may have ended: then the daemon stops, and the store has the message.
        drop(self.reports.send(report).await);
    }
}

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use tracing::warn;

use super::{
    client::Alertmanager,
    ends::Ends,
    line::{Line, Posted, Round},
    standing::{Ask, Standing},
};
use crate::{
    clock::Clock,
    notify::SendReason,
    telemetry::{AttemptFailure, Telemetry},
};

/// The shortest time from one round to another, however many alerts are new.
const PAUSE: Duration = Duration::from_secs(5);

/// Posts the alerts of one Alertmanager receiver.
#[derive(Debug)]
pub struct Poster {
    name: String,
    alertmanager: Alertmanager,
    asks: mpsc::Sender<(String, Ask)>,
    changed: watch::Receiver<u64>,
    telemetry: Telemetry,
    clock: Clock,
}

impl Poster {
    /// `name` is the receiver's. `changed` counts new alerts.
    pub fn new(
        name: String,
        alertmanager: Alertmanager,
        asks: mpsc::Sender<(String, Ask)>,
        changed: watch::Receiver<u64>,
        telemetry: Telemetry,
        clock: Clock,
    ) -> Self {
        Poster { name, alertmanager, asks, changed, telemetry, clock }
    }

    /// Ends when the other end of `asks` is closed.
    pub async fn run(self) {
        let Poster { name, alertmanager, asks, changed, telemetry, clock } = self;
        let Alertmanager { replicas, resend } = alertmanager;
        telemetry.declare_receiver(&name, &SendReason::ALL.map(SendReason::label));
        let count = replicas.len();
        let (results, posted) = mpsc::channel(count);
        let (rounds, lines): (Vec<_>, Vec<_>) = replicas
            .into_iter()
            .enumerate()
            .map(|(number, replica)| {
                let (send, receive) = watch::channel(Round::default());
                let (telemetry, clock) = (telemetry.clone(), clock.clone());
                let line = Line::new(name.clone(), number, replica, resend, telemetry, clock);
                (send, line.run(receive, results.clone()))
            })
            .unzip();
        let ends = Ends::new(resend, count, clock.now());
        let rounds = Rounds {
            name,
            resend,
            asks,
            telemetry,
            clock,
            ends,
            to_lines: rounds,
            number: 0,
            failed: vec![None; count],
            success: 0,
            failure: 0,
        };
        tokio::select! {
            _ = rounds.run(changed, posted) => {}
            _ = join_all(lines) => {}
        }
    }
}

/// Begins the rounds and judges how they went.
struct Rounds {
    name: String,
    resend: Duration,
    asks: mpsc::Sender<(String, Ask)>,
    telemetry: Telemetry,
    clock: Clock,
    ends: Ends,
    to_lines: Vec<watch::Sender<Round>>,
    number: u64,
    /// For each replica, its last round if that failed.
    failed: Vec<Option<u64>>,
    /// The last round that was reported as a success.
    success: u64,
    /// The last round that was reported as a failure.
    failure: u64,
}

/// The dispatcher is gone.
struct Closed;

impl Rounds {
    async fn run(
        mut self,
        mut changed: watch::Receiver<u64>,
        mut posted: mpsc::Receiver<Posted>,
    ) -> Result<(), Closed> {
        let asks = self.asks.clone();
        let (mut next, mut earliest) = (Instant::now(), Instant::now());
        let mut counts = true;
        loop {
            tokio::select! {
                () = asks.closed() => return Err(Closed),
                Some(posted) = posted.recv() => self.note(posted).await?,
                is_open = changed.changed(), if counts => match is_open {
                    Ok(()) => next = next.min(earliest),
                    Err(_) => counts = false,
                },
                () = sleep_until(next) => {
                    let now = Instant::now();
                    (next, earliest) = (now + self.resend, now + PAUSE);
                    // What is new by now is in the answer.
                    changed.borrow_and_update();
                    self.begin().await?;
                }
            }
        }
    }

    async fn say(&self, ask: Ask) -> Result<(), Closed> {
        self.asks.send((self.name.clone(), ask)).await.map_err(|_| Closed)
    }

    async fn begin(&mut self) -> Result<(), Closed> {
        let (answer, standing) = oneshot::channel::<Standing>();
        self.say(Ask::Standing(answer)).await?;
        // Without an answer, the next round asks again.
        let Ok(standing) = standing.await else { return Ok(()) };
        let decision = self.ends.decide(standing, self.clock.now());
        self.number += 1;
        for (line, alerts) in self.to_lines.iter().zip(decision.posts) {
            line.send_replace(Round { number: self.number, alerts: alerts.into() });
        }
        if decision.given_up > 0 {
            let count = decision.given_up;
            warn!(receiver = self.name, count, "resolved alerts given up: not accepted for three days");
            self.say(Ask::GivenUp(count)).await?;
        }
        if decision.over.is_empty() { Ok(()) } else { self.say(Ask::Over(decision.over)).await }
    }

    async fn note(&mut self, posted: Posted) -> Result<(), Closed> {
        let Posted { replica, round, ends, left_out, outcome } = posted;
        if left_out > 0 {
            self.say(Ask::GivenUp(left_out)).await?;
        }
        let now = self.clock.now();
        self.ends.taken(replica, &ends, now);
        if let Some(failed) = self.failed.get_mut(replica) {
            *failed = outcome.is_err().then_some(round);
        }
        match &outcome {
            Ok(()) => {
                self.telemetry.notification_last_success(&self.name, now.wall.as_secs_f64());
                self.telemetry.receiver_failing(&self.name, None);
                if std::mem::replace(&mut self.success, round) == round {
                    return Ok(());
                }
            }
            Err(error) => {
                // The last round at which every replica failed; none if one takes the alerts, or may yet.
                let Some(round) = self.failed.iter().copied().min().flatten() else { return Ok(()) };
                let (reason, detail) = (error.reason.label(), error.detail.clone());
                self.telemetry.receiver_failing(&self.name, Some(AttemptFailure { reason, detail }));
                if std::mem::replace(&mut self.failure, round) == round {
                    return Ok(());
                }
            }
        }
        self.say(Ask::Outcome(outcome)).await
    }
}

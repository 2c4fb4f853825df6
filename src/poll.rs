//! One loop per target: asks for its parts, each at its own pace, and puts what it learns on the board.
//!
//! One request is in flight per target, because the loop does one thing at a time. A target that hangs or fails
//! delays nobody else's loop.

pub mod config;
mod schedule;

use tracing::{info, warn};

use self::{
    config::PollConfig,
    schedule::{Ended, Schedule},
};
use crate::{
    board::Board,
    clock::Clock,
    model::{Outcome, Part, PartData, PartState, Report},
    telemetry::Telemetry,
    upstream::{FetchError, Step, Upstream},
};

/// The loop of one target.
#[derive(Debug)]
pub struct Poller {
    upstream: Upstream,
    schedule: Schedule,
    report: Report,
    /// Parts whose counters exist.
    declared: Vec<Part>,
    board: Board,
    telemetry: Telemetry,
    clock: Clock,
}

impl Poller {
    /// A loop for the target `name`, which is already on the board.
    pub fn new(
        name: &str,
        upstream: Upstream,
        config: PollConfig,
        board: Board,
        telemetry: Telemetry,
        clock: Clock,
    ) -> Self {
        let start = clock.now().uptime + config.interval.min(FIRST_POLLS_WITHIN).mul_f64(fastrand::f64());
        let schedule = Schedule::new(config, start);
        Poller {
            upstream,
            schedule,
            report: Report::new(name),
            declared: Vec::new(),
            board,
            telemetry,
            clock,
        }
    }

    /// Polls until it is dropped.
    pub async fn run(mut self) {
        loop {
            let now = self.clock.now().uptime;
            let (part, due) = self.schedule.next(&self.upstream.parts(), now);
            tokio::time::sleep(due.saturating_sub(now)).await;
            self.step(part).await;
            self.board.publish(self.report.clone());
        }
    }

    /// Reads everything once, without the rests that a daemon takes, and returns what came of it. Parts that failed
    /// are not tried again.
    pub async fn read_once(mut self) -> Report {
        let mut read = Vec::new();
        while let Some(part) = self.upstream.parts().into_iter().find(|part| !read.contains(part)) {
            if self.step(part).await != Ended::More {
                read.push(part);
            }
            if self.report.up == Some(false) {
                break;
            }
        }
        self.report
    }

    async fn step(&mut self, part: Part) -> Ended {
        let began = self.clock.now();
        let result = self.upstream.read(part, began).await;
        let now = self.clock.now();

        let ended = match &result {
            Ok(Step::Done(_)) => Ended::Done,
            Ok(Step::More(_)) => Ended::More,
            Err(err) => kind(part, err),
        };
        let times = (began.uptime, now.uptime);
        let took = self.schedule.ended(part, times, ended, 0.95 + fastrand::f64() / 10.0);

        self.count(part, &result, ended);
        let outcome = match &result {
            Ok(Step::Done(_)) => Outcome::Up,
            // A list in the middle of being read proves nothing new.
            Ok(Step::More(_)) => {
                self.report.parts.get(&part).map_or(Outcome::Pending, |state| state.outcome.clone())
            }
            Err(_) if ended == Ended::Refused => Outcome::Refused,
            Err(err) => Outcome::Failed { reason: err.reason(), detail: err.to_string() },
        };
        self.tell(part, &outcome);
        self.up(part, ended);
        self.report.remember_up(now);

        let round = self.schedule.round(part);
        let stale_after = self.schedule.stale_after(part);
        let state = self.report.parts.entry(part).or_insert(PartState {
            outcome: Outcome::Pending,
            last_success: None,
            last_data: None,
            duration: None,
            round,
            stale_after,
        });
        state.outcome = outcome;
        state.round = round;
        state.stale_after = stale_after;
        if ended == Ended::Done {
            state.last_success = Some(now);
            state.duration = Some(took);
        }
        if let Ok(Step::Done(data) | Step::More(Some(data))) = result {
            state.last_data = Some(now);
            self.learn(data);
            self.report.remember(part, now);
        }
        self.report.certificate_expiry = self.upstream.certificate_expiry();
        ended
    }

    fn learn(&mut self, data: PartData) {
        let known = self.report.identity.clone();
        self.report.merge(data);
        if let Some(identity) =
            self.report.identity.as_ref().filter(|identity| Some(*identity) != known.as_ref())
        {
            info!(
                target_name = &*self.report.target,
                system = identity.system.label(),
                version = identity.version,
                "detected the target's system"
            );
        }
    }

    fn count(&mut self, part: Part, result: &Result<Step, FetchError>, ended: Ended) {
        let target = &*self.report.target;
        for part in self.upstream.parts() {
            if !self.declared.contains(&part) {
                self.telemetry.declare_part(target, part.label(), &FetchError::REASONS);
                self.declared.push(part);
            }
        }
        for _ in 0..self.upstream.take_requests() {
            self.telemetry.request(target);
        }
        if ended != Ended::More {
            self.telemetry.poll(target, part.label());
        }
        if let Err(err) = result
            && ended != Ended::Refused
        {
            self.telemetry.failure(target, part.label(), err.reason());
        }
    }

    /// Login and the cheapest part make a target up, whichever part a refused login comes to light with.
    fn up(&mut self, part: Part, ended: Ended) {
        if ended == Ended::AuthFailed {
            self.report.up = Some(false);
        } else if part == Part::System {
            self.report.up = Some(ended == Ended::Done);
        }
    }

    /// Logs how a part stands when that has changed, and not with every poll.
    fn tell(&self, part: Part, outcome: &Outcome) {
        let (target_name, part_name) = (&*self.report.target, part.label());
        let before = self.report.parts.get(&part).map(|state| &state.outcome);
        match (before, outcome) {
            (Some(Outcome::Failed { reason: known, .. }), Outcome::Failed { reason, .. })
                if known == reason => {}
            (_, Outcome::Failed { reason, detail }) => {
                warn!(target_name, part = part_name, reason, "polling fails: {detail}");
            }
            (Some(Outcome::Refused), Outcome::Refused) => {}
            (_, Outcome::Refused) => {
                info!(target_name, part = part_name, "this account may not read the part, which is left out");
            }
            (Some(Outcome::Failed { .. }), Outcome::Up) => {
                info!(target_name, part = part_name, "polling works again");
            }
            _ => {}
        }
    }
}

/// Targets are first polled within this time, not all at once.
const FIRST_POLLS_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);

fn kind(part: Part, err: &FetchError) -> Ended {
    match err.reason() {
        "auth" => Ended::AuthFailed,
        "forbidden" if part != Part::System => Ended::Refused,
        _ if err.is_of_target() => Ended::TargetFailed,
        _ => Ended::Failed,
    }
}

#[cfg(test)]
mod tests;

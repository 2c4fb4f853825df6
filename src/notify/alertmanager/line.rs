//! The line of one replica: it posts the newest round, one post at a time, so that a replica that hangs delays no other.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tracing::{info, warn};

use super::{
    post::{identity, lasts},
    replica::{Fault, Listed, Refusal, Replica},
};
use crate::{
    clock::Clock,
    model::{NoticeAlert, Timestamp},
    notify::{Retry, SendError, SendReason},
    telemetry::Telemetry,
};

/// The most alerts in one post.
const BATCH: usize = 500;
/// The most refused lists in one round. Alerts that are refused alone are left out of later rounds, so that each round
/// gets on.
const MOST_REFUSALS: usize = 100;
/// The pause after the first failure: one that restarts needs a moment.
const SOON: Duration = Duration::from_secs(10);
/// After this time an alert that was left out is posted again.
const LEFT_OUT: Duration = Duration::from_secs(60 * 60);

/// What to post to a replica.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pub(super) number: u64,
    pub(super) alerts: Arc<[Arc<NoticeAlert>]>,
}

/// How a round went at one replica.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) replica: usize,
    pub(super) round: u64,
    /// The events whose ends it accepted, or refused for good.
    pub(super) ends: Vec<String>,
    /// How many alerts it refused for good, and had not before.
    pub(super) left_out: usize,
    pub(super) outcome: Result<(), SendError>,
}

/// What a replica makes of the lists of one round.
#[derive(Default)]
struct Judged {
    /// It accepted a list with an alert in it.
    accepts: bool,
    /// Alerts that it refused alone.
    refused: Vec<(Arc<NoticeAlert>, SendError)>,
    /// How many lists it refused.
    refusals: usize,
}

pub(super) struct Line {
    /// The receiver's name.
    receiver: String,
    number: usize,
    replica: Replica,
    resend: Duration,
    telemetry: Telemetry,
    clock: Clock,
    /// By event, when each alert was refused that is left out.
    refused: HashMap<String, Instant>,
    /// How many of them are not reported yet.
    left_out: usize,
    batch: usize,
    /// By fingerprint, until when each alert fires that was posted as firing. Later, another sender posted it.
    until: HashMap<u64, Timestamp>,
    /// The same for alerts that an earlier process posted.
    until_of_earlier: Timestamp,
    /// Why the last round failed.
    failing: Option<SendReason>,
    has_posted: bool,
    /// Why it did not list its alerts.
    no_list: Option<SendReason>,
}

impl Line {
    pub(super) fn new(
        receiver: String,
        number: usize,
        replica: Replica,
        resend: Duration,
        telemetry: Telemetry,
        clock: Clock,
    ) -> Self {
        let until_of_earlier = clock.now().wall.saturating_add(lasts(resend));
        Line {
            receiver,
            number,
            replica,
            resend,
            telemetry,
            clock,
            refused: HashMap::new(),
            left_out: 0,
            batch: BATCH,
            until: HashMap::new(),
            until_of_earlier,
            failing: None,
            has_posted: false,
            no_list: None,
        }
    }

    /// Ends when there are no rounds any more. After a failure it tries once more soon, and then it pauses for one resend
    /// interval each time.
    pub(super) async fn run(mut self, mut rounds: watch::Receiver<Round>, posted: mpsc::Sender<Posted>) {
        let mut failures = 0_u32;
        while failures == 1 || rounds.changed().await.is_ok() {
            let Round { number: round, alerts } = rounds.borrow_and_update().clone();
            // A replica that failed, or did in an earlier process, gets the empty list, too, which shows when it is back.
            if alerts.is_empty() && self.failing.is_none() && self.has_posted {
                continue;
            }
            self.has_posted = true;
            let mut ends = Vec::new();
            let outcome = self.post_round(&alerts, &mut ends).await.map_err(of_replica);
            self.show(&outcome);
            let failed = outcome.is_err();
            let left_out = std::mem::take(&mut self.left_out);
            if posted.send(Posted { replica: self.number, round, ends, left_out, outcome }).await.is_err() {
                return;
            }
            failures = if failed { failures.saturating_add(1) } else { 0 };
            let soon = SOON.min(self.resend);
            match failures {
                0 => {}
                1 => sleep(soon).await,
                2 => sleep(self.resend - soon).await,
                _ => sleep(self.resend).await,
            }
        }
    }

    async fn post_round(
        &mut self,
        alerts: &[Arc<NoticeAlert>],
        ends: &mut Vec<String>,
    ) -> Result<(), SendError> {
        // The replica's clock may be behind.
        let lapsed = self.clock.now().wall.saturating_sub(lasts(self.resend));
        self.until.retain(|_, until| *until > lapsed);
        self.refused.retain(|_, since| since.elapsed() < 2 * LEFT_OUT);
        let is_refused = |alert: &Arc<NoticeAlert>| {
            self.refused.get(&alert.event).is_some_and(|since| since.elapsed() < LEFT_OUT)
        };
        let (refused, alerts): (Vec<_>, Vec<_>) = alerts.iter().cloned().partition(is_refused);
        note_ends(&refused, ends);
        self.batch = (self.batch * 2).min(BATCH);
        let mut judged = Judged::default();
        let outcome = self.post_all(alerts, ends, &mut judged).await;
        let Judged { accepts, refused, refusals: _ } = judged;
        let mut unknown = None;
        for (alert, error) in refused {
            if accepts || self.refused.contains_key(&alert.event) {
                self.leave_out(&alert, &error, ends);
            } else {
                unknown = Some(error);
            }
        }
        // One that accepts no alert at all may refuse all of them because of itself.
        outcome.and(unknown.map_or(Ok(()), Err))
    }

    /// Posts those that fire before it asks for anything: they lapse.
    async fn post_all(
        &mut self,
        alerts: Vec<Arc<NoticeAlert>>,
        ends: &mut Vec<String>,
        judged: &mut Judged,
    ) -> Result<(), SendError> {
        let began = Instant::now();
        let (firing, ended): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| alert.ends_at.is_none());
        if !firing.is_empty() || ended.is_empty() {
            self.post(&firing, began, ends, judged).await?;
        }
        if !ended.is_empty() {
            let ended = self.without_foreign(ended).await;
            self.post(&ended, began, ends, judged).await?;
        }
        Ok(())
    }

    /// Leaves out the ends of alerts that another sender still posts as firing, because it has not noticed the end yet:
    /// Alertmanager would notify of the end and of the alert in turn. The last sender posts the end.
    async fn without_foreign(&mut self, mut ended: Vec<Arc<NoticeAlert>>) -> Vec<Arc<NoticeAlert>> {
        let listed = self.replica.firing().await;
        self.show_listing(&listed);
        // An end that is posted although another sender goes on does less harm than one that is not posted.
        let firing = listed.unwrap_or_default();
        ended.retain(|alert| {
            let identity = identity(alert);
            let ours = self.until.get(&identity).unwrap_or(&self.until_of_earlier);
            firing.get(&identity).is_none_or(|ends_at| ends_at <= ours)
        });
        ended
    }

    /// Posts alerts, in lists. Adds the events whose ends were accepted to `ends`, even if the rest fails.
    async fn post(
        &mut self,
        alerts: &[Arc<NoticeAlert>],
        began: Instant,
        ends: &mut Vec<String>,
        judged: &mut Judged,
    ) -> Result<(), SendError> {
        // Others do not wait until a refused list is searched.
        let (mut fresh, mut halves) = (Some(alerts), VecDeque::new());
        loop {
            // First for any that is accepted, and then for the alerts that are refused.
            let half = || if judged.accepts { halves.pop_back() } else { halves.pop_front() };
            let Some(list) = fresh.take().or_else(half) else { return Ok(()) };
            if began.elapsed() > lasts(self.resend) {
                let detail = format!("{}: takes longer than the alerts last", self.replica.host());
                return Err(SendError { reason: SendReason::Timeout, detail, retry: Retry::Later });
            }
            let (list, more) = list.split_at(list.len().min(self.batch));
            fresh = (!more.is_empty()).then_some(more);
            let Err(Refusal { error, fault }) = self.post_list(list).await else {
                judged.accepts |= !list.is_empty();
                note_ends(list, ends);
                continue;
            };
            judged.refusals += 1;
            if fault == Fault::Replica {
                return Err(error);
            }
            match list {
                [] => return Err(error),
                [alert] => judged.refused.push((Arc::clone(alert), error.clone())),
                _ => {
                    let (first, second) = list.split_at(list.len() / 2);
                    if fault == Fault::TooLarge {
                        self.batch = second.len();
                    }
                    halves.extend([first, second]);
                }
            }
            if judged.refusals > MOST_REFUSALS {
                return Err(error);
            }
        }
    }

    async fn post_list(&mut self, list: &[Arc<NoticeAlert>]) -> Result<(), Refusal> {
        let began = Instant::now();
        let (now, last) = (self.clock.now().wall, lasts(self.resend));
        let outcome = self.replica.post(list, now, last).await;
        if outcome.as_ref().err().is_none_or(may_have_arrived) {
            for alert in list.iter().filter(|alert| alert.ends_at.is_none()) {
                let until = self.until.entry(identity(alert)).or_default();
                *until = now.saturating_add(last).max(*until);
            }
        }
        let failure = outcome.as_ref().err().map(|refusal| refusal.error.reason.label());
        self.telemetry.notification_post(&self.receiver, began.elapsed(), failure);
        outcome
    }

    /// Notes that the replica refuses this alert for what it says. Names no subject.
    fn leave_out(&mut self, alert: &Arc<NoticeAlert>, error: &SendError, ends: &mut Vec<String>) {
        note_ends(std::slice::from_ref(alert), ends);
        if self.refused.insert(alert.event.clone(), Instant::now()).is_some() {
            return;
        }
        let alertname = alert.labels.get("alertname").unwrap_or_default();
        let labels = alert.labels.keys().collect::<Vec<_>>().join(", ");
        warn!(receiver = self.receiver, alertname, labels, "alert refused and left out: {error}");
        self.left_out += 1;
    }

    /// Logs a change of whether it lists its alerts.
    fn show_listing(&mut self, listed: &Result<Listed, SendError>) {
        let reason = listed.as_ref().err().map(|error| error.reason);
        if let (Err(error), true) = (listed, self.no_list != reason) {
            let (receiver, reason) = (&self.receiver, error.reason.label());
            warn!(receiver, reason, "ends are posted even if others still post the alerts: {error}");
        }
        self.no_list = reason;
    }

    /// Logs a change of state.
    fn show(&mut self, outcome: &Result<(), SendError>) {
        let failing = outcome.as_ref().err().map(|error| error.reason);
        let (receiver, host) = (&self.receiver, self.replica.host());
        if self.failing != failing {
            match outcome {
                Ok(()) => info!(receiver, "{host} accepts alerts again"),
                Err(error) => {
                    warn!(receiver, reason = error.reason.label(), "alerts are not accepted: {error}");
                }
            }
        }
        self.failing = failing;
    }
}

/// A replica that refuses everything does so because of itself: alerts that are refused alone are left out.
fn of_replica(error: SendError) -> SendError {
    let retry = match error.retry {
        Retry::Never | Retry::Smaller => Retry::Refused,
        Retry::Later | Retry::NotBefore(_) | Retry::Refused | Retry::Disabled => error.retry,
    };
    SendError { retry, ..error }
}

/// Whether the replica may have accepted some alerts of a list nevertheless.
fn may_have_arrived(refusal: &Refusal) -> bool {
    use SendReason::{Auth, Connect, Gone, RateLimited, Redirect, Tls};
    refusal.fault != Fault::TooLarge
        && !matches!(refusal.error.reason, Auth | Connect | Gone | RateLimited | Redirect | Tls)
}

/// Adds the events that ended.
fn note_ends(alerts: &[Arc<NoticeAlert>], ends: &mut Vec<String>) {
    ends.extend(alerts.iter().filter(|alert| alert.ends_at.is_some()).map(|alert| alert.event.clone()));
}

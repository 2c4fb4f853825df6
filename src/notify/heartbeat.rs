//! Pings a dead man's switch as long as the daemon is healthy. That service notifies people when the pings stop.
//!
//! The pings stop with the process, and also when the process only seems to run: when one of its loops is stuck, or
//! when a receiver has been failing for too long. A panel that is down does not stop them; alerts cover that.

pub mod config;

use std::{collections::BTreeMap, fmt, time::Duration};

use reqwest::Url;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{info, warn};

use self::config::{HeartbeatConfig, HeartbeatMethod};
use super::{
    Answer, Health, HealthByReceiver, SendError, SendReason,
    api::parse_url,
    said::Secrets,
    success::{is_rate_limited, judge_body},
    webhook::verdict::unanswered,
};
use crate::{
    board::Board,
    clock::{Beats, Clock},
    http::{BuildError, Client, Limits},
    model::{Condition, Moment},
    telemetry::Telemetry,
};

/// How late a loop may be before the pings stop: machines may be busy.
const SLACK: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// Requests one URL periodically.
#[derive(Debug)]
pub struct Heartbeat {
    way: Way,
    interval: Duration,
    delivery_patience: Duration,
    beats: Beats,
    receivers: HealthByReceiver,
    board: Board,
    telemetry: Telemetry,
    clock: Clock,
    shown: Shown,
}

/// Why a heartbeat cannot be set up. The texts quote no part of the URL.
#[derive(Debug, thiserror::Error)]
pub enum HeartbeatError {
    #[error("the URL is none that starts with http:// or https:// and names a host")]
    Url,
    #[error(transparent)]
    Client(#[from] BuildError),
}

/// A reason to withhold pings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// This loop is late.
    Stuck(String),
    /// This receiver has not accepted a notice for longer than `delivery_patience`.
    Untold(String),
}

impl Ailment {
    /// Every reason, for metrics that count withheld pings by reason.
    pub const REASONS: [&'static str; 2] = ["delivery", "stuck"];

    pub fn reason(&self) -> &'static str {
        match self {
            Ailment::Stuck(_) => "stuck",
            Ailment::Untold(_) => "delivery",
        }
    }
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ailment::Stuck(name) => write!(f, "{name} is stuck"),
            Ailment::Untold(receiver) => write!(f, "receiver {receiver} does not accept notifications"),
        }
    }
}

/// All reasons to withhold a ping at `now`; empty if the daemon is healthy. `late` are the loops that are late.
pub fn ailments(
    late: Vec<String>,
    receivers: &BTreeMap<String, Health>,
    delivery_patience: Duration,
    now: Moment,
) -> Vec<Ailment> {
    let too_long = |since: Option<Moment>| since.is_some_and(|since| now.since(since) > delivery_patience);
    let untold = receivers
        .iter()
        .filter(|(_, health)| too_long(health.failing_since) || too_long(health.oldest_pending));
    let untold = untold.map(|(name, _)| Ailment::Untold(name.clone()));
    late.into_iter().map(Ailment::Stuck).chain(untold).collect()
}

fn words(ailments: &[Ailment]) -> String {
    ailments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What was last logged, so that only changes are logged.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Taken,
    Withheld(Vec<Ailment>),
    Failed(SendReason),
}

impl Heartbeat {
    /// `receivers` has the health of every receiver.
    ///
    /// # Errors
    /// When `config` has a value that cannot work.
    pub fn new(
        config: &HeartbeatConfig,
        beats: Beats,
        receivers: HealthByReceiver,
        board: Board,
        telemetry: Telemetry,
        clock: Clock,
    ) -> Result<Self, HeartbeatError> {
        let way = Way::Http(Box::new(Http::new(config)?));
        let (interval, delivery_patience) = (config.interval, config.delivery_patience);
        Ok(Heartbeat {
            way,
            interval,
            delivery_patience,
            beats,
            receivers,
            board,
            telemetry,
            clock,
            shown: Shown::Nothing,
        })
    }

    /// Does not end. The first ping is sent after one interval: a daemon that dies soon after each start is not
    /// healthy.
    pub async fn run(mut self) {
        self.telemetry.declare_heartbeat(&SendReason::ALL.map(SendReason::label), &Ailment::REASONS);
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.beat().await;
        }
    }

    async fn beat(&mut self) {
        let now = self.clock.now();
        let receivers = self.receivers.list();
        let ailments = ailments(self.beats.late(SLACK), &receivers, self.delivery_patience, now);
        let condition = match &*ailments {
            [] => Condition::Good,
            some => Condition::Failing(words(some).into()),
        };
        self.board.change_own(|own| own.heartbeat = condition);
        if let Some(first) = ailments.first() {
            self.telemetry.heartbeat_withheld(first.reason());
            self.show(Shown::Withheld(ailments), "");
            return;
        }
        let outcome = self.way.ping(now).await;
        let failure = outcome.as_ref().err().map(|err| err.reason.label());
        self.telemetry.heartbeat_attempt(failure);
        match outcome {
            Ok(()) => {
                self.telemetry.heartbeat_last_success(self.clock.now().wall.as_secs_f64());
                self.show(Shown::Taken, "");
            }
            Err(err) => self.show(Shown::Failed(err.reason), &err.detail),
        }
    }

    fn show(&mut self, now: Shown, detail: &str) {
        if self.shown == now {
            return;
        }
        match &now {
            Shown::Nothing => {}
            Shown::Taken => info!("the heartbeat is sent"),
            Shown::Withheld(ailments) => {
                warn!("no heartbeat is sent: {}", words(ailments));
            }
            Shown::Failed(reason) => {
                warn!(reason = reason.label(), "the heartbeat does not arrive: {detail}");
            }
        }
        self.shown = now;
    }
}

/// A closed set, like the receivers.
#[derive(Debug)]
enum Way {
    Http(Box<Http>),
    #[cfg(test)]
    Scripted(tests::Script),
}

impl Way {
    async fn ping(&mut self, now: Moment) -> Result<(), SendError> {
        match self {
            Way::Http(http) => http.ping(now).await.map(drop),
            #[cfg(test)]
            Way::Scripted(script) => script.ping(now),
        }
    }
}

/// Its `Debug` shows the URL's host and nothing more.
struct Http {
    client: Client,
    url: Url,
    /// What errors call the service.
    host: String,
    method: HeartbeatMethod,
    timeout: Duration,
    success: Option<String>,
    secrets: Secrets,
    /// Whether it was logged that the service ignores pings.
    is_limited: bool,
    /// The first line of the last answer, without our secrets.
    said: Option<String>,
}

/// Sends one ping for a test. It is a ping like all others: the service counts it.
///
/// # Errors
/// When `config` has a value that cannot work.
pub async fn ping_once(config: &HeartbeatConfig, now: Moment) -> Result<Answer, HeartbeatError> {
    let mut http = Http::new(config)?;
    let outcome = http.ping(now).await.map(|status| format!("{} answered {status}", http.host));
    Ok(Answer { said: http.said, outcome })
}

impl Http {
    fn new(config: &HeartbeatConfig) -> Result<Self, HeartbeatError> {
        let url = parse_url(&config.url).ok_or(HeartbeatError::Url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = Client::by_proxy(&config.tls, url.scheme() == "https", config.proxy.as_ref())?;
        let urls = [&config.url].into_iter().chain(&config.proxy);
        Ok(Http {
            client,
            url,
            host,
            method: config.method,
            timeout: config.timeout,
            success: config.success.clone(),
            secrets: Secrets::new([], None, urls),
            is_limited: false,
            said: None,
        })
    }

    /// Returns the status of the answer.
    async fn ping(&mut self, now: Moment) -> Result<u16, SendError> {
        let url = self.url.as_str().to_owned();
        let request = match self.method {
            HeartbeatMethod::Get => self.client.get(url),
            HeartbeatMethod::Post => self.client.post(url),
        };
        let limits = Limits { deadline: self.timeout, body: ANSWER };
        self.said = None;
        let judged = match self.client.send(request, limits).await {
            Ok(reply) => {
                self.said = self.secrets.first_line(&String::from_utf8_lossy(&reply.body));
                // The service has had a ping within the minute, so it does not raise an alarm.
                if is_rate_limited(&reply) {
                    if !std::mem::replace(&mut self.is_limited, true) {
                        warn!(
                            "{} ignores heartbeats that come too often; write a longer interval",
                            self.host
                        );
                    }
                    return Ok(reply.status);
                }
                let success = self.success.as_deref();
                judge_body(&reply, success, &self.host, 0, now.wall, &[]).map(|()| reply.status)
            }
            Err(err) => Err(unanswered(&err)),
        };
        judged.map_err(|refusal| SendError {
            reason: refusal.reason,
            detail: format!("{}: {}", self.host, refusal.what),
            retry: refusal.retry,
        })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

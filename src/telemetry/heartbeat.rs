use prometheus::{GaugeVec, IntCounterVec, Registry};

use super::{Telemetry, counters, opts, register};

/// Vectors, although they have no labels: without a `[heartbeat]` there are no series.
#[derive(Debug)]
pub(super) struct Heartbeat {
    attempts: IntCounterVec,
    failures: IntCounterVec,
    withheld: IntCounterVec,
    last_success: GaugeVec,
}

impl Heartbeat {
    pub(super) fn new(registry: &Registry) -> Self {
        Heartbeat {
            attempts: counters(
                registry,
                opts("heartbeat_attempts_total", "Attempts to ping the dead man's switch."),
                &[],
            ),
            failures: counters(
                registry,
                opts("heartbeat_failures_total", "Failed attempts to ping the dead man's switch, by reason."),
                &["reason"],
            ),
            withheld: counters(
                registry,
                opts(
                    "heartbeats_withheld_total",
                    "Pings of the dead man's switch that were not sent because a loop of the daemon is stuck (stuck) or notifications cannot be delivered to a receiver (delivery).",
                ),
                &["reason"],
            ),
            last_success: register(
                registry,
                GaugeVec::new(
                    opts(
                        "heartbeat_last_success_timestamp_seconds",
                        "Unix time of the last successful ping of the dead man's switch; no series if never.",
                    ),
                    &[],
                ),
            ),
        }
    }
}

/// The dead man's switch. The reasons for failed and withheld pings are closed sets, given when declared.
impl Telemetry {
    /// Creates the counters of pings, at 0.
    pub fn declare_heartbeat(&self, failures: &[&'static str], withheld: &[&'static str]) {
        let of = &self.0.heartbeat;
        of.attempts.with_label_values::<&str>(&[]);
        for reason in failures {
            of.failures.with_label_values(&[reason]);
        }
        for reason in withheld {
            of.withheld.with_label_values(&[reason]);
        }
    }

    /// Removes all series of pings.
    pub fn forget_heartbeat(&self) {
        let of = &self.0.heartbeat;
        of.attempts.reset();
        of.failures.reset();
        of.withheld.reset();
        of.last_success.reset();
    }

    /// A ping was attempted. `failure` is the reason if it failed.
    pub fn heartbeat_attempt(&self, failure: Option<&'static str>) {
        self.0.heartbeat.attempts.with_label_values::<&str>(&[]).inc();
        if let Some(reason) = failure {
            self.0.heartbeat.failures.with_label_values(&[reason]).inc();
        }
    }

    /// A ping was not sent for this reason.
    pub fn heartbeat_withheld(&self, reason: &'static str) {
        self.0.heartbeat.withheld.with_label_values(&[reason]).inc();
    }

    /// A ping succeeded at `time`, in seconds since the Unix epoch.
    pub fn heartbeat_last_success(&self, time: f64) {
        self.0.heartbeat.last_success.with_label_values::<&str>(&[]).set(time);
    }
}

use prometheus::{GaugeVec, IntCounterVec, Registry};

use super::{Telemetry, counters, opts, register};

/// Without labels, and vectors all the same: what is not configured has no series.
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
                opts("heartbeat_attempts_total", "Attempts at pinging the dead man's switch."),
                &[],
            ),
            failures: counters(
                registry,
                opts(
                    "heartbeat_failures_total",
                    "Attempts at pinging the dead man's switch that failed, by reason.",
                ),
                &["reason"],
            ),
            withheld: counters(
                registry,
                opts(
                    "heartbeats_withheld_total",
                    "Times that the dead man's switch was not pinged because the daemon is not well: a loop of it is stuck (stuck), or a receiver of notifications cannot be told (delivery).",
                ),
                &["reason"],
            ),
            last_success: register(
                registry,
                GaugeVec::new(
                    opts(
                        "heartbeat_last_success_timestamp_seconds",
                        "When the dead man's switch last took a ping, since the Unix epoch; no series if never.",
                    ),
                    &[],
                ),
            ),
        }
    }
}

/// The dead man's switch. Reasons to fail and to withhold a ping are closed sets, told when declared.
impl Telemetry {
    /// Begins to count pings, at 0.
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

    /// Counts pings no more: all their series vanish.
    pub fn forget_heartbeat(&self) {
        let of = &self.0.heartbeat;
        of.attempts.reset();
        of.failures.reset();
        of.withheld.reset();
        of.last_success.reset();
    }

    /// A ping was attempted, which failed for a reason if one is given.
    pub fn heartbeat_attempt(&self, failure: Option<&'static str>) {
        self.0.heartbeat.attempts.with_label_values::<&str>(&[]).inc();
        if let Some(reason) = failure {
            self.0.heartbeat.failures.with_label_values(&[reason]).inc();
        }
    }

    /// There was reason not to ping.
    pub fn heartbeat_withheld(&self, reason: &'static str) {
        self.0.heartbeat.withheld.with_label_values(&[reason]).inc();
    }

    /// A ping was taken at `time`, in seconds since the Unix epoch.
    pub fn heartbeat_last_success(&self, time: f64) {
        self.0.heartbeat.last_success.with_label_values::<&str>(&[]).set(time);
    }
}

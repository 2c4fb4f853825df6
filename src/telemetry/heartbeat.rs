//! The metrics about the heartbeat.

use prometheus::{GaugeVec, IntCounterVec, Registry};

use super::registry::{counters, opts, register};

/// Vectors, although they have no labels: without a `[heartbeat]` there are no series.
#[derive(Debug)]
pub(super) struct Heartbeat {
    pub(super) attempts: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) withheld: IntCounterVec,
    pub(super) last_success: GaugeVec,
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

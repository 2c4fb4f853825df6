//! The metrics about notifications, and the state of each receiver.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Registry};

use super::registry::{counters, opts, register};

/// From a receiver on the same machine to the longest usual timeout.
const BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Debug)]
pub(super) struct Notifications {
    pub(super) delivered: IntCounterVec,
    pub(super) attempts: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) suppressed: IntCounterVec,
    pub(super) abandoned: IntCounterVec,
    pub(super) queue_length: IntGaugeVec,
    pub(super) oldest_pending: GaugeVec,
    pub(super) last_success: GaugeVec,
    pub(super) duration: HistogramVec,
    /// By name: what the status page shows of each receiver.
    receivers: Mutex<BTreeMap<String, ReceiverStatus>>,
}

/// The state of a receiver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReceiverStatus {
    /// Notifications that wait for delivery.
    pub queue_length: usize,
    /// Since when the oldest of them waits, in seconds since the Unix epoch.
    pub oldest_pending: Option<f64>,
    /// Time of the last delivery, in seconds since the Unix epoch.
    pub last_success: Option<f64>,
    /// Why the last attempt failed; absent if it succeeded or there was none.
    pub failing: Option<AttemptFailure>,
    pub counts: ReceiverCounts,
}

/// What was counted of a receiver since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverCounts {
    pub delivered: u64,
    pub attempts: u64,
    /// Notifications given up.
    pub abandoned: u64,
    /// Failed attempts by reason.
    pub failures: BTreeMap<&'static str, u64>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptFailure {
    /// Of a closed set, by which failures are counted.
    pub reason: &'static str,
    /// The answer of the receiver without anything secret or personal: hosts, steps and codes.
    pub detail: String,
}

impl Notifications {
    pub(super) fn new(registry: &Registry) -> Self {
        Notifications {
            delivered: counters(
                registry,
                opts("notifications_total", "Notifications delivered to the receiver."),
                &["receiver"],
            ),
            attempts: counters(
                registry,
                opts("notification_attempts_total", "Attempts to send a notification."),
                &["receiver"],
            ),
            failures: counters(
                registry,
                opts("notification_failures_total", "Failed attempts to send a notification, by reason."),
                &["receiver", "reason"],
            ),
            suppressed: counters(
                registry,
                opts("notifications_suppressed_total", "Notifications that were not sent, by reason."),
                &["reason"],
            ),
            abandoned: counters(
                registry,
                opts(
                    "notifications_abandoned_total",
                    "Notifications given up: refused permanently, or not delivered for three days.",
                ),
                &["receiver"],
            ),
            queue_length: register(
                registry,
                IntGaugeVec::new(
                    opts(
                        "notification_queue_length",
                        "Notifications that wait for delivery to the receiver.",
                    ),
                    &["receiver"],
                ),
            ),
            oldest_pending: register(
                registry,
                GaugeVec::new(
                    opts(
                        "notification_oldest_pending_timestamp_seconds",
                        "Unix time since which the oldest waiting notification waits; no series if none waits.",
                    ),
                    &["receiver"],
                ),
            ),
            last_success: register(
                registry,
                GaugeVec::new(
                    opts(
                        "notification_last_success_timestamp_seconds",
                        "Unix time of the last delivery to the receiver; no series if never.",
                    ),
                    &["receiver"],
                ),
            ),
            duration: register(
                registry,
                HistogramVec::new(
                    HistogramOpts::from(opts(
                        "notification_duration_seconds",
                        "Duration of attempts to send a notification, successful or not.",
                    ))
                    .buckets(BUCKETS.to_vec()),
                    &["receiver"],
                ),
            ),
            receivers: Mutex::default(),
        }
    }

    /// The map is consistent even if a thread panicked while it held the lock.
    pub(super) fn receivers(&self) -> MutexGuard<'_, BTreeMap<String, ReceiverStatus>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, receiver: &str, note: impl FnOnce(&mut ReceiverStatus)) {
        note(self.receivers().entry(receiver.to_owned()).or_default());
    }
}

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Registry};

use super::{Telemetry, counters, forget, opts, register};

/// From a receiver on the same machine to the longest usual timeout.
const BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Debug)]
pub(super) struct Notifications {
    delivered: IntCounterVec,
    attempts: IntCounterVec,
    failures: IntCounterVec,
    suppressed: IntCounterVec,
    abandoned: IntCounterVec,
    queue_length: IntGaugeVec,
    oldest_pending: GaugeVec,
    last_success: GaugeVec,
    duration: HistogramVec,
    /// By name: what the status page shows of each receiver.
    receivers: Mutex<BTreeMap<String, ReceiverStatus>>,
}

/// The state of a receiver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReceiverStatus {
    /// Notifications that wait for delivery.
    pub queue_length: usize,
    /// When the oldest of them was recorded, in seconds since the Unix epoch.
    pub oldest_pending: Option<f64>,
    /// Time of the last delivery, in seconds since the Unix epoch.
    pub last_success: Option<f64>,
    /// Why the last attempt failed; absent if it succeeded or there was none.
    pub failing: Option<AttemptFailure>,
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
                        "Unix time at which the oldest waiting notification was recorded; no series if none waits.",
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
    fn receivers(&self) -> MutexGuard<'_, BTreeMap<String, ReceiverStatus>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, receiver: &str, note: impl FnOnce(&mut ReceiverStatus)) {
        note(self.receivers().entry(receiver.to_owned()).or_default());
    }
}

/// Notifications. The reasons for failures and for suppression are closed sets, given when declared.
impl Telemetry {
    /// Creates all counters of a receiver, at 0. `reasons` are all reasons for which sending to it can fail.
    pub fn declare_receiver(&self, receiver: &str, reasons: &[&'static str]) {
        let of = &self.0.notifications;
        of.delivered.with_label_values(&[receiver]);
        of.attempts.with_label_values(&[receiver]);
        of.abandoned.with_label_values(&[receiver]);
        of.queue_length.with_label_values(&[receiver]);
        of.duration.with_label_values(&[receiver]);
        for reason in reasons {
            of.failures.with_label_values(&[receiver, reason]);
        }
    }

    /// Removes all series and the state of a receiver.
    pub fn forget_receiver(&self, receiver: &str) {
        let of = &self.0.notifications;
        for counters in [&of.delivered, &of.attempts, &of.failures, &of.abandoned] {
            forget(counters, "receiver", receiver);
        }
        for gauges in [&of.oldest_pending, &of.last_success] {
            forget(gauges, "receiver", receiver);
        }
        forget(&of.queue_length, "receiver", receiver);
        forget(&of.duration, "receiver", receiver);
        of.receivers().remove(receiver);
    }

    /// Creates the counters of suppressed notifications for all these reasons, at 0.
    pub fn declare_suppressions(&self, reasons: &[&'static str]) {
        for reason in reasons {
            self.0.notifications.suppressed.with_label_values(&[reason]);
        }
    }

    /// Notifications were not sent for this reason, so many `times`.
    pub fn suppressed(&self, reason: &'static str, times: u64) {
        self.0.notifications.suppressed.with_label_values(&[reason]).inc_by(times);
    }

    /// An attempt to send was made and took this long. `failure` is the reason if it failed.
    pub fn notification_attempt(&self, receiver: &str, took: Duration, failure: Option<AttemptFailure>) {
        let of = &self.0.notifications;
        of.attempts.with_label_values(&[receiver]).inc();
        of.duration.with_label_values(&[receiver]).observe(took.as_secs_f64());
        if let Some(AttemptFailure { reason, .. }) = &failure {
            of.failures.with_label_values(&[receiver, reason]).inc();
        }
        of.note(receiver, |status| status.failing = failure);
    }

    /// A notification was delivered.
    pub fn notification_delivered(&self, receiver: &str) {
        self.0.notifications.delivered.with_label_values(&[receiver]).inc();
    }

    /// A notification was given up.
    pub fn notification_abandoned(&self, receiver: &str) {
        self.0.notifications.abandoned.with_label_values(&[receiver]).inc();
    }

    /// Time of the last delivery to the receiver, in seconds since the Unix epoch.
    pub fn notification_last_success(&self, receiver: &str, time: f64) {
        let of = &self.0.notifications;
        of.last_success.with_label_values(&[receiver]).set(time);
        of.note(receiver, |status| status.last_success = Some(time));
    }

    /// How many notifications wait for the receiver, and since when the oldest waits, in seconds since the Unix epoch.
    pub fn notification_queue(&self, receiver: &str, length: usize, oldest: Option<f64>) {
        let of = &self.0.notifications;
        of.queue_length.with_label_values(&[receiver]).set(i64::try_from(length).unwrap_or(i64::MAX));
        match oldest {
            Some(oldest) => of.oldest_pending.with_label_values(&[receiver]).set(oldest),
            // It fails if there is no such series, which is fine.
            None => drop(of.oldest_pending.remove_label_values(&[receiver])),
        }
        of.note(receiver, |status| (status.queue_length, status.oldest_pending) = (length, oldest));
    }

    /// The state of a receiver.
    pub fn receiver(&self, receiver: &str) -> ReceiverStatus {
        self.0.notifications.receivers().get(receiver).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_fails_until_an_attempt_does_not() {
        let telemetry = Telemetry::new();
        assert_eq!(telemetry.receiver("ops"), ReceiverStatus::default());
        telemetry.notification_queue("ops", 3, Some(1.5));
        let failure =
            AttemptFailure { reason: "timeout", detail: "127.0.0.1:25: greeting: no answer".to_owned() };
        telemetry.notification_attempt("ops", Duration::ZERO, Some(failure.clone()));
        let failing = ReceiverStatus {
            queue_length: 3,
            oldest_pending: Some(1.5),
            last_success: None,
            failing: Some(failure),
        };
        assert_eq!(telemetry.receiver("ops"), failing);
        telemetry.notification_attempt("ops", Duration::ZERO, None);
        telemetry.notification_last_success("ops", 9.0);
        telemetry.notification_queue("ops", 0, None);
        let well = ReceiverStatus { last_success: Some(9.0), ..ReceiverStatus::default() };
        assert_eq!(telemetry.receiver("ops"), well);
        telemetry.forget_receiver("ops");
        assert_eq!(telemetry.receiver("ops"), ReceiverStatus::default());
    }
}

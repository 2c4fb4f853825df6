//! The daemon's metrics about itself.
//!
//! They are in a separate registry. [`Telemetry::gather`] collects them for one answer, and reads the standard
//! `process_*` metrics from the system at that moment.

mod heartbeat;
mod notifications;
mod process;
mod registry;
mod usage;

use std::{env::consts, sync::Arc, time::Duration};

use prometheus::{
    Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, proto::MetricFamily,
};

pub use self::notifications::{AttemptFailure, ReceiverCounts, ReceiverStatus};
use self::{
    heartbeat::Heartbeat,
    notifications::Notifications,
    process::Process,
    registry::{counters, forget, opts, register},
    usage::UsageHistory,
};

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision it was built from; `unknown` if it was built outside a checkout.
pub const REVISION: &str = env!("PROXYMETER_REVISION");

/// The branch it was built from; `HEAD` for a tag, and `unknown` outside a checkout.
pub const BRANCH: &str = env!("PROXYMETER_BRANCH");

/// Version of the compiler it was built with.
pub const RUSTC: &str = env!("PROXYMETER_RUSTC");

/// The order of labels in the output. A registry does not keep the order of their declaration.
const LABEL_ORDER: [&str; 13] = [
    "target", "part", "receiver", "reason", "state", "path", "code", "version", "revision", "branch",
    "rustc", "os", "arch",
];

/// Counts what the daemon does. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    process: Option<Process>,
    polls: IntCounterVec,
    poll_failures: IntCounterVec,
    requests: IntCounterVec,
    logins: IntCounterVec,
    odd_fields: IntCounterVec,
    clock_steps: IntCounter,
    reload_successful: IntGauge,
    reload_success_time: Gauge,
    http_requests: IntCounterVec,
    http_in_flight: IntGauge,
    http_connections: IntGauge,
    http_handshake_failures: IntCounter,
    http_password_checks: IntCounter,
    web_config_up: IntGauge,
    notifications: Notifications,
    silences: IntGaugeVec,
    heartbeat: Heartbeat,
    store_up: IntGauge,
    store_backlog: IntGauge,
    store_size: IntGauge,
    store_errors: IntCounter,
    usage: UsageHistory,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry::new()
    }
}

impl Telemetry {
    pub fn new() -> Self {
        let registry = Registry::new();
        let info = ["version", "revision", "branch", "rustc", "os", "arch"];
        let build = GaugeVec::new(
            opts("build_info", "Version, revision, branch, compiler and platform of this build; always 1."),
            &info,
        );
        let build = register(&registry, build);
        build.with_label_values(&[VERSION, REVISION, BRANCH, RUSTC, consts::OS, consts::ARCH]).set(1.0);
        Telemetry(Arc::new(Inner {
            process: Process::myself(),
            polls: counters(
                &registry,
                opts("target_polls_total", "Completed reads of a part of a target, successful or not."),
                &["target", "part"],
            ),
            poll_failures: counters(
                &registry,
                opts("target_poll_failures_total", "Failed reads of a part of a target, by reason."),
                &["target", "part", "reason"],
            ),
            requests: counters(
                &registry,
                opts("target_requests_total", "HTTP requests sent to the target, logins included."),
                &["target"],
            ),
            logins: counters(
                &registry,
                opts(
                    "target_logins_total",
                    "Logins tried at the target. A login that fails is repeated less and less often.",
                ),
                &["target"],
            ),
            odd_fields: counters(
                &registry,
                opts(
                    "target_fields_unreadable_total",
                    "Fields of the target's answers that are not what they should be and were left out, in rows that were kept.",
                ),
                &["target", "part"],
            ),
            clock_steps: register(
                &registry,
                IntCounter::with_opts(opts("clock_steps_total", "Detected jumps of the wall clock.")),
            ),
            reload_successful: register(
                &registry,
                IntGauge::with_opts(opts(
                    "config_last_reload_successful",
                    "Whether the last attempt to load the configuration succeeded and the secret and certificate files that it names could be used.",
                )),
            ),
            reload_success_time: register(
                &registry,
                Gauge::with_opts(opts(
                    "config_last_reload_success_timestamp_seconds",
                    "Unix time of the last successful load of the configuration.",
                )),
            ),
            http_requests: counters(
                &registry,
                opts("http_requests_total", "HTTP requests answered, by path and status code."),
                &["path", "code"],
            ),
            http_in_flight: register(
                &registry,
                IntGauge::with_opts(opts("http_requests_in_flight", "HTTP requests in progress.")),
            ),
            http_connections: register(
                &registry,
                IntGauge::with_opts(opts("http_connections", "Open HTTP connections.")),
            ),
            http_handshake_failures: register(
                &registry,
                IntCounter::with_opts(opts(
                    "http_tls_handshake_failures_total",
                    "Connections to the HTTP port whose TLS handshake failed, for example because of a missing client certificate.",
                )),
            ),
            http_password_checks: register(
                &registry,
                IntCounter::with_opts(opts(
                    "http_password_checks_total",
                    "Passwords checked against a hash, those of unknown users included. A correct password is remembered and not checked again.",
                )),
            ),
            web_config_up: register(
                &registry,
                IntGauge::with_opts(opts(
                    "web_config_up",
                    "Whether the certificates, keys and web configuration file of the HTTP port are usable and can be read within a second. If not, the last good ones stay in force, but a broken web configuration file refuses all requests.",
                )),
            ),
            notifications: Notifications::new(&registry),
            silences: register(
                &registry,
                IntGaugeVec::new(
                    opts(
                        "silences",
                        "Silences by state: active, pending (they begin later) or expired (kept for five days).",
                    ),
                    &["state"],
                ),
            ),
            heartbeat: Heartbeat::new(&registry),
            store_up: register(
                &registry,
                IntGauge::with_opts(opts(
                    "store_up",
                    "Whether the database takes every change within 10 seconds. If not, the exporter continues from memory.",
                )),
            ),
            store_backlog: register(
                &registry,
                IntGauge::with_opts(opts(
                    "store_backlog_changes",
                    "Changes that wait for the disk. While the database is not writable, changes are kept in memory and not counted.",
                )),
            ),
            store_size: register(
                &registry,
                IntGauge::with_opts(opts("store_size_bytes", "Size of the database.")),
            ),
            store_errors: register(
                &registry,
                IntCounter::with_opts(opts("store_errors_total", "Failed reads and writes of the database.")),
            ),
            usage: UsageHistory::new(&registry),
            registry,
        }))
    }

    /// Creates all counters of a part of a target, at 0. `reasons` are all reasons for which a read of it can fail.
    pub fn declare_part(&self, target: &str, part: &'static str, reasons: &[&'static str]) {
        self.0.requests.with_label_values(&[target]);
        self.0.logins.with_label_values(&[target]);
        self.0.odd_fields.with_label_values(&[target, part]);
        self.0.polls.with_label_values(&[target, part]);
        for reason in reasons {
            self.0.poll_failures.with_label_values(&[target, part, reason]);
        }
    }

    /// A read of a part ended, successfully or not.
    pub fn poll(&self, target: &str, part: &'static str) {
        self.0.polls.with_label_values(&[target, part]).inc();
    }

    /// A read of a part failed.
    pub fn failure(&self, target: &str, part: &'static str, reason: &'static str) {
        self.0.poll_failures.with_label_values(&[target, part, reason]).inc();
    }

    /// So many HTTP requests were sent to a target, of which so many were logins.
    pub fn requests(&self, target: &str, requests: u64, logins: u64) {
        self.0.requests.with_label_values(&[target]).inc_by(requests);
        self.0.logins.with_label_values(&[target]).inc_by(logins);
    }

    /// So many fields of a part could not be read.
    pub fn odd_fields(&self, target: &str, part: &'static str, fields: u64) {
        self.0.odd_fields.with_label_values(&[target, part]).inc_by(fields);
    }

    /// Removes all series of a target.
    pub fn forget_target(&self, target: &str) {
        for counters in
            [&self.0.polls, &self.0.poll_failures, &self.0.requests, &self.0.logins, &self.0.odd_fields]
        {
            forget(counters, "target", target);
        }
    }

    /// The wall clock jumped.
    pub fn clock_step(&self) {
        self.0.clock_steps.inc();
    }

    /// The configuration was loaded at `time`, in seconds since the Unix epoch.
    pub fn config_loaded(&self, time: f64) {
        self.0.reload_successful.set(1);
        self.0.reload_success_time.set(time);
    }

    /// Whether the current configuration, with the files that it names, is in force. If not, it could not be used, and
    /// the previous one stays in force.
    pub fn config_in_force(&self, is: bool) {
        self.0.reload_successful.set(i64::from(is));
    }

    /// The result of the last attempt to load the configuration, and the time of the last success.
    pub fn config_status(&self) -> ConfigStatus {
        ConfigStatus {
            successful: self.0.reload_successful.get() == 1,
            loaded_at: self.0.reload_success_time.get(),
        }
    }

    /// Creates the counter of successful requests to `path`, at 0.
    pub fn declare_path(&self, path: &'static str) {
        self.0.http_requests.with_label_values(&[path, "200"]);
    }

    /// A request to `path`, one of a fixed set, was answered with the status `code`.
    pub fn http(&self, path: &'static str, code: u16) {
        self.0.http_requests.with_label_values(&[path, itoa::Buffer::new().format(code)]).inc();
    }

    /// Counts a request as being answered until the guard is dropped.
    pub fn http_in_flight(&self) -> InFlight {
        self.0.http_in_flight.inc();
        InFlight(self.0.http_in_flight.clone())
    }

    /// Counts an HTTP connection as open until the guard is dropped.
    pub fn http_connection(&self) -> InFlight {
        self.0.http_connections.inc();
        InFlight(self.0.http_connections.clone())
    }

    /// A TLS handshake failed.
    pub fn http_handshake_failure(&self) {
        self.0.http_handshake_failures.inc();
    }

    /// A password is checked against a hash.
    pub fn http_password_check(&self) {
        self.0.http_password_checks.inc();
    }

    /// Whether the certificates, keys and web configuration file of the HTTP port are usable and can be read in time.
    pub fn web_config(&self, usable: bool) {
        self.0.web_config_up.set(i64::from(usable));
    }

    /// The number of silences in each state.
    pub fn silences<const N: usize>(&self, counts: [(&'static str, usize); N]) {
        for (state, count) in counts {
            self.0.silences.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The state of the store. `errors` counts the errors since it was opened.
    pub fn store(&self, up: bool, backlog: usize, size_bytes: u64, errors: u64) {
        self.0.store_up.set(i64::from(up));
        self.0.store_backlog.set(i64::try_from(backlog).unwrap_or(i64::MAX));
        self.0.store_size.set(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        self.0.store_errors.inc_by(errors.saturating_sub(self.0.store_errors.get()));
    }

    /// The state of the history of use. `errors` counts the errors since it was opened.
    pub fn usage(&self, up: bool, size_bytes: u64, errors: u64) {
        self.0.usage.set(up, size_bytes, errors);
    }

    /// All metrics with their current values. Families without series are left out.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let mut families = self.0.registry.gather();
        families.extend(self.0.process.iter().flat_map(Process::gather));
        families.retain(|family| !family.get_metric().is_empty());
        for metric in families.iter_mut().flat_map(|family| family.mut_metric()) {
            let mut labels = metric.take_label();
            labels.sort_by_key(|label| LABEL_ORDER.iter().position(|name| *name == label.name()));
            metric.set_label(labels);
        }
        families
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
        self.notification_post(receiver, took, failure.as_ref().map(|failure| failure.reason));
        self.receiver_failing(receiver, failure);
    }

    /// Counts an attempt to send to one address of a receiver. The state of the receiver does not depend on it alone.
    pub fn notification_post(&self, receiver: &str, took: Duration, failure: Option<&'static str>) {
        let of = &self.0.notifications;
        of.attempts.with_label_values(&[receiver]).inc();
        of.duration.with_label_values(&[receiver]).observe(took.as_secs_f64());
        if let Some(reason) = failure {
            of.failures.with_label_values(&[receiver, reason]).inc();
        }
        of.note(receiver, |status| {
            status.counts.attempts += 1;
            failure.into_iter().for_each(|reason| *status.counts.failures.entry(reason).or_default() += 1);
        });
    }

    /// Whether the receiver is failing, and why.
    pub fn receiver_failing(&self, receiver: &str, failure: Option<AttemptFailure>) {
        self.0.notifications.note(receiver, |status| status.failing = failure);
    }

    /// A notification was delivered.
    pub fn notification_delivered(&self, receiver: &str) {
        self.0.notifications.delivered.with_label_values(&[receiver]).inc();
        self.0.notifications.note(receiver, |status| status.counts.delivered += 1);
    }

    /// A notification was given up.
    pub fn notifications_abandoned(&self, receiver: &str, count: u64) {
        self.0.notifications.abandoned.with_label_values(&[receiver]).inc_by(count);
        self.0.notifications.note(receiver, |status| status.counts.abandoned += count);
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

/// The result of loading the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigStatus {
    /// The last attempt succeeded.
    pub successful: bool,
    /// Time of the last success, in seconds since the Unix epoch; 0: never.
    pub loaded_at: f64,
}

/// A request that is being answered, or a connection that is open.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of the series of `name` whose labels have these values, in the order of the output.
    fn value(telemetry: &Telemetry, name: &str, labels: &[&str]) -> Option<f64> {
        let families = telemetry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        let is_it = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().map(|label| label.value()).eq(labels.iter().copied())
        };
        let metric = family.get_metric().iter().find(is_it)?;
        Some(metric.get_counter().get_value() + metric.get_gauge().get_value())
    }

    #[test]
    fn a_declared_part_is_there_at_0_and_counts() {
        let telemetry = Telemetry::new();
        let failures = "proxymeter_target_poll_failures_total";
        assert_eq!(value(&telemetry, failures, &["home", "system", "timeout"]), None);
        telemetry.declare_part("home", "system", &["timeout", "connect"]);
        for name in ["proxymeter_target_polls_total", failures, "proxymeter_target_requests_total"] {
            assert!(telemetry.gather().iter().any(|family| family.name() == name), "{name}");
        }
        telemetry.poll("home", "system");
        telemetry.failure("home", "system", "timeout");
        telemetry.clone().requests("home", 1, 1);
        telemetry.odd_fields("home", "system", 3);
        assert_eq!(value(&telemetry, "proxymeter_target_logins_total", &["home"]), Some(1.0));
        let odd = "proxymeter_target_fields_unreadable_total";
        assert_eq!(value(&telemetry, odd, &["home", "system"]), Some(3.0));
        assert_eq!(value(&telemetry, "proxymeter_target_polls_total", &["home", "system"]), Some(1.0));
        telemetry.clone().requests("home", 1, 0);
        assert_eq!(value(&telemetry, "proxymeter_target_requests_total", &["home"]), Some(2.0));
        assert_eq!(value(&telemetry, failures, &["home", "system", "timeout"]), Some(1.0));
        assert_eq!(value(&telemetry, failures, &["home", "system", "connect"]), Some(0.0));
    }

    #[test]
    fn what_is_forgotten_leaves_no_series() {
        let telemetry = Telemetry::new();
        for name in ["home", "edge"] {
            telemetry.declare_part(name, "system", &["timeout"]);
            telemetry.declare_receiver(name, &["timeout"]);
            telemetry.notification_last_success(name, 1.0);
            telemetry.notification_queue(name, 1, Some(1.0));
        }
        telemetry.forget_target("home");
        telemetry.forget_receiver("home");
        let families = telemetry.gather();
        let labels = families.iter().flat_map(MetricFamily::get_metric).flat_map(|metric| metric.get_label());
        let values: Vec<_> = labels.map(|label| label.value()).collect();
        assert!(!values.contains(&"home"));
        assert_eq!(values.iter().filter(|value| **value == "edge").count(), 13);
    }

    #[test]
    fn requests_are_in_flight_until_dropped() {
        let telemetry = Telemetry::new();
        let name = "proxymeter_http_requests_in_flight";
        let guards = [telemetry.http_in_flight(), telemetry.http_in_flight()];
        assert_eq!(value(&telemetry, name, &[]), Some(2.0));
        drop(guards);
        assert_eq!(value(&telemetry, name, &[]), Some(0.0));
    }

    #[test]
    fn the_last_load_of_the_configuration_shows() {
        let telemetry = Telemetry::new();
        telemetry.config_loaded(1.5);
        telemetry.config_in_force(false);
        assert_eq!(value(&telemetry, "proxymeter_config_last_reload_successful", &[]), Some(0.0));
        assert_eq!(telemetry.config_status(), ConfigStatus { successful: false, loaded_at: 1.5 });
        assert_eq!(
            value(&telemetry, "proxymeter_config_last_reload_success_timestamp_seconds", &[]),
            Some(1.5)
        );
    }

    #[test]
    fn families_without_series_are_left_out() {
        let families = Telemetry::new().gather();
        assert!(families.iter().all(|family| !family.get_metric().is_empty()));
        assert!(families.iter().all(|family| family.name() != "proxymeter_target_polls_total"));
        assert!(families.iter().any(|family| family.name() == "proxymeter_build_info"));
    }

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
            counts: ReceiverCounts {
                attempts: 1,
                failures: [("timeout", 1)].into(),
                ..ReceiverCounts::default()
            },
        };
        assert_eq!(telemetry.receiver("ops"), failing);
        telemetry.notification_attempt("ops", Duration::ZERO, None);
        telemetry.notification_last_success("ops", 9.0);
        telemetry.notification_queue("ops", 0, None);
        telemetry.notification_delivered("ops");
        telemetry.notifications_abandoned("ops", 2);
        let counts = ReceiverCounts { delivered: 1, attempts: 2, abandoned: 2, ..failing.counts };
        let well = ReceiverStatus { last_success: Some(9.0), counts, ..ReceiverStatus::default() };
        assert_eq!(telemetry.receiver("ops"), well);
        telemetry.forget_receiver("ops");
        assert_eq!(telemetry.receiver("ops"), ReceiverStatus::default());
    }
}

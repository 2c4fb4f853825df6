//! The receivers of notifications.

use serde::Serialize;

use super::{rows::When, text::name};
use crate::{
    model::{Timestamp, words::count},
    server::seen::Seen,
    telemetry::{ReceiverCounts, ReceiverStatus},
};

#[derive(Serialize)]
pub(super) struct Receivers {
    alerting: bool,
    failing: usize,
    waiting: String,
    rows: Vec<ReceiverRow>,
}

#[derive(Serialize)]
pub(super) struct ReceiverRow {
    name: String,
    /// Its page, below that of all.
    link: String,
    kind: &'static str,
    /// Why the last attempt failed; empty: it did not.
    reason: &'static str,
    /// What it said then.
    detail: String,
    waiting: String,
    oldest: Option<When>,
    last_success: Option<When>,
}

impl Receivers {
    pub(super) fn new(seen: &Seen) -> Self {
        let (mut failing, mut waiting) = (0, 0);
        let row = |(receiver, kind): &(String, &'static str)| {
            let status = seen.receiver(receiver);
            failing += usize::from(status.failing.is_some());
            waiting += status.queue_length;
            ReceiverRow::new(receiver, kind, status, seen.now.wall)
        };
        let rows = seen.setup.receivers.iter().map(row).collect();
        Receivers { alerting: seen.setup.alerting, failing, waiting: count(waiting), rows }
    }
}

impl ReceiverRow {
    fn new(receiver: &str, kind: &'static str, status: ReceiverStatus, now: Timestamp) -> Self {
        let (reason, detail) =
            status.failing.map(|failure| (failure.reason, failure.detail)).unwrap_or_default();
        ReceiverRow {
            name: name(receiver),
            link: receiver.to_owned(),
            kind,
            reason,
            detail,
            waiting: count(status.queue_length),
            oldest: status.oldest_pending.map(|at| When::from_secs(at, now)),
            last_success: status.last_success.map(|at| When::from_secs(at, now)),
        }
    }
}

/// The page of one receiver.
#[derive(Serialize)]
pub(super) struct Receiver {
    #[serde(flatten)]
    row: ReceiverRow,
    alerting: bool,
    /// Since the program started.
    delivered: String,
    attempts: String,
    abandoned: String,
    failures: Vec<Failures>,
}

#[derive(Serialize)]
struct Failures {
    reason: &'static str,
    count: String,
}

impl Receiver {
    /// Absent: there is no such receiver.
    pub(super) fn new(seen: &Seen, receiver: &str) -> Option<Self> {
        let (receiver, kind) = seen.setup.receivers.iter().find(|(name, _)| name == receiver)?;
        let mut status = seen.receiver(receiver);
        let ReceiverCounts { delivered, attempts, abandoned, failures } = std::mem::take(&mut status.counts);
        let failures = failures.into_iter().map(|(reason, times)| Failures { reason, count: count(times) });
        Some(Receiver {
            row: ReceiverRow::new(receiver, kind, status, seen.now.wall),
            alerting: seen.setup.alerting,
            delivered: count(delivered),
            attempts: count(attempts),
            abandoned: count(abandoned),
            failures: failures.collect(),
        })
    }
}

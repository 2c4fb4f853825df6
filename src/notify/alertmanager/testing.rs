//! Alerts, and a replica that answers from a script in tokio's time, for tests that pause it.

use std::{sync::Arc, time::Duration};

use super::{
    client::Alertmanager,
    replica::{Listed, Refusal, Replica},
};
use crate::model::{NoticeAlert, NoticeStatus, Severity, Timestamp};

/// How long a post takes, and its outcome.
pub(super) type Script =
    Box<dyn FnMut(&[Arc<NoticeAlert>], Timestamp) -> (Duration, Result<(), Refusal>) + Send>;

/// What it lists as firing.
pub(super) type Firing = Box<dyn FnMut() -> Listed + Send>;

pub(super) struct Scripted {
    pub(super) post: Script,
    pub(super) firing: Firing,
}

impl Scripted {
    pub(super) async fn post(&mut self, alerts: &[Arc<NoticeAlert>], now: Timestamp) -> Result<(), Refusal> {
        let (takes, outcome) = (self.post)(alerts, now);
        tokio::time::sleep(takes).await;
        outcome
    }
}

/// Replicas that list nothing as firing.
pub(super) fn scripted(resend: Duration, scripts: Vec<Script>) -> Alertmanager {
    listing(
        resend,
        scripts.into_iter().map(|post| Scripted { post, firing: Box::new(Listed::new) }).collect(),
    )
}

pub(super) fn listing(resend: Duration, scripts: Vec<Scripted>) -> Alertmanager {
    Alertmanager { replicas: scripts.into_iter().map(Replica::scripted).collect(), resend }
}

/// An alert about a subject, which is also its event. Times are seconds.
pub(super) fn alert(subject: &str, starts: i64, ends: Option<i64>) -> NoticeAlert {
    NoticeAlert {
        event: subject.to_owned(),
        status: if ends.is_some() { NoticeStatus::Resolved } else { NoticeStatus::Firing },
        severity: Severity::Warning,
        labels: [("alertname", "Test"), ("subject", subject)].into(),
        annotations: Default::default(),
        starts_at: Timestamp::from_secs(starts),
        ends_at: ends.map(Timestamp::from_secs),
        began: None,
        until: None,
    }
}

//! Alerts by their ids, and what happens to them.

use std::{sync::Arc, time::Duration};

use crate::{
    alert::rule::KINDS,
    model::{Pairs, random_bits},
};

/// One firing of one alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u128);

/// One alert, whether or not it fires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId {
    pub target: Arc<str>,
    pub rule: Arc<str>,
    pub subject: Arc<str>,
    pub step: Arc<str>,
}

/// What came of one look at a target.
#[derive(Debug, Default)]
pub struct Advance {
    pub events: Vec<Event>,
    /// Users to be read again by name before their alerts fire.
    pub reread: Vec<Arc<str>>,
    /// The uptime at which a pending alert will have held for long enough.
    pub due: Option<Duration>,
}

/// What happened to one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Fired(AlertId),
    /// To be sent to the receivers that were notified of the firing.
    Resolved(AlertId),
    /// Ended without a notice.
    Dropped(AlertId),
}

impl AlertId {
    /// The alert that has these labels; absent if they are of no kind of alert. A user's pseudonym leads to none.
    pub(in crate::alert) fn of(labels: &Pairs) -> Option<Self> {
        let label = |name| labels.get(name);
        let kind = KINDS.iter().find(|kind| Some(kind.alertname) == label("alertname"))?;
        let words = ["target", "subject", "step"].map(|name| label(name).unwrap_or_default().into());
        let ([target, subject, step], rule) = (words, label("rule").unwrap_or(kind.name).into());
        Some(AlertId { target, rule, subject, step })
    }
}

impl EventId {
    pub(in crate::alert) fn random() -> Self {
        EventId(random_bits())
    }

    pub(in crate::alert) fn parse(text: &str) -> Option<Self> {
        u128::from_str_radix(text.strip_prefix("evt_")?, 16).ok().map(EventId)
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "evt_{:032x}", self.0)
    }
}

use std::time::Duration;

use super::{mute::Mutes, route::Suppressed};
use crate::{
    alert::{
        rule::Question,
        state::{Alert, State},
    },
    model::{Moment, NoticeStatus, Part, Timestamp},
};

/// Why an alert is held back at present.
pub(super) enum KeptBack {
    /// Until this wall time.
    Muted(Timestamp),
    Inhibited,
}

impl KeptBack {
    pub(super) fn count(&self, suppressed: &mut Suppressed) {
        match self {
            KeptBack::Inhibited => suppressed.inhibited += 1,
            KeptBack::Muted(_) => suppressed.muted += 1,
        }
    }

    /// The uptime at which it ends, if known.
    pub(super) fn until(&self, now: Moment) -> Option<Duration> {
        match self {
            KeptBack::Inhibited => None,
            KeptBack::Muted(end) => Some(now.uptime + end.since(now.wall)),
        }
    }
}

/// Whether a firing alert inhibits this one: a tighter step of the same rule and subject, an alert that its target is
/// down or that the part it is read from is stale; or, if it is about a stale part, one that the login lost the right to
/// read it.
pub(in crate::alert) fn inhibited(alert: &Alert<'_>, state: &State) -> bool {
    let kind = alert.rule().kind;
    let fires = |question, subject| state.fires(question, alert.target(), subject);
    let part = kind.part.map(Part::label);
    alert.tighter_fires()
        || (kind.question != Question::TargetDown && fires(Question::TargetDown, None))
        || part.is_some_and(|part| fires(Question::PartStale, Some(part)))
        || (kind.question == Question::PartStale && fires(Question::RightLost, Some(&**alert.subject())))
}

pub(super) fn kept_back(alert: &Alert<'_>, mutes: &Mutes, state: &State, now: Moment) -> Option<KeptBack> {
    // A resolved alert is always sent: inhibition is about firing alerts only.
    if alert.status() == Some(NoticeStatus::Firing) && inhibited(alert, state) {
        return Some(KeptBack::Inhibited);
    }
    if mutes.is_empty() {
        return None;
    }
    mutes.until(&alert.labels(), alert.severity(), now.wall).map(KeptBack::Muted)
}

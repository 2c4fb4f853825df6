use std::{sync::Arc, time::Duration};

use super::{quiet::Quiet, route::Suppressed};
use crate::{
    alert::{
        rule::Question,
        state::{Alert, State},
    },
    model::{Moment, NoticeStatus, Timestamp},
};

/// Why an alert is held back at present.
pub(super) enum KeptBack {
    /// Until this wall time.
    Muted(Timestamp),
    /// Until this wall time.
    Silenced(Timestamp),
    Inhibited,
}

impl KeptBack {
    pub(super) fn count(&self, suppressed: &mut Suppressed) {
        match self {
            KeptBack::Inhibited => suppressed.inhibited += 1,
            KeptBack::Muted(_) => suppressed.muted += 1,
            KeptBack::Silenced(_) => suppressed.silenced += 1,
        }
    }

    /// The uptime at which it ends, if known.
    pub(super) fn until(&self, now: Moment) -> Option<Duration> {
        match self {
            KeptBack::Inhibited => None,
            KeptBack::Muted(end) | KeptBack::Silenced(end) => Some(now.uptime + end.since(now.wall)),
        }
    }
}

/// Finds out which firing alerts others inhibit. It asks once for all alerts of a target that follow one another.
pub(in crate::alert) struct Inhibition<'a> {
    state: &'a State,
    of: Option<(&'a Arc<str>, Inhibitors<'a>)>,
}

/// What fires at a target and inhibits others there.
struct Inhibitors<'a> {
    target_down: bool,
    /// Parts that are stale, and those that the login lost the right to read.
    stale: Vec<&'a Arc<str>>,
    lost: Vec<&'a Arc<str>>,
}

impl<'a> Inhibition<'a> {
    pub(in crate::alert) fn new(state: &'a State) -> Self {
        Inhibition { state, of: None }
    }

    /// Whether a firing alert inhibits this one: a tighter step of the same rule and subject, an alert that its target is
    /// down or that the part it is read from is stale; or, if it is about a stale part, one that the login lost the right
    /// to read it.
    pub(in crate::alert) fn holds(&mut self, alert: &Alert<'a>) -> bool {
        let (state, target) = (self.state, alert.target());
        let known = self.of.take().filter(|(of, _)| Arc::ptr_eq(of, target));
        let (_, Inhibitors { target_down, stale, lost }) = self.of.insert(known.unwrap_or_else(|| {
            let firing = |question| state.firing(question, target);
            let inhibitors = Inhibitors {
                target_down: firing(Question::TargetDown).next().is_some(),
                stale: firing(Question::PartStale).collect(),
                lost: firing(Question::RightLost).collect(),
            };
            (target, inhibitors)
        }));
        let kind = alert.rule().kind;
        let is_one_of = |parts: &[&Arc<str>], part: &str| parts.iter().any(|known| ***known == *part);
        alert.tighter_fires()
            || (*target_down && kind.question != Question::TargetDown)
            || kind.part.is_some_and(|part| is_one_of(stale, part.label()))
            || (kind.question == Question::PartStale && is_one_of(lost, alert.subject()))
    }
}

pub(super) fn kept_back<'a>(
    alert: &Alert<'a>,
    quiet: &Quiet,
    inhibition: &mut Inhibition<'a>,
    now: Moment,
) -> Option<KeptBack> {
    // A resolved alert is always sent: inhibition is about firing alerts only.
    if alert.status() == Some(NoticeStatus::Firing) && inhibition.holds(alert) {
        return Some(KeptBack::Inhibited);
    }
    let muted = quiet.mutes.until(|name| alert.label(name), alert.severity(), now.wall).map(KeptBack::Muted);
    let silenced = quiet.silences.until(alert, now.wall).map(KeptBack::Silenced);
    muted.into_iter().chain(silenced).max_by_key(|kept_back| kept_back.until(now))
}

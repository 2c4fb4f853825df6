//! Questions about the daemon itself.

use std::{sync::Arc, time::Duration};

use super::crossing::{Crossing, Judged, Switch};
use crate::{
    alert::rule::{Question, Rule},
    model::{Condition, Moment, OwnState, Reading, ReceiverTrouble},
};

/// All receivers, and those of them with this crossing.
fn of_receivers(
    own: &OwnState,
    crossing: impl Fn(Arc<str>, &ReceiverTrouble) -> Option<Crossing>,
) -> (Judged, Vec<Crossing>) {
    let crossings =
        own.receivers.iter().filter_map(|(name, trouble)| crossing(name.as_str().into(), trouble));
    let named = own.receivers.keys().map(|name| (Arc::from(name.as_str()), Switch::On)).collect();
    (Judged::Named(named), crossings.collect())
}

/// A receiver for which nothing waits any more is not known to work again.
fn failing(name: Arc<str>, trouble: &ReceiverTrouble, for_: Duration, now: Moment) -> Option<Crossing> {
    let since = trouble.failing_since?;
    Some(Crossing {
        held: 1,
        // It may have begun in an earlier process.
        long_enough: trouble.refuses || now.wall.since(since) >= for_,
        since: Some(Moment::restored(since, now)),
        ..Crossing::simple(name, usize::from(trouble.waits), Reading::Word(trouble.cause.clone().into()))
    })
}

fn abandoned(name: Arc<str>, trouble: &ReceiverTrouble) -> Option<Crossing> {
    (trouble.given_up > 0).then(|| Crossing::simple(name, 1, Reading::Count(trouble.given_up)))
}

/// Absent: the question is about targets.
pub(super) fn ask(rule: &Rule, own: &OwnState, now: Moment) -> Option<(Judged, Vec<Crossing>)> {
    let (subject, condition) = match rule.kind.question {
        Question::ReceiverFailing => {
            return Some(of_receivers(own, |name, trouble| failing(name, trouble, rule.for_, now)));
        }
        Question::NotificationsAbandoned => return Some(of_receivers(own, abandoned)),
        Question::StoreFailing => ("storage", &own.storage),
        Question::HistoryFailing => ("history", &own.history),
        Question::ReloadFailed => ("configuration", &own.configuration),
        Question::HeartbeatWithheld => ("heartbeat", &own.heartbeat),
        _ => return None,
    };
    let subject: Arc<str> = subject.into();
    Some(match condition {
        Condition::Unknown => (Judged::Nothing, Vec::new()),
        Condition::Good => (Judged::Those(vec![subject]), Vec::new()),
        Condition::Failing(cause) => {
            let crossing = Crossing::simple(Arc::clone(&subject), 1, Reading::Word(cause.clone()));
            (Judged::Those(vec![subject]), vec![crossing])
        }
    })
}

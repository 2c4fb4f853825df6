//! Questions about the daemon itself.

use std::sync::Arc;

use super::crossing::{Crossing, Judged};
use crate::{
    alert::rule::Question,
    model::{Condition, OwnState, Reading},
};

/// Absent: the question is about targets.
pub(super) fn ask(question: Question, own: &OwnState) -> Option<(Judged, Vec<Crossing>)> {
    let (subject, condition) = match question {
        Question::StoreFailing => ("storage", &own.storage),
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

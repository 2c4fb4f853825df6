//! Questions about outbounds.

use std::{sync::Arc, time::Duration};

use super::crossing::{Crossing, Judged, Switch};
use crate::{
    alert::rule::Rule,
    model::{Moment, Part, Reading, Report},
};

/// A core forgets its probes when it starts, and may take a while for the next. An outbound that is not probed for this
/// long is not to be probed any more.
const NOT_PROBED_AFTER: Duration = Duration::from_secs(60 * 60);

pub(super) fn outbound_down(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let (mut judged, mut crossings) = (Vec::new(), Vec::new());
    for outbound in report.outbounds.iter() {
        let history = report.history.outbound(&outbound.label);
        let unprobed = history.and_then(|history| history.unprobed_since).map(|since| now.since(since));
        let switch = match (outbound.up, history) {
            (Some(up), Some(history)) => {
                let cause = || Reading::Down { cause: "its probes fail".into(), detail: None, until: None };
                let failure = (!up).then(cause);
                crossings.push(Crossing::of_reads(&outbound.label, &history.reads, failure, rule.for_, now));
                Switch::On
            }
            _ if unprobed >= Some(NOT_PROBED_AFTER) => Switch::Off,
            _ => Switch::Unknown,
        };
        judged.push((Arc::clone(&outbound.label), switch));
    }
    if report.lists_all(Part::Outbounds) {
        return (Judged::Named(judged), crossings);
    }
    let on = judged.into_iter().filter(|(_, switch)| *switch == Switch::On);
    (Judged::Those(on.map(|(label, _)| label).collect()), crossings)
}

//! Questions about outbounds.

use std::sync::Arc;

use super::crossing::{Crossing, Judged, Switch};
use crate::{
    alert::rule::Rule,
    model::{Moment, OutboundHistory, Part, Reading, Report},
};

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
            _ if unprobed >= Some(OutboundHistory::NOT_PROBED_AFTER) => Switch::Off,
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

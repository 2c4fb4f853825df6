//! Questions about the target itself and its parts.

use std::{sync::Arc, time::Duration};

use super::{
    crossing::{Crossing, Judged, Read, Switch, of_target},
    users::CONTRADICTED_AFTER,
};
use crate::{
    alert::rule::Rule,
    model::{Moment, Outcome, Part, Reading, Reason, Report, Staleness, words},
};

/// Characters of a sentence of the log that are sent.
const LONGEST_DETAIL: usize = 300;

pub(super) fn target_down(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let Some(up) = report.up else { return (Judged::Nothing, Vec::new()) };
    // A request by name can show that the target itself fails, and belongs to no part.
    let outcomes = report.unreachable.iter().chain(report.parts.values().map(|state| &state.outcome));
    let mut causes = outcomes.filter_map(|outcome| match outcome {
        Outcome::Failed { reason, detail } => Some((reason.label(), said(detail))),
        Outcome::Up | Outcome::Refused | Outcome::Pending => None,
    });
    let failure = (!up).then(|| {
        let (cause, detail) = causes.next().unwrap_or(("unknown", None));
        Reading::Down { cause: cause.into(), detail, until: None }
    });
    let target: Arc<str> = "".into();
    let crossing = Crossing::of_reads(&target, report.history.reads(), failure, rule.for_, now);
    (Judged::Those(vec![target]), vec![crossing])
}

/// What the log says, without the path that was asked.
fn said(detail: &str) -> Option<String> {
    let after_path = detail.strip_prefix('/').and_then(|rest| rest.split_once(": "));
    let said = words::one_line(after_path.map_or(detail, |(_, said)| said), LONGEST_DETAIL);
    Some(said).filter(|said| !said.is_empty())
}

/// Requests with a login that was refused wait, so this holds until the next one is taken.
pub(super) fn login_refused(report: &Report) -> (Judged, Vec<Crossing>) {
    match report.login_refusal() {
        Some(Some(reason)) => of_target(Some((1, Reading::Word(reason.label().into())))),
        Some(None) => (Judged::Those(vec!["".into()]), Vec::new()),
        None => (Judged::Nothing, Vec::new()),
    }
}

/// A target that is down is one alert, and its parts count from when it is up again.
pub(super) fn part_stale(report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let Some(parts) = report.staleness(now) else { return (Judged::Nothing, Vec::new()) };
    let (mut judged, mut crossings) = (Vec::new(), Vec::new());
    for (part, staleness) in parts {
        let subject: Arc<str> = part.label().into();
        let stale = |age: Duration| Crossing {
            since: Some(now.back_to(now.uptime.saturating_sub(age))),
            ..Crossing::simple(Arc::clone(&subject), 1, Reading::Lasting(age.as_secs()))
        };
        match staleness {
            Staleness::Recent => {}
            Staleness::Stale(age) => crossings.push(stale(age)),
            // No news; but what was stale before is not read either.
            Staleness::NotYetRead(age) => crossings.push(Crossing { crossed: 0..0, ..stale(age) }),
        }
        judged.push((subject, Switch::On));
    }
    (Judged::Named(judged), crossings)
}

/// Parts that the login could read before and may not read any more. Of a part that the login may not read, it is not
/// known after a restart whether it ever could: what fires goes on.
pub(super) fn right_lost(report: &Report) -> (Judged, Vec<Crossing>) {
    if report.up != Some(true) {
        return (Judged::Nothing, Vec::new());
    }
    let (mut judged, mut crossings) = (Vec::new(), Vec::new());
    for (part, state) in &report.parts {
        match state.outcome {
            Outcome::Up => judged.push(part.label().into()),
            Outcome::Failed { reason: Reason::Forbidden, .. } => {
                let reading = Reading::Word(Reason::Forbidden.label().into());
                crossings.push(Crossing::simple(part.label().into(), 1, reading));
            }
            Outcome::Refused | Outcome::Failed { .. } | Outcome::Pending => {}
        }
    }
    (Judged::Those(judged), crossings)
}

/// `part` is what the certificate was seen with.
pub(super) fn certificate_expiry(
    rule: &Rule,
    report: &Report,
    part: Part,
    now: Moment,
) -> (Judged, Vec<Crossing>) {
    let Some(end) = report.certificate_expiry else { return (Judged::Nothing, Vec::new()) };
    let (crossed, held) = rule.crossed_by_time(end, now.wall);
    let read = report.parts.get(&part).and_then(|state| state.last_data).map(|read| Read {
        at: read.wall,
        crossed_then: rule.crossed_by_time(end, read.wall).0,
        contradicted: end.saturating_add(CONTRADICTED_AFTER) <= now.wall,
    });
    let crossing = Crossing { held, read, ..Crossing::simple("".into(), crossed, Reading::Ends(end)) };
    (Judged::Those(vec!["".into()]), vec![crossing])
}

pub(super) fn share(rule: &Rule, share: Option<f64>) -> Option<(usize, Reading)> {
    share.map(|share| (rule.crossed_by_share(share), Reading::Share(share)))
}

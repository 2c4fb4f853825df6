//! Questions about inbounds.

use std::{ops::Range, sync::Arc};

use super::{
    crossing::{Crossing, Judged, Read},
    period,
    users::{CONTRADICTED_AFTER, last_alone},
};
use crate::{
    alert::rule::Rule,
    model::{End, Expiry, Inbound, Moment, Part, Reading, Report, Timestamp},
};

pub(super) fn of_inbounds(
    report: &Report,
    crossing: impl Fn(&Inbound) -> Option<Crossing>,
) -> (Judged, Vec<Crossing>) {
    let crossings = report.inbounds.iter().filter_map(crossing).collect();
    let whole = report.lists_all(Part::Inbounds);
    (Judged::Inbounds { list: Arc::clone(&report.inbounds), whole }, crossings)
}

pub(super) fn expiry(rule: &Rule, report: &Report, inbound: &Inbound, now: Moment) -> Option<Crossing> {
    let Expiry::At(end) = inbound.expiry? else { return None };
    let (_, held) = rule.crossed_by_time(end, now.wall);
    let state = State::of(inbound, now.wall);
    if held == 0 || state == State::SwitchedOff {
        return None;
    }
    let crossed_at = |time| state.crossed(rule, rule.crossed_by_time(end, time).0);
    let read = report.parts.get(&Part::Inbounds).and_then(|state| state.last_data).map(|read| Read {
        at: read.wall,
        crossed_then: crossed_at(read.wall).end,
        contradicted: state == State::On && end.saturating_add(CONTRADICTED_AFTER) <= now.wall,
    });
    Some(Crossing {
        crossed: crossed_at(now.wall),
        held,
        over: end.saturating_add(rule.expired_for) <= now.wall,
        read,
        ..Crossing::simple(Arc::clone(&inbound.label), 0, Reading::Ends(end))
    })
}

pub(super) fn quota(rule: &Rule, inbound: &Inbound, now: Moment) -> Option<Crossing> {
    let (used, limit) = inbound.used.zip(inbound.limit.filter(|limit| *limit > 0))?;
    let (crossed, held) = rule.crossed_by_use(used, limit);
    let state = State::of(inbound, now.wall);
    if held == 0 || state == State::SwitchedOff {
        return None;
    }
    let crossed = state.crossed(rule, crossed);
    let reading = Reading::Used { used, limit, resets: None };
    Some(Crossing { crossed, held, ..Crossing::simple(Arc::clone(&inbound.label), 0, reading) })
}

/// Why an alert of an inbound ended that has no steps crossed any more; absent: it is not known to have ended.
pub(super) fn end_of_inbound(inbound: &Inbound, then: &Reading, now: Timestamp) -> Option<End> {
    let known = match then {
        Reading::Used { .. } => inbound.used.is_some(),
        _ => inbound.expiry.is_some(),
    };
    if State::of(inbound, now) == State::SwitchedOff {
        return Some(End::Disabled);
    }
    known.then(|| period::ended(then, inbound.expiry.unwrap_or(Expiry::Never), inbound.limit))
}

/// What holds of an inbound instead of an earlier reading; absent: that is not known.
pub(super) fn reading_of(inbound: &Inbound, then: &Reading) -> Option<Reading> {
    Some(match then {
        Reading::Used { .. } => match inbound.limit.filter(|limit| *limit > 0) {
            Some(limit) => Reading::Used { used: inbound.used?, limit, resets: None },
            None => Reading::Nothing,
        },
        _ => period::ends(inbound.expiry?),
    })
}

/// Whether an inbound runs, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    On,
    /// The panel switched it off, because its quota is used up or it has expired.
    Stopped,
    /// The operator switched it off.
    SwitchedOff,
    Unknown,
}

impl State {
    fn of(inbound: &Inbound, now: Timestamp) -> Self {
        let expired = matches!(inbound.expiry, Some(Expiry::At(end)) if end <= now);
        match inbound.enabled {
            None => State::Unknown,
            Some(true) => State::On,
            Some(false) if expired || inbound.is_used_up() => State::Stopped,
            Some(false) => State::SwitchedOff,
        }
    }

    /// Which of the first `crossed` steps count. Those that do not go on if they fire.
    fn crossed(self, rule: &Rule, crossed: usize) -> Range<usize> {
        match self {
            State::On => 0..crossed,
            State::Stopped => last_alone(rule, crossed),
            State::SwitchedOff | State::Unknown => 0..0,
        }
    }
}

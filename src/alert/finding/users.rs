//! Questions about users.

use std::{ops::Range, sync::Arc, time::Duration};

use super::crossing::{Crossing, Judged, Read, of_target};
use crate::{
    alert::rule::Rule,
    model::{Expiry, Moment, Reading, Report, Timestamp, User, UserStatus},
};

/// Panels look for expired users every few seconds; one still active after this long has another clock than we.
pub(super) const CONTRADICTED_AFTER: Duration = Duration::from_secs(60 * 60);
/// Panels start the next plan within seconds after a plan has ended.
const RENEWED_WITHIN: Duration = Duration::from_secs(10 * 60);

pub(super) fn of_users(
    report: &Report,
    crossing: impl Fn(&User) -> Option<Crossing>,
) -> (Judged, Vec<Crossing>) {
    let crossings = report.users.list().iter().filter_map(|user| crossing(user)).collect();
    (Judged::Users(Arc::clone(&report.users)), crossings)
}

pub(super) fn expiry(rule: &Rule, user: &User, now: Moment) -> Option<Crossing> {
    let Expiry::At(end) = user.expiry else { return None };
    let (_, held) = rule.crossed_by_time(end, now.wall);
    if held == 0 || does_not_run_out(user) {
        return None;
    }
    let crossed_at = |time: Timestamp| match user.status {
        UserStatus::Active => 0..rule.crossed_by_time(end, time).0,
        UserStatus::Expired if user.renews && end.saturating_add(RENEWED_WITHIN) > time => 0..0,
        UserStatus::Expired => last_alone(rule, rule.crossed_by_time(end, time).0),
        // Their plan does not run; what fires goes on.
        UserStatus::Disabled | UserStatus::Limited | UserStatus::OnHold | UserStatus::Unknown => 0..0,
    };
    Some(Crossing {
        subject: Arc::clone(&user.name),
        crossed: crossed_at(now.wall),
        held,
        over: end.saturating_add(rule.expired_for) <= now.wall,
        long_enough: false,
        reading: Some(Reading::Ends(end)),
        read: Some(Read {
            at: user.read_at,
            crossed_then: crossed_at(user.read_at).end,
            contradicted: user.status == UserStatus::Active
                && end.saturating_add(CONTRADICTED_AFTER) <= now.wall,
        }),
    })
}

pub(super) fn quota(rule: &Rule, user: &User) -> Option<Crossing> {
    let (used, limit) = (user.used, user.limit.filter(|limit| *limit > 0)?);
    let (crossed_then, held) = rule.crossed_by_use(used, limit);
    if held == 0 || does_not_run_out(user) {
        return None;
    }
    let crossed = match user.status {
        UserStatus::Active => 0..crossed_then,
        // How long ago that was is not known, and the next plan may start at any moment.
        UserStatus::Limited if user.renews => 0..0,
        UserStatus::Limited => last_alone(rule, crossed_then),
        UserStatus::Disabled | UserStatus::Expired | UserStatus::OnHold | UserStatus::Unknown => 0..0,
    };
    Some(Crossing {
        subject: Arc::clone(&user.name),
        crossed,
        held,
        over: false,
        long_enough: false,
        reading: Some(Reading::Used { used, limit }),
        read: Some(Read { at: user.read_at, crossed_then, contradicted: false }),
    })
}

/// Whether the operator has switched the user off, or another plan follows by itself.
fn does_not_run_out(user: &User) -> bool {
    user.status == UserStatus::Disabled || (user.status == UserStatus::Active && user.renews)
}

/// Of those whom the panel has stopped only the step at which it does so is looked at.
fn last_alone(rule: &Rule, crossed: usize) -> Range<usize> {
    let stopped =
        crossed == rule.steps.len() && rule.steps.last().is_some_and(|step| step.threshold.is_last());
    if stopped { crossed - 1..crossed } else { 0..0 }
}

pub(super) fn status(user: &User) -> Option<Crossing> {
    let stopped = matches!(user.status, UserStatus::Limited | UserStatus::Expired | UserStatus::Disabled);
    stopped.then(|| Crossing {
        read: Some(Read { at: user.read_at, crossed_then: 1, contradicted: false }),
        ..Crossing::simple(Arc::clone(&user.name), 1, Reading::Word(user.status.label().into()))
    })
}

/// Rows of the last finished list that could not be read.
pub(super) fn rows_unreadable(report: &Report) -> (Judged, Vec<Crossing>) {
    let read = !report.users.is_restored();
    let unreadable = report.users.unreadable();
    let cause = unreadable.first.first().map_or("unknown", |row| row.cause.label());
    let reading = Reading::Unreadable { rows: unreadable.rows, cause: cause.into() };
    of_target(read.then_some((usize::from(unreadable.rows > 0), reading)))
}

//! Questions about users.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    crossing::{Crossing, Judged, Read, of_target},
    period,
};
use crate::{
    alert::{
        rule::{Rule, TrafficLimit, WHOLE},
        traffic::Traffic,
    },
    model::{End, Expiry, Forecast, Moment, RateFinder, Reading, Report, Timestamp, User, UserStatus},
};

/// Panels look for expired users every few seconds; one still active after this long has another clock than we.
pub(super) const CONTRADICTED_AFTER: Duration = Duration::from_secs(60 * 60);
/// Panels start the next plan within seconds after a plan has ended. A user who is still without one after this long
/// does not get one.
pub(in crate::alert) const RENEWED_WITHIN: Duration = Duration::from_secs(10 * 60);

/// When the plan of an active user ends, if no other follows by itself.
pub(in crate::alert) fn runs_until(rule: &Rule, user: &User) -> Option<Timestamp> {
    let Expiry::At(end) = user.expiry else { return None };
    let runs = user.status == UserStatus::Active && !does_not_run_out(rule, user, user.renews);
    runs.then_some(end)
}

/// What an active user has used of the data limit, if it does not begin again by itself.
pub(in crate::alert) fn uses(rule: &Rule, user: &User) -> Option<(u64, u64)> {
    let limit = user.limit.filter(|limit| *limit > 0)?;
    let runs = user.status == UserStatus::Active && !does_not_run_out(rule, user, user.renews_when_used_up());
    runs.then_some((user.used, limit))
}

pub(super) fn expiry(rule: &Rule, user: &User, now: Moment) -> Option<Crossing> {
    let Expiry::At(end) = user.expiry else { return None };
    let (_, held) = rule.crossed_by_time(end, now.wall);
    if held == 0 || does_not_run_out(rule, user, user.renews) {
        return None;
    }
    let grace = if user.renews { RENEWED_WITHIN } else { Duration::ZERO };
    let crossed_at = |time: Timestamp| {
        let crossed = rule.crossed_by_time(end, time.saturating_sub(grace)).0;
        match user.status {
            UserStatus::Active => 0..crossed,
            UserStatus::Expired => last_alone(rule, crossed),
            // Their plan does not run; what fires goes on.
            UserStatus::Disabled | UserStatus::Limited | UserStatus::OnHold | UserStatus::Unknown => 0..0,
        }
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
        since: None,
    })
}

pub(super) fn quota(rule: &Rule, user: &User) -> Option<Crossing> {
    let (used, limit) = (user.used, user.limit.filter(|limit| *limit > 0)?);
    let (crossed_then, held) = rule.crossed_by_use(used, limit);
    let renews = user.renews_when_used_up();
    if held == 0 || does_not_run_out(rule, user, renews) {
        return None;
    }
    let crossed = match user.status {
        UserStatus::Active => 0..crossed_then,
        // How long ago that was is not known, and the next plan may start at any moment.
        UserStatus::Limited if renews && !rule.renewing => 0..0,
        UserStatus::Limited => last_alone(rule, crossed_then),
        UserStatus::Disabled | UserStatus::Expired | UserStatus::OnHold | UserStatus::Unknown => 0..0,
    };
    Some(Crossing {
        subject: Arc::clone(&user.name),
        crossed,
        held,
        over: false,
        long_enough: false,
        reading: Some(Reading::Used { used, limit, resets: user.extra.quota_reset }),
        read: Some(Read { at: user.read_at, crossed_then, contradicted: false }),
        since: None,
    })
}

/// An active user who has not been online for long. One of whom the panel does not say is left out.
pub(super) fn inactive(rule: &Rule, user: &User, now: Moment) -> Option<Crossing> {
    let (reading, since) = unseen(user)?;
    let crossed = rule.crossed_by_age(now.wall.since(since));
    (crossed > 0).then(|| Crossing {
        read: Some(Read {
            at: user.read_at,
            crossed_then: rule.crossed_by_age(user.read_at.since(since)),
            contradicted: false,
        }),
        ..Crossing::simple(Arc::clone(&user.name), crossed, reading)
    })
}

fn unseen(user: &User) -> Option<(Reading, Timestamp)> {
    let since = user.last_online.since().filter(|_| user.status == UserStatus::Active)?;
    Some((Reading::Unseen { since, never: user.last_online.is_never() }, since))
}

/// Users who have moved more than the rule allows within its time, those whom the panel has stopped since included. An alert
/// holds until it is a tenth less.
pub(super) fn traffic(
    rule: &Rule,
    report: &Report,
    traffic: &Traffic,
    now: Moment,
) -> (Judged, Vec<Crossing>) {
    let Some(TrafficLimit { bytes: limit, within }) = rule.traffic else {
        return (Judged::Nothing, Vec::new());
    };
    let mut crossings = Vec::new();
    let seconds = within.duration().as_secs();
    let is_whole = traffic.each(within, report.users.list(), now, |user, bytes| {
        if bytes > limit - limit / 10 {
            let reading = Reading::Moved { bytes, limit, within: seconds };
            let crossed = usize::from(bytes > limit);
            crossings
                .push(Crossing { held: 1, ..Crossing::simple(Arc::clone(&user.name), crossed, reading) });
        }
    });
    let judged = Judged::Traffic { users: Arc::clone(&report.users), is_whole };
    (judged, crossings)
}

/// A user who has used so much of the quota, in ten-thousandths, has an alert about that.
pub(in crate::alert) const NEARLY_USED_UP: u32 = 9500;
/// An alert goes on while a rate that is higher by this part would lead to it: use differs from hour to hour.
const HYSTERESIS: u64 = 4;

/// Users who use up their quota soon, if they go on as in the last days.
pub(super) fn forecasts(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let Some(rates) = report.rates(now) else { return (Judged::Nothing, Vec::new()) };
    let mut finder = rates.finder();
    let crossings = report.users.list().iter().filter_map(|user| forecast(rule, user, &mut finder, now.wall));
    let crossings = crossings.collect();
    (Judged::Forecasts { users: Arc::clone(&report.users), rates: Arc::clone(rates) }, crossings)
}

fn forecast(rule: &Rule, user: &User, rates: &mut RateFinder<'_>, now: Timestamp) -> Option<Crossing> {
    let limit = user.limit?;
    let nearly = u128::from(user.used) * u128::from(WHOLE) >= u128::from(limit) * u128::from(NEARLY_USED_UP);
    if nearly && matches!(user.status, UserStatus::Active | UserStatus::Limited) {
        // What fires ends without a notice: other alerts say more.
        let reading = Reading::Forecast { at: now, used: user.used, limit, daily: 0 };
        let none = Crossing::simple(Arc::clone(&user.name), 0, reading);
        return Some(Crossing { held: rule.steps.len(), over: true, ..none });
    }
    // With so much more use in the same time, an alert that fires goes on.
    let daily = rates.daily(user)?;
    let faster = Forecast::new(user, daily.saturating_add(daily / HYSTERESIS), now)?;
    let held = rule.crossed_by_time(faster.at, now).0;
    if held == 0 {
        return None;
    }
    let forecast = Forecast::new(user, daily, now);
    let crossed = forecast.map_or(0, |forecast| rule.crossed_by_time(forecast.at, now).0);
    let reading = Reading::Forecast {
        // More exact than it is known, it would only change more often.
        at: full_hour(forecast.unwrap_or(faster).at),
        used: user.used,
        limit,
        daily,
    };
    Some(Crossing {
        held,
        read: Some(Read { at: user.read_at, crossed_then: crossed, contradicted: false }),
        ..Crossing::simple(Arc::clone(&user.name), crossed, reading)
    })
}

/// The next full hour.
fn full_hour(time: Timestamp) -> Timestamp {
    const HOUR: i64 = 60 * 60;
    Timestamp::from_secs(time.as_secs().saturating_add(HOUR - 1).div_euclid(HOUR).saturating_mul(HOUR))
}

/// Why a forecast of a user does not hold any more, and what holds instead; absent: that is not known, because it `is_known`
/// neither how fast the quota is used nor that it has changed.
pub(super) fn end_of_forecast(user: &User, then: &Reading, is_known: bool) -> Option<(End, Option<Reading>)> {
    let Reading::Forecast { used, limit, .. } = then else { return Some((End::Recovered, None)) };
    let reading = Some(match user.limit.filter(|limit| *limit > 0) {
        Some(limit) => Reading::Used { used: user.used, limit, resets: user.extra.quota_reset },
        None => Reading::Nothing,
    });
    let end = match user.status {
        UserStatus::Disabled => End::Disabled,
        _ if user.limit != Some(*limit) => End::ToppedUp,
        _ if user.used < *used => End::Reset,
        UserStatus::Active if !is_known => return None,
        _ => End::Recovered,
    };
    Some((end, reading))
}

/// An active user who uses more addresses at a time than allowed.
pub(super) fn devices(user: &User) -> Option<Crossing> {
    let (used, limit) = addresses(user)?;
    (used > limit).then(|| Crossing {
        read: Some(Read { at: user.read_at, crossed_then: 1, contradicted: false }),
        ..Crossing::simple(Arc::clone(&user.name), 1, Reading::Devices { used, limit })
    })
}

/// The addresses that an active user uses, and how many the panel allows.
fn addresses(user: &User) -> Option<(u64, u64)> {
    user.extra.devices.zip(user.extra.devices_limit).filter(|_| user.status == UserStatus::Active)
}

/// Whether the panel no longer says what an alert with the reading `then` is about.
pub(super) fn is_silent_on(user: &User, then: &Reading) -> bool {
    let is_silent = user.extra.devices.is_none() && user.extra.devices_limit.is_some();
    matches!(then, Reading::Devices { .. }) && is_silent
}

/// Whether the operator has switched the user off, or another plan follows by itself if the user `renews`.
fn does_not_run_out(rule: &Rule, user: &User, renews: bool) -> bool {
    let follows = user.status == UserStatus::Active && renews && !rule.renewing;
    user.status == UserStatus::Disabled || follows
}

/// Why an alert of a user ended who has no steps crossed any more.
pub(super) fn end_of_user(rule: &Rule, user: &User, then: &Reading) -> End {
    match then {
        Reading::Word(_) => End::Recovered,
        _ if user.status == UserStatus::Disabled => End::Disabled,
        Reading::Used { .. } if user.renews_when_used_up() && !rule.renewing => End::Renewed,
        Reading::Ends(_) if user.renews && !rule.renewing => End::Renewed,
        then => period::ended(then, user.expiry, user.limit),
    }
}

/// What holds of a user instead of an earlier reading.
pub(super) fn reading_of(user: &User, then: &Reading) -> Reading {
    match then {
        Reading::Used { .. } => match user.limit.filter(|limit| *limit > 0) {
            Some(limit) => Reading::Used { used: user.used, limit, resets: user.extra.quota_reset },
            None => Reading::Nothing,
        },
        Reading::Ends(_) => period::ends(user.expiry),
        Reading::Unseen { .. } => unseen(user).map_or(Reading::Nothing, |(reading, _)| reading),
        Reading::Devices { .. } => {
            addresses(user).map_or(Reading::Nothing, |(used, limit)| Reading::Devices { used, limit })
        }
        other => other.clone(),
    }
}

/// Of those whom the panel has stopped only the step at which it does so is looked at.
pub(super) fn last_alone(rule: &Rule, crossed: usize) -> Range<usize> {
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

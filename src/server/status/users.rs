//! Users chosen from all lists: those closest to their quota, and those whose plans end next.

use std::cmp::Ordering;

use serde::Serialize;

use super::{
    rows::{Shown, When, used_up},
    text::{in_path, name},
    top::top,
};
use crate::{
    exposition::UserLabels,
    model::{
        Expiry, Moment, Part, Report, Timestamp, User, UserStatus,
        words::{bytes, duration},
    },
    server::{seen::Seen, target::is_stale},
};

/// Users in each of the two lists.
const USERS_SHOWN: usize = 10;
/// Targets that are named as missing in them.
const MISSING_SHOWN: usize = 10;

#[derive(Serialize)]
pub(super) struct Users {
    /// Whether single users may be shown.
    named: bool,
    by_quota: Vec<QuotaRow>,
    quota_shown: Shown,
    by_expiry: Vec<ExpiryRow>,
    expiry_shown: Shown,
    /// Targets whose users are not all in the lists.
    missing: Vec<Missing>,
    /// How many more there are.
    missing_more: usize,
}

/// A target whose users are not all in the lists, and why.
#[derive(Serialize)]
struct Missing {
    target: String,
    why: String,
}

#[derive(Serialize)]
struct QuotaRow {
    user: String,
    /// Its page, below that of the target's users; absent: it has none.
    link: Option<String>,
    /// The page of the target, below those of all.
    home: String,
    target: String,
    /// Whole percent, rounded down.
    percent: u128,
    /// The same for a bar, which ends at 100.
    bar: u128,
    used: String,
    limit: String,
    /// When it is used up, if the user goes on as in the last days; absent: it lasts, or that is not known.
    used_up: Option<When>,
}

#[derive(Serialize)]
struct ExpiryRow {
    user: String,
    /// Its page, below that of the target's users; absent: it has none.
    link: Option<String>,
    /// The page of the target, below those of all.
    home: String,
    target: String,
    ends: When,
}

impl Users {
    /// Of all targets, or of one.
    pub(super) fn new(seen: &Seen, of: Option<&str>) -> Self {
        let labels = &seen.setup.options.labels;
        let named = !matches!(labels, UserLabels::Off);
        let now = seen.now;
        let reports =
            || seen.view.reports.iter().filter(|report| of.is_none_or(|target| *report.target == *target));
        let known = reports().filter(|report| named && report.fresh(Part::Users, now));
        let all = known.flat_map(|report| report.users.list().iter().map(move |user| (report, user)));

        let limited = all.clone().filter_map(|(report, user)| Some((report, user, limit(user)?)));
        // As with alerts.
        let by_label = |a: &User, b: &User| labels.of(&a.name).cmp(&labels.of(&b.name));
        let by_quota = top(limited, USERS_SHOWN, |a, b| {
            by_share((a.1.used, a.2), (b.1.used, b.2)).then_with(|| by_label(a.1, b.1))
        });
        let ending = all.filter_map(|(report, user)| Some((report, user, end(user, now.wall)?)));
        let by_expiry = top(ending, USERS_SHOWN, |a, b| a.2.cmp(&b.2).then_with(|| by_label(a.1, b.1)));

        let label = |user: &User| labels.of(&user.name).map(|label| name(&label)).unwrap_or_default();
        let link = |user: &User| labels.of(&user.name).and_then(|label| in_path(&label));
        let mut missing: Vec<_> = reports().filter_map(|report| Missing::new(report, now)).collect();
        let missing_more = missing.len().saturating_sub(MISSING_SHOWN);
        missing.truncate(MISSING_SHOWN);
        Users {
            named,
            missing,
            missing_more,
            quota_shown: Shown::from(&by_quota),
            by_quota: by_quota
                .first
                .iter()
                .map(|(of, user, limit)| {
                    let percent = u128::from(user.used) * 100 / u128::from(*limit);
                    QuotaRow {
                        user: label(user),
                        link: link(user),
                        home: of.target.to_string(),
                        target: name(&of.target),
                        percent,
                        bar: percent.min(100),
                        used: bytes(user.used),
                        limit: bytes(*limit),
                        used_up: used_up(of, user, now),
                    }
                })
                .collect(),
            expiry_shown: Shown::from(&by_expiry),
            by_expiry: by_expiry
                .first
                .iter()
                .map(|(of, user, end)| ExpiryRow {
                    user: label(user),
                    link: link(user),
                    home: of.target.to_string(),
                    target: name(&of.target),
                    ends: When::new(*end, now.wall),
                })
                .collect(),
        }
    }
}

impl Missing {
    /// Absent: all of its users are in the lists, or it has none.
    fn new(report: &Report, now: Moment) -> Option<Self> {
        Some(Missing { target: name(&report.target), why: lacks(report, now)? })
    }
}

/// What the known users of a target lack; absent: nothing, or it has none.
pub(super) fn lacks(report: &Report, now: Moment) -> Option<String> {
    if is_stale(report, Part::Users, now) {
        let read = report.parts.get(&Part::Users).and_then(|known| known.last_success);
        Some(match read {
            Some(read) => format!("left out, last read {} ago", duration(now.since(read))),
            None => "left out, never read completely".to_owned(),
        })
    } else if let Some(walk) = report.first_read() {
        Some(format!("partial, first read: {}", walk.words()))
    } else {
        report.users_are_partial().then(|| "partial, the first read begins again".to_owned())
    }
}

/// The quota of a user who can use it up or has.
fn limit(user: &User) -> Option<u64> {
    let counts = matches!(user.status, UserStatus::Active | UserStatus::Limited);
    user.limit.filter(|limit| counts && *limit > 0)
}

/// When the plan ends of a user for whom it still runs.
fn end(user: &User, now: Timestamp) -> Option<Timestamp> {
    match user.expiry {
        Expiry::At(end) if user.status == UserStatus::Active && end > now => Some(end),
        Expiry::At(_) | Expiry::Never | Expiry::OnFirstUse(_) => None,
    }
}

/// The larger share first, and of equal shares the larger use.
pub(super) fn by_share((used, limit): (u64, u64), (other_used, other_limit): (u64, u64)) -> Ordering {
    let share = u128::from(used) * u128::from(other_limit);
    let other = u128::from(other_used) * u128::from(limit);
    other.cmp(&share).then(other_used.cmp(&used))
}

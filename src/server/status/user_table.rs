//! The page of all users of a target: sorted, searched and in pages.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    list::{Asked, Column, LONGEST_SEARCH, Table},
    rows::{When, used_up},
    text::{in_path, name},
    users::{by_share, lacks},
};
use crate::{
    exposition::UserLabels,
    model::{Expiry, Part, Report, Unread, User, words::bytes},
    server::seen::Seen,
};

#[derive(Serialize)]
pub(super) struct UserTable {
    target: String,
    /// Its page, below that of all.
    link: String,
    /// Absent: users may not be shown one by one, or the list is stale.
    table: Option<Table<UserRow>>,
    /// Whether users may be shown.
    named: bool,
    /// Whether they may be searched by name.
    searched: bool,
    search: String,
    longest_search: usize,
    sort: String,
    /// Why the list does not have all users; absent: it has.
    lacks: Option<String>,
}

/// What is shown of a user.
#[derive(Serialize)]
pub(super) struct UserRow {
    user: String,
    /// Its page, below that of the target's users; absent: it has none.
    link: Option<String>,
    /// Absent, as below: the last answer did not say.
    status: Option<&'static str>,
    used: Option<String>,
    quota: Option<Quota>,
    /// When the quota is used up, if the user goes on as in the last days; absent: it lasts, or that is not known.
    used_up: Option<When>,
    expiry: Option<&'static str>,
    ends: Option<When>,
    is_over: bool,
    online: bool,
    last_online: Option<When>,
}

/// How much of the quota is used.
#[derive(Serialize)]
struct Quota {
    limit: String,
    /// Whole percent, rounded down.
    percent: u128,
    /// The same for a bar, which ends at 100.
    bar: u128,
}

/// A user, under the label that is shown.
type Labelled<'u> = (Cow<'u, str>, &'u User);

impl UserTable {
    pub(super) fn new(seen: &Seen, report: &Report, asked: &Asked) -> Self {
        let labels = &seen.setup.options.labels;
        let named = !matches!(labels, UserLabels::Off);
        // A search by name must not tell whose code a hash is.
        let searched = matches!(labels, UserLabels::Name);
        let asked = if searched { asked } else { &asked.without_search() };
        let is_fresh = report.fresh(Part::Users, seen.now);
        UserTable {
            target: name(&report.target),
            link: report.target.to_string(),
            table: (named && is_fresh).then(|| table(seen, report, asked)),
            named,
            searched,
            search: asked.search.clone(),
            longest_search: LONGEST_SEARCH,
            sort: asked.sort(),
            lacks: lacks(report, seen.now),
        }
    }
}

fn table(seen: &Seen, report: &Report, asked: &Asked) -> Table<UserRow> {
    let labels = &seen.setup.options.labels;
    let search = asked.search.to_lowercase();
    let users = report.users.list().iter();
    let found = users.filter(|user| search.is_empty() || user.name.to_lowercase().contains(&search));
    let rows = found.filter_map(|user| Some((labels.of(&user.name)?, user))).collect();
    let columns: [Column<Labelled<'_>>; 6] = [
        Column::text("user", "User", |a, b| a.0.cmp(&b.0)),
        Column::text("status", "Status", |a, b| a.1.status.label().cmp(b.1.status.label())),
        Column::number("used", "Used", |a, b| a.1.used.cmp(&b.1.used)),
        Column::number("quota", "Of quota", |a, b| match (limit(a.1), limit(b.1)) {
            (Some(limit), Some(other)) => by_share((b.1.used, other), (a.1.used, limit)),
            (limit, other) => limit.is_some().cmp(&other.is_some()),
        }),
        Column::text("expires", "Expires", |a, b| end(a.1).cmp(&end(b.1))),
        Column::descending("online", "Last online", |a, b| a.1.last_online.at().cmp(&b.1.last_online.at())),
    ];
    Table::new(rows, &columns, asked, |(label, user)| UserRow::new(seen, report, &label, user))
}

fn limit(user: &User) -> Option<u64> {
    user.limit.filter(|limit| *limit > 0)
}

/// Plans that end come first, and those that never do last.
fn end(user: &User) -> (u8, Option<crate::model::Timestamp>) {
    match user.expiry {
        Expiry::At(end) => (0, Some(end)),
        Expiry::OnFirstUse(_) => (1, None),
        Expiry::Never => (2, None),
    }
}

impl UserRow {
    pub(super) fn new(seen: &Seen, report: &Report, label: &str, user: &User) -> Self {
        let now = seen.now.wall;
        let says = |fact| !user.unread.has(fact);
        let quota = limit(user).filter(|_| says(Unread::LIMIT) && says(Unread::USED)).map(|limit| {
            let percent = u128::from(user.used) * 100 / u128::from(limit);
            Quota { limit: bytes(limit), percent, bar: percent.min(100) }
        });
        let (expiry, ends) = match user.expiry {
            _ if !says(Unread::EXPIRY) => (None, None),
            Expiry::At(end) => (Some("at"), Some(end)),
            Expiry::OnFirstUse(_) => (Some("after the first use"), None),
            Expiry::Never => (Some("never"), None),
        };
        UserRow {
            user: name(label),
            link: in_path(label),
            status: says(Unread::STATUS).then(|| user.status.label()),
            used: says(Unread::USED).then(|| bytes(user.used)),
            quota,
            used_up: used_up(report, user, seen.now),
            expiry,
            is_over: ends.is_some_and(|end| end <= now),
            ends: ends.map(|end| When::new(end, now)),
            online: report.online(user, seen.now) == Some(true),
            last_online: user.last_online.at().filter(|_| says(Unread::ONLINE)).map(|at| When::new(at, now)),
        }
    }
}

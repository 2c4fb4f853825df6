//! Who is online: of what is said of each user, what changes without a new list.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
};

use super::{family::families, rows::RowFamily, user_rows, view::View};
use crate::model::{Part, Timestamp};

families! {
    USER_ONLINE = Gauge("user_online", ["target", "user"],
        "Whether the user is online: the panel names the user as such (onlines), or the user had traffic (online_at) in the two minutes before the user was read. No series if that read is older than five minutes. Polled.");
}

pub(super) static ROWS: &[RowFamily] = &[RowFamily(&USER_ONLINE, |rows| {
    let View { report, now, .. } = rows.view;
    rows.each(|user| report.online(user, *now));
})];

/// What these rows of a target were written from.
#[derive(Debug, Default)]
pub(super) struct Source {
    users: user_rows::Source,
    /// Weak, so that old names are not kept in memory.
    online: Weak<HashSet<Arc<str>>>,
    /// Whether the target has such a part, and whether it is fresh.
    has_part: bool,
    is_fresh: bool,
    /// When they were written, and when the first of the users becomes unknown.
    written: Timestamp,
    until: Option<Timestamp>,
}

impl Source {
    pub(super) fn of(view: &View<'_>) -> Self {
        let View { report, now, .. } = view;
        let ends = report.users.list().iter().filter_map(|user| report.online_until(user));
        Source {
            users: user_rows::Source::of(view),
            online: Arc::downgrade(&report.online),
            has_part: report.parts.contains_key(&Part::Online),
            is_fresh: report.fresh(Part::Online, *now),
            written: now.wall,
            until: ends.filter(|end| *end > now.wall).min(),
        }
    }

    /// Whether the same would be written again.
    pub(super) fn is_still(&self, view: &View<'_>) -> bool {
        let View { report, now, .. } = view;
        self.users.is_still(view)
            && Weak::ptr_eq(&self.online, &Arc::downgrade(&report.online))
            && self.has_part == report.parts.contains_key(&Part::Online)
            && self.is_fresh == report.fresh(Part::Online, *now)
            && self.written <= now.wall
            && self.until.is_none_or(|until| now.wall < until)
    }
}

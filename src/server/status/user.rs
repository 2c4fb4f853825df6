//! The page of one user: the present state, and what was used.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    text::{name, of_path},
    user_table::UserRow,
};
use crate::{
    exposition::UserLabels,
    model::{Part, Report, User},
    server::seen::Seen,
    store::SubjectKind,
};

#[derive(Serialize)]
pub(super) struct UserPage {
    /// Whether users may be shown.
    named: bool,
    /// Absent: there was never one under this label.
    user: Option<String>,
    target: String,
    /// Its page, below that of all.
    link: String,
    /// Absent: the user is not in the list.
    row: Option<UserRow>,
    /// A section in HTML.
    #[serde(rename = "use")]
    used: String,
}

/// A user, by the label in the path of a page.
pub(super) struct Found<'s> {
    label: Cow<'s, str>,
    /// Absent: not in the list.
    user: Option<&'s User>,
    /// As the history has it.
    pub(super) stored: String,
}

impl<'s> Found<'s> {
    /// The user with a label; absent: there was none, or users may not be shown.
    pub(super) fn new(seen: &'s Seen, report: &'s Report, in_path: &'s str) -> Option<Self> {
        let label = of_path(in_path);
        let list = report.users.list();
        let labels = &seen.setup.options.labels;
        let user = match labels {
            UserLabels::Name => list.get(&label),
            UserLabels::Hash(key) => list.iter().find(|user| key.hash(&user.name) == label),
            UserLabels::Off => return None,
        };
        if let Some(user) = user {
            return Some(Found { label, user: Some(user), stored: user.name.to_string() });
        }
        // One who was deleted.
        let is_it = |known: &str| labels.of(known).is_some_and(|known| known == label);
        let stored = seen.usage.find_name((&report.id(), SubjectKind::User), is_it).ok().flatten()?;
        Some(Found { label, user: None, stored })
    }
}

impl UserPage {
    /// `used` is what the user used, as a section in HTML.
    pub(super) fn new(seen: &Seen, report: &Report, found: Option<&Found<'_>>, used: String) -> Self {
        let user = found.filter(|_| report.fresh(Part::Users, seen.now));
        UserPage {
            named: !matches!(seen.setup.options.labels, UserLabels::Off),
            user: found.map(|found| name(&found.label)),
            target: name(&report.target),
            link: report.target.to_string(),
            row: user.and_then(|found| Some(UserRow::new(seen, report, &found.label, found.user?))),
            used,
        }
    }
}

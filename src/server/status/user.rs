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
    store::{SubjectKind, UsageError},
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
    /// Why it is not known whether there was one; absent: it is known.
    unreadable: Option<String>,
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
    /// The user with a label; absent: there was none, or users may not be shown. This reads the disk if the user is not in the
    /// list.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(super) fn new(
        seen: &'s Seen,
        report: &'s Report,
        in_path: &'s str,
    ) -> Result<Option<Self>, UsageError> {
        let label = of_path(in_path);
        let list = report.users.list();
        let labels = &seen.setup.options.labels;
        let user = match labels {
            UserLabels::Name => list.get(&label),
            UserLabels::Hash(key) => list.iter().find(|user| key.hash(&user.name) == label),
            UserLabels::Off => return Ok(None),
        };
        if let Some(user) = user {
            return Ok(Some(Found { label, user: Some(user), stored: user.name.to_string() }));
        }
        // One who was deleted.
        let id = report.id();
        let of = (&*id, SubjectKind::User);
        let stored = match labels {
            UserLabels::Hash(key) => seen.usage.find_name(of, |name| key.hash(name) == label)?,
            UserLabels::Name | UserLabels::Off => {
                seen.usage.has(of, &label)?.then(|| label.clone().into_owned())
            }
        };
        Ok(stored.map(|stored| Found { label, user: None, stored }))
    }
}

impl UserPage {
    /// `used` is what the user used, as a section in HTML.
    pub(super) fn new(
        seen: &Seen,
        report: &Report,
        found: Result<Option<&Found<'_>>, &UsageError>,
        used: String,
    ) -> Self {
        let unreadable = found.err().map(ToString::to_string);
        let found = found.ok().flatten();
        let user = found.filter(|_| report.fresh(Part::Users, seen.now));
        UserPage {
            named: !matches!(seen.setup.options.labels, UserLabels::Off),
            user: found.map(|found| name(&found.label)),
            unreadable,
            target: name(&report.target),
            link: report.target.to_string(),
            row: user.and_then(|found| Some(UserRow::new(seen, report, &found.label, found.user?))),
            used,
        }
    }
}

use std::{borrow::Cow, sync::Arc};

use super::{Options, UserLabels};
use crate::model::Report;

/// Which users of a target may have series, and their label there. Every family that names a user asks this.
#[derive(Debug)]
pub(super) struct Naming {
    target: Arc<str>,
    labels: UserLabels,
    /// Of the users in the target's list, the first by name that is beyond the limit.
    first_omitted: Option<Arc<str>>,
}

impl Naming {
    pub(super) fn new(report: &Report, options: &Options) -> Self {
        Naming {
            target: Arc::clone(&report.target),
            labels: options.labels.clone(),
            first_omitted: report.users.list().get(options.limit).map(|user| Arc::clone(&user.name)),
        }
    }

    /// The one of `namings`, which are sorted by target, for a target.
    pub(super) fn of<'n>(namings: &'n [Naming], target: &str) -> Option<&'n Naming> {
        let at = namings.binary_search_by(|naming| (*naming.target).cmp(target)).ok()?;
        namings.get(at)
    }

    /// The value of the user's label; absent: no series may name the user.
    pub(super) fn label<'u>(&self, user: &'u str) -> Option<Cow<'u, str>> {
        let within = self.first_omitted.as_deref().is_none_or(|first| user < first);
        within.then(|| self.labels.of(user)).flatten()
    }
}

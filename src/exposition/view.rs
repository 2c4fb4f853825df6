//! What may be shown of a report at one moment: the parts that are fresh, and the users that may be named.

use std::{borrow::Cow, sync::Arc};

use super::{
    family::Family,
    labels::{Options, UserLabels},
    text::{Number, Text},
};
use crate::model::{ActiveAlert, KIND_USER, Moment, Part, Report, User};

/// A report as it is shown at one moment.
pub(super) struct View<'a> {
    pub(super) report: &'a Report,
    pub(super) naming: &'a Naming,
    pub(super) now: Moment,
}

impl<'a> View<'a> {
    pub(super) fn target(&self) -> &'a str {
        &self.report.target
    }

    pub(super) fn if_fresh<T>(&self, part: Part, value: Option<T>) -> Option<T> {
        value.filter(|_| self.report.fresh(part, self.now))
    }

    pub(super) fn if_fresh_list<T>(&self, part: Part, list: &'a [T]) -> &'a [T] {
        if self.report.fresh(part, self.now) { list } else { &[] }
    }

    /// The whole list of users; absent while a first walk goes on or the list is stale.
    pub(super) fn all_users(&self) -> Option<&'a [Arc<User>]> {
        let users = &self.report.users;
        self.if_fresh(Part::Users, users.walked_since().map(|_| users.list()))
    }

    /// The users that have series of their own and the number of the others; absent: none may be named, or the list is
    /// stale.
    pub(super) fn named_users(&self) -> Option<(&'a [Arc<User>], usize)> {
        let named = self.naming.split(self.report.users.list());
        self.if_fresh(Part::Users, named)
    }
}

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
        self.within_limit(user).then(|| self.labels.of(user)).flatten()
    }

    /// The value of the label of an alert's subject; absent: no series may name it.
    pub(super) fn subject<'a>(&self, alert: &'a ActiveAlert) -> Option<Cow<'a, str>> {
        let named = alert.kind != KIND_USER || self.within_limit(&alert.subject);
        named.then(|| self.labels.of_subject(alert)).flatten()
    }

    /// Whether labels are hashes, whose order must not give away that of the names.
    pub(super) fn hashes(&self) -> bool {
        matches!(self.labels, UserLabels::Hash(_))
    }

    fn within_limit(&self, user: &str) -> bool {
        self.first_omitted.as_deref().is_none_or(|first| user < first)
    }

    fn split<'u>(&self, sorted: &'u [Arc<User>]) -> Option<(&'u [Arc<User>], usize)> {
        let (named, others) = sorted.split_at(sorted.partition_point(|user| self.within_limit(&user.name)));
        (!matches!(self.labels, UserLabels::Off)).then_some((named, others.len()))
    }
}

/// Writes a family that has one series per target.
pub(super) fn each_target<V: Into<Number>>(
    text: &mut Text,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&View<'_>) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        if let Some(value) = value(view) {
            series.add(&[view.target()], value);
        }
    }
}

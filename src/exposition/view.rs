//! What may be shown of a report at one moment: the parts that are fresh, and the users that may be named.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    sync::{Arc, OnceLock},
};

use super::{
    family::Family,
    labels::{Options, UserLabels},
    text::{Number, Text},
};
use crate::model::{
    ActiveAlert, Finder, KIND_USER, LlmState, Moment, Part, Place, Report, Share, SortedUsers, User, Users,
};

/// A report as it is shown at one moment.
pub(super) struct View<'a> {
    pub(super) report: &'a Report,
    pub(super) naming: &'a Naming,
    pub(super) options: &'a Options,
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

    /// How the usage of an LLM proxy is read.
    pub(super) fn llm_state(&self) -> Option<LlmState> {
        let parts = [Part::Credentials, Part::Usage];
        self.report.llm_state.filter(|_| parts.iter().any(|part| self.report.fresh(*part, self.now)))
    }

    /// The whole list of users; absent while a first walk goes on or the list is stale.
    pub(super) fn all_users(&self) -> Option<&'a SortedUsers> {
        self.report.all_users(self.now)
    }

    /// Rows that were left out of each list that is fresh.
    pub(super) fn rows_omitted(&self) -> impl Iterator<Item = (Part, usize)> {
        let users = self.all_users().map(|_| (Part::Users, self.report.users.omitted()));
        let others = self.report.omitted.iter().map(|(part, rows)| (*part, *rows));
        others.filter(|(part, _)| self.report.fresh(*part, self.now)).chain(users)
    }

    /// How many users have series of their own, the first ones of the list, and the number of the others; absent: none
    /// may be named, or the list is stale.
    pub(super) fn named_users(&self) -> Option<(usize, usize)> {
        let listed = self.naming.listed();
        let named = (listed, self.report.users.list().len() - listed);
        self.if_fresh(Part::Users, Some(named).filter(|_| !matches!(self.naming.labels, UserLabels::Off)))
    }

    /// Those of a share of them, with their labels and in the order of these.
    pub(super) fn each_user(&self, share: Share, mut each: impl FnMut(&'a User, &'a str)) {
        if self.named_users().is_none() {
            return;
        }
        let (naming, users) = (self.naming, self.report.users.list());
        if naming.hashes() {
            let rows = naming.hashed();
            let rows = rows.get(share.part(rows.len())).unwrap_or_default().iter();
            rows.filter_map(|(label, place)| Some((users.at(*place)?, &**label)))
                .for_each(|(user, label)| each(user, label));
        } else {
            let has_place = |user: &&User| naming.beyond.as_ref().is_none_or(|beyond| user.name < *beyond);
            users.share(share).take_while(has_place).for_each(|user| each(user, &user.name));
        }
    }
}

/// Which users of a target may have series, and their label there. Every family that names a user asks this.
///
/// At most `limit` users have a place. Those of the target's list come first. The places that these leave are for other
/// users with traffic per node, and then for other users with alerts. Within each of the three, the first by name count.
#[derive(Debug)]
pub(super) struct Naming {
    target: Arc<str>,
    pub(super) labels: UserLabels,
    limit: usize,
    users: Arc<Users>,
    /// The first user of the list that has no place.
    beyond: Option<Arc<str>>,
    /// Users with traffic per node that are not in the list and have a place.
    others: BTreeSet<Arc<str>>,
    /// The labels of the list, if these are hashes, and whose they are. Made when the first family needs them.
    hashed: OnceLock<Vec<(String, Place)>>,
}

impl Naming {
    pub(super) fn new(report: &Report, options: &Options) -> Self {
        let mut naming = Naming {
            target: Arc::clone(&report.target),
            labels: options.labels.clone(),
            limit: options.limit,
            users: Arc::clone(&report.users),
            beyond: report.users.list().nth(options.limit).map(|user| Arc::clone(&user.name)),
            others: BTreeSet::new(),
            hashed: OnceLock::new(),
        };
        let users = report.user_nodes.iter().map(|traffic| &traffic.user);
        let unlisted: BTreeSet<_> = users.filter(|user| !naming.has_place(user)).collect();
        naming.others = unlisted.into_iter().take(naming.free()).map(Arc::clone).collect();
        naming
    }

    /// The one of `namings`, which are sorted by target, for a target.
    pub(super) fn of<'n>(namings: &'n [Naming], target: &str) -> Option<&'n Naming> {
        let at = namings.binary_search_by(|naming| (*naming.target).cmp(target)).ok()?;
        namings.get(at)
    }

    /// The value of the label of a user with traffic per node; absent: no series may name the user.
    pub(super) fn label<'u>(&self, user: &'u str) -> Option<Cow<'u, str>> {
        self.has_place(user).then(|| self.labels.of(user)).flatten()
    }

    /// Of the users that `alerts` of the target are about, those without a place.
    pub(super) fn omitted<'a>(&self, alerts: &[&'a ActiveAlert]) -> HashSet<&'a str> {
        let free = self.free();
        // Searching for each is the slow part.
        if alerts.len() <= free {
            return HashSet::new();
        }
        let users = alerts.iter().filter(|alert| alert.kind == KIND_USER).map(|alert| &*alert.subject);
        let mut finder = self.users.list().finder();
        let unlisted: BTreeSet<_> = users.filter(|user| !self.has_place_by(user, &mut finder)).collect();
        unlisted.into_iter().skip(free).collect()
    }

    /// Whether labels are hashes, whose order must not give away that of the names.
    pub(super) fn hashes(&self) -> bool {
        matches!(self.labels, UserLabels::Hash(_))
    }

    /// Sorted: in the order of names, a hash would still show where in the alphabet its user is.
    fn hashed(&self) -> &[(String, Place)] {
        self.hashed.get_or_init(|| {
            let users = self.users.list().places().take(self.limit);
            let rows =
                users.filter_map(|(place, user)| Some((self.labels.of(&user.name)?.into_owned(), place)));
            let mut rows: Vec<_> = rows.collect();
            rows.sort_unstable_by(|(label, _), (other, _)| label.cmp(other));
            rows
        })
    }

    /// How many of the list have a place.
    fn listed(&self) -> usize {
        self.users.list().len().min(self.limit)
    }

    fn has_place(&self, user: &str) -> bool {
        self.has_place_by(user, &mut self.users.list().finder())
    }

    /// As [`Self::has_place`], faster for users in the order of their names.
    fn has_place_by(&self, user: &str, finder: &mut Finder<'_>) -> bool {
        let is_first = self.beyond.as_deref().is_none_or(|beyond| user < beyond);
        is_first && finder.get(user).is_some() || self.others.contains(user)
    }

    /// How many places the list and the others leave.
    fn free(&self) -> usize {
        self.limit - self.listed() - self.others.len()
    }
}

/// Writes a family that has one series per target.
pub(super) fn each_target<V: Into<Number>>(
    text: &mut Text<'_>,
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

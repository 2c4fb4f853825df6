//! What the configuration says about metrics and pages: how they show users, and the budgets that they show.

use std::borrow::Cow;

use crate::{
    model::{ActiveAlert, KIND_USER, KeyBudget},
    secret::HashKey,
};

/// How users are shown, and the budgets of client keys.
#[derive(Clone, Debug)]
pub struct Options {
    pub labels: UserLabels,
    /// The most users per target that have series of their own, in any family. The first by name are kept, and the
    /// others are counted.
    pub limit: usize,
    /// Whether the inbounds of each user have series.
    pub inbounds: bool,
    /// Whether what each user has used today has series.
    pub used_today: bool,
    /// Of the rules about budgets that are in force.
    pub budgets: Vec<KeyBudget>,
}

/// How metrics and pages name users.
#[derive(Clone, Debug)]
pub enum UserLabels {
    /// By their names.
    Name,
    /// By 16 hex digits that stay the same as long as the key does.
    Hash(HashKey),
    /// Not at all: no series and no page names a user.
    Off,
}

impl UserLabels {
    /// The label of the user called `name`; absent: users may not be named.
    pub fn of<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        match self {
            UserLabels::Name => Some(Cow::Borrowed(name)),
            UserLabels::Hash(key) => Some(Cow::Owned(key.hash(name))),
            UserLabels::Off => None,
        }
    }

    /// The label of an alert's subject, which may be a user; absent: the alert may not be shown one by one.
    pub fn of_subject<'a>(&self, alert: &'a ActiveAlert) -> Option<Cow<'a, str>> {
        if alert.kind == KIND_USER { self.of(&alert.subject) } else { Some(Cow::Borrowed(&alert.subject)) }
    }
}

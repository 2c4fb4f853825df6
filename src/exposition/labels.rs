use std::borrow::Cow;

use crate::secret::HashKey;

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
}

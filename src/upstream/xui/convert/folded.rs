//! How names of clients are compared.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

/// A name of a client as the panels compare it: without regard to case.
pub(in crate::upstream::xui) fn folded(name: &str) -> Cow<'_, str> {
    if name.chars().any(char::is_uppercase) { name.to_lowercase().into() } else { name.into() }
}

/// What is known of clients by their folded names. The standard library's hash costs several times as much.
pub(in crate::upstream::xui) type ByName<T> = HashMap<Arc<str>, T, foldhash::fast::RandomState>;

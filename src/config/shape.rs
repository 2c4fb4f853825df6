//! Which tables and keys a configuration may have, and how much of each value a page may show.
//!
//! Every section declares its own [`Shape`]; the top level refers to all of them. Reading, the advice in error messages
//! and the page `/config` follow these declarations.

use std::iter;

/// The keys that a table may have.
pub(super) struct Shape {
    /// What messages call the table.
    pub(super) title: &'static str,
    /// In groups, because tables share keys.
    pub(super) keys: &'static [&'static [Key]],
}

/// A key and what a page may show of its value.
pub(super) type Key = (&'static str, Show);

/// How much of a value a page may show. Of a key that is not hidden, numbers and switches are shown as they are.
#[derive(Clone, Copy)]
pub(super) enum Show {
    /// Nothing: secrets, paths, people, and text that may be anything.
    Hidden,
    /// Numbers and switches; text is hidden.
    Number,
    /// The whole text if this holds.
    If(fn(&str) -> bool),
    /// The scheme, host and port of a URL. A URL with a password in it is hidden.
    Origin,
    /// The whole text if pages show the names of users.
    People,
    /// A table, whose keys have their own rules.
    Table(&'static Shape),
    /// Tables under names that the operator chooses.
    Tables(&'static Shape),
}

impl Shape {
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        self.keys.iter().copied().flatten().copied()
    }

    /// The names of the keys, in the order in which messages list them.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.keys().map(|(name, _)| name)
    }

    /// What a page may show of a key. A key that is not declared is hidden.
    pub(super) fn show(&self, key: &str) -> Show {
        self.keys().find(|(name, _)| *name == key).map_or(Show::Hidden, |(_, show)| show)
    }

    /// The tables below this one, each followed by those below it.
    pub(super) fn below(&self) -> Vec<&'static Shape> {
        let below = self.keys().filter_map(|(_, show)| match show {
            Show::Table(shape) | Show::Tables(shape) => Some(shape),
            _ => None,
        });
        below.flat_map(|shape| iter::once(shape).chain(shape.below())).collect()
    }
}

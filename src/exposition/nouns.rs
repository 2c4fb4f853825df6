//! All families, and who writes them.

use super::{
    admins, credentials, family::Family, hosts, inbounds, llm, nodes, outbounds, rows::RowFamily, targets,
    text::Text, user_nodes, user_online, user_rows, users, view::View,
};

use crate::model::Share;

/// The families about one kind of thing, and what writes them for some targets.
pub(super) struct Noun {
    pub(super) families: &'static [&'static Family<'static>],
    pub(super) writer: Writer,
    pub(super) outdated_by: Change,
}

pub(super) enum Writer {
    Whole(fn(&mut Text<'_>, &[View<'_>])),
    Rows(&'static [RowFamily]),
}

impl Noun {
    pub(super) fn write(&self, text: &mut Text<'_>, views: &[View<'_>]) {
        match self.writer {
            Writer::Whole(write) => write(text, views),
            Writer::Rows(rows) => rows.iter().for_each(|row| row.write(text, views, Share::ALL)),
        }
    }
}

/// What outdates the text of a noun, beside time.
#[derive(Clone, Copy)]
pub(super) enum Change {
    /// Any new report.
    Report,
    /// What [`user_rows::Source`] names.
    Users,
    /// What [`user_online::Source`] names.
    Online,
}

use Writer::{Rows, Whole};

/// In the order in which they are written.
pub(super) static NOUNS: [Noun; 12] = [
    Noun { families: targets::FAMILIES, writer: Whole(targets::write), outdated_by: Change::Report },
    Noun { families: users::FAMILIES, writer: Whole(users::write), outdated_by: Change::Report },
    Noun { families: user_rows::FAMILIES, writer: Rows(user_rows::ROWS), outdated_by: Change::Users },
    Noun { families: user_online::FAMILIES, writer: Rows(user_online::ROWS), outdated_by: Change::Online },
    Noun { families: user_nodes::FAMILIES, writer: Whole(user_nodes::write), outdated_by: Change::Report },
    Noun { families: nodes::FAMILIES, writer: Whole(nodes::write), outdated_by: Change::Report },
    Noun { families: hosts::FAMILIES, writer: Whole(hosts::write), outdated_by: Change::Report },
    Noun { families: inbounds::FAMILIES, writer: Whole(inbounds::write), outdated_by: Change::Report },
    Noun { families: outbounds::FAMILIES, writer: Whole(outbounds::write), outdated_by: Change::Report },
    Noun { families: admins::FAMILIES, writer: Whole(admins::write), outdated_by: Change::Report },
    Noun { families: llm::FAMILIES, writer: Whole(llm::write), outdated_by: Change::Report },
    Noun { families: credentials::FAMILIES, writer: Whole(credentials::write), outdated_by: Change::Report },
];

/// Every family about the targets, in the order they are written.
pub fn families() -> impl Iterator<Item = &'static Family<'static>> {
    NOUNS.iter().flat_map(|noun| noun.families).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::family::Kind, *};

    #[test]
    fn names_follow_the_rules_of_naming() {
        let mut names = HashSet::new();
        for Family { name, kind, labels, help } in families() {
            assert!(names.insert(name), "{name} twice");
            let stem = name.strip_prefix("proxymeter_").unwrap();
            assert!(
                stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Kind::Info, name.ends_with("_info"), "{name}");
            assert_eq!(labels.first(), Some(&"target"), "{name}");
            assert!(labels.iter().all(|label| !["job", "instance", "type"].contains(label)), "{name}");
            let polled = ["polled", "Polled", "walked", "read"].iter().any(|word| help.contains(word));
            assert!(polled && help.ends_with('.') && !help.contains(['"', '\\', '\n']), "{name}: {help}");
        }
    }
}

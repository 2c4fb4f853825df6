//! Names that operators choose: which characters they may have, and whether a reference to a name has its table.

use std::collections::{BTreeMap, HashSet};

use super::errors::and_more;
use super::reading::Place;
use super::shape::Shape;
use super::table::{Field, Placed, Table, nearest};
use super::values::{free_text, one_of};

/// The names of all targets and receivers, known before their tables are read. Sorted.
pub(super) struct Names {
    targets: Vec<String>,
    receivers: Vec<String>,
    /// The word that heads the table of each target.
    words: BTreeMap<String, &'static str>,
}

impl Names {
    /// Reads the names from the tables of these kinds. Refuses a name that two targets or two receivers have.
    pub(super) fn read(root: &Table<'_, '_>, targets: &[&'static str], receivers: &[&str]) -> Self {
        let words =
            targets.iter().flat_map(|word| root.names_of(word).into_iter().map(|(name, _)| (name, *word)));
        Self {
            words: words.collect(),
            targets: read_unique(root, "targets", targets),
            receivers: read_unique(root, "receivers", receivers),
        }
    }

    pub(super) fn check_receiver(&self, name: &str) -> Result<(), String> {
        check_known("receiver", name, &self.receivers)
    }

    pub(super) fn check_target_name(&self, name: &str) -> Result<(), String> {
        check_known("target", name, &self.targets)
    }

    /// The word that heads the table of a target, such as `marzban`.
    pub(super) fn target_word(&self, name: &str) -> Option<&'static str> {
        self.words.get(name).copied()
    }

    /// A pattern with `*` or `?` may match future targets; a name must exist.
    pub(super) fn check_target(&self, pattern: &str) -> Result<(), String> {
        if pattern.contains(['*', '?']) { Ok(()) } else { self.check_target_name(pattern) }
    }
}

fn read_unique(root: &Table<'_, '_>, owners: &str, kinds: &[&str]) -> Vec<String> {
    let mut names: Vec<_> = kinds.iter().flat_map(|kind| root.names_of(kind)).collect();
    names.sort_by_key(|(_, place)| place.offset);
    let mut places = BTreeMap::<String, Place>::new();
    for (name, place) in names {
        if let Some(other) = places.get(&name) {
            let text =
                format!("the name of [{}] already; {owners} of all kinds share their names", other.key);
            root.reading.refuse(&place, text);
        } else {
            places.insert(name, place);
        }
    }
    places.into_keys().collect()
}

/// Takes the tables of one kind and refuses invalid names. `owner` is what has the name, such as "a target".
pub(super) fn tables<'t, 'd>(
    root: &mut Table<'t, 'd>,
    kind: &str,
    owner: &str,
    shape: &'static Shape,
) -> Vec<(String, Table<'t, 'd>)> {
    let mut tables = Vec::new();
    for (name, place, entries) in root.named_tables(kind) {
        let table = Table::open(root.reading, place, shape, entries);
        if !is_name(&name) {
            table.reading.refuse(
                &table.place,
                format!("not {owner}'s name; write lower-case letters, digits, - and _, with a letter or digit first"),
            );
        }
        tables.push((name, table));
    }
    tables
}

/// Refuses names of one kind whose secrets would have the same environment variables.
pub(super) fn tell_apart(tables: &[(String, Table<'_, '_>)]) {
    let mut names_by_variable = BTreeMap::new();
    for (name, table) in tables.iter().filter(|(name, _)| is_name(name)) {
        if let Some(other) = names_by_variable.insert(name.replace('-', "_"), name) {
            table.reading.refuse(
                &table.place,
                format!("environment variables cannot distinguish it from {other}; choose names that differ in more than - and _"),
            );
        }
    }
}

/// Takes a list of names or patterns that pass `check`, each once.
pub(super) fn take_list(
    table: &mut Table<'_, '_>,
    key: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Field<Vec<String>> {
    let list = table.take_list(key, |value| {
        let name = free_text(value)?;
        check(&name).map(|()| name)
    });
    match list {
        Field::Given(Placed { value, place }) => {
            let mut names: Vec<String> = Vec::with_capacity(value.len());
            let mut seen = HashSet::new();
            for Placed { value: name, place } in value {
                if !seen.insert(name.clone()) {
                    table.reading.refuse(&place, format!("{name:?} is listed twice; write it once"));
                }
                table.reading.warn_of_placeholder(&place, &name);
                names.push(name);
            }
            Field::Given(Placed { value: names, place })
        }
        Field::Absent => Field::Absent,
        Field::Refused => Field::Refused,
    }
}

/// A name is used as a label value, in URLs and, with `_` for `-`, in environment variables.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(allowed) && name.chars().all(|c| allowed(c) || c == '-' || c == '_')
}

/// Whether a text is a name, or a pattern of names with `*` and `?`.
pub(super) fn is_pattern(text: &str) -> bool {
    is_name(&text.replace(['*', '?'], "0"))
}

/// `known` is sorted.
fn check_known(what: &str, name: &str, known: &[String]) -> Result<(), String> {
    // Of more names, comparing each with each unknown one takes too long.
    const COMPARED: usize = 200;
    // More of them do not help.
    const LISTED: usize = 20;
    if known.binary_search_by(|known| known.as_str().cmp(name)).is_ok() {
        return Ok(());
    }
    let compared = known.get(..COMPARED).unwrap_or(known);
    let advice = match nearest(name, compared.iter().map(String::as_str)) {
        Some(meant) => format!("write {meant:?}"),
        None if known.is_empty() => format!("there is no {what} yet"),
        None => match known.get(..LISTED) {
            Some(listed) if known.len() > LISTED => {
                format!("{}, {}", one_of(listed), and_more(known.len() - LISTED))
            }
            _ => one_of(known),
        },
    };
    Err(format!("no {what} is named {name:?}; {advice}"))
}

//! One table of the file, from which a section takes its keys.
//!
//! Unknown keys are refused when the table is opened, wrong values when they are taken. Reading continues after both. A
//! [`Field`] distinguishes an absent key from a refused one, so that one mistake causes one error.

use toml::de::{DeTable, DeValue};

use super::reading::{Place, Reading};
use super::shape::Shape;
use super::values;

pub(super) struct Table<'t, 'd> {
    pub(super) reading: &'t Reading<'t>,
    pub(super) place: Place,
    shape: &'static Shape,
    entries: DeTable<'d>,
    /// Absent keys that an unknown one was probably meant to be.
    misspelt: Vec<&'static str>,
}

/// The outcome of taking a key.
#[derive(Debug)]
pub(super) enum Field<T> {
    Absent,
    /// Present but wrong, and already reported.
    Refused,
    Given(Placed<T>),
}

#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A key that the operator chooses.
pub(super) struct FreeEntry<'d> {
    pub(super) name: String,
    /// Of the name.
    pub(super) place: Place,
    pub(super) value: Placed<DeValue<'d>>,
}

impl<'t, 'd> Table<'t, 'd> {
    pub(super) fn root(reading: &'t Reading<'t>, entries: DeTable<'d>) -> Self {
        Self::open(reading, Place::default(), reading.root, entries)
    }

    /// Opens a table and refuses unknown keys.
    pub(super) fn open(
        reading: &'t Reading<'t>,
        place: Place,
        shape: &'static Shape,
        entries: DeTable<'d>,
    ) -> Self {
        let mut known = DeTable::new();
        let mut unknown = Vec::new();
        for (key, value) in entries {
            if shape.names().any(|known| known == key.get_ref()) {
                known.insert(key, value);
            } else {
                unknown.push((key, value));
            }
        }
        let mut misspelt = Vec::new();
        for (key, value) in unknown {
            let what =
                if matches!(value.get_ref(), DeValue::Table(_)) { "unknown table" } else { "unknown key" };
            let meant = shape.names().filter(|candidate| !known.contains_key(*candidate));
            let advice = match nearest(key.get_ref(), meant) {
                Some(meant) => {
                    misspelt.push(meant);
                    format!("write {meant}")
                }
                None => advice(reading.root, shape, key.get_ref()),
            };
            reading.refuse(&place.below(key.get_ref()).at(key.span().start), format!("{what}; {advice}"));
        }
        Self { reading, place, shape, entries: known, misspelt }
    }

    /// Takes a key's value, read by `parse`, whose error says what was seen and what to write instead.
    pub(super) fn take<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Field<T> {
        let Some((place, value)) = self.remove(key) else { return self.missing(key) };
        match parse(&value) {
            Ok(value) => Field::Given(Placed { value, place }),
            Err(text) => {
                self.reading.refuse(&place, text);
                Field::Refused
            }
        }
    }

    /// Takes a text that may have any characters, and that passes `check`.
    pub(super) fn take_free_text(
        &mut self,
        key: &str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Field<String> {
        let text = self.take(key, |value| {
            let text = values::free_text(value)?;
            check(&text).map(|()| text)
        });
        if let Field::Given(text) = &text {
            self.reading.warn_of_placeholder(&text.place, &text.value);
        }
        text
    }

    /// Takes a list, each element read by `parse`. A single value is a list of one.
    pub(super) fn take_list<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&DeValue<'_>) -> Result<T, String>,
    ) -> Field<Vec<Placed<T>>> {
        let Some((place, value)) = self.remove(key) else { return self.missing(key) };
        let elements = match value {
            DeValue::Array(array) => array
                .into_iter()
                .map(|element| (place.clone().at(element.span().start), element.into_inner()))
                .collect(),
            single => vec![(place.clone(), single)],
        };
        let mut values = Vec::with_capacity(elements.len());
        let mut refused = false;
        for (place, element) in elements {
            match parse(&element) {
                Ok(value) => values.push(Placed { value, place }),
                Err(text) => {
                    self.reading.refuse(&place, text);
                    refused = true;
                }
            }
        }
        if refused { Field::Refused } else { Field::Given(Placed { value: values, place }) }
    }

    /// Takes a table below this one. An absent or refused table counts as empty.
    pub(super) fn section(&mut self, key: &str, shape: &'static Shape) -> Table<'t, 'd> {
        let place = self.place.below(key);
        let (place, entries) = self.take_entries(key, &place.key).unwrap_or((place, DeTable::new()));
        Table::open(self.reading, place, shape, entries)
    }

    /// Takes the tables of one kind, each with its name and the place of the name.
    pub(super) fn named_tables(&mut self, kind: &str) -> Vec<(String, Place, DeTable<'d>)> {
        let Some((place, entries)) = self.take_entries(kind, &format!("{kind}.NAME")) else {
            return Vec::new();
        };
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);

        let mut tables = Vec::new();
        let mut nameless = false;
        for (key, value) in entries {
            let offset = key.span().start;
            let name = key.into_inner().into_owned();
            let place = place.below(&name).at(offset);
            match value.into_inner() {
                DeValue::Table(entries) => tables.push((name, place, entries)),
                // If the name is missing, every key of the target is here. One error is enough.
                _ if nameless => {}
                value => {
                    nameless = true;
                    let seen = values::kind(&value);
                    self.reading.refuse(
                        &place,
                        format!("{seen} where a table was expected; head these keys with [{kind}.NAME], under a name of your choice"),
                    );
                }
            }
        }
        tables
    }

    /// The names of the tables of one kind, whatever the tables contain.
    pub(super) fn names_of(&self, kind: &str) -> Vec<(String, Place)> {
        let Some(DeValue::Table(tables)) = self.entries.get(kind).map(|value| value.get_ref()) else {
            return Vec::new();
        };
        let place = self.place.below(kind);
        let tables = tables.iter().filter(|(_, value)| matches!(value.get_ref(), DeValue::Table(_)));
        tables
            .map(|(key, _)| (key.get_ref().to_string(), place.below(key.get_ref()).at(key.span().start)))
            .collect()
    }

    /// Takes a table whose keys the operator chooses, in the order of the text.
    pub(super) fn free_section(&mut self, key: &str) -> Vec<FreeEntry<'d>> {
        let head = self.place.below(key).key;
        let Some((place, entries)) = self.take_entries(key, &head) else { return Vec::new() };
        let mut entries: Vec<_> = entries
            .into_iter()
            .map(|(key, value)| {
                let place = place.below(key.get_ref());
                let value = Placed { place: place.clone().at(value.span().start), value: value.into_inner() };
                FreeEntry { place: place.at(key.span().start), name: key.into_inner().into_owned(), value }
            })
            .collect();
        entries.sort_by_key(|entry| entry.place.offset);
        entries
    }

    /// Whether the table may have a key.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.shape.names().any(|known| known == key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Reports that the table has a key that it should not have beside others. Absent: it reports nothing.
    pub(super) fn refuse_given(&self, key: &str, text: &str) {
        if let Some(value) = self.entries.get(key) {
            self.reading.refuse(&self.place.below(key).at(value.span().start), text);
        }
    }

    /// Reports a mistake in a key that the table may not have.
    pub(super) fn refuse(&self, key: &str, text: impl Into<String>) {
        self.reading.refuse(&self.place.below(key), text);
    }

    fn take_entries(&mut self, key: &str, head: &str) -> Option<(Place, DeTable<'d>)> {
        let key_offset = self.entries.get_key_value(key).map(|(key, _)| key.span().start)?;
        let (place, value) = self.remove(key)?;
        match value {
            DeValue::Table(entries) => Some((self.place.below(key).at(key_offset), entries)),
            value => {
                let seen = values::kind(&value);
                let advice =
                    format!("{seen} where a table was expected; write [{head}] and its keys below that");
                self.reading.refuse(&place, advice);
                None
            }
        }
    }

    /// The value of a key and the value's place.
    fn remove(&mut self, key: &str) -> Option<(Place, DeValue<'d>)> {
        debug_assert!(self.shape.names().any(|known| known == key), "{key} is missing from the shape");
        let value = self.entries.remove(key)?;
        Some((self.place.below(key).at(value.span().start), value.into_inner()))
    }

    fn missing<T>(&self, key: &str) -> Field<T> {
        if self.misspelt.contains(&key) { Field::Refused } else { Field::Absent }
    }
}

impl<T> Field<T> {
    pub(super) fn given(self) -> Option<Placed<T>> {
        match self {
            Field::Given(placed) => Some(placed),
            Field::Absent | Field::Refused => None,
        }
    }

    pub(super) fn value(self) -> Option<T> {
        self.given().map(|placed| placed.value)
    }

    /// Where it is, if it is given.
    pub(super) fn place(&self) -> Option<&Place> {
        match self {
            Field::Given(placed) => Some(&placed.place),
            Field::Absent | Field::Refused => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Field::Absent)
    }
}

/// For a key that resembles none of its table's: the table where it belongs, or else all keys of its own table.
fn advice(root: &Shape, shape: &Shape, key: &str) -> String {
    match root.below().into_iter().find(|shape| shape.names().any(|known| known == key)) {
        Some(shape) => format!("it belongs in {}", shape.title),
        None => format!("{} knows {}", shape.title, shape.names().collect::<Vec<_>>().join(", ")),
    }
}

/// The candidate that `key` was probably meant to be: at most two letters must be added, dropped or changed, and fewer
/// than half of the candidate's. Case, `-` and `_` make no difference.
///
/// Texts whose lengths in bytes differ by more than `FAR` are not compared, as one of them may have megabytes.
pub(super) fn nearest<'c>(key: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    const FAR: usize = 8;
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let key = plain(key);
    candidates
        .filter(|candidate| candidate.len().abs_diff(key.len()) <= FAR)
        .map(|candidate| (strsim::levenshtein(&key, &plain(candidate)), candidate))
        .filter(|&(distance, candidate)| distance <= 2 && 2 * distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key() {
        let keys = || ["url", "username", "password", "password_file", "api_key"].into_iter();
        for (key, expected) in [
            ("uri", Some("url")),
            ("passwrod", Some("password")),
            ("user_name", Some("username")),
            ("Password-File", Some("password_file")),
            ("apikey", Some("api_key")),
            ("token", None),
            ("u", None),
        ] {
            assert_eq!(nearest(key, keys()), expected, "{key}");
        }
    }
}

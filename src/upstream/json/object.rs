//! Objects, whose fields are read one by one, and lists of them.

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    caps::{IDENTITY, ROWS, TEXT},
    odd::OddFields,
    value,
};
use crate::model::Timestamp;

/// One JSON object. Its fields are read by name.
#[derive(Debug)]
pub struct Object<'a> {
    /// What it is, for messages.
    name: &'static str,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    odd: &'a OddFields,
    /// The fields that were read and are odd.
    odd_here: RefCell<Vec<&'static str>>,
}

/// Why a row cannot be identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// The name or key is absent, empty, or no text.
    Identity,
    /// The name or key is longer than [`IDENTITY`].
    ShortIdentity,
}

impl<'a> Object<'a> {
    /// The object in `raw`; absent: it is something else.
    pub fn new(name: &'static str, raw: &'a RawValue, odd: &'a OddFields) -> Option<Self> {
        Object::of_text(name, raw.get(), odd)
    }

    /// The object that `text` is; absent: it is something else, or no JSON.
    pub fn of_text(name: &'static str, text: &'a str, odd: &'a OddFields) -> Option<Self> {
        let Fields(fields) = serde_json::from_str(text).ok()?;
        Some(Object { name, fields, odd, odd_here: RefCell::default() })
    }

    /// Whether there is such a field, whatever it is.
    pub fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == field)
    }

    /// Whether a field that was read is odd.
    pub fn was_odd(&self, field: &str) -> bool {
        self.odd_here.borrow().contains(&field)
    }

    /// Every field, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(name, value)| (&**name, *value))
    }

    /// A number of bytes or items. Fractions are cut, negative numbers become 0, and numbers beyond 64 bits the maximum.
    pub fn count(&self, field: &'static str) -> Option<u64> {
        self.read(field, "a number", |raw| value::count(raw.get()))
    }

    /// A number of bytes that moved within hours. One that is negative or beyond all reason is odd: it would be added to a
    /// sum for good.
    pub fn amount(&self, field: &'static str) -> Option<u64> {
        const BEYOND_REASON: f64 = 1e18;
        self.read(field, "a plausible number", |raw| {
            let plausible = (0.0..BEYOND_REASON).contains(&value::number(raw.get())?);
            value::count(raw.get()).filter(|_| plausible)
        })
    }

    /// A finite number.
    pub fn number(&self, field: &'static str) -> Option<f64> {
        self.read(field, "a number", |raw| value::number(raw.get()))
    }

    /// A list of numbers, as many as are wanted; more are left out.
    pub fn numbers<const N: usize>(&self, field: &'static str) -> Option<[Option<f64>; N]> {
        self.read(field, "a list of numbers", |raw| {
            let list: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
            Some(std::array::from_fn(|at| list.get(at).and_then(|raw| value::number(raw.get()))))
        })
    }

    /// A whole number of 64 bits.
    pub fn integer(&self, field: &'static str) -> Option<i64> {
        self.read(field, "a whole number", |raw| value::integer(raw.get()))
    }

    pub fn flag(&self, field: &'static str) -> Option<bool> {
        self.read(field, "true or false", |raw| value::flag(raw.get()))
    }

    /// A point in time: Unix seconds, or a date with or without an offset. Without one, it is UTC.
    pub fn time(&self, field: &'static str) -> Option<Timestamp> {
        self.read(field, "a time", |raw| value::time(raw.get()))
    }

    /// A text of at most [`TEXT`] bytes; a longer one is cut. An empty one is absent.
    pub fn text(&self, field: &'static str) -> Option<String> {
        let mut text = self.read(field, "a string", value::string)?;
        value::cut(&mut text, TEXT);
        Some(text).filter(|text| !text.is_empty())
    }

    /// A text of any length that must not be cut. The caller keeps it to itself.
    pub fn secret(&self, field: &'static str) -> Option<String> {
        self.read(field, "a string", value::string)
    }

    /// A number or a text, as a text.
    pub fn number_or_text(&self, field: &'static str) -> Option<String> {
        let mut text = self.read(field, "a number or a string", |raw| {
            value::string(raw).or_else(|| value::number(raw.get()).map(|_| raw.get().to_owned()))
        })?;
        value::cut(&mut text, TEXT);
        Some(text).filter(|text| !text.is_empty())
    }

    /// The text that identifies a row.
    ///
    /// # Errors
    /// When it has none, or one that is too long.
    pub fn identity(&self, field: &'static str) -> Result<String, Lacking> {
        const LONGEST_ESCAPE: usize = 6;
        let raw = self.present(field).ok_or(Lacking::Identity)?;
        if raw.get().len() > IDENTITY * LONGEST_ESCAPE + 2 {
            return Err(Lacking::ShortIdentity);
        }
        match value::string(raw) {
            Some(text) if text.len() > IDENTITY => Err(Lacking::ShortIdentity),
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Lacking::Identity),
        }
    }

    /// An object in this one.
    pub fn object(&self, field: &'static str) -> Option<Object<'a>> {
        let odd = self.odd;
        self.read(field, "an object", |raw| Object::new(field, raw, odd))
    }

    /// The JSON of a field, null included; absent: there is no such field.
    pub fn raw(&self, field: &str) -> Option<&'a RawValue> {
        // Of a doubled field, the last one counts, as in most decoders.
        self.fields.iter().rev().find(|(known, _)| known == field).map(|(_, raw)| *raw)
    }

    /// Records that a field is not what it should be.
    pub fn is_odd(&self, field: &'static str, raw: &RawValue, expected: &'static str) {
        self.odd.record(self.name, field, raw.get(), expected);
        self.odd_here.borrow_mut().push(field);
    }

    fn present(&self, field: &str) -> Option<&'a RawValue> {
        self.raw(field).filter(|raw| raw.get() != "null")
    }

    fn read<T>(
        &self,
        field: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<T> {
        let raw = self.present(field)?;
        let value = read(raw);
        if value.is_none() {
            self.is_odd(field, raw, expected);
        }
        value
    }
}

/// What a list contains.
#[derive(Debug)]
pub struct Rows<T> {
    pub kept: Vec<T>,
    /// Rows that cannot be read or identified, that are in the list already, or that are beyond [`ROWS`].
    pub omitted: usize,
}

impl<T> Rows<T> {
    /// Whether there are rows, and none could be read: then the list is not what it should be.
    pub fn are_unreadable(&self) -> bool {
        self.kept.is_empty() && self.omitted > 0
    }
}

/// Reads a list of objects called `name`; absent: it is no list. `row` gives nothing for a row that is to be left out.
pub fn rows<'a, T>(
    name: &'static str,
    list: &'a RawValue,
    odd: &'a OddFields,
    mut row: impl FnMut(Object<'a>) -> Option<T>,
) -> Option<Rows<T>> {
    let Elements { first, more } = serde_json::from_str(list.get()).ok()?;
    let all = first.len() + more;
    let kept: Vec<_> = first.into_iter().filter_map(|raw| row(Object::new(name, raw, odd)?)).collect();
    Some(Rows { omitted: all - kept.len(), kept })
}

/// The fields of an object, in their order.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;

        impl<'de> Visitor<'de> for Map {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // As many as a user of the systems known has.
                let mut fields = Vec::with_capacity(24);
                while let Some(Key(key)) = map.next_key()? {
                    fields.push((key, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Map)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The first rows of a list, and the number of the others.
struct Elements<'a> {
    first: Vec<&'a RawValue>,
    more: usize,
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Elements { first: Vec::new(), more: 0 };
                while list.first.len() < ROWS {
                    match seq.next_element()? {
                        Some(row) => list.first.push(row),
                        None => return Ok(list),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.more += 1;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_odd_field_is_absent_and_told_by_its_name() {
        let text = raw(r#"{"cpu": "hot", "cores": {}, "used": null, "n": "4", "name": 5, "on": []}"#);
        let odd = OddFields::default();
        let object = Object::new("system", &text, &odd).unwrap();
        assert_eq!((object.number("cpu"), object.count("cores"), object.count("used")), (None, None, None));
        assert_eq!((object.count("n"), object.text("name"), object.flag("on")), (Some(4), None, None));
        assert_eq!(object.count("missing"), None);
        assert!(object.was_odd("cpu") && !object.was_odd("used") && !object.was_odd("missing"));
        let told: Vec<_> =
            odd.take().into_iter().map(|(field, times)| format!("{field} ({times})")).collect();
        assert_eq!(
            told,
            [
                "system.cores: an object where a number was expected (1)",
                "system.cpu: a string where a number was expected (1)",
                "system.name: a number where a string was expected (1)",
                "system.on: a list where true or false was expected (1)",
            ]
        );
        assert!(odd.take().is_empty());
    }

    #[test]
    fn a_doubled_field_counts_once_and_escaped_names_are_names() {
        let text = raw(r#"{"a": 1, "a": 2, "\u0062": 3}"#);
        let odd = OddFields::default();
        let object = Object::new("x", &text, &odd).unwrap();
        assert_eq!((object.count("a"), object.count("b")), (Some(2), Some(3)));
    }

    #[test]
    fn a_row_is_known_by_a_text_of_some_length() {
        let odd = OddFields::default();
        let long = "n".repeat(IDENTITY + 1);
        let fits = "n".repeat(IDENTITY);
        let cases = [
            (r#"{"name": "alice"}"#.to_owned(), Ok("alice".to_owned())),
            (format!(r#"{{"name": "{fits}"}}"#), Ok(fits)),
            (format!(r#"{{"name": "{long}"}}"#), Err(Lacking::ShortIdentity)),
            (format!(r#"{{"name": "{}"}}"#, "n".repeat(900_000)), Err(Lacking::ShortIdentity)),
            (r#"{"name": ""}"#.to_owned(), Err(Lacking::Identity)),
            (r#"{"name": null}"#.to_owned(), Err(Lacking::Identity)),
            (r#"{"name": 5}"#.to_owned(), Err(Lacking::Identity)),
            (r#"{"name": "\ud800"}"#.to_owned(), Err(Lacking::Identity)),
            ("{}".to_owned(), Err(Lacking::Identity)),
        ];
        for (text, expected) in cases {
            let text = raw(&text);
            assert_eq!(Object::new("user", &text, &odd).unwrap().identity("name"), expected);
        }
    }

    #[test]
    fn texts_are_cut() {
        let odd = OddFields::default();
        let text = raw(&format!(r#"{{"version": "{}"}}"#, "ä".repeat(TEXT)));
        assert_eq!(Object::new("system", &text, &odd).unwrap().text("version").unwrap().len(), TEXT);
    }

    #[test]
    fn rows_that_are_none_and_rows_beyond_the_cap_are_left_out() {
        let odd = OddFields::default();
        let ids = |text: &str| {
            let list = raw(text);
            rows("node", &list, &odd, |row| row.integer("id")).map(|rows| (rows.kept.len(), rows.omitted))
        };
        assert_eq!(ids(r#"[{"id": 1}, null, 5, [], {}, {"id": "2"}]"#), Some((2, 4)));
        let many: Vec<_> = (0..150_000).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
        assert_eq!(ids(&format!("[{}]", many.join(","))), Some((ROWS, 150_000 - ROWS)));
        for no_list in ["{}", "null", "5", r#""[]""#] {
            assert_eq!(ids(no_list), None, "{no_list}");
        }
    }
}

//! Objects, whose fields are read one by one, and lists of them.

use std::{borrow::Cow, cell::RefCell};

use super::{
    caps::{IDENTITY, ROWS, TEXT},
    odd::OddFields,
    split::{self, ESCAPED, Field},
    value,
};
use crate::model::Timestamp;

/// One JSON object. Its fields are read by name.
#[derive(Debug)]
pub struct Object<'a> {
    /// What it is, for messages.
    name: &'static str,
    text: &'a str,
    fields: Vec<Field>,
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
    /// The object that `text` is; absent: it is something else.
    pub fn new(name: &'static str, text: &'a str, odd: &'a OddFields) -> Option<Self> {
        let (object, length) = Object::first(name, text.as_bytes(), odd)?;
        text.get(length..)?.trim_ascii().is_empty().then_some(object)
    }

    /// The object that `text` begins with, and its length; absent: it is something else, or not whole.
    pub fn first(name: &'static str, text: &'a [u8], odd: &'a OddFields) -> Option<(Self, usize)> {
        // As many as a user of the systems known has.
        let mut fields = Vec::with_capacity(24);
        let length = split::fields(text, &mut fields)?;
        let text = str::from_utf8(text.get(..length)?).ok()?;
        Some((Object { name, text, fields, odd, odd_here: RefCell::default() }, length))
    }

    /// Whether there is such a field, whatever it is.
    pub fn has(&self, field: &str) -> bool {
        self.raw(field).is_some()
    }

    /// Whether a field that was read is odd.
    pub fn was_odd(&self, field: &str) -> bool {
        self.odd_here.borrow().contains(&field)
    }

    /// Every field as JSON, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        self.fields.iter().filter_map(|field| Some((self.key(field)?, self.part(field.value)?)))
    }

    /// A number of bytes or items. Fractions are cut, negative numbers become 0, and numbers beyond 64 bits the maximum.
    pub fn count(&self, field: &'static str) -> Option<u64> {
        self.read(field, "a number", value::count)
    }

    /// A number of bytes that moved within hours. One that is negative or beyond all reason is odd: it would be added to a
    /// sum for good.
    pub fn amount(&self, field: &'static str) -> Option<u64> {
        const BEYOND_REASON: f64 = 1e18;
        self.read(field, "a plausible number", |raw| {
            let plausible = (0.0..BEYOND_REASON).contains(&value::number(raw)?);
            value::count(raw).filter(|_| plausible)
        })
    }

    /// A finite number.
    pub fn number(&self, field: &'static str) -> Option<f64> {
        self.read(field, "a number", value::number)
    }

    /// A list of numbers, as many as are wanted; more are left out.
    pub fn numbers<const N: usize>(&self, field: &'static str) -> Option<[Option<f64>; N]> {
        self.read(field, "a list of numbers", |raw| {
            let mut numbers = [None; N];
            let mut places = numbers.iter_mut();
            each(raw, |raw| places.next().into_iter().for_each(|place| *place = value::number(raw)))?;
            Some(numbers)
        })
    }

    /// A whole number of 64 bits.
    pub fn integer(&self, field: &'static str) -> Option<i64> {
        self.read(field, "a whole number", value::integer)
    }

    pub fn flag(&self, field: &'static str) -> Option<bool> {
        self.read(field, "true or false", value::flag)
    }

    /// A point in time: Unix seconds, or a date with or without an offset. Without one, it is UTC.
    pub fn time(&self, field: &'static str) -> Option<Timestamp> {
        self.read(field, "a time", value::time)
    }

    /// A text of at most [`TEXT`] bytes; a longer one is cut. An empty one is absent.
    pub fn text(&self, field: &'static str) -> Option<String> {
        let mut text = self.word(field)?.into_owned();
        value::cut(&mut text, TEXT);
        Some(text).filter(|text| !text.is_empty())
    }

    /// A text that is looked at and not kept.
    pub fn word(&self, field: &'static str) -> Option<Cow<'a, str>> {
        self.read(field, "a string", value::string)
    }

    /// A text of any length that must not be cut. The caller keeps it to itself.
    pub fn secret(&self, field: &'static str) -> Option<String> {
        self.word(field).map(Cow::into_owned)
    }

    /// A number or a text, as a text.
    pub fn number_or_text(&self, field: &'static str) -> Option<String> {
        let mut text = self.read(field, "a number or a string", |raw| {
            value::string(raw).or_else(|| value::number(raw).map(|_| raw.into())).map(Cow::into_owned)
        })?;
        value::cut(&mut text, TEXT);
        Some(text).filter(|text| !text.is_empty())
    }

    /// The text that identifies a row.
    ///
    /// # Errors
    /// When it has none, or one that is too long.
    pub fn identity(&self, field: &'static str) -> Result<Cow<'a, str>, Lacking> {
        const LONGEST_ESCAPE: usize = 6;
        let raw = self.present(field).ok_or(Lacking::Identity)?;
        if raw.len() > IDENTITY * LONGEST_ESCAPE + 2 {
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
    pub fn raw(&self, field: &str) -> Option<&'a str> {
        let tag = split::tag(field.as_bytes());
        let is_it = |known: &&Field| {
            (known.tag == tag || known.tag == ESCAPED) && self.key(known).is_some_and(|key| key == field)
        };
        // Of a doubled field, the last one counts, as in most decoders.
        self.fields.iter().rev().find(is_it).and_then(|found| self.part(found.value))
    }

    /// Records that a field is not what it should be.
    pub fn is_odd(&self, field: &'static str, raw: &str, expected: &'static str) {
        self.odd.record(self.name, field, raw, expected);
        self.odd_here.borrow_mut().push(field);
    }

    fn present(&self, field: &str) -> Option<&'a str> {
        self.raw(field).filter(|raw| *raw != "null")
    }

    fn key(&self, field: &Field) -> Option<Cow<'a, str>> {
        let (from, to) = field.key;
        match field.tag {
            ESCAPED => value::string(self.part((from - 1, to + 1))?),
            _ => self.part((from, to)).map(Cow::Borrowed),
        }
    }

    fn part(&self, (from, to): (u32, u32)) -> Option<&'a str> {
        self.text.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
    }

    fn read<T>(
        &self,
        field: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
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
    list: &'a str,
    odd: &'a OddFields,
    mut row: impl FnMut(Object<'a>) -> Option<T>,
) -> Option<Rows<T>> {
    let mut rows = Rows { kept: Vec::new(), omitted: 0 };
    let mut places = 0..ROWS;
    objects(name, list, odd, |object| match places.next().and(object).and_then(&mut row) {
        Some(kept) => rows.kept.push(kept),
        None => rows.omitted += 1,
    })?;
    Some(rows)
}

/// Gives each element of the list `text` to `row`; absent: it is no list. An element that is no object gives none.
pub fn objects<'a>(
    name: &'static str,
    text: &'a str,
    odd: &'a OddFields,
    mut row: impl FnMut(Option<Object<'a>>),
) -> Option<()> {
    split::elements(text, |rest| match Object::first(name, rest.as_bytes(), odd) {
        Some((object, length)) => {
            row(Some(object));
            Some(length)
        }
        None => {
            let length = split::length(rest.as_bytes())?;
            row(None);
            Some(length)
        }
    })
}

/// Gives each element of the list `text` to `element`, as JSON; absent: it is no list.
pub fn each<'a>(text: &'a str, mut element: impl FnMut(&'a str)) -> Option<()> {
    split::elements(text, |rest| {
        let length = split::length(rest.as_bytes())?;
        element(rest.get(..length)?);
        Some(length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_field_is_absent_and_told_by_its_name() {
        let text = r#"{"cpu": "hot", "cores": {}, "used": null, "n": "4", "name": 5, "on": []}"#;
        let odd = OddFields::default();
        let object = Object::new("system", text, &odd).unwrap();
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
        let odd = OddFields::default();
        let object = Object::new("x", r#"{"a": 1, "a": 2, "\u0062": 3}"#, &odd).unwrap();
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
            let user = Object::new("user", &text, &odd).unwrap();
            assert_eq!(user.identity("name").map(Cow::into_owned), expected);
        }
    }

    #[test]
    fn texts_are_cut() {
        let odd = OddFields::default();
        let text = format!(r#"{{"version": "{}"}}"#, "ä".repeat(TEXT));
        assert_eq!(Object::new("system", &text, &odd).unwrap().text("version").unwrap().len(), TEXT);
    }

    #[test]
    fn rows_that_are_none_and_rows_beyond_the_cap_are_left_out() {
        let odd = OddFields::default();
        let ids = |text: &str| {
            rows("node", text, &odd, |row| row.integer("id")).map(|rows| (rows.kept.len(), rows.omitted))
        };
        assert_eq!(ids(r#"[{"id": 1}, null, 5, [], {}, {"id": "2"}]"#), Some((2, 4)));
        let many: Vec<_> = (0..150_000).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
        assert_eq!(ids(&format!("[{}]", many.join(","))), Some((ROWS, 150_000 - ROWS)));
        for no_list in ["{}", "null", "5", r#""[]""#, "[1 2]", "[1,]", "[1", "[1] 2", "[", ""] {
            assert_eq!(ids(no_list), None, "{no_list}");
        }
    }
}

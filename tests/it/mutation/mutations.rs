//! The mutations of recorded answers, and what each may cost.

use std::sync::{Arc, LazyLock};

use fastrand::Rng;
use serde_json::{Map, Value};

use super::{
    document::{Edit, MakeBody, below, split},
    system::{Inner, Polled, Rows, System, Weight},
};

#[derive(Clone, Debug)]
pub(super) struct Mutation {
    /// The position of the answer in [`System::polled`].
    pub(super) polled: usize,
    /// The place in the answer: a pointer, or words.
    pub(super) place: String,
    /// What comes there.
    pub(super) what: String,
    pub(super) edits: Vec<Edit>,
    pub(super) cost: Cost,
}

/// What a mutation may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    Nothing,
    /// Series of these rows. What is summed over rows changes.
    Rows(OfRows),
    /// A field is gone, or says the opposite: a few series. It does not identify the row that it is in, if it is in one.
    Few(Option<OfRows>),
    /// Not more than the removal of the field.
    Field(String, Option<OfRows>),
    /// Not more than the failure of the whole answer.
    Answer,
    /// Its rows, known by their labels, and what names no row of another answer.
    Failure {
        own: Vec<&'static str>,
        others: Vec<&'static str>,
    },
    Anything,
}

/// The series that name one of these rows, by its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OfRows(pub(super) Vec<(&'static str, String)>);

impl Mutation {
    /// What it is among all mutations of the system.
    pub(super) fn key(&self) -> (usize, String, String) {
        (self.polled, self.place.clone(), self.what.clone())
    }
}

/// The failure that [`Cost::Answer`] is held against: no whole JSON, so that no row may be at fault.
pub(super) fn failure(system: &System, polled: usize) -> Mutation {
    let label = |polled: &Polled| polled.rows.map(|rows| rows.label);
    let path = system.polled[polled].path;
    let own: Vec<_> = system.polled.iter().filter(|polled| polled.path == path).filter_map(label).collect();
    let cost = match system.polled[polled].weight {
        Weight::Part => Cost::Failure {
            others: system.polled.iter().filter_map(label).filter(|label| !own.contains(label)).collect(),
            own,
        },
        _ => Cost::Anything,
    };
    Mutation {
        polled,
        place: "whole".into(),
        what: FAILURE.into(),
        edits: vec![Edit::Whole(|_| b"{".into())],
        cost,
    }
}

pub(super) const FAILURE: &str = "no whole JSON";

/// Each mutation of one place.
pub(super) fn single(system: &System) -> Vec<Mutation> {
    system
        .polled
        .iter()
        .enumerate()
        .flat_map(|(at, polled)| Maker { at, polled, made: Vec::new() }.all())
        .collect()
}

/// Some of `singles` together, at most one of the fields of each answer that is one object.
pub(super) fn combined(singles: &[Mutation], rng: &mut Rng) -> Vec<Mutation> {
    let mut chosen: Vec<Mutation> = Vec::new();
    let wanted = rng.usize(2..=6);
    while chosen.len() < wanted {
        let next = &singles[rng.usize(..singles.len())];
        let of_object = |one: &Mutation| {
            !matches!(one.cost, Cost::Nothing | Cost::Rows(_) | Cost::Few(Some(_)) | Cost::Field(_, Some(_)))
        };
        let meets = |one: &Mutation| one.polled == next.polled && of_object(one) && of_object(next);
        // The whole answer would hide its other mutations.
        let whole = matches!(next.cost, Cost::Answer | Cost::Anything) && rng.u8(..) > 8;
        if !whole && !chosen.iter().any(meets) {
            chosen.push(next.clone());
        }
    }
    chosen
}

struct Maker<'a> {
    at: usize,
    polled: &'a Polled,
    made: Vec<Mutation>,
}

impl Maker<'_> {
    fn all(mut self) -> Vec<Mutation> {
        let rows_at = self.polled.rows.map(|rows| rows.at);
        let wrapped = self.polled.wrapped().filter(|inner| inner.is_object());
        let outer = objects("", &self.polled.body).into_iter();
        let outer = outer.filter(|(pointer, ..)| wrapped.is_none() || pointer.is_empty());
        for (pointer, fields, tried) in
            outer.chain(wrapped.into_iter().flat_map(|inner| objects("/obj", inner)))
        {
            let holds_rows =
                |pointer: &str| rows_at.is_some_and(|at| at.starts_with(pointer) || pointer.starts_with(at));
            for (key, value) in fields {
                let place = below(&pointer, key);
                if holds_rows(&place) {
                    if rows_at == Some(&*place) {
                        self.list(&place, value);
                    }
                } else if let Some(others) = self.other_rows(value) {
                    let cost = Cost::Rows(others);
                    self.change(&place, value, tried, (cost.clone(), cost));
                } else {
                    self.field(&place, value, tried, None);
                }
            }
        }
        if let Some(rows) = self.polled.rows {
            self.rows(rows);
        }
        self.answer();
        self.made
    }

    /// The rows in another field than the one that is described, as in an object of lists.
    fn other_rows(&self, value: &Value) -> Option<OfRows> {
        let rows = self.polled.rows?;
        let objects = value.as_array()?.iter().filter(|row| row.is_object());
        let names: Vec<_> = objects.map(|row| (rows.label, (rows.name)("", row))).collect();
        (!names.is_empty()).then_some(OfRows(names))
    }

    fn add(&mut self, place: &str, what: impl Into<String>, edits: Vec<Edit>, cost: Cost) {
        self.made.push(Mutation { polled: self.at, place: place.into(), what: what.into(), edits, cost });
    }

    /// A field of the answer itself, or of a row.
    fn field(&mut self, place: &str, value: &Value, tried: Tried, row: Option<&OfRows>) {
        let key = split(place).1;
        let is_replaced = row.is_some() && self.polled.rows.is_some_and(|rows| rows.replaced.contains(&key));
        let costs = match self.polled.weight {
            Weight::Login(field) if field == key => (Cost::Anything, Cost::Anything),
            // What wraps the answer says whether it is one.
            weight if matches!(place, "/success" | "/obj") && self.polled.wrapped().is_some() => {
                let cost = if weight == Weight::Part { Cost::Answer } else { Cost::Anything };
                (cost.clone(), cost)
            }
            _ if self.polled.decides.contains(&key) => {
                let cost = row.map_or(Cost::Anything, |row| Cost::Rows(row.clone()));
                (cost.clone(), cost)
            }
            _ if is_replaced => (Cost::Few(row.cloned()), Cost::Few(row.cloned())),
            _ => (Cost::Few(row.cloned()), Cost::Field(place.into(), row.cloned())),
        };
        self.change(place, value, tried, costs);
    }

    /// Everything that may come in place of a field: that it is gone or says the opposite, and other values, may have
    /// these costs.
    fn change(&mut self, place: &str, value: &Value, tried: Tried, (removal, other): (Cost, Cost)) {
        let (_, key) = split(place);
        self.add(place, "missing", vec![Edit::Remove(place.into())], removal.clone());
        for (what, text) in values(key, value) {
            if tried == Tried::Nested && !NESTED.contains(&what) {
                continue;
            }
            let cost = match what {
                "a number in a string" if value.is_number() => Cost::Nothing,
                "true" | "false" if value.is_boolean() => removal.clone(),
                _ => other.clone(),
            };
            self.add(place, what, vec![Edit::Raw(place.into(), text)], cost);
        }
    }

    /// The field that holds the rows.
    fn list(&mut self, place: &str, value: &Value) {
        self.add(place, "missing", vec![Edit::Remove(place.into())], Cost::Answer);
        for (what, text) in values(split(place).1, value) {
            self.add(place, what, vec![Edit::Raw(place.into(), text)], Cost::Answer);
        }
    }

    fn rows(&mut self, rows: Rows) {
        let all = self.polled.rows();
        let names = |(key, row): &(String, &Value)| {
            let inner = rows
                .inner
                .map(|Inner { at: _, label, names }| names(row).into_iter().map(move |name| (label, name)));
            let own = (rows.label, (rows.name)(key, row));
            [own].into_iter().chain(inner.into_iter().flatten()).collect::<Vec<_>>()
        };
        let chosen: Vec<usize> = match all.len() {
            0..=3 => (0..all.len()).collect(),
            many => vec![0, many / 2, many - 1],
        };
        let is_list = matches!(self.polled.body.pointer(rows.at), Some(Value::Array(_)));
        for at in 0..all.len() {
            let (key, row) = &all[at];
            let place = below(rows.at, key);
            let row_alone = OfRows(names(&all[at]));
            // A list of which no row can be read is no list.
            let own = if all.len() == 1 { Cost::Answer } else { Cost::Rows(row_alone.clone()) };
            for (pointer, fields, tried) in objects(&place, row) {
                for (field, value) in fields {
                    let place = below(&pointer, field);
                    // Of a field that is null in the chosen rows, the first row that has it too.
                    let inner = place.strip_prefix(&below(rows.at, key)).unwrap_or_default();
                    let says = |row: &Value| row.pointer(inner).is_some_and(|value| !value.is_null());
                    let first = all.iter().position(|(_, row)| says(row)) == Some(at);
                    if !chosen.contains(&at) && (!first || chosen.iter().any(|at| says(all[*at].1))) {
                        continue;
                    }
                    let is_whole = rows.identity.contains(&field.as_str())
                        || rows.inner.is_some_and(|inner| inner.at == field);
                    if tried == Tried::All && is_whole {
                        self.change(&place, value, tried, (own.clone(), own.clone()));
                    } else {
                        self.field(&place, value, tried, Some(&row_alone));
                    }
                }
            }
            if !chosen.contains(&at) {
                continue;
            }
            let text = row.to_string();
            let double =
                if is_list { format!("{text},{text}") } else { format!("{text},{}:{text}", quoted(key)) };
            self.add(&place, "twice", vec![Edit::Raw(place.clone(), double.into())], own.clone());
            self.add(&place, "cut", vec![Edit::Remove(place.clone())], own.clone());
            for text in ["null", "5", "\"row\"", "[]", "{}", "[[]]"] {
                self.add(&place, text, vec![Edit::Raw(place.clone(), text.into())], own.clone());
            }
            let other = (at + 1) % all.len();
            let edits: Vec<_> = rows
                .identity
                .iter()
                .map(|field| Edit::Raw(below(&place, field), all[other].1[*field].to_string().into()))
                .collect();
            let both = Cost::Rows(OfRows([names(&all[at]), names(&all[other])].concat()));
            for (field, edit) in rows.identity.iter().zip(&edits) {
                let what = format!("{field} of row {other}");
                self.add(&place, what, vec![edit.clone()], both.clone());
            }
            if !edits.is_empty() {
                self.add(&place, format!("with the identity of row {other}"), edits, both);
            }
        }
        if is_list {
            self.add("rows", "reversed", vec![Edit::Reverse(rows.at.into())], Cost::Nothing);
        }
    }

    fn answer(&mut self) {
        let cost = if self.polled.weight == Weight::Part { Cost::Answer } else { Cost::Anything };
        let bodies: [(&str, MakeBody); 12] = [
            ("[]", |_| b"[]".into()),
            ("{}", |_| b"{}".into()),
            ("null", |_| b"null".into()),
            ("a string", |_| b"\"words\"".into()),
            ("a number", |_| b"5".into()),
            ("nothing", |_| Vec::new()),
            ("cut at 1 byte", |text| text.as_bytes()[..1].into()),
            ("cut at 1/4", |text| text.as_bytes()[..text.len() / 4].into()),
            ("cut at 1/2", |text| text.as_bytes()[..text.len() / 2].into()),
            ("cut at 3/4", |text| text.as_bytes()[..text.len() * 3 / 4].into()),
            ("cut before the last byte", |text| text.as_bytes()[..text.len() - 1].into()),
            ("in a list", |text| format!("[{text}]").into()),
        ];
        for (what, body) in bodies {
            self.add("whole", what, vec![Edit::Whole(body)], cost.clone());
        }
        let marked: MakeBody = |text| format!("\u{feff}{text}").into();
        let harmless = [
            ("a byte order mark before", Edit::Whole(marked)),
            ("as plain text", Edit::Kind(Some("text/plain"))),
            ("of no kind", Edit::Kind(None)),
        ];
        for (what, edit) in harmless {
            // The small answers of a login are compared as they are.
            let is_login = matches!(self.polled.weight, Weight::Login(_)) && self.polled.wrapped().is_some();
            let cost = if is_login { Cost::Anything } else { Cost::Nothing };
            self.add("whole", what, vec![edit], cost);
        }
    }
}

/// How much is tried on the fields of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tried {
    All,
    Nested,
}

/// The objects in a value: itself or its elements, and those in its fields.
fn objects<'a>(pointer: &str, value: &'a Value) -> Vec<(String, &'a Map<String, Value>, Tried)> {
    match value {
        Value::Object(fields) => {
            let inner = fields
                .iter()
                .filter_map(|(key, value)| Some((below(pointer, key), value.as_object()?, Tried::Nested)));
            [(pointer.to_owned(), fields, Tried::All)].into_iter().chain(inner).collect()
        }
        Value::Array(elements) => {
            let objects = elements.iter().enumerate().filter_map(|(at, value)| {
                Some((below(pointer, &at.to_string()), value.as_object()?, Tried::All))
            });
            objects.collect()
        }
        _ => Vec::new(),
    }
}

/// Of the values of an object in a field, those that decoders differ on: these fields are many.
const NESTED: [&str; 8] =
    ["null", "words", "a number in a string", "1e30", "1e400", "a list", "odd characters", "the key twice"];

/// What may come instead of a value, each with its text.
fn values(key: &str, value: &Value) -> Vec<(&'static str, Arc<str>)> {
    static LONG: LazyLock<Arc<str>> = LazyLock::new(|| format!("\"{}\"", "x".repeat(100_000)).into());
    let number = if value.is_number() { value.to_string() } else { "12".into() };
    let other = if value.is_number() { "987654" } else { "\"other\"" };
    vec![
        ("null", "null".into()),
        ("words", "\"some words\"".into()),
        ("a number in a string", format!("\"{number}\"").into()),
        ("an empty string", "\"\"".into()),
        ("negative", "-5".into()),
        ("a fraction", "0.5".into()),
        ("1e30", "1e30".into()),
        ("1e400", "1e400".into()),
        ("20 digits", "99999999999999999999".into()),
        ("2^63", "9223372036854775808".into()),
        ("a list", "[1]".into()),
        ("an object", "{\"a\":1}".into()),
        ("true", "true".into()),
        ("false", "false".into()),
        ("100 kB", Arc::clone(&LONG)),
        ("odd characters", "\"\\\"}\\\\\\n\\u0000\\t é🦀\\u202e\"".into()),
        ("the key twice", format!("{value},{}:{other}", quoted(key)).into()),
        ("the key twice, first", format!("{other},{}:{value}", quoted(key)).into()),
    ]
}

fn quoted(key: &str) -> String {
    Value::from(key).to_string()
}

//! What a set of recorded answers has in common: which keys, and of which types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

#[derive(Default)]
pub(crate) struct Shape {
    types: BTreeMap<String, BTreeSet<&'static str>>,
    /// By path: the keys every recorded object has, and those any has.
    keys: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
}

impl Shape {
    pub(crate) fn learn(&mut self, value: &Value) {
        self.learn_at("$", value);
    }

    fn learn_at(&mut self, path: &str, value: &Value) {
        self.types.entry(path.to_owned()).or_default().insert(kind(value));
        match value {
            Value::Array(items) => {
                for item in items {
                    self.learn_at(&format!("{path}[]"), item);
                }
            }
            Value::Object(fields) => {
                let found: BTreeSet<String> = fields.keys().cloned().collect();
                match self.keys.get_mut(path) {
                    None => {
                        self.keys.insert(path.to_owned(), (found.clone(), found));
                    }
                    Some((always, ever)) => {
                        always.retain(|key| found.contains(key));
                        ever.extend(found);
                    }
                }
                for (key, field) in fields {
                    self.learn_at(&format!("{path}.{key}"), field);
                }
            }
            _ => {}
        }
    }

    /// Where `value` differs from what was learnt, a line each.
    pub(crate) fn differences(&self, value: &Value) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        self.compare(&mut lines, "$", value);
        lines
    }

    fn compare(&self, lines: &mut BTreeSet<String>, path: &str, value: &Value) {
        match self.types.get(path) {
            None => {
                lines.insert(format!("{path}: never recorded"));
            }
            Some(types) if !types.contains(kind(value)) => {
                lines.insert(format!("{path}: {} instead of {types:?}", kind(value)));
            }
            Some(_) => {}
        }
        match value {
            Value::Array(items) => {
                for item in items {
                    self.compare(lines, &format!("{path}[]"), item);
                }
            }
            Value::Object(fields) => {
                if let Some((always, ever)) = self.keys.get(path) {
                    let missing = always.iter().filter(|key| !fields.contains_key(*key));
                    lines.extend(missing.map(|key| format!("{path}: misses {key}")));
                    let strange = fields.keys().filter(|key| !ever.contains(*key));
                    lines.extend(strange.map(|key| format!("{path}: has {key}")));
                }
                for (key, field) in fields {
                    self.compare(lines, &format!("{path}.{key}"), field);
                }
            }
            _ => {}
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn differences_are_found() {
    let mut shape = Shape::default();
    shape.learn(&serde_json::json!({ "a": 1, "b": null }));
    shape.learn(&serde_json::json!({ "a": 1.5, "b": "x", "c": [] }));
    assert!(shape.differences(&serde_json::json!({ "a": 2, "b": null })).is_empty());
    let lines = shape.differences(&serde_json::json!({ "b": 1, "c": [1], "d": true }));
    let expected = [
        "$.b: integer instead of {\"null\", \"string\"}",
        "$.c[]: never recorded",
        "$.d: never recorded",
        "$: has d",
        "$: misses a",
    ];
    assert_eq!(lines.into_iter().collect::<Vec<_>>(), expected);
}

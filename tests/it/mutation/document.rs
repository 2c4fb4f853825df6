//! Changes to the text of an answer. Text, because no value of a JSON library holds `1e400` or a key twice.

use std::sync::Arc;

use serde_json::Value;

/// A change to one answer. Pointers are JSON pointers into the recorded body.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Without the field or the row.
    Remove(String),
    /// This text in place of a value.
    Raw(String, Arc<str>),
    /// The list in reverse order.
    Reverse(String),
    /// The whole body, made from the recorded text.
    Whole(MakeBody),
    /// The recorded body under another content type, or under none.
    Kind(Option<&'static str>),
}

pub(super) type MakeBody = fn(&str) -> Vec<u8>;

/// The place of a row that is removed with the others at the end, so that pointers to later rows stay right.
const CUT: &str = "@@cut@@";

/// The body with all these edits. An edit of something that another one took away has no effect.
pub(super) fn text(body: &Value, edits: &[Edit]) -> Vec<u8> {
    let mut body = body.clone();
    let mut texts = Vec::new();
    for edit in edits {
        match edit {
            Edit::Raw(pointer, text) => {
                if let Some(value) = body.pointer_mut(pointer) {
                    *value = format!("@@{}@@", texts.len()).into();
                    texts.push(text);
                }
            }
            Edit::Remove(pointer) => {
                let (parent, key) = split(pointer);
                match body.pointer_mut(parent) {
                    Some(Value::Object(fields)) => drop(fields.remove(&unescaped(key))),
                    Some(Value::Array(rows)) => {
                        if let Some(row) = key.parse().ok().and_then(|at: usize| rows.get_mut(at)) {
                            *row = CUT.into();
                        }
                    }
                    _ => {}
                }
            }
            Edit::Reverse(_) | Edit::Whole(_) | Edit::Kind(_) => {}
        }
    }
    for edit in edits {
        if let Edit::Remove(pointer) = edit
            && let Some(Value::Array(rows)) = body.pointer_mut(split(pointer).0)
        {
            rows.retain(|row| row != CUT);
        }
        if let Edit::Reverse(pointer) = edit
            && let Some(Value::Array(rows)) = body.pointer_mut(pointer)
        {
            rows.reverse();
        }
    }
    let mut text = body.to_string();
    for (number, raw) in texts.into_iter().enumerate() {
        text = text.replacen(&format!("\"@@{number}@@\""), raw, 1);
    }
    let whole = edits.iter().rev().find_map(|edit| match edit {
        Edit::Whole(make) => Some(make),
        _ => None,
    });
    whole.map_or_else(|| text.clone().into_bytes(), |make| make(&text))
}

/// The pointer to the parent, and the last step.
pub(super) fn split(pointer: &str) -> (&str, &str) {
    pointer.rsplit_once('/').unwrap_or(("", pointer))
}

/// A pointer to `key` below `parent`.
pub(super) fn below(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

#[test]
fn edits_are_made_together() {
    let body = serde_json::json!({ "rows": [{ "a": 1 }, { "a": 2 }, { "a": 3 }, { "a": 4 }] });
    let edits = [
        Edit::Remove("/rows/1".into()),
        Edit::Raw("/rows/2/a".into(), "1e400,\"a\":5".into()),
        Edit::Raw("/rows/1/a".into(), "6".into()),
        Edit::Remove("/rows/3/a".into()),
        Edit::Reverse("/rows".into()),
    ];
    assert_eq!(String::from_utf8(text(&body, &edits)).unwrap(), r#"{"rows":[{},{"a":1e400,"a":5},{"a":1}]}"#);
}

//! The configuration as pages show it.
//!
//! A value is shown only if its key is declared as harmless in its table's [`Shape`] and the value looks as it should.
//! Everything else is hidden, including keys that are not declared.

use std::fmt::Write;

use reqwest::Url;
use toml::de::{DeTable, DeValue};

use super::shape::{Shape, Show};

const HIDDEN: &str = "\"<hidden>\"";

/// A valid configuration as TOML, in the order of its text and without comments.
pub(super) fn text(shape: &Shape, root: &DeTable<'_>) -> String {
    let mut page = Page { text: String::new(), names_people: names_people(root) };
    page.table("", shape, root);
    page.text
}

/// Whether pages show the names of users, which is the default.
fn names_people(root: &DeTable<'_>) -> bool {
    let Some(DeValue::Table(users)) = root.get("users").map(|value| value.get_ref()) else { return true };
    match users.get("labels").map(|value| value.get_ref()) {
        None => true,
        Some(DeValue::String(labels)) => labels == "name",
        Some(_) => false,
    }
}

struct Page {
    text: String,
    names_people: bool,
}

impl Page {
    /// Writes a table whose heading is `path`.
    fn table(&mut self, path: &str, shape: &Shape, entries: &DeTable<'_>) {
        if !path.is_empty() {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            self.line(&format!("{gap}[{path}]"));
        }
        // Keys come first: after the heading of another table they would belong to that table.
        let mut tables = Vec::new();
        for (key, value) in in_order(entries) {
            match (shape.show(key), value) {
                (Show::Table(shape), DeValue::Table(entries)) => {
                    tables.push((below(path, key), shape, entries));
                }
                (Show::Tables(shape), DeValue::Table(named)) => {
                    for (name, value) in in_order(named) {
                        let DeValue::Table(entries) = value else { continue };
                        tables.push((below(&below(path, key), name), shape, entries));
                    }
                }
                (show, value) => {
                    let shown = self.value(show, value);
                    self.line(&format!("{key} = {}", shown.as_deref().unwrap_or(HIDDEN)));
                }
            }
        }
        for (path, shape, entries) in tables {
            self.table(&path, shape, entries);
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A value as TOML; absent: it is hidden.
    fn value(&self, show: Show, value: &DeValue<'_>) -> Option<String> {
        match (show, value) {
            (Show::Hidden | Show::Table(_) | Show::Tables(_), _) => None,
            (_, DeValue::Boolean(value)) => Some(value.to_string()),
            (_, DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
            }
            (_, DeValue::Float(number)) => Some(number.as_str().to_owned()),
            (_, DeValue::Array(values)) => {
                let values = values.iter().map(|value| self.value(show, value.get_ref()));
                values.collect::<Option<Vec<_>>>().map(|values| format!("[{}]", values.join(", ")))
            }
            (Show::Number, DeValue::String(_)) | (_, DeValue::Datetime(_) | DeValue::Table(_)) => None,
            (Show::If(holds), DeValue::String(text)) => holds(text).then(|| quoted(text)),
            (Show::Origin, DeValue::String(text)) => origin(text).map(|origin| quoted(&origin)),
            (Show::People, DeValue::String(text)) => self.names_people.then(|| quoted(text)),
        }
    }
}

/// The entries of a table in the order of the text.
fn in_order<'t, 'd>(entries: &'t DeTable<'d>) -> impl Iterator<Item = (&'t str, &'t DeValue<'d>)> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries.into_iter().map(|(key, value)| (&**key.get_ref(), value.get_ref()))
}

fn below(path: &str, key: &str) -> String {
    let is_bare = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let key = if is_bare { key.to_owned() } else { quoted(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn origin(text: &str) -> Option<String> {
    if let Some((socket, base)) =
        text.strip_prefix("unix:").map(|rest| rest.split_once(':').unwrap_or((rest, "")))
    {
        let hidden = if ["", "/"].contains(&base) { "" } else { ":/<hidden>" };
        return Some(format!("unix:{socket}{hidden}"));
    }
    let url = Url::parse(text).ok()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let mut origin = format!("{}://{}", url.scheme(), url.host_str()?);
    if let Some(port) = url.port() {
        write!(origin, ":{port}").ok()?;
    }
    let is_whole = ["", "/"].contains(&url.path()) && url.query().is_none() && url.fragment().is_none();
    Some(if is_whole { origin } else { origin + "/<hidden>" })
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            // Characters that change the direction of text could make a line look different from what it is.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                quoted.push_str(&escaped(c));
            }
            c if c.is_control() => quoted.push_str(&escaped(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn escaped(c: char) -> String {
    format!("\\u{:04X}", u32::from(c))
}

#[cfg(test)]
mod tests;

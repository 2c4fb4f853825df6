//! Tries a template on notices of all kinds, with texts that break what is not escaped.

use serde_json::{Value, error::Category};

use super::sample::{HARMLESS, HOSTILE, Kind, Sample, Scope};

/// The longest expression of a template that an error quotes.
const QUOTED: usize = 80;
/// Texts that are JSON with and without quotation marks around them.
const ZERO: &str = "0";
const ONE: &str = "1";

/// Renders every sample of `scope`.
///
/// # Errors
/// What is wrong with the template of this `source`, and what to write instead. `render` says why it failed.
pub(super) fn run(
    source: &str,
    scope: Scope,
    render: impl Fn(&Value) -> Result<String, String>,
) -> Result<(), String> {
    for kind in scope.kinds() {
        let texts = [("", HARMLESS)].into_iter().chain(HOSTILE);
        for (what, sample) in texts.filter_map(|(what, text)| Some((what, Sample::of(kind, text)?))) {
            let with = if what.is_empty() { kind.words().to_owned() } else { format!("{what} in a name") };
            let rendered = render(&sample.context).map_err(|why| format!("with {with}: {why}"))?;
            if let Some(mistake) = scope.json.then(|| mistake(&rendered)).flatten() {
                return Err(told(source, &sample, what, &mistake, &render));
            }
        }
    }
    Ok(())
}

/// Why an output is not JSON.
struct Mistake {
    what: &'static str,
    line: usize,
    column: usize,
}

fn mistake(rendered: &str) -> Option<Mistake> {
    let error = serde_json::from_str::<Value>(rendered).err()?;
    let text = error.to_string();
    let known = MISTAKES.iter().find(|(start, _)| text.starts_with(start));
    let what = match known {
        _ if rendered.trim().is_empty() => "nothing is rendered; write a value, such as {}",
        Some((_, what)) => what,
        None if error.classify() == Category::Eof => {
            "it ends too early; close all brackets and quotation marks"
        }
        None => "it is not understood; write each value as {{ x | tojson }}",
    };
    Some(Mistake { what, line: error.line(), column: error.column() })
}

/// What serde_json's messages begin with, and what to say.
const MISTAKES: [(&str, &str); 11] = [
    (
        "trailing comma",
        "a comma before a closing bracket; in a loop, write {% if not loop.last %},{% endif %} in its place",
    ),
    (
        "trailing characters",
        "text after the end of the JSON; write one value, such as one list or one object",
    ),
    (
        "control character",
        "a line break inside quotation marks; write \\n there, or the value as {{ x | tojson }}",
    ),
    ("invalid escape", "a backslash that is not escaped; write \\\\, or the value as {{ x | tojson }}"),
    (
        "expected `,`",
        "no comma between two values, or a quotation mark inside a text; write the comma, or the whole text as {{ x | tojson }}",
    ),
    ("expected `:`", "no colon after a key; write {\"key\": value}"),
    (
        "key must be a string",
        "a key without double quotation marks; write {\"key\": value}, or a whole map as {{ x | tojson }}",
    ),
    ("expected value", "no value, or a text without quotation marks; write the value as {{ x | tojson }}"),
    ("expected ident", "a text without quotation marks; write the value as {{ x | tojson }}"),
    ("invalid number", "a number that JSON does not know; write the value as {{ x | tojson }}"),
    ("recursion limit", "brackets within brackets, too deep; write fewer"),
];

/// The mistake in words: about the value that causes it if there is one, or else about the template's own text.
fn told(
    source: &str,
    sample: &Sample,
    what: &str,
    mistake: &Mistake,
    render: &impl Fn(&Value) -> Result<String, String>,
) -> String {
    const WHY: &str = "the output is no JSON, but content_type is JSON, as it is by default";
    let Some(place) = culprit(sample, render) else {
        let has_own = |found: &Expression<'_>| found.is_quoted && found.text.contains("tojson");
        if let Some(Expression { line, text, .. }) = expressions(source).find(has_own) {
            return format!(
                "line {line}: {{{{ {text} }}}} has quotation marks around it, and tojson adds its own: {WHY}; leave out \
                 those around it"
            );
        }
        let Mistake { what, line, column } = mistake;
        let with = sample.kind.words();
        return format!(
            "with {with}, {WHY}: line {line}, column {column} of it: {what}; for other text, write content_type = \
             \"text/plain\""
        );
    };
    let cause = match what {
        "" if sample.kind == Kind::Bare => "may be absent: then",
        "" => "is not written as JSON:",
        what => &format!("is not escaped: with {what} in it,"),
    };
    // What is written may be a list or map that the text is in.
    let found = place.iter().rev().find_map(|name| {
        expressions(source).find(|found| found.names(name) && !found.text.contains("tojson"))
    });
    let subject = match &found {
        Some(Expression { line, text, .. }) => format!("line {line}: {{{{ {text} }}}}"),
        None => format!("the value of {}", place.join(".")),
    };
    let written = found.as_ref().map_or("x", |found| unescaped(found.text));
    let mend = match &found {
        Some(found) if found.is_in_text => {
            format!("write the whole text as {{{{ (\"text \" ~ {written}) | tojson }}}}")
        }
        _ => format!("write {{{{ {written} | tojson }}}}"),
    };
    format!("{subject} {cause} {WHY}; {mend}, without quotation marks around it")
}

/// An expression without an escape for HTML at its end, which JSON does not need.
fn unescaped(expression: &str) -> &str {
    match expression.rsplit_once('|') {
        Some((before, filter)) if ["e", "escape"].contains(&filter.trim()) => before.trim_end(),
        _ => expression,
    }
}

/// A text of the sample that causes the mistake: the last of those that must be replaced for the output to be JSON.
/// Absent: none does, or one that is compared and not written.
fn culprit(sample: &Sample, render: &impl Fn(&Value) -> Result<String, String>) -> Option<Vec<String>> {
    let full = Sample::of(Kind::LeftOut, HARMLESS)?;
    let mut places = texts(&sample.context);
    places.extend(texts(&full.context));
    let mut context = sample.context.clone();
    let mut with = |place: &[String], text| {
        replace(&mut context, place, text);
        render(&context).ok().filter(|rendered| mistake(rendered).is_none())
    };
    let (place, rendered) =
        places.into_iter().find_map(|place| with(&place, ZERO).map(|rendered| (place, rendered)))?;
    let is_written = with(&place, ONE).is_some_and(|other| other != rendered);
    is_written.then_some(place)
}

/// The places of all texts, those that people or panels choose first. Elements of a list share their place.
fn texts(context: &Value) -> Vec<Vec<String>> {
    fn collect(value: &Value, place: &mut Vec<String>, places: &mut Vec<Vec<String>>) {
        match value {
            Value::String(_) if !places.contains(place) => places.push(place.clone()),
            Value::Array(list) => list.iter().for_each(|element| collect(element, place, places)),
            Value::Object(object) => {
                for (name, value) in object {
                    place.push(name.clone());
                    collect(value, place, places);
                    place.pop();
                }
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    collect(context, &mut Vec::new(), &mut places);
    let is_chosen = |place: &Vec<String>| place.last().is_some_and(|name| CHOSEN.contains(&name.as_str()));
    places.sort_by_key(|place| !is_chosen(place));
    places
}

const CHOSEN: [&str; 5] = ["subject", "description", "reason", "lines", "groupKey"];

/// Replaces the texts at a place by `text`, also where there is none yet.
fn replace(value: &mut Value, place: &[String], text: &str) {
    match (value, place) {
        (Value::Array(list), place) => list.iter_mut().for_each(|element| replace(element, place, text)),
        (Value::Object(object), [name]) if !matches!(object.get(name), Some(Value::Array(_))) => {
            object.insert(name.clone(), text.into());
        }
        (Value::Object(object), [name, rest @ ..]) => {
            if let Some(value) = object.get_mut(name) {
                replace(value, rest, text);
            }
        }
        (value @ Value::String(_), []) => *value = text.into(),
        _ => {}
    }
}

/// What stands between `{{` and `}}`.
struct Expression<'s> {
    line: usize,
    text: &'s str,
    /// There are quotation marks around it.
    is_quoted: bool,
    /// There is other text before or after it, inside the same quotation marks.
    is_in_text: bool,
}

impl Expression<'_> {
    fn names(&self, name: &str) -> bool {
        self.text.split(|c: char| !is_word(c)).any(|word| word == name)
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The expressions of a template that are safe to quote: short, and without texts of their own.
fn expressions(source: &str) -> impl Iterator<Item = Expression<'_>> {
    let pieces = source.match_indices("{{").filter_map(|(at, _)| {
        let (before, after) = source.split_at_checked(at)?;
        let (inner, after) = after.get(2..)?.split_once("}}")?;
        let text = inner.trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace());
        let (opens, closes) = (before.ends_with('"'), after.starts_with('"'));
        let is_value = before.trim_end().ends_with([':', ',', '[', '}']) || before.trim_end().is_empty();
        Some(Expression {
            line: before.matches('\n').count() + 1,
            text,
            is_quoted: opens && closes,
            is_in_text: opens != closes || !opens && !is_value,
        })
    });
    let is_plain = |text: &str| text.chars().all(|c| is_word(c) || ".[]|() ".contains(c));
    pieces.filter(move |found| found.text.len() <= QUOTED && is_plain(found.text))
}

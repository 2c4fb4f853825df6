//! YAML as a tree with positions. Messages quote nothing of it, as any of it may be a secret.

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

/// Deeper than any file needs, and far from the end of the stack.
const MAX_DEPTH: usize = 32;

/// A value and where it begins. Cheap to clone, so that an alias costs nothing however often it is used.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Arc<Value>,
    /// How many lists and maps there are in each other, those behind aliases included.
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the text, each key once.
    Map(Vec<(String, Position, Node)>),
}

/// Both begin at 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What is wrong, and where.
pub(super) type Fault = (Position, String);

/// Reads the one document of a text; a text without any is null.
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    let mut document = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => return Err((position(error.marker()), "not YAML here".to_owned())),
        };
        let at = position(&span.start);
        if matches!(event, Event::DocumentStart(_)) && document.is_some() {
            return Err((at, "a second document; write all in one".to_owned()));
        }
        document = builder.take(event, at)?.or(document);
    }
    let start = Position { line: 1, column: 1 };
    Ok(document.unwrap_or_else(|| Node { at: start, value: Arc::new(Value::Null), depth: 0 }))
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
}

/// A list or map that has not ended yet.
struct Open {
    at: Position,
    anchor: usize,
    depth: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(String, Position, Node)>, key: Option<(String, Position)> },
}

impl Builder {
    /// Gives the document when it is complete.
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<Option<Node>, Fault> {
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some(), at)?;
                (Node { at, value: Arc::new(scalar(text.into_owned(), style)), depth: 0 }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => (Node { at, ..node.clone() }, 0),
                None => return Err((at, "an alias inside of what it stands for".to_owned())),
            },
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.is_some(), at)?;
                self.open.push(Open { at, anchor, depth: 1, content: Content::List(Vec::new()) });
                return self.check_depth(at);
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.is_some(), at)?;
                let content = Content::Map { entries: Vec::new(), key: None };
                self.open.push(Open { at, anchor, depth: 1, content });
                return self.check_depth(at);
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { at, anchor, depth, content }) => {
                    let value = match content {
                        Content::List(nodes) => Value::List(nodes),
                        Content::Map { entries, .. } => Value::Map(entries),
                    };
                    (Node { at, value: Arc::new(value), depth }, anchor)
                }
                None => return Ok(None),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => return Ok(None),
        };
        // 0 is no anchor.
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else { return Ok(Some(node)) };
        open.depth = open.depth.max(1 + node.depth);
        match &mut open.content {
            Content::List(nodes) => nodes.push(node),
            Content::Map { entries, key } => match key.take() {
                Some((key, place)) => entries.push((key, place, node)),
                None => *key = Some((new_key(&node, entries)?, at)),
            },
        }
        self.check_depth(at)
    }

    fn check_depth(&self, at: Position) -> Result<Option<Node>, Fault> {
        let depth = self.open.last().map_or(0, |open| open.depth);
        if self.open.len() > MAX_DEPTH || depth > MAX_DEPTH {
            return Err((at, format!("more than {MAX_DEPTH} lists and maps in each other")));
        }
        Ok(None)
    }
}

fn new_key(node: &Node, entries: &[(String, Position, Node)]) -> Result<String, Fault> {
    let fault = match &*node.value {
        Value::Scalar { text, plain: true } if text == "<<" => "a merge; write the keys themselves",
        Value::Scalar { text, .. } if entries.iter().any(|(key, ..)| key == text) => {
            "a key that stands here twice; write it once"
        }
        Value::Scalar { text, .. } => return Ok(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => "not a key; write a word",
    };
    Err((node.at, fault.to_owned()))
}

fn refuse_tag(tagged: bool, at: Position) -> Result<(), Fault> {
    if tagged { Err((at, "a tag; leave out the word that begins with !".to_owned())) } else { Ok(()) }
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        Value::Null
    } else {
        Value::Scalar { text, plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let (Position { line, column }, why) = parse(text).unwrap_err();
        format!("{line}:{column}: {why}")
    }

    #[test]
    fn trees() {
        let node = parse("\u{feff}# comment\na: [x, 'y']\nb:\n  c: |\n    two\n    lines\n").unwrap();
        let Value::Map(entries) = &*node.value else { panic!("{node:?}") };
        let (key, at, a) = &entries[0];
        assert_eq!((&**key, *at), ("a", Position { line: 2, column: 1 }));
        let Value::List(list) = &*a.value else { panic!("{a:?}") };
        assert_eq!(list[1].at, Position { line: 2, column: 8 });
        assert!(matches!(&*list[1].value, Value::Scalar { text, plain: false } if text == "y"));
        for empty in ["", "# nothing\n", "~", "---\n"] {
            assert!(matches!(&*parse(empty).unwrap().value, Value::Null), "{empty:?}");
        }
    }

    #[test]
    fn faults() {
        assert_eq!(fault("a: 1\na: 2"), "2:1: a key that stands here twice; write it once");
        assert_eq!(fault("a: &x {b: 1}\nc:\n  <<: *x"), "3:3: a merge; write the keys themselves");
        assert_eq!(fault("a: !!binary aGk="), "1:4: a tag; leave out the word that begins with !");
        assert_eq!(fault("a: 1\n---\nb: 2"), "2:1: a second document; write all in one");
        assert!(fault(&"[".repeat(33)).contains("more than 32 lists"));
        fault(&"[".repeat(100_000));
        for text in
            ["a: [", "a: 'x", "a:\n\tb: 1", "a: b: c", "%", "*x", "a: &x [*x]", "? [a]\n: b", "- a\nb: c"]
        {
            parse(text).unwrap_err();
        }
    }

    /// Grows tenfold 30 times: a tree of copies would not fit in memory.
    #[test]
    fn aliases_cost_nothing() {
        let nested = |levels: usize| {
            let mut text = "a0: &a0 x\n".to_owned();
            for level in 1..=levels {
                let list = format!("*a{}, ", level - 1).repeat(10);
                text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
            }
            parse(&text)
        };
        assert!(matches!(&*nested(30).unwrap().value, Value::Map(entries) if entries.len() == 31));
        nested(10_000).unwrap_err();
    }

    #[test]
    fn no_input_panics() {
        let pieces =
            ["a:", " ", "\n", "- ", "[", "]", "{", "}", "&a ", "*a", "'", "\"", "|", "!t ", "\u{feff}", "é"];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let text: String = (0..12).map(|_| pieces[random.usize(..pieces.len())]).collect();
            drop(parse(&text));
        }
    }
}

use std::collections::{BTreeMap, BTreeSet};

use fluent_syntax::{
    ast::{Entry, Expression, InlineExpression, Pattern, PatternElement},
    parser,
};

use jiff::tz::TimeZone;

use super::{
    voice::{Args, args, is_rtl, isolated},
    *,
};
use crate::model::{NodeStatus, Reading, Reason, Timestamp, UnreadableCause, UserStatus};

/// What each text is filled with, by its message and, after a dot, its attribute.
type Texts = BTreeMap<String, BTreeSet<String>>;

fn texts(language: Language) -> Texts {
    let resource = parser::parse(language.source()).unwrap_or_else(|(_, errors)| panic!("{errors:?}"));
    let mut texts = Texts::new();
    let mut add = |id: String, pattern: &Pattern<&str>| {
        let mut filled = BTreeSet::new();
        collect(pattern, &mut filled);
        let twice = texts.insert(id.clone(), filled);
        assert!(twice.is_none(), "{language:?}: {id}");
    };
    for entry in &resource.body {
        let message = match entry {
            Entry::Message(message) => message,
            Entry::Comment(_) | Entry::GroupComment(_) | Entry::ResourceComment(_) => continue,
            other => panic!("{language:?}: {other:?}"),
        };
        let id = message.id.name;
        add(id.to_owned(), message.value.as_ref().unwrap_or_else(|| panic!("{language:?}: {id}")));
        for attribute in &message.attributes {
            add(format!("{id}.{}", attribute.id.name), &attribute.value);
        }
    }
    texts
}

fn collect(pattern: &Pattern<&str>, filled: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        let PatternElement::Placeable { expression } = element else { continue };
        let inline = match expression {
            Expression::Inline(inline) => inline,
            Expression::Select { selector, variants } => {
                variants.iter().for_each(|variant| collect(&variant.value, filled));
                selector
            }
        };
        match inline {
            InlineExpression::VariableReference { id } => _ = filled.insert(id.name.to_owned()),
            InlineExpression::StringLiteral { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A Fluent argument of each name, all numbers `count`.
fn filled<'a>(count: usize, holds: &'a str, kind: &'a str, period: &'a str, name: &'a str) -> Args<'a> {
    let numbers = ["count", "new", "resolved", "firing", "more", "rows"];
    let words = [
        "admin", "all", "before", "bytes", "cause", "daily", "date", "day", "detail", "due", "failed",
        "file", "from", "large", "last", "lasted", "limit", "month", "names", "note", "parts", "percent",
        "receiver", "since", "small", "step", "target", "time", "times", "title", "to", "used", "what",
        "when", "why", "year", "zone",
    ];
    let mut args = args([
        ("holds", holds.into()),
        ("kind", kind.into()),
        ("name", name.into()),
        ("n", count.into()),
        ("period", period.into()),
    ]);
    for number in numbers {
        args.set(number, count);
    }
    for word in words {
        args.set(word, word);
    }
    args
}

#[test]
fn every_language_has_the_same_texts_filled_with_the_same() {
    let english = texts(Language::En);
    assert!(english.len() > 250, "only {}", english.len());
    for language in Language::ALL {
        let texts = texts(language);
        let ids = |texts: &Texts| texts.keys().cloned().collect::<Vec<_>>();
        assert_eq!(ids(&texts), ids(&english), "{language:?}");
        for (id, filled) in &texts {
            // Some languages write the word after a number in more than one way.
            let but_count = |filled: &BTreeSet<String>| {
                filled.iter().filter(|name| *name != "count").cloned().collect::<Vec<_>>()
            };
            assert_eq!(but_count(filled), but_count(&english[id]), "{language:?}: {id}");
            assert!(filled.is_superset(&english[id]), "{language:?}: {id} does not say the number");
        }
    }
}

#[test]
fn every_text_can_be_written_with_any_number() {
    for language in Language::ALL {
        let bundle = language.bundle();
        for id in texts(language).keys() {
            let (message, attribute) = id.split_once('.').unwrap_or((id, ""));
            let message = bundle.get_message(message).unwrap();
            let pattern = match attribute {
                "" => message.value().unwrap(),
                name => message.get_attribute(name).unwrap().value(),
            };
            for count in [0, 1, 2, 5, 11, 21, 22, 25, 100] {
                for (holds, kind, period) in [
                    ("known", "node", "day"),
                    ("nothing", "target", "month"),
                    ("resets", "user", "day"),
                    ("never", "user", "day"),
                ] {
                    let mut errors = Vec::new();
                    let args = filled(count, holds, kind, period, "ann");
                    let text = bundle.format_pattern(pattern, Some(&args), &mut errors);
                    let lines: Vec<_> = text.lines().collect();
                    assert!(errors.is_empty() && lines == [&*text], "{language:?}: {id}: {errors:?} {text}");
                    assert_eq!(text.trim_end(), if id == "list-comma" { text.trim_end() } else { &text });
                }
            }
        }
    }
}

#[test]
fn persian_texts_isolate_what_they_are_filled_with() {
    let bundle = Language::Fa.bundle();
    for (id, filled_with) in texts(Language::Fa) {
        for name in ["ann", "زهرا"] {
            let args = filled(3, "known", "user", "day", name);
            let text = match id.split_once('.') {
                Some(_) => Voice::new(Language::Fa, TimeZone::UTC, "").say(&id, &args),
                None => {
                    let pattern = bundle.get_message(&id).unwrap().value().unwrap();
                    bundle.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned()
                }
            };
            assert_directed(&text);
            if filled_with.contains("name") {
                assert!(text.contains(&isolated(name)), "{id}: {text}");
            }
            // Outside of the isolates, a reader sees from where to read.
            if !filled_with.is_empty() && id != "percent" {
                assert!(outside(&text).contains(is_right_to_left), "{id}: {text}");
            }
        }
    }
}

/// A letter or a mark that gives a paragraph the direction from right to left.
fn is_right_to_left(c: char) -> bool {
    is_rtl(c) && c != '\u{60c}' && c != '\u{66a}' || c == '\u{200f}'
}

/// Isolates are closed, and nothing else turns the direction.
fn assert_directed(text: &str) {
    let mut open = 0;
    for c in text.chars() {
        match c {
            '\u{2068}' => open += 1,
            '\u{2069}' => open -= 1,
            '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}' => panic!("{text:?}"),
            _ => {}
        }
        assert!(open >= 0, "{text:?}");
    }
    assert_eq!(open, 0, "{text:?}");
}

/// The text without what is isolated in it.
fn outside(text: &str) -> String {
    let mut depth = 0;
    let mut outside = String::new();
    for c in text.chars() {
        match c {
            '\u{2068}' => depth += 1,
            '\u{2069}' => depth -= 1,
            c if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    outside
}

#[test]
fn persian_is_written_with_persian_letters_and_punctuation() {
    let source = Language::Fa.source();
    let texts = source.lines().filter(|line| !line.starts_with('#'));
    for line in texts {
        // Arabic yeh and kaf, digits of both scripts, and marks after a letter that Persian has its own for.
        let foreign = |c: char| matches!(c, 'ي' | 'ك' | '٠'..='٩' | '۰'..='۹');
        assert!(!line.contains(foreign), "{line}");
        let letters: Vec<_> = line.chars().collect();
        let pairs =
            letters.windows(2).filter(|two| is_rtl(two[0]) && matches!(two[1], ',' | ';' | '?' | '%'));
        assert_eq!(pairs.count(), 0, "{line}");
    }
}

#[test]
fn what_is_known_of_a_cause_is_said_in_each_language() {
    let reasons = Reason::ALL.map(Reason::label);
    let nodes = [NodeStatus::Connecting, NodeStatus::Error, NodeStatus::Unknown].map(NodeStatus::label);
    let users = [UserStatus::Disabled, UserStatus::Expired, UserStatus::Limited].map(UserStatus::label);
    let rows = [
        UnreadableCause::PanelFails,
        UnreadableCause::TooLarge,
        UnreadableCause::NotAnObject,
        UnreadableCause::NoName,
    ];
    let rows = rows.map(UnreadableCause::label);
    for cause in reasons.iter().chain(&nodes).chain(&users).chain(&rows) {
        let reading = Reading::Word((*cause).into());
        let about = About {
            alertname: "ProxymeterUserStatus",
            kind: "user",
            subject: "ann",
            target: "home",
            step: "",
        };
        let now = Timestamp::from_secs(0);
        let told = Told { reading: &reading, began: now, ended: None, now };
        // In English, some causes are known by their own words.
        for language in [Language::Zh, Language::Fa, Language::Ru] {
            let sentence = Voice::new(language, TimeZone::UTC, "").sentence(&about, &told);
            let said = sentence.rsplit_once(": ").or_else(|| sentence.rsplit_once('：')).unwrap().1;
            assert_ne!(said.trim_end_matches(['.', '。', '\u{2069}']).trim_start_matches('\u{2068}'), *cause);
        }
    }
}

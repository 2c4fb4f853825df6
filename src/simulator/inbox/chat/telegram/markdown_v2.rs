//! The `MarkdownV2` of Telegram, in which every mark that is meant as itself needs a backslash.

use super::{
    super::parsed::{CODE, Kind, Parsed},
    source::{Source, is_space},
    target,
};

const RESERVED: &str = "_*[]()~`>#+-=|{}.!\n";

/// What is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Bold,
    Italic,
    Underline,
    Strikethrough,
    Spoiler,
    Code,
    Pre,
    Link,
    Emoji,
    Quote,
}

struct Open {
    part: Part,
    /// In bytes.
    offset: usize,
    from: usize,
}

/// `Err`: in the server's words.
pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let source = Source::new(text);
    let mut parsed = Parsed::default();
    let mut open: Vec<Open> = Vec::new();
    let mut can_quote = true;
    let mut at = 0;
    while at < source.len() {
        let c = source.at(at);
        if let Some(escaped) = escaped(&source, at) {
            parsed.text.push(escaped);
            can_quote = escaped == '\n' || can_quote && escaped == '\r';
            at += 2;
            continue;
        }
        let within = open.last().map(|open| open.part);
        let reserved = if matches!(within, Some(Part::Code | Part::Pre)) { "`" } else { RESERVED };
        if !reserved.contains(c) {
            parsed.text.push(c);
            can_quote = can_quote && c == '\r';
            at += 1;
            continue;
        }
        let quotes = open.iter().any(|open| open.part == Part::Quote);
        let ends_quote = quotes && c == '\n' && source.at(at + 1) != '>';
        if let Some(last) = open.pop_if(|last| ends_quote || ends(&source, at, last.part)) {
            if ends_quote && last.part != Part::Quote {
                return Err(no_end(&last));
            }
            can_quote = ends_quote;
            at = end(&source, at, &last, &mut parsed)?;
            continue;
        }
        let reserved = || format!("Character '{c}' is reserved and must be escaped with the preceding '\\'");
        let double = source.at(at + 1) == c;
        let (part, length) = match c {
            '\n' => {
                parsed.text.push('\n');
                can_quote = true;
                at += 1;
                continue;
            }
            '>' if can_quote && quotes => {
                at += 1;
                continue;
            }
            '>' if can_quote => (Part::Quote, 1),
            '_' if double => (Part::Underline, 2),
            '_' => (Part::Italic, 1),
            '*' => (Part::Bold, 1),
            '~' => (Part::Strikethrough, 1),
            '|' if double => (Part::Spoiler, 2),
            '[' => (Part::Link, 1),
            '!' if source.at(at + 1) == '[' => (Part::Emoji, 2),
            '`' if double && source.at(at + 2) == '`' => (Part::Pre, 3 + length_of_language(&source, at + 3)),
            '`' => (Part::Code, 1),
            _ => return Err(reserved()),
        };
        open.push(Open { part, offset: source.offset(at), from: parsed.text.len() });
        at += length;
    }
    if let Some(quote) = open.pop_if(|last| last.part == Part::Quote) {
        parsed.mark(quote.from, Kind::Style("quote"));
    }
    open.last().map_or(Ok(parsed), |last| Err(no_end(last)))
}

/// The character after a backslash that means itself.
fn escaped(source: &Source, at: usize) -> Option<char> {
    let next = source.at(at + 1);
    (source.at(at) == '\\' && ('\u{1}'..='\u{7e}').contains(&next)).then_some(next)
}

fn ends(source: &Source, at: usize, part: Part) -> bool {
    let c = source.at(at);
    let double = source.at(at + 1) == c;
    match part {
        Part::Bold => c == '*',
        Part::Italic => c == '_' && !double,
        Part::Underline => c == '_' && double,
        Part::Strikethrough => c == '~',
        Part::Spoiler => c == '|' && double,
        Part::Code => c == '`',
        Part::Pre => c == '`' && double && source.at(at + 2) == '`',
        Part::Link | Part::Emoji => c == ']',
        Part::Quote => false,
    }
}

/// The name of the language and the line break after it.
fn length_of_language(source: &Source, at: usize) -> usize {
    let end = source.skip(at, |c| !is_space(c) && c != '`');
    let end = if end < source.len() && source.at(end) != '`' { end } else { at };
    let breaks = |c: char| matches!(c, '\n' | '\r');
    let (first, second) = (source.at(end), source.at(end + 1));
    let length = match (breaks(first), breaks(second) && first != second) {
        (true, true) => 2,
        (true, false) => 1,
        (false, _) => 0,
    };
    end + length - at
}

/// Ends a part; where the text goes on.
fn end(source: &Source, at: usize, last: &Open, parsed: &mut Parsed) -> Result<usize, String> {
    let (kind, next) = match last.part {
        Part::Bold => (Some(Kind::Style("bold")), at + 1),
        Part::Italic => (Some(Kind::Style("italic")), at + 1),
        Part::Underline => (Some(Kind::Style("underline")), at + 2),
        Part::Strikethrough => (Some(Kind::Style("strikethrough")), at + 1),
        Part::Spoiler => (Some(Kind::Style("spoiler")), at + 2),
        Part::Code => (Some(CODE), at + 1),
        Part::Pre => (Some(CODE), at + 3),
        Part::Link => {
            let (url, next) = match source.at(at + 1) {
                '(' => url(source, at + 2)?,
                _ => (parsed.slice(last.from, parsed.text.len()), at + 1),
            };
            (target::of(&url), next)
        }
        Part::Emoji if source.at(at + 1) != '(' => {
            return Err("The entity must contain a tg://emoji or tg://time URL".to_owned());
        }
        Part::Emoji => {
            let (url, next) = url(source, at + 2)?;
            if !["tg://emoji?id=", "tg://time?"].iter().any(|start| url.starts_with(start)) {
                return Err("Invalid tg://emoji or tg://time URL specified".to_owned());
            }
            (Some(Kind::Style("emoji")), next)
        }
        Part::Quote => {
            parsed.text.push('\n');
            (Some(Kind::Style("quote")), at + 1)
        }
    };
    if let Some(kind) = kind {
        parsed.mark(last.from, kind);
    }
    Ok(next)
}

/// Up to its bracket.
fn url(source: &Source, from: usize) -> Result<(String, usize), String> {
    let mut url = String::new();
    let mut at = from;
    while at < source.len() && source.at(at) != ')' {
        match escaped(source, at) {
            Some(c) => {
                url.push(c);
                at += 2;
            }
            None => {
                url.push(source.at(at));
                at += 1;
            }
        }
    }
    if at >= source.len() {
        return Err(format!("Can't find end of a URL at byte offset {}", source.offset(from)));
    }
    Ok((url, at + 1))
}

fn no_end(open: &Open) -> String {
    let name = match open.part {
        Part::Bold => "Bold",
        Part::Italic => "Italic",
        Part::Underline => "Underline",
        Part::Strikethrough => "Strikethrough",
        Part::Spoiler => "Spoiler",
        Part::Code => "Code",
        Part::Pre => "Pre",
        Part::Link => "TextUrl",
        Part::Emoji => "CustomEmoji",
        Part::Quote => "BlockQuote",
    };
    format!("Can't find end of {name} entity at byte offset {}", open.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_and_backslashes_taken_out() {
        let link = |url: &str| Kind::Link(url.to_owned());
        type Case<'a> = (&'a str, &'a str, Vec<(&'a str, Kind)>);
        let cases: Vec<Case<'_>> = vec![
            (
                "a\\.b \\_\\*\\[\\]\\(\\)\\~\\`\\>\\#\\+\\-\\=\\|\\{\\}\\!\\\\",
                "a.b _*[]()~`>#+-=|{}!\\",
                vec![],
            ),
            (
                "*b* _i_ __u__ ~s~ ||p||",
                "b i u s p",
                vec![
                    ("b", Kind::Style("bold")),
                    ("i", Kind::Style("italic")),
                    ("u", Kind::Style("underline")),
                    ("s", Kind::Style("strikethrough")),
                    ("p", Kind::Style("spoiler")),
                ],
            ),
            ("`a.b*c` d", "a.b*c d", vec![("a.b*c", CODE)]),
            ("```rust\nx.y\n```", "x.y\n", vec![("x.y\n", CODE)]),
            ("[t](https://x.org/a_\\)b)", "t", vec![("t", link("https://x.org/a_)b"))]),
            ("[x\\.org]", "x.org", vec![("x.org", link("http://x.org"))]),
            ("[t](tg://user?id=7)", "t", vec![("t", Kind::Ping("tg://user?id=7".into()))]),
            (">q\n>r\nx", "q\nr\nx", vec![("q\nr\n", Kind::Style("quote"))]),
            ("a\\\nb C:\\é", "a\nb C:\\é", vec![]),
        ];
        for (text, expected, of_spans) in cases {
            let parsed = parse(text).unwrap();
            assert_eq!(parsed.slice(0, parsed.text.len()), expected, "{text}");
            let spans: Vec<_> = parsed.spans.iter().map(|span| parsed.slice(span.from, span.to)).collect();
            let spans: Vec<_> = spans
                .iter()
                .map(String::as_str)
                .zip(parsed.spans.iter().map(|span| span.kind.clone()))
                .collect();
            assert_eq!(spans, of_spans, "{text}");
        }
    }

    #[test]
    fn what_is_reserved_or_open_is_refused() {
        for c in "()#+-=|{}.!>]".chars() {
            let error = parse(&format!("a{c}b")).unwrap_err();
            assert_eq!(
                error,
                format!("Character '{c}' is reserved and must be escaped with the preceding '\\'")
            );
        }
        for (text, expected) in [
            ("é *b", "Can't find end of Bold entity at byte offset 3"),
            ("a_b", "Can't find end of Italic entity at byte offset 1"),
            ("`a", "Can't find end of Code entity at byte offset 0"),
            ("[a", "Can't find end of TextUrl entity at byte offset 0"),
            ("[a](b", "Can't find end of a URL at byte offset 4"),
            (">*q\nx", "Can't find end of Bold entity at byte offset 1"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
    }
}

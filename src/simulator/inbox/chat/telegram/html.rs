//! The HTML of Telegram.

use super::{
    super::parsed::{CODE, Kind, Parsed},
    source::{Source, is_space},
    target,
};

const TAGS: [&str; 17] = [
    "a",
    "b",
    "strong",
    "i",
    "em",
    "s",
    "strike",
    "del",
    "u",
    "ins",
    "tg-spoiler",
    "tg-emoji",
    "tg-time",
    "span",
    "pre",
    "code",
    "blockquote",
];

/// A tag that is open.
struct Open {
    name: String,
    /// Of the attribute that counts for this tag.
    argument: String,
    from: usize,
}

/// `Err`: in the server's words.
pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let source = Source::new(text);
    let mut parsed = Parsed::default();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    let mut has_half = false;
    while at < source.len() {
        match source.at(at) {
            '&' => {
                let (code, end) = entity(&source, at);
                match code {
                    None => parsed.text.push('&'),
                    // Half of a surrogate pair.
                    Some(code) => parsed.text.push(char::from_u32(code).unwrap_or_else(|| {
                        has_half = true;
                        char::REPLACEMENT_CHARACTER
                    })),
                }
                at = end;
            }
            '<' if source.at(at + 1) == '/' => at = close(&source, at, &mut open, &mut parsed)?,
            '<' => {
                let (name, argument, end) = start(&source, at)?;
                open.push(Open { name, argument, from: parsed.text.len() });
                at = end;
            }
            c => {
                parsed.text.push(c);
                at += 1;
            }
        }
    }
    if let Some(tag) = open.last() {
        return Err(format!("Can't find end tag corresponding to start tag \"{}\"", tag.name));
    }
    if has_half {
        return Err(
            "Text contains invalid Unicode characters after decoding HTML entities, check for unmatched \
            surrogate code units"
                .to_owned(),
        );
    }
    Ok(parsed)
}

/// The code point of an entity, and where the text goes on; without one, the `&` is itself.
fn entity(source: &Source, at: usize) -> (Option<u32>, usize) {
    let (code, end) = if source.at(at + 1) == '#' {
        let (from, radix) = if source.at(at + 2) == 'x' { (at + 3, 16) } else { (at + 2, 10) };
        let end = source.skip(from, |c| c.is_digit(radix));
        let code = u32::from_str_radix(&source.slice(from, end), radix).ok();
        (code.filter(|code| *code != 0 && *code < 0x10_ffff && end - at < 10), end)
    } else {
        let end = source.skip(at + 1, |c| c.is_ascii_alphabetic());
        let code = match source.slice(at + 1, end).as_str() {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            _ => None,
        };
        (code.map(u32::from), end)
    };
    match code {
        None => (None, at + 1),
        // The semicolon may be missing.
        Some(code) => (Some(code), if source.at(end) == ';' { end + 1 } else { end }),
    }
}

/// The name of a start tag, the argument that counts, and where the text goes on.
fn start(source: &Source, at: usize) -> Result<(String, String, usize), String> {
    let offset = source.offset(at);
    let mut place = source.skip(at + 1, |c| !is_space(c) && c != '>');
    if source.at(place) == '\0' {
        return Err(format!("Unclosed start tag at byte offset {offset}"));
    }
    let name = source.slice(at + 1, place).to_ascii_lowercase();
    if !TAGS.contains(&name.as_str()) {
        return Err(format!("Unsupported start tag \"{name}\" at byte offset {offset}"));
    }
    let unclosed = || format!("Unclosed start tag \"{name}\" at byte offset {offset}");
    let blanks = |place| source.skip(place, |c| is_space(c) && c != '\0');
    let mut argument = String::new();
    while source.at(place) != '>' {
        place = blanks(place);
        if source.at(place) == '>' {
            break;
        }
        let end = source.skip(place, |c| !is_space(c) && !"=>/\"'".contains(c));
        let attribute = source.slice(place, end);
        if attribute.is_empty() {
            return Err(format!("Empty attribute name in the tag \"{name}\" at byte offset {offset}"));
        }
        place = blanks(end);
        if source.at(place) != '=' {
            if source.at(place) == '\0' {
                return Err(unclosed());
            }
            continue;
        }
        place = blanks(place + 1);
        if source.at(place) == '\0' {
            return Err(unclosed());
        }
        let (value, end) = value(source, place)?;
        place = end;
        if source.at(place) == '\0' {
            return Err(format!("Unclosed start tag at byte offset {offset}"));
        }
        match (name.as_str(), attribute.as_str()) {
            ("a", "href") | ("tg-emoji", "emoji-id") | ("tg-time", "unix") => argument = value,
            ("span", "class") => argument = value.strip_prefix("tg-").unwrap_or("").to_owned(),
            _ => {}
        }
    }
    if name == "span" && argument != "spoiler" {
        return Err(format!("Tag \"span\" must have class \"tg-spoiler\" at byte offset {offset}"));
    }
    Ok((name, argument, place + 1))
}

/// Of an attribute, in quotes or as a word.
fn value(source: &Source, at: usize) -> Result<(String, usize), String> {
    let quote = source.at(at);
    if quote != '"' && quote != '\'' {
        let end = source.skip(at, |c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
        if !is_space(source.at(end)) && source.at(end) != '>' {
            return Err(format!("Unexpected end of name token at byte offset {}", source.offset(at)));
        }
        return Ok((source.slice(at, end).to_ascii_lowercase(), end));
    }
    let mut value = String::new();
    let mut place = at + 1;
    while source.at(place) != quote && source.at(place) != '\0' {
        let (code, end) = if source.at(place) == '&' { entity(source, place) } else { (None, place + 1) };
        value.push(code.and_then(char::from_u32).unwrap_or(source.at(place)));
        place = end;
    }
    Ok((value, if source.at(place) == quote { place + 1 } else { place }))
}

/// Ends the tag that was opened last.
fn close(source: &Source, at: usize, open: &mut Vec<Open>, parsed: &mut Parsed) -> Result<usize, String> {
    let offset = source.offset(at);
    let tag = open.pop().ok_or_else(|| format!("Unexpected end tag at byte offset {offset}"))?;
    let end = source.skip(at + 2, |c| !is_space(c) && c != '>');
    let name = source.slice(at + 2, end).to_ascii_lowercase();
    let end = source.skip(end, |c| is_space(c) && c != '\0');
    if source.at(end) != '>' {
        return Err(format!("Unclosed end tag at byte offset {offset}"));
    }
    if !name.is_empty() && name != tag.name {
        let expected = tag.name;
        return Err(format!(
            "Unmatched end tag at byte offset {offset}, expected \"</{expected}>\", found \"</{name}>\""
        ));
    }
    if parsed.text.len() == tag.from {
        return Ok(end + 1);
    }
    let kind = match tag.name.as_str() {
        "b" | "strong" => Kind::Style("bold"),
        "i" | "em" => Kind::Style("italic"),
        "u" | "ins" => Kind::Style("underline"),
        "s" | "strike" | "del" => Kind::Style("strikethrough"),
        "pre" | "code" => CODE,
        "blockquote" => Kind::Style("quote"),
        "tg-emoji" if tag.argument.parse::<i64>().is_ok_and(|id| id != 0) => Kind::Style("emoji"),
        "tg-emoji" => return Err("Invalid custom emoji identifier specified".to_owned()),
        "tg-time" => Kind::Style("time"),
        "a" => {
            let url = if tag.argument.is_empty() {
                parsed.slice(tag.from, parsed.text.len())
            } else {
                tag.argument
            };
            match target::of(&url) {
                Some(kind) => kind,
                None => return Ok(end + 1),
            }
        }
        _ => Kind::Style("spoiler"),
    };
    parsed.mark(tag.from, kind);
    Ok(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(parsed: &Parsed) -> Vec<(String, Kind)> {
        parsed.spans.iter().map(|span| (parsed.slice(span.from, span.to), span.kind.clone())).collect()
    }

    #[test]
    fn tags_and_entities_are_read() {
        let link = |url: &str| Kind::Link(url.to_owned());
        type Case<'a> = (&'a str, &'a str, Vec<(&'a str, Kind)>);
        let cases: Vec<Case<'_>> = vec![
            ("a &lt;b&gt; &amp;amp; &quot;", "a <b> &amp; \"", vec![]),
            ("&nbsp; &apos; & &; &#39;&#x41;&#0;", "&nbsp; &apos; & &; 'A&#0;", vec![]),
            ("&lt 1&gt &ltb", "< 1> &ltb", vec![]),
            ("<b>x<i>y</i></b>", "xy", vec![("y", Kind::Style("italic")), ("xy", Kind::Style("bold"))]),
            ("<B >x</ >", "x", vec![("x", Kind::Style("bold"))]),
            (
                "<a href=\"https://x.org/?a=1&amp;b=2\">t</a>",
                "t",
                vec![("t", link("https://x.org/?a=1&b=2"))],
            ),
            ("<a href='http://localhost:9550/'>t</a>", "t", vec![]),
            ("<a>x.org</a>", "x.org", vec![("x.org", link("http://x.org"))]),
            ("<a href=\"tg://user?id=42\">t</a>", "t", vec![("t", Kind::Ping("tg://user?id=42".into()))]),
            ("<pre><code class=\"language-a\">x</code></pre>", "x", vec![("x", CODE), ("x", CODE)]),
            ("<span class=\"tg-spoiler\">x</span>", "x", vec![("x", Kind::Style("spoiler"))]),
            ("<b></b>x > y", "x > y", vec![]),
        ];
        for (text, expected, of_spans) in cases {
            let parsed = parse(text).unwrap();
            assert_eq!(parsed.slice(0, parsed.text.len()), expected, "{text}");
            let of_spans: Vec<_> = of_spans.into_iter().map(|(text, kind)| (text.to_owned(), kind)).collect();
            assert_eq!(spans(&parsed), of_spans, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("<x>", "Unsupported start tag \"x\" at byte offset 0"),
            ("é<script>alert(1)</script>", "Unsupported start tag \"script\" at byte offset 2"),
            ("a < b > c", "Unsupported start tag \"\" at byte offset 2"),
            ("a <", "Unclosed start tag at byte offset 2"),
            ("<b", "Unclosed start tag at byte offset 0"),
            ("<b>x", "Can't find end tag corresponding to start tag \"b\""),
            ("x</b>", "Unexpected end tag at byte offset 1"),
            ("<b>x</i>", "Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\""),
            ("<b>x</b", "Unclosed end tag at byte offset 4"),
            ("<b/>", "Unsupported start tag \"b/\" at byte offset 0"),
            ("<a href=http://x.y>t</a>", "Unexpected end of name token at byte offset 8"),
            ("<a =x>t</a>", "Empty attribute name in the tag \"a\" at byte offset 0"),
            ("<a href=\"x", "Unclosed start tag at byte offset 0"),
            ("<a href ", "Unclosed start tag \"a\" at byte offset 0"),
            ("<span>x</span>", "Tag \"span\" must have class \"tg-spoiler\" at byte offset 0"),
            (
                "&#xd800;",
                "Text contains invalid Unicode characters after decoding HTML entities, check for unmatched \
                 surrogate code units",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
    }
}

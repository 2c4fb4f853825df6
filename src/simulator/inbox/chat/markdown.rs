//! Markdown, as much of it as the apps show.

use super::{
    super::message::{Message, Service},
    found::{self, Bare},
    parsed::{CODE, Kind, Parsed},
};

/// Whose Markdown it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `CommonMark` without HTML.
    Common,
    /// `__` underlines, `||` hides, `-#` makes small.
    Discord,
    /// DingTalk and WeCom: `<font …>`.
    Font,
    /// Feishu: `<font …>`, and `&#60;` is a `<`.
    Lark,
}

/// A text as its reader sees it.
pub(super) fn shown(service: Service, text: &str, dialect: Dialect) -> Message {
    let mut parsed = Parsed::default();
    let source: Vec<char> = text.chars().collect();
    parse(&source, dialect, &mut parsed);
    let bare = if dialect == Dialect::Discord { Bare::Text } else { Bare::Linked };
    found::mark(&mut parsed, bare);
    parsed.message(service)
}

fn parse(source: &[char], dialect: Dialect, parsed: &mut Parsed) {
    let mut at = 0;
    let mut begins_line = true;
    while at < source.len() {
        if begins_line {
            begins_line = false;
            if let Some(after) = beginning(source, at, dialect, parsed) {
                at = after;
                continue;
            }
        }
        match part(source, at, dialect, parsed) {
            Some(after) => at = after,
            None => {
                begins_line = source[at] == '\n';
                parsed.text.push(source[at]);
                at += 1;
            }
        }
    }
}

/// What only the beginning of a line can be; where the rest goes on.
fn beginning(source: &[char], at: usize, dialect: Dialect, parsed: &mut Parsed) -> Option<usize> {
    let line = at + source[at..].iter().position(|c| *c == '\n').unwrap_or(source.len() - at);
    let word = at + source[at..line].iter().position(|c| *c == ' ')?;
    let from = parsed.text.len();
    let mark: String = source[at..word].iter().collect();
    let kind = match mark.as_str() {
        "#" | "##" | "###" | "####" | "#####" | "######" => "heading",
        ">" | ">>>" => "quote",
        "-#" if dialect == Dialect::Discord => "small",
        "-" | "*" | "+" => {
            parsed.text.extend(['•', ' ']);
            return Some(word + 1);
        }
        _ => return None,
    };
    parse_line(&source[word + 1..line], dialect, parsed);
    parsed.mark(from, Kind::Style(kind));
    Some(line)
}

/// Without what only the beginning of a line can be.
fn parse_line(source: &[char], dialect: Dialect, parsed: &mut Parsed) {
    let mut at = 0;
    while at < source.len() {
        at = part(source, at, dialect, parsed).unwrap_or_else(|| {
            parsed.text.push(source[at]);
            at + 1
        });
    }
}

/// What begins here, if it is more than a character; where the rest goes on.
fn part(source: &[char], at: usize, dialect: Dialect, parsed: &mut Parsed) -> Option<usize> {
    let from = parsed.text.len();
    match source[at] {
        '\\' => {
            let next = *source.get(at + 1).filter(|next| next.is_ascii_punctuation())?;
            parsed.text.push(next);
            Some(at + 2)
        }
        '`' => {
            let ticks = source[at..].iter().take_while(|c| **c == '`').count();
            let begin = at + ticks;
            let end = begin + closing(&source[begin..], '`', ticks)?;
            parsed.text.extend(&source[begin..end]);
            parsed.mark(from, CODE);
            Some(end + ticks)
        }
        '!' if source.get(at + 1) == Some(&'[') => link(source, at + 1, dialect, parsed),
        '[' => link(source, at, dialect, parsed),
        '<' => angle(source, at, dialect, parsed),
        '&' if dialect == Dialect::Lark => {
            let end = at + source[at..].iter().take(10).position(|c| *c == ';')?;
            let number: String = source.get(at + 2..end)?.iter().collect();
            let code = (source[at + 1] == '#').then(|| number.parse().ok()).flatten()?;
            parsed.text.push(char::from_u32(code)?);
            Some(end + 1)
        }
        mark @ ('*' | '_' | '~' | '|') => emphasis(source, at, mark, dialect, parsed),
        _ => None,
    }
}

fn emphasis(source: &[char], at: usize, mark: char, dialect: Dialect, parsed: &mut Parsed) -> Option<usize> {
    let double = source.get(at + 1) == Some(&mark);
    let kind = match (mark, double) {
        ('_', true) if dialect == Dialect::Discord => "underline",
        ('*' | '_', true) => "bold",
        ('*' | '_', false) => "italic",
        ('~', true) => "strikethrough",
        ('|', true) if dialect == Dialect::Discord => "spoiler",
        _ => return None,
    };
    let width = if double { 2 } else { 1 };
    let begin = at + width;
    // A name such as a_b_c has no italic part.
    let within_word = |c: Option<&char>| mark == '_' && !double && c.is_some_and(|c| c.is_alphanumeric());
    if within_word(at.checked_sub(1).and_then(|before| source.get(before))) {
        return None;
    }
    source.get(begin).filter(|c| !c.is_whitespace())?;
    let length = closing_unescaped(&source[begin..], mark, width)?;
    let end = begin + length;
    if length == 0 || source[end - 1].is_whitespace() || within_word(source.get(end + width)) {
        return None;
    }
    let from = parsed.text.len();
    parse_line(&source[begin..end], dialect, parsed);
    parsed.mark(from, Kind::Style(kind));
    Some(end + width)
}

/// `[text](url)`, from the bracket on.
fn link(source: &[char], at: usize, dialect: Dialect, parsed: &mut Parsed) -> Option<usize> {
    let close = at + 1 + closing_unescaped(&source[at + 1..], ']', 1)?;
    source.get(close + 1).filter(|c| **c == '(')?;
    let end = close + 2 + closing_unescaped(&source[close + 2..], ')', 1)?;
    let url: String = source[close + 2..end].iter().collect();
    let from = parsed.text.len();
    parse_line(&source[at + 1..close], dialect, parsed);
    // A title may follow the URL.
    let url = url.split_whitespace().next().unwrap_or("").trim_matches(['<', '>']).to_owned();
    parsed.mark(from, Kind::Link(url));
    Some(end + 1)
}

/// `<http://…>`, and a tag where there are tags.
fn angle(source: &[char], at: usize, dialect: Dialect, parsed: &mut Parsed) -> Option<usize> {
    let end = at + source[at..].iter().position(|c| *c == '>')?;
    let inner: String = source[at + 1..end].iter().collect();
    let is_url = ["http://", "https://"].iter().any(|scheme| inner.starts_with(scheme));
    if is_url && !inner.contains(char::is_whitespace) {
        let from = parsed.text.len();
        parsed.text.extend(inner.chars());
        parsed.mark(from, Kind::Link(inner));
        return Some(end + 1);
    }
    let has_fonts = matches!(dialect, Dialect::Font | Dialect::Lark);
    if !has_fonts || !inner.starts_with("font") {
        return None;
    }
    let rest: String = source[end + 1..].iter().collect();
    let (text, _) = rest.split_once("</font>")?;
    let text: Vec<char> = text.chars().collect();
    let from = parsed.text.len();
    parse_line(&text, dialect, parsed);
    parsed.mark(from, Kind::Style("font"));
    Some(end + 1 + text.len() + "</font>".len())
}

/// Where exactly so many of a character are.
fn closing(source: &[char], mark: char, width: usize) -> Option<usize> {
    let mut at = 0;
    while at < source.len() {
        let run = source[at..].iter().take_while(|c| **c == mark).count();
        if run == width {
            return Some(at);
        }
        at += run.max(1);
    }
    None
}

/// As [`closing`], past escaped characters.
fn closing_unescaped(source: &[char], mark: char, width: usize) -> Option<usize> {
    let mut at = 0;
    while at < source.len() {
        if source[at] == '\\' {
            at += 2;
            continue;
        }
        let run = source[at..].iter().take_while(|c| **c == mark).count();
        if run >= width && (run == width || width == 1 && mark != '*' && mark != '_' || run > 2) {
            return Some(at);
        }
        at += run.max(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_taken_out_and_kept() {
        type Case<'a> = (Dialect, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);
        let cases: &[Case<'_>] = &[
            (Dialect::Common, "a **b** `c*d*`", "a b c*d*", &[("bold", "b"), ("code", "c*d*")], &[]),
            (Dialect::Common, "a_b_c \\*x\\* 2*3", "a_b_c *x* 2*3", &[], &[]),
            (Dialect::Common, "[t](http://x.y/) z", "t z", &[], &[("t", "http://x.y/")]),
            (Dialect::Common, "\\[t\\](x)", "[t](x)", &[], &[]),
            (Dialect::Common, "# H\n- one\n> q", "H\n• one\nq", &[("heading", "H"), ("quote", "q")], &[]),
            (Dialect::Common, "<http://x.y/a>", "http://x.y/a", &[], &[("http://x.y/a", "http://x.y/a")]),
            (
                Dialect::Common,
                "`evil.com` evil.com",
                "evil.com evil.com",
                &[("code", "evil.com")],
                &[("evil.com", "http://evil.com")],
            ),
            (Dialect::Discord, "__u__ ||s|| -# x", "u s -# x", &[("underline", "u"), ("spoiler", "s")], &[]),
            (Dialect::Discord, "-# small evil.com", "small evil.com", &[("small", "small evil.com")], &[]),
            (Dialect::Font, "<font color=\"warning\">x</font>y &#60;", "xy &#60;", &[("font", "x")], &[]),
            (Dialect::Lark, "&#60;at&#62; **b**", "<at> b", &[("bold", "b")], &[]),
        ];
        for (dialect, source, text, styles, links) in cases {
            let message = shown(Service::Discord, source, *dialect);
            assert_eq!(message.text, *text, "{source}");
            let found: Vec<_> =
                message.styles.iter().map(|style| (style.kind, style.text.as_str())).collect();
            assert_eq!(found, *styles, "{source}");
            let found: Vec<_> =
                message.links.iter().map(|link| (link.text.as_str(), link.url.as_str())).collect();
            assert_eq!(found, *links, "{source}");
        }
    }
}

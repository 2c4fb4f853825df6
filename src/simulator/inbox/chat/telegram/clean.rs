//! What the server does to every text: it takes out what it does not show, and blanks around.

use super::super::parsed::{CODE, Kind, Parsed, Span};

pub(super) fn cleaned(parsed: Parsed) -> Parsed {
    let mut clean = Parsed::default();
    // Where each character of the old text is in the new one.
    let mut places = Vec::with_capacity(parsed.text.len() + 1);
    for c in &parsed.text {
        places.push(clean.text.len());
        match c {
            '\n' => clean.text.push('\n'),
            '\r' | '\u{2028}'..='\u{202e}' | '\u{333}' | '\u{33f}' | '\u{30a}' => {}
            '\0'..='\u{20}' => clean.text.push(' '),
            c => clean.text.push(*c),
        }
    }
    places.push(clean.text.len());
    for Span { from, to, kind } in without_styled_code(parsed.spans) {
        clean.span(places[from], places[to], kind);
    }
    trimmed(clean)
}

/// Code has no other style inside.
fn without_styled_code(spans: Vec<Span>) -> Vec<Span> {
    let code: Vec<_> =
        spans.iter().filter(|span| span.kind == CODE).map(|span| (span.from, span.to)).collect();
    let is_kept = |span: &Span| {
        let in_code = code.iter().any(|(from, to)| *from <= span.from && span.to <= *to);
        span.kind == CODE || !in_code || matches!(span.kind, Kind::Link(_) | Kind::Ping(_))
    };
    spans.into_iter().filter(is_kept).collect()
}

/// Blanks in front stay where markup begins with them.
fn trimmed(parsed: Parsed) -> Parsed {
    let is_blank = |c: &char| matches!(c, ' ' | '\n');
    let end = parsed.text.iter().rposition(|c| !is_blank(c)).map_or(0, |last| last + 1);
    let marked = parsed.spans.iter().map(|span| span.from).min().unwrap_or(end);
    let begin = parsed.text[..end].iter().take(marked).take_while(|c| is_blank(c)).count();
    let mut trimmed = Parsed { text: parsed.text[begin..end].to_vec(), spans: Vec::new() };
    for Span { from, to, kind } in parsed.spans {
        trimmed.span(from - begin, to.min(end).saturating_sub(begin), kind);
    }
    trimmed
}

/// Whether a character alone makes no message.
pub(super) fn is_empty(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{3164}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_taken_out() {
        for (text, expected) in [
            (" a\tb\u{0}c\r\n ", "a b c"),
            ("\u{202e}evil\u{202c} \u{2068}kept\u{2069}", "evil \u{2068}kept\u{2069}"),
            ("\n\n", ""),
            ("x\u{333}", "x"),
        ] {
            let clean = cleaned(Parsed::plain(text));
            assert_eq!(clean.slice(0, clean.text.len()), expected, "{text:?}");
        }
    }

    #[test]
    fn spans_move_with_the_text() {
        let mut parsed = Parsed::plain("  \r\u{202e}ab cd  ");
        parsed.span(4, 6, Kind::Style("bold"));
        parsed.span(7, 11, CODE);
        parsed.span(8, 9, Kind::Style("italic"));
        let clean = cleaned(parsed);
        let spans: Vec<_> = clean.spans.iter().map(|span| clean.slice(span.from, span.to)).collect();
        assert_eq!(
            (clean.slice(0, clean.text.len()).as_str(), spans),
            ("ab cd", vec!["ab".into(), "cd".into()])
        );
    }
}

//! Slack's markup: `*bold*`, `<url|text>`, `<!channel>`, `<@U…>`, and `&amp;`, `&lt;` and `&gt;`.

use super::{
    super::message::{Message, Service},
    found::{self, Bare},
    parsed::{CODE, Kind, Parsed},
};

const ENTITIES: [(&str, char); 3] = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')];

/// A text as its reader sees it.
pub(super) fn shown(text: &str) -> Message {
    let source: Vec<char> = text.chars().collect();
    let mut parsed = Parsed::default();
    parse(&source, &mut parsed);
    found::mark(&mut parsed, Bare::Text);
    parsed.message(Service::Slack)
}

/// A text in which nothing is markup but the three entities.
pub(super) fn plain(text: &str) -> Message {
    let source: Vec<char> = text.chars().collect();
    let mut parsed = Parsed::default();
    push(&source, &mut parsed);
    parsed.message(Service::Slack)
}

fn push(source: &[char], parsed: &mut Parsed) {
    let mut at = 0;
    while at < source.len() {
        let entity = ENTITIES.into_iter().find(|(entity, _)| found::begins(source, at, entity));
        let (c, length) = entity.map_or((source[at], 1), |(entity, c)| (c, entity.len()));
        parsed.text.push(c);
        at += length;
    }
}

fn parse(source: &[char], parsed: &mut Parsed) {
    let mut at = 0;
    while at < source.len() {
        at = match source[at] {
            '<' => angle(source, at, parsed),
            '`' => code(source, at, parsed),
            '*' => emphasis(source, at, "bold", parsed),
            '_' => emphasis(source, at, "italic", parsed),
            '~' => emphasis(source, at, "strikethrough", parsed),
            _ => None,
        }
        .unwrap_or_else(|| {
            let length = ENTITIES.iter().find(|(entity, _)| found::begins(source, at, entity));
            let end = at + length.map_or(1, |(entity, _)| entity.len());
            push(&source[at..end], parsed);
            end
        });
    }
}

fn angle(source: &[char], at: usize, parsed: &mut Parsed) -> Option<usize> {
    let end = at + source[at..].iter().position(|c| *c == '>')?;
    let inner: String = source[at + 1..end].iter().collect();
    if inner.is_empty() || inner.contains(['<', '\n']) {
        return None;
    }
    let (target, label) = inner.split_once('|').unwrap_or((&inner, ""));
    let from = parsed.text.len();
    let (shown, kind) = match target.chars().next() {
        Some('@' | '!') => {
            let who = target.replace('!', "@");
            (if label.is_empty() { who.clone() } else { label.to_owned() }, Kind::Ping(who))
        }
        Some('#') => (format!("#{label}"), Kind::Style("channel")),
        _ => (if label.is_empty() { target } else { label }.to_owned(), Kind::Link(target.to_owned())),
    };
    push(&shown.chars().collect::<Vec<_>>(), parsed);
    parsed.mark(from, kind);
    Some(end + 1)
}

fn code(source: &[char], at: usize, parsed: &mut Parsed) -> Option<usize> {
    let ticks = if found::begins(source, at, "```") { 3 } else { 1 };
    let begin = at + ticks;
    let mark = "`".repeat(ticks);
    let length =
        (0..source.len().saturating_sub(begin)).find(|ahead| found::begins(source, begin + ahead, &mark))?;
    let inner = &source[begin..begin + length];
    if inner.is_empty() || ticks == 1 && inner.contains(&'\n') {
        return None;
    }
    let from = parsed.text.len();
    // What is in angle brackets works in code as well.
    let mut inner_at = 0;
    while inner_at < inner.len() {
        let link = if inner[inner_at] == '<' { angle(inner, inner_at, parsed) } else { None };
        inner_at = link.unwrap_or_else(|| {
            let entity = ENTITIES.iter().find(|(entity, _)| found::begins(inner, inner_at, entity));
            let end = inner_at + entity.map_or(1, |(entity, _)| entity.len());
            push(&inner[inner_at..end], parsed);
            end
        });
    }
    parsed.mark(from, CODE);
    Some(begin + length + ticks)
}

fn emphasis(source: &[char], at: usize, kind: &'static str, parsed: &mut Parsed) -> Option<usize> {
    let mark = source[at];
    let is_word = |c: Option<&char>| c.is_some_and(|c| found::is_word(*c));
    if is_word(at.checked_sub(1).and_then(|before| source.get(before))) {
        return None;
    }
    source.get(at + 1).filter(|c| !c.is_whitespace() && **c != mark)?;
    let line = source[at + 1..].iter().take_while(|c| **c != '\n').count();
    let ends = |end: &usize| {
        source[*end] == mark && !source[end - 1].is_whitespace() && !is_word(source.get(end + 1))
    };
    let end = (at + 2..at + 1 + line).find(ends)?;
    let from = parsed.text.len();
    parse(&source[at + 1..end], parsed);
    parsed.mark(from, Kind::Style(kind));
    Some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_text_and_the_rest_is_markup() {
        type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);
        let cases: &[Case<'_>] = &[
            ("a &lt;!channel&gt; &amp;lt;", "a <!channel> &lt;", &[], &[]),
            ("<!channel> <@U1|bob> <!here|x>", "@channel bob x", &["@channel", "@U1", "@here"], &[]),
            (
                "<http://a.b|see> http://c.d/",
                "see http://c.d/",
                &[],
                &[("see", "http://a.b"), ("http://c.d/", "http://c.d/")],
            ),
            ("`<!channel>` evil.com", "@channel evil.com", &["@channel"], &[]),
            ("a < b > c", "a  b  c", &[], &[(" b ", " b ")]),
            ("a < b", "a < b", &[], &[]),
        ];
        for (source, text, pings, links) in cases {
            let message = shown(source);
            assert_eq!(message.text, *text, "{source}");
            assert_eq!(message.pings, *pings, "{source}");
            let found: Vec<_> =
                message.links.iter().map(|link| (link.text.as_str(), link.url.as_str())).collect();
            assert_eq!(found, *links, "{source}");
        }
        let styles = shown("*b* a_b_c _i_ `c`").styles;
        let styles: Vec<_> = styles.iter().map(|style| (style.kind, style.text.as_str())).collect();
        assert_eq!(styles, [("bold", "b"), ("italic", "i"), ("code", "c")]);
        assert_eq!(plain("<!channel> *b* &lt;").text, "<!channel> *b* <");
    }
}

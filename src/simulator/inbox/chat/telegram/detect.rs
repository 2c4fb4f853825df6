//! What the server recognizes in a text: links, mentions, hashtags, commands.

use super::super::{
    found::{self, Bare, is_word},
    parsed::{Kind, Parsed, Span},
};

/// Names that are shorter than others may be.
const SHORT_NAMES: [&str; 5] = ["gif", "nft", "pic", "ufc", "vid"];

pub(super) fn mark(parsed: &mut Parsed) {
    found::mark(parsed, Bare::Linked);
    // A host without a dot is none.
    parsed.spans.retain(|Span { kind, .. }| match kind {
        Kind::Recognized(url) => {
            let (scheme, rest) = url.split_once(':').unwrap_or_default();
            let host = rest.trim_start_matches('/').split(['/', '?', '#']).next().unwrap_or("");
            scheme == "tg" || scheme == "mailto" || host.contains('.')
        }
        Kind::Style(_) | Kind::Link(_) | Kind::Ping(_) => true,
    });
    let found: Vec<_> = (0..parsed.text.len()).filter_map(|at| tag(&parsed.text, at)).collect();
    for Span { from, to, kind } in found {
        if !parsed.is_taken(from, to) {
            parsed.span(from, to, kind);
        }
    }
}

/// The mention, hashtag, cashtag or command that begins here.
fn tag(text: &[char], at: usize) -> Option<Span> {
    let before = at.checked_sub(1).and_then(|before| text.get(before)).copied();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_of_tag = |c: char| is_word(c) || matches!(c, '\u{200c}' | '\u{b7}');
    let run = |fits: &dyn Fn(char) -> bool| text[at + 1..].iter().take_while(|c| fits(**c)).count();
    let after = |length: usize| text.get(at + 1 + length).copied();
    let slice = |length: usize| text[at + 1..at + 1 + length].iter().collect::<String>();
    let span = |length: usize, kind| Some(Span { from: at, to: at + 1 + length, kind });
    match text[at] {
        '@' if !before.is_some_and(is_word) => {
            let length = run(&is_name);
            let name = slice(length);
            let fits = (4..=32).contains(&length) || SHORT_NAMES.contains(&name.to_lowercase().as_str());
            (fits && !after(length).is_some_and(is_word)).then_some(())?;
            span(length, Kind::Ping(format!("@{name}")))
        }
        '#' if !before.is_some_and(is_of_tag) => {
            let length = run(&is_of_tag).min(256);
            let has_letter = slice(length).chars().any(char::is_alphabetic);
            (has_letter && after(length) != Some('#')).then_some(())?;
            span(length, Kind::Style("hashtag"))
        }
        '$' if !before.is_some_and(|c| is_of_tag(c) || c == '$') => {
            let length = run(&|c| c.is_ascii_uppercase());
            let goes_on = after(length).is_some_and(|c| is_of_tag(c) || c == '$');
            ((1..=8).contains(&length) && !goes_on).then_some(())?;
            span(length, Kind::Style("cashtag"))
        }
        '/' if !before.is_some_and(|c| is_word(c) || matches!(c, '/' | '<' | '>')) => {
            let length = run(&is_name);
            let goes_on = after(length).is_some_and(|c| is_word(c) || matches!(c, '/' | '<' | '>'));
            ((1..=64).contains(&length) && !goes_on).then_some(())?;
            span(length, Kind::Style("command"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::inbox::message::Service;

    #[test]
    fn what_can_be_touched_is_found() {
        let cases = [
            ("hi @some_one, @abc a@name @gif", vec!["@some_one", "@gif"], vec![], vec![]),
            ("#tag #1 a#b #a#b $USD 5/6 /stop", vec![], vec!["hashtag", "cashtag", "command"], vec![]),
            (
                "evil.com http://localhost:9550/ a@b.com",
                vec![],
                vec![],
                vec!["http://evil.com", "mailto:a@b.com"],
            ),
        ];
        for (text, pings, styles, links) in cases {
            let mut parsed = Parsed::plain(text);
            mark(&mut parsed);
            let message = parsed.message(Service::Telegram);
            assert_eq!(message.pings, pings, "{text}");
            assert_eq!(message.styles.iter().map(|style| style.kind).collect::<Vec<_>>(), styles, "{text}");
            assert_eq!(
                message.links.iter().map(|link| link.url.as_str()).collect::<Vec<_>>(),
                links,
                "{text}"
            );
            assert!(message.links.iter().all(|link| link.recognized), "{text}");
        }
        let mut code = Parsed::plain("@some_one evil.com #tag");
        code.span(0, 23, super::super::super::parsed::CODE);
        mark(&mut code);
        assert_eq!(code.spans.len(), 1);
    }
}

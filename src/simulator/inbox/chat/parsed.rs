//! A text without its markup, and what the markup made of it.

use super::super::message::{Link, Message, Service, Style};

/// A text as its reader sees it, in code points.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    pub(super) text: Vec<char>,
    pub(super) spans: Vec<Span>,
}

/// A part of the text, from a code point up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kind: Kind,
}

/// What a part of a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Style(&'static str),
    /// Leads to this URL.
    Link(String),
    /// Leads to this URL, as the app recognized.
    Recognized(String),
    /// Calls this person or these people.
    Ping(String),
}

pub(super) const CODE: Kind = Kind::Style("code");

impl Parsed {
    pub(super) fn plain(text: &str) -> Parsed {
        Parsed { text: text.chars().collect(), spans: Vec::new() }
    }

    /// Gives everything since `from` a meaning, if there is something.
    pub(super) fn mark(&mut self, from: usize, kind: Kind) {
        self.span(from, self.text.len(), kind);
    }

    pub(super) fn span(&mut self, from: usize, to: usize, kind: Kind) {
        if from < to {
            self.spans.push(Span { from, to, kind });
        }
    }

    /// Whether no link is recognized here: it is code, or a link already.
    pub(super) fn is_taken(&self, from: usize, to: usize) -> bool {
        let takes = |kind: &Kind| *kind == CODE || !matches!(kind, Kind::Style(_));
        self.spans.iter().any(|span| span.from < to && from < span.to && takes(&span.kind))
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> String {
        self.text.get(from..to).unwrap_or_default().iter().collect()
    }

    pub(super) fn message(mut self, service: Service) -> Message {
        self.spans.sort_by_key(|span| (span.from, usize::MAX - span.to));
        let mut message = Message::plain(service, self.slice(0, self.text.len()));
        for span in &self.spans {
            let text = self.slice(span.from, span.to);
            match &span.kind {
                Kind::Style(kind) => message.styles.push(Style { kind, text }),
                Kind::Link(url) => message.links.push(Link::marked(&text, url)),
                Kind::Recognized(url) => {
                    message.links.push(Link { text, url: url.clone(), recognized: true });
                }
                Kind::Ping(who) => message.pings.push(who.clone()),
            }
        }
        message
    }
}

//! How each chat marks up text, and how text of others is kept from being markup, a mention or a link.

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Of our own.
    Text(String),
    /// It may contain names that others chose.
    Foreign(String),
    /// Likewise, in bold.
    Bold(String),
    /// Text of our own that leads to a URL of our own.
    Link { text: String, url: String },
}

/// How a chat marks up text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup {
    Plain,
    /// Plain text in which `<` begins a mention, without an escape.
    PlainWithTags,
    /// Telegram's.
    Html,
    /// Discord's Markdown, in which a backslash escapes any punctuation.
    Discord,
    /// Slack's mrkdwn.
    Slack,
    /// WeCom's Markdown, which has no escape.
    Wecom,
}

impl Markup {
    /// Whether a text can lead to a URL.
    pub(super) fn has_links(self) -> bool {
        match self {
            Markup::Plain | Markup::PlainWithTags => false,
            Markup::Html | Markup::Discord | Markup::Slack | Markup::Wecom => true,
        }
    }

    /// The lines as they are sent.
    pub(super) fn write(self, lines: &[Vec<Piece>]) -> String {
        join(lines, |piece| self.piece(piece))
    }

    /// The lines as they are read, without markup.
    pub(super) fn visible(self, lines: &[Vec<Piece>]) -> String {
        join(lines, |piece| match piece {
            Piece::Link { text, url } if !self.has_links() => plain_link(text, url),
            Piece::Text(text) | Piece::Link { text, .. } => text.clone(),
            Piece::Foreign(text) | Piece::Bold(text) => inert(text),
        })
    }

    fn piece(self, piece: &Piece) -> String {
        match piece {
            Piece::Text(text) => self.escape(text),
            Piece::Foreign(text) => self.escape(&inert(text)),
            Piece::Bold(text) => self.bold(&self.escape(&inert(text))),
            Piece::Link { text, url } => self.link(text, url),
        }
    }

    fn bold(self, escaped: &str) -> String {
        match self {
            Markup::Plain | Markup::PlainWithTags => escaped.to_owned(),
            Markup::Html => format!("<b>{escaped}</b>"),
            Markup::Discord | Markup::Wecom => format!("**{escaped}**"),
            Markup::Slack => format!("*{escaped}*"),
        }
    }

    fn link(self, text: &str, url: &str) -> String {
        let escaped = self.escape(text);
        match self {
            Markup::Plain | Markup::PlainWithTags => self.escape(&plain_link(text, url)),
            Markup::Html => format!("<a href=\"{}\">{escaped}</a>", self.escape(url).replace('"', "&quot;")),
            // In angle brackets a link has no preview.
            Markup::Discord => format!("[{escaped}](<{}>)", without(url, &['<', '>'])),
            Markup::Slack => format!("<{}|{}>", self.escape(url).replace('|', "%7C"), escaped),
            Markup::Wecom => format!("[{escaped}]({})", without(url, &['(', ')', '<', '>'])),
        }
    }

    pub(super) fn escape(self, text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        let mut before = None;
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let beside = [before, rest.as_str().chars().next()];
            before = Some(c);
            match (self, c) {
                (Markup::Html | Markup::Slack, '&') => escaped.push_str("&amp;"),
                (Markup::Html | Markup::Slack, '<') => escaped.push_str("&lt;"),
                (Markup::Html | Markup::Slack, '>') => escaped.push_str("&gt;"),
                (Markup::Discord, c) if DISCORD.contains(c) => escaped.extend(['\\', c]),
                (Markup::PlainWithTags | Markup::Wecom, '<') => escaped.push('＜'),
                // Within a word it is no markup.
                (Markup::Wecom, '_') if beside.iter().all(|c| c.is_some_and(char::is_alphanumeric)) => {
                    escaped.push(c);
                }
                (Markup::Wecom, c) => escaped.push(wide(c)),
                (_, c) => escaped.push(c),
            }
        }
        escaped
    }
}

/// WeCom has no escape, so what could be markup looks alike and is another character.
fn wide(c: char) -> char {
    match c {
        '*' => '＊',
        '_' => '＿',
        '~' => '～',
        '`' => '｀',
        '[' => '［',
        ']' => '］',
        c => c,
    }
}

/// Every character that can begin or end something.
const DISCORD: &str = "\\*_~|<>[]()#-`";
/// Invisible, and no part of a word, a link or a mention.
const JOINER: char = '\u{2060}';

/// The text, so that no chat takes a part of it for a mention, a command or a link: something invisible follows each
/// `@`, `#`, `$` or `/` before a word and the colon of `://`, and the dot of what looks like a domain.
pub(super) fn inert(text: &str) -> String {
    let mut inert = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        inert.push(c);
        let after = rest.as_str();
        let next = after.chars().next();
        let begins = !before.is_some_and(char::is_alphanumeric);
        let breaks = match c {
            '@' => next.is_some_and(|next| next.is_alphanumeric() || next == '_'),
            '#' | '$' | '/' => begins && next.is_some_and(char::is_alphabetic),
            ':' => next == Some('/'),
            '.' => !begins && after.chars().take_while(|c| c.is_alphabetic()).count() > 1,
            _ => false,
        };
        if breaks {
            inert.push(JOINER);
        }
        before = Some(c);
    }
    inert
}

fn plain_link(text: &str, url: &str) -> String {
    format!("{text}: {url}")
}

fn without(url: &str, chars: &[char]) -> String {
    url.chars().filter(|c| !chars.contains(c)).collect()
}

fn join(lines: &[Vec<Piece>], write: impl Fn(&Piece) -> String) -> String {
    let lines: Vec<String> = lines.iter().map(|line| line.iter().map(&write).collect()).collect();
    lines.join("\n").trim().to_owned()
}

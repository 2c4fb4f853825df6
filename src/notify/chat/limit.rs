//! How long a message may be, and what is counted.

/// A limit of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) most: usize,
    pub(super) of: Of,
    pub(super) unit: Unit,
}

/// Which text is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The text without its markup.
    Visible,
    /// The text with its markup and escapes.
    Written,
    /// The whole JSON.
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    CodePoints,
    Utf16,
    /// Bytes after Go's encoder escaped `<`, `>` and `&`, of which Bark makes what it sends to Apple.
    GoJson,
}

impl Limit {
    pub(super) const fn new(most: usize, of: Of, unit: Unit) -> Self {
        Limit { most, of, unit }
    }
}

impl Unit {
    pub(super) fn count(self, text: &str) -> usize {
        match self {
            Unit::Bytes => text.len(),
            Unit::CodePoints => text.chars().count(),
            Unit::Utf16 => text.encode_utf16().count(),
            Unit::GoJson => text.chars().map(go_json).sum(),
        }
    }
}

/// Of a character in JSON that is encoded already.
fn go_json(c: char) -> usize {
    match c {
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => "\\u003c".len(),
        c => c.len_utf8(),
    }
}

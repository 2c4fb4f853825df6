//! The text that a parser reads, with the byte offsets that errors name.

/// Ends with a NUL, as the server's parsers see it.
pub(super) struct Source {
    characters: Vec<(usize, char)>,
    length: usize,
}

impl Source {
    pub(super) fn new(text: &str) -> Source {
        Source { characters: text.char_indices().collect(), length: text.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.characters.len()
    }

    pub(super) fn at(&self, place: usize) -> char {
        self.characters.get(place).map_or('\0', |(_, c)| *c)
    }

    /// In bytes.
    pub(super) fn offset(&self, place: usize) -> usize {
        self.characters.get(place).map_or(self.length, |(offset, _)| *offset)
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> String {
        self.characters.get(from..to).unwrap_or_default().iter().map(|(_, c)| *c).collect()
    }

    /// The place after all characters from `from` on that fit.
    pub(super) fn skip(&self, from: usize, fits: impl Fn(char) -> bool) -> usize {
        let rest = self.characters.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|(_, c)| fits(*c)).count()
    }
}

/// A NUL, and so the end, counts as a blank.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\0' | '\u{b}')
}

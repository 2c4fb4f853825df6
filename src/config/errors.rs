//! The mistakes in a configuration, one line each.

mod syntax;

use std::fmt;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

use crate::file::ReadError;

/// The most errors or warnings that are shown; after them, only a count follows.
pub const MOST: usize = 100;

/// The errors of one file, in the order of the text. `Display` prints them on a line each.
#[derive(Debug)]
pub struct ConfigErrors {
    /// At most [`MOST`].
    errors: Vec<ConfigError>,
    /// How many there are besides.
    more: usize,
}

/// One error. `Display` prints `file:line:column: key: what was seen; what to write instead`, without unknown parts.
#[derive(Debug)]
pub struct ConfigError {
    file: PathBuf,
    position: Option<Position>,
    key: Option<String>,
    text: String,
}

/// Both start at 1; columns count characters.
#[derive(Clone, Copy, Debug)]
struct Position {
    line: usize,
    column: usize,
}

/// A mistake with its offset in the text.
#[derive(Debug)]
pub(super) struct Problem {
    /// Bytes from the start of the text; `None` if the text does not mention the key's table.
    pub(super) offset: Option<usize>,
    /// With dots, from the top level.
    pub(super) key: String,
    pub(super) text: String,
}

/// The mistakes so far. Those that are not shown are only counted, because a file may have a million.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// Those that may be shown, and a few more.
    first: Vec<Problem>,
    count: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.count += 1;
        self.first.push(problem);
        if self.first.len() >= 2 * MOST {
            self.leave_out();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sorts them by their places in the text, and drops those that are not shown.
    fn leave_out(&mut self) {
        self.first.sort_by_key(|problem| problem.offset);
        self.first.truncate(MOST);
    }
}

impl ConfigErrors {
    /// In the order of the text; at most [`MOST`].
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// The first of them, without its place: what was seen; what to write instead.
    pub fn first(&self) -> &str {
        self.errors.first().map_or("", |error| &error.text)
    }

    pub(super) fn unreadable(file: &Path, error: &ReadError) -> Self {
        Self::single(file, None, error.to_string())
    }

    pub(super) fn not_utf8(file: &Path, error: &FromUtf8Error) -> Self {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let position = Positions::of(&String::from_utf8_lossy(good)).at(good.len());
        Self::single(file, Some(position), "a byte that is not UTF-8; save it as UTF-8".to_owned())
    }

    pub(super) fn syntax(file: &Path, text: &str, errors: &[toml::de::Error]) -> Self {
        let mut offsets: Vec<_> =
            errors.iter().map(|error| (error.span().map(|span| span.start), error)).collect();
        offsets.sort_by_key(|(offset, _)| *offset);
        let mut positions = Positions::of(text);
        let shown = offsets.into_iter().take(MOST).map(|(offset, error)| ConfigError {
            file: file.to_owned(),
            position: offset.map(|offset| positions.at(offset)),
            key: None,
            text: syntax::explain(text, offset, error.message()),
        });
        Self { errors: shown.collect(), more: errors.len().saturating_sub(MOST) }
    }

    pub(super) fn problems(file: &Path, text: &str, mut problems: Problems) -> Self {
        problems.leave_out();
        let mut positions = Positions::of(text);
        let more = problems.count - problems.first.len();
        let errors = problems.first.into_iter().map(|problem| ConfigError {
            file: file.to_owned(),
            position: problem.offset.map(|offset| positions.at(offset)),
            key: Some(problem.key),
            text: problem.text,
        });
        Self { errors: errors.collect(), more }
    }

    fn single(file: &Path, position: Option<Position>, text: String) -> Self {
        Self { errors: vec![ConfigError { file: file.to_owned(), position, key: None, text }], more: 0 }
    }
}

/// Finds positions on one pass over a text, in the order of their offsets.
struct Positions<'t> {
    text: &'t str,
    offset: usize,
    position: Position,
}

impl<'t> Positions<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, offset: 0, position: Position { line: 1, column: 1 } }
    }

    /// The position of an offset, which is not before the last one.
    fn at(&mut self, offset: usize) -> Position {
        let Some(between) = self.text.get(self.offset..offset) else { return self.position };
        let Position { line, column } = &mut self.position;
        match between.rsplit_once('\n') {
            Some((lines, last)) => {
                *line += lines.bytes().filter(|byte| *byte == b'\n').count() + 1;
                *column = last.chars().count() + 1;
            }
            None => *column += between.chars().count(),
        }
        self.offset = offset;
        self.position
    }
}

/// `… and 4,321 more`.
pub fn and_more(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("… and {grouped} more")
}

/// A text that may have any length, up to a length that fits on a page.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 1000;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        if self.more > 0 {
            write!(f, "\n{}", and_more(self.more))?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {}:", shortened(key))?;
        }
        write!(f, " {}", shortened(&self.text))
    }
}

impl std::error::Error for ConfigErrors {}
impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_whole_text() {
        let text = "a\n\nbé = 1\r\n\tc";
        let mut positions = Positions::of(text);
        for (offset, expected) in
            [(0, (1, 1)), (1, (1, 2)), (2, (2, 1)), (3, (3, 1)), (6, (3, 3)), (6, (3, 3)), (13, (4, 2))]
        {
            let Position { line, column } = positions.at(offset);
            assert_eq!((line, column), expected, "{offset}");
        }
        // Within a character, or beyond the end: the last position.
        let Position { line, column } = Positions::of(text).at(5);
        assert_eq!((line, column), (1, 1));
        assert_eq!(positions.at(1000).line, 4);
    }

    #[test]
    fn the_first_errors_of_the_text_are_shown() {
        let mut problems = Problems::default();
        for offset in (0..1000).rev() {
            let key = format!("k{offset}");
            problems.push(Problem { offset: Some(offset), key, text: "wrong".to_owned() });
        }
        let shown = ConfigErrors::problems(Path::new("f"), &" ".repeat(1000), problems);
        let lines: Vec<_> = shown.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), MOST + 1);
        assert_eq!((&*lines[0], &*lines[99]), ("f:1:1: k0: wrong", "f:1:100: k99: wrong"));
        assert_eq!(lines[100], "… and 900 more");
    }

    #[test]
    fn counts_have_commas() {
        for (count, text) in [
            (1, "… and 1 more"),
            (999, "… and 999 more"),
            (4321, "… and 4,321 more"),
            (1_234_567, "… and 1,234,567 more"),
        ] {
            assert_eq!(and_more(count), text);
        }
    }
}

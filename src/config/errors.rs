//! The mistakes in a configuration, one line each.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

/// All errors of one file, in the order of the text. `Display` prints them on a line each.
#[derive(Debug)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
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

impl ConfigErrors {
    /// In the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self::single(file, None, format!("cannot be read: {error}"))
    }

    pub(super) fn not_utf8(file: &Path, error: &FromUtf8Error) -> Self {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let position = Position::of(&String::from_utf8_lossy(good), good.len());
        Self::single(file, Some(position), "a byte that is not UTF-8; save the file as UTF-8".to_owned())
    }

    pub(super) fn syntax(file: &Path, text: &str, errors: &[toml::de::Error]) -> Self {
        let mut errors: Vec<_> = errors.iter().map(|error| (error.span(), error.message())).collect();
        errors.sort_by_key(|(span, _)| span.as_ref().map(|span| span.start));
        let errors = errors.into_iter().map(|(span, message)| ConfigError {
            file: file.to_owned(),
            position: span.map(|span| Position::of(text, span.start)),
            key: None,
            text: format!("not TOML: {message}"),
        });
        Self { errors: errors.collect() }
    }

    pub(super) fn problems(file: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.offset);
        let errors = problems.into_iter().map(|problem| ConfigError {
            file: file.to_owned(),
            position: problem.offset.map(|offset| Position::of(text, offset)),
            key: Some(problem.key),
            text: problem.text,
        });
        Self { errors: errors.collect() }
    }

    fn single(file: &Path, position: Option<Position>, text: String) -> Self {
        Self { errors: vec![ConfigError { file: file.to_owned(), position, key: None, text }] }
    }
}

impl Position {
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_so_far = before.rsplit('\n').next().unwrap_or_default();
        Self { line: before.matches('\n').count() + 1, column: line_so_far.chars().count() + 1 }
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
            write!(f, " {key}:")?;
        }
        write!(f, " {}", self.text)
    }
}

impl std::error::Error for ConfigErrors {}
impl std::error::Error for ConfigError {}

//! What the sections share while a file is read: its folder, the environment, and the mistakes so far.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::errors::{Problem, Problems};
use super::files::Files;
use super::placeholders;
use super::shape::Shape;

/// Looks up an environment variable.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

pub(super) struct Reading<'e> {
    pub(super) env: Env<'e>,
    /// The top level, to look up where a misplaced key belongs.
    pub(super) root: &'static Shape,
    folder: PathBuf,
    /// Whether a mistake in a key is reported.
    matters: fn(&str) -> bool,
    problems: RefCell<Problems>,
    warnings: RefCell<Vec<String>>,
    open_secret_files: RefCell<Vec<PathBuf>>,
    inline_secrets: RefCell<Vec<String>>,
    files: RefCell<Files>,
    /// The environment variables that were looked up and are set, each with its key.
    variables: RefCell<BTreeMap<String, String>>,
}

/// What was found besides the values.
pub(super) struct Findings {
    pub(super) problems: Problems,
    /// A sentence each.
    pub(super) warnings: Vec<String>,
    pub(super) open_secret_files: Vec<PathBuf>,
    pub(super) inline_secrets: Vec<String>,
    pub(super) files: Files,
}

/// A key, and where the text has it or else its table.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) offset: Option<usize>,
}

impl<'e> Reading<'e> {
    pub(super) fn new(file: &Path, env: Env<'e>, root: &'static Shape) -> Self {
        Self {
            env,
            root,
            folder: file.parent().map(Path::to_owned).unwrap_or_default(),
            matters: |_| true,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            open_secret_files: RefCell::default(),
            inline_secrets: RefCell::default(),
            files: RefCell::default(),
            variables: RefCell::default(),
        }
    }

    /// Reports only mistakes in the keys that matter.
    pub(super) fn about(mut self, matters: fn(&str) -> bool) -> Self {
        self.matters = matters;
        self
    }

    /// Notes a mistake at a place: what was seen; what to write instead.
    pub(super) fn refuse(&self, place: &Place, text: impl Into<String>) {
        if !(self.matters)(&place.key) {
            return;
        }
        let problem = Problem { offset: place.offset, key: place.key.clone(), text: text.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// Notes what is allowed at a place but probably not meant.
    pub(super) fn warn(&self, place: &Place, text: impl fmt::Display) {
        self.warnings.borrow_mut().push(format!("{}: {text}", place.key));
    }

    /// Notes a text that is probably a placeholder, where any text is allowed.
    pub(super) fn warn_of_placeholder(&self, place: &Place, text: &str) {
        if let Some(form) = placeholders::certain(text) {
            let text = "which is not expanded; write the value itself";
            self.warn(place, format_args!("looks like the placeholder {form}, {text}"));
        }
    }

    /// Notes a secret file that any user of the machine can read.
    pub(super) fn note_open_secret(&self, path: &Path) {
        self.open_secret_files.borrow_mut().push(path.to_owned());
    }

    /// Notes the key of a secret that the configuration itself contains.
    pub(super) fn note_inline_secret(&self, key: &str) {
        self.inline_secrets.borrow_mut().push(key.to_owned());
    }

    /// Notes the present content of a file, so that a change can be detected.
    pub(super) fn note_file(&self, path: &Path, content: &[u8]) {
        self.files.borrow_mut().note(path, content);
    }

    /// Notes the key that an environment variable belongs to. Returns another key that it belongs to already: the
    /// `secret` of `a-old` and the `old_secret` of `a` have the same variable.
    pub(super) fn claim_variable(&self, variable: &str, place: &Place) -> Option<String> {
        self.variables.borrow_mut().insert(variable.to_owned(), place.key.clone())
    }

    /// A path of the configuration: relative paths start in its folder.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    pub(super) fn into_findings(self) -> Findings {
        Findings {
            problems: self.problems.into_inner(),
            warnings: self.warnings.into_inner(),
            open_secret_files: self.open_secret_files.into_inner(),
            inline_secrets: self.inline_secrets.into_inner(),
            files: self.files.into_inner(),
        }
    }
}

/// Whether a key of TOML needs no quotes.
pub fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Place {
    /// The place of a key below this one, at the offset of this one.
    pub(super) fn below(&self, key: &str) -> Self {
        let key = if is_bare(key) { key.to_owned() } else { format!("{key:?}") };
        let key = if self.key.is_empty() { key } else { format!("{}.{key}", self.key) };
        Self { key, offset: self.offset }
    }

    pub(super) fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }
}

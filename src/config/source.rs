//! Where the configuration comes from: a file, or the environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::file::{self, ReadError};
use crate::secret::Secret;

use super::errors::ConfigErrors;
use super::secrets::{self, Readers};

/// More than ten thousand targets take, in bytes.
const LONGEST: u64 = 8 * 1024 * 1024;

/// What holds the text of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// The text itself, which may hold secrets.
    Environment(Secret),
}

impl Source {
    /// The environment variable that may hold the text.
    pub const VARIABLE: &str = "PROXYMETER_CONFIG";

    /// The value of [`Source::VARIABLE`]; absent: it holds nothing but spaces.
    ///
    /// # Errors
    /// When the value is not UTF-8.
    pub fn environment(value: OsString) -> Result<Option<Self>, ConfigErrors> {
        let text = String::from_utf8(value.into_vec())
            .map_err(|error| ConfigErrors::not_utf8(Path::new(Self::VARIABLE), &error))?;
        Ok((!text.trim().is_empty()).then(|| Source::Environment(text.into())))
    }

    /// What messages call it. Relative paths start in the folder of this path: for the environment, in the working
    /// directory.
    pub fn name(&self) -> &Path {
        match self {
            Source::File(file) => file,
            Source::Environment(_) => Path::new(Self::VARIABLE),
        }
    }

    /// Reads the text, and which users can read it.
    pub(super) fn read(&self) -> Result<(String, Readers), ConfigErrors> {
        let path = match self {
            Source::File(path) => path,
            // The system shows it only to the user of the process.
            Source::Environment(text) => return Ok((text.expose().to_owned(), Readers::Some)),
        };
        let bytes = || {
            let file = file::open(path)?;
            Ok((file::read_open(&file, LONGEST)?, secrets::readers(&file)?))
        };
        let (bytes, readers) = bytes().map_err(|error: ReadError| ConfigErrors::unreadable(path, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| ConfigErrors::not_utf8(path, &error))?;
        Ok((text, readers))
    }
}

impl From<&Path> for Source {
    fn from(file: &Path) -> Self {
        Source::File(file.to_owned())
    }
}

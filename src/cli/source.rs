//! Where a command finds its configuration.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    config::{ConfigErrors, Source},
    file::{self, ReadError},
};

/// The file of a folder without other instructions.
pub(super) const DEFAULT: &str = "exporter.toml";

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// Configuration file in TOML. Default: the text in the environment variable PROXYMETER_CONFIG, or else the file
    /// exporter.toml.
    #[arg(long = "config.file", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error(transparent)]
    Variable(#[from] ConfigErrors),
    #[error(
        "{DEFAULT}: {0}\n\
         proxymeter init                makes a configuration for your panel\n\
         proxymeter demo                shows everything with simulated panels, without a configuration\n\
         proxymeter --config.file=FILE  uses another file"
    )]
    Missing(ReadError),
}

/// Looks up an environment variable.
pub(super) fn env(name: &str) -> Option<String> {
    env::var(name).ok()
}

impl ConfigFile {
    /// The file that was named, else the text in the environment, else the default file.
    ///
    /// # Errors
    /// When there is none of them.
    pub(super) fn source(&self) -> Result<Source, SourceError> {
        if let Some(file) = &self.file {
            return Ok(Source::File(file.clone()));
        }
        let variable = env::var_os(Source::VARIABLE).map(Source::environment).transpose()?;
        if let Some(source) = variable.flatten() {
            return Ok(source);
        }
        let file = Path::new(DEFAULT);
        match file::open(file) {
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(SourceError::Missing(error.into()))
            }
            // Other errors are those of the file that is there.
            Ok(_) | Err(_) => Ok(Source::from(file)),
        }
    }
}

//! Arguments that several commands have.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// Configuration file in TOML.
    #[arg(long = "config.file", value_name = "FILE", default_value = "exporter.toml")]
    pub(super) file: PathBuf,
}

/// An environment variable.
pub(super) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

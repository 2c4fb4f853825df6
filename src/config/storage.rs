//! `[storage]`: where the program keeps its data.

use std::path::PathBuf;

use super::shape::{Shape, Show::Hidden};
use super::table::Table;
use super::values::path;

pub(super) const SHAPE: Shape = Shape { title: "[storage]", keys: &[&[("path", Hidden)]] };

/// Where the program keeps what must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    pub path: PathBuf,
}

/// The default is relative to the file's folder as well, so that writing it down changes nothing.
pub(super) fn read(mut table: Table<'_, '_>) -> StorageConfig {
    let path = table.take("path", path).value().unwrap_or_else(|| PathBuf::from("proxymeter-data"));
    StorageConfig { path: table.reading.resolve(&path) }
}

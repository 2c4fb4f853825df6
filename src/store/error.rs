use std::{io, path::PathBuf};

/// Why a call of the store failed. The text is safe for logs and pages: it quotes no stored content.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "{}: another proxymeter uses this storage folder; stop that one, or set storage.path to another \
         folder",
        folder.display()
    )]
    Locked { folder: PathBuf },
    /// The folder or a file in it cannot be used, and waiting does not help.
    #[error("{}: cannot be used for the storage: {source}; {advice}", path.display())]
    Unusable { path: PathBuf, source: io::Error, advice: String },
    /// The disk failed. The change is kept in memory and written when the disk is writable again.
    #[error("not on the disk yet: {why}")]
    NotDurable { why: String },
    /// A value cannot be encoded as JSON.
    #[error("cannot be encoded as JSON: {0}")]
    Unwritable(#[from] serde_json::Error),
    #[error("a notification is too large to be stored")]
    TooLarge,
    /// A stored notice has an unexpected form.
    #[error("a stored notification cannot be read")]
    Unreadable,
    #[error("the storage is closed")]
    Closed,
    #[error("cannot start the thread that writes to the storage: {0}")]
    Thread(#[source] io::Error),
}

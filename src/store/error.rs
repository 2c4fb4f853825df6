use std::{io, path::PathBuf};

/// Why the store did not do what was asked. The text is fit for logs and pages.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "{}: another proxymeter uses this storage folder; stop that one, or give this one a folder of its own \
         with storage.path",
        folder.display()
    )]
    Locked { folder: PathBuf },
    /// A file of the folder cannot be used.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The disk did not take it. A change is kept in memory and written with the next that the disk takes.
    #[error("not on the disk yet: {why}")]
    NotDurable { why: String },
    /// A notice or a receiver's state has no text form.
    #[error("it cannot be stored: {0}")]
    Unwritable(#[from] serde_json::Error),
    #[error("the storage is closed")]
    Closed,
    #[error("cannot start the thread that writes to the storage: {0}")]
    Thread(#[source] io::Error),
}

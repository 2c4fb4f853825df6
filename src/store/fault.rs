use std::fmt;

use rusqlite::ErrorCode;

/// Why a database does not do what was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// What it holds is not what was written.
    Damaged(String),
    /// A newer program wrote it, in `version`; this program knows versions up to `known`.
    Newer { version: i64, known: usize },
    /// It cannot be read or written at the moment, which says nothing of what it holds.
    Unavailable(String),
}

/// The same statements work on a database in memory, so that whatever the surroundings do not explain is the fault
/// of the file.
impl From<rusqlite::Error> for Fault {
    fn from(err: rusqlite::Error) -> Self {
        let surroundings = matches!(
            err.sqlite_error_code(),
            Some(
                ErrorCode::PermissionDenied
                    | ErrorCode::OperationAborted
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
                    | ErrorCode::ReadOnly
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::CannotOpen
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::NoLargeFileSupport
                    | ErrorCode::TooBig
            )
        );
        if surroundings { Fault::Unavailable(err.to_string()) } else { Fault::Damaged(err.to_string()) }
    }
}

impl From<std::io::Error> for Fault {
    fn from(err: std::io::Error) -> Self {
        Fault::Unavailable(err.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Damaged(why) => write!(f, "the database is damaged ({why})"),
            Fault::Newer { version, known } => {
                write!(f, "a newer proxymeter wrote the database (version {version}, this one knows {known})")
            }
            Fault::Unavailable(why) => f.write_str(why),
        }
    }
}

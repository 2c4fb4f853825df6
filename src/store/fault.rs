use std::fmt;

use rusqlite::ErrorCode;

use super::unusable::Unusable;

/// Why a database operation failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The content differs from what was written.
    Damaged(String),
    /// A newer program wrote it with schema `version`. This program supports versions up to `known`.
    Newer { version: i64, known: usize },
    /// It cannot be read or written at the moment. Its content may be intact.
    Unavailable(String),
    /// It belongs to another process, and is left as it is.
    Left(Left),
}

/// Why a database that memory does not include is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Another process had locked the folder.
    Taken,
    /// The process stops.
    Stopping,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Left::Taken => {
                "another proxymeter has taken the storage folder; stop one of the two, both send notifications"
            }
            Left::Stopping => {
                "it is not the file that this exporter wrote; at a stop it is left as it is, and state in memory is lost"
            }
        })
    }
}

/// The same statements work on a database in memory. So an error that the environment does not explain means that the
/// file is damaged.
impl From<rusqlite::Error> for Fault {
    fn from(err: rusqlite::Error) -> Self {
        let environment = matches!(
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
        if environment { Fault::Unavailable(err.to_string()) } else { Fault::Damaged(err.to_string()) }
    }
}

impl From<std::io::Error> for Fault {
    fn from(err: std::io::Error) -> Self {
        Fault::Unavailable(err.to_string())
    }
}

impl From<Unusable> for Fault {
    fn from(err: Unusable) -> Self {
        std::io::Error::from(err).into()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Damaged(why) => write!(f, "the database is damaged ({why})"),
            Fault::Newer { version, known } => {
                write!(
                    f,
                    "a newer proxymeter wrote the database (version {version}, this one supports up to {known})"
                )
            }
            Fault::Unavailable(why) => f.write_str(why),
            Fault::Left(why) => why.fmt(f),
        }
    }
}

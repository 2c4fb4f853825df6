//! How a command ends.

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// The exit code of a command, or why it could not be carried out.
pub(super) type Done = Result<ExitCode, Box<dyn std::error::Error>>;

/// Reports an error on stderr.
pub(super) fn fail(err: &dyn std::error::Error) -> ExitCode {
    // Nothing can be reported if stderr is closed.
    drop(writeln!(io::stderr().lock(), "proxymeter: {err}"));
    ExitCode::FAILURE
}

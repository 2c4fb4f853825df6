//! The program. The library's `cli` describes its commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    proxymeter::cli::main()
}

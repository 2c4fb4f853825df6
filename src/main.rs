//! The program. The library's `cli` describes its commands.

use std::process::ExitCode;

/// Gives memory back after a storm of alerts, which the system's allocator keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    proxymeter::cli::main()
}

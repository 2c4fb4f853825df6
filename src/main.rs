//! The program. The library's `cli` describes its commands.

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

/// Gives memory back after a storm of alerts, which the system's allocator keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    give_memory_back_soon();
    proxymeter::cli::main()
}

/// The allocator keeps what is freed for a second, which is a quarter of all memory while a long list is read. It takes another
/// time from the environment alone, before anything of ours runs, so the program starts itself again with one in it.
fn give_memory_back_soon() {
    const MILLISECONDS: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10");
    let mut arguments = env::args_os();
    if let (None, Ok(program), Some(name)) =
        (env::var_os(MILLISECONDS.0), env::current_exe(), arguments.next())
    {
        let mut again = Command::new(program);
        again.arg0(name).args(arguments).env(MILLISECONDS.0, MILLISECONDS.1);
        // It returns if it fails. Then more memory is needed, and nothing else is lost.
        drop(again.exec());
    }
}

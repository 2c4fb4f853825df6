//! The program. The library's `cli` describes its commands.

use std::{
    env,
    os::unix::process::CommandExt,
    path::Path,
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
/// time from the environment alone, before anything of ours runs, so the program starts itself again with one in it: in
/// the same process, before there are threads. Where it cannot, it needs more memory.
fn give_memory_back_soon() {
    const MILLISECONDS: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10");
    let mut arguments = env::args_os();
    let (None, Ok(program), Some(name)) = (env::var_os(MILLISECONDS.0), env::current_exe(), arguments.next())
    else {
        return;
    };
    // Under another name, it may be the loader, or a file that is deleted.
    if program.file_name().is_some() && program.file_name() == Path::new(&name).file_name() {
        let mut again = Command::new(program);
        again.arg0(name).args(arguments).env(MILLISECONDS.0, MILLISECONDS.1);
        // It returns if it fails.
        drop(again.exec());
    }
}

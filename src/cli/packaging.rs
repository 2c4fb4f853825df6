//! The commands that packagers run: completions for shells, and man pages.

use std::{fs, io, path::Path, process::ExitCode};

use clap::Command;
use clap_complete::Shell;

use super::exit::Done;

/// Prints the completions for a shell.
pub(super) fn completions(mut program: Command, shell: Shell) -> Done {
    let name = program.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut text);
    io::Write::write_all(&mut io::stdout().lock(), &text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a man page of the program and one of each command into a folder.
pub(super) fn man(program: Command, folder: &Path) -> Done {
    let named = |err| format!("{}: {err}", folder.display());
    fs::create_dir_all(folder).map_err(named)?;
    // The section of a page is part of its name: proxymeter.1, proxymeter-scrape.1.
    clap_mangen::generate_to(program.disable_help_subcommand(true), folder).map_err(named)?;
    Ok(ExitCode::SUCCESS)
}

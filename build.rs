//! Notes what the program was built from, for `--version` and `proxymeter_build_info`.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PROXYMETER_REVISION");

    // A packager who builds from an archive may say the revision.
    let revision = env::var("PROXYMETER_REVISION").ok().filter(|revision| !revision.is_empty());
    let revision = revision.or_else(revision_by_git).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=PROXYMETER_REVISION={revision}");

    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(Command::new(rustc).arg("--version"));
    let version = version.as_deref().and_then(|text| text.split_whitespace().nth(1)).unwrap_or("unknown");
    println!("cargo::rustc-env=PROXYMETER_RUSTC={version}");
}

/// Absent outside a checkout of our own: inside somebody else's repository git would tell the revision of that.
fn revision_by_git() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // Git appends to this file whenever HEAD moves, be it by commit or by checkout.
    if let Some(log) = output(Command::new("git").args(["rev-parse", "--git-path", "logs/HEAD"]))
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    output(Command::new("git").args(["rev-parse", "--short", "HEAD"]))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

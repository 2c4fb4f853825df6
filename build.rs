//! Notes what the program was built from, for `--version` and `proxymeter_build_info`.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");

    // A packager who builds from an archive may say these. Otherwise git knows them.
    let git = git_knows_us();
    let revision = ["rev-parse", "--short", "HEAD"];
    let branch = ["rev-parse", "--abbrev-ref", "HEAD"];
    let date = ["log", "-1", "--format=%ct"];
    note("PROXYMETER_REVISION", "PROXYMETER_REVISION", git, &revision);
    note("PROXYMETER_BRANCH", "PROXYMETER_BRANCH", git, &branch);
    // The time of the commit, not of the build, so that two builds of a commit are the same.
    note("SOURCE_DATE_EPOCH", "PROXYMETER_DATE", git, &date);

    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(Command::new(rustc).arg("--version"));
    let version = version.as_deref().and_then(|text| text.split_whitespace().nth(1)).unwrap_or("unknown");
    println!("cargo::rustc-env=PROXYMETER_RUSTC={version}");
    let target = env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=PROXYMETER_TARGET={target}");
}

/// Passes a fact to the compiler: from this variable of the environment, else from git.
fn note(variable: &str, fact: &str, git: bool, arguments: &[&str]) {
    println!("cargo::rerun-if-env-changed={variable}");
    let said = env::var(variable).ok().filter(|text| !text.is_empty());
    let by_git = || output(Command::new("git").args(arguments)).filter(|_| git);
    let text = said.or_else(by_git).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env={fact}={text}");
}

/// Whether this is a checkout of our own. Inside somebody else's repository git would tell the revision of that.
fn git_knows_us() -> bool {
    if !Path::new(".git").exists() {
        return false;
    }
    // Git appends to this file whenever HEAD moves, be it by commit or by checkout.
    if let Some(log) = output(Command::new("git").args(["rev-parse", "--git-path", "logs/HEAD"]))
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    true
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

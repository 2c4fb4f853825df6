//! Parses the answers of a panel with the least that this can take: see [`bare`]. `scripts/bench` compares the daemon with it.
//!
//! Usage: `cargo run --release --example bare_parse SYSTEM REPEATS FILE…`, with a system of `marzban`, `xui`,
//! `xui-text`, `cliproxy` and `cliproxy-queue`. Prints the rows of all files, and the nanoseconds of processor time that
//! parsing them once takes, without reading the files: the mean of so many times.

#![expect(clippy::print_stdout, reason = "the output of this program")]

use std::{env, fs, iter, num::NonZeroUsize, process::ExitCode};

#[path = "../benches/micro/bare.rs"]
mod bare;

fn parse(system: &str, answer: &[u8]) -> Option<serde_json::Result<usize>> {
    match system {
        "marzban" => Some(bare::users(answer)),
        "xui" => Some(bare::inbounds(answer)),
        "xui-text" => Some(bare::inbounds_of_text(answer)),
        "cliproxy" => Some(bare::totals(answer)),
        "cliproxy-queue" => Some(bare::records(answer)),
        _ => None,
    }
}

/// The processor time of this thread so far, in nanoseconds.
fn processor_time() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn repeats(argument: Option<String>) -> Option<usize> {
    argument?.parse().ok().map(NonZeroUsize::get)
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(system), Some(repeats)) = (arguments.next(), repeats(arguments.next())) else {
        eprintln!("usage: bare_parse SYSTEM REPEATS FILE…");
        return ExitCode::FAILURE;
    };
    let files: Result<Vec<_>, _> = arguments.map(fs::read).collect();
    let answers = match files {
        Ok(answers) => answers,
        Err(err) => {
            eprintln!("{err}");
            return ExitCode::FAILURE;
        }
    };
    let mut rows = 0;
    let began = processor_time();
    for answer in iter::repeat_n(&answers, repeats).flatten() {
        match parse(&system, answer) {
            Some(Ok(parsed)) => rows += parsed,
            Some(Err(err)) => {
                eprintln!("{err}");
                return ExitCode::FAILURE;
            }
            None => {
                eprintln!("no such system: {system}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{} {}", rows / repeats, (processor_time() - began) / repeats as u64);
    ExitCode::SUCCESS
}

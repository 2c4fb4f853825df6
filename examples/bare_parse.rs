//! The least that reading the answers of a panel can take: serde_json over slices, into structs that borrow and have
//! only the fields that the daemon uses. `scripts/bench` compares the daemon with it.
//!
//! Usage: `cargo run --release --example bare_parse SYSTEM REPEATS FILE…`, with a system of `marzban`, `xui` and
//! `cliproxy`. Prints the rows of all files, and the nanoseconds of processor time that parsing them once takes, without
//! reading the files: the mean of so many times.

#![allow(clippy::print_stdout, reason = "the output of this program")]

use std::{borrow::Cow, env, fs, hint::black_box, iter, num::NonZeroUsize, process::ExitCode};

use serde::Deserialize;

#[derive(Deserialize)]
struct MarzbanPage<'a> {
    #[serde(borrow)]
    users: Vec<MarzbanUser<'a>>,
    total: Option<u64>,
}

#[derive(Deserialize)]
struct MarzbanUser<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    used_traffic: u64,
    lifetime_used_traffic: Option<u64>,
    data_limit: Option<u64>,
    expire: Option<i64>,
    on_hold_expire_duration: Option<u64>,
    #[serde(borrow)]
    online_at: Option<Cow<'a, str>>,
    next_plan: Option<NextPlan>,
    #[serde(borrow)]
    admin: Option<Admin<'a>>,
}

#[derive(Deserialize)]
struct NextPlan {
    fire_on_either: Option<bool>,
}

#[derive(Deserialize)]
struct Admin<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
}

fn marzban(answer: &[u8]) -> serde_json::Result<usize> {
    let MarzbanPage { users, total } = serde_json::from_slice(answer)?;
    for user in &users {
        let MarzbanUser {
            username,
            status,
            used_traffic,
            lifetime_used_traffic,
            data_limit,
            expire,
            on_hold_expire_duration,
            online_at,
            next_plan,
            admin,
        } = user;
        black_box((username, status, used_traffic, lifetime_used_traffic, data_limit, expire));
        black_box((on_hold_expire_duration, online_at, admin.as_ref().map(|admin| &admin.username)));
        black_box(next_plan.as_ref().map(|plan| plan.fire_on_either));
    }
    black_box(total);
    Ok(users.len())
}

fn parse(system: &str, answer: &[u8]) -> Option<serde_json::Result<usize>> {
    match system {
        "marzban" => Some(marzban(answer)),
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

//! The least that reading the answers of a panel can take: serde_json over slices, into structs that borrow and have
//! only the fields that the daemon uses. `scripts/bench` compares the daemon with it.
//!
//! Usage: `cargo run --release --example bare_parse SYSTEM REPEATS FILE…`, with a system of `marzban`, `xui`,
//! `xui-text`, `cliproxy` and `cliproxy-queue`. Prints the rows of all files, and the nanoseconds of processor time that parsing them once takes, without
//! reading the files: the mean of so many times.

#![expect(clippy::print_stdout, reason = "the output of this program")]

use std::{
    borrow::Cow, collections::HashMap, env, fs, hint::black_box, iter, num::NonZeroUsize, process::ExitCode,
};

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

/// A list of 3x-ui: the settings of an inbound are an object from 3.1 on, and JSON in a string before.
#[derive(Deserialize)]
struct XuiList<'a, Settings> {
    success: bool,
    #[serde(borrow)]
    obj: Vec<Inbound<'a, Settings>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inbound<'a, Settings> {
    #[serde(borrow)]
    tag: Cow<'a, str>,
    #[serde(borrow)]
    remark: Cow<'a, str>,
    enable: bool,
    up: u64,
    down: u64,
    total: u64,
    expiry_time: i64,
    #[serde(borrow)]
    client_stats: Vec<ClientStats<'a>>,
    settings: Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientStats<'a> {
    #[serde(borrow)]
    email: Cow<'a, str>,
    enable: bool,
    up: u64,
    down: u64,
    total: u64,
    expiry_time: i64,
    reset: i64,
    last_online: i64,
}

#[derive(Deserialize)]
struct Settings<'a> {
    #[serde(borrow)]
    clients: Vec<ClientSettings<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientSettings<'a> {
    #[serde(borrow)]
    email: Cow<'a, str>,
    enable: bool,
    limit_ip: Option<u64>,
    #[serde(rename = "totalGB")]
    total: Option<u64>,
    expiry_time: Option<i64>,
    reset: Option<i64>,
}

fn inbound<Any>(inbound: &Inbound<'_, Any>) -> usize {
    let Inbound { tag, remark, enable, up, down, total, expiry_time, client_stats, settings: _ } = inbound;
    black_box((tag, remark, enable, up, down, total, expiry_time));
    for client in client_stats {
        let ClientStats { email, enable, up, down, total, expiry_time, reset, last_online } = client;
        black_box((email, enable, up, down, total, expiry_time, reset, last_online));
    }
    client_stats.len()
}

fn settings(Settings { clients }: &Settings<'_>) {
    for client in clients {
        let ClientSettings { email, enable, limit_ip, total, expiry_time, reset } = client;
        black_box((email, enable, limit_ip, total, expiry_time, reset));
    }
}

fn xui(answer: &[u8]) -> serde_json::Result<usize> {
    let XuiList { success, obj } = serde_json::from_slice::<XuiList<'_, Settings<'_>>>(answer)?;
    black_box(success);
    obj.iter().for_each(|inbound| settings(&inbound.settings));
    Ok(obj.iter().map(inbound).sum())
}

fn xui_of_text(answer: &[u8]) -> serde_json::Result<usize> {
    let XuiList { success, obj } = serde_json::from_slice::<XuiList<'_, String>>(answer)?;
    black_box(success);
    for inbound in &obj {
        settings(&serde_json::from_str(&inbound.settings)?);
    }
    Ok(obj.iter().map(inbound).sum())
}

/// The totals of CLIProxyAPI.
#[derive(Deserialize)]
struct Totals<'a> {
    #[serde(borrow)]
    usage: Usage<'a>,
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    apis: HashMap<Cow<'a, str>, Api<'a>>,
}

#[derive(Deserialize)]
struct Api<'a> {
    #[serde(borrow)]
    models: HashMap<Cow<'a, str>, Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    total_requests: u64,
    total_tokens: u64,
    #[serde(borrow)]
    details: Vec<Detail<'a>>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    latency_ms: u64,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    auth_index: Cow<'a, str>,
    tokens: Tokens,
    failed: bool,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    cached_tokens: u64,
    total_tokens: u64,
}

fn tokens(Tokens { input_tokens, output_tokens, reasoning_tokens, cached_tokens, total_tokens }: &Tokens) {
    black_box((input_tokens, output_tokens, reasoning_tokens, cached_tokens, total_tokens));
}

fn totals(answer: &[u8]) -> serde_json::Result<usize> {
    let Totals { usage } = serde_json::from_slice(answer)?;
    let mut rows = 0;
    for model in usage.apis.values().flat_map(|api| api.models.values()) {
        black_box((model.total_requests, model.total_tokens));
        rows += model.details.len();
        for detail in &model.details {
            let Detail { timestamp, latency_ms, source, auth_index, tokens: of_detail, failed } = detail;
            black_box((timestamp, latency_ms, source, auth_index, failed));
            tokens(of_detail);
        }
    }
    Ok(rows)
}

/// A record of the queue of CLIProxyAPI.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    latency_ms: u64,
    ttft_ms: Option<u64>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    auth_index: Cow<'a, str>,
    tokens: Tokens,
    failed: bool,
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    api_key: Cow<'a, str>,
}

fn queue(answer: &[u8]) -> serde_json::Result<usize> {
    let records: Vec<Record<'_>> = serde_json::from_slice(answer)?;
    for record in &records {
        let Record {
            timestamp,
            latency_ms,
            ttft_ms,
            source,
            auth_index,
            tokens: of_record,
            failed,
            provider,
            model,
            api_key,
        } = record;
        black_box((timestamp, latency_ms, ttft_ms, source, auth_index, failed, provider, model, api_key));
        tokens(of_record);
    }
    Ok(records.len())
}

fn parse(system: &str, answer: &[u8]) -> Option<serde_json::Result<usize>> {
    match system {
        "marzban" => Some(marzban(answer)),
        "xui" => Some(xui(answer)),
        "xui-text" => Some(xui_of_text(answer)),
        "cliproxy" => Some(totals(answer)),
        "cliproxy-queue" => Some(queue(answer)),
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

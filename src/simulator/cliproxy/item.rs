//! A record of the queue as each generation writes it.

use serde::Serialize;
use serde_json::Value;

use super::credential::Credential;
use super::options::{CANARY_ADDRESSES, Generation};
use super::record::{Family, Outcome, Record, Stated};
use super::state::State;
use super::{failure, instant};

/// In the order of the fields; those of later generations are absent before.
#[derive(Serialize)]
pub(super) struct Item<'a> {
    timestamp: String,
    latency_ms: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttft_ms: Option<u32>,
    source: String,
    auth_index: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_client_ip: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_forwarded_for: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    tokens: Tokens,
    failed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail: Option<Fail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_headers: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounting_version: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_breakdown: Option<Breakdown>,
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor_type: Option<&'static str>,
    model: &'a str,
    alias: String,
    endpoint: &'static str,
    auth_type: &'static str,
    api_key: &'a str,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_model: Option<&'a str>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the server's names")]
struct Tokens {
    input_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    cached_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_tokens_present: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_tokens: Option<u64>,
    total_tokens: u64,
}

#[derive(Serialize)]
struct Fail {
    status_code: u16,
    body: String,
}

#[derive(Serialize)]
struct Breakdown {
    schema_version: u8,
    quality: &'static str,
    total_tokens: u64,
    input: Input,
    output: Output,
    unclassified_tokens: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the server's names")]
struct Input {
    total_tokens: u64,
    uncached_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the server's names")]
struct Output {
    total_tokens: u64,
    non_reasoning_tokens: u64,
    reasoning_tokens: u64,
}

pub(super) fn of<'a>(state: &'a State, record: &Record) -> Option<Item<'a>> {
    let credential = state.credentials.get(usize::from(record.credential))?;
    let model = state.models.get(usize::from(record.model))?;
    let generation = state.generation;
    let is_7 = generation >= Generation::V7_2;
    let is_73 = generation >= Generation::V7_3;
    let is_8 = generation >= Generation::V8_0;
    let stated = state.stated(record);
    let marker = state.marker();
    let address = if marker.is_empty() { "127.0.0.1" } else { CANARY_ADDRESSES[0] };
    let request_id = format!("{:08x}", record.request);
    let executor = executor(credential);
    Some(Item {
        timestamp: instant::local(record.started_ns, state.offset),
        latency_ms: record.latency_ms,
        ttft_ms: is_7.then_some(record.ttft_ms),
        source: state.source(record, credential),
        auth_index: &credential.hash,
        access_token_sha256: (is_7 && credential.is_file()).then_some(credential.token_hash.as_str()),
        client_ip: is_7.then_some(address),
        resolved_client_ip: is_8.then_some(if marker.is_empty() { address } else { CANARY_ADDRESSES[1] }),
        x_forwarded_for: is_7.then_some(if marker.is_empty() { "" } else { CANARY_ADDRESSES[1] }),
        user_agent: is_7.then(|| format!("{}{marker}", agent(&credential.provider))),
        tokens: Tokens {
            input_tokens: stated.input,
            output_tokens: stated.output,
            reasoning_tokens: stated.reasoning,
            cached_tokens: stated.cached,
            cache_read_tokens: is_7.then_some(stated.cache_read),
            cache_read_tokens_present: is_7.then_some(true),
            cache_creation_tokens: is_7.then_some(stated.cache_creation),
            total_tokens: stated.total,
        },
        failed: !record.outcome.is_success(),
        generate: is_7.then_some(true),
        stream: is_73.then_some(record.stream),
        fail: is_7.then(|| Fail {
            status_code: record.outcome.status(),
            body: failure::body(record, credential, &marker),
        }),
        response_headers: is_7.then(|| failure::headers(record, credential, &marker)).flatten(),
        accounting_version: is_7.then_some(2),
        token_breakdown: is_7.then(|| breakdown(stated, Family::of(&credential.provider))),
        provider: state.provider(credential),
        executor_type: is_7.then_some(executor),
        model: &model.name,
        alias: format!("{}{marker}", model.alias),
        endpoint: endpoint(&credential.provider),
        auth_type: if credential.is_file() { "oauth" } else { "apikey" },
        api_key: state.client(record),
        execution_id: is_8.then(|| format!("00000000-0000-4000-8000-{:012x}", record.number)),
        trace_id: is_8.then(|| request_id.clone()),
        session_id: is_73.then(|| format!("0198d0a0-0000-8000-8000-{:012x}{marker}", record.request)),
        request_id,
        reasoning_effort: is_7.then_some(""),
        service_tier: is_7.then_some("auto"),
        response_service_tier: (is_7 && credential.provider == "codex" && record.outcome == Outcome::Success)
            .then_some("default"),
        response_model: (is_8 && record.outcome.is_success()).then_some(&model.name),
    })
}

fn breakdown(stated: Stated, family: Family) -> Breakdown {
    let Stated { input, output, reasoning, cached: _, cache_read, cache_creation, total } = stated;
    let (uncached, all_input) = match family {
        Family::Claude => (input, input + cache_read + cache_creation),
        _ => (input.saturating_sub(cache_read), input),
    };
    let (plain, all_output) = match family {
        Family::Gemini => (output, output + reasoning),
        _ => (output.saturating_sub(reasoning), output),
    };
    Breakdown {
        schema_version: 2,
        quality: "complete",
        total_tokens: total,
        input: Input {
            total_tokens: all_input,
            uncached_tokens: uncached,
            cache_read_tokens: cache_read,
            cache_write_tokens: cache_creation,
        },
        output: Output { total_tokens: all_output, non_reasoning_tokens: plain, reasoning_tokens: reasoning },
        unclassified_tokens: 0,
    }
}

fn endpoint(provider: &str) -> &'static str {
    match provider {
        "claude" => "POST /v1/messages",
        "codex" => "POST /v1/responses",
        "gemini" => "POST /v1beta/models/*action",
        _ => "POST /v1/chat/completions",
    }
}

fn executor(credential: &Credential) -> &'static str {
    match credential.provider.as_str() {
        "claude" => "ClaudeExecutor",
        "codex" => "CodexExecutor",
        "gemini" => "GeminiExecutor",
        "kimi" => "KimiExecutor",
        _ => "OpenAICompatExecutor",
    }
}

fn agent(provider: &str) -> &'static str {
    match provider {
        "claude" => "claude-cli/2.1.0 (external, cli)",
        "codex" => "codex_cli_rs/0.60.1",
        _ => "python-httpx/0.28.1",
    }
}

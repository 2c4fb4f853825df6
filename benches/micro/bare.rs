//! The least that reading the answers of a panel can take: serde_json over slices, into structs that borrow and have only
//! the fields that the daemon uses. Each function returns the number of rows.

#![expect(dead_code, reason = "to be decoded is what the fields are for")]

use std::{borrow::Cow, collections::HashMap, hint::black_box};

use serde::Deserialize;
use serde_json::{Result, value::RawValue};

/// A page of users of Marzban or PasarGuard.
pub(crate) fn users(answer: &[u8]) -> Result<usize> {
    let page: UserPage<'_> = serde_json::from_slice(answer)?;
    Ok(black_box(page).users.len())
}

#[derive(Deserialize)]
struct UserPage<'a> {
    #[serde(borrow)]
    users: Vec<User<'a>>,
    total: Option<u64>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    used_traffic: u64,
    lifetime_used_traffic: Option<u64>,
    data_limit: Option<u64>,
    /// Seconds, or a date.
    #[serde(borrow)]
    expire: Option<&'a RawValue>,
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

/// A list of 3x-ui from 3.1 on, which has the settings of an inbound as an object.
pub(crate) fn inbounds(answer: &[u8]) -> Result<usize> {
    let list: List<'_, Settings<'_>> = serde_json::from_slice(answer)?;
    Ok(black_box(list).clients())
}

/// A list of 3x-ui before 3.1, which has the settings as JSON in a string.
pub(crate) fn inbounds_of_text(answer: &[u8]) -> Result<usize> {
    let list: List<'_, String> = serde_json::from_slice(answer)?;
    for inbound in &list.obj {
        black_box(serde_json::from_str::<Settings<'_>>(&inbound.settings)?);
    }
    Ok(black_box(list).clients())
}

#[derive(Deserialize)]
struct List<'a, S> {
    success: bool,
    #[serde(borrow)]
    obj: Vec<Inbound<'a, S>>,
}

impl<S> List<'_, S> {
    fn clients(&self) -> usize {
        self.obj.iter().map(|inbound| inbound.client_stats.len()).sum()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inbound<'a, S> {
    id: i64,
    #[serde(borrow)]
    tag: Cow<'a, str>,
    #[serde(borrow)]
    remark: Cow<'a, str>,
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    port: u16,
    enable: bool,
    up: u64,
    down: u64,
    total: u64,
    expiry_time: i64,
    #[serde(borrow)]
    traffic_reset: Option<Cow<'a, str>>,
    node_id: Option<i64>,
    #[serde(borrow)]
    origin_node_guid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_stats: Vec<Stats<'a>>,
    settings: S,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats<'a> {
    #[serde(borrow)]
    email: Cow<'a, str>,
    enable: bool,
    up: u64,
    down: u64,
    total: u64,
    expiry_time: i64,
    reset: i64,
    reset_day: Option<i64>,
    reset_max: Option<u64>,
    reset_count: Option<u64>,
    last_online: Option<i64>,
}

#[derive(Deserialize)]
struct Settings<'a> {
    #[serde(borrow)]
    clients: Vec<Setting<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Setting<'a> {
    #[serde(borrow)]
    email: Cow<'a, str>,
    enable: Option<bool>,
    limit_ip: Option<u64>,
    #[serde(rename = "totalGB")]
    total: Option<u64>,
    expiry_time: Option<i64>,
    reset: Option<i64>,
    reset_day: Option<i64>,
    reset_max: Option<u64>,
    reset_count: Option<u64>,
}

/// Totals of CLIProxyAPI.
pub(crate) fn totals(answer: &[u8]) -> Result<usize> {
    let Totals { usage } = black_box(serde_json::from_slice(answer)?);
    let models = usage.apis.values().flat_map(|api| api.models.values());
    Ok(models.map(|model| model.details.len()).sum())
}

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
    total_tokens: Option<u64>,
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
    cache_read_tokens: Option<u64>,
    cache_creation_tokens: Option<u64>,
    total_tokens: u64,
}

/// A batch of the queue of CLIProxyAPI.
pub(crate) fn records(answer: &[u8]) -> Result<usize> {
    let records: Vec<Record<'_>> = serde_json::from_slice(answer)?;
    Ok(black_box(records).len())
}

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
    #[serde(borrow)]
    auth_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    executor_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    api_key: Cow<'a, str>,
    #[serde(borrow)]
    response_service_tier: Option<Cow<'a, str>>,
    tokens: Tokens,
    #[serde(borrow)]
    token_breakdown: Option<Breakdown<'a>>,
    failed: bool,
    stream: Option<bool>,
    #[serde(borrow)]
    fail: Option<Fail<'a>>,
    #[serde(borrow)]
    response_headers: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Breakdown<'a> {
    #[serde(borrow)]
    quality: Cow<'a, str>,
    input: Input,
    output: Output,
}

#[derive(Deserialize)]
struct Input {
    uncached_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Deserialize)]
struct Output {
    total_tokens: u64,
}

#[derive(Deserialize)]
struct Fail<'a> {
    status_code: u16,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

//! What a server says of its credentials: `/auth-files` and `/api-key-usage`.

use std::collections::BTreeMap;

use jiff::tz::Offset;
use serde_json::{Map, Value, json};

use super::credential::{BUCKETS, Block, Credential, Origin};
use super::failure::signals;
use super::instant;
use super::options::Generation;
use super::refusal;
use super::state::{State, present};
use crate::simulator::http::{Answer, query::Pairs};

const BUCKET_S: i64 = 600;
const PAGE_SIZE: i64 = 50;

/// Credentials from files. From 7.3 on the query may ask for a page.
pub(super) fn list(state: &State, now_ms: i64, query: &str) -> Answer {
    let files: Vec<&Credential> = present(state).into_iter().filter(|known| known.is_file()).collect();
    if state.generation < Generation::V7_3 {
        let files: Vec<Value> = files.into_iter().map(|file| entry(state, now_ms, file)).collect();
        return refusal::json(&json!({ "files": files }));
    }
    let mut answer = json!({ "observed_at": instant::utc_of_ms(now_ms) });
    let pairs = Pairs::of(query);
    let asked = |key: &str| pairs.last(key).map(|text| text.parse::<i64>().ok().filter(|number| *number > 0));
    let mut shown = files.as_slice();
    let (page, size) = (asked("page"), asked("page_size"));
    if page.is_some() || size.is_some() {
        let Some(page) = page.unwrap_or(Some(1)) else {
            return refusal::error(400, "page must be a positive integer");
        };
        let Some(size) = size.unwrap_or(Some(PAGE_SIZE)) else {
            return refusal::error(400, "page_size must be a positive integer");
        };
        let place =
            |page: i64| usize::try_from(page.saturating_mul(size)).unwrap_or(usize::MAX).min(files.len());
        let (from, to) = (place(page - 1), place(page));
        shown = files.get(from..to).unwrap_or_default();
        answer["total"] = json!(files.len());
        answer["page"] = json!(page);
        answer["page_size"] = json!(size);
        answer["has_more"] = json!(to < files.len());
    }
    answer["files"] = shown.iter().map(|file| entry(state, now_ms, file)).collect();
    refusal::json(&answer)
}

fn entry(state: &State, now_ms: i64, file: &Credential) -> Value {
    let (generation, offset) = (state.generation, state.offset);
    let refreshed = (generation >= Generation::V7_3).then(|| file.refreshed(now_ms));
    let file = refreshed.as_ref().unwrap_or(file);
    let time = |ms: i64| json!(instant::local_of_ms(ms, offset));
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    set("name", json!(file.name));
    set("size", json!(200 + file.name.len()));
    set("modtime", time(file.modified_ms));
    set("type", json!(file.provider));
    if generation == Generation::V6_2 {
        set("email", json!(file.email));
    }
    if generation < Generation::V6_6 {
        return Value::Object(fields);
    }
    set("id", json!(file.name));
    set("auth_index", state.auth_index(file));
    set("provider", json!(file.provider));
    set("label", json!(if file.email.is_empty() { &file.provider } else { &file.email }));
    set("status", json!(file.status()));
    set("status_message", json!(file.status_message));
    set("disabled", json!(file.disabled));
    set("unavailable", json!(file.unavailable));
    set("runtime_only", json!(false));
    set("source", json!("file"));
    set("path", json!(format!("/srv/cpa/auth/{}", file.name)));
    set("created_at", time(file.created_ms));
    set("updated_at", time(file.updated_ms));
    if let Some(refreshed_ms) = file.last_refresh_ms {
        set("last_refresh", time(refreshed_ms));
    }
    if !file.email.is_empty() {
        set("email", json!(file.email));
        set("account", json!(file.email));
    }
    if !file.email.is_empty() || generation >= Generation::V7_2 {
        set("account_type", json!("oauth"));
    }
    if !generation.counts_credentials() {
        return Value::Object(fields);
    }
    set("success", json!(file.success));
    set("failed", json!(file.failed));
    set("recent_requests", recent(file, now_ms, offset));
    if let Some(retry_ms) = file.next_retry_ms {
        set("next_retry_after", time(retry_ms));
    }
    if !file.note.is_empty() {
        set("note", json!(file.note));
        set("priority", json!(-1));
    }
    if let Some(plan) = &file.plan {
        let until = match plan.as_number {
            true => json!(plan.until_ms / 1000),
            false => json!(instant::local_of_ms(plan.until_ms, Offset::UTC)),
        };
        set(
            "id_token",
            json!({
                "chatgpt_account_id": plan.account,
                "chatgpt_subscription_active_start": instant::local_of_ms(file.created_ms, Offset::UTC),
                "chatgpt_subscription_active_until": until,
                "plan_type": plan.kind,
            }),
        );
    }
    if generation >= Generation::V7_3 {
        set("quota", quota(file));
        set("cooldowns", cooldowns(file, now_ms));
        let models = file.models.keys().map(|model| (model.clone(), quota(file))).collect::<Map<_, _>>();
        if !models.is_empty() && !signals(file).is_empty() {
            set("model_quotas", Value::Object(models));
        }
    }
    Value::Object(fields)
}

/// What the upstream said of the quotas with its last answer.
fn quota(file: &Credential) -> Value {
    if file.models.is_empty() {
        return json!({ "signals": {} });
    }
    let signals: BTreeMap<String, String> = signals(file).into_iter().collect();
    if signals.is_empty() {
        return json!({ "signals": {} });
    }
    json!({ "observed_at": instant::utc_of_ms(file.updated_ms), "signals": signals })
}

fn cooldowns(file: &Credential, now_ms: i64) -> Value {
    let mut all = Vec::new();
    let mut add = |scope: &str, model: Option<&str>, reason: &str, block: &Block| {
        let Some(until_ms) = block.until_ms else { return };
        let mut cooldown = json!({
            "scope": scope,
            "reason": reason,
            "retry_at": instant::utc_of_ms(until_ms),
            "remaining_seconds": (until_ms - now_ms + 999) / 1000,
            "backoff_level": block.level,
            "http_status": block.status,
        });
        if let Some(model) = model {
            cooldown["model_key"] = json!(model);
        }
        all.push(cooldown);
    };
    let blocks = || file.models.iter().filter_map(|(model, block)| Some((model, block.as_ref()?)));
    if let Some((_, block)) = blocks().find(|(_, block)| block.whole) {
        add("credential", None, "credential_quota", block);
    }
    for (model, block) in blocks() {
        let reason = match block.status {
            401 => "unauthorized",
            402 | 403 => "payment_required",
            404 => "not_found",
            429 => "quota",
            _ => "transient_error",
        };
        add("model", Some(model), reason, block);
    }
    json!(all)
}

/// Counters of the keys of the configuration, by provider, address of the upstream and key.
pub(super) fn key_usage(state: &State, now_ms: i64) -> Answer {
    let mut providers: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
    for credential in present(state) {
        let Origin::Key { base_url } = &credential.origin else { continue };
        let counters = json!({
            "success": credential.success,
            "failed": credential.failed,
            "recent_requests": recent(credential, now_ms, state.offset),
        });
        let keys = providers.entry(&credential.provider).or_default();
        keys.insert(format!("{base_url}|{}", credential.name), counters);
    }
    refusal::json(&providers)
}

/// The last twenty stretches of ten minutes, the oldest first.
fn recent(credential: &Credential, now_ms: i64, offset: Offset) -> Value {
    let now = now_ms.div_euclid(BUCKET_S * 1000);
    let clock = |bucket: i64| {
        let at = instant::zoned(bucket.saturating_mul(BUCKET_S * 1_000_000_000), offset);
        format!("{:02}:{:02}", at.hour(), at.minute())
    };
    let shown = (now - BUCKETS + 1..=now).map(|bucket| {
        let (success, failed) = credential.recent.get(&bucket).copied().unwrap_or_default();
        let time = format!("{}-{}", clock(bucket), clock(bucket + 1));
        json!({ "time": time, "success": success, "failed": failed })
    });
    shown.collect()
}

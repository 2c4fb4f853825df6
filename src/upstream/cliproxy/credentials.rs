//! The accounts and keys by which the server reaches its providers: from the list of its files, and from the counters of the
//! keys in its configuration.
//!
//! Both lists are full of secrets: file names and accounts are e-mail addresses, keys stand in clear, and the message of a
//! state may be a provider's whole answer. None of it is kept; a message is classified.

use std::{collections::HashMap, sync::Arc};

use super::{
    names::{self, Names, UNKNOWN},
    signals::Signals,
};
use crate::{
    model::{Cooldown, CooldownReason, Credential, CredentialStatus, QuotaWindow, Timestamp},
    upstream::json::{self, Object, OddFields, ROWS},
};

/// The most cooldowns of a credential.
const COOLDOWNS: usize = 100;
/// The most models whose quotas are shown of a credential.
const MODELS: usize = 100;

/// A credential as a list has it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Its label is the one that it has without an alias.
    pub(super) credential: Credential,
    /// The hash of the key at the provider that it is; absent: it is a file.
    pub(super) key: Option<Arc<str>>,
    /// None: the server does not count its attempts.
    pub(super) counters: Vec<Counter>,
    /// The list says whether it cools down.
    pub(super) has_cooldowns: bool,
}

/// Attempts that succeeded and that failed, since the server started or got the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    /// Stands for the entry in the server's list.
    pub(super) entry: Arc<str>,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
}

impl Counter {
    fn of(row: &Object<'_>, entry: &Arc<str>) -> Option<Counter> {
        let (succeeded, failed) = row.count("success").zip(row.count("failed"))?;
        Some(Counter { entry: Arc::clone(entry), succeeded, failed })
    }
}

/// The list of files.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) listed: Vec<Listed>,
    pub(super) omitted: usize,
    /// There are more pages.
    pub(super) has_more: bool,
    /// The list has fields that came with 7.3.
    pub(super) has_cooldowns: bool,
    /// Some credential has counters.
    pub(super) has_counts: bool,
}

/// Reads the list of files; absent: it is none. `now` is the server's time.
pub(super) fn files(raw: &str, names: &Names, now: Timestamp, odd: &OddFields) -> Option<Files> {
    let answer = Object::new("credentials", raw, odd)?;
    let list = answer.raw("files")?;
    let now = answer.time("observed_at").unwrap_or(now);
    let mut files = Files {
        has_more: answer.flag("has_more").unwrap_or(false),
        has_cooldowns: answer.has("observed_at"),
        ..Files::default()
    };
    if list == "null" {
        return Some(files);
    }
    let rows = json::rows("credential", list, odd, |row| {
        files.has_cooldowns |= row.has("cooldowns");
        file(&row, names, now, odd)
    })?;
    files.has_counts = rows.kept.iter().any(|listed| !listed.counters.is_empty());
    (files.listed, files.omitted) = (rows.kept, rows.omitted);
    Some(files)
}

fn file(row: &Object<'_>, names: &Names, now: Timestamp, odd: &OddFields) -> Option<Listed> {
    // A number is no identity.
    let index = row.raw("auth_index").and_then(|raw| serde_json::from_str::<String>(raw).ok());
    let name = || row.identity("name").or_else(|_| row.identity("id")).ok();
    let label = index.and_then(|index| names.index(&index)).or_else(|| Some(names.hash(&name()?)))?;
    let provider = row.text("provider").or_else(|| row.text("type"));
    let status = row.text("status").map(|word| CredentialStatus::of(&word));
    let cooldowns = row.raw("cooldowns").and_then(|raw| listed_cooldowns(raw, now, odd));
    let state = State {
        disabled: row.flag("disabled").unwrap_or(false) || status == Some(CredentialStatus::Disabled),
        status,
        message: row.text("status_message").unwrap_or_default().to_ascii_lowercase(),
        unavailable: row.flag("unavailable").unwrap_or(false),
        retry_at: row.time("next_retry_after"),
        has_cooldowns: cooldowns.is_some(),
    };
    let cooldowns = cooldowns.unwrap_or_else(|| state.cooldown(now).into_iter().collect());
    let (available, cause) = state.available(&cooldowns, now);
    let counters = Counter::of(row, &label).into_iter().collect();
    let plan = row.object("id_token").and_then(|token| token.time("chatgpt_subscription_active_until"));
    let credential = Credential {
        label,
        provider: provider.and_then(|word| names::provider(&word)).unwrap_or_else(|| UNKNOWN.into()),
        status,
        available,
        cause,
        cooldowns,
        requests: None,
        failed: None,
        quotas: quotas(row, now, odd),
        plan_expiry: plan.map(of_seconds_or_millis),
        last_refresh: row.time("last_refresh").filter(|time| time.as_secs() > 0),
    };
    Some(Listed { credential, key: None, counters, has_cooldowns: state.has_cooldowns })
}

/// What a file says of its state.
struct State {
    disabled: bool,
    status: Option<CredentialStatus>,
    /// In lower case.
    message: String,
    /// It outlives the cooldown that it is for, up to 7.3.7.
    unavailable: bool,
    retry_at: Option<Timestamp>,
    has_cooldowns: bool,
}

impl State {
    /// The cooldown of the whole credential, from a server that lists none.
    fn cooldown(&self, now: Timestamp) -> Option<Cooldown> {
        let until = self.retry_at.filter(|until| self.unavailable && *until > now)?;
        Some(Cooldown { model: None, reason: reason_of(&self.message), until })
    }

    /// Whether requests may go there now, and why not; absent: the server does not say.
    fn available(&self, cooldowns: &[Cooldown], now: Timestamp) -> (Option<bool>, &'static str) {
        if self.disabled {
            return (Some(false), "disabled");
        }
        let Some(status) = self.status else { return (None, "") };
        // One failed model makes it an error too, until another attempt succeeds. These need a person.
        if status == CredentialStatus::Error && is_dead(&self.message) {
            return (Some(false), "login expired or revoked");
        }
        if let Some(cooldown) = cooldowns.iter().find(|cooldown| cooldown.model.is_none()) {
            return (Some(false), cause_of(cooldown.reason));
        }
        // All of its models may cool down.
        if self.unavailable && self.retry_at.is_some_and(|until| until > now) {
            return (Some(false), cause_of(reason_of(&self.message)));
        }
        match (self.unavailable, self.retry_at) {
            // Later servers say so at the time of the request, earlier ones forget to take it back.
            (true, None) if self.has_cooldowns && status == CredentialStatus::Error => {
                (Some(false), cause_of(reason_of(&self.message)))
            }
            (true, None) => (None, ""),
            _ => (Some(true), ""),
        }
    }
}

/// Cooldowns that have not ended; absent: the server does not know.
fn listed_cooldowns(raw: &str, now: Timestamp, odd: &OddFields) -> Option<Vec<Cooldown>> {
    if raw == "null" {
        return None;
    }
    let rows = json::rows("cooldown", raw, odd, |row| {
        let until = row.time("retry_at").filter(|until| *until > now)?;
        let model = match row.text("scope").as_deref() {
            Some("credential") => None,
            _ => Some(names::model(&row.text("model_key").unwrap_or_default())),
        };
        let reason = CooldownReason::of(&row.text("reason").unwrap_or_default());
        Some(Cooldown { model, reason, until })
    })?;
    Some(latest_of_each(rows.kept))
}

/// The latest of each scope, model and reason.
pub(super) fn latest_of_each(mut cooldowns: Vec<Cooldown>) -> Vec<Cooldown> {
    cooldowns.sort_by(|a, b| (&a.model, a.reason, b.until).cmp(&(&b.model, b.reason, a.until)));
    cooldowns.dedup_by(|b, a| (&a.model, a.reason) == (&b.model, b.reason));
    cooldowns.truncate(COOLDOWNS);
    cooldowns
}

/// Why a credential is not used, from the message beside its state: a word of the server, or the answer of a provider.
fn reason_of(message: &str) -> CooldownReason {
    const SIGNS: [(&str, CooldownReason); 17] = [
        ("invalid_grant", CooldownReason::InvalidGrant),
        ("unauthorized", CooldownReason::Unauthorized),
        ("token expired", CooldownReason::Unauthorized),
        ("token has expired", CooldownReason::Unauthorized),
        ("authentication_error", CooldownReason::Unauthorized),
        ("payment_required", CooldownReason::PaymentRequired),
        ("cloudflare", CooldownReason::CloudflareChallenge),
        ("quota", CooldownReason::Quota),
        ("usage_limit", CooldownReason::Quota),
        ("rate_limit", CooldownReason::Quota),
        ("rate limit", CooldownReason::Quota),
        ("resource_exhausted", CooldownReason::Quota),
        ("too many requests", CooldownReason::Quota),
        ("model_not_supported", CooldownReason::ModelNotSupported),
        ("not_found", CooldownReason::NotFound),
        ("not found", CooldownReason::NotFound),
        ("transient", CooldownReason::TransientError),
    ];
    let sign = SIGNS.into_iter().find(|(sign, _)| message.contains(sign));
    sign.map_or(CooldownReason::Unknown, |(_, reason)| reason)
}

/// Whether the credential is of no use until a person logs in again.
fn is_dead(message: &str) -> bool {
    matches!(reason_of(message), CooldownReason::InvalidGrant | CooldownReason::Unauthorized)
}

fn cause_of(reason: CooldownReason) -> &'static str {
    match reason {
        CooldownReason::Quota | CooldownReason::CredentialQuota => "quota exceeded",
        CooldownReason::CloudflareChallenge => "Cloudflare challenge",
        CooldownReason::ModelNotSupported => "model not supported",
        CooldownReason::InvalidGrant | CooldownReason::Unauthorized => "login expired or revoked",
        CooldownReason::PaymentRequired => "payment required",
        CooldownReason::NotFound => "not found",
        CooldownReason::TransientError => "upstream errors",
        CooldownReason::Unknown => "cooling down",
    }
}

/// The quota windows that a file's entry has, since 7.3.
fn quotas(row: &Object<'_>, now: Timestamp, odd: &OddFields) -> Vec<QuotaWindow> {
    let windows = |quota: &Object<'_>, model: Arc<str>| {
        let observed = quota.time("observed_at").unwrap_or(now);
        let windows = Signals::read(quota.raw("signals")).windows(&model, observed);
        windows.into_iter().filter(|seen| seen.is_current(now)).map(|seen| seen.window).collect::<Vec<_>>()
    };
    let mut quotas = row.object("quota").map(|quota| windows(&quota, Arc::default())).unwrap_or_default();
    if let Some(models) = row.object("model_quotas") {
        for (model, raw) in models.entries().take(MODELS) {
            if let Some(quota) = Object::new("model_quotas", raw, odd) {
                quotas.extend(windows(&quota, names::model(&model)));
            }
        }
    }
    quotas
}

/// A time that a server may give in milliseconds.
fn of_seconds_or_millis(time: Timestamp) -> Timestamp {
    const BEYOND_SECONDS: i64 = 100_000_000_000;
    if time.as_secs() > BEYOND_SECONDS { Timestamp::from_millis(time.as_secs()) } else { time }
}

/// Reads the counters of keys: `{provider: {"<base URL>|<key>": {"success": 1, "failed": 0}}}`; absent: it is something
/// else. Returns the number of entries left out too.
pub(super) fn keys(raw: &str, names: &Names, odd: &OddFields) -> Option<(Vec<Listed>, usize)> {
    let answer = Object::new("keys", raw, odd)?;
    let mut listed: Vec<Listed> = Vec::new();
    let mut places = HashMap::<Arc<str>, usize>::new();
    let (mut found, mut omitted) = (0, 0);
    for (provider, raw) in answer.entries() {
        let provider = names::provider(&provider).unwrap_or_else(|| UNKNOWN.into());
        let Some(entries) = Object::new("keys", raw, odd) else {
            omitted += 1;
            continue;
        };
        for (entry, raw) in entries.entries() {
            found += 1;
            if found > ROWS {
                omitted += 1;
                continue;
            }
            // A URL cannot have the sign, a key can.
            let key = entry.split_once('|').map_or(&*entry, |(_, key)| key);
            let key = if key.is_empty() { &*entry } else { key };
            let hash = names.hash(key);
            let label = Arc::clone(&hash);
            let place = |label: &Arc<str>| places.get(label).copied();
            let is_of_another =
                |place: usize| listed.get(place).is_some_and(|listed| listed.credential.provider != provider);
            // One key for two providers, or at two URLs.
            let label = match place(&label) {
                Some(place) if is_of_another(place) => names.hash(&format!("{provider}|{key}")),
                _ => label,
            };
            let place = place(&label).unwrap_or_else(|| {
                let provider = Arc::clone(&provider);
                let credential = Credential { label: Arc::clone(&label), provider, ..Credential::default() };
                places.insert(label, listed.len());
                listed.push(Listed {
                    credential,
                    key: Some(hash),
                    counters: Vec::new(),
                    has_cooldowns: false,
                });
                listed.len() - 1
            });
            if let Some(listed) = listed.get_mut(place) {
                let row = Object::new("key", raw, odd);
                let entry = names.hash(&format!("{provider}|{entry}"));
                listed.counters.extend(row.and_then(|row| Counter::of(&row, &entry)));
            }
        }
    }
    Some((listed, omitted))
}

#[cfg(test)]
mod tests;

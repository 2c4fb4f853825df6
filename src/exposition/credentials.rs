//! Series about the credentials of an LLM proxy.

use std::collections::BTreeMap;

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::View,
};
use crate::model::{Cooldown, CooldownReason, Credential, CredentialStatus, Part, QuotaWindow, Timestamp};

families! {
    CREDENTIAL_INFO = Info("llm_credential_info", ["target", "credential", "provider"],
        "A credential by which the server reaches a provider (auth-files, api-key-usage), by its auth_index, alias or keyed hash; polled.");
    CREDENTIAL_AVAILABLE = Gauge("llm_credential_available", ["target", "credential", "provider"],
        "Whether requests may go to the credential: neither switched off (disabled) nor cooling down as a whole (unavailable) nor in an error that needs a new login; polled.");
    CREDENTIAL_STATUS = Gauge("llm_credential_status", ["target", "credential", "status"],
        "1 for the state of the credential (status), 0 for the others; unknown stands for words that are not known. Polled.");
    CREDENTIAL_REQUESTS = Counter("llm_credential_requests_total", ["target", "credential", "provider"],
        "Attempts by the credential as the server counts them (success + failed); continues when the server starts again. Differs from llm_requests_total by design. From 6.6.56 to 6.9.48, where the server has no such counters, the details of its usage; absent before. Polled.");
    CREDENTIAL_REQUESTS_FAILED = Counter("llm_credential_requests_failed_total", ["target", "credential", "provider"],
        "Failed attempts by the credential as the server counts them (failed); polled.");
    COOLDOWN_END = Gauge("llm_credential_cooldown_end_timestamp_seconds", ["target", "credential", "scope", "model", "reason"],
        "Unix time until which the server uses neither the credential nor, with scope model, the model by it (next_retry_after, cooldowns); no series once it has passed. Polled.");
    QUOTA_USED = Gauge("llm_credential_quota_used_ratio", ["target", "credential", "model", "window"],
        "Share of a quota window that is used, as the provider said in its last answer to the credential (quota.signals, response_headers); no series once the window has ended. Polled, never asked of the provider.");
    QUOTA_RESET = Gauge("llm_credential_quota_reset_timestamp_seconds", ["target", "credential", "model", "window"],
        "Unix time at which a quota window ends, as the provider said in its last answer to the credential; polled.");
    PLAN_EXPIRY = Gauge("llm_credential_plan_expiry_timestamp_seconds", ["target", "credential"],
        "Unix time at which the plan that pays for the credential ends, as of its last login or refresh (chatgpt_subscription_active_until); polled.");
    LAST_REFRESH = Gauge("llm_credential_last_refresh_timestamp_seconds", ["target", "credential"],
        "Unix time at which the token of the credential was last renewed (last_refresh); polled.");
}

pub(super) fn write(text: &mut Text, views: &[View<'_>]) {
    with_provider(text, &CREDENTIAL_INFO, views, |_| Some(true));
    with_provider(text, &CREDENTIAL_AVAILABLE, views, |credential| credential.available);
    let mut series = text.family(&CREDENTIAL_STATUS);
    for (view, credential) in fresh(views) {
        for status in CredentialStatus::ALL.into_iter().filter(|_| credential.status.is_some()) {
            let labels = [view.target(), &credential.label, status.label()];
            series.add(&labels, credential.status == Some(status));
        }
    }
    with_provider(text, &CREDENTIAL_REQUESTS, views, |credential| credential.requests);
    with_provider(text, &CREDENTIAL_REQUESTS_FAILED, views, |credential| credential.failed);
    let mut series = text.family(&COOLDOWN_END);
    for (view, credential) in fresh(views) {
        for ((model, reason), until) in cooldowns(credential, view.now.wall) {
            let (scope, model) = match model {
                Some(model) => ("model", model),
                None => ("credential", ""),
            };
            series.add(&[view.target(), &credential.label, scope, model, reason.label()], until);
        }
    }
    each_window(text, &QUOTA_USED, views, |window| window.used_ratio);
    each_window(text, &QUOTA_RESET, views, |window| window.resets);
    each_credential(text, &PLAN_EXPIRY, views, |credential| credential.plan_expiry);
    each_credential(text, &LAST_REFRESH, views, |credential| credential.last_refresh);
}

fn fresh<'a>(views: &'a [View<'a>]) -> impl Iterator<Item = (&'a View<'a>, &'a Credential)> {
    views.iter().flat_map(|view| {
        let list = view.if_fresh_list(Part::Credentials, &view.report.credentials);
        list.iter().map(move |credential| (view, credential))
    })
}

/// Those that have not ended, the latest of each model and reason.
fn cooldowns(credential: &Credential, now: Timestamp) -> BTreeMap<(Option<&str>, CooldownReason), Timestamp> {
    let mut latest = BTreeMap::new();
    for Cooldown { model, reason, until } in
        credential.cooldowns.iter().filter(|cooldown| cooldown.until > now)
    {
        let known = latest.entry((model.as_deref(), *reason)).or_insert(*until);
        *known = (*known).max(*until);
    }
    latest
}

fn with_provider<V: Into<Number>>(
    text: &mut Text,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&Credential) -> Option<V>,
) {
    let mut series = text.family(family);
    for (view, credential) in fresh(views) {
        if let Some(value) = value(credential) {
            series.add(&[view.target(), &credential.label, &credential.provider], value);
        }
    }
}

fn each_credential<V: Into<Number>>(
    text: &mut Text,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&Credential) -> Option<V>,
) {
    let mut series = text.family(family);
    for (view, credential) in fresh(views) {
        if let Some(value) = value(credential) {
            series.add(&[view.target(), &credential.label], value);
        }
    }
}

/// Windows that have not ended.
fn each_window<V: Into<Number>>(
    text: &mut Text,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&QuotaWindow) -> Option<V>,
) {
    let mut series = text.family(family);
    for (view, credential) in fresh(views) {
        let runs = |window: &&QuotaWindow| window.resets.is_none_or(|resets| resets > view.now.wall);
        for window in credential.quotas.iter().filter(runs) {
            if let Some(value) = value(window) {
                series.add(&[view.target(), &credential.label, &window.model, &window.window], value);
            }
        }
    }
}

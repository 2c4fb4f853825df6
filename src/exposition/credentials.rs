//! Series about the credentials of an LLM proxy.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::View,
};
use crate::model::{
    Cooldown, CooldownReason, Credential, CredentialStatus, OTHER, Part, QuotaWindow, Timestamp,
};

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
    LIMITS_OMITTED = Gauge("llm_credential_limits_omitted", ["target"],
        "Quota windows and cooldowns that no series shows, because only the first 2,000 of each per target have series; polled.");
    PLAN_EXPIRY = Gauge("llm_credential_plan_expiry_timestamp_seconds", ["target", "credential"],
        "Unix time at which the plan that pays for the credential ends, as of its last login or refresh (chatgpt_subscription_active_until); polled.");
    LAST_REFRESH = Gauge("llm_credential_last_refresh_timestamp_seconds", ["target", "credential"],
        "Unix time at which the token of the credential was last renewed (last_refresh); polled.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
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
    let limits: Vec<_> = views.iter().map(|view| (view, Limits::of(view))).collect();
    let mut series = text.family(&COOLDOWN_END);
    for (view, limits) in &limits {
        for ((credential, model, reason), until) in &limits.cooldowns {
            let (scope, model) = match model {
                Some(model) => ("model", *model),
                None => ("credential", ""),
            };
            series.add(&[view.target(), credential, scope, model, reason.label()], *until);
        }
    }
    each_window(text, &QUOTA_USED, &limits, |window| window.used_ratio);
    each_window(text, &QUOTA_RESET, &limits, |window| window.resets);
    let mut series = text.family(&LIMITS_OMITTED);
    for (view, limits) in limits.iter().filter(|(view, _)| !of(view).is_empty()) {
        series.add(&[view.target()], limits.omitted);
    }
    each_credential(text, &PLAN_EXPIRY, views, |credential| credential.plan_expiry);
    each_credential(text, &LAST_REFRESH, views, |credential| credential.last_refresh);
}

fn fresh<'a>(views: &'a [View<'a>]) -> impl Iterator<Item = (&'a View<'a>, &'a Credential)> {
    views.iter().flat_map(|view| of(view).iter().map(move |credential| (view, credential)))
}

fn of<'a>(view: &View<'a>) -> &'a [Credential] {
    view.if_fresh_list(Part::Credentials, &view.report.credentials)
}

/// The most quota windows, and the most cooldowns, of a target that have series.
const MOST: usize = 2000;
/// The most models of a target that they name. Clients and servers can make up models.
const MODELS: usize = 100;

/// The quota windows and cooldowns of a target that have not ended, as they are shown.
#[derive(Default)]
struct Limits<'a> {
    /// By credential, model and window. Of models that share a label, the window that is used most.
    windows: BTreeMap<(&'a str, &'a str, &'a str), &'a QuotaWindow>,
    /// By credential, model and reason, the latest.
    cooldowns: BTreeMap<(&'a str, Option<&'a str>, CooldownReason), Timestamp>,
    omitted: usize,
}

impl<'a> Limits<'a> {
    fn of(view: &View<'a>) -> Self {
        let now = view.now.wall;
        let windows = || {
            let runs = move |window: &&QuotaWindow| window.resets.is_none_or(|resets| resets > now);
            of(view).iter().flat_map(move |of| of.quotas.iter().filter(runs).map(move |window| (of, window)))
        };
        let cooldowns = || {
            let runs = move |cooldown: &&Cooldown| cooldown.until > now;
            of(view).iter().flat_map(move |of| of.cooldowns.iter().filter(runs).map(move |of_it| (of, of_it)))
        };
        // The first by name, so that a model keeps its label from one read to the next.
        let mut named = BTreeSet::new();
        let models = windows().map(|(_, window)| &*window.model);
        for model in models.chain(cooldowns().filter_map(|(_, cooldown)| cooldown.model.as_deref())) {
            named.insert(model);
            if named.len() > MODELS + usize::from(named.contains("")) {
                named.pop_last();
            }
        }
        let label = |model: &'a str| if named.contains(model) { model } else { OTHER };

        let mut limits = Limits::default();
        for (credential, window) in windows() {
            let key = (&*credential.label, label(&window.model), &*window.window);
            if let Some(known) = place(&mut limits.windows, key, window, &mut limits.omitted)
                && window.used_ratio > known.used_ratio
            {
                *known = window;
            }
        }
        for (credential, Cooldown { model, reason, until }) in cooldowns() {
            let key = (&*credential.label, model.as_deref().map(label), *reason);
            if let Some(known) = place(&mut limits.cooldowns, key, *until, &mut limits.omitted) {
                *known = (*known).max(*until);
            }
        }
        limits
    }
}

/// What has the place `key`, which is `value` if the place is new; absent: there is no room for it.
fn place<'m, K: Ord, V>(
    known: &'m mut BTreeMap<K, V>,
    key: K,
    value: V,
    omitted: &mut usize,
) -> Option<&'m mut V> {
    if known.len() >= MOST && !known.contains_key(&key) {
        *omitted += 1;
        return None;
    }
    Some(known.entry(key).or_insert(value))
}

fn with_provider<V: Into<Number>>(
    text: &mut Text<'_>,
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
    text: &mut Text<'_>,
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

fn each_window<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    limits: &[(&View<'_>, Limits<'_>)],
    value: impl Fn(&QuotaWindow) -> Option<V>,
) {
    let mut series = text.family(family);
    for (view, limits) in limits {
        for ((credential, model, window), of) in &limits.windows {
            if let Some(value) = value(of) {
                series.add(&[view.target(), credential, model, window], value);
            }
        }
    }
}

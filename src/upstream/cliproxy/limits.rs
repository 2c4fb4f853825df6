//! Quotas and cooldowns that records show. Servers before 7.3 list neither: they hide a cooldown as soon as another model
//! succeeds.
//!
//! A cooldown is shown only if it is known how long the server waits. It is not after a 429 whose provider does not say,
//! where the server waits from a second to half an hour, and where the failure may be one of the network.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    attempt::{Attempt, Outcome},
    credentials::latest_of_each,
    record::{Failure, Record},
    signals::{Observed, Signals},
};
use crate::model::{Cooldown, CooldownReason, Credential, Timestamp};

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);
/// Credentials, and models or windows of each.
const CREDENTIALS: usize = 2000;
const OF_EACH: usize = 100;

/// How a server cools down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cooling {
    /// After an error of a provider that may be over soon; absent: not at all.
    pub(super) after_errors: Option<Duration>,
}

impl Cooling {
    /// What a failure with this status does to its model; absent: nothing, or it is not known for how long.
    fn after(self, status: u16, failure: Failure) -> Option<(CooldownReason, Duration)> {
        let Failure { is_of_provider, retry_after } = failure;
        Some(match status {
            401 => (CooldownReason::Unauthorized, HALF_AN_HOUR),
            402 => (CooldownReason::PaymentRequired, HALF_AN_HOUR),
            // It may be a Cloudflare challenge.
            403 if !is_of_provider => return None,
            403 => (CooldownReason::PaymentRequired, HALF_AN_HOUR),
            404 => (CooldownReason::NotFound, HALF_A_DAY),
            429 => (CooldownReason::Quota, retry_after?),
            // Errors of the network have this status too, and do not cool down.
            500 if !is_of_provider => return None,
            408 | 500..=599 => (CooldownReason::TransientError, self.after_errors?),
            _ => return None,
        })
    }
}

/// What records showed of credentials.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Absent: the server does not cool down, or it is not known how.
    cooling: Option<Cooling>,
    shown: HashMap<Arc<str>, Shown>,
}

/// What the last records of a credential showed.
#[derive(Debug, Default)]
struct Shown {
    /// By model and window.
    windows: HashMap<(Arc<str>, Arc<str>), Observed>,
    /// By model, why and until when it is not used.
    cooldowns: HashMap<Arc<str>, (CooldownReason, Timestamp)>,
}

impl Limits {
    /// Sets how the server cools down.
    pub(super) fn cools(&mut self, cooling: Option<Cooling>) {
        self.cooling = cooling;
    }

    /// Takes a record that came at `now`.
    pub(super) fn learn(&mut self, record: &Record, now: Timestamp) {
        let Record { attempt, signals, failure } = record;
        let Attempt { credential, model, outcome, started, duration, .. } = attempt;
        let Some(label) = credential else { return };
        let ended = started.zip(*duration).map(|(started, took)| started.saturating_add(took));
        let cooldown = match outcome {
            Outcome::Failed(Some(status)) => {
                self.cooling.and_then(|cooling| cooling.after(*status, *failure))
            }
            Outcome::Succeeded | Outcome::Failed(None) => None,
        };
        if !self.shown.contains_key(label)
            && (self.shown.len() >= CREDENTIALS || (cooldown.is_none() && signals.is_empty()))
        {
            return;
        }
        let shown = self.shown.entry(Arc::clone(label)).or_default();
        shown.learn(signals, now);
        // A model that was tried was not cooling down, so the last attempt decides.
        shown.cooldowns.remove(model);
        if let Some((reason, wait)) = cooldown.filter(|_| shown.cooldowns.len() < OF_EACH) {
            let until = ended.unwrap_or(now).min(now).saturating_add(wait.min(LONGEST));
            shown.cooldowns.insert(Arc::clone(model), (reason, until));
        }
    }

    /// The server has forgotten its cooldowns.
    pub(super) fn server_restarted(&mut self) {
        self.shown.values_mut().for_each(|shown| shown.cooldowns.clear());
    }

    /// Adds what is known to a credential as a list has it. Cooldowns and quotas that the list has
    /// itself replace what records showed.
    pub(super) fn complete(&self, credential: &mut Credential, has_cooldowns: bool, now: Timestamp) {
        let Some(Shown { windows, cooldowns }) = self.shown.get(&credential.label) else { return };
        if credential.quotas.is_empty() {
            let current = windows.values().filter(|seen| seen.is_current(now));
            credential.quotas.extend(current.map(|seen| seen.window.clone()));
            credential.quotas.sort_by(|a, b| (&a.model, &a.window).cmp(&(&b.model, &b.window)));
        }
        if !has_cooldowns {
            let current = cooldowns.iter().filter(|(_, (_, until))| *until > now);
            let cooldowns = current.map(|(model, (reason, until))| Cooldown {
                model: Some(Arc::clone(model)),
                reason: *reason,
                until: *until,
            });
            let known = std::mem::take(&mut credential.cooldowns);
            credential.cooldowns = latest_of_each(known.into_iter().chain(cooldowns).collect());
        }
    }

    /// Forgets what has passed.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.shown.retain(|_, Shown { windows, cooldowns }| {
            windows.retain(|_, seen| seen.is_current(now));
            cooldowns.retain(|_, (_, until)| *until > now);
            !windows.is_empty() || !cooldowns.is_empty()
        });
    }
}

impl Shown {
    fn learn(&mut self, signals: &Signals, now: Timestamp) {
        for seen in signals.windows(&Arc::default(), now) {
            let key = (Arc::clone(&seen.window.model), Arc::clone(&seen.window.window));
            if self.windows.len() < OF_EACH || self.windows.contains_key(&key) {
                self.windows.insert(key, seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::upstream::{
        cliproxy::{
            names::test_names,
            record::{Element, Known, element},
        },
        json::OddFields,
    };

    const NOW: Timestamp = Timestamp::from_secs(1_795_634_107);

    fn record(text: &str) -> Record {
        match element(text, &test_names(&[]), &Known::default(), &OddFields::default()) {
            Element::Record(record) => *record,
            other => panic!("{other:?}"),
        }
    }

    const COOLING: Cooling = Cooling { after_errors: Some(Duration::from_secs(60)) };

    fn limits() -> Limits {
        Limits { cooling: Some(COOLING), ..Limits::default() }
    }

    /// A record of an attempt that ended at [`NOW`].
    fn codex(status: u16, headers: &str) -> Record {
        of("codex", status, headers, r#"{"error": {"message": "no"}}"#)
    }

    fn of(provider: &str, status: u16, headers: &str, body: &str) -> Record {
        let (failed, body) = (status != 200, serde_json::to_string(body).unwrap());
        record(&format!(
            r#"{{"timestamp": "2026-11-26T03:15:05+08:00", "latency_ms": 2000, "auth_index": "00000000000000c1",
                "auth_type": "oauth", "model": "gpt", "provider": "{provider}", "failed": {failed},
                "fail": {{"status_code": {status}, "body": {body}}}, "response_headers": {headers}}}"#
        ))
    }

    fn complete(
        limits: &Limits,
        has_cooldowns: bool,
        after: u64,
    ) -> (Vec<(CooldownReason, i64)>, Vec<String>) {
        let now = NOW.saturating_add(Duration::from_secs(after));
        let mut credential = Credential { label: "00000000000000c1".into(), ..Credential::default() };
        limits.complete(&mut credential, has_cooldowns, now);
        let cooldowns = credential.cooldowns.iter();
        let cooldowns = cooldowns.map(|cooldown| {
            assert_eq!(cooldown.model.as_deref(), Some("gpt"));
            (cooldown.reason, cooldown.until.as_secs() - NOW.as_secs())
        });
        let quotas = credential.quotas.iter().map(|quota| quota.window.to_string());
        (cooldowns.collect(), quotas.collect())
    }

    #[test]
    fn a_cooldown_is_shown_if_it_is_known_how_long_it_lasts() {
        use CooldownReason::{NotFound, PaymentRequired, Quota, TransientError, Unauthorized};
        let (json, none) = (r#"{"error": {"message": "no", "resets_in_seconds": 120}}"#, "{}");
        let header = r#"{"Retry-After": ["15"]}"#;
        for (provider, status, headers, body, expected) in [
            ("codex", 401, none, json, Some((Unauthorized, 1800))),
            ("codex", 402, none, json, Some((PaymentRequired, 1800))),
            ("codex", 403, none, json, Some((PaymentRequired, 1800))),
            ("codex", 403, none, "<html>Cloudflare", None),
            ("codex", 404, none, json, Some((NotFound, 43_200))),
            ("codex", 408, none, "", Some((TransientError, 60))),
            ("codex", 500, none, json, Some((TransientError, 60))),
            ("codex", 500, none, "unexpected EOF", None),
            ("codex", 503, none, "<html>", Some((TransientError, 60))),
            ("codex", 400, none, json, None),
            ("codex", 499, none, "context canceled", None),
            ("codex", 429, none, json, Some((Quota, 120))),
            ("codex", 429, header, "{}", None),
            ("claude", 429, header, "{}", Some((Quota, 16))),
            ("claude", 429, none, "{}", None),
            ("gemini", 429, header, json, None),
            ("relay", 429, header, json, None),
        ] {
            let mut limits = limits();
            limits.learn(&of(provider, status, headers, body), NOW);
            let expected: Vec<_> = expected.into_iter().collect();
            assert_eq!(complete(&limits, false, 0).0, expected, "{provider} {status} {headers} {body}");
            // It comes some seconds after the attempt.
            limits.learn(&of(provider, status, headers, body), NOW.saturating_add(Duration::from_secs(10)));
            assert_eq!(complete(&limits, false, 0).0, expected, "{provider} {status} {headers} {body}");
        }
    }

    #[test]
    fn a_cooldown_lasts_until_it_ends_or_the_model_is_tried_again() {
        let failed = of("codex", 429, "{}", r#"{"error": {"resets_in_seconds": 120}}"#);
        let mut limits = limits();
        limits.learn(&failed, NOW);
        assert_eq!(complete(&limits, false, 119).0, [(CooldownReason::Quota, 120)]);
        assert!(complete(&limits, false, 120).0.is_empty());
        assert!(complete(&limits, true, 0).0.is_empty(), "the server lists its cooldowns");
        for status in [200, 400, 429] {
            limits.learn(&failed, NOW);
            limits.learn(&codex(status, "{}"), NOW);
            assert!(complete(&limits, false, 0).0.is_empty(), "{status}");
        }
        limits.learn(&failed, NOW);
        limits.server_restarted();
        assert!(complete(&limits, false, 0).0.is_empty());
    }

    #[test]
    fn a_server_cools_down_as_its_configuration_says() {
        for (cooling, expected) in [
            (None, None),
            (Some(Cooling { after_errors: None }), None),
            (Some(Cooling { after_errors: Some(Duration::from_secs(7)) }), Some(7)),
        ] {
            let mut limits = Limits::default();
            limits.cools(cooling);
            limits.learn(&codex(502, "{}"), NOW);
            let shown = complete(&limits, false, 0).0;
            assert_eq!(shown.first().map(|(_, secs)| *secs), expected, "{cooling:?}");
        }
    }

    #[test]
    fn windows_are_those_of_the_last_record_and_pass() {
        let mut limits = limits();
        let headers = r#"{"X-Codex-Primary-Used-Percent": ["42"], "X-Codex-Primary-Window-Minutes": ["300"],
            "X-Codex-Primary-Reset-At": ["1795634207"]}"#;
        limits.learn(&codex(200, headers), NOW);
        assert_eq!(complete(&limits, true, 99).1, ["5h"]);
        assert!(complete(&limits, true, 100).1.is_empty());
        limits.forget(NOW.saturating_add(Duration::from_secs(100)));
        assert!(limits.shown.is_empty());
    }

    #[test]
    fn only_so_many_credentials_are_kept() {
        let mut limits = limits();
        let mut record = codex(401, "{}");
        for number in 0..CREDENTIALS + 5 {
            record.attempt.credential = Some(number.to_string().into());
            limits.learn(&record, NOW);
        }
        assert_eq!(limits.shown.len(), CREDENTIALS);
    }
}

//! Quotas and cooldowns that records show. Servers before 7.3 list neither: they hide a cooldown as soon as another model
//! succeeds, and forget it when the file is rewritten.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    attempt::{Attempt, Outcome},
    credentials::latest_of_each,
    record::Record,
    signals::{Observed, Signals},
};
use crate::model::{Cooldown, CooldownReason, Credential, Timestamp};

/// How long a quota is taken for exceeded if the provider does not say until when.
const EXCEEDED_FOR: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);
/// Credentials, and models or windows of each.
const CREDENTIALS: usize = 2000;
const OF_EACH: usize = 100;

/// By credential, what its last records showed.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<Arc<str>, Shown>);

#[derive(Debug, Default)]
struct Shown {
    /// By model and window.
    windows: HashMap<(Arc<str>, Arc<str>), Observed>,
    /// By model, until when its quota is exceeded.
    exceeded: HashMap<Arc<str>, Timestamp>,
}

impl Limits {
    /// Takes a record that came at `now`.
    pub(super) fn learn(&mut self, record: &Record, now: Timestamp) {
        let Record { attempt: Attempt { credential, model, outcome, .. }, signals } = record;
        let Some(label) = credential else { return };
        let is_exceeded = *outcome == Outcome::Failed(Some(429));
        if !self.0.contains_key(label)
            && (self.0.len() >= CREDENTIALS || (!is_exceeded && signals.is_empty()))
        {
            return;
        }
        let shown = self.0.entry(Arc::clone(label)).or_default();
        shown.learn(signals, now);
        match outcome {
            Outcome::Succeeded => drop(shown.exceeded.remove(model)),
            Outcome::Failed(_) if is_exceeded && shown.exceeded.len() < OF_EACH => {
                let wait = signals.retry_after.unwrap_or(EXCEEDED_FOR).min(LONGEST);
                shown.exceeded.insert(Arc::clone(model), now.saturating_add(wait));
            }
            Outcome::Failed(_) => {}
        }
    }

    /// Adds what is known to a credential as a list has it. A list that has cooldowns or quotas knows better.
    pub(super) fn complete(&self, credential: &mut Credential, has_cooldowns: bool, now: Timestamp) {
        let Some(Shown { windows, exceeded }) = self.0.get(&credential.label) else { return };
        if credential.quotas.is_empty() {
            let current = windows.values().filter(|seen| seen.is_current(now));
            credential.quotas.extend(current.map(|seen| seen.window.clone()));
            credential.quotas.sort_by(|a, b| (&a.model, &a.window).cmp(&(&b.model, &b.window)));
        }
        if !has_cooldowns {
            let current = exceeded.iter().filter(|(_, until)| **until > now);
            let cooldowns = current.map(|(model, until)| Cooldown {
                model: Some(Arc::clone(model)),
                reason: CooldownReason::Quota,
                until: *until,
            });
            let known = std::mem::take(&mut credential.cooldowns);
            credential.cooldowns = latest_of_each(known.into_iter().chain(cooldowns).collect());
        }
    }

    /// Forgets what has passed.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, Shown { windows, exceeded }| {
            windows.retain(|_, seen| seen.is_current(now));
            exceeded.retain(|_, until| *until > now);
            !windows.is_empty() || !exceeded.is_empty()
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
    use serde_json::value::RawValue;

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
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        match element(&raw, &test_names(&[]), &Known::default(), &OddFields::default()) {
            Element::Record(record) => *record,
            other => panic!("{other:?}"),
        }
    }

    fn codex(failed: bool, headers: &str) -> Record {
        let status = if failed { 429 } else { 200 };
        record(&format!(
            r#"{{"timestamp": "2026-11-26T03:15:07+08:00", "auth_index": "00000000000000c1", "model": "gpt", "provider": "codex",
                "failed": {failed}, "fail": {{"status_code": {status}}}, "response_headers": {headers}}}"#
        ))
    }

    fn complete(limits: &Limits, has_cooldowns: bool, after: u64) -> (Vec<(String, i64)>, Vec<String>) {
        let now = NOW.saturating_add(Duration::from_secs(after));
        let mut credential = Credential { label: "00000000000000c1".into(), ..Credential::default() };
        limits.complete(&mut credential, has_cooldowns, now);
        let cooldowns = credential.cooldowns.iter();
        let cooldowns = cooldowns.map(|cooldown| {
            assert_eq!(cooldown.reason, CooldownReason::Quota);
            let model = cooldown.model.as_deref().unwrap_or_default();
            (model.to_owned(), cooldown.until.as_secs() - NOW.as_secs())
        });
        let quotas = credential.quotas.iter().map(|quota| quota.window.to_string());
        (cooldowns.collect(), quotas.collect())
    }

    #[test]
    fn a_429_is_an_exceeded_quota_until_it_ends_or_the_model_succeeds() {
        let mut limits = Limits::default();
        limits.learn(&codex(true, r#"{"Retry-After": ["120"]}"#), NOW);
        assert_eq!(complete(&limits, false, 119).0, [("gpt".to_owned(), 120)]);
        assert!(complete(&limits, false, 120).0.is_empty());
        assert!(complete(&limits, true, 0).0.is_empty(), "the server lists its cooldowns");
        limits.learn(&codex(true, "{}"), NOW);
        assert_eq!(complete(&limits, false, 0).0, [("gpt".to_owned(), 60)]);
        limits.learn(&codex(false, "{}"), NOW);
        assert!(complete(&limits, false, 0).0.is_empty());
    }

    #[test]
    fn windows_are_those_of_the_last_record_and_pass() {
        let mut limits = Limits::default();
        let headers = r#"{"X-Codex-Primary-Used-Percent": ["42"], "X-Codex-Primary-Window-Minutes": ["300"],
            "X-Codex-Primary-Reset-At": ["1795634207"]}"#;
        limits.learn(&codex(false, headers), NOW);
        assert_eq!(complete(&limits, true, 99).1, ["5h"]);
        assert!(complete(&limits, true, 100).1.is_empty());
        limits.forget(NOW.saturating_add(Duration::from_secs(100)));
        assert!(limits.0.is_empty());
    }

    #[test]
    fn only_so_many_credentials_are_kept() {
        let mut limits = Limits::default();
        let mut record = codex(true, "{}");
        for number in 0..CREDENTIALS + 5 {
            record.attempt.credential = Some(number.to_string().into());
            limits.learn(&record, NOW);
        }
        assert_eq!(limits.0.len(), CREDENTIALS);
    }
}

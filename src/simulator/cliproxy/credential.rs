//! A credential: its counters, its cooldowns and its quota.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::record::{Family, Outcome};

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const BUCKET_MS: i64 = 10 * MINUTE_MS;
/// Buckets of ten minutes that a server shows.
pub(super) const BUCKETS: i64 = 20;

/// A credential for an upstream: a file, or a key in the configuration.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The name of the file, or the key in clear.
    pub name: String,
    /// `claude`, `codex`, `gemini`, `kimi`, or the configured name of an openai-compatible provider.
    pub provider: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Of the account of a file; may be empty.
    pub email: String,
    /// Of a codex file.
    pub plan: Option<Plan>,
    /// Switched off by an operator.
    pub disabled: bool,
    /// The quotas of the account, of which the first that is used up blocks it.
    pub windows: Vec<Window>,
    /// When its token was refreshed last; `None`: not since the start.
    pub last_refresh_ms: Option<i64>,
    /// A free text of the operator.
    pub note: String,
    /// Successes that the server counts, which are not those of its records.
    pub success: u64,
    /// Failures that the server counts.
    pub failed: u64,
    pub(super) present: bool,
    /// The `auth_index` of servers that number them.
    pub(super) number: u64,
    /// The `auth_index` of servers that hash: as long as where it comes from.
    pub(super) hash: String,
    pub(super) token_hash: String,
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
    pub(super) updated_ms: i64,
    /// Attempts that succeeded and failed, by number of the bucket.
    pub(super) recent: BTreeMap<i64, (u64, u64)>,
    /// Models that it has served, with what blocks them, if anything.
    pub(super) models: BTreeMap<String, Option<Block>>,
    pub(super) status_message: String,
    /// As of the last attempt: servers before 7.3 do not look at the clock when they are asked.
    pub(super) unavailable: bool,
    pub(super) next_retry_ms: Option<i64>,
}

/// Where a credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of the directory of credentials.
    File,
    /// The configuration.
    Key {
        /// Of the upstream.
        base_url: String,
    },
}

/// A ChatGPT plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `plus`, `team`, …
    pub kind: String,
    /// Of the account.
    pub account: String,
    /// When it ends, in unix milliseconds.
    pub until_ms: i64,
    /// Whether the end is written as a number.
    pub as_number: bool,
}

/// A quota of tokens that starts again after a time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its length: 300 and 10080 are in use.
    pub minutes: u32,
    /// When it starts again, in unix milliseconds.
    pub resets_at_ms: i64,
    /// Tokens used since it started.
    pub used: u64,
    /// Tokens that may be used.
    pub limit: u64,
}

/// What blocks a model of a credential.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// `None`: it failed, and may be used all the same.
    pub(super) until_ms: Option<i64>,
    pub(super) status: u16,
    /// How often in a row the upstream refused without saying for how long.
    pub(super) level: u32,
    /// Whether the account's quota is used up.
    pub(super) whole: bool,
}

impl Window {
    /// A window of which nothing is used.
    pub fn new(minutes: u32, resets_at_ms: i64, limit: u64) -> Window {
        Window { minutes, resets_at_ms, used: 0, limit }
    }

    fn roll(&mut self, at_ms: i64) {
        let length_ms = (i64::from(self.minutes) * MINUTE_MS).max(1);
        if at_ms >= self.resets_at_ms {
            let windows = (at_ms - self.resets_at_ms) / length_ms + 1;
            self.resets_at_ms = self.resets_at_ms.saturating_add(windows.saturating_mul(length_ms));
            self.used = 0;
        }
    }

    /// Hundredths of the limit, 100 at most.
    pub(super) fn percent(&self) -> u64 {
        (self.used.saturating_mul(100) / self.limit.max(1)).min(100)
    }
}

impl Credential {
    /// A credential that is enabled and has no quota and no traffic.
    pub fn new(name: &str, provider: &str, origin: Origin, now_ms: i64) -> Credential {
        Credential {
            name: name.to_owned(),
            provider: provider.to_owned(),
            origin,
            email: String::new(),
            plan: None,
            disabled: false,
            windows: Vec::new(),
            last_refresh_ms: None,
            note: String::new(),
            success: 0,
            failed: 0,
            present: true,
            number: 0,
            hash: String::new(),
            token_hash: String::new(),
            created_ms: now_ms,
            modified_ms: now_ms,
            updated_ms: now_ms,
            recent: BTreeMap::new(),
            models: BTreeMap::new(),
            status_message: String::new(),
            unavailable: false,
            next_retry_ms: None,
        }
    }

    pub(super) fn is_file(&self) -> bool {
        self.origin == Origin::File
    }

    /// Whether it is a key of an openai-compatible provider.
    pub(super) fn is_compatible(&self) -> bool {
        !self.is_file()
            && !["claude", "codex", "gemini", "vertex", "xai", "kimi"].contains(&self.provider.as_str())
    }

    /// Gives it the next number, and its hashes.
    pub(super) fn identify(&mut self, number: u64) {
        let seed = match &self.origin {
            Origin::File => format!("file:{}:{}", self.provider, self.name),
            Origin::Key { base_url } => format!("key:{}:{base_url}|{}", self.provider, self.name),
        };
        self.number = number;
        self.hash = hex(&Sha256::digest(seed)[..8]);
        self.token_hash = hex(&Sha256::digest(format!("token of {}", self.name)));
    }

    /// Whether an attempt may use it for a model.
    pub(super) fn is_open(&self, model: &str, at_ms: i64) -> bool {
        let closes = |block: &Block| block.until_ms.is_some_and(|until_ms| until_ms > at_ms);
        let blocked = self.models.get(model).and_then(Option::as_ref).is_some_and(closes);
        let whole = self.models.values().flatten().any(|block| block.whole && closes(block));
        self.present && !self.disabled && !blocked && !whole
    }

    /// When the quota that is used up starts again.
    pub(super) fn exhausted_until(&self, at_ms: i64) -> Option<i64> {
        let full = |window: &&Window| window.used >= window.limit && window.resets_at_ms > at_ms;
        self.windows.iter().filter(full).map(|window| window.resets_at_ms).max()
    }

    /// Counts tokens against the quotas.
    pub(super) fn use_quota(&mut self, at_ms: i64, tokens: u64) {
        for window in &mut self.windows {
            window.roll(at_ms);
            window.used = window.used.saturating_add(tokens);
        }
    }

    /// Counts an attempt as the server's counters do, which differ from its records on clients that hang up.
    pub(super) fn count(&mut self, at_ms: i64, outcome: Outcome) {
        let success = match outcome {
            Outcome::Success | Outcome::NoUsage => true,
            Outcome::Refused(_) | Outcome::CutOff => false,
            Outcome::HungUp => return,
            Outcome::HungUpMidStream => Family::of(&self.provider) != Family::Claude,
        };
        let bucket = at_ms.div_euclid(BUCKET_MS);
        let (succeeded, failed) = self.recent.entry(bucket).or_default();
        if success {
            self.success += 1;
            *succeeded += 1;
        } else {
            self.failed += 1;
            *failed += 1;
        }
        self.recent.retain(|known, _| *known > bucket - BUCKETS);
    }

    /// What an attempt does to its state. `body` is what the upstream said.
    pub(super) fn learn(&mut self, at_ms: i64, model: &str, outcome: Outcome, body: &str) {
        self.updated_ms = at_ms;
        let status = match outcome {
            Outcome::Success | Outcome::NoUsage => {
                self.block(model, None);
                if self.models.values().all(Option::is_none) {
                    self.status_message.clear();
                }
                return self.judge(at_ms);
            }
            Outcome::Refused(status) => status,
            Outcome::CutOff => 500,
            Outcome::HungUp | Outcome::HungUpMidStream => return,
        };
        let before = self.models.get(model).copied().flatten();
        let level = before.map_or(0, |block| block.level) + 1;
        let quota_until = self.exhausted_until(at_ms).filter(|_| status == 429 && self.is_file());
        let cooldown_ms = match status {
            401..=403 => Some(30 * MINUTE_MS),
            404 => Some(12 * 60 * MINUTE_MS),
            429 => Some((SECOND_MS << level.min(12).saturating_sub(1)).min(30 * MINUTE_MS)),
            408 | 500.. => Some(MINUTE_MS),
            _ => None,
        };
        let until_ms = quota_until.or(cooldown_ms.map(|ms| at_ms.saturating_add(ms)));
        let block = Block { until_ms, status, level, whole: quota_until.is_some() };
        self.block(model, Some(block));
        self.status_message = format!("{body}\n");
        self.judge(at_ms);
    }

    fn block(&mut self, model: &str, block: Option<Block>) {
        match self.models.get_mut(model) {
            Some(known) => *known = block,
            None => drop(self.models.insert(model.to_owned(), block)),
        }
    }

    /// Unavailable is a credential all of whose models are blocked.
    fn judge(&mut self, at_ms: i64) {
        let closed = |block: &Option<Block>| {
            block.as_ref().and_then(|block| block.until_ms).filter(|until_ms| *until_ms > at_ms)
        };
        let until: Option<Vec<i64>> = self.models.values().map(closed).collect();
        self.next_retry_ms = until.and_then(|until| until.into_iter().min());
        self.unavailable = self.next_retry_ms.is_some();
    }

    /// What a server from 7.3 on does when it is asked: cooldowns that are over are forgotten.
    pub(super) fn refreshed(&self, now_ms: i64) -> Credential {
        let mut now = self.clone();
        now.models.values_mut().for_each(|block| {
            let is_over = |block: &Block| block.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
            if block.as_ref().is_some_and(is_over) {
                *block = None;
            }
        });
        if now.models.values().all(Option::is_none) {
            now.status_message.clear();
        }
        now.judge(now_ms);
        let whole = now.models.values().flatten().filter(|block| block.whole);
        if let Some(until_ms) = whole.filter_map(|block| block.until_ms).max() {
            (now.unavailable, now.next_retry_ms) = (true, Some(until_ms));
        }
        now
    }

    pub(super) fn status(&self) -> &'static str {
        if self.disabled {
            "disabled"
        } else if self.models.values().any(Option::is_some) {
            "error"
        } else {
            "active"
        }
    }

    /// What the server does when the file was written: it forgets the failures and keeps the counters.
    pub(super) fn rewrite(&mut self, now_ms: i64) {
        self.models.clear();
        self.status_message.clear();
        (self.unavailable, self.next_retry_ms) = (false, None);
        (self.modified_ms, self.updated_ms) = (now_ms, now_ms);
    }

    /// What a restart does: counters are in memory only.
    pub(super) fn restart(&mut self, now_ms: i64) {
        let modified_ms = self.modified_ms;
        self.rewrite(now_ms);
        self.modified_ms = modified_ms;
        (self.success, self.failed) = (0, 0);
        self.recent.clear();
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claude() -> Credential {
        Credential {
            email: "a@example.com".to_owned(),
            ..Credential::new("a.json", "claude", Origin::File, 0)
        }
    }

    #[test]
    fn another_models_success_hides_a_cooldown() {
        let mut credential = claude();
        credential.learn(1000, "opus", Outcome::Refused(429), "{}");
        assert_eq!((credential.status(), credential.unavailable), ("error", true));
        assert_eq!(credential.next_retry_ms, Some(2000));
        credential.learn(1100, "sonnet", Outcome::Success, "");
        assert_eq!((credential.status(), credential.unavailable), ("error", false));
        assert_eq!((credential.next_retry_ms, credential.status_message.as_str()), (None, "{}\n"));
        assert!(!credential.is_open("opus", 1100) && credential.is_open("sonnet", 1100));
        credential.learn(3000, "opus", Outcome::Success, "");
        assert_eq!((credential.status(), credential.status_message.as_str()), ("active", ""));
    }

    #[test]
    fn a_cooldown_that_is_over_stays_until_the_next_attempt() {
        let mut credential = claude();
        credential.learn(0, "opus", Outcome::Refused(500), "boom");
        assert!(credential.is_open("opus", 60_000));
        assert_eq!((credential.unavailable, credential.status()), (true, "error"));
        let refreshed = credential.refreshed(60_000);
        assert_eq!((refreshed.unavailable, refreshed.status()), (false, "active"));
        credential.rewrite(100);
        assert_eq!((credential.unavailable, credential.status()), (false, "active"));
    }

    #[test]
    fn a_used_up_quota_blocks_every_model_until_it_starts_again() {
        let mut credential = claude();
        credential.windows = vec![Window::new(300, 10_000, 100)];
        credential.use_quota(0, 100);
        assert_eq!(credential.exhausted_until(0), Some(10_000));
        credential.learn(0, "opus", Outcome::Refused(429), "{}");
        assert!(!credential.is_open("sonnet", 9_999) && credential.is_open("sonnet", 10_000));
        credential.use_quota(10_000, 7);
        assert_eq!(credential.windows[0].used, 7);
        assert_eq!(credential.windows[0].resets_at_ms, 10_000 + 300 * MINUTE_MS);
    }

    #[test]
    fn counters_differ_from_records_on_hang_ups() {
        let mut credential = claude();
        credential.count(0, Outcome::HungUp);
        credential.count(0, Outcome::HungUpMidStream);
        assert_eq!((credential.success, credential.failed), (0, 1));
        credential.provider = "openrouter".to_owned();
        credential.count(0, Outcome::HungUpMidStream);
        assert_eq!((credential.success, credential.failed), (1, 1));
    }
}

use std::{sync::Arc, time::Duration};

use super::Timestamp;

/// The label value of everything beyond a cap.
pub const OTHER: &str = "_other";

/// What an LLM proxy was used for: attempts at its providers, each of which is counted here once. One request of a
/// client may take several attempts, and an attempt that was cut off carries no tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LlmUsage {
    /// By client key, provider and model, sorted, each once.
    pub rows: Vec<LlmRow>,
    /// By provider and model, sorted, each once.
    pub times: Vec<LlmTimes>,
    /// By provider and status code, sorted, each once.
    pub errors: Vec<LlmErrors>,
    /// By provider, sorted, each once.
    pub recent: Vec<LlmRecent>,
    /// What each client key used in the running day and month, sorted, each once.
    pub periods: Vec<LlmPeriod>,
    /// Records taken from the server's queue.
    pub records: u64,
    /// How often records may have been lost: polls later than the server keeps records, ones that failed or that a crash
    /// cut off, and restarts of the server.
    pub gaps: u64,
    /// When the last of them was noticed.
    pub gap_at: Option<Timestamp>,
    /// Attempts that the counters of credentials show, and of which no record came: another reader takes them.
    pub bypassed: u64,
    /// When the last of them were noticed.
    pub bypassed_at: Option<Timestamp>,
}

/// Attempts and tokens of one client key at one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LlmRow {
    /// The operator's alias of the client key, or a keyed hash of it; empty: the server asked for no key.
    pub api_key: Arc<str>,
    pub provider: Arc<str>,
    /// As the provider calls it.
    pub model: Arc<str>,
    /// Attempts, failed ones included.
    pub requests: u64,
    pub failed: u64,
    pub tokens: LlmTokens,
    /// By list prices at the time of each record, in billionths of a US dollar.
    pub cost_nanos: u64,
    /// Tokens of models that have no price.
    pub unpriced_tokens: u64,
}

/// Tokens by the provider's own meaning. The kinds overlap: for OpenAI, Codex and Gemini, `input` contains `cached`, and
/// for Claude it does not; `reasoning` is part of `output` but for Gemini.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LlmTokens {
    pub input: u64,
    pub output: u64,
    pub reasoning: u64,
    /// Input read from a cache.
    pub cached: u64,
    /// Input written to a cache.
    pub cache_write: u64,
    /// The sum as the server gives it.
    pub total: u64,
}

/// How long attempts at one model took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LlmTimes {
    pub provider: Arc<str>,
    pub model: Arc<str>,
    /// From the start of an attempt to its end.
    pub duration: Times,
    /// From the start of an attempt to the first byte of its answer. Failed attempts and unknown times are left out.
    pub first_token: Times,
}

/// A histogram of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Observations by the bound of [`Times::BOUNDS`] that is the first not below them; the last ones are beyond all.
    pub buckets: [u64; Times::BOUNDS.len() + 1],
    pub sum: Duration,
}

/// Failed attempts by what the provider answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LlmErrors {
    pub provider: Arc<str>,
    /// 499: the client went away. Absent: the server does not say.
    pub status_code: Option<u16>,
    pub attempts: u64,
}

/// Attempts at a provider that were read within [`Attempts::WINDOW`](super::Attempts::WINDOW) after they ended, since the
/// target was first read by this process. Late ones, such as those of an import, say nothing about the present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LlmRecent {
    pub provider: Arc<str>,
    /// Failed ones included.
    pub attempts: u64,
    pub failed: u64,
}

/// What a client key used in the running day and month of the configured zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LlmPeriod {
    pub api_key: Arc<str>,
    pub day: LlmSpent,
    pub month: LlmSpent,
}

/// Tokens and cost of one period. Each token counts once: input, from a cache or not, and output with reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LlmSpent {
    /// When the period began.
    pub since: Timestamp,
    pub tokens: u64,
    pub cost_nanos: u64,
}

/// How the usage of an LLM proxy is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmMode {
    /// The server's own totals are read.
    Snapshot,
    /// Records are taken from the server's queue.
    Queue,
    /// Usage is not read; credentials are.
    Off,
}

/// How usage is read, and whether the server records any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LlmState {
    pub mode: LlmMode,
    /// The server's `usage-statistics-enabled`; absent: it does not say.
    pub enabled: Option<bool>,
}

/// An account or key by which an LLM proxy reaches a provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credential {
    /// Unique within the target: the operator's alias, the server's index, or a keyed hash.
    pub label: Arc<str>,
    pub provider: Arc<str>,
    /// Absent: the server does not say.
    pub status: Option<CredentialStatus>,
    /// Whether requests may go there now: it is neither switched off nor cooling down as a whole, nor in an error that
    /// a person must mend. Absent: the server does not say.
    pub available: Option<bool>,
    /// Why it is not available, in words of ours; empty: it is, or the server does not say.
    pub cause: &'static str,
    /// Cooldowns that have not ended, the latest of each scope, model and reason.
    pub cooldowns: Vec<Cooldown>,
    /// Attempts by it, failed ones included. Continues over restarts of the server.
    pub requests: Option<u64>,
    pub failed: Option<u64>,
    /// Quota windows, each model and window once.
    pub quotas: Vec<QuotaWindow>,
    /// When the plan that pays for it ends.
    pub plan_expiry: Option<Timestamp>,
    /// When its token was last renewed.
    pub last_refresh: Option<Timestamp>,
}

/// The state of a credential, in the server's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialStatus {
    Active,
    Pending,
    Refreshing,
    Error,
    Disabled,
    /// A word that is not known here, or `unknown`.
    Unknown,
}

/// A time in which a credential, or one model of it, is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// Absent: the whole credential.
    pub model: Option<Arc<str>>,
    pub reason: CooldownReason,
    pub until: Timestamp,
}

/// Why a credential cools down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CooldownReason {
    Quota,
    CredentialQuota,
    CloudflareChallenge,
    ModelNotSupported,
    InvalidGrant,
    Unauthorized,
    PaymentRequired,
    NotFound,
    TransientError,
    Unknown,
}

/// How much of a quota is used, by what the provider last said of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaWindow {
    /// Empty: of the whole credential.
    pub model: Arc<str>,
    /// Its length, e.g. `5h` or `7d`.
    pub window: Arc<str>,
    /// From 0 on; 1 is all of it.
    pub used_ratio: Option<f64>,
    pub resets: Option<Timestamp>,
}

impl Times {
    /// Upper bounds in seconds, fit for answers that take from parts of a second to ten minutes.
    pub const BOUNDS: [f64; 14] =
        [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 240.0, 420.0, 600.0];

    pub fn observe(&mut self, time: Duration) {
        let secs = time.as_secs_f64();
        let bucket = Times::BOUNDS.iter().position(|bound| secs <= *bound).unwrap_or(Times::BOUNDS.len());
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(time);
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().copied().fold(0, u64::saturating_add)
    }
}

impl LlmTokens {
    /// Adds the tokens of one more attempt.
    pub fn add(&mut self, other: LlmTokens) {
        let LlmTokens { input, output, reasoning, cached, cache_write, total } = other;
        for (sum, more) in [
            (&mut self.input, input),
            (&mut self.output, output),
            (&mut self.reasoning, reasoning),
            (&mut self.cached, cached),
            (&mut self.cache_write, cache_write),
            (&mut self.total, total),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

impl LlmMode {
    /// Every mode.
    pub const ALL: [LlmMode; 3] = [LlmMode::Snapshot, LlmMode::Queue, LlmMode::Off];

    /// The word used in metrics, logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            LlmMode::Snapshot => "snapshot",
            LlmMode::Queue => "queue",
            LlmMode::Off => "off",
        }
    }
}

impl Credential {
    /// Whether the operator switched it off.
    pub fn is_disabled(&self) -> bool {
        self.status == Some(CredentialStatus::Disabled)
    }

    /// The word for its status in pages, `unknown` if the last answer did not say.
    pub fn status_word(&self) -> &'static str {
        self.status.unwrap_or(CredentialStatus::Unknown).label()
    }
}

impl QuotaWindow {
    /// How long a window of which nothing says how long it lasts is taken to last.
    pub const UNKNOWN_LENGTH: Duration = Duration::from_secs(24 * 3600);

    /// The length that the name of a window says, such as `5h`; absent: it says none.
    pub fn length_of(window: &str) -> Option<Duration> {
        let digits = window.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = window.get(..digits)?.parse().ok()?;
        let unit = match window.get(digits..digits + 1)? {
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        Some(Duration::from_secs(number.saturating_mul(unit)))
    }
}

impl CredentialStatus {
    /// Every status.
    pub const ALL: [CredentialStatus; 6] = [
        CredentialStatus::Active,
        CredentialStatus::Pending,
        CredentialStatus::Refreshing,
        CredentialStatus::Error,
        CredentialStatus::Disabled,
        CredentialStatus::Unknown,
    ];

    /// The word used in metrics, logs and pages, which is the server's own.
    pub fn label(self) -> &'static str {
        match self {
            CredentialStatus::Active => "active",
            CredentialStatus::Pending => "pending",
            CredentialStatus::Refreshing => "refreshing",
            CredentialStatus::Error => "error",
            CredentialStatus::Disabled => "disabled",
            CredentialStatus::Unknown => "unknown",
        }
    }

    /// The status that the server calls `word`.
    pub fn of(word: &str) -> Self {
        let known = CredentialStatus::ALL.into_iter().find(|status| status.label() == word);
        known.unwrap_or(CredentialStatus::Unknown)
    }
}

impl CooldownReason {
    /// Every reason.
    pub const ALL: [CooldownReason; 10] = [
        CooldownReason::Quota,
        CooldownReason::CredentialQuota,
        CooldownReason::CloudflareChallenge,
        CooldownReason::ModelNotSupported,
        CooldownReason::InvalidGrant,
        CooldownReason::Unauthorized,
        CooldownReason::PaymentRequired,
        CooldownReason::NotFound,
        CooldownReason::TransientError,
        CooldownReason::Unknown,
    ];

    /// The word used in metrics, logs and pages, which is the server's own.
    pub fn label(self) -> &'static str {
        match self {
            CooldownReason::Quota => "quota",
            CooldownReason::CredentialQuota => "credential_quota",
            CooldownReason::CloudflareChallenge => "cloudflare_challenge",
            CooldownReason::ModelNotSupported => "model_not_supported",
            CooldownReason::InvalidGrant => "invalid_grant",
            CooldownReason::Unauthorized => "unauthorized",
            CooldownReason::PaymentRequired => "payment_required",
            CooldownReason::NotFound => "not_found",
            CooldownReason::TransientError => "transient_error",
            CooldownReason::Unknown => "unknown",
        }
    }

    /// The reason that the server calls `word`.
    pub fn of(word: &str) -> Self {
        let known = CooldownReason::ALL.into_iter().find(|reason| reason.label() == word);
        known.unwrap_or(CooldownReason::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let mut times = Times::default();
        for millis in [0, 100, 101, 600_000, 600_001] {
            times.observe(Duration::from_millis(millis));
        }
        let filled: Vec<_> = (0..).zip(times.buckets).filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0, 2), (1, 1), (13, 1), (14, 1)]);
        assert_eq!((times.count(), times.sum), (5, Duration::from_millis(1_200_202)));
    }

    #[test]
    fn words_are_the_servers_own() {
        for status in CredentialStatus::ALL {
            assert_eq!(CredentialStatus::of(status.label()), status);
        }
        for reason in CooldownReason::ALL {
            assert_eq!(CooldownReason::of(reason.label()), reason);
        }
        assert_eq!(CredentialStatus::of("ready"), CredentialStatus::Unknown);
    }
}

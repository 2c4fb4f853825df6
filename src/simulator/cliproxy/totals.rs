//! True totals, to compare with what a client of the server makes of its answers.

use std::collections::BTreeMap;

use super::options::Generation;
use super::record::{Record, Stated};

/// What was counted, in two ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// By client key, provider and model, as the server names them.
    pub by_series: BTreeMap<Series, Sums>,
    /// By [`Credential::name`](super::Credential::name).
    pub by_credential: BTreeMap<String, Sums>,
}

/// What a sum is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The client key in clear; empty: of an open proxy.
    pub api_key: String,
    /// As a record states it, so `openai-compatible-NAME` from 7.2 on; empty in `/usage`, which does not state it.
    pub provider: String,
    /// As a record states it: in `/usage` before 6.9, the alias for openai-compatible providers.
    pub model: String,
}

/// Sums over attempts. Tokens are as a record states them; what the records of a generation do not state is 0 or
/// empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// All attempts.
    pub attempts: u64,
    /// Those that failed.
    pub failed: u64,
    /// All, by status: 200, that of the upstream, 500 for a cut stream, 499 for a client that went away.
    pub by_status: BTreeMap<u16, u64>,
    /// `input_tokens`.
    pub input: u64,
    /// `output_tokens`.
    pub output: u64,
    /// `reasoning_tokens`.
    pub reasoning: u64,
    /// `cached_tokens`.
    pub cached: u64,
    /// `cache_read_tokens`.
    pub cache_read: u64,
    /// `cache_creation_tokens`.
    pub cache_creation: u64,
    /// `total_tokens`.
    pub total: u64,
    /// How many attempts took so many milliseconds.
    pub latencies_ms: BTreeMap<u32, u64>,
    /// How many successful attempts had their first byte after so many milliseconds, without those of 0.
    pub ttfts_ms: BTreeMap<u32, u64>,
}

impl Totals {
    /// The sums of all series.
    pub fn all(&self) -> Sums {
        let mut all = Sums::default();
        self.by_series.values().for_each(|sums| all.merge(sums));
        all
    }
}

impl Sums {
    /// How many attempts took at most so long.
    pub fn within_ms(&self, ms: u32) -> u64 {
        self.latencies_ms.range(..=ms).map(|(_, count)| count).sum()
    }

    /// The sum of all durations, in milliseconds.
    pub fn latency_ms(&self) -> u64 {
        self.latencies_ms.iter().map(|(ms, count)| u64::from(*ms) * count).sum()
    }

    /// The sum of all times to the first byte, in milliseconds.
    pub fn ttft_ms(&self) -> u64 {
        self.ttfts_ms.iter().map(|(ms, count)| u64::from(*ms) * count).sum()
    }

    /// Adds other sums to these.
    pub fn merge(&mut self, other: &Sums) {
        let Sums {
            attempts,
            failed,
            by_status,
            input,
            output,
            reasoning,
            cached,
            cache_read,
            cache_creation,
            total,
            latencies_ms,
            ttfts_ms,
        } = other;
        self.attempts += attempts;
        self.failed += failed;
        self.input += input;
        self.output += output;
        self.reasoning += reasoning;
        self.cached += cached;
        self.cache_read += cache_read;
        self.cache_creation += cache_creation;
        self.total += total;
        by_status.iter().for_each(|(key, count)| *self.by_status.entry(*key).or_default() += count);
        latencies_ms.iter().for_each(|(key, count)| *self.latencies_ms.entry(*key).or_default() += count);
        ttfts_ms.iter().for_each(|(key, count)| *self.ttfts_ms.entry(*key).or_default() += count);
    }

    /// Adds a record, as far as those of the generation state it.
    pub(super) fn add(&mut self, record: &Record, stated: Stated, generation: Generation) {
        let Stated { input, output, reasoning, cached, cache_read, cache_creation, total } = stated;
        let succeeded = record.outcome.is_success();
        self.attempts += 1;
        self.failed += u64::from(!succeeded);
        self.input += input;
        self.output += output;
        self.reasoning += reasoning;
        self.cached += cached;
        self.total += total;
        if generation >= Generation::V6_9 {
            *self.latencies_ms.entry(record.latency_ms).or_default() += 1;
        }
        if generation >= Generation::V7_2 {
            self.cache_read += cache_read;
            self.cache_creation += cache_creation;
            *self.by_status.entry(record.outcome.status()).or_default() += 1;
            // Of an answer that comes at once it is the duration, which shows since 7.3.
            let is_shown = generation < Generation::V7_3 || record.stream;
            if succeeded && is_shown && record.ttft_ms > 0 {
                *self.ttfts_ms.entry(record.ttft_ms).or_default() += 1;
            }
        }
    }
}

/// Sums by what records refer to. The generation is that in which they were counted.
pub(super) type Ledger = BTreeMap<Account, Sums>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Account {
    pub(super) generation: Generation,
    pub(super) client: Option<u16>,
    pub(super) credential: u16,
    pub(super) model: u16,
}

impl Account {
    pub(super) fn of(record: &Record, generation: Generation) -> Account {
        let Record { client, credential, model, .. } = *record;
        Account { generation, client, credential, model }
    }
}

/// Attempts of which a client of the management API can learn nothing more, by reason. Calls that a server refuses
/// before it makes an attempt are in [`refused`](Unseen::refused).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Calls refused because every credential cooled down.
    pub refused: u64,
    /// The generation does not record such an attempt.
    pub not_recorded: u64,
    /// The statistics were off.
    pub switched_off: u64,
    /// In the queue for longer than its retention.
    pub expired: u64,
    /// Taken by another reader, or sent to a subscriber.
    pub stolen: u64,
    /// Popped by an answer that was lost; see [`Server::lose_next_pop`](super::Server::lose_next_pop).
    pub lost: u64,
    /// In the queue at a restart, or when management was switched off.
    pub dropped: u64,
}

/// An answer of `/usage-queue` with records in it.
#[derive(Clone, Debug)]
pub struct Pop {
    /// When it was asked for, in unix milliseconds.
    pub at_ms: i64,
    /// What it contained.
    pub sums: Sums,
    /// Whether it was sent.
    pub sent: bool,
}

//! One attempt at a provider, without anything that is secret or personal.

use std::{sync::Arc, time::Duration};

use crate::model::{LlmTokens, Timestamp};

/// An attempt as a record of the queue or a detail of the snapshot has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempt {
    /// When it started; absent: the server does not say.
    pub(super) started: Option<Timestamp>,
    /// A keyed hash of the client key; empty: there was none.
    pub(super) api_key: Arc<str>,
    /// Without the prefix `openai-compatible-`, so that it is the word that counters of credentials have.
    pub(super) provider: Arc<str>,
    /// As the provider calls it; `unknown` if the server does not say.
    pub(super) model: Arc<str>,
    /// The label of its credential before aliases; absent: the server does not say.
    pub(super) credential: Option<Arc<str>>,
    pub(super) outcome: Outcome,
    pub(super) duration: Option<Duration>,
    /// Until the first byte of the answer; absent: unknown, or the attempt failed.
    pub(super) first_token: Option<Duration>,
    pub(super) tokens: LlmTokens,
    pub(super) billed: Billed,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    #[default]
    Succeeded,
    /// With the provider's status code, if the server says it.
    Failed(Option<u16>),
}

/// Tokens as they are priced: each token is in one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Billed {
    pub(super) uncached_input: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
    /// Reasoning included.
    pub(super) output: u64,
    /// Of which nothing but the sum is known. They have no price.
    pub(super) unclassified: u64,
    pub(super) tier: Tier,
}

/// The service tier that the provider says it gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tier {
    #[default]
    Base,
    Flex,
    Priority,
}

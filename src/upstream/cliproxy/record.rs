//! Attempts as the server describes them: records of the queue and details of the snapshot.
//!
//! Both carry secrets: client keys, keys and accounts at providers, addresses, whole answers of providers. What is kept of
//! them is hashed or counted here, and the rest is dropped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    attempt::{Attempt, Billed, Outcome, Tier},
    names::{self, Names, UNKNOWN},
    signals::Signals,
};
use crate::{
    model::{LlmTokens, Timestamp},
    upstream::json::{Object, OddFields},
};

/// The longest time that an attempt can have taken.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// More tokens than one attempt can have.
const TOKENS: u64 = 1_000_000_000_000;

/// What the lists of credentials show of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The provider of each label.
    pub(super) providers: HashMap<Arc<str>, Arc<str>>,
    /// The labels that are hashes of keys at providers.
    pub(super) keys: HashSet<Arc<str>>,
}

impl Known {
    /// The label of the credential of an attempt: that of its key if the list of keys has it, or else its index, or else
    /// the hash of its source.
    fn credential(&self, source: Arc<str>, index: Option<Arc<str>>) -> Option<Arc<str>> {
        if self.keys.contains(&source) {
            return Some(source);
        }
        index.or_else(|| (!source.is_empty()).then_some(source))
    }
}

/// An element of the queue.
#[derive(Debug)]
pub(super) enum Element {
    Record(Box<Record>),
    /// Something else that the server sends to its readers.
    Control,
    Unreadable,
}

/// An attempt, and what its provider said of quotas.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) attempt: Attempt,
    pub(super) signals: Signals,
}

/// Reads an element of the queue.
pub(super) fn element(raw: &RawValue, names: &Names, known: &Known, odd: &OddFields) -> Element {
    let Some(record) = Object::new("record", raw, odd) else { return Element::Unreadable };
    if !record.has("timestamp") && !record.has("tokens") {
        let is_control = record.has("refresh") || record.has("support_refresh");
        return if is_control { Element::Control } else { Element::Unreadable };
    }
    let provider = record.text("provider").and_then(|word| names::provider(&word));
    let model = names::model(&record.text("model").unwrap_or_default());
    let executor = record.text("executor_type");
    let family = family(executor.as_deref(), provider.as_deref(), &model);
    let tokens = record.object("tokens").map(|tokens| read_tokens(&tokens)).unwrap_or_default();
    let breakdown = record.object("token_breakdown").and_then(|breakdown| read_breakdown(&breakdown));
    let tier = match record.text("response_service_tier").as_deref() {
        Some("flex") => Tier::Flex,
        Some("priority") => Tier::Priority,
        _ => Tier::Base,
    };
    let failed = record.flag("failed").unwrap_or(false);
    let code = record.object("fail").and_then(|fail| fail.count("status_code"));
    let outcome = match failed {
        false => Outcome::Succeeded,
        true => Outcome::Failed(code.and_then(|code| u16::try_from(code).ok()).filter(|code| *code > 0)),
    };
    let millis = |field| record.count(field).map(Duration::from_millis).filter(|time| *time <= LONGEST);
    let index = record.raw("auth_index").and_then(|raw| index(raw, names));
    let source = names.hash(&record.secret("source").unwrap_or_default());
    let attempt = Attempt {
        started: record.time("timestamp"),
        api_key: names.hash(&record.secret("api_key").unwrap_or_default()),
        provider: provider.unwrap_or_else(|| UNKNOWN.into()),
        model,
        credential: known.credential(source, index),
        outcome,
        duration: millis("latency_ms"),
        first_token: millis("ttft_ms").filter(|time| !time.is_zero() && !failed),
        tokens: tokens.by_kind(),
        billed: Billed { tier, ..breakdown.unwrap_or_else(|| tokens.billed(family)) },
    };
    let signals = Signals::read(record.raw("response_headers"));
    Element::Record(Box::new(Record { attempt, signals }))
}

fn read_tokens(tokens: &Object<'_>) -> Tokens {
    Tokens {
        input: plausible(tokens.amount("input_tokens")),
        output: plausible(tokens.amount("output_tokens")),
        reasoning: plausible(tokens.amount("reasoning_tokens")),
        cached: plausible(tokens.amount("cached_tokens")),
        cache_read: plausible(tokens.amount("cache_read_tokens")),
        cache_creation: plausible(tokens.amount("cache_creation_tokens")),
        total: plausible(tokens.amount("total_tokens")),
    }
}

/// Tokens as the server bills them; absent: it could not tell them apart.
fn read_breakdown(breakdown: &Object<'_>) -> Option<Billed> {
    if breakdown.text("quality").as_deref() == Some("unclassified") {
        return None;
    }
    let (input, output) = (breakdown.object("input")?, breakdown.object("output")?);
    Some(Billed {
        uncached_input: plausible(input.amount("uncached_tokens")),
        cache_read: plausible(input.amount("cache_read_tokens")),
        cache_write: plausible(input.amount("cache_write_tokens")),
        output: plausible(output.amount("total_tokens")),
        tier: Tier::Base,
    })
}

fn plausible(tokens: Option<u64>) -> u64 {
    tokens.filter(|tokens| *tokens < TOKENS).unwrap_or(0)
}

/// The label that an index is; absent: it is a number, or not there.
fn index(raw: &RawValue, names: &Names) -> Option<Arc<str>> {
    names.index(&serde_json::from_str::<String>(raw.get()).ok()?)
}

/// How providers count tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Input without what a cache holds.
    Claude,
    /// Output without reasoning.
    Gemini,
    OpenAi,
}

/// By the code that asked the provider, else by the provider, else by the model's name.
fn family(executor: Option<&str>, provider: Option<&str>, model: &str) -> Family {
    const CLAUDE: [&str; 2] = ["claude", "anthropic"];
    const GEMINI: [&str; 4] = ["gemini", "antigravity", "aistudio", "vertex"];
    let word = executor.or(provider).filter(|word| *word != UNKNOWN).unwrap_or(model);
    let begins =
        |family: &&str| word.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family));
    if CLAUDE.iter().any(begins) {
        Family::Claude
    } else if GEMINI.iter().any(begins) {
        Family::Gemini
    } else {
        Family::OpenAi
    }
}

/// Tokens in the fields that the server has for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tokens {
    input: u64,
    output: u64,
    reasoning: u64,
    /// Read from a cache; of Claude, those written to it if none was read.
    cached: u64,
    /// Since 7.0.3.
    cache_read: u64,
    cache_creation: u64,
    total: u64,
}

impl Tokens {
    /// Read from a cache. Only later servers tell what was read from what was written.
    fn read(self) -> u64 {
        if self.cache_read == 0 && self.cache_creation == 0 { self.cached } else { self.cache_read }
    }

    fn by_kind(self) -> LlmTokens {
        LlmTokens {
            input: self.input,
            output: self.output,
            reasoning: self.reasoning,
            cached: self.read(),
            cache_write: self.cache_creation,
            total: self.total,
        }
    }

    fn billed(self, family: Family) -> Billed {
        let (cache_read, cache_write) = (self.read(), self.cache_creation);
        let uncached_input = match family {
            Family::Claude => self.input,
            Family::Gemini | Family::OpenAi => {
                self.input.saturating_sub(cache_read.saturating_add(cache_write))
            }
        };
        let output = match family {
            Family::Gemini => self.output.saturating_add(self.reasoning),
            Family::Claude | Family::OpenAi => self.output,
        };
        Billed { uncached_input, cache_read, cache_write, output, tier: Tier::Base }
    }
}

/// Reads the details of a snapshot.
pub(super) struct Details<'n> {
    names: &'n Names,
    known: &'n Known,
    /// Whose the last attempts were, by source and index as they are in a detail.
    met: Vec<(String, String, Whose)>,
}

/// Whose an attempt is.
#[derive(Clone)]
struct Whose {
    credential: Option<Arc<str>>,
    /// Absent: it is not known.
    provider: Option<Arc<str>>,
}

/// The most of these that are remembered. Large servers have some hundred credentials.
const MET: usize = 64;

/// A detail whose fields are all as expected.
#[derive(Deserialize)]
struct Detail<'a> {
    timestamp: Option<&'a str>,
    latency_ms: Option<u64>,
    source: Option<&'a str>,
    #[serde(borrow)]
    auth_index: Option<&'a RawValue>,
    tokens: Option<DetailTokens>,
    failed: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DetailTokens {
    input_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    cached_tokens: u64,
    cache_read_tokens: u64,
    cache_creation_tokens: u64,
    total_tokens: u64,
}

impl<'n> Details<'n> {
    pub(super) fn new(names: &'n Names, known: &'n Known) -> Self {
        Details { names, known, met: Vec::new() }
    }

    /// Reads a detail of one model into `attempt`, which has the client key and the model already. Returns whether it can
    /// be read.
    pub(super) fn read(&mut self, detail: &[u8], attempt: &mut Attempt, odd: &OddFields) -> bool {
        if let Ok(Detail { timestamp, latency_ms, source, auth_index, tokens, failed }) =
            serde_json::from_slice(detail)
            && let Some(started) = timestamp.map(parse_time)
        {
            let tokens = tokens.unwrap_or_default();
            let tokens = Tokens {
                input: tokens.input_tokens,
                output: tokens.output_tokens,
                reasoning: tokens.reasoning_tokens,
                cached: tokens.cached_tokens,
                cache_read: tokens.cache_read_tokens,
                cache_creation: tokens.cache_creation_tokens,
                total: tokens.total_tokens,
            };
            let whose = self.whose(source.unwrap_or_default(), auth_index);
            fill(attempt, whose, started, latency_ms, tokens, failed.unwrap_or(false));
            return true;
        }
        // Something in it is odd, which costs only that.
        let raw = serde_json::from_slice::<Box<RawValue>>(detail).ok();
        let Some(object) = raw.as_deref().and_then(|raw| Object::new("detail", raw, odd)) else {
            return false;
        };
        let tokens = object.object("tokens").map(|tokens| read_tokens(&tokens)).unwrap_or_default();
        let source = object.secret("source").unwrap_or_default();
        let whose = self.whose(&source, object.raw("auth_index"));
        let failed = object.flag("failed").unwrap_or(false);
        fill(attempt, whose, object.time("timestamp"), object.count("latency_ms"), tokens, failed);
        true
    }

    fn whose(&mut self, source: &str, raw_index: Option<&RawValue>) -> &Whose {
        let text = raw_index.map_or("", RawValue::get);
        let met = self.met.iter().position(|(met, met_index, _)| met_index == text && met == source);
        let place = met.unwrap_or_else(|| {
            let index = raw_index.and_then(|raw| index(raw, self.names));
            let credential = self.known.credential(self.names.hash(source), index);
            let provider = credential.as_ref().and_then(|label| self.known.providers.get(label)).cloned();
            if self.met.len() >= MET {
                self.met.clear();
            }
            self.met.push((source.to_owned(), text.to_owned(), Whose { credential, provider }));
            self.met.len() - 1
        });
        &self.met[place].2
    }
}

fn fill(
    attempt: &mut Attempt,
    Whose { credential, provider }: &Whose,
    started: Option<Timestamp>,
    latency_ms: Option<u64>,
    tokens: Tokens,
    failed: bool,
) {
    let count = |tokens| plausible(Some(tokens));
    let tokens = Tokens {
        input: count(tokens.input),
        output: count(tokens.output),
        reasoning: count(tokens.reasoning),
        cached: count(tokens.cached),
        cache_read: count(tokens.cache_read),
        cache_creation: count(tokens.cache_creation),
        total: count(tokens.total),
    };
    let family = family(None, provider.as_deref(), &attempt.model);
    attempt.credential.clone_from(credential);
    match provider {
        Some(provider) => attempt.provider.clone_from(provider),
        None if *attempt.provider == *UNKNOWN => {}
        None => attempt.provider = UNKNOWN.into(),
    }
    attempt.started = started;
    attempt.outcome = if failed { Outcome::Failed(None) } else { Outcome::Succeeded };
    attempt.duration = latency_ms.map(Duration::from_millis).filter(|time| *time <= LONGEST);
    attempt.tokens = tokens.by_kind();
    attempt.billed = tokens.billed(family);
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

#[cfg(test)]
mod tests;

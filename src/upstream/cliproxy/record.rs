//! Attempts as the server describes them: records of the queue and details of the snapshot.
//!
//! Both carry secrets: client keys, keys and accounts at providers, addresses, whole answers of providers. What is kept of
//! them is hashed or counted here, and the rest is dropped.

mod detail;

use std::{collections::HashMap, sync::Arc, time::Duration};

use self::detail::Detail;
use super::{
    attempt::{Attempt, Billed, Outcome, Tier},
    names::{self, Names, UNKNOWN},
    signals::Signals,
};
use crate::{
    model::{LlmTokens, Timestamp},
    upstream::json::{self, Object, OddFields},
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
    /// Keys at providers, by their hashes. One key may be of several providers.
    pub(super) keys: HashMap<Arc<str>, Vec<KeyAt>>,
}

/// A key at one provider.
#[derive(Clone, Debug)]
pub(super) struct KeyAt {
    pub(super) provider: Arc<str>,
    pub(super) label: Arc<str>,
}

impl Known {
    /// The label of the credential of an attempt: that of its key if the list of keys has it, or else its index, or else
    /// the hash of its source.
    fn credential(
        &self,
        source: Arc<str>,
        index: Option<Arc<str>>,
        provider: Option<&str>,
    ) -> Option<Arc<str>> {
        match self.keys.get(&source).map(Vec::as_slice) {
            Some([only]) => Some(Arc::clone(&only.label)),
            Some(several) => {
                let of_provider = several.iter().find(|key| Some(&*key.provider) == provider);
                of_provider.map(|key| Arc::clone(&key.label))
            }
            None => index.or_else(|| (!source.is_empty()).then_some(source)),
        }
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
    pub(super) failure: Failure,
}

/// What the answer of a provider that failed says, as far as the server looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// It is JSON, so it is the provider's, not an error of the network or a page of something in between.
    pub(super) is_of_provider: bool,
    /// When to try again, in those words that the server obeys.
    pub(super) retry_after: Option<Duration>,
}

/// Reads an element of the queue.
pub(super) fn element(raw: &str, names: &Names, known: &Known, odd: &OddFields) -> Element {
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
    let streams = record.flag("stream").unwrap_or(true);
    let fail = record.object("fail");
    let code = fail.as_ref().and_then(|fail| fail.count("status_code"));
    let outcome = match failed {
        false => Outcome::Succeeded,
        true => Outcome::Failed(code.and_then(|code| u16::try_from(code).ok()).filter(|code| *code > 0)),
    };
    let millis = |field| record.count(field).map(Duration::from_millis).filter(|time| *time <= LONGEST);
    let index = record.raw("auth_index").and_then(|raw| index(raw, names));
    let source = names.hash(&record.secret("source").unwrap_or_default());
    let credential = known.credential(source, index, provider.as_deref());
    let attempt = Attempt {
        started: record.time("timestamp"),
        api_key: names.hash(&record.secret("api_key").unwrap_or_default()),
        provider: provider.unwrap_or_else(|| UNKNOWN.into()),
        model,
        credential,
        outcome,
        duration: millis("latency_ms"),
        // Of an answer that comes at once it is the duration. Up to 7.2, no field says which these are.
        first_token: millis("ttft_ms").filter(|time| !time.is_zero() && !failed && streams),
        tokens: tokens.by_kind(),
        billed: Billed { tier, ..breakdown.unwrap_or_else(|| tokens.billed(family)) },
    };
    let signals = Signals::read(record.raw("response_headers"));
    let mut failure = fail.filter(|_| failed).map(|fail| read_failure(&fail)).unwrap_or_default();
    let provider_is = |word: &str| *attempt.provider == *word;
    // Of Claude it waits for a second more than the header says. Of others it ignores the header.
    if provider_is("claude") && record.text("auth_type").as_deref() == Some("oauth") {
        failure.retry_after = signals.retry_after.map(|wait| wait.saturating_add(Duration::from_secs(1)));
    } else if !provider_is("codex") {
        failure.retry_after = None;
    }
    Element::Record(Box::new(Record { attempt, signals, failure }))
}

/// Reads the body of a failure, and keeps none of it.
fn read_failure(fail: &Object<'_>) -> Failure {
    let odd = OddFields::default();
    let body = fail.secret("body").and_then(|body| json::from_bytes(body).ok());
    let Some(body) = body.as_deref().and_then(|body| Object::new("body", body, &odd)) else {
        return Failure::default();
    };
    let codex = body.object("error").and_then(|error| error.count("resets_in_seconds"));
    Failure { is_of_provider: true, retry_after: codex.map(Duration::from_secs) }
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

/// Tokens as the server bills them; absent: it could not tell them apart, or they contradict each other.
fn read_breakdown(breakdown: &Object<'_>) -> Option<Billed> {
    if breakdown.text("quality").as_deref() != Some("complete") {
        return None;
    }
    let (input, output) = (breakdown.object("input")?, breakdown.object("output")?);
    Some(Billed {
        uncached_input: plausible(input.amount("uncached_tokens")),
        cache_read: plausible(input.amount("cache_read_tokens")),
        cache_write: plausible(input.amount("cache_write_tokens")),
        output: plausible(output.amount("total_tokens")),
        ..Billed::default()
    })
}

fn plausible(tokens: Option<u64>) -> u64 {
    tokens.filter(|tokens| *tokens < TOKENS).unwrap_or(0)
}

/// The label that an index is, as JSON; absent: it is a number, or not there.
fn index(json: &str, names: &Names) -> Option<Arc<str>> {
    names.index(&serde_json::from_str::<String>(json).ok()?)
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

impl Family {
    fn of(is_claude: bool, is_gemini: bool) -> Self {
        match (is_claude, is_gemini) {
            (true, _) => Family::Claude,
            (false, true) => Family::Gemini,
            (false, false) => Family::OpenAi,
        }
    }
}

/// By the code that asked the provider, else by the provider, else by the model's name.
fn family(executor: Option<&str>, provider: Option<&str>, model: &str) -> Family {
    const CLAUDE: [&str; 2] = ["claude", "anthropic"];
    const GEMINI: [&str; 6] = ["gemini", "gemini-cli", "antigravity", "aistudio", "ai-studio", "vertex"];
    let provider = provider.filter(|word| *word != UNKNOWN);
    match (executor, provider) {
        (Some(executor), _) => {
            let executor = executor.to_ascii_lowercase();
            let is_of = |words: &[&str]| words.iter().any(|word| executor.starts_with(word));
            Family::of(is_of(&CLAUDE), is_of(&GEMINI))
        }
        // The rest are names that operators give to providers with OpenAI's API.
        (None, Some(provider)) => Family::of(CLAUDE.contains(&provider), GEMINI.contains(&provider)),
        (None, None) => {
            let model = model.to_ascii_lowercase();
            Family::of(model.starts_with("claude"), model.starts_with("gemini"))
        }
    }
}

/// Whether its own API counts the tokens of a prompt, which is an attempt without a record.
pub(super) fn counts_tokens(provider: &str) -> bool {
    family(None, Some(provider), "") != Family::OpenAi
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
        let (uncached_input, cache_read, cache_write) = match family {
            Family::Claude => (self.input, self.read(), self.cache_creation),
            // A part is no larger than the whole, whatever a provider says.
            Family::Gemini | Family::OpenAi => {
                let read = self.read().min(self.input);
                let write = self.cache_creation.min(self.input - read);
                (self.input - read - write, read, write)
            }
        };
        let output = match family {
            Family::Gemini => self.output.saturating_add(self.reasoning),
            Family::Claude | Family::OpenAi => self.output,
        };
        let is_classified = uncached_input.max(cache_read).max(cache_write).max(output) > 0;
        let unclassified = if is_classified { 0 } else { self.total };
        Billed { uncached_input, cache_read, cache_write, output, unclassified, tier: Tier::Base }
    }
}

/// Reads the details of a snapshot.
pub(super) struct Details<'n> {
    names: &'n Names,
    known: &'n Known,
    /// The credentials of the last attempts, by source and index as they are in a detail.
    met: Vec<(String, String, Whose)>,
}

/// Whose an attempt is.
#[derive(Clone)]
struct Whose {
    credential: Option<Arc<str>>,
    provider: Arc<str>,
}

/// The most of these that are remembered. Large servers have some hundred credentials.
const MET: usize = 64;

impl<'n> Details<'n> {
    pub(super) fn new(names: &'n Names, known: &'n Known) -> Self {
        Details { names, known, met: Vec::new() }
    }

    /// Reads the detail of one model that `text` begins with into `attempt`, which has the client key and the model already.
    /// Returns its length; absent: it is not whole, or not in the form in which servers write it.
    pub(super) fn read_first(&mut self, text: &[u8], attempt: &mut Attempt) -> Option<usize> {
        let (detail, length) = detail::first(text)?;
        self.fill(attempt, detail);
        Some(length)
    }

    /// The length of such a detail.
    pub(super) fn length(text: &[u8]) -> Option<usize> {
        detail::first(text).map(|(_, length)| length)
    }

    /// Reads a detail of any form as [`Details::read_first`] does. Returns whether it can be read.
    pub(super) fn read(&mut self, detail: &[u8], attempt: &mut Attempt, odd: &OddFields) -> bool {
        if let Ok(detail @ Detail { timestamp: Some(_), .. }) = serde_json::from_slice(detail) {
            self.fill(attempt, detail);
            return true;
        }
        // Something in it is odd, which costs only that.
        let text = json::from_bytes(detail).ok();
        let Some(object) = text.as_deref().and_then(|text| Object::new("detail", text, odd)) else {
            return false;
        };
        let tokens = object.object("tokens").map(|tokens| read_tokens(&tokens)).unwrap_or_default();
        let source = object.secret("source").unwrap_or_default();
        let index = object.raw("auth_index").unwrap_or_default();
        let whose = self.whose(&source, index);
        let failed = object.flag("failed").unwrap_or(false);
        fill(attempt, whose, object.time("timestamp"), object.count("latency_ms"), tokens, failed);
        true
    }

    fn fill(&mut self, attempt: &mut Attempt, detail: Detail<'_>) {
        let Detail { timestamp, latency_ms, source, auth_index, tokens, failed } = detail;
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
        let whose = self.whose(source.unwrap_or_default(), auth_index.unwrap_or_default());
        fill(attempt, whose, timestamp.and_then(json::instant), latency_ms, tokens, failed.unwrap_or(false));
    }

    /// The index is JSON, or empty.
    fn whose(&mut self, source: &str, json_index: &str) -> &Whose {
        let met = self.met.iter().position(|(met, met_index, _)| met_index == json_index && met == source);
        let place = met.unwrap_or_else(|| {
            let index = index(json_index, self.names);
            let credential = self.known.credential(self.names.hash(source), index, None);
            let provider = credential.as_ref().and_then(|label| self.known.providers.get(label));
            let provider = provider.map_or_else(|| UNKNOWN.into(), Arc::clone);
            if self.met.len() >= MET {
                self.met.clear();
            }
            self.met.push((source.to_owned(), json_index.to_owned(), Whose { credential, provider }));
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
    attempt.credential.clone_from(credential);
    attempt.provider.clone_from(provider);
    attempt.started = started;
    attempt.outcome = if failed { Outcome::Failed(None) } else { Outcome::Succeeded };
    attempt.duration = latency_ms.map(Duration::from_millis).filter(|time| *time <= LONGEST);
    attempt.tokens = tokens.by_kind();
    attempt.billed = tokens.billed(family(None, Some(provider), &attempt.model));
}

#[cfg(test)]
mod tests;

//! An attempt at an upstream, and what a server records of it.

use super::options::Generation;

/// An attempt at an upstream, which [`Server::attempt`](super::Server::attempt) makes happen.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The client key; empty: of an open proxy.
    pub client: String,
    /// The name of the credential, see [`Credential::name`](super::Credential::name).
    pub credential: String,
    /// The upstream's name of the model.
    pub model: String,
    /// What the client called the model; empty: the same.
    pub alias: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What the upstream reported. Counts only for [`Outcome::Success`].
    pub tokens: Tokens,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// From the start to the end.
    pub latency_ms: u32,
    /// From the start to the first byte of the body.
    pub ttft_ms: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered and reported tokens.
    #[default]
    Success,
    /// The upstream answered 200 and reported no tokens.
    NoUsage,
    /// The upstream refused with this status.
    Refused(u16),
    /// The upstream ended the stream in the middle.
    CutOff,
    /// The client went away before the first byte.
    HungUp,
    /// The client went away in the middle of a stream.
    HungUpMidStream,
}

impl Outcome {
    pub(super) fn is_success(self) -> bool {
        matches!(self, Outcome::Success | Outcome::NoUsage)
    }

    /// The status that a record has.
    pub(super) fn status(self) -> u16 {
        match self {
            Outcome::Success | Outcome::NoUsage => 200,
            Outcome::Refused(status) => status,
            Outcome::CutOff => 500,
            Outcome::HungUp | Outcome::HungUpMidStream => 499,
        }
    }

    /// Whether a server records it.
    pub(super) fn is_recorded(self, generation: Generation) -> bool {
        match self {
            Outcome::Success => true,
            Outcome::NoUsage => generation >= Generation::V6_6,
            Outcome::Refused(_) | Outcome::CutOff => generation >= Generation::V6_2,
            Outcome::HungUp | Outcome::HungUpMidStream => generation >= Generation::V6_6,
        }
    }
}

/// Tokens as the upstream reports them: OpenAI's and Gemini's input includes what is read from the cache, Claude's
/// does not; Gemini's output excludes reasoning, that of the others includes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt.
    pub input: u32,
    /// Of the answer.
    pub output: u32,
    /// Spent on reasoning. Claude does not report them.
    pub reasoning: u32,
    /// Read from the cache.
    pub cache_read: u32,
    /// Written to the cache. Only Claude reports them.
    pub cache_write: u32,
}

/// How a provider counts tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Gemini,
    OpenAi,
}

impl Family {
    pub(super) fn of(provider: &str) -> Family {
        match provider {
            "claude" => Family::Claude,
            "gemini" | "gemini-cli" | "antigravity" | "vertex" | "aistudio" => Family::Gemini,
            _ => Family::OpenAi,
        }
    }
}

/// Tokens as a record states them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
    /// `cached_tokens`.
    pub(super) cached: u64,
    pub(super) cache_read: u64,
    pub(super) cache_creation: u64,
    pub(super) total: u64,
}

impl Stated {
    pub(super) fn of(tokens: Tokens, family: Family, generation: Generation) -> Stated {
        let [input, output, reasoning, cache_read, cache_write] =
            [tokens.input, tokens.output, tokens.reasoning, tokens.cache_read, tokens.cache_write]
                .map(u64::from);
        let plain = Stated {
            input,
            output,
            reasoning,
            cached: cache_read,
            cache_read,
            cache_creation: 0,
            total: input + output,
        };
        match family {
            Family::OpenAi => plain,
            Family::Gemini => Stated { total: input + output + reasoning, ..plain },
            Family::Claude => {
                let cached = if cache_read == 0 { cache_write } else { cache_read };
                let all = input + output + cache_read + cache_write;
                let total = if generation >= Generation::V7_2 { all } else { plain.total };
                Stated { reasoning: 0, cached, cache_creation: cache_write, total, ..plain }
            }
        }
    }
}

/// What a server keeps of an attempt. Numbers are places in the tables of its [`State`](super::state::State).
#[derive(Clone, Copy)]
pub(super) struct Record {
    /// Of all attempts of the server, from 1.
    pub(super) number: u64,
    pub(super) started_ns: i64,
    /// `None`: of an open proxy.
    pub(super) client: Option<u16>,
    pub(super) credential: u16,
    pub(super) model: u16,
    /// Shared by the attempts of one call.
    pub(super) request: u32,
    pub(super) outcome: Outcome,
    pub(super) stream: bool,
    pub(super) latency_ms: u32,
    pub(super) ttft_ms: u32,
    pub(super) tokens: Tokens,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_sums() {
        let tokens = Tokens { input: 102, output: 22, reasoning: 2, cache_read: 0, cache_write: 6 };
        let stated = |family, generation| Stated::of(tokens, family, generation);
        let open_ai = stated(Family::OpenAi, Generation::V7_2);
        assert_eq!((open_ai.cached, open_ai.cache_creation, open_ai.total), (0, 0, 124));
        assert_eq!(stated(Family::Gemini, Generation::V6_9).total, 126);
        let claude = stated(Family::Claude, Generation::V6_9);
        assert_eq!((claude.reasoning, claude.cached, claude.total), (0, 6, 124));
        assert_eq!(stated(Family::Claude, Generation::V7_2).total, 130);
    }
}

use super::price::Price;
use crate::upstream::cliproxy::attempt::{Attempt, Billed, Tier};

/// What the tokens of one model cost, by service tier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::upstream::cliproxy) struct ModelPrice {
    pub(super) base: Schedule,
    /// Absent: as `base`.
    pub(super) flex: Option<Schedule>,
    pub(super) priority: Option<Schedule>,
}

/// Prices by the length of a request's prompt. The longest bound that the prompt exceeds decides about every token of
/// the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Schedule {
    pub(super) flat: Rates,
    /// In the order of the bounds.
    pub(super) above: Vec<(u64, Rates)>,
}

/// Absent: the list has no such price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Rates {
    pub(super) input: Option<Price>,
    pub(super) output: Option<Price>,
    /// Absent: as input. This and the next one.
    pub(super) cache_read: Option<Price>,
    pub(super) cache_write: Option<Price>,
    /// Absent: as output.
    pub(super) reasoning: Option<Price>,
}

impl ModelPrice {
    /// The same for all tiers and prompts.
    pub(super) fn flat(rates: Rates) -> Self {
        ModelPrice { base: Schedule { flat: rates, above: Vec::new() }, flex: None, priority: None }
    }

    /// What an attempt costs in billionths of a US dollar, rounded half up once. Absent: it has tokens of a kind that
    /// has no price.
    pub(in crate::upstream::cliproxy) fn cost_nanos(&self, attempt: &Attempt) -> Option<u64> {
        const FEMTOS: u128 = 1_000_000;
        let Billed { uncached_input, cache_read, cache_write, output, unclassified, tier } = attempt.billed;
        let schedule = match tier {
            Tier::Base => None,
            Tier::Flex => self.flex.as_ref(),
            Tier::Priority => self.priority.as_ref(),
        };
        let prompt = uncached_input.saturating_add(cache_read).saturating_add(cache_write);
        let rates = schedule.unwrap_or(&self.base).of(prompt);
        let reasoning = attempt.tokens.reasoning.min(output);
        let mut femtos: u128 = 0;
        for (tokens, price) in [
            (uncached_input, rates.input),
            (cache_read, rates.cache_read.or(rates.input)),
            (cache_write, rates.cache_write.or(rates.input)),
            (output - reasoning, rates.output),
            (reasoning, rates.reasoning.or(rates.output)),
            (unclassified, None),
        ] {
            if tokens > 0 {
                // Some products of 64 and 50 bits.
                femtos += u128::from(tokens) * u128::from(price?.femtos());
            }
        }
        Some(u64::try_from((femtos + FEMTOS / 2) / FEMTOS).unwrap_or(u64::MAX))
    }
}

impl Schedule {
    fn of(&self, prompt: u64) -> &Rates {
        let exceeded = self.above.iter().rev().find(|(bound, _)| prompt > *bound);
        exceeded.map_or(&self.flat, |(_, rates)| rates)
    }
}

//! What tokens cost by list prices.

mod litellm;
mod model_price;
mod price;

use std::{cmp::Reverse, fmt, sync::Arc};

pub(super) use self::model_price::ModelPrice;
use self::model_price::Rates;
pub use self::price::Price;
use crate::model::glob::matches;

/// Prices by model. Empty: no model has a price.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// Patterns of models, the one that decides first.
    overrides: Vec<(String, Arc<ModelPrice>)>,
    models: litellm::Models,
}

/// The operator's prices of models whose names match a pattern, whatever their provider and the length of the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// With `*` and `?`.
    pub models: String,
    pub input: Price,
    pub output: Price,
    /// Of input read from a cache; absent: as input.
    pub cached: Option<Price>,
    /// Of input written to a cache; absent: as input.
    pub cache_write: Option<Price>,
}

/// Why a price list is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PricesError {
    #[error("larger than {} MiB", Prices::LONGEST / 1024 / 1024)]
    TooLong,
    /// The file's text is not repeated, because it may be the wrong file.
    #[error("not a JSON object of models: line {line}, column {column}")]
    NoMap { line: usize, column: usize },
    #[error("no model has a price per token")]
    NoPrice,
}

impl Prices {
    /// The longest list that is read. LiteLLM's has 3.5 MB.
    pub const LONGEST: usize = 16 * 1024 * 1024;

    /// Reads the price map of LiteLLM. Returns the names of entries that cannot be read, too; their models have no price.
    ///
    /// # Errors
    /// When it is too long, is not such a map, or has no prices.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<String>), PricesError> {
        if bytes.len() > Self::LONGEST {
            return Err(PricesError::TooLong);
        }
        let (models, unreadable) = litellm::read(bytes)
            .map_err(|error| PricesError::NoMap { line: error.line(), column: error.column() })?;
        if models.is_empty() {
            return Err(PricesError::NoPrice);
        }
        Ok((Prices { overrides: Vec::new(), models }, unreadable))
    }

    /// Adds the operator's own prices, which decide before those of the list. If several patterns match, one without
    /// `*` and `?` decides, then the one with the most other characters, then the first.
    #[must_use]
    pub fn with_overrides(mut self, overrides: Vec<Override>) -> Self {
        self.overrides = overrides
            .into_iter()
            .map(|Override { models, input, output, cached, cache_write }| {
                let (input, output) = (Some(input), Some(output));
                let rates = Rates { input, output, cache_read: cached, cache_write, reasoning: None };
                (models, Arc::new(ModelPrice::flat(rates)))
            })
            .collect();
        self.overrides.sort_by_key(|(models, _)| {
            let literal = models.replace(['*', '?'], "").len();
            (literal < models.len(), Reverse(literal))
        });
        self
    }

    /// Whether no model has a price.
    pub fn is_empty(&self) -> bool {
        self.overrides.is_empty() && self.models.is_empty()
    }

    /// The price of a model, by the provider and the name that an attempt has.
    pub(super) fn price(&self, provider: &str, model: &str) -> Option<&Arc<ModelPrice>> {
        let own = self.overrides.iter().find(|(models, _)| matches(models, model));
        own.map(|(_, price)| price).or_else(|| self.listed(provider, model))
    }

    /// The name is tried as it is, without a level of effort such as `(high)`, and without `-thinking`.
    fn listed(&self, provider: &str, model: &str) -> Option<&Arc<ModelPrice>> {
        let plain =
            model.strip_suffix(')').and_then(|model| model.rsplit_once('(')).map_or(model, |(name, _)| name);
        let names = [model, plain, plain.strip_suffix("-thinking").unwrap_or(plain)];
        names.into_iter().flat_map(|name| keys(provider, name)).find_map(|key| self.models.get(&*key))
    }
}

/// The keys of a model in the list, in the order of preference. Other keys with the same last part have other prices.
fn keys(provider: &str, model: &str) -> Vec<String> {
    let below = |folder: &str| format!("{folder}/{model}");
    match provider {
        "claude" | "codex" => vec![model.to_owned()],
        "gemini" | "gemini-cli" | "aistudio" | "antigravity" => {
            // Some models are listed as previews only.
            let preview = format!("{model}-preview");
            vec![below("gemini"), model.to_owned(), format!("gemini/{preview}"), preview]
        }
        "vertex" => vec![model.to_owned(), below("vertex_ai")],
        "kimi" => vec![below("moonshot")],
        "xai" => vec![below("xai")],
        "qwen" => vec![below("dashscope")],
        // The operator's name of a compatible provider.
        name => vec![model.to_owned(), below(name)],
    }
}

/// Without thousands of models.
impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prices { overrides, models } = self;
        write!(f, "Prices({} overrides, {} models)", overrides.len(), models.len())
    }
}

#[cfg(test)]
mod tests;

//! `[cost]`: what tokens of LLM providers cost.

use std::path::Path;
use std::sync::Arc;

use toml::de::DeValue;

use crate::alert::config::AlertingConfig;
use crate::upstream::cliproxy::prices::{Override, Price, Prices};

use super::files;
use super::shape::{
    Shape,
    Show::{self, Hidden, Number},
};
use super::table::{FreeEntry, Table};
use super::values::{describe, kind, path};

pub(super) const SHAPE: Shape =
    Shape { title: "[cost]", keys: &[&[("prices_file", Hidden), ("override", Show::Tables(&OVERRIDE))]] };
/// Prices of the models that a pattern matches.
const OVERRIDE: Shape = Shape {
    title: "a table of [cost.override]",
    keys: &[&[("input", Number), ("output", Number), ("cached", Number), ("cache_write", Number)]],
};

/// What tokens cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CostConfig {
    /// Empty: no model has a price.
    pub prices: Arc<Prices>,
    /// The file has entries that cannot be read: a sentence.
    pub(super) warning: Option<String>,
}

pub(super) fn read(mut table: Table<'_, '_>) -> CostConfig {
    let reading = table.reading;
    let file = table.take("prices_file", |value| {
        let path = reading.resolve(&path(value)?);
        let content = files::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        reading.note_file(&path, &content);
        match Prices::parse(&content) {
            Ok((prices, unreadable)) => Ok((prices, warning(&path, &unreadable))),
            Err(error) => Err(format!(
                "{}: {error}; download model_prices_and_context_window.json of LiteLLM again",
                path.display()
            )),
        }
    });
    let (prices, warning) = file.value().unwrap_or_default();
    let overrides = table.free_section("override").into_iter();
    let overrides = overrides.filter_map(|entry| read_override(&table, entry)).collect();
    CostConfig { prices: Arc::new(prices.with_overrides(overrides)), warning }
}

fn read_override(table: &Table<'_, '_>, entry: FreeEntry<'_>) -> Option<Override> {
    const EXAMPLE: &str =
        "write prices in US dollars per million tokens, such as { input = 1.25, output = 10.0 }";
    let FreeEntry { name: models, place, value } = entry;
    let entries = match value.value {
        DeValue::Table(entries) => entries,
        value => {
            table.reading.refuse(&place, format!("{} where a table was expected; {EXAMPLE}", kind(&value)));
            return None;
        }
    };
    let mut table = Table::open(table.reading, place, &OVERRIDE, entries);
    if models.is_empty() {
        table
            .reading
            .refuse(&table.place, "an empty name; write a model such as gpt-5, or a pattern with * and ?");
    }
    let [input, output, cached, cache_write] =
        ["input", "output", "cached", "cache_write"].map(|key| table.take(key, price));
    for (key, price) in [("input", &input), ("output", &output)] {
        if price.is_absent() {
            table.refuse(key, format!("missing; {EXAMPLE}"));
        }
    }
    let (cached, cache_write) = (cached.value(), cache_write.value());
    Some(Override { models, input: input.value()?, output: output.value()?, cached, cache_write })
}

fn price(value: &DeValue<'_>) -> Result<Price, String> {
    let decimal = match value {
        DeValue::Float(number) => Some(number.as_str()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
        _ => None,
    };
    decimal.and_then(Price::per_million).ok_or_else(|| {
        format!(
            "{} is not a price; write US dollars per million tokens, such as 1.25, without quotes",
            describe(value)
        )
    })
}

/// Rules about costs that cannot fire, because there are no prices: a sentence each.
pub(super) fn without_prices<'a>(
    cost: &CostConfig,
    alerting: &'a AlertingConfig,
) -> impl Iterator<Item = String> + use<'a> {
    const RULE: &str = "llm_cost_budget";
    let is_without = alerting.enabled && cost.prices.is_empty();
    let rules = alerting.rules.iter().filter(move |(name, rule)| {
        is_without && rule.enabled != Some(false) && rule.rule.as_deref().unwrap_or(name) == RULE
    });
    rules.map(|(name, _)| {
        format!(
            "alert.{name}: never fires, because no model has a price; write prices_file or an override in [cost]"
        )
    })
}

fn warning(path: &Path, unreadable: &[String]) -> Option<String> {
    let first = unreadable.first()?;
    Some(format!(
        "cost.prices_file: {}: {} entries cannot be read, {first:?} is one; their models have no price",
        path.display(),
        unreadable.len()
    ))
}
